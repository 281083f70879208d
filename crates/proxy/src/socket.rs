//! What there is to read on a connection's socket, without reading it.

use rustix::net::{RecvFlags, recv};
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

/// Resolves once there seems to be something to read, if only an end or an error.
pub(crate) async fn readable(stream: &Stream) {
    // The error of a runtime that is being shut down, which ends this task as well.
    let _ = match stream {
        Stream::Tcp(stream) => stream.readable().await,
        Stream::Unix(stream) => stream.readable().await,
    };
}

/// Whether bytes that nobody has read have come.
pub(crate) fn has_unread(stream: &Stream) -> bool {
    let socket = match stream {
        Stream::Tcp(stream) => stream.as_fd(),
        Stream::Unix(stream) => stream.as_fd(),
    };
    matches!(recv(socket, &mut [0][..], RecvFlags::PEEK | RecvFlags::DONTWAIT), Ok((1.., _)))
}
