//! Steps of the vector unit by name, and lane reductions.

use lockstep_machine::access::reduction_delay;
use lockstep_machine::geometry::{Hemisphere, Queue};
use lockstep_machine::inst::Inst;
use lockstep_machine::inst::field::Uint;
use lockstep_machine::inst::operand::{AluOp, Destination, Format, ReduceOp};

use super::memory::ANY;
use super::{Composer, Made, Operand, Producer, Value};
use crate::error::Error;

/// Steps by name.
macro_rules! steps {
    ($($name:ident = $op:ident ( $($operand:ident),* );)*) => {
        impl Composer<'_, '_> { $(
            pub(crate) fn $name(&mut self, $($operand: impl Into<Operand>),*) -> Result<Value, Error> {
                self.alu(AluOp::$op, &[$($operand.into()),*])
            }
        )* }
    };
}

steps! {
    add = Add(a, b);
    subtract = Subtract(a, b);
    multiply = Multiply(a, b);
    divide = Divide(a, b);
    square_root = SquareRoot(a);
    absolute = Absolute(a);
    negate = Negate(a);
    select = Select(condition, yes, no);
    ldexp = Ldexp(a, b);
    exponent = Exponent(a);
    ceil = Ceil(a);
    round_even = RoundEven(a);
    float = ToFloat(a);
    exp32 = Exp32(a);
    iadd = IntegerAdd(a, b);
    isub = IntegerSubtract(a, b);
    imul = IntegerMultiply(a, b);
    imin = IntegerMinimum(a, b);
    imax = IntegerMaximum(a, b);
    iless = IntegerLess(a, b);
    iequal = IntegerEqual(a, b);
    and = And(a, b);
    or = Or(a, b);
    shift_left = ShiftLeft(a, b);
    shift_right = ShiftRight(a, b);
    guard = Guard(a);
    round_i64 = RoundI64(a);
    add_i64 = AddI64(a, b);
}

impl Composer<'_, '_> {
    /// Segment boundaries of a reduction over the whole vector.
    pub(crate) const WHOLE: u32 = 1;

    /// Boundaries of groups of 32 lanes.
    pub(crate) fn groups(&self) -> u32 {
        (1 << self.spec.lanes().div_ceil(32)) - 1
    }

    /// The greatest f32 of each segment, over all vectors.
    pub(crate) fn maximum(&mut self, boundary: u32, values: &[Value]) -> Result<Value, Error> {
        self.reduce(ReduceOp::MaximumF32, boundary, values)
    }

    /// The exact sum of i32 over all vectors, rounded to f32.
    pub(crate) fn sum(&mut self, boundary: u32, values: &[Value]) -> Result<Value, Error> {
        let sum = self.reduce(ReduceOp::SumI32, boundary, values)?;
        self.round_i64(sum)
    }

    /// `0..count` in the order in which what they stand for comes.
    pub(crate) fn as_they_come(&self, count: usize, comes: impl Fn(&Self, usize) -> u64) -> Vec<usize> {
        let mut order: Vec<usize> = (0..count).collect();
        order.sort_by_cached_key(|index| comes(self, *index));
        order
    }

    /// Reduces vectors into one; the results stand in all lanes of their segments.
    pub(crate) fn reduce(&mut self, op: ReduceOp, boundary: u32, values: &[Value]) -> Result<Value, Error> {
        // Maxima and exact sums do not depend on the order: what comes last is taken last.
        let order = self.as_they_come(values.len(), |c, index| c.earliest(values[index]));
        let values: Vec<Value> = order.into_iter().map(|index| values[index]).collect();
        let from = values.first().map_or(0, |value| self.earliest(*value));
        let producer =
            self.first(&format!("reduce {op}"), from, |c, cycle| c.try_units(op, boundary, &values, cycle))?;
        Ok(self.produced(producer, format(op), Made::Reduce(op, boundary, values)))
    }

    /// Reduces vectors once more, so late that the result finds a way to memory.
    pub(crate) fn reduce_to_memory(
        &mut self,
        value: Value,
        op: ReduceOp,
        boundary: u32,
        values: &[Value],
    ) -> Result<(), Error> {
        let from = self.earliest(value);
        self.first_repeating(&format!("reduce {op} again"), from, |c, cycle| {
            let producer = c.try_units(op, boundary, values, cycle)?;
            c.add_producer(value, producer);
            let sides = [Hemisphere::East, Hemisphere::West];
            sides.into_iter().find_map(|side| c.spill_from(value, producer, side, ANY))
        })
    }

    fn try_units(&mut self, op: ReduceOp, boundary: u32, values: &[Value], cycle: u64) -> Option<Producer> {
        (0..self.spec.vxm.reduce_units as u8).find_map(|unit| {
            let mark = self.mark();
            let done = self.try_reduce(unit, op, boundary, values, cycle);
            if done.is_none() {
                self.rollback(&mark);
            }
            done
        })
    }

    fn try_reduce(&mut self, unit: u8, op: ReduceOp, boundary: u32, values: &[Value], from: u64) -> Option<Producer> {
        let queue = Queue::Reduce(unit);
        // No attempt that reaches the unit's next work succeeds; short ones are tried all the same, since what is tried
        // moves on whose turn it is among slices.
        let last_free = if values.len() > LONG { self.taken.free_until(queue, from)? } else { u64::MAX };
        let mut cycle = from;
        for (index, value) in values.iter().enumerate() {
            let (first, last) = (index == 0, index + 1 == values.len());
            // The first vector is taken in the cycle asked for, the others as soon as they come; the unit takes no
            // other vector between them.
            let tries = if first { 1 } else { BETWEEN };
            let from = if first { cycle } else { (cycle + 1).max(self.earliest(*value)) };
            cycle = (from..from + tries).take_while(|at| *at <= last_free).find(|&at| {
                let mark = self.mark();
                let inst = self.source(*value, at).and_then(|a| {
                    let (boundary, lanes) = (Uint::new(boundary)?, Uint::new(self.spec.lanes())?);
                    Some(Inst::Reduce { op, a, boundary, lanes, first, last, to: Destination::NONE })
                });
                let done = inst.is_some_and(|inst| self.taken.issue(queue, at, inst));
                if !done {
                    self.rollback(&mark);
                }
                done
            })?;
        }
        if !self.taken.exclusive(queue, from, cycle) {
            return None;
        }
        let appears = cycle + u64::from(reduction_delay(boundary, self.spec));
        self.taken.output(queue, appears).then_some(Producer { queue, issued: cycle, appears })
    }
}

fn format(op: ReduceOp) -> Format {
    match op {
        ReduceOp::MaximumI32 => Format::I32,
        ReduceOp::MaximumF32 => Format::F32,
        ReduceOp::SumI32 => Format::I64,
    }
}

/// Reductions of more vectors take long to try.
const LONG: usize = 8;
/// Cycles tried for the next vector of a reduction.
const BETWEEN: u64 = 256;
