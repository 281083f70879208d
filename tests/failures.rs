//! What goes wrong with workers: each kind of failure is one clear line, and never a busy loop.

use crate::support::{Program, signal_process, until};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output};
use std::time::{Duration, Instant};
use tempfile::TempDir;

const OWN: &str = env!("CARGO_BIN_EXE_antifreeze");

#[test]
fn a_program_that_cannot_run_is_told_apart_from_one_that_is_not_there() {
    let folder = tempfile::tempdir().expect("a folder");
    let text = script(&folder, "text", "hello", 0o644);
    let orphan = script(&folder, "orphan", "#!/no/such/interpreter -x\n", 0o755);
    for (program, problem) in [
        ("no-such-program", "is it installed, and on the PATH?"),
        (&*text, "not an executable file"),
        (&*orphan, "\"/no/such/interpreter\", which is not there"),
    ] {
        let output = run(Command::new(OWN), &["--", program]);
        assert_eq!(output.status.code(), Some(64), "{output:?}");
        let line = only_line(&output);
        assert!(line.contains(program) && line.contains(problem), "{line}");
    }
}

#[test]
fn a_socket_folder_that_cannot_be_made_is_one_line_with_the_remedy() {
    let long = format!("/tmp/{}", "x".repeat(100));
    for (parent, problem) in
        [("/no/such/folder", "No such file"), ("/proc/self/fdinfo", ""), (&*long, "too long")]
    {
        let mut command = Command::new(OWN);
        command.env("TMPDIR", parent);
        let output = run(command, &["--", "sleep", "9"]);
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        let line = only_line(&output);
        assert!(line.contains(parent) && line.contains(problem) && line.contains("TMPDIR"), "{line}");
        assert_eq!(
            line.matches("os error").count(),
            line.matches(" (os error").count().min(1),
            "said once: {line}"
        );
    }
}

#[test]
fn a_worker_that_ends_at_once_is_reported_with_its_end_and_its_last_output() {
    for (script, end) in [
        ("echo no module; exit 3", "why=exited with code 3"),
        ("echo no module; exit 1", "why=exited with code 1"),
        ("echo no module; kill -SEGV $$", "why=was killed by signal 11"),
        ("printf 'no module'", "why=exited with code 0"),
    ] {
        let output = run(Command::new(OWN), &["--workers", "1", "--", "sh", "-c", script]);
        let text = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{text}");
        let reports: Vec<_> = text.lines().filter(|line| line.contains(end)).collect();
        assert_eq!(reports.len(), 3, "one line an attempt: {text}");
        assert!(reports.iter().all(|line| line.contains("no module")), "{text}");
        assert!(text.lines().last().is_some_and(|line| line.contains("no module")), "{text}");
    }
}

#[test]
fn a_worker_that_never_answers_is_ended_at_its_start_timeout() {
    let deaf = "import socket, sys, time
listener = socket.socket(socket.AF_UNIX)
listener.bind(sys.argv[1])
listener.listen()
time.sleep(60)";
    for command in [&["python3", "-c", deaf, "{socket}"][..], &["sh", "-c", "sleep 60 # {socket}"]] {
        let args = ["--workers", "1", "--start-timeout", "500ms", "--"];
        let output = run(Command::new(OWN), &[&args, command].concat());
        let text = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{text}");
        let line = "now=\"stopping\" why=gave no HTTP answer within its start timeout";
        assert_eq!(text.lines().filter(|told| told.contains(line)).count(), 3, "{text}");
    }
}

#[test]
fn a_crash_loop_of_workers_that_served_costs_no_processor_time_and_slows_down() {
    let folder = tempfile::tempdir().expect("a folder");
    let go = folder.path().join("go");
    let script = format!(
        "{OWN} demo-worker --uds {{socket}} & until rm {} 2>/dev/null; do sleep 0.1; done; echo out of luck; exit 1",
        go.display()
    );
    let mut program = Program::start(&["run", "--workers", "1", "--", "sh", "-c", &script]);
    // However long it takes until it serves.
    let crash = |program: &mut Program| {
        program.wait_for_line("now=\"serving\"");
        fs::write(&go, "").expect("ours");
        program.wait_for_line("was=\"serving\" now=\"waiting\" why=exited with code 1..out of luck")
    };
    assert!(crash(&mut program).contains("again in 1 s"));
    let before = ticks(program.pid());
    assert!(crash(&mut program).contains("again in 2 s"));
    assert!(crash(&mut program).contains("again in 4 s"));
    let spent = ticks(program.pid()) - before;
    assert!(spent < 10, "{spent} hundredths of a second in 3 s");
}

#[test]
fn when_no_process_can_be_forked_the_pool_serves_with_the_workers_it_has() {
    let folder = tempfile::tempdir().expect("a folder");
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).expect("ours");
    let own = folder.path().join("antifreeze");
    fs::copy(OWN, &own).expect("room for a copy that another user may run");
    let own = own.to_str().expect("UTF-8");
    // Nine processes and threads of this user at the most, which nobody else is.
    let mut command = Command::new("setpriv");
    command.args(["--reuid", "61234", "--clear-groups", "prlimit", "--nproc=9", own]).current_dir("/");
    let worker = ["--workers", "9", "--threads", "1", "--", own, "demo-worker", "--uds", "{socket}"];
    let mut program = Program::launch(command, &[&["run"], &worker[..]].concat());
    program.wait_for_line("could not be spawned; starting it again in 1 s..Resource temporarily unavailable");
    program.wait_for_line("now=\"serving\"");
    assert_eq!(program.get("/").status, 200);
    program.wait_for_line("could not be spawned; starting it again in 2 s");
    program.signal("TERM");
    assert_eq!(program.wait().code(), Some(0));
}

#[test]
fn with_few_descriptors_the_pool_serves_with_the_workers_it_has() {
    let mut command = Command::new("prlimit");
    command.args(["--nofile=64", OWN]);
    let mut program = Program::launch(command, &["demo", "--workers", "30"]);
    program.wait_for_line("could not be spawned..Too many open files");
    program.wait_for_line("now=\"serving\"");
    assert_eq!(program.get("/").status, 200);
    program.signal("TERM");
    assert_eq!(program.wait().code(), Some(0));
}

#[test]
fn a_worker_that_floods_its_output_is_not_held_up_and_holds_up_nobody() {
    let script = format!(
        "yes | head -c 100000000 & printf 'no end of line' >&2; exec {OWN} demo-worker --uds {{socket}}"
    );
    let mut program = Program::start(&["run", "--workers", "2", "--", "sh", "-c", &script]);
    program.wait_for_line("now=\"serving\"");
    program.wait_for_line("now=\"serving\"");
    let began = Instant::now();
    assert_eq!(program.get("/").status, 200);
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    program.signal("TERM");
    assert_eq!(program.wait().code(), Some(0));
    assert!(program.rest_of_log().contains("no end of line"));
}

#[test]
fn a_port_that_a_stranger_took_gets_no_request() {
    // The stranger has a session of its own and is no child of the worker's; the worker itself then listens nowhere.
    let stranger = "import os, socket, sys, time
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        listener = socket.create_server(('127.0.0.1', int(sys.argv[1])))
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            client, _ = listener.accept()
            client.recv(4096)
            client.sendall(b'HTTP/1.1 200 OK\\r\\nContent-Length: 0\\r\\n\\r\\n')
            client.close()
    os._exit(0)
os.wait()
time.sleep(30)";
    let mut program = Program::start(&[
        "run",
        "--workers",
        "1",
        "--queue-timeout",
        "2s",
        "--",
        "python3",
        "-c",
        stranger,
        "{port}",
    ]);
    let line = program.wait_for_line("is answered by a process that is not of this worker");
    assert_eq!(program.get("/").status, 503, "{line}");
    for pid in program.marked() {
        signal_process(pid, "KILL");
    }
}

#[test]
fn a_worker_whose_socket_was_removed_is_taken_out_and_restarted() {
    takes_out_the_first_worker_when(|first, _| fs::remove_file(first).expect("ours"));
}

#[test]
fn a_link_in_the_place_of_a_socket_is_not_followed() {
    takes_out_the_first_worker_when(|first, second| {
        fs::remove_file(first).expect("ours");
        std::os::unix::fs::symlink(second, first).expect("ours");
    });
}

fn takes_out_the_first_worker_when(spoil: impl Fn(&Path, &Path)) {
    let mut program = Program::start(&["demo", "--workers", "2", "--restart-after", "1s"]);
    program.wait_for_line("now=\"serving\"");
    program.wait_for_line("now=\"serving\"");
    let folder = std::env::temp_dir().join(format!("antifreeze-web-{}-0", program.pid()));
    spoil(&folder.join("1.1.sock"), &folder.join("2.1.sock"));
    until("the first one was asked, and is out", || {
        // Whoever asks notices nothing.
        assert_eq!(program.get("/").status, 200);
        let states = program.status()["workers"].clone();
        (states[0]["state"] != "serving").then_some(())
    });
    program.wait_for_line("worker=\"web.1\"..now=\"frozen\"");
    program.wait_for_line("worker=\"web.1\"..now=\"stopping\"");
    program.wait_for_line("worker=\"web.1\"..now=\"serving\"");
}

#[test]
fn a_program_that_was_stopped_itself_blames_no_worker_for_it() {
    // A worker that gets no processor for a moment, because the machine is busy, is not what this is about; a stop is longer.
    let patient = ["--openapi", "off", "--probe-timeout", "2s"];
    let mut program = Program::start(&[&["demo", "--workers", "2"], &patient[..]].concat());
    program.wait_for_line("now=\"serving\"");
    program.wait_for_line("now=\"serving\"");
    std::thread::scope(|scope| {
        let asked: Vec<_> = (0..6)
            .map(|number| {
                scope.spawn({
                    let program = &program;
                    move || program.get(&format!("/slow?ms={}", 3_000 + 500 * number)).status
                })
            })
            .collect();
        until("requests are held", || {
            let status = program.status();
            let held = status["workers"].as_array()?.iter().filter_map(|worker| worker["in_flight"].as_u64());
            (held.sum::<u64>() == 6).then_some(())
        });
        program.signal("STOP");
        pause(Duration::from_secs(3));
        program.signal("CONT");
        for answer in asked {
            assert_eq!(answer.join().expect("no panic"), 200);
        }
    });
    program.signal("TERM");
    assert_eq!(program.wait().code(), Some(0));
    let log = program.rest_of_log();
    assert!(!log.contains("frozen") && !log.contains("SIGKILL"), "{log}");
}

fn run(mut command: Command, args: &[&str]) -> Output {
    command
        .args(["run", "--listen", "127.0.0.1:0", "--admin", "off"])
        .args(args)
        .output()
        .expect("it was built")
}

fn only_line(output: &Output) -> String {
    let text = String::from_utf8_lossy(&output.stderr);
    assert_eq!(text.lines().count(), 1, "{text}");
    text.into_owned()
}

fn script(folder: &TempDir, name: &str, text: &str, mode: u32) -> String {
    let path = folder.path().join(name);
    fs::write(&path, text).expect("ours");
    fs::set_permissions(&path, fs::Permissions::from_mode(mode)).expect("ours");
    path.to_str().expect("UTF-8").to_owned()
}

/// Processor time of a process so far, in hundredths of a second (proc(5), utime and stime).
fn ticks(pid: u32) -> u64 {
    let text = fs::read_to_string(Path::new("/proc").join(pid.to_string()).join("stat")).expect("it lives");
    let fields = text.rsplit(')').next().unwrap_or_default().split(' ').skip(12).take(2);
    fields.filter_map(|field| field.parse::<u64>().ok()).sum()
}

/// Lets time pass: the length of the stop is what is tested.
#[expect(clippy::disallowed_methods, reason = "no condition ends a stop")]
fn pause(length: Duration) {
    std::thread::sleep(length);
}
