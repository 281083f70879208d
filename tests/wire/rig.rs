//! The proxy between a scripted worker and raw clients.

use crate::support::{Program, until};
use crate::wire::client::Client;
use crate::wire::script::{self, Step};
use crate::wire::worker::{self, Row};
use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::process::Command;

/// A running antifreeze with one scripted worker.
pub(crate) struct Rig {
    pub(crate) program: Program,
    /// Where the worker itself listens.
    worker: String,
}

impl Rig {
    /// A worker on a unix socket.
    pub(crate) fn start() -> Self {
        Self::with("{socket}", &[])
    }

    /// A worker on a loopback port, where resets exist.
    pub(crate) fn on_tcp() -> Self {
        Self::with("{port}", &[])
    }

    /// A worker that is told its address in this form, behind a proxy with these flags.
    pub(crate) fn with(address: &str, flags: &[&str]) -> Self {
        let own = std::env::current_exe().expect("Linux tells");
        let own = own.to_string_lossy();
        let address = format!("{}={address}", worker::ADDRESS);
        let command = ["env", &address, &own, worker::ENTRY, "--exact", "--ignored", "--nocapture"];
        // The worker is a script: it is asked nothing but what a test asks it. And it never is frozen, but on a busy machine
        // it may look so for a moment: another would be started then, with a ledger of its own.
        let quiet = ["run", "--workers", "1", "--openapi", "off", "--probe-timeout", "20s"];
        let words = [&quiet[..], flags, &["--"], &command].concat();
        let mut program = Program::start(&words);
        program.wait_for_line("now=\"serving\"");
        let worker = program.status()["workers"][0]["address"].as_str().expect("it serves").to_owned();
        Self { program, worker }
    }

    pub(crate) fn client(&self) -> Client {
        Client::new(self.program.connect())
    }

    /// Opens a gate that a script waits for.
    pub(crate) fn open(&self, gate: &str) {
        // Where what waits there is the last thing that is done, the worker may end before it has answered.
        let _ = self.talk(&format!("open:{gate}"));
    }

    /// What the worker's next connection meets before a byte of it is read.
    pub(crate) fn surprise(&self, steps: &[Step]) {
        self.order(&format!("surprise:{}", script::path(steps)));
    }

    /// All connections of the worker so far, but probes.
    pub(crate) fn ledger(&self) -> Vec<Row> {
        serde_json::from_str(&self.order("ledger")).expect("the worker writes JSON")
    }

    /// The request lines that the worker executed, over all connections.
    pub(crate) fn executed(&self) -> Vec<String> {
        self.ledger().into_iter().flat_map(|row| row.requests).collect()
    }

    /// Waits until nobody holds a place at the worker.
    pub(crate) fn until_idle(&self) {
        until("no request is held", || {
            let worker = &self.program.status()["workers"][0];
            (worker["in_flight"] == 0 && worker["parked"] == 0).then_some(())
        });
    }

    /// Waits until the worker holds so many requests.
    pub(crate) fn until_held(&self, count: u64) {
        until("the worker holds the requests", || {
            (self.program.status()["workers"][0]["in_flight"] == count).then_some(())
        });
    }

    /// Memory of the proxy in KiB.
    pub(crate) fn memory(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.program.pid())).expect("it runs");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("Linux tells");
        line.trim().trim_end_matches(" kB").parse().expect("a number")
    }

    /// Runs curl: its exit code, and what it printed.
    pub(crate) fn curl(&self, path: &str, options: &[&str]) -> (i32, String) {
        let address = format!("http://{}{path}", self.program.address);
        let output = Command::new("curl")
            .args(["--silent", "--show-error", "--path-as-is", "--max-time", "60"])
            .args(options)
            .arg(&address)
            .output()
            .expect("curl is installed");
        let printed = [output.stdout, output.stderr].concat();
        (output.status.code().unwrap_or(-1), String::from_utf8_lossy(&printed).into_owned())
    }

    fn order(&self, order: &str) -> String {
        self.talk(order).expect("the worker answers")
    }

    fn talk(&self, order: &str) -> Option<String> {
        match self.worker.strip_prefix("unix:") {
            Some(path) => talk(UnixStream::connect(path).expect("the worker listens"), order),
            None => talk(TcpStream::connect(&self.worker).expect("the worker listens"), order),
        }
    }
}

/// Asks the worker itself, on a connection that its ledger does not show.
fn talk(mut stream: impl Read + Write, order: &str) -> Option<String> {
    let orders = format!("CONTROL {order} HTTP/1.1\r\n\r\nCONTROL close HTTP/1.1\r\n\r\n");
    stream.write_all(orders.as_bytes()).ok()?;
    let mut text = String::new();
    stream.read_to_string(&mut text).ok()?;
    Some(text.split_once("\r\n\r\n")?.1.to_owned())
}
