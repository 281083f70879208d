//! Workers whose event loop lives while their threads are all taken.
//!
//! FastAPI runs `def` endpoints on 40 threads. One dependency that hangs takes them all; the loop goes on answering
//! probes and `async` endpoints, and everything else that needs a thread stands still. What tells it from slowness is
//! that requests of usually quick routes are what stands still.

use crate::event::{Action, Judgement};
use crate::pool::{Held, Pool, Progress, Suspicion};
use crate::standing::Guilt;
use crate::state::State;
use crate::worker::{Charge, Step, Worker};
use crate::{LeaseId, Moment, RouteId, Slot};
use std::time::Duration;

impl Pool {
    /// From when on a request stands still on its worker: if its route is quick, and its like are answered elsewhere
    /// and not there.
    fn standstill(&self, slot: Slot, held: &Held) -> Option<Moment> {
        let page = self.routes.known(held.request.route)?;
        let age = (page.p99()? * UNUSUAL).max(SHORTEST_STANDSTILL);
        let since = held.sent.max(self.workers[slot.index()].tried);
        page.is_overtaken(slot, held.sent).then_some(since + age)
    }

    /// When a serving worker may be found clogged.
    pub(crate) fn clog_limit(&self, worker: &Worker) -> Option<Moment> {
        if !self.config.detects_clogs() {
            return None;
        }
        let (_, oldest) = self.leases.front(&worker.active)?;
        self.standstill(worker.id.slot, oldest)
    }

    /// Looks whether a serving worker is clogged, and has what stands still on it rescued.
    pub(crate) fn clog(&mut self, slot: Slot, now: Moment) {
        let worker = &self.workers[slot.index()];
        if worker.state != State::Serving || !self.config.detects_clogs() {
            return;
        }
        let stuck = self.stuck(slot, now);
        if stuck.is_empty() {
            return;
        }
        let culprit = self.crowd(slot, now);
        let count = u32::try_from(stuck.len()).unwrap_or(u32::MAX);
        let id = worker.id;
        let held = worker.in_flight();
        self.step(slot, Step::Clogged { stuck: count }, now);
        let mut rescued = 0;
        for lease in stuck {
            rescued += u32::from(self.send_again(lease));
        }
        if let Some((route, _)) = culprit {
            self.charge_crowd(slot, route);
            self.clog_likewise(route, slot, now);
            let standing = self.routes.page(route).standing.blamed(Guilt::Likely, now);
            self.set_standing(route, standing);
        }
        self.actions.push_back(Action::Judged(Judgement {
            worker: id,
            held,
            suspects: held - count,
            rescued,
            culprit,
        }));
    }

    /// Takes the other workers out too that hold about as many requests of the route that clogged one: they are as
    /// full, and what is rescued from one must not end up on the next.
    fn clog_likewise(&mut self, route: RouteId, first: Slot, now: Moment) {
        let Some(page) = self.routes.known(route) else { return };
        let crowd = page.held_by(first);
        let full: Vec<Slot> =
            self.rotation.open_slots().filter(|slot| page.held_by(*slot) * 10 >= crowd * 9).collect();
        for slot in full {
            // Somebody has to take what is rescued.
            if self.rotation.open() < 2 {
                return;
            }
            self.step(slot, Step::Clogged { stuck: 0 }, now);
            self.charge_crowd(slot, route);
            for lease in self.overdue_quick(slot, now) {
                self.send_again(lease);
            }
        }
    }

    /// Blames a route for a clogged worker. That requests of the crowd are answered in the end does not prove their
    /// route well.
    fn charge_crowd(&mut self, slot: Slot, route: RouteId) {
        self.routes.page(route).frozen += 1;
        self.workers[slot.index()].charge = Charge { principal: None, routes: vec![route] };
        let parked = self.leases.iter(&self.workers[slot.index()].parked);
        let crowd: Vec<_> =
            parked.filter(|(_, held)| held.request.route == route).map(|(key, _)| key).collect();
        for key in crowd {
            if let Some(held) = self.leases.get_mut(key) {
                held.suspicion = Suspicion::Suspect;
            }
        }
    }

    /// A clogged worker is so no more.
    pub(crate) fn drop_charge(&mut self, slot: Slot) {
        for route in std::mem::take(&mut self.workers[slot.index()].charge).routes {
            self.routes.page(route).frozen -= 1;
        }
    }

    /// What is usually quick and is late on a worker that is known to be full.
    fn overdue_quick(&self, slot: Slot, now: Moment) -> Vec<LeaseId> {
        let Worker { id, active, .. } = &self.workers[slot.index()];
        let late = self.leases.iter(active).filter(|(_, held)| {
            let page = self.routes.known(held.request.route).filter(|page| page.is_quick());
            page.and_then(|page| page.p99()).is_some_and(|p99| now.since(held.sent) > p99 * 2)
        });
        late.map(|(key, _)| LeaseId { worker: *id, key }).collect()
    }

    /// Lets a clogged worker serve again when a request was answered that stood still on it, or one of the crowd: a
    /// thread is free. Requests that were rescued or whose clients left free none.
    pub(crate) fn unclog(&mut self, slot: Slot, answered: &Held, now: Moment) {
        let worker = &self.workers[slot.index()];
        let route = answered.request.route;
        let stood_still = now.since(answered.sent) >= SHORTEST_STANDSTILL
            && self.routes.known(route).is_some_and(|page| page.is_quick());
        let tells = matches!(worker.state, State::Clogged { .. })
            && (stood_still || worker.charge.routes.contains(&route));
        if tells && self.stuck(slot, now).is_empty() {
            self.step(slot, Step::Unclogged, now);
        }
    }

    /// The requests of usually quick routes that stand still on a worker.
    fn stuck(&self, slot: Slot, now: Moment) -> Vec<LeaseId> {
        let Worker { id, active, .. } = &self.workers[slot.index()];
        let still = self
            .leases
            .iter(active)
            .filter(|(_, held)| self.standstill(slot, held).is_some_and(|moment| moment <= now));
        still.map(|(key, _)| LeaseId { worker: *id, key }).collect()
    }

    /// The route that has the most requests waiting on a worker, and the age of the oldest of them.
    fn crowd(&self, slot: Slot, now: Moment) -> Option<(RouteId, Duration)> {
        let worker = &self.workers[slot.index()];
        let mut waiting: Vec<(RouteId, u32, Moment)> = Vec::new();
        // A tunnel or a stream waits too, but keeps no thread.
        let asked = |(_, held): &(_, &Held)| held.progress == Progress::Asked;
        for (_, held) in self.leases.iter(&worker.parked).filter(asked) {
            match waiting.iter_mut().find(|(route, ..)| *route == held.request.route) {
                Some((_, count, oldest)) => {
                    *count += 1;
                    *oldest = (*oldest).min(held.sent);
                }
                None => waiting.push((held.request.route, 1, held.sent)),
            }
        }
        let most = waiting.into_iter().max_by_key(|(_, count, _)| *count)?;
        (most.1 >= CROWD).then(|| (most.0, now.since(most.2)))
    }
}

/// Beyond so many times what 99 of 100 requests of its route take at the most, a request stands still.
const UNUSUAL: u32 = 8;

const SHORTEST_STANDSTILL: Duration = Duration::from_millis(500);

/// Fewer requests than this do not fill a worker's threads (CPython's default pool: at most 32; anyio's: 40; Puma's: 5).
const CROWD: u32 = 4;
