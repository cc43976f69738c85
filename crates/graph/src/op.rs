//! The graph's data types. They are plain data; [`crate::Builder`] and [`crate::verify()`] hold their rules.

/// Index of a [`Node`] in its graph; nodes are in topological order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NodeId(pub u32);

/// Index of a [`Weight`] in its graph.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct WeightId(pub u32);

/// Which two elements of a head rotate together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RotaryPairs {
    /// `(i, i + rotary_size / 2)`.
    Halves,
    /// `(2i, 2i + 1)`.
    Adjacent,
}

/// The angles of a rotary embedding: position p turns pair i by `p * frequencies[i]`.
#[derive(Clone, Debug, PartialEq)]
pub struct Rotary {
    /// Which elements form a pair.
    pub pairs: RotaryPairs,
    /// Elements of a head that are rotated: twice the number of frequencies; the rest passes through.
    pub rotary_size: usize,
    /// One angular frequency a pair, in radians a position, scaling already applied.
    pub frequencies: Vec<f64>,
}

/// What a node computes. Values have shape `[tokens, width]`; every op but attention works token by token.
#[derive(Clone, Debug, PartialEq)]
pub enum Op {
    /// Rows of an embedding matrix by token id, times `factor` (one more rounding) where there is one.
    Embed {
        /// `[vocab, width]`.
        table: WeightId,
        /// gemma multiplies by the square root of the width.
        factor: Option<f32>,
    },
    /// `y = W x (+ bias)`. Inputs: x.
    MatMul {
        /// `[rows, cols]`.
        weight: WeightId,
        /// `[rows]`.
        bias: Option<WeightId>,
    },
    /// RMS norm over each run of `group` elements (the whole width, or one head). Inputs: x.
    RmsNorm {
        /// `[group]`.
        weight: WeightId,
        /// Elements that are normalised together.
        group: usize,
        /// Added to the mean square.
        eps: f32,
    },
    /// Rotary position embedding of each head. Inputs: x.
    Rotary {
        /// Elements of one head.
        head_size: usize,
        /// Index into [`Graph::rotaries`].
        rotary: usize,
    },
    /// Causal attention over the layer's keys and values, to which k and v are appended first. Inputs: q, k, v.
    Attention {
        /// Which key and value cache.
        layer: usize,
        /// Query heads.
        heads: usize,
        /// Key and value heads; query head h reads `h * kv_heads / heads`.
        kv_heads: usize,
        /// Elements of one head.
        head_size: usize,
        /// Factor on q.k.
        scale: f32,
        /// How many positions back a token sees, itself included; `None` sees all.
        window: Option<usize>,
        /// Soft-cap on scores.
        soft_cap: Option<f32>,
    },
    /// Inputs: x.
    Silu,
    /// GELU in its tanh form. Inputs: x.
    Gelu,
    /// `cap * tanh(x / cap)`. Inputs: x.
    SoftCap {
        /// The bound.
        cap: f32,
    },
    /// Element by element. Inputs: x, y.
    Add,
    /// Element by element. Inputs: x, y.
    Mul,
}

/// One operation and where its operands come from.
#[derive(Clone, Debug, PartialEq)]
pub struct Node {
    /// The operation.
    pub op: Op,
    /// Operand nodes, each earlier than this one; `Embed` has none, its input is the token ids.
    pub inputs: Vec<NodeId>,
    /// Elements a token.
    pub width: usize,
}

/// A named constant of the model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Weight {
    /// Canonical name, for example `blk.3.attn_q.weight`.
    pub name: String,
    /// `[rows, cols]` for a matrix, `[n]` for a vector.
    pub shape: Vec<usize>,
}

/// One step of a model: token ids and positions in, logits out.
#[derive(Clone, Debug, PartialEq)]
pub struct Graph {
    /// All weights that nodes name.
    pub weights: Vec<Weight>,
    /// All rotary embeddings that nodes name.
    pub rotaries: Vec<Rotary>,
    /// In topological order.
    pub nodes: Vec<Node>,
    /// The node that holds the logits; `width` is the vocabulary size.
    pub output: NodeId,
}

impl Op {
    /// The weights that this operation reads, in the order of its fields.
    pub fn weights(&self) -> impl Iterator<Item = WeightId> + use<> {
        let (first, second) = match self {
            Self::Embed { table, .. } => (Some(*table), None),
            Self::MatMul { weight, bias } => (Some(*weight), *bias),
            Self::RmsNorm { weight, .. } => (Some(*weight), None),
            _ => (None, None),
        };
        first.into_iter().chain(second)
    }
}

impl Graph {
    /// A node by id; the id must come from this graph.
    pub fn node(&self, id: NodeId) -> &Node {
        &self.nodes[id.0 as usize]
    }

    /// A weight by id; the id must come from this graph.
    pub fn weight(&self, id: WeightId) -> &Weight {
        &self.weights[id.0 as usize]
    }

    /// Number of attention layers, each with its own keys and values.
    pub fn layers(&self) -> usize {
        self.nodes.iter().filter(|node| matches!(node.op, Op::Attention { .. })).count()
    }
}
