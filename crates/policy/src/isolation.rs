//! That no route takes every worker: what each may have now, and who gets the workers that are free.
//!
//! With N workers and a share p of requests that block theirs, all are gone after N/(p x rate), whatever N is. So what
//! the *other* routes need is kept from each route: it may hold `floor(live - need_of_others / 0.85)` workers.

use crate::event::{Action, StandingReport};
use crate::pool::{Held, Place, Pool, Progress, Suspicion};
use crate::queue::Waiting;
use crate::route::{Overdue, Route};
use crate::standing::{Guilt, LONGEST_GAP, Leave, Standing};
use crate::state::State;
use crate::worker::Worker;
use crate::{
    Isolation, LeaseId, Moment, Refusal, Request, RouteId, RouteStanding, Shed, Slot, TicketId, Urgency,
};
use std::cmp::Ordering;
use std::time::Duration;

impl Pool {
    /// What a request may have now.
    pub(crate) fn leave(&mut self, request: &Request, now: Moment) -> Leave {
        if self.config.isolation == Isolation::Off {
            return Leave::Any;
        }
        // Who watches over the app would end all of it for one route.
        if request.urgency == Urgency::Health {
            return Leave::Any;
        }
        if let Some(rest) = self.deaths.condemns(request.fingerprint, now) {
            return Leave::Refused(Shed::QueryOfDeath, rest);
        }
        // A suspect will be back in a moment, or be frozen: until that is known, nobody may spread because of it.
        let live = self.rotation.open() + self.suspects;
        let page = self.routes.page(request.route);
        let (standing, on_frozen) = (page.standing, page.frozen);
        let holds = if self.frozen == 0 { page.spread().max(on_frozen) } else { self.holds(request.route) };
        match standing {
            Standing::Good if holds == 0 || live < 2 => Leave::Any,
            Standing::Good => self.leave_of_good(request.route, live, holds, now),
            Standing::Confined { guilt, .. } => {
                let most = match guilt {
                    _ if self.is_alone(request.route) => u32::MAX,
                    // Frozen workers say nothing about it: it may show on one of the others what it does. And what most
                    // requests are for must do so before all others.
                    Guilt::Possible => on_frozen + 1,
                    Guilt::Foremost if self.routes.share(request.route) >= DOMINANT => on_frozen + 1,
                    // A second worker may tell an accident from a habit, where the others can spare one.
                    Guilt::Foremost | Guilt::Likely
                        if on_frozen == 1 && self.reserve(request.route, live) >= 2 =>
                    {
                        2
                    }
                    Guilt::Foremost | Guilt::Likely if self.routes.share(request.route) < DOMINANT => 1,
                    Guilt::Foremost | Guilt::Likely | Guilt::Finishes => self.reserve(request.route, live),
                };
                match holds.cmp(&most) {
                    Ordering::Less => Leave::Any,
                    Ordering::Equal if most > on_frozen => Leave::SameWorkers,
                    Ordering::Equal | Ordering::Greater => Leave::Wait,
                }
            }
            Standing::Quarantined { next_canary, .. } => {
                if holds == 0 && now >= next_canary && self.can_send_canary(live, next_canary, now) {
                    Leave::Canary
                } else {
                    Leave::Refused(Shed::RouteQuarantined, next_canary.since(now))
                }
            }
        }
    }

    /// How many workers a route takes from the others: those that are frozen by it, and those that live and are at it. What
    /// froze by others' fault with requests of it is lost to it as to everybody.
    fn holds(&self, route: RouteId) -> u32 {
        let page = self.routes.known(route);
        let is_at_it = |slot| page.is_some_and(|page| page.held_by(slot) > 0);
        let takes = |worker: &&Worker| {
            worker.charge.routes.contains(&route)
                || !matches!(worker.state, State::Frozen { .. }) && is_at_it(worker.id.slot)
        };
        u32::try_from(self.workers.iter().filter(takes).count()).unwrap_or(u32::MAX)
    }

    /// A route with nothing against it, that is on some workers already.
    fn leave_of_good(&mut self, route: RouteId, live: u32, holds: u32, now: Moment) -> Leave {
        let page = self.routes.page(route);
        let waits = page.is_slow() || page.parked > 0;
        // The main routes too are slow when there is too much to do: to keep workers from them would make it worse.
        if !self.config.serves_one_at_a_time() && waits && !self.routes.is_major(route) {
            // It waits on workers that serve others meanwhile, which costs little, until their threads run out: one
            // worker is kept from it.
            return if holds + 1 < live {
                Leave::Any
            } else if holds + 1 == live {
                Leave::SameWorkers
            } else {
                let page = self.routes.known(route);
                let held = |slot: &Slot| page.map_or(0, |page| page.held_by(*slot));
                self.rotation.open_slots().min_by_key(held).map_or(Leave::Any, Leave::AllBut)
            };
        }
        let reserve = self.reserve(route, live);
        let reserve = if self.routes.known(route).is_none_or(|page| page.p99().is_none()) {
            // Nothing is known of it, and perhaps little of the others: what they hold at this moment is theirs.
            let busy = self.workers.iter().filter(|worker| !worker.active.is_empty()).count();
            let others = u32::try_from(busy).unwrap_or(u32::MAX).saturating_sub(holds);
            let theirs = (f64::from(others) / FULL_LOAD).ceil() as u32;
            reserve.min(live.saturating_sub(theirs).max(1))
        } else {
            reserve
        };
        if holds < reserve {
            return Leave::Any;
        }
        if self.is_kept_small(route, reserve) || self.overdue_workers(route, now) >= reserve {
            return Leave::SameWorkers;
        }
        Leave::Any
    }

    /// Whether several routes are under suspicion of what one of them does. One request at a time tells them apart.
    pub(crate) fn is_in_doubt(&self) -> bool {
        let in_doubt = |page: &Route| {
            matches!(page.standing, Standing::Confined { guilt: Guilt::Possible | Guilt::Foremost, .. })
        };
        self.routes.all().any(|(_, page)| in_doubt(page))
    }

    /// Whether there is nobody to keep workers for: one route is nearly all there is.
    pub(crate) fn is_alone(&self, route: RouteId) -> bool {
        self.routes.share(route) >= ALONE
    }

    /// How many workers the others leave to this route.
    fn reserve(&self, route: RouteId, live: u32) -> u32 {
        let left = f64::from(live) - self.routes.need_of_others(route) / FULL_LOAD;
        // Rounded down; below zero it becomes zero.
        (left as u32).clamp(1, live.saturating_sub(1).max(1))
    }

    /// Whether now is the time to see if a quarantined route is well again, which may cost a worker. It need not be now,
    /// but some day.
    fn can_send_canary(&self, live: u32, due: Moment, now: Moment) -> bool {
        let workers = u32::from(self.config.workers.get());
        let is_spared = f64::from(live.saturating_sub(1)) >= self.routes.need() / FULL_LOAD;
        let is_whole = is_spared || live >= workers;
        is_whole && !self.is_short(now) || now.since(due) >= LONGEST_GAP
    }

    /// Whether a route keeps within its reserve even while nothing is wrong: a minor one, which loses little by it, and
    /// one whose requests take far longer than the others', which would be met by them.
    fn is_kept_small(&self, route: RouteId, reserve: u32) -> bool {
        let Some(page) = self.routes.known(route) else { return false };
        if page.p99().is_none() || page.need > 0.9 * f64::from(reserve) {
            return false;
        }
        !self.routes.is_major(route) || self.config.serves_one_at_a_time() && self.routes.is_heavy(route)
    }

    /// On how many workers this route has requests that take far longer than they usually do.
    fn overdue_workers(&mut self, route: RouteId, now: Moment) -> u32 {
        let page = self.routes.page(route);
        let Overdue { workers, counted } = page.overdue;
        if counted.is_some_and(|counted| now.since(counted) < COUNT_EVERY) {
            return workers;
        }
        let limit = page.p99().map_or(UNKNOWN_OVERDUE, |p99| (p99 * 8).max(SHORTEST_OVERDUE));
        let success = page.last_success;
        let is_overdue = |worker: &&Worker| {
            let mut old =
                self.leases.iter(&worker.active).take_while(|(_, held)| now.since(held.sent) > limit);
            // What was sent before the latest success met a bad worker, not a bad route.
            old.any(|(_, held)| held.request.route == route && held.sent > success)
        };
        let workers = self.workers.iter().filter(is_overdue).count();
        let workers = u32::try_from(workers).unwrap_or(u32::MAX);
        self.routes.page(route).overdue = Overdue { workers, counted: Some(now) };
        workers
    }

    /// How long the only request of a worker that serves one at a time may take before the worker counts as frozen.
    pub(crate) fn overdue_after(&self, route: RouteId) -> Duration {
        let p99 = self.routes.known(route).and_then(|page| page.p99());
        match p99 {
            Some(p99) => (p99 * 8).clamp(SHORTEST_ALONE, LONGEST_ALONE),
            None => UNKNOWN_ALONE,
        }
    }

    /// Picks a worker within this leave, and counts the request against it.
    pub(crate) fn claim(&mut self, request: Request, leave: Leave, now: Moment) -> Option<LeaseId> {
        let slot = match (leave, request.not_to.is_empty()) {
            // As nearly always.
            (Leave::Any, true) => self.rotation.claim(now),
            _ => {
                let (page, workers) = (self.routes.known(request.route), &self.workers);
                let may = |slot: Slot| may_go(&request, leave, slot, page, workers);
                // What is rescued must not end up on the next worker that is about to be found frozen.
                let fresh = |slot: Slot| {
                    let worker = &workers[slot.index()];
                    worker.active.is_empty() || now.since(worker.heard) <= FRESH
                };
                let rescued = !request.not_to.is_empty();
                let first = rescued
                    .then(|| self.rotation.claim_among(|slot| may(slot) && fresh(slot), now))
                    .flatten();
                first.or_else(|| self.rotation.claim_among(may, now))
            }
        }?;
        let worker = &mut self.workers[slot.index()];
        // Fresh work restarts the watch: it is judged by its own silence, not by that of what is parked.
        worker.patience = self.config.freeze.suspect_after;
        let held = Held {
            request,
            sent: now,
            place: Place::Active,
            progress: Progress::Asked,
            suspicion: Suspicion::None,
        };
        let key = self.leases.push(&mut worker.active, held);
        let worker = worker.id;
        self.routes.page(request.route).enter(slot);
        if leave == Leave::Canary {
            self.counts.canaries += 1;
            let page = self.routes.page(request.route);
            page.standing = page.standing.canary_sent(now);
        }
        let wake = if self.config.serves_one_at_a_time() {
            self.overdue_after(request.route)
        } else {
            self.config.freeze.suspect_after
        };
        self.wake_at(now + wake);
        Some(LeaseId { worker, key })
    }

    /// Gives free workers to those who wait.
    pub(crate) fn grant(&mut self, now: Moment) {
        // The queue is asked first: it is empty nearly always.
        while !self.queue.is_empty() && self.rotation.has_room() {
            let aside = self.next_aside(now);
            let line = self.queue.next(now);
            let (ticket, waiting, leave) = match (aside, line) {
                (None, None) => return,
                (Some((ticket, waiting, leave)), None) => (ticket, waiting, leave),
                (Some((ticket, waiting, leave)), Some((_, first))) if waiting.since <= first.since => {
                    (ticket, waiting, leave)
                }
                (_, Some((ticket, waiting))) => (ticket, waiting, self.leave(&waiting.request, now)),
            };
            match leave {
                Leave::Refused(why, retry_after) => {
                    self.queue.remove(ticket);
                    let refusal = self.refuse(why, now);
                    let refusal = Refusal { retry_after: retry_after.max(refusal.retry_after), ..refusal };
                    self.actions.push_back(Action::Reject(ticket, refusal));
                }
                Leave::Any | Leave::Canary | Leave::SameWorkers | Leave::AllBut(_) | Leave::Wait => {
                    match self.claim(waiting.request, leave, now) {
                        Some(lease) => {
                            self.queue.remove(ticket);
                            self.actions.push_back(Action::Grant(ticket, lease));
                        }
                        None if self.queue.set_aside(ticket) => {}
                        None => return,
                    }
                }
            }
        }
    }

    /// The oldest of those who stand aside that may have a worker now.
    fn next_aside(&mut self, now: Moment) -> Option<(TicketId, Waiting, Leave)> {
        let mut oldest: Option<(TicketId, Waiting, Leave)> = None;
        // Nearly always none, else few: one a route, and one more a worker that copies may not have.
        let candidates: Vec<(TicketId, Waiting)> = self.queue.first_aside().collect();
        for (ticket, waiting) in candidates {
            if oldest.is_some_and(|(_, oldest, _)| oldest.since <= waiting.since) {
                continue;
            }
            let leave = self.leave(&waiting.request, now);
            let (page, workers) = (self.routes.known(waiting.request.route), &self.workers);
            let free = matches!(leave, Leave::Refused(..))
                || self.rotation.has_room_at(|slot| may_go(&waiting.request, leave, slot, page, workers));
            if free {
                oldest = Some((ticket, waiting, leave));
            }
        }
        oldest
    }

    /// A request of this route was answered whole.
    pub(crate) fn answered(&mut self, slot: Slot, held: &Held, now: Moment) {
        let route = held.request.route;
        let page = self.routes.page(route);
        let acquitted_before = page.last_success;
        match held.suspicion {
            // It froze its worker, and came to its end: the route works, in a bad way.
            Suspicion::Suspect => {
                page.completed(slot, held.sent, now);
                let standing = page.standing.finished(now);
                self.set_standing(route, standing);
            }
            Suspicion::None => {
                page.completed(slot, held.sent, now);
                self.set_standing(route, Standing::Good);
                // Earlier answers have acquitted it of all older silences.
                if self.frozen > 0
                    && acquitted_before <= self.silence
                    && self.config.isolation == Isolation::Auto
                {
                    self.acquit(route, held.sent);
                }
            }
        }
        if self.routes.is_due(now) {
            let busy = self.busy();
            self.routes.turn(busy, now);
        }
    }

    /// How many workers are busy by their own clocks; nothing where durations tell it better, or nobody measures.
    fn busy(&self) -> Option<f64> {
        if self.config.serves_one_at_a_time() {
            return None;
        }
        let shares = self.workers.iter().filter_map(|worker| match worker.state {
            State::Serving | State::Clogged { .. } | State::Suspect { .. } => worker.busy,
            State::Waiting { .. }
            | State::Starting { .. }
            | State::Frozen { .. }
            | State::Draining { .. }
            | State::Stopping { .. }
            | State::Killing => None,
        });
        Some(shares.map(|share| f64::from(share.0) / 1000.0).sum())
    }

    /// Writes a route's standing down, and says so if it changed.
    pub(crate) fn set_standing(&mut self, route: RouteId, standing: Standing) {
        let standing = match standing {
            // To turn everybody away would help nobody.
            Standing::Quarantined { .. } if self.is_alone(route) => self.routes.page(route).standing,
            Standing::Good | Standing::Confined { .. } | Standing::Quarantined { .. } => standing,
        };
        let page = self.routes.page(route);
        let (was, now) = (page.standing.word(), standing.word());
        page.standing = standing;
        if was == now {
            return;
        }
        self.counts.quarantines += u64::from(now == RouteStanding::Quarantined);
        self.actions.push_back(Action::Standing(StandingReport { route, was, now }));
    }
}

/// Whether a request may go to the worker in this slot.
fn may_go(request: &Request, leave: Leave, slot: Slot, page: Option<&Route>, workers: &[Worker]) -> bool {
    let has_it = request.not_to.contains(workers[slot.index()].id);
    let within = match leave {
        Leave::Any | Leave::Canary => true,
        Leave::SameWorkers => page.is_some_and(|page| page.held_by(slot) > 0),
        Leave::AllBut(kept) => slot != kept,
        Leave::Wait | Leave::Refused(..) => false,
    };
    within && !has_it
}

/// Beyond this share of their time, workers keep requests waiting.
pub(crate) const FULL_LOAD: f64 = 0.85;

/// A route with half of all answers is what the service is for: it is confined to what the others leave, not to one
/// worker.
const DOMINANT: f64 = 0.5;

/// Beside such a route there is only its health check.
const ALONE: f64 = 0.95;

/// A worker that was heard of so lately is hardly frozen.
const FRESH: Duration = Duration::from_millis(100);

/// How often overdue requests are counted.
const COUNT_EVERY: Duration = Duration::from_millis(10);

const SHORTEST_OVERDUE: Duration = Duration::from_millis(50);
const UNKNOWN_OVERDUE: Duration = Duration::from_millis(500);

/// Limits for the only request of a worker.
const SHORTEST_ALONE: Duration = Duration::from_millis(500);
const LONGEST_ALONE: Duration = Duration::from_secs(10);
const UNKNOWN_ALONE: Duration = Duration::from_secs(2);
