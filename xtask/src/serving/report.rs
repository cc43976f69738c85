//! Medians, ratios and the tables.

use crate::serving::contestant::PARALLEL;
use crate::serving::load::{Seen, Turn, USERS};
use crate::spread::{Spread, percentile, spread};
use serde_json::{Value, json};
use std::fmt::Write;

pub(crate) struct Report<'a> {
    pub(crate) machine: String,
    pub(crate) threads: u32,
    pub(crate) tokens: usize,
    /// Names and turns; the first is lockstep.
    pub(crate) contestants: &'a [(&'static str, Vec<Turn>)],
}

/// One quantity over the turns.
type Of = fn(&[Turn], usize) -> Option<f64>;

/// What is told of each number of users.
const COLUMNS: [(&str, Of); 5] = [
    ("tokens/s", |turns, point| Some(rate(turns, point)?.median)),
    ("first token p50", |turns, point| percentile(all(turns, point, |seen| &seen.to_first), 50)),
    ("p99", |turns, point| percentile(all(turns, point, |seen| &seen.to_first), 99)),
    ("between tokens p50", |turns, point| percentile(all(turns, point, |seen| &seen.gaps), 50)),
    ("p99", |turns, point| percentile(all(turns, point, |seen| &seen.gaps), 99)),
];

fn rate(turns: &[Turn], point: usize) -> Option<Spread> {
    spread(turns.iter().map(|turn| turn.users[point].tokens_per_second).collect())
}

/// Values of all turns: a percentile of few values is not one.
fn all(turns: &[Turn], point: usize, of: fn(&Seen) -> &Vec<f64>) -> Vec<f64> {
    turns.iter().flat_map(|turn| of(&turn.users[point])).copied().collect()
}

fn long(turns: &[Turn]) -> Option<Spread> {
    spread(turns.iter().flat_map(|turn| &turn.long.to_first).copied().collect())
}

fn ready(turns: &[Turn]) -> Option<Spread> {
    spread(turns.iter().map(|turn| turn.ready_after).collect())
}

impl Report<'_> {
    /// The tables that docs/benchmarks.md holds.
    pub(crate) fn text(&self) -> String {
        let rounds = self.contestants.first().map_or(0, |(_, turns)| turns.len());
        let mut out = format!("{}\n", self.machine);
        let _ = writeln!(
            out,
            "{} threads, {PARALLEL} at once, greedy answers of {} tokens, {rounds} alternating rounds; times in ms, \
             percentiles over all rounds, tokens/s medians (least to most); in brackets how many times as fast lockstep \
             is\n",
            self.threads, self.tokens
        );
        let heads = COLUMNS.map(|(head, _)| head).join(" | ");
        let _ = writeln!(out, "| users | server | {heads} |\n| --- | --- | --- | --- | --- | --- | --- |");
        for (point, users) in USERS.iter().enumerate() {
            for index in 0..self.contestants.len() {
                let _ = writeln!(out, "| {users} | {} |", self.cells(index, point));
            }
        }
        let prompts =
            self.contestants.first().and_then(|(_, turns)| turns.first()).map(|turn| &turn.long.prompt_tokens);
        let lengths = prompts.map_or(String::new(), |list| {
            let (least, most) = (list.iter().min().unwrap_or(&0), list.iter().max().unwrap_or(&0));
            format!("{least} to {most}")
        });
        let _ = writeln!(out, "\n| server | first token of a prompt of {lengths} tokens, ms | start to ready, ms |");
        let _ = writeln!(out, "| --- | --- | --- |");
        for (name, turns) in self.contestants {
            let cell = |of: fn(&[Turn]) -> Option<Spread>| times(of(turns), of(self.ours()));
            let _ = writeln!(out, "| {name} | {} | {} |", cell(long), cell(ready));
        }
        out
    }

    fn ours(&self) -> &[Turn] {
        self.contestants.first().map_or(&[], |(_, turns)| turns)
    }

    fn cells(&self, index: usize, point: usize) -> String {
        let (name, turns) = &self.contestants[index];
        let mut cells = vec![(*name).to_owned()];
        for (column, (_, of)) in COLUMNS.iter().enumerate() {
            let (Some(theirs), Some(ours)) = (of(turns, point), of(self.ours(), point)) else { continue };
            let is_rate = column == 0;
            let times = if is_rate { ours / theirs } else { theirs / ours };
            let shown = if is_rate { format!("{theirs:.0}") } else { format!("{:.1}", theirs * 1e3) };
            let range = rate(turns, point).filter(|_| is_rate);
            let range = range.map_or(String::new(), |s| format!(" ({:.0} to {:.0})", s.least, s.most));
            let times = if index == 0 { String::new() } else { format!(" [{times:.2}x]") };
            cells.push(format!("{shown}{range}{times}"));
        }
        cells.join(" | ")
    }

    pub(crate) fn json(&self) -> Value {
        let points = |turns: &[Turn]| -> Vec<Value> {
            let point = |(point, users): (usize, &usize)| {
                let [rate, first50, first99, gap50, gap99] = COLUMNS.map(|(_, of)| of(turns, point));
                json!({
                    "users": users, "tokens_per_second": rate, "first_token_p50_seconds": first50,
                    "first_token_p99_seconds": first99, "inter_token_p50_seconds": gap50,
                    "inter_token_p99_seconds": gap99,
                })
            };
            USERS.iter().enumerate().map(point).collect()
        };
        let contestants = self.contestants.iter().map(|(name, turns)| {
            json!({
                "name": name, "points": points(turns), "long_first_token_seconds": long(turns).map(Spread::json),
                "ready_seconds": ready(turns).map(Spread::json),
            })
        });
        json!({
            "machine": self.machine, "threads": self.threads, "tokens": self.tokens,
            "contestants": contestants.collect::<Vec<_>>(),
        })
    }
}

fn times(theirs: Option<Spread>, ours: Option<Spread>) -> String {
    let (Some(theirs), Some(ours)) = (theirs, ours) else { return "-".to_owned() };
    let Spread { median, least, most } = theirs;
    let times = if theirs == ours { String::new() } else { format!(" [{:.2}x]", median / ours.median) };
    format!("{:.0} ({:.0} to {:.0}){times}", median * 1e3, least * 1e3, most * 1e3)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn turn(rate: f64, first: f64, ready_after: f64) -> Turn {
        let seen = |rate: f64| Seen {
            tokens_per_second: rate,
            to_first: vec![first, first, 2.0 * first],
            gaps: vec![0.004],
            prompt_tokens: vec![490, 510],
        };
        Turn { ready_after, users: USERS.iter().map(|&users| seen(rate * users as f64)).collect(), long: seen(1.0) }
    }

    #[test]
    fn the_tables_give_ratios_of_medians() {
        let contestants = [
            ("lockstep", vec![turn(100.0, 0.01, 0.1), turn(300.0, 0.01, 0.2), turn(200.0, 0.01, 0.1)]),
            ("other", vec![turn(50.0, 0.03, 0.5); 3]),
        ];
        let report = Report { machine: "a machine".into(), threads: 2, tokens: 64, contestants: &contestants };
        let text = report.text();
        assert!(text.contains("| 8 | lockstep | 1600 (800 to 2400) | 10.0 | 20.0 | 4.0 | 4.0 |"), "{text}");
        let other = "| 1 | other | 50 (50 to 50) [4.00x] | 30.0 [3.00x] | 60.0 [3.00x] | 4.0 [1.00x] | 4.0 [1.00x] |";
        assert!(text.contains(other), "{text}");
        assert!(text.contains("prompt of 490 to 510 tokens"), "{text}");
        assert!(text.contains("| other | 30 (30 to 60) [3.00x] | 500 (500 to 500) [5.00x] |"), "{text}");
        assert_eq!(report.json()["contestants"][1]["points"][3]["tokens_per_second"], 400.0);
    }
}
