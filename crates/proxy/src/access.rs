//! What is said of a request when it is over: to the metrics always, to the access log if there is one.

use crate::backend::Backend;
use crate::clients::Turn;
use crate::metrics::Retry;
use crate::options::Disclosure;
use crate::origin::{Origin, REQUEST_ID};
use crate::redirect::REDIRECT;
use crate::shard::Shard;
use crate::watch::{Phase, Watch};
use http::header::{HeaderMap, HeaderName, HeaderValue, REFERER, USER_AGENT};
use http::request::Parts;
use http::uri::PathAndQuery;
use http::{StatusCode, Version};
use logs::AccessLine;
use policy::{RouteId, WorkerId};
use std::fmt::Write as _;
use std::net::IpAddr;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;
use tokio::time::Instant;

/// The status of a request whose client left (nginx's number; not in any RFC, and never sent).
pub(crate) const CLIENT_CLOSED: u16 = 499;

/// The reason of an answer that stood still for too long, whoever was slow.
pub(crate) const STALLED: &str = "stalled";

/// Says who made the answer and why, in the words of the logs and metrics.
pub(crate) const REASON: HeaderName = HeaderName::from_static("x-antifreeze");

const SERVER_TIMING: HeaderName = HeaderName::from_static("server-timing");

/// A request under way; speaks when dropped.
#[derive(Debug)]
pub(crate) struct Record {
    pub(crate) shard: Arc<Shard>,
    pub(crate) watch: Arc<Watch>,
    /// Whose request it is, once that is known.
    pub(crate) backend: Option<Arc<Backend>>,
    pub(crate) began: Instant,
    pub(crate) status: Option<StatusCode>,
    pub(crate) bytes: u64,
    /// Whether the whole answer was handed to the client's connection.
    pub(crate) whole: bool,
    /// Why the answer is our own, or broke off through no fault of the client.
    pub(crate) reason: Option<&'static str>,
    /// Which route it is of, once its head was understood.
    pub(crate) route: Option<RouteId>,
    /// Its turn, if the client's requests are counted.
    pub(crate) turn: Option<Turn>,
    /// Whether another worker answered than the one that it was given to.
    pub(crate) rescued: bool,
    /// How long it waited for a worker.
    pub(crate) queued: Duration,
    /// How long its worker took to begin an answer.
    pub(crate) answered: Option<Duration>,
    /// How often it was sent again.
    pub(crate) retries: AtomicU32,
    /// The worker that it went to last.
    worker: Option<WorkerId>,
    /// Nothing if there is no access log.
    head: Option<Box<NotedHead>>,
}

impl Record {
    /// Of a request that begins now.
    pub(crate) fn new(shard: Arc<Shard>, watch: Arc<Watch>) -> Self {
        Self {
            began: watch.now(),
            shard,
            watch,
            backend: None,
            status: None,
            bytes: 0,
            whole: false,
            reason: None,
            route: None,
            turn: None,
            rescued: false,
            queued: Duration::ZERO,
            answered: None,
            retries: AtomicU32::new(0),
            worker: None,
            head: None,
        }
    }

    /// Copies what the access log, if there is one, says of the head. Before the head is changed for the worker.
    pub(crate) fn note_head(&mut self, parts: &Parts, origin: &Origin) {
        if self.shard.access_log.is_some() {
            self.head = Some(Box::new(NotedHead::new(parts, origin)));
        }
    }

    /// The head as it goes to the worker, with its id.
    pub(crate) fn note_id(&mut self, headers: &HeaderMap) {
        if let Some(head) = &mut self.head {
            head.note_id(headers);
        }
    }

    /// The app that it is for.
    pub(crate) fn note_backend(&mut self, backend: &Arc<Backend>) {
        self.backend = Some(Arc::clone(backend));
    }

    pub(crate) fn note_worker(&mut self, worker: WorkerId, waited: Duration) {
        if let Some(backend) = &self.backend {
            backend.count_wait(waited);
        }
        self.queued += waited;
        self.worker = Some(worker);
    }

    pub(crate) fn note_answer(&mut self, after: Duration) {
        if let Some(backend) = &self.backend {
            backend.count_answer(after);
        }
        self.answered = Some(after);
    }

    /// Another worker answers than the one that was noted.
    pub(crate) fn note_rescuer(&mut self, worker: WorkerId) {
        self.rescued = true;
        self.retries.fetch_add(1, Ordering::Relaxed);
        self.worker = Some(worker);
    }

    /// The word for what was decided about the request, if there was anything to decide.
    pub(crate) fn token(&self) -> Option<&'static str> {
        self.reason.or(self.rescued.then_some("rescued"))
    }

    /// Has the answer say what its client may know of its way.
    pub(crate) fn disclose(&self, headers: &mut HeaderMap) {
        let disclosure = self.shard.options.disclosure;
        if disclosure >= Disclosure::Reason
            && let Some(token) = self.token()
        {
            headers.insert(REASON, HeaderValue::from_static(token));
        }
        if disclosure >= Disclosure::Timing {
            let mut timing = format!("queue;dur={:.1}", milliseconds(self.queued));
            if let Some(answered) = self.answered {
                // Writing to a string does not fail.
                let _ = write!(timing, ", worker;dur={:.1}", milliseconds(answered));
            }
            let timing = HeaderValue::try_from(timing).expect("words and numbers are plain text");
            headers.append(SERVER_TIMING, timing);
        }
    }

    /// Shared, because two workers may be asked at once.
    pub(crate) fn note_retry(&self, why: Retry) {
        if let Some(backend) = &self.backend {
            backend.count_retry(why);
        }
        self.retries.fetch_add(1, Ordering::Relaxed);
    }
}

/// Accounts for a request that was answered before its head was whole and good: nothing is known of it but its sender.
pub(crate) fn note_unread(
    shard: &Arc<Shard>,
    watch: &Arc<Watch>,
    origin: &Origin,
    status: StatusCode,
    reason: &'static str,
) {
    let head = shard.access_log.as_ref().map(|_| Box::new(NotedHead::nothing(origin)));
    let (shard, watch) = (Arc::clone(shard), Arc::clone(watch));
    let mut record = Record::new(shard, watch);
    record.status = Some(status);
    record.whole = true;
    record.reason = Some(reason);
    record.head = head;
}

/// What the access log says of a head: copied, so that a request of long ago holds no buffer of its connection.
#[derive(Debug)]
struct NotedHead {
    client: Option<IpAddr>,
    version: &'static str,
    /// One behind the other.
    texts: Vec<u8>,
    method: Range<usize>,
    target: Range<usize>,
    referer: Option<Range<usize>>,
    user_agent: Option<Range<usize>>,
    id: Option<Range<usize>>,
}

impl NotedHead {
    fn new(parts: &Parts, origin: &Origin) -> Self {
        let version = match parts.version {
            Version::HTTP_10 => "HTTP/1.0",
            Version::HTTP_2 => "HTTP/2.0",
            _ => "HTTP/1.1",
        };
        let path = parts.uri.path_and_query().map(PathAndQuery::as_str);
        let mut texts = Vec::with_capacity(ROOM_FOR_OTHERS + path.map_or(0, str::len));
        let method = copy(&mut texts, parts.method.as_str().as_bytes());
        // As it was sent.
        let target = match (parts.uri.authority(), path) {
            (Some(_), Some(path)) if parts.version == Version::HTTP_2 => copy(&mut texts, path.as_bytes()),
            (None, Some(path)) => copy(&mut texts, path.as_bytes()),
            (Some(_) | None, _) => copy(&mut texts, parts.uri.to_string().as_bytes()),
        };
        let referer = copy_field(&mut texts, &parts.headers, &REFERER);
        let user_agent = copy_field(&mut texts, &parts.headers, &USER_AGENT);
        let client = origin.client(&parts.headers);
        Self { client, version, texts, method, target, referer, user_agent, id: None }
    }

    /// Of a head that could not be read: who sent it, and no more.
    fn nothing(origin: &Origin) -> Self {
        Self {
            client: origin.peer.map(|peer| peer.to_canonical()),
            version: "-",
            texts: b"-".to_vec(),
            method: 0..1,
            target: 0..1,
            referer: None,
            user_agent: None,
            id: None,
        }
    }

    fn note_id(&mut self, headers: &HeaderMap) {
        self.id = copy_field(&mut self.texts, headers, &REQUEST_ID);
    }

    fn text(&self, range: &Range<usize>) -> &str {
        str::from_utf8(&self.texts[range.clone()]).expect("methods and targets are text")
    }

    fn bytes(&self, range: Option<&Range<usize>>) -> Option<&[u8]> {
        range.map(|range| &self.texts[range.clone()])
    }
}

fn copy_field(texts: &mut Vec<u8>, headers: &HeaderMap, name: &HeaderName) -> Option<Range<usize>> {
    headers.get(name).map(|value| copy(texts, value.as_bytes()))
}

fn copy(texts: &mut Vec<u8>, text: &[u8]) -> Range<usize> {
    let start = texts.len();
    texts.extend_from_slice(text);
    start..texts.len()
}

/// A method, a browser's name, an address it comes from, an id: bytes that mostly suffice.
const ROOM_FOR_OTHERS: usize = 256;

fn milliseconds(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1000.0
}

impl Drop for Record {
    fn drop(&mut self) {
        if self.watch.has_expired(Phase::Download) {
            self.reason.get_or_insert(STALLED);
        }
        let status = match self.status {
            Some(status) if self.whole || self.reason.is_some() => status.as_u16(),
            Some(_) | None => CLIENT_CLOSED,
        };
        // Not only polls end requests: whatever drops the connection does. An answer that is whole became so in one.
        if !self.whole {
            self.watch.tick();
        }
        let took = self.watch.now() - self.began;
        self.watch.end();
        match &self.backend {
            Some(backend) => backend.count_request(status, took),
            None => self.shard.count_request(status, took),
        }
        if let Some(reason) = self.reason.filter(|reason| *reason != REDIRECT) {
            self.shard.refuse(reason);
        }
        if let (Some(head), Some(log)) = (&self.head, &self.shard.access_log) {
            log.say(&AccessLine {
                at: logs::now(),
                client: head.client,
                method: head.text(&head.method),
                target: head.text(&head.target),
                version: head.version,
                status,
                bytes: self.bytes,
                duration: took,
                queue: self.queued,
                response: self.answered,
                pool: self.backend.as_ref().map(|backend| backend.pool.name()),
                worker: self.worker.map(|worker| worker.slot.number()),
                retries: self.retries.load(Ordering::Relaxed),
                id: head.bytes(head.id.as_ref()),
                reason: self.token(),
                referer: head.bytes(head.referer.as_ref()),
                user_agent: head.bytes(head.user_agent.as_ref()),
            });
        }
    }
}
