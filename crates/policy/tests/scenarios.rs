//! What a pool decides, told as stories. Time is a number here: nothing waits.

mod story;

use policy::{
    Action, Admission, Event, Exit, LeaseId, MaxInFlight, Moment, Outcome, Phase, RouteId, Shed, Signal,
    TicketId, WorkerId,
};
use std::collections::VecDeque;
use std::num::NonZeroU32;
use std::time::Duration;
use story::{QUICKLY, Story};

/// The one route of these stories.
const ROUTE: RouteId = RouteId(1);

impl Story {
    fn ticket(&mut self) -> TicketId {
        match self.admit(ROUTE) {
            Admission::Queued(ticket) => ticket,
            other => panic!("it did not have to wait: {other:?}"),
        }
    }

    fn asked_for(&self, action: Action) -> bool {
        self.asked.contains(&action)
    }
}

#[test]
fn a_worker_that_answers_its_probe_keeps_its_slow_requests_and_goes_on_serving() {
    let mut story = Story::serving(1, |_| {});
    let slow: Vec<LeaseId> = (0..10).map(|_| story.lease(ROUTE)).collect();
    story.pass(250);
    assert_eq!(story.phase(0), Phase::Suspect);
    assert!(story.asked_for(Action::Probe(slow[0].worker)));
    story.tell(Event::ProbeAnswered(slow[0].worker, QUICKLY));
    assert_eq!(story.phase(0), Phase::Serving);
    assert_eq!(story.pool.workers().next().expect("one").parked, 10);
    for lease in slow {
        story.release(lease, Outcome::Completed);
    }
    let worker = story.pool.workers().next().expect("one");
    assert_eq!((worker.in_flight, worker.parked, worker.frozen_total), (0, 0, 0));
}

impl Story {
    /// Half a minute in which the only worker has as many requests as it may have, and at most so many; they are
    /// answered after 100 ms, and its probes after this long. How many of these there were.
    fn be_busy(&mut self, most: usize, lag: Duration) -> usize {
        let mut probes = 0;
        for _ in 0..300 {
            let held: Vec<LeaseId> = (0..most).map_while(|_| self.lease_if_free()).collect();
            self.pass(100);
            for action in std::mem::take(&mut self.asked) {
                if let Action::Probe(worker) = action {
                    probes += 1;
                    self.tell(Event::ProbeAnswered(worker, lag));
                }
            }
            held.into_iter().for_each(|lease| self.release(lease, Outcome::Completed));
        }
        probes
    }

    fn lease_if_free(&mut self) -> Option<LeaseId> {
        match self.admit(ROUTE) {
            Admission::Assigned(lease) => Some(lease),
            Admission::Queued(ticket) => {
                self.pool.abandon(ticket);
                None
            }
            Admission::Shed(_) => None,
        }
    }

    fn cap(&self) -> u32 {
        self.pool.workers().next().expect("one").cap
    }
}

#[test]
fn a_worker_whose_loop_is_late_holds_less_and_one_whose_loop_is_quick_more() {
    let mut story = Story::serving(1, |_| {});
    assert_eq!(story.cap(), 64);
    for (lag, caps) in [(300, 4..=8), (2, 65..=256)] {
        let probes = story.be_busy(1_000, Duration::from_millis(lag));
        assert!(probes <= 30, "{probes} in half a minute");
        assert!(caps.contains(&story.cap()), "{} after a lag of {lag} ms", story.cap());
    }
}

#[test]
fn nobody_asks_for_the_lag_of_a_worker_that_has_room_or_whose_cap_is_fixed() {
    for most in [MaxInFlight::Auto, MaxInFlight::Fixed(NonZeroU32::new(40).expect("some"))] {
        let mut story = Story::serving(1, |config| config.max_in_flight = most);
        assert_eq!(story.be_busy(40, Duration::from_millis(300)), 0, "{most:?}");
        assert_eq!(story.cap(), most.first());
    }
}

#[test]
fn a_blocked_worker_is_frozen_half_a_second_after_its_last_byte_and_thaws_with_the_next() {
    let mut story = Story::serving(2, |_| {});
    let blocked = story.lease(ROUTE);
    story.pass(499);
    assert_eq!(story.phase(0), Phase::Suspect);
    story.pass(1);
    assert_eq!(story.phase(0), Phase::Frozen);
    assert!((0..8).all(|_| story.lease(ROUTE).worker != blocked.worker), "a frozen worker got a request");
    story.pool.moved(blocked, story.now);
    assert_eq!(story.phase(0), Phase::Serving);
    assert!(!story.asked.iter().any(|action| matches!(action, Action::Signal(..))));
}

#[test]
fn a_worker_frozen_for_too_long_is_asked_to_end_then_killed_then_replaced() {
    let mut story = Story::serving(1, |config| config.surge = 0);
    let worker = story.lease(ROUTE).worker;
    story.pass(500 + 30_000);
    assert!(story.asked_for(Action::Signal(worker, Signal::Terminate)));
    story.pass(10_000);
    assert!(story.asked_for(Action::Signal(worker, Signal::Kill)));
    story.tell(Event::Exited(worker, Exit::Signal(9)));
    assert!(story.asked_for(Action::Spawn(WorkerId { life: 2, ..worker })));
}

#[test]
fn a_worker_that_takes_no_connection_gets_no_further_request_until_it_answers() {
    let mut story = Story::serving(2, |_| {});
    let refused = story.lease(ROUTE);
    story.release(refused, Outcome::Refused);
    assert!((0..4).all(|_| story.lease(ROUTE).worker != refused.worker));
    story.tell(Event::ProbeAnswered(refused.worker, QUICKLY));
    assert_eq!(story.lease(ROUTE).worker, refused.worker);
}

#[test]
fn a_worker_that_serves_one_at_a_time_is_asked_whether_it_is_free_when_its_client_leaves() {
    let mut story = Story::serving(1, |config| config.max_in_flight = MaxInFlight::Fixed(NonZeroU32::MIN));
    let lease = story.lease(ROUTE);
    story.pass(1_900);
    assert_eq!(story.phase(0), Phase::Serving, "busy is not silent where one request fills the worker");
    story.release(lease, Outcome::Cancelled);
    assert_eq!(story.phase(0), Phase::Suspect);
    story.pass(250);
    assert_eq!(story.phase(0), Phase::Frozen);
    story.tell(Event::ProbeAnswered(lease.worker, QUICKLY));
    assert_eq!(story.phase(0), Phase::Serving);
}

#[test]
fn a_replacement_that_drains_is_called_back_when_another_worker_freezes() {
    let mut story = Story::serving(2, |config| config.surge = 1);
    let first = story.lease(ROUTE);
    story.pass(500 + 2_000);
    let replacement = story.spawned().pop().expect("one is frozen for long");
    story.tell(Event::Ready(replacement));
    let held: Vec<LeaseId> = (0..8).map(|_| story.lease(ROUTE)).collect();
    let (moves, stuck): (Vec<LeaseId>, Vec<LeaseId>) =
        held.iter().copied().partition(|lease: &LeaseId| lease.worker == replacement);
    assert!(!moves.is_empty());
    story.pool.moved(first, story.now);
    assert_eq!(story.phase(2), Phase::Serving, "the frozen one is back, but the replacement owes answers");
    for lease in &moves {
        story.pool.moved(*lease, story.now);
    }
    assert_eq!(story.phase(2), Phase::Draining, "what it holds has begun to be answered");
    story.asked.clear();
    // Nobody answers; but the replacement is heard of.
    for _ in 0..30 {
        story.pass(100);
        story.pool.moved(moves[0], story.now);
        story.collect();
    }
    assert_eq!(story.phase(stuck[0].worker.slot.0), Phase::Frozen);
    assert_eq!(story.phase(2), Phase::Serving);
    assert!(story.spawned().is_empty(), "another one was started");
    assert_eq!(story.lease(ROUTE).worker, replacement);
}

#[test]
fn failed_starts_are_retried_after_one_two_and_four_seconds_and_up_to_a_minute() {
    let mut story = Story::new(1, |config| config.start.attempts = 0);
    for wait in [1, 2, 4, 8, 16, 32, 60, 60] {
        let worker = story.spawned().pop().expect("a start");
        story.asked.clear();
        story.tell(Event::Exited(worker, Exit::Code(1)));
        story.pass(wait * 1000 - 1);
        assert!(story.spawned().is_empty(), "started before {wait} s");
        story.pass(1);
        assert_eq!(story.spawned().len(), 1, "not started after {wait} s");
    }
}

#[test]
fn a_crash_loop_slows_down_unless_somebody_kills_the_worker_or_it_lives_longer_than_it_waited() {
    let mut story = Story::new(1, |_| {});
    let mut restarts_after = |served: u64, exit: Exit, wait: u64| {
        let worker = story.spawned().pop().expect("a start");
        story.tell(Event::Ready(worker));
        story.pass(served);
        story.asked.clear();
        story.tell(Event::Exited(worker, exit));
        story.pass(wait.saturating_sub(1));
        assert_eq!(story.spawned().is_empty(), wait > 0, "started before {wait} ms");
        story.pass(1);
        assert_eq!(story.spawned().len(), 1, "not started after {wait} ms");
    };
    for wait in [1_000, 2_000, 4_000, 8_000] {
        restarts_after(300, Exit::Code(1), wait);
    }
    restarts_after(8_000, Exit::Code(1), 1_000);
    restarts_after(300, Exit::Signal(11), 2_000);
    restarts_after(300, Exit::Signal(9), 1_000);
    restarts_after(10_000, Exit::Code(1), 0);
}

#[test]
fn a_pool_that_cannot_boot_gives_up_and_turns_everybody_away() {
    let mut story = Story::new(2, |_| {});
    for _ in 0..3 {
        for worker in story.spawned() {
            story.tell(Event::Exited(worker, Exit::Code(3)));
        }
        story.asked.retain(|action| !matches!(action, Action::Spawn(_)));
        story.pass(4_000);
    }
    assert!(story.asked_for(Action::GiveUp));
    assert!(story.pool.has_ended());
    assert!(matches!(story.admit(ROUTE), Admission::Shed(refusal) if refusal.why == Shed::Stopping));
}

#[test]
fn the_queue_serves_in_order_and_the_newest_first_once_its_head_is_late() {
    let mut story = Story::serving(1, |config| config.max_in_flight = MaxInFlight::Fixed(NonZeroU32::MIN));
    let granted = |story: &Story, ticket: TicketId| {
        story.asked.iter().any(|action| matches!(action, Action::Grant(whose, _) if *whose == ticket))
    };
    let first = story.lease(ROUTE);
    let (second, third) = (story.ticket(), story.ticket());
    story.release(first, Outcome::Completed);
    assert!(granted(&story, second) && !granted(&story, third));
    story.pass(5_001);
    let fresh = story.ticket();
    let held = story.asked.iter().find_map(|action| match action {
        Action::Grant(_, lease) => Some(*lease),
        _ => None,
    });
    story.release(held.expect("granted above"), Outcome::Completed);
    assert!(granted(&story, fresh) && !granted(&story, third));
    story.pass(5_000);
    assert!(story.asked.iter().any(|action| matches!(action, Action::Reject(whose, _) if *whose == third)));
}

#[test]
fn a_late_look_at_the_clock_freezes_nobody() {
    let mut story = Story::serving(2, |_| {});
    story.lease(ROUTE);
    story.now = story.now + Duration::from_secs(60);
    story.pool.handle_timeout(story.now);
    story.collect();
    assert_eq!(story.phase(0), Phase::Serving);
    story.pass(500);
    assert_eq!(story.phase(0), Phase::Frozen, "from there on it is judged as ever");
}

#[test]
fn what_belongs_to_an_earlier_life_changes_nothing() {
    let mut story = Story::serving(1, |_| {});
    let lease = story.lease(ROUTE);
    story.pass(20);
    story.tell(Event::Exited(lease.worker, Exit::Signal(9)));
    story.pass(1_000);
    let next = WorkerId { life: 2, ..lease.worker };
    story.tell(Event::Ready(lease.worker));
    assert_eq!(story.phase(0), Phase::Starting);
    story.tell(Event::Ready(next));
    let held = story.lease(ROUTE);
    story.release(lease, Outcome::Lost);
    story.tell(Event::Exited(lease.worker, Exit::Code(0)));
    assert_eq!((story.phase(0), held.worker), (Phase::Serving, next));
    assert_eq!(story.pool.workers().next().expect("one").in_flight, 1);
}

#[test]
fn a_pool_that_is_told_to_stop_lets_requests_finish_and_then_ends() {
    let mut story = Story::serving(2, |_| {});
    let lease = story.lease(ROUTE);
    story.tell(Event::Stop);
    assert_eq!((story.phase(0), story.phase(1)), (Phase::Draining, Phase::Stopping));
    story.release(lease, Outcome::Completed);
    assert_eq!(story.phase(0), Phase::Stopping);
    let workers: Vec<WorkerId> = story.pool.workers().map(|worker| worker.id).collect();
    for worker in workers {
        story.tell(Event::Exited(worker, Exit::Code(0)));
    }
    assert!(story.pool.has_ended());
}

#[test]
fn a_route_that_is_slow_for_the_first_time_takes_one_worker_where_the_others_need_the_rest() {
    let mut story = Story::serving(4, |config| config.max_in_flight = MaxInFlight::Fixed(NonZeroU32::MIN));
    // 120 requests a second of 20 ms each: 2.4 workers.
    let mut busy: VecDeque<(Moment, LeaseId)> = VecDeque::new();
    let mut tick = |story: &mut Story, milliseconds: u64| {
        for step in 0..milliseconds {
            story.now = story.now + Duration::from_millis(1);
            while busy.front().is_some_and(|(sent, _)| story.now.since(*sent) >= Duration::from_millis(20)) {
                let (_, lease) = busy.pop_front().expect("seen");
                story.release(lease, Outcome::Completed);
            }
            if step % 8 == 0
                && let Admission::Assigned(lease) = story.pool.admit(RouteId(1), story.now)
            {
                busy.push_back((story.now, lease));
            }
        }
    };
    tick(&mut story, 4_000);
    let first = story.pool.admit(RouteId(2), story.now);
    assert!(matches!(first, Admission::Assigned(_)), "{first:?}");
    tick(&mut story, 1_000);
    let second = story.pool.admit(RouteId(2), story.now);
    assert!(
        matches!(second, Admission::Queued(_)),
        "{second:?} {:?}",
        story.pool.routes().collect::<Vec<_>>()
    );
}
