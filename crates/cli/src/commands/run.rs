//! `lockstep run`: one answer, streamed as it comes.

use crate::args::{RunArguments, Switch};
use crate::commands::chat;
use crate::commands::chip::{self, SameAnswer};
use crate::commands::prompt::Prompter;
use crate::session::{Answer, Session, open_on};
use crate::statistics::Statistics;
use crate::{interrupt, output};
use anyhow::{Context, Result, bail};
use lockstep_engine::{FinishReason, Request};
use lockstep_text::Message;
use serde_json::json;
use std::io::{IsTerminal, Read};
use std::process::ExitCode;

/// A piped prompt longer than this fits no context.
const PIPE_BYTES_MAX: u64 = 64 << 20;

/// Answers a prompt, or starts a chat where there is none and a terminal.
pub fn run(arguments: &RunArguments) -> Result<ExitCode> {
    let prompt = match &arguments.prompt {
        Some(text) if text != "-" => Some(text.clone()),
        given if given.is_some() || !std::io::stdin().is_terminal() => Some(piped()?),
        _ => None,
    };
    if prompt.is_none() && arguments.json {
        bail!("--json needs a prompt: give one, or pipe it in");
    }
    let mut session = open_on(&arguments.on, arguments.sampling.seed, &arguments.model, arguments.raw)?;
    let prompter = Prompter::new(&session, arguments.raw).with_context(|| arguments.model.model.clone())?;
    if prompter.is_raw() && !arguments.raw {
        output::note("this model has no chat template: the text is continued as it is");
    }
    match prompt {
        None => chat::chat(&mut session, &prompter, arguments),
        Some(prompt) => once(&mut session, &prompter, arguments, &prompt),
    }
}

fn piped() -> Result<String> {
    let mut text = String::new();
    let read = std::io::stdin().take(PIPE_BYTES_MAX).read_to_string(&mut text);
    read.context("standard input: not UTF-8 text: pipe text in")?;
    // The line end that shells and editors append is not part of what is meant.
    Ok(text.strip_suffix('\n').map(str::to_owned).unwrap_or(text))
}

fn once(session: &mut Session, prompter: &Prompter, arguments: &RunArguments, prompt: &str) -> Result<ExitCode> {
    let mut messages = system(arguments);
    messages.push(Message::new("user", prompt));
    let tokens = prompter.tokens(session, &messages)?;
    let prompt_tokens = tokens.len();
    interrupt::watch();
    let answer = answer(session, arguments, tokens, !arguments.json)?;
    let statistics = Statistics::of(&answer.usage);
    let interrupted = answer.reason == FinishReason::Cancelled;
    if !arguments.json {
        output::print("\n")?;
        output::note(&statistics.line(prompt_tokens, answer.usage.completion_tokens));
    }
    // Who has ended the answer does not want to wait for more.
    let compiled = if interrupted { None } else { chip::same_answer(session, &answer.usage) };
    if arguments.json {
        print_json(session, arguments, &answer, &statistics, compiled.as_ref())?;
    } else {
        let lines = chip::lines(session, arguments, 0);
        for line in lines.into_iter().chain(compiled.map(|compiled| compiled.line())) {
            output::note(&line);
        }
    }
    Ok(if interrupted { ExitCode::from(interrupt::EXIT_CODE) } else { ExitCode::SUCCESS })
}

/// The system message, where one is given.
pub fn system(arguments: &RunArguments) -> Vec<Message> {
    arguments.system.iter().map(|text| Message::new("system", text)).collect()
}

/// One answer; its text goes to standard output as it comes if `stream`.
pub fn answer(session: &mut Session, arguments: &RunArguments, prompt: Vec<u32>, stream: bool) -> Result<Answer> {
    let request = Request {
        sampling: arguments.sampling.params(),
        stop: arguments.stop.clone(),
        seed: arguments.sampling.seed,
        speculate: arguments.speculate == Switch::On,
        ..Request::new(prompt, arguments.max_tokens as usize)
    };
    let request = session.engine.submit(request)?;
    session.finish(request, |piece| {
        if stream && !piece.is_empty() {
            output::print_answer(piece)?;
        }
        Ok(true)
    })
}

fn print_json(
    session: &Session,
    arguments: &RunArguments,
    answer: &Answer,
    statistics: &Statistics,
    compiled: Option<&SameAnswer>,
) -> Result<()> {
    let mut value = json!({
        "text": answer.text,
        "token_ids": answer.token_ids,
        "prompt_tokens": answer.usage.prompt_tokens,
        "completion_tokens": answer.usage.completion_tokens,
        "finish_reason": reason(&answer.reason),
        "seed": arguments.sampling.seed,
        "system_fingerprint": session.outline.fingerprint,
        "proposed_tokens": answer.usage.proposed_tokens,
        "accepted_tokens": answer.usage.accepted_tokens,
    });
    if let (Some(object), Some(numbers)) = (value.as_object_mut(), statistics.json().as_object()) {
        object.extend(numbers.clone());
        object.extend(chip::json(session, arguments));
        object.extend(compiled.map(|compiled| ("compiled".to_owned(), compiled.json())));
    }
    output::print_json(&value)?;
    Ok(())
}

fn reason(reason: &FinishReason) -> &'static str {
    match reason {
        FinishReason::Stop | FinishReason::StopString => "stop",
        FinishReason::Length => "length",
        FinishReason::Cancelled => "cancelled",
        FinishReason::Deadline => "deadline",
        FinishReason::Fault(_) => "fault",
    }
}
