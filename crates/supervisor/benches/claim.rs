//! What a request pays for its place at a worker: `Pool::claim`, and the release of the lease, each with one thread and
//! with one on every processor at once. *Busy* threads do something else between two calls, for about as long as a proxied
//! request takes a processor; *eager* ones do not, and so contend for the pool's lock as no service does.
//!
//! `cargo bench -p supervisor --features fuzzing` prints one line for each pool, kind and number of threads, in
//! nanoseconds: the median of all calls and, in brackets, what 99 in 100 take at most. Beside them the same calls to the
//! policy alone, without lock, waker and lease.

use policy::{Action, Admission, Event, LeaseId, Moment, Outcome, PoolConfig, Request, RouteId};
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
use std::collections::VecDeque;
use std::hint::{black_box, spin_loop};
use std::num::NonZeroU16;
use std::pin::pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Barrier};
use std::task::{Context, Poll, Wake, Waker};
use std::thread;
use std::time::Duration;
use supervisor::{Address, Environment, Lease, Pool, PoolOptions, Probe, Protocol, RouteNames};
use tokio::time::Instant;

fn main() {
    let processors = processors();
    println!(
        "ns a call: median (99 in 100)          claim       release   policy alone: claim       release"
    );
    for workers in [2, 16, 64] {
        for (kind, work) in [("busy", BUSY), ("eager", Duration::ZERO)] {
            let alone = summary(core_calls(workers, work));
            for processors in [&processors[..1], &processors] {
                let [claim, release] = summary(shared_calls(workers, work, processors));
                let (threads, [alone_claim, alone_release]) = (processors.len(), &alone);
                println!(
                    "{workers:>3} workers, {threads:>2} {kind:>5} threads  {claim:>12}  {release:>12}  \
                     {alone_claim:>19}  {alone_release:>12}"
                );
            }
        }
    }
}

/// How long each claim took, and each release.
type Calls = [Vec<Duration>; 2];

fn summary(calls: Calls) -> [String; 2] {
    let clock = clock_takes();
    calls.map(|mut times| {
        times.sort();
        let at = |percent| times.get(times.len() * percent / 100).copied().unwrap_or_default();
        let [median, most] = [at(50), at(99)].map(|time| time.saturating_sub(clock).as_nanos());
        format!("{median} ({most})")
    })
}

/// How long a look at the clock takes: what each call seems to take longer than it does.
fn clock_takes() -> Duration {
    let mut times: Vec<Duration> = (0..10_001)
        .map(|_| {
            let began = Instant::now();
            Instant::now() - began
        })
        .collect();
    times.sort();
    times[times.len() / 2]
}

/// As the proxy's threads call it: through handles on one pool, one thread on each of these processors.
fn shared_calls(workers: u16, work: Duration, processors: &[CpuSet]) -> Calls {
    let pool = Pool::around(&options(workers), Address::Unix("/nowhere".into()));
    let counters: Vec<Counter> = processors.iter().map(|_| Counter::default()).collect();
    let start = Barrier::new(processors.len());
    let thread = |index: usize| {
        sched_setaffinity(None, &processors[index]).expect("it is one of ours");
        let waker = Waker::from(Arc::new(Task));
        let handle = Handle { pool: pool.clone(), waker, counters: &counters, index };
        start.wait();
        handle.calls(u32::from(workers) * HELD_BY_EACH / processors.len() as u32, work)
    };
    thread::scope(|scope| {
        let spawn = |index| scope.spawn(move || thread(index));
        let running: Vec<_> = (0..processors.len()).map(spawn).collect();
        let ended = running.into_iter().map(|thread| thread.join().expect("a call does not panic"));
        ended.fold(Calls::default(), |[mut claims, mut releases], [more_claims, more_releases]| {
            claims.extend(more_claims);
            releases.extend(more_releases);
            [claims, releases]
        })
    })
}

/// The same calls to the policy.
fn core_calls(workers: u16, work: Duration) -> Calls {
    let mut pool = policy::Pool::new(config(workers), Moment::default());
    while let Some(action) = pool.poll_action() {
        if let Action::Spawn(worker) = action {
            pool.handle(Event::Ready(worker), Moment::default());
        }
    }
    let began = Instant::now();
    Core { pool, began }.calls(u32::from(workers) * HELD_BY_EACH, work)
}

/// Where places at workers come from.
trait Places: Sized {
    type Place;

    fn claim(&mut self, number: u32, now: Instant) -> Self::Place;

    fn release(&mut self, place: Self::Place, now: Instant);

    /// Calls of the thread that is furthest behind, if there are others.
    fn least_calls(&self) -> Option<u64>;

    /// Rounds that each begin with so many requests at workers: as many come, and then the oldest end. Those in which
    /// another thread did not even half as much are left out: it had no processor.
    fn calls(mut self, held: u32, work: Duration) -> Calls {
        let mut calls = Calls::default();
        let mut places: VecDeque<Self::Place> =
            (0..held).map(|number| self.claim(number, Instant::now())).collect();
        let began = Instant::now();
        while calls[0].len() < CALLS && began.elapsed() < PATIENCE {
            let before = self.least_calls();
            let [claims, releases] = &mut calls;
            let known = claims.len();
            for number in 0..held {
                let now = pause(work);
                places.push_back(self.claim(number, now));
                claims.push(now.elapsed());
            }
            for place in places.drain(..held as usize) {
                let now = pause(work);
                self.release(place, now);
                releases.push(now.elapsed());
            }
            if before.zip(self.least_calls()).is_some_and(|(before, after)| after - before < held.into()) {
                claims.truncate(known);
                releases.truncate(known);
            }
        }
        calls
    }
}

/// Keeps the processor for so long.
fn pause(work: Duration) -> Instant {
    let began = Instant::now();
    loop {
        let now = Instant::now();
        if now - began >= work {
            return now;
        }
        spin_loop();
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

    fn claim(&mut self, number: u32, now: Instant) -> Lease {
        self.count();
        match pin!(self.pool.claim(request(number), now)).poll(&mut Context::from_waker(&self.waker)) {
            Poll::Ready(Ok(lease)) => lease,
            Poll::Ready(Err(_)) | Poll::Pending => unreachable!("there is room for more"),
        }
    }

    fn release(&mut self, lease: Lease, now: Instant) {
        self.count();
        lease.complete(now);
    }

    fn least_calls(&self) -> Option<u64> {
        let others = self.counters.iter().enumerate().filter(|(index, _)| *index != self.index);
        others.map(|(_, Counter(calls))| calls.load(Ordering::Relaxed)).min()
    }
}

/// The policy, and when its time began.
struct Core {
    pool: policy::Pool,
    began: Instant,
}

impl Places for Core {
    type Place = LeaseId;

    fn claim(&mut self, number: u32, now: Instant) -> LeaseId {
        let admission = self.pool.admit(request(number), Moment::after_start(now - self.began));
        black_box(self.pool.poll_action());
        let Admission::Assigned(lease) = admission else { unreachable!("there is room for more") };
        lease
    }

    fn release(&mut self, lease: LeaseId, now: Instant) {
        self.pool.release(lease, Outcome::Completed, Moment::after_start(now - self.began));
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

/// A proxied request takes a processor for about 16 us in all (tests/bench/hotpath), and makes two calls.
const BUSY: Duration = Duration::from_micros(8);

/// Calls that a thread makes, if it gets to them in time.
const CALLS: usize = 50_000;
const PATIENCE: Duration = Duration::from_secs(5);
