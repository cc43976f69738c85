//! One call as JSON, read character by character.

/// What has become known of a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Known {
    /// Its function.
    Name(String),
    /// More of its arguments, as they were written.
    Arguments(String),
    /// It is complete.
    End,
}

/// The text cannot be a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Malformed;

/// Where the reader stands between the parts of the outer object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum At {
    Begin,
    Key,
    Colon,
    Value,
    AfterValue,
    End,
}

/// Reads `{"name": ..., "arguments": {...}}`; other keys are skipped, `parameters` is another word for `arguments`.
#[derive(Clone, Debug)]
pub(crate) struct CallReader {
    at: At,
    /// A string or value that has begun.
    part: Option<Part>,
    key: String,
    name: Option<String>,
    /// Arguments that came before the name, or that must be read as a whole.
    held: String,
    has_arguments: bool,
}

/// A JSON value as far as it was read.
#[derive(Clone, Debug, Default)]
struct Part {
    text: String,
    depth: usize,
    in_string: bool,
    escaped: bool,
    /// Bytes of `text` that were given out.
    given: usize,
}

impl Part {
    fn new(first: char) -> Self {
        let opens = usize::from(first == '{' || first == '[');
        Self { text: first.to_string(), depth: opens, in_string: first == '"', ..Self::default() }
    }

    /// Whether the value was complete before `next`, or is so with it; the latter takes it.
    fn push(&mut self, next: char) -> Growth {
        if self.in_string {
            self.text.push(next);
            match next {
                _ if self.escaped => self.escaped = false,
                '\\' => self.escaped = true,
                '"' => self.in_string = false,
                _ => {}
            }
            let done = !self.in_string && self.depth == 0;
            return if done { Growth::Done } else { Growth::More };
        }
        if self.depth == 0 && matches!(next, ',' | '}' | ']' | ' ' | '\n' | '\r' | '\t') {
            return Growth::DoneBefore;
        }
        self.text.push(next);
        match next {
            '"' => self.in_string = true,
            '{' | '[' => self.depth += 1,
            '}' | ']' if self.depth <= 1 => return Growth::Done,
            '}' | ']' => self.depth -= 1,
            _ => {}
        }
        Growth::More
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Growth {
    More,
    Done,
    DoneBefore,
}

impl CallReader {
    /// A reader before the outer brace.
    pub(crate) fn new() -> Self {
        Self { at: At::Begin, part: None, key: String::new(), name: None, held: String::new(), has_arguments: false }
    }

    /// A reader of the arguments alone, where the name is known already.
    pub(crate) fn of_arguments(name: &str) -> Self {
        Self { at: At::Value, key: "arguments".to_owned(), name: Some(name.to_owned()), ..Self::new() }
    }

    /// Whether the function is known, so that the call can no longer be taken back.
    pub(crate) fn is_named(&self) -> bool {
        self.name.is_some()
    }

    /// Reads on.
    pub(crate) fn push(&mut self, next: char, known: &mut Vec<Known>) -> Result<(), Malformed> {
        if let Some(part) = &mut self.part {
            let growth = part.push(next);
            if growth == Growth::More {
                self.give(known);
                return Ok(());
            }
            let part = self.part.take().unwrap_or_default();
            self.take(&part, known)?;
            if growth == Growth::Done {
                return Ok(());
            }
        }
        let is_space = matches!(next, ' ' | '\n' | '\r' | '\t');
        self.at = match (self.at, next) {
            _ if is_space => self.at,
            (At::Begin, '{') | (At::AfterValue, ',') => At::Key,
            (At::Key, '"') => {
                self.part = Some(Part::new(next));
                At::Key
            }
            (At::Colon, ':') => At::Value,
            (At::Value, '"' | '{' | '[' | '-' | '0'..='9' | 't' | 'f' | 'n') => {
                self.part = Some(Part::new(next));
                self.give(known);
                At::Value
            }
            (At::AfterValue | At::Key, '}') => {
                self.end(known)?;
                At::End
            }
            _ => return Err(Malformed),
        };
        Ok(())
    }

    /// Arguments that are an object are given out while they grow.
    fn give(&mut self, known: &mut Vec<Known>) {
        let Some(part) = &mut self.part else { return };
        let streams = self.at == At::Value && is_arguments(&self.key) && part.text.starts_with('{');
        if streams && self.name.is_some() && !self.has_arguments {
            add(known, &part.text[part.given..]);
            part.given = part.text.len();
        }
    }

    /// A key or value is complete.
    fn take(&mut self, part: &Part, known: &mut Vec<Known>) -> Result<(), Malformed> {
        if self.at == At::Key {
            self.key = serde_json::from_str(&part.text).map_err(|_| Malformed)?;
            self.at = At::Colon;
            return Ok(());
        }
        self.at = At::AfterValue;
        if self.key == "name" && self.name.is_none() {
            let name: String = serde_json::from_str(&part.text).map_err(|_| Malformed)?;
            known.push(Known::Name(name.clone()));
            self.name = Some(name);
            if self.has_arguments {
                add(known, &std::mem::take(&mut self.held));
            }
        } else if is_arguments(&self.key) && !self.has_arguments {
            self.has_arguments = true;
            let rest = if part.given > 0 { part.text[part.given..].to_owned() } else { arguments(&part.text) };
            if self.name.is_some() {
                add(known, &rest);
            } else {
                self.held = rest;
            }
        }
        Ok(())
    }

    fn end(&mut self, known: &mut Vec<Known>) -> Result<(), Malformed> {
        if self.name.is_none() {
            return Err(Malformed);
        }
        if !self.has_arguments {
            add(known, "{}");
        }
        known.push(Known::End);
        Ok(())
    }

    /// Whether arguments that stood alone are complete.
    pub(crate) fn has_arguments(&self) -> bool {
        self.has_arguments
    }
}

fn is_arguments(key: &str) -> bool {
    key == "arguments" || key == "parameters"
}

/// Arguments as an object: some models write them as a string that holds JSON, or as null.
fn arguments(text: &str) -> String {
    match serde_json::from_str(text) {
        Ok(serde_json::Value::String(inner)) => inner,
        Ok(serde_json::Value::Null) => "{}".to_owned(),
        _ => text.to_owned(),
    }
}

fn add(known: &mut Vec<Known>, text: &str) {
    match known.last_mut() {
        _ if text.is_empty() => {}
        Some(Known::Arguments(last)) => last.push_str(text),
        _ => known.push(Known::Arguments(text.to_owned())),
    }
}
