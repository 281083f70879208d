//! The same traffic through one ideal queue: what no balancer can beat when nothing is wrong.
//!
//! Every slice of work goes to whichever worker is free first, in the order in which slices become ready. A real
//! request stays with its worker; so this is a bound for async workers, and exactly the central queue for sync ones.

use super::scenario::{FAULT, Role, Scenario, Server, Setup};
use super::traffic::{Between, Traffic};
use policy::Moment;
use std::collections::BTreeMap;
use std::time::Duration;

/// How long the fast requests of the measured time take there, in no particular order.
pub(crate) fn latencies(scenario: &Scenario, setup: Setup, seed: u64) -> Vec<Duration> {
    let mut free = vec![Moment::default(); usize::from(setup.workers)];
    let mut all = Vec::new();
    let mut ready = BTreeMap::new();
    for (number, arrival) in Traffic::new(scenario, setup, seed).enumerate() {
        let work = match setup.server {
            Server::Sync => arrival.work.in_one_go(),
            Server::Async => arrival.work,
        };
        ready.insert((arrival.at, number), (arrival, work, Slice::First));
    }
    while let Some(((at, number), (arrival, work, slice))) = ready.pop_first() {
        let worker = free.iter_mut().min().expect("a pool has workers");
        let start = at.max(*worker);
        *worker = start + if slice == Slice::First { work.first } else { work.last };
        if slice == Slice::First && work.between != Between::Nothing {
            ready.insert((*worker + work.between.time(), number), (arrival, work, Slice::Last));
        } else if arrival.at.elapsed() >= FAULT && scenario.role(arrival.route) == Role::Fast {
            all.push(worker.since(arrival.at));
        }
    }
    all
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Slice {
    First,
    Last,
}
