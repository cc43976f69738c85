//! Exchanges between chips whose clocks drift: what the verifier takes, to the cycle.
#![allow(missing_docs, clippy::unwrap_used)]

mod hand;

use hand::*;
use lockstep_machine::inst::operand::Format;
use lockstep_program::builder::{BlockBuilder, ProgramBuilder};
use lockstep_program::program::{BindingKind, Content, Word};
use lockstep_program::verify::ViolationKind as Kind;

fn refused(built: Built) -> Vec<Kind> {
    built.unwrap_err().iter().map(|violation| violation.kind).collect()
}

/// Two chips that exchange vectors, each taken so many cycles after its send: `(send, receive)` from the entry's start;
/// each chip aligns its clock at the times given.
fn exchanges(vectors: &[(u64, u64)], aligned: [&[u64]; 2]) -> Built {
    let spec = spec();
    let mut program = ProgramBuilder::new("drift", &spec);
    program.chips(2);
    program.link((0, 0), (1, 2));
    program.image("x", word(West, 0, 0, 0), 1, Content::Zero);
    let there = Word { chip: 1, ..word(West, 39, 0, 0) };
    program.binding("y", BindingKind::Output, Format::I8, 320, [there]);
    let send = program.block(&block("send", &spec, "0 mem.w0 mem bank0=read:0+b0:w0\n16 send.0 send from=w0"));
    let lines = "0 receive.2 receive to=e0\n20 mem.w39 mem bank0=write:0+b0:e0";
    let take = program.block(&block("take", &spec, lines));
    let align = program.block(&block("align", &spec, "0 send.5 runtime_deskew cycles=252"));
    let entry = program.entry("main");
    for (sent, taken) in vectors {
        program.instance(entry, send, 0, sent - 16, NO_OFFSETS);
        program.instance(entry, take, 1, *taken, NO_OFFSETS);
    }
    for (chip, times) in (0..).zip(aligned) {
        for at in times {
            program.instance(entry, align, chip, *at, NO_OFFSETS);
        }
    }
    program.finish()
}

#[test]
fn receives_allow_for_drift() {
    // ceil(2 x 100 x cycles / 1,000,000) + 1 more than 275 cycles after the send, where the clocks were aligned so many
    // cycles before the receive.
    for (taken, slack) in [(300, 2), (5_000, 2), (5_001, 3), (20_000, 5), (30_001, 8), (35_000, 8)] {
        assert!(exchanges(&[(taken - 275 - slack, taken)], [&[]; 2]).is_ok(), "{taken}");
        assert_eq!(refused(exchanges(&[(taken - 274 - slack, taken)], [&[]; 2])), [Kind::LinkLate], "{taken}");
    }
    assert_eq!(refused(exchanges(&[(30_000, 35_001)], [&[]; 2])), [Kind::Unaligned]);
}

#[test]
fn alignment_begins_anew() {
    // Both aligned from 40,000 on.
    let both: [&[u64]; 2] = [&[39_748]; 2];
    assert!(exchanges(&[(40_000 + 35_000 - 283, 40_000 + 35_000)], both).is_ok());
    assert_eq!(refused(exchanges(&[(74_000, 75_001)], both)), [Kind::Unaligned]);
    assert!(exchanges(&[(40_016, 40_016 + 277)], both).is_ok());
    assert_eq!(refused(exchanges(&[(40_016, 40_016 + 276)], both)), [Kind::LinkLate]);
    // One alone is not enough.
    for one in [[both[0], &[]], [&[], both[1]]] {
        assert_eq!(refused(exchanges(&[(50_000, 51_000)], one)), [Kind::Unaligned]);
    }
    // What is under way meanwhile was sent by the clock as it was before, 30,000 cycles after the entry's start: 7
    // cycles.
    let across: [&[u64]; 2] = [&[30_050]; 2];
    assert!(exchanges(&[(30_000, 30_302 + 100)], across).is_ok());
    let early = [&[30_050 - 310][..], &[][..]];
    assert_eq!(refused(exchanges(&[(30_016, 30_016 + 281)], early)), [Kind::LinkLate]);
    assert!(exchanges(&[(30_016, 30_016 + 283)], early).is_ok());
    // Three wait from 209 cycles after the first on; a fourth finds room if one was taken before, with drift to spare.
    let four = |first: u64| {
        let sends = [20_000, 20_100, 20_200, 20_300];
        let takes = [first, first + 100, first + 200, first + 300];
        exchanges(&sends.into_iter().zip(takes).collect::<Vec<_>>(), [&[]; 2])
    };
    let arrives = 20_300 + 23 + 24 + 209;
    let slack = 6;
    assert!(four(arrives - slack - 1).is_ok());
    assert_eq!(refused(four(arrives - slack)), [Kind::LinkOverflow]);
}

#[test]
fn a_block_that_aligns_does_nothing_else() {
    assert_eq!(
        refused(with_bindings(&spec(), &format!("{ADD}\n20 send.0 runtime_deskew cycles=252")).finish()),
        [Kind::Illegal]
    );
    let twice = "0 send.0 runtime_deskew cycles=252\n0 send.1 runtime_deskew cycles=252";
    assert_eq!(refused(with_bindings(&spec(), twice).finish()), [Kind::Illegal]);
    assert_eq!(refused(with_bindings(&spec(), "0 send.0 runtime_deskew cycles=251").finish()), [Kind::Illegal]);
    // It takes the time that it says, after what comes before it.
    let spec = spec();
    let code = block("align", &spec, "7 send.0 runtime_deskew cycles=300").finish();
    assert_eq!(code.cycles, 307);
    let mut builder = BlockBuilder::new("align", &spec);
    let (_, queue, inst) = hand::split("0 send.0 runtime_deskew cycles=300");
    builder.issue(7, queue, inst).unwrap();
    let nop = hand::split("0 send.0 deskew").2;
    assert!(builder.issue(306, queue, nop).is_err() && builder.issue(307, queue, nop).is_ok());
    assert_eq!(builder.finish().cycles, 308);
}
