//! The harness: starts the real program on a free port, talks raw HTTP to it, and leaves nothing behind.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::Mutex;
use std::sync::mpsc::{self, Receiver};
use std::time::{Duration, Instant};

/// No condition takes longer than this on a machine that works.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// How long a drain lasts at most, by default.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(30);

/// A running antifreeze.
pub(crate) struct Program {
    child: Child,
    lines: Mutex<Receiver<String>>,
    pub(crate) seen: Vec<String>,
    pub(crate) address: String,
    /// Where its admin API is.
    pub(crate) admin: String,
    mark: String,
}

/// What a request was answered with.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: String,
}

/// A request to the demo that lasts until the test lets it end.
pub(crate) struct Held(TcpStream);

impl Program {
    /// Starts `antifreeze ARGS` (with addresses on free ports behind the subcommand), and waits until it listens.
    pub(crate) fn start(args: &[&str]) -> Self {
        Self::launch(Command::new(env!("CARGO_BIN_EXE_antifreeze")), args)
    }

    /// As [`start`](Self::start), with a command that was prepared: another folder, other variables, a wrapper around
    /// the binary.
    pub(crate) fn launch(mut command: Command, args: &[&str]) -> Self {
        let (subcommand, rest) = args.split_first().expect("a subcommand");
        // Not ANTIFREEZE_*, which workers do not get: the mark is what leftovers are found by.
        let mark = format!("FREEZETEST={}-{:?}", std::process::id(), Instant::now());
        let (name, value) = mark.split_once('=').expect("NAME=VALUE");
        // A flag would replace the listeners of a file.
        let listens = rest.iter().any(|word| word.ends_with("listeners.yaml"));
        let listen: &[&str] = if listens { &[] } else { &["--listen", "127.0.0.1:0"] };
        let mut child = command
            .arg(subcommand)
            .args(listen)
            .args(["--admin", "127.0.0.1:0"])
            .args(rest)
            .env(name, value)
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the binary was built");
        let stderr = child.stderr.take().expect("it was piped");
        let (sender, lines) = mpsc::channel();
        std::thread::spawn(move || {
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    return;
                }
            }
        });
        let mut program = Self {
            child,
            lines: Mutex::new(lines),
            seen: Vec::new(),
            address: String::new(),
            admin: String::new(),
            mark,
        };
        program.admin = last_word(&program.wait_for_line("admin API at"));
        program.address = program.next_address();
        program
    }

    /// Where the next listener is, without what it is for.
    pub(crate) fn next_address(&mut self) -> String {
        let line = self.wait_for_line("listening on ");
        let (_, address) = line.split_once("listening on ").expect("it was waited for");
        address.split([' ', ',']).next().unwrap_or_default().to_owned()
    }

    /// The next line of the log that contains all of `parts` (separated by `..`).
    pub(crate) fn wait_for_line(&mut self, parts: &str) -> String {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let Ok(line) = self.lines.get_mut().expect("no panic under it").recv_timeout(left) else {
                panic!("no line with {parts:?} came; these did:\n{}", self.seen.join("\n"));
            };
            self.seen.push(line.clone());
            if parts.split("..").all(|part| line.contains(part)) {
                return line;
            }
        }
    }

    /// Everything logged so far and until the end.
    pub(crate) fn rest_of_log(&mut self) -> String {
        self.seen.extend(self.lines.get_mut().expect("no panic under it").iter());
        self.seen.join("\n")
    }

    pub(crate) fn get(&self, path: &str) -> Answer {
        self.request(&format!("GET {path} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n"))
    }

    /// Asks the admin API.
    pub(crate) fn ask(&self, path: &str) -> Answer {
        let mut stream = TcpStream::connect(&self.admin).expect("it listens");
        let request = format!("GET {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n", self.admin);
        stream.write_all(request.as_bytes()).expect("the program reads");
        let mut text = String::new();
        stream.read_to_string(&mut text).expect("an answer");
        Answer::parse(&text)
    }

    /// The one pool in the status document.
    pub(crate) fn status(&self) -> serde_json::Value {
        let status = self.ask("/api/v1/status").body;
        let mut status: serde_json::Value = serde_json::from_str(&status).expect("it is JSON");
        status["pools"][0].take()
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Sends bytes on a fresh connection and reads to its end.
    pub(crate) fn request(&self, bytes: &str) -> Answer {
        let mut stream = self.connect();
        stream.write_all(bytes.as_bytes()).expect("the program reads");
        let mut text = Vec::new();
        stream.read_to_end(&mut text).expect("an answer within the time limit");
        Answer::parse(&String::from_utf8_lossy(&text))
    }

    /// Begins an upload, and sends all but its last byte: so many that it may stand still for longer than any test goes on, and
    /// still comes faster, on average, than bodies must.
    pub(crate) fn hold(&self, host: &str) -> Held {
        const SENT: usize = 60_000;
        let mut stream = self.connect();
        let length = SENT + 1;
        let head = format!(
            "POST /count HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n"
        );
        stream.write_all(head.as_bytes()).expect("the program reads");
        stream.write_all(&[b'a'; SENT]).expect("the program reads");
        Held(stream)
    }

    pub(crate) fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(&self.address).expect("it listens");
        stream.set_read_timeout(Some(PATIENCE)).expect("a time limit above zero");
        stream
    }

    pub(crate) fn signal(&self, signal: &str) {
        signal_process(self.child.id(), signal);
    }

    /// Waits until it ends, in order or otherwise: one that ends because the time of its drain is up ends well, too.
    pub(crate) fn wait(&mut self) -> ExitStatus {
        let began = Instant::now();
        let status = until("the program ends", || self.child.try_wait().expect("it is our child"));
        assert!(began.elapsed() < DRAIN_TIMEOUT, "it did not end before its drain ran out of time");
        status
    }

    /// Processes that carry this program's mark in their environment: workers and what they started.
    pub(crate) fn marked(&self) -> Vec<u32> {
        let all = fs::read_dir("/proc").expect("Linux").flatten();
        all.filter_map(|entry| entry.file_name().to_str()?.parse().ok())
            .filter(|pid| *pid != self.child.id())
            .filter(|pid| {
                let environment = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
                environment.split(|byte| *byte == 0).any(|entry| entry == self.mark.as_bytes())
            })
            .collect()
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Held {
    /// Sends the last byte.
    pub(crate) fn answer(mut self) -> Answer {
        self.0.write_all(b"b").expect("the program reads");
        let mut text = String::new();
        self.0.read_to_string(&mut text).expect("an answer within the time limit");
        Answer::parse(&text)
    }
}

impl Answer {
    pub(crate) fn parse(text: &str) -> Self {
        let (head, body) = text.split_once("\r\n\r\n").unwrap_or((text, ""));
        let status = head.split(' ').nth(1).and_then(|code| code.parse().ok()).unwrap_or(0);
        Self { status, body: body.to_owned() }
    }

    /// The `"pid":N` of a worker's answer.
    pub(crate) fn pid(&self) -> u32 {
        let digits = self.body.split("\"pid\":").nth(1).unwrap_or_default();
        digits.trim_end_matches(|end: char| !end.is_ascii_digit()).parse().unwrap_or_default()
    }
}

fn last_word(line: &str) -> String {
    line.rsplit(' ').next().unwrap_or_default().to_owned()
}

/// Sends a signal by name to one process.
pub(crate) fn signal_process(pid: u32, signal: &str) {
    assert!(pid > 0, "0 would be this test's own process group");
    let sent = Command::new("kill").args([&format!("-{signal}"), &pid.to_string()]).status();
    assert!(sent.is_ok_and(|status| status.success()), "kill -{signal} {pid}");
}

/// Runs `antifreeze ARGS` to its end.
pub(crate) fn antifreeze(args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_antifreeze"));
    // The default is a fixed port.
    command.env("ANTIFREEZE_ADMIN", "off").args(args).output().expect("the binary was built")
}

/// The lines of a file, once there are so many. One of which but a part is written is none yet.
pub(crate) fn lines_of(path: &Path, count: usize) -> Vec<String> {
    until("the lines are there", || {
        let lines = whole_lines(path);
        (lines.len() >= count).then_some(lines)
    })
}

/// The lines of a file that are written to their ends; none if there is no file.
pub(crate) fn whole_lines(path: &Path) -> Vec<String> {
    let bytes = fs::read(path).unwrap_or_default();
    let lines = bytes.split_inclusive(|byte| *byte == b'\n').filter_map(|line| line.strip_suffix(b"\n"));
    lines.map(|line| String::from_utf8_lossy(line).into_owned()).collect()
}

/// Asks again and again until there is an answer.
#[expect(clippy::disallowed_methods, reason = "the one place that polls, with a deadline")]
pub(crate) fn until<T>(what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(Instant::now() < deadline, "waited in vain until {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}
