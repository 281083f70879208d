//! Connections to workers, and the ones that lie idle between requests.
//!
//! A connection is polled by the task of the request that uses it, never by one of its own: one task a request saves
//! a wake-up each way, and dropping the request drops the connection. An idle one is not polled at all; that its worker
//! closed it is noticed by the one poll before it is used again.
//!
//! Hyper's halves of a connection talk through channels, and each message would wake the task that is sending it, for
//! one more poll of the whole client connection. What only our own polls can change is therefore polled
//! [quietly].

use crate::meter::{Meter, Metered};
use crate::upload::Upload;
use hyper::client::conn::http1::{self, Connection, SendRequest};
use hyper_util::rt::TokioIo;
use policy::WorkerId;
use std::future::{Future, poll_fn};
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;
use supervisor::{Lease, Stream};
use tokio::time::Instant;

/// An HTTP/1.1 connection to a worker.
#[derive(Debug)]
pub(crate) struct Upstream {
    pub(crate) sender: SendRequest<Upload>,
    pub(crate) connection: Wire,
    pub(crate) meter: Arc<Meter>,
    /// Whether it served a request before.
    pub(crate) reused: bool,
    idle_since: Instant,
}

impl Upstream {
    /// Opens a connection.
    ///
    /// # Errors
    /// What connect(2) reports.
    pub(crate) async fn connect(lease: &Lease) -> io::Result<Box<Self>> {
        let (stream, meter) = Metered::new(lease.connect().await?);
        let (sender, connection) = http1::Builder::new()
            .max_buf_size(LONGEST_ANSWER_HEAD)
            .max_header_size(LONGEST_ANSWER_HEAD)
            // To be removed, says RFC 9112 section 5.1.
            .allow_spaces_after_header_name_in_responses(true)
            .handshake(TokioIo::new(stream))
            .await
            .map_err(io::Error::other)?;
        let connection = Wire(connection);
        Ok(Box::new(Self { sender, connection, meter, reused: false, idle_since: Instant::now() }))
    }

    /// Whether its answer is over and it can carry another request. A poll may bring that about.
    pub(crate) fn is_free(&mut self) -> bool {
        (self.sender.is_ready() || self.is_usable()) && !self.meter.is_deaf()
    }

    /// Whether it can still carry a request after it was idle. Nobody is woken by what happens to it until it is polled
    /// again.
    pub(crate) fn is_usable(&mut self) -> bool {
        quietly(|cx| self.connection.poll(cx)).is_pending() && self.sender.is_ready() && !self.meter.is_deaf()
    }

    /// The bare connection behind a 101, and what was read of the tunnel already.
    pub(crate) fn into_tunnel(self) -> (Stream, bytes::Bytes) {
        let parts = self.connection.0.into_parts();
        (parts.io.into_inner().into_inner(), parts.read_buf)
    }
}

/// The half of a connection that moves bytes.
#[derive(Debug)]
pub(crate) struct Wire(Connection<TokioIo<Metered>, Upload>);

impl Wire {
    /// Moves bytes in both directions. Ready when the connection carries no more HTTP: it broke, was closed, or became
    /// a tunnel.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<hyper::Result<()>> {
        self.0.poll_without_shutdown(cx)
    }
}

/// The idle connections of one thread, by worker.
#[derive(Debug, Default)]
pub(crate) struct Idle {
    slots: Vec<Lane>,
}

#[derive(Debug, Default)]
struct Lane {
    life: u32,
    /// The most recently used last: it is the least likely to be closed.
    #[expect(clippy::vec_box, reason = "a connection is some hundred bytes, and moves with every request")]
    connections: Vec<Box<Upstream>>,
}

impl Idle {
    /// The connection to this worker that was used last.
    pub(crate) fn take(
        &mut self,
        worker: WorkerId,
        now: Instant,
        keep_alive: Duration,
    ) -> Option<Box<Upstream>> {
        let lane = self.slots.get_mut(worker.slot.index()).filter(|lane| lane.life == worker.life)?;
        lane.connections.pop().filter(|idle| now - idle.idle_since < keep_alive)
    }

    /// Keeps a connection for the next request.
    pub(crate) fn put(&mut self, worker: WorkerId, mut connection: Box<Upstream>, now: Instant) {
        let index = worker.slot.index();
        if self.slots.len() <= index {
            self.slots.resize_with(index + 1, Lane::default);
        }
        let lane = &mut self.slots[index];
        if lane.life < worker.life {
            *lane = Lane { life: worker.life, connections: Vec::new() };
        }
        if lane.life == worker.life && lane.connections.len() < MOST_IDLE {
            connection.reused = true;
            connection.idle_since = now;
            lane.connections.push(connection);
        }
    }

    /// Closes what has been idle for longer than workers like.
    pub(crate) fn sweep(&mut self, keep_alive: Duration) {
        let now = Instant::now();
        for lane in &mut self.slots {
            let stale = lane.connections.partition_point(|idle| now - idle.idle_since >= keep_alive);
            lane.connections.drain(..stale);
        }
    }
}

/// Polls without asking to be woken. Outside tokio's budget, which would ask to be polled again in vain.
pub(crate) fn quietly<T>(poll: impl FnMut(&mut Context<'_>) -> Poll<T>) -> Poll<T> {
    pin!(tokio::task::unconstrained(poll_fn(poll))).poll(&mut Context::from_waker(Waker::noop()))
}

/// Idle connections to one worker from one thread: beyond it, a burst's connections are closed again.
const MOST_IDLE: usize = 64;

/// The longest head of an answer; longer ones are broken answers. Also what is read of an answer at once: pieces of 128 KiB
/// cost 15 % more, and of 64 KiB 10 %.
pub(crate) const LONGEST_ANSWER_HEAD: usize = 112 * 1024;
