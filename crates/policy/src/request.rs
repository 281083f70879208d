//! The words exchanged about one request.

use crate::{LeaseId, RouteId, TicketId, WorkerId};
use std::time::Duration;

/// What the policy has to know of a request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Request {
    /// What it has in common with others that are expected to behave alike.
    pub route: RouteId,
    /// The same for the same request: by it, one that ends workers is known again. 0 for one that would not be, because
    /// it has a body that nobody looked at.
    pub fingerprint: u64,
    /// Whether a second worker may get it.
    pub replay: Replay,
    /// Whether it may pass others in the queue.
    pub urgency: Urgency,
    /// The workers that had it already: others come first, if there are any.
    pub not_to: Holders,
    /// What became of the workers that had it already.
    pub past: Past,
}

/// The workers that a request was sent to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Holders([Option<WorkerId>; MOST_WORKERS as usize - 1]);

impl Holders {
    /// Whether it was sent to none.
    pub fn is_empty(self) -> bool {
        self.0[0].is_none()
    }

    /// Whether this worker is one of them.
    pub fn contains(self, worker: WorkerId) -> bool {
        self.0.contains(&Some(worker))
    }

    /// These and one more; it takes the place of the last if there are more than may be.
    fn and(mut self, worker: WorkerId) -> Self {
        let vacant = self.0.iter().position(Option::is_none).unwrap_or(self.0.len() - 1);
        self.0[vacant] = Some(worker);
        self
    }
}

/// The workers that did not answer a request, counted by what became of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Past {
    /// They stand still.
    pub froze: u8,
    /// They broke the connection: mostly because they died.
    pub died: u8,
    /// They refused to read it: they have as many as they take.
    pub full: u8,
}

/// What became of a worker that did not answer a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Fate {
    /// It stands still.
    Froze,
    /// It broke the connection.
    Died,
    /// It refused to read the request.
    Full,
}

impl Request {
    /// The same request, for another worker than the one that it was sent to.
    #[must_use]
    pub fn after(self, fate: Fate, worker: WorkerId) -> Self {
        let mut past = self.past;
        let count = match fate {
            Fate::Froze => &mut past.froze,
            Fate::Died => &mut past.died,
            Fate::Full => &mut past.full,
        };
        *count = count.saturating_add(1);
        Self { not_to: self.not_to.and(worker), past, ..self }
    }

    /// Whether it was refused so often that one more attempt would only add to what the workers have to do.
    pub(crate) fn is_too_much(&self) -> bool {
        self.past.full >= MOST_WORKERS
    }

    /// Whether it may be sent to a worker after those: it may be what ends them.
    pub(crate) fn may_be_sent_again(&self) -> bool {
        let Past { froze, died, full: _ } = self.past;
        self.replay == Replay::Allowed && froze + died < MOST_WORKERS && died < MOST_DEATHS
    }
}

/// As many workers a request may be sent to, if it is not what stops them; and so many times it may be refused unread.
const MOST_WORKERS: u8 = 3;

/// After so many deaths, a request is likely to be their cause.
const MOST_DEATHS: u8 = 2;

/// Whether a request may be sent to a second worker after a first one may have read it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Replay {
    /// Its method forbids it, or its body is gone.
    #[default]
    Never,
    /// To execute it again does no harm, and whoever sends it keeps a copy.
    Allowed,
}

/// Whether a request waits its turn.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Urgency {
    /// It does.
    #[default]
    Ordinary,
    /// It asks for the app's health: behind a queue, the answer would come too late to mean anything.
    Health,
}

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
    /// Its route may hold no more workers than it does, and as many requests as may wait for that do.
    RouteConfined,
    /// Its route froze workers and has not answered since.
    RouteQuarantined,
    /// This very request ended two workers.
    QueryOfDeath,
    /// Worker after worker refused to read it: they have as many as they take.
    WorkersFull,
    /// No worker lives, and none is about to.
    NoWorkers,
    /// The pool is shutting down.
    Stopping,
}

impl Shed {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::QueueFull,
        Self::QueueTimeout,
        Self::RouteConfined,
        Self::RouteQuarantined,
        Self::QueryOfDeath,
        Self::WorkersFull,
        Self::NoWorkers,
        Self::Stopping,
    ];

    /// The token for logs, metrics and response headers.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::QueueFull => "queue_full",
            Self::QueueTimeout => "queue_timeout",
            Self::RouteConfined => "route_confined",
            Self::RouteQuarantined => "route_quarantined",
            Self::QueryOfDeath => "query_of_death",
            Self::WorkersFull => "workers_full",
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
    /// The worker refused to read the request (REFUSED_STREAM, RFC 9113 section 8.7): it lives, and has as many as it takes.
    Full,
    /// The connection broke before the answer was whole.
    Lost,
    /// The answer did not begin, or did not go on, in time.
    TimedOut,
}

impl From<RouteId> for Request {
    /// A request of this route of which nothing else is known.
    fn from(route: RouteId) -> Self {
        Self { route, ..Self::default() }
    }
}
