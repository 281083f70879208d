//! How a route stands: whether its requests may go where they like.
//!
//! ```text
//!            its request froze a worker                 it froze another, ended one, or stays frozen
//!   Good ---------------------------------> Confined -------------------------------------------> Quarantined
//!    ^                                         |                                                       |
//!    +------ a request of it is answered ------+---------------- its canary is answered ---------------+
//! ```
//! An answer counts if the request that got it did not freeze its worker itself: that one merely came to its end.

use crate::{Moment, Shed, Slot};
use std::time::Duration;

/// A route's standing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Standing {
    /// As all routes begin.
    #[default]
    Good,
    /// It may be on one worker, a frozen one included if that is likely its work; the rest waits. A route that freezes
    /// workers for a while and then answers by itself may have as many as the other routes leave it.
    Confined { since: Moment, guilt: Guilt },
    /// Nobody gets through but one canary at a time, and not before this moment.
    Quarantined { next_canary: Moment, gap: Duration },
}

/// How sure it is that requests of a route freeze workers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Guilt {
    /// Other routes may have done it as well, one of them rather than this.
    Possible,
    /// Other routes may have done it as well, but the request that looks most like it is of this one.
    Foremost,
    /// No other route was there.
    Likely,
    /// They do, and come to their end: it is slow in a bad way, but it works.
    Finishes,
}

/// A standing without its details: the word for logs, metrics and the status page.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RouteStanding {
    /// Free to use all workers, less what other routes need.
    Good,
    /// On one worker at a time, since it froze one.
    Confined,
    /// Turned away but for a canary, since it froze several, or one for long.
    Quarantined,
}

impl RouteStanding {
    /// The lower-case word of logs, metrics and the status page.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Good => "good",
            Self::Confined => "confined",
            Self::Quarantined => "quarantined",
        }
    }
}

impl Standing {
    pub(crate) fn word(self) -> RouteStanding {
        match self {
            Self::Good => RouteStanding::Good,
            Self::Confined { .. } => RouteStanding::Confined,
            Self::Quarantined { .. } => RouteStanding::Quarantined,
        }
    }

    /// A request of this route is blamed for a freeze, or for the end of a worker.
    pub(crate) fn blamed(self, guilt: Guilt, now: Moment) -> Self {
        match (self, guilt) {
            (Self::Good, _) => Self::Confined { since: now, guilt },
            (Self::Confined { since, guilt: Guilt::Likely }, Guilt::Likely) if now.since(since) < MEMORY => {
                Self::Quarantined { next_canary: now + FIRST_GAP, gap: FIRST_GAP }
            }
            (
                Self::Confined { guilt: Guilt::Possible | Guilt::Foremost, .. },
                Guilt::Possible | Guilt::Foremost | Guilt::Likely,
            ) => Self::Confined { since: now, guilt },
            (Self::Confined { guilt, .. }, _) => Self::Confined { since: now, guilt },
            (Self::Quarantined { next_canary, gap }, _) => {
                Self::Quarantined { next_canary: next_canary.max(now + gap), gap }
            }
        }
    }

    /// All other routes that may have done it are acquitted.
    pub(crate) fn left_over(self) -> Self {
        match self {
            Self::Confined { since, guilt: Guilt::Possible | Guilt::Foremost } => {
                Self::Confined { since, guilt: Guilt::Likely }
            }
            Self::Good
            | Self::Confined { guilt: Guilt::Likely | Guilt::Finishes, .. }
            | Self::Quarantined { .. } => self,
        }
    }

    /// Another route did it.
    pub(crate) fn cleared(self) -> Self {
        match self {
            Self::Confined { guilt: Guilt::Possible | Guilt::Foremost, .. } => Self::Good,
            Self::Good
            | Self::Confined { guilt: Guilt::Likely | Guilt::Finishes, .. }
            | Self::Quarantined { .. } => self,
        }
    }

    /// The worker that it froze does not come back.
    pub(crate) fn unforgiven(self, now: Moment) -> Self {
        match self {
            Self::Confined { guilt: Guilt::Likely, .. } => {
                Self::Quarantined { next_canary: now + FIRST_GAP, gap: FIRST_GAP }
            }
            Self::Good
            | Self::Confined { guilt: Guilt::Possible | Guilt::Foremost | Guilt::Finishes, .. }
            | Self::Quarantined { .. } => self,
        }
    }

    /// The request that froze a worker was answered after all.
    pub(crate) fn finished(self, now: Moment) -> Self {
        match self {
            Self::Confined { since, .. } => Self::Confined { since, guilt: Guilt::Finishes },
            Self::Quarantined { .. } => Self::Confined { since: now, guilt: Guilt::Finishes },
            Self::Good => self,
        }
    }

    /// A canary goes out: the next one has to wait for longer.
    pub(crate) fn canary_sent(self, now: Moment) -> Self {
        match self {
            Self::Quarantined { gap, .. } => {
                let gap = (gap * 2).min(LONGEST_GAP);
                Self::Quarantined { next_canary: now + gap, gap }
            }
            Self::Good | Self::Confined { .. } => self,
        }
    }
}

/// What a route may have now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Leave {
    /// Any worker.
    Any,
    /// A worker that holds requests of it already.
    SameWorkers,
    /// Any worker but this one.
    AllBut(Slot),
    /// Any worker, as the one request that tries whether the route is well again.
    Canary,
    /// None now.
    Wait,
    /// None, and waiting makes no sense; this is how long it would take.
    Refused(Shed, Duration),
}

/// A second freeze within this time of the first is no coincidence.
const MEMORY: Duration = Duration::from_secs(60);

const FIRST_GAP: Duration = Duration::from_secs(5);
pub(crate) const LONGEST_GAP: Duration = Duration::from_secs(60);
