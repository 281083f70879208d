//! The pools in Prometheus' words, built anew at each scrape from a snapshot: a worker has no counters of its own to
//! keep in step. Labels are pool names, slot numbers and closed sets of words, so the number of series is bounded.

use crate::Source;
use policy::{Phase, RouteStanding};
use prometheus::core::{Collector, Desc};
use prometheus::proto::{Counter, Gauge, LabelPair, Metric, MetricFamily, MetricType};
use std::collections::HashMap;
use supervisor::{PoolStatus, WorkerStatus};

/// The families of all pools and their workers.
pub(crate) struct PoolMetrics {
    source: Source,
    descriptions: Vec<Desc>,
}

impl PoolMetrics {
    pub(crate) fn new(source: Source) -> prometheus::Result<Self> {
        let described = FAMILIES.iter().map(|family| {
            let labels = family.labels().iter().map(|label| (*label).to_owned()).collect();
            Desc::new(family.name.to_owned(), family.help.to_owned(), labels, HashMap::new())
        });
        Ok(Self { source, descriptions: described.collect::<prometheus::Result<_>>()? })
    }
}

impl Collector for PoolMetrics {
    fn desc(&self) -> Vec<&Desc> {
        self.descriptions.iter().collect()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let pools = (self.source)().pools;
        FAMILIES.iter().map(|family| family.of(&pools)).collect()
    }
}

/// What a family counts or measures.
struct Family {
    name: &'static str,
    help: &'static str,
    kind: MetricType,
    values: Values,
}

/// Where the values of a family come from.
enum Values {
    /// One a pool.
    Pool(fn(&PoolStatus) -> f64),
    /// One a pool and word.
    PoolBy(&'static str, fn(&PoolStatus) -> Vec<(&'static str, f64)>),
    /// One a worker.
    Worker(fn(&WorkerStatus) -> f64),
    /// One a worker and word.
    WorkerBy(&'static str, fn(&WorkerStatus) -> Vec<(&'static str, f64)>),
}

impl Family {
    fn labels(&self) -> Vec<&'static str> {
        match self.values {
            Values::Pool(_) => vec!["pool"],
            Values::PoolBy(label, _) => vec!["pool", label],
            Values::Worker(_) => vec!["pool", "slot"],
            Values::WorkerBy(label, _) => vec!["pool", "slot", label],
        }
    }

    fn of(&self, pools: &[PoolStatus]) -> MetricFamily {
        let mut metrics = Vec::new();
        for pool in pools {
            let name = pool.name.as_str();
            match self.values {
                Values::Pool(value) => metrics.push(self.metric(&[name], value(pool))),
                Values::PoolBy(_, values) => {
                    metrics
                        .extend(values(pool).iter().map(|(word, value)| self.metric(&[name, word], *value)));
                }
                Values::Worker(value) => metrics.extend(
                    pool.workers.iter().map(|worker| self.metric(&[name, &slot(worker)], value(worker))),
                ),
                Values::WorkerBy(_, values) => metrics.extend(pool.workers.iter().flat_map(|worker| {
                    let slot = slot(worker);
                    values(worker)
                        .into_iter()
                        .map(move |(word, value)| self.metric(&[name, &slot, word], value))
                })),
            }
        }
        let mut family = MetricFamily::default();
        family.set_name(self.name.to_owned());
        family.set_help(self.help.to_owned());
        family.set_field_type(self.kind);
        family.set_metric(metrics);
        family
    }

    fn metric(&self, labels: &[&str], value: f64) -> Metric {
        let pairs = self.labels().into_iter().zip(labels).map(|(name, value)| {
            let mut pair = LabelPair::default();
            pair.set_name(name.to_owned());
            pair.set_value((*value).to_owned());
            pair
        });
        let mut metric = Metric::from_label(pairs.collect());
        if self.kind == MetricType::COUNTER {
            let mut counter = Counter::default();
            counter.set_value(value);
            metric.set_counter(counter);
        } else {
            let mut gauge = Gauge::default();
            gauge.set_value(value);
            metric.set_gauge(gauge);
        }
        metric
    }
}

fn slot(worker: &WorkerStatus) -> String {
    worker.id.slot.to_string()
}

const fn gauge(name: &'static str, help: &'static str, values: Values) -> Family {
    Family { name, help, kind: MetricType::GAUGE, values }
}

const fn counter(name: &'static str, help: &'static str, values: Values) -> Family {
    Family { name, help, kind: MetricType::COUNTER, values }
}

/// `prometheus` counts in floating point: exact up to 2^53.
#[expect(clippy::cast_precision_loss, reason = "a counter that passes 2^53 has other problems")]
fn float(count: u64) -> f64 {
    count as f64
}

fn truth(holds: bool) -> f64 {
    f64::from(u8::from(holds))
}

static FAMILIES: [Family; 14] = [
    gauge(
        "antifreeze_worker_up",
        "Whether the worker is in rotation (serving).",
        Values::Worker(|worker| truth(worker.phase == Phase::Serving)),
    ),
    gauge(
        "antifreeze_worker_state",
        "1 for the state that the worker is in, 0 for the others.",
        Values::WorkerBy("state", |worker| {
            Phase::ALL.iter().map(|phase| (phase.as_str(), truth(worker.phase == *phase))).collect()
        }),
    ),
    gauge(
        "antifreeze_worker_in_flight",
        "Requests the worker holds, parked ones among them.",
        Values::Worker(|worker| f64::from(worker.in_flight)),
    ),
    gauge(
        "antifreeze_worker_parked",
        "Requests the worker holds that wait on it while it is known to live, or that stream.",
        Values::Worker(|worker| f64::from(worker.parked)),
    ),
    gauge(
        "antifreeze_worker_cap",
        "Requests that are not parked that the worker may hold now.",
        Values::Worker(|worker| f64::from(worker.cap)),
    ),
    gauge(
        "antifreeze_worker_oldest_request_seconds",
        "Age of the oldest request the worker holds that is not parked.",
        Values::Worker(|worker| worker.oldest_request.as_secs_f64()),
    ),
    counter(
        "antifreeze_worker_restarts_total",
        "Processes of the slot that had to be replaced, by reason.",
        Values::WorkerBy("reason", |worker| {
            worker.restarts.iter().map(|restart| (restart.reason, float(restart.count))).collect()
        }),
    ),
    counter(
        "antifreeze_worker_freezes_total",
        "How often the slot's workers were found frozen.",
        Values::Worker(|worker| float(worker.frozen_total)),
    ),
    gauge(
        "antifreeze_queue_length",
        "Requests waiting for a worker.",
        Values::Pool(|pool| float(pool.queue.length as u64)),
    ),
    gauge(
        "antifreeze_queue_oldest_seconds",
        "How long the oldest waiting request has waited.",
        Values::Pool(|pool| pool.queue.oldest.as_secs_f64()),
    ),
    counter(
        "antifreeze_requests_shed_total",
        "Requests turned away without a worker, by reason.",
        Values::PoolBy("reason", |pool| {
            pool.shed.iter().map(|(reason, count)| (*reason, float(*count))).collect()
        }),
    ),
    counter(
        "antifreeze_worker_lines_dropped_total",
        "Lines that workers printed and nobody took in time.",
        Values::Pool(|pool| float(pool.lines_dropped)),
    ),
    counter(
        "antifreeze_decisions_total",
        "What was decided about workers that stood still and about the routes that made them, by kind.",
        Values::PoolBy("decision", |pool| {
            let counts = &pool.counts;
            let kinds = [
                ("suspicion", counts.suspicions),
                ("thaw", counts.thaws),
                ("clog", counts.clogs),
                ("rescue", counts.rescues),
                ("rescue_denied", counts.rescues_denied),
                ("acquittal", counts.acquittals),
                ("quarantine", counts.quarantines),
                ("canary", counts.canaries),
            ];
            kinds.map(|(kind, count)| (kind, float(count))).to_vec()
        }),
    ),
    gauge(
        "antifreeze_routes_held_back",
        "Routes that may not use all workers since they froze some, by standing.",
        Values::PoolBy("standing", |pool| {
            let count =
                |standing| pool.routes.iter().filter(|route| route.standing == standing).count() as u64;
            [RouteStanding::Confined, RouteStanding::Quarantined]
                .map(|standing| (standing.as_str(), float(count(standing))))
                .to_vec()
        }),
    ),
];
