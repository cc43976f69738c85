//! The arithmetic contract's rules as steps of the chip: the same operations in the same order as the functions of
//! `lockstep-arith` whose names these have.

use lockstep_arith::activation::RECIPROCAL_127;
use lockstep_arith::vector_block::NORM_BITS;
use lockstep_machine::inst::operand::Format;

use super::matrix::Quantized;
use super::{Composer, Value};
use crate::error::Error;

/// Codes of a vector block, tile by tile, and the power of two of their unit in all lanes of each segment.
#[derive(Clone, Debug)]
pub(crate) struct Block {
    pub(crate) codes: Vec<Value>,
    pub(crate) unit_exponent: Value,
}

impl Composer<'_, '_> {
    /// The largest magnitude of each segment over all vectors; ends the run where it is out of range.
    fn checked_maximum(&mut self, boundary: u32, x: &[Value]) -> Result<Value, Error> {
        let magnitudes = x.iter().map(|x| self.absolute(*x)).collect::<Result<Vec<_>, _>>()?;
        let largest = self.maximum(boundary, &magnitudes)?;
        self.guard(largest)
    }

    /// Activations for a matrix (section 3).
    pub(crate) fn quantize(&mut self, x: &[Value]) -> Result<Quantized, Error> {
        let largest = self.checked_maximum(Self::WHOLE, x)?;
        let t = self.multiply(largest, RECIPROCAL_127)?;
        let e = self.exponent(t)?;
        let e = self.imax(e, -47)?;
        let exponent = self.isub(e, 11)?;
        let down = self.isub(0, exponent)?;
        self.keep_as(down, Format::I8);
        if x.len() > 2 && self.is_loop() {
            // Each tile reads it twice.
            self.spread(down, 2)?;
        }
        let (mut codes, mut scales) = (Vec::new(), Vec::new());
        for &x in x {
            let magnitude = self.absolute(x)?;
            let groups = self.groups();
            let m = self.maximum(groups, &[magnitude])?;
            let m = self.multiply(m, RECIPROCAL_127)?;
            let m = self.ldexp(m, down)?;
            let scale = self.ceil(m)?;
            let at_least_one = self.imax(scale, 1)?;
            let divisor = self.float(at_least_one)?;
            let reciprocal = self.divide(1.0, divisor)?;
            let x = self.ldexp(x, down)?;
            let x = self.multiply(x, reciprocal)?;
            let code = self.round_even(x)?;
            self.keep_as(code, Format::I8);
            self.keep_as(scale, Format::U16);
            codes.push(code);
            scales.push(scale);
        }
        Ok(Quantized { codes, scales, exponent })
    }

    /// A vector block of each segment (section 4). The codes fit 16 bits.
    pub(crate) fn vector_block(&mut self, boundary: u32, bits: u32, x: &[Value]) -> Result<Block, Error> {
        let bits = bits as i32;
        let limit = (1 << (bits - 1)) - 1;
        let largest = self.checked_maximum(boundary, x)?;
        let e = self.exponent(largest)?;
        let e = self.iadd(e, 1)?;
        let e = self.imax(e, -40)?;
        let up = self.isub(bits - 1, e)?;
        self.keep_as(up, Format::I8);
        let unit_exponent = self.isub(e, bits - 1)?;
        let mut codes = Vec::new();
        for &x in x {
            let x = self.ldexp(x, up)?;
            let code = self.round_even(x)?;
            let code = self.imin(code, limit)?;
            let code = self.imax(code, -limit)?;
            self.keep_as(code, Format::I16);
            codes.push(code);
        }
        Ok(Block { codes, unit_exponent })
    }

    /// RMS norm over each segment of `n` elements (section 5).
    pub(crate) fn rms_norm(
        &mut self,
        boundary: u32,
        x: &[Value],
        weight: &[Value],
        n: usize,
        eps: f32,
    ) -> Result<Vec<Value>, Error> {
        let block = self.vector_block(boundary, NORM_BITS, x)?;
        let squares = block.codes.iter().map(|code| self.imul(*code, *code)).collect::<Result<Vec<_>, _>>()?;
        let sum = self.sum(boundary, &squares)?;
        let mean = self.multiply(sum, 1.0 / n as f32)?;
        let twice = self.iadd(block.unit_exponent, block.unit_exponent)?;
        let mean_square = self.ldexp(mean, twice)?;
        let moved = self.add(mean_square, eps)?;
        let root = self.square_root(moved)?;
        let r = self.divide(1.0, root)?;
        let weighted = x.iter().zip(weight).map(|(x, w)| self.multiply(*x, *w)).collect::<Result<Vec<_>, _>>()?;
        weighted.into_iter().map(|x| self.multiply(x, r)).collect()
    }

    /// `1 / (1 + e^-x)` (section 5).
    fn sigmoid(&mut self, x: Value) -> Result<Value, Error> {
        let e = self.negate(x)?;
        let e = self.exp32(e)?;
        let divisor = self.add(e, 1.0)?;
        self.divide(1.0, divisor)
    }

    /// `x * sigmoid(x)` (section 5).
    pub(crate) fn silu(&mut self, x: Value) -> Result<Value, Error> {
        let sigmoid = self.sigmoid(x)?;
        self.multiply(x, sigmoid)
    }

    /// GELU in its tanh form (section 5).
    pub(crate) fn gelu(&mut self, x: Value) -> Result<Value, Error> {
        let square = self.multiply(x, x)?;
        let cube = self.multiply(square, x)?;
        let part = self.multiply(cube, 0.044_715)?;
        let sum = self.add(x, part)?;
        let u = self.multiply(sum, 0.797_884_6)?;
        let twice = self.multiply(u, 2.0)?;
        let sigmoid = self.sigmoid(twice)?;
        self.multiply(x, sigmoid)
    }

    /// `cap * tanh(x / cap)` (section 5).
    pub(crate) fn soft_cap(&mut self, x: Value, cap: f32) -> Result<Value, Error> {
        let x = self.multiply(x, 1.0 / cap)?;
        let twice = self.multiply(x, 2.0)?;
        let sigmoid = self.sigmoid(twice)?;
        let sigmoid = self.multiply(sigmoid, 2.0)?;
        let tanh = self.subtract(sigmoid, 1.0)?;
        self.multiply(tanh, cap)
    }
}
