//! How the weights of a section are used, and which of their rows stand where.

use lockstep_arith::matrix::GROUP;
use lockstep_graph::{Op, Rotary};

use super::heads::{Heads, rotated_order};
use super::tiles::{Arrangement, in_order};
use crate::network::{Order, Section};

/// Which rows of a weight stand where.
#[derive(Clone, Debug)]
pub(super) enum Use {
    Matrix(Arrangement),
    /// For each vector and lane the element.
    Vector(Vec<Vec<Option<usize>>>),
}

/// How each weight of a section is used.
pub(super) fn uses(section: &Section, rotaries: &[Rotary], lanes: usize) -> Vec<Use> {
    let mut uses = vec![Use::Vector(Vec::new()); section.formats.len()];
    for (index, node) in section.nodes.iter().enumerate() {
        let mut rows = rows(section, section.orders[index], node.width, rotaries, lanes);
        if section.in_parts(index) && section.orders[index] == Order::Natural {
            rows = rows[section.tiles(index)].to_vec();
        }
        match node.op {
            Op::MatMul { weight, bias } => {
                let input = node.inputs[0].0 as usize;
                let groups = match (section.orders[input], &section.all_heads) {
                    (Order::Attended, Some(heads)) => heads.values.query_groups(),
                    _ => in_order(section.nodes[input].width.div_ceil(GROUP), lanes / GROUP),
                };
                if let Some(bias) = bias {
                    uses[bias.0 as usize] = Use::Vector(rows.clone());
                }
                uses[weight.0 as usize] = Use::Matrix(Arrangement { rows, groups });
            }
            Op::RmsNorm { weight, group, .. } => {
                let in_group = |row: &Option<usize>| row.map(|row| row % group);
                let rows = rows.iter().map(|lanes| lanes.iter().map(in_group).collect()).collect();
                uses[weight.0 as usize] = Use::Vector(rows);
            }
            _ => {}
        }
    }
    uses
}

/// The element for each vector and lane of a value.
fn rows(section: &Section, order: Order, width: usize, rotaries: &[Rotary], lanes: usize) -> Vec<Vec<Option<usize>>> {
    let Some(heads) = &section.heads else { return in_order(width, lanes) };
    let Heads { keys, values } = heads;
    let natural: Vec<usize> = (0..keys.size).collect();
    let rotated = |rotary: Option<usize>| rotary.map_or(natural.clone(), |at| rotated_order(keys.size, &rotaries[at]));
    match order {
        Order::Natural => in_order(width, lanes),
        Order::Queries(rotary) => keys.query_rows(&rotated(rotary)),
        Order::Keys(rotary) => keys.key_rows(&rotated(rotary)),
        Order::Values => values.key_rows(&natural),
        Order::Attended => values.query_rows(&natural),
    }
}
