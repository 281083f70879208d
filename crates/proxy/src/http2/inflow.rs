//! A request's body from its stream.

use crate::closing::{LONGEST_LINGER, LONGEST_SILENCE};
use bytes::Bytes;
use h2::RecvStream;
use http::header::{CONTENT_LENGTH, HeaderMap};
use http_body::{Frame, SizeHint};
use std::future::poll_fn;
use std::task::{Context, Poll, ready};
use tokio::sync::oneshot;
use tokio::time::timeout;

/// The body of a request of HTTP/2. That its length is what its head said is checked by the h2 library.
#[derive(Debug)]
pub(crate) struct Inflow {
    /// Nothing for a request whose stream is to become a tunnel.
    stream: Option<RecvStream>,
    length: Option<u64>,
    data_is_over: bool,
    /// Gets what nobody read.
    rest: Option<oneshot::Sender<Rest>>,
}

impl Inflow {
    /// What follows this head.
    pub(super) fn new(stream: RecvStream, headers: &HeaderMap) -> (Self, oneshot::Receiver<Rest>) {
        let length = headers.get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok());
        let (sender, rest) = oneshot::channel();
        (Self { stream: Some(stream), length, data_is_over: false, rest: Some(sender) }, rest)
    }

    /// No body.
    pub(super) fn empty() -> Self {
        Self { stream: None, length: None, data_is_over: true, rest: None }
    }

    pub(crate) fn poll_frame(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, h2::Error>>> {
        let Some(stream) = &mut self.stream else { return Poll::Ready(None) };
        while !self.data_is_over {
            match ready!(stream.poll_data(cx)) {
                Some(Ok(bytes)) => {
                    // The worker's connection takes it now. It fails only if there was less.
                    let _ = stream.flow_control().release_capacity(bytes.len());
                    if !bytes.is_empty() {
                        return Poll::Ready(Some(Ok(Frame::data(bytes))));
                    }
                }
                Some(Err(error)) => return Poll::Ready(Some(Err(error))),
                None => self.data_is_over = true,
            }
        }
        stream.poll_trailers(cx).map(|trailers| trailers.transpose()).map_ok(Frame::trailers)
    }

    pub(crate) fn is_end_stream(&self) -> bool {
        self.stream.as_ref().is_none_or(RecvStream::is_end_stream)
    }

    pub(crate) fn size_hint(&self) -> SizeHint {
        match self.length {
            _ if self.is_end_stream() => SizeHint::with_exact(0),
            Some(length) => SizeHint::with_exact(length),
            None => SizeHint::default(),
        }
    }
}

impl Drop for Inflow {
    fn drop(&mut self) {
        if !self.is_end_stream()
            && let (Some(stream), Some(rest)) = (self.stream.take(), self.rest.take())
        {
            // The request may be over.
            let _ = rest.send(Rest(stream));
        }
    }
}

/// What was not read of a body.
#[derive(Debug)]
pub(super) struct Rest(RecvStream);

impl Rest {
    /// Reads on for a while though nobody wants it, as on a connection of HTTP/1. The reset that tells the client to stop
    /// (NO_ERROR, RFC 9113 section 8.1) makes older ones, curl 7.88 for instance, forget the answer that came before it.
    pub(super) async fn discard(mut self) {
        let unread = async {
            while let Ok(Some(Ok(bytes))) = timeout(LONGEST_SILENCE, poll_fn(|cx| self.0.poll_data(cx))).await
            {
                // It fails only if there was less.
                let _ = self.0.flow_control().release_capacity(bytes.len());
            }
        };
        let _ = timeout(LONGEST_LINGER, unread).await;
    }
}
