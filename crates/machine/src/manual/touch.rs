//! What an instruction touches, in words: the accesses of an issue, put together by what they are.

use std::fmt::Write as _;

use crate::access::{Access, Effect, Place, WordAddress, accesses};
use crate::geometry::{Direction, Queue};
use crate::inst::field::Stream;
use crate::spec::MachineSpec;

use super::examples::Example;

/// The accesses of one issue as phrases, each list in the order of the accesses.
#[derive(Debug, Default)]
pub(super) struct Touch {
    /// Streams and outputs taken.
    pub(super) operands: Vec<String>,
    /// Streams and outputs driven.
    pub(super) results: Vec<String>,
    /// State read.
    pub(super) reads: Vec<String>,
    /// State changed.
    pub(super) changes: Vec<String>,
    /// How long the queue's unit, and others with it, can take nothing else.
    pub(super) busy: String,
    /// Streams taken and driven.
    pub(super) streams: usize,
}

impl Touch {
    /// What an example touches on a machine.
    pub(super) fn of(example: &Example, spec: &MachineSpec) -> Self {
        let mut all = Vec::new();
        accesses(&example.inst.into(), example.queue, spec, &mut |access| all.push(access));
        let mut touch = Self { busy: busy(&all, example.queue), ..Self::default() };
        let mut at = 0;
        while at < all.len() {
            let run = run_length(&all[at..]);
            touch.add(&all[at..at + run]);
            at += run;
        }
        touch
    }

    /// One run of like accesses.
    fn add(&mut self, run: &[Access]) {
        let (first, last) = (run[0], run[run.len() - 1]);
        let what = places(first.place, last.place);
        let is_read = matches!(first.effect, Effect::Read { .. });
        match (first.place, is_read) {
            (Place::Port(_), _) => {}
            (Place::Stream(_, _, position), true) => {
                self.streams += run.len();
                self.operands.push(format!("{what} at {position}, {}", after(first.at)));
            }
            (Place::Output(_), true) => self.operands.push(format!("{what}, {}", after(first.at))),
            (Place::Stream(_, _, position), false) => {
                self.streams += run.len();
                let merged = if first.effect == Effect::Merge { ", over what is there" } else { "" };
                self.results.push(format!("{what} at {position}, {}{merged}", after(first.at)));
            }
            // An output is written in the cycle before the one in which it can be taken.
            (Place::Output(_), false) => self.results.push(format!("{what}, {}", after(first.at + 1))),
            (_, true) => self.reads.push(format!("{what}{}", demand(first.effect))),
            (Place::LinkOut(_), false) => self.changes.push(format!("{what}, its last bit {}", after(first.at))),
            (_, false) => self.changes.push(format!("{what}, for reads from {} on", after(first.at + 1))),
        }
    }
}

/// How many accesses from the first on differ only in that each place is the next after the one before.
fn run_length(all: &[Access]) -> usize {
    let follows = |a: &Access, b: &Access| {
        let next = match (a.place, b.place) {
            (Place::Stream(d, n, p), Place::Stream(e, m, q)) => d == e && n + 1 == m && p == q,
            (Place::BufferVector(p, v), Place::BufferVector(q, w))
            | (Place::BufferScale(p, v), Place::BufferScale(q, w)) => p == q && v + 1 == w,
            _ => false,
        };
        next && a.at == b.at && a.effect == b.effect
    };
    1 + all.windows(2).take_while(|pair| follows(&pair[0], &pair[1])).count()
}

fn after(cycles: u32) -> String {
    format!("+{cycles}")
}

fn demand(effect: Effect) -> String {
    match effect {
        Effect::Read { age } if age > 0 => format!(", written {age} cycles before or earlier"),
        _ => String::new(),
    }
}

/// A run of places by its first and last.
fn places(first: Place, last: Place) -> String {
    let numbers = |name: &str, from: u16, to: u16| {
        if from == to { format!("{name} {from}") } else { format!("{name}s {from} to {to}") }
    };
    match (first, last) {
        (Place::Stream(direction, from, _), Place::Stream(_, to, _)) => streams(direction, from, to),
        (Place::Word(_, _, bank, word), _) => format!("word {} of bank {bank}", address(word)),
        (Place::Words(_, _, bank, word, words), _) => {
            format!("in each superlane at most one of {words} words from {} of bank {bank} on", address(word))
        }
        (Place::Output(queue), _) => format!("the output of `{queue}`"),
        (Place::Reduction(_), _) => "the reducer's state".to_owned(),
        (Place::BufferVector(_, from), Place::BufferVector(_, to)) => numbers("buffer vector", from, to),
        (Place::BufferScale(_, from), Place::BufferScale(_, to)) => numbers("buffer scale", from, to),
        (Place::Codebook(_), _) => "the codebook".to_owned(),
        (Place::Buffer(_), _) => "the whole buffer, which is then empty".to_owned(),
        (Place::Array(_), _) => "the array".to_owned(),
        (Place::Accumulator(_, row), _) => format!("accumulator row {row}"),
        (Place::LinkOut(link), _) => format!("a vector on link {link}"),
        (Place::LinkIn(link), _) => format!("the next vector of link {link}"),
        (Place::Clock, _) => "the chip's clock".to_owned(),
        (other, _) => format!("{other:?}"),
    }
}

fn streams(direction: Direction, from: u8, to: u8) -> String {
    let name = |number| Stream { direction, number };
    if from == to { format!("{}", name(from)) } else { format!("{} to {}", name(from), name(to)) }
}

fn address(at: WordAddress) -> String {
    format!("{}+b{}", at.word, at.base)
}

/// For how long the unit takes no other instruction, and which queues wait with it.
fn busy(all: &[Access], own: Queue) -> String {
    let uses = |wanted: Queue| {
        let is = |access: &&Access| access.effect == Effect::Use && access.place == Place::Port(wanted);
        all.iter().filter(is).count()
    };
    let mut text = cycles(uses(own).max(1));
    let mut others = Vec::new();
    for access in all {
        if let (Place::Port(queue), Effect::Use) = (access.place, access.effect)
            && queue != own
            && !others.contains(&queue)
        {
            others.push(queue);
        }
    }
    for queue in others {
        let _ = write!(text, ", and that of `{queue}` {}", cycles(uses(queue)));
    }
    text
}

pub(super) fn cycles(count: usize) -> String {
    if count == 1 { "1 cycle".to_owned() } else { format!("{count} cycles") }
}
