//! What a frozen or dying worker keeps from an answer, and what it does not.

use crate::support::{Answer, Program, signal_process, until};
use serde_json::Value;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{self, TryRecvError};
use std::thread;
use std::time::{Duration, Instant};

#[test]
fn requests_stuck_behind_a_freeze_are_answered_by_another_worker() {
    let program = serving(2);
    let request = |_| "GET /slow?ms=200 HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n".to_owned();
    let answers = behind_a_freeze(&program, "/freeze?ms=10000", request);
    assert!(answers.iter().all(|(answer, _)| answer.status == 200), "{answers:?}");
    must_not_wait_for_the_thaw(&answers);
    let metrics = program.ask("/metrics").body;
    let rescued = metrics
        .lines()
        .find(|line| line.starts_with("antifreeze_rescues_total{outcome=\"answered\",pool=\"web\"}"));
    assert!(rescued.is_some_and(|line| !line.ends_with(" 0")), "{rescued:?}");
}

#[test]
fn a_body_goes_along_to_the_second_worker() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let program = uvicorn(&folder.path().join("ledger"));
    // In chunks: that it is over is known only when there is no next one.
    let body = |number: usize| format!("{number:060000}");
    let request = |number: usize| {
        let head = format!("POST /await?ms=200&id={number} HTTP/1.1\r\nHost: test\r\nConnection: close");
        let body = body(number);
        format!(
            "{head}\r\nIdempotency-Key: {number}\r\nTransfer-Encoding: chunked\r\n\r\n{:x}\r\n{body}\r\n0\r\n\r\n",
            body.len()
        )
    };
    let answers = behind_a_freeze(&program, BLOCK, request);
    for (number, (answer, _)) in answers.iter().enumerate() {
        assert_eq!(answer.status, 200);
        assert!(answer.body == body(number), "{} of 60000 bytes came back", answer.body.len());
    }
    must_not_wait_for_the_thaw(&answers);
}

#[test]
fn an_unsafe_request_whose_client_promises_nothing_is_never_sent_to_a_second_worker() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let ledger = folder.path().join("ledger");
    let program = uvicorn(&ledger);
    let request = |number| {
        let head = format!("POST /await?ms=200&id={number} HTTP/1.1\r\nHost: test\r\nConnection: close");
        format!("{head}\r\nContent-Length: 1\r\n\r\n7")
    };
    let answers = behind_a_freeze(&program, BLOCK, request);
    assert!(answers.iter().all(|(answer, _)| answer.status == 200), "{answers:?}");
    assert!(answers.iter().any(waited_for_the_thaw), "none was behind the freeze");
    let mut posts: Vec<usize> = std::fs::read_to_string(&ledger)
        .expect("workers wrote it")
        .lines()
        .filter_map(|line| line.split_once(" POST")?.0.parse().ok())
        .filter(|id| *id != BLOCKS)
        .collect();
    posts.sort_unstable();
    assert!(posts.into_iter().eq(0..answers.len()), "each was executed once");
}

#[test]
fn a_route_that_froze_a_worker_does_not_take_the_next_one() {
    let program = serving(2);
    thread::scope(|scope| {
        let (going_on, stop) = mpsc::channel::<()>();
        let quick = scope.spawn({
            let program = &program;
            move || {
                let mut slowest = Duration::ZERO;
                // Until the other end is dropped, be it by a panic.
                while stop.try_recv() == Err(TryRecvError::Empty) {
                    let asked = Instant::now();
                    assert_eq!(program.get("/").status, 200);
                    slowest = slowest.max(asked.elapsed());
                }
                slowest
            }
        });
        let first = scope.spawn(|| program.get("/freeze?ms=10000").status);
        until("its worker is frozen", || {
            states(&program).iter().any(|state| state == "frozen").then_some(())
        });
        let second = program.get("/freeze?ms=10000");
        assert_eq!(second.status, 503, "{second:?}");
        assert!(second.body.contains("\"route\":\"GET /freeze\""), "{second:?}");
        assert!(second.body.contains("route_quarantined"), "{second:?}");
        assert_eq!(first.join().expect("no panic"), 200);
        drop(going_on);
        let slowest = quick.join().expect("no panic");
        assert!(slowest < THAW, "a quick request waited for the thaw: {slowest:?}");
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

/// What blocks an event loop of the app, with an id that no other request has.
const BLOCK: &str = "/block?ms=10000&id=999999";
const BLOCKS: usize = 999_999;

/// What takes longer waited for a thaw: nothing else takes as long, and no freeze here is as short.
const THAW: Duration = Duration::from_secs(7);

/// A worker that a busy machine gave no processor for a second is none that this is about.
const PATIENT: [&str; 2] = ["--probe-timeout", "1s"];

/// How many clients ask at once.
const CLIENTS: usize = 12;

/// Answers to requests of clients that each ask one after the other until one of two workers is found frozen, and once more,
/// in the order of their numbers, and how long they took. About half of the clients were at that worker when it froze; what
/// the other one answers behind that shows that their requests did not do it.
fn behind_a_freeze(
    program: &Program,
    freeze: &str,
    request: impl Fn(usize) -> String + Sync,
) -> Vec<(Answer, Duration)> {
    let (next, frozen) = (AtomicUsize::new(0), AtomicBool::new(false));
    let ask_on = || {
        let mut answers = Vec::new();
        loop {
            let is_last = frozen.load(Ordering::Relaxed);
            let (number, asked) = (next.fetch_add(1, Ordering::Relaxed), Instant::now());
            answers.push((number, (program.request(&request(number)), asked.elapsed())));
            if is_last {
                return answers;
            }
        }
    };
    thread::scope(|scope| {
        let clients: Vec<_> = (0..CLIENTS).map(|_| scope.spawn(ask_on)).collect();
        until("all ask", || (next.load(Ordering::Relaxed) >= CLIENTS).then_some(()));
        // Unsafe, so that no other worker gets it, whatever is thought of it.
        let freeze =
            format!("POST {freeze} HTTP/1.1\r\nHost: test\r\nConnection: close\r\nContent-Length: 0\r\n\r\n");
        let freeze = scope.spawn(move || program.request(&freeze).status);
        let seen = scope.spawn(|| {
            until("a worker is frozen", || {
                states(program).iter().any(|state| state == "frozen").then_some(())
            });
        });
        let seen = seen.join();
        frozen.store(true, Ordering::Relaxed);
        let mut answers: Vec<_> =
            clients.into_iter().flat_map(|client| client.join().expect("no panic")).collect();
        answers.sort_by_key(|(number, _)| *number);
        assert!(seen.is_ok(), "no worker froze");
        assert_eq!(freeze.join().expect("no panic"), 200, "the frozen worker answers what froze it");
        answers.into_iter().map(|(_, answer)| answer).collect()
    })
}

/// Requests behind the freeze were answered by the other worker. One may have waited: that which most likely froze the
/// worker goes nowhere else, and if the worker had too much to do before, it may be the wrong one.
fn must_not_wait_for_the_thaw(answers: &[(Answer, Duration)]) {
    let waited = answers.iter().filter(|answer| waited_for_the_thaw(answer)).count();
    assert!(waited <= 1, "{waited} of {} waited for the thaw", answers.len());
}

fn waited_for_the_thaw((_, took): &(Answer, Duration)) -> bool {
    *took > THAW
}

/// Two uvicorn workers that write down what they execute.
fn uvicorn(ledger: &Path) -> Program {
    let tests = concat!(env!("CARGO_MANIFEST_DIR"), "/tests");
    let (ledger, server) = (format!("LEDGER={}", ledger.display()), format!("{tests}/.venv/bin/uvicorn"));
    let apps = format!("{tests}/apps");
    let flags = ["run", "--workers", "2", "--openapi", "off", "--rescue", "idempotent", "--env", &ledger];
    let command = ["--", &server, "--log-level", "critical", "--app-dir", &apps, "ledger_app:app"];
    let program = Program::start(&[&flags[..], &PATIENT, &command].concat());
    until_all_serve(&program, 2);
    program
}

fn until_all_serve(program: &Program, workers: usize) {
    until("all serve", || {
        let states = states(program);
        (states.len() == workers && states.iter().all(|state| state == "serving")).then_some(())
    });
}

fn serving(workers: usize) -> Program {
    let mut program = Program::start(&[&["demo", "--workers", &workers.to_string()], &PATIENT[..]].concat());
    until_all_serve(&program, workers);
    // Nothing else may be at a worker that freezes.
    program.wait_for_line("the app's OpenAPI document at /openapi.json declares");
    program
}

fn workers(program: &Program) -> Vec<Value> {
    program.status()["workers"].as_array().expect("a list").clone()
}

fn states(program: &Program) -> Vec<String> {
    workers(program).iter().filter_map(|worker| worker["state"].as_str().map(str::to_owned)).collect()
}
