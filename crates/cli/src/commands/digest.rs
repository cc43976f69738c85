//! `lockstep digest`: one line by which two runs are compared.

use crate::args::{DigestArguments, Switch};
use crate::commands::prompt::raw_tokens;
use crate::output;
use crate::session::{Session, open_on};
use anyhow::{Context, Result};
use lockstep_engine::{Attached, LogitsDigest, Request, SamplingParams};
use std::sync::{Arc, Mutex, PoisonError};

/// Prints the hash of the logits of every position of the prompt and of its greedy continuation, or of the latter alone.
pub fn digest(arguments: &DigestArguments) -> Result<()> {
    let mut session = open_on(&arguments.on, arguments.seed, &arguments.model, true)?;
    let prompt = raw_tokens(&session, &arguments.prompt);
    let digest = Arc::new(Mutex::new(LogitsDigest::new()));
    let others = arguments.batch - 1;
    // Half of the others arrive before the request and half after it, so that its steps are cut differently.
    for index in 0..others / 2 {
        session.engine.submit(companion(&session, index, arguments)).context("a request of the batch")?;
    }
    let request = Request {
        ignore_eos: true,
        all_logits: !arguments.answer,
        speculate: arguments.speculate == Switch::On,
        ..Request::new(prompt, arguments.generate as usize)
    };
    let attached = Attached { observer: Some(Box::new(Arc::clone(&digest))), ..Attached::default() };
    let request = session.engine.submit_with(request, attached)?;
    for index in others / 2..others {
        session.engine.submit(companion(&session, index, arguments)).context("a request of the batch")?;
    }
    session.finish(request, |_| Ok(true))?;
    let digest = digest.lock().unwrap_or_else(PoisonError::into_inner);
    output::print(&format!("{}\n", digest.hex()))?;
    Ok(())
}

/// Another request to run beside: its own prompt, length, seed and way of drawing.
fn companion(session: &Session, index: u32, arguments: &DigestArguments) -> Request {
    let vocabulary = session.outline.config.vocab_size as u32;
    let length = 1 + (index * 37) % 90;
    let length = length.min(session.setting.context as u32 / 2).max(1);
    let prompt = (0..length).map(|at| (at * 7919 + index * 104_729 + 11) % vocabulary).collect();
    let temperature = if index.is_multiple_of(2) { 1.0 } else { 0.0 };
    Request {
        sampling: SamplingParams { temperature, ..SamplingParams::default() },
        seed: u64::from(index),
        ignore_eos: true,
        speculate: arguments.speculate == Switch::On,
        ..Request::new(prompt, arguments.generate as usize + 8)
    }
}
