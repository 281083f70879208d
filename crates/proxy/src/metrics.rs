//! What the proxy counts. Handles are resolved once; threads count for themselves and add up a few times a second, so that
//! the path of a request touches no memory that another thread writes.

use prometheus::local::{LocalHistogram, LocalIntCounter};
use prometheus::{HistogramOpts, HistogramVec, IntCounterVec, IntGauge, Opts, Registry, core::Collector};
use std::time::Duration;

/// The proxy's families in a registry.
#[derive(Clone, Debug)]
pub struct Metrics {
    requests: IntCounterVec,
    total: HistogramVec,
    queue_wait: HistogramVec,
    worker_response: HistogramVec,
    retries: IntCounterVec,
    rescues: IntCounterVec,
    handshakes: IntCounterVec,
    failed_handshakes: IntCounterVec,
    refusals: IntCounterVec,
    /// Open client connections.
    pub(crate) connections: IntGauge,
}

impl Metrics {
    /// Makes the families and registers them.
    ///
    /// # Errors
    /// When the registry holds families of these names already.
    pub fn register(registry: &Registry) -> prometheus::Result<Self> {
        let histogram = |name: &str, help: &str| {
            HistogramVec::new(HistogramOpts::new(name, help).buckets(BUCKETS.to_vec()), &["pool"])
        };
        let metrics = Self {
            requests: IntCounterVec::new(
                Opts::new(
                    "antifreeze_requests_total",
                    "Requests answered, by status code; 499: the client left. No pool: none was meant.",
                ),
                &["pool", "code"],
            )?,
            total: histogram(
                "antifreeze_request_duration_seconds",
                "From a request's head to the end of its answer.",
            )?,
            queue_wait: histogram("antifreeze_queue_wait_seconds", "Until a worker was assigned.")?,
            worker_response: histogram(
                "antifreeze_worker_response_seconds",
                "From the assignment of a worker to the head of its answer.",
            )?,
            retries: IntCounterVec::new(
                Opts::new(
                    "antifreeze_retries_total",
                    "Requests sent again, by why the first attempt failed.",
                ),
                &["pool", "reason"],
            )?,
            rescues: IntCounterVec::new(
                Opts::new(
                    "antifreeze_rescues_total",
                    "Requests kept from an answer by a worker that froze, clogged or died, by what came of a second one.",
                ),
                &["pool", "outcome"],
            )?,
            handshakes: IntCounterVec::new(
                Opts::new("antifreeze_tls_handshakes_total", "TLS handshakes with clients that succeeded."),
                &["version", "kind"],
            )?,
            failed_handshakes: IntCounterVec::new(
                Opts::new("antifreeze_tls_handshake_failures_total", "TLS handshakes that failed, by why."),
                &["reason"],
            )?,
            refusals: IntCounterVec::new(
                Opts::new(
                    "antifreeze_refusals_total",
                    "Requests without a worker's whole answer, and connections that were closed instead, by reason.",
                ),
                &["reason"],
            )?,
            connections: IntGauge::new("antifreeze_client_connections", "Open client connections.")?,
        };
        let families: [Box<dyn Collector>; 10] = [
            Box::new(metrics.refusals.clone()),
            Box::new(metrics.rescues.clone()),
            Box::new(metrics.requests.clone()),
            Box::new(metrics.total.clone()),
            Box::new(metrics.queue_wait.clone()),
            Box::new(metrics.worker_response.clone()),
            Box::new(metrics.retries.clone()),
            Box::new(metrics.handshakes.clone()),
            Box::new(metrics.failed_handshakes.clone()),
            Box::new(metrics.connections.clone()),
        ];
        for family in families {
            registry.register(family)?;
        }
        Ok(metrics)
    }

    /// `kind`: whether keys were exchanged anew, or an earlier session resumed.
    pub(crate) fn count_handshake(&self, version: &'static str, kind: &'static str) {
        self.handshakes.with_label_values(&[version, kind]).inc();
    }

    pub(crate) fn count_failed_handshake(&self, reason: &'static str) {
        self.failed_handshakes.with_label_values(&[reason]).inc();
    }

    /// One thread's own counts of one pool.
    pub(crate) fn tally(&self, pool: &str) -> Tally {
        Tally {
            answers: self.answers(pool),
            queue_wait: self.queue_wait.with_label_values(&[pool]).local(),
            worker_response: self.worker_response.with_label_values(&[pool]).local(),
            rescues: RESCUES.map(|outcome| self.rescues.with_label_values(&[pool, outcome]).local()),
            retries: RETRIES.map(|reason| self.retries.with_label_values(&[pool, reason]).local()),
        }
    }

    /// One thread's own counts of what is refused.
    pub(crate) fn refusals(&self) -> Refusals {
        Refusals { by_reason: Vec::new(), shared: self.refusals.clone() }
    }

    /// One thread's own counts of what clients are answered. Those that came to no pool have an empty name for it, which
    /// is to Prometheus as if there were no label.
    pub(crate) fn answers(&self, pool: &str) -> Answers {
        Answers {
            by_code: Vec::new(),
            total: self.total.with_label_values(&[pool]).local(),
            requests: self.requests.clone(),
            pool: pool.into(),
        }
    }
}

/// Why a request was sent again.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Retry {
    /// Nobody accepted the connection.
    Refused,
    /// An idle connection was closed before anything was sent on it.
    Unsent,
    /// The worker refused to read it.
    Full,
    /// An idle connection broke under a safe request, before a byte of the answer.
    Lost,
}

/// What came of a rescue.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Rescue {
    /// The second worker answered.
    Answered,
    /// The first one was quicker after all.
    Overtaken,
    /// The second one did not answer either.
    Failed,
    /// It was not allowed.
    Denied,
}

const RESCUES: [&str; 4] = ["answered", "overtaken", "failed", "denied"];

const RETRIES: [&str; 4] = ["refused", "unsent", "full", "lost"];

/// From half a millisecond to a minute.
const BUCKETS: &[f64] =
    &[0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0];

/// Answers of one thread since it last added them up.
#[derive(Debug)]
pub(crate) struct Answers {
    /// In the order of first appearance: a handful.
    by_code: Vec<(u16, LocalIntCounter)>,
    total: LocalHistogram,
    requests: IntCounterVec,
    pool: Box<str>,
}

impl Answers {
    pub(crate) fn count(&mut self, status: u16, took: Duration) {
        self.total.observe(took.as_secs_f64());
        if let Some((_, counter)) = self.by_code.iter().find(|(code, _)| *code == status) {
            counter.inc();
            return;
        }
        // Workers choose the codes, but HTTP has no more than three digits of them.
        let counter = self.requests.with_label_values(&[&*self.pool, &status.to_string()]).local();
        counter.inc();
        self.by_code.push((status, counter));
    }

    /// Adds this thread's counts to everybody's.
    pub(crate) fn flush(&self) {
        for (_, counter) in &self.by_code {
            counter.flush();
        }
        self.total.flush();
    }
}

/// Refusals of one thread since it last added them up.
#[derive(Debug)]
pub(crate) struct Refusals {
    /// In the order of first appearance.
    by_reason: Vec<(&'static str, LocalIntCounter)>,
    shared: IntCounterVec,
}

impl Refusals {
    pub(crate) fn count(&mut self, reason: &'static str) {
        if let Some((_, counter)) = self.by_reason.iter().find(|(known, _)| *known == reason) {
            counter.inc();
            return;
        }
        let counter = self.shared.with_label_values(&[reason]).local();
        counter.inc();
        self.by_reason.push((reason, counter));
    }

    /// Adds this thread's counts to everybody's.
    pub(crate) fn flush(&self) {
        for (_, counter) in &self.by_reason {
            counter.flush();
        }
    }
}

/// Counts of one thread since it last added them up.
#[derive(Debug)]
pub(crate) struct Tally {
    answers: Answers,
    queue_wait: LocalHistogram,
    worker_response: LocalHistogram,
    retries: [LocalIntCounter; RETRIES.len()],
    rescues: [LocalIntCounter; RESCUES.len()],
}

impl Tally {
    pub(crate) fn request(&mut self, status: u16, took: Duration) {
        self.answers.count(status, took);
    }

    pub(crate) fn waited(&mut self, wait: Duration) {
        self.queue_wait.observe(wait.as_secs_f64());
    }

    pub(crate) fn answered(&mut self, after: Duration) {
        self.worker_response.observe(after.as_secs_f64());
    }

    pub(crate) fn retried(&mut self, why: Retry) {
        self.retries[why as usize].inc();
    }

    pub(crate) fn rescued(&mut self, how: Rescue) {
        self.rescues[how as usize].inc();
    }

    /// Adds this thread's counts to everybody's.
    pub(crate) fn flush(&mut self) {
        self.answers.flush();
        self.queue_wait.flush();
        self.worker_response.flush();
        for counter in self.retries.iter().chain(&self.rescues) {
            counter.flush();
        }
    }
}
