//! A mutation changes one instruction and leaves all others, and what is said about them, as they are.
#![allow(missing_docs, clippy::unwrap_used)]

use lockstep_machine::geometry::{Hemisphere, Queue};
use lockstep_machine::inst::Inst;
use lockstep_program::issues::{Issue, block_issues};
use lockstep_program::mutate::{Change, Mutation, apply, mutations, sample, spaced};
use lockstep_program::program::Program;
use lockstep_program::{derive, text, verify};

/// Adds the three vectors of a table to an input, twice over, with bases that differ.
const SOURCE: &str = r#"lockstep 1
machine lockstep1
tensor "table" f32 960 at 0:w4-7.0.0
  ramp start=100 step=-1
input "x" f32 320 at 0:w0-3.1.0
output "y" f32 1920 at 0:e0.0.0 0:e1.0.0 0:e2.0.0 0:e3.0.0 0:e0.0.1 0:e1.0.1 0:e2.0.1 0:e3.0.1 0:e0.0.2 0:e1.0.2 0:e2.0.2 0:e3.0.2 0:e0.0.8 0:e1.0.8 0:e2.0.8 0:e3.0.8 0:e0.0.9 0:e1.0.9 0:e2.0.9 0:e3.0.9 0:e0.0.10 0:e1.0.10 0:e2.0.10 0:e3.0.10
block "add"
queue mem.w0
  @1 mem bank1=read:0+b0:e0
  repeat count=2 every=5
queue mem.w1
  @1 mem bank1=read:0+b0:e1
  repeat count=2 every=5
queue mem.w2
  @1 mem bank1=read:0+b0:e2
  repeat count=2 every=5
queue mem.w3
  @1 mem bank1=read:0+b0:e3
  repeat count=2 every=5
queue mem.w4
  @0 mem bank0=read:0+b0:e4
  repeat count=2 every=5 word_stride=1
queue mem.w5
  @0 mem bank0=read:0+b0:e5
  repeat count=2 every=5 word_stride=1
queue mem.w6
  @0 mem bank0=read:0+b0:e6
  repeat count=2 every=5 word_stride=1
queue mem.w7
  @0 mem bank0=read:0+b0:e7
  repeat count=2 every=5 word_stride=1
queue alu.0
  @7 alu op=add a=e0:f32 b=e4:f32 to=e0:f32
  @12 alu op=add a=e0:f32 b=e4:f32 to=e0:f32
  @17 alu op=add a=e0:f32 b=e4:f32 to=e0:f32
queue mem.e0
  @11 mem bank0=write:0+b1:e0
  repeat count=2 every=5 word_stride=1
queue mem.e1
  @11 mem bank0=write:0+b1:e1
  repeat count=2 every=5 word_stride=1
queue mem.e2
  @11 mem bank0=write:0+b1:e2
  repeat count=2 every=5 word_stride=1
queue mem.e3
  @11 mem bank0=write:0+b1:e3
  repeat count=2 every=5 word_stride=1
entry "main"
  run "add" chip 0 at 0
  run "add" chip 0 at 40 base1=8
"#;

fn program() -> Program<'static> {
    let mut program = text::parse(SOURCE).unwrap_or_else(|errors| panic!("{errors}")).program;
    derive(&mut program).unwrap_or_else(|violations| panic!("{}", violations[0]));
    assert_eq!(verify(&program), []);
    program
}

fn issues(program: &Program<'_>) -> Vec<Issue> {
    block_issues(&program.blocks[0], &program.machine, usize::MAX).unwrap().unwrap()
}

/// Issues of other instructions than the mutated one, which has changed places with a `nop` at most.
fn others(program: &Program<'_>, mutation: &Mutation) -> Vec<Issue> {
    let at = |issue: &Issue| issue.id.queue == mutation.queue && issue.id.inst.abs_diff(mutation.inst) <= 1;
    issues(program).into_iter().filter(|issue| !at(issue)).collect()
}

/// Cycles and instructions of a queue.
fn shown(program: &Program<'_>, queue: Queue) -> Vec<(u64, Inst)> {
    issues(program).into_iter().filter(|issue| issue.id.queue == queue).map(|i| (i.cycle, i.what.inst)).collect()
}

#[test]
fn spaced_texts_issue_the_same() {
    let program = program();
    let spaced = spaced(&program).unwrap();
    assert_eq!(verify(&spaced), []);
    let timed = |program: &Program<'_>| -> Vec<_> {
        issues(program).into_iter().map(|i| (i.cycle, i.id.queue, i.id.issue, i.what)).collect()
    };
    assert_eq!(timed(&program), timed(&spaced));
    assert!(mutations(&spaced).len() >= mutations(&program).len());
}

#[test]
fn a_mutation_leaves_all_other_instructions_alone() {
    let original = program();
    for program in [&original, &spaced(&original).unwrap()] {
        let all = mutations(program);
        assert!(all.is_sorted() && all.len() > 100);
        for mutation in &all {
            let mutant = apply(program, mutation).unwrap();
            assert_ne!(mutant.blocks[0].queues, program.blocks[0].queues, "{mutation:?}");
            assert_eq!(others(&mutant, mutation), others(program, mutation), "{mutation:?}");
            assert_eq!(mutant.blocks[0].flow.len(), program.blocks[0].flow.len());
            assert!(mutant.blocks[0].flow.is_sorted());
            assert_ne!(verify(&mutant), [], "{mutation:?} is found");
        }
    }
}

/// What becomes of a queue's issues under the first such change.
fn changed(queue: Queue, change: Change) -> Vec<(u64, Inst)> {
    let original = program();
    let program = spaced(&original).unwrap();
    let mutation = mutations(&program).into_iter().find(|m| m.queue == queue && m.change == change).unwrap();
    shown(&apply(&program, &mutation).unwrap(), queue)
}

#[test]
fn changes_are_what_they_say() {
    let (reads, writes, alu) = (Queue::Mem(Hemisphere::West, 4), Queue::Mem(Hemisphere::East, 0), Queue::Alu(0));
    let cycles = |issues: &[(u64, Inst)]| issues.iter().map(|(cycle, _)| *cycle).collect::<Vec<_>>();
    let texts = |issues: &[(u64, Inst)]| issues.iter().map(|(_, inst)| inst.to_string()).collect::<Vec<_>>();
    assert_eq!(cycles(&changed(writes, Change::Earlier)), [10, 15, 20]);
    assert_eq!(cycles(&changed(writes, Change::Later)), [12, 17, 22]);
    assert_eq!(cycles(&changed(reads, Change::Later)), [1, 6, 11]);
    assert_eq!(cycles(&changed(alu, Change::Later)), [8, 12, 17]);
    assert_eq!(cycles(&changed(alu, Change::Drop)), [12, 17]);
    assert_eq!(changed(writes, Change::Drop), []);
    assert_eq!(cycles(&changed(writes, Change::FewerIssues)), [11, 16]);
    assert_eq!(texts(&changed(reads, Change::SwapBank))[0], "mem bank1=read:0+b0:e4");
    assert_eq!(texts(&changed(reads, Change::NextStream(0)))[0], "mem bank0=read:0+b0:e5");
    assert_eq!(texts(&changed(reads, Change::OtherWay(0)))[0], "mem bank0=read:0+b0:w4");
    assert_eq!(texts(&changed(reads, Change::NextBase(0)))[0], "mem bank0=read:0+b1:e4");
    assert_eq!(texts(&changed(writes, Change::NextWord(0)))[0], "mem bank0=write:1+b1:e0");
    assert_eq!(texts(&changed(alu, Change::NextStream(1)))[0], "alu op=add a=e0:f32 b=e8:f32 to=e0:f32");
}

#[test]
fn samples_follow_their_seed() {
    let all = mutations(&program());
    let few = |seed| sample(all.clone(), 20, seed);
    assert_eq!(few(1), few(1));
    assert_ne!(few(1), few(2));
    assert!(few(1).len() == 20 && few(1).windows(2).all(|pair| pair[0] < pair[1]));
    assert_eq!(sample(all.clone(), usize::MAX, 1), all);
}
