//! Time, given to the engine from outside so that a test can replay a run.

use std::time::{Duration, Instant};

/// A clock that never goes back. Only differences of its readings are reported.
pub trait Clock {
    /// Time since some fixed moment.
    fn now(&self) -> Duration;
}

/// The operating system's monotonic clock, counted from the moment this value was made.
#[derive(Clone, Copy, Debug)]
pub struct SystemClock(Instant);

impl SystemClock {
    /// A clock that starts at zero now.
    #[expect(clippy::new_without_default, reason = "reading the time is not a default value")]
    pub fn new() -> Self {
        Self(Instant::now())
    }
}

impl Clock for SystemClock {
    fn now(&self) -> Duration {
        self.0.elapsed()
    }
}
