//! Hugging Face's `tokenizer.json`, read into the same parts as a GGUF vocabulary.

use crate::bpe::MergeRule;
use crate::normalize::Normalizer;
use crate::patterns::GPT2;
use crate::special::{AddedToken, SpecialTokens};
use crate::split::{Behavior, Pattern, PreTokenizer, Step};
use crate::table::TokenTable;
use crate::tokenizer::{Ends, Marks, Pipeline, Spelling, Tokenizer};
use crate::vocab::{byte_level, sentence_piece};
use crate::{Error, TokenKind};
use serde_json::Value;

const FILE: &str = "tokenizer.json";

impl Tokenizer {
    /// Reads `tokenizer.json` (BPE, byte-level or SentencePiece-like), with the begin and end tokens and the chat
    /// template of `tokenizer_config.json` and `chat_template.jinja` where they are given.
    pub fn from_hf(
        tokenizer_json: &[u8],
        tokenizer_config_json: Option<&[u8]>,
        chat_template_jinja: Option<&str>,
    ) -> Result<Self, Error> {
        let root = parse(FILE, tokenizer_json)?;
        let config = tokenizer_config_json.map(|bytes| parse("tokenizer_config.json", bytes)).transpose()?;
        let config = config.unwrap_or(Value::Null);
        let model = &root["model"];
        // Old files have no type; BPE is the one that has merges.
        if model["type"].as_str().unwrap_or("BPE") != "BPE" {
            return Err(unsupported("model", &model["type"]));
        }
        let (texts, kinds, added) = tokens(&root)?;
        let table = TokenTable::new(texts, kinds)?;
        let specials = SpecialTokens::new(added)?;
        let mut parts = Parts::default();
        parts.read_normalizer(&root["normalizer"])?;
        parts.read_pre_tokenizer(&root["pre_tokenizer"])?;
        let rule = merges(&table, &model["merges"])?;
        let flag = |name: &str| model[name].as_bool().unwrap_or(false);
        let unk = model["unk_token"].as_str().and_then(|text| table.id(text));
        let (bpe, spelling) = if parts.byte_level {
            (byte_level(&table, rule, flag("ignore_merges")), Spelling::ByteLevel)
        } else {
            let mut bpe = sentence_piece(&table, rule, unk);
            bpe.fuse_unk = flag("fuse_unk");
            bpe.whole_words = flag("ignore_merges");
            if !flag("byte_fallback") {
                bpe.bytes = [None; 256];
            }
            let strip_first_space = parts.normalizers.iter().any(|step| matches!(step, Normalizer::Prepend(_)));
            (bpe, Spelling::SentencePiece { strip_first_space })
        };
        let around = template_ends(&root["post_processor"], &table);
        let named = |name: &str| token_name(&config[name]).and_then(|text| table.id(text));
        let (bos, eos) = (named("bos_token").or(around.0), named("eos_token").or(around.1));
        let template = chat_template_jinja.or_else(|| config["chat_template"].as_str()).map(str::to_owned);
        let pipeline = Pipeline { specials, normalizers: parts.normalizers, steps: parts.steps, bpe, spelling };
        let marks = Marks { bos, eos, ..Marks::default() };
        let ends = Ends { prefix: around.0.into_iter().collect(), suffix: around.1.into_iter().collect() };
        Ok(Self::assemble(table, pipeline, marks, ends, template))
    }
}

fn parse(file: &'static str, bytes: &[u8]) -> Result<Value, Error> {
    serde_json::from_slice(bytes).map_err(|error| Error::Json { file, problem: error.to_string() })
}

fn json_error(problem: &str) -> Error {
    Error::Json { file: FILE, problem: problem.to_owned() }
}

fn unsupported(part: &'static str, kind: &Value) -> Error {
    Error::Unsupported { part, kind: kind.as_str().map_or_else(|| kind.to_string(), str::to_owned) }
}

/// A token's name in `tokenizer_config.json`: a string, or an object with its content.
fn token_name(value: &Value) -> Option<&str> {
    value.as_str().or_else(|| value["content"].as_str())
}

type Tokens = (Vec<String>, Vec<TokenKind>, Vec<AddedToken>);

/// All tokens by id, and those that are cut out of the text. Holes become unused tokens with a name of their own.
fn tokens(root: &Value) -> Result<Tokens, Error> {
    let vocab = root["model"]["vocab"].as_object().ok_or_else(|| json_error("model.vocab is not an object"))?;
    let none = Vec::new();
    let extra = root["added_tokens"].as_array().unwrap_or(&none);
    // Ids beyond this many would be mostly holes: the file must back what is allocated.
    let limit = 2 * (vocab.len() + extra.len()) + 1024;
    let mut slots: Vec<Option<(String, TokenKind)>> = Vec::new();
    let mut put = |id: &Value, text: &str, kind: TokenKind| -> Result<u32, Error> {
        let id = id.as_u64().ok_or_else(|| json_error("a token's id is not a whole number"))? as usize;
        if id >= limit {
            return Err(json_error(&format!("token id {id} lies far beyond the number of tokens")));
        }
        if id >= slots.len() {
            slots.resize(id + 1, None);
        }
        match &slots[id] {
            Some((first, _)) if first != text => {
                return Err(Error::DuplicateId { id: id as u32, first: first.clone(), second: text.to_owned() });
            }
            _ => slots[id] = Some((text.to_owned(), kind)),
        }
        Ok(id as u32)
    };
    for (text, id) in vocab {
        let byte = crate::bytes::byte_of_piece(text).is_some() && root["model"]["byte_fallback"] == true;
        put(id, text, if byte { TokenKind::Byte } else { TokenKind::Normal })?;
    }
    let mut added = Vec::new();
    for token in extra {
        let content = token["content"].as_str().ok_or_else(|| json_error("an added token has no content"))?;
        for name in ["lstrip", "rstrip", "single_word"] {
            if token[name] == true {
                return Err(Error::Unsupported { part: "added token", kind: name.to_owned() });
            }
        }
        let special = token["special"] == true;
        let id = put(&token["id"], content, if special { TokenKind::Control } else { TokenKind::UserDefined })?;
        added.push(AddedToken { id, content: content.to_owned(), special, ..AddedToken::default() });
    }
    let filled = slots.into_iter().enumerate();
    let (texts, kinds) =
        filled.map(|(id, slot)| slot.unwrap_or_else(|| (format!("[UNUSED_ID_{id}]"), TokenKind::Unused))).unzip();
    Ok((texts, kinds, added))
}

fn merges(table: &TokenTable, value: &Value) -> Result<MergeRule, Error> {
    let list = value.as_array().ok_or_else(|| json_error("model.merges is not a list"))?;
    MergeRule::from_merges(
        table,
        list.iter().map(|merge| match merge {
            Value::String(text) => text.split_once(' '),
            pair => pair[0].as_str().zip(pair[1].as_str()),
        }),
    )
}

/// The tokens that a template post-processor puts around one text.
fn template_ends(post: &Value, table: &TokenTable) -> (Option<u32>, Option<u32>) {
    let none = Vec::new();
    let mut steps = post["processors"].as_array().unwrap_or(&none).iter().chain([post]);
    let Some(single) = steps.find_map(|step| step["single"].as_array()) else { return (None, None) };
    let text = single.iter().position(|item| item.get("Sequence").is_some());
    let id = |item: Option<&Value>| item?["SpecialToken"]["id"].as_str().and_then(|name| table.id(name));
    match text {
        Some(at) => (id(at.checked_sub(1).and_then(|at| single.get(at))), id(single.get(at + 1))),
        None => (None, None),
    }
}

#[derive(Default)]
struct Parts {
    normalizers: Vec<Normalizer>,
    steps: PreTokenizer,
    byte_level: bool,
}

impl Parts {
    fn read_normalizer(&mut self, value: &Value) -> Result<(), Error> {
        match value["type"].as_str() {
            None => {}
            Some("NFC") => self.normalizers.push(Normalizer::Nfc),
            Some("Prepend") => self.normalizers.push(Normalizer::Prepend(text_of(&value["prepend"])?)),
            Some("Replace") => self.normalizers.push(Normalizer::Replace {
                from: text_of(&value["pattern"]["String"])?,
                to: text_of(&value["content"])?,
            }),
            Some("Sequence") => {
                for step in value["normalizers"].as_array().into_iter().flatten() {
                    self.read_normalizer(step)?;
                }
            }
            Some(_) => return Err(unsupported("normalizer", &value["type"])),
        }
        Ok(())
    }

    fn read_pre_tokenizer(&mut self, value: &Value) -> Result<(), Error> {
        let mut steps = std::mem::take(&mut self.steps);
        let kind = value["type"].as_str();
        self.steps = match kind {
            Some("ByteLevel") if value["add_prefix_space"] == true => {
                return Err(unsupported("pre_tokenizer", &"ByteLevel with add_prefix_space".into()));
            }
            Some("ByteLevel") => {
                self.byte_level = true;
                if value["use_regex"] != false {
                    steps.steps.push(isolated(GPT2)?);
                }
                steps
            }
            Some("Digits") if value["individual_digits"] == true => {
                steps.steps.push(Step::Digits { individual: true });
                steps
            }
            Some("Split") if value["behavior"] == "Isolated" && value["invert"] != true => {
                steps.steps.push(isolated(&text_of(&value["pattern"]["Regex"])?)?);
                steps
            }
            // Gemma's: its normaliser has left no space to split at.
            Some("Split") if value["pattern"]["String"] == " " && self.replaces_spaces() => steps,
            None | Some("Sequence") => steps,
            Some(_) => return Err(unsupported("pre_tokenizer", &value["type"])),
        };
        if kind == Some("Sequence") {
            for step in value["pretokenizers"].as_array().into_iter().flatten() {
                self.read_pre_tokenizer(step)?;
            }
        }
        Ok(())
    }

    fn replaces_spaces(&self) -> bool {
        self.normalizers.iter().any(|step| matches!(step, Normalizer::Replace { from, .. } if from == " "))
    }
}

fn text_of(value: &Value) -> Result<String, Error> {
    value.as_str().map(str::to_owned).ok_or_else(|| json_error("a step of the tokenizer lacks its text"))
}

fn isolated(pattern: &str) -> Result<Step, Error> {
    Ok(Step::Split { pattern: Pattern::regex(pattern)?, behavior: Behavior::Isolated, invert: false })
}
