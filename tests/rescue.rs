//! What a frozen or dying worker keeps from an answer, and what it does not.

use crate::support::{Program, signal_process, until};
use serde_json::Value;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

#[test]
fn requests_stuck_behind_a_freeze_are_answered_by_another_worker() {
    let program = serving(2);
    thread::scope(|scope| {
        let stuck: Vec<_> = (0..12)
            .map(|_| {
                scope.spawn(|| {
                    let asked = Instant::now();
                    (program.get("/slow?ms=200").status, asked.elapsed())
                })
            })
            .collect();
        until("all are held", || (in_flight(&program).iter().sum::<u64>() >= 12).then_some(()));
        let freeze = scope.spawn(|| program.get("/freeze?ms=6000").status);
        for answer in stuck {
            let (status, took) = answer.join().expect("no panic");
            assert_eq!(status, 200);
            assert!(took < Duration::from_secs(4), "one waited for the thaw: {took:?}");
        }
        assert_eq!(freeze.join().expect("no panic"), 200, "the frozen worker answers what froze it");
    });
    let metrics = program.ask("/metrics").body;
    let rescued =
        metrics.lines().find(|line| line.starts_with("antifreeze_rescues_total{outcome=\"answered\"}"));
    assert!(rescued.is_some_and(|line| !line.ends_with(" 0")), "{rescued:?}");
}

#[test]
fn a_route_that_froze_a_worker_does_not_take_the_next_one() {
    let program = serving(2);
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        let quick = scope.spawn(|| {
            let mut slowest = Duration::ZERO;
            while !done.load(Ordering::Relaxed) {
                let asked = Instant::now();
                assert_eq!(program.get("/").status, 200);
                slowest = slowest.max(asked.elapsed());
            }
            slowest
        });
        let first = scope.spawn(|| program.get("/freeze?ms=9000").status);
        until("its worker is frozen", || {
            states(&program).iter().any(|state| state == "frozen").then_some(())
        });
        let second = program.get("/freeze?ms=9000");
        assert_eq!(second.status, 503, "{second:?}");
        assert!(second.body.contains("\"route\":\"GET /freeze\""), "{second:?}");
        assert!(second.body.contains("route_quarantined"), "{second:?}");
        assert_eq!(first.join().expect("no panic"), 200);
        done.store(true, Ordering::Relaxed);
        let slowest = quick.join().expect("no panic");
        assert!(slowest < Duration::from_secs(2), "a quick request took {slowest:?}");
    });
    let freezes: u64 = workers(&program).iter().filter_map(|worker| worker["frozen_total"].as_u64()).sum();
    assert_eq!(freezes, 1, "{:?}", program.status());
}

#[test]
fn a_request_whose_worker_is_killed_is_answered_by_another() {
    let program = serving(2);
    thread::scope(|scope| {
        let asked = scope.spawn(|| program.get("/slow?ms=1500"));
        let victim = until("a worker holds it", || {
            let workers = workers(&program);
            let holder = workers.iter().find(|worker| worker["in_flight"] == 1)?;
            u32::try_from(holder["pid"].as_u64()?).ok()
        });
        signal_process(victim, "KILL");
        let answer = asked.join().expect("no panic");
        assert_eq!(answer.status, 200, "{answer:?}");
        assert_ne!(answer.pid(), victim);
    });
}

fn serving(workers: usize) -> Program {
    let program = Program::start(&["demo", "--workers", &workers.to_string()]);
    until("all serve", || {
        let states = states(&program);
        (states.len() == workers && states.iter().all(|state| state == "serving")).then_some(())
    });
    program
}

fn workers(program: &Program) -> Vec<Value> {
    program.status()["workers"].as_array().expect("a list").clone()
}

fn states(program: &Program) -> Vec<String> {
    workers(program).iter().filter_map(|worker| worker["state"].as_str().map(str::to_owned)).collect()
}

fn in_flight(program: &Program) -> Vec<u64> {
    workers(program).iter().filter_map(|worker| worker["in_flight"].as_u64()).collect()
}
