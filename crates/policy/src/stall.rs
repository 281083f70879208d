//! The guard against a stalled host: when everybody is silent at once, nobody in particular is to blame.
//!
//! A laptop that slept, a virtual machine that was paused, a container out of CPU quota: the supervisor wakes, sees
//! that no worker said anything for seconds, and must not kill a healthy fleet for it.

use crate::state::State;
use crate::worker::{REVIEW_EVERY, Worker};
use crate::{Moment, PoolConfig, RouteId};
use std::time::Duration;

/// A timeout handled this late tells of a stall; the timer's own jitter is a few milliseconds.
pub(crate) const LATE: Duration = Duration::from_millis(100);

/// Workers that fell silent within this time of each other did so together.
const TOGETHER: Duration = Duration::from_millis(100);

/// Gives every verdict that is under way its whole time again.
pub(crate) fn forgive(workers: &mut [Worker], config: &PoolConfig, now: Moment) {
    for worker in workers {
        match &mut worker.state {
            State::Suspect { deadline, .. } => *deadline = now + config.freeze.probe_timeout,
            State::Frozen { restart_at, review_at, .. } => {
                *restart_at = now + config.freeze.restart_after;
                *review_at = now + REVIEW_EVERY;
            }
            State::Starting { deadline } => *deadline = now + config.start.timeout,
            // A silence is counted from the stall; the others are promises to people, and stand.
            State::Waiting { .. }
            | State::Serving
            | State::Clogged { .. }
            | State::Draining { .. }
            | State::Stopping { .. }
            | State::Killing => {}
        }
    }
}

/// Whether half of the live workers or more fell silent together with this suspect, and not through one route. Each
/// suspicion is excused once.
pub(crate) fn looks_stalled(
    workers: &[Worker],
    index: usize,
    route: impl Fn(&Worker) -> Option<RouteId>,
) -> bool {
    let suspect = &workers[index];
    if !matches!(suspect.state, State::Suspect { excused: false, .. }) {
        return false;
    }
    let together = |other: &&Worker| {
        matches!(other.state, State::Suspect { .. })
            && other.heard.since(suspect.heard).max(suspect.heard.since(other.heard)) <= TOGETHER
    };
    let alive = workers.iter().filter(|worker| worker.state.is_at_work()).count();
    let silent = workers.iter().filter(together).count();
    let one_route = workers.iter().filter(together).all(|worker| route(worker) == route(suspect));
    silent >= 2 && silent * 2 >= alive && !one_route
}
