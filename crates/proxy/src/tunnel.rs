//! After a 101: bytes both ways, untouched, until both sides have ended or nobody spoke for too long.

use crate::closing;
use crate::http2::Handover;
use crate::origin::Origin;
use crate::upstream::Upstream;
use bytes::Bytes;
use http::Extensions;
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use policy::Outcome;
use std::future::poll_fn;
use std::io;
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;
use supervisor::Lease;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Instant;

/// The client's end of a tunnel, which is there once the answer that begins it was passed on.
pub(crate) enum ClientEnd {
    /// A whole connection, with its seat: a tunnel is a connection like the one that it was.
    Http1(OnUpgrade, Arc<Origin>),
    /// One stream of a connection.
    Http2(Handover),
}

impl ClientEnd {
    /// What the server that read a request left in it.
    pub(crate) fn take(extensions: &mut Extensions, origin: &Arc<Origin>) -> Option<Self> {
        let connection = extensions.remove::<OnUpgrade>();
        let connection = connection.map(|connection| Self::Http1(connection, Arc::clone(origin)));
        connection.or_else(|| extensions.remove::<Handover>().map(Self::Http2))
    }
}

/// Carries a tunnel from its 101 to its end, or until its time is spent. Nothing of what the client sent goes to the worker
/// before the 101 was passed on.
pub(crate) async fn run(
    client: ClientEnd,
    upstream: Box<Upstream>,
    lease: Lease,
    idle: Option<Duration>,
    spent: impl Future<Output = ()>,
) {
    let carried = async {
        match client {
            ClientEnd::Http1(connection, _seated) => match connection.await {
                Ok(client) => carry(TokioIo::new(client), *upstream, idle).await,
                Err(error) => Err(io::Error::other(error)),
            },
            ClientEnd::Http2(stream) => match stream.take().await {
                Some(client) => carry(client, *upstream, idle).await,
                None => Err(io::ErrorKind::ConnectionAborted.into()),
            },
        }
    };
    let carried = tokio::select! {
        carried = carried => carried,
        () = spent => Err(io::ErrorKind::TimedOut.into()),
    };
    lease.finish(if carried.is_ok() { Outcome::Completed } else { Outcome::Cancelled });
}

async fn carry(
    client: impl AsyncRead + AsyncWrite,
    upstream: Upstream,
    idle: Option<Duration>,
) -> io::Result<()> {
    let (mut worker, early) = upstream.into_tunnel();
    let carried = carry_both_ways(client, &mut worker, early, idle).await;
    if carried.is_err() {
        // Neither is it an orderly end to the worker (RFC 8441 section 5).
        closing::reset(&worker)?;
    }
    carried
}

async fn carry_both_ways(
    client: impl AsyncRead + AsyncWrite,
    worker: &mut (impl AsyncRead + AsyncWrite + Unpin),
    early: Bytes,
    idle: Option<Duration>,
) -> io::Result<()> {
    let (mut from_client, mut to_client) = tokio::io::split(client);
    let (mut from_worker, mut to_worker) = tokio::io::split(worker);
    let clock = Clock { began: Instant::now(), last: AtomicU64::new(0) };
    let upward = async {
        match pump(Flow::Reading, &mut from_client, &mut to_worker, &clock).await {
            // A worker that has closed takes nothing more, but what it said before is still on its way; how that ends,
            // the other direction knows.
            Ok(()) | Err(Broken::Sink(_)) => Ok(()),
            Err(Broken::Source(error)) => Err(error),
        }
    };
    let downward = async {
        match pump(Flow::behind(early), &mut from_worker, &mut to_client, &clock).await {
            Ok(()) => Ok(()),
            Err(Broken::Sink(error) | Broken::Source(error)) => Err(error),
        }
    };
    let both = async { tokio::try_join!(upward, downward) };
    tokio::select! {
        ended = both => ended.map(|_| ()),
        () = clock.silence(idle) => Err(io::ErrorKind::TimedOut.into()),
    }
}

/// Passes on one direction to its end, and then that end: the other direction may go on.
async fn pump(
    mut flow: Flow,
    from: &mut (impl AsyncRead + Unpin),
    to: &mut (impl AsyncWrite + Unpin),
    clock: &Clock,
) -> Result<(), Broken> {
    poll_fn(|cx| flow.poll(cx, from, to, clock)).await
}

/// How far one direction is. Of what is read nothing is kept but what the other side has no room for: most tunnels are silent
/// most of the time, and a buffer for each direction would be nearly all that they cost.
enum Flow {
    Reading,
    Writing(Vec<u8>),
    /// TLS takes more than its socket has room for, and sends the rest only if it is asked to.
    Flushing,
    Ending,
}

impl Flow {
    /// A direction in which this was read already.
    fn behind(early: Bytes) -> Self {
        // Even an empty one holds the buffer that the answer's head was read into.
        if early.is_empty() { Self::Reading } else { Self::Writing(early.into()) }
    }

    fn poll(
        &mut self,
        cx: &mut Context<'_>,
        from: &mut (impl AsyncRead + Unpin),
        to: &mut (impl AsyncWrite + Unpin),
        clock: &Clock,
    ) -> Poll<Result<(), Broken>> {
        loop {
            *self = match self {
                Self::Reading => {
                    let mut space = [MaybeUninit::uninit(); BUFFER];
                    let mut buffer = ReadBuf::uninit(&mut space);
                    if Pin::new(&mut *from).poll_read(cx, &mut buffer).map_err(Broken::Source)?.is_pending() {
                        // What was taken may have turned out to be in vain.
                        ready!(Pin::new(&mut *to).poll_flush(cx)).map_err(Broken::Sink)?;
                        return Poll::Pending;
                    }
                    if buffer.filled().is_empty() {
                        Self::Ending
                    } else {
                        clock.tick();
                        match Pin::new(&mut *to).poll_write(cx, buffer.filled()) {
                            Poll::Ready(written) => {
                                match buffer.filled().split_at(written.map_err(Broken::Sink)?) {
                                    ([], _) => return Poll::Ready(Err(Broken::full())),
                                    (_, []) => Self::Flushing,
                                    (_, rest) => Self::Writing(rest.to_vec()),
                                }
                            }
                            Poll::Pending => Self::Writing(buffer.filled().to_vec()),
                        }
                    }
                }
                Self::Writing(rest) => {
                    match ready!(Pin::new(&mut *to).poll_write(cx, rest)).map_err(Broken::Sink)? {
                        0 => return Poll::Ready(Err(Broken::full())),
                        all if all == rest.len() => Self::Flushing,
                        some => Self::Writing(rest.split_off(some)),
                    }
                }
                Self::Flushing => {
                    ready!(Pin::new(&mut *to).poll_flush(cx)).map_err(Broken::Sink)?;
                    Self::Reading
                }
                Self::Ending => return Pin::new(&mut *to).poll_shutdown(cx).map_err(Broken::Sink),
            }
        }
    }
}

/// Which end of a direction failed.
enum Broken {
    /// Nothing more can be read.
    Source(io::Error),
    /// Nothing more can be written.
    Sink(io::Error),
}

impl Broken {
    /// Of a sink that takes no byte.
    fn full() -> Self {
        Self::Sink(io::ErrorKind::WriteZero.into())
    }
}

/// When the last byte went by.
struct Clock {
    began: Instant,
    last: AtomicU64,
}

impl Clock {
    fn tick(&self) {
        let elapsed = u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.last.store(elapsed, Ordering::Relaxed);
    }

    /// Resolves when no byte went by for `idle`.
    async fn silence(&self, idle: Option<Duration>) {
        let Some(idle) = idle else { return std::future::pending().await };
        loop {
            let deadline = self.began + Duration::from_millis(self.last.load(Ordering::Relaxed)) + idle;
            if Instant::now() >= deadline {
                return;
            }
            tokio::time::sleep_until(deadline).await;
        }
    }
}

const BUFFER: usize = 8 * 1024;

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt, BufWriter, duplex};
    use tokio::time::timeout;

    #[tokio::test]
    async fn every_byte_passes_whatever_room_there_is() {
        let (mut sender, mut from) = duplex(BUFFER);
        let (mut to, mut receiver) = duplex(7);
        let sent: Vec<u8> = (0..100_000_u32).map(|number| number as u8).collect();
        let clock = Clock { began: Instant::now(), last: AtomicU64::new(0) };
        let send = async {
            sender.write_all(&sent).await.expect("it is read");
            drop(sender);
        };
        let mut told = Vec::new();
        let ((), pumped, read) = tokio::join!(
            send,
            pump(Flow::Reading, &mut from, &mut to, &clock),
            receiver.read_to_end(&mut told)
        );
        assert!(pumped.is_ok() && read.is_ok());
        assert!(told == sent);
    }

    #[tokio::test(start_paused = true)]
    async fn what_came_with_the_101_waits_no_longer_for_its_reader_than_what_comes_later() {
        let (_reads_nothing, client) = duplex(4);
        let (mut worker, _says_nothing) = duplex(4);
        let early = Bytes::from_static(b"more than four bytes");
        let idle = Duration::from_secs(1);
        let carried = timeout(2 * idle, carry_both_ways(client, &mut worker, early, Some(idle)));
        let error = carried.await.expect("it ends in time").expect_err("it was cut");
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    }

    #[tokio::test(start_paused = true)]
    async fn nothing_waits_in_a_buffer_for_more_to_come() {
        let (mut sender, mut from) = duplex(BUFFER);
        let (to, mut receiver) = duplex(BUFFER);
        // As a TLS stream does whose socket was full.
        let mut to = BufWriter::new(to);
        let clock = Clock { began: Instant::now(), last: AtomicU64::new(0) };
        let told = async {
            sender.write_all(b"hello").await.expect("there is room");
            let mut told = [0; 5];
            receiver.read_exact(&mut told).await.expect("it comes");
            told
        };
        let passed = tokio::select! {
            _ = pump(Flow::Reading, &mut from, &mut to, &clock) => unreachable!("the sender has not ended"),
            told = timeout(Duration::from_secs(1), told) => told,
        };
        assert_eq!(passed, Ok(*b"hello"));
    }
}
