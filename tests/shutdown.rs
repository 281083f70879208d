//! How it ends, and that nothing stays.

use crate::support::{Program, until};

#[test]
fn a_drain_lets_requests_finish_and_leaves_no_process() {
    let mut program = Program::start(&["demo", "--workers", "2", "--openapi", "off"]);
    program.wait_for_line("now=\"serving\"");
    let request = program.hold("test");
    until_held(&program);
    program.signal("TERM");
    program.wait_for_line("draining");
    assert_eq!(request.answer().status, 200);
    assert_eq!(program.wait().code(), Some(0));
    until("no worker is left", || program.marked().is_empty().then_some(()));
}

#[test]
fn a_second_signal_ends_it_at_once() {
    let mut program = Program::start(&["demo", "--workers", "1", "--openapi", "off"]);
    program.wait_for_line("now=\"serving\"");
    let _endless = program.hold("test");
    until_held(&program);
    program.signal("TERM");
    program.wait_for_line("draining");
    program.signal("TERM");
    assert_eq!(program.wait().code(), Some(1));
    until("no worker is left", || program.marked().is_empty().then_some(()));
}

#[test]
fn workers_and_what_they_started_die_with_a_killed_supervisor() {
    // A shell between us and the worker: the parent-death signal does not reach the worker, the sentinel does.
    let own = env!("CARGO_BIN_EXE_antifreeze");
    let command = format!("{own} demo-worker --uds {{socket}} & wait");
    for _ in 0..20 {
        let mut program = Program::start(&["run", "--workers", "2", "--", "sh", "-c", &command]);
        program.wait_for_line("now=\"serving\"");
        assert!(program.marked().len() >= 2);
        program.signal("KILL");
        program.wait();
        until("no worker is left", || program.marked().is_empty().then_some(()));
    }
}

fn until_held(program: &Program) {
    until("the request is held", || {
        let workers = program.status()["workers"].as_array()?.clone();
        workers.iter().any(|worker| worker["in_flight"] == 1).then_some(())
    });
}
