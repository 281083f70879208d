//! A head of HTTP/2 in the shape of HTTP/1.1, for all that comes after it (RFC 9113 section 8.3.1); and back, for workers
//! that are spoken to in HTTP/2.
//!
//! The h2 library has refused what is malformed by itself: pseudo-fields in disorder, names in upper case, fields of one
//! connection, control characters, lengths that disagree. Here is what it lets pass, and what only a gateway has to do.

use crate::error::Error;
use crate::options::Limits;
use crate::websocket::Handshake;
use h2::ext::Protocol;
use http::header::{CONNECTION, CONTENT_LENGTH, COOKIE, HOST, HeaderMap, HeaderValue, UPGRADE};
use http::request::Parts;
use http::uri::{Authority, Scheme};
use http::{Method, Request, Uri, uri};

/// Brings a head into the shape of HTTP/1.1: one Cookie, the authority in Host, a target in origin form. A request for a
/// WebSocket becomes a GET, and its handshake is returned.
///
/// # Errors
/// The answer to give instead.
pub(super) fn translate(parts: &mut Parts, limits: &Limits) -> Result<Option<Handshake>, Error> {
    check_fields(&parts.headers, limits)?;
    join_cookies(&mut parts.headers);
    let handshake = match (&parts.method, parts.extensions.remove::<Protocol>()) {
        (&Method::CONNECT, None) if parts.uri.authority().is_none() => {
            return Err(Error::Unsound("A CONNECT without :authority."));
        }
        // It is refused, whatever else it says.
        (&Method::CONNECT, None) => return Ok(None),
        (&Method::CONNECT, Some(protocol)) if protocol.as_str().eq_ignore_ascii_case("websocket") => {
            parts.method = Method::GET;
            Some(Handshake::begin(&mut parts.headers))
        }
        (_, Some(_)) => return Err(Error::Protocol),
        (_, None) => None,
    };
    take_authority(parts)?;
    Ok(handshake)
}

/// The head for a worker in HTTP/2: its Host in the target, and nothing of one connection. The scheme is that of the
/// worker's connection; X-Forwarded-Proto tells the client's.
pub(crate) fn for_worker(parts: &Parts) -> Request<()> {
    let mut head = Request::new(());
    head.method_mut().clone_from(&parts.method);
    head.headers_mut().clone_from(&parts.headers);
    let headers = head.headers_mut();
    headers.remove(CONNECTION);
    headers.remove(UPGRADE);
    let authority = headers.get(HOST).and_then(|host| Authority::try_from(host.as_bytes()).ok());
    let mut target = uri::Parts::default();
    if let Some(authority) = authority {
        headers.remove(HOST);
        target.scheme = Some(Scheme::HTTP);
        target.authority = Some(authority);
    }
    target.path_and_query = parts.uri.path_and_query().cloned();
    // Without an authority, as from clients of HTTP/1.0, the h2 library asks for a version that knows such targets.
    *head.uri_mut() = Uri::from_parts(target).unwrap_or_else(|_| parts.uri.clone());
    head
}

/// What a worker would trim, or hyper refuse to read.
fn check_fields(headers: &HeaderMap, limits: &Limits) -> Result<(), Error> {
    let (mut count, mut crumbs, mut bytes) = (0, 0, 0);
    for (name, value) in headers {
        let value = value.as_bytes();
        if value.first().is_some_and(is_space) || value.last().is_some_and(is_space) {
            return Err(Error::Unsound("A field's value begins or ends with a space."));
        }
        count += 1;
        crumbs += usize::from(*name == COOKIE);
        bytes += name.as_str().len() + value.len();
    }
    // Crumbs are one field (RFC 9113 section 8.2.3), and browsers make many.
    if count - crumbs.saturating_sub(1) > limits.header_count || bytes > limits.header_bytes {
        return Err(Error::HeadTooLarge);
    }
    if headers.get_all(CONTENT_LENGTH).iter().nth(1).is_some() {
        return Err(Error::Unsound("More than one Content-Length."));
    }
    Ok(())
}

/// `field-value` neither begins nor ends with these (RFC 9113 section 8.2.1).
fn is_space(byte: &u8) -> bool {
    matches!(byte, b' ' | b'\t')
}

/// Cookies come in crumbs, which HTTP/1.1 does not know (RFC 9113 section 8.2.3).
fn join_cookies(headers: &mut HeaderMap) {
    let mut crumbs = headers.get_all(COOKIE).iter();
    let (Some(first), Some(second)) = (crumbs.next(), crumbs.next()) else { return };
    let mut whole = first.as_bytes().to_vec();
    for crumb in std::iter::once(second).chain(crumbs) {
        whole.extend_from_slice(b"; ");
        whole.extend_from_slice(crumb.as_bytes());
    }
    let mut whole = HeaderValue::try_from(whole).expect("values joined by semicolons are a value");
    whole.set_sensitive(true);
    headers.insert(COOKIE, whole);
}

/// The authority becomes Host, and whoever says both must say the same.
fn take_authority(parts: &mut Parts) -> Result<(), Error> {
    let path = parts.uri.path_and_query().map_or("/", |path| path.as_str());
    if !path.starts_with('/') && path != "*" {
        return Err(Error::Unsound("The path does not begin with a slash."));
    }
    let Some(authority) = parts.uri.authority() else { return Ok(()) };
    let same =
        |host: &HeaderValue| is_same(host.as_bytes(), authority.as_str().as_bytes(), parts.uri.scheme());
    if !parts.headers.get_all(HOST).iter().all(same) {
        return Err(Error::Unsound("Host is not what :authority says."));
    }
    let host = HeaderValue::try_from(authority.as_str())
        .map_err(|_| Error::Unsound("The :authority is not a host and port."))?;
    let origin = Uri::try_from(path).map_err(|_| Error::Unsound("The target is not a path."))?;
    parts.headers.insert(HOST, host);
    parts.uri = origin;
    Ok(())
}

/// Whether two authorities are one, for this scheme (RFC 3986 section 6.2.3).
fn is_same<'a>(one: &'a [u8], other: &'a [u8], scheme: Option<&Scheme>) -> bool {
    let port = match scheme.map(Scheme::as_str) {
        Some("http") => &b":80"[..],
        Some("https") => b":443",
        _ => b"",
    };
    let bare = |authority: &'a [u8]| {
        authority.strip_suffix(port).or(authority.strip_suffix(b":")).unwrap_or(authority)
    };
    bare(one).eq_ignore_ascii_case(bare(other))
}
