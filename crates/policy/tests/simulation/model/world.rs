//! The clock, and what befalls whom.

use super::agenda::{Agenda, Happening};
use super::figures::Figures;
use super::ledger::Ledger;
use super::process::{Answer, Process};
use super::scenario::{END, FAULT, Fault, Kills, Scenario, Setup};
use super::shell::SECOND;
use super::traffic::{Arrival, Traffic, Work, exponential};
use fastrand::Rng;
use policy::{Event, Exit, LeaseId, Moment, Pool, RestartReason, RouteId, Slot, TicketId, WorkerId};
use std::collections::{BTreeMap, HashMap};
use std::iter::Peekable;
use std::time::Duration;

/// Everything there is in one run.
pub(crate) struct World<'a> {
    pub(crate) scenario: &'a Scenario,
    pub(crate) setup: Setup,
    pub(crate) now: Moment,
    pub(crate) pool: Pool,
    pub(crate) processes: BTreeMap<Slot, Process>,
    pub(crate) agenda: Agenda,
    pub(crate) ledger: Ledger,
    /// Whose these are.
    pub(crate) leases: HashMap<LeaseId, usize>,
    pub(crate) tickets: HashMap<TicketId, usize>,
    traffic: Peekable<Traffic<'a>>,
    /// Of the fault alone: it strikes at the same moments whatever the pool does.
    rng: Rng,
    next_rare: Moment,
}

/// One run, from the start of the pool until the last client has gone.
pub(crate) fn run(scenario: &Scenario, setup: Setup, seed: u64) -> Figures {
    let mut world = World::new(scenario, setup, seed);
    let end = Moment::after_start(END) + scenario.client.patience * scenario.client.tries + AFTER;
    world.carry_out();
    while world.advance(end) {
        world.carry_out();
    }
    world.check_counts();
    world.ledger.close(world.now);
    let counts = world.pool.workers().map(|view| view.restarts);
    let restarts = counts.flat_map(|counts| RestartReason::ALL.map(|reason| counts.of(reason))).sum();
    Figures::of(scenario, setup, seed, &world.ledger, restarts)
}

impl<'a> World<'a> {
    fn new(scenario: &'a Scenario, setup: Setup, seed: u64) -> Self {
        let config = setup.config();
        let mut rng = Rng::with_seed(!seed);
        let fault = Moment::after_start(FAULT);
        let mut agenda = Agenda::default();
        agenda.put(Moment::after_start(SECOND), Happening::Second);
        let mut next_rare = Moment::after_start(Duration::MAX);
        match scenario.fault {
            Fault::Rare { every, .. } => next_rare = fault + exponential(&mut rng, every),
            Fault::Crashes { every } => agenda.put(fault + exponential(&mut rng, every), Happening::Crash),
            Fault::HostStall(time) => agenda.put(fault + (END - FAULT) / 2, Happening::Stall(time)),
            Fault::Nothing | Fault::Blocks(..) | Fault::Awaits(..) | Fault::Threads(..) => {}
        }
        let mut traffic = Traffic::new(scenario, setup, seed).peekable();
        if let Some(first) = traffic.peek() {
            agenda.put(first.at, Happening::Arrival);
        }
        Self {
            scenario,
            setup,
            now: Moment::default(),
            pool: Pool::new(config, Moment::default()),
            processes: BTreeMap::new(),
            agenda,
            ledger: Ledger::default(),
            leases: HashMap::new(),
            tickets: HashMap::new(),
            traffic,
            rng,
            next_rare,
        }
    }

    /// Goes to the next moment at which anything happens, if that is before the end.
    fn advance(&mut self, end: Moment) -> bool {
        let (timer, next) = (self.pool.poll_timeout(), self.agenda.next());
        let timer_first = timer.is_some_and(|timer| next.is_none_or(|next| timer <= next));
        let Some(at) = (if timer_first { timer } else { next }).filter(|at| *at <= end) else {
            return false;
        };
        self.now = self.now.max(at);
        if timer_first {
            self.pool.handle_timeout(self.now);
            if self.pool.poll_timeout().is_some_and(|next| next <= self.now) {
                self.ledger.violation("nothing came of a timeout: the shell would spin", self.now);
            }
        } else if let Some(happening) = self.agenda.pop() {
            self.befall(happening);
        }
        true
    }

    fn befall(&mut self, happening: Happening) {
        match happening {
            Happening::Arrival => self.arrive(),
            Happening::Impatience(request, tried) => self.lose_patience(request, tried),
            Happening::Again(request) => self.ask(request),
            Happening::Told(worker, exit) => self.pool.handle(Event::Exited(worker, exit), self.now),
            Happening::Booted(worker) => {
                if self.processes.get(&worker.slot).is_some_and(|process| process.id == worker) {
                    self.pool.handle(Event::Ready(worker), self.now);
                }
            }
            Happening::SliceOver(worker) => self.on_process(worker, Process::slice_over),
            Happening::WaitOver(worker, job) => self.on_process(worker, |process, now, agenda| {
                process.wait_over(job, now, agenda);
                Answer::Nothing
            }),
            Happening::ThreadOver(worker, job) => self.on_process(worker, |process, now, agenda| {
                process.thread_over(job, now, agenda);
                Answer::Nothing
            }),
            Happening::Crash => self.crash(),
            Happening::Second => self.tell_busy(),
            Happening::Stall(time) => {
                self.agenda.delay_processes(time);
                self.now = self.now + time;
            }
        }
    }

    fn arrive(&mut self) {
        if let Some(Arrival { at, route, work }) = self.traffic.next() {
            let request = self.ledger.open(Arrival { at, route, work });
            self.ask(request);
        }
        if let Some(next) = self.traffic.peek() {
            self.agenda.put(next.at, Happening::Arrival);
        }
    }

    /// A process moves on, unless it is gone; what it says is passed on.
    fn on_process(
        &mut self,
        worker: WorkerId,
        step: impl FnOnce(&mut Process, Moment, &mut Agenda) -> Answer,
    ) {
        let Some(process) = self.processes.get_mut(&worker.slot).filter(|process| process.id == worker)
        else {
            return;
        };
        let answer = step(process, self.now, &mut self.agenda);
        let done = process.is_done();
        match answer {
            Answer::Nothing => {}
            Answer::Request(lease) => self.answered(lease),
            Answer::Probe(lag) => self.pool.handle(Event::ProbeAnswered(worker, lag), self.now),
        }
        if done {
            self.exit(worker, Exit::Code(0));
        }
    }

    /// What this request will do to the worker that begins with it now.
    pub(crate) fn work(&mut self, route: RouteId, usual: Work) -> Work {
        if !(FAULT..END).contains(&self.now.elapsed()) {
            return usual;
        }
        match self.scenario.fault {
            Fault::Blocks(routes, time) if routes.contains(&route) => usual.blocking(time),
            Fault::Awaits(slow, time) if slow == route => usual.waiting(time),
            Fault::Threads(slow, time) if slow == route => usual.keeping_a_thread(time),
            Fault::Rare { every, blocks } if self.now >= self.next_rare => {
                self.next_rare = self.next_rare + exponential(&mut self.rng, every);
                usual.blocking(blocks)
            }
            Fault::Nothing
            | Fault::Blocks(..)
            | Fault::Awaits(..)
            | Fault::Threads(..)
            | Fault::Rare { .. }
            | Fault::Crashes { .. }
            | Fault::HostStall(_) => usual,
        }
    }

    fn crash(&mut self) {
        let Fault::Crashes { every } = self.scenario.fault else { return };
        let victims: Vec<WorkerId> = self.processes.values().map(|process| process.id).collect();
        if !victims.is_empty() {
            let victim = victims[self.rng.usize(..victims.len())];
            self.exit(victim, Exit::Signal(11));
        }
        let next = self.now + exponential(&mut self.rng, every);
        if next.elapsed() < END {
            self.agenda.put(next, Happening::Crash);
        }
    }

    /// Somebody ended a process on the pool's behalf.
    pub(crate) fn note_kill(&mut self, worker: WorkerId) {
        self.ledger.kills += 1;
        if self.scenario.kills == Kills::Unjust {
            self.ledger.violation(&format!("{worker} was ended, though it did nothing wrong"), self.now);
        }
    }
}

/// How long after the last client the run goes on: the queue's deadline has passed by then.
const AFTER: Duration = Duration::from_secs(15);
