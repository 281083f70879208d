//! What the proxy itself answers, and with which status: one `match`.

use crate::access::REASON;
use crate::download::Download;
use crate::http2::Unsound;
use crate::options::Disclosure;
use h2::Reason;
use http::header::{ALLOW, CONNECTION, CONTENT_TYPE, HeaderValue, RETRY_AFTER};
use http::{Response, StatusCode};
use policy::{Refusal, Shed};
use supervisor::Unavailable;

/// A request that did not get a worker's answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Error {
    /// The request breaks HTTP's rules, by these words.
    Malformed(&'static str),
    /// The request breaks rules that are HTTP/2's own, by these words: its stream is reset (RFC 9113 section 8.1.1).
    Unsound(&'static str),
    /// The body is longer than the limit.
    BodyTooLarge,
    /// The head did not arrive in time.
    HeaderTimeout,
    /// The target is longer than the limit.
    TargetTooLong,
    /// The head is longer than the limit, or has more fields.
    HeadTooLarge,
    /// The client has as many requests in flight as it may.
    ClientInFlight,
    /// The client stopped sending its body.
    BodyTimeout,
    /// The client sends its body too slowly.
    BodyTooSlow,
    /// The body broke off, or its chunks are not well formed.
    BadBody,
    /// CONNECT: this is no forward proxy.
    Connect,
    /// An extended CONNECT to something else than a WebSocket (RFC 8441).
    Protocol,
    /// A WebSocket, of an app whose workers are spoken to in HTTP/2.
    WebSocket,
    /// `Max-Forwards: 0`: the answer is ours (RFC 9110 section 7.6.2).
    LastHop,
    /// A transfer coding other than chunked (RFC 9112 section 6.1).
    Coding,
    /// No site is of this host (RFC 9110 section 15.5.20).
    Misdirected,
    /// No site of this host is of this path.
    NoRoute,
    /// No worker.
    Unavailable(Unavailable),
    /// No worker took the connection, in several attempts.
    Unreachable,
    /// The worker's connection broke before its answer began.
    Lost,
    /// The worker reset the request's stream before its answer began (RFC 9113 section 5.4.2).
    Reset(Reason),
    /// What the worker sent is not HTTP.
    BadAnswer,
    /// The worker's answer did not begin in time.
    AnswerTimeout,
}

/// In the extensions of an answer that clients of HTTP/2 do not get: their stream is reset as the worker's was, and what
/// they make of that (a status of gRPC, for instance) is the same as without us.
#[derive(Clone, Copy, Debug)]
pub(crate) struct WorkersReset(pub(crate) Reason);

/// What a client of HTTP/2 is told of a reset by the worker. Only what is said of the request itself goes on: that a
/// stream was refused, for instance, would ask for a repetition.
pub(crate) fn passed_on(reason: Reason) -> Reason {
    match reason {
        Reason::CANCEL | Reason::ENHANCE_YOUR_CALM => reason,
        _ => Reason::INTERNAL_ERROR,
    }
}

impl Error {
    /// Status, the reason's token, and a sentence for people.
    fn verdict(self) -> (StatusCode, &'static str, &'static str) {
        match self {
            Self::Malformed(words) | Self::Unsound(words) => (StatusCode::BAD_REQUEST, "malformed", words),
            Self::BodyTooLarge => {
                (StatusCode::PAYLOAD_TOO_LARGE, "body_too_large", "The request body is longer than allowed.")
            }
            Self::HeaderTimeout => {
                (StatusCode::REQUEST_TIMEOUT, "header_timeout", "The request header did not arrive in time.")
            }
            Self::TargetTooLong => {
                (StatusCode::URI_TOO_LONG, "target_too_long", "The request target is longer than allowed.")
            }
            Self::HeadTooLarge => (
                StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
                "head_too_large",
                "The request header is longer than allowed, or has too many fields.",
            ),
            Self::ClientInFlight => (
                StatusCode::TOO_MANY_REQUESTS,
                "client_in_flight",
                "Too many requests of this client are being answered already.",
            ),
            Self::BodyTooSlow => {
                (StatusCode::REQUEST_TIMEOUT, "body_too_slow", "The request body arrives too slowly.")
            }
            Self::BodyTimeout => {
                (StatusCode::REQUEST_TIMEOUT, "body_timeout", "The request body did not arrive in time.")
            }
            Self::BadBody => {
                (StatusCode::BAD_REQUEST, "bad_body", "The request body broke off or is badly framed.")
            }
            Self::Connect => (StatusCode::METHOD_NOT_ALLOWED, "connect", "CONNECT is not served here."),
            Self::Protocol => {
                (StatusCode::NOT_IMPLEMENTED, "protocol", "The only protocol to connect by is websocket.")
            }
            Self::WebSocket => (
                StatusCode::NOT_IMPLEMENTED,
                "websocket",
                "WebSockets are not served here: this app's workers are spoken to in HTTP/2.",
            ),
            Self::LastHop => (StatusCode::OK, "last_hop", "Max-Forwards ends at this proxy."),
            Self::Coding => {
                (StatusCode::NOT_IMPLEMENTED, "coding", "The only transfer coding understood is chunked.")
            }
            Self::Misdirected => {
                (StatusCode::MISDIRECTED_REQUEST, "misdirected", "Nothing is served for this host.")
            }
            Self::NoRoute => (StatusCode::NOT_FOUND, "no_route", "Nothing is served at this path."),
            Self::Unavailable(Unavailable(refusal)) => {
                let words = match refusal.why {
                    Shed::RouteConfined => {
                        "Requests of this route froze a worker, and too many wait already for one to be answered."
                    }
                    Shed::RouteQuarantined => {
                        "Requests of this route froze workers. One is let through now and then, until one is answered."
                    }
                    Shed::QueryOfDeath => "This very request ended two workers.",
                    Shed::WorkersFull => "The workers have as many requests as they take; try again later.",
                    Shed::QueueFull | Shed::QueueTimeout | Shed::NoWorkers | Shed::Stopping => {
                        "No worker can take the request now; try again later."
                    }
                };
                (StatusCode::SERVICE_UNAVAILABLE, refusal.why.as_str(), words)
            }
            Self::Unreachable => (StatusCode::BAD_GATEWAY, "unreachable", "No worker accepted a connection."),
            Self::Lost => {
                (StatusCode::BAD_GATEWAY, "lost", "The worker's connection broke before it answered.")
            }
            Self::Reset(_) => (StatusCode::BAD_GATEWAY, "reset", "The worker gave the request up."),
            Self::BadAnswer => (StatusCode::BAD_GATEWAY, "bad_answer", "The worker's answer was not HTTP."),
            Self::AnswerTimeout => {
                (StatusCode::GATEWAY_TIMEOUT, "answer_timeout", "The worker did not answer in time.")
            }
        }
    }

    /// The answer's status.
    pub(crate) fn status(self) -> StatusCode {
        self.verdict().0
    }

    /// The token of logs and metrics.
    pub(crate) fn reason(self) -> &'static str {
        self.verdict().1
    }

    /// Whether the answer is about the route rather than about this request.
    pub(crate) fn concerns_route(self) -> bool {
        matches!(
            self,
            Self::Unavailable(Unavailable(Refusal { why: Shed::RouteConfined | Shed::RouteQuarantined, .. }))
        )
    }

    /// Whether what follows on the connection cannot be trusted to be the next request.
    pub(crate) fn ends_connection(self) -> bool {
        match self {
            Self::Malformed(_)
            | Self::Unsound(_)
            | Self::Coding
            | Self::HeaderTimeout
            | Self::TargetTooLong
            | Self::HeadTooLarge
            | Self::BodyTooLarge
            | Self::BodyTimeout
            | Self::BodyTooSlow
            | Self::BadBody => true,
            Self::Connect
            | Self::Protocol
            | Self::WebSocket
            | Self::LastHop
            | Self::Misdirected
            | Self::NoRoute
            | Self::ClientInFlight
            | Self::Unavailable(_)
            | Self::Unreachable
            | Self::Lost
            | Self::Reset(_)
            | Self::BadAnswer
            | Self::AnswerTimeout => false,
        }
    }

    /// In how many seconds it makes sense to ask again, if that is what the answer is about.
    fn retry_after(self) -> Option<u64> {
        match self {
            Self::Unavailable(Unavailable(refusal)) => {
                let whole = refusal.retry_after.as_millis().div_ceil(1000).max(1);
                Some(u64::try_from(whole).unwrap_or(u64::MAX))
            }
            Self::ClientInFlight => Some(1),
            _ => None,
        }
    }

    /// The last answer on a connection whose request was not understood, byte for byte.
    pub(crate) fn last_words(self, disclosure: Disclosure) -> String {
        let (status, reason, _) = self.verdict();
        let reason = match disclosure {
            Disclosure::Off => String::new(),
            Disclosure::Reason | Disclosure::Timing => format!("{REASON}: {reason}\r\n"),
        };
        format!("HTTP/1.1 {status}\r\nconnection: close\r\ncontent-length: 0\r\n{reason}\r\n")
    }

    /// The answer to the client: a problem document (RFC 9457), with the route that it is about, if it is.
    pub(crate) fn into_response(self, route: Option<String>) -> Response<Download> {
        let (status, reason, words) = self.verdict();
        let title = status.canonical_reason().unwrap_or("Error");
        let mut document = serde_json::json!({
            "title": title, "status": status.as_u16(), "detail": words, "reason": reason,
        });
        if let Some(route) = route {
            document["route"] = route.into();
        }
        let mut response = Response::new(Download::own(format!("{document}\n").into()));
        *response.status_mut() = status;
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if self.ends_connection() {
            headers.insert(CONNECTION, HeaderValue::from_static("close"));
        }
        if let Some(seconds) = self.retry_after() {
            headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
        }
        if let Self::Unsound(_) = self {
            response.extensions_mut().insert(Unsound);
        } else if self == Self::Connect {
            headers.insert(ALLOW, HeaderValue::from_static("GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"));
        }
        if let Self::Reset(reason) = self {
            response.extensions_mut().insert(WorkersReset(passed_on(reason)));
        }
        response
    }
}
