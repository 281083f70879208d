//! A stream as the client's end of a tunnel (RFC 8441 section 5).

use super::outflow::Outflow;
use bytes::{Buf, Bytes};
use h2::RecvStream;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::oneshot;

/// The bytes of one stream. Its `END_STREAM` is their orderly end, as FIN is that of a connection; a reset is an error,
/// and whoever drops this before its end resets the stream (CANCEL).
pub(crate) struct StreamEnd {
    outflow: Outflow,
    receive: RecvStream,
    /// Received, and not read yet.
    ahead: Bytes,
    /// Dropped with the rest, which tells the request's task.
    _open: oneshot::Sender<()>,
}

impl StreamEnd {
    fn new(outflow: Outflow, receive: RecvStream) -> (Self, oneshot::Receiver<()>) {
        let (open, closed) = oneshot::channel();
        (Self { outflow, receive, ahead: Bytes::new(), _open: open }, closed)
    }
}

impl AsyncRead for StreamEnd {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        while self.ahead.is_empty() {
            match ready!(self.receive.poll_data(cx)) {
                Some(Ok(bytes)) => self.ahead = bytes,
                Some(Err(error)) => return Poll::Ready(Err(reset(error))),
                None => return Poll::Ready(Ok(())),
            }
        }
        let count = self.ahead.len().min(buffer.remaining());
        buffer.put_slice(&self.ahead[..count]);
        self.ahead.advance(count);
        // It fails only if there was less.
        let _ = self.receive.flow_control().release_capacity(count);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for StreamEnd {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let room = ready!(self.outflow.poll_room(cx, bytes.len())).map_err(reset)?;
        let count = room.bytes();
        self.outflow.send(Bytes::copy_from_slice(&bytes[..count]), room).map_err(reset)?;
        Poll::Ready(Ok(count))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        // The connection's task writes what it has.
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(self.outflow.end().map_err(reset))
    }
}

fn reset(error: h2::Error) -> io::Error {
    io::Error::new(io::ErrorKind::ConnectionReset, error)
}

/// Where a stream is left for the tunnel that it may become. Clones are the same place.
#[derive(Clone)]
pub(crate) struct Handover(Arc<Mutex<Option<oneshot::Receiver<StreamEnd>>>>);

/// Who leaves it there.
pub(super) struct Pledge(oneshot::Sender<StreamEnd>);

impl Handover {
    pub(super) fn new() -> (Pledge, Self) {
        let (sender, receiver) = oneshot::channel();
        (Pledge(sender), Self(Arc::new(Mutex::new(Some(receiver)))))
    }

    /// Waits for the stream. Nothing if it ends before, or somebody else has it.
    pub(crate) async fn take(self) -> Option<StreamEnd> {
        let receiver = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        receiver?.await.ok()
    }
}

impl Pledge {
    /// Leaves the stream to the tunnel, and waits for that one's end.
    pub(super) async fn fulfil(self, outflow: Outflow, receive: RecvStream) {
        let (end, closed) = StreamEnd::new(outflow, receive);
        if self.0.send(end).is_ok() {
            // It is never sent anything, but dropped.
            let _ = closed.await;
        }
    }
}
