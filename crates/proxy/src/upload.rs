//! The request's body on its way to the worker.

use crate::error::Error;
use crate::http2::Inflow;
use crate::replay::{Content, Kept};
use crate::trailers;
use crate::watch::{Phase, Watch};
use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;
use tokio::time::Sleep;

/// A client's body: counted, watched, and held back while the client waits for the worker's 100.
#[derive(Debug)]
pub(crate) struct Upload {
    source: Source,
    left: Option<u64>,
    hold: Option<Hold>,
    /// Takes a copy of what passes.
    kept: Option<Arc<Kept>>,
    watch: Arc<Watch>,
}

#[derive(Debug)]
enum Source {
    Client(ClientBody),
    /// A copy of what was sent to another worker.
    Again(Box<Content>),
    /// What was sent in vain, and the rest.
    Rewound(Box<(VecDeque<Frame<Bytes>>, Source)>),
    /// Nothing, or no more.
    Over,
}

/// A body as its client sends it.
#[derive(Debug)]
pub(crate) enum ClientBody {
    Http1(Incoming),
    Http2(Inflow),
}

impl ClientBody {
    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        match self {
            Self::Http1(body) => Pin::new(body).poll_frame(cx).map_err(Broken::from),
            Self::Http2(body) => body.poll_frame(cx).map_err(Broken::from),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Http1(body) => body.is_end_stream(),
            Self::Http2(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Http1(body) => body.size_hint(),
            Self::Http2(body) => body.size_hint(),
        }
    }
}

/// Why a body was broken off on this side; the request's task answers accordingly.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Broken {
    #[error("the request body is longer than allowed")]
    TooLarge,
    #[error(transparent)]
    Client(#[from] hyper::Error),
    #[error(transparent)]
    Stream(#[from] h2::Error),
}

impl Upload {
    /// A body of any length.
    pub(crate) fn new(body: ClientBody, watch: Arc<Watch>) -> Self {
        Self { source: Source::Client(body), left: None, hold: None, kept: None, watch }
    }

    /// Takes at most so many bytes.
    ///
    /// # Errors
    /// If it is known to be longer.
    pub(crate) fn limit(&mut self, limit: Option<u64>) -> Result<(), Error> {
        self.left = limit;
        match limit.is_some_and(|limit| self.size_hint().lower() > limit) {
            true => Err(Error::BodyTooLarge),
            false => Ok(()),
        }
    }

    /// What was kept of a body.
    pub(crate) fn again(content: Content, watch: Arc<Watch>) -> Self {
        let source = if content.is_empty() { Source::Over } else { Source::Again(Box::new(content)) };
        Self { source, left: None, hold: None, kept: None, watch }
    }

    /// Puts back what nobody read, in front of the rest.
    pub(crate) fn rewind(&mut self, frames: VecDeque<Frame<Bytes>>) {
        if let Source::Rewound(rewound) = &mut self.source {
            frames.into_iter().rev().for_each(|frame| rewound.0.push_front(frame));
        } else if !frames.is_empty() {
            let rest = std::mem::replace(&mut self.source, Source::Over);
            self.source = Source::Rewound(Box::new((frames, rest)));
        }
    }

    /// The worker asked for it: it is held back no longer.
    pub(crate) fn let_go(&mut self) {
        self.hold = None;
    }

    /// Has a copy made of what passes.
    pub(crate) fn keep(&mut self, kept: Arc<Kept>) {
        self.kept = Some(kept);
    }

    /// Waits until the worker asked for it, or a second went by (RFC 9110 section 10.1.1: nobody is to wait for a 100 for
    /// ever).
    pub(crate) fn hold(&mut self, gate: Arc<Gate>) {
        self.hold = Some(Hold { gate, patience: Box::pin(tokio::time::sleep(LONGEST_HOLD)) });
    }
}

impl Body for Upload {
    type Data = Bytes;
    type Error = Broken;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        let this = self.get_mut();
        if let Source::Rewound(rewound) = &mut this.source {
            let (frames, rest) = &mut **rewound;
            // It was counted the first time.
            if let Some(frame) = frames.pop_front() {
                return Poll::Ready(Some(Ok(frame)));
            }
            this.source = std::mem::replace(rest, Source::Over);
        }
        let body = match &mut this.source {
            Source::Client(body) => body,
            Source::Again(content) => return Poll::Ready(content.next_frame().map(Ok)),
            Source::Rewound(_) => unreachable!("behind what was rewound is what was there before"),
            Source::Over => return Poll::Ready(None),
        };
        if let Some(hold) = &mut this.hold {
            ready!(hold.poll(cx));
            this.hold = None;
        }
        let mut frame = match body.poll_frame(cx) {
            Poll::Ready(Some(Ok(frame))) => frame,
            Poll::Ready(Some(Err(error))) => {
                this.watch.break_body();
                return Poll::Ready(Some(Err(error)));
            }
            Poll::Ready(None) => {
                this.watch.advance(Phase::Upload, Phase::Answer);
                this.source = Source::Over;
                if let Some(kept) = &this.kept {
                    kept.end();
                }
                return Poll::Ready(None);
            }
            Poll::Pending => {
                // It is the client's turn, unless the answer has begun already.
                this.watch.advance(Phase::Answer, Phase::Upload);
                return Poll::Pending;
            }
        };
        let size = frame.data_ref().map_or(0, |data| data.len() as u64);
        this.watch.receive(size);
        if let Some(left) = &mut this.left {
            match left.checked_sub(size) {
                Some(rest) => *left = rest,
                None => {
                    this.watch.overrun();
                    return Poll::Ready(Some(Err(Broken::TooLarge)));
                }
            }
        }
        if let Some(fields) = frame.trailers_mut() {
            trailers::prepare(fields);
        }
        if let Some(kept) = &this.kept {
            kept.add(&frame);
            // Nobody asks for more of a body whose last piece says that it is the last.
            if body.is_end_stream() {
                kept.end();
            }
        }
        Poll::Ready(Some(Ok(frame)))
    }

    fn is_end_stream(&self) -> bool {
        self.source.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.source.size_hint()
    }
}

impl Source {
    fn is_end_stream(&self) -> bool {
        match self {
            Self::Client(body) => body.is_end_stream(),
            Self::Again(content) => content.is_empty(),
            Self::Rewound(rewound) => rewound.0.is_empty() && rewound.1.is_end_stream(),
            Self::Over => true,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Client(body) => body.size_hint(),
            Self::Again(content) => content.size_hint(),
            // Its head has been written before.
            Self::Rewound(_) => SizeHint::default(),
            Self::Over => SizeHint::with_exact(0),
        }
    }
}

impl Drop for Upload {
    fn drop(&mut self) {
        if !self.is_end_stream() {
            self.watch.leave_unread();
        }
    }
}

/// Opened by the worker's `100 Continue`.
#[derive(Debug, Default)]
pub(crate) struct Gate {
    open: AtomicBool,
    waiting: Mutex<Option<Waker>>,
}

impl Gate {
    pub(crate) fn open(&self) {
        self.open.store(true, Ordering::Relaxed);
        if let Some(waker) = self.waiting.lock().unwrap_or_else(PoisonError::into_inner).take() {
            waker.wake();
        }
    }
}

#[derive(Debug)]
struct Hold {
    gate: Arc<Gate>,
    patience: Pin<Box<Sleep>>,
}

impl Hold {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.gate.open.load(Ordering::Relaxed) {
            return Poll::Ready(());
        }
        *self.gate.waiting.lock().unwrap_or_else(PoisonError::into_inner) = Some(cx.waker().clone());
        self.patience.as_mut().poll(cx)
    }
}

const LONGEST_HOLD: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::poll_fn;
    use tokio::time::{Instant, timeout};

    fn upload(gate: &Arc<Gate>) -> Upload {
        let watch = Arc::new(Watch::new([crate::Timeouts::default()].into()));
        let mut upload = Upload::again(Content::default(), watch);
        upload.hold(Arc::clone(gate));
        upload
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_is_held_back_until_the_worker_asks_for_it() {
        let gate = Arc::default();
        let mut hold = upload(&gate).hold.take().expect("it is held");
        let began = Instant::now();
        let opened = async {
            tokio::time::sleep(LONGEST_HOLD / 2).await;
            gate.open();
        };
        tokio::join!(poll_fn(|cx| hold.poll(cx)), opened);
        assert_eq!(began.elapsed(), LONGEST_HOLD / 2);
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_is_held_back_for_no_longer_than_a_second() {
        let gate = Arc::default();
        let mut hold = upload(&gate).hold.take().expect("it is held");
        let began = Instant::now();
        assert!(timeout(LONGEST_HOLD * 2, poll_fn(|cx| hold.poll(cx))).await.is_ok());
        assert_eq!(began.elapsed(), LONGEST_HOLD);
    }
}
