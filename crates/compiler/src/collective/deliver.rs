//! Values on their way: over cables, from chip to chip.

use std::collections::{BTreeMap, BTreeSet};

use lockstep_machine::geometry::Hemisphere;
use lockstep_machine::network::Cable;
use lockstep_program::program::Word;

use crate::compose::Stored;
use crate::compose::ensemble::{Ensemble, Parcel, Wire};
use crate::compose::memory::Target;
use crate::error::Error;

/// A cable that a value takes, and the words that it comes to lie in behind it, one for each byte plane.
#[derive(Clone, Debug)]
pub(crate) struct Leg {
    pub(crate) cable: Cable,
    pub(crate) words: Vec<Word>,
}

/// A value of one chip that is to reach others.
#[derive(Clone, Debug)]
pub(crate) struct Delivery {
    pub(crate) chip: u32,
    /// Where it lies there: any of these.
    pub(crate) copies: Vec<Stored>,
    /// A tree: each leg begins at the chip, or where an earlier one ends.
    pub(crate) legs: Vec<Leg>,
}

/// What came of deliveries.
#[derive(Clone, Debug, Default)]
pub(crate) struct Delivered {
    /// For each delivery and each of its legs, where the value lies behind it.
    pub(crate) arrived: Vec<Vec<Stored>>,
    /// The most cables that a value took one after the other.
    pub(crate) hops: u32,
}

/// A byte plane of a delivery that is at the chip itself, or behind one of its legs, from a cycle on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Event {
    ready: u64,
    delivery: usize,
    plane: usize,
    leg: Option<usize>,
    hops: u32,
}

/// Sends everything on its way, each vector as soon as it is there and the link is free: what is ready first goes
/// first, then in the order of the deliveries.
pub(crate) fn deliver(ensemble: &mut Ensemble<'_, '_>, deliveries: &[Delivery]) -> Result<Delivered, Error> {
    let mut found = Delivered::default();
    let mut events = BTreeSet::new();
    for (index, delivery) in deliveries.iter().enumerate() {
        let first = delivery.copies.first().ok_or_else(|| Error::shape("copies of a value", 0, "one at least"))?;
        let stored = |leg: &Leg| Stored { words: leg.words.clone(), format: first.format, ready: 0 };
        found.arrived.push(delivery.legs.iter().map(stored).collect());
        let ready = delivery.copies.iter().map(|copy| copy.ready).min().unwrap_or_default();
        events.extend((0..first.words.len()).map(|plane| Event { ready, delivery: index, plane, leg: None, hops: 0 }));
    }
    let leaving: Vec<Leaving> = deliveries.iter().map(leaving).collect();
    while let Some(event) = events.pop_first() {
        let delivery = &deliveries[event.delivery];
        for (parcel, legs) in onward(ensemble, delivery, &leaving[event.delivery], event) {
            let wires: Vec<Wire> = legs.iter().map(|leg| wire(delivery.legs[*leg].cable)).collect();
            for (wire, cycle) in ensemble.send(parcel, &wires)? {
                let own = |leg: &&usize| delivery.legs[**leg].cable.from_link == wire.out;
                let leg = legs.iter().find(own).copied();
                let leg = leg.ok_or_else(|| Error::shape("a vector that is sent", "no leg", "the one of its link"))?;
                let word = delivery.legs[leg].words[event.plane];
                let there = ensemble.receive(wire, cycle, Target::Fixed(&[word]))?;
                let stored = &mut found.arrived[event.delivery][leg];
                stored.ready = stored.ready.max(there.ready);
                let hops = event.hops + 1;
                found.hops = found.hops.max(hops);
                events.insert(Event { ready: there.ready, leg: Some(leg), hops, ..event });
            }
        }
    }
    Ok(found)
}

/// The legs of a delivery by the chip that each leaves.
type Leaving = BTreeMap<u32, Vec<usize>>;

fn leaving(delivery: &Delivery) -> Leaving {
    let mut leaving = Leaving::new();
    for (index, leg) in delivery.legs.iter().enumerate() {
        leaving.entry(leg.cable.from_chip).or_default().push(index);
    }
    leaving
}

/// The legs by which a byte plane goes on from where it is: by the side where they leave, with the copy that is nearer.
fn onward(
    ensemble: &Ensemble<'_, '_>,
    delivery: &Delivery,
    leaving: &Leaving,
    event: Event,
) -> Vec<(Parcel, Vec<usize>)> {
    let chip = event.leg.map_or(delivery.chip, |leg| delivery.legs[leg].cable.to_chip);
    let legs = leaving.get(&chip).map_or(&[][..], Vec::as_slice);
    let side = |leg: &usize| ensemble.link_side(delivery.legs[*leg].cable.from_link);
    let parcel = |side: Hemisphere| {
        if let Some(leg) = event.leg {
            return Some(Parcel { word: delivery.legs[leg].words[event.plane], ready: event.ready });
        }
        let near = delivery.copies.iter().find(|copy| copy.hemisphere() == side).or(delivery.copies.first())?;
        Some(Parcel { word: near.words[event.plane], ready: near.ready })
    };
    let of_side = |of: Hemisphere| {
        let legs: Vec<usize> = legs.iter().copied().filter(|leg| side(leg) == of).collect();
        parcel(of).filter(|_| !legs.is_empty()).map(|parcel| (parcel, legs))
    };
    [Hemisphere::West, Hemisphere::East].into_iter().filter_map(of_side).collect()
}

fn wire(cable: Cable) -> Wire {
    let Cable { from_chip, from_link, to_chip, to_link } = cable;
    Wire { from: from_chip as usize, out: from_link, to: to_chip as usize, into: to_link }
}
