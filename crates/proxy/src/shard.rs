//! What one data-plane thread has for itself: its part of each app, tunnels, request ids.

use crate::backend::{App, Backend};
use crate::clients::Clients;
use crate::drain::Stage;
use crate::error::Error;
use crate::metrics::{Answers, Metrics, Refusals};
use crate::site::Sites;
use crate::watch::Watch;
use crate::{Options, Timeouts};
use http::HeaderValue;
use http::request::Parts;
use logs::{AccessLog, Log};
use std::hash::{BuildHasher, RandomState};
use std::iter;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinSet;

/// One thread's part of the proxy. The lock is only for the compiler: no other thread ever takes it.
#[derive(Debug)]
pub(crate) struct Shard {
    pub(crate) options: Options,
    pub(crate) metrics: Metrics,
    /// Nothing if nobody wants one.
    pub(crate) access_log: Option<AccessLog>,
    /// Those of connections, and behind them those of each site, for the [`Watch`].
    pub(crate) timeouts: Arc<[Timeouts]>,
    pub(crate) backends: Vec<Arc<Backend>>,
    sites: Sites,
    /// By the place of the site.
    destinations: Vec<Destination>,
    /// Shared by all threads.
    pub(crate) clients: Arc<Clients>,
    pub(crate) stage: watch::Receiver<Stage>,
    /// Whether a request came since the last sweep.
    asked: AtomicBool,
    state: Mutex<State>,
}

/// What a site means on this thread.
#[derive(Debug)]
pub(crate) struct Destination {
    pub(crate) backend: Arc<Backend>,
    /// The place of its time limits in [`Shard::timeouts`].
    pub(crate) timeouts: usize,
    /// Bytes of a request's body.
    pub(crate) body_bytes: Option<u64>,
}

#[derive(Debug)]
struct State {
    tunnels: JoinSet<()>,
    /// Requests that came to no pool.
    answers: Answers,
    refusals: Refusals,
    /// The first half of request ids: random, different for each thread of each process.
    prefix: u64,
    /// The second half.
    next: u64,
}

impl Shard {
    pub(crate) fn new(
        apps: &[App],
        options: Options,
        metrics: Metrics,
        clients: Arc<Clients>,
        stage: watch::Receiver<Stage>,
        thread: usize,
    ) -> Self {
        let backends: Vec<_> = apps.iter().map(|app| Arc::new(Backend::new(app.clone(), &metrics))).collect();
        let destinations = options.sites.iter().zip(1..).map(|(site, timeouts)| Destination {
            backend: Arc::clone(&backends[site.app]),
            timeouts,
            body_bytes: site.body_bytes,
        });
        let state = State {
            tunnels: JoinSet::new(),
            answers: metrics.answers(""),
            refusals: metrics.refusals(),
            prefix: RandomState::new().hash_one(thread),
            next: 0,
        };
        Self {
            timeouts: iter::once(options.timeouts)
                .chain(options.sites.iter().map(|site| site.timeouts))
                .collect(),
            destinations: destinations.collect(),
            backends,
            sites: Sites::new(&options.sites),
            access_log: options.log.as_ref().and_then(Log::access),
            options,
            metrics,
            clients,
            stage,
            asked: AtomicBool::new(false),
            state: Mutex::new(state),
        }
    }

    /// Where a request goes, by its head as the worker will get it.
    ///
    /// # Errors
    /// The answer to give instead.
    pub(crate) fn destination(&self, parts: &Parts) -> Result<&Destination, Error> {
        self.asked.store(true, Ordering::Relaxed);
        let site = self.sites.find(&parts.headers, parts.uri.path())?;
        Ok(&self.destinations[site])
    }

    /// How long a connection's request may go on once the service drains, if it is known for which pool it is.
    pub(crate) fn drain_limit(&self, watch: &Watch) -> Option<Duration> {
        watch.site().map(|site| self.destinations[site].backend.pool.drain_timeout())
    }

    /// Starts a tunnel that outlives its request, and its client's HTTP connection.
    pub(crate) fn keep_tunnel(&self, tunnel: impl Future<Output = ()> + Send + 'static) {
        self.state().tunnels.spawn(tunnel);
    }

    /// All tunnels that are open, for whoever waits for their end or cuts them.
    pub(crate) fn take_tunnels(&self) -> JoinSet<()> {
        std::mem::take(&mut self.state().tunnels)
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

    /// Counts a request that came to no pool.
    pub(crate) fn count_request(&self, status: u16, took: Duration) {
        self.state().answers.count(status, took);
    }

    /// Counts a request that was refused, or a connection that was closed for it, by the reason.
    pub(crate) fn refuse(&self, reason: &'static str) {
        self.state().refusals.count(reason);
    }

    /// Closes stale connections, forgets tunnels that ended, and adds the counts up. Tells how busy the thread was since the
    /// last time.
    pub(crate) fn sweep(&self) -> Lately {
        for backend in &self.backends {
            backend.sweep();
        }
        let mut state = self.state();
        while state.tunnels.try_join_next().is_some() {}
        state.answers.flush();
        state.refusals.flush();
        if self.asked.swap(false, Ordering::Relaxed) { Lately::Asked } else { Lately::Quiet }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether a thread got requests since its last sweep.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lately {
    Asked,
    Quiet,
}

/// How often a thread sweeps that has something to do, and one that has not.
pub(crate) const SWEEP_EVERY: Duration = Duration::from_millis(250);
pub(crate) const SWEEP_QUIET: Duration = Duration::from_secs(1);
