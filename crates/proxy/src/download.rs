//! The answer on its way to the client, and the end of a request.

use crate::access::{Record, STALLED};
use crate::backend::Backend;
use crate::error::passed_on;
use crate::reply::{self, Reply};
use crate::trailers;
use crate::watch::{Phase, Watch};
use bytes::Bytes;
use h2::Reason;
use http_body::{Body, Frame, SizeHint};
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
    reply: Reply,
    /// Gone once the answer is whole.
    hold: Option<Hold>,
    watch: Arc<Watch>,
}

#[derive(Debug)]
struct Hold {
    lease: Lease,
    backend: Arc<Backend>,
}

/// An answer that broke off. It reaches the client as a broken connection, never as a complete answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BrokenOff {
    #[error("the worker broke off in the middle of its answer: {0}")]
    Worker(reply::Broken),
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

    /// How a client of HTTP/2 is told.
    pub(crate) fn as_reset(&self) -> Reason {
        match self.workers_reset() {
            Some(reason) => passed_on(reason),
            None => Reason::INTERNAL_ERROR,
        }
    }

    /// The code by which the worker itself gave the answer up, and lives on.
    fn workers_reset(&self) -> Option<Reason> {
        match self {
            Self::Worker(reply::Broken::Stream(error)) if error.is_reset() && error.is_remote() => {
                error.reason()
            }
            Self::Worker(_) | Self::Stalled => None,
        }
    }
}

impl Download {
    /// A body of our own.
    pub(crate) fn own(bytes: Bytes) -> Self {
        Self { source: Source::Own(Some(bytes).filter(|bytes| !bytes.is_empty())), record: None }
    }

    /// A worker's body. Gives lease and connection back once it is whole.
    pub(crate) fn from_worker(reply: Reply, lease: Lease, backend: Arc<Backend>, watch: Arc<Watch>) -> Self {
        let hold = Some(Hold { lease, backend });
        Self { source: Source::Worker(Box::new(FromWorker { reply, hold, watch })), record: None }
    }

    /// Gives everything back at once if the answer has no body, or a body that is here already.
    pub(crate) fn finish_if_empty(&mut self) {
        match &mut self.source {
            Source::Own(_) => {}
            Source::Worker(worker) => {
                if worker.reply.is_end_stream() {
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
        match self.reply.poll_frame(cx) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(Some(Ok(mut frame))) => {
                self.watch.enter(Phase::Download);
                if let Some(fields) = frame.trailers_mut() {
                    trailers::prepare(fields);
                }
                if self.reply.is_end_stream() {
                    self.finish();
                } else {
                    hold.lease.moved(self.watch.now());
                }
                Poll::Ready(Some(Ok(frame)))
            }
            Poll::Ready(None) => {
                self.finish();
                Poll::Ready(None)
            }
            Poll::Ready(Some(Err(error))) => {
                let broken = BrokenOff::Worker(error);
                self.reply = Reply::Over;
                if let Some(hold) = self.hold.take() {
                    let ended = broken.workers_reset().map_or(Outcome::Lost, |_| Outcome::Completed);
                    hold.lease.finish(ended);
                }
                Poll::Ready(Some(Err(broken)))
            }
        }
    }

    /// The answer is whole: the lease goes back, and the connection too if it can carry another request.
    fn finish(&mut self) {
        if let Some(hold) = self.hold.take() {
            let now = self.watch.now();
            if let Reply::Http1(_, mut upstream) = std::mem::replace(&mut self.reply, Reply::Over)
                && upstream.is_free()
            {
                hold.backend.put_idle(hold.lease.worker(), upstream, now);
            }
            hold.lease.complete(now);
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
            Source::Worker(worker) => worker.reply.size_hint(),
        }
    }
}
