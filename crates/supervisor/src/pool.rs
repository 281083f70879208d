//! The pool as the proxy sees it, and the one lock around the policy.
//!
//! Claim under the lock, act after it: no await, no I/O and no log while it is held. What a call decided for the process
//! side is left for the supervisor's task, which is woken.

use crate::{
    Address, Lease, PoolOptions, PoolStatus, Protocol, QueueStatus, RestartCount, RouteNames, RouteStatus,
    WorkerStatus,
};
use policy::{
    Action, Admission, Event, LeaseId, LeaseMap, Moment, Outcome, Refusal, Request, RestartReason, RouteView,
    Shed, Slot, TicketId, WorkerId,
};
use std::collections::{HashMap, HashSet, VecDeque};
use std::future::poll_fn;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Poll, Waker};
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
    /// Dropping the future gives the place in the queue back. When a worker is free at once it does not await. `now` may be
    /// when the caller's poll began: it saves a look at the clock.
    ///
    /// # Errors
    /// [`Unavailable`] when the queue is full, the wait was too long, or no worker lives.
    pub async fn claim(&self, request: Request, now: Instant) -> Result<Lease, Unavailable> {
        let admitted = poll_fn(|cx| Poll::Ready(Shared::admit(&self.shared, request, cx.waker(), now))).await;
        self.wait(admitted).await
    }

    /// Another place for a request whose first worker stands still ([`Lease::is_to_be_rescued`]) or lost its connection
    /// before a byte of the answer. Nothing if it may not be sent again.
    ///
    /// # Errors
    /// As for [`claim`](Self::claim).
    pub async fn rescue(&self, request: Request, first: LeaseId) -> Option<Result<Lease, Unavailable>> {
        let admitted =
            poll_fn(|cx| Poll::Ready(Shared::rescue(&self.shared, request, first, cx.waker()))).await?;
        Some(self.wait(admitted).await)
    }

    async fn wait(&self, admitted: Admitted) -> Result<Lease, Unavailable> {
        let (ticket, granted) = match admitted {
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

    /// How long requests may go on once the pool is to end.
    pub fn drain_timeout(&self) -> Duration {
        self.shared.drain_timeout
    }

    /// What the workers of this pool are spoken to in.
    pub fn protocol(&self) -> Protocol {
        self.shared.protocol
    }

    /// A pool whose workers all serve at this address, and are kept alive by nobody.
    #[cfg(feature = "fuzzing")]
    #[doc(hidden)]
    pub fn around(options: &PoolOptions, address: Address) -> Self {
        let shared = Arc::new(Shared::new(options, options.keep_alive.unwrap_or_default()));
        let address = Arc::new(address);
        while let Ok(action) = shared.next_action() {
            if let Action::Spawn(worker) = action {
                shared.began(worker, std::process::id(), Arc::clone(&address));
                shared.handle(Event::Ready(worker));
            }
        }
        Self { shared }
    }

    /// Ends the pool in order: workers finish what they hold (at most `drain_timeout`), then SIGTERM, grace, SIGKILL.
    pub fn stop(&self) {
        self.shared.handle(Event::Stop);
    }

    /// Ends the pool now: SIGKILL to every worker's process group.
    pub fn kill(&self) {
        self.shared.handle(Event::Kill);
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
    route_names: RouteNames,
    keep_alive: Duration,
    drain_timeout: Duration,
    protocol: Protocol,
    began: Instant,
    /// Counts the verdicts that concern requests at the worker in each slot.
    verdicts: Box<[AtomicU32]>,
    state: Mutex<State>,
    /// There are actions for the supervisor, or its alarm must ring earlier.
    pub(crate) wake: Notify,
    pub(crate) changed: Notify,
    pub(crate) lines_dropped: Arc<AtomicU64>,
}

#[derive(Debug)]
struct State {
    core: policy::Pool,
    /// What the core was told last: threads look at the clock before they have the lock, and its time does not go back.
    now: Moment,
    waiting: HashMap<TicketId, Waiter>,
    /// The tasks of the requests at workers.
    wakers: LeaseMap<Waker>,
    /// Requests that are to be sent to another worker, and have not asked for one yet.
    due: HashSet<LeaseId>,
    processes: Vec<Option<Process>>,
    /// For the supervisor's task.
    actions: VecDeque<Action>,
    /// When the supervisor's task wakes by itself.
    alarm: Option<Moment>,
}

/// The process in a slot.
#[derive(Clone, Debug)]
struct Process {
    life: u32,
    pid: u32,
    address: Arc<Address>,
}

/// Who waits for a worker.
#[derive(Debug)]
struct Waiter {
    granted: oneshot::Sender<Verdict>,
    /// Its task, which is to be woken also once it has a worker.
    task: Waker,
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
    pub(crate) fn new(options: &PoolOptions, keep_alive: Duration) -> Self {
        let slots = usize::from(options.policy.slots());
        let mut core = policy::Pool::new(options.policy.clone(), Moment::default());
        let actions = std::iter::from_fn(|| core.poll_action()).collect();
        Self {
            name: options.name.clone(),
            route_names: options.route_names.clone(),
            keep_alive,
            drain_timeout: options.policy.stop.drain_timeout,
            protocol: options.protocol,
            began: Instant::now(),
            verdicts: (0..slots).map(|_| AtomicU32::new(0)).collect(),
            state: Mutex::new(State {
                core,
                now: Moment::default(),
                waiting: HashMap::new(),
                wakers: LeaseMap::new(),
                due: HashSet::new(),
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
        self.moment(Instant::now())
    }

    /// This instant on the policy's clock.
    pub(crate) fn moment(&self, instant: Instant) -> Moment {
        Moment::after_start(instant.saturating_duration_since(self.began))
    }

    /// The instant of the runtime's clock that this moment is.
    pub(crate) fn instant(&self, moment: Moment) -> Instant {
        self.began + moment.elapsed()
    }

    fn admit(shared: &Arc<Self>, request: Request, task: &Waker, now: Instant) -> Admitted {
        let (now, task, handle) = (shared.moment(now), task.clone(), Arc::clone(shared));
        let mut state = shared.lock();
        let now = state.advance(now);
        let admission = state.core.admit(request, now);
        let admitted = state.admitted(admission, handle, task);
        shared.conclude(state, shared);
        admitted
    }

    fn rescue(shared: &Arc<Self>, request: Request, first: LeaseId, task: &Waker) -> Option<Admitted> {
        let (now, task, handle) = (shared.now(), task.clone(), Arc::clone(shared));
        let mut state = shared.lock();
        let now = state.advance(now);
        let admission = state.core.rescue(request, first, now);
        let admitted = admission.map(|admission| state.admitted(admission, handle, task));
        shared.conclude(state, shared);
        admitted
    }

    /// How many verdicts on the worker in this slot there were so far.
    pub(crate) fn verdicts(&self, slot: Slot) -> u32 {
        self.verdicts[slot.index()].load(Ordering::Relaxed)
    }

    /// Whether this request is to be sent to another worker; says so once.
    pub(crate) fn take_due(&self, lease: LeaseId) -> bool {
        self.lock().due.remove(&lease)
    }

    pub(crate) fn moved(self: &Arc<Self>, lease: LeaseId, now: Moment) {
        self.tell(now, |core, now| core.moved(lease, now));
    }

    pub(crate) fn upgraded(self: &Arc<Self>, lease: LeaseId) {
        self.tell(self.now(), |core, now| core.upgraded(lease, now));
    }

    pub(crate) fn release(self: &Arc<Self>, lease: LeaseId, outcome: Outcome, now: Moment) {
        let mut state = self.lock();
        let task = state.forget(lease);
        let now = state.advance(now);
        state.core.release(lease, outcome, now);
        self.conclude(state, self);
        // Perhaps the last that was left of the task, which then ends: not under the lock.
        drop(task);
    }

    pub(crate) fn handle(self: &Arc<Self>, event: Event) {
        self.tell(self.now(), |core, now| core.handle(event, now));
    }

    pub(crate) fn handle_timeout(self: &Arc<Self>) {
        self.tell(self.now(), policy::Pool::handle_timeout);
    }

    fn tell(self: &Arc<Self>, now: Moment, what: impl FnOnce(&mut policy::Pool, Moment)) {
        let mut state = self.lock();
        let now = state.advance(now);
        what(&mut state.core, now);
        self.conclude(state, self);
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
        self.lock().processes[worker.slot.index()] = Some(Process { life: worker.life, pid, address });
    }

    /// The process in this slot is gone.
    pub(crate) fn ended(&self, worker: WorkerId) {
        self.lock().processes[worker.slot.index()] = None;
    }

    /// Where this worker listens, while its process runs.
    pub(crate) fn address(&self, worker: WorkerId) -> Option<Arc<Address>> {
        let state = self.lock();
        let process = state.processes[worker.slot.index()].as_ref();
        process.filter(|process| process.life == worker.life).map(|process| Arc::clone(&process.address))
    }

    fn status(&self) -> PoolStatus {
        let now = self.now();
        let state = self.lock();
        let routes: Vec<RouteView> = state.core.routes().collect();
        let workers = state.core.workers().map(|view| (view, &state.processes[view.id.slot.index()]));
        let workers = workers.map(|(view, process)| WorkerStatus {
            id: view.id,
            pid: process.as_ref().map(|process| process.pid),
            address: process.as_ref().map(|process| Address::clone(&process.address)),
            phase: view.phase,
            since: now.since(view.entered),
            in_flight: view.in_flight,
            parked: view.parked,
            cap: view.cap,
            oldest_request: view.oldest.map_or(Duration::ZERO, |oldest| now.since(oldest)),
            restarts: RestartReason::ALL
                .iter()
                .map(|reason| RestartCount { reason: reason.as_str(), count: view.restarts.of(*reason) })
                .collect(),
            frozen_total: view.frozen_total,
            wanted: view.wanted,
            reserve: view.reserve,
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
            routes: routes
                .into_iter()
                .map(|view| RouteStatus {
                    name: self.route_names.name(view.route),
                    standing: view.standing,
                    need: view.need,
                    p99: view.p99,
                    spread: view.spread,
                })
                .collect(),
            counts: state.core.counts(),
        }
    }

    /// Sorts what the policy decided: verdicts for those who wait are delivered here, the rest is the supervisor's.
    fn conclude(&self, mut state: MutexGuard<'_, State>, shared: &Arc<Self>) {
        let (mut verdicts, mut rescued) = (Vec::new(), Vec::new());
        let mut wake = false;
        while let Some(action) = state.core.poll_action() {
            match action {
                Action::Grant(ticket, id) => {
                    if let Some(waiter) = state.waiting.remove(&ticket) {
                        state.wakers.insert(id, waiter.task);
                        verdicts.push((waiter.granted, Ok(Lease::new(Arc::clone(shared), id))));
                    }
                }
                Action::Reject(ticket, refusal) => {
                    verdicts
                        .extend(state.waiting.remove(&ticket).map(|waiter| (waiter.granted, Err(refusal))));
                }
                Action::Rescue(id) => {
                    if let Some(task) = state.wakers.get(id).cloned() {
                        self.verdicts[id.worker.slot.index()].fetch_add(1, Ordering::Relaxed);
                        state.due.insert(id);
                        rescued.push(task);
                    }
                }
                Action::Spawn(_)
                | Action::Signal(..)
                | Action::Probe(_)
                | Action::Report(_)
                | Action::Judged(_)
                | Action::Standing(_)
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
        for task in rescued {
            task.wake();
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
    /// What the core is to be told of the time when somebody saw this.
    fn advance(&mut self, seen: Moment) -> Moment {
        self.now = self.now.max(seen);
        self.now
    }

    fn admitted(&mut self, admission: Admission, shared: Arc<Shared>, task: Waker) -> Admitted {
        match admission {
            Admission::Assigned(id) => {
                self.wakers.insert(id, task);
                Admitted::Now(Lease::new(shared, id))
            }
            Admission::Queued(ticket) => {
                let (granted, receiver) = oneshot::channel();
                self.waiting.insert(ticket, Waiter { granted, task });
                Admitted::Later(ticket, receiver)
            }
            Admission::Shed(refusal) => Admitted::Never(refusal),
        }
    }

    fn forget(&mut self, lease: LeaseId) -> Option<Waker> {
        if !self.due.is_empty() {
            self.due.remove(&lease);
        }
        self.wakers.remove(lease)
    }
}
