//! What a layer is made of, as plain data, and where its heads stand in a vector.

use lockstep_arith::matrix::{BlockMatrix, GROUP};
use lockstep_arith::rotary::RotaryTable;

use crate::error::Error;

/// Which elements of a head rotate together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pairs {
    /// `(2i, 2i + 1)`.
    Adjacent,
    /// `(i, i + head_size / 2)`.
    Halves,
}

/// One decoder layer and the tables whose rows are its inputs. All matrices have the model's own order of rows and
/// columns.
#[derive(Clone, Debug)]
pub struct LayerWeights {
    /// Key and value heads.
    pub kv_heads: usize,
    /// Elements of a head, a multiple of 32.
    pub head_size: usize,
    /// Added to the mean square of both norms.
    pub eps: f32,
    /// Factor on q.k.
    pub scale: f32,
    /// Weight of the norm before attention.
    pub attention_norm: Vec<f32>,
    /// Weight of the norm before the feed-forward network.
    pub feed_forward_norm: Vec<f32>,
    /// `[heads * head_size, hidden]`.
    pub query: BlockMatrix,
    /// `[kv_heads * head_size, hidden]`.
    pub key: BlockMatrix,
    /// `[kv_heads * head_size, hidden]`.
    pub value: BlockMatrix,
    /// `[hidden, heads * head_size]`.
    pub output: BlockMatrix,
    /// `[feed_forward, hidden]`.
    pub gate: BlockMatrix,
    /// `[feed_forward, hidden]`.
    pub up: BlockMatrix,
    /// `[hidden, feed_forward]`.
    pub down: BlockMatrix,
    /// Angles of all positions of the context: as many as a vector has lanes.
    pub rotary: RotaryTable,
    /// Which elements they turn.
    pub pairs: Pairs,
    /// Tables of rows, such as the embedding: each becomes an entry of its name that gathers one row.
    pub tables: Vec<(String, BlockMatrix)>,
}

impl LayerWeights {
    /// Width of the residual stream.
    pub fn hidden(&self) -> usize {
        self.attention_norm.len()
    }

    /// Width inside the feed-forward network.
    pub fn feed_forward(&self) -> usize {
        self.gate.rows
    }

    /// Query heads.
    pub fn heads(&self) -> usize {
        self.query.rows.checked_div(self.head_size).unwrap_or_default()
    }

    /// Query heads that share a key and value head.
    pub fn sharing(&self) -> usize {
        self.heads().checked_div(self.kv_heads).unwrap_or_default()
    }

    /// Checks all sizes against each other and against vectors of `lanes` lanes.
    pub(crate) fn check(&self, lanes: usize) -> Result<(), Error> {
        let (hidden, inside, heads) = (self.hidden(), self.feed_forward(), self.heads() * self.head_size);
        if self.head_size == 0 || !self.head_size.is_multiple_of(GROUP) || self.head_size > lanes / 2 {
            return Err(Error::shape("head size", self.head_size, format!("a multiple of 32 up to {}", lanes / 2)));
        }
        if self.sharing() * self.kv_heads * self.head_size != self.query.rows || self.sharing() == 0 {
            return Err(Error::shape("rows of query", self.query.rows, "whole heads, as many for each key head"));
        }
        let kv = self.kv_heads * self.head_size;
        for (name, matrix, rows, cols) in [
            ("query", &self.query, heads, hidden),
            ("key", &self.key, kv, hidden),
            ("value", &self.value, kv, hidden),
            ("output", &self.output, hidden, heads),
            ("gate", &self.gate, inside, hidden),
            ("up", &self.up, inside, hidden),
            ("down", &self.down, hidden, inside),
        ] {
            if (matrix.rows, matrix.cols) != (rows, cols) {
                let found = format!("[{}, {}]", matrix.rows, matrix.cols);
                return Err(Error::shape(name, found, format!("[{rows}, {cols}]")));
            }
        }
        if self.feed_forward_norm.len() != hidden {
            return Err(Error::shape("weights of the second norm", self.feed_forward_norm.len(), hidden));
        }
        let pairs = self.head_size / 2;
        if self.rotary.pairs != pairs || self.rotary.cosines.len() != lanes * pairs {
            let found = format!("{} pairs, {} cosines", self.rotary.pairs, self.rotary.cosines.len());
            return Err(Error::shape("rotary table", found, format!("{pairs} pairs for each of {lanes} positions")));
        }
        Ok(())
    }

    /// The first lane of each key and value head: side by side, none across the middle of the vector.
    pub(crate) fn head_lanes(&self, lanes: usize) -> Result<Vec<usize>, Error> {
        let mut next = 0;
        let mut first = Vec::new();
        for _ in 0..self.kv_heads {
            if next < lanes / 2 && next + self.head_size > lanes / 2 {
                next = lanes / 2;
            }
            first.push(next);
            next += self.head_size;
        }
        if next > lanes {
            return Err(Error::shape("key and value heads", self.kv_heads, format!("such as fit {lanes} lanes")));
        }
        Ok(first)
    }

    /// The element of a head that stands in each of its lanes: partners stand side by side.
    pub(crate) fn rotated_order(&self) -> Vec<usize> {
        let half = self.head_size / 2;
        (0..self.head_size)
            .map(|lane| match self.pairs {
                Pairs::Adjacent => lane,
                Pairs::Halves => lane / 2 + lane % 2 * half,
            })
            .collect()
    }
}
