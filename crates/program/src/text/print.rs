//! Programs to text.

use std::fmt::Write as _;

use lockstep_machine::inst::Inst;
use lockstep_machine::spec::MachineSpec;

use super::lex::quote;
use super::place::{binding_words, issue, origin, word};
use crate::file::FORMAT_VERSION;
use crate::program::{BindingKind, Block, Content, Entry, FlowEdge, Image, Program, QueueText};

/// Bytes of an image on one line.
const HEX_BYTES: usize = 32;

/// The text of a program: reading it gives an equal one. The program must be free of faults of form
/// ([`crate::form::check_form`]).
pub fn print(program: &Program<'_>) -> String {
    let mut out = String::new();
    let _ = write_program(&mut out, program);
    out
}

type Written = std::fmt::Result;

fn write_program(out: &mut String, program: &Program<'_>) -> Written {
    writeln!(out, "lockstep {FORMAT_VERSION}")?;
    writeln!(out, "arithmetic {}", program.arithmetic_version)?;
    writeln!(out, "name {}", quote(&program.name))?;
    let machine = &program.machine;
    if MachineSpec::preset(&machine.name).as_ref() == Ok(machine) {
        writeln!(out, "machine {}", machine.name)?;
    } else {
        writeln!(out, "machine\n{}end", machine.canonical_text())?;
    }
    writeln!(out, "chips {}", program.chips)?;
    for link in &program.links {
        writeln!(out, "link {}.{} -> {}.{}", link.from_chip, link.from_link, link.to_chip, link.to_link)?;
    }
    for image in &program.images {
        write_image(out, image)?;
    }
    for binding in &program.bindings {
        let kind = if binding.kind == BindingKind::Input { "input" } else { "output" };
        let (name, words) = (quote(&binding.name), binding_words(binding));
        writeln!(out, "{kind} {name} {} {} at{words}", binding.format, binding.elements)?;
    }
    for (index, block) in program.blocks.iter().enumerate() {
        write_block(out, index as u32, block, program)?;
    }
    program.entries.iter().try_for_each(|entry| write_entry(out, entry, program))
}

fn write_image(out: &mut String, image: &Image<'_>) -> Written {
    writeln!(out, "image {} at {} vectors {}", quote(&image.name), word(image.first), image.vectors)?;
    match &image.content {
        Content::Zero => writeln!(out, "  zero"),
        Content::Absent => writeln!(out, "  absent"),
        Content::Bytes(bytes) => bytes.chunks(HEX_BYTES).try_for_each(|line| {
            write!(out, "  hex ")?;
            line.iter().try_for_each(|byte| write!(out, "{byte:02x}"))?;
            writeln!(out)
        }),
    }
}

fn write_block(out: &mut String, index: u32, block: &Block, program: &Program<'_>) -> Written {
    writeln!(out, "block {}", quote(&block.name))?;
    writeln!(out, "  cycles {}\n  imports {}", block.cycles, block.imports)?;
    block.queues.iter().try_for_each(|text| write_queue(out, text))?;
    writeln!(out, "flow")?;
    for FlowEdge { reader, count, operand, origin: from, step } in &block.flow {
        write!(out, "  {} operand {operand}", issue(*reader))?;
        if *count != 1 {
            write!(out, " count {count}")?;
        }
        write!(out, " <- {}", origin(from, Some(index), program))?;
        if *step != 0 {
            write!(out, " step {step}")?;
        }
        writeln!(out)?;
    }
    Ok(())
}

/// A queue's instructions. A `nop` that the next line's cycle gives again is left out.
fn write_queue(out: &mut String, text: &QueueText) -> Written {
    writeln!(out, "queue {}", text.queue)?;
    // The cycle of the next instruction, as long as no barrier makes it depend on other queues.
    let mut cycle = Some(0);
    let insts: Vec<_> = text.insts.iter().filter_map(|bytes| Inst::decode(*bytes).ok()).collect();
    for (at, inst) in insts.iter().enumerate() {
        match (inst, cycle, insts.get(at + 1)) {
            (Inst::Nop { cycles }, Some(_), Some(next)) if cycles.get() > 0 && has_cycle(next) => {}
            (_, Some(cycle), _) if has_cycle(inst) => writeln!(out, "  @{cycle} {inst}")?,
            _ => writeln!(out, "  {inst}")?,
        }
        cycle = cycle.and_then(|cycle| after(inst, cycle));
    }
    Ok(())
}

/// Whether an instruction is written with its cycle.
fn has_cycle(inst: &Inst) -> bool {
    !matches!(inst, Inst::Nop { .. } | Inst::Repeat { .. })
}

/// The cycle of the instruction after one that is issued (or would be, were it no control) at `cycle`; `None` after a
/// barrier.
pub(super) fn after(inst: &Inst, cycle: u64) -> Option<u64> {
    Some(match inst {
        Inst::Nop { cycles } | Inst::RuntimeDeskew { cycles } => cycle + u64::from(cycles.get()),
        Inst::Repeat { count, every, .. } => cycle + u64::from(count.get()) * u64::from(every.get()),
        Inst::Sync {} | Inst::Notify {} => return None,
        _ => cycle + 1,
    })
}

fn write_entry(out: &mut String, entry: &Entry, program: &Program<'_>) -> Written {
    writeln!(out, "entry {}\n  cycles {}", quote(&entry.name), entry.cycles)?;
    for phase in &entry.phases {
        writeln!(out, "  phase {} at {} cycles {}", quote(&phase.name), phase.start, phase.cycles)?;
    }
    for instance in &entry.instances {
        let name = program.blocks.get(instance.block as usize).map_or("", |block| &block.name);
        write!(out, "  run {} chip {} at {}", quote(name), instance.chip, instance.start)?;
        for (base, offset) in instance.offsets.iter().enumerate().filter(|(_, offset)| **offset != 0) {
            write!(out, " base{base}={offset}")?;
        }
        writeln!(out)?;
        for from in &instance.imports {
            writeln!(out, "    import {}", origin(from, None, program))?;
        }
    }
    Ok(())
}
