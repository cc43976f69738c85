//! The steps in `tokenizer.json`: normalizer, pre-tokenizer, post-processor, decoder. What is not known is refused by
//! name: a step left out would give wrong tokens without a word.

use serde_json::Value;

use crate::Error;
use crate::error::one_line;
use crate::normalize::Normalizer;
use crate::patterns::GPT2;
use crate::split::{Behavior, Pattern, PreTokenizer, Prepend, Step};
use crate::table::TokenTable;
use crate::tokenizer::{Ends, Spelling};

/// More steps than any tokenizer has; each costs a pass over the text.
const STEPS_MAX: usize = 16;
/// Bytes of a text that is put in or taken out: bounds what a step can make of a text.
const LITERAL_BYTES_MAX: usize = 16;

fn unsupported(part: &'static str, kind: impl ToString) -> Error {
    Error::Unsupported { part, kind: one_line(kind) }
}

fn kind_of(value: &Value) -> &str {
    value["type"].as_str().unwrap_or_default()
}

fn literal(part: &'static str, value: &Value) -> Result<String, Error> {
    let text = value.as_str().filter(|text| !text.is_empty() && text.len() <= LITERAL_BYTES_MAX);
    text.map(str::to_owned).ok_or_else(|| unsupported(part, value))
}

/// The steps of a value that may be null, one step, or a sequence whose steps stand under `key`.
fn flatten<'a>(part: &'static str, value: &'a Value, key: &str) -> Result<Vec<&'a Value>, Error> {
    let mut flat = Vec::new();
    let mut waiting = vec![value];
    while let Some(step) = waiting.pop() {
        if kind_of(step) == "Sequence" {
            let steps = step[key].as_array().ok_or_else(|| unsupported(part, step))?;
            waiting.extend(steps.iter().rev());
        } else if !step.is_null() {
            flat.push(step);
        }
        if flat.len() > STEPS_MAX {
            return Err(unsupported(part, format!("more than {STEPS_MAX} steps")));
        }
    }
    Ok(flat)
}

pub(crate) fn parse_normalizers(value: &Value) -> Result<Vec<Normalizer>, Error> {
    let part = "normalizer";
    let parse = |step: &Value| match kind_of(step) {
        "NFC" => Ok(Normalizer::Nfc),
        "NFD" => Ok(Normalizer::Nfd),
        "NFKC" => Ok(Normalizer::Nfkc),
        "NFKD" => Ok(Normalizer::Nfkd),
        "Prepend" => Ok(Normalizer::Prepend(literal(part, &step["prepend"])?)),
        "Replace" => {
            let from = literal("normalizer Replace", &step["pattern"]["String"])?;
            Ok(Normalizer::Replace { from, to: literal(part, &step["content"])? })
        }
        other => Err(unsupported(part, other)),
    };
    flatten(part, value, "normalizers")?.into_iter().map(parse).collect()
}

/// The steps, and whether the words are then spelled in bytes.
pub(crate) fn parse_pre_tokenizer(value: &Value) -> Result<(PreTokenizer, bool), Error> {
    let part = "pre_tokenizer";
    let mut steps = Vec::new();
    let mut by_bytes = false;
    for step in flatten(part, value, "pretokenizers")? {
        // A second spelling in bytes, or a cut of words that are already spelled.
        if by_bytes {
            return Err(unsupported(part, format!("{} after ByteLevel", kind_of(step))));
        }
        match kind_of(step) {
            "ByteLevel" => {
                by_bytes = true;
                if step["add_prefix_space"].as_bool().unwrap_or(true) {
                    steps.push(Step::PrefixSpace);
                }
                if step["use_regex"].as_bool().unwrap_or(true) {
                    let pattern = Pattern::regex(GPT2)?;
                    steps.push(Step::Split { pattern, behavior: Behavior::Isolated, invert: false });
                }
            }
            "Digits" => steps.push(Step::Digits { individual: step["individual_digits"].as_bool().unwrap_or(false) }),
            "Split" => steps.push(parse_split(step)?),
            "Metaspace" => steps.push(parse_metaspace(step)?),
            other => return Err(unsupported(part, other)),
        }
    }
    Ok((PreTokenizer { steps }, by_bytes))
}

fn parse_split(step: &Value) -> Result<Step, Error> {
    let pattern = match step["pattern"]["Regex"].as_str() {
        Some(regex) => Pattern::regex(regex)?,
        None => Pattern::Literal(literal("pre_tokenizer Split", &step["pattern"]["String"])?),
    };
    let behavior = match step["behavior"].as_str().unwrap_or_default() {
        "Removed" => Behavior::Removed,
        "Isolated" => Behavior::Isolated,
        "Contiguous" => Behavior::Contiguous,
        "MergedWithPrevious" => Behavior::MergedWithPrevious,
        "MergedWithNext" => Behavior::MergedWithNext,
        other => return Err(unsupported("pre_tokenizer Split", other)),
    };
    Ok(Step::Split { pattern, behavior, invert: step["invert"].as_bool().unwrap_or(false) })
}

fn parse_metaspace(step: &Value) -> Result<Step, Error> {
    let prepend = match (step["prepend_scheme"].as_str(), step["add_prefix_space"].as_bool()) {
        (Some("first"), _) => Prepend::First,
        (Some("never"), _) | (None, Some(false)) => Prepend::Never,
        (Some("always") | None, _) => Prepend::Always,
        (Some(other), _) => return Err(unsupported("pre_tokenizer Metaspace", other)),
    };
    let mark = literal("pre_tokenizer Metaspace", &step["replacement"])?;
    Ok(Step::Metaspace { mark, prepend, split: step["split"].as_bool().unwrap_or(true) })
}

/// How tokens spell text; without a decoder as the words were spelled.
pub(crate) fn parse_decoder(value: &Value, by_bytes: bool) -> Result<Spelling, Error> {
    let part = "decoder";
    let mut strip_first_space = false;
    for step in flatten(part, value, "decoders")? {
        match kind_of(step) {
            "ByteLevel" if by_bytes => {}
            "ByteFallback" | "Fuse" if !by_bytes => {}
            "Replace" if !by_bytes && step["pattern"]["String"] == "▁" && step["content"] == " " => {}
            "Metaspace" if !by_bytes => {
                strip_first_space = !matches!(parse_metaspace(step)?, Step::Metaspace { prepend: Prepend::Never, .. });
            }
            "Strip" if !by_bytes && step["content"] == " " && step["start"] == 1 && step["stop"] == 0 => {
                strip_first_space = true;
            }
            other => return Err(unsupported(part, other)),
        }
    }
    Ok(if by_bytes { Spelling::ByteLevel } else { Spelling::SentencePiece { strip_first_space } })
}

/// What the post-processor puts around one text; None if it says nothing of it.
pub(crate) fn parse_ends(value: &Value, table: &TokenTable) -> Result<Option<Ends>, Error> {
    let part = "post_processor";
    let mut ends = None;
    for step in flatten(part, value, "processors")? {
        match kind_of(step) {
            "ByteLevel" => {}
            "TemplateProcessing" => ends = Some(parse_template(step, table)?),
            other => return Err(unsupported(part, other)),
        }
    }
    Ok(ends)
}

fn parse_template(step: &Value, table: &TokenTable) -> Result<Ends, Error> {
    let part = "post_processor TemplateProcessing";
    let mut ends = Ends::default();
    let mut after = false;
    for piece in step["single"].as_array().ok_or_else(|| unsupported(part, step))? {
        if piece["Sequence"]["id"] == "A" {
            after = true;
            continue;
        }
        let name = piece["SpecialToken"]["id"].as_str().ok_or_else(|| unsupported(part, piece))?;
        let ids = step["special_tokens"][name]["ids"].as_array().ok_or_else(|| unsupported(part, name))?;
        for id in ids {
            let id = id.as_u64().filter(|&id| id < table.len() as u64).ok_or_else(|| unsupported(part, name))?;
            if after { ends.suffix.push(id as u32) } else { ends.prefix.push(id as u32) }
        }
    }
    Ok(ends)
}
