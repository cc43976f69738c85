//! Lane reducers: a maximum or an exact sum over segments of lanes, over any number of vectors.

use lockstep_machine::inst::operand::ReduceOp;

use crate::alu::ordered;
use crate::value::{Lanes, ValueError, WideLanes};

/// Groups of 32 lanes in the largest vector.
const GROUPS: usize = 10;

/// What a reducer holds: a number for each group of 32 lanes that starts a segment.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Reducer {
    segments: [i64; GROUPS],
}

impl Reducer {
    /// Takes a vector in; lanes from `lanes` on stay out.
    pub(crate) fn take(
        &mut self,
        op: ReduceOp,
        first: bool,
        boundary: u32,
        values: &Lanes,
        lanes: usize,
    ) -> Result<(), ValueError> {
        if first {
            let start = if op == ReduceOp::SumI32 { 0 } else { i64::from(i32::MIN) };
            self.segments = [start; GROUPS];
        }
        let mut segment = 0;
        for (group, chunk) in values[..lanes].chunks(32).enumerate() {
            if boundary >> group & 1 == 1 {
                segment = group;
            }
            let held = &mut self.segments[segment];
            match op {
                ReduceOp::MaximumI32 => *held = (*held).max(i64::from(chunk.iter().copied().max().unwrap_or(i32::MIN))),
                ReduceOp::MaximumF32 => {
                    let most = chunk.iter().map(|bits| ordered(*bits)).max().unwrap_or(i32::MIN);
                    *held = (*held).max(i64::from(most));
                }
                ReduceOp::SumI32 => {
                    let sum: i64 = chunk.iter().map(|value| i64::from(*value)).sum();
                    *held = held.checked_add(sum).ok_or_else(|| ValueError::overflow("the sum", 32 * segment))?;
                }
            }
        }
        Ok(())
    }

    /// The results, each in all lanes of its segment.
    pub(crate) fn results(&self, op: ReduceOp, boundary: u32, out: &mut WideLanes) {
        let mut segment = 0;
        for (group, chunk) in out.chunks_mut(32).enumerate() {
            if boundary >> group & 1 == 1 {
                segment = group;
            }
            let held = self.segments[segment];
            chunk.fill(if op == ReduceOp::MaximumF32 { i64::from(ordered(held as i32)) } else { held });
        }
    }
}
