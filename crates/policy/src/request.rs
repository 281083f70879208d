//! The words exchanged about one request.

use crate::{LeaseId, TicketId};
use std::time::Duration;

/// The answer to a request that asks for a worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admission {
    /// Go to this worker now.
    Assigned(LeaseId),
    /// Wait; an [`Action::Grant`](crate::Action::Grant) or [`Action::Reject`](crate::Action::Reject) will follow.
    Queued(TicketId),
    /// No.
    Shed(Refusal),
}

/// Why a request gets no worker, and when it makes sense to try again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The cause.
    pub why: Shed,
    /// What to tell the client in `Retry-After` (RFC 9110 section 10.2.3).
    pub retry_after: Duration,
}

/// The causes for which a request is turned away.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Shed {
    /// The queue is at its limit.
    QueueFull,
    /// It waited in the queue until its deadline.
    QueueTimeout,
    /// No worker lives, and none is about to.
    NoWorkers,
    /// The pool is shutting down.
    Stopping,
}

impl Shed {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::QueueFull, Self::QueueTimeout, Self::NoWorkers, Self::Stopping];

    /// The token for logs, metrics and response headers.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::QueueFull => "queue_full",
            Self::QueueTimeout => "queue_timeout",
            Self::NoWorkers => "no_workers",
            Self::Stopping => "stopping",
        }
    }
}

/// How a lease ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// The worker's answer arrived whole (whatever its status), and the worker is proven alive.
    Completed,
    /// The client left, or the proxy gave up for reasons of its own.
    Cancelled,
    /// The worker's address took no connection; nothing was sent.
    Refused,
    /// The connection broke before the answer was whole.
    Lost,
    /// The answer did not begin, or did not go on, in time.
    TimedOut,
}
