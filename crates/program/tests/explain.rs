//! Explanations of whole programs: bounds that hold, chains that add up.
#![allow(missing_docs, clippy::unwrap_used)]

mod hand;

use std::path::Path;

use hand::{East, NO_OFFSETS, West, spec, with_bindings, word};
use lockstep_machine::access::exchange_cycles;
use lockstep_machine::inst::operand::Format;
use lockstep_program::builder::ProgramBuilder;
use lockstep_program::explain::{Bound, Explanation, Figures, Spending, Spent, Unit, explain, issues, spending};
use lockstep_program::program::BindingKind;
use lockstep_program::text::parse;
use lockstep_program::{Program, derive, verify};

/// All filetests that hold a sound program, by name.
fn filetests() -> Vec<(String, Program<'static>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../filetests");
    let mut paths: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    let mut programs = Vec::new();
    for path in paths {
        let text = std::fs::read_to_string(&path).unwrap();
        let Ok(parsed) = parse(&text) else { continue };
        let mut program = parsed.program;
        if (parsed.derive && derive(&mut program).is_err()) || !verify(&program).is_empty() {
            continue;
        }
        programs.push((path.file_stem().unwrap().to_str().unwrap().to_owned(), program));
    }
    programs
}

fn filetest(name: &str) -> Program<'static> {
    filetests().into_iter().find(|(found, _)| found == name).unwrap().1
}

fn all_figures(explanation: &Explanation) -> Vec<Figures> {
    let blocks = explanation.blocks.iter().map(|block| block.figures);
    let entries =
        explanation.entries.iter().flat_map(|e| e.phases.iter().map(|p| p.figures).chain(std::iter::once(e.figures)));
    blocks.chain(entries).collect()
}

fn cycles(figures: &Figures, bound: Bound) -> u64 {
    figures.bounds[bound as usize]
}

fn spent(figures: &Figures) -> Vec<(String, u64)> {
    let all = Spent::ALL.iter().map(|spent| (spent.to_string(), figures.chain[*spent as usize]));
    all.filter(|(_, cycles)| *cycles > 0).collect()
}

#[test]
fn chains_add_up_and_no_program_is_shorter_than_its_bounds() {
    let programs = filetests();
    assert!(programs.len() > 15, "{}", programs.len());
    for (name, program) in &programs {
        let explanation = explain(program).unwrap();
        for figures in all_figures(&explanation) {
            assert_eq!(figures.chain.iter().sum::<u64>(), figures.cycles, "{name}: {figures:?}");
            for bound in Bound::ALL {
                assert!(cycles(&figures, bound) <= figures.cycles, "{name}: {bound}: {figures:?}");
            }
            for unit in Unit::ALL {
                let used = figures.utilisation(unit, &program.machine, program.chips);
                assert!((0.0..=1.0).contains(&used), "{name}: {unit}: {used}");
            }
        }
        for (explained, block) in explanation.blocks.iter().zip(&program.blocks) {
            assert_eq!(explained.figures.cycles, block.cycles, "{name}");
            let issues = issues(block, &program.machine, usize::MAX).unwrap();
            assert_eq!(explained.figures.issues.iter().sum::<u64>(), issues.len() as u64, "{name}");
            let steps = &explained.chain;
            assert!(steps.is_sorted_by_key(|step| step.cycle), "{name}");
            assert!(steps.iter().all(|step| issues.cycle(step.issue as usize) == step.cycle), "{name}");
            assert_eq!(steps.is_empty(), issues.is_empty(), "{name}");
        }
        for (explained, entry) in explanation.entries.iter().zip(&program.entries) {
            assert_eq!(explained.figures.cycles, entry.cycles, "{name}");
            let phases: u64 = explained.phases.iter().map(|phase| phase.figures.cycles).sum();
            assert_eq!(phases, entry.cycles, "{name}");
        }
    }
}

/// Reads at 0 and 1, a sum at 7, its write at 11: every cycle of the chain is told apart by hand.
#[test]
fn a_sum_waits_for_its_words_and_its_way() {
    let explanation = explain(&filetest("vector-add")).unwrap();
    let block = &explanation.blocks[0];
    let figures = &block.figures;
    assert_eq!(figures.bound(), (Bound::Latency, figures.cycles));
    assert_eq!(figures.issues[Unit::Alu as usize], 1);
    let expected = [("alu", 3), ("memory", 6), ("travel", 3)].map(|(name, cycles)| (name.to_owned(), cycles));
    assert_eq!(spent(figures), expected, "{:?}", block.chain);
}

/// A sum that could come 5 cycles earlier, but for its words, which are read late.
#[test]
fn what_is_late_waits() {
    let lines = "
        5 mem.w0 mem bank0=read:0+b0:e0
        5 mem.w1 mem bank0=read:0+b0:e1
        11 alu.0 alu op=iadd a=e0:i8 b=e1:i8 to=e0:i8
        15 mem.e0 mem bank0=write:0+b0:e0
    ";
    let program = with_bindings(&spec(), lines).finish().unwrap();
    let explanation = explain(&program).unwrap();
    let figures = explanation.entries[0].figures;
    assert_eq!(figures.chain[Spent::Waiting as usize], 5);
    assert_eq!((figures.bound(), figures.cycles), ((Bound::Latency, 11), 16));
}

/// Two instances of one block are one phase: its figures are twice those of the block.
#[test]
fn a_phase_is_the_sum_of_its_instances() {
    let spec = spec();
    let mut builder = ProgramBuilder::new("twice", &spec);
    builder.binding("x", BindingKind::Input, Format::I8, 320, [word(West, 0, 0, 0)]);
    builder.binding("y", BindingKind::Input, Format::I8, 320, [word(West, 1, 0, 0)]);
    builder.binding("z", BindingKind::Output, Format::I8, 320, [word(East, 0, 0, 0)]);
    let code = builder.block(&hand::block("add", &spec, hand::ADD));
    let entry = builder.entry("main");
    builder.instance(entry, code, 0, 0, NO_OFFSETS);
    builder.instance(entry, code, 0, 20, NO_OFFSETS);
    let explanation = explain(&builder.finish().unwrap()).unwrap();
    let block = explanation.blocks[0].figures;
    let entry = &explanation.entries[0];
    let [phase] = &entry.phases[..] else { panic!("{:?}", entry.phases) };
    assert_eq!((phase.instances, phase.name.as_str()), (2, "add"));
    assert_eq!((block.cycles, phase.figures.cycles), (11, 31));
    for (once, twice) in block.bounds.iter().zip(phase.figures.bounds) {
        assert_eq!(2 * once, twice);
    }
    assert_eq!(phase.figures.chain[Spent::Waiting as usize], 31 - 22);
}

/// A tile of 22 loads and an install, 320 activations of one plane: counted by hand from the text.
#[test]
fn a_matrix_product_is_bound_by_its_passes() {
    let explanation = explain(&filetest("matmul-lb8")).unwrap();
    let figures = &explanation.blocks[0].figures;
    assert_eq!(cycles(figures, Bound::Matrix), 320);
    assert!(cycles(figures, Bound::Weights) >= 23, "{figures:?}");
    assert!(figures.chain[Spent::Matrix as usize] > 0, "{figures:?}");
}

/// A program that is not sound is explained, or refused in one line.
#[test]
fn edges_about_nothing_are_left_out() {
    let mut program = filetest("vector-add");
    let whole = explain(&program).unwrap();
    for edge in &mut program.blocks[0].flow {
        edge.count = u32::MAX;
        edge.operand += 9;
    }
    let without = explain(&program).unwrap();
    assert_eq!(without.blocks[0].figures.chain.iter().sum::<u64>(), program.blocks[0].cycles);
    assert!(cycles(&without.blocks[0].figures, Bound::Latency) < cycles(&whole.blocks[0].figures, Bound::Latency));
    program.blocks[0].queues[0].insts[0] = [0xff; 16];
    let error = explain(&program).unwrap_err().to_string();
    assert!(error.contains("block") && error.contains("opcode") && !error.contains('\n'), "{error}");
}

/// A slice reads one value and writes another in one instruction: the read does not wait for what is written.
#[test]
fn two_slots_of_one_instruction_do_not_wait_for_each_other() {
    let lines = "
        0 mem.w0 mem bank0=read:0+b0:e0
        0 mem.w1 mem bank0=read:0+b0:e1
        6 alu.0 alu op=iadd a=e0:i8 b=e1:i8 to=both0:i8
        10 mem.e0 mem bank0=write:0+b0:e0
        10 mem.w0 mem bank0=read:0+b0:e0 bank1=write:0+b0:w0
        16 alu.0 alu op=identity a=e0:i8 to=e0:i8
        20 mem.e0 mem bank0=write:1+b0:e0
    ";
    let program = with_bindings(&spec(), lines).finish().unwrap();
    let explanation = explain(&program).unwrap();
    let figures = explanation.blocks[0].figures;
    assert_eq!((figures.cycles, cycles(&figures, Bound::Latency)), (21, 11));
    assert_eq!(figures.chain.iter().sum::<u64>(), 21);
}

/// Two chips that read, send, take and write, and compute nothing.
#[test]
fn cycles_are_spent_on_what_happens_in_them() {
    let program = filetest("exchange");
    let spent = spending(&program).unwrap();
    let Spending { compute, exchange, memory, wait } = spent[0];
    assert_eq!(compute + exchange + memory + wait, program.entries[0].cycles);
    assert_eq!(compute, 0);
    // No vector arrives sooner than its send, its way and its receive take.
    let least = exchange_cycles(&program.machine) + program.machine.c2c.receive_delay;
    assert!(exchange >= u64::from(least), "{exchange} of {least}");
    assert!(memory > 0, "the first read and the last write");
}

/// Clocks that align first are waited for, and no vector is longer on its way for it.
#[test]
fn an_alignment_is_no_vector() {
    let mut program = filetest("align");
    let before = spending(&program).unwrap()[0];
    let entry = &mut program.entries[0];
    let is_align = |block: u32| program.blocks[block as usize].name == "align";
    let mut first: Vec<_> = entry.instances.iter().filter(|instance| is_align(instance.block)).cloned().collect();
    for instance in &mut first {
        instance.start = 0;
    }
    for instance in &mut entry.instances {
        instance.start += 252;
    }
    entry.instances.extend(first);
    entry.instances.sort_by_key(|instance| (instance.chip, instance.start));
    entry.cycles += 252;
    assert_eq!(spending(&program).unwrap()[0], Spending { wait: before.wait + 252, ..before });
}
