//! Small programs by hand, for the tests of the verifier.
#![allow(missing_docs, clippy::unwrap_used, dead_code, reason = "each test file uses some of it")]

use lockstep_machine::access::{drift_slack, exchange_cycles};
use lockstep_machine::geometry::{Hemisphere, Queue};
use lockstep_machine::inst::operand::Format;
use lockstep_machine::inst::{Inst, parse};
use lockstep_machine::spec::MachineSpec;
use lockstep_program::Program;
use lockstep_program::builder::{BlockBuilder, ProgramBuilder, Repetition};
use lockstep_program::program::{BASES, BindingKind, Content, Word};
use lockstep_program::verify::Violation;

pub(crate) use Hemisphere::{East, West};

pub(crate) type Built = Result<Program<'static>, Vec<Violation>>;

pub(crate) fn spec() -> MachineSpec {
    MachineSpec::preset("lockstep1").unwrap()
}

pub(crate) fn word(hemisphere: Hemisphere, slice: u8, bank: u8, word: u16) -> Word {
    Word { chip: 0, hemisphere, slice, bank, word }
}

/// One instruction a line: `cycle queue instruction`.
pub(crate) fn block<'a>(name: &str, spec: &'a MachineSpec, lines: &str) -> BlockBuilder<'a> {
    let mut block = BlockBuilder::new(name, spec);
    for line in lines.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let (cycle, queue, inst) = split(line);
        block.issue(cycle, queue, inst).unwrap();
    }
    block
}

pub(crate) fn split(line: &str) -> (u64, Queue, Inst) {
    let mut parts = line.splitn(3, ' ');
    let cycle = parts.next().unwrap().parse().unwrap();
    let queue = Queue::parse(parts.next().unwrap()).unwrap();
    (cycle, queue, parse(parts.next().unwrap()).unwrap())
}

pub(crate) const NO_OFFSETS: [i32; BASES] = [0; BASES];

pub(crate) const ADD: &str = "
    0 mem.w0 mem bank0=read:0+b0:e0
    0 mem.w1 mem bank0=read:0+b0:e1
    6 alu.0 alu op=iadd a=e0:i8 b=e1:i8 to=e0:i8
    10 mem.e0 mem bank0=write:0+b0:e0
";

/// Inputs x and y and output z of bytes, and a block that runs once.
pub(crate) fn with_bindings(spec: &MachineSpec, lines: &str) -> ProgramBuilder<'static> {
    let mut program = ProgramBuilder::new("hand", spec);
    program.binding("x", BindingKind::Input, Format::I8, 320, [word(West, 0, 0, 0)]);
    program.binding("y", BindingKind::Input, Format::I8, 320, [word(West, 1, 0, 0)]);
    program.binding("z", BindingKind::Output, Format::I8, 320, [word(East, 0, 0, 0)]);
    once(&mut program, spec, lines);
    program
}

pub(crate) fn once(program: &mut ProgramBuilder<'_>, spec: &MachineSpec, lines: &str) {
    let code = program.block(&block("main", spec, lines));
    let entry = program.entry("main");
    program.instance(entry, code, 0, 0, NO_OFFSETS);
}

/// z = x + y.
pub(crate) fn add() -> Built {
    with_bindings(&spec(), ADD).finish()
}

/// Eight words of z = x + y, by repetition.
pub(crate) fn add_repeated() -> Built {
    let spec = spec();
    let times = Repetition { issues: 8, every: 2, word_stride: 1, row_stride: 0 };
    let mut code = BlockBuilder::new("main", &spec);
    for line in ADD.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let (cycle, queue, inst) = split(line);
        code.repeat(cycle, queue, inst, times).unwrap();
    }
    let mut program = ProgramBuilder::new("repeated", &spec);
    let words = |side, slice| (0..8).map(move |at| word(side, slice, 0, at));
    program.binding("x", BindingKind::Input, Format::I8, 2560, words(West, 0));
    program.binding("y", BindingKind::Input, Format::I8, 2560, words(West, 1));
    program.binding("z", BindingKind::Output, Format::I8, 2560, words(East, 0));
    let code = program.block(&code);
    let entry = program.entry("main");
    program.instance(entry, code, 0, 0, NO_OFFSETS);
    program.finish()
}

/// z = ceil(abs(x + y)) in a chain of ALUs.
pub(crate) fn chain() -> Built {
    let lines = "
        0 mem.w0 mem bank0=read:0+b0:e0
        0 mem.w1 mem bank0=read:0+b0:e1
        6 alu.0 alu op=iadd a=e0:i8 b=e1:i8
        9 alu.1 alu op=imax a=alu.0 b=imm imm=3
        12 alu.2 alu op=imin a=alu.1 b=imm imm=9 to=e0:i8
        16 mem.e0 mem bank0=write:0+b0:e0
    ";
    with_bindings(&spec(), lines).finish()
}

pub(crate) const GATHER: &str = "
    0 mem.w0 mem bank0=read:0+b0:e0
    0 mem.w1 mem bank0=read:0+b0:e1
    0 mem.w2 mem bank0=read:0+b0:e2
    0 mem.w3 mem bank0=read:0+b0:e3
    7 mem.e0 gather index=e0 address=0+b0 bank=0 log2_interleave=1 residue=0 count=16 quiet=true to=e8
    7 mem.e1 gather index=e0 address=0+b0 bank=0 log2_interleave=1 residue=1 count=16 quiet=true to=e8
    14 mem.e4 mem bank0=write:0+b0:e8
";

/// Rows of a table in two slices, by index.
pub(crate) fn gather_from(lines: &str) -> ProgramBuilder<'static> {
    let spec = spec();
    let mut program = ProgramBuilder::new("gather", &spec);
    program.binding("index", BindingKind::Input, Format::I32, 320, (0..4).map(|slice| word(West, slice, 0, 0)));
    program.binding("row", BindingKind::Output, Format::I8, 320, [word(East, 4, 0, 0)]);
    program.image("table.0", word(East, 0, 0, 0), 8, Content::Zero);
    program.image("table.1", word(East, 1, 0, 0), 8, Content::Zero);
    once(&mut program, &spec, lines);
    program
}

pub(crate) fn gather() -> Built {
    gather_from(GATHER).finish()
}

pub(crate) const MATRIX: &str = "
    0 mem.w0 mem bank0=read:0+b0:w0
    2 mem.w0 mem bank0=read:1+b0:w0
    17 load.0 load kind=int8 first=0 streams=1 from=w0
    18 load.0 install kind=int8
    19 activate.0 activate kind=int8 row=0 first=true from=w0 scale=w0
    42 drain.0 drain row=0 format=i32 to=e0
    46 mem.w36 mem bank0=write:0+b0:e0
    46 mem.w37 mem bank0=write:0+b0:e1
    46 mem.w38 mem bank0=write:0+b0:e2
    46 mem.w39 mem bank0=write:0+b0:e3
";

/// One row of a tile, one vector through it.
pub(crate) fn matrix_from(lines: &str) -> ProgramBuilder<'static> {
    let spec = spec();
    let mut program = ProgramBuilder::new("matrix", &spec);
    program.tensor("weight", Format::I8, 320, &[1; 320], &[word(West, 0, 0, 0)]).unwrap();
    program.binding("x", BindingKind::Input, Format::I8, 320, [word(West, 0, 0, 1)]);
    program.binding("y", BindingKind::Output, Format::I32, 320, (36..40).map(|slice| word(West, slice, 0, 0)));
    once(&mut program, &spec, lines);
    program
}

pub(crate) fn matrix() -> Built {
    matrix_from(MATRIX).finish()
}

/// Adds 1 to word 0 + b0 and leaves it in word 0 + b1, twice: the second instance reads what the first wrote.
pub(crate) fn twice_at(second: u64) -> Built {
    let spec = spec();
    let mut program = ProgramBuilder::new("twice", &spec);
    program.binding("x", BindingKind::Input, Format::I8, 320, [word(East, 0, 0, 0)]);
    program.binding("y", BindingKind::Output, Format::I8, 320, [word(East, 0, 0, 2)]);
    let lines = "
        0 mem.e0 mem bank0=read:0+b0:w0
        6 alu.0 alu op=iadd a=w0:i8 b=imm imm=1 to=e0:i8
        10 mem.e0 mem bank0=write:0+b1:e0
    ";
    let code = program.block(&block("increment", &spec, lines));
    let entry = program.entry("main");
    let offsets = |from: i32, to: i32| {
        let mut offsets = NO_OFFSETS;
        (offsets[0], offsets[1]) = (from, to);
        offsets
    };
    program.instance(entry, code, 0, second, offsets(1, 2));
    program.instance(entry, code, 0, 0, offsets(0, 1));
    program.finish()
}

pub(crate) fn twice() -> Built {
    twice_at(11)
}

/// One vector over a link, taken at a cycle.
pub(crate) fn exchange_at(receive: u64, sends: u64, linked: bool) -> Built {
    let spec = spec();
    let mut program = ProgramBuilder::new("exchange", &spec);
    program.chips(2);
    if linked {
        program.link((0, 0), (1, 2));
    }
    let there = Word { chip: 1, ..word(West, 39, 0, 0) };
    program.binding("x", BindingKind::Input, Format::I8, 320, [word(West, 0, 0, 0)]);
    program.binding("y", BindingKind::Output, Format::I8, 320, [there]);
    let mut send = BlockBuilder::new("send", &spec);
    let times = Repetition { issues: sends as u16, every: 24, word_stride: 0, row_stride: 0 };
    for line in ["0 mem.w0 mem bank0=read:0+b0:w0", "16 send.0 send from=w0"] {
        let (cycle, queue, inst) = split(line);
        send.repeat(cycle, queue, inst, times).unwrap();
    }
    let send = program.block(&send);
    let lines = "
        0 receive.2 receive to=e0
        20 mem.w39 mem bank0=write:0+b0:e0
    ";
    let take = program.block(&block("take", &spec, lines));
    let entry = program.entry("main");
    program.instance(entry, send, 0, 0, NO_OFFSETS);
    program.instance(entry, take, 1, receive, NO_OFFSETS);
    program.finish()
}

/// The first cycle in which the vector can be taken.
pub(crate) fn arrival() -> u64 {
    let spec = spec();
    16 + u64::from(exchange_cycles(&spec)) + drift_slack(&spec, 300)
}

pub(crate) fn exchange() -> Built {
    exchange_at(arrival(), 1, true)
}

pub(crate) fn all() -> Vec<Program<'static>> {
    [add(), add_repeated(), chain(), gather(), matrix(), twice(), exchange()]
        .into_iter()
        .map(|built| built.unwrap_or_else(|violations| panic!("{violations:#?}")))
        .collect()
}
