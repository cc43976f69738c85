//! The manual of the instruction set, made from the one table and from what the instructions touch.
//!
//! In: a description. Out: `docs/isa.md`, for architects and compiler engineers. Nothing in it about an instruction is
//! written twice: fields come from the table, times and state from [`crate::access`], numbers from the description.

mod chapters;
mod examples;
mod touch;
mod units;
mod wrap;

pub use examples::{Example, examples};

use std::fmt::Write as _;

use crate::description::Description;
use crate::inst::{Class, Definition, FieldDefinition, TABLE};
use crate::legal;
use crate::spec::MachineSpec;

use touch::{Touch, cycles};

/// The command that writes the manual anew, for messages.
pub const COMMAND: &str = "cargo xtask isa";

/// The manual of a machine, as Markdown.
pub fn manual(description: &Description) -> String {
    let spec = &description.machine;
    let mut text = chapters::opening(spec);
    for class in CLASSES {
        text.push_str(&units::unit(*class, spec));
        for definition in TABLE.iter().filter(|definition| definition.class == *class) {
            text.push_str(&instruction(definition, spec));
        }
        text.push_str(&units::functions(*class, spec));
    }
    text.push_str(&chapters::constants(description));
    wrap::paragraphs(&text)
}

/// The order of chapters.
const CLASSES: &[Class] = &[
    Class::Control,
    Class::Mem,
    Class::Alu,
    Class::Reduce,
    Class::Load,
    Class::Activate,
    Class::Drain,
    Class::Sxm,
    Class::Send,
    Class::Receive,
];

fn instruction(definition: &Definition, spec: &MachineSpec) -> String {
    let mut text = format!("### `{}`\n\n{}\n\n", definition.mnemonic, definition.doc.trim());
    text.push_str(&encoding(definition));
    let shown = examples().into_iter().filter(|example| example.inst.mnemonic() == definition.mnemonic);
    let shown = shown.collect::<Vec<_>>();
    text.push_str("```\n");
    for (index, example) in shown.iter().enumerate() {
        let _ = writeln!(text, "{}  {:<10}  {}", letter(index), example.queue.to_string(), example.inst);
    }
    text.push_str("```\n\n");
    for example in &shown {
        if let Err(why) = legal::check(&example.inst, example.queue, spec) {
            let _ = write!(text, "Not on this machine: {why}.\n\n");
        }
    }
    text.push_str(&timing(definition, &shown, spec));
    text
}

fn letter(index: usize) -> char {
    (b'A' + index as u8) as char
}

/// Where each field stands and how it is written.
fn encoding(definition: &Definition) -> String {
    let mut text = "| bits | field | written | meaning |\n| --- | --- | --- | --- |\n".to_owned();
    let _ = writeln!(text, "| 0 to 7 | opcode | `0x{:02x}` | |", definition.opcode);
    let mut at = 8;
    for field in definition.fields {
        let FieldDefinition { name, bits, doc, .. } = field;
        let place = if *bits == 1 { at.to_string() } else { format!("{at} to {}", at + bits - 1) };
        let _ = writeln!(text, "| {place} | `{name}` | {} | {} |", written(field), doc.trim());
        at += bits;
    }
    if at < 128 {
        let _ = writeln!(text, "| {at} to 127 | | | 0 |");
    }
    text.push('\n');
    text
}

/// How a value is written, with its literal parts as code. Long lists of names stand in a table of their own.
fn written(field: &FieldDefinition) -> String {
    let Some(names) = field.syntax.strip_prefix("one of ") else { return field.syntax.to_owned() };
    if names.split(' ').count() > 8 {
        return "a name, see below".to_owned();
    }
    let mut names = names.split(' ').map(|name| format!("`{name}`")).collect::<Vec<_>>();
    names.extend((field.omitted)().map(|value| format!("(left out: `{value}`)")));
    names.join(" ")
}

/// When the examples take and give what, and what they occupy.
fn timing(definition: &Definition, shown: &[Example], spec: &MachineSpec) -> String {
    if definition.class == Class::Control {
        let touches = shown.iter().map(|example| Touch::of(example, spec));
        let taken = touches.flat_map(|touch| touch.operands).collect::<Vec<_>>();
        let takes = if taken.is_empty() { String::new() } else { format!(" It takes {}.", taken.join("; ")) };
        return format!("Time: {}.{takes}\n\n", units::control_time(definition.mnemonic, spec));
    }
    let touches = shown.iter().map(|example| Touch::of(example, spec)).collect::<Vec<_>>();
    let mut text = String::from("| |");
    for index in 0..shown.len() {
        let _ = write!(text, " {} |", letter(index));
    }
    let _ = writeln!(text, "\n| --- |{}", " --- |".repeat(shown.len()));
    let mut row = |name: &str, cell: &dyn Fn(&Touch) -> String| {
        let cells = touches.iter().map(|touch| format!(" {} |", cell(touch))).collect::<Vec<_>>().concat();
        // A line that is empty for all examples says nothing.
        if cells.chars().any(|c| c != ' ' && c != '|') {
            let _ = writeln!(text, "| {name} |{cells}");
        }
    };
    row("operands (skew)", &|touch| touch.operands.join("; "));
    row("results (delay)", &|touch| touch.results.join("; "));
    row("state read", &|touch| touch.reads.join("; "));
    row("state changed", &|touch| touch.changes.join("; "));
    row("queue taken", &|_| cycles(1));
    row("unit taken", &|touch| touch.busy.clone());
    row("stream registers taken", &|touch| match touch.streams {
        0 => String::new(),
        count => format!("{count}, each {}", cycles(1)),
    });
    text.push('\n');
    text
}
