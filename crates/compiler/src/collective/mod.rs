//! Collectives: what chips exchange, as a program in which every vector has its link, its cycle on it, and the cycle in
//! which it is taken. There is no queue to wait in; the verifier proves that no link carries two vectors at once, that
//! each is taken when it has surely come, and that no receiver is asked to hold more than it can.
//!
//! Several ways are written down, and the one of the fewest cycles is kept: which that is depends on the cables and on
//! how many vectors there are.

pub(crate) mod deliver;
mod draft;
mod moves;
mod nodes;
mod reduce;
pub(crate) mod route;
mod tree;

use std::fmt;

use lockstep_machine::geometry::Hemisphere;
use lockstep_machine::inst::operand::Format;
use lockstep_machine::system::SystemSpec;
use lockstep_program::Program;

use crate::error::Error;

/// The side of values that have no reason to be on the other one: links within a node leave there.
const SIDE: Hemisphere = Hemisphere::West;

/// What chips do together. Chip c has the input `x.c` and the output `y.c`, if any.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Collective {
    /// Each chip has vectors of i32; all get their sums, exactly. An overflow is a fault of the run.
    AllReduce,
    /// Each chip has vectors of bytes; all get all of them, in the order of the chips.
    AllGather,
    /// One chip has vectors of bytes; all others get them.
    Broadcast {
        /// Which.
        from: u32,
    },
    /// One chip has vectors of bytes; another gets them.
    Transfer {
        /// Which has them.
        from: u32,
        /// Which gets them.
        to: u32,
    },
}

impl Collective {
    /// `all-reduce` and so on: the name of the program, of its entry and of the phase behind the alignment.
    pub fn name(self) -> &'static str {
        match self {
            Self::AllReduce => "all-reduce",
            Self::AllGather => "all-gather",
            Self::Broadcast { .. } => "broadcast",
            Self::Transfer { .. } => "transfer",
        }
    }

    /// What a number is.
    pub fn format(self) -> Format {
        if self == Self::AllReduce { Format::I32 } else { Format::I8 }
    }
}

/// How it is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// All vectors take shortest routes.
    Shortest,
    /// Some vectors take longer routes, over cables that would else be idle.
    Detours,
    /// Every chip gets everything and adds it up.
    Gather,
    /// Each vector is added up by one chip.
    Scatter,
    /// Nodes add up, exchange their sums, and add up again.
    Nodes,
    /// Sums go up a tree to chip 0, and the total down.
    Tree,
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Shortest => "shortest routes",
            Self::Detours => "detours too",
            Self::Gather => "all to all",
            Self::Scatter => "each vector added up by one chip",
            Self::Nodes => "node, other nodes, node",
            Self::Tree => "up a tree and down",
        })
    }
}

/// A collective's program.
#[derive(Debug)]
pub struct Collected {
    /// The program; its one entry is an alignment of the chips, if there are several, and the collective.
    pub program: Program<'static>,
    /// How it is done.
    pub method: Method,
    /// Each way that was written down, with the cycles that it takes behind the alignment.
    pub tried: Vec<(Method, u64)>,
    /// The most cables that a value depends on one after the other.
    pub hops: u32,
}

/// Makes a collective's program for the chips of a system, each vector having as many numbers as the machine has lanes.
pub fn compile_collective(system: &SystemSpec, collective: Collective, vectors: usize) -> Result<Collected, Error> {
    check(system, collective, vectors)?;
    let ways = match collective {
        Collective::AllReduce => all_reduce(system, vectors),
        Collective::AllGather => vec![moves::all_gather(system, vectors)],
        Collective::Broadcast { from } => moves::broadcast(system, from, vectors),
        Collective::Transfer { from, to } => moves::transfer(system, (from, to), vectors),
    };
    // One that takes too long, or too much memory, does not stand in the way of another.
    let (mut finished, mut failed) = (Vec::new(), None);
    for way in ways {
        match way.and_then(draft::Draft::finish) {
            Ok(way) => finished.push(way),
            Err(error) => failed = failed.or(Some(error)),
        }
    }
    let tried = finished.iter().map(|way| (way.method, way.cycles)).collect();
    let Some(best) = finished.into_iter().min_by_key(|way| way.cycles) else {
        return Err(failed.unwrap_or_else(|| Error::shape("ways", "none", "one")));
    };
    let (method, hops) = (best.method, best.hops);
    Ok(Collected { program: best.program(collective.format())?, method, tried, hops })
}

/// A way to do a collective, or why it cannot be done so.
type Way<'a> = Result<draft::Draft<'a>, Error>;

fn check(system: &SystemSpec, collective: Collective, vectors: usize) -> Result<(), Error> {
    let there = |chip: u32| {
        let expected = || format!("0 to {}", system.chips - 1);
        if chip < system.chips { Ok(()) } else { Err(Error::shape("chip", chip, expected())) }
    };
    match collective {
        Collective::AllReduce | Collective::AllGather => {}
        Collective::Broadcast { from } => there(from)?,
        Collective::Transfer { from, to } => {
            there(from)?;
            there(to)?;
            if from == to {
                return Err(Error::shape("transfer", format!("from chip {from} to itself"), "another chip"));
            }
        }
    }
    if system.chips < 2 {
        return Err(Error::shape("chips", system.chips, "2 at least"));
    }
    if vectors == 0 {
        return Err(Error::shape("vectors", 0, "1 at least"));
    }
    if system.machine().vxm.alus == 0 && collective == Collective::AllReduce {
        return Err(Error::Machine { machine: system.machine().name.clone(), what: "ALU" });
    }
    Ok(())
}

/// The ways to add up: among few chips those that use all cables at once, among nodes by nodes, and by a tree where
/// neither can be.
fn all_reduce(system: &SystemSpec, vectors: usize) -> Vec<Way<'_>> {
    if system.chips <= system.machine().package.chips_per_node {
        return vec![reduce::gather(system, vectors), reduce::scatter(system, vectors)];
    }
    vec![nodes::Nodes::new(system).map_or_else(|| tree::reduce(system, vectors), |nodes| nodes.reduce(vectors))]
}
