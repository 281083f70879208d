//! What there is to read on a connection's socket, without reading it.

use rustix::net::{RecvFlags, recv};
use std::io;
use std::os::fd::AsFd;
use std::os::fd::BorrowedFd;
use supervisor::Stream;

/// Calls this whenever there may be something to read, until it would block no more.
///
/// # Errors
/// What the call reports.
pub(crate) async fn when_readable<T>(
    stream: &Stream,
    mut call: impl FnMut(BorrowedFd<'_>) -> io::Result<T>,
) -> io::Result<T> {
    stream.when_readable(|| call(stream.as_fd())).await
}

/// Resolves once there seems to be something to read, if only an end or an error.
pub(crate) async fn readable(stream: &Stream) {
    // The error of a runtime that is being shut down, which ends this task as well.
    let _ = stream.readable().await;
}

/// Whether bytes that nobody has read have come.
pub(crate) fn has_unread(stream: &Stream) -> bool {
    matches!(recv(stream, &mut [0][..], RecvFlags::PEEK | RecvFlags::DONTWAIT), Ok((1.., _)))
}
