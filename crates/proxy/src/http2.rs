//! One client connection of HTTP/2 (RFC 9113): many requests at once, each a task of its own.
//!
//! What a client may cost is bounded here: open requests, heads, bytes under way in both directions, and how often it
//! may ask in vain. Of the known floods the h2 library ends those of frames by itself: empty and tiny DATA, CONTINUATION
//! without end, resets of requests that nobody has seen yet, resets that the client provokes. It answers PING and SETTINGS
//! one by one, and reads no further while an answer cannot be written. What it makes too little of, `inspected` finds; what it
//! would keep too much of, `stock` and `outflow` bound.

mod frames;
mod inflow;
mod inspected;
mod outflow;
mod stock;
mod stream;
mod stream_end;

pub(crate) use frames::Frames;
pub(crate) use inflow::Inflow;
pub(crate) use outflow::poll_room;
pub(crate) use stream::Unsound;
pub(crate) use stream_end::Handover;

use crate::client::ClientStream;
use crate::drain::Stage;
use crate::origin::Origin;
use crate::server::too_late;
use crate::shard::Shard;
use crate::{Limits, Timeouts};
use h2::Reason;
use h2::server::{Builder, Connection};
use inspected::{Finding, Inspected};
use outflow::Piece;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use stock::{Portion, Stock};
use stream::Closed;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

/// Serves a connection to its end. All its requests end with it.
pub(crate) async fn serve(shard: Arc<Shard>, stream: ClientStream, origin: Arc<Origin>) {
    let mut stage = shard.stage.clone();
    let (timeouts, limits) = (&shard.options.timeouts, &shard.options.limits);
    let (stream, finding, pieces) = Inspected::new(stream);
    let begun = tokio::select! {
        begun = builder(limits).handshake(stream) => begun,
        () = too_late(timeouts.header, stage.clone()) => return,
    };
    // Who does not begin as HTTP/2 does has been told so.
    let Ok(connection) = begun else { return };
    let mut conversation = Conversation::new(connection, finding, Stock::new(limits, pieces));
    let mut draining = pin!(stage.wait_for(|stage| *stage > Stage::Serving));
    let mut alarm = pin!(sleep_until(Instant::now()));
    poll_fn(|cx| {
        if conversation.parting.may_be_told() && draining.as_mut().poll(cx).is_ready() {
            conversation.part_slowly();
        }
        loop {
            if conversation.poll(cx, &shard, &origin).is_ready() {
                return Poll::Ready(());
            }
            // Without one, this task is polled when a request ends.
            let Some(deadline) = conversation.deadline(timeouts) else { return Poll::Pending };
            if alarm.deadline() != deadline {
                alarm.as_mut().reset(deadline);
            }
            ready!(alarm.as_mut().poll(cx));
            match conversation.parting {
                Parting::Not | Parting::Announced(_) | Parting::Slowly(_) => {
                    conversation.part_now(Reason::NO_ERROR);
                }
                Parting::Now(_) => return Poll::Ready(()),
            }
        }
    })
    .await;
}

fn builder(limits: &Limits) -> Builder {
    let fields = u32::try_from(limits.header_count).unwrap_or(u32::MAX).saturating_mul(FIELD_OVERHEAD);
    let bytes = u32::try_from(limits.header_bytes).unwrap_or(u32::MAX);
    let mut builder = Builder::new();
    builder
        .max_concurrent_streams(limits.streams)
        .max_header_list_size(bytes.saturating_add(fields))
        .initial_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_send_buffer_size(SEND_BUFFER)
        .max_local_error_reset_streams(Some(MOST_PROVOKED_RESETS))
        .data_frame_budget(TINY_FRAMES)
        .enable_connect_protocol();
    builder
}

/// A connection and the requests that are open on it.
struct Conversation {
    connection: Connection<Inspected, Piece>,
    finding: Finding,
    stock: Stock,
    requests: JoinSet<Closed>,
    /// Requests so far.
    begun: u32,
    tally: Tally,
    parting: Parting,
    rest: Rest,
}

/// Whether the end has begun.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Parting {
    Not,
    /// The client said that it is about to leave: for a moment it is waited for, and answered what it says meanwhile.
    Announced(Instant),
    /// The client knows, and open requests go on (RFC 9113 section 6.8).
    Slowly(Instant),
    /// The last frames are written.
    Now(Instant),
}

impl Parting {
    /// Whether the client does not know yet that it is to leave.
    fn may_be_told(self) -> bool {
        matches!(self, Self::Not | Self::Announced(_))
    }
}

/// What a connection without open requests waits for, and since when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Rest {
    /// Requests are open: they have limits of their own.
    None,
    /// The first request.
    First(Instant),
    /// That the client takes the last bytes of its answers.
    Unread(Instant),
    /// The next request.
    Idle(Instant),
}

impl Conversation {
    fn new(connection: Connection<Inspected, Piece>, finding: Finding, stock: Stock) -> Self {
        Self {
            connection,
            finding,
            stock,
            requests: JoinSet::new(),
            begun: 0,
            tally: Tally::default(),
            parting: Parting::Not,
            rest: Rest::First(Instant::now()),
        }
    }

    /// Moves frames, starts requests and sees them end. Ready when the connection is over.
    fn poll(&mut self, cx: &mut Context<'_>, shard: &Arc<Shard>, origin: &Arc<Origin>) -> Poll<()> {
        loop {
            while let Poll::Ready(accepted) = self.connection.poll_accept(cx) {
                // Errors were told to the client already.
                let Some(Ok((request, mut respond))) = accepted else { return Poll::Ready(()) };
                let Some(portion) = self.stock.portion(&request) else {
                    respond.send_reset(Reason::REFUSED_STREAM);
                    self.count(Closed::Reset);
                    continue;
                };
                let (shard, origin) = (Arc::clone(shard), Arc::clone(origin));
                self.begun = self.begun.saturating_add(1);
                if shard.options.limits.connection_requests.is_some_and(|most| self.begun >= most)
                    && self.parting.may_be_told()
                {
                    self.part_slowly();
                }
                // A task is copied several times, from its future to its place and out of it.
                self.requests.spawn(Box::pin(stream::serve(shard, origin, request, respond, portion)));
            }
            if let (Some(reason), Parting::Not | Parting::Announced(_) | Parting::Slowly(_)) =
                (self.finding.reason(), self.parting)
            {
                self.part_now(reason);
                continue;
            }
            if self.parting == Parting::Not && self.finding.has_goodbye() {
                self.parting = Parting::Announced(Instant::now());
            }
            match self.requests.poll_join_next(cx) {
                Poll::Ready(Some(closed)) => {
                    // A panic has been reported already.
                    self.count(closed.unwrap_or(Closed::Answered));
                }
                Poll::Ready(None) | Poll::Pending => break,
            }
        }
        self.rest = match (self.requests.is_empty(), self.connection.has_streams(), self.rest) {
            (false, ..) => Rest::None,
            (true, true, rest @ Rest::Unread(_)) | (true, false, rest @ (Rest::First(_) | Rest::Idle(_))) => {
                rest
            }
            (true, true, _) => Rest::Unread(Instant::now()),
            (true, false, _) => Rest::Idle(Instant::now()),
        };
        Poll::Pending
    }

    /// When there is nothing left to wait for.
    fn deadline(&self, timeouts: &Timeouts) -> Option<Instant> {
        let after = |since: Instant, limit: Option<Duration>| limit.map(|limit| since + limit);
        match (self.parting, self.rest) {
            (Parting::Now(since), _) => Some(since + LAST_FRAMES),
            (_, Rest::None) => None,
            (_, Rest::Unread(since)) => after(since, timeouts.stream_idle),
            (Parting::Announced(told) | Parting::Slowly(told), Rest::First(since) | Rest::Idle(since)) => {
                Some(told.max(since) + LAST_FRAMES)
            }
            (Parting::Not, Rest::First(since)) => after(since, timeouts.header),
            (Parting::Not, Rest::Idle(since)) => after(since, timeouts.keep_alive),
        }
    }

    fn count(&mut self, closed: Closed) {
        self.tally.count(closed);
        if self.tally.is_abusive() {
            self.part_now(Reason::ENHANCE_YOUR_CALM);
        }
    }

    /// Takes no more requests than those that are on their way already.
    fn part_slowly(&mut self) {
        self.connection.graceful_shutdown();
        self.parting = Parting::Slowly(Instant::now());
    }

    /// Breaks off.
    fn part_now(&mut self, reason: Reason) {
        if !matches!(self.parting, Parting::Now(_)) {
            self.connection.abrupt_shutdown(reason);
            self.parting = Parting::Now(Instant::now());
        }
    }
}

/// How the requests of a connection ended. Each that its client resets was work for nothing, for a worker too; who does
/// little else is not served (rapid reset, CVE-2023-44487).
#[derive(Clone, Copy, Debug, Default)]
struct Tally {
    all: u64,
    reset: u64,
}

impl Tally {
    fn count(&mut self, closed: Closed) {
        self.all += 1;
        self.reset += u64::from(closed != Closed::Answered);
    }

    fn is_abusive(&self) -> bool {
        self.reset >= MANY_RESETS && self.reset > self.all / 2
    }
}

/// Bytes of an answer that are read from its worker at once: of each of many, one such piece waits outside the stock.
pub(crate) const PIECE: usize = 32 * 1024;

/// What each field counts for beside its bytes (RFC 9113 section 6.5.2).
const FIELD_OVERHEAD: u32 = 32;

/// Bytes of one request's body that are read before its worker takes them.
const STREAM_WINDOW: u32 = 256 * 1024;

/// The same for all bodies of a connection.
const CONNECTION_WINDOW: u32 = 1024 * 1024;

/// Bytes of one answer that wait for their turn on the connection, within what all may (`stock`).
const SEND_BUFFER: usize = 64 * 1024;

/// What frames of bodies below 256 bytes may lack of that until somebody takes them. The h2 library would cut off 4,000
/// small messages, as clients of gRPC stream them; this is 8,000. Each costs 500 bytes, if it is padded.
const TINY_FRAMES: usize = 2 << 20;

/// Frames in error, over a connection's life, that end a stream instead of the connection (MadeYouReset, CVE-2025-8671).
const MOST_PROVOKED_RESETS: usize = 100;

/// Requests that a client may reset before it matters how many it lets come to their end.
const MANY_RESETS: u64 = 200;

/// How long the last frames may take, and how long a client without open requests has to hear of a drain, or to leave as it
/// said.
const LAST_FRAMES: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_resets_most_requests_is_abusive_and_who_resets_some_is_not() {
        let tally = |reset, answered| {
            let mut tally = Tally::default();
            (0..reset).for_each(|_| tally.count(Closed::Reset));
            (0..answered).for_each(|_| tally.count(Closed::Answered));
            tally
        };
        assert!(!tally(MANY_RESETS - 1, 0).is_abusive(), "a tab that is closed resets many");
        assert!(tally(MANY_RESETS, 0).is_abusive());
        assert!(tally(MANY_RESETS, MANY_RESETS - 1).is_abusive());
        assert!(!tally(MANY_RESETS, MANY_RESETS).is_abusive());
    }
}
