//! Sums up a tree of shortest routes to chip 0, and the total down it: any cables will do.

use lockstep_machine::network::Cable;
use lockstep_machine::system::SystemSpec;

use super::deliver::{Delivery, Leg};
use super::draft::Draft;
use super::reduce::{FORMAT, delivery, draft, sum};
use super::{Method, SIDE};
use crate::compose::Stored;
use crate::error::Error;

/// The sum of all chips, vector by vector.
pub(super) fn reduce(system: &SystemSpec, vectors: usize) -> Result<Draft<'_>, Error> {
    let mut draft = draft(system, Method::Tree);
    let hops = system.network().distances(0);
    // By the chip that each reaches, nearest first.
    let mut tree: Vec<Cable> = system.network().tree();
    tree.sort_by_key(|cable| hops[cable.to_chip as usize]);
    for _ in 0..vectors {
        let own = |chip| Ok(vec![draft.input(chip, SIDE, FORMAT)?]);
        let mut parts: Vec<Vec<Stored>> = (0..system.chips).map(own).collect::<Result<_, Error>>()?;
        for cable in tree.iter().rev() {
            let chip = cable.to_chip;
            let mut copies = std::mem::take(&mut parts[chip as usize]);
            if copies.len() > 1 {
                let words = draft.words(chip, draft.ensemble.link_side(cable.to_link), FORMAT)?;
                copies = sum(&mut draft.ensemble.chips[chip as usize], &copies, &[words])?;
            }
            let delivery = delivery(&mut draft, chip, copies, vec![cable.reversed()])?;
            parts[cable.from_chip as usize].extend(draft.deliver_alone(&delivery)?);
        }
        let words = draft.output(0, SIDE, FORMAT)?;
        let copies = sum(&mut draft.ensemble.chips[0], &parts[0], &[words])?;
        let mut down = |cable: &Cable| Ok(Leg { cable: *cable, words: draft.output(cable.to_chip, SIDE, FORMAT)? });
        let legs = tree.iter().map(&mut down).collect::<Result<_, Error>>()?;
        draft.deliver_alone(&Delivery { chip: 0, copies, legs })?;
    }
    draft.hops = 2 * system.network().tree_height();
    Ok(draft)
}
