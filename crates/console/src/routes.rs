//! What is asked for, and the answer. Nothing here changes anything: every path is read by GET or HEAD.

use crate::guard::{self, Forbidden};
use crate::readiness::{self, Readiness};
use crate::{AdminAddress, Source, Status};
use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::Full;
use prometheus::{Registry, TextEncoder};
use tokio::time::Instant;
use tower::BoxError;
use tower::load_shed::error::Overloaded;
use tower::timeout::error::Elapsed;

pub(crate) type Answer = Response<Full<Bytes>>;

/// What answers are made of.
pub(crate) struct Site {
    pub(crate) address: AdminAddress,
    pub(crate) began: Instant,
    pub(crate) registry: Registry,
    pub(crate) source: Source,
}

impl Site {
    /// Answers one request; its body, if it has one, is ignored.
    pub(crate) fn answer<B>(&self, request: &Request<B>) -> Answer {
        let path = request.uri().path();
        if !PATHS.contains(&path) {
            return problem(
                StatusCode::NOT_FOUND,
                "there is nothing at this path; paths lists what there is",
            );
        }
        if request.method() != Method::GET && request.method() != Method::HEAD {
            let mut refusal = problem(StatusCode::METHOD_NOT_ALLOWED, "this path is read by GET or HEAD");
            refusal.headers_mut().insert(header::ALLOW, HeaderValue::from_static("GET, HEAD"));
            return refusal;
        }
        match path {
            READY => self.readyz(is_verbose(request.uri().query())),
            METRICS => self.metrics(),
            STATUS => self.status(),
            _ => text(StatusCode::OK, "ok\n"),
        }
    }

    /// The guard's verdict on a request.
    pub(crate) fn check<B>(&self, request: &Request<B>) -> Result<(), Forbidden> {
        guard::check(&self.address, request.uri(), request.headers())
    }

    fn readyz(&self, verbose: bool) -> Answer {
        let snapshot = (self.source)();
        let (status, brief) = match Readiness::of(&snapshot) {
            Readiness::Ready => (StatusCode::OK, "ok\n".to_owned()),
            Readiness::Unready(why) => (StatusCode::SERVICE_UNAVAILABLE, why),
        };
        text(status, if verbose { readiness::verbose(&snapshot) } else { brief })
    }

    fn metrics(&self) -> Answer {
        match TextEncoder::new().encode_to_string(&self.registry.gather()) {
            Ok(exposition) => page(StatusCode::OK, "text/plain; version=0.0.4; charset=utf-8", exposition),
            Err(error) => problem(StatusCode::INTERNAL_SERVER_ERROR, &error.to_string()),
        }
    }

    fn status(&self) -> Answer {
        match serde_json::to_string(&Status::new(self.began.elapsed(), &(self.source)())) {
            Ok(document) => page(StatusCode::OK, "application/json", document),
            Err(error) => problem(StatusCode::INTERNAL_SERVER_ERROR, &error.to_string()),
        }
    }
}

/// The answer to a request that the guard turned away.
pub(crate) fn forbidden(why: Forbidden) -> Answer {
    problem(StatusCode::FORBIDDEN, why.as_str())
}

/// The answer to a request that never came to its page.
pub(crate) fn failed(error: &BoxError) -> Answer {
    if error.is::<Overloaded>() {
        problem(StatusCode::SERVICE_UNAVAILABLE, "too many requests to the admin API at once")
    } else if error.is::<Elapsed>() {
        problem(StatusCode::SERVICE_UNAVAILABLE, "the answer took too long")
    } else {
        problem(StatusCode::INTERNAL_SERVER_ERROR, &error.to_string())
    }
}

/// `?verbose`, also with a value, alone or among others.
fn is_verbose(query: Option<&str>) -> bool {
    query.is_some_and(|query| query.split('&').any(|pair| pair.split('=').next() == Some("verbose")))
}

/// A problem document (RFC 9457).
fn problem(status: StatusCode, detail: &str) -> Answer {
    let document = serde_json::json!({
        "type": "about:blank",
        "title": status.canonical_reason(),
        "status": status.as_u16(),
        "detail": detail,
        "paths": PATHS,
    });
    page(status, "application/problem+json", document.to_string())
}

fn text(status: StatusCode, body: impl Into<Bytes>) -> Answer {
    page(status, "text/plain; charset=utf-8", body)
}

fn page(status: StatusCode, content_type: &'static str, body: impl Into<Bytes>) -> Answer {
    let mut answer = Response::new(Full::new(body.into()));
    *answer.status_mut() = status;
    let headers = answer.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    answer
}

const LIVE: &str = "/livez";
const READY: &str = "/readyz";
const METRICS: &str = "/metrics";
/// Where the status document is.
pub(crate) const STATUS: &str = "/api/v1/status";
/// All there is.
const PATHS: [&str; 4] = [LIVE, READY, METRICS, STATUS];
