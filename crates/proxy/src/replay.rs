//! What a second worker is sent if the first one does not answer.

use crate::options::RescueScope;
use crate::upload::Upload;
use crate::watch::Watch;
use bytes::Bytes;
use http::header::{EXPECT, HeaderName, UPGRADE};
use http::request::Parts;
use http::{HeaderMap, Request};
use http_body::{Body, Frame, SizeHint};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// All of a request that may be sent twice: its head at once, its body as the first worker gets it.
#[derive(Debug)]
pub(crate) struct Duplicate {
    head: Parts,
    /// Nothing for a request without a body.
    body: Option<Arc<Kept>>,
}

/// What was seen of a request's body.
#[derive(Debug, Default)]
pub(crate) struct Kept(Mutex<Pieces>);

#[derive(Debug, Default)]
struct Pieces {
    content: Content,
    progress: Progress,
}

/// A body with its trailers.
#[derive(Clone, Debug, Default)]
pub(crate) struct Content {
    pub(crate) data: Vec<u8>,
    pub(crate) trailers: Option<HeaderMap>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Progress {
    #[default]
    Partial,
    Whole,
    /// It was longer than what is kept.
    Abandoned,
}

impl Duplicate {
    /// A copy of a request that may be sent twice, with a body that may still come. Nothing for others: for those whose
    /// method or body forbids it, and for upgrades.
    pub(crate) fn of(request: &mut Request<Upload>, scope: RescueScope) -> Option<Self> {
        if !permits(scope, request) || request.headers().contains_key(UPGRADE) {
            return None;
        }
        let has_body = !request.body().is_end_stream();
        let longest = || request.body().size_hint().upper();
        if has_body && longest().is_some_and(|length| length > LONGEST_KEPT as u64) {
            return None;
        }
        let (mut head, ()) = Request::new(()).into_parts();
        head.method = request.method().clone();
        head.uri = request.uri().clone();
        head.version = request.version();
        head.headers = request.headers().clone();
        let body = has_body.then(Arc::<Kept>::default);
        if let Some(body) = &body {
            request.body_mut().keep(Arc::clone(body));
        }
        Some(Self { head, body })
    }

    /// Whether all of it is here, so that it can be sent.
    pub(crate) fn is_whole(&self) -> bool {
        self.body.as_ref().is_none_or(|body| body.pieces().progress == Progress::Whole)
    }

    /// The request again.
    pub(crate) fn request(&self, watch: &Arc<Watch>) -> Request<Upload> {
        let content = self.body.as_ref().map(|body| body.pieces().content.clone()).unwrap_or_default();
        let mut head = self.head.clone();
        // Its body is here.
        head.headers.remove(EXPECT);
        Request::from_parts(head, Upload::again(content, Arc::clone(watch)))
    }
}

impl Content {
    /// Its next piece.
    pub(crate) fn next_frame(&mut self) -> Option<Frame<Bytes>> {
        if self.data.is_empty() {
            self.trailers.take().map(Frame::trailers)
        } else {
            Some(Frame::data(std::mem::take(&mut self.data).into()))
        }
    }

    /// Whether no piece is left.
    pub(crate) fn is_empty(&self) -> bool {
        self.data.is_empty() && self.trailers.is_none()
    }

    /// Of unknown length if there are trailers: those need chunks (RFC 9112 section 7.1.2).
    pub(crate) fn size_hint(&self) -> SizeHint {
        match self.trailers {
            Some(_) => SizeHint::default(),
            None => SizeHint::with_exact(self.data.len() as u64),
        }
    }
}

impl Kept {
    /// A piece of the body passes.
    pub(crate) fn add(&self, frame: &Frame<Bytes>) {
        let mut pieces = self.pieces();
        if pieces.progress == Progress::Abandoned {
            return;
        }
        if let Some(data) = frame.data_ref() {
            if pieces.content.data.len() + data.len() > LONGEST_KEPT {
                *pieces = Pieces { progress: Progress::Abandoned, ..Pieces::default() };
                return;
            }
            pieces.content.data.extend_from_slice(data);
        } else if let Some(trailers) = frame.trailers_ref() {
            pieces.content.trailers = Some(trailers.clone());
        }
    }

    /// The body is over.
    pub(crate) fn end(&self) {
        let mut pieces = self.pieces();
        if pieces.progress == Progress::Partial {
            pieces.progress = Progress::Whole;
        }
    }

    fn pieces(&self) -> MutexGuard<'_, Pieces> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether a request may be sent twice, by its method (RFC 9110 sections 9.2.1 and 9.2.2) or because its client
/// says that the app knows it again.
fn permits(scope: RescueScope, request: &Request<Upload>) -> bool {
    match scope {
        RescueScope::Off => false,
        RescueScope::Safe => request.method().is_safe(),
        RescueScope::Idempotent => {
            request.method().is_idempotent() || request.headers().contains_key(IDEMPOTENCY_KEY)
        }
    }
}

/// A client's promise that a repetition is recognised (draft-ietf-httpapi-idempotency-key-header).
const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// The longest body that is kept for a second worker.
const LONGEST_KEPT: usize = 64 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(sizes: &[usize]) -> Kept {
        let kept = Kept::default();
        for size in sizes {
            kept.add(&Frame::data(vec![0; *size].into()));
        }
        kept
    }

    fn duplicate(kept: Kept) -> Duplicate {
        Duplicate { head: Request::new(()).into_parts().0, body: Some(Arc::new(kept)) }
    }

    #[test]
    fn a_body_can_be_sent_again_once_all_of_it_was_seen() {
        let copy = duplicate(kept(&[LONGEST_KEPT / 2, LONGEST_KEPT / 2]));
        assert!(!copy.is_whole());
        copy.body.as_ref().expect("it has one").end();
        assert!(copy.is_whole());
        let again = copy.request(&Arc::new(Watch::new([crate::Timeouts::default()].into())));
        assert_eq!(again.body().size_hint().exact(), Some(LONGEST_KEPT as u64));
    }

    #[test]
    fn a_body_that_turns_out_too_long_is_let_go() {
        let kept = kept(&[LONGEST_KEPT, 1, 1]);
        kept.end();
        assert!(kept.pieces().content.data.is_empty());
        assert!(!duplicate(kept).is_whole());
    }
}
