//! A claim on one worker, as a guard.

use crate::Stream;
use crate::pool::Shared;
use policy::{LeaseId, Moment, Outcome, WorkerId};
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;
use tokio::time::Instant;

/// A request's place at one worker. Dropping it gives the place back as [`Outcome::Cancelled`].
#[derive(Debug)]
pub struct Lease {
    shared: Arc<Shared>,
    id: LeaseId,
    /// The verdicts on the worker that this request has heard of.
    seen: AtomicU32,
    moved: Moment,
    end: End,
}

/// How a lease ends.
#[derive(Debug)]
enum End {
    /// As it is given back.
    Now(Outcome),
    /// With an answer that was whole by then.
    Whole(Instant),
}

impl Lease {
    /// Under the lock: a verdict after it concerns this request too.
    pub(crate) fn new(shared: Arc<Shared>, id: LeaseId) -> Self {
        let seen = AtomicU32::new(shared.verdicts(id.worker.slot));
        Self { shared, id, seen, moved: Moment::default(), end: End::Now(Outcome::Cancelled) }
    }

    /// Its name.
    pub fn id(&self) -> LeaseId {
        self.id
    }

    /// The worker to send to.
    pub fn worker(&self) -> WorkerId {
        self.id.worker
    }

    /// Opens a connection to that worker.
    ///
    /// # Errors
    /// Those of [`Address::connect`](crate::Address::connect); `ConnectionRefused` also when its process is gone.
    pub async fn connect(&self) -> io::Result<Stream> {
        let address = self.shared.address(self.id.worker);
        address.ok_or(io::ErrorKind::ConnectionRefused)?.connect().await
    }

    /// Whether the request is to be sent to another worker too, because this one stands still
    /// ([`Pool::rescue`](crate::Pool::rescue)). Says so once. The task that claimed the lease is woken for it; asking costs
    /// next to nothing.
    pub fn is_to_be_rescued(&self) -> bool {
        let verdicts = self.shared.verdicts(self.id.worker.slot);
        self.seen.swap(verdicts, Ordering::Relaxed) != verdicts && self.shared.take_due(self.id)
    }

    /// A byte of the answer came by `now`. Cheap to call for every piece of a body: the pool hears of it once in a while.
    pub fn moved(&mut self, now: Instant) {
        let now = self.shared.moment(now);
        if now.since(self.moved) >= MOVED_EVERY {
            self.moved = now;
            self.shared.moved(self.id, now);
        }
    }

    /// The connection became a tunnel (101): it no longer counts against the worker's load.
    pub fn upgraded(&mut self) {
        self.shared.upgraded(self.id);
    }

    /// Gives the place back and says how it went.
    pub fn finish(mut self, outcome: Outcome) {
        self.end = End::Now(outcome);
    }

    /// Gives the place back: the whole answer came, by `now`. As [`finish`](Self::finish), less a look at the clock.
    pub fn complete(mut self, now: Instant) {
        self.end = End::Whole(now);
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let (outcome, now) = match self.end {
            End::Now(outcome) => (outcome, self.shared.now()),
            End::Whole(now) => (Outcome::Completed, self.shared.moment(now)),
        };
        self.shared.release(self.id, outcome, now);
    }
}

/// Far below any silence limit, far above the distance of two pieces of a quick body.
const MOVED_EVERY: Duration = Duration::from_millis(20);
