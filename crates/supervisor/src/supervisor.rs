//! The task that carries out what the policy decides about processes.

use crate::last_words::{LastWords, hint};
use crate::load::{self, Load};
use crate::output::{self, Tail};
use crate::plan::Launch;
use crate::pool::{Pool, Shared};
use crate::probe::{self, Answer, Question};
use crate::sentinel::Sentinel;
use crate::{Plan, PlanError, PoolOptions, ProgramProblem, environment, folder, process};
use logs::{ROUTE, Source, Speaker, WORKER};
use policy::{Action, Event, Judgement, Phase, Report, Signal, StandingReport, WorkerId};
use rustix::process::Pid;
use std::io;
use std::sync::Arc;
use std::time::Duration;
use tokio::signal::unix::{self, SignalKind};
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::MissedTickBehavior;

/// Keeps a pool's workers alive.
#[derive(Debug)]
pub struct Supervisor {
    options: PoolOptions,
    plan: Plan,
    folder: folder::Folder,
    shared: Arc<Shared>,
    sentinel: Option<Sentinel>,
    /// The live processes, one a slot at the most.
    children: Vec<Option<Child>>,
    /// Readiness, probes, and the last words of ended processes.
    tasks: JoinSet<Told>,
    /// What each slot's last process printed at its end.
    last_words: Vec<LastWords>,
    gave_up: bool,
    killed: bool,
}

/// How a pool ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ending {
    /// Every worker ended as asked.
    Stopped,
    /// At least one had to be killed.
    Killed,
    /// No worker was ever ready. The words say what happened and end with the last lines of a worker.
    GaveUp(String),
}

/// A pool that could not be started. Displays as one line with the remedy.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Bad usage.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// The program of the command is not there, or may not be executed.
    #[error("cannot run {program:?}: {problem}")]
    Program {
        /// The first word of the command.
        program: String,
        /// What is wrong with it, and the remedy.
        problem: ProgramProblem,
    },
    /// Workers cannot run where they should.
    #[error(
        "cannot run workers in {path:?}: {error}; choose another folder with --directory, or as pools.NAME.directory"
    )]
    Directory {
        /// Their folder.
        path: std::path::PathBuf,
        /// What the system said.
        error: io::Error,
    },
    /// The socket folder could not be made.
    #[error(
        "cannot create a socket folder in {path:?}: {error}; choose another with --runtime-directory, \
         pools.NAME.runtime_directory or TMPDIR"
    )]
    Folder {
        /// Its parent.
        path: std::path::PathBuf,
        /// What the system said.
        error: io::Error,
    },
    /// The sentinel could not be started.
    #[error("cannot start the sentinel process: {0}")]
    Sentinel(io::Error),
    /// Signals cannot be received.
    #[error("cannot watch for ended processes: {0}")]
    Signals(io::Error),
}

#[derive(Debug)]
struct Child {
    worker: WorkerId,
    pid: Pid,
    address: Arc<crate::Address>,
    tail: Tail,
    readers: JoinSet<()>,
    load: Load,
    /// The question that is open: ready, or alive.
    question: Option<AbortHandle>,
}

/// What a task has to tell.
#[derive(Debug)]
enum Told {
    Event(Event),
    LastWords(WorkerId, String),
}

impl Supervisor {
    /// Makes the socket folder and starts the sentinel; workers start with [`run`](Self::run). To be called on the
    /// thread that will run it, which must live as long as the process: workers die with the thread that
    /// spawned them (`PR_SET_PDEATHSIG`, prctl(2)).
    ///
    /// # Errors
    /// [`StartError`], one line each.
    pub fn new(options: PoolOptions) -> Result<Self, StartError> {
        let plan = Self::check(&options)?;
        let folder = folder::Folder::create(&options.runtime_directory, &options.name)
            .map_err(|error| StartError::Folder { path: options.runtime_directory.clone(), error })?;
        let sentinel = match &options.sentinel {
            Some(command) => Some(Sentinel::start(command, folder.path()).map_err(StartError::Sentinel)?),
            None => None,
        };
        let shared = Arc::new(Shared::new(&options, plan.keep_alive));
        let slots = usize::from(options.policy.slots());
        Ok(Self {
            plan,
            folder,
            shared,
            sentinel,
            children: std::iter::repeat_with(|| None).take(slots).collect(),
            tasks: JoinSet::new(),
            last_words: vec![LastWords::Output(String::new()); slots],
            gave_up: false,
            killed: false,
            options,
        })
    }

    /// What would run, if it could: nothing is made or started.
    ///
    /// # Errors
    /// [`StartError::Plan`], [`StartError::Directory`] or [`StartError::Program`].
    pub fn check(options: &PoolOptions) -> Result<Plan, StartError> {
        let plan = Plan::new(options)?;
        if let Some(path) = &options.directory {
            folder::find_directory(path)
                .map_err(|error| StartError::Directory { path: path.clone(), error })?;
        }
        folder::find_program(options)
            .map_err(|problem| StartError::Program { program: options.command[0].clone(), problem })?;
        Ok(plan)
    }

    /// A handle for the proxy and the console.
    pub fn pool(&self) -> Pool {
        Pool { shared: Arc::clone(&self.shared) }
    }

    /// Runs until every worker ended after [`Pool::stop`] or [`Pool::kill`], or the pool gave up. Logs each change
    /// of a worker's state by `tracing` (target `worker`; fields `worker`, `pid`, `was`, `now`, `why`).
    ///
    /// # Errors
    /// [`StartError::Signals`] when the runtime cannot watch for SIGCHLD.
    pub async fn run(mut self) -> Result<Ending, StartError> {
        let mut ended = unix::signal(SignalKind::child()).map_err(StartError::Signals)?;
        let mut look = tokio::time::interval(LOOK_EVERY);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let alarm = loop {
                match self.shared.next_action() {
                    Ok(action) => self.carry_out(action),
                    Err(alarm) => break alarm,
                }
            };
            let all_said = !self.last_words.iter().any(|words| matches!(words, LastWords::Coming(_)));
            if self.shared.has_ended() && self.children.iter().all(Option::is_none) && all_said {
                return Ok(match (self.gave_up, self.killed) {
                    (true, _) => Ending::GaveUp(self.last_words()),
                    (false, true) => Ending::Killed,
                    (false, false) => Ending::Stopped,
                });
            }
            let shared = Arc::clone(&self.shared);
            let alarm = async {
                match alarm {
                    Some(moment) => tokio::time::sleep_until(shared.instant(moment)).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = shared.wake.notified() => {}
                () = alarm => shared.handle_timeout(),
                _ = ended.recv() => self.reap(),
                _ = look.tick() => self.measure(),
                Some(told) = self.tasks.join_next() => if let Ok(told) = told { self.hear(told) },
            }
        }
    }

    fn carry_out(&mut self, action: Action) {
        match action {
            Action::Spawn(worker) => self.spawn(worker),
            Action::Signal(worker, signal) => {
                self.killed |= signal == Signal::Kill;
                if let Some(child) = self.child(worker) {
                    process::signal_group(child.pid, signal);
                }
            }
            Action::Probe(worker) => self.probe(worker),
            Action::Report(report) => {
                match &mut self.last_words[report.worker.slot.index()] {
                    LastWords::Coming(reports) => reports.push(report),
                    LastWords::Output(_) | LastWords::NotSpawned(_) => self.log(&report),
                }
                self.shared.changed.notify_waiters();
            }
            Action::Judged(judgement) => {
                self.log_judgement(&judgement);
                if self.child(judgement.worker).is_some_and(|child| load::is_stopped(child.pid)) {
                    self.shared.handle(Event::Stopped(judgement.worker));
                }
            }
            Action::Standing(report) => self.log_standing(&report),
            Action::GiveUp => self.gave_up = true,
            Action::Grant(..) | Action::Reject(..) | Action::Rescue(_) => {
                unreachable!("delivered where they were decided")
            }
        }
    }

    fn spawn(&mut self, worker: WorkerId) {
        match self.try_spawn(worker) {
            Ok(child) => {
                self.shared.began(
                    worker,
                    child.pid.as_raw_nonzero().get().unsigned_abs(),
                    Arc::clone(&child.address),
                );
                if let Some(sentinel) = &mut self.sentinel {
                    sentinel.watch(child.pid);
                }
                self.children[worker.slot.index()] = Some(child);
            }
            Err(error) => {
                self.last_words[worker.slot.index()] = LastWords::not_spawned(&error);
                self.shared.handle(Event::SpawnFailed(worker));
            }
        }
    }

    fn try_spawn(&mut self, worker: WorkerId) -> io::Result<Child> {
        let Launch { command, address, port, inherited } = self.plan.launch(worker, self.folder.path())?;
        let variables = environment::of_worker(
            std::env::vars_os(),
            &self.options.environment,
            &address,
            port,
            self.plan.alone,
        );
        let directory = self.options.directory.as_deref();
        let mut process = process::spawn(&command, variables, directory, inherited.as_ref())?;
        let pid = Pid::from_child(&process);
        let (tail, mut readers) = (Tail::default(), JoinSet::new());
        let speaker =
            Arc::new(Speaker { name: self.name_of(worker), dropped: Arc::clone(&self.shared.lines_dropped) });
        let streams = [
            (process.stdout.take().map(Into::into), Source::Stdout),
            (process.stderr.take().map(Into::into), Source::Stderr),
        ];
        for (fd, source) in streams {
            if let Some(fd) = fd {
                let (speaker, log) = (Arc::clone(&speaker), self.options.log.clone());
                readers.spawn(output::read(fd, speaker, source, log, tail.clone()));
            }
        }
        let address = Arc::new(address);
        let question = self.tasks.spawn({
            let (address, question) = (Arc::clone(&address), self.question());
            let name = self.name_of(worker);
            async move {
                probe::await_ready(&address, &question, &name, pid).await;
                Told::Event(Event::Ready(worker))
            }
        });
        Ok(Child { worker, pid, address, tail, readers, load: Load::default(), question: Some(question) })
    }

    fn probe(&mut self, worker: WorkerId) {
        let question = self.question();
        let Some(child) = self.children[worker.slot.index()].as_mut().filter(|child| child.worker == worker)
        else {
            return;
        };
        if let Some(earlier) = child.question.take() {
            earlier.abort();
        }
        let address = Arc::clone(&child.address);
        child.question = Some(self.tasks.spawn(async move {
            Told::Event(match probe::ask(&address, &question).await {
                (Answer::Http | Answer::OtherVersion | Answer::Other, lag) => {
                    Event::ProbeAnswered(worker, lag)
                }
                (Answer::None, _) => Event::ProbeFailed(worker),
            })
        }));
    }

    fn question(&self) -> Question {
        Question { probe: self.options.probe.clone(), protocol: self.options.protocol }
    }

    /// Tells the policy how busy the workers are.
    fn measure(&mut self) {
        for child in self.children.iter_mut().flatten() {
            if let Some(share) = child.load.measure(child.pid) {
                self.shared.handle(Event::Busy(child.worker, share));
            }
        }
    }

    /// Looks which children ended. The policy is told at once, for nobody is to be sent there any more; the log waits for
    /// the last words.
    fn reap(&mut self) {
        for place in &mut self.children {
            let Some(exit) = place.as_ref().and_then(|child| process::reap(child.pid)) else { continue };
            let Some(child) = place.take() else { continue };
            if let Some(question) = &child.question {
                question.abort();
            }
            if let Some(sentinel) = &mut self.sentinel {
                sentinel.forget(child.pid);
            }
            let Child { worker, tail, mut readers, address, .. } = child;
            if let crate::Address::Unix(path) = &*address {
                let _ = std::fs::remove_file(path);
            }
            let words = &mut self.last_words[worker.slot.index()];
            if !matches!(words, LastWords::Coming(_)) {
                *words = LastWords::Coming(Vec::new());
            }
            // In this order: until the policy knows, somebody may be assigned to it.
            self.shared.handle(Event::Exited(worker, exit));
            self.shared.ended(worker);
            self.tasks.spawn(async move {
                let all_read = async { while readers.join_next().await.is_some() {} };
                // What survived the kill of the group (it left it) may hold the pipe for ever.
                let _ = tokio::time::timeout(LAST_WORDS, all_read).await;
                Told::LastWords(worker, tail.text())
            });
        }
        if process::adopts_orphans() {
            process::reap_orphans();
        }
    }

    fn hear(&mut self, told: Told) {
        match told {
            Told::Event(event) => self.shared.handle(event),
            Told::LastWords(worker, output) => {
                let place = &mut self.last_words[worker.slot.index()];
                if let LastWords::Coming(reports) = std::mem::replace(place, LastWords::Output(output)) {
                    reports.iter().for_each(|report| self.log(report));
                }
            }
        }
    }

    fn child(&self, worker: WorkerId) -> Option<&Child> {
        self.children[worker.slot.index()].as_ref().filter(|child| child.worker == worker)
    }

    /// One line a change. Suspicions come and go wherever requests wait for long, and are for those who look closely.
    fn log(&self, report: &Report) {
        let Report { worker, was, now, why } = *report;
        let name = self.name_of(worker);
        let pid = self.child(worker).map(|child| child.pid.as_raw_nonzero().get());
        let (was, now, last_words) = (was.as_str(), now.as_str(), &self.last_words[worker.slot.index()]);
        match (report.was, report.now) {
            (
                Phase::Starting | Phase::Serving | Phase::Clogged | Phase::Suspect | Phase::Frozen,
                Phase::Waiting,
            ) => {
                let (why, last_output) = match last_words {
                    LastWords::Output(output) => (format!("{why}{}", hint(&why)), output.as_str()),
                    LastWords::NotSpawned(error) => (format!("{why}: {error}"), ""),
                    LastWords::Coming(_) => (why.to_string(), ""),
                };
                tracing::error!(target: WORKER, worker = name, was, now, %why, last_output);
            }
            (_, Phase::Frozen | Phase::Clogged)
            | (Phase::Clogged, _)
            | (Phase::Frozen, _)
            | (Phase::Starting, Phase::Stopping)
            | (_, Phase::Killing) => {
                tracing::warn!(target: WORKER, worker = name, pid, was, now, %why);
            }
            (Phase::Serving, Phase::Suspect) | (Phase::Suspect, Phase::Serving) => {
                tracing::debug!(target: WORKER, worker = name, pid, was, now, %why);
            }
            _ => tracing::info!(target: WORKER, worker = name, pid, was, now, %why),
        }
    }

    /// What was made of a worker that stopped answering, for whoever wonders why.
    fn log_judgement(&self, judgement: &Judgement) {
        let Judgement { worker, held, suspects, rescued, culprit } = *judgement;
        let name = self.name_of(worker);
        let (culprit, age) = match culprit {
            Some((route, age)) => (self.options.route_names.name(route), age.as_millis()),
            None => ("unknown".to_owned(), 0),
        };
        tracing::warn!(target: WORKER, worker = name, held, suspects, rescued, culprit, age_ms = age, "judged");
    }

    fn log_standing(&self, report: &StandingReport) {
        let StandingReport { route, was, now } = *report;
        let (route, was, now) = (self.options.route_names.name(route), was.as_str(), now.as_str());
        tracing::warn!(target: ROUTE, route, was, now);
    }

    /// Why the pool gives up, for the one line that the program ends with.
    fn last_words(&self) -> String {
        let attempts = self.options.policy.start.attempts;
        let words = self.last_words.iter().find_map(LastWords::sentence);
        let words = words.unwrap_or_else(|| "they printed nothing".to_owned());
        format!("no worker became ready in {attempts} attempts each; {words}")
    }

    fn name_of(&self, worker: WorkerId) -> String {
        format!("{}.{}", self.options.name, worker.slot)
    }
}

/// How often the processor time of workers is read.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// How long a dead worker's output may take to arrive.
const LAST_WORDS: Duration = Duration::from_millis(200);
