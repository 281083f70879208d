//! The pool as the proxy sees it.

use crate::{Lease, PoolStatus};
use policy::{Refusal, RouteId};
use std::time::Duration;

/// A handle on a running pool; clones are cheap and mean the same pool. Any thread may use it.
#[derive(Clone, Debug)]
pub struct Pool {}

impl Pool {
    /// The pool's name in logs and metrics.
    pub fn name(&self) -> &str {
        todo!()
    }

    /// A place at the worker with the fewest outstanding requests, waiting in the queue if all are at their cap.
    /// Dropping the future gives the place in the queue back. When a worker is free at once it does not await.
    ///
    /// # Errors
    /// [`Unavailable`] when the queue is full, the wait was too long, or no worker lives.
    pub async fn claim(&self, route: RouteId) -> Result<Lease, Unavailable> {
        let _ = route;
        todo!()
    }

    /// How long an idle connection to a worker of this pool may be kept: shorter than the worker's own limit.
    pub fn keep_alive(&self) -> Duration {
        todo!()
    }

    /// Ends the pool in order: workers finish what they hold (at most `drain_timeout`), then SIGTERM, grace, SIGKILL.
    pub fn stop(&self) {
        todo!()
    }

    /// Ends the pool now: SIGKILL to every worker's process group.
    pub fn kill(&self) {
        todo!()
    }

    /// Resolves at the next change of any worker's state.
    pub async fn changed(&self) {
        todo!()
    }

    /// The pool as it is now, for people and machines.
    pub fn status(&self) -> PoolStatus {
        todo!()
    }
}

/// No worker for this request: 503 with `Retry-After`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no worker available: {}", .0.why.as_str())]
pub struct Unavailable(pub Refusal);
