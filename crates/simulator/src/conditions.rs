//! What chips and links are like in a run: how clocks drift, how long vectors fly, what fails.
//!
//! A seed decides everything that is drawn: each draw is a hash of the seed, of what it is for, and of where and when, so
//! that no order of threads and no other draw can change it.

use lockstep_machine::outage::Outage;
use lockstep_machine::spec::MachineSpec;

/// Millionths: clocks are told in millionths of a nominal cycle.
pub(crate) const MILLION: i128 = 1_000_000;

/// Rates are parts of so many.
pub const BILLION: u32 = 1_000_000_000;

/// The conditions of runs. The default ones are nominal: clocks that agree, the longest flight for every vector, and
/// nothing that fails.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Conditions {
    /// Decides what is drawn.
    pub seed: u64,
    /// How clocks differ from the nominal one.
    pub drift: Drift,
    /// Whether each vector's flight is drawn, between the shortest and the longest, around the mean.
    pub link_jitter: bool,
    /// Of [`BILLION`] vectors, how many arrive with an error that the link's code corrects.
    pub link_errors: u32,
    /// Of [`BILLION`] vectors, how many arrive with more than it corrects.
    pub link_losses: u32,
    /// The chip of the system that each chip of the program runs on; empty where they are the same.
    pub placement: Vec<u32>,
    /// Chips and links of the system that are out of order.
    pub outage: Outage,
}

/// How clocks differ from the nominal one, in parts per million.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Drift {
    /// Not at all.
    #[default]
    None,
    /// Each by its own number, drawn from minus this to this.
    Drawn(u32),
    /// Chips of even numbers are fast by so much, those of odd numbers slow.
    Extremes(u32),
}

/// What arrives over a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Arrival {
    Sound,
    /// An error was corrected.
    Corrected,
    /// The vector is lost: so many bits of it differ.
    Lost,
}

/// What a draw is for.
#[derive(Clone, Copy)]
enum Purpose {
    Drift,
    Phase,
    Flight,
    Error,
    Damage,
}

/// A number of 64 even bits for each seed, purpose and place.
fn draw(seed: u64, purpose: Purpose, place: [u64; 3]) -> u64 {
    [purpose as u64].iter().chain(&place).fold(seed, |state, part| {
        let state = (state ^ part).wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (state ^ state >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ mixed >> 31
    })
}

/// A draw as a number below `end`.
fn below(drawn: u64, end: u64) -> u64 {
    ((u128::from(drawn) * u128::from(end)) >> 64) as u64
}

impl Conditions {
    /// Whether every vector arrives exactly as linking has assumed, and sound.
    pub(crate) fn is_nominal(&self) -> bool {
        let Self { seed: _, drift, link_jitter, link_errors, link_losses, placement: _, outage } = self;
        *drift == Drift::None && !link_jitter && (*link_errors, *link_losses) == (0, 0) && outage.is_empty()
    }

    /// The system's chip that a chip of the program runs on.
    pub(crate) fn place(&self, chip: u32) -> u32 {
        self.placement.get(chip as usize).copied().unwrap_or(chip)
    }

    /// By how many parts per million a chip's cycles are longer than nominal ones.
    pub(crate) fn ppm(&self, chip: u32) -> i128 {
        let place = self.place(chip);
        match self.drift {
            Drift::None => 0,
            Drift::Drawn(most) => {
                let drawn = draw(self.seed, Purpose::Drift, [place.into(), 0, 0]);
                i128::from(below(drawn, 2 * u64::from(most) + 1)) - i128::from(most)
            }
            Drift::Extremes(most) if place.is_multiple_of(2) => -i128::from(most),
            Drift::Extremes(most) => most.into(),
        }
    }

    /// The phase of a chip's clock after its so manieth alignment, in millionths of a cycle.
    pub(crate) fn phase(&self, chip: u32, alignment: usize) -> i128 {
        if self.drift == Drift::None {
            return 0;
        }
        let place = [self.place(chip).into(), alignment as u64, 0];
        below(draw(self.seed, Purpose::Phase, place), MILLION as u64).into()
    }

    /// How long the `nth` vector of a link flies in a run, in millionths of a nominal cycle. Drawn flights have the mean of
    /// the description: those below it are as likely as that takes, and on each side of it all are equally so.
    pub(crate) fn flight(&self, spec: &MachineSpec, run: u64, link: usize, nth: usize) -> i128 {
        let c2c = &spec.c2c;
        let cycles = [c2c.latency_min_cycles, c2c.latency_mean_cycles, c2c.latency_max_cycles];
        let [least, mean, most] = cycles.map(|cycles| i128::from(cycles) * MILLION);
        if !self.link_jitter {
            return most;
        }
        let drawn = draw(self.seed, Purpose::Flight, [run, link as u64, nth as u64]);
        let drawn = i128::from(below(drawn, (most - least + 1) as u64));
        let (under, over) = (mean - least, most - mean);
        // Of all draws the first `over` are spread over what is under the mean, the others over what is not.
        if drawn < over {
            least + drawn * under / over
        } else {
            mean + ((drawn - over) * over).checked_div(under).unwrap_or_default()
        }
    }

    /// What becomes of the `nth` vector of a link in a run.
    pub(crate) fn arrival(&self, run: u64, link: usize, nth: usize) -> Arrival {
        if (self.link_errors, self.link_losses) == (0, 0) {
            return Arrival::Sound;
        }
        let drawn = below(draw(self.seed, Purpose::Error, [run, link as u64, nth as u64]), BILLION.into());
        if drawn < self.link_losses.into() {
            Arrival::Lost
        } else if drawn < u64::from(self.link_losses) + u64::from(self.link_errors) {
            Arrival::Corrected
        } else {
            Arrival::Sound
        }
    }

    /// Damages a vector that is lost: its bits are anybody's guess.
    pub(crate) fn damage(&self, run: u64, link: usize, nth: usize, vector: &mut [u8]) {
        for (byte, value) in vector.iter_mut().enumerate() {
            *value ^= draw(self.seed, Purpose::Damage, [run, (link as u64) << 32 | nth as u64, byte as u64]) as u8;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn drawn_flights_have_the_mean_of_the_description() {
        const DRAWS: usize = 10_000;
        let mut spec = MachineSpec::preset("lockstep1").expect("a preset");
        let conditions = Conditions { seed: 3, link_jitter: true, ..Conditions::default() };
        for (least, mean, most) in [(209, 217, 228), (100, 110, 300), (100, 100, 300), (100, 300, 300), (7, 7, 7)] {
            let c2c = &mut spec.c2c;
            (c2c.latency_min_cycles, c2c.latency_mean_cycles, c2c.latency_max_cycles) = (least, mean, most);
            let flights: Vec<i128> = (0..DRAWS).map(|nth| conditions.flight(&spec, 0, 1, nth)).collect();
            let [least, mean, most] = [least, mean, most].map(|cycles| i128::from(cycles) * MILLION);
            assert!(flights.iter().all(|flight| (least..=most).contains(flight)));
            let off = flights.iter().sum::<i128>() / DRAWS as i128 - mean;
            assert!(100 * off.abs() <= most - least, "{off} millionths from {mean}");
        }
    }
}
