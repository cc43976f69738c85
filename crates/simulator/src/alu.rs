//! What ALUs compute: arith's functions, lane by lane.

use lockstep_arith::elementwise::exp32;
use lockstep_arith::fault::{exponent, power_of_two};
use lockstep_machine::inst::operand::AluOp;

use crate::value::{LANES, Lanes, ValueError, WideLanes, round_i64};

/// Magnitudes from here on (2^50, infinities, not-a-numbers) are outside the contract.
const GUARD_BITS: u32 = 0x5880_0000;

/// The one NaN that is computed: which of its bits survive an operation differs from host to host.
const NOT_A_NUMBER: i32 = 0x7fc0_0000;

/// Applies an operation of 32-bit operands.
pub(crate) fn apply(
    op: AluOp,
    a: &Lanes,
    b: &Lanes,
    c: &Lanes,
    lanes: usize,
    out: &mut Lanes,
) -> Result<(), ValueError> {
    let float = |v: i32| f32::from_bits(v as u32);
    let bits = |v: f32| if v.is_nan() { NOT_A_NUMBER } else { v.to_bits() as i32 };
    match op {
        AluOp::Identity => *out = *a,
        AluOp::Add => zip(a, b, out, |a, b| bits(float(a) + float(b))),
        AluOp::Subtract => zip(a, b, out, |a, b| bits(float(a) - float(b))),
        AluOp::Multiply => zip(a, b, out, |a, b| bits(float(a) * float(b))),
        AluOp::Divide => zip(a, b, out, |a, b| bits(float(a) / float(b))),
        AluOp::FusedMultiplyAdd => {
            for lane in 0..LANES {
                out[lane] = bits(float(a[lane]).mul_add(float(b[lane]), float(c[lane])));
            }
        }
        AluOp::SquareRoot => map(a, out, |a| bits(float(a).sqrt())),
        AluOp::Absolute => map(a, out, |a| a & 0x7fff_ffff),
        AluOp::Negate => map(a, out, |a| a ^ i32::MIN),
        AluOp::Minimum => zip(a, b, out, |a, b| if ordered(a) <= ordered(b) { a } else { b }),
        AluOp::Maximum => zip(a, b, out, |a, b| if ordered(a) >= ordered(b) { a } else { b }),
        AluOp::Less => zip(a, b, out, |a, b| -i32::from(float(a) < float(b))),
        AluOp::LessEqual => zip(a, b, out, |a, b| -i32::from(float(a) <= float(b))),
        AluOp::Equal => zip(a, b, out, |a, b| -i32::from(float(a) == float(b))),
        AluOp::Select => {
            for lane in 0..LANES {
                out[lane] = if a[lane] == 0 { c[lane] } else { b[lane] };
            }
        }
        AluOp::Ldexp => {
            check(b, lanes, |b| (-126..=127).contains(&b), |b| format!("ldexp by {b}, which is not in -126..=127"))?;
            zip(a, b, out, |a, b| bits(float(a) * power_of_two(b.clamp(-126, 127))));
        }
        AluOp::Exponent => map(a, out, |a| exponent(float(a))),
        AluOp::Ceil => map(a, out, |a| float(a).ceil() as i32),
        AluOp::RoundEven => map(a, out, |a| float(a).round_ties_even() as i32),
        AluOp::ToFloat => map(a, out, |a| bits(a as f32)),
        AluOp::Exp32 => map(a, out, |a| bits(exp32(float(a)))),
        AluOp::IntegerAdd => exact("iadd", a, b, lanes, out, i32::overflowing_add)?,
        AluOp::IntegerSubtract => exact("isub", a, b, lanes, out, i32::overflowing_sub)?,
        AluOp::IntegerMultiply => exact("imul", a, b, lanes, out, i32::overflowing_mul)?,
        AluOp::IntegerMinimum => zip(a, b, out, i32::min),
        AluOp::IntegerMaximum => zip(a, b, out, i32::max),
        AluOp::IntegerLess => zip(a, b, out, |a, b| -i32::from(a < b)),
        AluOp::IntegerEqual => zip(a, b, out, |a, b| -i32::from(a == b)),
        AluOp::And => zip(a, b, out, |a, b| a & b),
        AluOp::Or => zip(a, b, out, |a, b| a | b),
        AluOp::Xor => zip(a, b, out, |a, b| a ^ b),
        AluOp::ShiftLeft => {
            check(b, lanes, |b| (0..32).contains(&b), |b| format!("a shift by {b}, which is not in 0..=31"))?;
            zip(a, b, out, |a, b| ((a as u32) << (b & 31)) as i32);
        }
        AluOp::ShiftRight => {
            check(b, lanes, |b| (0..32).contains(&b), |b| format!("a shift by {b}, which is not in 0..=31"))?;
            zip(a, b, out, |a, b| a >> (b & 31));
        }
        AluOp::Guard => {
            let inside = |a: i32| (a as u32 & 0x7fff_ffff) < GUARD_BITS;
            check(a, lanes, inside, |a| format!("{} is outside the range of the contract", float(a)))?;
            *out = *a;
        }
        AluOp::AddI64 | AluOp::RoundI64 => {
            return Err(ValueError::range(format!("{op} takes 64-bit operands, these have 32")));
        }
    }
    Ok(())
}

/// Adds 64-bit integers.
pub(crate) fn add_wide(a: &WideLanes, b: &WideLanes, lanes: usize, out: &mut WideLanes) -> Result<(), ValueError> {
    for lane in 0..lanes {
        out[lane] = a[lane].checked_add(b[lane]).ok_or_else(|| ValueError::overflow("add_i64", lane))?;
    }
    Ok(())
}

/// Rounds 64-bit integers to f32.
pub(crate) fn round_wide(a: &WideLanes, out: &mut Lanes) {
    for (out, a) in out.iter_mut().zip(a) {
        *out = round_i64(*a).to_bits() as i32;
    }
}

/// An integer whose order is the total order of the f32 with these bits.
pub(crate) fn ordered(bits: i32) -> i32 {
    bits ^ ((bits >> 31) & i32::MAX)
}

fn map(a: &Lanes, out: &mut Lanes, f: impl Fn(i32) -> i32) {
    for lane in 0..LANES {
        out[lane] = f(a[lane]);
    }
}

fn zip(a: &Lanes, b: &Lanes, out: &mut Lanes, f: impl Fn(i32, i32) -> i32) {
    for lane in 0..LANES {
        out[lane] = f(a[lane], b[lane]);
    }
}

fn exact(
    name: &str,
    a: &Lanes,
    b: &Lanes,
    lanes: usize,
    out: &mut Lanes,
    f: impl Fn(i32, i32) -> (i32, bool),
) -> Result<(), ValueError> {
    for lane in 0..lanes {
        let (value, overflows) = f(a[lane], b[lane]);
        if overflows {
            return Err(ValueError::overflow(name, lane));
        }
        out[lane] = value;
    }
    Ok(())
}

fn check(
    values: &Lanes,
    lanes: usize,
    inside: impl Fn(i32) -> bool,
    message: impl Fn(i32) -> String,
) -> Result<(), ValueError> {
    match values[..lanes].iter().position(|value| !inside(*value)) {
        None => Ok(()),
        Some(lane) => Err(ValueError::range(format!("{} in lane {lane}", message(values[lane])))),
    }
}
