//! When the tokens of one generation came.

use std::time::Duration;

/// Readings of the engine's clock.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Timing {
    arrival: Duration,
    /// Of the first token and of the last one.
    ends: Option<(Duration, Duration)>,
    tokens: u32,
}

/// How long a token took.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Token {
    First(Duration),
    Next(Duration),
}

impl Timing {
    /// Of a request that came at `arrival`.
    pub(crate) fn new(arrival: Duration) -> Self {
        Self { arrival, ends: None, tokens: 0 }
    }

    pub(super) fn token(&mut self, time: Duration) -> Token {
        self.tokens = self.tokens.saturating_add(1);
        match self.ends.replace((time, time)) {
            None => Token::First(time.saturating_sub(self.arrival)),
            Some((first, last)) => {
                self.ends = Some((first, time));
                Token::Next(time.saturating_sub(last))
            }
        }
    }

    /// From arrival to the last token; to `now` where there was none.
    pub(super) fn whole(&self, now: Duration) -> Duration {
        self.ends.map_or(now, |(_, last)| last).saturating_sub(self.arrival)
    }

    /// From arrival to the first token.
    pub(crate) fn first_token(&self) -> Option<Duration> {
        self.ends.map(|(first, _)| first.saturating_sub(self.arrival))
    }

    /// Of each token after the first, on average.
    pub(super) fn per_token(&self) -> Option<Duration> {
        let (first, last) = self.ends?;
        let further = self.tokens.checked_sub(1).filter(|further| *further > 0)?;
        Some(last.saturating_sub(first) / further)
    }
}
