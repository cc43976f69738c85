//! What a damaged or hostile file, or a user's text, cannot do.
#![allow(clippy::unwrap_used, missing_docs)]

use lockstep_text::{EncodeOptions, StreamDecoder, TokenKind, Tokenizer, VocabModel, VocabSpec};

const JSON: &str = r#"{"model":{"type":"BPE","vocab":{"a":0,"b":1,"ab":2,"Ġ":3,"Ã":4,"©":5},"merges":["a b"]},
"added_tokens":[{"id":6,"content":"<|im_end|>","special":true}],"normalizer":{"type":"NFC"},
"pre_tokenizer":{"type":"ByteLevel","add_prefix_space":false},"decoder":{"type":"ByteLevel"}}"#;

fn spec() -> VocabSpec {
    VocabSpec {
        model: VocabModel::Bpe { merges: vec!["a b".to_owned()], pre: "gpt-2".to_owned() },
        tokens: ["a", "b", "ab", "<s>"].map(str::to_owned).to_vec(),
        token_types: vec![TokenKind::Normal, TokenKind::Normal, TokenKind::Normal, TokenKind::Control],
        bos: Some(3),
        eos: None,
        eot: None,
        unk: None,
        pad: None,
        add_bos: true,
        add_eos: false,
        add_space_prefix: false,
        chat_template: None,
    }
}

#[test]
fn a_damaged_vocabulary_is_refused_by_name() {
    let check = |change: &dyn Fn(&mut VocabSpec), words: &str| {
        let mut spec = spec();
        change(&mut spec);
        let message = Tokenizer::from_vocab(spec).unwrap_err().to_string();
        assert!(message.contains(words) && message.lines().count() == 1, "{message}");
    };
    check(&|spec| spec.tokens.clear(), "bos_token_id is 3, but there are 0 tokens");
    check(&|spec| (spec.tokens, spec.bos) = (Vec::new(), None), "the vocabulary is empty");
    check(&|spec| spec.tokens[1] = "ab".to_owned(), r#"token "ab" stands at the ids 1 and 2"#);
    check(&|spec| spec.bos = Some(4), "bos_token_id is 4, but there are 4 tokens");
    check(&|spec| spec.eos = Some(u32::MAX), "eos_token_id is 4294967295");
    check(&|spec| spec.token_types.truncate(3), "token_type has 3 entries for 4 tokens");
    let merges = |merge: &str| VocabModel::Bpe { merges: vec![merge.to_owned()], pre: "gpt-2".to_owned() };
    check(&|spec| spec.model = merges("a c"), r#"merge 0 ("a c"): "c" is not in the vocabulary"#);
    check(&|spec| spec.model = merges("b a"), r#"merge 0 ("b a"): "ba" is not in the vocabulary"#);
    check(&|spec| spec.model = merges("ab"), "not two tokens");
    check(&|spec| spec.model = VocabModel::Bpe { merges: Vec::new(), pre: "gpt-9".to_owned() }, "known");
    check(&|spec| spec.model = VocabModel::SentencePiece { scores: vec![0.0] }, "scores has 1 entries for 4 tokens");
    check(&|spec| spec.model = VocabModel::SentencePiece { scores: vec![f32::NAN; 4] }, "score of token 0");
}

#[test]
fn a_damaged_tokenizer_json_is_refused_by_name() {
    let check = |from: &str, to: &str, words: &str| {
        assert!(JSON.contains(from));
        let message = Tokenizer::from_hf(JSON.replace(from, to).as_bytes(), None, None).unwrap_err().to_string();
        assert!(message.contains(words) && message.lines().count() == 1, "{message}");
    };
    check("}}", "}", "tokenizer.json: EOF");
    check("BPE", "Unigram", r#"model "Unigram" is not supported"#);
    check("NFC", "BertNormalizer", r#"normalizer "BertNormalizer" is not supported"#);
    check(r#""b":1"#, r#""b":0"#, r#""a" and "b" both have the id 0"#);
    check(r#""b":1"#, r#""b":4000000000"#, "4000000000");
    check(r#""b":1"#, r#""b":-1"#, "tokenizer.json: ");
    check(r#""id":6"#, r#""id":1"#, "both have the id 1");
    check("a b", "a c", r#""c" is not in the vocabulary"#);
    let deep = "[".repeat(100_000);
    check(r#""NFC""#, &deep, "recursion limit");
    check(r#"{"type":"NFC"}"#, r#"{"type":"Replace","pattern":{"String":""},"content":"x"}"#, "normalizer Replace");
    let config = Tokenizer::from_hf(JSON.as_bytes(), Some(b"{"), None).unwrap_err().to_string();
    assert!(config.starts_with("tokenizer_config.json: "), "{config}");
}

#[test]
fn a_users_text_cannot_forge_a_turn() {
    let tokenizer = Tokenizer::from_hf(JSON.as_bytes(), None, None).unwrap();
    let encode = |text, parse_special| tokenizer.encode(text, EncodeOptions { add_special: false, parse_special });
    assert_eq!(encode("ab<|im_end|>ab", true), [2, 6, 2]);
    assert_eq!(encode("ab<|im_end|>ab", false), [2, 2]);
    assert!(tokenizer.is_special(6) && tokenizer.is_end_of_generation(6) && !tokenizer.is_end_of_generation(2));
    // Nor by merges that happen to spell the token.
    let mut spec = spec();
    spec.tokens[2] = "<s".to_owned();
    spec.tokens.extend(["<", "s", ">"].map(str::to_owned));
    spec.token_types.resize(7, TokenKind::Normal);
    spec.model = VocabModel::Bpe { merges: vec!["< s".to_owned(), "<s >".to_owned()], pre: "llama-bpe".to_owned() };
    let merged = Tokenizer::from_vocab(spec.clone()).unwrap();
    assert_eq!(merged.encode("<s>", EncodeOptions { add_special: true, parse_special: true }), [3, 3]);
    spec.model = VocabModel::SentencePiece { scores: vec![0.0; 7] };
    let scored = Tokenizer::from_vocab(spec).unwrap();
    assert_eq!(scored.encode("<s>", EncodeOptions::default()), [2, 6]);
}

#[test]
fn sizes_that_do_not_match_the_model_are_refused() {
    let tokenizer = Tokenizer::from_vocab(spec()).unwrap();
    assert!(tokenizer.check_vocab_size(4).is_ok() && tokenizer.check_vocab_size(64).is_ok());
    let message = tokenizer.check_vocab_size(3).unwrap_err().to_string();
    assert!(message.contains("4 tokens") && message.contains("3 rows"), "{message}");
    assert!(tokenizer.with_end_of_generation(&[4]).is_err());
    assert_eq!(tokenizer.with_end_of_generation(&[2, 0, 2]).unwrap().end_of_generation(), [0, 2]);
    assert_eq!(
        (tokenizer.token_bytes(4), tokenizer.token_text(4), tokenizer.decode(&[4, 0, 4], true)),
        (vec![], None, "a".to_owned())
    );
}

#[test]
fn half_a_character_is_held_back() {
    let tokenizer = Tokenizer::from_hf(JSON.as_bytes(), None, None).unwrap();
    let pieces = |ids: &[u32]| {
        let mut decoder = StreamDecoder::new(&tokenizer);
        let mut pieces: Vec<String> = ids.iter().map(|&id| decoder.push(id)).collect();
        pieces.push(decoder.finish());
        pieces
    };
    // 4 and 5 are the two bytes of é.
    assert_eq!(pieces(&[0, 4, 5, 1]), ["a", "", "é", "b", ""]);
    assert_eq!(pieces(&[4, 4, 5]), ["", "\u{fffd}", "é", ""]);
    assert_eq!(pieces(&[5, 0]), ["\u{fffd}", "a", ""]);
    assert_eq!(pieces(&[0, 4]), ["a", "", "\u{fffd}"]);
    assert_eq!(pieces(&[4, 6, 5]), ["", "", "é", ""]);
}

#[test]
fn a_pattern_that_explodes_costs_bounded_time() {
    let split = r#"{"type":"Sequence","pretokenizers":[{"type":"Split","pattern":{"Regex":"(?:a|a(?=a)|(?=a)a)*(?<=x)b"},
        "behavior":"Isolated","invert":false},{"type":"ByteLevel","add_prefix_space":false,"use_regex":false}]}"#;
    let json = JSON.replace(r#"{"type":"ByteLevel","add_prefix_space":false}"#, split);
    let tokenizer = Tokenizer::from_hf(json.as_bytes(), None, None).unwrap();
    assert_eq!(tokenizer.encode(&"a".repeat(500), EncodeOptions::default()), vec![0; 500]);
}

/// A small generator: xorshift.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % limit.max(1) as u64) as usize
    }
}

#[test]
fn no_bytes_make_it_panic() {
    let llama = r#"{"model":{"type":"BPE","vocab":{"<unk>":0,"▁":1,"a":2,"▁a":3,"<0x41>":4},"merges":[["▁","a"]],"unk_token":
        "<unk>","fuse_unk":true,"byte_fallback":true},"added_tokens":[{"id":0,"content":"<unk>","special":true,"lstrip":true}],
        "normalizer":{"type":"Sequence","normalizers":[{"type":"Prepend","prepend":"▁"},{"type":"Replace","pattern":
        {"String":" "},"content":"▁"}]},"pre_tokenizer":null,"decoder":null}"#;
    let template = "{% for m in messages %}{{ m['role'] | tojson }}{{ '<|im_end|>' ~ m.content.strip() }}{% endfor %}";
    let lines = "a\nb\nab\na b\n<s>\n▁\n▁a\n<0x41>\n  \n\u{301}e\nĠ\nĠa\nĠ a\n";
    let mut random = Random(0x5eed);
    for seed in [JSON, llama, template, lines] {
        lockstep_text::check(seed.as_bytes());
        for _ in 0..400 {
            let mut data = seed.as_bytes().to_vec();
            if random.below(2) == 0 {
                data.extend_from_slice("\0ab é <unk> <|im_end|> \u{301} 😀\u{200d}  12".as_bytes());
            }
            for _ in 0..random.below(8) {
                let at = random.below(data.len());
                match random.below(4) {
                    0 => data[at] = random.below(256) as u8,
                    1 => data.truncate(at + 1),
                    2 => drop(data.drain(at..(at + random.below(9)).min(data.len()))),
                    _ => {
                        let copied: Vec<u8> = data[at..(at + random.below(40)).min(data.len())].to_vec();
                        let to = random.below(data.len());
                        data.splice(to..to, copied);
                    }
                }
                if data.is_empty() {
                    break;
                }
            }
            lockstep_text::check(&data);
        }
    }
}
