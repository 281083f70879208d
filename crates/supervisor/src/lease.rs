//! A claim on one worker, as a guard.

use crate::{Address, Pool};
use policy::{LeaseId, Outcome, WorkerId};

/// A request's place at one worker. Dropping it gives the place back as [`Outcome::Cancelled`].
#[derive(Debug)]
pub struct Lease {
    pool: Pool,
    id: LeaseId,
    address: Address,
}

impl Lease {
    /// The worker to send to.
    pub fn worker(&self) -> WorkerId {
        self.id.worker
    }

    /// Where that worker listens.
    pub fn address(&self) -> &Address {
        let _ = &self.pool;
        &self.address
    }

    /// A byte of the answer came. Cheap to call for every piece of a body.
    pub fn moved(&mut self) {
        todo!()
    }

    /// The connection became a tunnel (101): it no longer counts against the worker's load.
    pub fn upgraded(&mut self) {
        todo!()
    }

    /// Gives the place back and says how it went.
    pub fn finish(self, outcome: Outcome) {
        let _ = outcome;
        todo!()
    }
}
