//! What is measured of a run, and of several.

use super::ledger::{Fate, Ledger, Request};
use super::optimum;
use super::scenario::{FAULT, Role, Scenario, Setup};
use super::world::run;
use std::time::Duration;

/// One run: the requests that arrived while the fault lasted.
pub(crate) struct Figures {
    /// The share of the fast requests that were answered within a second.
    pub(crate) good: f64,
    /// What half of the fast requests took at most, and 99 % of them; `NEVER` for those without an answer.
    pub(crate) p50: Duration,
    pub(crate) p99: Duration,
    /// The p99 of one ideal queue.
    pub(crate) optimal_p99: Duration,
    /// The share of the slow requests that were answered; nothing if there were none.
    pub(crate) slow: Option<f64>,
    /// As the pool counts them, for whatever reason.
    pub(crate) restarts: u64,
    pub(crate) violations: Vec<String>,
}

/// Several runs of the same story: means, medians of the times, and every violation.
pub(crate) struct Summary {
    pub(crate) good: f64,
    pub(crate) p50: Duration,
    pub(crate) p99: Duration,
    /// The p99 as a multiple of the ideal one; the median.
    pub(crate) over_optimum: f64,
    pub(crate) slow: Option<f64>,
    pub(crate) restarts: f64,
    pub(crate) violations: Vec<String>,
}

impl Figures {
    pub(crate) fn of(scenario: &Scenario, setup: Setup, seed: u64, ledger: &Ledger, restarts: u64) -> Self {
        let measured = || ledger.requests.iter().filter(|request| request.arrived.elapsed() >= FAULT);
        let of_role = |role| measured().filter(move |request| scenario.role(request.route) == role);
        let mut fast: Vec<Duration> = of_role(Role::Fast).map(latency).collect();
        fast.sort();
        let mut ideal = optimum::latencies(scenario, setup, seed);
        ideal.sort();
        let slow = of_role(Role::Slow).count();
        let answered = of_role(Role::Slow).filter(|request| latency(request) < NEVER).count();
        Self {
            good: share(fast.partition_point(|time| *time <= SLO), fast.len()),
            p50: quantile(&fast, 0.5),
            p99: quantile(&fast, 0.99),
            optimal_p99: quantile(&ideal, 0.99),
            slow: (slow > 0).then(|| share(answered, slow)),
            restarts,
            violations: ledger.violations.clone(),
        }
    }
}

impl Summary {
    /// Runs the story with the seeds from 1 to this.
    pub(crate) fn of_runs(scenario: &Scenario, setup: Setup, seeds: u64) -> Self {
        let runs: Vec<Figures> = (1..=seeds).map(|seed| run(scenario, setup, seed)).collect();
        Self::of(&runs)
    }

    fn of(runs: &[Figures]) -> Self {
        let mean = |figure: fn(&Figures) -> f64| runs.iter().map(figure).sum::<f64>() / runs.len() as f64;
        let median = |figure: fn(&Figures) -> f64| {
            let mut all: Vec<f64> = runs.iter().map(figure).collect();
            all.sort_by(f64::total_cmp);
            all[all.len() / 2]
        };
        Self {
            good: mean(|run| run.good),
            p50: Duration::from_secs_f64(median(|run| run.p50.as_secs_f64())),
            p99: Duration::from_secs_f64(median(|run| run.p99.as_secs_f64())),
            over_optimum: median(|run| run.p99.as_secs_f64() / run.optimal_p99.as_secs_f64()),
            slow: runs[0].slow.is_some().then(|| mean(|run| run.slow.unwrap_or(0.0))),
            restarts: mean(|run| run.restarts as f64),
            violations: runs.iter().flat_map(|run| run.violations.iter().cloned()).collect(),
        }
    }
}

/// From the client's first try to the answer.
fn latency(request: &Request) -> Duration {
    match request.fate {
        Fate::Answered(at) => at.since(request.arrived),
        Fate::Open | Fate::TurnedAway(_) | Fate::Failed | Fate::GaveUp => NEVER,
    }
}

fn share(part: usize, whole: usize) -> f64 {
    part as f64 / whole.max(1) as f64
}

fn quantile(sorted: &[Duration], share: f64) -> Duration {
    let place = (sorted.len() as f64 * share) as usize;
    sorted.get(place.min(sorted.len().saturating_sub(1))).copied().unwrap_or_default()
}

/// Within this a fast request is answered well.
const SLO: Duration = Duration::from_secs(1);

/// Longer than any client waits.
pub(crate) const NEVER: Duration = Duration::from_secs(3600);
