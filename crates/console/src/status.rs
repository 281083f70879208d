//! The status document of `GET /api/v1/status`: one definition for the server and for `antifreeze status`.
//!
//! Keys are only ever added. A reader ignores keys that it does not know.

use crate::{Snapshot, Stage};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::time::Duration;
use supervisor::{PoolStatus, WorkerStatus};

/// The whole document.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Status {
    /// Antifreeze's version.
    pub version: String,
    /// The process id of the supervisor.
    pub pid: u32,
    /// Milliseconds since the admin API was bound, which is part of the start.
    pub uptime_ms: u64,
    /// `running`, or `draining`: no more connections are taken.
    #[serde(default = "running")]
    pub stage: String,
    /// The pools, in the order of the configuration.
    pub pools: Vec<PoolEntry>,
}

/// One pool.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PoolEntry {
    /// Its name.
    pub name: String,
    /// What waits for a worker.
    pub queue: QueueEntry,
    /// Requests turned away, by reason.
    #[serde(default)]
    pub shed: BTreeMap<String, u64>,
    /// Lines that workers printed and nobody took in time.
    #[serde(default)]
    pub lines_dropped: u64,
    /// One entry a slot, in order.
    pub workers: Vec<WorkerEntry>,
    /// Routes at work now, and those that froze workers.
    #[serde(default)]
    pub routes: Vec<RouteEntry>,
}

/// One route.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RouteEntry {
    /// What it is called: `GET /users/{id}`.
    pub name: String,
    /// `good`; `confined`: on one worker at a time, since it froze one; or `quarantined`: turned away but for a canary.
    pub standing: String,
    /// The mean number of workers that it keeps busy.
    pub need: f64,
    /// How long all but one in a hundred of its requests take, in milliseconds; absent while too few are known.
    pub p99_ms: Option<u64>,
    /// How many workers hold requests of it.
    pub spread: u32,
}

/// The queue of a pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct QueueEntry {
    /// Requests waiting.
    pub length: u64,
    /// Milliseconds that the oldest of them has waited; 0 if none does.
    pub oldest_ms: u64,
}

/// One worker.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WorkerEntry {
    /// Its place, from 1: the same number as in `web.3 | ...`.
    pub slot: u32,
    /// Which process in that place, from 1; 0 before the first.
    pub life: u32,
    /// The process id while there is a process.
    pub pid: Option<u32>,
    /// `unix:/path` or `127.0.0.1:4711` while there is a process.
    pub address: Option<String>,
    /// `waiting`, `starting`, `serving`, `clogged`, `suspect`, `frozen`, `draining`, `stopping` or `killing`.
    pub state: String,
    /// Milliseconds that it has been in this state: a duration, not a date.
    pub since_ms: u64,
    /// Requests it holds, parked ones among them.
    pub in_flight: u32,
    /// Requests it holds that are known to wait on a live worker, or that stream.
    pub parked: u32,
    /// How many requests that are not parked it may hold now; 0 if that is not told.
    #[serde(default)]
    pub cap: u32,
    /// The age in milliseconds of its oldest request that is not parked; 0 if there is none.
    #[serde(default)]
    pub oldest_request_ms: u64,
    /// Restarts of this slot, all reasons together.
    pub restarts: u64,
    /// The same by reason.
    #[serde(default)]
    pub restarts_by_reason: BTreeMap<String, u64>,
    /// How often this slot's workers were found frozen.
    pub frozen_total: u64,
    /// Whether a worker is wanted in this slot.
    #[serde(default = "wanted")]
    pub wanted: bool,
    /// Whether it stands by, booted, instead of taking requests.
    #[serde(default)]
    pub reserve: bool,
}

impl Status {
    /// The document about this moment.
    pub fn new(uptime: Duration, snapshot: &Snapshot) -> Self {
        Self {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            pid: std::process::id(),
            uptime_ms: milliseconds(uptime),
            stage: snapshot.stage.as_str().to_owned(),
            pools: snapshot.pools.iter().map(PoolEntry::from).collect(),
        }
    }
}

impl From<&PoolStatus> for PoolEntry {
    fn from(pool: &PoolStatus) -> Self {
        Self {
            name: pool.name.clone(),
            queue: QueueEntry {
                length: pool.queue.length as u64,
                oldest_ms: milliseconds(pool.queue.oldest),
            },
            shed: pool.shed.iter().map(|(reason, count)| ((*reason).to_owned(), *count)).collect(),
            lines_dropped: pool.lines_dropped,
            workers: pool.workers.iter().map(WorkerEntry::from).collect(),
            routes: pool
                .routes
                .iter()
                .map(|route| RouteEntry {
                    name: route.name.clone(),
                    standing: route.standing.as_str().to_owned(),
                    need: route.need,
                    p99_ms: route.p99.map(milliseconds),
                    spread: route.spread,
                })
                .collect(),
        }
    }
}

impl From<&WorkerStatus> for WorkerEntry {
    fn from(worker: &WorkerStatus) -> Self {
        Self {
            slot: worker.id.slot.number(),
            life: worker.id.life,
            pid: worker.pid,
            address: worker.address.as_ref().map(ToString::to_string),
            state: worker.phase.as_str().to_owned(),
            since_ms: milliseconds(worker.since),
            in_flight: worker.in_flight,
            parked: worker.parked,
            cap: worker.cap,
            oldest_request_ms: milliseconds(worker.oldest_request),
            restarts: worker.restarts_total(),
            restarts_by_reason: worker
                .restarts
                .iter()
                .map(|restart| (restart.reason.to_owned(), restart.count))
                .collect(),
            frozen_total: worker.frozen_total,
            wanted: worker.wanted,
            reserve: worker.reserve,
        }
    }
}

fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// What a document without the key means.
fn wanted() -> bool {
    true
}

/// What a document without the key means.
fn running() -> String {
    Stage::Running.as_str().to_owned()
}
