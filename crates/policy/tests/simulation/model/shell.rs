//! Carries out what the pool decides, and tells it what came of it, as the supervisor and the proxy do.

use super::agenda::Happening;
use super::ledger::Fate;
use super::process::Process;
use super::scenario::BOOT;
use super::world::World;
use policy::{
    Action, Admission, Event, Exit, Holders, LeaseId, Outcome, Past, Phase, Refusal, Replay, Request, Share,
    Signal, WorkerId,
};
use std::time::Duration;

// The supervisor's part.
impl World<'_> {
    pub(crate) fn carry_out(&mut self) {
        while let Some(action) = self.pool.poll_action() {
            match action {
                Action::Spawn(worker) => self.spawn(worker),
                Action::Signal(worker, signal) => self.signal(worker, signal),
                Action::Probe(worker) => match self.process(worker) {
                    Some(_) => self.probe(worker),
                    None => self.pool.handle(Event::ProbeFailed(worker), self.now),
                },
                Action::Grant(ticket, lease) => match self.tickets.remove(&ticket) {
                    Some(request) => {
                        self.ledger.requests[request].ticket = None;
                        self.give(request, lease);
                    }
                    None => self.ledger.violation("granted to nobody who waits", self.now),
                },
                Action::Reject(ticket, refusal) => match self.tickets.remove(&ticket) {
                    Some(request) => {
                        self.ledger.requests[request].ticket = None;
                        self.turned_away(request, refusal);
                    }
                    None => self.ledger.violation("turned away nobody who waits", self.now),
                },
                Action::Rescue(lease) => self.rescue(lease),
                Action::Report(_) | Action::Judged(_) | Action::Standing(_) => {}
                Action::GiveUp => self.ledger.violation("gave up, though all could boot", self.now),
            }
        }
    }

    fn process(&mut self, worker: WorkerId) -> Option<&mut Process> {
        self.processes.get_mut(&worker.slot).filter(|process| process.id == worker)
    }

    fn spawn(&mut self, worker: WorkerId) {
        if self.processes.insert(worker.slot, Process::new(worker, self.setup.server)).is_some() {
            self.ledger.violation("two processes in a slot", self.now);
        }
        self.agenda.put(self.now + BOOT, Happening::Booted(worker));
    }

    fn probe(&mut self, worker: WorkerId) {
        let now = self.now;
        if let Some(process) = self.processes.get_mut(&worker.slot) {
            process.probe(now, &mut self.agenda);
        }
    }

    fn signal(&mut self, worker: WorkerId, signal: Signal) {
        // A replacement that is not needed any more has done its duty.
        if worker.slot.0 < self.setup.workers {
            self.note_kill(worker);
        }
        let Some(process) = self.process(worker) else { return };
        match signal {
            Signal::Kill => self.exit(worker, Exit::Signal(9)),
            Signal::Terminate => {
                process.terminate();
                if process.is_done() {
                    self.exit(worker, Exit::Code(0));
                }
            }
        }
    }

    /// Tells the pool how busy the processes were in the last second.
    pub(crate) fn tell_busy(&mut self) {
        for process in self.processes.values_mut() {
            let thousandths = u32::try_from(process.take_busy().as_millis()).unwrap_or(u32::MAX);
            self.pool.handle(Event::Busy(process.id, Share(thousandths)), self.now);
        }
        self.agenda.put(self.now + SECOND, Happening::Second);
    }

    /// The process is gone: its connections break at once, and a little later its end is told.
    pub(crate) fn exit(&mut self, worker: WorkerId, exit: Exit) {
        let Some(process) = self.processes.remove(&worker.slot) else { return };
        self.agenda.put(self.now + TOLD_AFTER, Happening::Told(worker, exit));
        for lease in process.into_held() {
            self.lost(lease);
        }
    }
}

// The proxy's part.
impl World<'_> {
    /// A client asks, for the first time or again.
    pub(crate) fn ask(&mut self, request: usize) {
        let asked = &mut self.ledger.requests[request];
        asked.given_to.clear();
        (asked.not_to, asked.past) = (Holders::default(), Past::default());
        let patience = self.scenario.client.patience;
        self.agenda.put(self.now + patience, Happening::Impatience(request, asked.tried));
        self.admit(request);
    }

    fn admit(&mut self, request: usize) {
        let admission = self.pool.admit(self.wanted(request), self.now);
        self.place(request, admission);
    }

    /// Nine in ten may be sent again.
    fn wanted(&self, request: usize) -> Request {
        let replay = if request % 10 == 9 { Replay::Never } else { Replay::Allowed };
        let fingerprint = u64::try_from(request).expect("a count");
        let asked = &self.ledger.requests[request];
        let (not_to, past) = (asked.not_to, asked.past);
        Request { replay, fingerprint, not_to, past, ..Request::from(asked.route) }
    }

    /// What the request is to another worker, after this one.
    fn wanted_after(&mut self, fate: policy::Fate, request: usize, worker: WorkerId) -> Request {
        let wanted = self.wanted(request).after(fate, worker);
        let asked = &mut self.ledger.requests[request];
        (asked.not_to, asked.past) = (wanted.not_to, wanted.past);
        wanted
    }

    /// The worker of this lease stands still: another one is asked too.
    fn rescue(&mut self, lease: LeaseId) {
        let Some(request) = self.leases.get(&lease).copied() else { return };
        let wanted = self.wanted_after(policy::Fate::Froze, request, lease.worker);
        if wanted.replay == Replay::Never {
            self.ledger.violation("what must not be sent twice shall be", self.now);
        }
        if let Some(admission) = self.pool.rescue(wanted, lease, self.now) {
            match admission {
                // The first worker may answer yet.
                Admission::Shed(_) => {}
                Admission::Assigned(_) | Admission::Queued(_) => self.place(request, admission),
            }
        }
    }

    fn place(&mut self, request: usize, admission: Admission) {
        match admission {
            Admission::Assigned(lease) => self.give(request, lease),
            Admission::Queued(ticket) => {
                self.ledger.requests[request].ticket = Some(ticket);
                self.tickets.insert(ticket, request);
            }
            Admission::Shed(refusal) => self.turned_away(request, refusal),
        }
    }

    /// Sends the request to the worker that it was promised.
    fn give(&mut self, request: usize, lease: LeaseId) {
        if self.process(lease.worker).is_none() {
            // It died, and the pool has not heard of it: no connection, nothing sent.
            self.pool.release(lease, Outcome::Refused, self.now);
            return self.admit(request);
        }
        self.check_lease(request, lease);
        let asked = &mut self.ledger.requests[request];
        asked.held.push(lease);
        asked.given_to.push(lease.worker);
        let (route, usual) = (asked.route, asked.work);
        self.leases.insert(lease, request);
        let work = self.work(route, usual);
        let now = self.now;
        if let Some(process) = self.processes.get_mut(&lease.worker.slot) {
            process.serve(lease, work, now, &mut self.agenda);
        }
    }

    /// The worker's answer is there, for whom it may still concern.
    pub(crate) fn answered(&mut self, lease: LeaseId) {
        let Some(request) = self.leases.remove(&lease) else { return };
        self.pool.moved(lease, self.now);
        self.carry_out();
        self.pool.release(lease, Outcome::Completed, self.now);
        // As under the real lock: a copy of this very request may have been granted by that.
        self.carry_out();
        self.ledger.requests[request].held.retain(|held| *held != lease);
        self.withdraw(request);
        self.ledger.requests[request].fate = Fate::Answered(self.now);
    }

    /// The connection broke before the answer.
    fn lost(&mut self, lease: LeaseId) {
        let Some(request) = self.leases.remove(&lease) else { return };
        self.pool.release(lease, Outcome::Lost, self.now);
        let asked = &mut self.ledger.requests[request];
        asked.held.retain(|held| *held != lease);
        if !asked.held.is_empty() || asked.ticket.is_some() {
            return;
        }
        let wanted = self.wanted_after(policy::Fate::Died, request, lease.worker);
        match self.pool.rescue(wanted, lease, self.now) {
            Some(admission @ (Admission::Assigned(_) | Admission::Queued(_))) => {
                self.place(request, admission);
            }
            Some(Admission::Shed(_)) | None => self.try_again(request, Duration::ZERO, Fate::Failed),
        }
    }

    fn turned_away(&mut self, request: usize, refusal: Refusal) {
        self.try_again(request, refusal.retry_after, Fate::TurnedAway(refusal.why));
    }

    pub(crate) fn lose_patience(&mut self, request: usize, tried: u32) {
        let asked = &self.ledger.requests[request];
        let waits = asked.ticket.is_some() || !asked.held.is_empty();
        if asked.tried == tried && waits {
            self.withdraw(request);
            self.try_again(request, Duration::ZERO, Fate::GaveUp);
        }
    }

    /// Gives back every place that the request has.
    fn withdraw(&mut self, request: usize) {
        let asked = &mut self.ledger.requests[request];
        if let Some(ticket) = asked.ticket.take() {
            self.tickets.remove(&ticket);
            self.pool.abandon(ticket);
        }
        for lease in std::mem::take(&mut asked.held) {
            self.leases.remove(&lease);
            self.pool.release(lease, Outcome::Cancelled, self.now);
        }
    }

    /// The client got no answer: it asks again, or this is the end of it.
    fn try_again(&mut self, request: usize, wait: Duration, fate: Fate) {
        let asked = &mut self.ledger.requests[request];
        if asked.tried < self.scenario.client.tries {
            asked.tried += 1;
            self.agenda.put(self.now + wait, Happening::Again(request));
        } else {
            asked.fate = fate;
        }
    }
}

// What must hold at each step.
impl World<'_> {
    fn check_lease(&mut self, request: usize, lease: LeaseId) {
        let Some(view) = self.pool.workers().find(|view| view.id == lease.worker) else {
            return self.ledger.violation("a lease of a worker that is not there", self.now);
        };
        if view.phase != Phase::Serving {
            self.ledger.violation(&format!("{} got a request while {}", view.id, view.phase), self.now);
        }
        if view.in_flight - view.parked > view.cap {
            self.ledger.violation(&format!("{} is above its cap", view.id), self.now);
        }
        let given_to = &self.ledger.requests[request].given_to;
        if given_to.contains(&lease.worker) || given_to.len() > 2 {
            self.ledger.violation("a request was given to a worker twice, or to a fourth", self.now);
        }
    }

    /// The pool's counts are those of the requests that are really there.
    pub(crate) fn check_counts(&mut self) {
        let counted: u32 = self.pool.workers().map(|view| view.in_flight).sum();
        let held: usize = self.ledger.requests.iter().map(|request| request.held.len()).sum();
        let (queued, waiting) = (self.pool.queue_length() as usize, self.tickets.len());
        if counted as usize != held || queued != waiting {
            let counts = format!("{counted} counted, {held} held; {queued} queued, {waiting} waiting");
            self.ledger.violation(&counts, self.now);
        }
    }
}

/// How often the processor time of processes is read.
pub(crate) const SECOND: Duration = Duration::from_secs(1);

/// The supervisor reads a process's last words before it tells of the end.
const TOLD_AFTER: Duration = Duration::from_millis(2);
