//! What workers are given, and what becomes of processes: as PID 1, as a subreaper, after a kill.

use crate::support::{Program, signal_process, until};
use serde_json::{Value, json};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

const OWN: &str = env!("CARGO_BIN_EXE_antifreeze");
const APPS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/apps");
const MIRROR: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/apps/mirror.py");

#[test]
fn a_worker_gets_its_standard_streams_and_nothing_else_of_ours() {
    // Descriptors that are not marked close-on-exec, ignored signals: what careless parents leave to their children.
    let careless = "exec 5</etc/passwd 77</etc/passwd; trap '' HUP TERM USR1 CHLD; exec \"$0\" \"$@\"";
    let mut command = Command::new("bash");
    command.args(["-c", careless, OWN]).current_dir("/");
    let mut program =
        Program::launch(command, &["run", "--workers", "2", "--", "python3", MIRROR, "{socket}"]);
    let about = tell(&mut program);
    assert_eq!(about["descriptors"], json!([0, 1, 2]));
    assert_eq!(about["stdin"], "/dev/null");
    assert_eq!(about["folder"], "/");
    assert_eq!(about["group"], about["pid"], "it leads a group of its own");
    assert_eq!(about["blocked"], json!([]));
    assert_eq!(about["ignored"], json!([]));
}

#[test]
fn a_worker_that_inherits_its_socket_gets_that_descriptor_and_no_other() {
    let mut program = Program::start(&["run", "--workers", "2", "--", "python3", MIRROR, "{fd}"]);
    let about = tell(&mut program);
    assert_eq!(about["descriptors"].as_array().map(Vec::len), Some(4), "{about}");
}

#[test]
fn a_worker_gets_the_users_environment_less_what_is_ours_or_misleads() {
    let mut command = Command::new(OWN);
    let misleading = [
        ("ANTIFREEZE_THREADS", "1"),
        ("NOTIFY_SOCKET", "/run/notify"),
        ("WATCHDOG_USEC", "1"),
        ("WATCHDOG_PID", "1"),
        ("LISTEN_FDS", "0"),
        ("LISTEN_PID", "1"),
        ("LISTEN_FDNAMES", "x"),
        ("WEB_CONCURRENCY", "8"),
    ];
    command.envs(misleading).envs([("PYTHONFAULTHANDLER", "0"), ("MINE", "kept")]);
    let mut program =
        Program::launch(command, &["run", "--workers", "1", "--", "python3", MIRROR, "{socket}"]);
    let environment = &tell(&mut program)["environment"];
    for (name, _) in &misleading[..7] {
        assert_eq!(environment[name], Value::Null, "{name}");
    }
    for (name, value) in [
        ("WEB_CONCURRENCY", "1"),
        ("PYTHONFAULTHANDLER", "0"),
        ("FORWARDED_ALLOW_IPS", "*"),
        ("MINE", "kept"),
    ] {
        assert_eq!(environment[name], value, "{name}");
    }
}

#[test]
fn nobody_else_reaches_the_sockets_and_they_go_with_the_program() {
    for (signal, code) in [("TERM", Some(0)), ("KILL", None)] {
        let mut program = Program::start(&["demo", "--workers", "1"]);
        program.wait_for_line("now=\"serving\"");
        let folder = std::env::temp_dir().join(format!("antifreeze-web-{}-0", program.pid()));
        assert_eq!(fs::metadata(&folder).expect("a folder").permissions().mode() & 0o777, 0o700);
        let socket = fs::read_dir(&folder).expect("ours").flatten().next().expect("a socket").path();
        let mut stranger = Command::new("setpriv");
        stranger.args(["--reuid", "65534", "--clear-groups", "curl", "-sS", "--unix-socket"]);
        stranger.arg(&socket).arg("http://worker/");
        let denied = stranger.output().expect("setpriv is there");
        assert_eq!(denied.status.code(), Some(7), "curl could not connect: {denied:?}");
        program.signal(signal);
        assert_eq!(program.wait().code(), code);
        until("the folder is gone", || (!folder.exists()).then_some(()));
    }
}

#[test]
fn as_pid_1_it_reaps_orphans_and_still_knows_how_its_own_workers_ended() {
    let mut command = Command::new("unshare");
    command.args(["--pid", "--fork", "--mount-proc", OWN]);
    let mut program = Program::launch(command, &["run", "--workers", "2", "--", "sh", "-c", &orphaning()]);
    let init = until("unshare forked", || children(program.pid()).first().copied());
    reaps_orphans(&mut program, init);
    signal_process(init, "TERM");
    assert_eq!(program.wait().code(), Some(0));
}

#[test]
fn as_a_subreaper_it_reaps_orphans_too() {
    let become_one =
        "import ctypes, os, sys; ctypes.CDLL(None).prctl(36, 1); os.execv(sys.argv[1], sys.argv[1:])";
    let mut command = Command::new("python3");
    command.args(["-c", become_one, OWN]);
    let mut program = Program::launch(command, &["run", "--workers", "2", "--", "sh", "-c", &orphaning()]);
    let own = program.pid();
    reaps_orphans(&mut program, own);
    program.signal("TERM");
    assert_eq!(program.wait().code(), Some(0));
}

#[test]
fn gunicorn_and_the_workers_it_forked_die_with_a_killed_supervisor() {
    let gunicorn = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/.venv/bin/gunicorn");
    for _ in 0..20 {
        let mut program =
            Program::start(&["run", "--workers", "2", "--", gunicorn, "--chdir", APPS, "project.wsgi"]);
        program.wait_for_line("now=\"serving\"");
        assert!(program.marked().len() >= 3, "two masters and at least one forked worker");
        program.signal("KILL");
        program.wait();
        until("no process is left", || program.marked().is_empty().then_some(()));
    }
}

#[test]
fn what_a_worker_forked_does_not_survive_it() {
    let command = format!("{OWN} demo-worker --uds {{socket}} & wait");
    let mut program = Program::start(&["run", "--workers", "1", "--", "sh", "-c", &command]);
    program.wait_for_line("now=\"serving\"");
    let forked = program.get("/").pid();
    let shell =
        program.marked().into_iter().find(|pid| children(*pid).contains(&forked)).expect("its parent");
    signal_process(shell, "KILL");
    until("the forked process is gone", || {
        (!fs::exists(format!("/proc/{forked}")).unwrap_or(true)).then_some(())
    });
    program.wait_for_line("now=\"waiting\" why=was killed by SIGKILL");
    program.wait_for_line("now=\"serving\"");
    assert_ne!(program.get("/").pid(), forked);
}

/// A worker that makes two hundred orphans and serves; the second one ends with code 7 on SIGUSR1.
fn orphaning() -> String {
    format!("python3 {APPS}/orphans.py 200; trap 'exit 7' USR1; {OWN} demo-worker --uds {{socket}} & wait")
}

fn reaps_orphans(program: &mut Program, reaper: u32) {
    program.wait_for_line("now=\"serving\"");
    program.wait_for_line("now=\"serving\"");
    // Two shells and the sentinel stay; 400 orphans go.
    until("no orphan is left", || (children(reaper).len() == 3).then_some(()));
    let shell = children(reaper).into_iter().find(|child| !children(*child).is_empty()).expect("a shell");
    signal_process(shell, "USR1");
    program.wait_for_line("now=\"waiting\" why=exited with code 7");
    program.wait_for_line("now=\"serving\"");
}

/// What the mirror says about itself.
fn tell(program: &mut Program) -> Value {
    program.wait_for_line("now=\"serving\"");
    let answer = program.get("/");
    serde_json::from_str(&answer.body).unwrap_or_else(|_| panic!("{answer:?}"))
}

/// The children of a process's main thread (proc(5)), which is the one that spawns.
fn children(pid: u32) -> Vec<u32> {
    let list = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    list.split_whitespace().filter_map(|pid| pid.parse().ok()).collect()
}
