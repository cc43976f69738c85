//! The chips that a model is compiled for.

use lockstep_machine::network::{Cable, Network};
use lockstep_machine::spec::MachineSpec;
use lockstep_machine::system::SystemSpec;

/// Chips of one machine, and the cables among them: one chip by itself, or a system.
#[derive(Clone, Copy, Debug)]
pub struct Chips<'a> {
    machine: &'a MachineSpec,
    /// None for one chip.
    system: Option<&'a SystemSpec>,
}

impl<'a> Chips<'a> {
    /// The machine of each.
    pub fn machine(self) -> &'a MachineSpec {
        self.machine
    }

    /// How many, counted from 0.
    pub fn count(self) -> u32 {
        self.system.map_or(1, |system| system.chips)
    }

    /// The cables among them; none for one chip.
    pub fn network(self) -> Option<&'a Network> {
        self.system.map(SystemSpec::network)
    }

    /// The cables, each direction as one.
    pub fn cables(self) -> &'a [Cable] {
        self.system.map_or(&[], SystemSpec::cables)
    }

    /// The cables by which a chip sends, in order of its links.
    pub fn leaving(self, chip: u32) -> &'a [Cable] {
        self.system.map_or(&[], |system| system.network().leaving(chip))
    }

    /// The chips of each node.
    pub fn nodes(self) -> Vec<Vec<u32>> {
        self.system.map_or_else(|| vec![vec![0]], SystemSpec::nodes)
    }
}

impl<'a> From<&'a MachineSpec> for Chips<'a> {
    /// One chip.
    fn from(machine: &'a MachineSpec) -> Self {
        Self { machine, system: None }
    }
}

impl<'a> From<&'a SystemSpec> for Chips<'a> {
    fn from(system: &'a SystemSpec) -> Self {
        Self { machine: system.machine(), system: Some(system) }
    }
}
