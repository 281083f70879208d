//! How many requests a worker may hold: as many as leave its event loop quick.
//!
//! Where more is asked for than workers can do, what is beyond must wait somewhere. Within a worker it makes everything
//! late, the newest as well as the oldest; in the queue in front of them it can be served newest first, and turned away
//! in time. From outside, a handler that computes looks like one that waits; but the probe of a worker whose loop has
//! much to do is late itself, by as much as everything else there. So a worker that is nearly as full as it may be is
//! probed once a second, and its cap follows: up by a few while the answer is quick, down in proportion when it is not.
//! A worker that merely waits, for whatever long, answers at once.

use crate::event::Action;
use crate::pool::{PARK_AFTER, Pool};
use crate::state::State;
use crate::worker::Worker;
use crate::{MaxInFlight, Moment, Slot};
use std::time::Duration;

/// What is known of the time that a worker's loop takes for an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Lag {
    probe: LastProbe,
    /// How long the latest answer took.
    measured: Duration,
}

/// The latest probe of a worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum LastProbe {
    /// It was sent then, and is not answered yet.
    Open(Moment),
    /// It was sent then, and is over.
    Over(Moment),
}

impl Lag {
    /// Of a worker that was not probed yet.
    pub(crate) fn unknown(now: Moment) -> Self {
        Self { probe: LastProbe::Over(now), measured: Duration::ZERO }
    }

    /// A probe goes out.
    pub(crate) fn ask(&mut self, now: Moment) {
        self.probe = LastProbe::Open(now);
    }

    /// It found no connection.
    pub(crate) fn give_up(&mut self) {
        self.probe = LastProbe::Over(self.asked());
    }

    fn answered(&mut self, lag: Duration) {
        self.probe = LastProbe::Over(self.asked());
        self.measured = lag;
    }

    fn asked(&self) -> Moment {
        match self.probe {
            LastProbe::Open(at) | LastProbe::Over(at) => at,
        }
    }

    /// What it is at least: an answer that has not come is late already.
    fn at_least(&self, now: Moment) -> Duration {
        match self.probe {
            LastProbe::Open(at) => self.measured.max(now.since(at)),
            LastProbe::Over(_) => self.measured,
        }
    }

    /// From which age on a request of this worker waits for something of its own, and not for its turn: a few turns of
    /// the loop at most.
    pub(crate) fn park_after(&self, now: Moment) -> Duration {
        PARK_AFTER.max((self.at_least(now) * 4).min(LONGEST_LINE))
    }

    /// When the next probe may go out.
    fn next(&self) -> Option<Moment> {
        match self.probe {
            LastProbe::Open(_) => None,
            LastProbe::Over(at) => Some(at + ASK_EVERY),
        }
    }
}

impl Pool {
    /// A worker answered its probe after this long.
    pub(crate) fn measured(&mut self, slot: Slot, lag: Duration) {
        let worker = &mut self.workers[slot.index()];
        // The probe was read after all that was sent before it.
        worker.done = worker.done.max(worker.lag.asked());
        worker.lag.answered(lag);
        if self.config.max_in_flight == MaxInFlight::Auto && self.rotation.is_nearly_full(slot) {
            let cap = self.rotation.cap(slot);
            self.rotation.set_cap(slot, next_cap(cap, lag));
        }
    }

    /// Probes the serving workers whose lag is of interest, and not too often.
    pub(crate) fn ask_for_lag(&mut self, now: Moment) {
        for index in 0..self.workers.len() {
            if self.lag_due(&self.workers[index]).is_some_and(|due| due <= now) {
                let worker = &mut self.workers[index];
                worker.lag.ask(now);
                self.actions.push_back(Action::Probe(worker.id));
            }
        }
    }

    /// When a worker's lag is to be asked for.
    pub(crate) fn lag_due(&self, worker: &Worker) -> Option<Moment> {
        let is_of_interest = self.config.max_in_flight == MaxInFlight::Auto
            && worker.state == State::Serving
            && !worker.active.is_empty()
            && (worker.lag.measured > QUICK
                || worker.in_flight() * 4 >= self.rotation.cap(worker.id.slot) * 3);
        worker.lag.next().filter(|_| is_of_interest)
    }
}

/// The cap that follows when a worker that is nearly full has this lag.
fn next_cap(cap: u32, lag: Duration) -> u32 {
    if lag <= QUICK {
        return cap.saturating_add(MORE).min(MOST);
    }
    let share = (QUICK.as_secs_f64() / lag.as_secs_f64()).clamp(0.5, 0.9);
    ((f64::from(cap) * share) as u32).max(LEAST)
}

/// The cap of a worker of which nothing is known.
pub(crate) const FIRST: u32 = 64;

/// A loop that has much to do, and yet answers within a second what computes for a quarter of it.
const LEAST: u32 = 4;

/// A thousand requests a second of a quarter of a second each; what takes longer is parked.
const MOST: u32 = 256;

const MORE: u32 = 4;

/// A loop that takes longer than this for an answer has too much to do.
const QUICK: Duration = Duration::from_millis(50);

const ASK_EVERY: Duration = Duration::from_secs(1);

/// Beyond this age a request does not wait for its turn, however late the latest probe was.
const LONGEST_LINE: Duration = Duration::from_secs(4);

#[cfg(test)]
mod tests {
    use super::*;

    fn after(mut cap: u32, lag: impl Fn(u32) -> Duration, seconds: u32) -> u32 {
        for _ in 0..seconds {
            cap = next_cap(cap, lag(cap));
        }
        cap
    }

    #[test]
    fn what_computes_is_cut_to_what_a_loop_does_in_a_twentieth_of_a_second() {
        for (work, caps) in [(10, 4..=9), (5, 8..=14), (50, 4..=8), (1_000, 4..=4)] {
            let cap = after(FIRST, |cap| Duration::from_millis(work) * cap, 6);
            assert!(caps.contains(&cap), "{cap} of {work} ms each");
        }
    }

    #[test]
    fn what_waits_may_be_as_many_as_ask_for_it() {
        assert_eq!(after(LEAST, |_| Duration::from_millis(1), 60), 244);
        assert_eq!(after(LEAST, |_| Duration::from_millis(1), 600), MOST);
    }
}
