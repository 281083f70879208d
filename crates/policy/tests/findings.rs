//! What a review found: each test states what should hold.

mod story;

use policy::{
    Action, Admission, Event, Exit, Fate, LeaseId, MaxInFlight, Outcome, Phase, PoolConfig, Replay, Request,
    RouteId, RouteStanding, Share, Shed, Signal, Urgency, WorkerId,
};
use std::num::NonZeroU32;
use std::time::Duration;
use story::{QUICKLY, Story};

/// A pool without surge, all of whose workers serve.
fn serving(workers: u16, change: impl FnOnce(&mut PoolConfig)) -> Story {
    Story::serving(workers, |config| {
        config.surge = 0;
        change(config);
    })
}

impl Story {
    /// Answers the probes that are asked for, of all workers but this one, until the time has passed.
    fn pass_alive(&mut self, millis: u64, but: &[WorkerId]) {
        for _ in 0..millis / 10 {
            self.pass(10);
            let probes: Vec<_> = self
                .asked
                .iter()
                .filter_map(|action| match action {
                    Action::Probe(worker) if !but.contains(worker) => Some(*worker),
                    _ => None,
                })
                .collect();
            self.asked.retain(|action| !matches!(action, Action::Probe(_)));
            for worker in probes {
                self.tell(Event::ProbeAnswered(worker, QUICKLY));
            }
        }
    }

    /// Ordinary traffic: quick requests of these routes, spread evenly.
    fn warm(&mut self, routes: &[u32]) {
        for _ in 0..200 {
            for route in routes {
                let lease = self.lease(RouteId(*route));
                self.pass(5);
                self.release(lease, Outcome::Completed);
            }
            self.pass(5);
        }
        let workers: Vec<_> = self.pool.workers().map(|worker| worker.id).collect();
        for worker in workers {
            self.tell(Event::Busy(worker, Share(200)));
        }
    }

    fn standing(&self, route: u32) -> RouteStanding {
        let view = self.pool.routes().find(|view| view.route == RouteId(route));
        view.map_or(RouteStanding::Good, |view| view.standing)
    }
}

fn get(route: u32, fingerprint: u64) -> Request {
    Request { replay: Replay::Allowed, fingerprint, ..Request::from(RouteId(route)) }
}

/// Two users ask for a page that computes for a second, as ever. It is quarantined, and its canaries, which freeze
/// their workers as ever, do not lift that when they are answered.
#[test]
fn a_route_that_always_blocks_for_a_second_is_not_turned_away_for_minutes() {
    let mut story = serving(4, |_| {});
    story.warm(&[1, 2]);
    let (one, two) = (story.lease(RouteId(9)), story.lease(RouteId(9)));
    assert_ne!(one.worker, two.worker);
    story.pass_alive(1000, &[one.worker, two.worker]);
    story.release(one, Outcome::Completed);
    story.release(two, Outcome::Completed);
    // Now one user at a time, every five seconds, for five minutes.
    let (mut answered, mut refused) = (0, 0);
    for _ in 0..60 {
        story.warm(&[1, 2]);
        match story.admit(RouteId(9)) {
            Admission::Assigned(lease) => {
                story.pass_alive(1000, &[lease.worker]);
                story.release(lease, Outcome::Completed);
                answered += 1;
            }
            Admission::Queued(ticket) => story.pool.abandon(ticket),
            Admission::Shed(_) => refused += 1,
        }
    }
    assert!(refused <= 2, "{refused} refused, {answered} answered");
}

/// A worker that holds nothing but tunnels freezes for long. New tunnels are turned away until every old one,
/// on whatever worker, has ended: the canary waits for that.
#[test]
fn a_quarantined_route_with_open_tunnels_gets_its_canary() {
    let mut story = serving(4, |_| {});
    story.warm(&[1, 2]);
    let tunnels: Vec<LeaseId> = (0..8).map(|_| story.lease(RouteId(9))).collect();
    for lease in &tunnels {
        story.pool.upgraded(*lease, story.now);
    }
    story.collect();
    let frozen = tunnels[0].worker;
    // It stays silent; the others answer their probes.
    story.pass_alive(40_000, &[frozen]);
    story.tell(Event::Exited(frozen, Exit::Signal(9)));
    for lease in tunnels.iter().filter(|lease| lease.worker == frozen) {
        story.release(*lease, Outcome::Cancelled);
    }
    story.pass_alive(120_000, &[frozen]);
    assert!(
        matches!(story.admit(RouteId(9)), Admission::Assigned(_)),
        "{:?} two minutes after the frozen worker is gone",
        story.standing(9)
    );
}

/// A worker's threads are all taken by requests of route 5; there are more tunnels on it than that. The tunnels'
/// route is blamed, and all other workers, which hold as many tunnels, are taken out.
#[test]
fn open_streams_are_not_the_crowd_that_takes_a_workers_threads() {
    let mut story = serving(4, |_| {});
    story.warm(&[1, 2, 1, 2, 1, 2, 1, 2]);
    let tunnels: Vec<LeaseId> = (0..200)
        .map(|_| {
            let lease = story.lease(RouteId(9));
            story.pool.upgraded(lease, story.now);
            lease
        })
        .collect();
    let victim = tunnels[0].worker;
    // Forty of route 5 end up on it and keep its threads; those of the others are answered.
    let all: Vec<LeaseId> = (0..160).map(|_| story.lease(RouteId(5))).collect();
    story.pass_alive(100, &[]);
    for lease in all.iter().filter(|lease| lease.worker != victim) {
        story.release(*lease, Outcome::Completed);
    }
    story.pass_alive(600, &[]);
    // A quick one stands still there, while others are answered elsewhere.
    let quick: Vec<LeaseId> = (0..8).map(|_| story.lease(RouteId(1))).collect();
    assert!(quick.iter().any(|lease| lease.worker == victim));
    for lease in quick.iter().filter(|lease| lease.worker != victim) {
        story.release(*lease, Outcome::Completed);
    }
    for _ in 0..200 {
        if let Admission::Assigned(lease) = story.admit(RouteId(2)) {
            story.pass_alive(10, &[]);
            story.release(lease, Outcome::Completed);
        }
        if let Admission::Assigned(lease) = story.admit(RouteId(1))
            && lease.worker != victim
        {
            story.release(lease, Outcome::Completed);
        }
    }
    let clogged = story.pool.workers().filter(|worker| worker.phase == Phase::Clogged).count();
    assert!(
        clogged <= 1 && story.standing(9) == RouteStanding::Good,
        "{clogged} clogged, tunnels {:?}",
        story.standing(9)
    );
}

/// Two different queries to one URL (GraphQL: POST /graphql) end frozen within a minute. Everybody's are refused.
#[test]
fn requests_that_share_method_and_target_are_not_condemned_together() {
    let mut story = serving(4, |config| config.surge = 0);
    story.warm(&[1, 2]);
    // What has a body has no fingerprint.
    let post = Request { fingerprint: 0, ..Request::from(RouteId(1)) };
    let (one, two) = (story.lease(post), story.lease(post));
    story.pass_alive(36_000, &[one.worker, two.worker]);
    story.tell(Event::Exited(one.worker, Exit::Signal(9)));
    story.tell(Event::Exited(two.worker, Exit::Signal(9)));
    let admission = story.admit(post);
    assert!(
        !matches!(admission, Admission::Shed(refusal) if refusal.why == Shed::QueryOfDeath),
        "{admission:?}"
    );
}

/// On a quiet service the first request after a worker fell silent is blamed: its route cannot show elsewhere that it
/// works, because it is confined to the frozen worker, then quarantined, and no canary goes out while that is frozen.
#[test]
fn an_innocent_route_of_a_quiet_service_does_not_go_down_with_one_worker_of_four() {
    let mut story = serving(4, |_| {});
    story.warm(&[1, 2, 3, 4, 5]);
    story.warm(&[2, 3, 4, 5]); // Route 1 is asked for every few seconds.
    let unlucky = story.lease(get(1, 1)); // Something else has stopped this worker.
    let mut lost = Vec::new();
    for second in 0..40 {
        story.pass_alive(1_000, &[unlucky.worker]);
        if let Admission::Assigned(lease) = story.admit(get(2, 100 + second)) {
            story.pass(5);
            story.release(lease, Outcome::Completed);
        }
        match story.admit(get(1, 200 + second)) {
            Admission::Assigned(lease) => {
                story.pass(5);
                story.release(lease, Outcome::Completed);
            }
            Admission::Queued(ticket) => {
                story.pool.abandon(ticket);
                lost.push(second);
            }
            Admission::Shed(_) => lost.push(second),
        }
    }
    assert!(lost.len() <= 2, "not answered in seconds {lost:?}, though three workers are idle");
}

/// The same with two workers: the one that is left is not risked, though the route may be innocent.
#[test]
fn the_last_worker_is_not_risked_for_a_route_that_may_freeze_it() {
    for surge in [0, 1] {
        let mut story = Story::serving(2, |config| config.surge = surge);
        story.warm_quietly();
        let unlucky = story.lease(get(1, 1));
        story.pass_alive(2_000, &[unlucky.worker]);
        assert_eq!(story.phase(unlucky.worker.slot.0), Phase::Frozen);
        assert!(matches!(story.admit(get(1, 2)), Admission::Queued(_)));
    }
}

/// Requests of three routes were before a worker when it fell silent. One route after the other is answered elsewhere.
#[test]
fn of_several_suspects_the_most_likely_one_waits_until_the_others_have_shown_that_they_are_well() {
    let mut story = serving(4, |_| {});
    story.warm_busily(&[1, 2, 3, 4, 5]);
    let frozen = story.freeze_one_with(&[11, 12, 13], &[]);
    assert!(matches!(story.admit(RouteId(11)), Admission::Queued(_)), "the first that it was given");
    for innocent in [12, 13] {
        let lease = story.lease(RouteId(innocent));
        assert_ne!(lease.worker, frozen);
        story.release(lease, Outcome::Completed);
        assert_eq!(story.standing(innocent), RouteStanding::Good);
    }
    // What is left over is what stopped it: nobody else is let near a worker, and in the end it is turned away.
    assert!(matches!(story.admit(RouteId(11)), Admission::Queued(_)));
    story.pass_alive(6_000, &[frozen]);
    assert_eq!(story.standing(11), RouteStanding::Quarantined);
}

/// Each of two frozen workers had requests of a route of its own, and both had one of route 12.
#[test]
fn the_route_that_two_frozen_workers_have_in_common_did_it() {
    let mut story = serving(4, |_| {});
    story.warm_busily(&[1, 2, 3, 4, 5]);
    let first = story.freeze_one_with(&[11, 12], &[]);
    story.asked.clear();
    story.freeze_one_with(&[12, 13], &[first]);
    assert_eq!(story.standing(11), RouteStanding::Good);
    assert_eq!(story.standing(13), RouteStanding::Good);
    assert_eq!(story.standing(12), RouteStanding::Quarantined);
    // What the others wait for there is asked of the workers that are left.
    let rescued = story.asked.iter().filter_map(|action| match action {
        Action::Rescue(lease) => Some(*lease),
        _ => None,
    });
    let rescued: Vec<LeaseId> = rescued.collect();
    assert_eq!(rescued.len(), 2, "one of route 11, one of route 13");
    for lease in rescued {
        assert!(story.pool.rescue(get(11, 7).after(Fate::Froze, lease.worker), lease, story.now).is_some());
    }
}

/// Requests of the main route are before every worker that freezes, whatever froze it.
#[test]
fn the_main_route_is_let_near_one_worker_more_however_many_are_frozen() {
    let mut story = serving(4, |_| {});
    story.warm_busily(&[1, 1, 1, 1, 2]);
    let first = story.freeze_one_with(&[1, 11], &[]);
    story.freeze_one_with(&[1, 13], &[first]);
    assert!(matches!(story.admit(RouteId(1)), Admission::Assigned(_)));
}

/// A frozen worker still has a request of a minor route that was acquitted of freezing it.
#[test]
fn what_a_route_lost_to_a_frozen_worker_does_not_count_as_the_one_worker_that_it_may_have() {
    let mut story = serving(3, |config| config.max_in_flight = MaxInFlight::Fixed(NonZeroU32::MIN));
    story.warm(&[1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 2]);
    let hung = story.lease(RouteId(2));
    story.pass(600);
    assert_eq!(story.phase(hung.worker.slot.0), Phase::Frozen);
    let check = story.lease(Request { urgency: Urgency::Health, ..get(2, 2) });
    story.pass(5);
    story.release(check, Outcome::Completed);
    assert_eq!(story.standing(2), RouteStanding::Good);
    assert!(matches!(story.admit(RouteId(2)), Admission::Assigned(_)));
}

/// A canary may cost a worker. While those that are left are too few, the others need it more.
#[test]
fn a_quarantined_route_gets_no_canary_while_the_pool_is_short_of_workers() {
    let mut story = serving(4, |_| {});
    story.warm_busily(&[1, 2, 3, 4, 5]);
    let frozen = story.freeze_one_with(&[11], &[]);
    story.pass_alive(6_000, &[frozen]);
    assert_eq!(story.standing(11), RouteStanding::Quarantined);
    // It ends, and does not come back at once.
    story.tell(Event::Exited(frozen, Exit::Code(1)));
    story.pass_alive(20_000, &[frozen]);
    assert!(
        matches!(story.admit(RouteId(11)), Admission::Shed(_)),
        "three workers have to do what needs four"
    );
    for worker in story.spawned() {
        story.tell(Event::Ready(worker));
    }
    assert!(matches!(story.admit(RouteId(11)), Admission::Assigned(_)));
}

/// Half of a pool boots at once, out of consideration for the other half. If that is frozen, it needs none.
#[test]
fn where_nobody_serves_all_replacements_boot_at_once() {
    let mut story = Story::serving(2, |_| {});
    story.warm(&[1, 2]);
    for _ in 0..2 {
        story.lease(RouteId(1));
    }
    story.pass(3_000);
    assert_eq!(story.spawned().len(), 2);
}

/// The same with the app's own health check: an orchestrator would end the container.
#[test]
fn a_health_check_is_not_turned_away_because_one_worker_of_four_froze() {
    let mut story = serving(4, |_| {});
    story.warm(&[1, 2, 3]);
    story.warm(&[1, 2]);
    let health = Request { urgency: Urgency::Health, ..get(3, 3) };
    let unlucky = story.lease(health);
    let mut lost = Vec::new();
    for check in 0..3 {
        story.pass_alive(10_000, &[unlucky.worker]);
        match story.admit(health) {
            Admission::Assigned(lease) => {
                story.pass(5);
                story.release(lease, Outcome::Completed);
            }
            Admission::Queued(ticket) => {
                story.pool.abandon(ticket);
                lost.push(check);
            }
            Admission::Shed(_) => lost.push(check),
        }
    }
    assert!(lost.is_empty(), "checks {lost:?} of three failed");
}

/// An urgent request that lost its leave while it waited holds up everybody.
#[test]
fn a_health_check_whose_route_is_confined_meanwhile_does_not_block_the_queue() {
    let mut story = serving(2, |config| config.max_in_flight = MaxInFlight::Fixed(NonZeroU32::MIN));
    story.warm(&[1, 2, 3]);
    let health = Request { urgency: Urgency::Health, ..get(3, 3) };
    let hung = story.lease(health);
    let busy = story.lease(RouteId(1));
    let waiting = story.admit(health);
    assert!(matches!(waiting, Admission::Queued(_)));
    story.pass(450);
    assert!(matches!(story.admit(RouteId(2)), Admission::Queued(_)));
    story.pass(51);
    assert_eq!(story.phase(hung.worker.slot.0), Phase::Frozen);
    story.asked.clear();
    story.release(busy, Outcome::Completed);
    let granted = story.asked.iter().filter(|action| matches!(action, Action::Grant(..))).count();
    assert!(
        granted > 0,
        "worker {} is idle, two wait, nobody gets it; {:?}",
        busy.worker,
        story.phase(busy.worker.slot.0)
    );
}

/// A copy that may not go to the only free worker makes everybody wait in the line behind it.
#[test]
fn a_copy_that_waits_for_another_worker_keeps_nobody_from_the_free_one() {
    let mut story = serving(2, |config| config.max_in_flight = MaxInFlight::Fixed(NonZeroU32::MIN));
    story.warm(&[1, 2]);
    let busy = story.lease(get(1, 1));
    let broken = story.lease(get(2, 2));
    story.release(broken, Outcome::Lost);
    let copy = story.pool.rescue(get(2, 2).after(Fate::Died, broken.worker), broken, story.now);
    assert!(matches!(copy, Some(Admission::Queued(_))));
    story.collect();
    let next = story.admit(get(2, 3));
    assert!(
        matches!(next, Admission::Assigned(_)),
        "{next:?}, though {} is idle ({})",
        broken.worker,
        busy.worker
    );
}

/// A hundred wait for the one route that may have no worker, and ahead of a copy that may have the next free one.
#[test]
fn many_who_wait_for_one_confined_route_hide_nobody_who_may_have_a_free_worker() {
    let mut story = serving(3, |config| config.max_in_flight = MaxInFlight::Fixed(NonZeroU32::MIN));
    story.warm(&[1, 2]);
    let hung = story.lease(RouteId(9));
    story.pass(2_000);
    assert_eq!(story.phase(hung.worker.slot.0), Phase::Frozen);
    let busy = story.lease(RouteId(1));
    for _ in 0..100 {
        assert!(matches!(story.admit(RouteId(9)), Admission::Queued(_)));
    }
    let broken = story.lease(get(2, 2));
    story.release(broken, Outcome::Lost);
    let copy = story.pool.rescue(get(2, 2).after(Fate::Died, broken.worker), broken, story.now);
    let Some(Admission::Queued(copy)) = copy else { panic!("{copy:?}, though others are busy") };
    story.release(busy, Outcome::Completed);
    let granted = story.asked.iter().find_map(|action| match action {
        Action::Grant(ticket, lease) if *ticket == copy => Some(lease.worker),
        _ => None,
    });
    assert_eq!(granted, Some(busy.worker));
}

/// The data plane sees the broken connection before the supervisor hears of the death: by then there are no witnesses.
#[test]
fn a_request_that_crashes_two_workers_is_refused_although_its_leases_were_given_back_first() {
    let mut story = serving(4, |_| {});
    story.warm(&[1, 2]);
    for _ in 0..2 {
        let deadly = story.lease(get(1, 66));
        story.pass(1);
        story.release(deadly, Outcome::Lost);
        story.pass(2);
        story.tell(Event::Exited(deadly.worker, Exit::Signal(11)));
    }
    assert!(matches!(story.admit(get(1, 66)), Admission::Shed(refusal) if refusal.why == Shed::QueryOfDeath));
}

/// All four sync workers have a request that takes six seconds. Half of them are killed at 3.5 s.
#[test]
fn workers_that_are_all_busy_are_not_ended_long_before_restart_after() {
    let mut story = serving(4, |config| config.max_in_flight = MaxInFlight::Fixed(NonZeroU32::MIN));
    story.warm(&[1, 2]);
    for route in [1, 2, 1, 2] {
        story.lease(RouteId(route));
    }
    story.pass(6_000);
    let ended = story.asked.iter().filter(|action| matches!(action, Action::Signal(..))).count();
    assert_eq!(ended, 0, "workers ended within 6 s; restart_after is 30 s");
}

/// Isolation off: a POST on a frozen worker costs the worker after 3 s when there are few others.
#[test]
fn without_isolation_a_frozen_worker_keeps_its_time() {
    let mut story = serving(1, |config| config.isolation = policy::Isolation::Off);
    story.lease(RouteId(1));
    story.pass(10_000);
    assert!(
        !story.asked.iter().any(|action| matches!(action, Action::Signal(..))),
        "ended before restart_after"
    );
}

/// A route that begins to hang on a quiet service is acquitted by an answer that was sent before it began.
#[test]
fn an_answer_from_before_a_request_was_sent_acquits_nobody() {
    let mut story = serving(4, |_| {});
    story.warm(&[1, 2, 3]);
    story.pass(10_000); // Nobody asks for anything; workers were last heard of at different moments.
    let fine = story.lease(RouteId(2));
    story.pass(5);
    story.release(fine, Outcome::Completed);
    story.pass(10_000);
    // Now route 2 hangs.
    let hangs = story.lease(RouteId(2));
    story.pass_alive(1_000, &[hangs.worker]);
    assert_eq!(story.phase(hangs.worker.slot.0), Phase::Frozen);
    assert_eq!(story.standing(2), RouteStanding::Confined, "its last answer was asked for 10 s before");
}

/// Two workers, tunnels: all of them end up on one.
#[test]
fn tunnels_are_spread_over_both_workers_of_two() {
    let mut story = serving(2, |_| {});
    story.warm(&[1, 2]);
    story.warm(&[1, 2]);
    let mut on = [0, 0];
    for _ in 0..100 {
        let lease = story.lease(RouteId(9));
        story.pool.upgraded(lease, story.now);
        on[lease.worker.slot.index()] += 1;
        story.warm_briefly();
    }
    assert!(on[0] >= 20 && on[1] >= 20, "{on:?}");
}

/// A copy goes to a worker that is stopped in its turn: neither did the request stop them nor is it answered.
#[test]
fn a_copy_whose_worker_is_stopped_too_goes_to_a_third_one() {
    let mut story = serving(6, |_| {});
    story.warm(&[1, 2]);
    let mut request = get(1, 1);
    let mut lease = story.lease(request);
    let mut had = vec![lease.worker];
    for _ in 0..2 {
        story.pass_alive(600, &had);
        story.tell(Event::Stopped(lease.worker));
        assert!(story.asked.contains(&Action::Rescue(lease)), "{:?}", story.asked);
        request = request.after(Fate::Froze, lease.worker);
        lease = match story.pool.rescue(request, lease, story.now) {
            Some(Admission::Assigned(next)) => next,
            other => panic!("{other:?}"),
        };
        assert!(!had.contains(&lease.worker));
        had.push(lease.worker);
        story.collect();
    }
    story.asked.clear();
    story.pass_alive(600, &had);
    story.tell(Event::Stopped(lease.worker));
    assert!(!story.asked.iter().any(|action| matches!(action, Action::Rescue(_))), "three are enough");
}

/// Two workers die with a request before anybody knows of what.
#[test]
fn a_request_that_lost_two_workers_by_death_is_not_sent_to_a_third() {
    let mut story = serving(4, |_| {});
    story.warm(&[1, 2]);
    let mut request = get(1, 1);
    let first = story.lease(request);
    story.release(first, Outcome::Lost);
    request = request.after(Fate::Died, first.worker);
    let Some(Admission::Assigned(second)) = story.pool.rescue(request, first, story.now) else {
        panic!("the first loss costs nothing");
    };
    story.release(second, Outcome::Lost);
    request = request.after(Fate::Died, second.worker);
    assert_eq!(story.pool.rescue(request, second, story.now), None);
}

/// A worker that refuses a request unread is full. It was taken for one that does not listen.
#[test]
fn a_worker_that_is_full_is_not_suspected_and_others_come_first() {
    let mut story = serving(2, |_| {});
    let before = story.pool.counts();
    let mut request = Request { replay: Replay::Never, ..Request::from(RouteId(1)) };
    let mut asked = Vec::new();
    for _ in 0..3 {
        let lease = story.lease(request);
        story.release(lease, Outcome::Full);
        asked.push(lease.worker);
        request = request.after(Fate::Full, lease.worker);
    }
    assert_ne!(asked[0], asked[1], "the other one comes first");
    let admission = story.admit(request);
    assert!(
        matches!(admission, Admission::Shed(refusal) if refusal.why == Shed::WorkersFull),
        "{admission:?}"
    );
    assert!(story.pool.workers().all(|worker| worker.phase == Phase::Serving && worker.in_flight == 0));
    assert_eq!(story.pool.counts().rescues, before.rescues);
}

/// A refusal is a sign of life, as an answer is.
#[test]
fn a_suspect_that_refuses_a_request_unread_is_one_no_more() {
    let mut story = serving(2, |_| {});
    let (held, refused) = (story.lease(RouteId(1)), story.lease(RouteId(1)));
    assert_ne!(held.worker, refused.worker);
    let second = story.lease(RouteId(1));
    let silent = second.worker;
    story.pass_alive(300, &[silent]);
    let phase =
        |story: &Story| story.pool.workers().find(|worker| worker.id == silent).map(|worker| worker.phase);
    assert_eq!(phase(&story), Some(Phase::Suspect));
    story.release(second, Outcome::Full);
    assert_eq!(phase(&story), Some(Phase::Serving));
}

/// A replacement froze in its turn. Once the others serve again it is too much: it was drained, and what it held waited for
/// `drain_timeout` instead of `restart_after`.
#[test]
fn a_replacement_that_is_frozen_is_ended_in_its_time_although_it_is_not_wanted_any_more() {
    let mut story = Story::serving(2, |config| {
        config.surge = 1;
        config.stop.drain_timeout = Duration::from_secs(600);
    });
    story.warm(&[1, 2]);
    let hung = story.lease(RouteId(9));
    story.pass_alive(5_000, &[hung.worker]);
    let extra = *story.spawned().last().expect("a replacement");
    story.tell(Event::Ready(extra));
    let stuck = (0..8).map(|_| story.lease(RouteId(1))).find(|lease| lease.worker == extra);
    let stuck = stuck.expect("the replacement gets its share");
    story.pass_alive(1_000, &[hung.worker, extra]);
    let phase = |story: &Story| story.pool.workers().find(|view| view.id == extra).map(|view| view.phase);
    assert_eq!(phase(&story), Some(Phase::Frozen), "{stuck:?}");
    story.release(hung, Outcome::Completed);
    assert_eq!(story.phase(hung.worker.slot.0), Phase::Serving, "thawed");
    story.asked.clear();
    story.pass_alive(30_000, &[extra]);
    assert!(story.asked.contains(&Action::Signal(extra, Signal::Terminate)), "{:?}", phase(&story));
}

/// A replacement stands still in the moment in which it is not wanted any more. It was drained, and nobody looked after
/// what it held.
#[test]
fn what_a_replacement_holds_that_is_not_wanted_any_more_is_rescued_should_it_stand_still() {
    let mut story = Story::serving(4, |config| config.surge = 1);
    story.warm(&[1, 2]);
    let hung = story.lease(RouteId(9));
    story.pass_alive(5_000, &[hung.worker]);
    let extra = *story.spawned().last().expect("a replacement");
    story.tell(Event::Ready(extra));
    let held: Vec<_> = (0..8).map(|_| story.lease(get(1, 1))).collect();
    let stuck = *held.iter().find(|lease| lease.worker == extra).expect("the replacement gets its share");
    for lease in held.into_iter().filter(|lease| lease.worker != extra) {
        story.release(lease, Outcome::Completed);
    }
    story.release(hung, Outcome::Completed);
    story.asked.clear();
    for _ in 0..8 {
        let lease = story.lease(get(2, 2));
        assert_ne!(lease.worker, extra, "it gets no more");
        story.release(lease, Outcome::Completed);
    }
    story.pass_alive(600, &[extra]);
    story.tell(Event::Stopped(extra));
    assert!(story.asked.contains(&Action::Rescue(stuck)), "{:?}", story.asked);
}

/// An accident that befell both workers of two: there is none that does not have the request.
#[test]
fn a_copy_never_goes_to_a_worker_that_has_the_request() {
    let mut story = serving(2, |_| {});
    story.warm(&[1, 2]);
    let first = story.lease(get(1, 1));
    story.pass_alive(600, &[first.worker]);
    story.tell(Event::Stopped(first.worker));
    let again = get(1, 1).after(Fate::Froze, first.worker);
    let Some(Admission::Assigned(second)) = story.pool.rescue(again, first, story.now) else {
        panic!("the other one is well");
    };
    story.pass_alive(600, &[first.worker, second.worker]);
    story.tell(Event::Stopped(second.worker));
    let again = again.after(Fate::Froze, second.worker);
    assert_eq!(story.pool.rescue(again, second, story.now), None);
}

impl Story {
    /// Quick requests of these routes that keep each of the workers busy for most of the time.
    fn warm_busily(&mut self, routes: &[u32]) {
        self.warm(routes);
        let workers: Vec<_> = self.pool.workers().map(|worker| worker.id).collect();
        for worker in workers {
            self.tell(Event::Busy(worker, Share(700)));
        }
        for _ in 0..4_000 {
            for route in routes {
                let lease = self.lease(RouteId(*route));
                self.pass(5);
                self.release(lease, Outcome::Completed);
            }
        }
    }

    /// A worker freezes that has one request of each of these routes; `others` did before. What else was asked for until
    /// it had them is answered elsewhere.
    fn freeze_one_with(&mut self, routes: &[u32], others: &[WorkerId]) -> WorkerId {
        let first = self.lease(get(routes[0], 7));
        let frozen = first.worker;
        let mut elsewhere = Vec::new();
        for route in &routes[1..] {
            loop {
                let lease = self.lease(get(*route, 7));
                if lease.worker == frozen {
                    break;
                }
                elsewhere.push(lease);
            }
        }
        self.pass(5);
        elsewhere.into_iter().for_each(|lease| self.release(lease, Outcome::Completed));
        self.pass_alive(500, &[others, &[frozen]].concat());
        assert_eq!(self.phase(frozen.slot.0), Phase::Frozen);
        frozen
    }

    /// A quick request every 200 ms.
    fn warm_quietly(&mut self) {
        for request in 0..250 {
            let lease = self.lease(RouteId(1 + request % 5));
            self.pass(5);
            self.release(lease, Outcome::Completed);
            self.pass(195);
        }
    }

    fn warm_briefly(&mut self) {
        for route in [1, 2] {
            let lease = self.lease(RouteId(route));
            self.pass(5);
            self.release(lease, Outcome::Completed);
        }
    }
}
