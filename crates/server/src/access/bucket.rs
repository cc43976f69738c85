//! A limit per minute, as a bucket that fills evenly and holds a minute's worth.

use std::time::{Duration, Instant};

const MINUTE: f64 = 60.0;

/// What is left of a limit. It may be overdrawn, since how many tokens an answer takes is known only at its end: then
/// nothing is let through until it has filled up to where it was empty.
#[derive(Clone, Debug)]
pub(super) struct Bucket {
    limit: f64,
    level: f64,
    at: Instant,
}

impl Bucket {
    pub(super) fn new(limit: u64, now: Instant) -> Self {
        Self { limit: limit as f64, level: limit as f64, at: now }
    }

    /// Lets time pass.
    pub(super) fn fill(&mut self, now: Instant) {
        let seconds = now.saturating_duration_since(self.at).as_secs_f64();
        self.level = (self.level + self.limit * seconds / MINUTE).min(self.limit);
        self.at = self.at.max(now);
    }

    /// How long until one can be taken; none where it can be now.
    pub(super) fn wait(&self) -> Option<Duration> {
        (self.level < 1.0).then(|| self.until(1.0))
    }

    pub(super) fn take(&mut self, count: usize) {
        self.level -= count as f64;
    }

    /// What it holds when full, what it holds, and when it is full.
    pub(super) fn left(&self) -> (u64, u64, Duration) {
        (self.limit as u64, self.level.max(0.0) as u64, self.until(self.limit))
    }

    fn until(&self, level: f64) -> Duration {
        // A limit is at least 1; a file written by hand may say 0, which never fills.
        Duration::try_from_secs_f64((level - self.level) * MINUTE / self.limit).unwrap_or(Duration::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(start: Instant, seconds: u64) -> Instant {
        start + Duration::from_secs(seconds)
    }

    #[test]
    fn it_holds_a_minutes_worth_and_fills_evenly() {
        let start = Instant::now();
        let mut bucket = Bucket::new(3, start);
        for _ in 0..3 {
            assert_eq!(bucket.wait(), None);
            bucket.take(1);
        }
        assert_eq!(bucket.wait(), Some(Duration::from_secs(20)));
        assert_eq!(bucket.left(), (3, 0, Duration::from_mins(1)));
        bucket.fill(at(start, 19));
        assert!(bucket.wait().is_some_and(|wait| wait > Duration::ZERO && wait <= Duration::from_millis(1001)));
        bucket.fill(at(start, 21));
        assert_eq!(bucket.wait(), None);
        bucket.fill(at(start, 1000));
        assert_eq!(bucket.left(), (3, 3, Duration::ZERO));
    }

    #[test]
    fn what_is_overdrawn_must_fill_first() {
        let start = Instant::now();
        let mut bucket = Bucket::new(60, start);
        bucket.take(90);
        assert_eq!(bucket.left(), (60, 0, Duration::from_secs(90)));
        assert_eq!(bucket.wait(), Some(Duration::from_secs(31)));
        bucket.fill(at(start, 32));
        assert_eq!(bucket.wait(), None);
    }

    #[test]
    fn clocks_that_differ_and_a_limit_of_nothing_do_no_harm() {
        let start = Instant::now();
        let mut bucket = Bucket::new(0, at(start, 5));
        bucket.fill(start);
        assert_eq!(bucket.wait(), Some(Duration::MAX));
    }
}
