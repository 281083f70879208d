//! One worker process: a loop that does one thing after the other, and threads beside it.
//!
//! The loop of a sync server is busy with a request until that is answered. That of an async server turns to others
//! while a request waits or is with a thread. What it does not turn to, it does not even read: probes included.

use super::agenda::{Agenda, Happening};
use super::scenario::Server;
use super::traffic::{Between, Work};
use policy::{LeaseId, Moment, WorkerId};
use std::collections::VecDeque;
use std::time::Duration;

pub(crate) struct Process {
    pub(crate) id: WorkerId,
    server: Server,
    /// What the loop is at, and what waits for it.
    running: Option<Task>,
    ready: VecDeque<Task>,
    threads: u32,
    waits_for_thread: VecDeque<Job>,
    /// All requests that it was given and has not answered.
    held: Vec<LeaseId>,
    /// The probe whose answer somebody waits for; an earlier one was hung up on.
    probe: u64,
    ending: bool,
    /// Processor time since it was last asked for: slices that do not block.
    busy: Duration,
}

/// One request at this worker.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Job {
    lease: LeaseId,
    work: Work,
    stage: Stage,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    First,
    Last,
}

#[derive(Clone, Copy, Debug)]
enum Task {
    Serve(Job),
    AnswerProbe(u64, Moment),
}

/// What the outside sees when a slice is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    Nothing,
    Request(LeaseId),
    /// So long after it was asked.
    Probe(Duration),
}

impl Process {
    pub(crate) fn new(id: WorkerId, server: Server) -> Self {
        Self {
            id,
            server,
            running: None,
            ready: VecDeque::new(),
            threads: THREADS,
            waits_for_thread: VecDeque::new(),
            held: Vec::new(),
            probe: 0,
            ending: false,
            busy: Duration::ZERO,
        }
    }

    pub(crate) fn serve(&mut self, lease: LeaseId, work: Work, now: Moment, agenda: &mut Agenda) {
        let work = match self.server {
            Server::Sync => work.in_one_go(),
            Server::Async => work,
        };
        self.held.push(lease);
        self.ready.push_back(Task::Serve(Job { lease, work, stage: Stage::First }));
        self.turn(now, agenda);
    }

    pub(crate) fn probe(&mut self, now: Moment, agenda: &mut Agenda) {
        self.probe += 1;
        self.ready.push_back(Task::AnswerProbe(self.probe, now));
        self.turn(now, agenda);
    }

    /// The processor time that it used since the last call.
    pub(crate) fn take_busy(&mut self) -> Duration {
        std::mem::take(&mut self.busy)
    }

    /// It shall end when it has answered what it holds.
    pub(crate) fn terminate(&mut self) {
        self.ending = true;
    }

    /// Whether it was told to end, and can.
    pub(crate) fn is_done(&self) -> bool {
        self.ending && self.held.is_empty() && self.running.is_none()
    }

    pub(crate) fn into_held(self) -> Vec<LeaseId> {
        self.held
    }

    pub(crate) fn slice_over(&mut self, now: Moment, agenda: &mut Agenda) -> Answer {
        let answer = match self.running.take() {
            None => Answer::Nothing,
            Some(Task::AnswerProbe(number, asked)) if number == self.probe => Answer::Probe(now.since(asked)),
            Some(Task::AnswerProbe(..)) => Answer::Nothing,
            Some(Task::Serve(job)) => match (job.stage, job.work.between) {
                (Stage::Last, _) | (Stage::First, Between::Nothing) => {
                    self.held.retain(|lease| *lease != job.lease);
                    Answer::Request(job.lease)
                }
                (Stage::First, Between::Wait(time)) => {
                    agenda.put(now + time, Happening::WaitOver(self.id, job));
                    Answer::Nothing
                }
                (Stage::First, Between::Thread(_)) => {
                    self.waits_for_thread.push_back(job);
                    Answer::Nothing
                }
            },
        };
        self.turn(now, agenda);
        answer
    }

    pub(crate) fn wait_over(&mut self, job: Job, now: Moment, agenda: &mut Agenda) {
        self.ready.push_back(Task::Serve(Job { stage: Stage::Last, ..job }));
        self.turn(now, agenda);
    }

    pub(crate) fn thread_over(&mut self, job: Job, now: Moment, agenda: &mut Agenda) {
        self.threads += 1;
        self.wait_over(job, now, agenda);
    }

    /// Whoever is idle takes up what waits.
    fn turn(&mut self, now: Moment, agenda: &mut Agenda) {
        while self.threads > 0
            && let Some(job) = self.waits_for_thread.pop_front()
        {
            self.threads -= 1;
            agenda.put(now + job.work.between.time(), Happening::ThreadOver(self.id, job));
        }
        if self.running.is_none()
            && let Some(task) = self.ready.pop_front()
        {
            let slice = match task {
                Task::AnswerProbe(..) => PROBE,
                Task::Serve(Job { work, stage: Stage::First, .. }) => work.first,
                Task::Serve(Job { work, stage: Stage::Last, .. }) => work.last,
            };
            self.running = Some(task);
            // A slice that blocks waits for something: it uses no processor.
            if slice < SHORTEST_BLOCK {
                self.busy += slice;
            }
            agenda.put(now + slice, Happening::SliceOver(self.id));
        }
    }
}

/// Slices of this length and more block their loop.
const SHORTEST_BLOCK: Duration = Duration::from_secs(1);

/// Where FastAPI runs `def` endpoints.
const THREADS: u32 = 40;

/// What it takes to answer `OPTIONS *`.
const PROBE: Duration = Duration::from_micros(100);
