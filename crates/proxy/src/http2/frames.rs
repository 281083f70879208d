//! The body of a message from its stream: a client's request, or a worker's answer.

use bytes::Bytes;
use h2::RecvStream;
use http::header::{CONTENT_LENGTH, HeaderMap};
use http_body::{Frame, SizeHint};
use std::task::{Context, Poll, ready};

/// The rest of a message behind its head. That its length is what its head said is checked by the h2 library.
#[derive(Debug)]
pub(crate) struct Frames {
    stream: RecvStream,
    length: Option<u64>,
    data_is_over: bool,
}

impl Frames {
    /// What follows this head.
    pub(crate) fn new(stream: RecvStream, headers: &HeaderMap) -> Self {
        let length = headers.get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok());
        Self { stream, length, data_is_over: false }
    }

    /// The next frame that is not empty. Its sender may send as much again once it is taken.
    pub(crate) fn poll_frame(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, h2::Error>>> {
        while !self.data_is_over {
            match ready!(self.stream.poll_data(cx)) {
                Some(Ok(bytes)) => {
                    // It fails only if there was less.
                    let _ = self.stream.flow_control().release_capacity(bytes.len());
                    if !bytes.is_empty() {
                        return Poll::Ready(Some(Ok(Frame::data(bytes))));
                    }
                }
                Some(Err(error)) => return Poll::Ready(Some(Err(error))),
                None => self.data_is_over = true,
            }
        }
        self.stream.poll_trailers(cx).map(|trailers| trailers.transpose()).map_ok(Frame::trailers)
    }

    pub(crate) fn is_end_stream(&self) -> bool {
        self.stream.is_end_stream()
    }

    pub(crate) fn size_hint(&self) -> SizeHint {
        match self.length {
            _ if self.is_end_stream() => SizeHint::with_exact(0),
            Some(length) => SizeHint::with_exact(length),
            None => SizeHint::default(),
        }
    }

    /// The stream, with what was not read.
    pub(crate) fn into_stream(self) -> RecvStream {
        self.stream
    }
}
