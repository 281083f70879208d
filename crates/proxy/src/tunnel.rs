//! After a 101: bytes both ways, untouched, until both sides have ended or nobody spoke for too long.

use crate::origin::Origin;
use crate::upstream::Upstream;
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

/// A client that asked to change protocols.
pub(crate) struct Client {
    pub(crate) upgrade: OnUpgrade,
    /// With its seat: a tunnel is a connection like the one that it was.
    pub(crate) origin: Arc<Origin>,
}

/// Carries a tunnel from its 101 to its end. Nothing of what the client sent goes to the worker before the 101 was passed
/// on.
pub(crate) async fn run(client: Client, upstream: Box<Upstream>, lease: Lease, idle: Option<Duration>) {
    let Client { upgrade, origin: _origin } = client;
    let outcome = match upgrade.await {
        Ok(client) => {
            let (worker, early) = upstream.into_tunnel();
            match carry(TokioIo::new(client), worker, &early, idle).await {
                Ok(()) => Outcome::Completed,
                Err(_) => Outcome::Cancelled,
            }
        }
        Err(_) => Outcome::Cancelled,
    };
    lease.finish(outcome);
}

async fn carry(
    client: impl AsyncRead + AsyncWrite,
    worker: impl AsyncRead + AsyncWrite,
    early: &[u8],
    idle: Option<Duration>,
) -> io::Result<()> {
    let (mut from_client, mut to_client) = tokio::io::split(client);
    let (mut from_worker, mut to_worker) = tokio::io::split(worker);
    to_client.write_all(early).await?;
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
