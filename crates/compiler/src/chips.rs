//! The chips that a model is compiled for.

use lockstep_machine::network::Cable;
use lockstep_machine::spec::MachineSpec;
use lockstep_machine::system::SystemSpec;

/// Chips of one machine, and the cables among them.
#[derive(Clone, Copy, Debug)]
pub struct Chips<'a> {
    /// The machine of each.
    pub machine: &'a MachineSpec,
    /// How many, counted from 0.
    pub count: u32,
    /// The cables, each direction as one.
    pub cables: &'a [Cable],
}

impl<'a> From<&'a MachineSpec> for Chips<'a> {
    /// One chip.
    fn from(machine: &'a MachineSpec) -> Self {
        Self { machine, count: 1, cables: &[] }
    }
}

impl<'a> From<&'a SystemSpec> for Chips<'a> {
    fn from(system: &'a SystemSpec) -> Self {
        Self { machine: system.machine(), count: system.chips, cables: system.cables() }
    }
}
