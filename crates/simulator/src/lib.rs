//! Runs programs: exact cycles, exact values, and a fault for everything that is not lawful.
//!
//! In: a `Program` and the values of its inputs. Out: the values of its outputs, cycles, counters, a trace, or the first
//! fault. It knows no graphs, no models and no compiler: it believes only what the machine's accesses say. It does not
//! tick: timing never depends on values, so a program is linked once ([`Linked`]: every hazard, every operand) and its
//! tape is then run as often as wanted ([`Simulator`]). Start reading at [`Linked`], then `link`, `check`, `state`,
//! `chip`.

mod alu;
mod check;
mod chip;
mod clock;
mod conditions;
mod counters;
mod ecc;
mod edges;
mod exchange;
mod fault;
mod half;
mod link;
mod linked;
mod memory;
mod plane;
#[cfg(test)]
mod plane_tests;
mod reduce;
mod run;
mod say;
mod simulator;
mod slots;
mod state;
mod supply;
mod switch;
mod tape;
mod threads;
mod tile;
mod touches;
mod trace;
mod traffic;
mod value;
mod vector;
mod words;

pub use clock::Elapsed;
pub use conditions::{BILLION, Conditions, Drift};
pub use counters::{Counters, Energy, UNITS};
pub use fault::{Fault, FaultKind, Unit};
pub use linked::{Linked, Report};
pub use simulator::{Error, Simulator};
pub use trace::write_trace;
