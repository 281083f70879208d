//! Every state of a worker, every event: what becomes of it, as a table that a change of behaviour changes readably.
//!
//! Each pair is driven through the public face: a pool of two is brought into the state, its first worker meets the
//! event, and what the pool then does is written down. After an intended change:
//! `UPDATE_EXPECT=1 cargo test -p policy --test transitions`, and review the diff of `snapshots/transitions.txt`.

use expect_test::expect_file;
use policy::{
    Action, Admission, Event, Exit, Judgement, LeaseId, MaxInFlight, Moment, Outcome, Phase, Pool,
    PoolConfig, Report, RouteId, Signal, Slot, StandingReport, WorkerId,
};
use std::fmt::Write as _;
use std::num::{NonZeroU16, NonZeroU32};
use std::time::Duration;

#[test]
fn every_state_meets_every_event_as_the_table_says() {
    let mut table = String::new();
    for state in STATES {
        let scene = (state.reach)(Scene::new(state.cap));
        assert_eq!(scene.view().0, state.phase, "{}: not reached", state.name);
        writeln!(table, "{} ({})", state.name, state.phase).expect("a string takes all");
        for event in EVENTS {
            table.push_str(&scene.clone().meet(event));
        }
        table.push('\n');
    }
    expect_file!["snapshots/transitions.txt"].assert_eq(&table);
}

#[test]
fn the_table_has_a_row_for_every_phase() {
    for phase in Phase::ALL {
        assert!(STATES.iter().any(|state| state.phase == phase), "{phase} is missing");
    }
}

/// A way to bring the first of two workers into a state.
struct State {
    name: &'static str,
    phase: Phase,
    /// Requests a worker serves at once.
    cap: u32,
    reach: fn(Scene) -> Scene,
}

/// Something that can happen to the first worker.
struct Happening {
    name: &'static str,
    /// Makes it happen; `None` if it cannot: there is no request that it could happen to.
    apply: fn(&mut Scene) -> Option<()>,
}

const STATES: &[State] = &[
    State {
        name: "due to start again in a second",
        phase: Phase::Waiting,
        cap: 64,
        reach: Scene::backing_off,
    },
    State { name: "spawned", phase: Phase::Starting, cap: 64, reach: |scene| scene },
    State { name: "idle", phase: Phase::Serving, cap: 64, reach: Scene::ready },
    State { name: "owes an answer", phase: Phase::Serving, cap: 64, reach: |scene| scene.ready().busy() },
    State { name: "holds a parked request", phase: Phase::Serving, cap: 64, reach: Scene::parked },
    State { name: "at its one request", phase: Phase::Serving, cap: 1, reach: |scene| scene.ready().busy() },
    State { name: "at its one request, another waits", phase: Phase::Serving, cap: 1, reach: Scene::queued },
    State { name: "silent", phase: Phase::Suspect, cap: 64, reach: Scene::silent },
    State {
        name: "silent together with the other",
        phase: Phase::Suspect,
        cap: 64,
        reach: Scene::both_silent,
    },
    State { name: "took no connection", phase: Phase::Suspect, cap: 64, reach: Scene::refusing },
    State { name: "client of its one request left", phase: Phase::Suspect, cap: 1, reach: Scene::left },
    State { name: "deaf, its probe open", phase: Phase::Frozen, cap: 64, reach: Scene::deaf },
    State { name: "deaf, its probe failed", phase: Phase::Frozen, cap: 64, reach: Scene::deaf_and_closed },
    State { name: "quick requests stand still", phase: Phase::Clogged, cap: 64, reach: Scene::clogged },
    State { name: "finishing a request", phase: Phase::Draining, cap: 64, reach: Scene::draining },
    State { name: "told to end", phase: Phase::Stopping, cap: 64, reach: Scene::stopping },
    State { name: "start timed out", phase: Phase::Stopping, cap: 64, reach: Scene::start_timed_out },
    State { name: "made to end", phase: Phase::Killing, cap: 64, reach: Scene::killing },
    State { name: "not wanted", phase: Phase::Waiting, cap: 64, reach: Scene::ended },
];

const EVENTS: &[Happening] = &[
    Happening { name: "time passes to what is due", apply: Scene::wait },
    Happening { name: "first answer", apply: |scene| scene.tell(Event::Ready(scene.worker())) },
    Happening { name: "spawn failed", apply: |scene| scene.tell(Event::SpawnFailed(scene.worker())) },
    Happening { name: "a byte of an answer", apply: |scene| scene.with_lease(Scene::moved) },
    Happening {
        name: "probe answered",
        apply: |scene| scene.tell(Event::ProbeAnswered(scene.worker(), QUICKLY)),
    },
    Happening { name: "probe failed", apply: |scene| scene.tell(Event::ProbeFailed(scene.worker())) },
    Happening { name: "request completed", apply: |scene| scene.release(Outcome::Completed) },
    Happening { name: "request cancelled", apply: |scene| scene.release(Outcome::Cancelled) },
    Happening { name: "request refused", apply: |scene| scene.release(Outcome::Refused) },
    Happening { name: "request refused unread", apply: |scene| scene.release(Outcome::Full) },
    Happening { name: "request lost", apply: |scene| scene.release(Outcome::Lost) },
    Happening { name: "request timed out", apply: |scene| scene.release(Outcome::TimedOut) },
    Happening { name: "became a tunnel", apply: |scene| scene.with_lease(Scene::upgraded) },
    Happening { name: "new request", apply: Scene::arrive },
    Happening { name: "exit 0", apply: |scene| scene.tell(Event::Exited(scene.worker(), Exit::Code(0))) },
    Happening { name: "killed", apply: |scene| scene.tell(Event::Exited(scene.worker(), Exit::Signal(9))) },
    Happening {
        name: "exit of an earlier life",
        apply: |scene| scene.tell(Event::Exited(scene.earlier(), Exit::Code(0))),
    },
    Happening { name: "stop", apply: |scene| scene.tell(Event::Stop) },
    Happening { name: "kill", apply: |scene| scene.tell(Event::Kill) },
];

const QUICKLY: Duration = Duration::from_millis(1);

/// A pool of two, its clock, the request that the first worker holds, and what became of the latest request.
#[derive(Clone)]
struct Scene {
    pool: Pool,
    now: Moment,
    lease: Option<LeaseId>,
    admitted: Option<Admission>,
}

// How the states are reached.
impl Scene {
    /// Two workers: the first was spawned just now, the second serves (and is warm: no ramp).
    fn new(cap: u32) -> Self {
        let mut config = PoolConfig::new(NonZeroU16::new(2).expect("not zero"));
        config.max_in_flight = MaxInFlight::Fixed(NonZeroU32::new(cap).expect("not zero"));
        let pool = Pool::new(config, Moment::default());
        let mut scene = Self { pool, now: Moment::default(), lease: None, admitted: None };
        let other = WorkerId { slot: Slot(1), life: 1 };
        scene.pool.handle(Event::Ready(other), scene.now);
        scene.settled()
    }

    fn ready(mut self) -> Self {
        self.pool.handle(Event::Ready(self.worker()), self.now);
        self.settled()
    }

    fn busy(mut self) -> Self {
        self.admit();
        self.settled()
    }

    fn queued(self) -> Self {
        let mut scene = self.ready().busy();
        scene.pool.admit(RouteId(2), scene.now);
        scene.pool.admit(RouteId(3), scene.now);
        scene.settled()
    }

    fn parked(self) -> Self {
        let mut scene = self.silent();
        scene.pool.handle(Event::ProbeAnswered(scene.worker(), QUICKLY), scene.now);
        scene.settled()
    }

    fn silent(self) -> Self {
        let mut scene = self.ready().busy();
        scene.pass(scene.due());
        scene.settled()
    }

    fn both_silent(self) -> Self {
        let mut scene = self.ready().busy();
        scene.pool.admit(RouteId(2), scene.now);
        scene.pass(scene.due());
        scene.settled()
    }

    fn refusing(self) -> Self {
        let mut scene = self.ready().busy();
        scene.release(Outcome::Refused);
        scene.settled()
    }

    fn left(self) -> Self {
        let mut scene = self.ready().busy();
        scene.release(Outcome::Cancelled);
        scene.settled()
    }

    fn deaf(self) -> Self {
        let mut scene = self.silent();
        scene.pass(scene.due());
        scene.settled()
    }

    fn deaf_and_closed(self) -> Self {
        let mut scene = self.deaf();
        scene.pool.handle(Event::ProbeFailed(scene.worker()), scene.now);
        scene.settled()
    }

    /// The route is known to be quick, and one request of it does not come back from a loop that lives.
    fn clogged(self) -> Self {
        let mut scene = self.ready();
        for _ in 0..60 {
            scene.admit();
            scene.now = scene.now + Duration::from_millis(1);
            if let Some(Admission::Assigned(lease)) = scene.admitted {
                scene.pool.release(lease, Outcome::Completed, scene.now);
            }
        }
        scene.lease = None;
        while scene.lease.is_none() {
            scene.admit();
        }
        // The other worker answers its like meanwhile.
        scene.now = scene.now + Duration::from_millis(1);
        if let Admission::Assigned(lease) = scene.pool.admit(RouteId(1), scene.now) {
            scene.pool.release(lease, Outcome::Completed, scene.now);
        }
        for _ in 0..2 {
            scene.pass(Duration::from_millis(250));
            scene.pool.handle(Event::ProbeAnswered(scene.worker(), QUICKLY), scene.now);
        }
        scene.pass(Duration::from_millis(1));
        scene.settled()
    }

    fn draining(self) -> Self {
        let mut scene = self.ready().busy();
        scene.pool.handle(Event::Stop, scene.now);
        scene.settled()
    }

    fn stopping(self) -> Self {
        let mut scene = self.ready();
        scene.pool.handle(Event::Stop, scene.now);
        scene.settled()
    }

    fn start_timed_out(mut self) -> Self {
        self.pass(self.due());
        self.settled()
    }

    fn killing(self) -> Self {
        let mut scene = self.ready().busy();
        scene.pool.handle(Event::Kill, scene.now);
        scene.settled()
    }

    fn backing_off(mut self) -> Self {
        self.pool.handle(Event::Exited(self.worker(), Exit::Code(1)), self.now);
        self.settled()
    }

    fn ended(self) -> Self {
        let mut scene = self.stopping();
        scene.pool.handle(Event::Exited(scene.worker(), Exit::Code(0)), scene.now);
        scene.settled()
    }
}

// What happens to them.
impl Scene {
    fn wait(&mut self) -> Option<()> {
        let due = self.pool.poll_timeout()?;
        self.pass(due.since(self.now));
        Some(())
    }

    fn tell(&mut self, event: Event) -> Option<()> {
        self.pool.handle(event, self.now);
        Some(())
    }

    fn with_lease(&mut self, apply: fn(&mut Self, LeaseId)) -> Option<()> {
        apply(self, self.lease?);
        Some(())
    }

    fn moved(&mut self, lease: LeaseId) {
        self.pool.moved(lease, self.now);
    }

    fn upgraded(&mut self, lease: LeaseId) {
        self.pool.upgraded(lease, self.now);
    }

    fn release(&mut self, outcome: Outcome) -> Option<()> {
        self.pool.release(self.lease.take()?, outcome, self.now);
        Some(())
    }

    fn arrive(&mut self) -> Option<()> {
        self.admit();
        Some(())
    }

    fn admit(&mut self) {
        let admission = self.pool.admit(RouteId(1), self.now);
        if let Admission::Assigned(lease) = admission
            && lease.worker == self.worker()
        {
            self.lease = Some(lease);
        }
        self.admitted = Some(admission);
    }

    fn pass(&mut self, time: Duration) {
        self.now = self.now + time;
        self.pool.handle_timeout(self.now);
    }
}

// What is written down of them.
impl Scene {
    /// Applies the event and renders what came of it: the new state on one line, what the shell is asked for below it.
    fn meet(mut self, event: &Happening) -> String {
        let before = self.view();
        if (event.apply)(&mut self).is_none() {
            return String::new();
        }
        let after = self.view();
        let mut follows: Vec<String> = self.admitted.iter().map(outcome).collect();
        follows.extend(self.actions().iter().map(describe));
        let (phase, held, due) = &after;
        let mut row = format!("  {:<28}", event.name);
        if before == after {
            row.push_str("no change\n");
        } else {
            writeln!(row, "{phase}, holds {held}, {due}").expect("a string takes all");
        }
        for line in follows {
            writeln!(row, "  {:<28}  {line}", "").expect("a string takes all");
        }
        row
    }

    fn view(&self) -> (Phase, u32, String) {
        let view = self.pool.workers().next().expect("two workers");
        let due = match self.pool.poll_timeout() {
            Some(due) => format!("next look in {} ms", due.since(self.now).as_millis()),
            None => "nothing due".to_owned(),
        };
        (view.phase, view.in_flight, due)
    }

    fn actions(&mut self) -> Vec<Action> {
        std::iter::from_fn(|| self.pool.poll_action()).collect()
    }

    fn settled(mut self) -> Self {
        self.actions();
        self.admitted = None;
        self
    }

    fn due(&self) -> Duration {
        self.pool.poll_timeout().expect("something is due").since(self.now)
    }

    fn worker(&self) -> WorkerId {
        self.pool.workers().next().expect("two workers").id
    }

    fn earlier(&self) -> WorkerId {
        let worker = self.worker();
        WorkerId { life: worker.life - 1, ..worker }
    }
}

fn outcome(admission: &Admission) -> String {
    match admission {
        Admission::Assigned(lease) => format!("the request goes to {}", lease.worker),
        Admission::Queued(_) => "the request waits".to_owned(),
        Admission::Shed(refusal) => format!("the request is turned away: {}", refusal.why.as_str()),
    }
}

fn describe(action: &Action) -> String {
    match action {
        Action::Spawn(worker) => format!("spawn {worker}"),
        Action::Signal(worker, Signal::Terminate) => format!("SIGTERM {worker}"),
        Action::Signal(worker, Signal::Kill) => format!("SIGKILL {worker}"),
        Action::Probe(worker) => format!("probe {worker}"),
        Action::Grant(_, lease) => format!("the waiting request goes to {}", lease.worker),
        Action::Reject(_, refusal) => format!("the waiting request is turned away: {}", refusal.why.as_str()),
        Action::Report(Report { worker, was, now, why }) => format!("{worker} {was} -> {now}: {why}"),
        Action::Rescue(lease) => format!("the request at {} goes to another worker too", lease.worker),
        Action::Judged(Judgement { worker, held, suspects, rescued, culprit }) => {
            let culprit = culprit.map_or("nobody".to_owned(), |(RouteId(route), _)| format!("route {route}"));
            format!(
                "{worker} judged: {held} held, {suspects} suspect, {rescued} to be rescued, culprit {culprit}"
            )
        }
        Action::Standing(StandingReport { route: RouteId(route), was, now }) => {
            format!("route {route} {} -> {}", was.as_str(), now.as_str())
        }
        Action::GiveUp => "give up".to_owned(),
    }
}
