//! A worker's stream, with three things that hyper leaves open: how much may come before an answer, how much of an answer is
//! read at once, and an answer that is there although the worker takes no more of the request.

use crate::bounded;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::{Context, Poll};
use supervisor::Stream;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// A worker's stream under a meter.
#[derive(Debug)]
pub(crate) struct Metered {
    stream: Stream,
    meter: Arc<Meter>,
}

/// What the request's task knows and says about the stream that hyper holds.
#[derive(Debug)]
pub(crate) struct Meter {
    /// Bytes that may come.
    allowance: AtomicUsize,
    /// Bytes that are read at once.
    mouthful: AtomicUsize,
    /// Whether the worker stopped reading.
    deaf: AtomicBool,
}

impl Meter {
    /// The head of an answer is awaited, and may be so long. Hyper bounds each head, but skips as many informational ones
    /// (1xx) as come.
    pub(crate) fn await_head(&self, longest: usize) {
        self.allowance.store(longest, Ordering::Relaxed);
        self.mouthful.store(UNLIMITED, Ordering::Relaxed);
    }

    /// The rest of the answer is read in pieces of this size, whatever room hyper offers: what is read has to be kept until
    /// its client takes it.
    pub(crate) fn read_in_pieces(&self, bytes: usize) {
        self.mouthful.store(bytes, Ordering::Relaxed);
    }

    /// The head is whole, and the rest as long as it may be.
    pub(crate) fn lift(&self) {
        self.allowance.store(UNLIMITED, Ordering::Relaxed);
    }

    /// Whether the worker sent so much without a head.
    pub(crate) fn is_spent(&self) -> bool {
        self.allowance.load(Ordering::Relaxed) == 0
    }

    /// Whether the worker took less than was sent.
    pub(crate) fn is_deaf(&self) -> bool {
        self.deaf.load(Ordering::Relaxed)
    }

    fn spend(&self, bytes: usize) {
        let left = self.allowance.load(Ordering::Relaxed);
        if left != UNLIMITED {
            self.allowance.store(left.saturating_sub(bytes), Ordering::Relaxed);
        }
    }
}

const UNLIMITED: usize = usize::MAX;

impl Metered {
    pub(crate) fn new(stream: Stream) -> (Self, Arc<Meter>) {
        let meter = Meter {
            allowance: AtomicUsize::new(UNLIMITED),
            mouthful: AtomicUsize::new(UNLIMITED),
            deaf: AtomicBool::new(false),
        };
        let meter = Arc::new(meter);
        (Self { stream, meter: Arc::clone(&meter) }, meter)
    }

    pub(crate) fn into_inner(self) -> Stream {
        self.stream
    }

    /// A worker that refuses an upload answers and closes without reading it all. Hyper would give up at the failed write
    /// and leave the answer unread: so that write, and each one behind it, stands still, and what there is to read decides,
    /// be it only the end.
    fn write<T>(
        &mut self,
        write: impl FnOnce(Pin<&mut Stream>) -> Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        use io::ErrorKind::{BrokenPipe, ConnectionReset};
        if self.meter.is_deaf() {
            return Poll::Pending;
        }
        match write(Pin::new(&mut self.stream)) {
            Poll::Ready(Err(error)) if matches!(error.kind(), BrokenPipe | ConnectionReset) => {
                self.meter.deaf.store(true, Ordering::Relaxed);
                Poll::Pending
            }
            written => written,
        }
    }
}

impl AsyncRead for Metered {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.meter.is_spent() {
            return Poll::Ready(Err(io::ErrorKind::InvalidData.into()));
        }
        let mouthful = self.meter.mouthful.load(Ordering::Relaxed);
        let (polled, read) = bounded::poll_read(&mut self.stream, cx, buffer, mouthful);
        self.meter.spend(read);
        polled
    }
}

impl AsyncWrite for Metered {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.write(|stream| stream.poll_write(cx, bytes))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.write(|stream| stream.poll_write_vectored(cx, slices))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.write(|stream| stream.poll_flush(cx))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
