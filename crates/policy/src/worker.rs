//! One slot and the life in it: the total table of state and event.

use crate::arena::{Chain, Key};
use crate::cap::Lag;
use crate::event::{Action, Exit, Report, Share, Signal, Why};
use crate::pool::Held;
use crate::state::{Probe, State};
use crate::{Moment, PoolConfig, RestartReason, Restarts, RouteId, Slot, WorkerId};
use std::collections::VecDeque;
use std::time::Duration;

/// What a slot remembers.
#[derive(Clone, Debug)]
pub(crate) struct Worker {
    pub(crate) id: WorkerId,
    pub(crate) wanted: Wanted,
    pub(crate) state: State,
    /// When the state began.
    pub(crate) entered: Moment,
    /// When this life gave its first answer.
    ready: Moment,
    /// When it last sent a byte.
    pub(crate) heard: Moment,
    /// When the most recently sent of the requests that it answered was sent.
    pub(crate) done: Moment,
    /// When it was last tried again after it was clogged.
    pub(crate) tried: Moment,
    /// How quick its loop is.
    pub(crate) lag: Lag,
    /// How long it may be silent while all it holds is parked; doubles with each probe that it answers.
    pub(crate) patience: Duration,
    /// What it holds, oldest first.
    pub(crate) active: Chain,
    /// What it holds and is known to wait for, or streams.
    pub(crate) parked: Chain,
    /// Starts that failed since the last one that did not.
    pub(crate) failed_starts: u32,
    /// The wait before this life, if the one before it crashed.
    crash_wait: Duration,
    pub(crate) restarts: Restarts,
    pub(crate) frozen_total: u64,
    /// The latest life that was frozen when its end began.
    pub(crate) ended_frozen: Option<u32>,
    /// Requests whose connections broke lately, and when.
    pub(crate) lost: Vec<(Held, Moment)>,
    /// What is held against some of its requests, while it is frozen or clogged.
    pub(crate) charge: Charge,
    /// Whether it takes requests when it serves.
    pub(crate) duty: Duty,
    /// The share of a processor that it used lately.
    pub(crate) busy: Option<Share>,
}

/// What a worker that stopped answering says about its requests.
#[derive(Clone, Debug, Default)]
pub(crate) struct Charge {
    /// The request that most likely stopped it.
    pub(crate) principal: Option<Key>,
    /// The routes of those that may have.
    pub(crate) routes: Vec<RouteId>,
}

/// Whether a worker that serves takes requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Duty {
    /// It does.
    Active,
    /// It is booted, and stands by.
    Reserve,
    /// It answers what it holds, and then ends: others are back.
    Leaving,
}

/// Whether there should be a process in a slot, apart from whether there is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wanted {
    Up,
    Down,
}

/// What can happen to a worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// The moment came that the state waits for: the start, the silence limit, the deadline.
    Due,
    /// As `Due`, of a suspicion that looks like a stalled host.
    Excused,
    Ready,
    SpawnFailed,
    /// A byte of an answer came.
    Heard,
    ProbeAnswered,
    ProbeFailed,
    /// A request found no connection.
    Refused,
    /// The client of a worker's only request left.
    Abandoned,
    /// A worker's only request is out of time.
    TimedOut,
    /// The last request was given back.
    Emptied,
    Exited(Exit),
    /// Requests that are usually quick stand still on it.
    Clogged {
        stuck: u32,
    },
    /// They moved.
    Unclogged,
    /// It is frozen, and waiting for it costs more than it may bring.
    GiveUp,
    /// It is not needed any more.
    Surplus,
    /// It is needed after all.
    Recall,
    Stop,
    Kill,
}

/// What a step may look at and add to.
pub(crate) struct Scene<'a> {
    pub(crate) config: &'a PoolConfig,
    pub(crate) actions: &'a mut VecDeque<Action>,
    pub(crate) now: Moment,
}

impl Worker {
    pub(crate) fn new(slot: Slot, now: Moment) -> Self {
        Self {
            id: WorkerId { slot, life: 0 },
            wanted: Wanted::Up,
            state: State::Waiting { start_at: Some(now) },
            entered: now,
            ready: now,
            heard: now,
            done: now,
            tried: now,
            lag: Lag::unknown(now),
            patience: Duration::ZERO,
            active: Chain::default(),
            parked: Chain::default(),
            failed_starts: 0,
            crash_wait: Duration::ZERO,
            restarts: Restarts::default(),
            frozen_total: 0,
            ended_frozen: None,
            lost: Vec::new(),
            charge: Charge::default(),
            duty: Duty::Active,
            busy: None,
        }
    }

    /// Requests it holds.
    pub(crate) fn in_flight(&self) -> u32 {
        self.active.len() + self.parked.len()
    }

    /// Whether it may take requests, now or after a restart that is not the repetition of a failure.
    pub(crate) fn gives_hope(&self) -> bool {
        match self.state {
            State::Serving | State::Clogged { .. } | State::Suspect { .. } | State::Frozen { .. } => true,
            State::Waiting { .. }
            | State::Starting { .. }
            | State::Draining { .. }
            | State::Stopping { .. }
            | State::Killing => self.wanted == Wanted::Up && self.failed_starts == 0,
        }
    }

    /// One step of the worker's life. Pairs that change nothing are written out.
    pub(crate) fn step(&mut self, step: Step, scene: &mut Scene<'_>) {
        let now = scene.now;
        let freeze = &scene.config.freeze;
        match self.state {
            State::Waiting { .. } => match step {
                Step::Due => {
                    self.id.life += 1;
                    let deadline = now + scene.config.start.timeout;
                    self.enter(State::Starting { deadline }, Why::Due, scene);
                }
                // At rest already; only the start that was planned falls away.
                Step::Stop | Step::Kill | Step::Surplus => self.state = State::Waiting { start_at: None },
                Step::Excused
                | Step::Ready
                | Step::SpawnFailed
                | Step::Heard
                | Step::ProbeAnswered
                | Step::ProbeFailed
                | Step::Refused
                | Step::Abandoned
                | Step::TimedOut
                | Step::Emptied
                | Step::Exited(_)
                | Step::Clogged { .. }
                | Step::Unclogged
                | Step::GiveUp
                | Step::Recall => {}
            },
            State::Starting { .. } => match step {
                Step::Ready => {
                    self.failed_starts = 0;
                    self.ready = now;
                    self.heard = now;
                    self.lag = Lag::unknown(now);
                    let took = now.since(self.entered);
                    self.enter(State::Serving, Why::Ready { took }, scene);
                }
                Step::Due => {
                    self.failed_starts += 1;
                    self.restarts.count(RestartReason::StartTimeout);
                    self.end(Why::StartTimeout, scene);
                }
                Step::SpawnFailed => {
                    self.failed_starts += 1;
                    self.restarts.count(RestartReason::FailedToStart);
                    let retry = self.retry(scene);
                    self.rest(retry, Why::SpawnFailed { retry }, scene);
                }
                Step::Exited(exit) => {
                    self.failed_starts += 1;
                    self.restarts.count(RestartReason::FailedToStart);
                    let retry = self.retry(scene);
                    self.rest(retry, Why::Exited { exit, retry }, scene);
                }
                Step::Stop => self.end(Why::Asked, scene),
                Step::Surplus => self.end(Why::Surplus, scene),
                Step::Kill => self.enter(State::Killing, Why::Asked, scene),
                // It holds no requests yet, and its readiness is asked for by other means than the probe.
                Step::Excused
                | Step::Heard
                | Step::ProbeAnswered
                | Step::ProbeFailed
                | Step::Refused
                | Step::Abandoned
                | Step::TimedOut
                | Step::Emptied
                | Step::Clogged { .. }
                | Step::Unclogged
                | Step::GiveUp
                | Step::Recall => {}
            },
            State::Serving => match step {
                Step::Due if scene.config.serves_one_at_a_time() => {
                    self.freeze(Why::Overdue { age: now.since(self.heard) }, scene);
                }
                Step::Due => {
                    let why = Why::Silent { silent: now.since(self.heard), owes: self.in_flight() };
                    self.suspect(why, scene);
                }
                Step::Refused => self.suspect(Why::Refused, scene),
                Step::Abandoned => self.suspect(Why::Abandoned, scene),
                Step::TimedOut => self.freeze(Why::TimedOut, scene),
                Step::Exited(exit) => self.crash(exit, scene),
                Step::Clogged { stuck } => {
                    let retry_at = now + TRIAL_AFTER;
                    self.enter(State::Clogged { retry_at }, Why::Clogged { stuck }, scene);
                }
                Step::Stop => self.drain(Why::Asked, scene),
                Step::Surplus => self.drain(Why::Surplus, scene),
                Step::Kill => self.enter(State::Killing, Why::Asked, scene),
                // Nobody asked out of doubt: it is a sign of life as others are.
                Step::ProbeAnswered => self.heard = now,
                Step::Excused
                | Step::Ready
                | Step::SpawnFailed
                | Step::Heard
                | Step::ProbeFailed
                | Step::Emptied
                | Step::Unclogged
                | Step::GiveUp
                | Step::Recall => {}
            },
            State::Clogged { .. } => match step {
                Step::Unclogged => self.enter(State::Serving, Why::Unclogged, scene),
                Step::Due => {
                    self.tried = now;
                    self.enter(State::Serving, Why::Trial, scene);
                }
                Step::Refused => self.suspect(Why::Refused, scene),
                Step::Exited(exit) => self.crash(exit, scene),
                Step::Stop => self.drain(Why::Asked, scene),
                Step::Surplus => self.drain(Why::Surplus, scene),
                Step::Kill => self.enter(State::Killing, Why::Asked, scene),
                // It lives, and that was known; clients that leave do not free the threads that they hold.
                Step::Excused
                | Step::Ready
                | Step::SpawnFailed
                | Step::Heard
                | Step::ProbeAnswered
                | Step::ProbeFailed
                | Step::Abandoned
                | Step::TimedOut
                | Step::Emptied
                | Step::Clogged { .. }
                | Step::GiveUp
                | Step::Recall => {}
            },
            State::Suspect { .. } => match step {
                Step::Heard => self.clear(scene),
                Step::ProbeAnswered => {
                    self.patience = (self.patience * 2).clamp(freeze.suspect_after, LONGEST_PATIENCE);
                    self.heard = now;
                    self.clear(scene);
                }
                Step::Due => {
                    let why = Why::Deaf { silent: now.since(self.heard), owes: self.in_flight() };
                    self.freeze(why, scene);
                }
                Step::Excused => {
                    let deadline = now + freeze.suspect_after + freeze.probe_timeout;
                    self.state = State::Suspect { deadline, excused: true };
                }
                Step::TimedOut => self.freeze(Why::TimedOut, scene),
                Step::Exited(exit) => self.crash(exit, scene),
                Step::Stop => self.drain(Why::Asked, scene),
                Step::Surplus => self.drain(Why::Surplus, scene),
                Step::Kill => self.enter(State::Killing, Why::Asked, scene),
                // A probe without a connection leaves the suspicion as it is: the deadline decides.
                Step::Ready
                | Step::SpawnFailed
                | Step::ProbeFailed
                | Step::Refused
                | Step::Abandoned
                | Step::Emptied
                | Step::Clogged { .. }
                | Step::Unclogged
                | Step::GiveUp
                | Step::Recall => {}
            },
            State::Frozen { restart_at, review_at, probe } => match step {
                Step::Heard => self.clear(scene),
                Step::ProbeAnswered => {
                    self.heard = now;
                    self.clear(scene);
                }
                Step::Due if now >= restart_at => {
                    self.restarts.count(RestartReason::Frozen);
                    self.end_frozen(Why::FrozenTooLong, scene);
                }
                Step::Due => match probe {
                    Probe::Next(at) if now >= at => {
                        self.state = State::Frozen { restart_at, review_at, probe: Probe::Open };
                        self.ask(scene);
                    }
                    Probe::Next(_) | Probe::Open => {}
                },
                Step::ProbeFailed => {
                    self.state =
                        State::Frozen { restart_at, review_at, probe: Probe::Next(now + PROBE_AGAIN) };
                }
                Step::GiveUp => {
                    self.restarts.count(RestartReason::Frozen);
                    self.end_frozen(Why::NotWorthWaiting, scene);
                }
                Step::Exited(exit) => self.crash(exit, scene),
                Step::Stop => self.drain(Why::Asked, scene),
                Step::Surplus => self.drain(Why::Surplus, scene),
                Step::Kill => self.enter(State::Killing, Why::Asked, scene),
                // What it holds may leave or run out of time; it stays frozen until it sends a byte.
                Step::Excused
                | Step::Ready
                | Step::SpawnFailed
                | Step::Refused
                | Step::Abandoned
                | Step::TimedOut
                | Step::Emptied
                | Step::Clogged { .. }
                | Step::Unclogged
                | Step::Recall => {}
            },
            State::Draining { .. } => match step {
                Step::Emptied => self.end(Why::Empty, scene),
                Step::Due => self.end(Why::OutOfTime, scene),
                Step::Exited(exit) => self.crash(exit, scene),
                Step::Kill => self.enter(State::Killing, Why::Asked, scene),
                Step::Recall => self.recall(scene),
                // It gets no requests whether it is well or not; its deadline covers both.
                Step::Excused
                | Step::Ready
                | Step::SpawnFailed
                | Step::Heard
                | Step::ProbeAnswered
                | Step::ProbeFailed
                | Step::Refused
                | Step::Abandoned
                | Step::TimedOut
                | Step::Clogged { .. }
                | Step::Unclogged
                | Step::GiveUp
                | Step::Surplus
                | Step::Stop => {}
            },
            State::Stopping { .. } => match step {
                Step::Due => self.enter(State::Killing, Why::OutOfTime, scene),
                Step::Kill => self.enter(State::Killing, Why::Asked, scene),
                Step::Exited(exit) => self.ended(exit, scene),
                Step::Excused
                | Step::Ready
                | Step::SpawnFailed
                | Step::Heard
                | Step::ProbeAnswered
                | Step::ProbeFailed
                | Step::Refused
                | Step::Abandoned
                | Step::TimedOut
                | Step::Emptied
                | Step::Clogged { .. }
                | Step::Unclogged
                | Step::GiveUp
                | Step::Surplus
                | Step::Recall
                | Step::Stop => {}
            },
            State::Killing => match step {
                Step::Exited(exit) => self.ended(exit, scene),
                // The spawn that failed had no process to kill.
                Step::SpawnFailed => self.rest(self.retry(scene), Why::SpawnFailed { retry: None }, scene),
                Step::Due
                | Step::Excused
                | Step::Ready
                | Step::Heard
                | Step::ProbeAnswered
                | Step::ProbeFailed
                | Step::Refused
                | Step::Abandoned
                | Step::TimedOut
                | Step::Emptied
                | Step::Clogged { .. }
                | Step::Unclogged
                | Step::GiveUp
                | Step::Surplus
                | Step::Recall
                | Step::Stop
                | Step::Kill => {}
            },
        }
    }

    fn suspect(&mut self, why: Why, scene: &mut Scene<'_>) {
        let deadline = scene.now + scene.config.freeze.probe_timeout;
        self.enter(State::Suspect { deadline, excused: false }, why, scene);
        self.ask(scene);
    }

    fn ask(&mut self, scene: &mut Scene<'_>) {
        self.lag.ask(scene.now);
        scene.actions.push_back(Action::Probe(self.id));
    }

    fn freeze(&mut self, why: Why, scene: &mut Scene<'_>) {
        self.frozen_total += 1;
        let was_probed = matches!(self.state, State::Suspect { .. });
        let restart_at = scene.now + scene.config.freeze.restart_after;
        let review_at = scene.now + REVIEW_EVERY;
        self.enter(State::Frozen { restart_at, review_at, probe: Probe::Open }, why, scene);
        // A suspect's probe is still open; a worker out of time gets its first one.
        if !was_probed {
            self.ask(scene);
        }
    }

    fn clear(&mut self, scene: &mut Scene<'_>) {
        let after = scene.now.since(self.entered);
        self.enter(State::Serving, Why::Answered { after }, scene);
    }

    fn drain(&mut self, why: Why, scene: &mut Scene<'_>) {
        if self.in_flight() == 0 {
            self.end(why, scene);
        } else {
            let deadline = scene.now + scene.config.stop.drain_timeout;
            self.enter(State::Draining { deadline }, why, scene);
        }
    }

    /// Back to work. Nobody minded its silence meanwhile: if it is silent, it is asked first whether it is well.
    fn recall(&mut self, scene: &mut Scene<'_>) {
        let silent = scene.now.since(self.heard) >= scene.config.freeze.suspect_after;
        if silent && !scene.config.serves_one_at_a_time() {
            self.suspect(Why::Needed, scene);
        } else {
            self.enter(State::Serving, Why::Needed, scene);
        }
    }

    /// Asks the process to end.
    fn end(&mut self, why: Why, scene: &mut Scene<'_>) {
        let deadline = scene.now + scene.config.stop.grace;
        self.enter(State::Stopping { deadline }, why, scene);
    }

    /// Asks a process to end that will hardly hear it: its event loop would have to turn for that.
    fn end_frozen(&mut self, why: Why, scene: &mut Scene<'_>) {
        let deadline = scene.now + scene.config.stop.grace.min(FROZEN_GRACE);
        self.enter(State::Stopping { deadline }, why, scene);
    }

    /// The process ended though nobody asked for it.
    fn crash(&mut self, exit: Exit, scene: &mut Scene<'_>) {
        let retry = match self.wanted {
            Wanted::Down => None,
            Wanted::Up => {
                self.restarts.count(RestartReason::Crashed);
                self.crash_wait = self.wait_after(exit, scene);
                Some(self.crash_wait)
            }
        };
        self.rest(retry, Why::Exited { exit, retry }, scene);
    }

    /// How long to wait after a crash: twice as long as before a life that was shorter than its wait, so that a crash
    /// loop costs less and less. A worker that was killed is not to blame, and is soon back.
    fn wait_after(&self, exit: Exit, scene: &Scene<'_>) -> Duration {
        let start = &scene.config.start;
        let served = scene.now.since(self.ready);
        if served >= LONG_LIFE {
            Duration::ZERO
        } else if exit == Exit::KILLED || served >= self.crash_wait {
            start.backoff
        } else {
            (self.crash_wait * 2).min(start.max_backoff)
        }
    }

    /// The process ended as it was asked, or made, to.
    fn ended(&mut self, exit: Exit, scene: &mut Scene<'_>) {
        let retry = self.retry(scene);
        self.rest(retry, Why::Exited { exit, retry }, scene);
    }

    /// How long to wait before the next start: not at all, unless starts failed.
    fn retry(&self, scene: &Scene<'_>) -> Option<Duration> {
        let start = &scene.config.start;
        match (self.wanted, self.failed_starts) {
            (Wanted::Down, _) => None,
            (Wanted::Up, 0) => Some(Duration::ZERO),
            (Wanted::Up, failed) => {
                let doubled = start.backoff.saturating_mul(1_u32.checked_shl(failed - 1).unwrap_or(u32::MAX));
                Some(doubled.min(start.max_backoff))
            }
        }
    }

    fn rest(&mut self, retry: Option<Duration>, why: Why, scene: &mut Scene<'_>) {
        let start_at = retry.map(|wait| scene.now + wait);
        self.enter(State::Waiting { start_at }, why, scene);
    }

    /// Changes the state, says so, and sets in motion what belongs to it.
    fn enter(&mut self, state: State, why: Why, scene: &mut Scene<'_>) {
        let report = Report { worker: self.id, was: self.state.phase(), now: state.phase(), why };
        self.state = state;
        self.entered = scene.now;
        scene.actions.push_back(Action::Report(report));
        match state {
            State::Starting { .. } => scene.actions.push_back(Action::Spawn(self.id)),
            State::Stopping { .. } => {
                scene.actions.push_back(Action::Signal(self.id, Signal::Terminate));
            }
            State::Killing => scene.actions.push_back(Action::Signal(self.id, Signal::Kill)),
            State::Waiting { .. }
            | State::Serving
            | State::Clogged { .. }
            | State::Suspect { .. }
            | State::Frozen { .. }
            | State::Draining { .. } => {}
        }
    }
}

/// A frozen worker that thaws within this time of its SIGTERM may end by itself.
const FROZEN_GRACE: Duration = Duration::from_secs(2);

/// How long a clogged worker of which nothing is heard stays out before it is tried again.
const TRIAL_AFTER: Duration = Duration::from_secs(5);

/// How often a frozen worker is looked at again.
pub(crate) const REVIEW_EVERY: Duration = Duration::from_secs(1);

/// The longest silence of a worker that only waits (for what it awaits itself) before it is probed again.
const LONGEST_PATIENCE: Duration = Duration::from_secs(5);

/// After a probe that found no connection, how long until the next.
const PROBE_AGAIN: Duration = Duration::from_secs(1);

/// A worker that served for so long before it crashed is started again at once: this is no crash loop.
const LONG_LIFE: Duration = Duration::from_secs(10);
