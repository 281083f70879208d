//! The pool: one synchronous value that decides about requests and workers.

use crate::arena::Arena;
use crate::blame::Deaths;
use crate::budget::Budget;
use crate::event::{Action, Event};
use crate::queue::Queue;
use crate::route::Routes;
use crate::selection::Rotation;
use crate::stall;
use crate::standing::Leave;
use crate::state::{Probe, State};
use crate::worker::{Duty, Scene, Step, Wanted, Worker};
use crate::{
    Admission, Holders, LeaseId, Moment, Outcome, Phase, PoolConfig, Refusal, Request, Restarts, RouteId,
    RouteStanding, Shed, Slot, TicketId, WorkerId,
};
use std::collections::VecDeque;
use std::time::Duration;

/// The decisions of one pool.
///
/// Calls bring `now`, which must not go back. After each call the shell carries out what
/// [`poll_action`](Self::poll_action) returns, and calls [`handle_timeout`](Self::handle_timeout) at
/// [`poll_timeout`](Self::poll_timeout).
#[derive(Clone, Debug)]
pub struct Pool {
    pub(crate) config: PoolConfig,
    pub(crate) workers: Vec<Worker>,
    pub(crate) rotation: Rotation,
    pub(crate) queue: Queue,
    pub(crate) routes: Routes,
    pub(crate) leases: Arena<Held>,
    pub(crate) actions: VecDeque<Action>,
    /// What may be sent twice.
    pub(crate) budget: Budget,
    /// Requests that ended workers.
    pub(crate) deaths: Deaths,
    /// How many workers are suspect.
    pub(crate) suspects: u32,
    /// How many workers are frozen.
    pub(crate) frozen: u32,
    /// When the latest of them was last heard.
    pub(crate) silence: Moment,
    /// Nothing is due before this moment.
    timeout: Option<Moment>,
    /// Silence is counted from here at the earliest: the host stalled until then.
    stalled: Moment,
    pub(crate) stage: Stage,
    shed: ShedCounts,
    pub(crate) counts: Counts,
}

/// A request at a worker.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Held {
    pub(crate) request: Request,
    pub(crate) sent: Moment,
    pub(crate) place: Place,
    pub(crate) progress: Progress,
    pub(crate) suspicion: Suspicion,
}

/// Which of its worker's two lists a request is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    Active,
    Parked,
}

/// How far a request has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Progress {
    /// No byte of an answer was seen.
    Asked,
    /// The same, and another worker has a copy.
    SentAgain,
    /// The answer has begun: nobody else can give it any more.
    Answering,
}

/// What is held against a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Suspicion {
    None,
    /// It may have stopped its worker: that it is answered in the end proves nothing for its route.
    Suspect,
}

/// Where the pool is in its own life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    /// No worker was ever ready.
    Booting,
    /// At least one was.
    Running,
    /// No more requests, no more starts.
    Ending,
}

/// Requests turned away, by reason.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ShedCounts([u64; Shed::ALL.len()]);

impl ShedCounts {
    /// How many for this reason.
    pub fn of(&self, why: Shed) -> u64 {
        self.0[why as usize]
    }
}

/// What was decided about requests so far, for the metrics.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Workers suspected.
    pub suspicions: u64,
    /// Frozen workers that answered after all.
    pub thaws: u64,
    /// Workers whose loop lived while quick requests stood still on them.
    pub clogs: u64,
    /// Requests sent to a second worker because the first one froze, clogged or died.
    pub rescues: u64,
    /// Rescues that there was no permission left for: too many at once.
    pub rescues_denied: u64,
    /// Routes cleared of a suspicion because they were answered elsewhere.
    pub acquittals: u64,
    /// Routes quarantined.
    pub quarantines: u64,
    /// Requests let through to see whether a quarantined route is well again.
    pub canaries: u64,
}

/// A route at one moment.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RouteView {
    /// The route.
    pub route: RouteId,
    /// How it stands.
    pub standing: RouteStanding,
    /// The mean number of workers that it keeps busy.
    pub need: f64,
    /// How long all but one in a hundred of its requests take; nothing while too few are known.
    pub p99: Option<Duration>,
    /// How many workers hold requests of it.
    pub spread: u32,
}

/// A worker at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WorkerView {
    /// Slot and life; life 0 means that no process was started yet.
    pub id: WorkerId,
    /// What it is doing.
    pub phase: Phase,
    /// Since when.
    pub entered: Moment,
    /// Whether a process is wanted in its slot.
    pub wanted: bool,
    /// Whether it stands by, booted, instead of taking requests.
    pub reserve: bool,
    /// Requests it holds.
    pub in_flight: u32,
    /// How many of them are parked.
    pub parked: u32,
    /// How many of the others it may hold.
    pub cap: u32,
    /// When the oldest request that is not parked was sent.
    pub oldest: Option<Moment>,
    /// Restarts of the slot.
    pub restarts: Restarts,
    /// How often the slot's workers were frozen.
    pub frozen_total: u64,
}

impl Pool {
    /// A pool whose workers are all due to start.
    pub fn new(config: PoolConfig, now: Moment) -> Self {
        let slots = config.slots();
        let mut pool = Self {
            workers: (0..slots).map(|slot| Worker::new(Slot(slot), now)).collect(),
            rotation: Rotation::new(usize::from(slots), config.max_in_flight.first(), config.start.ramp),
            queue: Queue::new(config.queue),
            routes: Routes::new(usize::from(slots), now),
            leases: Arena::new(),
            budget: Budget::new(now),
            deaths: Deaths::default(),
            suspects: 0,
            frozen: 0,
            silence: now,
            counts: Counts::default(),
            actions: VecDeque::new(),
            timeout: None,
            stalled: now,
            stage: Stage::Booting,
            shed: ShedCounts::default(),
            config,
        };
        for worker in &mut pool.workers[usize::from(pool.config.lasting_slots())..] {
            worker.step(Step::Surplus, &mut Scene { config: &pool.config, actions: &mut pool.actions, now });
            worker.wanted = Wanted::Down;
        }
        pool.settle(now);
        pool
    }

    /// Asks for a worker for a request; also again, for one of which no worker read anything.
    pub fn admit(&mut self, request: impl Into<Request>, now: Moment) -> Admission {
        self.budget.earn();
        self.place(request.into(), now)
    }

    /// Asks for another worker for a request that was sent to one already: one that froze
    /// ([`Action::Rescue`]), or one whose connection broke before a byte of the answer; `request` says so
    /// ([`Request::after`]). The first lease is given back by itself, and after this. Nothing if it may not be sent again:
    /// it may have been what froze its worker.
    pub fn rescue(&mut self, request: Request, first: LeaseId, now: Moment) -> Option<Admission> {
        // A worker that stands still has it yet: to no such one a second time.
        let is_nowhere_new = request.past.froze > 0 && !self.has_other(request.not_to);
        if !request.may_be_sent_again() || self.is_under_suspicion(first) || is_nowhere_new {
            return None;
        }
        if !self.budget.spend(now) {
            self.counts.rescues_denied += 1;
            return None;
        }
        self.counts.rescues += 1;
        Some(self.place(request, now))
    }

    /// Whether a request may have stopped its worker, as far as can be known when that worker is gone.
    fn is_under_suspicion(&self, lease: LeaseId) -> bool {
        match self.leases.get(lease.key) {
            Some(held) => held.suspicion == Suspicion::Suspect,
            // Whoever is innocent was rescued while its worker was frozen.
            None => {
                let worker = &self.workers[lease.worker.slot.index()];
                let is_frozen = worker.id == lease.worker && matches!(worker.state, State::Frozen { .. });
                is_frozen || worker.ended_frozen == Some(lease.worker.life)
            }
        }
    }

    /// Whether there is a worker that does not have the request, or will be.
    fn has_other(&self, holders: Holders) -> bool {
        self.workers.iter().any(|worker| !holders.contains(worker.id) && worker.gives_hope())
    }

    fn place(&mut self, mut request: Request, now: Moment) -> Admission {
        // Where there is no other, a worker that lost it may have it once more.
        if !request.not_to.is_empty() && !self.has_other(request.not_to) {
            request.not_to = Holders::default();
        }
        if self.stage == Stage::Ending {
            return Admission::Shed(self.refuse(Shed::Stopping, now));
        }
        if request.is_too_much() {
            return Admission::Shed(self.refuse(Shed::WorkersFull, now));
        }
        let leave = self.leave(&request, now);
        let ticket = match leave {
            Leave::Refused(why, retry_after) => {
                let refusal = self.refuse(why, now);
                return Admission::Shed(Refusal {
                    retry_after: retry_after.max(refusal.retry_after),
                    ..refusal
                });
            }
            // Whoever waits for any worker goes first; and if anybody does, no worker has room.
            Leave::Any | Leave::Canary | Leave::SameWorkers | Leave::AllBut(_) if !self.queue.has_line() => {
                if let Some(lease) = self.claim(request, leave, now) {
                    return Admission::Assigned(lease);
                }
                if !self.workers.iter().any(Worker::gives_hope) {
                    return Admission::Shed(self.refuse(Shed::NoWorkers, now));
                }
                // There is a free worker that it may not have: others may.
                if self.rotation.has_room() {
                    self.queue.push_aside(request, now).ok_or(Shed::RouteConfined)
                } else {
                    self.queue.push(request, now).ok_or(Shed::QueueFull)
                }
            }
            Leave::Wait => self.queue.push_aside(request, now).ok_or(Shed::RouteConfined),
            Leave::Any | Leave::Canary | Leave::SameWorkers | Leave::AllBut(_) => {
                self.queue.push(request, now).ok_or(Shed::QueueFull)
            }
        };
        match ticket {
            Ok(ticket) => {
                self.wake_at(now + self.config.queue.timeout);
                Admission::Queued(ticket)
            }
            Err(why) => Admission::Shed(self.refuse(why, now)),
        }
    }

    /// The client of a queued request left.
    pub fn abandon(&mut self, ticket: TicketId) {
        self.queue.remove(ticket);
    }

    /// A byte of the answer to this request came.
    pub fn moved(&mut self, lease: LeaseId, now: Moment) {
        if self.leases.get(lease.key).is_some() {
            self.begin_answer(lease, now);
            self.heard(lease.worker.slot, now);
            self.see_off(lease.worker.slot, now);
            self.grant(now);
        }
    }

    /// The request became a tunnel, which may live for days: it leaves its worker's count.
    pub fn upgraded(&mut self, lease: LeaseId, now: Moment) {
        if self.leases.get(lease.key).is_some() {
            self.begin_answer(lease, now);
            self.park(lease);
            self.heard(lease.worker.slot, now);
            self.see_off(lease.worker.slot, now);
            self.grant(now);
        }
    }

    /// The answer has begun. A stream or a tunnel may last for days, and says no more about its route: it leaves the
    /// route's account here, unless it fills its worker for as long as it lasts.
    fn begin_answer(&mut self, lease: LeaseId, now: Moment) {
        let Some(held) = self.leases.get_mut(lease.key) else { return };
        if held.progress == Progress::Answering {
            return;
        }
        held.progress = Progress::Answering;
        let held = *held;
        if !self.config.serves_one_at_a_time() {
            self.close_account(lease.worker.slot, &held);
            self.answered(lease.worker.slot, &held, now);
        }
    }

    /// A request does not count for its route any more.
    fn close_account(&mut self, slot: Slot, held: &Held) {
        let route = self.routes.page(held.request.route);
        route.leave(slot);
        route.parked -= u32::from(held.place == Place::Parked);
    }

    /// Whether a request still counts for its route.
    fn is_on_account(&self, held: &Held) -> bool {
        held.progress != Progress::Answering || self.config.serves_one_at_a_time()
    }

    /// The request is over.
    pub fn release(&mut self, lease: LeaseId, outcome: Outcome, now: Moment) {
        let slot = lease.worker.slot;
        let Some(held) = self.leases.get(lease.key).copied() else {
            return; // Of a life that ended.
        };
        let worker = &mut self.workers[slot.index()];
        match held.place {
            Place::Active => {
                self.leases.remove(&mut worker.active, lease.key);
                self.rotation.lighten(slot);
            }
            Place::Parked => {
                self.leases.remove(&mut worker.parked, lease.key);
            }
        }
        let on_account = self.is_on_account(&held);
        if on_account {
            self.close_account(slot, &held);
        }
        let serial = self.config.serves_one_at_a_time();
        match outcome {
            Outcome::Completed => {
                let done = &mut self.workers[slot.index()].done;
                *done = (*done).max(held.sent);
                self.heard(slot, now);
                self.rotation.proven(slot);
                self.unclog(slot, &held, now);
                if on_account {
                    self.answered(slot, &held, now);
                }
            }
            // Its worker may be dead: if so, this is what it died with.
            Outcome::Lost if held.progress != Progress::Answering => {
                let lost = &mut self.workers[slot.index()].lost;
                lost.retain(|(_, at)| now.since(*at) < REMEMBERED);
                if lost.len() < MOST_REMEMBERED {
                    lost.push((held, now));
                }
            }
            Outcome::Refused => self.step(slot, Step::Refused, now),
            // Of the route it says nothing.
            Outcome::Full => self.heard(slot, now),
            // A worker that serves one request at a time may still be at it.
            Outcome::Cancelled if serial => self.step(slot, Step::Abandoned, now),
            Outcome::TimedOut if serial => self.step(slot, Step::TimedOut, now),
            Outcome::Cancelled | Outcome::TimedOut | Outcome::Lost => {}
        }
        if self.workers[slot.index()].in_flight() == 0 {
            self.step(slot, Step::Emptied, now);
        }
        self.see_off(slot, now);
        self.grant(now);
    }

    /// Takes in what the shell observed.
    pub fn handle(&mut self, event: Event, now: Moment) {
        match event {
            Event::Ready(id) => self.step_if_alive(id, Step::Ready, now),
            Event::SpawnFailed(id) => self.step_if_alive(id, Step::SpawnFailed, now),
            Event::ProbeAnswered(id, lag) => {
                if self.is_alive(id) {
                    self.measured(id.slot, lag);
                    self.step(id.slot, Step::ProbeAnswered, now);
                }
            }
            Event::ProbeFailed(id) => {
                if self.is_alive(id) {
                    self.workers[id.slot.index()].lag.give_up();
                    self.step(id.slot, Step::ProbeFailed, now);
                }
            }
            Event::Exited(id, exit) => {
                if self.is_alive(id) {
                    self.mourn(id.slot, exit, now);
                    self.step(id.slot, Step::Exited(exit), now);
                }
            }
            Event::Stopped(id) => {
                if self.is_alive(id) {
                    self.exonerate(id.slot);
                }
            }
            Event::Busy(id, share) => {
                if self.is_alive(id) {
                    self.workers[id.slot.index()].busy = Some(share);
                }
            }
            Event::Stop => self.end(Step::Stop, now),
            Event::Kill => self.end(Step::Kill, now),
        }
        self.settle(now);
    }

    /// What to do next, if anything.
    pub fn poll_action(&mut self) -> Option<Action> {
        self.actions.pop_front()
    }

    /// When to call [`handle_timeout`](Self::handle_timeout): nothing happens by itself before that. It may turn out
    /// that nothing was due.
    pub fn poll_timeout(&self) -> Option<Moment> {
        self.timeout
    }

    /// Does what has become due.
    pub fn handle_timeout(&mut self, now: Moment) {
        if self.timeout.is_some_and(|due| now.since(due) >= stall::LATE) {
            // Whoever looks this late was not running; perhaps the workers were not either.
            self.stalled = now;
            stall::forgive(&mut self.workers, &self.config, now);
        }
        for index in 0..self.workers.len() {
            let slot = self.workers[index].id.slot;
            self.review(slot, now);
            self.clog(slot, now);
            if self.deadline(index).is_some_and(|deadline| deadline <= now) {
                let step = if self.looks_stalled(index) { Step::Excused } else { Step::Due };
                self.step(slot, step, now);
            }
        }
        while let Some(ticket) = self.queue.pop_expired(now) {
            let refusal = self.refuse(Shed::QueueTimeout, now);
            self.actions.push_back(Action::Reject(ticket, refusal));
        }
        self.settle(now);
    }

    /// The workers, in the order of their slots; those of slots that only replacements use, while they do.
    pub fn workers(&self) -> impl Iterator<Item = WorkerView> {
        let wanted = usize::from(self.config.lasting_slots());
        let shown = move |(index, worker): &(usize, &Worker)| {
            *index < wanted || worker.wanted == Wanted::Up || !matches!(worker.state, State::Waiting { .. })
        };
        self.workers.iter().enumerate().filter(shown).map(|(_, worker)| WorkerView {
            id: worker.id,
            phase: worker.state.phase(),
            entered: worker.entered,
            wanted: worker.wanted == Wanted::Up,
            reserve: worker.duty == Duty::Reserve,
            in_flight: worker.in_flight(),
            parked: worker.parked.len(),
            cap: self.rotation.cap(worker.id.slot),
            oldest: self.leases.front(&worker.active).map(|(_, held)| held.sent),
            restarts: worker.restarts,
            frozen_total: worker.frozen_total,
        })
    }

    /// The routes whose standing is not good, or that are at work now.
    pub fn routes(&self) -> impl Iterator<Item = RouteView> {
        let noteworthy = self
            .routes
            .all()
            .filter(|(_, page)| page.spread() > 0 || page.standing.word() != RouteStanding::Good);
        noteworthy.map(|(route, page)| RouteView {
            route,
            standing: page.standing.word(),
            need: page.need,
            p99: page.p99(),
            spread: page.spread(),
        })
    }

    /// What was decided so far.
    pub fn counts(&self) -> Counts {
        self.counts
    }

    /// Requests waiting.
    pub fn queue_length(&self) -> u32 {
        self.queue.len()
    }

    /// How long the oldest of them has waited.
    pub fn queue_oldest(&self, now: Moment) -> Duration {
        self.queue.oldest(now)
    }

    /// Requests turned away so far.
    pub fn shed(&self) -> ShedCounts {
        self.shed
    }

    /// Whether the pool was told to end, and no process is left.
    pub fn has_ended(&self) -> bool {
        self.stage == Stage::Ending
            && self.workers.iter().all(|worker| matches!(worker.state, State::Waiting { .. }))
    }

    /// The worker sent a byte: it is alive, and what it has held for a while it waits for.
    pub(crate) fn heard(&mut self, slot: Slot, now: Moment) {
        let worker = &mut self.workers[slot.index()];
        worker.heard = now;
        match worker.state {
            State::Serving => self.park_old(slot, now),
            State::Waiting { .. }
            | State::Clogged { .. }
            | State::Starting { .. }
            | State::Suspect { .. }
            | State::Frozen { .. }
            | State::Draining { .. }
            | State::Stopping { .. }
            | State::Killing => self.step(slot, Step::Heard, now),
        }
    }

    fn park_old(&mut self, slot: Slot, now: Moment) {
        let worker = &self.workers[slot.index()];
        let (active, after) = (&worker.active, worker.lag.park_after(now));
        let worker = worker.id;
        // Nearly always the first one is too young, and nothing is collected.
        let old: Vec<LeaseId> = self
            .leases
            .iter(active)
            .take_while(|(_, held)| now.since(held.sent) >= after)
            .filter(|(_, held)| self.waits(slot, held))
            .map(|(key, _)| LeaseId { worker, key })
            .collect();
        for lease in old {
            self.park(lease);
        }
    }

    /// Whether a request that is old waits for something of its own. One of a usually quick route does if later ones were
    /// answered there before it: else it is merely in the line within its worker, or stands still with its like.
    fn waits(&self, slot: Slot, held: &Held) -> bool {
        match self.routes.known(held.request.route) {
            Some(page) if page.is_quick() => {
                self.workers[slot.index()].done > held.sent && !page.is_overtaken(slot, held.sent)
            }
            Some(_) | None => true,
        }
    }

    /// Takes a request out of its worker's count, unless that worker serves one request at a time: there it fills
    /// its worker for as long as it lasts.
    fn park(&mut self, lease: LeaseId) {
        if self.config.serves_one_at_a_time() {
            return;
        }
        let Some(held) = self.leases.get_mut(lease.key).filter(|held| held.place == Place::Active) else {
            return;
        };
        held.place = Place::Parked;
        let held = *held;
        if self.is_on_account(&held) {
            self.routes.page(held.request.route).parked += 1;
        }
        let worker = &mut self.workers[lease.worker.slot.index()];
        self.leases.shift(&mut worker.active, &mut worker.parked, lease.key);
        self.rotation.lighten(lease.worker.slot);
    }

    fn step_if_alive(&mut self, id: WorkerId, step: Step, now: Moment) {
        if self.is_alive(id) {
            self.step(id.slot, step, now);
        }
    }

    /// Whether this is the present life of its slot.
    fn is_alive(&self, id: WorkerId) -> bool {
        self.workers.get(id.slot.index()).is_some_and(|worker| worker.id == id)
    }

    /// One step of one worker, and what it means for selection.
    pub(crate) fn step(&mut self, slot: Slot, step: Step, now: Moment) {
        let worker = &mut self.workers[slot.index()];
        let was = worker.state.phase();
        worker.step(step, &mut Scene { config: &self.config, actions: &mut self.actions, now });
        let is = worker.state.phase();
        if was == is {
            return;
        }
        self.suspects -= u32::from(was == Phase::Suspect);
        if was == Phase::Frozen {
            self.frozen -= 1;
            self.counts.thaws += u64::from(is == Phase::Serving);
            self.settle_charge(slot, is, now);
            let worker = &mut self.workers[slot.index()];
            worker.ended_frozen = (is != Phase::Serving).then_some(worker.id.life).or(worker.ended_frozen);
        }
        if was == Phase::Clogged {
            self.drop_charge(slot);
        }
        match is {
            Phase::Serving => {
                match was {
                    Phase::Suspect | Phase::Draining => self.rotation.rejoin(slot),
                    Phase::Clogged => self.rotation.try_out(slot),
                    Phase::Waiting
                    | Phase::Starting
                    | Phase::Serving
                    | Phase::Frozen
                    | Phase::Stopping
                    | Phase::Killing => self.rotation.join(slot, now),
                }
                if self.is_in_doubt() {
                    self.rotation.try_out(slot);
                }
                if self.stage == Stage::Booting {
                    self.stage = Stage::Running;
                }
                self.park_old(slot, now);
                self.see_off(slot, now);
                self.muster(now);
            }
            Phase::Waiting => {
                self.rotation.leave(slot);
                self.forget(slot);
                self.muster(now);
            }
            Phase::Suspect => {
                self.counts.suspicions += 1;
                self.suspects += 1;
                self.rotation.leave(slot);
            }
            Phase::Frozen => {
                self.frozen += 1;
                self.rotation.leave(slot);
                self.judge(slot, now);
                self.surge(now);
                self.muster(now);
            }
            Phase::Clogged => {
                self.counts.clogs += 1;
                self.rotation.leave(slot);
            }
            Phase::Starting | Phase::Draining | Phase::Stopping | Phase::Killing => {
                self.rotation.leave(slot);
                self.muster(now);
            }
        }
        if let Some(deadline) = self.deadline(slot.index()) {
            self.wake_at(deadline);
        }
    }

    /// The process is gone, and with it what it held; the leases' holders find out by themselves.
    fn forget(&mut self, slot: Slot) {
        let serial = self.config.serves_one_at_a_time();
        let worker = &mut self.workers[slot.index()];
        for chain in [&mut worker.active, &mut worker.parked] {
            while let Some((key, held)) = self.leases.front(chain) {
                let counts = serial || held.progress != Progress::Answering;
                self.routes.page(held.request.route).parked -=
                    u32::from(counts && held.place == Place::Parked);
                self.leases.remove(chain, key);
            }
        }
        worker.lost.clear();
        worker.busy = None;
        self.rotation.clear(slot);
        self.routes.clear(slot);
    }

    pub(crate) fn end(&mut self, step: Step, now: Moment) {
        self.stage = Stage::Ending;
        for index in 0..self.workers.len() {
            self.workers[index].wanted = Wanted::Down;
            self.step(self.workers[index].id.slot, step, now);
        }
    }

    /// Brings everything in line with the present state: starts, the queue, giving up, the next timeout.
    fn settle(&mut self, now: Moment) {
        self.muster(now);
        self.start_due(now);
        self.grant(now);
        self.ask_for_lag(now);
        if self.stage == Stage::Ending {
            self.reject_all(Shed::Stopping, now);
        } else if !self.workers.iter().any(Worker::gives_hope) {
            self.reject_all(Shed::NoWorkers, now);
        }
        self.give_up_if_hopeless(now);
        let deadlines = (0..self.workers.len()).filter_map(|index| self.deadline(index));
        let lags = self.workers.iter().filter_map(|worker| self.lag_due(worker));
        self.timeout = deadlines.chain(lags).chain(self.queue.deadline()).min();
    }

    pub(crate) fn reject_all(&mut self, why: Shed, now: Moment) {
        while let Some(ticket) = self.queue.pop_any() {
            let refusal = self.refuse(why, now);
            self.actions.push_back(Action::Reject(ticket, refusal));
        }
    }

    pub(crate) fn refuse(&mut self, why: Shed, now: Moment) -> Refusal {
        self.shed.0[why as usize] += 1;
        let next_start = self.workers.iter().filter_map(|worker| match worker.state {
            State::Waiting { start_at } => start_at,
            State::Starting { .. }
            | State::Serving
            | State::Clogged { .. }
            | State::Suspect { .. }
            | State::Frozen { .. }
            | State::Draining { .. }
            | State::Stopping { .. }
            | State::Killing => None,
        });
        let retry_after = match why {
            Shed::NoWorkers => next_start.min().map_or(SOON, |at| at.since(now).max(SOON)),
            Shed::QueueFull
            | Shed::QueueTimeout
            | Shed::RouteConfined
            | Shed::RouteQuarantined
            | Shed::QueryOfDeath
            | Shed::WorkersFull
            | Shed::Stopping => SOON,
        };
        Refusal { why, retry_after }
    }

    /// When this worker's state has something to do by itself.
    fn deadline(&self, index: usize) -> Option<Moment> {
        let worker = &self.workers[index];
        match worker.state {
            // A start that is due and waits for others to finish theirs is started by their events.
            State::Waiting { start_at } => start_at.filter(|_| self.may_start()),
            State::Starting { deadline }
            | State::Suspect { deadline, .. }
            | State::Draining { deadline }
            | State::Stopping { deadline } => Some(deadline),
            State::Serving => {
                [self.silence_limit(worker), self.clog_limit(worker)].into_iter().flatten().min()
            }
            State::Clogged { retry_at } => Some(retry_at),
            State::Frozen { restart_at, review_at, probe: Probe::Open } => Some(restart_at.min(review_at)),
            State::Frozen { restart_at, review_at, probe: Probe::Next(at) } => {
                Some(restart_at.min(review_at).min(at))
            }
            State::Killing => None,
        }
    }

    /// When a serving worker that stays silent becomes suspect. One that serves a single request at a time cannot
    /// answer a probe meanwhile: there the request's own age, beside that of its like, decides.
    fn silence_limit(&self, worker: &Worker) -> Option<Moment> {
        if self.config.serves_one_at_a_time() {
            let (_, oldest) = self.leases.front(&worker.active)?;
            return Some(oldest.sent.max(self.stalled) + self.overdue_after(oldest.request.route));
        }
        let counted_from = worker.heard.max(self.stalled).max(worker.tried);
        match self.leases.front(&worker.active) {
            Some((_, oldest)) => Some(counted_from.max(oldest.sent) + self.config.freeze.suspect_after),
            None if worker.parked.is_empty() => None,
            None => Some(counted_from + worker.patience),
        }
    }

    /// Whether the verdict that this suspect has come to is rather the host's fault than its own.
    fn looks_stalled(&self, index: usize) -> bool {
        let route = |worker: &Worker| self.leases.front(&worker.active).map(|(_, held)| held.request.route);
        stall::looks_stalled(&self.workers, index, route)
    }

    pub(crate) fn wake_at(&mut self, moment: Moment) {
        if self.timeout.is_none_or(|timeout| moment < timeout) {
            self.timeout = Some(moment);
        }
    }
}

/// How long, and how many, requests that a worker lost are remembered: for its end to be heard of.
const REMEMBERED: Duration = Duration::from_secs(1);
const MOST_REMEMBERED: usize = 8;

/// On a worker that is proven alive, a request of this age waits for something: it leaves the count.
pub(crate) const PARK_AFTER: Duration = Duration::from_millis(250);

/// The least that `Retry-After` asks for.
const SOON: Duration = Duration::from_secs(1);
