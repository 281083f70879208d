//! Pools for tests: plain data, no processes.

use crate::{Snapshot, Stage};
use policy::{Counts, Phase, RestartReason, RouteStanding, Shed, Slot, WorkerId};
use std::time::Duration;
use supervisor::{Address, PoolStatus, QueueStatus, RestartCount, RouteStatus, WorkerStatus};

/// These pools, at work.
pub(crate) fn running(pools: Vec<PoolStatus>) -> Snapshot {
    Snapshot { stage: Stage::Running, pools }
}

/// A pool with a worker in each of these states.
pub(crate) fn pool(name: &str, phases: &[Phase]) -> PoolStatus {
    PoolStatus {
        name: name.to_owned(),
        queue: QueueStatus { length: 2, oldest: Duration::from_millis(1500) },
        workers: (0..).zip(phases).map(|(slot, phase)| worker(slot, *phase)).collect(),
        shed: Shed::ALL.iter().map(|why| (why.as_str(), 0)).collect(),
        lines_dropped: 5,
        routes: vec![RouteStatus {
            name: "GET /users/{id}".to_owned(),
            standing: RouteStanding::Confined,
            need: 0.5,
            p99: Some(Duration::from_millis(40)),
            spread: 1,
        }],
        counts: Counts { suspicions: 7, thaws: 2, ..Counts::default() },
    }
}

fn worker(slot: u16, phase: Phase) -> WorkerStatus {
    let runs = phase != Phase::Waiting;
    let number = u32::from(slot) + 1;
    WorkerStatus {
        id: WorkerId { slot: Slot(slot), life: 17 },
        pid: runs.then_some(4000 + number),
        address: runs.then(|| Address::Unix(format!("/run/web/{number}.sock").into())),
        phase,
        since: Duration::from_millis(90_250),
        in_flight: 3,
        parked: 1,
        cap: 64,
        oldest_request: Duration::from_millis(250),
        restarts: RestartReason::ALL
            .iter()
            .map(|reason| RestartCount { reason: reason.as_str(), count: u64::from(number) })
            .collect(),
        frozen_total: 2,
        wanted: true,
        reserve: false,
    }
}
