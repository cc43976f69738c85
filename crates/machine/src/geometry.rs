//! Where things are: hemispheres, stream registers from west to east, and the instruction queues.

use std::fmt;

use crate::spec::MachineSpec;

/// One half of the chip; the vector unit stands between them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Hemisphere {
    /// West of the vector unit.
    West,
    /// East of it.
    East,
}

/// Which way a stream flows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Direction {
    /// Toward lower positions.
    West,
    /// Toward higher positions.
    East,
}

impl Hemisphere {
    /// The direction that leads to the vector unit.
    pub fn inward(self) -> Direction {
        match self {
            Self::West => Direction::East,
            Self::East => Direction::West,
        }
    }

    /// The direction that leads to the matrix units.
    pub fn outward(self) -> Direction {
        match self {
            Self::West => Direction::West,
            Self::East => Direction::East,
        }
    }

    /// `w` or `e`.
    pub fn letter(self) -> char {
        match self {
            Self::West => 'w',
            Self::East => 'e',
        }
    }
}

/// A stream register's place on the chip, counted from the west. Values move by one position a cycle.
pub type Position = u32;

/// An instruction queue: one instruction a cycle at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Queue {
    /// A memory slice, counted outward from the vector unit.
    Mem(Hemisphere, u8),
    /// An ALU of the vector unit.
    Alu(u8),
    /// A lane reducer of the vector unit.
    Reduce(u8),
    /// Load and install of a matrix plane.
    Load(u8),
    /// Activations of a matrix plane.
    Activate(u8),
    /// Results of a matrix plane.
    Drain(u8),
    /// A queue of a switch unit.
    Sxm(Hemisphere, u8),
    /// The sending side of a link.
    Send(u8),
    /// The receiving side of a link.
    Receive(u8),
}

impl fmt::Display for Queue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Mem(side, slice) => write!(f, "mem.{}{slice}", side.letter()),
            Self::Alu(index) => write!(f, "alu.{index}"),
            Self::Reduce(index) => write!(f, "reduce.{index}"),
            Self::Load(plane) => write!(f, "load.{plane}"),
            Self::Activate(plane) => write!(f, "activate.{plane}"),
            Self::Drain(plane) => write!(f, "drain.{plane}"),
            Self::Sxm(side, index) => write!(f, "sxm.{}{index}", side.letter()),
            Self::Send(link) => write!(f, "send.{link}"),
            Self::Receive(link) => write!(f, "receive.{link}"),
        }
    }
}

impl Queue {
    /// Reads a queue's printed name.
    pub fn parse(name: &str) -> Option<Self> {
        let (unit, rest) = name.split_once('.')?;
        let number = |text: &str| {
            let plain = text == "0" || !text.starts_with('0');
            (plain && text.bytes().all(|b| b.is_ascii_digit())).then(|| text.parse::<u8>().ok()).flatten()
        };
        let sided = || {
            let side = match rest.as_bytes().first()? {
                b'w' => Hemisphere::West,
                b'e' => Hemisphere::East,
                _ => return None,
            };
            Some((side, number(&rest[1..])?))
        };
        Some(match unit {
            "mem" => sided().map(|(side, slice)| Self::Mem(side, slice))?,
            "sxm" => sided().map(|(side, index)| Self::Sxm(side, index))?,
            "alu" => Self::Alu(number(rest)?),
            "reduce" => Self::Reduce(number(rest)?),
            "load" => Self::Load(number(rest)?),
            "activate" => Self::Activate(number(rest)?),
            "drain" => Self::Drain(number(rest)?),
            "send" => Self::Send(number(rest)?),
            "receive" => Self::Receive(number(rest)?),
            _ => return None,
        })
    }
}

impl MachineSpec {
    /// Stream registers beside the memory slices of one hemisphere.
    fn mem_registers(&self) -> u32 {
        self.mem.slices_per_hemisphere.div_ceil(self.mem.slices_per_register)
    }

    /// The vector unit's position; reducers stand at it too.
    pub fn vxm_position(&self) -> Position {
        self.mem_registers() + 2
    }

    /// Stream registers on the chip, from the western matrix units to the eastern ones.
    pub fn positions(&self) -> u32 {
        2 * self.vxm_position() + 1
    }

    /// Where a queue's unit meets the streams.
    pub fn position(&self, queue: Queue) -> Position {
        let outward = |side: Hemisphere, distance: u32| match side {
            Hemisphere::West => self.vxm_position() - distance,
            Hemisphere::East => self.vxm_position() + distance,
        };
        match queue {
            Queue::Mem(side, slice) => outward(side, 1 + u32::from(slice) / self.mem.slices_per_register),
            Queue::Alu(_) | Queue::Reduce(_) => self.vxm_position(),
            Queue::Load(plane) | Queue::Activate(plane) | Queue::Drain(plane) => {
                outward(self.plane_hemisphere(plane), self.mem_registers() + 2)
            }
            Queue::Sxm(side, _) => outward(side, self.mem_registers() + 1),
            Queue::Send(link) | Queue::Receive(link) => outward(self.link_hemisphere(link), self.mem_registers() + 1),
        }
    }

    /// The hemisphere by which a link leaves the chip.
    pub fn link_hemisphere(&self, link: u8) -> Hemisphere {
        if u32::from(link) < self.c2c.links / 2 { Hemisphere::West } else { Hemisphere::East }
    }

    /// All queues, in the one order that files, dense indices and reports use.
    pub fn queues(&self) -> Vec<Queue> {
        let sides = [Hemisphere::West, Hemisphere::East];
        let mut all = Vec::new();
        for side in sides {
            all.extend((0..self.mem.slices_per_hemisphere).map(|slice| Queue::Mem(side, slice as u8)));
        }
        all.extend((0..self.vxm.alus).map(|index| Queue::Alu(index as u8)));
        all.extend((0..self.vxm.reduce_units).map(|index| Queue::Reduce(index as u8)));
        for plane in 0..self.planes() as u8 {
            all.extend([Queue::Load(plane), Queue::Activate(plane), Queue::Drain(plane)]);
        }
        for side in sides {
            all.extend((0..self.sxm.queues_per_hemisphere).map(|index| Queue::Sxm(side, index as u8)));
        }
        all.extend((0..self.c2c.links).map(|link| Queue::Send(link as u8)));
        all.extend((0..self.c2c.links).map(|link| Queue::Receive(link as u8)));
        all
    }

    /// Whether the machine has this queue.
    pub fn has_queue(&self, queue: Queue) -> bool {
        match queue {
            Queue::Mem(_, slice) => u32::from(slice) < self.mem.slices_per_hemisphere,
            Queue::Alu(index) => u32::from(index) < self.vxm.alus,
            Queue::Reduce(index) => u32::from(index) < self.vxm.reduce_units,
            Queue::Load(plane) | Queue::Activate(plane) | Queue::Drain(plane) => u32::from(plane) < self.planes(),
            Queue::Sxm(_, index) => u32::from(index) < self.sxm.queues_per_hemisphere,
            Queue::Send(link) | Queue::Receive(link) => u32::from(link) < self.c2c.links,
        }
    }
}
