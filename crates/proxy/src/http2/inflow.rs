//! A request's body from its stream.

use super::frames::Frames;
use crate::closing::{LONGEST_LINGER, LONGEST_SILENCE};
use bytes::Bytes;
use h2::RecvStream;
use http::header::HeaderMap;
use http_body::{Frame, SizeHint};
use std::future::poll_fn;
use std::task::{Context, Poll};
use tokio::sync::oneshot;
use tokio::time::timeout;

/// The body of a request of HTTP/2.
#[derive(Debug)]
pub(crate) struct Inflow {
    /// Nothing for a request whose stream is to become a tunnel.
    frames: Option<Frames>,
    /// Gets what nobody read.
    rest: Option<oneshot::Sender<Rest>>,
}

impl Inflow {
    /// What follows this head.
    pub(super) fn new(stream: RecvStream, headers: &HeaderMap) -> (Self, oneshot::Receiver<Rest>) {
        let (sender, rest) = oneshot::channel();
        (Self { frames: Some(Frames::new(stream, headers)), rest: Some(sender) }, rest)
    }

    /// No body.
    pub(super) fn empty() -> Self {
        Self { frames: None, rest: None }
    }

    pub(crate) fn poll_frame(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, h2::Error>>> {
        match &mut self.frames {
            Some(frames) => frames.poll_frame(cx),
            None => Poll::Ready(None),
        }
    }

    pub(crate) fn is_end_stream(&self) -> bool {
        self.frames.as_ref().is_none_or(Frames::is_end_stream)
    }

    pub(crate) fn size_hint(&self) -> SizeHint {
        self.frames.as_ref().map_or_else(|| SizeHint::with_exact(0), Frames::size_hint)
    }
}

impl Drop for Inflow {
    fn drop(&mut self) {
        if !self.is_end_stream()
            && let (Some(frames), Some(rest)) = (self.frames.take(), self.rest.take())
        {
            // The request may be over.
            let _ = rest.send(Rest(frames.into_stream()));
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
