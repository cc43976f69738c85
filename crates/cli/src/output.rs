//! Standard output and standard error: one-line errors, a quiet end where the reader has gone, progress bars.

use anyhow::{Context, Result};
use indicatif::{ProgressBar, ProgressStyle};
use lockstep_engine::SubmitError;
use std::fmt::Write as _;
use std::io::{ErrorKind, IsTerminal, Write};
use std::path::Path;
use std::process::ExitCode;

/// Prints a failure as one line with all its causes, and returns the exit code: 2 for a parameter out of its range, as
/// for one that clap refuses.
pub fn report(error: &anyhow::Error) -> ExitCode {
    let io = error.chain().find_map(|cause| cause.downcast_ref::<std::io::Error>());
    if io.is_some_and(|error| error.kind() == ErrorKind::BrokenPipe) {
        // The reader of our output has gone, as `head` does: not a mistake.
        return ExitCode::SUCCESS;
    }
    let line = format!("{error:#}").split_whitespace().collect::<Vec<_>>().join(" ");
    // Nothing is left to do if standard error is closed too.
    let _ = writeln!(std::io::stderr(), "error: {line}");
    match error.downcast_ref::<SubmitError>() {
        Some(SubmitError::Parameter { .. }) => ExitCode::from(2),
        _ => ExitCode::FAILURE,
    }
}

/// A warning on standard error.
pub fn note(text: &str) {
    let _ = writeln!(std::io::stderr(), "{text}");
}

/// Writes text at once.
pub fn print(text: &str) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    out.write_all(text.as_bytes())?;
    out.flush()
}

/// Writes a model's text at once. A terminal gets no control characters but line ends and tabs: a model must not move
/// the cursor or set the title.
pub fn print_answer(text: &str) -> std::io::Result<()> {
    if std::io::stdout().is_terminal() { print(&harmless(text)) } else { print(text) }
}

fn harmless(text: &str) -> String {
    text.chars().filter(|c| !c.is_control() || matches!(c, '\n' | '\t')).collect()
}

/// Prints a JSON value as one line.
pub fn print_json(value: &serde_json::Value) -> std::io::Result<()> {
    print(&format!("{value}\n"))
}

/// Bytes in hexadecimal.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// Writes a file whole or not at all: to a temporary file beside it, then renamed. What is no file, such as `/dev/null`
/// or a pipe, is written to, not replaced; so is what a link leads to.
pub fn write_file(path: &Path, bytes: &[u8]) -> Result<()> {
    let shown = path.display();
    let failed = || format!("{shown}: cannot be written: check the folder and the free space");
    if std::fs::metadata(path).is_ok_and(|found| !found.is_file()) {
        return std::fs::write(path, bytes).with_context(failed);
    }
    let path = &std::fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let name = path.file_name().with_context(|| format!("{shown}: not a file's name"))?;
    let temporary = path.with_file_name(format!(".{}.{}.part", name.to_string_lossy(), std::process::id()));
    let written = std::fs::write(&temporary, bytes).and_then(|()| std::fs::rename(&temporary, path));
    if written.is_err() {
        let _ = std::fs::remove_file(&temporary);
    }
    written.with_context(failed)
}

/// A bar that counts bytes; invisible where standard error is no terminal.
pub fn byte_bar(what: &str, total: Option<u64>) -> ProgressBar {
    let template = match total {
        Some(_) => "{msg} [{bar:30}] {binary_bytes}/{binary_total_bytes} {binary_bytes_per_sec} {eta}",
        None => "{msg} {spinner} {binary_bytes} {binary_bytes_per_sec}",
    };
    bar(what, total, template)
}

/// A bar that counts things.
pub fn count_bar(what: &str, total: u64) -> ProgressBar {
    bar(what, Some(total), "{msg} [{bar:30}] {pos}/{len} {eta}")
}

/// Says what is being done; invisible where standard error is no terminal.
pub fn spinner(what: &'static str) -> ProgressBar {
    let bar = bar(what, None, "{spinner} {msg}");
    bar.enable_steady_tick(std::time::Duration::from_millis(100));
    bar
}

fn bar(what: &str, total: Option<u64>, template: &str) -> ProgressBar {
    let bar = total.map_or_else(ProgressBar::new_spinner, ProgressBar::new);
    let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
    bar.set_style(style.progress_chars("=> "));
    bar.set_message(what.to_owned());
    bar
}

/// Bytes in the unit that reads best.
pub fn bytes(count: u64) -> String {
    const UNITS: [&str; 4] = ["kB", "MB", "GB", "TB"];
    if count < 1000 {
        return format!("{count} B");
    }
    let mut value = count as f64 / 1000.0;
    let mut unit = 0;
    while value >= 999.95 && unit + 1 < UNITS.len() {
        value /= 1000.0;
        unit += 1;
    }
    format!("{value:.1} {}", UNITS[unit])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_terminal_is_not_controlled() {
        assert_eq!(harmless("a\x1b[2J\u{9b}1m\tb\r\n"), "a[2J1m\tb\n");
    }

    #[test]
    fn bytes_in_the_unit_that_reads_best() {
        let cases = [(0, "0 B"), (999, "999 B"), (1000, "1.0 kB"), (98_362_432, "98.4 MB"), (999_999_999, "1.0 GB")];
        for (count, text) in cases {
            assert_eq!(bytes(count), text);
        }
    }
}
