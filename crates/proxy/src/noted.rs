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
use tokio_util::either::Either;

/// A client's stream that notes when a request begins, and how long its head is.
pub(crate) struct Noted {
    stream: ClientStream,
    /// What was read already, and not asked for yet.
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
                if self.begun.is_empty() {
                    return Pin::new(&mut self.stream).poll_read(cx, buffer);
                }
                self.read_begun(buffer, usize::MAX);
                return Poll::Ready(Ok(()));
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
        let is_tunnel = self.watch.phase() == Phase::Tunnel;
        match &mut self.stream {
            // It is closed next, which says the same. A tunnel may go on the other way.
            Either::Left(plain) if !is_tunnel => plain.poll_sent(cx),
            stream => Pin::new(stream).poll_shutdown(cx),
        }
    }
}

impl Noted {
    /// Reads no more than a head may have, unless a body begins before that; hyper, which asks for more only if the head is
    /// not whole, is told then.
    fn read_head(&mut self, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let room = self.longest_head - self.head;
        if room == 0 {
            return Poll::Ready(Err(HeadTooLong.into()));
        }
        if !self.begun.is_empty() {
            self.head += self.read_begun(buffer, room);
            return Poll::Ready(Ok(()));
        }
        // A body that is here is read with the head: the rest would cost one more read, one more write and a wake-up of the
        // worker. No body begins after what came before.
        let with_body = if self.head == 0 { room + BESIDE_HEAD } else { room };
        let before = buffer.filled().len();
        let (polled, read) = bounded::poll_read(&mut self.stream, cx, buffer, with_body);
        self.head += read.min(room);
        if read > room && !ends_in(&buffer.filled()[before..][..room]) {
            self.begun = Bytes::copy_from_slice(&buffer.filled()[before + room..]);
            buffer.set_filled(before + room);
        }
        polled
    }

    /// Hands on what was read already, and tells how much of it.
    fn read_begun(&mut self, buffer: &mut ReadBuf<'_>, most: usize) -> usize {
        let count = most.min(buffer.remaining()).min(self.begun.len());
        buffer.put_slice(&self.begun.split_to(count));
        count
    }

    /// A client that reads slowly, but reads, is not stalled.
    fn note_progress(&mut self, written: &Poll<io::Result<usize>>) {
        self.watch.note_blocked(written.is_pending());
        if written.is_ready() {
            self.watch.advance(Phase::Download, Phase::Download);
        }
    }
}

/// Whether a head that begins here ends here as well. Not every end is seen: a line may end without a CR (RFC 9112 section
/// 2.2).
fn ends_in(bytes: &[u8]) -> bool {
    let begin = bytes.iter().position(|byte| !matches!(byte, b'\r' | b'\n')).unwrap_or(bytes.len());
    bytes[begin..].windows(END.len()).any(|window| window == END)
}

const END: &[u8] = b"\r\n\r\n";

/// Bytes that there is room for beyond what a head may have. Hyper has no smaller buffer than this.
pub(crate) const BESIDE_HEAD: usize = 8192;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Timeouts;
    use std::error::Error;
    use supervisor::Stream;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::UnixStream;

    const LONGEST: usize = 64 * 1024;
    const ROOM: usize = LONGEST + BESIDE_HEAD;

    /// A stream on which this has come.
    async fn noted(sent: &[u8]) -> (Noted, UnixStream) {
        let (mut client, ours) = UnixStream::pair().expect("sockets");
        client.write_all(sent).await.expect("there is room");
        let watch = Arc::new(Watch::new([Timeouts::default()].into()));
        (Noted::new(Either::Left(Stream::from(ours)), Bytes::new(), watch, LONGEST), client)
    }

    async fn read(noted: &mut Noted) -> io::Result<Vec<u8>> {
        let mut read = Vec::with_capacity(ROOM);
        noted.read_buf(&mut read).await.map(|_| read)
    }

    #[tokio::test]
    async fn a_body_that_came_with_its_head_is_read_at_once() {
        for blank in ["", "\r\n", "\n\r\n"] {
            let sent = [blank, "POST / HTTP/1.1\r\nHost: test\r\n\r\n", &"x".repeat(LONGEST)].concat();
            let (mut noted, _client) = noted(sent.as_bytes()).await;
            assert_eq!(read(&mut noted).await.expect("bytes"), sent.as_bytes(), "{blank:?}");
        }
    }

    #[tokio::test]
    async fn of_a_head_no_more_is_read_than_it_may_have() {
        let sent = ["GET / HTTP/1.1\r\nHost: ", &"x".repeat(ROOM), "\r\n\r\n"].concat();
        let (mut noted, _client) = noted(sent.as_bytes()).await;
        assert_eq!(read(&mut noted).await.expect("bytes"), &sent.as_bytes()[..LONGEST]);
        let error = read(&mut noted).await.expect_err("it is too long");
        assert!(error.get_ref().is_some_and(|error| (error as &dyn Error).is::<HeadTooLong>()), "{error}");
    }

    #[tokio::test]
    async fn what_came_behind_a_head_whose_end_was_not_seen_follows_in_order() {
        let sent = ["POST / HTTP/1.1\nHost: test\n\n", &"xyz".repeat(LONGEST / 2)].concat();
        let (mut noted, _client) = noted(sent.as_bytes()).await;
        let mut all = read(&mut noted).await.expect("bytes");
        assert_eq!(all.len(), LONGEST);
        noted.watch.enter(Phase::Answer);
        while all.len() < sent.len() {
            all.extend(read(&mut noted).await.expect("bytes"));
        }
        assert_eq!(all, sent.as_bytes());
    }
}
