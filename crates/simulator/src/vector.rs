//! The vector unit: ALUs and lane reducers on values in flight.

use lockstep_machine::inst::Inst;
use lockstep_machine::inst::operand::{AluOp, Destination, Format, ReduceOp, Source};
use lockstep_machine::spec::MachineSpec;

use crate::alu;
use crate::reduce::Reducer;
use crate::slots::Slots;
use crate::tape::NO_SLOT;
use crate::value::{self, Bytes, LANES, Lanes, ValueError, WideLanes, join, join_wide, round_i64};

/// Operands and results while an instruction runs, and what reducers hold.
pub(crate) struct Vectors {
    lanes: usize,
    narrow: Box<[Lanes; 4]>,
    wide: Box<[WideLanes; 3]>,
    reducers: Vec<Reducer>,
}

impl Vectors {
    pub(crate) fn new(spec: &MachineSpec) -> Self {
        Self {
            lanes: spec.lanes() as usize,
            narrow: Box::new([[0; LANES]; 4]),
            wide: Box::new([[0; LANES]; 3]),
            reducers: vec![Reducer::default(); spec.vxm.reduce_units as usize],
        }
    }

    pub(crate) fn alu(
        &mut self,
        inst: &Inst,
        slots: &mut Slots,
        operands: &[u32],
        results: &[u32],
    ) -> Result<(), ValueError> {
        let Inst::Alu { op, a, b, c, imm, to } = *inst else { return Ok(()) };
        let sources = [a, b, c];
        let is_wide = match op {
            AluOp::AddI64 | AluOp::RoundI64 => true,
            AluOp::Identity => is_wide(a, slots, operands),
            _ => false,
        };
        let mut next = 0;
        for (place, source) in sources.into_iter().enumerate() {
            let taken = streams(source);
            let slots_of = &operands[next..next + taken];
            next += taken;
            if is_wide {
                if place < 2 && source != Source::None {
                    load_wide(source, imm.0, slots, slots_of, &mut self.wide[place]);
                }
            } else {
                load(source, imm.0, slots, slots_of, self.lanes, &mut self.narrow[place])?;
            }
        }
        let [a, b, c, out] = &mut *self.narrow;
        let [wide_a, wide_b, wide_out] = &mut *self.wide;
        match op {
            AluOp::AddI64 => {
                alu::add_wide(wide_a, wide_b, self.lanes, wide_out)?;
                put_wide(wide_out, to, self.lanes, slots, results)
            }
            AluOp::Identity if is_wide => put_wide(wide_a, to, self.lanes, slots, results),
            AluOp::RoundI64 => {
                alu::round_wide(wide_a, out);
                put(out, to, self.lanes, slots, results)
            }
            _ => {
                alu::apply(op, a, b, c, self.lanes, out)?;
                put(out, to, self.lanes, slots, results)
            }
        }
    }

    pub(crate) fn reduce(
        &mut self,
        inst: &Inst,
        unit: u8,
        slots: &mut Slots,
        operands: &[u32],
        results: &[u32],
    ) -> Result<(), ValueError> {
        let Inst::Reduce { op, a, boundary, lanes, first, last, to } = *inst else { return Ok(()) };
        let values = &mut self.narrow[0];
        load(a, 0, slots, operands, self.lanes, values)?;
        let taking = (lanes.get() as usize).min(self.lanes);
        let reducer = &mut self.reducers[usize::from(unit)];
        reducer.take(op, first, boundary.get(), values, taking)?;
        if !last {
            return Ok(());
        }
        let wide = &mut self.wide[2];
        reducer.results(op, boundary.get(), wide);
        if op == ReduceOp::SumI32 {
            return put_wide(wide, to, self.lanes, slots, results);
        }
        let out = &mut self.narrow[3];
        out.iter_mut().zip(&*wide).for_each(|(out, value)| *out = *value as i32);
        put(out, to, self.lanes, slots, results)
    }
}

/// Operand entries of a source.
fn streams(source: Source) -> usize {
    match source {
        Source::None | Source::Immediate => 0,
        Source::Stream(_, format) => usize::from(format.streams()),
        Source::Alu(_) | Source::Reduce(_) => 1,
    }
}

fn is_wide(source: Source, slots: &Slots, operands: &[u32]) -> bool {
    match source {
        Source::Stream(_, format) => format == Format::I64,
        Source::Alu(_) | Source::Reduce(_) => slots.is_wide[operands[0] as usize],
        Source::None | Source::Immediate => false,
    }
}

/// A 32-bit operand. A 64-bit output is taken if it fits.
fn load(
    source: Source,
    imm: u32,
    slots: &Slots,
    operands: &[u32],
    lanes: usize,
    out: &mut Lanes,
) -> Result<(), ValueError> {
    match source {
        Source::None => {}
        Source::Immediate => out.fill(imm as i32),
        Source::Stream(_, format) => {
            let mut planes: [&Bytes; 4] = [&[0; LANES]; 4];
            planes.iter_mut().zip(operands).for_each(|(plane, slot)| *plane = &slots.bytes[*slot as usize]);
            join(&planes[..operands.len().min(4)], format, out);
        }
        Source::Alu(_) | Source::Reduce(_) => {
            let slot = operands[0] as usize;
            if !slots.is_wide[slot] {
                *out = slots.lanes[slot];
                return Ok(());
            }
            for (lane, (out, value)) in out.iter_mut().zip(&slots.wide[slot]).enumerate().take(lanes) {
                *out = i32::try_from(*value).map_err(|_| ValueError::overflow("a 64-bit operand of 32 bits", lane))?;
            }
        }
    }
    Ok(())
}

/// A 64-bit operand; one of 32 bits keeps its sign.
fn load_wide(source: Source, imm: u32, slots: &Slots, operands: &[u32], out: &mut WideLanes) {
    let mut narrow = [0; LANES];
    match source {
        Source::None => return,
        Source::Immediate => return out.fill(i64::from(imm as i32)),
        Source::Stream(_, Format::I64) => {
            let mut planes: [&Bytes; 8] = [&[0; LANES]; 8];
            planes.iter_mut().zip(operands).for_each(|(plane, slot)| *plane = &slots.bytes[*slot as usize]);
            return join_wide(&planes, out);
        }
        Source::Stream(_, format) => {
            let mut planes: [&Bytes; 4] = [&[0; LANES]; 4];
            planes.iter_mut().zip(operands).for_each(|(plane, slot)| *plane = &slots.bytes[*slot as usize]);
            join(&planes[..operands.len().min(4)], format, &mut narrow);
        }
        Source::Alu(_) | Source::Reduce(_) => {
            let slot = operands[0] as usize;
            if slots.is_wide[slot] {
                *out = slots.wide[slot];
                return;
            }
            narrow = slots.lanes[slot];
        }
    }
    out.iter_mut().zip(narrow).for_each(|(out, value)| *out = i64::from(value));
}

/// A result of 32 bits: at the output, and as byte planes on streams.
fn put(values: &Lanes, to: Destination, lanes: usize, slots: &mut Slots, results: &[u32]) -> Result<(), ValueError> {
    if results[0] != NO_SLOT {
        let slot = results[0] as usize;
        slots.lanes[slot] = *values;
        slots.is_wide[slot] = false;
    }
    let streams = to.directions().count() * usize::from(to.format.streams());
    if streams == 0 {
        return Ok(());
    }
    value::fits(values, to.format, lanes)?;
    for (at, slot) in results[1..=streams].iter().enumerate().filter(|(_, slot)| **slot != NO_SLOT) {
        let out = &mut slots.bytes[*slot as usize];
        slots.driven[*slot as usize] = 0;
        match at % usize::from(to.format.streams()) {
            plane if plane < 4 => value::plane(values, plane, out),
            // An i64 of an i32 has its sign in the upper half.
            _ => out.iter_mut().zip(values).for_each(|(byte, value)| *byte = (value >> 31) as u8),
        }
    }
    Ok(())
}

/// A result of 64 bits; as f32 it is rounded once, in smaller integers it must fit.
fn put_wide(
    values: &WideLanes,
    to: Destination,
    lanes: usize,
    slots: &mut Slots,
    results: &[u32],
) -> Result<(), ValueError> {
    if results[0] != NO_SLOT {
        let slot = results[0] as usize;
        slots.wide[slot] = *values;
        slots.is_wide[slot] = true;
    }
    let width = usize::from(to.format.streams());
    let streams = to.directions().count() * width;
    if streams == 0 {
        return Ok(());
    }
    let mut narrow = [0; LANES];
    match to.format {
        Format::I64 => {}
        Format::F32 => narrow.iter_mut().zip(values).for_each(|(out, v)| *out = round_i64(*v).to_bits() as i32),
        _ => {
            for (lane, (out, value)) in narrow.iter_mut().zip(values).enumerate().take(lanes) {
                *out = i32::try_from(*value).map_err(|_| ValueError::overflow("the result", lane))?;
            }
            value::fits(&narrow, to.format, lanes)?;
        }
    }
    for (at, slot) in results[1..=streams].iter().enumerate().filter(|(_, slot)| **slot != NO_SLOT) {
        let out = &mut slots.bytes[*slot as usize];
        slots.driven[*slot as usize] = 0;
        match to.format {
            Format::I64 => value::plane_wide(values, at % width, out),
            _ => value::plane(&narrow, at % width, out),
        }
    }
    Ok(())
}
