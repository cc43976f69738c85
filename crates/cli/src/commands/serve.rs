//! `lockstep serve`: a model behind the OpenAI-compatible API.

use crate::args::{MetricsNames, ServeArguments, Spread, Switch};
use crate::commands::prompt::DATE;
use crate::compiled::{CONTEXT, Recipe};
use crate::files::ModelFiles;
use crate::load::Outline;
use crate::log;
use crate::output;
use crate::session::{self, Session};
use crate::system;
use crate::timetable::Timetable;
use anyhow::{Result, bail};
use lockstep_engine::EngineOptions;
use lockstep_machine::system::SystemSpec;
use lockstep_server::{Access, KeyStore, Limits, LpuClock, LpuTime, Served, ServedModel, ServerOptions};
use std::path::Path;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, UNIX_EPOCH};

/// Serves until the process is asked to end.
pub fn serve(arguments: &ServeArguments) -> Result<()> {
    let _log = log::start(arguments.log);
    if let Some(file) = &arguments.keys {
        // A wrong name is told before the model is loaded.
        KeyStore::open(file)?;
    }
    let lpu = match arguments.lpu.as_str() {
        "off" => None,
        name => Some(system::open(name)?),
    };
    let options = EngineOptions {
        running_max: usize::from(arguments.parallel),
        waiting_max: arguments.queue as usize,
        kv_bytes_max: arguments.kv_memory.map_or_else(half_of_the_free_memory, |mebibytes| mebibytes << 20),
        cache_bytes_max: arguments.prefix_cache << 20,
        ..EngineOptions::default()
    };
    let Session { engine, outline, clock, .. } =
        session::open_for_serving(&arguments.model, options, arguments.speculate == Switch::On)?;
    let model = ServedModel {
        names: names(&arguments.model.model, &outline, &arguments.alias)?,
        created: created(&outline.files),
        tokenizer: outline.tokenizer.clone(),
        end_token_ids: session::end_tokens(&outline),
        template: outline.tokenizer.chat_template()?,
        date: DATE.to_owned(),
        fingerprint: outline.fingerprint.clone(),
        context: engine.context_length(),
        lpu: lpu.map(|system| lpu_clock(outline, system)),
    };
    let options = server_options(arguments);
    let name = model.names.first().cloned().unwrap_or_default();
    let served = Served { engine, clock: Arc::new(clock), model };
    lockstep_server::serve(served, options, |addr| output::note(&format!("serving {name} at http://{addr}/v1")))?;
    Ok(())
}

fn server_options(arguments: &ServeArguments) -> ServerOptions {
    let access = match (&arguments.api_key, &arguments.keys) {
        (Some(key), _) => Access::Key(key.clone()),
        (None, Some(file)) => Access::File(file.clone()),
        (None, None) => Access::Open,
    };
    ServerOptions {
        addr: arguments.addr,
        insecure: arguments.insecure,
        strict_params: arguments.strict_params,
        access,
        cors_origins: arguments.cors_origin.clone(),
        hosts: arguments.host.clone(),
        vllm_metrics: arguments.metrics_compat == Some(MetricsNames::Vllm),
        limits: Limits { answer_time: Duration::from_secs(arguments.deadline.into()), ..Limits::default() },
    }
}

/// The name that the model was asked for by, its own name, and further ones; each once.
fn names(asked: &str, outline: &Outline, aliases: &[String]) -> Result<Vec<String>> {
    let path = Path::new(asked);
    let stem = path.exists().then(|| path.file_stem().map(|stem| stem.to_string_lossy().into_owned())).flatten();
    let own = outline.config.name.iter().cloned();
    let mut names = Vec::new();
    for name in std::iter::once(stem.unwrap_or_else(|| asked.to_owned())).chain(own).chain(aliases.iter().cloned()) {
        if name.is_empty() || name.len() > 200 || name.chars().any(char::is_control) {
            bail!("{name:?} is no name for a model: give 1 to 200 characters without control characters");
        }
        if !names.contains(&name) {
            names.push(name);
        }
    }
    Ok(names)
}

/// When the model's file was written.
fn created(files: &ModelFiles) -> u64 {
    let written = std::fs::metadata(crate::load::path_of(files)).and_then(|data| data.modified()).ok();
    written.and_then(|time| time.duration_since(UNIX_EPOCH).ok()).map_or(0, |time| time.as_secs())
}

/// Tells the compiled program's time once it has been opened, in the background: serving does not wait for it.
fn lpu_clock(outline: Outline, system: SystemSpec) -> LpuClock {
    let table = Arc::new(OnceLock::new());
    let filled = Arc::clone(&table);
    let name = system.name();
    std::thread::spawn(move || {
        give_way();
        let program = Recipe::new(&outline, system, CONTEXT, Spread::default()).kept_soon();
        if let Some(table) = program.and_then(|program| Timetable::of(&program).ok()) {
            // The only one who sets it.
            let _ = filled.set(table);
        }
    });
    Arc::new(move |prompt, answer| time_of(table.get()?, &name, prompt, answer))
}

/// Gives this thread, and those that it starts, the processor only while nobody else wants it, where threads have a
/// priority of their own (Linux).
fn give_way() {
    #[cfg(target_os = "linux")]
    // It only takes time from answers otherwise.
    let _ = rustix::process::nice(19);
}

fn time_of(table: &Timetable, system: &str, prompt: usize, answer: usize) -> Option<LpuTime> {
    let (prompt_cycles, total_cycles) = (table.of_answer(prompt, 1)?, table.of_answer(prompt, answer)?);
    let further = answer.saturating_sub(1).max(1);
    Some(LpuTime {
        system: system.to_owned(),
        prompt_cycles,
        total_cycles,
        prompt_time: table.seconds(prompt_cycles),
        token_time: table.seconds(total_cycles.saturating_sub(prompt_cycles)) / further as f64,
        total_time: table.seconds(total_cycles),
    })
}

/// Half of the memory that is free, where the system tells (Linux); no bound elsewhere.
fn half_of_the_free_memory() -> u64 {
    let told = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let line = told.lines().find_map(|line| line.strip_prefix("MemAvailable:"));
    let kibibytes = line.and_then(|line| line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok());
    kibibytes.map_or(u64::MAX, |kibibytes| kibibytes * 1024 / 2)
}
