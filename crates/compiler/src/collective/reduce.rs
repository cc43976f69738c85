//! Sums of integers, the same on all chips. An exact sum has no order, so every way of adding up gives the same bits.

use std::cmp::Reverse;

use lockstep_machine::inst::operand::Format;
use lockstep_machine::network::Cable;
use lockstep_machine::system::SystemSpec;
use lockstep_program::program::Word;

use super::deliver::{Delivery, Leg};
use super::draft::Draft;
use super::moves::leg;
use super::route::Trees;
use super::{Collective, Method, SIDE};
use crate::compose::memory::Target;
use crate::compose::{Composer, Stored};
use crate::error::Error;

pub(super) const FORMAT: Format = Format::I32;

/// For each vector and each chip the parts of a sum.
pub(super) type Parts = Vec<Vec<Vec<Stored>>>;

/// Values on their way, each a part of a vector's sum.
pub(super) type Underway = Vec<(usize, Delivery)>;

pub(super) fn draft(system: &SystemSpec, method: Method) -> Draft<'_> {
    Draft::new(system, Collective::AllReduce.name(), method)
}

/// Every chip gets what all have, and adds it up.
pub(super) fn gather(system: &SystemSpec, vectors: usize) -> Result<Draft<'_>, Error> {
    let mut draft = draft(system, Method::Gather);
    let mut trees = Trees::new(system.network());
    let parts = exchange(&mut draft, system.chips, vectors, |_, chip| trees.from(chip))?;
    total(&mut draft, &parts)?;
    Ok(draft)
}

/// Each vector is added up by one chip, which sends the sum to the others.
pub(super) fn scatter(system: &SystemSpec, vectors: usize) -> Result<Draft<'_>, Error> {
    let mut draft = draft(system, Method::Scatter);
    let owner = |vector: usize| vector as u32 % system.chips;
    let routes: Vec<_> = (0..system.chips).map(|chip| system.network().routes_to(chip)).collect();
    let parts = exchange(&mut draft, system.chips, vectors, |vector, chip| routes[owner(vector) as usize].path(chip))?;
    let mut trees = Trees::new(system.network());
    let mut back = Vec::new();
    for (vector, parts) in parts.iter().enumerate() {
        let chip = owner(vector);
        let words = draft.output(chip, SIDE, FORMAT)?;
        let copies = sum(&mut draft.ensemble.chips[chip as usize], &parts[chip as usize], &[words])?;
        let mut legs = Vec::new();
        for cable in trees.from(chip) {
            legs.push(Leg { cable, words: draft.output(cable.to_chip, SIDE, FORMAT)? });
        }
        back.push(Delivery { chip, copies, legs });
    }
    draft.deliver(&back)?;
    Ok(draft)
}

/// Sends each input by a tree of cables of its own; what each chip then has.
pub(super) fn exchange(
    draft: &mut Draft<'_>,
    chips: u32,
    vectors: usize,
    mut tree: impl FnMut(usize, u32) -> Vec<Cable>,
) -> Result<Parts, Error> {
    let (mut deliveries, mut own) = (Vec::new(), Vec::new());
    for vector in 0..vectors {
        let inputs = (0..chips).map(|chip| draft.input(chip, SIDE, FORMAT)).collect::<Result<Vec<_>, _>>()?;
        for (chip, input) in (0..).zip(&inputs) {
            deliveries.push((vector, delivery(draft, chip, vec![input.clone()], tree(vector, chip))?));
        }
        own.push(inputs.into_iter().map(|input| vec![input]).collect());
    }
    arrived(draft, deliveries, own)
}

/// A value of a chip on its way over cables, to new words.
pub(super) fn delivery(
    draft: &mut Draft<'_>,
    chip: u32,
    copies: Vec<Stored>,
    cables: Vec<Cable>,
) -> Result<Delivery, Error> {
    let legs = cables.into_iter().map(|cable| leg(draft, cable, FORMAT)).collect::<Result<_, _>>()?;
    Ok(Delivery { chip, copies, legs })
}

/// Sends values and adds them to the parts that chips have, wherever they come.
pub(super) fn arrived(draft: &mut Draft<'_>, underway: Underway, mut parts: Parts) -> Result<Parts, Error> {
    let (vectors, deliveries): (Vec<usize>, Vec<Delivery>) = underway.into_iter().unzip();
    let arrived = draft.deliver(&deliveries)?;
    for ((vector, delivery), arrived) in vectors.into_iter().zip(&deliveries).zip(arrived) {
        for (leg, stored) in delivery.legs.iter().zip(arrived) {
            parts[vector][leg.cable.to_chip as usize].push(stored);
        }
    }
    Ok(parts)
}

/// Each chip adds up its parts of each vector into its output.
pub(super) fn total(draft: &mut Draft<'_>, parts: &Parts) -> Result<(), Error> {
    for parts in parts {
        for (chip, parts) in (0..).zip(parts) {
            let words = draft.output(chip, SIDE, FORMAT)?;
            sum(&mut draft.ensemble.chips[chip as usize], parts, &[words])?;
        }
    }
    Ok(())
}

/// Adds up values, those that are there first first, and writes the sum to each of some places. Gives where it lies.
pub(super) fn sum(c: &mut Composer<'_, '_>, parts: &[Stored], places: &[Vec<Word>]) -> Result<Vec<Stored>, Error> {
    let mut values: Vec<_> = parts.iter().map(|part| c.stored(part.clone())).collect();
    let sum = loop {
        values.sort_by_key(|value| Reverse((c.earliest(*value), value.0)));
        match (values.pop(), values.pop()) {
            (Some(one), Some(other)) => values.push(c.iadd(one, other)?),
            (Some(sum), None) => break sum,
            (None, _) => return Ok(Vec::new()),
        }
    };
    for words in places {
        c.put(sum, words[0].hemisphere, Target::Fixed(words))?;
    }
    Ok(c.copies(sum).iter().filter(|copy| places.contains(&copy.words)).cloned().collect())
}
