//! Programs by hand verify, and each kind of violation comes from one small change.
#![allow(missing_docs, clippy::unwrap_used)]

mod hand;

use hand::*;
use lockstep_machine::geometry::Queue;
use lockstep_machine::inst::parse;
use lockstep_machine::spec::MachineSpec;
use lockstep_program::builder::{BlockBuilder, ProgramBuilder, Repetition};
use lockstep_program::program::{Content, IssueId, Origin, TableOrigin};
use lockstep_program::verify::ViolationKind as Kind;
use lockstep_program::verify::{VIOLATIONS_LISTED, bytes_used, text_bytes};
use lockstep_program::{Program, derive, verify};

fn kinds(program: &Program<'_>) -> Vec<Kind> {
    verify(program).iter().map(|violation| violation.kind).collect()
}

fn refused(built: Built) -> Vec<Kind> {
    built.unwrap_err().iter().map(|violation| violation.kind).collect()
}

/// The instruction of a queue replaced.
fn with(mut program: Program<'static>, queue: &str, inst: usize, text: &str) -> Program<'static> {
    let queue = Queue::parse(queue).unwrap();
    let text_of = program.blocks[0].queues.iter_mut().find(|text| text.queue == queue).unwrap();
    text_of.insts[inst] = parse(text).unwrap().encode();
    program
}

fn line(lines: &str, from: &str, to: &str) -> String {
    assert!(lines.contains(from), "{from}");
    lines.replace(from, to)
}

#[test]
fn programs_by_hand_are_sound_and_deriving_again_changes_nothing() {
    for program in all() {
        assert_eq!(verify(&program), [], "{}", program.name);
        let mut again = program.clone();
        derive(&mut again).unwrap();
        assert_eq!(again, program);
        for block in &mut again.blocks {
            (block.flow, block.imports, block.cycles) = (Vec::new(), 0, 0);
        }
        for entry in &mut again.entries {
            (entry.cycles, entry.phases) = (0, Vec::new());
            entry.instances.iter_mut().for_each(|instance| instance.imports.clear());
        }
        derive(&mut again).unwrap();
        assert_eq!(again, program);
    }
}

#[test]
fn cycles_end_with_the_last_effect() {
    assert_eq!(add().unwrap().entries[0].cycles, 11);
    assert_eq!(add_repeated().unwrap().entries[0].cycles, 11 + 7 * 2);
    assert_eq!(twice().unwrap().entries[0].cycles, 22);
    assert_eq!(exchange().unwrap().entries[0].cycles, arrival() + 21);
}

#[test]
fn repetitions_share_edges() {
    let program = add_repeated().unwrap();
    let block = &program.blocks[0];
    // Two reads of memory, two operands, one written vector.
    assert_eq!((block.flow.len(), block.imports), (5, 2));
    assert!(block.flow.iter().all(|edge| edge.count == 8 && edge.step == 1));
    let first = |binding| Origin::Input { binding, vector: 0 };
    assert_eq!(program.entries[0].instances[0].imports, [first(0), first(1)]);
}

#[test]
fn instances_bind_imports() {
    let program = twice().unwrap();
    let writer = IssueId { queue: Queue::Mem(East, 0), inst: 2, issue: 0 };
    let imports: Vec<_> = program.entries[0].instances.iter().map(|instance| instance.imports.clone()).collect();
    assert_eq!(imports[0], [Origin::Input { binding: 0, vector: 0 }]);
    assert_eq!(imports[1], [Origin::Issue { block: 0, id: writer, result: 0 }]);
}

#[test]
fn what_lies_under_a_quiet_gather_is_an_operand() {
    let program = gather().unwrap();
    let under = |slice| {
        let queue = Queue::Mem(East, slice);
        program.blocks[0].flow.iter().find(|edge| edge.reader.queue == queue && edge.operand == 5).unwrap().origin
    };
    let id = IssueId { queue: Queue::Mem(East, 0), inst: 1, issue: 0 };
    assert_eq!((under(0), under(1)), (Origin::Nothing, Origin::Issue { block: 0, id, result: 0 }));
}

#[test]
fn tables_and_buffers_come_from_many() {
    let table = |image, vectors: u32| {
        let mut origin = TableOrigin::default();
        (0..vectors).for_each(|vector| origin.push(Origin::Image { image, vector }, 1));
        origin.finish()
    };
    let program = gather().unwrap();
    let imports = &program.entries[0].instances[0].imports;
    assert!(imports.contains(&table(0, 8)) && imports.contains(&table(1, 8)));

    let program = matrix().unwrap();
    let queue = Queue::Load(0);
    let edge = program.blocks[0].flow.iter().find(|edge| edge.reader.queue == queue && edge.reader.inst == 2).unwrap();
    let load = Origin::Issue { block: 0, id: IssueId { queue, inst: 1, issue: 0 }, result: 0 };
    assert_eq!(edge.origin, Origin::Many(load.part_hash(0)));
}

#[test]
fn illegal_instructions() {
    assert_eq!(kinds(&with(add().unwrap(), "alu.0", 1, "alu op=iadd a=e0:i8 to=e0:i8")), [Kind::Illegal]);
    let mut garbage = add().unwrap();
    garbage.blocks[0].queues[0].insts[0] = [0xee; 16];
    assert_eq!(kinds(&garbage), [Kind::Illegal]);
    let mut nowhere = add().unwrap();
    nowhere.entries[0].instances[0].block = 7;
    assert_eq!(kinds(&nowhere), [Kind::Illegal]);
    let mut twice = add().unwrap();
    let again = twice.blocks[0].queues[0].clone();
    twice.blocks[0].queues.insert(0, again);
    assert_eq!(kinds(&twice), [Kind::Illegal]);
}

#[test]
fn layout() {
    let mut overlapping = gather().unwrap();
    overlapping.images[1].first = word(East, 0, 0, 7);
    assert_eq!(kinds(&overlapping), [Kind::Layout]);
    let mut outside = gather().unwrap();
    outside.images[1].first.word = 4095;
    assert_eq!(kinds(&outside), [Kind::Layout]);
    let mut short = matrix().unwrap();
    short.images[0].content = Content::Bytes(vec![0; 319].into());
    assert_eq!(kinds(&short), [Kind::Layout]);
    let mut words = add().unwrap();
    words.bindings[2].words.clear();
    assert_eq!(kinds(&words), [Kind::Layout]);
    let mut links = exchange().unwrap();
    links.links[0].to_chip = 2;
    assert_eq!(kinds(&links), [Kind::Layout]);
    let mut unsorted = add().unwrap();
    unsorted.blocks[0].flow.reverse();
    assert_eq!(kinds(&unsorted), [Kind::Layout]);
}

#[test]
fn empty_reads() {
    let violations = verify(&with(add().unwrap(), "alu.0", 1, "alu op=iadd a=e0:i8 b=e5:i8 to=e0:i8"));
    assert_eq!(violations.len(), 1);
    let found = &violations[0];
    assert_eq!((found.kind, found.cycle, found.chip, found.unit), (Kind::EmptyRead, 6, 0, Some(Queue::Alu(0))));
    // An output lives for one cycle.
    let late = line(ADD, "a=e0:i8 b=e1:i8", "a=alu.3 b=e1:i8");
    assert_eq!(refused(with_bindings(&spec(), &late).finish()), [Kind::EmptyRead]);
    // Memory that nothing has written, and an output that nothing writes.
    assert_eq!(refused(with_bindings(&spec(), &line(ADD, "read:0+b0:e1", "read:1+b0:e1")).finish()), [Kind::EmptyRead]);
    let elsewhere = line(ADD, "write:0+b0", "write:1+b0");
    assert_eq!(refused(with_bindings(&spec(), &elsewhere).finish()), [Kind::EmptyRead]);
    // A table with a hole.
    assert_eq!(refused(gather_from(&line(GATHER, "count=16", "count=18")).finish()), [Kind::EmptyRead; 2]);
}

#[test]
fn stream_clashes_name_both() {
    let lines = format!("{ADD}\n0 mem.w2 mem bank0=read:0+b0:e1");
    let mut program = with_bindings(&spec(), &lines);
    program.image("more", word(West, 2, 0, 0), 1, Content::Zero);
    let violations = program.finish().unwrap_err();
    assert_eq!(violations.len(), 1);
    let found = &violations[0];
    assert_eq!((found.kind, found.cycle, found.unit), (Kind::StreamClash, 5, Some(Queue::Mem(West, 2))));
    assert_eq!(found.other.as_ref().unwrap().0, Queue::Mem(West, 1));
    let shown = found.to_string();
    assert!(shown.contains("StreamClash at cycle 5, chip 0, mem.w2 `mem bank0=read:0+b0:e1`"), "{shown}");
    // A gather that drives all lanes does not share.
    let loud = line(GATHER, "residue=1 count=16 quiet=true", "residue=1 count=16");
    assert_eq!(refused(gather_from(&loud).finish()), [Kind::StreamClash]);
}

#[test]
fn overwriting_downstream_is_lawful() {
    // mem.w2 stands in the same register one cycle later: it meets nothing of the first value.
    let lines = format!("{ADD}\n1 mem.w2 mem bank0=read:0+b0:e0");
    let mut program = with_bindings(&spec(), &lines);
    program.image("more", word(West, 2, 0, 0), 1, Content::Zero);
    assert_eq!(verify(&program.finish().unwrap()), []);
}

#[test]
fn port_clashes() {
    // The results of a long and of a short operation at one output.
    let lines = format!("{ADD}\n1 alu.0 alu op=divide a=imm b=imm imm=1.0");
    assert_eq!(refused(with_bindings(&spec(), &lines).finish()), [Kind::PortClash]);
    // A link that is busy with the vector before.
    let busy = "
        0 mem.w0 mem bank0=read:0+b0:w0
        20 mem.w0 mem bank0=read:0+b0:w0
        16 send.0 send from=w0
        36 send.0 send from=w0
    ";
    let mut program = with_bindings(&spec(), &format!("{ADD}{}", busy.replace("0 mem.w0 mem", "0 mem.w3 mem")));
    program.image("more", word(West, 3, 0, 0), 1, Content::Zero);
    program.chips(2);
    program.link((0, 0), (1, 0));
    let violations = program.finish().unwrap_err();
    assert_eq!(violations.len(), 1, "{violations:#?}");
    assert_eq!((violations[0].kind, violations[0].cycle), (Kind::PortClash, 36));
}

#[test]
fn bank_clashes() {
    let mut slow = spec();
    slow.mem.write_delay = 2;
    let lines = format!("{ADD}\n11 mem.e0 mem bank0=read:5+b0:e9");
    let build = |spec: &MachineSpec| {
        let mut program = with_bindings(spec, &lines);
        program.image("more", word(East, 0, 0, 5), 1, Content::Zero);
        program.finish()
    };
    assert!(build(&spec()).is_ok());
    assert_eq!(refused(build(&slow)), [Kind::BankClash]);
}

#[test]
fn early_drains() {
    let early = line(MATRIX, "42 drain", "41 drain").replace("46 mem", "45 mem");
    let violations = matrix_from(&early).finish().unwrap_err();
    assert_eq!(violations.len(), 1);
    assert_eq!((violations[0].kind, violations[0].cycle), (Kind::EarlyDrain, 41));
    assert_eq!(violations[0].other.as_ref().unwrap().0, Queue::Activate(0));
}

#[test]
fn wrong_producers() {
    for edge in 0..add().unwrap().blocks[0].flow.len() {
        let mut program = add().unwrap();
        let origin = &mut program.blocks[0].flow[edge].origin;
        *origin = match *origin {
            Origin::Import { import, offset } => Origin::Import { import, offset: offset + 1 },
            _ => Origin::Nothing,
        };
        assert_eq!(kinds(&program), [Kind::WrongProducer], "edge {edge}");
        let mut program = add().unwrap();
        program.blocks[0].flow.remove(edge);
        // Without its only edge, an import is unused: that is a second thing.
        assert!(kinds(&program).iter().all(|kind| *kind == Kind::WrongProducer));
        assert!(!kinds(&program).is_empty());
    }
    let mut step = add_repeated().unwrap();
    step.blocks[0].flow[4].step = 0;
    assert_eq!(kinds(&step), [Kind::WrongProducer; 7]);
    let mut import = twice().unwrap();
    import.entries[0].instances[1].imports[0] = Origin::Input { binding: 0, vector: 0 };
    assert_eq!(kinds(&import), [Kind::WrongProducer]);
}

#[test]
fn claims_about_nothing() {
    let changed = |change: fn(&mut Program<'static>)| {
        let mut program = add_repeated().unwrap();
        change(&mut program);
        kinds(&program)
    };
    assert_eq!(changed(|p| p.blocks[0].flow.last_mut().unwrap().count = u32::MAX), [Kind::WrongProducer]);
    let twice = |p: &mut Program<'static>| {
        let first = p.blocks[0].flow[0];
        p.blocks[0].flow.insert(0, first);
    };
    assert_eq!(changed(twice), [Kind::WrongProducer]);
    let extra = |p: &mut Program<'static>| {
        let last = *p.blocks[0].flow.last().unwrap();
        p.blocks[0].flow.push(lockstep_program::program::FlowEdge { operand: 7, ..last });
        p.blocks[0].flow.sort_unstable();
    };
    assert_eq!(changed(extra), [Kind::WrongProducer]);
    assert_eq!(changed(|p| p.entries[0].instances[0].imports.push(Origin::Nothing)), [Kind::WrongProducer]);
    let unused = |p: &mut Program<'static>| {
        p.blocks[0].imports += 1;
        p.entries[0].instances[0].imports.push(Origin::Nothing);
    };
    assert_eq!(changed(unused), [Kind::WrongProducer]);
}

#[test]
fn a_shifted_reader_is_seen_though_a_value_is_there() {
    // Two vectors follow each other on one stream; the reader takes the second instead of the first.
    let lines = format!("{ADD}\n7 alu.1 alu op=iadd a=imm b=imm imm=1 to=e0:i8");
    let mut program = with_bindings(&spec(), &lines).finish().unwrap();
    let text = program.blocks[0].queues.iter_mut().find(|text| text.queue == Queue::Mem(East, 0)).unwrap();
    text.insts[0] = parse("nop cycles=11").unwrap().encode();
    let violations = verify(&program);
    let of: Vec<Kind> = violations.iter().map(|violation| violation.kind).collect();
    assert_eq!(of, [Kind::WrongProducer, Kind::CycleMismatch, Kind::CycleMismatch], "{violations:#?}");
    assert_eq!(violations[0].other.as_ref().unwrap().0, Queue::Alu(1));
}

#[test]
fn addresses() {
    let mut program = add().unwrap();
    program.entries[0].instances[0].offsets[0] = 4096;
    let found = kinds(&program);
    assert!(found.iter().filter(|kind| **kind == Kind::AddressOutOfRange).count() == 3, "{found:?}");
    program.entries[0].instances[0].offsets[0] = -1;
    assert!(kinds(&program).contains(&Kind::AddressOutOfRange));
    // All words of a table count, whichever the indices name.
    let mut program = gather().unwrap();
    program.entries[0].instances[0].offsets[0] = 4089;
    let found = kinds(&program);
    assert_eq!(found.iter().filter(|kind| **kind == Kind::AddressOutOfRange).count(), 2, "{found:?}");
}

#[test]
fn kinds_of_tiles() {
    let other = line(MATRIX, "install kind=int8", "install kind=lb8");
    assert_eq!(refused(matrix_from(&other).finish()), [Kind::KindMismatch; 2]);
    assert_eq!(kinds(&with(matrix().unwrap(), "load.0", 2, "install kind=lb8")), [Kind::KindMismatch; 2]);
}

#[test]
fn links() {
    assert!(exchange_at(arrival() + 1, 1, true).is_ok());
    let late = exchange_at(arrival() - 1, 1, true).unwrap_err();
    assert_eq!(late.len(), 1);
    assert_eq!((late[0].kind, late[0].chip, late[0].cycle), (Kind::LinkLate, 1, arrival() - 1));
    assert_eq!(late[0].other.as_ref().unwrap().0, Queue::Send(0));
    assert_eq!(refused(exchange_at(arrival(), 1, false)), [Kind::Unconnected; 2]);
    // The receiver holds three.
    assert!(exchange_at(1000, 3, true).is_ok());
    assert_eq!(refused(exchange_at(1000, 4, true)), [Kind::LinkOverflow]);
}

#[test]
fn overlaps() {
    assert_eq!(refused(twice_at(10)), [Kind::Overlap]);
}

#[test]
fn cycles() {
    let mut program = add().unwrap();
    program.entries[0].cycles += 1;
    assert_eq!(kinds(&program), [Kind::CycleMismatch]);
    let mut program = add().unwrap();
    program.blocks[0].cycles -= 1;
    assert_eq!(kinds(&program), [Kind::CycleMismatch]);
    let mut program = add().unwrap();
    program.entries[0].phases[0].cycles -= 1;
    assert_eq!(kinds(&program), [Kind::CycleMismatch]);
}

/// A queue of `insts` additions on a machine with streamed supply, with an `ifetch` at the cycle, if any.
fn streamed(insts: u64, fetch: Option<u64>) -> Built {
    let spec = MachineSpec::preset("tsp2020").unwrap();
    let mut code = BlockBuilder::new("main", &spec);
    let alu = parse("alu op=iadd a=imm b=imm imm=1").unwrap();
    let mut program = ProgramBuilder::new("streamed", &spec);
    for cycle in (0..insts).filter(|cycle| Some(*cycle) != fetch) {
        code.issue(cycle, Queue::Alu(0), alu).unwrap();
    }
    if let Some(cycle) = fetch {
        program.image("text", word(West, 0, 0, 0), 2, Content::Zero);
        let (read, twice) =
            (parse("mem bank0=read:0+b0:e0").unwrap(), Repetition { issues: 2, word_stride: 1, ..Repetition::ONCE });
        code.repeat(cycle - 6, Queue::Mem(West, 0), read, twice).unwrap();
        code.issue(cycle, Queue::Alu(0), parse("ifetch from=e0").unwrap()).unwrap();
    }
    let code = program.block(&code);
    let entry = program.entry("main");
    program.instance(entry, code, 0, 0, NO_OFFSETS);
    program.finish()
}

#[test]
fn supply() {
    // A queue starts with 1280 bytes, 80 instructions; an ifetch brings 40 more.
    assert!(streamed(80, None).is_ok());
    let starved = streamed(81, None).unwrap_err();
    assert_eq!(starved.len(), 1);
    assert_eq!((starved[0].kind, starved[0].cycle), (Kind::Starved, 80));
    assert!(streamed(120, Some(50)).is_ok());
    assert_eq!(refused(streamed(121, Some(50))), [Kind::Starved]);
    // There is no room for a granule before 40 instructions are gone.
    assert!(streamed(80, Some(38)).is_ok());
    assert_eq!(refused(streamed(80, Some(37))), [Kind::Starved]);
    // And it must come in time.
    assert!(streamed(120, Some(78)).is_ok());
    assert_eq!(refused(streamed(120, Some(79))), [Kind::Starved]);
}

#[test]
fn text_lies_in_its_slices() {
    let program = add().unwrap();
    // West: two reads, a pause and an addition; east: a pause and a write.
    assert_eq!(text_bytes(&program, 0), [4 * 16, 2 * 16]);
    assert_eq!(bytes_used(&program, 0), 3 * 320 + 6 * 16);
    let upon = |slice, at| {
        let mut program = with_bindings(&spec(), ADD);
        program.image("more", word(West, slice, 0, at), 1, Content::Zero);
        let program = program.finish().unwrap();
        kinds(&program)
    };
    assert_eq!((upon(40, 0), upon(40, 1), upon(39, 0)), (vec![Kind::TextOverflow], vec![], vec![]));
    let written = format!("{ADD}\n24 mem.w40 mem bank0=write:0+b0:w9\n0 mem.w3 mem bank0=read:0+b0:w9")
        .replace("24 mem.w40", "15 mem.w40");
    let mut program = with_bindings(&spec(), &written);
    program.image("more", word(West, 3, 0, 0), 1, Content::Zero);
    assert_eq!(refused(program.finish()), [Kind::TextOverflow]);
}

#[test]
fn reports_are_bounded() {
    let spec = spec();
    let mut block = BlockBuilder::new("main", &spec);
    let times = Repetition { issues: 2000, ..Repetition::ONCE };
    block.repeat(0, Queue::Alu(0), parse("alu op=iadd a=e0:i8 b=imm").unwrap(), times).unwrap();
    let mut program = ProgramBuilder::new("many", &spec);
    program.block(&block);
    let violations = program.finish().unwrap_err();
    assert_eq!(violations.len(), VIOLATIONS_LISTED + 1);
    assert_eq!(violations[VIOLATIONS_LISTED].kind, Kind::More);
    assert!(violations[VIOLATIONS_LISTED].message.contains("1000 more"));
}
