//! What a worker is doing.
//!
//! ```text
//!            spawn            first answer           silent, owes answers
//! Waiting ----------> Starting ----------> Serving ----------------------> Suspect
//!    ^                   |                 |  ^  ^                          |   |
//!    |                   | start timeout   |  |  +------- an answer --------+   | no answer to the probe
//!    |                   |                 |  |                                 v
//!    |                   |     stop        |  +---- any byte (thawed) ------ Frozen
//!    |                   |      +----------+                                    |
//!    |                   |      v                                               | restart_after
//!    |                   |   Draining ---- empty, or out of time ----+          |
//!    |                   |                                           v          v
//!    |                   +--------------------------------------> Stopping <----+
//!    |                                                               |
//!    |                                                               | grace over
//!    |                                                               v
//!    +------------------------ its process ended ---------------- Killing
//! ```
//! Serving <-> Clogged: its event loop lives, but what is usually quick stands still on it (its threads are all taken).
//! Draining -> Serving: a replacement that was one too many is needed again (by way of Suspect, if it is silent).
//! A process that ends goes to Waiting from wherever it was; one that the whole pool is to be rid of goes to Killing.

use crate::Moment;
use std::fmt;

/// A worker's state, with what only that state knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// No process. One is spawned at `start_at`, or never if none is wanted.
    Waiting { start_at: Option<Moment> },
    /// Spawned; not ready yet.
    Starting { deadline: Moment },
    /// In rotation, or in reserve.
    Serving,
    /// Alive, but out of rotation until what stands still on it moves, or for a trial at `retry_at`.
    Clogged { retry_at: Moment },
    /// Out of rotation until it answers its probe or anything else; frozen at `deadline`. A suspicion that comes with
    /// those of half the pool looks like a stalled host and gets one more period: then it is `excused`.
    Suspect { deadline: Moment, excused: bool },
    /// Out of rotation until it sends a byte; restarted at `restart_at`, and looked at again at `review_at`.
    Frozen { restart_at: Moment, review_at: Moment, probe: Probe },
    /// No new requests; stopped once it is empty, or at `deadline`.
    Draining { deadline: Moment },
    /// SIGTERM was sent; SIGKILL follows at `deadline`.
    Stopping { deadline: Moment },
    /// SIGKILL was sent.
    Killing,
}

/// A frozen worker's probe: left open, because a worker that thaws answers it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Probe {
    /// Sent; unanswered.
    Open,
    /// It found no connection; the next one goes out at this moment.
    Next(Moment),
}

impl State {
    /// Booted, and neither frozen nor about to end.
    pub(crate) fn is_at_work(&self) -> bool {
        matches!(self, Self::Serving | Self::Clogged { .. } | Self::Suspect { .. })
    }

    pub(crate) fn phase(&self) -> Phase {
        match self {
            Self::Waiting { .. } => Phase::Waiting,
            Self::Starting { .. } => Phase::Starting,
            Self::Serving => Phase::Serving,
            Self::Clogged { .. } => Phase::Clogged,
            Self::Suspect { .. } => Phase::Suspect,
            Self::Frozen { .. } => Phase::Frozen,
            Self::Draining { .. } => Phase::Draining,
            Self::Stopping { .. } => Phase::Stopping,
            Self::Killing => Phase::Killing,
        }
    }
}

/// What a worker is doing, without the details: the word for logs, metrics and the status page.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Phase {
    /// No process; one will be spawned when the back-off is over, or none is wanted.
    Waiting,
    /// Spawned, not ready yet.
    Starting,
    /// In rotation.
    Serving,
    /// Its event loop answers, but requests that are usually quick stand still on it: no new requests meanwhile.
    Clogged,
    /// Silent while it owes answers; being probed, and out of rotation until it answers.
    Suspect,
    /// Silent, and deaf to its probe: no new requests until it sends a byte.
    Frozen,
    /// No new requests; finishing what it holds.
    Draining,
    /// Told to end (SIGTERM).
    Stopping,
    /// Made to end (SIGKILL).
    Killing,
}

impl Phase {
    /// All of them, in the order of a worker's life.
    pub const ALL: [Self; 9] = [
        Self::Waiting,
        Self::Starting,
        Self::Serving,
        Self::Clogged,
        Self::Suspect,
        Self::Frozen,
        Self::Draining,
        Self::Stopping,
        Self::Killing,
    ];

    /// The lower-case word of logs, metrics and the status page.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Starting => "starting",
            Self::Serving => "serving",
            Self::Clogged => "clogged",
            Self::Suspect => "suspect",
            Self::Frozen => "frozen",
            Self::Draining => "draining",
            Self::Stopping => "stopping",
            Self::Killing => "killing",
        }
    }
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}
