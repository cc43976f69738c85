//! Values of bound weights: the source's own, in plain f32, for the float interpretation and for vectors; and imported
//! into the contract's integer formats.

use lockstep_arith::blocks;
use lockstep_arith::import::import;
use lockstep_graph::WeightId;
use lockstep_graph::contract::ContractWeight;
use lockstep_graph::interpret::WeightValues;

use crate::{BoundWeight, Error, Model, Transform};

/// All values of a weight in the graph's order (rows outermost), transform applied. Needs 4 bytes a value; the count
/// is backed by the file. A value that is not finite is an error.
pub fn dequantize(weight: &BoundWeight<'_>) -> Result<Vec<f32>, Error> {
    let tensor = &weight.tensor;
    let fail = |what: String| Error::Values { name: tensor.name.to_string(), what };
    let count = tensor.shape.iter().try_fold(1usize, |product, &n| product.checked_mul(n));
    let backed = (tensor.data.len() / tensor.ty.block_bytes()).saturating_mul(tensor.ty.block_weights());
    let count = count.filter(|&count| count == backed).ok_or_else(|| fail("bytes and shape disagree".into()))?;
    let mut values = vec![0.0f32; count];
    blocks::dequantize(tensor.ty, tensor.data, &mut values);
    if weight.transform == Transform::AddOne {
        for value in &mut values {
            *value += 1.0;
        }
    }
    match values.iter().position(|value| !value.is_finite()) {
        Some(at) => Err(fail(format!("element {at} is {}, expected finite weights", values[at]))),
        None => Ok(values),
    }
}

/// All weights of a model as plain floats: what the float interpretation reads.
#[derive(Clone, Debug)]
pub struct FloatWeights(Vec<Vec<f32>>);

impl FloatWeights {
    /// Dequantises every weight: 4 bytes a value.
    pub fn new(model: &Model<'_>) -> Result<Self, Error> {
        Ok(Self(model.weights.iter().map(dequantize).collect::<Result<_, _>>()?))
    }
}

impl WeightValues for FloatWeights {
    fn vector(&self, id: WeightId) -> &[f32] {
        &self.0[id.0 as usize]
    }

    fn matrix(&self, id: WeightId) -> &[f32] {
        &self.0[id.0 as usize]
    }
}

/// All weights of a model as the contract sees them: matrices imported, vectors as f32.
pub fn contract_weights(model: &Model<'_>) -> Result<Vec<ContractWeight>, Error> {
    model.weights.iter().map(contract_weight).collect()
}

fn contract_weight(weight: &BoundWeight<'_>) -> Result<ContractWeight, Error> {
    let tensor = &weight.tensor;
    let [rows, cols] = tensor.shape[..] else { return Ok(ContractWeight::Vector(dequantize(weight)?)) };
    let (matrix, _report) = import(tensor.ty, rows, cols, tensor.data)
        .map_err(|error| Error::Import { name: tensor.name.to_string(), source: error })?;
    Ok(ContractWeight::Matrix(matrix))
}
