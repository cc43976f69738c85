//! Sums up a tree of shortest routes to chip 0, and the total down it: any cables will do.

use lockstep_machine::network::Cable;
use lockstep_machine::system::SystemSpec;

use super::Method;
use super::deliver::{Delivery, Leg};
use super::draft::Draft;
use super::moves::leg;
use super::reduce::{FORMAT, To, begun, sum};
use crate::compose::Stored;
use crate::error::Error;

/// The sum of all chips, vector by vector.
pub(super) fn reduce(system: &SystemSpec, vectors: usize) -> Result<Draft<'_>, Error> {
    let (mut draft, inputs, outputs) = begun(system, Method::Tree, vectors)?;
    let hops = system.network().distances(0);
    // By the chip that each reaches, nearest first.
    let mut tree = system.network().tree();
    tree.sort_by_key(|cable| hops[cable.to_chip as usize]);
    for (inputs, outputs) in inputs.iter().zip(&outputs) {
        let mut parts: Vec<Vec<Stored>> = inputs.iter().map(|own| vec![own.clone()]).collect();
        for cable in tree.iter().rev() {
            let chip = cable.to_chip;
            let side = draft.ensemble.link_side(cable.to_link);
            let copies = match &parts[chip as usize][..] {
                [own] => vec![own.clone()],
                parts => sum(&mut draft.ensemble.chips[chip as usize], parts, To::Sides(&[side]))?,
            };
            let legs = vec![leg(&mut draft, cable.reversed(), FORMAT)?];
            let arrived = draft.deliver_alone(&Delivery { chip, copies, legs })?;
            parts[cable.from_chip as usize].extend(arrived);
        }
        let copies = sum(&mut draft.ensemble.chips[0], &parts[0], To::Words(&outputs[0].words))?;
        let down = |cable: &Cable| Leg { cable: *cable, words: outputs[cable.to_chip as usize].words.clone() };
        draft.deliver_alone(&Delivery { chip: 0, copies, legs: tree.iter().map(down).collect() })?;
    }
    draft.hops = 2 * system.network().tree_height();
    Ok(draft)
}
