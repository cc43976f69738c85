//! Text to programs, with all errors.

use lockstep_machine::description::Description;
use lockstep_machine::geometry::Queue;
use lockstep_machine::network::Cable;
use lockstep_machine::spec::MachineSpec;

use super::data::{Data, Growth};
use super::error::{ERRORS_MAX, TextError, TextErrors, Wrong};
use super::lex::{Cursor, tokens};
use super::parts::{BlockDraft, EntryDraft, Lines, QueueDraft};
use super::place::{Place, parse_issue, parse_origin};
use super::words::{DIRECTIVES, Index, is_data, is_instruction, numbers, run, side, unknown};
use crate::file::{ARITHMETIC_VERSION, FORMAT_VERSION};
use crate::form::{Item, check_form, short};
use crate::program::{BASES, Binding, BindingKind, FlowEdge, Instance, Phase, Program};

/// What a text says.
#[derive(Clone, Debug, PartialEq)]
pub struct Parsed {
    /// The program.
    pub program: Program<'static>,
    /// Whether cycles, imports and flow were left out, to be derived; they are then zero and empty. Phases may be given
    /// all the same.
    pub derive: bool,
}

/// Reads a program. An error lists all that is wrong.
pub fn parse(text: &str) -> Result<Parsed, TextErrors> {
    read(text, Parser::new())
}

/// Reads a program for this machine, whichever the text names.
pub fn parse_for(text: &str, machine: &MachineSpec) -> Result<Parsed, TextErrors> {
    read(text, Parser { instead: Some(machine.clone()), ..Parser::new() })
}

fn read(text: &str, mut parser: Parser) -> Result<Parsed, TextErrors> {
    let mut lines = text.split('\n').enumerate().map(|(index, line)| (index + 1, line));
    while let Some((number, line)) = lines.next() {
        if let Err(wrong) = parser.line(number, line, &mut lines) {
            parser.errors.push(wrong.at(number, line));
        }
        if parser.stop || parser.errors.len() >= ERRORS_MAX {
            break;
        }
    }
    parser.finish(text)
}

#[derive(Clone, Copy, PartialEq)]
enum Section {
    Top,
    Data,
    Block,
    Queue,
    Flow,
    Entry,
}

struct Parser {
    errors: Vec<TextError>,
    stop: bool,
    versioned: bool,
    section: Section,
    machine: Option<MachineSpec>,
    /// The machine to take instead of the text's.
    instead: Option<MachineSpec>,
    /// Whether the machine is not the text's: what depends on it is then not reported.
    guessed: bool,
    program: Program<'static>,
    lines: Lines,
    names: Index,
    data: Option<Data>,
    blocks: Vec<BlockDraft>,
    entries: Vec<EntryDraft>,
    growth: Growth,
}

type MoreLines<'a> = dyn Iterator<Item = (usize, &'a str)> + 'a;

impl Parser {
    fn new() -> Self {
        let program = Program {
            name: "unnamed".to_owned(),
            machine: MachineSpec::default(),
            arithmetic_version: ARITHMETIC_VERSION,
            chips: 1,
            links: Vec::new(),
            images: Vec::new(),
            bindings: Vec::new(),
            blocks: Vec::new(),
            entries: Vec::new(),
        };
        Self {
            errors: Vec::new(),
            stop: false,
            versioned: false,
            section: Section::Top,
            machine: None,
            instead: None,
            guessed: false,
            program,
            lines: Lines::new(),
            names: Index::default(),
            data: None,
            blocks: Vec::new(),
            entries: Vec::new(),
            growth: Growth::new(),
        }
    }

    fn line<'a>(&mut self, number: usize, line: &'a str, more: &mut MoreLines<'a>) -> Result<(), Wrong> {
        let first = line.split_ascii_whitespace().next().unwrap_or_default();
        if first.is_empty() || first.starts_with('#') {
            return Ok(());
        }
        let known = DIRECTIVES.iter().find(|(word, _)| *word == first);
        if self.section == Section::Queue && known.is_none() && is_instruction(first) {
            return self.instruction(line);
        }
        let offset = line.len() - line.trim_ascii_start().len();
        let mut cursor = Cursor::new(line, tokens(line)?);
        if !self.versioned && first != "lockstep" {
            self.versioned = true;
            let message = format!("the first line must be `lockstep {FORMAT_VERSION}`");
            self.errors.push(Wrong::new(offset, message, "put it there").at(number, line));
        }
        match known {
            Some((word, within)) => {
                cursor.take(word)?;
                self.within(within, word, offset)?;
                self.directive(word, number, &mut cursor, more)
            }
            None if self.section == Section::Data && is_data(first) => match &mut self.data {
                Some(data) => data.line(&mut cursor, &mut self.growth),
                None => Ok(()), // its title was wrong, which is reported
            },
            None if self.section == Section::Flow && first.contains('[') => self.edge(number, &mut cursor),
            None => Err(unknown(first, offset)),
        }
    }

    /// Whether a directive may stand in the section that is being read.
    fn within(&self, wanted: &str, word: &str, offset: usize) -> Result<(), Wrong> {
        let block = matches!(self.section, Section::Block | Section::Queue | Section::Flow);
        let entry = self.section == Section::Entry;
        let fits = match wanted {
            "" => true,
            "block" => block,
            "entry" => entry,
            "run" => entry && self.entries.last().is_some_and(|entry| !entry.instances.is_empty()),
            _ => block || entry,
        };
        if fits {
            return Ok(());
        }
        Err(Wrong::new(offset, format!("`{word}` stands below a {wanted}"), format!("write the {wanted} above it")))
    }

    /// The machine, which most lines need.
    fn spec(&mut self, offset: usize) -> Result<&MachineSpec, Wrong> {
        if self.machine.is_none() {
            // Go on with the usual one, so that this is reported once.
            self.machine = MachineSpec::preset("lockstep1").ok();
            self.guessed = true;
            return Err(Wrong::new(offset, "the machine must be known here", "write `machine lockstep1` above"));
        }
        self.machine.as_ref().ok_or_else(|| Wrong::new(offset, "there is no machine", ""))
    }

    fn directive<'a>(
        &mut self,
        word: &str,
        line: usize,
        cursor: &mut Cursor<'a>,
        more: &mut MoreLines<'a>,
    ) -> Result<(), Wrong> {
        if matches!(word, "image" | "tensor" | "input" | "output" | "block" | "entry") || self.data.is_some() {
            self.end_data();
        }
        match word {
            "lockstep" => self.version(cursor)?,
            "arithmetic" => {
                let offset = cursor.offset();
                let made: u32 = cursor.number("a version")?;
                if made != ARITHMETIC_VERSION {
                    let message = format!("made for arithmetic version {made}, this computes {ARITHMETIC_VERSION}");
                    return Err(Wrong::new(offset, message, "compile it again, or leave the line out"));
                }
            }
            "name" => {
                self.lines.insert(Item::Program, line);
                self.program.name = cursor.take("the name")?.text.into_owned();
            }
            "machine" => self.machine(line, cursor, more)?,
            "chips" => self.program.chips = cursor.number("a count of chips")?,
            "link" => {
                let (from_chip, from_link) = side(cursor)?;
                cursor.expect("->", "write chip.link -> chip.link: link 0.0 -> 1.8")?;
                let (to_chip, to_link) = side(cursor)?;
                self.lines.insert(Item::Link(self.program.links.len()), line);
                self.program.links.push(Cable { from_chip, from_link, to_chip, to_link });
            }
            "image" | "tensor" => self.title(word, line, cursor)?,
            "input" | "output" => self.binding(word, line, cursor)?,
            "block" | "entry" => self.part(word, line, cursor)?,
            _ if self.section == Section::Entry => self.entry_line(word, line, cursor)?,
            _ => self.block_line(word, line, cursor)?,
        }
        cursor.end()
    }

    fn version(&mut self, cursor: &mut Cursor<'_>) -> Result<(), Wrong> {
        let offset = cursor.offset();
        self.versioned = true;
        let made: u32 = cursor.number("a version")?;
        if made != FORMAT_VERSION {
            self.stop = true;
            let message = format!("made for format version {made}, this reads version {FORMAT_VERSION}");
            return Err(Wrong::new(offset, message, "write it anew from its source"));
        }
        Ok(())
    }

    fn machine<'a>(&mut self, line: usize, cursor: &mut Cursor<'a>, more: &mut MoreLines<'a>) -> Result<(), Wrong> {
        let offset = cursor.offset();
        self.lines.entry(Item::Program).or_insert(line);
        let described = if cursor.peek().is_some() {
            Description::preset(&cursor.take("a preset")?.text)
        } else {
            let (mut text, mut ended) = (String::new(), false);
            for (_, line) in more {
                ended = line.split('#').next().map(str::trim_ascii) == Some("end");
                if ended {
                    break;
                }
                text.extend([line, "\n"]);
            }
            if !ended {
                return Err(Wrong::new(offset, "the description has no end", "write `end` on a line of its own"));
            }
            Description::parse(&text)
        };
        let known = self.machine.is_some();
        let machine = match &self.instead {
            Some(machine) => Ok(machine.clone()),
            None => described.map(|described| described.machine),
        };
        self.guessed |= machine.is_err();
        self.machine = machine.as_ref().ok().cloned().or_else(|| MachineSpec::preset("lockstep1").ok());
        machine.map_err(|error| Wrong::new(offset, error.to_string(), "see the manual for a description's keys"))?;
        if known {
            return Err(Wrong::new(0, "the machine is given twice, or too late", "name it once, before memory"));
        }
        Ok(())
    }

    fn title(&mut self, word: &str, line: usize, cursor: &mut Cursor<'_>) -> Result<(), Wrong> {
        self.section = Section::Data;
        let offset = cursor.offset();
        let lanes = self.spec(offset)?.lanes();
        let name = cursor.take("a name")?.text.into_owned();
        let data = if word == "image" {
            cursor.expect("at", "write image NAME at PLACE vectors N")?;
            let place = Place::parse(&cursor.take("a place")?)?;
            Data::image(line, name, &place, cursor.optional("vectors", 1)?, lanes)?
        } else {
            let (format, elements) = numbers(cursor)?;
            cursor.expect("at", "write tensor NAME FORMAT ELEMENTS at PLACE")?;
            let place = Place::parse(&cursor.take("a place")?)?;
            Data::tensor(line, name, format, elements, &place, lanes)?
        };
        self.data = Some(data);
        Ok(())
    }

    /// Makes images of the data that was being read.
    fn end_data(&mut self) {
        let Some(data) = self.data.take() else { return };
        let (line, name) = (data.line, data.name.clone());
        match data.finish(&mut self.growth) {
            Ok(images) => {
                for image in images {
                    let index = self.program.images.len();
                    self.lines.insert(Item::Image(index), line);
                    self.names.add("image", &image.name, index as u32);
                    self.program.images.push(image);
                }
            }
            Err(wrong) => {
                // Later lines may name it all the same.
                self.names.add("image", &name, u32::MAX);
                if !self.guessed {
                    self.errors.push(wrong.at(line, ""));
                }
            }
        }
    }

    fn binding(&mut self, word: &str, line: usize, cursor: &mut Cursor<'_>) -> Result<(), Wrong> {
        self.section = Section::Top;
        let offset = cursor.offset();
        self.spec(offset)?;
        let kind = if word == "input" { BindingKind::Input } else { BindingKind::Output };
        let name = cursor.take("a name")?.text.into_owned();
        let (format, elements) = numbers(cursor)?;
        cursor.expect("at", "write input NAME FORMAT ELEMENTS at PLACE ...")?;
        let mut words = Vec::new();
        while cursor.peek().is_some() {
            let place = Place::parse(&cursor.take("a place")?)?;
            let count = usize::from(place.slices) * place.words as usize;
            self.growth.spend(place.offset, if count > 64 { count * size_of_val(&place.first) } else { 0 })?;
            words.extend(place.all());
        }
        let index = self.program.bindings.len();
        self.lines.insert(Item::Binding(index), line);
        if kind == BindingKind::Input {
            self.names.add("input", &name, index as u32);
        }
        self.program.bindings.push(Binding { name, kind, format, elements, words });
        Ok(())
    }

    fn part(&mut self, word: &str, line: usize, cursor: &mut Cursor<'_>) -> Result<(), Wrong> {
        self.section = if word == "block" { Section::Block } else { Section::Entry };
        let name = cursor.take("a name").map(|token| token.text.into_owned());
        let known = name.as_ref().map_or("", |name| name).to_owned();
        if word == "block" {
            self.names.add("block", &known, self.blocks.len() as u32);
            self.blocks.push(BlockDraft { line, name: known, ..BlockDraft::default() });
        } else {
            self.entries.push(EntryDraft { line, name: known, ..EntryDraft::default() });
        }
        name?;
        let offset = cursor.offset();
        self.spec(offset).map(|_| ())
    }

    fn block_line(&mut self, word: &str, line: usize, cursor: &mut Cursor<'_>) -> Result<(), Wrong> {
        let Some(block) = self.blocks.last_mut() else { return Ok(()) };
        match word {
            "cycles" => block.cycles = Some(cursor.number("a count of cycles")?),
            "imports" => block.imports = Some(cursor.number("a count of imports")?),
            "flow" => {
                self.section = Section::Flow;
                block.flow.get_or_insert_default();
            }
            _ => {
                self.section = Section::Queue;
                let token = cursor.take("a queue");
                let queue = token.as_ref().ok().and_then(|token| Queue::parse(&token.text));
                block.queues.push(QueueDraft::new(line, queue));
                let token = token?;
                let queue = queue.ok_or_else(|| {
                    let hint =
                        "queues are mem.w0, alu.0, reduce.0, load.0, activate.0, drain.0, sxm.e0, send.0, receive.0";
                    Wrong::new(token.offset, format!("{:?} is not a queue", short(&token.text)), hint)
                })?;
                let twice = block.queues.iter().rev().skip(1).find(|draft| draft.text.queue == queue);
                if let Some(draft) = twice {
                    let message = format!("the block has {queue} on line {} already", draft.line);
                    return Err(Wrong::new(token.offset, message, "put the instructions together"));
                }
            }
        }
        Ok(())
    }

    fn instruction(&mut self, line: &str) -> Result<(), Wrong> {
        let draft = self.blocks.last_mut().and_then(|block| block.queues.last_mut());
        draft.map_or(Ok(()), |draft| draft.line(line))
    }

    fn edge(&mut self, line: usize, cursor: &mut Cursor<'_>) -> Result<(), Wrong> {
        let own = (self.blocks.len() as u32).checked_sub(1);
        let reader = parse_issue(&cursor.take("an issue")?)?;
        let hint = "write ISSUE operand N <- ORIGIN";
        cursor.expect("operand", hint)?;
        let operand = cursor.number("an operand's number")?;
        let count = cursor.optional("count", 1)?;
        cursor.expect("<-", hint)?;
        let origin = parse_origin(cursor, own, &self.names)?;
        let step = cursor.optional("step", 0)?;
        cursor.end()?;
        if let Some(block) = self.blocks.last_mut() {
            let edge = FlowEdge { reader, count, operand, origin, step };
            block.flow.get_or_insert_default().push((line, edge));
        }
        Ok(())
    }

    fn entry_line(&mut self, word: &str, line: usize, cursor: &mut Cursor<'_>) -> Result<(), Wrong> {
        let Some(entry) = self.entries.last_mut() else { return Ok(()) };
        match word {
            "cycles" => entry.cycles = Some(cursor.number("a count of cycles")?),
            "phase" => {
                let name = cursor.take("a name")?.text.into_owned();
                let start = cursor.optional("at", 0)?;
                cursor.expect("cycles", "write phase NAME at CYCLE cycles N")?;
                entry.phases.push((line, Phase { name, start, cycles: cursor.number("a count of cycles")? }));
            }
            "import" => {
                let origin = parse_origin(cursor, None, &self.names)?;
                if let Some((_, instance)) = entry.instances.last_mut() {
                    instance.imports.push(origin);
                }
            }
            _ => {
                let mut instance = Instance { block: 0, chip: 0, start: 0, offsets: [0; BASES], imports: Vec::new() };
                let read = run(cursor, &mut instance, &self.names);
                entry.instances.push((line, instance));
                read?;
            }
        }
        Ok(())
    }

    fn finish(mut self, text: &str) -> Result<Parsed, TextErrors> {
        self.end_data();
        if self.machine.is_none() && self.errors.is_empty() {
            let line = text.split('\n').count();
            self.errors.push(Wrong::new(0, "the machine is missing", "write `machine lockstep1`").at(line, ""));
        }
        let derive = self.derive();
        let mut program = self.program;
        program.machine = self.machine.unwrap_or_default();
        let places = program.machine.queues().into_iter().enumerate().map(|(place, queue)| (queue, place)).collect();
        let lines = &mut self.lines;
        program.blocks =
            self.blocks.into_iter().enumerate().map(|(i, block)| block.finish(i, &places, lines)).collect();
        program.entries = self.entries.into_iter().enumerate().map(|(i, entry)| entry.finish(i, lines)).collect();
        if self.errors.is_empty() {
            // Where there are errors, these may only follow from them.
            let faults = check_form(&program, ERRORS_MAX);
            self.errors.extend(faults.into_iter().map(|fault| {
                let line = self.lines.get(&fault.item).copied().unwrap_or(1);
                TextError { line, column: 1, message: fault.to_string(), hint: String::new() }
            }));
        }
        if self.errors.is_empty() {
            return Ok(Parsed { program, derive });
        }
        self.errors.sort();
        Err(TextErrors(self.errors))
    }

    /// Whether cycles, imports and flow are left out. All of them or none must be given.
    fn derive(&mut self) -> bool {
        let blocks = self.blocks.iter().map(|block| (block.line, "block", &block.name, block.given()));
        let entries = self.entries.iter().map(|entry| (entry.line, "entry", &entry.name, entry.given()));
        let parts: Vec<_> = blocks.chain(entries).collect();
        let any = parts.iter().any(|(.., given)| *given != Some(false));
        let mut errors = Vec::new();
        for (line, kind, name, given) in parts.into_iter().take(ERRORS_MAX) {
            if any && given != Some(true) {
                let message = format!("{kind} {:?} leaves out what other parts of the program give", short(name));
                let hint = "give every block cycles, imports and flow, and every entry cycles; or give none, to have \
                    them derived";
                errors.push(Wrong::new(0, message, hint).at(line, ""));
            }
        }
        self.errors.extend(errors);
        !any && (!self.blocks.is_empty() || !self.entries.is_empty())
    }
}
