//! A pool at one moment, as plain data.

use crate::Address;
use policy::{Counts, Phase, RouteStanding, WorkerId};
use std::time::Duration;

/// A pool at one moment.
#[derive(Clone, Debug)]
pub struct PoolStatus {
    /// The pool's name.
    pub name: String,
    /// What waits.
    pub queue: QueueStatus,
    /// One entry a slot, in order.
    pub workers: Vec<WorkerStatus>,
    /// Requests turned away by the policy, by reason ([`policy::Shed::as_str`]).
    pub shed: Vec<(&'static str, u64)>,
    /// Lines that workers printed and nobody took in time.
    pub lines_dropped: u64,
    /// Routes at work now, and those that froze workers.
    pub routes: Vec<RouteStatus>,
    /// What the policy decided about freezes so far.
    pub counts: Counts,
}

/// A route at one moment.
#[derive(Clone, Debug, PartialEq)]
pub struct RouteStatus {
    /// What it is called: `GET /users/{id}`.
    pub name: String,
    /// How it stands.
    pub standing: RouteStanding,
    /// The mean number of workers that it keeps busy.
    pub need: f64,
    /// How long all but one in a hundred of its requests take; nothing while too few are known.
    pub p99: Option<Duration>,
    /// How many workers hold requests of it.
    pub spread: u32,
}

/// The queue at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QueueStatus {
    /// Requests waiting.
    pub length: usize,
    /// How long the oldest of them has waited; zero if none does.
    pub oldest: Duration,
}

/// A worker at one moment.
#[derive(Clone, Debug)]
pub struct WorkerStatus {
    /// Slot and life. Life 0: no process was started yet.
    pub id: WorkerId,
    /// The process id while there is a process.
    pub pid: Option<u32>,
    /// Where it listens while there is a process.
    pub address: Option<Address>,
    /// What it is doing.
    pub phase: Phase,
    /// For how long.
    pub since: Duration,
    /// Requests it holds, parked ones among them.
    pub in_flight: u32,
    /// Requests it holds that are known to wait on a live worker, or that stream.
    pub parked: u32,
    /// How many requests that are not parked it may hold now.
    pub cap: u32,
    /// The age of the oldest request it holds that is not parked; zero if there is none.
    pub oldest_request: Duration,
    /// Restarts of this slot by reason.
    pub restarts: Vec<RestartCount>,
    /// How often this slot's workers were found frozen.
    pub frozen_total: u64,
    /// Whether a worker is wanted in this slot.
    pub wanted: bool,
    /// Whether it stands by, booted, instead of taking requests.
    pub reserve: bool,
}

impl WorkerStatus {
    /// All restarts together.
    pub fn restarts_total(&self) -> u64 {
        self.restarts.iter().map(|restart| restart.count).sum()
    }
}

/// How often a slot was restarted for one reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RestartCount {
    /// `crashed`, `failed_to_start`, `start_timeout`, `frozen`: a fixed set, so it may be a metric's label.
    pub reason: &'static str,
    /// How often, since the pool began.
    pub count: u64,
}
