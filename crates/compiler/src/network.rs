//! The first pass: a model's graph as sections that the machine can run.
//!
//! A cut is a value on which everything behind it depends, and nothing behind it on anything before it. The residual
//! sums of a decoder are such cuts; between them lie its sections. Sections of equal operations, shapes and formats are
//! of one kind: they are scheduled once, and each is an instance.

use std::ops::Range;

use lockstep_arith::matrix::Format;
use lockstep_graph::{Graph, Node, NodeId, Op, Rotary, WeightId};

use crate::error::Error;
use crate::place::heads::{HeadLanes, Heads};
use crate::share::{Cut, Share};
use crate::weights::{Named, Weights};

/// How the elements of a node's value stand in vectors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Order {
    /// In their own order, tile by tile.
    Natural,
    /// Query heads, whose elements stand in the order of a rotary embedding where there is one.
    Queries(Option<usize>),
    /// Key heads, likewise.
    Keys(Option<usize>),
    /// Value heads.
    Values,
    /// Query heads in the natural order of their elements: what attention puts out.
    Attended,
}

/// Nodes that are run one after the other, from one value to one value.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Section {
    /// The nodes. Node 0 is the section's input; the others' inputs and weights are counted within the section.
    pub(crate) nodes: Vec<Node>,
    /// How each node's value is arranged.
    pub(crate) orders: Vec<Order>,
    /// The lanes of the heads of its attention that the chip has.
    pub(crate) heads: Option<Heads>,
    /// The lanes of all heads.
    pub(crate) all_heads: Option<Heads>,
    /// Formats of the section's matrices, none for vectors.
    pub(crate) formats: Vec<Option<Format>>,
    /// Which chip of a group it is for.
    pub(crate) share: Share,
    /// Whether value heads may stand in copies on the chips of a group.
    pub(crate) copies: bool,
    /// How the group shares each node's value, where it has it in parts.
    pub(crate) cuts: Vec<Option<Cut>>,
}

/// Equal sections and the weights of each.
#[derive(Clone, Debug)]
pub(crate) struct Kind<'w> {
    pub(crate) section: Section,
    /// For each instance, the weights of the section.
    pub(crate) weights: Vec<Vec<Named<'w>>>,
}

/// A model, or a part of one, as a chip runs it.
#[derive(Clone, Debug)]
pub(crate) struct Network<'w> {
    /// Which chip of a group it is for.
    pub(crate) share: Share,
    /// Whether it begins with the model, not with what other chips did.
    pub(crate) begins: bool,
    /// Whether it ends with the model.
    pub(crate) ends: bool,
    /// The embedding and its factor; without one the first section's input is the program's.
    pub(crate) embedding: Option<(Named<'w>, Option<f32>)>,
    /// Kinds of decoder layers.
    pub(crate) kinds: Vec<Kind<'w>>,
    /// For each layer its kind, and the how manieth of the kind it is.
    pub(crate) layers: Vec<(usize, usize)>,
    /// What follows the last layer, where there is something.
    pub(crate) head: Option<Kind<'w>>,
    pub(crate) rotaries: &'w [Rotary],
    /// Whether the program is to hold values, not shapes alone.
    pub(crate) has_values: bool,
    /// Width of the residual stream.
    pub(crate) hidden: usize,
}

impl<'w> Network<'w> {
    /// Cuts a graph into sections for vectors of `lanes` lanes.
    pub(crate) fn new(graph: &'w Graph, weights: Weights<'w>, lanes: usize) -> Result<Self, Error> {
        let named = |id: WeightId| Named::new(graph, weights, id);
        let embed = match graph.nodes.first() {
            Some(Node { op: Op::Embed { table, factor }, width, .. }) => (named(*table)?, *factor, *width),
            _ => return Err(Error::shape("graph", "no embedding at its start", "a language model")),
        };
        let ends = layer_ends(graph);
        let mut network = Self {
            share: Share::WHOLE,
            begins: true,
            ends: true,
            embedding: Some((embed.0, embed.1)),
            kinds: Vec::new(),
            layers: Vec::new(),
            head: None,
            rotaries: &graph.rotaries,
            has_values: matches!(weights, Weights::Values(_)),
            hidden: embed.2,
        };
        let mut first = 0;
        for end in ends {
            let (section, weights) = section(graph, first, end, lanes, &named)?;
            network.push(section, weights);
            first = end;
        }
        let last = graph.nodes.len() - 1;
        if first < last {
            let (section, weights) = section(graph, first, last, lanes, &named)?;
            network.head = Some(Kind { section, weights: vec![weights] });
        }
        Ok(network)
    }

    /// The first decoder layer alone: from x to y, without embedding and head.
    pub(crate) fn first_layer(graph: &'w Graph, weights: Weights<'w>, lanes: usize) -> Result<Self, Error> {
        let end = layer_ends(graph).into_iter().next();
        let end = end.ok_or_else(|| Error::shape("graph", "no decoder layer", "at least one"))?;
        let (section, own) = section(graph, 0, end, lanes, &|id| Named::new(graph, weights, id))?;
        let mut network = Self {
            share: Share::WHOLE,
            begins: true,
            ends: true,
            embedding: None,
            kinds: Vec::new(),
            layers: Vec::new(),
            head: None,
            rotaries: &graph.rotaries,
            has_values: matches!(weights, Weights::Values(_)),
            hidden: graph.nodes[0].width,
        };
        network.push(section, own);
        Ok(network)
    }

    /// Whether it is a layer alone, which has its input from the host.
    pub(crate) fn is_layer(&self) -> bool {
        self.begins && self.share == Share::WHOLE && self.embedding.is_none()
    }

    /// What one chip of a group does of some of the layers; vectors have `lanes` lanes.
    pub(crate) fn part(&self, layers: Range<usize>, share: Share, lanes: usize) -> Self {
        let (begins, ends) = (layers.start == 0, layers.end == self.layers.len());
        let kind = |kind: &Kind<'w>| Kind { section: kind.section.shared(share, lanes), weights: kind.weights.clone() };
        let mut part = Self {
            share,
            begins,
            ends,
            embedding: self.embedding.filter(|_| begins && !share.of(self.hidden.div_ceil(lanes)).is_empty()),
            kinds: Vec::new(),
            layers: Vec::new(),
            head: self.head.as_ref().filter(|_| ends).map(kind),
            rotaries: self.rotaries,
            has_values: self.has_values,
            hidden: self.hidden,
        };
        for (kind, layer) in &self.layers[layers] {
            let Kind { section, weights } = &self.kinds[*kind];
            part.push(section.shared(share, lanes), weights[*layer].clone());
        }
        part
    }

    /// The same without copies of value heads, which take room.
    pub(crate) fn without_copies(&self) -> Self {
        let mut plain = self.clone();
        plain.kinds.iter_mut().for_each(|kind| kind.section.copies = false);
        plain
    }

    fn push(&mut self, section: Section, weights: Vec<Named<'w>>) {
        let kind = self.kinds.iter().position(|kind| kind.section == section).unwrap_or_else(|| {
            self.kinds.push(Kind { section, weights: Vec::new() });
            self.kinds.len() - 1
        });
        self.layers.push((kind, self.kinds[kind].weights.len()));
        self.kinds[kind].weights.push(weights);
    }

    /// All sections.
    pub(crate) fn sections(&self) -> impl Iterator<Item = &Section> {
        self.kinds.iter().chain(&self.head).map(|kind| &kind.section)
    }
}

/// The last nodes of all decoder layers: the last residual sum before the next attention, or before the head.
fn layer_ends(graph: &Graph) -> Vec<usize> {
    let sums: Vec<usize> = cuts(graph).into_iter().filter(|at| graph.nodes[*at].op == Op::Add).collect();
    let attends = |at: &usize| matches!(graph.nodes[*at].op, Op::Attention { .. });
    let attentions: Vec<usize> = (0..graph.nodes.len()).filter(attends).collect();
    let after = |index: usize| attentions.get(index + 1).copied().unwrap_or(graph.nodes.len());
    (0..attentions.len()).filter_map(|index| sums.iter().copied().rfind(|sum| *sum < after(index))).collect()
}

/// Nodes behind which nothing but their own value is used.
fn cuts(graph: &Graph) -> Vec<usize> {
    let mut last_use = vec![0; graph.nodes.len()];
    for (index, node) in graph.nodes.iter().enumerate() {
        for input in &node.inputs {
            last_use[input.0 as usize] = index;
        }
    }
    let mut reach = 0;
    let mut cuts = Vec::new();
    for (index, last) in last_use.iter().enumerate() {
        if reach <= index {
            cuts.push(index);
        }
        reach = reach.max(*last);
    }
    cuts
}

/// The nodes behind `first` up to `last`, and their weights.
fn section<'w>(
    graph: &'w Graph,
    first: usize,
    last: usize,
    lanes: usize,
    named: &impl Fn(WeightId) -> Result<Named<'w>, Error>,
) -> Result<(Section, Vec<Named<'w>>), Error> {
    let mut weights = Vec::new();
    let mut own = |id: &mut WeightId| -> Result<(), Error> {
        weights.push(named(*id)?);
        *id = WeightId(weights.len() as u32 - 1);
        Ok(())
    };
    let mut nodes = vec![Node { op: Op::Add, inputs: Vec::new(), width: graph.nodes[first].width }];
    for node in &graph.nodes[first + 1..=last] {
        let mut node = node.clone();
        for input in &mut node.inputs {
            let index = (input.0 as usize).checked_sub(first);
            input.0 = index.ok_or_else(|| Error::shape("graph", "a value that skips a layer", "a decoder"))? as u32;
        }
        match &mut node.op {
            Op::MatMul { weight, bias } => {
                own(weight)?;
                bias.as_mut().map(&mut own).transpose()?;
            }
            Op::RmsNorm { weight, .. } => own(weight)?,
            Op::Attention { layer, .. } => *layer = 0,
            Op::Embed { .. } => return Err(Error::shape("graph", "a second embedding", "one")),
            _ => {}
        }
        nodes.push(node);
    }
    let formats = weights.iter().map(|named| named.matrix().ok().map(|matrix| matrix.format)).collect();
    let heads = nodes.iter().find_map(|node| match node.op {
        Op::Attention { heads, kv_heads, head_size, .. } => Some(HeadLanes::new(heads, kv_heads, head_size, lanes)),
        _ => None,
    });
    let (orders, heads, cuts) = (orders(&nodes)?, heads.transpose()?, vec![None; nodes.len()]);
    let heads = heads.map(|heads| Heads { keys: heads.clone(), values: heads });
    let all_heads = heads.clone();
    Ok((Section { nodes, orders, heads, all_heads, formats, share: Share::WHOLE, copies: true, cuts }, weights))
}

/// How each node's value stands: attention asks for its inputs' orders, all the way back to the matrices that make them.
fn orders(nodes: &[Node]) -> Result<Vec<Order>, Error> {
    let mut orders = vec![Order::Natural; nodes.len()];
    let rotary_of = |mut at: usize| loop {
        match &nodes[at].op {
            Op::Rotary { rotary, .. } => return Some(*rotary),
            Op::RmsNorm { .. } => at = nodes[at].inputs[0].0 as usize,
            _ => return None,
        }
    };
    for (index, node) in nodes.iter().enumerate() {
        let Op::Attention { .. } = node.op else { continue };
        let [q, k, v] = node.inputs[..] else { return Err(Error::shape("attention", "inputs", "3")) };
        orders[index] = Order::Attended;
        let wanted = [(q, Order::Queries(rotary_of(at(q)))), (k, Order::Keys(rotary_of(at(k)))), (v, Order::Values)];
        for (input, order) in wanted {
            spread(nodes, at(input), order, &mut orders)?;
        }
    }
    for (index, node) in nodes.iter().enumerate() {
        check(node, &orders, orders[index])?;
    }
    Ok(orders)
}

fn at(id: NodeId) -> usize {
    id.0 as usize
}

/// Gives a node and those before it, up to a matrix, an order.
fn spread(nodes: &[Node], mut index: usize, order: Order, orders: &mut [Order]) -> Result<(), Error> {
    loop {
        orders[index] = order;
        match &nodes[index].op {
            Op::MatMul { .. } => return Ok(()),
            Op::Rotary { .. } | Op::RmsNorm { .. } => index = at(nodes[index].inputs[0]),
            other => return Err(Error::unsupported("heads of attention that come from", other)),
        }
    }
}

/// Whether the machine's code for a node can take its inputs as they stand.
fn check(node: &Node, orders: &[Order], order: Order) -> Result<(), Error> {
    let natural = |id: &NodeId| orders[at(*id)] == Order::Natural;
    match node.op {
        Op::MatMul { .. } if !node.inputs.iter().all(|id| natural(id) || orders[at(*id)] == Order::Attended) => {
            Err(Error::unsupported("a matrix behind heads:", &node.op))
        }
        Op::RmsNorm { group, .. } if order == Order::Natural && group != node.width => {
            Err(Error::unsupported("a norm of groups outside attention:", &node.op))
        }
        Op::Rotary { .. } if order == Order::Natural => {
            Err(Error::unsupported("rotation outside attention:", &node.op))
        }
        Op::Silu | Op::Gelu | Op::SoftCap { .. } | Op::Add | Op::Mul if !node.inputs.iter().all(natural) => {
            Err(Error::unsupported("elementwise work on heads:", &node.op))
        }
        _ => Ok(()),
    }
}
