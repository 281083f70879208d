//! What is printed, and that nobody waits for whoever reads it.

use crate::support::{Answer, PATIENCE, Program, lines_of, signal_process, until};
use serde_json::Value;
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use tempfile::TempDir;

const OWN: &str = env!("CARGO_BIN_EXE_antifreeze");

#[test]
fn an_unread_log_delays_no_request_and_every_line_is_printed_or_counted() {
    // 40 MB on standard error before the worker listens.
    let flood =
        format!("yes {} | head -n 40000 >&2; exec {OWN} demo-worker --uds {{socket}}", "x".repeat(1000));
    let mut program = Unheard::start(OWN, &["--", "sh", "-c", &flood], Stdio::piped());
    for _ in 0..200 {
        program.must_answer();
    }
    assert!(program.metric("antifreeze_worker_lines_dropped_total") > 10_000);
    assert!(program.resident_mib() < 64, "{} MiB", program.resident_mib());
    // Read before the end is asked for: at the end, nobody waits for a slow reader.
    let stderr = program.child.stderr.take().expect("it was piped");
    let (printed, told) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let reader = std::thread::spawn({
        let (printed, told) = (Arc::clone(&printed), Arc::clone(&told));
        move || {
            for line in BufReader::new(stderr).lines() {
                let line = line.expect("text");
                if line.starts_with("web.1 | xxx") {
                    printed.fetch_add(1, Ordering::Relaxed);
                } else if line.contains("lines were dropped: standard error was too slow or full") {
                    let count = line.split("workers=").nth(1).and_then(|rest| rest.split(' ').next());
                    told.fetch_add(
                        count.map_or(0, |count| count.parse().expect("a number")),
                        Ordering::Relaxed,
                    );
                }
            }
        }
    });
    let known = || printed.load(Ordering::Relaxed) + told.load(Ordering::Relaxed);
    until("each line is printed or told of", || (known() >= 40_000).then_some(()));
    program.must_end();
    reader.join().expect("no panic");
    assert_eq!(known(), 40_000, "lines printed and lines told of");
}

#[test]
fn a_worker_that_prints_without_end_costs_neither_requests_nor_memory_nor_the_end() {
    let flood = format!("yes >&2 & exec {OWN} demo-worker --uds {{socket}}");
    let mut program = Unheard::start(OWN, &["--", "sh", "-c", &flood], Stdio::piped());
    until("a million lines are lost", || {
        program.must_answer();
        (program.metric("antifreeze_worker_lines_dropped_total") > 1_000_000).then_some(())
    });
    assert!(program.resident_mib() < 64, "{} MiB", program.resident_mib());
    let asked = Instant::now();
    program.must_end();
    assert!(asked.elapsed() < Duration::from_secs(5), "{:?}", asked.elapsed());
}

#[test]
fn a_full_disk_costs_lines_alone() {
    let full = || File::options().write(true).open("/dev/full").expect("Linux");
    let mut program = Unheard::start(
        OWN,
        &["--access-log", "/dev/full", "--", OWN, "demo-worker", "--uds", "{socket}"],
        full().into(),
    );
    let lost = || program.metric("antifreeze_log_lines_dropped_total");
    until("the start is counted as told in vain", || (lost() > 0).then_some(()));
    for _ in 0..10 {
        program.must_answer();
    }
    let lost = || program.metric("antifreeze_access_lines_dropped_total");
    until("ten lines of requests are counted", || (lost() >= 10).then_some(()));
    program.must_end();
}

#[test]
fn a_closed_standard_error_keeps_nobody_from_serving() {
    let closed = ["-c", "exec \"$0\" \"$@\" 2>&- >&-", OWN];
    let mut command = Command::new("sh");
    command.args(closed);
    let mut program =
        Unheard::launch(command, &["--", OWN, "demo-worker", "--uds", "{socket}"], Stdio::null());
    program.must_answer();
    program.must_end();
}

#[test]
fn each_request_is_one_line_of_json_whatever_is_in_it() {
    let folder = tempfile::tempdir().expect("a writable temporary folder");
    let path = folder.path().join("access.log");
    let mut program = with_access_log(&path, "json");
    let agent = "a\"b\\c\td é";
    for target in ["/", "/caf%0aé\"x\"", "/nowhere", "/stream?n=2&ms=1"] {
        program.request(&format!(
            "GET {target} HTTP/1.1\r\nHost: test\r\nUser-Agent: {agent}\r\nReferer: r\u{1}\r\nConnection: close\r\n\r\n"
        ));
        program.request(&format!(
            "GET {target} HTTP/1.1\r\nHost: test\r\nUser-Agent: {agent}\r\nConnection: close\r\n\r\n"
        ));
    }
    let mut gone = program.connect();
    gone.write_all(b"POST /slow?ms=19000 HTTP/1.1\r\nHost: test\r\nContent-Length: 0\r\n\r\n").expect("sent");
    until("a worker has it", || program.ask("/api/v1/status").body.contains("\"in_flight\":1").then_some(()));
    drop(gone);
    program.request("GET /x HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n");
    let lines = lines_of(&path, 10);
    let lines: Vec<Value> = lines.iter().map(|line| serde_json::from_str(line).expect(line)).collect();
    let find = |key: &str, value: &str| lines.iter().find(|line| line[key] == value).expect(value);
    let plain = find("target", "/");
    assert_eq!(
        (&plain["status"], &plain["method"], &plain["version"]),
        (&200.into(), &"GET".into(), &"HTTP/1.1".into())
    );
    assert_eq!((&plain["client"], &plain["user_agent"]), (&"127.0.0.1".into(), &agent.into()));
    assert!(plain["worker"].as_str().is_some_and(|worker| worker.starts_with("web.")), "{plain}");
    assert!(plain["duration"].as_f64() >= plain["response"].as_f64(), "{plain}");
    assert!(plain["reason"].is_null() && plain["retries"] == 0 && plain["id"].is_string(), "{plain}");
    assert!(plain["ts"].as_str().is_some_and(|ts| ts.ends_with('Z') && ts.len() == 27), "{plain}");
    assert_eq!(find("target", "/nowhere")["status"], 404);
    assert_eq!(find("target", "/stream?n=2&ms=1")["bytes"], 18);
    assert_eq!(find("method", "POST")["status"], 499);
    assert_eq!(find("target", "/caf%0aé\"x\"")["status"], 404);
    let refused = find("target", "/x");
    assert_eq!((&refused["status"], &refused["reason"]), (&400.into(), &"malformed".into()), "{refused}");
    assert!(refused["worker"].is_null(), "{refused}");
    // Of a head that is not HTTP nothing is known but who sent it.
    let unread = lines.iter().filter(|line| line["target"] == "-" && line["status"] == 400);
    assert_eq!(unread.count(), 4);
    program.signal("TERM");
    assert!(program.wait().success());
}

#[test]
fn each_request_is_one_line_of_text_that_no_client_can_forge() {
    let folder = tempfile::tempdir().expect("a writable temporary folder");
    let path = folder.path().join("access.log");
    let program = with_access_log(&path, "auto");
    program
        .request("GET /?q=1 HTTP/1.1\r\nHost: test\r\nUser-Agent: \" 200 \\ é\r\nConnection: close\r\n\r\n");
    let line = lines_of(&path, 1).remove(0);
    assert!(line.starts_with("127.0.0.1 - - ["), "{line}");
    assert!(line.contains("] \"GET /?q=1 HTTP/1.1\" 200 "), "{line}");
    assert!(line.contains(" \"-\" \"\\x22 200 \\x5C \\xC3\\xA9\" pool=web worker=web."), "{line}");
    let pairs = ["duration=0.", "queue=0.", "response=0.", "retries=0", "reason=-", "id="];
    assert!(pairs.iter().all(|pair| line.contains(&format!(" {pair}"))), "{line}");
}

#[test]
fn a_renamed_access_log_is_opened_again_by_sigusr1() {
    let folder = tempfile::tempdir().expect("a writable temporary folder");
    let (path, rotated) = (folder.path().join("access.log"), folder.path().join("access.log.1"));
    let program = with_access_log(&path, "json");
    program.get("/first");
    lines_of(&path, 1);
    fs::rename(&path, &rotated).expect("it is there");
    program.get("/second");
    // A request's line is written a moment after its answer.
    lines_of(&rotated, 2);
    program.signal("USR1");
    until("there is a new file", || path.exists().then_some(()));
    program.get("/third");
    assert!(lines_of(&path, 1)[0].contains("/third"));
    assert_eq!(lines_of(&rotated, 2).len(), 2, "nothing more comes there");
}

#[test]
fn an_access_log_that_cannot_be_opened_is_one_clear_line() {
    let output = Command::new(OWN)
        .args(["demo", "--listen", "127.0.0.1:0", "--admin", "off", "--access-log", "/nowhere/access.log"])
        .output()
        .expect("the binary was built");
    let text = String::from_utf8_lossy(&output.stderr);
    assert_eq!((output.status.code(), text.lines().count()), (Some(1), 1), "{text}");
    assert!(text.contains("/nowhere/access.log") && text.contains("choose another"), "{text}");
}

#[test]
fn the_json_log_is_objects_alone_of_ours_and_of_workers() {
    let command = format!("echo 'said \"this\"' >&2; exec {OWN} demo-worker --uds {{socket}}");
    let mut program =
        Unheard::start(OWN, &["--log-format", "json", "--", "sh", "-c", &command], Stdio::piped());
    let mut stderr = program.child.stderr.take().expect("it was piped");
    program.must_end();
    let mut text = String::new();
    stderr.read_to_string(&mut text).expect("text");
    let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).expect(line)).collect();
    let said = lines.iter().find(|line| !line["line"].is_null()).expect("the worker's line");
    assert_eq!((&said["worker"], &said["stream"]), (&"web.1".into(), &"stderr".into()));
    assert_eq!(said["line"], "said \"this\"");
    let ready = lines.iter().find(|line| line["now"] == "serving").expect("it was ready");
    assert_eq!(
        (&ready["level"], &ready["msg"], &ready["was"]),
        (&"info".into(), &"web.1 is serving".into(), &"starting".into())
    );
    assert!(ready["pid"].is_u64() || ready["pid"].is_i64(), "{ready}");
    assert!(lines.iter().all(|line| line["ts"].as_str().is_some_and(|ts| ts.ends_with('Z'))), "{text}");
}

#[test]
fn the_level_says_which_lines_are_printed() {
    let mut program = Unheard::start(
        OWN,
        &["--log-level", "error", "--", OWN, "demo-worker", "--uds", "{socket}"],
        Stdio::piped(),
    );
    let mut stderr = program.child.stderr.take().expect("it was piped");
    program.must_end();
    let mut text = String::new();
    stderr.read_to_string(&mut text).expect("text");
    assert_eq!(text, "");
}

#[test]
fn a_terminal_shows_what_was_started_and_a_table_of_workers_in_colour_if_wanted() {
    let text = on_a_terminal(&[]);
    for part in [
        "antifreeze 0.1.0",
        "  command  ",
        "  listening on ",
        "TIME      WORKER",
        "web.1",
        "\x1b[32mserving",
        "try: curl '",
    ] {
        assert!(text.contains(part), "{part:?} is missing in {text}");
    }
    let text = on_a_terminal(&[("NO_COLOR", "1")]);
    assert!(text.contains("serving   ready after ") && !text.contains('\x1b'), "{text}");
}

/// What a demo prints on a pseudo-terminal until it is ready.
fn on_a_terminal(variables: &[(&str, &str)]) -> String {
    let command = format!("exec {OWN} demo --workers 1 --listen 127.0.0.1:0 --admin off");
    let mut child = Command::new("script")
        .args(["--quiet", "--return", "--command", &command, "/dev/null"])
        .env_remove("NO_COLOR")
        .env("TERM", "xterm")
        .envs(variables.iter().copied())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .expect("util-linux");
    let mut stdout = child.stdout.take().expect("it was piped");
    let (mut text, mut piece) = (String::new(), [0; 4096]);
    while !text.contains("ready after") {
        let read = stdout.read(&mut piece).expect("it prints");
        assert!(read > 0, "it ended: {text}");
        text.push_str(&String::from_utf8_lossy(&piece[..read]));
    }
    // The terminal's end is a hang-up for what runs on it.
    let _ = child.kill();
    let _ = child.wait();
    text
}

fn with_access_log(path: &Path, format: &str) -> Program {
    let path = path.to_str().expect("a temporary path is plain");
    let mut program = Program::start(&[
        "demo",
        "--workers",
        "2",
        "--openapi",
        "off",
        "--access-log",
        path,
        "--access-log-format",
        format,
    ]);
    program.wait_for_line("now=\"serving\"");
    program
}

/// A program whose log nobody hears: it is found by its sockets.
struct Unheard {
    child: Child,
    folder: TempDir,
}

impl Unheard {
    fn start(program: &str, args: &[&str], stderr: Stdio) -> Self {
        Self::launch(Command::new(program), args, stderr)
    }

    /// Starts it with one worker, and waits until it answers.
    fn launch(mut command: Command, args: &[&str], stderr: Stdio) -> Self {
        let folder = tempfile::tempdir().expect("a writable temporary folder");
        let socket = |name: &str| format!("unix:{}", folder.path().join(name).display());
        let child = command
            .args(["run", "--workers", "1", "--listen", &socket("front"), "--admin", &socket("admin")])
            .args(args)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(stderr)
            .spawn()
            .expect("the binary was built");
        let program = Self { child, folder };
        until("it answers", || program.get("front", "/").filter(|answer| answer.status == 200));
        program
    }

    fn get(&self, socket: &str, path: &str) -> Option<Answer> {
        let mut stream = UnixStream::connect(self.folder.path().join(socket)).ok()?;
        stream.set_read_timeout(Some(PATIENCE)).ok()?;
        let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).ok()?;
        let mut text = String::new();
        stream.read_to_string(&mut text).ok()?;
        Some(Answer::parse(&text))
    }

    fn must_answer(&self) {
        let asked = Instant::now();
        assert_eq!(self.get("front", "/").map(|answer| answer.status), Some(200));
        assert!(asked.elapsed() < Duration::from_secs(5), "a quick request took {:?}", asked.elapsed());
    }

    /// The sum of a family.
    fn metric(&self, name: &str) -> u64 {
        let text = self.get("admin", "/metrics").expect("an answer").body;
        let values =
            text.lines().filter(|line| line.starts_with(name)).filter_map(|line| line.rsplit(' ').next());
        values.filter_map(|value| value.parse::<u64>().ok()).sum()
    }

    fn resident_mib(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id())).expect("Linux");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("it lives");
        line.trim().trim_end_matches(" kB").parse::<u64>().expect("a number") / 1024
    }

    /// Ends it in order.
    fn must_end(&mut self) {
        signal_process(self.child.id(), "TERM");
        let status = until("it ends", || self.child.try_wait().expect("it is our child"));
        assert_eq!(status.code(), Some(0));
    }
}

impl Drop for Unheard {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
