//! Hands the residual stream from each team to the next. Behind a team's last layer its chips have some vectors of it
//! each, or all, and every chip of the next team wants all: words are dealt to routes from any chip of the one to any
//! of the other, get to where their route begins, and go on from its end to the other chips there. Routes share no
//! cable. Those that pass chips of other teams are taken where all words are then there in fewer cycles.

use std::collections::BTreeMap;

use lockstep_machine::geometry::Queue;
use lockstep_machine::inst::operand::Format;
use lockstep_machine::network::{Cable, Network};
use lockstep_machine::spec::MachineSpec;
use lockstep_program::builder::BlockBuilder;
use lockstep_program::program::Word;

use crate::chips::Chips;
use crate::collective::deliver::{Delivery, Leg, deliver};
use crate::collective::route::{Deal, disjoint, hop_cycles, tree};
use crate::compose::Stored;
use crate::compose::ensemble::Ensemble;
use crate::emit::{self, Step};
use crate::error::Error;
use crate::place::Placed;
use crate::schedule::{composer, kept};
use crate::team::Team;

/// The ways of words, with chips by their places among those that take part: first all of the team behind and
/// of the one before, then others.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Plan {
    /// The team of each chip, or the first one that is placed alike, and its rank there.
    ranks: Vec<(usize, usize)>,
    /// For each word a tree: the cables of its route, then those behind it.
    ways: Vec<Vec<Cable>>,
}

/// Makes all hand-overs; those that are alike share blocks.
pub(crate) struct Planner<'s, 't, 'w> {
    spec: &'s MachineSpec,
    network: Option<&'s Network>,
    teams: &'t [Team<'w>],
    /// Whether chips of other teams may pass words on.
    detours: bool,
    /// Each chip's team and rank.
    ranks: BTreeMap<u32, (usize, usize)>,
    /// Of each team the first one that is placed alike.
    alike: Vec<usize>,
    /// Which of some plans is best, and its blocks.
    known: BTreeMap<Vec<Plan>, (usize, Step)>,
}

impl<'s, 't, 'w> Planner<'s, 't, 'w> {
    pub(crate) fn new(chips: Chips<'s>, teams: &'t [Team<'w>], detours: bool) -> Self {
        let of_team = |(team, of): (usize, &Team<'_>)| {
            let chips = of.group.chips.iter().enumerate();
            chips.map(|(rank, chip)| (*chip, (team, rank))).collect::<Vec<_>>()
        };
        let ranks = teams.iter().enumerate().flat_map(of_team).collect();
        let first = |team: &Team<'_>| teams.iter().position(|other| other.shape() == team.shape()).unwrap_or_default();
        let alike = teams.iter().map(first).collect();
        Self { spec: chips.machine(), network: chips.network(), teams, detours, ranks, alike, known: BTreeMap::new() }
    }

    /// The hand-overs from each team to the next.
    pub(crate) fn all(mut self, blocks: &mut Vec<BlockBuilder<'s>>) -> Result<Vec<emit::Placed>, Error> {
        let Some(network) = self.network else { return Ok(Vec::new()) };
        (1..self.teams.len()).map(|team| self.to(team, network, blocks)).collect()
    }

    /// The hand-over to a team from the one before it: of the plans the one with the fewest cycles.
    fn to(
        &mut self,
        team: usize,
        network: &Network,
        blocks: &mut Vec<BlockBuilder<'s>>,
    ) -> Result<emit::Placed, Error> {
        let (plans, chips): (Vec<Plan>, Vec<Vec<u32>>) = self.plans(team, network)?.into_iter().unzip();
        if !self.known.contains_key(&plans) {
            let mut best: Option<(u64, usize, Vec<BlockBuilder<'s>>)> = None;
            for (index, plan) in plans.iter().enumerate() {
                let drafted = match self.draft(plan, team) {
                    // No room for what passes: not by this way then.
                    Err(Error::Memory { .. }) if index > 0 => continue,
                    drafted => drafted?,
                };
                let cycles = drafted.iter().map(|block| block.finish().cycles).max().unwrap_or_default();
                if best.as_ref().is_none_or(|(least, ..)| cycles < *least) {
                    best = Some((cycles, index, drafted));
                }
            }
            let (_, index, drafted) = best.ok_or_else(|| Error::shape("hand-overs", "none", "one"))?;
            self.known.insert(plans.clone(), (index, kept(drafted, blocks)));
        }
        let (index, step) = &self.known[&plans];
        let chips = &chips[*index];
        Ok(step.iter().map(|run| (chips[run.place], *run)).collect())
    }

    /// The ways to a team: over its direct cables, and where that may be faster over others too. With the chips of each.
    fn plans(&self, team: usize, network: &Network) -> Result<Vec<(Plan, Vec<u32>)>, Error> {
        let [from, to] = [team - 1, team].map(|team| &self.teams[team].group.chips[..]);
        // The vector of each word, and who has it.
        let holders = self.teams[team - 1].holders();
        let x = &self.teams[team].ranks[0].placed.ports.x;
        let words: Vec<usize> =
            x.iter().enumerate().flat_map(|(vector, words)| std::iter::repeat_n(vector, words.len())).collect();
        // To near words and back, with all the slack that drift may ask for.
        let way = self.spec.position(Queue::Send(0)).abs_diff(self.spec.vxm_position());
        let hop = hop_cycles(self.spec) + u64::from(self.spec.c2c.slack_max_cycles + 2 * way);
        // A longer one brings its first word when one cable has brought all.
        let longest = 1 + words.len() as u64 * u64::from(self.spec.c2c.vector_cycles) / hop;
        let closed = |chip: u32| !self.ranks.contains_key(&chip);
        let all: Vec<_> =
            disjoint(network, from, to, closed).take_while(|route| route.len() as u64 <= longest).collect();
        let direct: Vec<_> = all.iter().filter(|route| route.len() == 1).cloned().collect();
        let mut plans = Vec::new();
        for routes in [direct, all] {
            // To where a route begins, from the chip that has the vector and is nearest.
            let starts = |holders: &Vec<u32>| {
                let to_start = |route: &Vec<Cable>| ahead(network, holders, from, route[0].from_chip);
                routes.iter().map(to_start).collect::<Result<Vec<_>, Error>>()
            };
            let ahead = holders.iter().map(starts).collect::<Result<Vec<_>, Error>>()?;
            let behind = routes.iter().map(|route| behind(network, route, to)).collect::<Result<Vec<_>, Error>>()?;
            let deal = Deal { spec: self.spec, routes: &routes, hop, spread: to.len() > 1 };
            let dealt = deal.deal(&words, |vector, route| ahead[vector][route].len());
            let passes = dealt.iter().any(|route| routes[*route].len() > 1);
            if plans.is_empty() || (self.detours && passes) {
                let way = |(vector, route): (&usize, &usize)| {
                    [&ahead[*vector][*route][..], &routes[*route], &behind[*route]].concat()
                };
                plans.push(self.plan((from, to), words.iter().zip(&dealt).map(way).collect()));
            }
        }
        Ok(plans)
    }

    /// The plan of such ways to a team, and its chips.
    fn plan(&self, (from, to): (&[u32], &[u32]), mut ways: Vec<Vec<Cable>>) -> (Plan, Vec<u32>) {
        let mut chips = [to, from].concat();
        let mut place = |chip: u32| {
            let found = chips.iter().position(|other| *other == chip);
            found.unwrap_or_else(|| {
                chips.push(chip);
                chips.len() - 1
            }) as u32
        };
        for cable in ways.iter_mut().flatten() {
            (cable.from_chip, cable.to_chip) = (place(cable.from_chip), place(cable.to_chip));
        }
        let ranks = chips.iter().map(|chip| self.ranks[chip]).map(|(team, rank)| (self.alike[team], rank));
        (Plan { ranks: ranks.collect(), ways }, chips)
    }

    /// The blocks of a plan, one for each of its chips.
    fn draft(&self, plan: &Plan, team: usize) -> Result<Vec<BlockBuilder<'s>>, Error> {
        let placed: Vec<&Placed> =
            plan.ranks.iter().map(|(team, rank)| &self.teams[*team].ranks[*rank].placed).collect();
        let x: Vec<Vec<Word>> =
            placed.iter().map(|placed| placed.ports.x.iter().flatten().copied().collect()).collect();
        let chips = placed.iter().map(|placed| composer("handover", self.spec, placed)).collect();
        let mut ensemble = Ensemble::new(chips, self.spec, Vec::new());
        // Chips of both teams have a word for each.
        let both = self.teams[team].ranks.len() + self.teams[team - 1].ranks.len();
        let mut deliveries = Vec::new();
        for (index, way) in plan.ways.iter().enumerate() {
            let Some(first) = way.first() else { continue };
            let mut legs = Vec::new();
            for cable in way {
                let (place, side) = (cable.to_chip as usize, ensemble.link_side(cable.to_link));
                let layout = &mut ensemble.chips[place].layout;
                let words = if place < both {
                    vec![x[place][index]]
                } else {
                    layout.near_planes("a vector that is passed on", side, 1)?
                };
                legs.push(Leg { cable: *cable, words });
            }
            let words = vec![x[first.from_chip as usize][index]];
            let stored = Stored { words, format: Format::I8, ready: 0 };
            deliveries.push(Delivery { chip: first.from_chip, copies: vec![stored], legs });
        }
        deliver(&mut ensemble, &deliveries)?;
        ensemble.finish()
    }
}

/// The cables in a team from the nearest of those that hold a vector to one of its chips.
fn ahead(network: &Network, holders: &[u32], team: &[u32], to: u32) -> Result<Vec<Cable>, Error> {
    if holders.contains(&to) {
        return Ok(Vec::new());
    }
    disjoint(network, holders, &[to], |chip| !team.contains(&chip)).next().ok_or_else(|| apart(to))
}

/// The cables from the end of a route to all other chips of the team there.
fn behind(network: &Network, route: &[Cable], team: &[u32]) -> Result<Vec<Cable>, Error> {
    let end = route.last().map(|cable| cable.to_chip);
    let tree = tree(network, end.as_slice(), &[], |cable| team.contains(&cable.to_chip));
    if tree.len() + 1 == team.len() { Ok(tree) } else { Err(apart(end.unwrap_or_default())) }
}

fn apart(chip: u32) -> Error {
    Error::shape("chips of a group", format!("chip {chip} and others apart"), "links among them")
}
