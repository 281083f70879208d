//! The answers of a listener that only sends its clients to https.

use crate::download::Download;
use crate::error::Error;
use crate::request;
use crate::role::HttpsPort;
use bytes::Bytes;
use http::header::{HeaderValue, LOCATION};
use http::request::Parts;
use http::{Method, Response, StatusCode};

/// Why such an answer is ours.
pub(crate) const REDIRECT: &str = "redirect";

/// Sends a request to the same host, path and query under https.
///
/// # Errors
/// What is wrong with a request that says no host, or one that nobody should be sent to.
pub(crate) fn answer(parts: &mut Parts, port: HttpsPort) -> Result<Response<Download>, Error> {
    let authority = request::authority(parts)?;
    let host = authority.as_ref().and_then(|authority| authority.to_str().ok()).map(without_port);
    let host = host.filter(|host| !host.is_empty()).ok_or(Error::Malformed("No host to redirect to."))?;
    let path = match parts.uri.path_and_query() {
        // `OPTIONS *` is about the server as a whole, which in a URL is no path at all (RFC 9112 section 3.2.4).
        Some(path) if path.as_str() != "*" => path.as_str(),
        Some(_) | None => "",
    };
    let location = HeaderValue::try_from(format!("https://{host}{}{path}", port.suffix()))
        .map_err(|_| Error::Malformed("The target cannot be part of a URL."))?;
    let mut response = Response::new(Download::own(Bytes::new()));
    *response.status_mut() = match parts.method {
        Method::GET | Method::HEAD => StatusCode::MOVED_PERMANENTLY,
        // After a 301 clients may turn other methods into GET (RFC 9110 section 15.4.2).
        _ => StatusCode::PERMANENT_REDIRECT,
    };
    response.headers_mut().insert(LOCATION, location);
    Ok(response)
}

/// The host of a host and port, brackets included.
fn without_port(authority: &str) -> &str {
    match authority.rsplit_once(':') {
        // The last colon may be one of those within brackets.
        Some((host, port)) if !port.ends_with(']') => host,
        Some(_) | None => authority,
    }
}
