//! What a request pays for its place at a worker: `Pool::claim`, and the release of the lease, each with one thread and
//! with all of them at once, which do nothing else and so contend for the pool's lock as no service does.
//!
//! `cargo bench -p supervisor --features fuzzing` prints one line for each pool and number of threads: medians of many rounds,
//! in nanoseconds a call and, in brackets, those of the quickest round; beside them the same calls to the policy
//! alone, without lock, clock, waker and lease.

use policy::{Action, Admission, Event, LeaseId, Moment, Outcome, PoolConfig, Request, RouteId};
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
use std::collections::VecDeque;
use std::hint::black_box;
use std::num::NonZeroU16;
use std::pin::pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Barrier};
use std::task::{Context, Poll, Wake, Waker};
use std::thread;
use std::time::{Duration, Instant};
use supervisor::{Address, Environment, Lease, Pool, PoolOptions, Probe, Protocol, RouteNames};

fn main() {
    let processors = processors();
    println!("nanoseconds a call: median of {ROUNDS} rounds (quickest)");
    println!("workers  threads         claim       release   policy alone: claim       release");
    for workers in [2, 16, 64] {
        let alone = summary(core_rounds(workers));
        for processors in [&processors[..1], &processors] {
            let [claim, release] = summary(shared_rounds(workers, processors));
            println!(
                "{workers:>7}  {:>7}  {claim:>12}  {release:>12}  {:>19}  {:>12}",
                processors.len(),
                alone[0],
                alone[1]
            );
        }
    }
}

/// Nanoseconds for a claim and for a release, in one round of one thread.
type Round = [f64; 2];

fn summary(rounds: Vec<Round>) -> [String; 2] {
    [0, 1].map(|call| {
        let mut times: Vec<f64> = rounds.iter().map(|round| round[call]).collect();
        times.sort_by(f64::total_cmp);
        let Some(quickest) = times.first() else { return "no processor".to_owned() };
        format!("{:.0} ({:.0})", times[times.len() / 2], quickest)
    })
}

/// As the proxy's threads call it: through handles on one pool, one thread on each of these processors.
fn shared_rounds(workers: u16, processors: &[CpuSet]) -> Vec<Round> {
    let pool = Pool::around(&options(workers), Address::Unix("/nowhere".into()));
    let counters: Vec<Counter> = processors.iter().map(|_| Counter::default()).collect();
    let start = Barrier::new(processors.len());
    let thread = |index: usize| {
        sched_setaffinity(None, &processors[index]).expect("it is one of ours");
        let waker = Waker::from(Arc::new(Task));
        let handle = Handle { pool: pool.clone(), waker, counters: &counters, index };
        start.wait();
        handle.rounds(u32::from(workers) * HELD_BY_EACH / processors.len() as u32)
    };
    thread::scope(|scope| {
        let spawn = |index| scope.spawn(move || thread(index));
        let running: Vec<_> = (0..processors.len()).map(spawn).collect();
        running.into_iter().flat_map(|thread| thread.join().expect("a round does not panic")).collect()
    })
}

fn core_rounds(workers: u16) -> Vec<Round> {
    let mut pool = policy::Pool::new(config(workers), Moment::default());
    while let Some(action) = pool.poll_action() {
        if let Action::Spawn(worker) = action {
            pool.handle(Event::Ready(worker), Moment::default());
        }
    }
    Core { pool, now: Moment::default() }.rounds(u32::from(workers) * HELD_BY_EACH)
}

/// Where places at workers come from.
trait Places: Sized {
    type Place;

    fn claim(&mut self, number: u32) -> Self::Place;

    fn release(&mut self, place: Self::Place);

    /// Calls of the thread that is furthest behind, if there are others.
    fn least_calls(&self) -> Option<u64>;

    /// Rounds that each begin with so many requests at workers: as many come, and then the oldest end. Those in which
    /// another thread did not even half as much are left out: it had no processor.
    fn rounds(mut self, calls: u32) -> Vec<Round> {
        let mut rounds = Vec::new();
        let mut held: VecDeque<Self::Place> = (0..calls).map(|number| self.claim(number)).collect();
        for _ in 0..MOST_ROUNDS {
            let before = self.least_calls();
            let began = Instant::now();
            held.extend((0..calls).map(|number| self.claim(number)));
            let claimed = Instant::now();
            held.drain(..calls as usize).for_each(|place| self.release(place));
            let released = Instant::now();
            if before.zip(self.least_calls()).is_none_or(|(before, after)| after - before >= calls.into()) {
                let each = |took: Duration| took.as_nanos() as f64 / f64::from(calls);
                rounds.push([each(claimed - began), each(released - claimed)]);
            }
            if rounds.len() == ROUNDS {
                break;
            }
        }
        rounds
    }
}

/// A thread of the proxy.
struct Handle<'a> {
    pool: Pool,
    waker: Waker,
    /// What each thread has done.
    counters: &'a [Counter],
    index: usize,
}

/// Calls of a thread. On a cache line of its own, so that to count costs the others nothing.
#[derive(Default)]
#[repr(align(128))]
struct Counter(AtomicU64);

impl Handle<'_> {
    fn count(&self) {
        let Counter(calls) = &self.counters[self.index];
        calls.store(calls.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
    }
}

impl Places for Handle<'_> {
    type Place = Lease;

    fn claim(&mut self, number: u32) -> Lease {
        self.count();
        match pin!(self.pool.claim(request(number))).poll(&mut Context::from_waker(&self.waker)) {
            Poll::Ready(Ok(lease)) => lease,
            Poll::Ready(Err(_)) | Poll::Pending => unreachable!("there is room for more"),
        }
    }

    fn release(&mut self, lease: Lease) {
        self.count();
        lease.finish(Outcome::Completed);
    }

    fn least_calls(&self) -> Option<u64> {
        let others = self.counters.iter().enumerate().filter(|(index, _)| *index != self.index);
        others.map(|(_, Counter(calls))| calls.load(Ordering::Relaxed)).min()
    }
}

/// The policy and its time.
struct Core {
    pool: policy::Pool,
    now: Moment,
}

impl Places for Core {
    type Place = LeaseId;

    fn claim(&mut self, number: u32) -> LeaseId {
        self.now = self.now + APART;
        let admission = self.pool.admit(request(number), self.now);
        black_box(self.pool.poll_action());
        let Admission::Assigned(lease) = admission else { unreachable!("there is room for more") };
        lease
    }

    fn release(&mut self, lease: LeaseId) {
        self.now = self.now + APART;
        self.pool.release(lease, Outcome::Completed, self.now);
        black_box(self.pool.poll_action());
    }

    fn least_calls(&self) -> Option<u64> {
        None
    }
}

/// Each that we may run on: left to itself, the scheduler lets two threads take turns on one.
fn processors() -> Vec<CpuSet> {
    let ours = sched_getaffinity(None).expect("the kernel tells every thread");
    let only = |processor| {
        let mut set = CpuSet::new();
        set.set(processor);
        set
    };
    (0..CpuSet::MAX_CPU).filter(|processor| ours.is_set(*processor)).map(only).collect()
}

fn request(number: u32) -> Request {
    Request { fingerprint: u64::from(number), ..Request::from(RouteId(number % ROUTES)) }
}

fn options(workers: u16) -> PoolOptions {
    PoolOptions {
        name: "bench".to_owned(),
        command: Vec::new(),
        directory: None,
        environment: Environment::new(),
        policy: config(workers),
        protocol: Protocol::Http1,
        probe: Probe::default(),
        route_names: RouteNames::default(),
        runtime_directory: "/nowhere".into(),
        keep_alive: Some(Duration::from_secs(60)),
        sentinel: None,
        log: logs::Log::nowhere(),
    }
}

fn config(workers: u16) -> PoolConfig {
    PoolConfig::new(NonZeroU16::new(workers).expect("not zero"))
}

/// What a runtime's waker costs: to clone it counts, beside what its thread alone uses.
struct Task;

impl Wake for Task {
    fn wake(self: Arc<Self>) {}
}

/// Requests that each worker holds when a round begins; twice as many when half of it is over.
const HELD_BY_EACH: u32 = 8;
const ROUTES: u32 = 16;
const ROUNDS: usize = 1_001;
const MOST_ROUNDS: usize = 100_000;

/// Between two calls to the policy alone.
const APART: Duration = Duration::from_micros(10);
