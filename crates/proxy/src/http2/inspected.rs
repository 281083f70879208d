//! A client's stream, with an eye on its frames.
//!
//! The h2 library tells some violations by another code than RFC 9113 asks for (a change that would have mended it was not
//! taken: <https://github.com/hyperium/h2/pull/900>), waits for the rest of what is wrong already, or drops what makes a message
//! malformed. Those are found here, in the bytes on their way to it: it never sees such a frame whole, and the connection ends
//! with the code that is asked for. Violations of one stream end the connection too, as with the library (section 5.4.1 leaves
//! the choice). So do floods of frames that ask for nothing, each of which costs its sender less than its receiver.
//!
//! A client's GOAWAY is kept from it too: it would close a connection without streams at once, and leave a PING that is on
//! its way already without an answer.

mod block;
mod inspector;
mod patience;

use crate::client::ClientStream;
use h2::Reason;
use inspector::{Inspector, Violation};
pub(super) use patience::Pieces;
use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// A client's stream of which nothing is read behind a violation.
pub(super) struct Inspected {
    stream: ClientStream,
    inspector: Inspector,
    finding: Finding,
    pieces: Pieces,
}

/// What was found in a stream, if there is something. Clones tell of the same stream.
#[derive(Clone, Debug, Default)]
pub(super) struct Finding(Arc<Found>);

#[derive(Debug, Default)]
struct Found {
    violation: OnceLock<Reason>,
    goodbye: AtomicBool,
}

impl Finding {
    /// What the connection has to end with.
    pub(super) fn reason(&self) -> Option<Reason> {
        self.0.violation.get().copied()
    }

    /// Whether the client has said that it is about to leave.
    pub(super) fn has_goodbye(&self) -> bool {
        self.0.goodbye.load(Ordering::Relaxed)
    }
}

impl Inspected {
    /// A stream, what is found in it, and where is to be noted which pieces of answers are sent in it.
    pub(super) fn new(stream: ClientStream) -> (Self, Finding, Pieces) {
        let (finding, pieces) = (Finding::default(), Pieces::default());
        let inspected =
            Self { stream, inspector: Inspector::new(), finding: finding.clone(), pieces: pieces.clone() };
        (inspected, finding, pieces)
    }

    fn note_written(&mut self, written: &Poll<io::Result<usize>>) {
        if let Poll::Ready(Ok(bytes)) = written {
            self.inspector.note_written(*bytes);
        }
    }
}

impl AsyncRead for Inspected {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.finding.reason().is_some() {
            // Whoever reads looks at the finding next.
            return Poll::Pending;
        }
        this.inspector.note_pieces(this.pieces.take());
        let before = buffer.filled().len();
        let polled = Pin::new(&mut this.stream).poll_read(cx, buffer);
        let inspected = this.inspector.inspect(&mut buffer.filled_mut()[before..]);
        this.finding.0.goodbye.store(this.inspector.has_goodbye, Ordering::Relaxed);
        if let Err(Violation { sound, reason }) = inspected {
            buffer.set_filled(before + sound);
            // It is set once, because nothing is read after it.
            let _ = this.finding.0.violation.set(reason);
            if sound == 0 {
                // Nothing would be the end of the stream.
                return Poll::Pending;
            }
        }
        polled
    }
}

impl AsyncWrite for Inspected {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.note_written(&polled);
        polled
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.stream).poll_write_vectored(cx, slices);
        self.note_written(&polled);
        polled
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
