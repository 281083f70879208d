//! What a decision costs: `admit` and the `release` that follows, at pools of 1 to 256 workers.
//!
//! `cargo bench -p policy` prints one line a pool: the median of many rounds, in nanoseconds for one pair of calls.
//! Both run under the pool's lock, once for every request of the service.

use policy::{Action, Admission, Event, LeaseId, MaxInFlight, Moment, Outcome, Pool, PoolConfig, RouteId};
use std::hint::black_box;
use std::num::{NonZeroU16, NonZeroU32};
use std::time::{Duration, Instant};

fn main() {
    println!("workers  in flight   admit + release, ns (median of {ROUNDS} rounds; fastest)");
    for workers in [1, 4, 16, 64, 256] {
        for held_by_each in [0, 8] {
            let (mut pool, mut now) = serving_pool(workers);
            let mut held = fill(&mut pool, usize::from(workers) * held_by_each, now);
            let mut rounds: Vec<f64> = (0..ROUNDS).map(|_| round(&mut pool, &mut held, &mut now)).collect();
            rounds.sort_by(f64::total_cmp);
            println!("{workers:>7}  {:>9}   {:.0} ({:.0})", held.len(), rounds[ROUNDS / 2], rounds[0]);
        }
    }
}

/// A pool all of whose workers serve, and have for longer than their ramp takes.
fn serving_pool(workers: u16) -> (Pool, Moment) {
    let mut config = PoolConfig::new(NonZeroU16::new(workers).expect("not zero"));
    config.max_in_flight = MaxInFlight::Fixed(NonZeroU32::new(64).expect("not zero"));
    let mut pool = Pool::new(config, Moment::default());
    while let Some(action) = pool.poll_action() {
        if let Action::Spawn(worker) = action {
            pool.handle(Event::Ready(worker), Moment::default());
        }
    }
    (pool, Moment::default() + Duration::from_secs(60))
}

fn fill(pool: &mut Pool, requests: usize, now: Moment) -> Vec<LeaseId> {
    (0..requests).map(|_| assigned(pool.admit(RouteId(0), now))).collect()
}

/// Nanoseconds a pair: the oldest request ends, as it does where all take equally long, after a new one came.
fn round(pool: &mut Pool, held: &mut [LeaseId], now: &mut Moment) -> f64 {
    let mut oldest = 0;
    let began = Instant::now();
    for pair in 0..PAIRS {
        *now = *now + Duration::from_micros(10);
        let mut lease = assigned(pool.admit(RouteId(pair % 8), black_box(*now)));
        if !held.is_empty() {
            std::mem::swap(&mut lease, &mut held[oldest]);
            oldest = (oldest + 1) % held.len();
        }
        pool.release(black_box(lease), Outcome::Completed, *now);
        while let Some(action) = pool.poll_action() {
            black_box(action);
        }
    }
    began.elapsed().as_nanos() as f64 / f64::from(PAIRS)
}

fn assigned(admission: Admission) -> LeaseId {
    match admission {
        Admission::Assigned(lease) => lease,
        Admission::Queued(_) | Admission::Shed(_) => unreachable!("the pool has room for twice as many"),
    }
}

const ROUNDS: usize = 501;
/// So few that most rounds end before the scheduler interrupts them.
const PAIRS: u32 = 1_000;
