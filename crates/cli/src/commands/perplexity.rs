//! `lockstep eval perplexity FILE`: how well the model predicts a text.
//!
//! The text's tokens are cut into windows of `--window` tokens, of which the first is the model's BOS where it has one
//! (windows do not overlap; what is left at the end is not scored). Each token of a window's second half is predicted
//! from all tokens of the window before it. Perplexity is `exp` of the mean negative logarithm of the probabilities,
//! computed in f64 from the f32 logits.

use crate::args::PerplexityArguments;
use crate::output;
use crate::session::{Bare, open_bare};
use anyhow::{Context, Result, bail};
use lockstep_engine::{Backend, SequenceId, StepItem};
use lockstep_text::EncodeOptions;
use serde_json::json;

/// Tokens of a step whose logits are wanted: bounds the memory that logits take.
const SCORED_CHUNK: usize = 64;

/// Measures and prints.
pub fn perplexity(arguments: &PerplexityArguments) -> Result<()> {
    let shown = arguments.file.display();
    let text = std::fs::read(&arguments.file).with_context(|| format!("{shown}: cannot be read: check the path"))?;
    let text = String::from_utf8(text).ok().with_context(|| format!("{shown}: not UTF-8: give a text"))?;
    let mut bare = open_bare(&arguments.model, SCORED_CHUNK)?;
    let window = arguments.window as usize;
    if window > bare.setting.context {
        bail!("--window {window} is above the context of {}: lower it", bare.setting.context);
    }
    let tokens = bare.outline.tokenizer.encode(&text, EncodeOptions { add_special: false, parse_special: false });
    let windows = windows(&tokens, bare.outline.tokenizer.bos(), window);
    if windows.is_empty() {
        bail!("{shown}: {} tokens, one window needs {window}: give a longer text or lower --window", tokens.len());
    }
    let bar = output::count_bar("windows", windows.len() as u64);
    let (mut sum, mut scored) = (0.0, 0);
    for window in &windows {
        let chunk = arguments.model.prefill_chunk as usize;
        sum += score(&mut bare, window, chunk).with_context(|| format!("{shown}"))?;
        scored += window.len() - window.len() / 2;
        bar.inc(1);
    }
    bar.finish_and_clear();
    let perplexity = libm::exp(sum / scored as f64);
    if arguments.json {
        output::print_json(&json!({
            "perplexity": perplexity,
            "mean_negative_log_likelihood": sum / scored as f64,
            "tokens": tokens.len(),
            "scored": scored,
            "windows": windows.len(),
            "window": window,
            "system_fingerprint": bare.outline.fingerprint,
        }))?;
    } else {
        let count = windows.len();
        output::print(&format!("perplexity {perplexity:.4} over {scored} tokens in {count} windows of {window}\n"))?;
    }
    Ok(())
}

/// Whole windows of `window` tokens, each with `bos` in front where there is one.
fn windows(tokens: &[u32], bos: Option<u32>, window: usize) -> Vec<Vec<u32>> {
    let fresh = window - usize::from(bos.is_some());
    let cut = tokens.chunks_exact(fresh);
    cut.map(|part| bos.into_iter().chain(part.iter().copied()).collect()).collect()
}

/// Negative natural logarithms of the probabilities of a window's second half, summed.
fn score(bare: &mut Bare, window: &[u32], chunk: usize) -> Result<f64> {
    let sequence = bare.backend.create_sequence(window.len())?;
    let result = score_in(bare, sequence, window, chunk);
    bare.backend.release_sequence(sequence);
    result
}

fn score_in(bare: &mut Bare, sequence: SequenceId, window: &[u32], chunk: usize) -> Result<f64> {
    // The logits at a position predict the next one.
    let first = window.len() / 2 - 1;
    let (before, from) = window.split_at(first);
    for tokens in before.chunks(chunk) {
        bare.backend.step(&[StepItem { sequence, tokens, logits: 0 }])?;
    }
    let mut sum = 0.0;
    let mut at = first;
    // The last token predicts nothing that is scored.
    for tokens in from[..from.len() - 1].chunks(chunk.min(SCORED_CHUNK)) {
        let output = bare.backend.step(&[StepItem { sequence, tokens, logits: tokens.len() }])?;
        for row in 0..tokens.len() {
            let logits = output.logits(0, row).map_err(anyhow::Error::msg)?;
            at += 1;
            sum += negative_log_likelihood(logits, window[at]).context("a token outside the vocabulary")?;
        }
    }
    Ok(sum)
}

/// `ln(sum of exp(l)) - l[token]`, relative to the largest logit; none where there is no such token.
fn negative_log_likelihood(logits: &[f32], token: u32) -> Option<f64> {
    let chosen = f64::from(*logits.get(token as usize)?);
    let largest = f64::from(logits.iter().copied().fold(f32::NEG_INFINITY, f32::max));
    let sum: f64 = logits.iter().map(|&logit| libm::exp(f64::from(logit) - largest)).sum();
    Some(libm::log(sum) + largest - chosen)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn windows_start_with_bos_and_the_rest_is_dropped() {
        let tokens: Vec<u32> = (10..20).collect();
        assert_eq!(windows(&tokens, Some(1), 4), [[1, 10, 11, 12], [1, 13, 14, 15], [1, 16, 17, 18]]);
        assert_eq!(windows(&tokens, None, 4), [[10, 11, 12, 13], [14, 15, 16, 17]]);
        assert!(windows(&tokens, None, 11).is_empty());
    }

    #[test]
    fn equal_logits_give_the_logarithm_of_their_number() {
        let loss = negative_log_likelihood(&[3.0; 8], 5).unwrap();
        assert!((loss - 8f64.ln()).abs() < 1e-15);
        // Logits that would overflow exp alone.
        assert_eq!(negative_log_likelihood(&[0.0, 1000.0], 1).unwrap(), 0.0);
        assert_eq!(negative_log_likelihood(&[0.0, 1000.0], 0).unwrap(), 1000.0);
        assert_eq!(negative_log_likelihood(&[0.0], 1), None);
    }
}
