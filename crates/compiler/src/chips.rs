//! The chips that a model is compiled for.

use lockstep_machine::network::{Cable, Network};
use lockstep_machine::spec::MachineSpec;
use lockstep_machine::system::SystemSpec;

/// Chips of one machine, and the cables among them.
#[derive(Clone, Copy, Debug)]
pub struct Chips<'a> {
    /// The machine of each.
    pub machine: &'a MachineSpec,
    /// How many, counted from 0.
    pub count: u32,
    /// The cables among them; none for one chip.
    pub network: Option<&'a Network>,
}

impl<'a> Chips<'a> {
    /// The cables, each direction as one.
    pub fn cables(self) -> &'a [Cable] {
        self.network.map_or(&[], Network::cables)
    }
}

impl<'a> From<&'a MachineSpec> for Chips<'a> {
    /// One chip.
    fn from(machine: &'a MachineSpec) -> Self {
        Self { machine, count: 1, network: None }
    }
}

impl<'a> From<&'a SystemSpec> for Chips<'a> {
    fn from(system: &'a SystemSpec) -> Self {
        Self { machine: system.machine(), count: system.chips, network: Some(system.network()) }
    }
}
