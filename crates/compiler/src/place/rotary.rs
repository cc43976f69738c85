//! Tables of rotary embeddings: rows of cosines and sines by position, a table for each byte plane.

use lockstep_graph::Rotary;
use lockstep_machine::geometry::Hemisphere;
use lockstep_machine::inst::operand::Format;

use super::heads::HeadLanes;
use super::layout::{Layout, Run, Zone};
use super::{Placer, SPARE_SIDE};
use crate::compose::switch::Table;
use crate::error::Error;
use crate::network::Network;

/// Byte planes of both tables.
const PLANES: u8 = 8;

impl Placer<'_> {
    /// Tables of all rotary embeddings. All layers' heads stand on the same lanes.
    pub(super) fn rotaries(&mut self, network: &Network<'_>, tiles: usize) -> Result<Vec<[Vec<Table>; 2]>, Error> {
        let heads = network.sections().find_map(|section| section.heads.as_ref()).map(|heads| &heads.keys);
        let Some(heads) = heads.filter(|heads| heads.vectors() > 0) else { return Ok(Vec::new()) };
        let positions = tiles * self.layout.lanes();
        let one = |(index, rotary)| self.rotary(index, rotary, heads, positions);
        network.rotaries.iter().enumerate().map(one).collect()
    }

    /// The zone of each byte plane: a slice of its own among the outermost that have room, or all planes round several.
    fn rotary_zones(&self, positions: usize) -> Vec<Zone> {
        let one = |first| Zone { first, end: first + 1 };
        let far = self.layout.far;
        let room = |slice: u8| [0, 1].map(|bank| self.layout.room(Hemisphere::East, slice, bank)).into_iter().max();
        let fits = |first: &u8| (*first..first + PLANES).all(|slice| room(slice) >= Some(positions as u32));
        match (far.first..=far.end - PLANES).rev().find(fits) {
            Some(first) => (first..first + PLANES).map(one).collect(),
            None => vec![Zone { first: far.end - PLANES, end: far.end }; PLANES.into()],
        }
    }

    /// Where else a byte plane may lie: round several slices, from the outermost inward, then among the values.
    fn wide_zones(&self) -> Vec<Zone> {
        let Layout { near, far, .. } = self.layout;
        let round = |from: Zone, width: u8| {
            (from.first + width..=from.end).rev().step_by(width.into()).map(move |end| Zone { first: end - width, end })
        };
        // The index of the row comes from inside, a byte plane a slice.
        let inner = |zone: &Zone| self.layout.inner(zone.first) >= Format::I32.streams();
        round(far, 8).chain(round(far, 16)).chain(round(near, 8).filter(inner)).collect()
    }

    fn rotary(
        &mut self,
        index: usize,
        rotary: &Rotary,
        heads: &HeadLanes,
        positions: usize,
    ) -> Result<[Vec<Table>; 2], Error> {
        let zones = self.rotary_zones(positions);
        let mut zones = zones.into_iter();
        let mut place = |part: &str| -> Result<Vec<(String, Run)>, Error> {
            let one = |(plane, zone)| {
                let name = format!("rotary{index}.{part}.{plane}");
                let behind = self.spare.then(|| self.layout.spare_run(&name, SPARE_SIDE[0], positions).ok()).flatten();
                let run = match behind {
                    Some(run) => run,
                    None => self.layout.run(&name, SPARE_SIDE[0], zone, positions).or_else(|error| {
                        let mut zones = self.wide_zones().into_iter();
                        let run = |zone| self.layout.run(&name, SPARE_SIDE[0], zone, positions).ok();
                        zones.find_map(run).ok_or(error)
                    })?,
                };
                Ok((name, run))
            };
            zones.by_ref().take(Format::F32.streams().into()).enumerate().map(one).collect()
        };
        let runs = [place("cosines")?, place("sines")?];
        // Only after there is room, since there may be very many.
        let rows = self.has_values.then(|| heads.rotary_rows(rotary, positions));
        let mut fill = |part: usize| -> Vec<Table> {
            let one = |(plane, (name, run)): (usize, &(String, Run))| {
                let bytes = |row: &Vec<f32>| row.iter().map(|x| x.to_le_bytes()[plane]).collect();
                let vectors = rows.as_ref().map(|rows| rows[part].iter().map(bytes).collect::<Vec<_>>());
                self.contents.fill(name, *run, positions, vectors.as_deref());
                Table::new(*run, positions)
            };
            runs[part].iter().enumerate().map(one).collect()
        };
        Ok([fill(0), fill(1)])
    }
}
