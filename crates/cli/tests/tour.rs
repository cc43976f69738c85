//! Runs pages of `docs`: each of their commands prints what the page says it prints.
//!
//! A block of kind `console` has commands after `$ ` and, below each, its output. A line of output that ends with `...`
//! stands for every line that begins like it: speeds differ. With `LOCKSTEP_BLESS` set the page is written anew.
#![cfg(unix)]
#![allow(missing_docs, clippy::unwrap_used)]

mod common;

use common::Folder;
use std::fmt::Write as _;
use std::path::Path;
use std::process::Stdio;

enum Piece {
    Line(String),
    /// The lines of a command, of which all but the last end with a backslash, and those of its output.
    Step(Vec<String>, Vec<String>),
}

/// The page, with its commands found.
fn pieces(page: &str) -> Vec<Piece> {
    let (mut pieces, mut console) = (Vec::new(), false);
    for line in page.lines() {
        if line.starts_with("```") {
            console = line == "```console";
            pieces.push(Piece::Line(line.to_owned()));
            continue;
        }
        match pieces.last_mut() {
            _ if !console => pieces.push(Piece::Line(line.to_owned())),
            _ if line.starts_with("$ ") => pieces.push(Piece::Step(vec![line.to_owned()], Vec::new())),
            Some(Piece::Step(command, output)) => {
                let goes_on = output.is_empty() && command.last().is_some_and(|line| line.ends_with('\\'));
                if goes_on { command } else { output }.push(line.to_owned());
            }
            _ => panic!("a console block begins with a command, not with {line:?}"),
        }
    }
    pieces
}

/// Both outputs of a command, as a terminal shows them.
fn run(folder: &Folder, command: &[String]) -> Vec<String> {
    let script = command.join("\n");
    let binary = Path::new(env!("CARGO_BIN_EXE_lockstep")).parent().unwrap();
    let path = format!("{}:{}", binary.display(), std::env::var("PATH").unwrap());
    let mut shell = std::process::Command::new("sh");
    shell.arg("-c").arg(format!("exec 2>&1\n{}", &script[2..])).current_dir(folder.path()).env("PATH", path);
    let output = shell.stdin(Stdio::null()).output().unwrap();
    String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect()
}

fn is_like(output: &str, expected: &str) -> bool {
    match expected.strip_suffix("...") {
        Some(beginning) => output.starts_with(beginning),
        None => output == expected,
    }
}

#[test]
fn every_command_of_the_tour_prints_what_the_page_says() {
    check("machine-tour.md", 20);
}

#[test]
fn every_command_about_the_network_prints_what_the_page_says() {
    check("network.md", 5);
}

#[test]
fn every_command_about_reliability_prints_what_the_page_says() {
    check("reliability.md", 3);
}

/// Runs all commands of a page, more than so many.
fn check(name: &str, least: usize) {
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs").canonicalize().unwrap();
    let folder = Folder::new(name);
    for used in ["docs", "filetests"] {
        std::os::unix::fs::symlink(docs.join("..").join(used), folder.join(used)).unwrap();
    }
    let page = std::fs::read_to_string(docs.join(name)).unwrap();
    let (mut steps, mut wrong, mut anew) = (0, Vec::new(), String::new());
    for piece in pieces(&page) {
        let (command, expected) = match piece {
            Piece::Line(line) => {
                writeln!(anew, "{line}").unwrap();
                continue;
            }
            Piece::Step(command, expected) => (command, expected),
        };
        steps += 1;
        let output = run(&folder, &command);
        let like = |(at, line): (usize, &String)| expected.get(at).filter(|expected| is_like(line, expected)).cloned();
        let agreed: Vec<_> = output.iter().enumerate().map(like).collect();
        if agreed.contains(&None) || output.len() != expected.len() {
            wrong.push(format!("{}\n{}", command.join("\n"), output.join("\n")));
        }
        for line in command.iter().chain(agreed.iter().zip(&output).map(|(agreed, is)| agreed.as_ref().unwrap_or(is))) {
            writeln!(anew, "{line}").unwrap();
        }
    }
    if std::env::var_os("LOCKSTEP_BLESS").is_some() {
        std::fs::write(docs.join(name), anew).unwrap();
        return;
    }
    assert!(wrong.is_empty(), "{name} says otherwise; LOCKSTEP_BLESS=1 writes it anew:\n{}", wrong.join("\n\n"));
    assert!(steps > least, "{steps} commands: {name} has more");
}
