//! A claim on one worker, as a guard.

use crate::Address;
use crate::pool::{Life, Shared};
use policy::{LeaseId, Moment, Outcome, WorkerId};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

/// A request's place at one worker. Dropping it gives the place back as [`Outcome::Cancelled`].
#[derive(Debug)]
pub struct Lease {
    shared: Arc<Shared>,
    id: LeaseId,
    life: Arc<Life>,
    /// The verdicts on the worker that this request has heard of.
    seen: AtomicU32,
    moved: Moment,
    outcome: Outcome,
}

impl Lease {
    pub(crate) fn new(shared: Arc<Shared>, id: LeaseId, life: Arc<Life>) -> Self {
        let seen = AtomicU32::new(life.verdicts.load(Ordering::Relaxed));
        Self { shared, id, life, seen, moved: Moment::default(), outcome: Outcome::Cancelled }
    }

    /// Its name.
    pub fn id(&self) -> LeaseId {
        self.id
    }

    /// The worker to send to.
    pub fn worker(&self) -> WorkerId {
        self.id.worker
    }

    /// Where that worker listens.
    pub fn address(&self) -> &Address {
        &self.life.address
    }

    /// Whether the request is to be sent to another worker too, because this one stands still
    /// ([`Pool::rescue`](crate::Pool::rescue)). Says so once. The task that claimed the lease is woken for it; asking costs
    /// next to nothing.
    pub fn is_to_be_rescued(&self) -> bool {
        let verdicts = self.life.verdicts.load(Ordering::Relaxed);
        self.seen.swap(verdicts, Ordering::Relaxed) != verdicts && self.shared.take_due(self.id)
    }

    /// A byte of the answer came. Cheap to call for every piece of a body: the pool hears of it once in a while.
    pub fn moved(&mut self) {
        let now = self.shared.now();
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
        self.outcome = outcome;
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        Shared::release(&self.shared, self.id, self.outcome);
    }
}

/// Far below any silence limit, far above the distance of two pieces of a quick body.
const MOVED_EVERY: Duration = Duration::from_millis(20);
