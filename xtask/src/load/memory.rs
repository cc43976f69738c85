//! What a process holds in memory over time.

use anyhow::{Context, Result, ensure};
use std::fmt;
use std::time::{Duration, Instant};

/// Between two looks.
const EVERY: Duration = Duration::from_secs(2);
/// By then everything has been used once; half of a shorter run is taken for it.
const SETTLED: Duration = Duration::from_mins(3);
/// How much more at the end, than at most until it settled, is no growth: an allocator returns pages in its own time.
const GROWTH_MAX: f64 = 0.05;
/// The same in a run that is too short to settle.
const GROWTH_MAX_SHORT: f64 = 0.25;

/// Resident bytes of a process.
#[derive(Debug)]
pub(super) struct Memory {
    settled_after: Duration,
    /// At that moment.
    settled: u64,
    /// At most until then.
    most: u64,
    end: u64,
}

impl Memory {
    /// Looks at the process for so long.
    pub(super) fn watch(process: u32, lasts: Duration) -> Result<Self> {
        let (begun, settled_after) = (Instant::now(), SETTLED.min(lasts / 2));
        let first = resident(process)?;
        let mut memory = Self { settled_after, settled: first, most: first, end: first };
        while let Some(left) = lasts.checked_sub(begun.elapsed()).filter(|left| !left.is_zero()) {
            std::thread::sleep(left.min(EVERY));
            memory.end = resident(process)?;
            if begun.elapsed() <= settled_after {
                memory.settled = memory.end;
                memory.most = memory.most.max(memory.end);
            }
        }
        Ok(memory)
    }

    fn growth(&self) -> f64 {
        self.end as f64 / self.most as f64 - 1.0
    }

    fn growth_max(&self) -> f64 {
        if self.settled_after < SETTLED { GROWTH_MAX_SHORT } else { GROWTH_MAX }
    }

    /// Fails where it has grown since it settled.
    pub(super) fn require_bounded(&self) -> Result<()> {
        ensure!(self.growth() <= self.growth_max(), "the server's memory grew by {:.1} %", self.growth() * 100.0);
        Ok(())
    }
}

impl fmt::Display for Memory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [most, settled, end] = [self.most, self.settled, self.end].map(|bytes| bytes as f64 / 1e6);
        let (minutes, growth) = (self.settled_after.as_secs_f64() / 60.0, self.growth() * 100.0);
        write!(
            f,
            "resident memory: {settled:.1} MB after {minutes:.1} minutes ({most:.1} MB at most), {end:.1} MB at the "
        )?;
        write!(f, "end: {growth:+.1} % of the most, allowed are {:+.0} %", self.growth_max() * 100.0)
    }
}

fn resident(process: u32) -> Result<u64> {
    let path = format!("/proc/{process}/status");
    let status = std::fs::read_to_string(&path).with_context(|| format!("{path}: memory is read on Linux only"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kibibytes = line.and_then(|line| line.trim().strip_suffix(" kB")?.parse::<u64>().ok());
    Ok(kibibytes.with_context(|| format!("{path}: no VmRSS"))? * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn growth_is_of_the_most_before() {
        let ended = |settled_after, end| Memory { settled_after, settled: 90, most: 100, end }.require_bounded();
        assert!(ended(SETTLED, 50).is_ok() && ended(SETTLED, 104).is_ok());
        assert!(ended(SETTLED, 106).is_err());
        assert!(ended(SETTLED / 2, 120).is_ok() && ended(SETTLED / 2, 130).is_err());
    }
}
