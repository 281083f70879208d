//! What holds whatever happens, in whatever order.

use policy::{
    Action, Admission, Event, Exit, Fate, Isolation, LeaseId, MaxInFlight, Moment, Outcome, Phase, Pool,
    PoolConfig, QueueConfig, Replay, Request, RouteId, Signal, WorkerId,
};
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};
use std::num::{NonZeroU16, NonZeroU32};
use std::time::Duration;

#[derive(Clone, Copy, Debug)]
enum Op {
    Admit(u32),
    Moved(usize),
    Release(usize, u8),
    Answer(usize),
    Crash(usize),
    Pass(u16),
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        6 => (0_u32..4).prop_map(Op::Admit),
        2 => any::<usize>().prop_map(Op::Moved),
        4 => (any::<usize>(), 0_u8..6).prop_map(|(which, how)| Op::Release(which, how)),
        2 => any::<usize>().prop_map(Op::Answer),
        1 => any::<usize>().prop_map(Op::Crash),
        3 => (0_u16..2_000).prop_map(Op::Pass),
    ]
}

const QUEUE_TIMEOUT: Duration = Duration::from_secs(10);

const QUICKLY: Duration = Duration::from_millis(1);

/// The shell's part, played by a model that checks what it is asked to do.
struct Shell {
    pool: Pool,
    now: Moment,
    leases: Vec<LeaseId>,
    /// Since when.
    waiting: BTreeMap<String, Moment>,
    alive: BTreeSet<WorkerId>,
    cap: u32,
    isolation: Isolation,
}

impl Shell {
    fn carry_out(&mut self) {
        while let Some(action) = self.pool.poll_action() {
            match action {
                Action::Spawn(worker) => {
                    assert!(
                        self.alive.iter().all(|other| other.slot != worker.slot),
                        "two processes in a slot"
                    );
                    self.alive.insert(worker);
                }
                Action::Signal(worker, Signal::Kill) => self.exit(worker),
                Action::Rescue(first) => {
                    assert!(self.leases.contains(&first), "a rescue of what is over");
                    let again = Request { replay: Replay::Allowed, ..Request::from(RouteId(0)) };
                    let again = again.after(Fate::Froze, first.worker);
                    match self.pool.rescue(again, first, self.now) {
                        Some(Admission::Assigned(lease)) => {
                            assert_ne!(lease.worker, first.worker, "rescued onto the worker that holds it");
                            self.hold(lease);
                        }
                        Some(Admission::Queued(ticket)) => {
                            self.waiting.insert(format!("{ticket:?}"), self.now);
                        }
                        Some(Admission::Shed(_)) | None => {}
                    }
                }
                Action::Grant(ticket, lease) => {
                    assert!(
                        self.waiting.remove(&format!("{ticket:?}")).is_some(),
                        "granted twice, or out of nothing"
                    );
                    self.hold(lease);
                }
                Action::Reject(ticket, _) => {
                    assert!(
                        self.waiting.remove(&format!("{ticket:?}")).is_some(),
                        "rejected twice, or out of nothing"
                    );
                }
                Action::Signal(_, Signal::Terminate)
                | Action::Probe(_)
                | Action::Report(_)
                | Action::Judged(_)
                | Action::Standing(_)
                | Action::GiveUp => {}
            }
        }
    }

    fn hold(&mut self, lease: LeaseId) {
        let view = self.pool.workers().find(|view| view.id == lease.worker).expect("a worker");
        assert!(view.in_flight - view.parked <= self.cap, "above the cap");
        self.leases.push(lease);
    }

    fn exit(&mut self, worker: WorkerId) {
        if self.alive.remove(&worker) {
            self.pool.handle(Event::Exited(worker, Exit::Signal(9)), self.now);
        }
    }

    fn apply(&mut self, op: Op) {
        match op {
            Op::Admit(route) => {
                let loads: Vec<(WorkerId, u32)> = self
                    .pool
                    .workers()
                    // One that serves and is not wanted any more gets no new requests.
                    .filter(|worker| worker.phase == Phase::Serving && worker.wanted)
                    .map(|worker| (worker.id, worker.in_flight - worker.parked))
                    .collect();
                let request = Request { replay: Replay::Allowed, ..Request::from(RouteId(route)) };
                match self.pool.admit(request, self.now) {
                    Admission::Assigned(lease) => {
                        let least = loads.iter().map(|(_, load)| *load).min();
                        let own = loads.iter().find(|(worker, _)| *worker == lease.worker);
                        // Equal weights: nothing has ramped (the configuration says so).
                        assert!(
                            self.isolation == Isolation::Auto || own.map(|(_, load)| *load) == least,
                            "not the least loaded: {loads:?}"
                        );
                        self.hold(lease);
                    }
                    Admission::Queued(ticket) => {
                        self.waiting.insert(format!("{ticket:?}"), self.now);
                    }
                    Admission::Shed(_) => {}
                }
            }
            Op::Moved(which) if !self.leases.is_empty() => {
                self.pool.moved(self.leases[which % self.leases.len()], self.now);
            }
            Op::Release(which, how) if !self.leases.is_empty() => {
                let lease = self.leases.swap_remove(which % self.leases.len());
                let outcomes = [
                    Outcome::Completed,
                    Outcome::Cancelled,
                    Outcome::Refused,
                    Outcome::Full,
                    Outcome::Lost,
                    Outcome::TimedOut,
                ];
                self.pool.release(lease, outcomes[usize::from(how)], self.now);
            }
            Op::Answer(which) if !self.alive.is_empty() => {
                let worker = *self.alive.iter().nth(which % self.alive.len()).expect("within its length");
                self.pool.handle(Event::Ready(worker), self.now);
                self.pool.handle(Event::ProbeAnswered(worker, QUICKLY), self.now);
            }
            Op::Crash(which) if !self.alive.is_empty() => {
                let worker = *self.alive.iter().nth(which % self.alive.len()).expect("within its length");
                self.exit(worker);
            }
            Op::Pass(millis) => self.pass(Duration::from_millis(millis.into())),
            Op::Moved(_) | Op::Release(..) | Op::Answer(_) | Op::Crash(_) => {}
        }
        self.carry_out();
        assert!(self.pool.queue_length() as usize == self.waiting.len());
    }

    fn pass(&mut self, time: Duration) {
        let end = self.now + time;
        let mut at_once = 0;
        while let Some(due) = self.pool.poll_timeout().filter(|due| *due <= end) {
            // What one worker comes to may be a reason for the next to come to it at once.
            at_once = if due > self.now { 0 } else { at_once + 1 };
            assert!(at_once <= self.pool.workers().count(), "the shell would spin");
            self.now = self.now.max(due);
            self.pool.handle_timeout(self.now);
            self.carry_out();
            self.check_queue();
        }
        self.now = end;
        self.check_queue();
    }

    fn check_queue(&self) {
        let is_in_time = |since: &Moment| self.now < *since + QUEUE_TIMEOUT;
        assert!(self.waiting.values().all(is_in_time), "somebody waits for too long");
    }
}

proptest! {
    #[test]
    fn the_pool_keeps_its_promises(
        workers in 1_u16..6,
        cap in 1_u32..4,
        isolation in prop_oneof![Just(Isolation::Auto), Just(Isolation::Off)],
        ops in proptest::collection::vec(op(), 1..200),
    ) {
        let mut config = PoolConfig::new(NonZeroU16::new(workers).expect("from 1"));
        config.max_in_flight = MaxInFlight::Fixed(NonZeroU32::new(cap).expect("from 1"));
        config.queue = QueueConfig { limit: 8, timeout: QUEUE_TIMEOUT };
        config.isolation = isolation;
        config.start.attempts = 0;
        config.start.ramp = Duration::ZERO;
        let pool = Pool::new(config, Moment::default());
        let mut shell = Shell {
            pool,
            now: Moment::default(),
            leases: Vec::new(),
            waiting: BTreeMap::new(),
            alive: BTreeSet::new(),
            cap,
            isolation,
        };
        shell.carry_out();
        for op in ops {
            shell.apply(op);
        }
        while let Some(lease) = shell.leases.pop() {
            shell.pool.release(lease, Outcome::Completed, shell.now);
            shell.carry_out();
        }
        // Those who waited hold leases now, or were turned away in time.
        shell.pass(Duration::from_secs(20));
        while let Some(lease) = shell.leases.pop() {
            shell.pool.release(lease, Outcome::Completed, shell.now);
            shell.carry_out();
        }
        prop_assert!(shell.waiting.is_empty());
        prop_assert!(shell.pool.workers().all(|worker| worker.in_flight == 0));
        shell.pool.handle(Event::Stop, shell.now);
        shell.carry_out();
        shell.pass(Duration::from_secs(60));
        prop_assert!(shell.pool.has_ended());
    }
}
