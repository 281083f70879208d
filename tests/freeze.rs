//! Slow is not frozen, frozen is not dead, and nobody else notices.

use crate::support::{Program, signal_process, until};
use std::thread;
use std::time::{Duration, Instant};

#[test]
fn a_blocked_worker_leaves_the_rotation_and_thaws_without_being_killed() {
    let mut program = Program::start(&["demo", "--workers", "2"]);
    program.wait_for_line("now=\"serving\"");
    program.wait_for_line("now=\"serving\"");
    let blocked = thread::scope(|scope| {
        let freeze = scope.spawn(|| program.get("/freeze?ms=6000"));
        let began = Instant::now();
        let mut slowest = Duration::ZERO;
        while began.elapsed() < Duration::from_millis(1500) {
            let asked = Instant::now();
            assert_eq!(program.get("/").status, 200);
            slowest = slowest.max(asked.elapsed());
        }
        assert!(slowest < Duration::from_secs(4), "a quick request waited for the thaw: {slowest:?}");
        freeze.join().expect("no panic")
    });
    assert_eq!(blocked.status, 200, "the frozen worker answers in the end");
    let line = program.wait_for_line("now=\"frozen\"");
    let silent = line.split("silent for ").nth(1).and_then(|rest| rest.split(' ').next());
    let silent: u32 = silent.and_then(|digits| digits.parse().ok()).expect("silent for N ms");
    // Half a second and what the machine adds; exactly, the policy's own tests say it.
    assert!(silent < 3_000, "{line}");
    program.wait_for_line("was=\"frozen\" now=\"serving\"");
    let pid = blocked.pid();
    until("the thawed worker serves again", || (program.get("/").pid() == pid).then_some(()));
}

#[test]
fn a_stopped_worker_is_killed_and_replaced_after_restart_after() {
    let mut program = Program::start(&["demo", "--workers", "1", "--restart-after", "1s"]);
    program.wait_for_line("now=\"serving\"");
    let stopped = program.get("/").pid();
    signal_process(stopped, "STOP");
    thread::scope(|scope| {
        scope.spawn(|| program.get("/"));
    });
    program.wait_for_line("now=\"frozen\"");
    program.wait_for_line("now=\"stopping\"..frozen for restart_after");
    program.wait_for_line("now=\"serving\"");
    assert_ne!(program.get("/").pid(), stopped);
}

#[test]
fn requests_that_only_wait_freeze_nobody() {
    // A worker that answers no probe would be found frozen before the requests are answered; one that gets no processor for
    // a moment is not what this is about.
    let mut program = Program::start(&["demo", "--workers", "2", "--probe-timeout", "2s"]);
    program.wait_for_line("now=\"serving\"");
    thread::scope(|scope| {
        let waiting: Vec<_> = (0..10).map(|_| scope.spawn(|| program.get("/slow?ms=3000").status)).collect();
        for answer in waiting {
            assert_eq!(answer.join().expect("no panic"), 200);
        }
    });
    program.signal("TERM");
    assert!(program.wait().success());
    let log = program.rest_of_log();
    assert!(!log.contains("frozen") && !log.contains("killed by SIGKILL"), "{log}");
}
