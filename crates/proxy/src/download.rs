//! The answer on its way to the client, and the end of a request.

use crate::access::{Record, STALLED};
use crate::backend::Backend;
use crate::trailers;
use crate::upstream::{Upstream, quietly};
use crate::watch::{Phase, Watch};
use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use policy::Outcome;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use supervisor::Lease;

/// The body of an answer: our own few bytes, or a worker's stream with all that has to be given back at its end.
#[derive(Debug)]
pub(crate) struct Download {
    source: Source,
    /// Tells the logs and metrics how the request went, when it is over.
    pub(crate) record: Option<Box<Record>>,
}

#[derive(Debug)]
enum Source {
    Own(Option<Bytes>),
    Worker(Box<FromWorker>),
}

/// A worker's body, and what it holds while it lasts.
#[derive(Debug)]
struct FromWorker {
    body: Incoming,
    /// Gone once the answer is whole.
    hold: Option<Hold>,
    watch: Arc<Watch>,
}

#[derive(Debug)]
struct Hold {
    upstream: Box<Upstream>,
    lease: Lease,
    backend: Arc<Backend>,
}

/// An answer that broke off. It reaches the client as a broken connection, never as a complete answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BrokenOff {
    #[error("the worker's connection broke in the middle of its answer: {0}")]
    Worker(hyper::Error),
    #[error("the answer stood still for too long")]
    Stalled,
}

impl BrokenOff {
    /// The token of the access log.
    fn reason(&self) -> &'static str {
        match self {
            Self::Worker(_) => "broken_off",
            Self::Stalled => STALLED,
        }
    }
}

impl Download {
    /// A body of our own.
    pub(crate) fn own(bytes: Bytes) -> Self {
        Self { source: Source::Own(Some(bytes).filter(|bytes| !bytes.is_empty())), record: None }
    }

    /// A worker's body. Drives its connection, and gives connection and lease back once it is whole.
    pub(crate) fn from_worker(
        body: Incoming,
        upstream: Box<Upstream>,
        lease: Lease,
        backend: Arc<Backend>,
        watch: Arc<Watch>,
    ) -> Self {
        let hold = Some(Hold { upstream, lease, backend });
        Self { source: Source::Worker(Box::new(FromWorker { body, hold, watch })), record: None }
    }

    /// Gives everything back at once if the answer has no body, or a body that is here already.
    pub(crate) fn finish_if_empty(&mut self) {
        match &mut self.source {
            Source::Own(_) => {}
            Source::Worker(worker) => {
                if worker.body.is_end_stream() {
                    worker.finish();
                }
            }
        }
    }
}

impl FromWorker {
    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BrokenOff>>> {
        let Some(hold) = &mut self.hold else { return Poll::Ready(None) };
        if self.watch.has_expired(Phase::Download) {
            return Poll::Ready(Some(Err(BrokenOff::Stalled)));
        }
        let mut frame = || quietly(|cx| Pin::new(&mut self.body).poll_frame(cx));
        let mut polled = frame();
        if polled.is_pending() {
            // The connection is what fills the body; how it ends, the body tells.
            let _ = hold.upstream.connection.poll(cx);
            polled = frame();
        }
        match polled {
            Poll::Pending => Poll::Pending,
            Poll::Ready(Some(Ok(mut frame))) => {
                self.watch.enter(Phase::Download);
                if let Some(fields) = frame.trailers_mut() {
                    trailers::prepare(fields);
                }
                if self.body.is_end_stream() {
                    self.finish();
                } else {
                    hold.lease.moved();
                }
                Poll::Ready(Some(Ok(frame)))
            }
            Poll::Ready(None) => {
                self.finish();
                Poll::Ready(None)
            }
            Poll::Ready(Some(Err(error))) => {
                if let Some(hold) = self.hold.take() {
                    hold.lease.finish(Outcome::Lost);
                }
                Poll::Ready(Some(Err(BrokenOff::Worker(error))))
            }
        }
    }

    /// The answer is whole: the lease goes back, and the connection too if it can carry another request.
    fn finish(&mut self) {
        if let Some(mut hold) = self.hold.take() {
            let worker = hold.lease.worker();
            if hold.upstream.is_free() {
                hold.backend.put_idle(worker, hold.upstream, self.watch.now());
            }
            hold.lease.finish(Outcome::Completed);
        }
    }
}

impl Drop for FromWorker {
    fn drop(&mut self) {
        if let Some(hold) = self.hold.take() {
            let stalled = self.watch.has_expired(Phase::Download);
            hold.lease.finish(if stalled { Outcome::TimedOut } else { Outcome::Cancelled });
        }
    }
}

impl Body for Download {
    type Data = Bytes;
    type Error = BrokenOff;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BrokenOff>>> {
        let this = self.get_mut();
        let polled = match &mut this.source {
            Source::Own(bytes) => Poll::Ready(bytes.take().map(|bytes| Ok(Frame::data(bytes)))),
            Source::Worker(worker) => worker.poll_frame(cx),
        };
        if let Some(record) = &mut this.record {
            match &polled {
                Poll::Ready(Some(Ok(frame))) => {
                    record.bytes += frame.data_ref().map_or(0, |data| data.len() as u64);
                }
                Poll::Ready(Some(Err(error))) => record.reason = Some(error.reason()),
                Poll::Ready(None) | Poll::Pending => {}
            }
            record.whole = match &this.source {
                Source::Own(bytes) => bytes.is_none(),
                Source::Worker(worker) => {
                    worker.hold.is_none() && !matches!(polled, Poll::Ready(Some(Err(_))))
                }
            };
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        match &self.source {
            Source::Own(bytes) => bytes.is_none(),
            Source::Worker(worker) => worker.hold.is_none(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.source {
            Source::Own(bytes) => SizeHint::with_exact(bytes.as_ref().map_or(0, |bytes| bytes.len() as u64)),
            Source::Worker(worker) => worker.body.size_hint(),
        }
    }
}
