//! `lockstep keys`: who may ask a server, how much, and how much they did.

use crate::args::KeysCommand;
use crate::output;
use anyhow::Result;
use lockstep_server::{Key, KeyLimits, KeyStore, KeyUsage};
use serde_json::{Value, json};

/// Looks after a file of keys.
pub fn keys(command: &KeysCommand) -> Result<()> {
    match command {
        KeysCommand::Add(arguments) => {
            let limits = KeyLimits {
                requests_per_minute: arguments.requests_per_minute,
                tokens_per_minute: arguments.tokens_per_minute,
                concurrent: arguments.concurrent,
            };
            let key = KeyStore::create(&arguments.file.keys)?.add(&arguments.name, limits)?;
            output::print(&format!("{key}\n"))?;
            output::note("this is the only time that the key is shown: keep it");
        }
        KeysCommand::List(arguments) => {
            let keys = KeyStore::open(&arguments.file.keys)?.list()?;
            let rows = keys.iter().map(row_of_key).collect();
            let values = keys.iter().map(value_of_key).collect();
            print(arguments.json, ["name", "requests/min", "tokens/min", "concurrent", "state"], rows, values)?;
        }
        KeysCommand::Revoke { name, file } => {
            KeyStore::open(&file.keys)?.revoke(name)?;
            output::note(&format!("{name} is revoked"));
        }
        KeysCommand::Usage(arguments) => {
            let usage = KeyStore::open(&arguments.file.keys)?.usage()?;
            let rows = usage.iter().map(row_of_usage).collect();
            let values = usage.iter().map(value_of_usage).collect();
            print(arguments.json, ["name", "day", "requests", "prompt tokens", "answer tokens"], rows, values)?;
        }
    }
    Ok(())
}

fn row_of_key(key: &Key) -> [String; 5] {
    let shown = |limit: Option<u64>| limit.map_or("-".to_owned(), |limit| limit.to_string());
    let limits = key.limits;
    [
        key.name.clone(),
        shown(limits.requests_per_minute),
        shown(limits.tokens_per_minute),
        shown(limits.concurrent),
        if key.revoked.is_some() { "revoked" } else { "works" }.to_owned(),
    ]
}

fn value_of_key(key: &Key) -> Value {
    json!({
        "name": key.name,
        "requests_per_minute": key.limits.requests_per_minute,
        "tokens_per_minute": key.limits.tokens_per_minute,
        "concurrent": key.limits.concurrent,
        "created": key.created,
        "revoked": key.revoked,
    })
}

fn row_of_usage(usage: &KeyUsage) -> [String; 5] {
    let counts = [usage.requests, usage.prompt_tokens, usage.completion_tokens];
    let [requests, prompt_tokens, completion_tokens] = counts.map(|count| count.to_string());
    [usage.name.clone(), usage.day.clone(), requests, prompt_tokens, completion_tokens]
}

fn value_of_usage(usage: &KeyUsage) -> Value {
    json!({
        "name": usage.name,
        "day": usage.day,
        "requests": usage.requests,
        "prompt_tokens": usage.prompt_tokens,
        "completion_tokens": usage.completion_tokens,
    })
}

/// A table, or a JSON array.
fn print(is_json: bool, head: [&str; 5], rows: Vec<[String; 5]>, values: Vec<Value>) -> Result<()> {
    if is_json {
        return Ok(output::print_json(&Value::Array(values))?);
    }
    let mut table = vec![head.map(str::to_owned)];
    table.extend(rows);
    let widths: [usize; 5] =
        std::array::from_fn(|column| table.iter().map(|row| row[column].chars().count()).max().unwrap_or(0));
    for row in &table {
        let cells = row.iter().zip(widths).map(|(cell, width)| format!("{cell:width$}"));
        output::print(&format!("{}\n", cells.collect::<Vec<_>>().join("  ").trim_end()))?;
    }
    Ok(())
}
