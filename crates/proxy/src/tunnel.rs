//! After a 101: bytes both ways, untouched, until both sides have ended or nobody spoke for too long.

use crate::closing;
use crate::http2::Handover;
use crate::origin::Origin;
use crate::upstream::Upstream;
use http::Extensions;
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use policy::Outcome;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use supervisor::Lease;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
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

/// Carries a tunnel from its 101 to its end. Nothing of what the client sent goes to the worker before the 101 was passed
/// on.
pub(crate) async fn run(client: ClientEnd, upstream: Box<Upstream>, lease: Lease, idle: Option<Duration>) {
    let carried = match client {
        ClientEnd::Http1(connection, _seated) => match connection.await {
            Ok(client) => carry(TokioIo::new(client), *upstream, idle).await,
            Err(error) => Err(io::Error::other(error)),
        },
        ClientEnd::Http2(stream) => match stream.take().await {
            Some(client) => carry(client, *upstream, idle).await,
            None => Err(io::ErrorKind::ConnectionAborted.into()),
        },
    };
    lease.finish(if carried.is_ok() { Outcome::Completed } else { Outcome::Cancelled });
}

async fn carry(
    client: impl AsyncRead + AsyncWrite,
    upstream: Upstream,
    idle: Option<Duration>,
) -> io::Result<()> {
    let (mut worker, early) = upstream.into_tunnel();
    let carried = carry_both_ways(client, &mut worker, &early, idle).await;
    if carried.is_err() {
        // Neither is it an orderly end to the worker (RFC 8441 section 5).
        closing::reset(&worker)?;
    }
    carried
}

async fn carry_both_ways(
    client: impl AsyncRead + AsyncWrite,
    worker: &mut (impl AsyncRead + AsyncWrite + Unpin),
    early: &[u8],
    idle: Option<Duration>,
) -> io::Result<()> {
    let (mut from_client, mut to_client) = tokio::io::split(client);
    let (mut from_worker, mut to_worker) = tokio::io::split(worker);
    to_client.write_all(early).await?;
    to_client.flush().await?;
    let clock = Clock { began: Instant::now(), last: AtomicU64::new(0) };
    let both = async {
        tokio::try_join!(
            pump(&mut from_client, &mut to_worker, &clock),
            pump(&mut from_worker, &mut to_client, &clock)
        )
    };
    tokio::select! {
        ended = both => ended.map(|_| ()),
        () = clock.silence(idle) => Err(io::ErrorKind::TimedOut.into()),
    }
}

/// Passes on one direction to its end, and then that end: the other direction may go on.
async fn pump(
    from: &mut (impl AsyncRead + Unpin),
    to: &mut (impl AsyncWrite + Unpin),
    clock: &Clock,
) -> io::Result<()> {
    let mut buffer = vec![0; BUFFER];
    loop {
        let read = from.read(&mut buffer).await?;
        if read == 0 {
            return to.shutdown().await;
        }
        clock.tick();
        to.write_all(&buffer[..read]).await?;
        // TLS takes more than its socket has room for, and sends the rest only if it is asked to.
        to.flush().await?;
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
    use tokio::io::{BufWriter, duplex};
    use tokio::time::timeout;

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
            _ = pump(&mut from, &mut to, &clock) => unreachable!("the sender has not ended"),
            told = timeout(Duration::from_secs(1), told) => told,
        };
        assert_eq!(passed, Ok(*b"hello"));
    }
}
