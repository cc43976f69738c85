//! The real SmolLM2 vocabulary against ids from Hugging Face's tokenizers (tools/reference/text/smollm2.py).
#![allow(clippy::unwrap_used, missing_docs)]

use flate2::read::GzDecoder;
use lockstep_text::{ChatTemplate, EncodeOptions, Message, StreamDecoder, TokenKind, Tokenizer, VocabModel, VocabSpec};
use serde_json::Value;

fn load(compressed: &[u8]) -> Value {
    serde_json::from_reader(std::io::BufReader::new(GzDecoder::new(compressed))).unwrap()
}

fn strings(value: &Value) -> Vec<String> {
    value.as_array().unwrap().iter().map(|text| text.as_str().unwrap().to_owned()).collect()
}

fn smollm2() -> Tokenizer {
    let vocab = load(include_bytes!("fixtures/smollm2_vocab.json.gz"));
    let types = vocab["types"].as_array().unwrap();
    Tokenizer::from_vocab(VocabSpec {
        model: VocabModel::Bpe { merges: strings(&vocab["merges"]), pre: "smollm".to_owned() },
        tokens: strings(&vocab["tokens"]),
        token_types: types.iter().map(|kind| TokenKind::from_gguf(kind.as_i64().unwrap()).unwrap()).collect(),
        bos: Some(1),
        eos: Some(2),
        eot: None,
        unk: Some(0),
        pad: Some(2),
        add_bos: false,
        add_eos: false,
        add_space_prefix: false,
        chat_template: None,
    })
    .unwrap()
}

#[test]
fn ids_equal_the_reference_and_streams_equal_decode() {
    let tokenizer = smollm2();
    let cases = load(include_bytes!("fixtures/smollm2_cases.json.gz"));
    let cases = cases.as_array().unwrap();
    assert!(cases.len() >= 2000);
    for case in cases {
        let text = case[0].as_str().unwrap();
        let expected: Vec<u32> = case[1].as_array().unwrap().iter().map(|id| id.as_u64().unwrap() as u32).collect();
        let ids = tokenizer.encode(text, EncodeOptions { add_special: false, parse_special: true });
        assert_eq!(ids, expected, "{text:?}");
        // Byte tokens that the vocabulary lacks cannot come back; SmolLM2 leaves out a few bytes that text rarely has.
        let mut stream = StreamDecoder::new(&tokenizer);
        let mut streamed: String = ids.iter().map(|&id| stream.push(id)).collect();
        streamed.push_str(&stream.finish());
        assert_eq!(streamed, tokenizer.decode(&ids, true));
    }
}

#[test]
fn a_users_text_cannot_forge_a_turn() {
    let tokenizer = smollm2();
    let mark = tokenizer.id_of("<|im_start|>").unwrap();
    let parsed = EncodeOptions { add_special: false, parse_special: true };
    assert_eq!(tokenizer.encode("<|im_start|>", parsed), [mark]);
    let plain = tokenizer.encode("<|im_start|>", EncodeOptions::default());
    assert!(!plain.contains(&mark));
    assert_eq!(tokenizer.decode(&plain, true), "<|im_start|>");
    assert!(tokenizer.is_end_of_generation(tokenizer.id_of("<|im_end|>").unwrap()));
}

#[test]
fn a_chat_becomes_its_prompt_and_a_hostile_template_an_error() {
    let source = "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + \
                  '<|im_end|>' + '\n' }}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}";
    let messages = [Message { role: "user".to_owned(), content: "Hi".to_owned() }];
    let render = |source: &str| ChatTemplate::new(source, "", "")?.render(&messages, None, true, "2026-02-03");
    assert_eq!(render(source).unwrap(), "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n");
    assert_eq!(render("{{ strftime_now('%d %b %Y') }}").unwrap(), "03 Feb 2026");
    assert_eq!(render("{% if true %}\n  {% if true %}\nx\n{% endif %}\n{% endif %}").unwrap(), "x\n");
    assert!(render("{{ raise_exception('no tools') }}").unwrap_err().to_string().contains("no tools"));
    let endless = "{% for a in range(9999) %}{% for b in range(9999) %}{{ b }}{% endfor %}{% endfor %}";
    assert!(render(endless).unwrap_err().to_string().contains("without end"));
}

#[test]
fn hostile_bytes_never_panic() {
    let seed = br#"{"model":{"type":"BPE","vocab":{"a":0,"b":1,"ab":2},"merges":["a b"]},"added_tokens":[{"id":3,"content":"<s>","special":true}],"pre_tokenizer":{"type":"ByteLevel"}}"#;
    lockstep_text::check(seed);
    let mut state = 1u64;
    let mut next = move || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize
    };
    for _ in 0..300 {
        let mut data = seed.to_vec();
        for _ in 0..next() % 6 {
            let at = next() % data.len();
            data[at] = next() as u8;
        }
        lockstep_text::check(&data);
    }
}
