//! What the figures must be one day, and are today.
//!
//! A run is deterministic, so a figure changes only when the policy does. The tests hold it to the goal once that is
//! reached, and to `today` until then: when the policy learns something, raise `today` (`simulate --goals` prints the
//! figures).

use super::figures::Summary;
use super::scenario::Server::{Async, Sync};
use super::scenario::{Scenario, Server, Setup};
use Measure::{Answered, FastP99, Good, OverOptimum, Restarts};
use std::fmt;

/// One figure of one story.
pub(crate) struct Goal {
    pub(crate) scenario: &'static str,
    pub(crate) server: Server,
    pub(crate) workers: u16,
    pub(crate) measure: Measure,
    /// What it shall be.
    pub(crate) wanted: f64,
    /// What it is.
    pub(crate) today: f64,
}

/// What is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Measure {
    /// Fast requests answered within a second, in percent.
    Good,
    /// Slow requests answered, in percent.
    Answered,
    /// The p99 of the fast requests, in milliseconds.
    FastP99,
    /// That as a multiple of an ideal queue's.
    OverOptimum,
    /// Restarts.
    Restarts,
}

impl Goal {
    const fn new(
        scenario: &'static str,
        server: Server,
        workers: u16,
        measure: Measure,
        wanted: f64,
        today: f64,
    ) -> Self {
        Self { scenario, server, workers, measure, wanted, today }
    }

    pub(crate) fn scenario(&self) -> &'static Scenario {
        Scenario::named(self.scenario).expect("goals are of scenarios that there are")
    }

    pub(crate) fn setup(&self) -> Setup {
        Setup { server: self.server, workers: self.workers, spare: 0 }
    }

    /// Whether this figure is no worse than what is written down (and rounded): the goal where it is reached, else
    /// today's.
    pub(crate) fn is_kept_by(&self, figure: f64) -> bool {
        match self.measure {
            Good | Answered => figure + 0.1 >= self.wanted.min(self.today),
            FastP99 | OverOptimum | Restarts => figure <= self.wanted.max(self.today) * 1.01,
        }
    }
}

impl fmt::Display for Goal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { scenario, server, workers, measure, .. } = self;
        let what = match measure {
            Good => "fast requests within 1 s, %",
            Answered => "slow requests answered, %",
            FastP99 => "p99 of fast requests, ms",
            OverOptimum => "p99 of fast requests over an ideal queue's",
            Restarts => "restarts",
        };
        write!(f, "{scenario}, {} N={workers}: {what}", server.as_str())
    }
}

impl Measure {
    pub(crate) fn of(self, summary: &Summary) -> f64 {
        match self {
            Good => summary.good * 100.0,
            Answered => summary.slow.unwrap_or(1.0) * 100.0,
            FastP99 => summary.p99.as_secs_f64() * 1e3,
            OverOptimum => summary.over_optimum,
            Restarts => summary.restarts,
        }
    }
}

pub(crate) const GOALS: &[Goal] = &[
    Goal::new("healthy", Sync, 2, OverOptimum, 1.1, 1.00),
    Goal::new("healthy", Sync, 4, OverOptimum, 1.1, 1.00),
    Goal::new("healthy", Sync, 8, OverOptimum, 1.1, 1.00),
    Goal::new("healthy", Async, 4, OverOptimum, 1.25, 1.22),
    Goal::new("healthy", Sync, 4, Good, 100.0, 100.0),
    Goal::new("healthy", Async, 4, Good, 100.0, 100.0),
    Goal::new("healthy", Sync, 4, Restarts, 0.0, 0.0),
    Goal::new("healthy", Async, 4, Restarts, 0.0, 0.0),
    Goal::new("outage", Sync, 2, Good, 99.0, 100.0),
    Goal::new("outage", Sync, 4, Good, 99.0, 100.0),
    Goal::new("outage", Sync, 8, Good, 99.0, 100.0),
    Goal::new("outage", Async, 2, Good, 99.0, 99.9),
    Goal::new("outage", Async, 4, Good, 99.0, 100.0),
    Goal::new("outage", Async, 8, Good, 99.0, 100.0),
    Goal::new("rare", Sync, 4, Good, 99.0, 99.7),
    Goal::new("rare", Async, 4, Good, 99.0, 99.9),
    Goal::new("await", Async, 2, Good, 100.0, 100.0),
    Goal::new("await", Async, 4, Good, 100.0, 100.0),
    Goal::new("await", Async, 4, Answered, 100.0, 100.0),
    Goal::new("await", Async, 4, Restarts, 0.0, 0.0),
    Goal::new("legit", Sync, 4, FastP99, 60.0, 40.0),
    Goal::new("legit", Sync, 4, Answered, 99.0, 100.0),
    Goal::new("legit", Sync, 4, Restarts, 0.0, 0.0),
    Goal::new("legit", Async, 4, Answered, 99.0, 100.0),
    Goal::new("legit", Async, 4, Restarts, 0.0, 0.0),
    Goal::new("retries", Sync, 4, Good, 99.0, 100.0),
    Goal::new("retries", Async, 4, Good, 99.0, 100.0),
    Goal::new("dominant", Sync, 4, Good, 99.0, 93.8),
    Goal::new("dominant", Async, 4, Good, 99.0, 88.4),
    Goal::new("two-routes", Sync, 4, Good, 99.0, 100.0),
    Goal::new("two-routes", Async, 4, Good, 99.0, 99.9),
    Goal::new("slow-fine", Sync, 4, Good, 99.9, 100.0),
    Goal::new("slow-fine", Async, 4, Good, 99.9, 100.0),
    Goal::new("slow-fine", Sync, 4, Answered, 99.9, 100.0),
    Goal::new("slow-fine", Async, 4, Answered, 99.9, 100.0),
    Goal::new("learned-need", Sync, 4, Good, 99.0, 99.0),
    Goal::new("learned-need", Async, 4, Good, 99.0, 99.9),
    Goal::new("clogged", Async, 4, Good, 99.0, 99.7),
    Goal::new("host-stall", Sync, 4, Restarts, 0.0, 0.0),
    Goal::new("host-stall", Async, 4, Restarts, 0.0, 0.0),
    Goal::new("overload", Async, 4, Good, 76.0, 77.2),
    Goal::new("relays", Async, 4, Good, 99.9, 100.0),
    Goal::new("crashes", Sync, 4, Good, 99.5, 100.0),
    Goal::new("crashes", Async, 4, Good, 99.5, 99.9),
];
