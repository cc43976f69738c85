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
    /// The largest magnitude of each segment over all vectors, where lower 16 bits that come later count as zeros:
    /// neither whether it is in range nor the exponent of a [`Block`] or of a [`Quantized`] depends on them.
    fn largest(&mut self, boundary: u32, x: &[Value]) -> Result<Value, Error> {
        let magnitudes = x.iter().map(|x| self.absolute(self.rough(*x))).collect::<Result<Vec<_>, _>>()?;
        self.maximum(boundary, &magnitudes)
    }

    /// Activations for a matrix (section 3).
    pub(crate) fn quantize(&mut self, x: &[Value]) -> Result<Quantized, Error> {
        let known = self.largest.iter().find(|(of, _)| of == x).map(|(_, largest)| *largest);
        let largest = known.map_or_else(|| self.largest(Self::WHOLE, x), Ok)?;
        // Ends the run where it is out of range; nothing waits for it.
        self.guard(largest)?;
        let t = self.multiply(largest, RECIPROCAL_127)?;
        let e = self.exponent(t)?;
        let e = self.imax(e, -47)?;
        let down = self.isub(11, e)?;
        let exponent = self.isub(e, 11)?;
        self.keep_as(down, Format::I8);
        if x.len() > 2 && self.is_loop() {
            // Each tile reads it twice.
            self.spread(down, 2)?;
        }
        let mut tiles = vec![None; x.len()];
        for tile in self.as_they_come(x.len(), |c, tile| c.earliest(x[tile])) {
            let x = x[tile];
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
            tiles[tile] = Some((code, scale));
        }
        let (codes, scales) = tiles.into_iter().flatten().unzip();
        Ok(Quantized { codes, scales, exponent })
    }

    /// The elements of a vector block of each segment (section 4), of which the largest may be one too large in
    /// magnitude, and the power of two of their unit.
    fn rounded(&mut self, boundary: u32, bits: i32, x: &[Value]) -> Result<(Vec<Value>, Value), Error> {
        let largest = self.largest(boundary, x)?;
        self.guard(largest)?;
        let e = self.exponent(largest)?;
        // Of the block's e = max(expo + 1, -40), bits - 1 - e.
        let up = self.isub(bits - 2, e)?;
        let up = self.imin(up, bits + 39)?;
        self.keep_as(up, Format::I8);
        let unit_exponent = self.isub(0, up)?;
        let mut codes = Vec::new();
        for &x in x {
            let x = self.ldexp(x, up)?;
            codes.push(self.round_even(x)?);
        }
        Ok((codes, unit_exponent))
    }

    /// A vector block of each segment (section 4). The codes fit 16 bits.
    pub(crate) fn vector_block(&mut self, boundary: u32, bits: u32, x: &[Value]) -> Result<Block, Error> {
        let limit = (1 << (bits - 1)) - 1;
        let (mut codes, unit_exponent) = self.rounded(boundary, bits as i32, x)?;
        for code in &mut codes {
            let low = self.imin(*code, limit)?;
            *code = self.imax(low, -limit)?;
            self.keep_as(*code, Format::I16);
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
        let r = self.norm_factor(boundary, x, n, eps)?;
        let weighted = self.products(x, weight)?;
        weighted.into_iter().map(|x| self.multiply(x, r)).collect()
    }

    /// RMS norm of a value that is quantised next: its largest magnitude is known when its factor is, since rounding
    /// keeps order.
    pub(crate) fn rms_norm_to_quantize(
        &mut self,
        x: &[Value],
        weight: &[Value],
        n: usize,
        eps: f32,
    ) -> Result<Vec<Value>, Error> {
        let r = self.norm_factor(Self::WHOLE, x, n, eps)?;
        let weighted = self.products(x, weight)?;
        let largest = self.largest(Self::WHOLE, &weighted)?;
        let largest = self.multiply(largest, r)?;
        let normed = weighted.into_iter().map(|x| self.multiply(x, r)).collect::<Result<Vec<_>, _>>()?;
        self.largest.push((normed.clone(), largest));
        Ok(normed)
    }

    fn products(&mut self, x: &[Value], y: &[Value]) -> Result<Vec<Value>, Error> {
        x.iter().zip(y).map(|(x, y)| self.multiply(*x, *y)).collect()
    }

    /// The r of RMS norm.
    fn norm_factor(&mut self, boundary: u32, x: &[Value], n: usize, eps: f32) -> Result<Value, Error> {
        let (codes, unit_exponent) = self.rounded(boundary, NORM_BITS as i32, x)?;
        let limit = (1 << (NORM_BITS - 1)) - 1;
        let mut squares = Vec::new();
        for code in codes {
            let square = self.imul(code, code)?;
            squares.push(self.imin(square, limit * limit)?);
        }
        let sum = self.sum(boundary, &squares)?;
        let mean = self.multiply(sum, 1.0 / n as f32)?;
        let twice = self.iadd(unit_exponent, unit_exponent)?;
        let mean_square = self.ldexp(mean, twice)?;
        let moved = self.add(mean_square, eps)?;
        let root = self.square_root(moved)?;
        self.divide(1.0, root)
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
