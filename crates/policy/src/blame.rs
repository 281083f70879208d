//! Which request stopped a worker, and what becomes of the others.
//!
//! A worker that stands still was stopped by something that it had begun: a request outstanding when it last gave a sign
//! of life, or the first one sent to it after that. Of these, one that had outlived a sign of life had yielded to others
//! before, and comes second; later ones were never begun. A route that was answered elsewhere, by a request sent after
//! the silence began, is acquitted: whatever stopped this worker, it is not what the route always does. What
//! remains is the blame, and in it one *principal*, which is never sent anywhere else.

use crate::arena::Key;
use crate::event::{Action, Judgement, Signal};
use crate::pool::{Held, Place, Pool, Progress, Suspicion};
use crate::standing::{Guilt, Standing};
use crate::state::State;
use crate::worker::{Charge, REVIEW_EVERY, Step, Worker};
use crate::{Exit, Fate, Isolation, LeaseId, Moment, Phase, RouteId, Shed, Slot};
use std::collections::VecDeque;
use std::time::Duration;

/// What a request has to do with the silence of its worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    /// It was before the worker when it fell silent.
    Prime,
    /// It was begun before, and had let others pass.
    Yielded,
    /// It came too late to be begun.
    Unread,
}

/// One request of a silent worker.
#[derive(Clone, Copy, Debug)]
struct Witness {
    key: Key,
    held: Held,
    part: Part,
}

impl Pool {
    /// A worker was found frozen: names the suspects, and has the others rescued.
    pub(crate) fn judge(&mut self, slot: Slot, now: Moment) {
        if self.config.isolation == Isolation::Off {
            return;
        }
        let heard = self.workers[slot.index()].heard;
        let silence = self.silence_of(slot);
        self.silence = self.silence.max(silence);
        let witnesses = self.witnesses(slot);
        let acquitted =
            |route: RouteId| self.routes.known(route).is_some_and(|page| page.last_success > silence);
        let primes = || witnesses.iter().filter(|witness| witness.part == Part::Prime);
        let mut blamed: Vec<Witness> =
            primes().filter(|witness| !acquitted(witness.held.request.route)).copied().collect();
        let principal = most_suspicious(&blamed, heard)
            .or_else(|| most_suspicious(&primes().copied().collect::<Vec<_>>(), heard));
        if primes().next().is_none() {
            blamed.extend(witnesses.iter().filter(|witness| !acquitted(witness.held.request.route)));
        }
        let mut routes: Vec<RouteId> = blamed.iter().map(|witness| witness.held.request.route).collect();
        routes.sort_unstable();
        routes.dedup();
        self.compare_charges(&mut routes);
        blamed.retain(|witness| routes.contains(&witness.held.request.route));
        let principal = most_suspicious(&blamed, heard).or(principal);
        for suspect in blamed.iter().map(|witness| witness.key).chain(principal.map(|witness| witness.key)) {
            if let Some(held) = self.leases.get_mut(suspect) {
                held.suspicion = Suspicion::Suspect;
            }
        }
        for route in &routes {
            let guilt = match principal {
                _ if routes.len() == 1 => Guilt::Likely,
                Some(principal) if principal.held.request.route == *route => Guilt::Foremost,
                Some(_) | None => Guilt::Possible,
            };
            self.routes.page(*route).frozen += 1;
            let standing = self.routes.page(*route).standing.blamed(guilt, now);
            self.set_standing(*route, standing);
        }
        let worker = &mut self.workers[slot.index()];
        worker.charge = Charge { principal: principal.map(|witness| witness.key), routes };
        let report = Judgement {
            worker: worker.id,
            held: worker.in_flight(),
            suspects: u32::try_from(blamed.len()).unwrap_or(u32::MAX),
            rescued: self.rescue_bystanders(slot),
            culprit: principal.map(|witness| (witness.held.request.route, now.since(witness.held.sent))),
        };
        self.actions.push_back(Action::Judged(report));
    }

    /// A request of this route, sent then, was answered by a worker that is well: what frozen workers hold of it did
    /// not freeze them by what the route always does.
    pub(crate) fn acquit(&mut self, route: RouteId, sent: Moment) {
        for index in 0..self.workers.len() {
            let slot = self.workers[index].id.slot;
            let silence = self.silence_of(slot);
            let worker = &mut self.workers[index];
            if !matches!(worker.state, State::Frozen { .. }) || sent <= silence {
                continue;
            }
            if let Some(place) = worker.charge.routes.iter().position(|blamed| *blamed == route) {
                worker.charge.routes.swap_remove(place);
                self.routes.page(route).frozen -= 1;
                self.counts.acquittals += 1;
                self.narrow(slot);
            }
            self.rescue_bystanders(slot);
        }
    }

    /// A route that may have stopped two workers, and is not asked for so often that it is everywhere, did it rather than
    /// those that can have stopped only one of them. Leaves such routes alone in `routes`, the blame for one worker
    /// more, and in that for the others.
    fn compare_charges(&mut self, routes: &mut Vec<RouteId>) {
        for index in 0..self.workers.len() {
            let Worker { id, state, ref charge, .. } = self.workers[index];
            let one_alone = routes.len() == 1 || charge.routes.len() == 1;
            let is_telling =
                |route: &&RouteId| routes.contains(route) && (one_alone || self.is_seldom(**route));
            let again: Vec<RouteId> = charge.routes.iter().filter(is_telling).copied().collect();
            if again.is_empty() || !matches!(state, State::Frozen { .. }) {
                continue;
            }
            let all = std::mem::replace(&mut self.workers[index].charge.routes, again.clone());
            for route in all.into_iter().filter(|route| !again.contains(route)) {
                let page = self.routes.page(route);
                page.frozen -= 1;
                let standing = page.standing.cleared();
                if page.frozen == 0 {
                    self.set_standing(route, standing);
                }
            }
            self.narrow(id.slot);
            self.rescue_bystanders(id.slot);
            *routes = again;
        }
    }

    /// Whether it would be a coincidence that requests of this route were before a worker when it fell silent.
    fn is_seldom(&self, route: RouteId) -> bool {
        let rate = self.routes.known(route).map_or(0.0, |page| page.rate());
        let workers = f64::from(self.config.workers.get());
        rate / workers * (SETTLED + SAME_TURN).as_secs_f64() < SELDOM
    }

    /// Fewer routes than before may have stopped this frozen worker: what is held against requests of the others is
    /// dropped, and if one route is left, it did.
    fn narrow(&mut self, slot: Slot) {
        let worker = &self.workers[slot.index()];
        let (heard, routes) = (worker.heard, worker.charge.routes.clone());
        let mut blamed: Vec<Witness> = Vec::new();
        for witness in self.witnesses(slot) {
            if routes.contains(&witness.held.request.route) {
                blamed.extend((witness.held.suspicion == Suspicion::Suspect).then_some(witness));
            } else if !routes.is_empty()
                && let Some(held) = self.leases.get_mut(witness.key)
            {
                held.suspicion = Suspicion::None;
            }
        }
        if let Some(principal) = most_suspicious(&blamed, heard) {
            self.workers[slot.index()].charge.principal = Some(principal.key);
        }
        if let [route] = routes[..] {
            let standing = self.routes.page(route).standing.left_over();
            self.set_standing(route, standing);
        }
    }

    /// A frozen worker was stopped from outside: nothing is held against its requests, and all that may be are rescued.
    pub(crate) fn exonerate(&mut self, slot: Slot) {
        let worker = &mut self.workers[slot.index()];
        if !matches!(worker.state, State::Frozen { .. }) {
            return;
        }
        let id = worker.id;
        for route in std::mem::take(&mut worker.charge).routes {
            self.routes.page(route).frozen -= 1;
            self.set_standing(route, Standing::Good);
        }
        for Witness { key, .. } in self.witnesses(slot) {
            if let Some(held) = self.leases.get_mut(key) {
                held.suspicion = Suspicion::None;
            }
            self.send_again(LeaseId { worker: id, key });
        }
    }

    /// A frozen worker is so no more: it thawed, or is ended.
    pub(crate) fn settle_charge(&mut self, slot: Slot, is: Phase, now: Moment) {
        let worker = &mut self.workers[slot.index()];
        let Charge { principal, routes } = std::mem::take(&mut worker.charge);
        let ended = is != Phase::Serving;
        // Requests with bodies have method and target in common with others that are harmless.
        if ended && let Some(held) = principal.and_then(|key| self.leases.get(key)) {
            self.deaths.count(held.request.fingerprint, now);
        }
        for route in routes {
            self.routes.page(route).frozen -= 1;
            if ended {
                self.hold_lost_worker_against(route, now);
            }
        }
    }

    /// The worker that a route froze does not come back, or will not in time. The standing that this deserves.
    fn hold_lost_worker_against(&mut self, route: RouteId, now: Moment) -> Standing {
        let standing = self.routes.page(route).standing.unforgiven(now);
        self.set_standing(route, standing);
        standing
    }

    /// Looks at a frozen worker again: whether a replacement is worth its start, whether its route will be answered
    /// in time for those who wait, whether waiting for it costs too much.
    pub(crate) fn review(&mut self, slot: Slot, now: Moment) {
        let worker = &mut self.workers[slot.index()];
        match &mut worker.state {
            State::Frozen { review_at, .. } if *review_at <= now => *review_at = now + REVIEW_EVERY,
            State::Waiting { .. }
            | State::Starting { .. }
            | State::Serving
            | State::Clogged { .. }
            | State::Suspect { .. }
            | State::Frozen { .. }
            | State::Draining { .. }
            | State::Stopping { .. }
            | State::Killing => return,
        }
        let frozen_for = now.since(worker.entered);
        self.surge(now);
        if self.config.isolation == Isolation::Off {
            return;
        }
        if frozen_for >= LOST_AFTER {
            for route in self.workers[slot.index()].charge.routes.clone() {
                let standing = self.hold_lost_worker_against(route, now);
                if matches!(standing, Standing::Quarantined { .. }) {
                    self.reject_route(route, now);
                }
            }
        }
        if frozen_for >= HURRY_AFTER && self.is_not_worth_waiting_for(slot, frozen_for, now) {
            self.step(slot, Step::GiveUp, now);
        }
    }

    /// A worker died by itself with requests: whether one of them may have killed it.
    pub(crate) fn mourn(&mut self, slot: Slot, exit: Exit, now: Moment) {
        let dies_of_itself = match (self.workers[slot.index()].state, exit) {
            (State::Serving | State::Clogged { .. } | State::Suspect { .. }, Exit::Code(code)) => code != 0,
            // SIGKILL and SIGTERM come from outside.
            (State::Serving | State::Clogged { .. } | State::Suspect { .. }, Exit::Signal(signal)) => {
                signal != Signal::Kill.number() && signal != Signal::Terminate.number()
            }
            (
                State::Waiting { .. }
                | State::Starting { .. }
                | State::Frozen { .. }
                | State::Draining { .. }
                | State::Stopping { .. }
                | State::Killing,
                _,
            ) => false,
        };
        if !dies_of_itself || self.config.isolation == Isolation::Off {
            return;
        }
        let heard = self.workers[slot.index()].heard;
        let primes = self.witnesses(slot).into_iter().filter(|witness| witness.part == Part::Prime);
        // Mostly the broken connections were heard of before the end itself.
        let lost = self.workers[slot.index()].lost.iter().map(|(held, _)| *held);
        let suspects: Vec<Held> = primes.map(|witness| witness.held).chain(lost).collect();
        let after = suspects.iter().filter(|held| held.sent > heard).min_by_key(|held| held.sent);
        let before = || suspects.iter().max_by_key(|held| held.sent);
        if let Some(principal) = after.or_else(before) {
            self.deaths.count(principal.request.fingerprint, now);
        }
    }

    /// Has the requests sent again that a silent worker keeps from an answer and that did not make it so.
    fn rescue_bystanders(&mut self, slot: Slot) -> u32 {
        let silence = self.silence_of(slot);
        let Worker { id, ref charge, .. } = self.workers[slot.index()];
        let Charge { principal, routes } = charge.clone();
        let witnesses = self.witnesses(slot);
        let mut rescued = 0;
        for Witness { key, held, part } in witnesses {
            let acquitted =
                self.routes.known(held.request.route).is_some_and(|page| page.last_success > silence);
            let cleared = part == Part::Prime && !routes.contains(&held.request.route);
            let innocent = principal != Some(key) && (acquitted || cleared || part == Part::Unread);
            if innocent && self.send_again(LeaseId { worker: id, key }) {
                rescued += 1;
            }
        }
        rescued
    }

    /// Has this request sent to another worker too, if that may be; once for each worker that has it.
    pub(crate) fn send_again(&mut self, lease: LeaseId) -> bool {
        match self.leases.get_mut(lease.key) {
            Some(Held { request, progress: progress @ Progress::Asked, .. })
                if request.after(Fate::Froze, lease.worker).may_be_sent_again() =>
            {
                *progress = Progress::SentAgain;
                self.actions.push_back(Action::Rescue(lease));
                true
            }
            Some(_) | None => false,
        }
    }

    /// Since when a worker has owed a sign of life: nobody expects one of a worker with nothing to do.
    fn silence_of(&self, slot: Slot) -> Moment {
        let worker = &self.workers[slot.index()];
        self.leases.front(&worker.active).map_or(worker.heard, |(_, oldest)| worker.heard.max(oldest.sent))
    }

    /// What a worker holds, and what each request has to do with its silence; oldest first.
    fn witnesses(&self, slot: Slot) -> Vec<Witness> {
        let worker = &self.workers[slot.index()];
        let active = || self.leases.iter(&worker.active).filter(|(_, held)| held.place == Place::Active);
        let first_after = active().map(|(_, held)| held.sent).find(|sent| *sent > worker.heard);
        let begun = first_after.map_or(worker.heard, |first| first + SAME_TURN);
        let parked = self.leases.iter(&worker.parked).map(|(key, held)| (key, held, Part::Yielded));
        let active = active().map(|(key, held)| {
            let part = match held.sent {
                sent if sent + SETTLED < worker.heard => Part::Yielded,
                sent if sent <= begun => Part::Prime,
                _ => Part::Unread,
            };
            (key, held, part)
        });
        parked.chain(active).map(|(key, held, part)| Witness { key, held: *held, part }).collect()
    }

    /// Whether a frozen worker holds nothing that is worth its memory and place any more, while too few others serve
    /// and none is on its way.
    fn is_not_worth_waiting_for(&self, slot: Slot, frozen_for: Duration, now: Moment) -> bool {
        // Where a busy worker cannot be told from a frozen one, a route that nobody knows yet may just be slow.
        let stranger =
            |held: &Held| self.routes.known(held.request.route).is_none_or(|page| page.p99().is_none());
        let worker = &self.workers[slot.index()];
        if self.config.serves_one_at_a_time()
            && self.leases.iter(&worker.active).any(|(_, held)| stranger(held))
        {
            return false;
        }
        let (mut live, mut changing) = (0_u32, 0_u32);
        for worker in &self.workers {
            match worker.state {
                State::Serving | State::Suspect { .. } => live += 1,
                State::Starting { .. } | State::Stopping { .. } | State::Killing => changing += 1,
                State::Waiting { start_at } => changing += u32::from(start_at.is_some()),
                State::Clogged { .. } | State::Frozen { .. } | State::Draining { .. } => {}
            }
        }
        let workers = u32::from(self.config.workers.get());
        if live == 0 {
            // Whoever waits does so in vain; and what it holds, others will hold once they can. The only worker of a
            // pool is given its time.
            let given_up = frozen_for >= self.config.freeze.restart_after / 2;
            return given_up && workers > 1 && !self.may_surge() && changing < workers.div_ceil(2);
        }
        let mut held = self.leases.iter(&worker.active).chain(self.leases.iter(&worker.parked));
        let lost = |held: &Held| held.suspicion == Suspicion::Suspect || held.progress == Progress::SentAgain;
        self.is_short(now) && changing == 0 && !self.may_surge() && held.all(|(_, held)| lost(held))
    }

    /// Turns away whoever waits for this route.
    fn reject_route(&mut self, route: RouteId, now: Moment) {
        let waiting: Vec<_> = self.queue.aside_of(route).collect();
        for ticket in waiting {
            self.queue.remove(ticket);
            let refusal = self.refuse(Shed::RouteQuarantined, now);
            self.actions.push_back(Action::Reject(ticket, refusal));
        }
    }
}

/// The first that was sent after the last sign of life; else the last one sent before it.
fn most_suspicious(witnesses: &[Witness], heard: Moment) -> Option<Witness> {
    let after = witnesses.iter().filter(|witness| witness.held.sent > heard);
    let before = witnesses.iter().filter(|witness| witness.held.sent <= heard);
    after
        .min_by_key(|witness| witness.held.sent)
        .or_else(|| before.max_by_key(|witness| witness.held.sent))
        .copied()
}

/// The requests that ended workers lately, by fingerprint: one that ended two is not let near a third.
#[derive(Clone, Debug, Default)]
pub(crate) struct Deaths(VecDeque<Death>);

#[derive(Clone, Copy, Debug)]
struct Death {
    fingerprint: u64,
    count: u32,
    last: Moment,
}

impl Deaths {
    fn count(&mut self, fingerprint: u64, now: Moment) {
        if fingerprint == NOT_KNOWN_AGAIN {
            return;
        }
        self.0.retain(|death| now.since(death.last) < REFUSED_FOR);
        match self.0.iter_mut().find(|death| death.fingerprint == fingerprint) {
            Some(death) => {
                death.count += 1;
                death.last = now;
            }
            None => {
                if self.0.len() == MOST_REMEMBERED {
                    self.0.pop_front();
                }
                self.0.push_back(Death { fingerprint, count: 1, last: now });
            }
        }
    }

    /// For how long this request is refused, if it is.
    pub(crate) fn condemns(&self, fingerprint: u64, now: Moment) -> Option<Duration> {
        // Nearly always empty.
        let death = self.0.iter().find(|death| death.fingerprint == fingerprint && death.count >= 2)?;
        let rest = REFUSED_FOR.saturating_sub(now.since(death.last));
        (!rest.is_zero()).then_some(rest)
    }
}

/// The fingerprint of what has none.
const NOT_KNOWN_AGAIN: u64 = 0;

/// A request that was sent so long before a sign of life had been begun by then, and had yielded.
const SETTLED: Duration = Duration::from_millis(20);

/// What is sent within this time of each other may be begun in the same turn of an event loop.
const SAME_TURN: Duration = Duration::from_millis(50);

/// So many requests in the time in which they would be suspects are few.
const SELDOM: f64 = 0.7;

/// Who waits for a route whose worker is frozen for so long waits in vain.
const LOST_AFTER: Duration = Duration::from_secs(5);

/// The earliest end of a frozen worker that nothing speaks for.
const HURRY_AFTER: Duration = Duration::from_secs(3);

const REFUSED_FOR: Duration = Duration::from_secs(60);
const MOST_REMEMBERED: usize = 64;
