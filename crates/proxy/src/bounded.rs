//! Reads of a bounded size, whatever room there is.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, ReadBuf};

/// Reads so many bytes at most, and tells how many.
pub(crate) fn poll_read(
    stream: Pin<&mut impl AsyncRead>,
    cx: &mut Context<'_>,
    buffer: &mut ReadBuf<'_>,
    most: usize,
) -> (Poll<io::Result<()>>, usize) {
    if buffer.remaining() <= most {
        let before = buffer.filled().len();
        let polled = stream.poll_read(cx, buffer);
        return (polled, buffer.filled().len() - before);
    }
    let mut limited = ReadBuf::new(buffer.initialize_unfilled_to(most));
    let polled = stream.poll_read(cx, &mut limited);
    let read = limited.filled().len();
    buffer.advance(read);
    (polled, read)
}
