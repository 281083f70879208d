//! Trailer fields on their way through.
//!
//! A recipient may merge trailers into the head, so none may come late that changes what the head said (RFC 9110 section
//! 6.5.1). Hyper passes on those that the sender announced in `Trailer`, and drops some of the dangerous ones.

use crate::request;
use http::header::{
    ACCEPT_RANGES, AGE, AUTHORIZATION, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_RANGE,
    CONTENT_TYPE, COOKIE, DATE, EXPECT, EXPIRES, HOST, HeaderMap, HeaderName, IF_MATCH, IF_MODIFIED_SINCE,
    IF_NONE_MATCH, IF_RANGE, IF_UNMODIFIED_SINCE, LOCATION, MAX_FORWARDS, PRAGMA, PROXY_AUTHENTICATE, RANGE,
    RETRY_AFTER, SET_COOKIE, TRAILER, VARY, VIA, WARNING, WWW_AUTHENTICATE,
};

/// Drops what would change the message's framing, routing, meaning or sender.
pub(crate) fn prepare(trailers: &mut HeaderMap) {
    request::strip(trailers);
    request::drop_identity(trailers);
    for name in &FORBIDDEN {
        trailers.remove(name);
    }
}

const FORBIDDEN: [HeaderName; 30] = [
    ACCEPT_RANGES,
    AGE,
    AUTHORIZATION,
    CACHE_CONTROL,
    CONTENT_ENCODING,
    CONTENT_LENGTH,
    CONTENT_RANGE,
    CONTENT_TYPE,
    COOKIE,
    DATE,
    EXPECT,
    EXPIRES,
    HOST,
    IF_MATCH,
    IF_MODIFIED_SINCE,
    IF_NONE_MATCH,
    IF_RANGE,
    IF_UNMODIFIED_SINCE,
    LOCATION,
    MAX_FORWARDS,
    PRAGMA,
    PROXY_AUTHENTICATE,
    RANGE,
    RETRY_AFTER,
    SET_COOKIE,
    TRAILER,
    VARY,
    VIA,
    WARNING,
    WWW_AUTHENTICATE,
];
