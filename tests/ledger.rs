//! The ledger: each request has an id, workers write down the ids they begin to execute, clients what they saw. Meanwhile workers
//! are killed, stopped and blocked. Then the two are compared.

use crate::support::{PATIENCE, Program, until};
use serde_json::Value;
use std::collections::{BTreeMap, HashMap};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::{fmt, fs, thread};

#[test]
fn nothing_unsafe_runs_twice_and_no_answer_goes_astray_while_workers_die() {
    let account = Campaign { requests: 3_000, seed: 1 }.run();
    println!("{account}");
    account.check();
}

#[test]
#[ignore = "takes minutes: tests/soak/ledger runs it"]
fn the_long_ledger() {
    let setting = |name: &str| std::env::var(name).ok().and_then(|value| value.parse().ok());
    let requests = setting("LEDGER_REQUESTS").expect("LEDGER_REQUESTS is a number");
    let account = Campaign { requests, seed: setting("LEDGER_SEED").expect("LEDGER_SEED is a number") }.run();
    println!("{account}");
    account.check();
}

/// Safe requests that may be lost among a thousand: those that met a third fault at their last worker.
const LOST_PER_MILLE: u64 = 1;
/// Reasons of ours to turn a request away before a worker had it.
const REFUSALS: [&str; 6] =
    ["queue_full", "queue_timeout", "no_workers", "route_confined", "route_quarantined", "query_of_death"];

/// One run. The seed decides what each request is and what happens when it is sent; only the timing differs from run to run.
struct Campaign {
    requests: u64,
    seed: u64,
}

impl Campaign {
    fn run(&self) -> Account {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let (ledger, access) = (folder.path().join("ledger"), folder.path().join("access"));
        let program = start(&ledger, &access);
        let next = AtomicU64::new(0);
        let sights = Mutex::new(Vec::new());
        let faults = Faults::default();
        thread::scope(|scope| {
            for _ in 0..CLIENTS {
                scope.spawn(|| {
                    let mut client = Client { address: &program.address, connection: None };
                    let mut own = Vec::new();
                    loop {
                        let id = next.fetch_add(1, Ordering::Relaxed);
                        if id >= self.requests {
                            break;
                        }
                        faults.strike(id, mix(self.seed ^ 0xFA17, id), &program);
                        let errand = Errand::new(id, mix(self.seed, id));
                        own.push((errand, client.ask(&errand)));
                    }
                    sights.lock().expect("no panic under it").extend(own);
                });
            }
        });
        let sights = sights.into_inner().expect("no panic under it");
        let mut account =
            Account::new(&sights, &fs::read_to_string(&ledger).expect("workers wrote it"), faults);
        account.look_up(&access);
        account
    }
}

const CLIENTS: usize = 16;

fn start(ledger: &Path, access: &Path) -> Program {
    let tests = concat!(env!("CARGO_MANIFEST_DIR"), "/tests");
    let uvicorn = format!("{tests}/.venv/bin/uvicorn");
    assert!(Path::new(&uvicorn).exists(), "{uvicorn} is missing: tests/run installs it");
    let place = format!("LEDGER={}", ledger.display());
    let apps = format!("{tests}/apps");
    let mut program = Program::start(&[
        "run",
        "--workers",
        "4",
        "--restart-after",
        "2s",
        "--grace",
        "1s",
        "--access-log",
        &access.display().to_string(),
        "--access-log-format",
        "json",
        "--",
        "env",
        &place,
        &uvicorn,
        "--log-level",
        "critical",
        "--app-dir",
        &apps,
        "ledger_app:app",
    ]);
    for _ in 0..4 {
        program.wait_for_line("now=\"serving\"");
    }
    program
}

/// A well-mixed number for each id (SplitMix64).
fn mix(seed: u64, id: u64) -> u64 {
    let mut z =
        seed.wrapping_mul(0xD134_2543_DE82_EF95).wrapping_add((id + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15));
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

/// What one request asks for.
#[derive(Clone, Copy)]
struct Errand {
    id: u64,
    method: &'static str,
    path: &'static str,
    milliseconds: u64,
}

impl Errand {
    fn new(id: u64, dice: u64) -> Self {
        let method = if dice & 1 == 0 { "GET" } else { "POST" };
        // Three in a thousand block a worker's event loop, for less or more than it takes to be called frozen.
        let (path, milliseconds) = match (dice >> 1) % 1000 {
            0..3 => ("/block", 200 + (dice >> 20) % 1500),
            3.. => ("/await", (dice >> 20) % 80),
        };
        Self { id, method, path, milliseconds }
    }

    fn is_safe(&self) -> bool {
        self.method == "GET"
    }
}

/// The worker ended within its answer, which had begun to reach the client: nothing can be sent again then.
const CUT_OFF: &str = ", cut off";

/// What a client saw.
#[derive(Debug)]
struct Sight {
    /// The status, with the reason if the answer was ours; or how the connection failed.
    result: String,
    body: String,
}

struct Client<'a> {
    address: &'a str,
    connection: Option<BufReader<TcpStream>>,
}

impl Client<'_> {
    fn ask(&mut self, errand: &Errand) -> Sight {
        self.exchange(errand).unwrap_or_else(|error| {
            self.connection = None;
            Sight { result: format!("no answer: {}", error.kind()), body: String::new() }
        })
    }

    fn exchange(&mut self, errand: &Errand) -> io::Result<Sight> {
        if self.connection.is_none() {
            let stream = TcpStream::connect(self.address)?;
            stream.set_nodelay(true)?;
            stream.set_read_timeout(Some(PATIENCE))?;
            self.connection = Some(BufReader::new(stream));
        }
        let connection = self.connection.as_mut().expect("made above");
        let Errand { id, method, path, milliseconds } = errand;
        let body = if errand.is_safe() { String::new() } else { id.to_string() };
        let length =
            if errand.is_safe() { String::new() } else { format!("Content-Length: {}\r\n", body.len()) };
        let request = format!(
            "{method} {path}?ms={milliseconds}&id={id} HTTP/1.1\r\nHost: ledger\r\n{length}\r\n{body}"
        );
        connection.get_mut().write_all(request.as_bytes())?;
        let mut lines = connection.by_ref().lines();
        let status = lines.next().ok_or(io::ErrorKind::UnexpectedEof)??;
        let mut result = status.split(' ').nth(1).unwrap_or_default().to_owned();
        let (mut length, mut stays) = (0, true);
        loop {
            let line = lines.next().ok_or(io::ErrorKind::UnexpectedEof)??.to_ascii_lowercase();
            match line.split_once(": ") {
                None => break,
                Some(("content-length", value)) => length = value.parse().map_err(io::Error::other)?,
                // On a success it says by which way that came.
                Some(("x-antifreeze", reason)) if result != "200" => result = format!("{result} {reason}"),
                Some(("connection", value)) => stays = value != "close",
                Some(_) => {}
            }
        }
        let mut body = vec![0; length];
        if connection.read_exact(&mut body).is_err() {
            (stays, result) = (false, format!("{result}{CUT_OFF}"));
        }
        if !stays {
            self.connection = None;
        }
        Ok(Sight { result, body: String::from_utf8_lossy(&body).into_owned() })
    }
}

/// What is done to the workers: something at every 100th request, at the time it is sent.
#[derive(Default)]
struct Faults {
    kills: AtomicU64,
    stops: AtomicU64,
    /// Stopped workers, and the request at which they go on.
    stopped: Mutex<Vec<(u64, u32)>>,
}

impl Faults {
    fn strike(&self, id: u64, dice: u64, program: &Program) {
        self.stopped.lock().expect("no panic under it").retain(|(until, pid)| {
            if *until == id {
                signal(*pid, "CONT");
            }
            *until != id
        });
        if id % 100 != 50 {
            return;
        }
        let status: Value = serde_json::from_str(&program.ask("/api/v1/status").body).expect("JSON");
        let workers = status["pools"][0]["workers"].as_array().cloned().unwrap_or_default();
        let serving: Vec<u64> = workers
            .iter()
            .filter(|worker| worker["state"] == "serving")
            .filter_map(|worker| worker["pid"].as_u64())
            .collect();
        // Two stay, so that the run goes on.
        if serving.len() <= 2 {
            return;
        }
        let chosen = serving[usize::try_from(dice >> 8).unwrap_or_default() % serving.len()];
        let pid = u32::try_from(chosen).expect("a pid");
        // Half are killed; the others stop for a moment, for longer than it takes to be called frozen, or until they are killed.
        match dice % 6 {
            0..3 => {
                self.kills.fetch_add(1, Ordering::Relaxed);
                signal(pid, "KILL");
            }
            pause => {
                self.stops.fetch_add(1, Ordering::Relaxed);
                signal(pid, "STOP");
                let requests = [90, 280, 5000][usize::try_from(pause - 3).unwrap_or_default() % 3];
                self.stopped.lock().expect("no panic under it").push((id + requests, pid));
            }
        }
    }
}

/// It may have ended in between.
fn signal(pid: u32, signal: &str) {
    let sent =
        Command::new("kill").args([&format!("-{signal}"), &pid.to_string()]).stderr(Stdio::null()).status();
    sent.expect("there is a kill command");
}

/// A safe request without an answer.
#[derive(Debug)]
struct Loss {
    id: u64,
    /// What its client saw.
    result: String,
    executions: u64,
    /// Its line in the access log.
    access: Option<String>,
}

/// The comparison of what was executed with what was seen.
struct Account {
    requests: u64,
    kills: u64,
    stops: u64,
    /// Requests by method and what their client saw.
    seen: BTreeMap<String, u64>,
    /// Safe requests without an answer that did not block a worker themselves and were neither refused unread nor cut off.
    lost: Vec<Loss>,
    unsafe_again: Vec<u64>,
    safe_more_than_thrice: Vec<u64>,
    safe_again: u64,
    /// Answers of 200 with another request's id.
    crossed: Vec<u64>,
    /// Answers of 200 to what no worker executed.
    invented: Vec<u64>,
}

impl Account {
    fn new(sights: &[(Errand, Sight)], ledger: &str, faults: Faults) -> Self {
        let mut executions: HashMap<u64, u64> = HashMap::new();
        for line in ledger.lines() {
            let id = line.split(' ').next().and_then(|id| id.parse().ok()).expect("a line begins with an id");
            *executions.entry(id).or_default() += 1;
        }
        let mut account = Self {
            requests: sights.len() as u64,
            kills: faults.kills.into_inner(),
            stops: faults.stops.into_inner(),
            seen: BTreeMap::new(),
            lost: Vec::new(),
            unsafe_again: Vec::new(),
            safe_more_than_thrice: Vec::new(),
            safe_again: 0,
            crossed: Vec::new(),
            invented: Vec::new(),
        };
        for (errand, sight) in sights {
            account.enter(errand, sight, executions.get(&errand.id).copied().unwrap_or_default());
        }
        account
    }

    fn enter(&mut self, errand: &Errand, sight: &Sight, executions: u64) {
        let Errand { id, method, path, .. } = *errand;
        *self.seen.entry(format!("{method} {path}: {}", sight.result)).or_default() += 1;
        match (errand.is_safe(), executions) {
            (_, 0 | 1) => {}
            (true, 2 | 3) => self.safe_again += 1,
            (true, 4..) => self.safe_more_than_thrice.push(id),
            (false, 2..) => self.unsafe_again.push(id),
        }
        if sight.result == "200" {
            if sight.body != id.to_string() {
                self.crossed.push(id);
            }
            if executions == 0 {
                self.invented.push(id);
            }
            return;
        }
        let refused =
            executions == 0 && REFUSALS.iter().any(|reason| sight.result == format!("503 {reason}"));
        let cut_off = sight.result.ends_with(CUT_OFF);
        if errand.is_safe() && path != "/block" && !refused && !cut_off {
            self.lost.push(Loss { id, result: sight.result.clone(), executions, access: None });
        }
    }

    /// Finds what the program says of the requests that were lost.
    fn look_up(&mut self, access: &Path) {
        if self.lost.is_empty() {
            return;
        }
        let line_of = |id: u64| {
            let mark = format!("&id={id}\"");
            let text = fs::read_to_string(access).ok()?;
            text.lines().find(|line| line.contains(&mark)).map(str::to_owned)
        };
        for loss in &mut self.lost {
            // A request's line is written a moment after its answer.
            until("each is in the access log", || {
                loss.access = line_of(loss.id);
                loss.access.is_some().then_some(())
            });
        }
    }

    fn check(&self) {
        let none: [u64; 0] = [];
        assert_eq!(self.unsafe_again, none, "unsafe requests executed twice");
        assert_eq!(self.crossed, none, "answers to other requests");
        assert_eq!(self.invented, none, "answers to what no worker executed");
        assert_eq!(self.safe_more_than_thrice, none, "safe requests executed more than thrice");
        assert!(self.kills > 0 && self.stops > 0, "nothing happened to the workers");
        let allowed = self.requests * LOST_PER_MILLE / 1000;
        assert!(self.lost.len() as u64 <= allowed, "lost: {:?}", self.lost);
    }
}

impl fmt::Display for Account {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(out, "{} requests, {} workers killed, {} stopped", self.requests, self.kills, self.stops)?;
        for (what, count) in &self.seen {
            writeln!(out, "  {count:>7} {what}")?;
        }
        writeln!(
            out,
            "safe requests lost (not counting those that block, were refused unread or cut off): {}",
            self.lost.len()
        )?;
        for Loss { id, result, executions, access } in &self.lost {
            let access = access.as_deref().unwrap_or("not in the access log");
            writeln!(out, "  {id}: {result}, begun {executions} times, {access}")?;
        }
        writeln!(
            out,
            "unsafe executed twice: {}; safe executed two or three times: {}, more often: {}",
            self.unsafe_again.len(),
            self.safe_again,
            self.safe_more_than_thrice.len()
        )?;
        write!(out, "answers crossed: {}, invented: {}", self.crossed.len(), self.invented.len())
    }
}
