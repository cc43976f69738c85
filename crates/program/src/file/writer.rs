//! The part of a file between its header and the images' bytes.

use lockstep_machine::geometry::Queue;
use lockstep_machine::inst::field::Field;

use super::{ALIGNMENT, padding};
use crate::form::side_number;
use crate::program::{
    Binding, BindingKind, Block, Content, Entry, FlowEdge, Image, IssueId, Origin, Program, Word, queue_number,
};

/// A program without its images' bytes, filled with zeros to the alignment.
pub(super) fn body(program: &Program<'_>) -> Vec<u8> {
    let mut writer = Writer(Vec::new());
    writer.program(program);
    let mut bytes = writer.0;
    bytes.resize(bytes.len() + padding(ALIGNMENT + bytes.len()), 0);
    bytes
}

struct Writer(Vec<u8>);

impl Writer {
    fn u8(&mut self, value: u8) {
        self.0.push(value);
    }

    fn u16(&mut self, value: u16) {
        self.0.extend(value.to_le_bytes());
    }

    fn u32(&mut self, value: u32) {
        self.0.extend(value.to_le_bytes());
    }

    fn u64(&mut self, value: u64) {
        self.0.extend(value.to_le_bytes());
    }

    fn text(&mut self, text: &str) {
        self.u32(text.len() as u32);
        self.0.extend(text.as_bytes());
    }

    fn list<T>(&mut self, items: &[T], write: impl Fn(&mut Self, &T)) {
        self.u32(items.len() as u32);
        for item in items {
            write(self, item);
        }
    }

    fn program(&mut self, program: &Program<'_>) {
        self.u32(program.arithmetic_version);
        let machine = program.machine.canonical_text();
        self.0.extend(blake3::hash(machine.as_bytes()).as_bytes());
        self.text(&machine);
        self.text(&program.name);
        self.u32(program.chips);
        self.list(&program.links, |w, link| {
            w.u32(link.from_chip);
            w.u8(link.from_link);
            w.u32(link.to_chip);
            w.u8(link.to_link);
        });
        self.list(&program.images, Self::image);
        self.list(&program.bindings, Self::binding);
        self.list(&program.blocks, Self::block);
        self.list(&program.entries, Self::entry);
    }

    fn word(&mut self, word: &Word) {
        self.u32(word.chip);
        self.u8(side_number(word.hemisphere));
        self.u8(word.slice);
        self.u8(word.bank);
        self.u16(word.word);
    }

    fn image(&mut self, image: &Image<'_>) {
        self.text(&image.name);
        self.word(&image.first);
        self.u32(image.vectors);
        self.u8(match image.content {
            Content::Bytes(_) => 0,
            Content::Zero => 1,
            Content::Absent => 2,
        });
    }

    fn binding(&mut self, binding: &Binding) {
        self.text(&binding.name);
        self.u8(u8::from(binding.kind == BindingKind::Output));
        self.u8(binding.format.bits() as u8);
        self.u32(binding.elements);
        self.list(&binding.words, Self::word);
    }

    fn queue(&mut self, queue: Queue) {
        self.0.extend(&queue_number(queue).to_le_bytes()[..3]);
    }

    fn issue(&mut self, id: &IssueId) {
        self.queue(id.queue);
        self.u32(id.inst);
        self.u32(id.issue);
    }

    fn block(&mut self, block: &Block) {
        self.text(&block.name);
        self.u64(block.cycles);
        self.u32(block.imports);
        self.list(&block.queues, |w, text| {
            w.queue(text.queue);
            w.list(&text.insts, |w, inst| w.0.extend(inst));
        });
        self.list(&block.flow, Self::edge);
    }

    fn edge(&mut self, edge: &FlowEdge) {
        self.issue(&edge.reader);
        self.u32(edge.count);
        self.u8(edge.operand);
        self.origin(&edge.origin);
        self.u32(edge.step as u32);
    }

    fn origin(&mut self, origin: &Origin) {
        let mut pair = |tag, number, more| {
            self.u8(tag);
            self.u32(number);
            self.u32(more);
        };
        match *origin {
            Origin::Nothing => self.u8(0),
            Origin::Issue { block, id, result } => {
                self.u8(1);
                self.u32(block);
                self.issue(&id);
                self.u8(result);
            }
            Origin::Import { import, offset } => pair(2, import, offset),
            Origin::Image { image, vector } => pair(3, image, vector),
            Origin::Input { binding, vector } => pair(4, binding, vector),
            Origin::Sent { link, vector } => {
                self.u8(5);
                self.u8(link);
                self.u32(vector);
            }
            Origin::Many(hash) => {
                self.u8(6);
                self.u64(hash);
            }
        }
    }

    fn entry(&mut self, entry: &Entry) {
        self.text(&entry.name);
        self.u64(entry.cycles);
        self.list(&entry.instances, |w, instance| {
            w.u32(instance.block);
            w.u32(instance.chip);
            w.u64(instance.start);
            for offset in instance.offsets {
                w.u32(offset as u32);
            }
            w.list(&instance.imports, Self::origin);
        });
        self.list(&entry.phases, |w, phase| {
            w.text(&phase.name);
            w.u64(phase.start);
            w.u64(phase.cycles);
        });
    }
}
