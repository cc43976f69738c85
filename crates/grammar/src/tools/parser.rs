use super::ToolFormat;
use super::call::{CallReader, Known};
use super::format::{ARGS, CLOSE, OPEN, PYTHON_TAG, TOOL_CALLS};
use super::offer::is_name;
use super::piece::{Output, Piece};

/// Finds the calls in an answer's text while it is generated.
///
/// How the text is cut changes nothing but the lengths of the pieces. What looked like a call and is none becomes
/// content, with its mark. White space around calls is no content.
#[derive(Clone, Debug)]
pub struct ToolParser {
    format: ToolFormat,
    state: State,
    /// Text that may yet belong to a mark.
    held: String,
    /// A mark and what followed it, until its call has a name.
    since_mark: String,
    /// Functions that a call may name; any where empty.
    names: Vec<String>,
    /// Whether an answer that does not begin with a call has none.
    from_beginning: bool,
    output: Output,
}

#[derive(Clone, Debug)]
enum State {
    /// At the beginning of the answer.
    Begin,
    Text,
    /// In an answer that has no calls.
    Content,
    /// Behind a mark.
    Before,
    /// In the name of a call of Mistral's newer format.
    Name(String),
    Call(CallReader),
    /// Behind a call.
    After,
}

/// Whether a character was used up, or must be read again in another state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Taken,
    Again,
}

impl ToolParser {
    /// A parser at the beginning of an answer.
    pub fn new(format: ToolFormat) -> Self {
        Self {
            format,
            state: if format == ToolFormat::Llama { State::Begin } else { State::Text },
            held: String::new(),
            since_mark: String::new(),
            names: Vec::new(),
            from_beginning: false,
            output: Output::default(),
        }
    }

    /// Takes only what names one of these functions for a call.
    #[must_use]
    pub fn with_names<'a>(mut self, names: impl IntoIterator<Item = &'a str>) -> Self {
        self.names = names.into_iter().map(str::to_owned).collect();
        self
    }

    /// Looks for calls only in an answer that begins with one: another one is of a form in which marks mean nothing.
    #[must_use]
    pub fn from_the_beginning(self) -> Self {
        Self { from_beginning: true, ..self }
    }

    /// Calls that have begun.
    pub fn calls(&self) -> usize {
        self.output.calls()
    }

    /// What has become certain with more text.
    pub fn push(&mut self, text: &str) -> Vec<Piece> {
        self.read(text);
        self.output.take()
    }

    /// The answer has ended: what was held back is content, unless it is part of a call.
    pub fn finish(&mut self) -> Vec<Piece> {
        let held = std::mem::take(&mut self.held);
        match std::mem::replace(&mut self.state, State::Text) {
            State::Call(call) if call.is_named() => {}
            State::After if self.closing().iter().any(|mark| mark.starts_with(held.trim_start())) => {}
            _ => {
                let text = std::mem::take(&mut self.since_mark) + &held;
                self.output.content(&text);
            }
        }
        self.output.finish()
    }

    fn read(&mut self, text: &str) {
        for next in text.chars() {
            while self.step(next) == Step::Again {}
        }
    }

    fn step(&mut self, next: char) -> Step {
        match self.state {
            State::Begin => self.begin(next),
            State::Text => self.text(next),
            State::Content => self.content(next),
            State::Before => self.before(next),
            State::Name(_) => self.name(next),
            State::Call(_) => self.call(next),
            State::After => self.after(next),
        }
    }

    /// Llama's calls are known by the answer's first characters.
    fn begin(&mut self, next: char) -> Step {
        let seen = self.since_mark.trim_start();
        let tagged = seen.starts_with(PYTHON_TAG);
        if next == '{' && (seen.is_empty() || tagged) {
            self.state = State::Call(CallReader::new());
            return Step::Again;
        }
        let in_tag = !tagged && PYTHON_TAG[seen.len().min(PYTHON_TAG.len())..].starts_with(next);
        if in_tag || (next.is_whitespace() && (seen.is_empty() || tagged)) {
            self.since_mark.push(next);
            return Step::Taken;
        }
        self.take_back()
    }

    fn text(&mut self, next: char) -> Step {
        let mark = match self.format {
            ToolFormat::Hermes | ToolFormat::Generic => OPEN,
            ToolFormat::Mistral | ToolFormat::MistralArgs => TOOL_CALLS,
            ToolFormat::Llama => return self.content(next),
        };
        if mark[self.held.len()..].starts_with(next) {
            self.held.push(next);
            if self.held == mark {
                self.since_mark = std::mem::take(&mut self.held);
                let named = self.format == ToolFormat::MistralArgs;
                self.state = if named { State::Name(String::new()) } else { State::Before };
            }
            return Step::Taken;
        }
        // No mark has its first character twice, so another one can begin here only.
        let held = std::mem::take(&mut self.held);
        self.output.content(&held);
        if self.from_beginning && self.calls() == 0 {
            self.state = State::Content;
            return Step::Again;
        }
        if mark.starts_with(next) {
            self.held.push(next);
            return Step::Taken;
        }
        self.content(next)
    }

    fn content(&mut self, next: char) -> Step {
        self.output.content(next.encode_utf8(&mut [0; 4]));
        Step::Taken
    }

    fn before(&mut self, next: char) -> Step {
        let lists = self.format == ToolFormat::Mistral && self.since_mark.trim_end() == TOOL_CALLS;
        if next == '{' {
            self.state = State::Call(CallReader::new());
            return Step::Again;
        }
        if next.is_whitespace() || (next == '[' && lists) {
            self.since_mark.push(next);
            return Step::Taken;
        }
        self.take_back()
    }

    fn name(&mut self, next: char) -> Step {
        let State::Name(name) = &mut self.state else { return Step::Taken };
        name.push(next);
        let Some(before) = name.strip_suffix(ARGS) else {
            if name.len() > NAME_BYTES_MAX {
                name.pop();
                return self.take_back();
            }
            self.since_mark.push(next);
            return Step::Taken;
        };
        // Some models write the call's id between name and arguments.
        let name = before.split("[CALL_ID]").next().unwrap_or_default().trim().to_owned();
        if !self.is_known(&name) {
            return self.take_back();
        }
        self.state = State::Call(CallReader::of_arguments(&name));
        self.start(name);
        Step::Taken
    }

    fn call(&mut self, next: char) -> Step {
        let State::Call(call) = &mut self.state else { return Step::Taken };
        let was_named = call.is_named();
        let mut known = Vec::new();
        let pushed = call.push(next, &mut known);
        let complete = self.format == ToolFormat::MistralArgs && call.has_arguments();
        if complete || (pushed.is_err() && was_named) {
            // A call that breaks off stands as far as it was read.
            self.state = State::After;
        } else if pushed.is_err() {
            return self.take_back();
        }
        if !was_named {
            self.since_mark.push(next);
        }
        for known in known {
            match known {
                Known::Name(name) if self.is_known(&name) => self.start(name),
                Known::Name(_) => {
                    self.since_mark.pop();
                    return self.take_back();
                }
                Known::Arguments(text) => self.output.arguments(&text),
                Known::End => self.state = State::After,
            }
        }
        if pushed.is_err() { Step::Again } else { Step::Taken }
    }

    /// What is behind a call: its closing mark, the next call, or text.
    fn after(&mut self, next: char) -> Step {
        self.held.push(next);
        let seen = self.held.trim_start();
        let again = match self.format {
            ToolFormat::Llama => ";",
            ToolFormat::Mistral => ",",
            ToolFormat::Hermes | ToolFormat::Generic | ToolFormat::MistralArgs => "",
        };
        if self.closing().contains(&seen) {
            self.held.clear();
            self.state = State::Text;
        } else if !seen.is_empty() && seen == again {
            self.since_mark = std::mem::take(&mut self.held);
            self.state = State::Before;
        } else if !seen.is_empty() && !self.closing().iter().any(|mark| mark.starts_with(seen)) {
            let held = std::mem::take(&mut self.held);
            self.state = State::Text;
            self.read(&held);
        }
        Step::Taken
    }

    /// Marks that close a call.
    fn closing(&self) -> &'static [&'static str] {
        match self.format {
            ToolFormat::Hermes | ToolFormat::Generic => &[CLOSE],
            ToolFormat::Mistral => &["]"],
            ToolFormat::Llama | ToolFormat::MistralArgs => &[],
        }
    }

    /// What was read since the mark is content after all; the character that showed it is read again.
    fn take_back(&mut self) -> Step {
        self.state = State::Text;
        let text = std::mem::take(&mut self.since_mark);
        self.output.content(&text);
        Step::Again
    }

    fn is_known(&self, name: &str) -> bool {
        if self.names.is_empty() { is_name(name) } else { self.names.iter().any(|known| known == name) }
    }

    fn start(&mut self, name: String) {
        self.since_mark.clear();
        self.output.start(name);
    }
}

/// Bytes between the mark of a call and its arguments.
const NAME_BYTES_MAX: usize = 200;
