//! Topologies: which link of which chip leads to which.
//!
//! Each is a rule about one port, and an involution: what a port leads to leads back to it. A system with fewer chips
//! than a shape holds has its first chips, and the cables among them.
//!
//! - The links of a chip of a node begin with those to the other chips of its node, in their order; links to other nodes
//!   follow. Port q of a node is link q / chips of them, of chip q mod chips: neighbouring ports are on different chips.
//! - `rack`: each two nodes of a rack have as many cables as their ports allow. Ports of a node: all cables to the first
//!   other node, all to the second, and so on.
//! - `nodes`: as many nodes as a node has ports and one more, with a cable between each two.
//! - `racks`: each two nodes of a rack have `package.cables_in_rack` cables; all other ports of a rack lead outward, in turn by node, and
//!   there are as many racks as those and one more, with a cable between each two.
//! - `ring`: the first eastern link of a chip leads to the first western link of the next.

use crate::network::{Cable, Network, WiringError};
use crate::spec::{MachineSpec, PackageSpec};

/// Chips of a system at most.
pub const CHIPS_MAX: u32 = 16_384;

/// How chips are wired.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Topology {
    /// A node: chips that are all linked with each other.
    Node,
    /// A rack of nodes that are all linked with each other by several cables.
    Rack,
    /// A Dragonfly whose groups are nodes.
    Nodes,
    /// A Dragonfly whose groups are racks.
    Racks,
    /// Each chip with the next, the last with the first.
    Ring,
    /// What a file lists.
    Listed(Listed),
}

/// Chips and cables one by one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// How many chips.
    pub chips: u32,
    /// Each cable once; it leads both ways.
    pub cables: Vec<Cable>,
}

/// A chip and one of its links.
type Port = (u64, u64);

/// Members that all have the same number of cables with each other: where port `port` of `member` leads.
#[derive(Clone, Copy)]
struct Mesh {
    members: u64,
    copies: u64,
}

impl Mesh {
    /// The other member and its port; none where the port has no cable.
    fn peer(self, member: u64, port: u64) -> Option<(u64, u64)> {
        let (place, copy) = (port / self.copies, port % self.copies);
        if place + 1 >= self.members {
            return None;
        }
        // A member has a place for each other one, so none for itself.
        let other = if place < member { place } else { place + 1 };
        let back = if member < other { member } else { member - 1 };
        Some((other, back * self.copies + copy))
    }
}

/// The numbers of a package that wiring depends on.
#[derive(Clone, Copy)]
struct Package {
    chips: u64,
    nodes: u64,
    /// Ports of a node that lead to other nodes.
    ports: u64,
    /// Cables between each two nodes of a rack that is part of a larger system.
    copies: u64,
    /// Links of a chip.
    links: u64,
}

impl Package {
    fn new(spec: &MachineSpec) -> Self {
        let PackageSpec { chips_per_node, global_links_per_chip, nodes_per_rack, cables_in_rack } = spec.package;
        Self {
            chips: chips_per_node.into(),
            nodes: nodes_per_rack.into(),
            ports: u64::from(chips_per_node) * u64::from(global_links_per_chip),
            copies: cables_in_rack.into(),
            links: spec.c2c.links.into(),
        }
    }

    /// Ports of a node that lead to the others of its rack, where the rack is part of a larger system.
    fn inner_ports(self) -> u64 {
        self.copies * (self.nodes - 1)
    }

    /// Ports of a rack that lead to other racks.
    fn outer_ports(self) -> u64 {
        self.nodes.saturating_mul(self.ports.saturating_sub(self.inner_ports()))
    }

    /// Most chips of a topology.
    fn capacity(self, topology: &Topology) -> u64 {
        match topology {
            Topology::Node => self.chips,
            Topology::Rack if self.ports + 1 >= self.nodes => self.chips.saturating_mul(self.nodes),
            Topology::Nodes => self.chips.saturating_mul(self.ports + 1),
            Topology::Racks if self.outer_ports() > 0 => {
                self.chips.saturating_mul(self.nodes).saturating_mul(self.outer_ports() + 1)
            }
            Topology::Rack | Topology::Racks => 0,
            Topology::Ring if self.links >= 2 => CHIPS_MAX.into(),
            Topology::Ring => 1,
            Topology::Listed(listed) => listed.chips.into(),
        }
    }

    /// Where a link leads in a shape made of nodes.
    fn peer(self, topology: &Topology, (chip, link): Port) -> Option<Port> {
        let (node, place) = (chip / self.chips, chip % self.chips);
        if link < self.chips - 1 {
            let (other, back) = Mesh { members: self.chips, copies: 1 }.peer(place, link)?;
            return Some((node * self.chips + other, back));
        }
        let port = (link - (self.chips - 1)) * self.chips + place;
        if port >= self.ports {
            return None;
        }
        let (node, port) = self.node_peer(topology, node, port)?;
        Some((node * self.chips + port % self.chips, self.chips - 1 + port / self.chips))
    }

    /// Where a port of a node leads.
    fn node_peer(self, topology: &Topology, node: u64, port: u64) -> Option<(u64, u64)> {
        match topology {
            Topology::Rack => {
                Mesh { members: self.nodes, copies: self.ports / (self.nodes - 1).max(1) }.peer(node, port)
            }
            Topology::Nodes => Mesh { members: self.ports + 1, copies: 1 }.peer(node, port),
            Topology::Racks => {
                let (rack, place, inner) = (node / self.nodes, node % self.nodes, self.inner_ports());
                if port < inner {
                    let (other, back) = Mesh { members: self.nodes, copies: self.copies }.peer(place, port)?;
                    return Some((rack * self.nodes + other, back));
                }
                let outer = (port - inner) * self.nodes + place;
                let (rack, outer) = Mesh { members: self.outer_ports() + 1, copies: 1 }.peer(rack, outer)?;
                Some((rack * self.nodes + outer % self.nodes, inner + outer / self.nodes))
            }
            Topology::Node | Topology::Ring | Topology::Listed(_) => None,
        }
    }
}

impl Topology {
    /// The standard shapes, from small to large.
    pub const STANDARD: [Self; 4] = [Self::Node, Self::Rack, Self::Nodes, Self::Racks];

    /// All that a word and a number of chips say in full.
    pub const NAMED: [Self; 5] = [Self::Node, Self::Rack, Self::Nodes, Self::Racks, Self::Ring];

    /// The smallest of the standard shapes that holds so many chips; the last if none does.
    pub fn standard(spec: &MachineSpec, chips: u32) -> Self {
        let holds = |shape: &Self| shape.chips_max(spec) >= chips;
        Self::STANDARD.into_iter().find(holds).unwrap_or(Self::Racks)
    }

    /// The word for it in names and descriptions.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Node => "node",
            Self::Rack => "rack",
            Self::Nodes => "nodes",
            Self::Racks => "racks",
            Self::Ring => "ring",
            Self::Listed(_) => "listed",
        }
    }

    /// The topology of such a word.
    pub fn by_name(name: &str) -> Option<Self> {
        Self::NAMED.into_iter().find(|topology| topology.name() == name)
    }

    /// The most chips that a machine can have in this topology.
    pub fn chips_max(&self, spec: &MachineSpec) -> u32 {
        Package::new(spec).capacity(self).min(CHIPS_MAX.into()) as u32
    }

    /// The first `chips` chips and the cables among them, or all that is wrong with the cables.
    pub fn network(&self, spec: &MachineSpec, chips: u32) -> Result<Network, Vec<WiringError>> {
        let mut cables = match self {
            // Of a list that is sound as a whole.
            Self::Listed(Listed { chips, cables }) => {
                let both = cables.iter().flat_map(|cable| [*cable, cable.reversed()]);
                Network::new(*chips, spec.c2c.links, both.collect())?.cables().to_vec()
            }
            Self::Ring => ring(spec, chips),
            shape => shape.wired(spec, chips),
        };
        cables.retain(|cable| cable.from_chip < chips && cable.to_chip < chips);
        Network::new(chips, spec.c2c.links, cables)
    }

    /// The cables of a shape made of nodes.
    fn wired(&self, spec: &MachineSpec, chips: u32) -> Vec<Cable> {
        let package = Package::new(spec);
        let ports = (0..chips).flat_map(|chip| (0..spec.c2c.links.min(256)).map(move |link| (chip, link)));
        let cable = |(from_chip, from_link): (u32, u32)| {
            let (to_chip, to_link) = package.peer(self, (from_chip.into(), from_link.into()))?;
            let to_chip = u32::try_from(to_chip).ok()?;
            Some(Cable { from_chip, from_link: from_link as u8, to_chip, to_link: u8::try_from(to_link).ok()? })
        };
        ports.filter_map(cable).collect()
    }
}

fn ring(spec: &MachineSpec, chips: u32) -> Vec<Cable> {
    let east = (spec.c2c.links / 2) as u8;
    let onward = |chip: u32| Cable { from_chip: chip, from_link: east, to_chip: (chip + 1) % chips, to_link: 0 };
    let steps = if chips > 1 { 0..chips } else { 0..0 };
    steps.map(onward).flat_map(|cable| [cable, cable.reversed()]).collect()
}
