use crate::{ChatTemplate, EncodeOptions, Message, StreamDecoder, TokenKind, Tokenizer, VocabModel, VocabSpec};

/// Reads hostile bytes as a `tokenizer.json`, a vocabulary and a chat template, and uses what can be made of them on a
/// text: an entry point for fuzzing. It panics where a promise of this crate does not hold, and nowhere else.
pub fn check(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    // A file and the text for it, parted by a zero byte.
    let (file, rest) = data.split_at(data.iter().position(|&byte| byte == 0).unwrap_or(data.len()));
    if let Ok(tokenizer) = Tokenizer::from_hf(file, Some(file), None) {
        use_on(&tokenizer, &String::from_utf8_lossy(rest));
    }
    if let Ok(tokenizer) = Tokenizer::from_vocab(spec_of(data, &text)) {
        use_on(&tokenizer, &text);
    }
    if let Ok(template) = ChatTemplate::new(&text, "<s>", "</s>") {
        let messages = [Message::new("user", "hello")];
        // An error is a fine answer to a hostile template; its text must stay one line.
        if let Err(error) = template.render(&messages, None, true, "2026-01-31") {
            assert_eq!(error.to_string().lines().count(), 1);
        }
    }
}

/// A vocabulary of the text's lines, its kinds and scores by the bytes.
fn spec_of(data: &[u8], text: &str) -> VocabSpec {
    let byte = |at: usize| data.get(at % data.len().max(1)).copied().unwrap_or(0);
    let tokens: Vec<String> = text.split('\n').take(512).map(str::to_owned).collect();
    let kind = |at| TokenKind::from_gguf(i64::from(byte(at) % 7)).unwrap_or(TokenKind::Normal);
    let model = if byte(0).is_multiple_of(2) {
        VocabModel::SentencePiece { scores: (0..tokens.len()).map(|at| f32::from(byte(at)) - 128.0).collect() }
    } else {
        let merges = text.split('\n').filter(|line| line.contains(' ')).map(str::to_owned).collect();
        let pre = ["smollm", "qwen2", "llama-bpe", "unheard-of"][usize::from(byte(1) % 4)];
        VocabModel::Bpe { merges, pre: pre.to_owned() }
    };
    VocabSpec {
        model,
        token_types: (0..tokens.len()).map(kind).collect(),
        tokens,
        bos: Some(u32::from(byte(2) % 8)),
        eos: None,
        eot: None,
        unk: Some(0),
        pad: None,
        add_bos: true,
        add_eos: false,
        add_space_prefix: byte(3).is_multiple_of(2),
        chat_template: None,
    }
}

fn use_on(tokenizer: &Tokenizer, text: &str) {
    for parse_special in [false, true] {
        let ids = tokenizer.encode(text, EncodeOptions { add_special: false, parse_special });
        assert!(ids.iter().all(|&id| (id as usize) < tokenizer.vocab_size()));
        for skip_special in [false, true] {
            let mut decoder = StreamDecoder::with_special(tokenizer, skip_special);
            let mut pieces: String = ids.iter().map(|&id| decoder.push(id)).collect();
            pieces.push_str(&decoder.finish());
            assert_eq!(pieces, tokenizer.decode(&ids, skip_special));
        }
    }
}
