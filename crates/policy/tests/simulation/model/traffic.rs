//! The arrivals: a Poisson stream of requests with the work that each will need.
//!
//! Drawn from a random stream of its own, so that every policy meets the same requests.

use super::scenario::{END, FAULT, IO, OPENS, QUICK, Scenario, Server, Setup, TOUCH, UNEVEN_SHARE, Usual};
use fastrand::Rng;
use policy::{Moment, RouteId};
use std::time::Duration;

/// A request that comes in.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Arrival {
    pub(crate) at: Moment,
    pub(crate) route: RouteId,
    pub(crate) work: Work,
}

/// What a request does to its worker: a slice of the loop, something off the loop, another slice.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Work {
    pub(crate) first: Duration,
    pub(crate) between: Between,
    pub(crate) last: Duration,
}

/// What a request does off its worker's loop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Between {
    Nothing,
    /// It waits.
    Wait(Duration),
    /// It keeps one of the worker's threads.
    Thread(Duration),
}

/// All arrivals of a run, in order.
pub(crate) struct Traffic<'a> {
    scenario: &'a Scenario,
    setup: Setup,
    rng: Rng,
    clock: Moment,
}

impl<'a> Traffic<'a> {
    pub(crate) fn new(scenario: &'a Scenario, setup: Setup, seed: u64) -> Self {
        Self { scenario, setup, rng: Rng::with_seed(seed), clock: Moment::after_start(OPENS) }
    }

    fn route(&mut self) -> RouteId {
        let mut point = self.rng.f64();
        let ids = (0..).map(RouteId);
        for (id, route) in ids.zip(self.scenario.routes) {
            if point < route.share {
                return id;
            }
            point -= route.share;
        }
        RouteId(0) // The shares add up to one but for rounding.
    }

    fn work(&mut self, usual: Usual) -> Work {
        let rng = &mut self.rng;
        let usual = match usual {
            Usual::Uneven(time) if rng.f64() < UNEVEN_SHARE => Usual::Report(time),
            Usual::Uneven(_) => Usual::Quick,
            usual => usual,
        };
        let (first, between, last) = match (usual, self.setup.server) {
            (Usual::Quick | Usual::Uneven(_), Server::Sync) => {
                (exponential(rng, QUICK), Between::Nothing, Duration::ZERO)
            }
            (Usual::Quick | Usual::Uneven(_), Server::Async) => {
                (exponential(rng, QUICK / 2), Between::Wait(IO), exponential(rng, QUICK / 2))
            }
            (Usual::Report(time), Server::Sync | Server::Async) => (time, Between::Nothing, Duration::ZERO),
            (Usual::Awaits(time), Server::Sync | Server::Async) => {
                (exponential(rng, QUICK / 2), Between::Wait(time), exponential(rng, QUICK / 2))
            }
            (Usual::Relays(time), Server::Sync | Server::Async) => (TOUCH, Between::Wait(time), TOUCH),
            (Usual::Threaded(time), Server::Sync | Server::Async) => {
                (TOUCH, Between::Thread(exponential(rng, time)), TOUCH)
            }
        };
        Work { first, between, last }
    }
}

impl Iterator for Traffic<'_> {
    type Item = Arrival;

    fn next(&mut self) -> Option<Arrival> {
        let load = if self.clock.elapsed() < FAULT { self.scenario.load_before } else { self.scenario.load };
        let gap = Duration::from_secs_f64(1.0 / self.scenario.rate(load, &self.setup));
        self.clock = self.clock + exponential(&mut self.rng, gap);
        let route = self.route();
        let work = self.work(self.scenario.routes[route.0 as usize].usual);
        (self.clock.elapsed() < END).then_some(Arrival { at: self.clock, route, work })
    }
}

impl Work {
    /// The same under a server that does one thing at a time: its worker is busy all along.
    pub(crate) fn in_one_go(self) -> Self {
        Self {
            first: self.first + self.between.time() + self.last,
            between: Between::Nothing,
            last: Duration::ZERO,
        }
    }

    /// Blocks the worker for this long before it goes on as ever.
    pub(crate) fn blocking(self, time: Duration) -> Self {
        Self { first: time, ..self }
    }

    /// Waits this long, the worker's loop alive.
    pub(crate) fn waiting(self, time: Duration) -> Self {
        Self { between: Between::Wait(time), ..self }
    }

    /// Keeps a thread of the worker for this long.
    pub(crate) fn keeping_a_thread(self, time: Duration) -> Self {
        Self { between: Between::Thread(time), ..self }
    }
}

impl Between {
    /// How long it takes, once there is a thread.
    pub(crate) fn time(self) -> Duration {
        match self {
            Self::Nothing => Duration::ZERO,
            Self::Wait(time) | Self::Thread(time) => time,
        }
    }
}

/// A time with this mean, and no memory.
pub(crate) fn exponential(rng: &mut Rng, mean: Duration) -> Duration {
    mean.mul_f64(-(1.0 - rng.f64()).ln())
}
