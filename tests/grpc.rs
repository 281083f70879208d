//! gRPC, by the client and the servers that people use.

use crate::support::{Program, signal_process, until};
use crate::tls::authority::Authority;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

const TESTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests");

#[test]
fn calls_of_every_kind_pass_without_tls_and_inside_it() {
    // A route that seems to have frozen a worker, on a busy machine, would be refused.
    let flags = ["--workers", "2", "--probe-timeout", "20s"];
    let plain = serve(&[&flags[..], &["--http2", "on"]].concat(), &[]);
    succeed(client("grpc_client.py", &plain));
    let authority = Authority::new();
    let files = authority.server("server", &["127.0.0.1"]);
    let tls = ["--tls-cert", &files.chain, "--tls-key", &files.key];
    let safe = serve(&[&flags, &tls[..]].concat(), &[]);
    succeed(client("grpc_client.py", &safe).arg(authority.root()));
}

#[test]
fn a_frozen_worker_keeps_its_own_call_alone() {
    let mut program = serve(&["--workers", "2", "--http2", "on", "--restart-after", "1s"], &[]);
    program.wait_for_line("now=\"serving\"");
    let frozen = called(&call(&program, "Unary", ""));
    signal_process(frozen, "STOP");
    // One of two goes to the frozen worker, whose connection is open.
    let stuck: Vec<Child> = (0..2).map(|_| begin(&program, "Unary", "")).collect();
    program.wait_for_line("now=\"frozen\"");
    for _ in 0..10 {
        // One that waited for the frozen worker would be told of its end.
        assert_ne!(called(&call(&program, "Unary", "")), frozen);
    }
    let told: Vec<String> = stuck.into_iter().map(finish).collect();
    let lost = told.iter().filter(|told| told.starts_with("UNAVAILABLE")).count();
    assert_eq!((lost, told.iter().filter(|told| told.starts_with("OK ")).count()), (1, 1), "{told:?}");
    program.wait_for_line("now=\"stopping\"..frozen for restart_after");
}

#[test]
fn a_call_that_may_be_repeated_is_rescued_from_a_frozen_worker() {
    let mut program = serve(&["--workers", "2", "--http2", "on", "--rescue", "idempotent"], &[]);
    program.wait_for_line("now=\"serving\"");
    let frozen = called(&call(&program, "Unary", ""));
    signal_process(frozen, "STOP");
    for _ in 0..2 {
        assert_ne!(called(&call(&program, "Unary", "idempotency-key=1")), frozen);
    }
    signal_process(frozen, "CONT");
}

#[test]
fn a_worker_that_is_killed_costs_the_calls_that_it_holds() {
    let mut program = serve(&["--workers", "2", "--http2", "on"], &[]);
    program.wait_for_line("now=\"serving\"");
    let told = call(&program, "Die", "");
    assert!(told.starts_with("UNAVAILABLE"), "{told}");
    let told = call(&program, "Unary", "");
    assert!(told.starts_with("OK "), "{told}");
    // In the middle of an answer, the status is what the client's library makes of a reset.
    let mut streaming = begin(&program, "Forever", "");
    let mut line = String::new();
    let printed = streaming.stdout.as_mut().expect("it is piped");
    BufReader::new(printed).read_line(&mut line).expect("a message arrives");
    let worker = until("a worker streams", || {
        let status = program.status();
        let workers = status["workers"].as_array().expect("there are some").clone();
        workers.into_iter().find(|worker| worker["parked"] == 1 || worker["in_flight"] == 1)
    });
    signal_process(worker["pid"].as_u64().and_then(|pid| pid.try_into().ok()).expect("it runs"), "KILL");
    let told = finish(streaming);
    assert!(told.lines().last().is_some_and(|last| last.starts_with("INTERNAL")), "{told}");
}

#[test]
fn an_event_loop_that_stands_still_is_seen_by_a_call_though_threads_live() {
    let probe = "POST /grpc.health.v1.Health/Check";
    let mut program = serve(&["--workers", "1", "--http2", "on", "--probe", probe], &["aio"]);
    let blocked = begin(&program, "Block", "");
    program.wait_for_line("now=\"frozen\"");
    assert!(finish(blocked).starts_with("OK "));
    program.wait_for_line("was=\"frozen\" now=\"serving\"");
}

#[test]
fn a_drain_lets_open_calls_end() {
    let mut program = serve(&["--workers", "1", "--http2", "on"], &[]);
    let slow = begin(&program, "Sleep", "");
    until("it is under way", || (program.status()["workers"][0]["in_flight"] == 1).then_some(()));
    program.signal("TERM");
    let told = finish(slow);
    assert!(told.starts_with("OK "), "{told}");
    assert!(program.wait().success());
}

#[test]
fn a_worker_of_the_other_version_is_told_from_a_slow_one() {
    let python = python();
    let grpc = format!("{TESTS}/apps/grpc_app.py");
    let mut program = Program::start(&["run", "--workers", "1", "--", &python, &grpc, "{socket}"]);
    program.wait_for_line("speaks HTTP/2 and is spoken to in HTTP/1.1: say --protocol h2c");
    let server = ["python3", "-m", "http.server", "--bind", "127.0.0.1", "{port}"];
    let words = [&["run", "--workers", "1", "--protocol", "h2c", "--"], &server[..]].concat();
    let mut program = Program::start(&words);
    program.wait_for_line("does not speak HTTP/2");
}

/// Starts the app behind the proxy, and waits for its first worker.
fn serve(flags: &[&str], app: &[&str]) -> Program {
    let python = python();
    let grpc = format!("{TESTS}/apps/grpc_app.py");
    let h2c = ["run", "--protocol", "h2c", "--openapi", "off"];
    let words = [&h2c, flags, &["--", &python, &grpc, "{socket}"], app].concat();
    let mut program = Program::start(&words);
    program.wait_for_line("now=\"serving\"");
    program
}

fn python() -> String {
    let python = format!("{TESTS}/.venv/bin/python");
    assert!(Path::new(&python).exists(), "{python} is missing: tests/run makes it");
    python
}

fn client(script: &str, program: &Program) -> Command {
    let mut command = Command::new(python());
    command.arg(format!("{TESTS}/clients/{script}")).arg(&program.address);
    command
}

/// Makes one call, with metadata as `name=value`: what came of it.
fn call(program: &Program, method: &str, metadata: &str) -> String {
    finish(begin(program, method, metadata))
}

fn begin(program: &Program, method: &str, metadata: &str) -> Child {
    let mut command = client("grpc_call.py", program);
    command.args([method, metadata]).stdout(Stdio::piped()).spawn().expect("tests/run installs it")
}

fn finish(call: Child) -> String {
    let output = call.wait_with_output().expect("it was started");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// The worker that answered.
fn called(told: &str) -> u32 {
    let pid = told.strip_prefix("OK worker ").and_then(|rest| rest.split(':').next());
    pid.and_then(|pid| pid.parse().ok()).unwrap_or_else(|| panic!("no answer: {told}"))
}

fn succeed(command: impl std::borrow::BorrowMut<Command>) {
    let mut command = command;
    let output = command.borrow_mut().output().expect("tests/run installs it");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}
