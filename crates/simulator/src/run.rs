//! Running an entry on all its chips.

use lockstep_machine::geometry::Queue;
use lockstep_program::Program;
use lockstep_program::issues::Issue;
use lockstep_program::program::{Entry, Instance};

use crate::chip::{Chip, Stop};
use crate::exchange::{ChipPorts, Exchange};
use crate::fault::{Fault, FaultKind, Unit};
use crate::link::LinkedBlock;

/// How far a chip has come.
struct Course<'a> {
    chip: u32,
    state: &'a mut Chip,
    instances: Vec<&'a Instance>,
    instance: usize,
    op: usize,
    /// The link it waits for.
    blocked: Option<u8>,
    ended: bool,
    fault: Option<Fault>,
}

/// Runs an entry's tapes on `threads` threads; of several faults the earliest is returned, then that of the lowest chip.
/// What follows from a vector that was lost comes later than its arrival, on any chip.
pub(crate) fn run(
    program: &Program<'_>,
    linked: &[LinkedBlock],
    entry: &Entry,
    chips: &mut [Chip],
    threads: usize,
    exchange: &Exchange<'_>,
) -> Result<(), Fault> {
    let chips = entry.by_chip(program.chips).into_iter().zip(chips).enumerate();
    let mut courses: Vec<Course<'_>> =
        chips.map(|(chip, (instances, state))| Course::new(chip as u32, state, instances)).collect();
    let share = courses.len().div_ceil(threads.max(1)).max(1);
    std::thread::scope(|scope| {
        let mut shares = courses.chunks_mut(share);
        let own = shares.next();
        for share in shares {
            scope.spawn(|| drive(program, linked, exchange, share));
        }
        if let Some(own) = own {
            drive(program, linked, exchange, own);
        }
    });
    let faults = courses.into_iter().filter_map(|course| course.fault);
    faults.min_by_key(|fault| (fault.cycle, fault.chip)).map_or(Ok(()), Err)
}

/// Runs some chips to their ends, each as far as it can go without what others have yet to send.
fn drive(program: &Program<'_>, linked: &[LinkedBlock], exchange: &Exchange<'_>, courses: &mut [Course<'_>]) {
    loop {
        let mut moved = false;
        for course in courses.iter_mut().filter(|course| !course.ended) {
            moved |= course.advance(program, linked, exchange);
        }
        if courses.iter().all(|course| course.ended) {
            return;
        }
        if !moved {
            let blocked: Vec<(u32, u8)> =
                courses.iter().filter(|c| !c.ended).filter_map(|c| Some((c.chip, c.blocked?))).collect();
            exchange.wait(&blocked);
        }
    }
}

impl<'a> Course<'a> {
    fn new(chip: u32, state: &'a mut Chip, instances: Vec<&'a Instance>) -> Self {
        Self { chip, state, instances, instance: 0, op: 0, blocked: None, ended: false, fault: None }
    }

    /// Goes on until the end, a fault, or a vector that has not been sent; whether anything was done.
    fn advance(&mut self, program: &Program<'_>, linked: &[LinkedBlock], exchange: &Exchange<'_>) -> bool {
        let mut ports = ChipPorts { exchange, program, chip: self.chip, lost: None };
        let mut moved = false;
        while let Some(instance) = self.instances.get(self.instance).copied() {
            let block = &linked[instance.block as usize];
            while let Some(op) = block.tape.get(self.op) {
                match self.state.execute(block, op, &instance.offsets, &mut ports) {
                    Ok(()) => {}
                    Err(Stop::Blocked) => return self.block(program, block, exchange) || moved,
                    Err(Stop::Fault(kind, message)) => {
                        self.fail(kind, instance, &block.issues.get(op.issue as usize), &message);
                        return self.end(program, exchange);
                    }
                }
                if let Some(nth) = ports.lost {
                    ports.lost = None;
                    // Nothing on a chip reacts: it runs on, and the run has failed when it ends.
                    let message = format!("vector {nth} of the link has more errors than its code corrects");
                    self.fail(FaultKind::LinkLost, instance, &block.issues.get(op.issue as usize), &message);
                }
                self.op += 1;
                moved = true;
            }
            self.instance += 1;
            self.op = 0;
        }
        self.end(program, exchange)
    }

    /// Notes a fault of an issue; the first one counts.
    fn fail(&mut self, kind: FaultKind, instance: &Instance, issue: &Issue, message: &str) {
        let Issue { cycle, id, what } = issue;
        let message = format!("`{}` (instruction {}, issue {}): {message}", what.inst, id.inst, id.issue);
        let (cycle, unit) = (instance.start + cycle, Unit(Some(id.queue)));
        self.fault.get_or_insert(Fault { kind, cycle, chip: self.chip, unit, message });
    }

    /// Waits for the link of the receive at hand; ends if nothing will come, which is another chip's fault.
    fn block(&mut self, program: &Program<'_>, block: &LinkedBlock, exchange: &Exchange<'_>) -> bool {
        let Queue::Receive(link) = block.issues.id(block.tape[self.op].issue as usize).queue else { return false };
        self.blocked = Some(link);
        exchange.is_dead(self.chip, link) && self.end(program, exchange)
    }

    fn end(&mut self, program: &Program<'_>, exchange: &Exchange<'_>) -> bool {
        self.ended = true;
        exchange.close(program, self.chip);
        true
    }
}
