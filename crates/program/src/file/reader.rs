//! Reads what the writer wrote, and nothing else.

use std::borrow::Cow;

use lockstep_machine::description::Description;
use lockstep_machine::geometry::{Hemisphere, Queue};
use lockstep_machine::inst::INST_BYTES;
use lockstep_machine::inst::field::Field;
use lockstep_machine::inst::operand::Format;
use lockstep_machine::network::Cable;
use lockstep_machine::spec::MachineSpec;

use super::{ALIGNMENT, ARITHMETIC_VERSION, FileError, MACHINE_BYTES_MAX};
use crate::form::{Item, NAME_BYTES_MAX};
use crate::program::{
    BASES, Binding, BindingKind, Block, Content, Entry, FlowEdge, Image, Instance, IssueId, Origin, Phase, Program,
    QueueText, Word,
};

/// The program that lies between the header and the end of `bytes`; images that have bytes get none yet.
pub(super) fn program<'a>(bytes: &[u8]) -> Result<Program<'a>, FileError> {
    let mut reader = Reader { bytes, at: ALIGNMENT, item: Item::Program };
    let arithmetic_version = reader.u32()?;
    if arithmetic_version != ARITHMETIC_VERSION {
        return Err(FileError::Arithmetic { made: arithmetic_version, reads: ARITHMETIC_VERSION });
    }
    let machine = reader.machine()?;
    let program = Program {
        name: reader.text(NAME_BYTES_MAX)?.to_owned(),
        machine,
        arithmetic_version,
        chips: reader.u32()?,
        links: reader.list(10, Item::Link, Reader::link)?,
        images: reader.list(18, Item::Image, Reader::image)?,
        bindings: reader.list(14, Item::Binding, Reader::binding)?,
        blocks: reader.blocks()?,
        entries: reader.entries()?,
    };
    reader.item = Item::Program;
    let rest = reader.left();
    let gap = reader.take(rest)?;
    if rest >= ALIGNMENT || !bytes.len().is_multiple_of(ALIGNMENT) || gap.iter().any(|byte| *byte != 0) {
        return Err(reader.value(bytes.len() - rest, "the gap before the images must be as many zeros as align them"));
    }
    Ok(program)
}

struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
    /// What is being read, for errors.
    item: Item,
}

impl<'a> Reader<'a> {
    fn left(&self) -> usize {
        self.bytes.len() - self.at
    }

    fn value(&self, at: usize, message: &str) -> FileError {
        FileError::Value { part: self.item.to_string(), at, message: message.to_owned() }
    }

    fn ends(&self, wanted: u64) -> FileError {
        FileError::Ends { part: self.item.to_string(), at: self.at, wanted, left: self.left() }
    }

    fn take(&mut self, count: usize) -> Result<&'a [u8], FileError> {
        let bytes: &'a [u8] = self.bytes;
        let taken = bytes[self.at..].get(..count).ok_or_else(|| self.ends(count as u64))?;
        self.at += count;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], FileError> {
        let mut array = [0; N];
        array.copy_from_slice(self.take(N)?);
        Ok(array)
    }

    fn u8(&mut self) -> Result<u8, FileError> {
        Ok(self.array::<1>()?[0])
    }

    fn u16(&mut self) -> Result<u16, FileError> {
        Ok(u16::from_le_bytes(self.array()?))
    }

    fn u32(&mut self) -> Result<u32, FileError> {
        Ok(u32::from_le_bytes(self.array()?))
    }

    fn u64(&mut self) -> Result<u64, FileError> {
        Ok(u64::from_le_bytes(self.array()?))
    }

    fn text(&mut self, most: usize) -> Result<&'a str, FileError> {
        let start = self.at;
        let length = self.u32()? as usize;
        if length > most {
            return Err(self.value(start, &format!("a text of {length} bytes; the longest here has {most}")));
        }
        let bytes = self.take(length)?;
        std::str::from_utf8(bytes).map_err(|_| self.value(start, "a text that is not UTF-8"))
    }

    /// How many of something there are that take `least` bytes each, at least: no more than are left.
    fn count(&mut self, least: usize) -> Result<usize, FileError> {
        let count = self.u32()? as usize;
        let wanted = count as u64 * least as u64;
        if wanted > self.left() as u64 { Err(self.ends(wanted)) } else { Ok(count) }
    }

    fn list<T>(
        &mut self,
        least: usize,
        item: impl Fn(usize) -> Item,
        read: impl Fn(&mut Self) -> Result<T, FileError>,
    ) -> Result<Vec<T>, FileError> {
        let count = self.count(least)?;
        let mut list = Vec::with_capacity(count);
        for index in 0..count {
            self.item = item(index);
            list.push(read(self)?);
        }
        Ok(list)
    }

    fn machine(&mut self) -> Result<MachineSpec, FileError> {
        let digest = self.array::<32>()?;
        let start = self.at;
        let text = self.text(MACHINE_BYTES_MAX)?;
        if *blake3::hash(text.as_bytes()).as_bytes() != digest {
            return Err(self.value(start, "the machine's description does not have the digest before it"));
        }
        let machine = Description::parse(text)?.machine;
        if machine.canonical_text() != text {
            return Err(self.value(start, "the machine's description is not in its canonical form"));
        }
        Ok(machine)
    }

    fn link(&mut self) -> Result<Cable, FileError> {
        Ok(Cable { from_chip: self.u32()?, from_link: self.u8()?, to_chip: self.u32()?, to_link: self.u8()? })
    }

    fn word(&mut self) -> Result<Word, FileError> {
        let chip = self.u32()?;
        let hemisphere = self.side()?;
        Ok(Word { chip, hemisphere, slice: self.u8()?, bank: self.u8()?, word: self.u16()? })
    }

    fn side(&mut self) -> Result<Hemisphere, FileError> {
        match self.u8()? {
            0 => Ok(Hemisphere::West),
            1 => Ok(Hemisphere::East),
            _ => Err(self.value(self.at - 1, "a hemisphere is 0 or 1")),
        }
    }

    fn image<'b>(&mut self) -> Result<Image<'b>, FileError> {
        let name = self.text(NAME_BYTES_MAX)?.to_owned();
        let first = self.word()?;
        let vectors = self.u32()?;
        let content = match self.u8()? {
            0 => Content::Bytes(Cow::Borrowed(&[])),
            1 => Content::Zero,
            2 => Content::Absent,
            _ => return Err(self.value(self.at - 1, "an image's content is 0, 1 or 2")),
        };
        Ok(Image { name, first, vectors, content })
    }

    fn binding(&mut self) -> Result<Binding, FileError> {
        let name = self.text(NAME_BYTES_MAX)?.to_owned();
        let kind = match self.u8()? {
            0 => BindingKind::Input,
            1 => BindingKind::Output,
            _ => return Err(self.value(self.at - 1, "a binding's kind is 0 or 1")),
        };
        let format = Format::from_bits(self.u8()?.into());
        let format = format.ok_or_else(|| self.value(self.at - 1, "no format has this number"))?;
        let elements = self.u32()?;
        let item = self.item;
        let words = self.list(9, |_| item, Self::word)?;
        Ok(Binding { name, kind, format, elements, words })
    }

    fn queue(&mut self) -> Result<Queue, FileError> {
        let at = self.at;
        let [index, side, unit] = self.array()?;
        let hemisphere = if side == 1 { Hemisphere::East } else { Hemisphere::West };
        let queue = match unit {
            0 => Queue::Mem(hemisphere, index),
            1 => Queue::Alu(index),
            2 => Queue::Reduce(index),
            3 => Queue::Load(index),
            4 => Queue::Activate(index),
            5 => Queue::Drain(index),
            6 => Queue::Sxm(hemisphere, index),
            7 => Queue::Send(index),
            8 => Queue::Receive(index),
            _ => return Err(self.value(at, "no unit has this number")),
        };
        let sides = if matches!(queue, Queue::Mem(..) | Queue::Sxm(..)) { 2 } else { 1 };
        if side < sides { Ok(queue) } else { Err(self.value(at, "no queue has this hemisphere")) }
    }

    fn issue(&mut self) -> Result<IssueId, FileError> {
        Ok(IssueId { queue: self.queue()?, inst: self.u32()?, issue: self.u32()? })
    }

    fn blocks(&mut self) -> Result<Vec<Block>, FileError> {
        let count = self.count(24)?;
        let mut blocks = Vec::with_capacity(count);
        for block in 0..count {
            self.item = Item::Block(block);
            let name = self.text(NAME_BYTES_MAX)?.to_owned();
            let cycles = self.u64()?;
            let imports = self.u32()?;
            let queues = self.list(
                7 + INST_BYTES,
                |index| Item::Queue(block, index),
                |reader| {
                    let queue = reader.queue()?;
                    let count = reader.count(INST_BYTES)?;
                    let insts = reader.take(count * INST_BYTES)?.as_chunks().0.to_vec();
                    Ok(QueueText { queue, insts })
                },
            )?;
            self.item = Item::Block(block);
            let flow = self.list(21, |index| Item::Flow(block, index), Self::edge)?;
            blocks.push(Block { name, cycles, queues, flow, imports });
        }
        Ok(blocks)
    }

    fn edge(&mut self) -> Result<FlowEdge, FileError> {
        Ok(FlowEdge {
            reader: self.issue()?,
            count: self.u32()?,
            operand: self.u8()?,
            origin: self.origin()?,
            step: self.u32()? as i32,
        })
    }

    fn origin(&mut self) -> Result<Origin, FileError> {
        Ok(match self.u8()? {
            0 => Origin::Nothing,
            1 => Origin::Issue { block: self.u32()?, id: self.issue()?, result: self.u8()? },
            2 => Origin::Import { import: self.u32()?, offset: self.u32()? },
            3 => Origin::Image { image: self.u32()?, vector: self.u32()? },
            4 => Origin::Input { binding: self.u32()?, vector: self.u32()? },
            5 => Origin::Sent { link: self.u8()?, vector: self.u32()? },
            6 => Origin::Many(self.u64()?),
            _ => return Err(self.value(self.at - 1, "no kind of origin has this number")),
        })
    }

    fn entries(&mut self) -> Result<Vec<Entry>, FileError> {
        let count = self.count(20)?;
        let mut entries = Vec::with_capacity(count);
        for entry in 0..count {
            self.item = Item::Entry(entry);
            let name = self.text(NAME_BYTES_MAX)?.to_owned();
            let cycles = self.u64()?;
            let least = 16 + 4 * BASES + 4;
            let instances = self.list(least, |index| Item::Instance(entry, index), Self::instance)?;
            self.item = Item::Entry(entry);
            let phases = self.list(
                20,
                |index| Item::Phase(entry, index),
                |reader| {
                    let name = reader.text(NAME_BYTES_MAX)?.to_owned();
                    Ok(Phase { name, start: reader.u64()?, cycles: reader.u64()? })
                },
            )?;
            entries.push(Entry { name, instances, phases, cycles });
        }
        Ok(entries)
    }

    fn instance(&mut self) -> Result<Instance, FileError> {
        let (block, chip, start) = (self.u32()?, self.u32()?, self.u64()?);
        let mut offsets = [0; BASES];
        for offset in &mut offsets {
            *offset = self.u32()? as i32;
        }
        let item = self.item;
        Ok(Instance { block, chip, start, offsets, imports: self.list(1, |_| item, Self::origin)? })
    }
}
