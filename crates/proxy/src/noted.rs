//! A client's stream, with an eye on what comes and goes.

use crate::bounded;
use crate::client::ClientStream;
use crate::closing::HeadTooLong;
use crate::watch::{Phase, Watch};
use bytes::Bytes;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// A client's stream that notes when a request begins, and how long its head is.
pub(crate) struct Noted {
    stream: ClientStream,
    /// What was read of the first request already.
    begun: Bytes,
    watch: Arc<Watch>,
    longest_head: usize,
    /// Bytes of the present head.
    head: usize,
}

impl Noted {
    /// A client whose heads may be so long, and which has begun one with these bytes.
    pub(crate) fn new(stream: ClientStream, begun: Bytes, watch: Arc<Watch>, longest_head: usize) -> Self {
        Self { stream, begun, watch, longest_head, head: 0 }
    }

    pub(crate) fn into_inner(self) -> ClientStream {
        self.stream
    }
}

impl AsyncRead for Noted {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.watch.phase() {
            Phase::Idle => self.head = 0,
            Phase::Head => {}
            Phase::Upload | Phase::Queue | Phase::Answer | Phase::Download | Phase::Tunnel => {
                return Pin::new(&mut self.stream).poll_read(cx, buffer);
            }
        }
        let polled = self.read_head(cx, buffer);
        if polled.is_ready() {
            self.watch.advance(Phase::Idle, Phase::Head);
        }
        polled
    }
}

impl AsyncWrite for Noted {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.note_progress(&polled);
        polled
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.stream).poll_write_vectored(cx, slices);
        self.note_progress(&polled);
        polled
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let polled = Pin::new(&mut self.stream).poll_flush(cx);
        // TLS takes more than there is room for.
        self.watch.note_blocked(polled.is_pending());
        polled
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

impl Noted {
    /// Reads no more than a head may have; hyper, which asks for more only if the head is not whole, is told then.
    fn read_head(&mut self, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let room = self.longest_head - self.head;
        if room == 0 {
            return Poll::Ready(Err(HeadTooLong.into()));
        }
        if !self.begun.is_empty() {
            let count = room.min(buffer.remaining()).min(self.begun.len());
            buffer.put_slice(&self.begun.split_to(count));
            self.head += count;
            return Poll::Ready(Ok(()));
        }
        let (polled, read) = bounded::poll_read(Pin::new(&mut self.stream), cx, buffer, room);
        self.head += read;
        polled
    }

    /// A client that reads slowly, but reads, is not stalled.
    fn note_progress(&mut self, written: &Poll<io::Result<usize>>) {
        self.watch.note_blocked(written.is_pending());
        if written.is_ready() {
            self.watch.advance(Phase::Download, Phase::Download);
        }
    }
}
