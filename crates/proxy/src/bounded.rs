//! Reads of a bounded size, whatever room there is.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncReadExt, ReadBuf};

/// Reads so many bytes at most, and tells how many.
pub(crate) fn poll_read(
    stream: &mut (impl AsyncRead + Unpin),
    cx: &mut Context<'_>,
    buffer: &mut ReadBuf<'_>,
    most: usize,
) -> (Poll<io::Result<()>>, usize) {
    let before = buffer.filled().len();
    let polled = if buffer.remaining() <= most {
        Pin::new(stream).poll_read(cx, buffer)
    } else {
        Pin::new(&mut stream.take(most as u64)).poll_read(cx, buffer)
    };
    (polled, buffer.filled().len() - before)
}
