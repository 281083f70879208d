//! How it ends, and that nothing stays.

use crate::support::{Program, until};
use std::io::{Read, Write};
use std::thread;

#[test]
fn a_drain_lets_requests_finish_and_leaves_no_process() {
    let mut program = Program::start(&["demo", "--workers", "2"]);
    program.wait_for_line("now=\"serving\"");
    let mut stream = program.connect();
    stream.write_all(b"GET /slow?ms=1000 HTTP/1.1\r\nHost: test\r\n\r\n").expect("sent");
    // The other worker answers only after the slow request was taken in.
    assert_eq!(program.get("/").status, 200);
    program.signal("TERM");
    let mut text = String::new();
    stream.read_to_string(&mut text).expect("an answer");
    assert!(text.starts_with("HTTP/1.1 200"), "{text}");
    assert_eq!(program.wait().code(), Some(0));
    until("no worker is left", || program.marked().is_empty().then_some(()));
}

#[test]
fn a_second_signal_ends_it_at_once() {
    let mut program = Program::start(&["demo", "--workers", "1"]);
    program.wait_for_line("now=\"serving\"");
    thread::scope(|scope| {
        scope.spawn(|| {
            let mut stream = program.connect();
            stream.write_all(b"GET /slow?ms=19000 HTTP/1.1\r\nHost: test\r\n\r\n").expect("sent");
            let _ = stream.read_to_end(&mut Vec::new());
        });
        until("the request is held", || (program.status()["workers"][0]["in_flight"] == 1).then_some(()));
        program.signal("TERM");
        until("it drains", || std::net::TcpStream::connect(&program.address).is_err().then_some(()));
        program.signal("TERM");
    });
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
