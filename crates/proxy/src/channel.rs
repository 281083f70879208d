//! HTTP/2 connections to workers ("channels"), each shared by many requests.
//!
//! A channel has a task of its own, because no request outlives the others that share it. Requests go to the first channel
//! of their worker that has room; another is opened when there is none, so that nobody waits for a stream. A channel on
//! which an upload stands still, because the app does not read it, has no room: the window that it fills is that of all.
//!
//! One channel a worker would do for most; a connection a request, as in HTTP/1.1, would cost each call of gRPC a
//! handshake or an idle connection of its own, and tell nothing more: probes do not go by channels.

use crate::meter::Metered;
use bytes::Bytes;
use h2::SendStream;
use h2::client::{Builder, ResponseFuture, SendRequest};
use http::Request;
use policy::WorkerId;
use std::io;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;
use supervisor::Lease;
use tokio::task::JoinSet;
use tokio::time::Instant;

/// The channels of one thread, by worker.
#[derive(Debug, Default)]
pub(crate) struct Channels {
    slots: Vec<Lane>,
    drivers: JoinSet<()>,
}

#[derive(Debug, Default)]
struct Lane {
    life: u32,
    channels: Vec<Channel>,
    /// Held while one is opened: who comes meanwhile shares it.
    opening: Arc<tokio::sync::Mutex<()>>,
}

/// A connection that is open.
#[derive(Debug)]
struct Channel {
    sender: SendRequest<Bytes>,
    load: Arc<Load>,
}

/// What is on a channel.
#[derive(Debug)]
struct Load {
    /// Requests that are open.
    open: AtomicUsize,
    /// Those whose upload the worker does not take.
    jammed: AtomicUsize,
    /// Whether there was one before.
    used: AtomicBool,
    free_since: Mutex<Instant>,
}

impl Load {
    fn enter(self: &Arc<Self>) -> (Share, History) {
        let (open, used) =
            (self.open.fetch_add(1, Ordering::Relaxed), self.used.swap(true, Ordering::Relaxed));
        let history = match (open, used) {
            (_, false) => History::Fresh,
            (0, true) => History::Idle,
            (_, true) => History::Busy,
        };
        (Share(Arc::clone(self)), history)
    }
}

/// What a channel was when a request came to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum History {
    /// It was opened for this one.
    Fresh,
    /// It lay idle between requests: its worker may have closed it.
    Idle,
    /// It carried others.
    Busy,
}

/// One open request of a channel.
#[derive(Debug)]
pub(crate) struct Share(Arc<Load>);

impl Share {
    /// Its upload stands still for as long as the guard lives.
    pub(crate) fn jam(&self) -> Jam {
        self.0.jammed.fetch_add(1, Ordering::Relaxed);
        Jam(Arc::clone(&self.0))
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        *self.0.free_since.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
        self.0.open.fetch_sub(1, Ordering::Relaxed);
    }
}

/// An upload that the worker does not take.
#[derive(Debug)]
pub(crate) struct Jam(Arc<Load>);

impl Drop for Jam {
    fn drop(&mut self) {
        self.0.jammed.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A request's berth on a channel.
#[derive(Debug)]
pub(crate) struct Berth {
    sender: SendRequest<Bytes>,
    pub(crate) share: Share,
    pub(crate) history: History,
}

impl Berth {
    /// Sends a head.
    ///
    /// # Errors
    /// When the channel takes no more requests: nothing was sent.
    pub(crate) fn send(
        mut self,
        head: Request<()>,
        is_whole: bool,
    ) -> Result<(ResponseFuture, SendStream<Bytes>, Share), h2::Error> {
        let (answer, stream) = self.sender.send_request(head, is_whole)?;
        Ok((answer, stream, self.share))
    }
}

impl Channels {
    /// A berth on an open channel to this worker.
    pub(crate) fn find(&mut self, worker: WorkerId, keep_alive: Duration) -> Option<Berth> {
        let lane = self.slots.get_mut(worker.slot.index()).filter(|lane| lane.life == worker.life)?;
        lane.sweep(Instant::now(), keep_alive);
        lane.channels.iter().find(|channel| channel.has_room()).map(Channel::berth)
    }

    /// To be held by who opens a channel.
    pub(crate) fn opening(&mut self, worker: WorkerId) -> Arc<tokio::sync::Mutex<()>> {
        Arc::clone(&self.lane(worker).opening)
    }

    /// Takes a connection in, and drives it to its end.
    pub(crate) fn add(&mut self, worker: WorkerId, (sender, connection): Opened) -> Berth {
        self.drivers.spawn(async move {
            // How it ends, its requests are told.
            let _ = connection.await;
        });
        let load = Load {
            open: AtomicUsize::new(0),
            jammed: AtomicUsize::new(0),
            used: AtomicBool::new(false),
            free_since: Mutex::new(Instant::now()),
        };
        let channel = Channel { sender, load: Arc::new(load) };
        let berth = channel.berth();
        let lane = self.lane(worker);
        // A lease of an earlier life may still be on its way.
        if lane.life == worker.life {
            lane.channels.push(channel);
        }
        berth
    }

    /// Closes what has been idle for longer than workers like, and forgets what has ended.
    pub(crate) fn sweep(&mut self, keep_alive: Duration) {
        let now = Instant::now();
        for lane in &mut self.slots {
            lane.sweep(now, keep_alive);
        }
        while self.drivers.try_join_next().is_some() {}
    }

    fn lane(&mut self, worker: WorkerId) -> &mut Lane {
        let index = worker.slot.index();
        if self.slots.len() <= index {
            self.slots.resize_with(index + 1, Lane::default);
        }
        let lane = &mut self.slots[index];
        if lane.life < worker.life {
            *lane = Lane { life: worker.life, ..Lane::default() };
        }
        lane
    }
}

impl Lane {
    fn sweep(&mut self, now: Instant, keep_alive: Duration) {
        self.channels.retain_mut(|channel| channel.is_open() && !channel.is_stale(now, keep_alive));
    }
}

impl Channel {
    fn is_open(&mut self) -> bool {
        // It says only whether it has ended, or was told to end.
        let polled = self.sender.poll_ready(&mut Context::from_waker(Waker::noop()));
        !matches!(polled, Poll::Ready(Err(_)))
    }

    fn has_room(&self) -> bool {
        let most = self.sender.current_max_send_streams().min(MOST_STREAMS as usize);
        self.load.open.load(Ordering::Relaxed) < most && self.load.jammed.load(Ordering::Relaxed) == 0
    }

    fn is_stale(&self, now: Instant, keep_alive: Duration) -> bool {
        let free_since = *self.load.free_since.lock().unwrap_or_else(PoisonError::into_inner);
        self.load.open.load(Ordering::Relaxed) == 0 && now - free_since >= keep_alive
    }

    fn berth(&self) -> Berth {
        let (share, history) = self.load.enter();
        Berth { sender: self.sender.clone(), share, history }
    }
}

/// A connection that nobody drives yet.
pub(crate) type Opened = (SendRequest<Bytes>, h2::client::Connection<Metered, Bytes>);

/// Opens a connection.
///
/// # Errors
/// What connect(2) reports.
pub(crate) async fn open(lease: &Lease) -> io::Result<Opened> {
    // A worker may say goodbye and close while a request is being written: what it said is read all the same.
    let (stream, _) = Metered::new(lease.connect().await?);
    let opened = Builder::new()
        .enable_push(false)
        .initial_window_size(STREAM_WINDOW)
        // All answers together: one that its client does not take holds up no other.
        .initial_connection_window_size(STREAM_WINDOW * MOST_STREAMS)
        .max_header_list_size(LONGEST_ANSWER_HEAD)
        .max_send_buffer_size(SEND_BUFFER)
        // What the worker had sent already of requests that were given up is no error of its own, however much it is.
        .max_concurrent_reset_streams(MOST_GIVEN_UP)
        .max_local_error_reset_streams(None)
        .data_frame_budget(TINY_FRAMES)
        .handshake(stream)
        .await;
    opened.map_err(io::Error::other)
}

/// Requests of one channel at once, if its worker lets it have so many.
const MOST_STREAMS: u32 = 100;

/// Bytes of one answer that are read before its client takes them.
const STREAM_WINDOW: u32 = 64 * 1024;

/// Bytes of one request that wait for their turn on the connection.
const SEND_BUFFER: usize = 64 * 1024;

/// The longest head of an answer; longer ones are broken answers.
const LONGEST_ANSWER_HEAD: u32 = 128 * 1024;

/// Requests that were given up, and whose late answers are known as such.
const MOST_GIVEN_UP: usize = 1024;

/// What frames below 256 bytes may lack of that while nobody takes them: a stream of small messages is in order, and one
/// byte a frame, as far as the windows reach, is not.
const TINY_FRAMES: usize = 64 << 20;
