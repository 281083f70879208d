//! One request, over; and the lines of many, until they are written.
//!
//! Each thread formats the lines of its own requests, onto a shelf of its own, and tells the writer when it puts the first one
//! there: a service that answers thousands of requests in a round of the writer pays for thousands of lines, but for one notice.

use crate::entry::Entry;
use crate::format::{AccessStyle, Dates};
use crate::queue::Queue;
use std::mem;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

/// What the access log says of a request.
#[derive(Clone, Debug)]
pub struct AccessLine<'a> {
    /// When it was over.
    pub at: SystemTime,
    /// The client; nothing for one on a unix socket that nobody vouched for.
    pub client: Option<IpAddr>,
    /// The method.
    pub method: &'a str,
    /// The target, as the client sent it.
    pub target: &'a str,
    /// The version, as in `HTTP/1.1`.
    pub version: &'static str,
    /// The status; 499 if the client left before the answer was whole.
    pub status: u16,
    /// Bytes of the answer's body.
    pub bytes: u64,
    /// From the request's head to the end of the answer.
    pub duration: Duration,
    /// How long it waited for workers.
    pub queue: Duration,
    /// From the assignment of a worker to the head of its answer.
    pub response: Option<Duration>,
    /// Which pool it was for; nothing if that was never known.
    pub pool: Option<&'a str>,
    /// The number, in that pool, of the worker it went to last.
    pub worker: Option<u32>,
    /// How often it was sent again.
    pub retries: u32,
    /// The request's id.
    pub id: Option<&'a [u8]>,
    /// Why the answer is our own, or broke off: the token of `x-antifreeze`.
    pub reason: Option<&'static str>,
    /// The `Referer`.
    pub referer: Option<&'a [u8]>,
    /// The `User-Agent`.
    pub user_agent: Option<&'a [u8]>,
}

/// One thread's way to the access log. Nothing it does waits.
#[derive(Debug)]
pub struct AccessLog {
    queue: Queue,
    shelf: Arc<Shelf>,
}

/// Where one thread leaves its lines, and the writer takes them. The lock is held for as long as a line is formatted, or two
/// pointers are exchanged.
#[derive(Debug)]
pub(crate) struct Shelf {
    lines: Mutex<Lines>,
}

#[derive(Debug)]
struct Lines {
    style: AccessStyle,
    dates: Dates,
    bytes: Vec<u8>,
}

impl AccessLog {
    pub(crate) fn new(queue: Queue, style: AccessStyle) -> Self {
        let lines = Lines { style, dates: Dates::default(), bytes: Vec::new() };
        Self { queue, shelf: Arc::new(Shelf { lines: Mutex::new(lines) }) }
    }

    /// One request is over. Its line is written soon, or counted as lost.
    pub fn say(&self, line: &AccessLine<'_>) {
        let mut lines = self.shelf.lines();
        if lines.bytes.len() >= ROOM {
            self.queue.rooms.lose_requests(1);
            return;
        }
        // Under the lock: where a line is, its notice is on its way, and before that of whatever is said later.
        if lines.bytes.is_empty() && !self.queue.push(Entry::Requests(Arc::clone(&self.shelf))) {
            return;
        }
        let Lines { style, dates, bytes } = &mut *lines;
        style.push(line, dates, bytes);
    }
}

impl Shelf {
    /// Takes what is there, and leaves an empty vector that has room already.
    pub(crate) fn take(&self, bytes: &mut Vec<u8>) {
        debug_assert!(bytes.is_empty(), "these would be written twice");
        mem::swap(&mut self.lines().bytes, bytes);
    }

    fn lines(&self) -> MutexGuard<'_, Lines> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Bytes that may wait on one shelf before the next line is lost.
const ROOM: usize = 4 * 1024 * 1024;
