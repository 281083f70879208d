//! A pool told as a story: the pool, its clock, and what it asks for. The tests of single decisions share it.

use policy::{
    Action, Admission, Event, LeaseId, Moment, Outcome, Phase, Pool, PoolConfig, Request, WorkerId,
};
use std::num::NonZeroU16;
use std::time::Duration;

/// What the probe of a worker with little to do takes.
pub(crate) const QUICKLY: Duration = Duration::from_millis(1);

/// A pool, its clock, and what it asked for since last looked at.
pub(crate) struct Story {
    pub(crate) pool: Pool,
    pub(crate) now: Moment,
    pub(crate) asked: Vec<Action>,
}

impl Story {
    pub(crate) fn new(workers: u16, change: impl FnOnce(&mut PoolConfig)) -> Self {
        let mut config = PoolConfig::new(NonZeroU16::new(workers).expect("some"));
        change(&mut config);
        let mut story =
            Self { pool: Pool::new(config, Moment::default()), now: Moment::default(), asked: Vec::new() };
        story.collect();
        story
    }

    /// A pool all of whose workers serve.
    pub(crate) fn serving(workers: u16, change: impl FnOnce(&mut PoolConfig)) -> Self {
        let mut story = Self::new(workers, change);
        for worker in story.spawned() {
            story.tell(Event::Ready(worker));
        }
        story.asked.clear();
        story
    }

    pub(crate) fn collect(&mut self) {
        while let Some(action) = self.pool.poll_action() {
            self.asked.push(action);
        }
    }

    pub(crate) fn tell(&mut self, event: Event) {
        self.pool.handle(event, self.now);
        self.collect();
    }

    pub(crate) fn admit(&mut self, request: impl Into<Request>) -> Admission {
        let admission = self.pool.admit(request, self.now);
        self.collect();
        admission
    }

    pub(crate) fn lease(&mut self, request: impl Into<Request>) -> LeaseId {
        match self.admit(request) {
            Admission::Assigned(lease) => lease,
            other => panic!("no worker was free at {}: {other:?}", self.now),
        }
    }

    pub(crate) fn release(&mut self, lease: LeaseId, outcome: Outcome) {
        self.pool.release(lease, outcome, self.now);
        self.collect();
    }

    /// Lets time go by, handling each timeout when it is due.
    pub(crate) fn pass(&mut self, millis: u64) {
        let end = self.now + Duration::from_millis(millis);
        while let Some(due) = self.pool.poll_timeout().filter(|due| *due <= end) {
            assert!(due >= self.now, "a timeout lies in the past: the shell would spin");
            self.now = due;
            self.pool.handle_timeout(due);
            self.collect();
            assert!(self.pool.poll_timeout().is_none_or(|next| next > due), "nothing came of a timeout");
        }
        self.now = end;
    }

    pub(crate) fn phase(&self, slot: u16) -> Phase {
        self.pool.workers().nth(usize::from(slot)).expect("a slot").phase
    }

    pub(crate) fn spawned(&mut self) -> Vec<WorkerId> {
        let spawned = self.asked.iter().filter_map(|action| match action {
            Action::Spawn(worker) => Some(*worker),
            _ => None,
        });
        spawned.collect()
    }
}
