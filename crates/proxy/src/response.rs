//! A worker's answer made fit for the client: framed by us alone, and stripped of what concerns one connection.
//!
//! Hyper reads an answer by its own understanding of the head but passes the head on as it came, and frames what it
//! writes by the fields that it is given: what a worker said of the framing must agree with how it was read.

use crate::error::Error;
use crate::request::{self, Wishes};
use http::Version;
use http::header::{CONTENT_LENGTH, HeaderMap, HeaderValue, TRANSFER_ENCODING};
use http::response::Parts;

/// Checks the head of a worker's answer and turns it into the one for the client. `length` is that of the body, where
/// it is known before its end.
///
/// # Errors
/// [`Error::BadAnswer`] for an answer that the client would read otherwise than the proxy did.
pub(crate) fn prepare(parts: &mut Parts, wishes: &Wishes, length: Option<u64>) -> Result<(), Error> {
    check_codings(parts)?;
    unify_length(&mut parts.headers)?;
    request::strip(&mut parts.headers);
    // Our own version, whatever the worker's. A client of 1.0 knows no chunks: to it a body of unknown length ends with
    // the connection, and by an answer of 1.0 hyper knows that this is the last one.
    let last = wishes.version == Version::HTTP_10 && length.is_none();
    parts.version = if last { Version::HTTP_10 } else { Version::HTTP_11 };
    Ok(())
}

/// Turns the head of a worker's interim answer into the one for the client.
pub(crate) fn prepare_interim(headers: &mut HeaderMap) {
    request::strip(headers);
    // RFC 9110 section 8.6: it has no body.
    headers.remove(CONTENT_LENGTH);
}

/// Only `chunked` was undone on the way here: any other coding would reach the client without its name, because
/// `Transfer-Encoding` is of one connection (RFC 9112 section 6.1: none is sent that the request did not allow).
fn check_codings(parts: &mut Parts) -> Result<(), Error> {
    if !parts.headers.contains_key(TRANSFER_ENCODING) {
        return Ok(());
    }
    if parts.version != Version::HTTP_11 || !request::is_chunked_once(&parts.headers) {
        return Err(Error::BadAnswer);
    }
    // The coding won (RFC 9112 section 6.3), and a length beside it is a lie.
    parts.headers.remove(CONTENT_LENGTH);
    Ok(())
}

/// One length, said once: equal ones may be repeated (RFC 9112 section 6.3). Hyper has looked at them only if the answer
/// has a body.
fn unify_length(headers: &mut HeaderMap) -> Result<(), Error> {
    let mut lines = headers.get_all(CONTENT_LENGTH).iter();
    let (Some(first), second) = (lines.next(), lines.next()) else { return Ok(()) };
    if second.is_none() && is_number(first.as_bytes()) {
        return Ok(());
    }
    let lines = headers.get_all(CONTENT_LENGTH).iter();
    let mut lengths =
        lines.flat_map(|line| line.as_bytes().split(|byte| *byte == b',')).map(<[u8]>::trim_ascii);
    let one = lengths.next().filter(|length| is_number(length)).ok_or(Error::BadAnswer)?;
    if lengths.any(|other| other != one) {
        return Err(Error::BadAnswer);
    }
    let one = HeaderValue::from_bytes(one).map_err(|_| Error::BadAnswer)?;
    headers.insert(CONTENT_LENGTH, one);
    Ok(())
}

fn is_number(length: &[u8]) -> bool {
    !length.is_empty() && length.iter().all(u8::is_ascii_digit)
}
