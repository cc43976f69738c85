//! Sums of integers, the same on all chips. An exact sum has no order, so every way of adding up gives the same bits.

use std::cmp::Reverse;

use lockstep_machine::geometry::Hemisphere;
use lockstep_machine::inst::operand::Format;
use lockstep_machine::network::Cable;
use lockstep_machine::system::SystemSpec;
use lockstep_program::program::Word;

use super::deliver::{Delivery, Leg};
use super::draft::Draft;
use super::moves::leg;
use super::route::Trees;
use super::{Collective, Method, SIDE};
use crate::compose::memory::{ANY, Target};
use crate::compose::{Composer, Stored};
use crate::error::Error;

pub(super) const FORMAT: Format = Format::I32;

/// For each vector and each chip a value.
pub(super) type Values = Vec<Vec<Stored>>;

/// Values on their way, each with its vector.
pub(super) type Underway = Vec<(usize, Delivery)>;

/// For each vector and each chip several values.
pub(super) type Parts = Vec<Vec<Vec<Stored>>>;

pub(super) fn begun(system: &SystemSpec, method: Method, vectors: usize) -> Result<(Draft<'_>, Values, Values), Error> {
    let mut draft = Draft::new(system, Collective::AllReduce.name(), method);
    let (mut inputs, mut outputs) = (Vec::new(), Vec::new());
    for _ in 0..vectors {
        inputs.push((0..system.chips).map(|chip| draft.input(chip, SIDE, FORMAT)).collect::<Result<_, _>>()?);
        let mut output = Vec::new();
        for chip in 0..system.chips {
            let words = draft.words(chip, SIDE, FORMAT)?;
            draft.outputs.entry(chip).or_default().push(words.clone());
            output.push(Stored { words, format: FORMAT, ready: 0 });
        }
        outputs.push(output);
    }
    Ok((draft, inputs, outputs))
}

/// Every chip gets what all have, and adds it up.
pub(super) fn gather(system: &SystemSpec, vectors: usize) -> Result<Draft<'_>, Error> {
    let (mut draft, inputs, outputs) = begun(system, Method::Gather, vectors)?;
    let mut trees = Trees::new(system.network());
    let mut deliveries = Vec::new();
    for (vector, own) in inputs.iter().enumerate() {
        for (chip, own) in (0..).zip(own) {
            deliveries.push((vector, delivery(&mut draft, chip, own, &trees.from(chip))?));
        }
    }
    let parts = arrived(&mut draft, deliveries, &inputs)?;
    total(&mut draft, &parts, &outputs)?;
    Ok(draft)
}

/// Each vector is added up by one chip, which sends the sum to the others.
pub(super) fn scatter(system: &SystemSpec, vectors: usize) -> Result<Draft<'_>, Error> {
    let (mut draft, inputs, outputs) = begun(system, Method::Scatter, vectors)?;
    let owner = |vector: usize| vector as u32 % system.chips;
    let mut deliveries = Vec::new();
    for (vector, own) in inputs.iter().enumerate() {
        let routes = system.network().routes_to(owner(vector));
        for (chip, own) in (0..).zip(own).filter(|(chip, _)| *chip != owner(vector)) {
            deliveries.push((vector, delivery(&mut draft, chip, own, &routes.path(chip))?));
        }
    }
    let parts = arrived(&mut draft, deliveries, &inputs)?;
    let mut trees = Trees::new(system.network());
    let mut back = Vec::new();
    for (vector, parts) in parts.iter().enumerate() {
        let chip = owner(vector);
        let words = &outputs[vector][chip as usize].words;
        let sum = sum(&mut draft.ensemble.chips[chip as usize], &parts[chip as usize], To::Words(words))?;
        let to = |cable: Cable| Leg { cable, words: outputs[vector][cable.to_chip as usize].words.clone() };
        back.push(Delivery { chip, copies: sum, legs: trees.from(chip).into_iter().map(to).collect() });
    }
    draft.deliver(&back)?;
    Ok(draft)
}

/// A value of a chip on its way over cables, to new words.
pub(super) fn delivery(draft: &mut Draft<'_>, chip: u32, stored: &Stored, cables: &[Cable]) -> Result<Delivery, Error> {
    let legs = cables.iter().map(|cable| leg(draft, *cable, FORMAT)).collect::<Result<_, _>>()?;
    Ok(Delivery { chip, copies: vec![stored.clone()], legs })
}

/// Sends values, each a part of a vector's sum, and gives for each vector and chip what it then has: its own part first.
pub(super) fn arrived(draft: &mut Draft<'_>, deliveries: Underway, own: &[Vec<Stored>]) -> Result<Parts, Error> {
    let mut parts: Parts = own.iter().map(|own| own.iter().map(|own| vec![own.clone()]).collect()).collect();
    let (vectors, deliveries): (Vec<usize>, Vec<Delivery>) = deliveries.into_iter().unzip();
    let arrived = draft.deliver(&deliveries)?;
    for ((vector, delivery), arrived) in vectors.into_iter().zip(&deliveries).zip(arrived) {
        for (leg, stored) in delivery.legs.iter().zip(arrived) {
            parts[vector][leg.cable.to_chip as usize].push(stored);
        }
    }
    Ok(parts)
}

/// Each chip adds up its parts of each vector into its outputs.
pub(super) fn total(draft: &mut Draft<'_>, parts: &Parts, outputs: &[Vec<Stored>]) -> Result<(), Error> {
    for (parts, outputs) in parts.iter().zip(outputs) {
        for ((c, parts), output) in draft.ensemble.chips.iter_mut().zip(parts).zip(outputs) {
            sum(c, parts, To::Words(&output.words))?;
        }
    }
    Ok(())
}

/// Where a sum is to lie.
#[derive(Clone, Copy)]
pub(super) enum To<'t> {
    Words(&'t [Word]),
    Sides(&'t [Hemisphere]),
}

/// Adds up values, those that are there first first.
pub(super) fn sum(c: &mut Composer<'_, '_>, parts: &[Stored], to: To<'_>) -> Result<Vec<Stored>, Error> {
    let mut values: Vec<_> = parts.iter().map(|part| c.stored(part.clone())).collect();
    let sum = loop {
        values.sort_by_key(|value| Reverse((c.earliest(*value), value.0)));
        match (values.pop(), values.pop()) {
            (Some(one), Some(other)) => values.push(c.iadd(one, other)?),
            (Some(sum), None) => break sum,
            (None, _) => return Ok(Vec::new()),
        }
    };
    match to {
        To::Words(words) => c.put(sum, words[0].hemisphere, Target::Fixed(words))?,
        To::Sides(sides) => sides.iter().try_for_each(|side| c.put(sum, *side, ANY))?,
    }
    Ok(c.copies(sum).to_vec())
}
