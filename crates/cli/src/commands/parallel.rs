//! `lockstep bench --parallel`: speed of several requests together.

use crate::args::BenchArguments;
use crate::commands::bench::request;
use crate::output;
use crate::session::Session;
use crate::statistics::{median, percentile};
use anyhow::{Context, Result, bail};
use lockstep_engine::{Event, FinishReason, RequestId};
use serde_json::json;
use std::collections::BTreeMap;
use std::time::Duration;

/// What one run gave.
struct Run {
    /// Tokens of all requests by the time in which all of them generated.
    tokens_per_second: f64,
    /// Between tokens of one request, in that time.
    gaps: Vec<Duration>,
}

/// Measures and prints.
pub fn bench(session: &mut Session, arguments: &BenchArguments) -> Result<()> {
    let bar = output::count_bar("measuring", u64::from(arguments.repeat) + 1);
    // The first run touches all memory and wakes the workers; it is not counted.
    measure(session, arguments)?;
    bar.inc(1);
    let mut runs = Vec::new();
    for _ in 0..arguments.repeat {
        runs.push(measure(session, arguments)?);
        bar.inc(1);
    }
    bar.finish_and_clear();
    let rate = median(runs.iter().map(|run| run.tokens_per_second).collect()).unwrap_or(0.0);
    let mut gaps: Vec<Duration> = runs.into_iter().flat_map(|run| run.gaps).collect();
    gaps.sort_unstable();
    let gap = |percent| percentile(&gaps, percent).unwrap_or(0.0);
    if arguments.json {
        return Ok(output::print_json(&json!({
            "parallel": arguments.parallel,
            "decode_tokens_per_second": rate,
            "inter_token_p50_seconds": gap(50),
            "inter_token_p99_seconds": gap(99),
            "prompt_tokens": arguments.prompt_tokens,
            "generated_tokens": arguments.generate,
            "runs": arguments.repeat,
            "threads": session.setting.threads,
            "kernels": session.setting.kernels.name(),
            "system_fingerprint": session.outline.fingerprint,
        }))?);
    }
    output::print(&format!(
        "{} requests together {rate:.1} tokens/s, between tokens of one p50 {:.1} ms, p99 {:.1} ms, {} threads\n",
        arguments.parallel,
        gap(50) * 1e3,
        gap(99) * 1e3,
        session.setting.threads
    ))?;
    Ok(())
}

fn measure(session: &mut Session, arguments: &BenchArguments) -> Result<Run> {
    let mut times: BTreeMap<RequestId, Vec<Duration>> = BTreeMap::new();
    for index in 0..u64::from(arguments.parallel) {
        let request = session.engine.submit(request(session, arguments, index))?;
        times.insert(request, Vec::new());
    }
    while !session.engine.is_idle() {
        for event in session.engine.step()? {
            match event {
                Event::Token { request, time, .. } => times.entry(request).or_default().push(time),
                Event::Finished { reason: FinishReason::Fault(why), .. } => bail!(why),
                Event::Finished { .. } => {}
            }
        }
        if crate::interrupt::asked() {
            bail!("interrupted");
        }
    }
    // From when the last of them had its first token until the first of them had its last.
    let from = times.values().filter_map(|times| times.first()).max();
    let to = times.values().filter_map(|times| times.last()).min();
    let window = from.zip(to).filter(|(from, to)| from < to);
    let (&from, &to) = window.context("the requests never ran together: raise --generate or lower --prompt-tokens")?;
    let inside =
        |times: &[Duration]| times.iter().copied().filter(|&time| time >= from && time <= to).collect::<Vec<_>>();
    let inside: Vec<Vec<Duration>> = times.values().map(|times| inside(times)).collect();
    let tokens: usize = inside.iter().map(|times| times.iter().filter(|&&time| time > from).count()).sum();
    let gaps = inside.iter().flat_map(|times| times.windows(2).map(|pair| pair[1].saturating_sub(pair[0])));
    Ok(Run { tokens_per_second: tokens as f64 / to.saturating_sub(from).as_secs_f64(), gaps: gaps.collect() })
}
