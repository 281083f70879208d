//! A worker's answer behind its head, by whichever version of HTTP it comes.

use crate::exchange;
use crate::upstream::{Upstream, quietly};
use bytes::Bytes;
use http_body::{Body as _, Frame, SizeHint};
use hyper::body::Incoming;
use std::pin::Pin;
use std::task::{Context, Poll};

/// The body of an answer, with what it comes by.
#[derive(Debug)]
pub(crate) enum Reply {
    /// A connection that is the answer's own until it is whole.
    Http1(Incoming, Box<Upstream>),
    /// A stream of a channel.
    Http2(Box<exchange::Incoming>),
    /// Nothing, or no more.
    Over,
}

/// Why an answer broke off.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Broken {
    #[error(transparent)]
    Connection(#[from] hyper::Error),
    #[error(transparent)]
    Stream(#[from] h2::Error),
}

impl Reply {
    pub(crate) fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        match self {
            Self::Http1(body, upstream) => {
                let mut frame = || quietly(|cx| Pin::new(&mut *body).poll_frame(cx));
                let mut polled = frame();
                if polled.is_pending() {
                    // The connection is what fills the body; how it ends, the body tells.
                    let _ = upstream.connection.poll(cx);
                    polled = frame();
                }
                polled.map_err(Broken::from)
            }
            Self::Http2(body) => body.poll_frame(cx).map_err(Broken::from),
            Self::Over => Poll::Ready(None),
        }
    }

    pub(crate) fn is_end_stream(&self) -> bool {
        match self {
            Self::Http1(body, _) => body.is_end_stream(),
            Self::Http2(body) => body.is_end_stream(),
            Self::Over => true,
        }
    }

    pub(crate) fn size_hint(&self) -> SizeHint {
        match self {
            Self::Http1(body, _) => body.size_hint(),
            Self::Http2(body) => body.size_hint(),
            Self::Over => SizeHint::with_exact(0),
        }
    }
}
