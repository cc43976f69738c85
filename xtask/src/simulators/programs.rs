//! The programs that are run, and what a run of each says.

use crate::command::{self, cargo, root};
use anyhow::{Context, Result, ensure};
use serde_json::Value;
use std::path::PathBuf;
use std::process::Command;

pub(crate) struct Programs {
    pub(crate) lockstep: PathBuf,
    pub(crate) python: PathBuf,
    pub(crate) model: PathBuf,
    /// Where the layer program is written.
    pub(crate) layer: PathBuf,
}

/// What one round measured.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Round {
    pub(crate) gemm: Gemm,
    pub(crate) scalesim: ScaleSim,
    pub(crate) layer: Layer,
}

/// The simulator's benchmark: one matrix product on a chip's four planes.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Gemm {
    pub(crate) m: u64,
    pub(crate) n: u64,
    pub(crate) k: u64,
    pub(crate) cycles: u64,
    /// Chip-cycles a second of the linked program, with values.
    pub(crate) with_values: f64,
    /// Chip-cycles a second of linking it anew, without values.
    pub(crate) timing_only: f64,
    /// Multiply-adds a second, as a share of what `kernels` does by itself.
    pub(crate) share_of_kernels: f64,
}

impl Gemm {
    pub(crate) fn multiply_adds(&self) -> u64 {
        self.m * self.n * self.k
    }

    /// Seconds of linking the program and running it once with values: from a program to its numbers.
    pub(crate) fn linked_and_run_seconds(&self) -> f64 {
        self.cycles as f64 / self.timing_only + self.cycles as f64 / self.with_values
    }
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct ScaleSim {
    /// SCALE-Sim's, Python's and numpy's.
    pub(crate) versions: [String; 3],
    pub(crate) planes: u64,
    pub(crate) array: u64,
    /// The same product on one array.
    pub(crate) whole: Case,
    /// One plane's part of it.
    pub(crate) share: Case,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Case {
    pub(crate) n: u64,
    pub(crate) cycles: u64,
    pub(crate) seconds: f64,
}

/// Chip-cycles a second of the layer program.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Layer {
    pub(crate) cycles: u64,
    pub(crate) with_values: f64,
    /// Expanded: each instance linked anew.
    pub(crate) timing_only: f64,
    /// All entries' cycles over the time of linking each block once and checking all instances.
    pub(crate) instanced: f64,
}

/// One token at the first position; the time does not depend on the numbers.
const INPUTS: [&str; 3] = ["x=random seed=1 min=-1 max=1", "position=fill 0", "length=fill 1"];
/// Runs within one call; the call gives their median.
const REPEAT: &str = "29";

impl Programs {
    /// Builds the benchmark and writes the layer program, so that rounds only measure; before that, a small product
    /// shows whether Python has what it needs.
    pub(crate) fn prepare(&self) -> Result<()> {
        command::read(&mut self.scalesim(8, 8, 8)?)?;
        command::pass(cargo().args(BENCH).arg("--no-run").current_dir(root()?))?;
        command::read(&mut self.layer_command()).map(drop)
    }

    pub(crate) fn measure(&self) -> Result<Round> {
        let gemm = parse_gemm(&command::read(&mut bench()?)?).context("the benchmark's --json")?;
        let text = command::read(&mut self.scalesim(gemm.m, gemm.n, gemm.k)?)?;
        let scalesim = parse_scalesim(&text, &gemm).context("gemm_scalesim.py's JSON")?;
        let with_values = command::read(&mut self.simulate(true))?;
        let timing_only = command::read(&mut self.simulate(false))?;
        let layer = parse_layer(&with_values, &timing_only).context("the --json of simulate")?;
        Ok(Round { gemm, scalesim, layer })
    }

    pub(crate) fn version(&self) -> Result<String> {
        Ok(command::read(Command::new(&self.lockstep).arg("--version"))?.trim().to_owned())
    }

    /// The commands of a round, for who wants to run one of them alone.
    pub(crate) fn shown(&self, gemm: &Gemm) -> Result<Vec<String>> {
        let scalesim = self.scalesim(gemm.m, gemm.n, gemm.k)?;
        let all = [bench()?, scalesim, self.layer_command(), self.simulate(true), self.simulate(false)];
        Ok(all.iter().map(command::shown).collect())
    }

    /// Measured on the product that was benchmarked, so that the work is equal by construction.
    fn scalesim(&self, m: u64, n: u64, k: u64) -> Result<Command> {
        let mut script = Command::new(&self.python);
        script.arg("-B").arg(root()?.join("tools/reference/simulators/gemm_scalesim.py"));
        for (name, size) in [("--m", m), ("--n", n), ("--k", k)] {
            script.arg(name).arg(size.to_string());
        }
        Ok(script)
    }

    fn layer_command(&self) -> Command {
        let mut layer = Command::new(&self.lockstep);
        layer.arg("layer").arg("--model").arg(&self.model).arg("--output").arg(&self.layer);
        layer
    }

    fn simulate(&self, values: bool) -> Command {
        let mut simulate = Command::new(&self.lockstep);
        simulate.arg("simulate").arg(&self.layer).args(["--entry", "layer", "--repeat", REPEAT, "--json"]);
        if values {
            simulate.args(INPUTS.iter().flat_map(|input| ["--input", input]));
        } else {
            simulate.args(["--timing-only", "--expand"]);
        }
        simulate
    }
}

const BENCH: [&str; 5] = ["bench", "--package", "lockstep-simulator", "--bench", "speed"];

fn bench() -> Result<Command> {
    let mut bench = cargo();
    bench.args(BENCH).args(["--", "--json"]).current_dir(root()?);
    Ok(bench)
}

/// The keys of one JSON object.
struct Keys(Value);

impl Keys {
    fn parse(text: &str) -> Result<Self> {
        Ok(Self(serde_json::from_str(text.trim())?))
    }

    fn count(&self, pointer: &str) -> Result<u64> {
        self.0.pointer(pointer).and_then(Value::as_u64).with_context(|| format!("no whole number {pointer}"))
    }

    /// A speed or a time: more than nothing, since others are divided by it.
    fn number(&self, pointer: &str) -> Result<f64> {
        let number = self.0.pointer(pointer).and_then(Value::as_f64).filter(|number| *number > 0.0);
        number.with_context(|| format!("no number above 0 at {pointer}"))
    }

    fn text(&self, pointer: &str) -> Result<String> {
        let text = self.0.pointer(pointer).and_then(Value::as_str);
        Ok(text.with_context(|| format!("no text {pointer}"))?.to_owned())
    }
}

fn parse_gemm(text: &str) -> Result<Gemm> {
    let keys = Keys::parse(text)?;
    Ok(Gemm {
        m: keys.count("/m")?,
        n: keys.count("/n")?,
        k: keys.count("/k")?,
        cycles: keys.count("/cycles")?,
        with_values: keys.number("/chip_cycles_per_second")?,
        timing_only: keys.number("/timing_only_chip_cycles_per_second")?,
        share_of_kernels: keys.number("/share_of_kernels")?,
    })
}

/// Refuses what is not the product of the benchmark.
fn parse_scalesim(text: &str, gemm: &Gemm) -> Result<ScaleSim> {
    let keys = Keys::parse(text)?;
    let planes = keys.count("/planes")?;
    let case = |name: &str, n: u64| {
        for (side, wanted) in [("m", gemm.m), ("n", n), ("k", gemm.k)] {
            let found = keys.count(&format!("/{name}/{side}"))?;
            ensure!(found == wanted, "/{name}/{side} is {found}, expected {wanted}");
        }
        let (cycles, seconds) = (keys.count(&format!("/{name}/cycles"))?, keys.number(&format!("/{name}/seconds"))?);
        Ok(Case { n, cycles, seconds })
    };
    Ok(ScaleSim {
        versions: [keys.text("/scalesim")?, keys.text("/python")?, keys.text("/numpy")?],
        planes,
        array: keys.count("/array")?,
        whole: case("whole", gemm.n)?,
        share: case("share", gemm.n / planes.max(1))?,
    })
}

fn parse_layer(with_values: &str, timing_only: &str) -> Result<Layer> {
    let (with_values, timing_only) = (Keys::parse(with_values)?, Keys::parse(timing_only)?);
    let cycles = with_values.count("/cycles")?;
    let timed = timing_only.count("/cycles")?;
    ensure!(cycles == timed, "{cycles} cycles with values, {timed} without");
    Ok(Layer {
        cycles,
        with_values: with_values.number("/chip_cycles_per_second")?,
        timing_only: timing_only.number("/chip_cycles_per_second")?,
        instanced: timing_only.number("/instanced_chip_cycles_per_second")?,
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn gemm() -> Gemm {
        let text = r#"{"m":256,"n":1280,"k":1280,"cycles":1200,"share_of_kernels":0.5,
            "chip_cycles_per_second":60000.0,"timing_only_chip_cycles_per_second":1200000.0}"#;
        parse_gemm(text).unwrap()
    }

    #[test]
    fn linking_and_running_add_up() {
        assert!((gemm().linked_and_run_seconds() - 0.021).abs() < 1e-12);
        assert_eq!(gemm().multiply_adds(), 419_430_400);
    }

    #[test]
    fn another_product_is_refused() {
        let text = r#"{"scalesim":"3.0.0","python":"3.11.7","numpy":"2.3.5","planes":4,"array":320,
            "whole":{"m":256,"n":1280,"k":1280,"cycles":19423,"seconds":10.0},
            "share":{"m":256,"n":N,"k":1280,"cycles":4855,"seconds":2.0}}"#;
        let found = parse_scalesim(&text.replace('N', "320"), &gemm()).unwrap();
        assert_eq!(found.share, Case { n: 320, cycles: 4855, seconds: 2.0 });
        let error = parse_scalesim(&text.replace('N', "1280"), &gemm()).unwrap_err();
        assert_eq!(error.to_string(), "/share/n is 1280, expected 320");
    }

    #[test]
    fn layers_of_different_length_are_refused() {
        let with_values = r#"{"cycles":1375,"chip_cycles_per_second":100000.0}"#;
        let timing_only = r#"{"cycles":1375,"chip_cycles_per_second":1e6,"instanced_chip_cycles_per_second":9e5}"#;
        let found = parse_layer(with_values, timing_only).unwrap();
        assert_eq!(found, Layer { cycles: 1375, with_values: 1e5, timing_only: 1e6, instanced: 9e5 });
        let error = parse_layer(with_values, &timing_only.replace("1375", "1374")).unwrap_err();
        assert_eq!(error.to_string(), "1375 cycles with values, 1374 without");
        let error = parse_layer(with_values, &timing_only.replace("1e6", "0")).unwrap_err();
        assert_eq!(error.to_string(), "no number above 0 at /chip_cycles_per_second");
    }

    #[test]
    fn commands_say_all_that_they_do() {
        let programs = Programs {
            lockstep: "lockstep".into(),
            python: "python3".into(),
            model: "m.gguf".into(),
            layer: "layer.lks".into(),
        };
        let shown = programs.shown(&gemm()).unwrap();
        assert!(shown[1].ends_with("gemm_scalesim.py --m 256 --n 1280 --k 1280"), "{}", shown[1]);
        assert_eq!(shown[2], "lockstep layer --model m.gguf --output layer.lks");
        assert!(shown[3].contains("--repeat 29 --json --input \"x=random seed=1 min=-1 max=1\""), "{}", shown[3]);
        assert_eq!(shown[4], "lockstep simulate layer.lks --entry layer --repeat 29 --json --timing-only --expand");
    }
}
