//! Every rule about a single weight, rotary table or node, in one place: the builder, the parser and the verifier all
//! ask here.

use crate::error::weight_name;
use crate::{Node, NodeId, Op, Rotary, Violation, Weight, WeightId};

/// What a node may look at while its rules are checked.
pub(crate) struct Scope<'a> {
    pub(crate) weights: &'a [Weight],
    pub(crate) rotaries: &'a [Rotary],
    /// The nodes before the one under test.
    pub(crate) earlier: &'a [Node],
}

/// Checks a weight's declaration: one or two dimensions, none zero, elements countable, a name that the text form
/// can carry.
pub(crate) fn check_weight(weight: &Weight) -> Result<(), Violation> {
    let fail = |what: String| Err(Violation::Weight { name: weight.name.clone(), what });
    let plain = |c: char| c.is_ascii_graphic() && !matches!(c, '[' | ']' | '=' | '%' | ',' | '#');
    if weight.name.is_empty() || !weight.name.chars().all(plain) {
        return fail("a name needs one or more plain characters, none of []=%,#".into());
    }
    if !matches!(weight.shape.len(), 1 | 2) || weight.shape.contains(&0) {
        return fail(format!("shape {:?}, expected one or two dimensions, none of them zero", weight.shape));
    }
    if weight.shape.iter().try_fold(1usize, |product, &n| product.checked_mul(n)).is_none() {
        return fail(format!("shape {:?} has more elements than can be counted", weight.shape));
    }
    Ok(())
}

/// Checks a rotary table.
pub(crate) fn check_rotary(index: usize, rotary: &Rotary) -> Result<(), Violation> {
    let fail = |what: String| Err(Violation::Rotary { index, what });
    if rotary.frequencies.is_empty() || rotary.frequencies.len().checked_mul(2) != Some(rotary.rotary_size) {
        let count = rotary.frequencies.len();
        return fail(format!("{count} frequencies for a rotary size of {}, expected half of it", rotary.rotary_size));
    }
    match rotary.frequencies.iter().position(|frequency| !frequency.is_finite()) {
        Some(at) => fail(format!("frequency {at} is not a finite number")),
        None => Ok(()),
    }
}

/// The width of a node's value, or the first rule that it breaks.
pub(crate) fn infer(scope: &Scope<'_>, op: &Op, inputs: &[NodeId]) -> Result<usize, Violation> {
    let node = NodeId(scope.earlier.len() as u32);
    let fail = |what: String| Violation::Node { node, what };
    let arity = match op {
        Op::Embed { .. } => 0,
        Op::Attention { .. } => 3,
        Op::Add | Op::Mul => 2,
        _ => 1,
    };
    if inputs.len() != arity {
        return Err(fail(format!("{} inputs, expected {arity}", inputs.len())));
    }
    let mut widths = [0usize; 3];
    for (width, input) in widths.iter_mut().zip(inputs) {
        let source = scope.earlier.get(input.0 as usize);
        *width = source.ok_or_else(|| fail(format!("input %{} is not an earlier node", input.0)))?.width;
    }
    let [x, y, _] = widths;
    match op {
        Op::Embed { table, factor } => {
            positive_or_none(*factor, "factor").map_err(fail)?;
            Ok(matrix(scope, node, *table)?.1)
        }
        Op::MatMul { weight, bias } => matmul_width(scope, node, *weight, *bias, x),
        Op::RmsNorm { weight, group, eps } => {
            expect_shape(scope, node, *weight, &[*group])?;
            divides(*group, x, "group").map_err(fail)?;
            if eps.is_finite() && *eps >= 0.0 { Ok(x) } else { Err(fail(format!("eps {eps}, expected 0 or more"))) }
        }
        Op::Rotary { head_size, rotary } => {
            divides(*head_size, x, "head_size").map_err(fail)?;
            let table = scope.rotaries.get(*rotary).ok_or_else(|| fail(format!("rotary {rotary} does not exist")))?;
            if table.rotary_size > *head_size {
                return Err(fail(format!("rotary size {} exceeds the head size {head_size}", table.rotary_size)));
            }
            Ok(x)
        }
        Op::Attention { .. } => attention_width(op, widths).map_err(fail),
        Op::Silu | Op::Gelu => Ok(x),
        Op::SoftCap { cap } => positive_or_none(Some(*cap), "cap").map(|()| x).map_err(fail),
        Op::Add | Op::Mul if x == y => Ok(x),
        Op::Add | Op::Mul => Err(fail(format!("inputs of widths {x} and {y}, expected equal widths"))),
    }
}

fn attention_width(op: &Op, [q, k, v]: [usize; 3]) -> Result<usize, String> {
    let Op::Attention { heads, kv_heads, head_size, scale, window, soft_cap, .. } = op else {
        return Err("not an attention".into());
    };
    if *kv_heads == 0 || *heads == 0 || heads % kv_heads != 0 {
        return Err(format!("{heads} heads over {kv_heads} key and value heads, expected a positive multiple"));
    }
    let expected = |count: &usize| count.checked_mul(*head_size).filter(|&width| width > 0);
    if expected(heads) != Some(q) {
        return Err(format!("q has width {q}, expected {heads} heads of {head_size}"));
    }
    if expected(kv_heads) != Some(k) || k != v {
        return Err(format!("k and v have widths {k} and {v}, expected {kv_heads} heads of {head_size}"));
    }
    if *window == Some(0) {
        return Err("window 0, expected at least the token itself".into());
    }
    positive_or_none(Some(*scale), "scale")?;
    positive_or_none(*soft_cap, "soft_cap")?;
    Ok(q)
}

fn matmul_width(
    scope: &Scope<'_>,
    node: NodeId,
    weight: WeightId,
    bias: Option<WeightId>,
    input: usize,
) -> Result<usize, Violation> {
    let (rows, _) = matrix(scope, node, weight)?;
    expect_shape(scope, node, weight, &[rows, input])?;
    if let Some(bias) = bias {
        expect_shape(scope, node, bias, &[rows])?;
    }
    Ok(rows)
}

fn declared<'a>(scope: &Scope<'a>, node: NodeId, id: WeightId) -> Result<&'a Weight, Violation> {
    let missing = || Violation::Node { node, what: format!("tensor #{} is not declared", id.0) };
    scope.weights.get(id.0 as usize).ok_or_else(missing)
}

fn matrix(scope: &Scope<'_>, node: NodeId, id: WeightId) -> Result<(usize, usize), Violation> {
    match declared(scope, node, id)?.shape[..] {
        [rows, cols] => Ok((rows, cols)),
        _ => Err(Violation::Node { node, what: format!("tensor {} is not a matrix", weight_name(scope.weights, id)) }),
    }
}

fn expect_shape(scope: &Scope<'_>, node: NodeId, id: WeightId, expected: &[usize]) -> Result<(), Violation> {
    let weight = declared(scope, node, id)?;
    if weight.shape == expected {
        return Ok(());
    }
    Err(Violation::Shape { name: weight.name.clone(), shape: weight.shape.clone(), expected: expected.to_vec() })
}

fn divides(part: usize, whole: usize, what: &str) -> Result<(), String> {
    if part > 0 && whole.is_multiple_of(part) {
        return Ok(());
    }
    Err(format!("{what} {part} does not divide the width {whole}"))
}

fn positive_or_none(value: Option<f32>, what: &str) -> Result<(), String> {
    match value {
        Some(value) if !(value.is_finite() && value > 0.0) => {
            Err(format!("{what} {value}, expected a finite number above 0"))
        }
        _ => Ok(()),
    }
}
