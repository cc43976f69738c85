//! Ratios and the table.

use super::contestant::{Contestant, Speeds, Workload};
use crate::spread::{Spread, spread};
use serde_json::{Value, json};
use std::fmt::Write;

pub(crate) struct Report<'a> {
    pub(crate) machine: String,
    pub(crate) workload: &'a Workload,
    /// The first is lockstep.
    pub(crate) contestants: &'a [Contestant],
    /// The runs of each contestant.
    pub(crate) rounds: &'a [Vec<Speeds>],
}

impl Report<'_> {
    /// The table that docs/benchmarks.md holds.
    pub(crate) fn text(&self) -> String {
        let Workload { threads, prompt_tokens, generate } = self.workload;
        let rounds = self.rounds.first().map_or(0, Vec::len);
        let mut out = format!("{}\n", self.machine);
        let _ = writeln!(
            out,
            "{threads} threads, prompt of {prompt_tokens}, {generate} generated after it; tokens a second, medians \
             (least to most) of {rounds} alternating rounds; in brackets how many times as fast lockstep is\n"
        );
        let _ = writeln!(out, "| program, file | prefill | decode after the prompt | decode from empty |");
        let _ = writeln!(out, "| --- | --- | --- | --- |");
        let ours = self.rounds.first().map(|runs| spreads(runs));
        for (index, (contestant, runs)) in self.contestants.iter().zip(self.rounds).enumerate() {
            let against = ours.filter(|_| index > 0);
            let [prefill, decode, empty] = spreads(runs);
            let prefill = cell(prefill, against.and_then(|ours| ours[0]));
            let decode_cell = cell(decode, against.and_then(|ours| ours[1]));
            // Lockstep's generation after the prompt is the harder work of the two, so this ratio flatters the peer.
            let empty = cell(empty, against.and_then(|ours| ours[1]));
            let _ = writeln!(out, "| {} | {prefill} | {decode_cell} | {empty} |", contestant.name());
        }
        out
    }

    pub(crate) fn json(&self) -> Value {
        let ours = self.rounds.first().map(|runs| spreads(runs));
        let all = self.contestants.iter().zip(self.rounds).map(|(contestant, runs)| {
            let found = spreads(runs);
            let names = ["prefill", "decode", "decode_from_empty"];
            let speeds =
                names.iter().zip(found).filter_map(|(name, spread)| Some(((*name).to_owned(), spread?.json())));
            json!({
                "name": contestant.name(),
                "tokens_per_second": speeds.collect::<serde_json::Map<_, _>>(),
                "lockstep_times_prefill": ratio(ours.and_then(|ours| ours[0]), found[0]),
                "lockstep_times_decode": ratio(ours.and_then(|ours| ours[1]), found[1]),
                "lockstep_times_decode_from_empty": ratio(ours.and_then(|ours| ours[1]), found[2]),
            })
        });
        let Workload { threads, prompt_tokens, generate } = self.workload;
        json!({
            "machine": self.machine,
            "threads": threads,
            "prompt_tokens": prompt_tokens,
            "generate": generate,
            "contestants": all.collect::<Vec<_>>(),
        })
    }
}

/// Prefill, decode after the prompt, decode from empty.
fn spreads(runs: &[Speeds]) -> [Option<Spread>; 3] {
    let of = |field: fn(&Speeds) -> Option<f64>| spread(runs.iter().filter_map(field).collect());
    [of(|run| Some(run.prefill)), of(|run| Some(run.decode)), of(|run| run.decode_from_empty)]
}

fn ratio(ours: Option<Spread>, theirs: Option<Spread>) -> Option<f64> {
    Some(ours?.median / theirs?.median)
}

fn cell(spread: Option<Spread>, ours: Option<Spread>) -> String {
    let Some(Spread { median, least, most }) = spread else {
        return "-".to_owned();
    };
    let times = ratio(ours, spread).map_or(String::new(), |times| format!(" [{times:.2}x]"));
    format!("{median:.1} ({least:.1} to {most:.1}){times}")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn speeds(prefill: f64, decode: f64, empty: Option<f64>) -> Speeds {
        Speeds { prefill, decode, decode_from_empty: empty }
    }

    #[test]
    fn the_table_gives_ratios_of_medians() {
        let contestants = [
            Contestant::lockstep("lockstep".into(), "models/m.gguf".into()),
            Contestant::llama("build/llama-bench".into(), "models/m.gguf".into()),
        ];
        let rounds = [
            vec![speeds(600.0, 230.0, None), speeds(900.0, 220.0, None), speeds(750.0, 240.0, None)],
            vec![speeds(250.0, 100.0, Some(115.0)); 3],
        ];
        let workload = Workload { threads: 2, prompt_tokens: 512, generate: 128 };
        let report =
            Report { machine: "a machine".into(), workload: &workload, contestants: &contestants, rounds: &rounds };
        let text = report.text();
        assert!(text.contains("| lockstep, m.gguf | 750.0 (600.0 to 900.0) | 230.0 (220.0 to 240.0) | - |"), "{text}");
        let peer = "| build/llama-bench, m.gguf | 250.0 (250.0 to 250.0) [3.00x] | 100.0 (100.0 to 100.0) [2.30x] \
                    | 115.0 (115.0 to 115.0) [2.00x] |";
        assert!(text.contains(peer), "{text}");
        assert_eq!(report.json()["contestants"][1]["lockstep_times_decode_from_empty"], 2.0);
    }
}
