//! `lockstep run` at a terminal: a conversation.

use crate::args::RunArguments;
use crate::commands::chip;
use crate::commands::prompt::Prompter;
use crate::commands::run::{answer, system};
use crate::session::Session;
use crate::statistics::Statistics;
use crate::{interrupt, output};
use anyhow::{Context, Result};
use lockstep_text::Message;
use rustyline::DefaultEditor;
use rustyline::error::ReadlineError;
use std::process::ExitCode;

const HELP: &str = "\
/new    start a new conversation
/help   this list
/quit   leave, as Ctrl-D does
Ctrl-C  ends an answer";

/// Reads a line, answers it, and so on until the end of input.
pub fn chat(session: &mut Session, prompter: &Prompter, arguments: &RunArguments) -> Result<ExitCode> {
    let mut editor = DefaultEditor::new().context("the terminal cannot be used: give a prompt instead")?;
    // After the editor, which takes Ctrl-C for itself when it is made.
    interrupt::watch();
    let name = session.outline.config.name.as_deref().unwrap_or(session.outline.config.family);
    output::note(&format!("{} ({} tokens of context); /help lists commands", one_line(name), session.setting.context));
    let mut messages = system(arguments);
    loop {
        let line = match editor.readline("> ") {
            Ok(line) => line,
            Err(ReadlineError::Interrupted | ReadlineError::Signal(_)) => continue,
            Err(ReadlineError::Eof) => return Ok(ExitCode::SUCCESS),
            Err(error) => return Err(error).context("the terminal cannot be read"),
        };
        match line.trim() {
            "" => {}
            "/quit" | "/exit" => return Ok(ExitCode::SUCCESS),
            "/help" => output::note(HELP),
            "/new" => messages = system(arguments),
            text => {
                // A full history is no reason to end the chat.
                let _ = editor.add_history_entry(text);
                turn(session, prompter, arguments, &mut messages, text)?;
            }
        }
    }
}

/// One question and its answer. What goes wrong with it is said, and the conversation goes on.
fn turn(
    session: &mut Session,
    prompter: &Prompter,
    arguments: &RunArguments,
    messages: &mut Vec<Message>,
    text: &str,
) -> Result<()> {
    messages.push(Message::new("user", text));
    interrupt::clear();
    let runs_before = session.engine.backend().simulated().map_or(0, |chip| chip.runs().len());
    let tokens = prompter.tokens(session, messages);
    let answered = tokens.and_then(|tokens| {
        let count = tokens.len();
        Ok((count, answer(session, arguments, tokens, true)?))
    });
    match answered {
        Ok((prompt_tokens, answer)) => {
            output::print("\n")?;
            output::note(&Statistics::of(&answer.usage).line(prompt_tokens, answer.usage.completion_tokens));
            for line in chip::lines(session, arguments, runs_before) {
                output::note(&line);
            }
            messages.push(Message::new("assistant", &answer.text));
        }
        Err(error) => {
            messages.pop();
            output::note(&format!("error: {error:#} (/new starts a new conversation)"));
        }
    }
    Ok(())
}

/// A name from a file, made fit for a terminal.
fn one_line(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(80).collect()
}
