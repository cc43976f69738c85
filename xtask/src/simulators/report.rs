//! The tables, and the same as JSON.

use super::programs::{Layer, Round, ScaleSim};
use crate::spread::{Spread, spread};
use anyhow::{Context, Result};
use serde_json::{Value, json};
use std::fmt::Write;

pub(crate) struct Report<'a> {
    pub(crate) machine: String,
    /// The lockstep binary's.
    pub(crate) version: String,
    /// At least one.
    pub(crate) rounds: &'a [Round],
    /// What a round ran.
    pub(crate) commands: Vec<String>,
}

/// One way to simulate the product.
struct Row {
    key: &'static str,
    name: &'static str,
    /// What a cycle is of.
    planes: String,
    cycles: u64,
    multiply_adds: u64,
    seconds: Spread,
}

impl Row {
    fn cycles_per_second(&self) -> Spread {
        self.rate(self.cycles)
    }

    fn multiply_adds_per_second(&self) -> Spread {
        self.rate(self.multiply_adds)
    }

    fn rate(&self, work: u64) -> Spread {
        let Spread { median, least, most } = self.seconds;
        let rate = |seconds: f64| work as f64 / seconds;
        Spread { median: rate(median), least: rate(most), most: rate(least) }
    }
}

/// What SCALE-Sim is compared with: from a program to its result, as SCALE-Sim goes from a layer to its result.
const COMPARED: &str = "lockstep_linked_and_run";
/// How the rows of SCALE-Sim are told from the others.
const PEER: &str = "scalesim";

impl Report<'_> {
    pub(crate) fn text(&self) -> Result<String> {
        let round = self.rounds.first().context("no round")?;
        let ([scalesim, python, numpy], gemm) = (&round.scalesim.versions, &round.gemm);
        let mut out = format!("{}\n", self.machine);
        let _ = writeln!(
            out,
            "{}; SCALE-Sim {scalesim} (Python {python}, numpy {numpy}); one thread; medians (least to most) of {} \
             alternating rounds\n",
            self.version,
            self.rounds.len()
        );
        let _ = writeln!(
            out,
            "INT8, M {}, N {}, K {}; in brackets how many times as fast lockstep, linked and run once, is\n",
            gemm.m, gemm.n, gemm.k
        );
        self.write_product(&mut out)?;
        let share = self.middle(|round| round.gemm.share_of_kernels)?;
        let _ = writeln!(
            out,
            "\nWith values, lockstep makes {:.1} % ({:.1} to {:.1}) of the multiply-adds a second of kernels alone.\n",
            100.0 * share.median,
            100.0 * share.least,
            100.0 * share.most
        );
        self.write_layer(&mut out, round.layer.cycles)?;
        let _ = write!(out, "\nA round ran:\n\n```\n{}\n```", self.commands.join("\n"));
        Ok(out)
    }

    fn write_product(&self, out: &mut String) -> Result<()> {
        let rows = self.rows()?;
        let compared = rows.iter().find(|row| row.key == COMPARED).context("nothing to compare with")?;
        let _ = writeln!(out, "| simulated | arrays | cycles | seconds | cycles a second | multiply-adds a second |");
        let _ = writeln!(out, "| --- | --- | --- | --- | --- | --- |");
        for row in &rows {
            let times = |of: fn(&Row) -> Spread| {
                let times = of(compared).median / of(row).median;
                if row.key.starts_with(PEER) { format!(" [{times:.0}x]") } else { String::new() }
            };
            let Row { name, planes, cycles, seconds, .. } = row;
            let (of_cycles, of_work) = (row.cycles_per_second(), row.multiply_adds_per_second());
            let (cycles_times, work_times) = (times(Row::cycles_per_second), times(Row::multiply_adds_per_second));
            let _ = writeln!(
                out,
                "| {name} | {planes} | {cycles} | {:.4} | {}{cycles_times} | {:.1} M{work_times} |",
                seconds.median,
                cell(of_cycles),
                of_work.median / 1e6,
            );
        }
        Ok(())
    }

    fn write_layer(&self, out: &mut String, cycles: u64) -> Result<()> {
        let _ = writeln!(out, "| layer program, {cycles} cycles | chip-cycles a second |");
        let _ = writeln!(out, "| --- | --- |");
        for (_, name, speed) in self.layer()? {
            let _ = writeln!(out, "| {name} | {} |", cell(speed));
        }
        Ok(())
    }

    pub(crate) fn json(&self) -> Result<Value> {
        let round = self.rounds.first().context("no round")?;
        let ([scalesim, python, numpy], gemm) = (&round.scalesim.versions, &round.gemm);
        let rows = self.rows()?;
        let compared = rows.iter().find(|row| row.key == COMPARED).context("nothing to compare with")?;
        let product = rows.iter().map(|row| {
            let mut value = json!({
                "arrays": row.planes,
                "cycles": row.cycles,
                "multiply_adds": row.multiply_adds,
                "seconds": row.seconds.json(),
                "cycles_per_second": row.cycles_per_second().json(),
                "multiply_adds_per_second": row.multiply_adds_per_second().json(),
            });
            if row.key.starts_with(PEER) {
                let times = |of: fn(&Row) -> Spread| json!(of(compared).median / of(row).median);
                value["lockstep_times_cycles_per_second"] = times(Row::cycles_per_second);
                value["lockstep_times_multiply_adds_per_second"] = times(Row::multiply_adds_per_second);
            }
            (row.key.to_owned(), value)
        });
        let layer = self.layer()?.map(|(key, _, speed)| (key.to_owned(), speed.json()));
        Ok(json!({
            "machine": self.machine,
            "lockstep": self.version,
            "scalesim": scalesim,
            "python": python,
            "numpy": numpy,
            "rounds": self.rounds.len(),
            "gemm": { "m": gemm.m, "n": gemm.n, "k": gemm.k },
            "product": product.collect::<serde_json::Map<_, _>>(),
            "share_of_kernels": self.middle(|round| round.gemm.share_of_kernels)?.json(),
            "layer_cycles": round.layer.cycles,
            "layer_chip_cycles_per_second": layer.into_iter().collect::<serde_json::Map<_, _>>(),
            "commands": self.commands,
        }))
    }

    fn rows(&self) -> Result<[Row; 5]> {
        let Round { gemm, scalesim, .. } = self.rounds.first().context("no round")?;
        let ScaleSim { planes, array, whole, share, .. } = scalesim;
        let lockstep = |key, name, seconds: fn(&Round) -> f64| -> Result<Row> {
            let (planes, seconds) = (format!("{planes} of {array} x {array}"), self.middle(seconds)?);
            Ok(Row { key, name, planes, cycles: gemm.cycles, multiply_adds: gemm.multiply_adds(), seconds })
        };
        let peer = |key, name, n: u64, cycles, seconds: fn(&Round) -> f64| -> Result<Row> {
            let (planes, seconds) = (format!("1 of {array} x {array}"), self.middle(seconds)?);
            Ok(Row { key, name, planes, cycles, multiply_adds: gemm.m * n * gemm.k, seconds })
        };
        Ok([
            lockstep("lockstep_with_values", "lockstep, with values, linked before", |round| {
                round.gemm.cycles as f64 / round.gemm.with_values
            })?,
            lockstep(COMPARED, "lockstep, linked and run once with values", |round| {
                round.gemm.linked_and_run_seconds()
            })?,
            lockstep("lockstep_timing_only", "lockstep, timing only, linked anew", |round| {
                round.gemm.cycles as f64 / round.gemm.timing_only
            })?,
            peer("scalesim_whole", "SCALE-Sim, timing only, the same product", whole.n, whole.cycles, |round| {
                round.scalesim.whole.seconds
            })?,
            peer("scalesim_share", "SCALE-Sim, timing only, one plane's part", share.n, share.cycles, |round| {
                round.scalesim.share.seconds
            })?,
        ])
    }

    fn layer(&self) -> Result<[(&'static str, &'static str, Spread); 3]> {
        let speed = |of: fn(&Layer) -> f64| spread(self.rounds.iter().map(|round| of(&round.layer)).collect());
        let none = "no round";
        Ok([
            ("with_values", "with values", speed(|layer| layer.with_values).context(none)?),
            ("timing_only", "timing only, expanded", speed(|layer| layer.timing_only).context(none)?),
            ("instanced", "timing only, instanced", speed(|layer| layer.instanced).context(none)?),
        ])
    }

    fn middle(&self, of: fn(&Round) -> f64) -> Result<Spread> {
        spread(self.rounds.iter().map(of).collect()).context("no round")
    }
}

fn cell(speed: Spread) -> String {
    format!("{:.0} ({:.0} to {:.0})", speed.median, speed.least, speed.most)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::simulators::programs::{Case, Gemm};

    fn round(scale: f64) -> Round {
        Round {
            gemm: Gemm {
                m: 256,
                n: 1280,
                k: 1280,
                cycles: 1200,
                with_values: 60_000.0 * scale,
                timing_only: 1_200_000.0 * scale,
                share_of_kernels: 0.5,
            },
            scalesim: ScaleSim {
                versions: ["3.0.0", "3.11", "2.3"].map(str::to_owned),
                planes: 4,
                array: 320,
                whole: Case { n: 1280, cycles: 19_400, seconds: 10.5 / scale },
                share: Case { n: 320, cycles: 4800, seconds: 2.0 / scale },
            },
            layer: Layer { cycles: 1375, with_values: 4e5 * scale, timing_only: 2e6, instanced: 1e6 },
        }
    }

    #[test]
    fn ratios_are_of_a_run_from_program_to_result() {
        let rounds = [round(1.0), round(2.0), round(0.5)];
        let report = Report {
            machine: "a machine".into(),
            version: "l 1".into(),
            rounds: &rounds,
            commands: vec!["run".into()],
        };
        let text = report.text().unwrap();
        // 0.001 s of linking and 0.02 s of running, against 10.5 s.
        let linked = "| lockstep, linked and run once with values | 4 of 320 x 320 | 1200 | 0.0210 | 57143 (28571 to \
                      114286) | 19972.9 M |";
        assert!(text.contains(linked), "{text}");
        let peer = "| SCALE-Sim, timing only, the same product | 1 of 320 x 320 | 19400 | 10.5000 | 1848 (924 to 3695) \
                    [31x] | 39.9 M [500x] |";
        assert!(text.contains(peer), "{text}");
        assert!(text.contains("| with values | 400000 (200000 to 800000) |"), "{text}");
        assert!(text.ends_with("```\nrun\n```"), "{text}");
        let json = report.json().unwrap();
        let times = &json["product"]["scalesim_share"]["lockstep_times_multiply_adds_per_second"];
        assert!((times.as_f64().unwrap() - 4.0 * 2.0 / 0.021).abs() < 1e-6, "{times}");
        assert_eq!(json["layer_chip_cycles_per_second"]["with_values"]["most"], 8e5);
    }

    #[test]
    fn no_round_is_an_error() {
        let report = Report { machine: String::new(), version: String::new(), rounds: &[], commands: Vec::new() };
        assert_eq!(report.text().unwrap_err().to_string(), "no round");
    }
}
