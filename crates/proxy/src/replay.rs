//! What a second worker is sent if the first one does not answer.

use crate::options::RescueScope;
use crate::upload::Upload;
use crate::watch::Watch;
use bytes::Bytes;
use http::header::{EXPECT, HeaderName, UPGRADE};
use http::{HeaderMap, HeaderValue, Method, Request, Uri};
use http_body::{Body, Frame, SizeHint};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// All of a request that may be sent twice: its head at once, its body as the first worker gets it.
#[derive(Debug)]
pub(crate) struct Duplicate {
    method: Method,
    target: Uri,
    fields: Fields,
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
        let body = has_body.then(Arc::<Kept>::default);
        if let Some(body) = &body {
            request.body_mut().keep(Arc::clone(body));
        }
        let (method, target) = (request.method().clone(), request.uri().clone());
        Some(Self { method, target, fields: Fields::of(request.headers()), body })
    }

    /// Whether all of it is here, so that it can be sent.
    pub(crate) fn is_whole(&self) -> bool {
        self.body.as_ref().is_none_or(|body| body.pieces().progress == Progress::Whole)
    }

    /// The request again.
    pub(crate) fn request(&self, watch: &Arc<Watch>) -> Request<Upload> {
        let content = self.body.as_ref().map(|body| body.pieces().content.clone()).unwrap_or_default();
        let mut request = Request::new(Upload::again(content, Arc::clone(watch)));
        *request.method_mut() = self.method.clone();
        *request.uri_mut() = self.target.clone();
        *request.headers_mut() = self.fields.to_map();
        // Its body is here.
        request.headers_mut().remove(EXPECT);
        request
    }
}

/// The fields of a head. Nearly all copies are thrown away unread, so that of an ordinary head is one piece, made and thrown
/// away for a third of what a map costs. Values of large heads may share their bytes, so a copy of those does too.
#[derive(Debug)]
enum Fields {
    Ordinary(Vec<u8>),
    Large(HeaderMap),
}

impl Fields {
    fn of(headers: &HeaderMap) -> Self {
        let mut text = Vec::with_capacity(USUAL_HEAD);
        for (name, value) in headers {
            for part in [name.as_str().as_bytes(), value.as_bytes()] {
                text.extend_from_slice(&part.len().to_ne_bytes());
                text.extend_from_slice(part);
            }
            if text.len() > LARGE_HEAD {
                return Self::Large(headers.clone());
            }
        }
        Self::Ordinary(text)
    }

    fn to_map(&self) -> HeaderMap {
        let mut rest = match self {
            Self::Ordinary(text) => text.as_slice(),
            Self::Large(headers) => return headers.clone(),
        };
        let mut part = || {
            let (length, parts) = rest.split_first_chunk()?;
            let (part, next) = parts.split_at(usize::from_ne_bytes(*length));
            rest = next;
            Some(part)
        };
        let mut headers = HeaderMap::new();
        while let (Some(name), Some(value)) = (part(), part()) {
            let name = HeaderName::from_bytes(name).expect("it is a field's name");
            headers.append(name, HeaderValue::from_bytes(value).expect("it is a field's value"));
        }
        headers
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

/// Bytes that hold the fields of most requests, less than which is not worth a second allocation.
const USUAL_HEAD: usize = 512;

/// Bytes of fields beyond which they are copied as a map.
const LARGE_HEAD: usize = 4096;

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
        let fields = Fields::of(&HeaderMap::new());
        Duplicate { method: Method::POST, target: Uri::default(), fields, body: Some(Arc::new(kept)) }
    }

    #[test]
    fn a_head_is_sent_again_as_it_was_sent_first() {
        let mut headers = HeaderMap::new();
        for (name, value) in
            [("host", "a"), ("cookie", "a=1"), ("x-empty", ""), ("cookie", "b=2"), ("x-own", "1")]
        {
            headers.append(name, HeaderValue::from_static(value));
        }
        headers.append("x-bytes", HeaderValue::from_bytes(&[0x80, 0xff]).expect("they are allowed"));
        assert_eq!(Fields::of(&headers).to_map(), headers);
        assert_eq!(Fields::of(&HeaderMap::new()).to_map(), HeaderMap::new());
        headers.append("x-long", HeaderValue::try_from("x".repeat(LARGE_HEAD)).expect("it is text"));
        assert!(matches!(Fields::of(&headers), Fields::Large(_)));
        assert_eq!(Fields::of(&headers).to_map(), headers);
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
