//! One pool as one data-plane thread sees it: idle connections, routes, counts.

use crate::RescueScope;
use crate::channel::{self, Berth, Channels};
use crate::metrics::{Metrics, Rescue, Retry, Tally};
use crate::route::replica::Replica;
use crate::route::{Route, RouteTable};
use crate::upstream::{Idle, Upstream};
use http::Method;
use policy::WorkerId;
use std::io;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use supervisor::{Lease, Pool, Protocol};
use tokio::time::Instant;

/// The workers of one app, and what is known of its routes.
#[derive(Clone, Debug)]
pub struct App {
    /// Its workers.
    pub pool: Pool,
    /// Which of its requests are expected to behave alike.
    pub routes: RouteTable,
    /// Which of its requests may be sent to another worker.
    pub rescue: RescueScope,
}

/// One thread's part of one app. The lock is only for the compiler: no other thread ever takes it.
#[derive(Debug)]
pub(crate) struct Backend {
    pub(crate) pool: Pool,
    pub(crate) routes: RouteTable,
    pub(crate) rescue: RescueScope,
    /// What its workers are spoken to in.
    pub(crate) protocol: Protocol,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    /// Of workers that speak HTTP/1.1.
    idle: Idle,
    /// Of those that speak HTTP/2.
    channels: Channels,
    tally: Tally,
    routes: Replica,
}

impl Backend {
    pub(crate) fn new(App { pool, routes, rescue }: App, metrics: &Metrics) -> Self {
        let (tally, replica) = (metrics.tally(pool.name()), Replica::new(routes.clone()));
        let state = State { idle: Idle::default(), channels: Channels::default(), tally, routes: replica };
        Self { protocol: pool.protocol(), pool, routes, rescue, state: Mutex::new(state) }
    }

    pub(crate) fn take_idle(&self, worker: WorkerId, now: Instant) -> Option<Box<Upstream>> {
        self.state().idle.take(worker, now, self.pool.keep_alive())
    }

    pub(crate) fn put_idle(&self, worker: WorkerId, connection: Box<Upstream>, now: Instant) {
        self.state().idle.put(worker, connection, now);
    }

    /// A berth on a channel to the worker of this lease: on one that is open, else on a new one.
    ///
    /// # Errors
    /// What connect(2) reports.
    pub(crate) async fn berth(&self, lease: &Lease) -> io::Result<Berth> {
        let worker = lease.worker();
        let find = || self.state().channels.find(worker, self.pool.keep_alive());
        if let Some(berth) = find() {
            return Ok(berth);
        }
        let opening = self.state().channels.opening(worker);
        let _opening = opening.lock().await;
        match find() {
            Some(berth) => Ok(berth),
            None => self.fresh_berth(lease).await,
        }
    }

    /// The same, on a new channel.
    ///
    /// # Errors
    /// What connect(2) reports.
    pub(crate) async fn fresh_berth(&self, lease: &Lease) -> io::Result<Berth> {
        let opened = channel::open(lease).await?;
        Ok(self.state().channels.add(lease.worker(), opened))
    }

    /// The route that a request belongs to.
    pub(crate) fn route(&self, method: &Method, path: &str) -> Route {
        self.state().routes.find(method, path)
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

    /// Closes stale connections, and adds the counts up.
    pub(crate) fn sweep(&self) {
        let mut state = self.state();
        state.idle.sweep(self.pool.keep_alive());
        state.channels.sweep(self.pool.keep_alive());
        state.tally.flush();
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
