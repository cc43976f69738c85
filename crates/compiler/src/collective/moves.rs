//! Collectives that only move vectors: to one chip, to all, from all to all.

use lockstep_machine::geometry::Hemisphere;
use lockstep_machine::inst::operand::Format;
use lockstep_machine::network::{Cable, Network};
use lockstep_machine::system::SystemSpec;

use super::deliver::{Delivery, Leg};
use super::draft::Draft;
use super::route::{Deal, Trees, disjoint, hop_cycles};
use super::{Collective, Method, SIDE, Way};
use crate::error::Error;

const FORMAT: Format = Format::I8;

/// From one chip to another: over the shortest routes, and over all.
pub(super) fn transfer(system: &SystemSpec, (from, to): (u32, u32), vectors: usize) -> Vec<Way<'_>> {
    let all: Vec<_> = disjoint(system.network(), &[from], &[to], |_| false).collect();
    let least = all.iter().map(Vec::len).min().unwrap_or_default();
    let short: Vec<Vec<Cable>> = all.iter().filter(|route| route.len() == least).cloned().collect();
    let name = Collective::Transfer { from, to }.name();
    let spec = system.machine();
    let alike = vec![(); vectors];
    let dealt_to =
        |routes: &[Vec<Cable>]| Deal { spec, routes, hop: hop_cycles(spec), spread: false }.deal(&alike, |(), _| 0);
    let draft = |method, routes: &[Vec<Cable>]| {
        let dealt = dealt_to(routes);
        let mut draft = Draft::new(system, name, method);
        for_each(&mut draft, from, dealt.into_iter().map(|route| routes[route].clone()), |chip| chip == to)?;
        Ok(draft)
    };
    let dealt = dealt_to(&all);
    let mut ways = vec![draft(Method::Shortest, &short)];
    if dealt.iter().any(|route| all[*route].len() > least) {
        ways.push(draft(Method::Detours, &all));
    }
    ways
}

/// From one chip to all others: over trees of shortest routes, and each vector first to another neighbour, which sends
/// it to the others.
pub(super) fn broadcast(system: &SystemSpec, from: u32, vectors: usize) -> Vec<Way<'_>> {
    let draft = |method, trees: &mut dyn Iterator<Item = Vec<Cable>>| {
        let mut draft = Draft::new(system, Collective::Broadcast { from }.name(), method);
        for_each(&mut draft, from, trees, |chip| chip != from)?;
        Ok(draft)
    };
    let mut trees = Trees::new(system.network());
    let mut ways = vec![draft(Method::Shortest, &mut (0..vectors).map(|_| trees.from(from)))];
    let first = system.network().leaving(from);
    if let Some(rest) = without(system.network(), from).filter(|_| vectors > 1 && first.len() > 1) {
        let mut trees = Trees::new(&rest);
        let mut around = first.iter().cycle().take(vectors).map(|cable| {
            let beyond = trees.from(moved(cable.to_chip, from)).into_iter();
            let named = |cable: Cable| Cable {
                from_chip: back(cable.from_chip, from),
                to_chip: back(cable.to_chip, from),
                ..cable
            };
            std::iter::once(*cable).chain(beyond.map(named)).collect()
        });
        ways.push(draft(Method::Detours, &mut around));
    }
    ways
}

/// A network without one of its chips, those behind it counted one less; none if others are then apart.
fn without(network: &Network, chip: u32) -> Option<Network> {
    let stays = |cable: &&Cable| cable.from_chip != chip && cable.to_chip != chip;
    let moved = |cable: &Cable| Cable {
        from_chip: moved(cable.from_chip, chip),
        to_chip: moved(cable.to_chip, chip),
        ..*cable
    };
    let cables: Vec<Cable> = network.cables().iter().filter(stays).map(moved).collect();
    let links = cables.iter().map(|cable| u32::from(cable.from_link) + 1).max()?;
    Network::new(network.chips() - 1, links, cables).ok()
}

/// A chip's number where another one is left out, and back.
fn moved(chip: u32, out: u32) -> u32 {
    chip - u32::from(chip > out)
}

fn back(chip: u32, out: u32) -> u32 {
    chip + u32::from(chip >= out)
}

/// Sends vectors of a chip's input, each by its tree; those for which it is asked are outputs where they arrive.
fn for_each(
    draft: &mut Draft<'_>,
    from: u32,
    trees: impl Iterator<Item = Vec<Cable>>,
    is_output: impl Fn(u32) -> bool,
) -> Result<(), Error> {
    let mut deliveries = Vec::new();
    for tree in trees {
        let side = tree.first().map_or(SIDE, |cable| draft.ensemble.link_side(cable.from_link));
        let stored = draft.input(from, side, FORMAT)?;
        let mut legs = Vec::new();
        for cable in tree {
            let leg = leg(draft, cable, FORMAT)?;
            if is_output(cable.to_chip) {
                draft.outputs.entry(cable.to_chip).or_default().push(leg.words.clone());
            }
            legs.push(leg);
        }
        deliveries.push(Delivery { chip: from, copies: vec![stored], legs });
    }
    draft.deliver(&deliveries)?;
    Ok(())
}

/// A leg with new words at the side where it ends.
pub(super) fn leg(draft: &mut Draft<'_>, cable: Cable, format: Format) -> Result<Leg, Error> {
    let side: Hemisphere = draft.ensemble.link_side(cable.to_link);
    Ok(Leg { cable, words: draft.words(cable.to_chip, side, format)? })
}

/// From all chips to all.
pub(super) fn all_gather(system: &SystemSpec, vectors: usize) -> Way<'_> {
    let mut draft = Draft::new(system, Collective::AllGather.name(), Method::Shortest);
    let mut trees = Trees::new(system.network());
    let chips = system.chips as usize;
    let mut outputs = vec![vec![Vec::new(); chips * vectors]; chips];
    let mut deliveries = Vec::new();
    for vector in 0..vectors {
        for chip in 0..system.chips {
            let stored = draft.input(chip, SIDE, FORMAT)?;
            let at = chip as usize * vectors + vector;
            let mut legs = Vec::new();
            for cable in trees.from(chip) {
                let leg = leg(&mut draft, cable, FORMAT)?;
                outputs[cable.to_chip as usize][at].clone_from(&leg.words);
                legs.push(leg);
            }
            deliveries.push(Delivery { chip, copies: vec![stored], legs });
        }
    }
    draft.deliver(&deliveries)?;
    // A chip's own part, which goes no way.
    for (index, delivery) in deliveries.iter().enumerate() {
        let chip = delivery.chip as usize;
        let at = chip * vectors + index / chips;
        outputs[chip][at] = draft.ensemble.chips[chip].carry(delivery.copies[0].words[0], 0)?.words;
    }
    draft.outputs = (0..).zip(outputs).collect();
    Ok(draft)
}
