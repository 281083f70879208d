//! Who is wanted: the workers, the reserve, and replacements for those that are frozen.
//!
//! A frozen worker is set aside, not ended: it may finish what it holds. Meanwhile a reserve takes its place, and
//! if it stays frozen another one is started beside it. What is too much after a thaw is drained, and called back if it
//! is needed before it has ended.

use crate::event::Action;
use crate::isolation::FULL_LOAD;
use crate::pool::{Pool, Progress, Stage};
use crate::state::State;
use crate::worker::{Duty, Step, Wanted, Worker};
use crate::{Moment, Shed, Slot};
use std::time::Duration;

impl Pool {
    /// Gives the reserve its duty, and more or fewer workers their place.
    pub(crate) fn muster(&mut self, now: Moment) {
        if self.stage == Stage::Ending {
            return;
        }
        if self.config.spare > 0 {
            self.call_up();
        }
        if self.config.surge > 0 {
            self.dismiss_surplus(now);
        }
    }

    /// Opens as many seats as workers are wanted, and no more.
    fn call_up(&mut self) {
        let wanted = usize::from(self.config.workers.get());
        // A suspect will be back in a moment, or be frozen.
        let active = |worker: &&Worker| worker.duty == Duty::Active && worker.state.is_at_work();
        let mut present = self.workers.iter().filter(active).count();
        for index in 0..self.workers.len() {
            let Worker { state, duty, id, .. } = self.workers[index];
            match (state, duty) {
                (State::Serving, Duty::Reserve) if present < wanted => {
                    self.workers[index].duty = Duty::Active;
                    self.rotation.rejoin(id.slot);
                    present += 1;
                }
                _ => {}
            }
        }
        // The last to come stand by.
        for index in (0..self.workers.len()).rev() {
            let Worker { state, duty, id, .. } = self.workers[index];
            match (state, duty) {
                (State::Serving, Duty::Active) if present > wanted => {
                    self.workers[index].duty = Duty::Reserve;
                    self.rotation.leave(id.slot);
                    present -= 1;
                }
                (State::Serving, Duty::Reserve) => self.rotation.leave(id.slot),
                _ => {}
            }
        }
    }

    /// Starts, or calls back, one worker more for each that stays frozen, as far as that is allowed.
    pub(crate) fn surge(&mut self, now: Moment) {
        let first = usize::from(self.config.lasting_slots());
        let lasting = self.workers.iter().filter(|worker| self.is_set_aside(worker, now)).count();
        let extra = self.workers[first..].iter().filter(|worker| worker.wanted == Wanted::Up).count();
        if self.stage != Stage::Running || extra >= lasting {
            return;
        }
        let unwanted = || self.workers[first..].iter().filter(|worker| worker.wanted == Wanted::Down);
        // One that still finishes what it holds is there at once.
        let leaves = |worker: &&Worker| matches!(worker.state, State::Serving);
        let drains = |worker: &&Worker| {
            matches!(worker.state, State::Draining { .. }) && worker.ended_frozen != Some(worker.id.life)
        };
        let rests = |worker: &&Worker| matches!(worker.state, State::Waiting { .. });
        let Some(slot) = unwanted()
            .find(leaves)
            .or_else(|| unwanted().find(drains))
            .or_else(|| unwanted().find(rests))
            .map(|found| found.id.slot)
        else {
            return;
        };
        let worker = &mut self.workers[slot.index()];
        worker.wanted = Wanted::Up;
        match (worker.state, worker.duty) {
            (State::Waiting { .. }, _) => worker.state = State::Waiting { start_at: Some(now) },
            (State::Serving, _) => {
                worker.duty = Duty::Active;
                self.rotation.rejoin(slot);
            }
            _ => self.step(slot, Step::Recall, now),
        }
    }

    /// Whether one more replacement could be started.
    pub(crate) fn may_surge(&self) -> bool {
        let first = usize::from(self.config.lasting_slots());
        self.workers[first..].iter().any(|worker| worker.wanted == Wanted::Down)
    }

    /// Frozen, and for so long that it is worth a boot.
    fn is_set_aside(&self, worker: &Worker, now: Moment) -> bool {
        matches!(worker.state, State::Frozen { .. })
            && (now.since(worker.entered) >= SURGE_AFTER || self.is_short(now))
    }

    /// Ends replacements once as many workers serve without them as are wanted.
    fn dismiss_surplus(&mut self, now: Moment) {
        let first = usize::from(self.config.lasting_slots());
        let whole = self.workers[..first].iter().all(|worker| worker.state.is_at_work());
        if !whole {
            return;
        }
        for index in first..self.workers.len() {
            let worker = &mut self.workers[index];
            let slot = worker.id.slot;
            match (worker.wanted, worker.state) {
                (Wanted::Down, _) => {}
                // While one stands still, what it holds has the same rights as on any other.
                (Wanted::Up, State::Suspect { .. } | State::Frozen { .. } | State::Clogged { .. }) => {}
                (Wanted::Up, State::Serving) => {
                    (worker.wanted, worker.duty) = (Wanted::Down, Duty::Leaving);
                    self.see_off(slot, now);
                }
                (
                    Wanted::Up,
                    State::Waiting { .. }
                    | State::Starting { .. }
                    | State::Draining { .. }
                    | State::Stopping { .. }
                    | State::Killing,
                ) => {
                    worker.wanted = Wanted::Down;
                    self.step(slot, Step::Surplus, now);
                }
            }
        }
    }

    /// Ends a worker that is leaving once it owes no answer. Until then it is watched over like any other, but gets no new
    /// requests: should it stand still, those that it keeps from an answer are rescued.
    pub(crate) fn see_off(&mut self, slot: Slot, now: Moment) {
        let worker = &self.workers[slot.index()];
        match (worker.duty, worker.state) {
            (Duty::Active | Duty::Reserve, _) => {}
            (Duty::Leaving, State::Suspect { .. } | State::Frozen { .. } | State::Clogged { .. }) => {}
            (Duty::Leaving, State::Serving) => {
                let mut held = self.leases.iter(&worker.active).chain(self.leases.iter(&worker.parked));
                let owes = held.any(|(_, held)| held.progress != Progress::Answering);
                drop(held);
                if owes {
                    self.rotation.leave(slot);
                } else {
                    self.workers[slot.index()].duty = Duty::Active;
                    self.step(slot, Step::Surplus, now);
                }
            }
            (
                Duty::Leaving,
                State::Waiting { .. }
                | State::Starting { .. }
                | State::Draining { .. }
                | State::Stopping { .. }
                | State::Killing,
            ) => self.workers[slot.index()].duty = Duty::Active,
        }
    }

    /// Whether those who serve are fewer than what is asked for needs: by what was done lately, or by what waits. A pool
    /// that has too much to do does no more than it can.
    pub(crate) fn is_short(&self, now: Moment) -> bool {
        let live = self.rotation.open();
        live == 0
            || f64::from(live) < self.routes.need() / FULL_LOAD
            || self.queue.line_waits(now) >= LONG_WAIT
    }

    pub(crate) fn start_due(&mut self, now: Moment) {
        for index in 0..self.workers.len() {
            if let State::Waiting { start_at: Some(at) } = self.workers[index].state
                && at <= now
                && self.may_start()
            {
                self.step(self.workers[index].id.slot, Step::Due, now);
            }
        }
    }

    /// At most half of a pool boots at once, so that restarts leave the processors to those who serve. A pool that
    /// never served has nobody to be considerate of.
    pub(crate) fn may_start(&self) -> bool {
        let starting =
            self.workers.iter().filter(|worker| matches!(worker.state, State::Starting { .. })).count();
        self.stage == Stage::Booting
            || self.rotation.open() == 0
            || starting < usize::from(self.config.workers.get().div_ceil(2))
    }

    pub(crate) fn give_up_if_hopeless(&mut self, now: Moment) {
        let attempts = self.config.start.attempts;
        let mut wanted = self.workers.iter().filter(|worker| worker.wanted == Wanted::Up);
        let hopeless = self.stage == Stage::Booting
            && attempts > 0
            && wanted.all(|worker| worker.failed_starts >= attempts);
        if hopeless {
            self.actions.push_back(Action::GiveUp);
            self.end(Step::Stop, now);
            self.reject_all(Shed::Stopping, now);
        }
    }
}

/// A worker that is frozen for longer is not merely busy with something that ends soon.
const SURGE_AFTER: Duration = Duration::from_secs(2);

/// Who waits for so long in the line for any worker does so because they are too few.
const LONG_WAIT: Duration = Duration::from_millis(500);
