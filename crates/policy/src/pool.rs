//! The pool: one synchronous value that decides about requests and workers.

use crate::arena::Arena;
use crate::event::{Action, Event};
use crate::queue::Queue;
use crate::selection::Rotation;
use crate::stall;
use crate::state::{Probe, State};
use crate::worker::{Scene, Step, Wanted, Worker};
use crate::{
    Admission, LeaseId, Moment, Outcome, Phase, PoolConfig, Refusal, Restarts, RouteId, Shed, Slot, TicketId,
    WorkerId,
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
    config: PoolConfig,
    workers: Vec<Worker>,
    rotation: Rotation,
    queue: Queue,
    leases: Arena<Held>,
    actions: VecDeque<Action>,
    /// Nothing is due before this moment.
    timeout: Option<Moment>,
    /// Silence is counted from here at the earliest: the host stalled until then.
    stalled: Moment,
    stage: Stage,
    shed: ShedCounts,
}

/// A request at a worker.
#[derive(Clone, Copy, Debug)]
struct Held {
    route: RouteId,
    sent: Moment,
    place: Place,
}

/// Which of its worker's two lists a request is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Active,
    Parked,
}

/// Where the pool is in its own life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
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
    /// Requests it holds.
    pub in_flight: u32,
    /// How many of them are parked.
    pub parked: u32,
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
        let slots = config.workers.get();
        let mut pool = Self {
            workers: (0..slots).map(|slot| Worker::new(Slot(slot), now)).collect(),
            rotation: Rotation::new(slots, config.max_in_flight.get(), config.start.ramp),
            queue: Queue::new(config.queue),
            leases: Arena::new(),
            actions: VecDeque::new(),
            timeout: None,
            stalled: now,
            stage: Stage::Booting,
            shed: ShedCounts::default(),
            config,
        };
        pool.settle(now);
        pool
    }

    /// Asks for a worker for a request of this route.
    pub fn admit(&mut self, route: RouteId, now: Moment) -> Admission {
        if self.stage == Stage::Ending {
            return Admission::Shed(self.refuse(Shed::Stopping, now));
        }
        // Whoever waits goes first; and if anybody waits, no worker has room.
        if self.queue.is_empty() {
            if let Some(lease) = self.claim(route, now) {
                return Admission::Assigned(lease);
            }
            if !self.workers.iter().any(Worker::gives_hope) {
                return Admission::Shed(self.refuse(Shed::NoWorkers, now));
            }
        }
        match self.queue.push(route, now) {
            Some(ticket) => {
                self.wake_at(now + self.config.queue.timeout);
                Admission::Queued(ticket)
            }
            None => Admission::Shed(self.refuse(Shed::QueueFull, now)),
        }
    }

    /// The client of a queued request left.
    pub fn abandon(&mut self, ticket: TicketId) {
        self.queue.remove(ticket);
    }

    /// A byte of the answer to this request came.
    pub fn moved(&mut self, lease: LeaseId, now: Moment) {
        if self.leases.get(lease.key).is_some() {
            self.heard(lease.worker.slot, now);
            self.grant(now);
        }
    }

    /// The request became a tunnel, which may live for days: it leaves its worker's count.
    pub fn upgraded(&mut self, lease: LeaseId, now: Moment) {
        if self.leases.get(lease.key).is_some() {
            self.park(lease);
            self.heard(lease.worker.slot, now);
            self.grant(now);
        }
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
        let serial = self.config.max_in_flight.get() == 1;
        match outcome {
            Outcome::Completed => self.heard(slot, now),
            Outcome::Refused => self.step(slot, Step::Refused, now),
            // A worker that serves one request at a time may still be at it.
            Outcome::Cancelled if serial => self.step(slot, Step::Abandoned, now),
            Outcome::TimedOut if serial => self.step(slot, Step::TimedOut, now),
            Outcome::Cancelled | Outcome::TimedOut | Outcome::Lost => {}
        }
        if self.workers[slot.index()].in_flight() == 0 {
            self.step(slot, Step::Emptied, now);
        }
        self.grant(now);
    }

    /// Takes in what the shell observed.
    pub fn handle(&mut self, event: Event, now: Moment) {
        match event {
            Event::Ready(id) => self.step_if_alive(id, Step::Ready, now),
            Event::SpawnFailed(id) => self.step_if_alive(id, Step::SpawnFailed, now),
            Event::ProbeAnswered(id) => self.step_if_alive(id, Step::ProbeAnswered, now),
            Event::ProbeFailed(id) => self.step_if_alive(id, Step::ProbeFailed, now),
            Event::Exited(id, exit) => self.step_if_alive(id, Step::Exited(exit), now),
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
            if self.deadline(index).is_some_and(|deadline| deadline <= now) {
                let slot = self.workers[index].id.slot;
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

    /// The workers, in the order of their slots.
    pub fn workers(&self) -> impl Iterator<Item = WorkerView> {
        self.workers.iter().map(|worker| WorkerView {
            id: worker.id,
            phase: worker.state.phase(),
            entered: worker.entered,
            wanted: worker.wanted == Wanted::Up,
            in_flight: worker.in_flight(),
            parked: worker.parked.len(),
            oldest: self.leases.front(&worker.active).map(|(_, held)| held.sent),
            restarts: worker.restarts,
            frozen_total: worker.frozen_total,
        })
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

    /// Picks a worker and counts the request against it.
    fn claim(&mut self, route: RouteId, now: Moment) -> Option<LeaseId> {
        let slot = self.rotation.claim(now)?;
        let worker = &mut self.workers[slot.index()];
        // Fresh work restarts the watch: it is judged by its own silence, not by that of what is parked.
        worker.patience = self.config.freeze.suspect_after;
        let held = Held { route, sent: now, place: Place::Active };
        let key = self.leases.push(&mut worker.active, held);
        let worker = worker.id;
        self.wake_at(now + self.config.freeze.suspect_after);
        Some(LeaseId { worker, key })
    }

    /// Gives free workers to those who wait.
    fn grant(&mut self, now: Moment) {
        // The queue is asked first: it is empty nearly always.
        while !self.queue.is_empty() {
            let Some(lease) = self.claim(RouteId::default(), now) else { return };
            let Some((ticket, waiting)) = self.queue.pop(now) else { return };
            if let Some(held) = self.leases.get_mut(lease.key) {
                held.route = waiting.route;
            }
            self.actions.push_back(Action::Grant(ticket, lease));
        }
    }

    /// The worker sent a byte: it is alive, and what it has held for a while it waits for.
    fn heard(&mut self, slot: Slot, now: Moment) {
        let worker = &mut self.workers[slot.index()];
        worker.heard = now;
        match worker.state {
            State::Serving => self.park_old(slot, now),
            State::Waiting { .. }
            | State::Starting { .. }
            | State::Suspect { .. }
            | State::Frozen { .. }
            | State::Draining { .. }
            | State::Stopping { .. }
            | State::Killing => self.step(slot, Step::Heard, now),
        }
    }

    fn park_old(&mut self, slot: Slot, now: Moment) {
        while let Some((key, held)) = self.leases.front(&self.workers[slot.index()].active) {
            if now.since(held.sent) < PARK_AFTER {
                return;
            }
            let worker = self.workers[slot.index()].id;
            if !self.park(LeaseId { worker, key }) {
                return;
            }
        }
    }

    /// Takes a request out of its worker's count, unless that worker serves one request at a time: there it fills
    /// its worker for as long as it lasts.
    fn park(&mut self, lease: LeaseId) -> bool {
        if self.config.max_in_flight.get() == 1 {
            return false;
        }
        let worker = &mut self.workers[lease.worker.slot.index()];
        let Some(held) = self.leases.get_mut(lease.key).filter(|held| held.place == Place::Active) else {
            return false;
        };
        held.place = Place::Parked;
        self.leases.shift(&mut worker.active, &mut worker.parked, lease.key);
        self.rotation.lighten(lease.worker.slot);
        true
    }

    fn step_if_alive(&mut self, id: WorkerId, step: Step, now: Moment) {
        if self.workers.get(id.slot.index()).is_some_and(|worker| worker.id == id) {
            self.step(id.slot, step, now);
        }
    }

    /// One step of one worker, and what it means for selection.
    fn step(&mut self, slot: Slot, step: Step, now: Moment) {
        let worker = &mut self.workers[slot.index()];
        let was = worker.state.phase();
        worker.step(step, &mut Scene { config: &self.config, actions: &mut self.actions, now });
        let is = worker.state.phase();
        if was == is {
            return;
        }
        match is {
            Phase::Serving => {
                if was == Phase::Suspect {
                    self.rotation.rejoin(slot);
                } else {
                    self.rotation.join(slot, now);
                }
                if self.stage == Stage::Booting {
                    self.stage = Stage::Running;
                }
                self.park_old(slot, now);
            }
            Phase::Waiting => {
                self.rotation.leave(slot);
                self.forget(slot);
            }
            Phase::Starting
            | Phase::Suspect
            | Phase::Frozen
            | Phase::Draining
            | Phase::Stopping
            | Phase::Killing => self.rotation.leave(slot),
        }
        if let Some(deadline) = self.deadline(slot.index()) {
            self.wake_at(deadline);
        }
    }

    /// The process is gone, and with it what it held; the leases' holders find out by themselves.
    fn forget(&mut self, slot: Slot) {
        let worker = &mut self.workers[slot.index()];
        for chain in [&mut worker.active, &mut worker.parked] {
            while let Some((key, _)) = self.leases.front(chain) {
                self.leases.remove(chain, key);
            }
        }
        self.rotation.clear(slot);
    }

    fn end(&mut self, step: Step, now: Moment) {
        self.stage = Stage::Ending;
        for index in 0..self.workers.len() {
            self.workers[index].wanted = Wanted::Down;
            self.step(self.workers[index].id.slot, step, now);
        }
    }

    /// Brings everything in line with the present state: starts, the queue, giving up, the next timeout.
    fn settle(&mut self, now: Moment) {
        self.start_due(now);
        self.grant(now);
        if self.stage == Stage::Ending {
            self.reject_all(Shed::Stopping, now);
        } else if !self.workers.iter().any(Worker::gives_hope) {
            self.reject_all(Shed::NoWorkers, now);
        }
        self.give_up_if_hopeless(now);
        let deadlines = (0..self.workers.len()).filter_map(|index| self.deadline(index));
        self.timeout = deadlines.chain(self.queue.deadline()).min();
    }

    fn start_due(&mut self, now: Moment) {
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
    fn may_start(&self) -> bool {
        let starting =
            self.workers.iter().filter(|worker| matches!(worker.state, State::Starting { .. })).count();
        self.stage == Stage::Booting || starting < self.workers.len().div_ceil(2)
    }

    fn give_up_if_hopeless(&mut self, now: Moment) {
        let attempts = self.config.start.attempts;
        let hopeless = self.stage == Stage::Booting
            && attempts > 0
            && self.workers.iter().all(|worker| worker.failed_starts >= attempts);
        if hopeless {
            self.actions.push_back(Action::GiveUp);
            self.end(Step::Stop, now);
            self.reject_all(Shed::Stopping, now);
        }
    }

    fn reject_all(&mut self, why: Shed, now: Moment) {
        while let Some(ticket) = self.queue.pop_any() {
            let refusal = self.refuse(why, now);
            self.actions.push_back(Action::Reject(ticket, refusal));
        }
    }

    fn refuse(&mut self, why: Shed, now: Moment) -> Refusal {
        self.shed.0[why as usize] += 1;
        let next_start = self.workers.iter().filter_map(|worker| match worker.state {
            State::Waiting { start_at } => start_at,
            State::Starting { .. }
            | State::Serving
            | State::Suspect { .. }
            | State::Frozen { .. }
            | State::Draining { .. }
            | State::Stopping { .. }
            | State::Killing => None,
        });
        let retry_after = match why {
            Shed::NoWorkers => next_start.min().map_or(SOON, |at| at.since(now).max(SOON)),
            Shed::QueueFull | Shed::QueueTimeout | Shed::Stopping => SOON,
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
            State::Serving => self.silence_limit(worker),
            State::Frozen { restart_at, probe: Probe::Open } => Some(restart_at),
            State::Frozen { restart_at, probe: Probe::Next(at) } => Some(restart_at.min(at)),
            State::Killing => None,
        }
    }

    /// When a serving worker that stays silent becomes suspect. One that serves a single request at a time cannot
    /// answer a probe meanwhile: there the request's own time limit decides.
    fn silence_limit(&self, worker: &Worker) -> Option<Moment> {
        if self.config.max_in_flight.get() == 1 {
            return None;
        }
        let counted_from = worker.heard.max(self.stalled);
        match self.leases.front(&worker.active) {
            Some((_, oldest)) => Some(counted_from.max(oldest.sent) + self.config.freeze.suspect_after),
            None if worker.parked.is_empty() => None,
            None => Some(counted_from + worker.patience),
        }
    }

    /// Whether the verdict that this suspect has come to is rather the host's fault than its own.
    fn looks_stalled(&self, index: usize) -> bool {
        let route = |worker: &Worker| self.leases.front(&worker.active).map(|(_, held)| held.route);
        stall::looks_stalled(&self.workers, index, route)
    }

    fn wake_at(&mut self, moment: Moment) {
        if self.timeout.is_none_or(|timeout| moment < timeout) {
            self.timeout = Some(moment);
        }
    }
}

/// On a worker that is proven alive, a request of this age waits for something: it leaves the count.
const PARK_AFTER: Duration = Duration::from_millis(250);

/// The least that `Retry-After` asks for.
const SOON: Duration = Duration::from_secs(1);
