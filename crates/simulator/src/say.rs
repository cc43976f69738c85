//! Places and origins in the words of messages.

use lockstep_machine::access::Place;
use lockstep_machine::geometry::{Direction, Queue};
use lockstep_program::program::Origin;

/// A place: `e0 at register 13`.
pub(crate) fn place(place: &Place) -> String {
    match *place {
        Place::Stream(Direction::East, stream, position) => format!("e{stream} at register {position}"),
        Place::Stream(Direction::West, stream, position) => format!("w{stream} at register {position}"),
        Place::Word(side, slice, bank, address) => {
            format!("word {}+b{} of bank {bank} of {}", address.word, address.base, Queue::Mem(side, slice))
        }
        Place::Words(side, slice, bank, address, words) => {
            let slice = Queue::Mem(side, slice);
            format!("{words} words from {}+b{} of bank {bank} of {slice} on", address.word, address.base)
        }
        Place::Output(queue) => format!("the output of {queue}"),
        Place::Reduction(unit) => format!("the state of reduce.{unit}"),
        Place::BufferVector(plane, vector) => format!("vector {vector} of the buffer of plane {plane}"),
        Place::BufferScale(plane, vector) => format!("scale vector {vector} of the buffer of plane {plane}"),
        Place::Codebook(plane) => format!("the codebook of plane {plane}"),
        Place::Buffer(plane) => format!("the buffer of plane {plane}"),
        Place::Array(plane) => format!("the array of plane {plane}"),
        Place::Accumulator(plane, row) => format!("accumulator row {row} of plane {plane}"),
        Place::LinkOut(link) => format!("send.{link}"),
        Place::LinkIn(link) => format!("receive.{link}"),
        Place::Port(queue) => queue.to_string(),
        Place::Clock => "the clock".to_owned(),
    }
}

/// Where an operand comes from, or should come from.
pub(crate) fn origin(origin: Option<Origin>) -> String {
    match origin {
        None => "nothing of it".to_owned(),
        Some(Origin::Nothing) => "nothing".to_owned(),
        Some(Origin::Issue { block, id, result }) => {
            format!("result {result} of {} instruction {} issue {} of block {block}", id.queue, id.inst, id.issue)
        }
        Some(Origin::Import { import, offset }) => format!("import {import}, {offset} on"),
        Some(Origin::Image { image, vector }) => format!("vector {vector} of image {image}"),
        Some(Origin::Input { binding, vector }) => format!("word {vector} of input binding {binding}"),
        Some(Origin::Sent { link, vector }) => format!("vector {vector} of link {link}"),
        Some(Origin::Many(hash)) => format!("many (hash {hash:016x})"),
    }
}
