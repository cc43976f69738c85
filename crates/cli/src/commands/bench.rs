//! `lockstep bench`: speed, latency and memory of this machine.

use crate::args::{BenchArguments, Switch};
use crate::commands::parallel;
use crate::output;
use crate::session::{Session, open};
use crate::statistics::{Statistics, median, percentile, resident_bytes};
use anyhow::{Result, bail};
use lockstep_engine::{Request, Usage};
use serde_json::json;
use std::time::Duration;

/// Measures and prints.
pub fn bench(arguments: &BenchArguments) -> Result<()> {
    let mut session = open(&arguments.model, true)?;
    let needed = u64::from(arguments.prompt_tokens) + u64::from(arguments.generate);
    if needed > session.setting.context as u64 {
        let context = session.setting.context;
        bail!("{needed} tokens do not fit the context of {context}: lower --prompt-tokens or --generate");
    }
    if arguments.parallel > 1 {
        return parallel::bench(&mut session, arguments);
    }
    let bar = output::count_bar("measuring", u64::from(arguments.repeat) + 1);
    // The first run touches all memory and wakes the workers; it is not counted.
    measure(&mut session, arguments)?;
    bar.inc(1);
    let mut runs = Vec::new();
    for _ in 0..arguments.repeat {
        runs.push(measure(&mut session, arguments)?);
        bar.inc(1);
    }
    bar.finish_and_clear();
    report(&session, arguments, &runs)
}

fn measure(session: &mut Session, arguments: &BenchArguments) -> Result<Usage> {
    let request = session.engine.submit(request(session, arguments, 0))?;
    Ok(session.finish(request, |_| Ok(true))?.usage)
}

/// A request with a made-up prompt of the wanted length; the same on every machine.
pub(super) fn request(session: &Session, arguments: &BenchArguments, index: u64) -> Request {
    let vocabulary = session.outline.config.vocab_size as u64;
    let token = |at: u64| ((at * 7919 + index * 104_729 + 13) % vocabulary) as u32;
    Request {
        ignore_eos: true,
        speculate: arguments.speculate == Switch::On,
        ..Request::new((0..u64::from(arguments.prompt_tokens)).map(token).collect(), arguments.generate as usize)
    }
}

fn report(session: &Session, arguments: &BenchArguments, runs: &[Usage]) -> Result<()> {
    let each: Vec<Statistics> = runs.iter().map(Statistics::of).collect();
    let middle = |field: fn(&Statistics) -> Option<f64>| median(each.iter().filter_map(field).collect());
    // Latencies over the gaps of all runs: a percentile of few values is not one.
    let mut gaps: Vec<Duration> = runs.iter().flat_map(Usage::gaps).collect();
    gaps.sort_unstable();
    let medians = Statistics {
        prefill_tokens_per_second: middle(|s| s.prefill_tokens_per_second),
        decode_tokens_per_second: middle(|s| s.decode_tokens_per_second),
        first_token_seconds: middle(|s| s.first_token_seconds),
        inter_token_p50_seconds: percentile(&gaps, 50),
        inter_token_p99_seconds: percentile(&gaps, 99),
    };
    let resident = resident_bytes();
    if !arguments.json {
        let memory =
            resident.map_or("memory unknown".to_owned(), |bytes| format!("{} in memory", output::bytes(bytes)));
        let line = medians.line(arguments.prompt_tokens as usize, arguments.generate as usize);
        output::print(&format!("{line}, {memory}, {} threads\n", session.setting.threads))?;
        return Ok(());
    }
    let mut value = medians.json();
    if let Some(object) = value.as_object_mut() {
        object.insert("resident_bytes".into(), json!(resident));
        object.insert("prompt_tokens".into(), json!(arguments.prompt_tokens));
        object.insert("generated_tokens".into(), json!(arguments.generate));
        object.insert("runs".into(), json!(runs.len()));
        object.insert("threads".into(), json!(session.setting.threads));
        object.insert("kernels".into(), json!(session.setting.kernels.name()));
        object.insert("system_fingerprint".into(), json!(session.outline.fingerprint));
    }
    output::print_json(&value)?;
    Ok(())
}
