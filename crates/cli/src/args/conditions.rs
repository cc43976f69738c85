//! Flags about where a model runs, and what the chips and links of a simulated system are like.

use super::{On, Spread};
use clap::Args;
use lockstep_machine::outage::Outage;
use lockstep_simulator::{BILLION, Conditions, Drift};

const HEADING: &str = "Conditions of a simulated system";

/// Where a model runs, and over what it is spread.
#[derive(Clone, Debug, Args)]
pub struct OnArguments {
    /// Where to run: `host`, or a simulated system, such as lockstep1:1 or lockstep1:8, for which the model is compiled
    #[arg(long, value_name = "SYSTEM", default_value = "host")]
    pub on: On,
    #[command(flatten)]
    pub spread: Spread,
    /// Compile for the system without these: chips (3) and links of chips (0.4), parted by commas
    #[arg(long, value_name = "LIST")]
    pub without: Option<Outage>,
    #[command(flatten)]
    pub conditions: ConditionArguments,
}

impl OnArguments {
    /// An error where something is asked of a simulated system, and there is none.
    pub fn require_none(&self) -> anyhow::Result<()> {
        let idle = self.spread == Spread::default() && self.without.is_none() && self.conditions.are_nominal();
        anyhow::ensure!(
            idle,
            "--split, --objective, --without and conditions are those of a simulated system: give one with --on, such as \
             --on lockstep1:8"
        );
        Ok(())
    }
}

/// What the chips and links of a simulated system are like. Nothing of it changes a bit of an answer or a cycle of
/// program time: what cannot be set right is reported.
#[derive(Clone, Debug, Args)]
pub struct ConditionArguments {
    /// Clocks are off, each by its own number of parts per million, drawn from -N to N
    #[arg(long, value_name = "N", default_value_t = 0, help_heading = HEADING, value_parser = clap::value_parser!(u32).range(0..=100_000))]
    pub drift_ppm: u32,
    /// Chips of even numbers are fast by all of --drift-ppm, the others slow
    #[arg(long, requires = "drift_ppm", help_heading = HEADING)]
    pub drift_extremes: bool,
    /// Each vector's flight over a link is drawn, from the shortest to the longest
    #[arg(long, help_heading = HEADING)]
    pub link_jitter: bool,
    /// The share of vectors that arrive with an error that the link's code corrects
    #[arg(long, value_name = "R", default_value_t = 0.0, help_heading = HEADING, value_parser = share)]
    pub link_error_rate: f64,
    /// The share of vectors that are lost, since they arrive with more errors than that; the run is made again
    #[arg(long, value_name = "R", default_value_t = 0.0, help_heading = HEADING, value_parser = share)]
    pub link_loss_rate: f64,
    /// How often a run that lost a vector is made again, at most
    #[arg(long, value_name = "N", default_value_t = 3, help_heading = HEADING, value_parser = clap::value_parser!(u32).range(0..=1_000_000))]
    pub replays: u32,
}

fn share(text: &str) -> Result<f64, String> {
    let value: f64 = text.parse().map_err(|_| "not a number".to_owned())?;
    if (0.0..=1.0).contains(&value) { Ok(value) } else { Err("must be from 0 to 1".to_owned()) }
}

impl ConditionArguments {
    fn are_nominal(&self) -> bool {
        self.conditions(0) == Conditions::default()
    }

    /// The conditions, all that is drawn by a seed.
    pub fn conditions(&self, seed: u64) -> Conditions {
        let drift = match (self.drift_ppm, self.drift_extremes) {
            (0, _) => Drift::None,
            (most, false) => Drift::Drawn(most),
            (most, true) => Drift::Extremes(most),
        };
        let [link_errors, link_losses] =
            [self.link_error_rate, self.link_loss_rate].map(|rate| (rate * f64::from(BILLION)).ceil() as u32);
        Conditions { seed, drift, link_jitter: self.link_jitter, link_errors, link_losses, ..Conditions::default() }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use clap::Parser;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        conditions: ConditionArguments,
    }

    fn conditions(line: &str) -> Conditions {
        Line::parse_from(format!("x {line}").split_ascii_whitespace()).conditions.conditions(7)
    }

    #[test]
    fn flags_become_conditions() {
        let nominal = Conditions { seed: 7, ..Conditions::default() };
        assert_eq!(conditions(""), nominal);
        assert_eq!(conditions("--drift-ppm 100").drift, Drift::Drawn(100));
        assert_eq!(conditions("--drift-ppm 100 --drift-extremes").drift, Drift::Extremes(100));
        assert!(conditions("--link-jitter").link_jitter);
        let rates = |line: &str| {
            let Conditions { link_errors, link_losses, .. } = conditions(line);
            (link_errors, link_losses)
        };
        assert_eq!([rates(""), rates("--link-error-rate 0.001")], [(0, 0), (1_000_000, 0)]);
        assert_eq!(rates("--link-error-rate 1e-10 --link-loss-rate 0.5"), (1, 500_000_000));
        for wrong in ["--link-error-rate 2", "--link-error-rate -0.1", "--link-loss-rate nan", "--drift-extremes"] {
            assert!(Line::try_parse_from(format!("x {wrong}").split_ascii_whitespace()).is_err(), "{wrong}");
        }
    }
}
