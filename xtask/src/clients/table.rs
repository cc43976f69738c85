//! What the checks of clients told, as a table.

use anyhow::{Context, Result};
use serde_json::Value;
use std::fmt;

/// A line for each client, and the failed checks as they come.
#[derive(Default)]
pub(crate) struct Table {
    rows: Vec<Row>,
}

struct Row {
    client: String,
    version: String,
    passed: usize,
    failed: Vec<String>,
    seconds: f64,
}

impl Table {
    /// Takes a line of JSON: `client`, `version`, `check`, `error` (null where it passed), `seconds`.
    pub(crate) fn add(&mut self, line: &str) -> Result<()> {
        let value: Value = serde_json::from_str(line).with_context(|| format!("not told by a check: {line}"))?;
        let text = |name: &str| value[name].as_str().map(str::to_owned).with_context(|| format!("no {name}: {line}"));
        let (client, version, check) = (text("client")?, text("version")?, text("check")?);
        let place = self.rows.iter().position(|row| row.client == client && row.version == version);
        let place = place.unwrap_or_else(|| {
            let row = Row { client: client.clone(), version: version.clone(), passed: 0, failed: vec![], seconds: 0.0 };
            self.rows.push(row);
            self.rows.len() - 1
        });
        let row = &mut self.rows[place];
        row.seconds += value["seconds"].as_f64().unwrap_or(0.0);
        match value["error"].as_str() {
            Some(error) => {
                println!("{client} {version}: {check} failed: {error}");
                row.failed.push(check);
            }
            None => row.passed += 1,
        }
        Ok(())
    }

    /// Failed checks of all clients.
    pub(crate) fn failed(&self) -> usize {
        self.rows.iter().map(|row| row.failed.len()).sum()
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{:<22} {:<9} {:>7} {:>7}  failed", "client", "version", "passed", "seconds")?;
        for Row { client, version, passed, failed, seconds } in &self.rows {
            let all = passed + failed.len();
            let failed = failed.join(", ");
            let line = format!("{client:<22} {version:<9} {:>7} {seconds:>7.1}  {failed}", format!("{passed}/{all}"));
            writeln!(f, "{}", line.trim_end())?;
        }
        Ok(())
    }
}
