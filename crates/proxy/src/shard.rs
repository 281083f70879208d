//! What one data-plane thread has for itself: idle connections, counts, request ids.

use crate::Options;
use crate::metrics::{Metrics, Rescue, Retry, Tally};
use crate::route::Route;
use crate::route::replica::Replica;
use crate::upstream::{Idle, Upstream};
use http::{HeaderValue, Method};
use policy::WorkerId;
use std::hash::{BuildHasher, RandomState};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use supervisor::Pool;
use tokio::task::JoinSet;
use tokio::time::Instant;

/// One thread's part of the proxy. The lock is only for the compiler: no other thread ever takes it.
#[derive(Debug)]
pub(crate) struct Shard {
    pub(crate) pool: Pool,
    pub(crate) options: Options,
    pub(crate) metrics: Metrics,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    idle: Idle,
    tunnels: JoinSet<()>,
    tally: Tally,
    routes: Replica,
    /// The first half of request ids: random, different for each thread of each process.
    prefix: u64,
    /// The second half.
    next: u64,
}

impl Shard {
    pub(crate) fn new(pool: Pool, options: Options, metrics: Metrics, thread: usize) -> Self {
        let prefix = RandomState::new().hash_one(thread);
        let state = State {
            idle: Idle::default(),
            tunnels: JoinSet::new(),
            tally: metrics.tally(),
            routes: Replica::new(options.routes.clone()),
            prefix,
            next: 0,
        };
        Self { pool, options, metrics, state: Mutex::new(state) }
    }

    pub(crate) fn take_idle(&self, worker: WorkerId) -> Option<Box<Upstream>> {
        self.state().idle.take(worker)
    }

    pub(crate) fn put_idle(&self, worker: WorkerId, connection: Box<Upstream>, now: Instant) {
        self.state().idle.put(worker, connection, now);
    }

    /// Starts a tunnel that outlives its request, and its client's HTTP connection.
    pub(crate) fn keep_tunnel(&self, tunnel: impl Future<Output = ()> + Send + 'static) {
        self.state().tunnels.spawn(tunnel);
    }

    /// All tunnels that are open, for whoever waits for their end or cuts them.
    pub(crate) fn take_tunnels(&self) -> JoinSet<()> {
        std::mem::take(&mut self.state().tunnels)
    }

    /// The route that a request belongs to.
    pub(crate) fn route(&self, method: &Method, path: &str) -> Route {
        self.state().routes.find(method, path)
    }

    /// A new request id: 32 hexadecimal digits, unique without asking the system.
    pub(crate) fn new_id(&self) -> HeaderValue {
        let mut state = self.state();
        state.next += 1;
        let number = u128::from(state.prefix) << 64 | u128::from(state.next);
        let digits: [u8; 32] =
            std::array::from_fn(|place| b"0123456789abcdef"[(number >> (124 - 4 * place)) as usize & 15]);
        HeaderValue::from_bytes(&digits).expect("hexadecimal digits are plain text")
    }

    pub(crate) fn count_request(&self, status: u16, took: Duration) {
        self.state().tally.request(status, took);
    }

    pub(crate) fn count_wait(&self, wait: Duration) {
        self.state().tally.waited(wait);
    }

    pub(crate) fn count_answer(&self, after: Duration) {
        self.state().tally.answered(after);
    }

    pub(crate) fn count_retry(&self, why: Retry) {
        self.state().tally.retried(why);
    }

    pub(crate) fn count_rescue(&self, how: Rescue) {
        self.state().tally.rescued(how);
    }

    /// Closes stale connections, forgets tunnels that ended, and adds the counts up.
    pub(crate) fn sweep(&self) {
        let mut state = self.state();
        state.idle.sweep(self.pool.keep_alive());
        while state.tunnels.try_join_next().is_some() {}
        state.tally.flush();
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
