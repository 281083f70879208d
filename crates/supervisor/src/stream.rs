//! An open connection, to a worker or to a client.

use crate::outbox::Outbox;
use rustix::net::{Shutdown, shutdown};
use std::future::poll_fn;
use std::io::{self, ErrorKind, IoSlice};
use std::mem;
use std::os::fd::{AsFd, BorrowedFd};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker, ready};
use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf};
use tokio::net::{TcpStream, UnixStream};

/// An open connection. Small writes are sent at the end of the event loop's round where somebody [delivers](crate::deliver)
/// them, and then they are done as soon as they are taken, as in a stream with a buffer: what becomes of them is told by the
/// next write, flush or shutdown. That the kernel has everything is promised by [`poll_sent`](Self::poll_sent) and a shutdown
/// alone. A stream stays on the thread where it was first written to or read.
#[derive(Debug)]
pub struct Stream {
    socket: Arc<Socket>,
    /// The round of the last small write.
    posted: u64,
}

/// What a stream shares with those that send its small writes.
#[derive(Debug)]
pub(crate) struct Socket {
    io: Io,
    /// Whether `left` has something: asked at each write, without the lock.
    has_left: AtomicBool,
    left: Mutex<Left>,
}

#[derive(Debug)]
enum Io {
    Unix(UnixStream),
    Tcp(TcpStream),
}

/// What became of small writes that the kernel did not take.
#[derive(Debug, Default)]
enum Left {
    #[default]
    Nothing,
    Bytes(Vec<u8>),
    /// Nor will it take anything else.
    Vain(io::Error),
}

impl From<UnixStream> for Stream {
    fn from(stream: UnixStream) -> Self {
        Self::new(Io::Unix(stream))
    }
}

impl From<TcpStream> for Stream {
    fn from(stream: TcpStream) -> Self {
        Self::new(Io::Tcp(stream))
    }
}

impl AsFd for Stream {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.io.as_fd()
    }
}

impl Stream {
    fn new(io: Io) -> Self {
        let socket = Socket { io, has_left: AtomicBool::new(false), left: Mutex::default() };
        Self { socket: Arc::new(socket), posted: 0 }
    }

    /// The socket, if it is one of TCP.
    pub fn tcp(&self) -> Option<&TcpStream> {
        match &self.socket.io {
            Io::Tcp(stream) => Some(stream),
            Io::Unix(_) => None,
        }
    }

    /// Resolves once there seems to be something to read, if only an end or an error. Of several tasks, the last one that asks
    /// is told: that needs less room than a place among many, and very many connections rest here.
    ///
    /// # Errors
    /// When the runtime shuts down.
    pub async fn readable(&self) -> io::Result<()> {
        poll_fn(|cx| self.socket.io.poll_read_ready(cx)).await
    }

    /// Calls this whenever there may be something to read, until it would block no more.
    ///
    /// # Errors
    /// What the call reports.
    pub async fn when_readable<T>(&self, call: impl FnMut() -> io::Result<T>) -> io::Result<T> {
        match &self.socket.io {
            Io::Unix(stream) => stream.async_io(Interest::READABLE, call).await,
            Io::Tcp(stream) => stream.async_io(Interest::READABLE, call).await,
        }
    }

    /// Ready once the kernel has everything that was written.
    ///
    /// # Errors
    /// What became of it.
    pub fn poll_sent(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if Outbox::follow(self.posted, &self.socket, cx) {
            Outbox::end();
        }
        self.socket.poll_left(cx)
    }

    fn poll_write_slices(&mut self, cx: &mut Context<'_>, slices: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        let length = slices.iter().map(|slice| slice.len()).sum();
        if length > SMALL {
            // What others wrote need not wait for it, nor may what this one did come behind it.
            Outbox::end();
            ready!(self.socket.poll_left(cx))?;
            return self.socket.poll_write(cx, slices);
        }
        ready!(self.socket.poll_left(cx))?;
        if let Some(round) = Outbox::post(&self.socket, slices, cx) {
            self.posted = round;
            return Poll::Ready(Ok(length));
        }
        self.socket.poll_write(cx, slices)
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.socket.io.poll_read(cx, buffer)
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.get_mut().poll_write_slices(cx, &[IoSlice::new(bytes)])
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.get_mut().poll_write_slices(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let is_on_its_way = Outbox::follow(self.posted, &self.socket, cx);
        if is_on_its_way { Poll::Ready(Ok(())) } else { self.socket.poll_left(cx) }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        ready!(this.poll_sent(cx))?;
        Poll::Ready(Ok(shutdown(this.as_fd(), Shutdown::Write)?))
    }
}

impl Socket {
    /// Sends small writes, or keeps what the kernel does not take for the task that wrote them.
    pub(crate) fn deliver(&self, bytes: &[u8], sender: &Waker) {
        let left = if self.has_left.load(Ordering::Relaxed) {
            Ok(bytes)
        } else {
            match self.io.try_write(bytes) {
                Ok(count) if count == bytes.len() => return,
                Ok(count) => Ok(&bytes[count..]),
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {
                    Ok(bytes)
                }
                Err(error) => Err(error),
            }
        };
        let mut place = self.left();
        match (&mut *place, left) {
            (Left::Vain(_), _) => {}
            (Left::Bytes(before), Ok(bytes)) => before.extend_from_slice(bytes),
            (Left::Nothing, Ok(bytes)) => *place = Left::Bytes(bytes.to_vec()),
            (Left::Nothing | Left::Bytes(_), Err(error)) => *place = Left::Vain(error),
        }
        drop(place);
        self.has_left.store(true, Ordering::Relaxed);
        sender.wake_by_ref();
    }

    /// Sends what is left of small writes, or tells why that is in vain.
    fn poll_left(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.has_left.load(Ordering::Relaxed) {
            return Poll::Ready(Ok(()));
        }
        let left = mem::take(&mut *self.left());
        let sent = match left {
            Left::Nothing => Ok(()),
            Left::Vain(error) => Err(error),
            Left::Bytes(bytes) => {
                let mut rest = bytes.as_slice();
                loop {
                    if rest.is_empty() {
                        break Ok(());
                    }
                    match self.poll_write(cx, &[IoSlice::new(rest)]) {
                        Poll::Ready(Ok(0)) => break Err(ErrorKind::WriteZero.into()),
                        Poll::Ready(Ok(count)) => rest = &rest[count..],
                        Poll::Ready(Err(error)) => break Err(error),
                        Poll::Pending => {
                            *self.left() = Left::Bytes(rest.to_vec());
                            return Poll::Pending;
                        }
                    }
                }
            }
        };
        self.has_left.store(false, Ordering::Relaxed);
        Poll::Ready(sent)
    }

    fn poll_write(&self, cx: &mut Context<'_>, slices: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        let length = slices.iter().map(|slice| slice.len()).sum();
        loop {
            ready!(self.io.poll_write_ready(cx))?;
            match self.io.try_write_vectored(slices) {
                Ok(count) => {
                    if 0 < count && count < length {
                        self.io.forget(Interest::WRITABLE);
                    }
                    return Poll::Ready(Ok(count));
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
    }

    fn left(&self) -> MutexGuard<'_, Left> {
        self.left.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Io {
    fn poll_read(&self, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        loop {
            ready!(self.poll_read_ready(cx))?;
            let room = buffer.remaining();
            match self.try_read(buffer) {
                Ok(count) => {
                    if 0 < count && count < room {
                        self.forget(Interest::READABLE);
                    }
                    return Poll::Ready(Ok(()));
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
    }

    /// Less than was asked for was read or written, so there is no more now: to ask for it would be a system call in vain
    /// (epoll(7), of edge-triggered sockets). This is how tokio is told, on the thread that alone hears of the next edge.
    fn forget(&self, readiness: Interest) {
        let would_block = || Err(ErrorKind::WouldBlock.into());
        let _: io::Result<()> = match self {
            Self::Unix(stream) => stream.try_io(readiness, would_block),
            Self::Tcp(stream) => stream.try_io(readiness, would_block),
        };
    }

    fn poll_read_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Unix(stream) => stream.poll_read_ready(cx),
            Self::Tcp(stream) => stream.poll_read_ready(cx),
        }
    }

    fn poll_write_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Unix(stream) => stream.poll_write_ready(cx),
            Self::Tcp(stream) => stream.poll_write_ready(cx),
        }
    }

    fn try_read(&self, mut buffer: &mut ReadBuf<'_>) -> io::Result<usize> {
        match self {
            Self::Unix(stream) => stream.try_read_buf(&mut buffer),
            Self::Tcp(stream) => stream.try_read_buf(&mut buffer),
        }
    }

    fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Unix(stream) => stream.try_write(bytes),
            Self::Tcp(stream) => stream.try_write(bytes),
        }
    }

    /// One slice alone is written as such, which costs the kernel less.
    fn try_write_vectored(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        match (self, slices) {
            (_, [only]) => self.try_write(only),
            (Self::Unix(stream), _) => stream.try_write_vectored(slices),
            (Self::Tcp(stream), _) => stream.try_write_vectored(slices),
        }
    }

    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Unix(stream) => stream.as_fd(),
            Self::Tcp(stream) => stream.as_fd(),
        }
    }
}

/// Bytes of a small write: a head, or an answer of an API.
const SMALL: usize = 4096;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::deliver;
    use std::cell::Cell;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::sync::oneshot;
    use tokio::task::yield_now;

    /// A stream whose small writes are delivered, and its other end.
    async fn delivered() -> (Stream, UnixStream) {
        tokio::spawn(deliver());
        yield_now().await;
        let (ours, other) = UnixStream::pair().expect("sockets");
        (ours.into(), other)
    }

    fn has_come(other: &UnixStream) -> bool {
        let mut byte = [0];
        rustix::net::recv(other, &mut byte[..], rustix::net::RecvFlags::PEEK)
            .is_ok_and(|(count, _)| count > 0)
    }

    #[tokio::test]
    async fn a_small_write_is_sent_at_the_end_of_the_round() {
        let (mut stream, other) = delivered().await;
        stream.write_all(b"small").await.expect("it is taken");
        stream.flush().await.expect("it is on its way");
        assert!(!has_come(&other));
        yield_now().await;
        assert!(has_come(&other));
    }

    #[tokio::test]
    async fn without_anybody_who_delivers_it_is_sent_at_once() {
        let (ours, other) = UnixStream::pair().expect("sockets");
        Stream::from(ours).write_all(b"small").await.expect("there is room");
        assert!(has_come(&other));
        let task = tokio::spawn(deliver());
        yield_now().await;
        task.abort();
        assert!(task.await.is_err_and(|error| error.is_cancelled()));
        let (ours, other) = UnixStream::pair().expect("sockets");
        Stream::from(ours).write_all(b"small").await.expect("there is room");
        assert!(has_come(&other));
    }

    #[tokio::test]
    async fn a_large_write_an_end_and_a_drop_let_nothing_behind() {
        let (mut stream, mut other) = delivered().await;
        let large = vec![b'x'; 2 * SMALL];
        stream.write_all(b"small").await.expect("it is taken");
        stream.write_all(&large).await.expect("there is room");
        stream.write_all(b"end").await.expect("it is taken");
        stream.shutdown().await.expect("it is open");
        let mut all = Vec::new();
        other.read_to_end(&mut all).await.expect("an end");
        assert!(all == [b"small", large.as_slice(), b"end"].concat());

        let (mut stream, mut other) = delivered().await;
        stream.write_all(b"last words").await.expect("it is taken");
        drop(stream);
        all.clear();
        other.read_to_end(&mut all).await.expect("an end");
        assert_eq!(all, b"last words");
    }

    #[tokio::test]
    async fn a_reader_that_does_not_read_holds_its_writer_up_and_loses_nothing() {
        const COUNT: u32 = 3000;
        let (mut stream, mut other) = delivered().await;
        let written = Cell::new(0);
        let write = async {
            for number in 0..COUNT {
                let piece = [number; 256].map(u32::to_be_bytes).concat();
                stream.write_all(&piece).await.expect("there is room at last");
                written.set(number);
            }
            stream.shutdown().await.expect("it is open");
        };
        let read = async {
            for _ in 0..100 {
                yield_now().await;
            }
            assert!(written.get() < COUNT / 2, "{}", written.get());
            let mut all = Vec::new();
            other.read_to_end(&mut all).await.expect("an end");
            all
        };
        let ((), all) = tokio::join!(write, read);
        let expected = (0..COUNT).flat_map(|number| [number; 256].map(u32::to_be_bytes).concat());
        assert!(all == expected.collect::<Vec<_>>());
    }

    #[tokio::test]
    async fn what_became_of_a_small_write_is_told_by_the_next_flush() {
        let (mut stream, other) = delivered().await;
        drop(other);
        stream.write_all(b"small").await.expect("it is taken");
        yield_now().await;
        let error = stream.flush().await.expect_err("nobody is there");
        assert_eq!(error.kind(), ErrorKind::BrokenPipe);
        stream.flush().await.expect("it was told");
    }

    #[tokio::test]
    async fn a_large_write_of_anybodys_ends_the_round() {
        let (mut stream, other) = delivered().await;
        stream.write_all(b"small").await.expect("it is taken");
        let (ours, _reader) = UnixStream::pair().expect("sockets");
        Stream::from(ours).write_all(&[0; 2 * SMALL]).await.expect("there is room");
        assert!(has_come(&other));
    }

    /// A stream whose socket has no room, and how much is in it.
    async fn full() -> (Stream, UnixStream, usize) {
        let (stream, other) = delivered().await;
        poll_fn(|cx| stream.socket.io.poll_write_ready(cx)).await.expect("it is open");
        let mut bytes = 0;
        while let Ok(count) = stream.socket.io.try_write(&[0; SMALL]) {
            bytes += count;
        }
        (stream, other, bytes)
    }

    #[tokio::test]
    async fn little_waits_for_a_socket_without_room() {
        let (mut stream, _other, _) = full().await;
        let mut taken = 0;
        while poll_fn(|cx| Poll::Ready(Pin::new(&mut stream).poll_write(cx, &[0; SMALL]).is_ready())).await {
            taken += SMALL;
        }
        assert!((1..=6 * SMALL).contains(&taken), "{taken}");
    }

    #[tokio::test]
    async fn who_flushes_goes_on_with_what_another_wrote() {
        let (mut stream, mut other, before) = full().await;
        let (give, given) = oneshot::channel::<Stream>();
        tokio::spawn(async {
            let mut stream = given.await.expect("it is given");
            let listen = poll_fn(|cx| {
                let mut space = [0; 16];
                let read = Pin::new(&mut stream).poll_read(cx, &mut ReadBuf::new(&mut space));
                let _ = Pin::new(&mut stream).poll_flush(cx);
                read
            });
            listen.await.expect("an end");
        });
        tokio::spawn(async {
            stream.write_all(b"101").await.expect("it is taken");
            assert!(give.send(stream).is_ok());
        });
        let mut all = vec![0; before + 3];
        other.read_exact(&mut all).await.expect("all comes");
        assert!(all.ends_with(b"101"));
    }
}
