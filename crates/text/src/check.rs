use crate::{ChatTemplate, EncodeOptions, Message, StreamDecoder, TokenKind, Tokenizer, VocabModel, VocabSpec};

/// Reads hostile bytes as a vocabulary, a `tokenizer.json`, a chat template and text. It never panics, and asserts that
/// streamed text equals decoded text: an entry point for fuzzing.
pub fn check(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    if let Ok(tokenizer) = Tokenizer::from_hf(data, Some(data), Some(&text)) {
        round_trip(&tokenizer, &text);
    }
    if let Ok(tokenizer) = Tokenizer::from_vocab(spec_of(data, &text)) {
        round_trip(&tokenizer, &text);
    }
    if let Ok(template) = ChatTemplate::new(&text, "<s>", "</s>") {
        let messages = [Message { role: "user".to_owned(), content: "hello".to_owned() }];
        // An error is a fine answer to a hostile template; only a panic is not.
        drop(template.render(&messages, None, true, "2026-01-31"));
    }
}

fn spec_of(data: &[u8], text: &str) -> VocabSpec {
    let head = |at: usize| data.get(at).copied().unwrap_or(0);
    let tokens: Vec<String> = text.split('\n').take(512).map(str::to_owned).collect();
    let token_types = (0..tokens.len())
        .map(|at| TokenKind::from_gguf(i64::from(head(at) % 7)).unwrap_or(TokenKind::Normal))
        .collect();
    let scores = (0..tokens.len()).map(|at| f32::from_bits(u32::from(head(at)) << 23)).collect();
    let model = if head(0) % 2 == 0 {
        VocabModel::SentencePiece { scores }
    } else {
        let merges = text.split('\n').filter(|line| line.contains(' ')).map(str::to_owned).collect();
        VocabModel::Bpe { merges, pre: if head(1) % 2 == 0 { "smollm" } else { "qwen2" }.to_owned() }
    };
    VocabSpec {
        model,
        tokens,
        token_types,
        bos: Some(u32::from(head(2))),
        eos: None,
        eot: None,
        unk: Some(0),
        pad: None,
        add_bos: true,
        add_eos: false,
        add_space_prefix: head(3) % 2 == 0,
        chat_template: None,
    }
}

fn round_trip(tokenizer: &Tokenizer, text: &str) {
    for parse_special in [false, true] {
        let ids = tokenizer.encode(text, EncodeOptions { add_special: true, parse_special });
        assert!(ids.iter().all(|&id| (id as usize) < tokenizer.vocab_size()));
        let mut stream = StreamDecoder::new(tokenizer);
        let mut pieces: String = ids.iter().map(|&id| stream.push(id)).collect();
        pieces.push_str(&stream.finish());
        assert_eq!(pieces, tokenizer.decode(&ids, true));
    }
}
