//! System calls on a connection's socket that must find something to read.

use std::io;
use std::os::fd::AsFd;
use std::os::fd::BorrowedFd;
use supervisor::Stream;
use tokio::io::Interest;

/// Calls this whenever there may be something to read, until it would block no more.
///
/// # Errors
/// What the call reports.
pub(crate) async fn when_readable<T>(
    stream: &Stream,
    mut call: impl FnMut(BorrowedFd<'_>) -> io::Result<T>,
) -> io::Result<T> {
    match stream {
        Stream::Tcp(stream) => stream.async_io(Interest::READABLE, || call(stream.as_fd())).await,
        Stream::Unix(stream) => stream.async_io(Interest::READABLE, || call(stream.as_fd())).await,
    }
}
