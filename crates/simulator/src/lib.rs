//! Runs programs: exact cycles, exact values, and a fault for everything that is not lawful.
//!
//! In: a `Program` and the values of its inputs. Out: the values of its outputs, cycles, counters, a trace, or the first
//! fault. It knows no graphs, no models and no compiler: it believes only what the machine's accesses say.

mod check;
mod edges;
mod fault;
mod link;

pub use fault::{Fault, FaultKind};
