//! The scripted worker: the test binary itself, run again by antifreeze as a worker's command.
//!
//! It answers probes as a good server does, does with every other request what the request's path says, and keeps a
//! ledger of all it received. Whatever is no script gets a 200 that repeats the request's head.

use crate::wire::script::{self, Step};
use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use std::cell::RefCell;
use std::collections::{HashSet, VecDeque};
use std::io;
use std::rc::Rc;
use std::time::Duration;
use supervisor::Stream;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::Notify;
use tokio::task::LocalSet;

/// Where the worker is told to listen: a socket's path or a port.
pub(crate) const ADDRESS: &str = "WIRE_WORKER";

/// The name of the test that is the worker.
pub(crate) const ENTRY: &str = "wire::worker::the_worker_that_other_tests_start";

#[test]
#[ignore = "no test: antifreeze runs it as the worker of the others"]
fn the_worker_that_other_tests_start() {
    let address = std::env::var(ADDRESS).expect("the tests that start it say where to listen");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    LocalSet::new().block_on(&runtime, serve(&address)).expect("sockets that work");
}

async fn serve(address: &str) -> io::Result<()> {
    let state = Rc::<State>::default();
    let listener = match address.parse::<u16>() {
        Ok(port) => Listener::Tcp(TcpListener::bind(("127.0.0.1", port)).await?),
        Err(_) => Listener::Unix(UnixListener::bind(address)?),
    };
    loop {
        let stream = match &listener {
            Listener::Unix(listener) => Stream::from(listener.accept().await?.0),
            Listener::Tcp(listener) => Stream::from(listener.accept().await?.0),
        };
        let conversation = Conversation { state: Rc::clone(&state), stream, ahead: Vec::new(), row: None };
        tokio::task::spawn_local(async move {
            // How a connection ends is what the tests are about; the ledger tells.
            let _ = conversation.run().await;
        });
    }
}

enum Listener {
    Unix(UnixListener),
    Tcp(TcpListener),
}

#[derive(Default)]
struct State {
    ledger: RefCell<Vec<Row>>,
    gates: RefCell<HashSet<String>>,
    opened: Notify,
    /// What the next connections meet before a byte of theirs is read.
    surprises: RefCell<VecDeque<Vec<Step>>>,
}

/// One connection in the ledger.
#[derive(Debug, Default, Deserialize, Serialize)]
pub(crate) struct Row {
    /// The first 256 KiB of what came.
    pub(crate) received: Vec<u8>,
    pub(crate) received_total: u64,
    pub(crate) sent_total: u64,
    /// The request lines, in the order of execution.
    pub(crate) requests: Vec<String>,
    pub(crate) ended: bool,
}

struct Conversation {
    state: Rc<State>,
    stream: Stream,
    /// Received, and not used by a step yet.
    ahead: Vec<u8>,
    /// Nothing for probes, and for what the tests themselves ask.
    row: Option<usize>,
}

impl Conversation {
    async fn run(mut self) -> io::Result<()> {
        let surprise = self.state.surprises.borrow_mut().pop_front();
        if let Some(steps) = surprise {
            self.open_row("");
            self.perform(steps, "").await?;
        }
        while let Some(head) = self.head().await? {
            let line = head.lines().next().unwrap_or_default().to_owned();
            let mut words = line.split(' ');
            match (words.next().unwrap_or_default(), words.next().unwrap_or_default()) {
                ("OPTIONS", "*") => self.write(PONG).await?,
                ("CONTROL", order) => self.obey(order).await?,
                (_, target) => {
                    self.open_row(&head);
                    self.note(|row| row.requests.push(line.clone()));
                    let steps = script::parse(target.split('?').next().unwrap_or_default())
                        .unwrap_or_else(|| repeat(&head));
                    self.perform(steps, &head).await?;
                }
            }
        }
        Ok(())
    }

    async fn perform(&mut self, steps: Vec<Step>, head: &str) -> io::Result<()> {
        for step in steps {
            match step {
                Step::Send(bytes) => self.write(&bytes).await?,
                Step::Repeat(count, bytes) => {
                    for _ in 0..count {
                        self.write(&bytes).await?;
                    }
                }
                Step::Drip(pause, bytes) => {
                    for byte in bytes {
                        self.write(&[byte]).await?;
                        tokio::time::sleep(Duration::from_millis(pause)).await;
                    }
                }
                Step::Pause(pause) => tokio::time::sleep(Duration::from_millis(pause)).await,
                Step::Await(gate) => {
                    while !self.state.gates.borrow().contains(&gate) {
                        self.state.opened.notified().await;
                    }
                }
                Step::Body => self.body(head).await?,
                Step::Take(count) => {
                    let mut left = count;
                    while left > 0 {
                        self.fill().await?;
                        let taken = left.min(self.ahead.len() as u64);
                        self.ahead.drain(..usize::try_from(taken).unwrap_or(usize::MAX));
                        left -= taken;
                    }
                }
                Step::Drain => while self.read().await? > 0 {},
                Step::Echo => {
                    loop {
                        let bytes = std::mem::take(&mut self.ahead);
                        self.write(&bytes).await?;
                        if self.read().await? == 0 {
                            break;
                        }
                    }
                    self.stream.shutdown().await?;
                }
                Step::Accept => self.write(accept(head).as_bytes()).await?,
                Step::Hang => std::future::pending().await,
                Step::Close => return Err(io::ErrorKind::ConnectionAborted.into()),
                Step::Reset => {
                    if let Some(stream) = self.stream.tcp() {
                        stream.set_zero_linger()?;
                    }
                    return Err(io::ErrorKind::ConnectionAborted.into());
                }
            }
        }
        Ok(())
    }

    /// The next request's head; nothing at the end of the connection.
    async fn head(&mut self) -> io::Result<Option<String>> {
        loop {
            if let Some(end) = position(&self.ahead, b"\r\n\r\n") {
                let head: Vec<u8> = self.ahead.drain(..end + 4).collect();
                return Ok(Some(String::from_utf8_lossy(&head).into_owned()));
            }
            if self.read().await? == 0 {
                return Ok(None);
            }
        }
    }

    /// Reads a body by the framing that the head announces: what the proxy sends is its own clean framing.
    async fn body(&mut self, head: &str) -> io::Result<()> {
        let head = head.to_ascii_lowercase();
        let field = |name: &str| head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
        if field("transfer-encoding").is_some() {
            loop {
                let line = self.line().await?;
                let size = usize::from_str_radix(line.trim_end(), 16).map_err(io::Error::other)?;
                if size == 0 {
                    break;
                }
                self.skip(size + 2).await?;
            }
            while self.line().await? != "\r\n" {}
        } else if let Some(length) = field("content-length") {
            self.skip(length.parse().map_err(io::Error::other)?).await?;
        }
        Ok(())
    }

    async fn line(&mut self) -> io::Result<String> {
        loop {
            if let Some(end) = position(&self.ahead, b"\r\n") {
                let line: Vec<u8> = self.ahead.drain(..end + 2).collect();
                return Ok(String::from_utf8_lossy(&line).into_owned());
            }
            if self.read().await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
    }

    async fn skip(&mut self, mut count: usize) -> io::Result<()> {
        while count > 0 {
            self.fill().await?;
            let taken = count.min(self.ahead.len());
            self.ahead.drain(..taken);
            count -= taken;
        }
        Ok(())
    }

    /// Makes sure that there is something to use.
    async fn fill(&mut self) -> io::Result<()> {
        if self.ahead.is_empty() && self.read().await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(())
    }

    async fn read(&mut self) -> io::Result<usize> {
        let before = self.ahead.len();
        self.ahead.reserve(16 * 1024);
        let count = self.stream.read_buf(&mut self.ahead).await?;
        self.note(|row| row.receive(&self.ahead[before..]));
        Ok(count)
    }

    async fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        let mut sent = 0;
        while sent < bytes.len() {
            let count = self.stream.write(&bytes[sent..]).await?;
            sent += count;
            self.note(|row| row.sent_total += count as u64);
        }
        Ok(())
    }

    /// From here on the connection is in the ledger, with what it brought so far.
    fn open_row(&mut self, head: &str) {
        if self.row.is_none() {
            let mut ledger = self.state.ledger.borrow_mut();
            let mut row = Row::default();
            row.receive(head.as_bytes());
            row.receive(&self.ahead);
            ledger.push(row);
            self.row = Some(ledger.len() - 1);
        }
    }

    fn note(&self, change: impl FnOnce(&mut Row)) {
        if let Some(row) = self.row {
            change(&mut self.state.ledger.borrow_mut()[row]);
        }
    }

    /// What a test asks on a connection of its own.
    async fn obey(&mut self, order: &str) -> io::Result<()> {
        let mut body = String::new();
        if order == "close" {
            return Err(io::ErrorKind::ConnectionAborted.into());
        }
        if let Some(gate) = order.strip_prefix("open:") {
            self.state.gates.borrow_mut().insert(gate.to_owned());
            self.state.opened.notify_waiters();
        } else if let Some(surprise) = order.strip_prefix("surprise:") {
            let steps = script::parse(surprise).ok_or(io::ErrorKind::InvalidInput)?;
            self.state.surprises.borrow_mut().push_back(steps);
        } else {
            body = serde_json::to_string(&*self.state.ledger.borrow())?;
        }
        self.write(format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len()).as_bytes())
            .await
    }
}

impl Drop for Conversation {
    fn drop(&mut self) {
        self.note(|row| row.ended = true);
    }
}

impl Row {
    fn receive(&mut self, bytes: &[u8]) {
        self.received_total += bytes.len() as u64;
        let room = MOST_RECORDED.saturating_sub(self.received.len());
        self.received.extend(&bytes[..bytes.len().min(room)]);
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.received).into_owned()
    }
}

/// A plain answer: what came.
fn repeat(head: &str) -> Vec<Step> {
    let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{head}", head.len());
    vec![Step::Body, script::send(answer)]
}

/// The 101 that proves to have understood the key in this head.
fn accept(head: &str) -> String {
    let is_key = |name: &str| name.eq_ignore_ascii_case("sec-websocket-key");
    let mut fields = head.lines().filter_map(|line| line.split_once(": "));
    let key = fields.find(|(name, _)| is_key(name)).map_or("", |(_, key)| key);
    let guid = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
    let proof = STANDARD.encode(digest(&SHA1_FOR_LEGACY_USE_ONLY, format!("{key}{guid}").as_bytes()));
    format!(
        "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: {proof}\r\n\r\n"
    )
}

fn position(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    bytes.windows(wanted.len()).position(|window| window == wanted)
}

const PONG: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";

/// More of a connection is counted, not kept.
const MOST_RECORDED: usize = 256 * 1024;
