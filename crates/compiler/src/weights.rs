//! Weights as the compiler takes them: shapes, and values where there are any.

use lockstep_arith::matrix::{BlockMatrix, Format, GROUP};
use lockstep_graph::contract::ContractWeight;
use lockstep_graph::{Graph, WeightId};

use crate::error::Error;

/// The weights of a graph.
#[derive(Clone, Copy, Debug)]
pub enum Weights<'w> {
    /// With their values, in the order of [`Graph::weights`]; formats may differ from matrix to matrix.
    Values(&'w [ContractWeight]),
    /// Shapes alone, which the graph has: every matrix is in this format. The program holds no bytes of tensors: it can
    /// be verified and timed, not run.
    Shapes(Format),
}

impl<'w> From<&'w [ContractWeight]> for Weights<'w> {
    fn from(values: &'w [ContractWeight]) -> Self {
        Self::Values(values)
    }
}

impl<'w> From<&'w Vec<ContractWeight>> for Weights<'w> {
    fn from(values: &'w Vec<ContractWeight>) -> Self {
        Self::Values(values)
    }
}

impl From<Format> for Weights<'_> {
    fn from(format: Format) -> Self {
        Self::Shapes(format)
    }
}

/// A matrix: its shape, and its values where there are any.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Matrix<'w> {
    pub(crate) rows: usize,
    pub(crate) cols: usize,
    pub(crate) format: Format,
    pub(crate) values: Option<&'w BlockMatrix>,
}

impl Matrix<'_> {
    /// Groups of 32 in a row, the last one padded.
    pub(crate) fn groups(&self) -> usize {
        self.cols.div_ceil(GROUP)
    }
}

/// A vector: how long it is, and its values where there are any.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Vector<'w> {
    length: usize,
    pub(crate) values: Option<&'w [f32]>,
}

#[derive(Clone, Copy, Debug)]
enum Tensor<'w> {
    Matrix(Matrix<'w>),
    Vector(Vector<'w>),
}

/// A weight with its name.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Named<'w> {
    pub(crate) name: &'w str,
    /// Which of the graph's it is.
    pub(crate) id: WeightId,
    tensor: Tensor<'w>,
}

impl<'w> Named<'w> {
    /// A weight of the graph, which has the graph's shape.
    pub(crate) fn new(graph: &'w Graph, weights: Weights<'w>, id: WeightId) -> Result<Self, Error> {
        let declared = graph.weight(id);
        let tensor = match weights {
            Weights::Values(values) => match values.get(id.0 as usize) {
                Some(ContractWeight::Matrix(matrix)) => {
                    let BlockMatrix { rows, cols, format, .. } = *matrix;
                    Tensor::Matrix(Matrix { rows, cols, format, values: Some(matrix) })
                }
                Some(ContractWeight::Vector(vector)) => {
                    Tensor::Vector(Vector { length: vector.len(), values: Some(vector) })
                }
                None => return Err(Error::shape(&declared.name, "no values", "a matrix or a vector")),
            },
            Weights::Shapes(format) => match declared.shape[..] {
                [rows, cols] => Tensor::Matrix(Matrix { rows, cols, format, values: None }),
                _ => Tensor::Vector(Vector { length: declared.shape.iter().product(), values: None }),
            },
        };
        let found = match tensor {
            Tensor::Matrix(Matrix { rows, cols, .. }) => vec![rows, cols],
            Tensor::Vector(Vector { length, .. }) => vec![length],
        };
        if found != declared.shape {
            return Err(Error::shape(&declared.name, format!("{found:?}"), format!("{:?}", declared.shape)));
        }
        Ok(Self { name: &declared.name, id, tensor })
    }

    pub(crate) fn matrix(&self) -> Result<Matrix<'w>, Error> {
        match self.tensor {
            Tensor::Matrix(matrix) => Ok(matrix),
            Tensor::Vector(_) => Err(Error::shape(self.name, "a vector", "a matrix")),
        }
    }

    pub(crate) fn vector(&self) -> Result<Vector<'w>, Error> {
        match self.tensor {
            Tensor::Vector(vector) => Ok(vector),
            Tensor::Matrix(_) => Err(Error::shape(self.name, "a matrix", "a vector")),
        }
    }

    /// How many numbers it has.
    pub(crate) fn elements(&self) -> u64 {
        match self.tensor {
            Tensor::Matrix(matrix) => matrix.rows as u64 * matrix.cols as u64,
            Tensor::Vector(vector) => vector.length as u64,
        }
    }
}
