//! What a running program tells on its admin address.

use crate::support::{Program, signal_process, until};
use serde_json::Value;
use std::io::Write;
use std::process::{Command, Output};

#[test]
fn the_status_tells_the_truth_about_each_worker() {
    let program = Program::start(&["demo", "--workers", "2", "--openapi", "off"]);
    assert_eq!(program.ask("/livez").status, 200);
    until("both workers serve", || (states(&program) == ["serving", "serving"]).then_some(()));
    assert_eq!(program.ask("/readyz").status, 200);
    let request = program.hold("test");
    until("one worker holds the request", || {
        let held: u64 = workers(&program).iter().filter_map(|worker| worker["in_flight"].as_u64()).sum();
        (held == 1).then_some(())
    });
    for worker in workers(&program) {
        let pid = worker["pid"].as_u64().and_then(|pid| u32::try_from(pid).ok()).expect("a pid");
        assert!(program.marked().contains(&pid), "{worker}");
        let socket = worker["address"].as_str().and_then(|at| at.strip_prefix("unix:")).expect("a socket");
        assert!(std::path::Path::new(socket).exists(), "{worker}");
    }
    assert_eq!(request.answer().status, 200);
    until("nothing is held any more", || {
        workers(&program).iter().all(|worker| worker["in_flight"] == 0).then_some(())
    });
}

#[test]
fn a_stopped_worker_is_seen_as_frozen_and_the_pool_as_unready() {
    let program = Program::start(&["demo", "--workers", "1", "--surge", "0"]);
    until("it is ready", || (program.ask("/readyz").status == 200).then_some(()));
    let pid = workers(&program)[0]["pid"].as_u64().and_then(|pid| u32::try_from(pid).ok()).expect("a pid");
    signal_process(pid, "STOP");
    let mut stuck = program.connect();
    stuck.write_all(b"GET / HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n").expect("sent");
    until("it is frozen", || (states(&program) == ["frozen"]).then_some(()));
    let ready = program.ask("/readyz");
    assert_eq!((ready.status, &*ready.body), (503, "pool web: no worker serves (1 frozen)\n"));
    let metrics = program.ask("/metrics").body;
    for line in [
        r#"antifreeze_worker_up{pool="web",slot="1"} 0"#,
        r#"antifreeze_worker_state{pool="web",slot="1",state="frozen"} 1"#,
        r#"antifreeze_worker_freezes_total{pool="web",slot="1"} 1"#,
    ] {
        assert!(metrics.lines().any(|known| known == line), "{line} is missing from:\n{metrics}");
    }
    signal_process(pid, "CONT");
    until("it is ready again", || (program.ask("/readyz").status == 200).then_some(()));
}

#[test]
fn a_draining_program_is_not_ready_while_it_finishes_requests() {
    let mut program = Program::start(&["demo", "--workers", "1", "--openapi", "off"]);
    until("it is ready", || (program.ask("/readyz").status == 200).then_some(()));
    let held = program.hold("test");
    until("the request is held", || (workers(&program)[0]["in_flight"] == 1).then_some(()));
    program.signal("TERM");
    let ready = until("it is not ready", || Some(program.ask("/readyz")).filter(|ready| ready.status == 503));
    assert!(ready.body.starts_with("draining"), "{ready:?}");
    assert_eq!(held.answer().status, 200);
    assert_eq!(program.wait().code(), Some(0));
}

#[test]
fn the_status_command_prints_a_table() {
    let program = Program::start(&["demo", "--workers", "2"]);
    until("both workers serve", || (states(&program) == ["serving", "serving"]).then_some(()));
    let printed = status(&["--admin", &program.admin]);
    assert_eq!(printed.status.code(), Some(0));
    let table = String::from_utf8_lossy(&printed.stdout);
    assert!(table.contains("web: 2 of 2 serving, queue empty"), "{table}");
    assert!(table.lines().any(|line| line.starts_with("web.2   serving")), "{table}");
    let json = status(&["--json", "--admin", &program.admin]).stdout;
    let document: Value = serde_json::from_slice(&json).expect("JSON");
    assert_eq!(document["pools"][0]["workers"][1]["slot"], 2);
}

#[test]
fn the_status_command_says_what_to_do_when_nobody_listens() {
    let printed = status(&["--admin", "unix:/nowhere/admin.sock"]);
    assert_eq!(printed.status.code(), Some(1));
    assert_eq!(
        String::from_utf8_lossy(&printed.stderr),
        "antifreeze: no antifreeze listens on unix:/nowhere/admin.sock; is it running, and with this --admin address?\n"
    );
    assert_eq!(status(&["--admin", "nonsense"]).status.code(), Some(64));
}

fn workers(program: &Program) -> Vec<Value> {
    let document: Value = serde_json::from_str(&program.ask("/api/v1/status").body).expect("JSON");
    document["pools"][0]["workers"].as_array().expect("a list").clone()
}

fn states(program: &Program) -> Vec<String> {
    workers(program).iter().filter_map(|worker| worker["state"].as_str().map(str::to_owned)).collect()
}

fn status(args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_antifreeze"));
    command.arg("status").args(args).output().expect("the binary was built")
}
