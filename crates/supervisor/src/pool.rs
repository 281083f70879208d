//! The pool as the proxy sees it, and the one lock around the policy.
//!
//! Claim under the lock, act after it: no await, no I/O and no log while it is held. What a call decided for the process
//! side is left for the supervisor's task, which is woken.

use crate::{Address, Lease, PoolStatus, QueueStatus, RestartCount, WorkerStatus};
use policy::{
    Action, Admission, Event, LeaseId, Moment, Outcome, PoolConfig, Refusal, RestartReason, RouteId, Shed,
    TicketId, WorkerId,
};
use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::{Notify, oneshot};
use tokio::time::Instant;

/// A handle on a running pool; clones are cheap and mean the same pool. Any thread may use it.
#[derive(Clone, Debug)]
pub struct Pool {
    pub(crate) shared: Arc<Shared>,
}

/// No worker for this request: 503 with `Retry-After`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no worker available: {}", .0.why.as_str())]
pub struct Unavailable(pub Refusal);

impl Pool {
    /// The pool's name in logs and metrics.
    pub fn name(&self) -> &str {
        &self.shared.name
    }

    /// A place at the worker with the fewest outstanding requests, waiting in the queue if all are at their cap.
    /// Dropping the future gives the place in the queue back. When a worker is free at once it does not await.
    ///
    /// # Errors
    /// [`Unavailable`] when the queue is full, the wait was too long, or no worker lives.
    pub async fn claim(&self, route: RouteId) -> Result<Lease, Unavailable> {
        let (ticket, granted) = match Shared::admit(&self.shared, route) {
            Admitted::Now(lease) => return Ok(lease),
            Admitted::Never(refusal) => return Err(Unavailable(refusal)),
            Admitted::Later(ticket, granted) => (ticket, granted),
        };
        let _place = Place { shared: &self.shared, ticket };
        match granted.await {
            Ok(verdict) => verdict.map_err(Unavailable),
            // The supervisor is gone.
            Err(_) => Err(Unavailable(Refusal { why: Shed::Stopping, retry_after: Duration::from_secs(1) })),
        }
    }

    /// How long an idle connection to a worker of this pool may be kept: shorter than the worker's own limit.
    pub fn keep_alive(&self) -> Duration {
        self.shared.keep_alive
    }

    /// Ends the pool in order: workers finish what they hold (at most `drain_timeout`), then SIGTERM, grace, SIGKILL.
    pub fn stop(&self) {
        Shared::handle(&self.shared, Event::Stop);
    }

    /// Ends the pool now: SIGKILL to every worker's process group.
    pub fn kill(&self) {
        Shared::handle(&self.shared, Event::Kill);
    }

    /// Resolves at the next change of any worker's state.
    pub async fn changed(&self) {
        self.shared.changed.notified().await;
    }

    /// The pool as it is now, for people and machines.
    pub fn status(&self) -> PoolStatus {
        self.shared.status()
    }
}

/// What all handles, leases and the supervisor share.
#[derive(Debug)]
pub(crate) struct Shared {
    name: String,
    keep_alive: Duration,
    began: Instant,
    state: Mutex<State>,
    /// There are actions for the supervisor, or its alarm must ring earlier.
    pub(crate) wake: Notify,
    pub(crate) changed: Notify,
    pub(crate) lines_dropped: Arc<AtomicU64>,
}

#[derive(Debug)]
struct State {
    core: policy::Pool,
    waiting: HashMap<TicketId, oneshot::Sender<Verdict>>,
    processes: Vec<Option<Process>>,
    /// For the supervisor's task.
    actions: VecDeque<Action>,
    /// When the supervisor's task wakes by itself.
    alarm: Option<Moment>,
}

/// The process in a slot.
#[derive(Clone, Debug)]
struct Process {
    pid: u32,
    address: Arc<Address>,
}

type Verdict = Result<Lease, Refusal>;

enum Admitted {
    Now(Lease),
    Later(TicketId, oneshot::Receiver<Verdict>),
    Never(Refusal),
}

/// A place in the queue, given back when the client leaves.
struct Place<'a> {
    shared: &'a Shared,
    ticket: TicketId,
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let mut state = self.shared.lock();
        state.waiting.remove(&self.ticket);
        state.core.abandon(self.ticket);
    }
}

impl Shared {
    pub(crate) fn new(name: &str, keep_alive: Duration, config: PoolConfig) -> Self {
        let slots = usize::from(config.workers.get());
        let mut core = policy::Pool::new(config, Moment::default());
        let actions = std::iter::from_fn(|| core.poll_action()).collect();
        Self {
            name: name.to_owned(),
            keep_alive,
            began: Instant::now(),
            state: Mutex::new(State {
                core,
                waiting: HashMap::new(),
                processes: vec![None; slots],
                actions,
                alarm: None,
            }),
            wake: Notify::new(),
            changed: Notify::new(),
            lines_dropped: Arc::default(),
        }
    }

    pub(crate) fn now(&self) -> Moment {
        Moment::after_start(self.began.elapsed())
    }

    /// The instant of the runtime's clock that this moment is.
    pub(crate) fn instant(&self, moment: Moment) -> Instant {
        self.began + moment.elapsed()
    }

    fn admit(shared: &Arc<Self>, route: RouteId) -> Admitted {
        let now = shared.now();
        let mut state = shared.lock();
        let admitted = match state.core.admit(route, now) {
            Admission::Assigned(id) => match state.address(id.worker) {
                Some(address) => Admitted::Now(Lease::new(Arc::clone(shared), id, address)),
                None => unreachable!("only workers with a process serve"),
            },
            Admission::Queued(ticket) => {
                let (sender, receiver) = oneshot::channel();
                state.waiting.insert(ticket, sender);
                Admitted::Later(ticket, receiver)
            }
            Admission::Shed(refusal) => Admitted::Never(refusal),
        };
        shared.conclude(state, shared);
        admitted
    }

    pub(crate) fn moved(self: &Arc<Self>, lease: LeaseId, now: Moment) {
        let mut state = self.lock();
        state.core.moved(lease, now);
        self.conclude(state, self);
    }

    pub(crate) fn upgraded(self: &Arc<Self>, lease: LeaseId) {
        let now = self.now();
        let mut state = self.lock();
        state.core.upgraded(lease, now);
        self.conclude(state, self);
    }

    pub(crate) fn release(shared: &Arc<Self>, lease: LeaseId, outcome: Outcome) {
        let now = shared.now();
        let mut state = shared.lock();
        state.core.release(lease, outcome, now);
        shared.conclude(state, shared);
    }

    pub(crate) fn handle(shared: &Arc<Self>, event: Event) {
        let now = shared.now();
        let mut state = shared.lock();
        state.core.handle(event, now);
        shared.conclude(state, shared);
    }

    pub(crate) fn handle_timeout(shared: &Arc<Self>) {
        let now = shared.now();
        let mut state = shared.lock();
        state.core.handle_timeout(now);
        shared.conclude(state, shared);
    }

    /// The next thing for the supervisor's task to do. If there is none: when to wake.
    pub(crate) fn next_action(&self) -> Result<Action, Option<Moment>> {
        let mut state = self.lock();
        state.actions.pop_front().ok_or_else(|| {
            state.alarm = state.core.poll_timeout();
            state.alarm
        })
    }

    pub(crate) fn has_ended(&self) -> bool {
        self.lock().core.has_ended()
    }

    /// The process of this life runs.
    pub(crate) fn began(&self, worker: WorkerId, pid: u32, address: Arc<Address>) {
        self.lock().processes[worker.slot.index()] = Some(Process { pid, address });
    }

    /// The process in this slot is gone.
    pub(crate) fn ended(&self, worker: WorkerId) {
        self.lock().processes[worker.slot.index()] = None;
    }

    fn status(&self) -> PoolStatus {
        let now = self.now();
        let state = self.lock();
        let workers = state.core.workers().zip(&state.processes).map(|(view, process)| WorkerStatus {
            id: view.id,
            pid: process.as_ref().map(|process| process.pid),
            address: process.as_ref().map(|process| Address::clone(&process.address)),
            phase: view.phase,
            since: now.since(view.entered),
            in_flight: view.in_flight,
            parked: view.parked,
            oldest_request: view.oldest.map_or(Duration::ZERO, |oldest| now.since(oldest)),
            restarts: RestartReason::ALL
                .iter()
                .map(|reason| RestartCount { reason: reason.as_str(), count: view.restarts.of(*reason) })
                .collect(),
            frozen_total: view.frozen_total,
            wanted: view.wanted,
        });
        PoolStatus {
            name: self.name.clone(),
            workers: workers.collect(),
            queue: QueueStatus {
                length: state.core.queue_length() as usize,
                oldest: state.core.queue_oldest(now),
            },
            shed: Shed::ALL.iter().map(|why| (why.as_str(), state.core.shed().of(*why))).collect(),
            lines_dropped: self.lines_dropped.load(Ordering::Relaxed),
        }
    }

    /// Sorts what the policy decided: verdicts for those who wait are delivered here, the rest is the supervisor's.
    fn conclude(&self, mut state: MutexGuard<'_, State>, shared: &Arc<Self>) {
        let mut verdicts = Vec::new();
        let mut wake = false;
        while let Some(action) = state.core.poll_action() {
            match action {
                Action::Grant(ticket, id) => {
                    let lease = state.address(id.worker).map(|at| Lease::new(Arc::clone(shared), id, at));
                    verdicts.extend(state.waiting.remove(&ticket).zip(lease.map(Ok)));
                }
                Action::Reject(ticket, refusal) => {
                    verdicts.extend(state.waiting.remove(&ticket).map(|waiter| (waiter, Err(refusal))));
                }
                Action::Spawn(_)
                | Action::Signal(..)
                | Action::Probe(_)
                | Action::Report(_)
                | Action::GiveUp => {
                    state.actions.push_back(action);
                    wake = true;
                }
            }
        }
        let timeout = state.core.poll_timeout();
        if timeout.is_some_and(|timeout| state.alarm.is_none_or(|alarm| timeout < alarm)) {
            state.alarm = timeout;
            wake = true;
        }
        drop(state);
        // A waiter that left in the meantime drops its lease here, which takes the lock again.
        for (waiter, verdict) in verdicts {
            let _ = waiter.send(verdict);
        }
        if wake {
            self.wake.notify_one();
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // A panic under the lock is a bug, but the counts are still the best there are: go on.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn address(&self, worker: WorkerId) -> Option<Arc<Address>> {
        self.processes[worker.slot.index()].as_ref().map(|process| Arc::clone(&process.address))
    }
}
