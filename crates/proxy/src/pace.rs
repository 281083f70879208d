//! How fast a client sends a request's body.
//!
//! Only the time counts in which the client is waited for: nobody is blamed for a worker that reads slowly. The body may
//! be late by a grace, and by a second more for each second's worth of bytes that came; so a client that is a little
//! quicker than it must be is never cut, whatever pieces it sends.

use crate::Timeouts;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// The account of one body. Written and read by one thread; atomics only because tasks must be `Send`.
#[derive(Debug, Default)]
pub(crate) struct Pace {
    /// Bytes that came.
    received: AtomicU64,
    /// Nanoseconds that the client was waited for.
    waited: AtomicU64,
}

impl Pace {
    /// Another body.
    pub(crate) fn begin(&self) {
        self.received.store(0, Ordering::Relaxed);
        self.waited.store(0, Ordering::Relaxed);
    }

    /// Some of the body came.
    pub(crate) fn receive(&self, bytes: u64) {
        self.received.store(self.received.load(Ordering::Relaxed).saturating_add(bytes), Ordering::Relaxed);
    }

    /// The client was waited for.
    pub(crate) fn wait(&self, nanoseconds: u64) {
        let waited = self.waited.load(Ordering::Relaxed).saturating_add(nanoseconds);
        self.waited.store(waited, Ordering::Relaxed);
    }

    /// How long the client may be waited for from now on, if nothing comes. `None`: for ever.
    pub(crate) fn left(&self, timeouts: &Timeouts) -> Option<Duration> {
        let rate = timeouts.body_rate?;
        let received = u128::from(self.received.load(Ordering::Relaxed));
        let earned = received * NANOSECONDS_A_SECOND / u128::from(rate.get());
        let earned = Duration::from_nanos(u64::try_from(earned).unwrap_or(u64::MAX));
        let waited = Duration::from_nanos(self.waited.load(Ordering::Relaxed));
        Some(timeouts.body_grace.saturating_add(earned).saturating_sub(waited))
    }
}

const NANOSECONDS_A_SECOND: u128 = 1_000_000_000;
