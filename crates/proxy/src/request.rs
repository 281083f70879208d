//! A client's request made fit for a worker: checked where leniency would be dangerous, stripped of what concerns one
//! connection alone, and told where it comes from.

mod http2;

pub(crate) use http2::for_worker;

use crate::error::Error;
use crate::options::Limits;
use crate::origin::{Origin, REQUEST_ID, is_alias, is_claim};
use crate::websocket::Handshake;
use http::header::{
    CONNECTION, CONTENT_LENGTH, EXPECT, Entry, HOST, HeaderMap, HeaderName, HeaderValue, MAX_FORWARDS, TE,
    TRANSFER_ENCODING, UPGRADE, VIA,
};
use http::request::Parts;
use http::{Method, Uri, Version};

/// What the rest of the way has to know about a request.
#[derive(Debug)]
pub(crate) struct Wishes {
    /// The client asked to change protocols.
    pub(crate) upgrade: Option<Upgrade>,
    /// The client waits for a 100 before it sends its body (RFC 9110 section 10.1.1).
    pub(crate) expects_continue: bool,
    /// What the client speaks.
    pub(crate) version: Version,
}

impl Wishes {
    /// Of a worker by whose protocol none can be granted. A server may go on as if it was not asked (RFC 9110 section
    /// 7.8); a WebSocket, however, is all that its client wants.
    ///
    /// # Errors
    /// [`Error::WebSocket`].
    pub(crate) fn give_up_upgrade(&mut self) -> Result<(), Error> {
        match self.upgrade.take() {
            Some(Upgrade::WebSocket(_)) => Err(Error::WebSocket),
            Some(Upgrade::Named(protocols)) if is_websocket(&protocols) => Err(Error::WebSocket),
            Some(Upgrade::Named(_)) | None => Ok(()),
        }
    }
}

fn is_websocket(protocols: &HeaderValue) -> bool {
    let mut all = protocols.to_str().unwrap_or_default().split(',').map(str::trim);
    all.any(|protocol| protocol.eq_ignore_ascii_case("websocket"))
}

/// How a client asks to change protocols.
#[derive(Debug)]
pub(crate) enum Upgrade {
    /// To one of these (RFC 9110 section 7.8).
    Named(HeaderValue),
    /// To a WebSocket, by an extended CONNECT of HTTP/2 (RFC 8441).
    WebSocket(Handshake),
}

/// Fields about one connection, never passed on (RFC 9110 section 7.6.1).
fn is_hop_by_hop(name: &str) -> bool {
    matches!(
        name,
        "connection"
            | "keep-alive"
            | "proxy-connection"
            | "te"
            | "transfer-encoding"
            | "upgrade"
            | "proxy-authorization"
    )
}

/// Fields of which there is one, and it is ours, the client's connection's, or part of the framing.
pub(crate) fn is_ours(name: &str) -> bool {
    is_hop_by_hop(name) || matches!(name, "proxy" | "host" | "via" | "content-length" | "content-type")
}

/// Whether the target is no longer than it may be.
///
/// # Errors
/// [`Error::TargetTooLong`].
pub(crate) fn check_target(target: &Uri, longest: usize) -> Result<(), Error> {
    let scheme = target.scheme_str().map_or(0, |scheme| scheme.len() + "://".len());
    let authority = target.authority().map_or(0, |authority| authority.as_str().len());
    let path = target.path_and_query().map_or(0, |path| path.as_str().len());
    if scheme + authority + path > longest { Err(Error::TargetTooLong) } else { Ok(()) }
}

/// Checks the head and turns it into the one for the worker.
///
/// # Errors
/// The answer to give instead.
pub(crate) fn prepare(
    parts: &mut Parts,
    origin: &Origin,
    limits: &Limits,
    new_id: impl FnOnce() -> HeaderValue,
) -> Result<Wishes, Error> {
    let handshake = if parts.version == Version::HTTP_2 { http2::translate(parts, limits)? } else { None };
    let host = authority(parts)?;
    let http_1_1 = parts.version == Version::HTTP_11;
    let headers = &mut parts.headers;
    let unwanted = find(headers, |name| {
        is_hop_by_hop(name) || name == "proxy" || !origin.keeps(name) || is_alias(name, headers)
    });
    let trailers = unwanted.contains(&TE) && has_token(headers, &TE, "trailers");
    let has_options = unwanted.contains(&CONNECTION) && names_options(headers);
    let upgrade = match handshake {
        Some(handshake) => Some(Upgrade::WebSocket(handshake)),
        None if has_options && http_1_1 && has_token(headers, &CONNECTION, "upgrade") => {
            protocols(headers).map(Upgrade::Named)
        }
        None => None,
    };
    let expects_continue =
        headers.get(EXPECT).is_some_and(|wish| wish.as_bytes().eq_ignore_ascii_case(b"100-continue"));
    let http_1_0 = parts.version == Version::HTTP_10;
    if expects_continue && http_1_0 {
        headers.remove(EXPECT);
    }
    if has_options {
        drop_named_by_connection(headers);
    }
    let mut lists = origin.lists(headers);
    drop_all(headers, &unwanted);
    lists.replace(&unwanted);
    // At once: on a new connection there is room for what came, and no more.
    headers.reserve(TOLD);
    origin.tell(headers, lists, host.as_ref());
    if let Entry::Vacant(place) = headers.entry(REQUEST_ID) {
        place.insert(new_id());
    }
    headers.append(
        VIA,
        HeaderValue::from_static(match parts.version {
            Version::HTTP_2 => "2.0 antifreeze",
            Version::HTTP_10 => "1.0 antifreeze",
            _ => "1.1 antifreeze",
        }),
    );
    match &upgrade {
        Some(upgrade) => {
            headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
            headers.insert(
                UPGRADE,
                match upgrade {
                    Upgrade::Named(protocols) => protocols.clone(),
                    Upgrade::WebSocket(_) => HeaderValue::from_static("websocket"),
                },
            );
        }
        None if trailers => {
            headers.insert(TE, HeaderValue::from_static("trailers"));
            headers.insert(CONNECTION, HeaderValue::from_static("te"));
        }
        None => {}
    }
    count_hops(&parts.method, headers)?;
    let version = std::mem::replace(&mut parts.version, Version::HTTP_11);
    Ok(Wishes { upgrade, expects_continue: expects_continue && !http_1_0, version })
}

/// Checks what must hold whoever answers, and brings the target into origin form.
///
/// # Errors
/// The answer to give instead.
pub(crate) fn authority(parts: &mut Parts) -> Result<Option<HeaderValue>, Error> {
    if parts.method == Method::CONNECT {
        return Err(Error::Connect);
    }
    check_framing(parts)?;
    take_host(parts)
}

/// Drops what concerns one connection: the well-known fields, and those that `Connection` names.
pub(crate) fn strip(headers: &mut HeaderMap) {
    let unwanted = find(headers, is_hop_by_hop);
    if unwanted.contains(&CONNECTION) && names_options(headers) {
        drop_named_by_connection(headers);
    }
    drop_all(headers, &unwanted);
}

/// Whether `Connection` says more than how long the connection lasts, which is all that most senders say by it.
fn names_options(headers: &HeaderMap) -> bool {
    let lasting =
        |said: &[u8]| said.eq_ignore_ascii_case(b"close") || said.eq_ignore_ascii_case(b"keep-alive");
    !headers.get_all(CONNECTION).iter().all(|line| lasting(line.as_bytes()))
}

/// Drops what `Connection` names. Ours are set after this, so that a client that lists them cannot delete them.
fn drop_named_by_connection(headers: &mut HeaderMap) {
    let named: Vec<HeaderName> = tokens(headers, &CONNECTION)
        .filter(|name| !name.eq_ignore_ascii_case("close") && !name.eq_ignore_ascii_case("keep-alive"))
        .filter_map(|name| name.parse::<HeaderName>().ok())
        // Framing and routing are not the sender's to take away (they are checked already).
        .filter(|name| *name != CONTENT_LENGTH && *name != HOST && !is_claim(name.as_str()))
        .collect();
    for name in named {
        headers.remove(name);
    }
}

/// The names that are unwanted, in one pass: most heads have none, and are spared the searches for each of them.
fn find(headers: &HeaderMap, is_unwanted: impl Fn(&str) -> bool) -> Vec<HeaderName> {
    headers.keys().filter(|name| is_unwanted(name.as_str())).cloned().collect()
}

fn drop_all(headers: &mut HeaderMap, names: &[HeaderName]) {
    for name in names {
        headers.remove(name);
    }
}

/// Refuses what two servers might read in two ways (RFC 9112 section 6.3): that is how requests are smuggled.
fn check_framing(parts: &Parts) -> Result<(), Error> {
    if !parts.headers.contains_key(TRANSFER_ENCODING) {
        return Ok(());
    }
    if parts.version != Version::HTTP_11 {
        return Err(Error::Malformed("Transfer-Encoding in an HTTP/1.0 request."));
    }
    // Hyper has dropped a Content-Length beside it already, and closes after this request.
    if is_chunked_once(&parts.headers) { Ok(()) } else { Err(Error::Coding) }
}

/// Whether the one transfer coding of a message is `chunked`: hyper looks at the last one alone.
pub(crate) fn is_chunked_once(headers: &HeaderMap) -> bool {
    let mut codings = headers.get_all(TRANSFER_ENCODING).iter();
    matches!((codings.next(), codings.next()), (Some(one), None) if one.as_bytes().eq_ignore_ascii_case(b"chunked"))
}

/// The one authority of the request, and its target in origin form (RFC 9112 section 3.2).
fn take_host(parts: &mut Parts) -> Result<Option<HeaderValue>, Error> {
    let mut hosts = parts.headers.get_all(HOST).iter();
    let (host, second) = (hosts.next().cloned(), hosts.next());
    if second.is_some() {
        return Err(Error::Malformed("More than one Host field."));
    }
    if host.is_none() && parts.version != Version::HTTP_10 {
        return Err(Error::Malformed("No Host field."));
    }
    if host.as_ref().is_some_and(|host| !is_authority(host.as_bytes())) {
        return Err(Error::Malformed("The Host field is not a host and port."));
    }
    if parts.uri.path() == "*" && parts.method != Method::OPTIONS {
        return Err(Error::Malformed("The target * is for OPTIONS alone."));
    }
    let Some(authority) = parts.uri.authority() else { return Ok(host) };
    if parts.uri.scheme().is_none() {
        return Err(Error::Malformed("A target without a path is for CONNECT alone."));
    }
    // Absolute form: its authority counts, whatever Host says.
    let host = HeaderValue::try_from(authority.as_str())
        .ok()
        .filter(|host| is_authority(host.as_bytes()))
        .ok_or(Error::Malformed("The target's authority is not a host and port."))?;
    // Its path may be empty, that of origin form may not (RFC 9112 section 3.2.1).
    let path = parts.uri.path_and_query().map_or("/", |path| path.as_str());
    let path = if path.starts_with('/') { Uri::try_from(path) } else { Uri::try_from(format!("/{path}")) };
    parts.uri = path.map_err(|_| Error::Malformed("The target is not a path."))?;
    parts.headers.insert(HOST, host.clone());
    Ok(Some(host))
}

/// `uri-host [ ":" port ]` (RFC 3986 section 3.2), no user information, and not empty unless the whole is.
fn is_authority(host: &[u8]) -> bool {
    let (name, port) = match host.iter().position(|byte| *byte == b']') {
        Some(end) if host.first() == Some(&b'[') => {
            if !host[1..end].iter().all(|byte| byte.is_ascii_hexdigit() || b":.".contains(byte)) {
                return false;
            }
            (&host[..0], &host[end + 1..])
        }
        Some(_) => return false,
        None => host.split_at(host.iter().position(|byte| *byte == b':').unwrap_or(host.len())),
    };
    let port_is_number = match port {
        [] => true,
        [b':', digits @ ..] => std::str::from_utf8(digits).is_ok_and(|digits| {
            digits.is_empty()
                || (digits.bytes().all(|byte| byte.is_ascii_digit()) && digits.parse::<u16>().is_ok())
        }),
        _ => false,
    };
    name.iter().all(|byte| IN_NAMES[usize::from(*byte)]) && port_is_number
}

/// The bytes of a registered name or IPv4 address (RFC 3986 section 3.2.2), less the comma, at which some split.
static IN_NAMES: [bool; 256] = {
    let (mut table, mut byte) = ([false; 256], 0);
    while byte < 128 {
        let plain = byte as u8;
        table[byte] = plain.is_ascii_alphanumeric()
            || matches!(
                plain,
                b'-' | b'.'
                    | b'_'
                    | b'~'
                    | b'!'
                    | b'$'
                    | b'&'
                    | b'\''
                    | b'('
                    | b')'
                    | b'*'
                    | b'+'
                    | b';'
                    | b'='
                    | b'%'
            );
        byte += 1;
    }
    table
};

/// Drops what a stranger claims about who asks.
pub(crate) fn drop_identity(headers: &mut HeaderMap) {
    let claims = find(headers, |name| is_claim(name) || is_alias(name, headers));
    drop_all(headers, &claims);
}

/// `Max-Forwards` of OPTIONS and TRACE counts proxies (RFC 9110 section 7.6.2).
fn count_hops(method: &Method, headers: &mut HeaderMap) -> Result<(), Error> {
    if *method != Method::OPTIONS && *method != Method::TRACE {
        return Ok(());
    }
    let Some(hops) = headers.get(MAX_FORWARDS) else { return Ok(()) };
    match hops.to_str().ok().and_then(|hops| hops.parse::<u32>().ok()) {
        Some(0) => Err(Error::LastHop),
        Some(hops) => {
            headers.insert(MAX_FORWARDS, HeaderValue::from(hops - 1));
            Ok(())
        }
        None => Err(Error::Malformed("Max-Forwards is not a number.")),
    }
}

/// Fields that nearly every worker is told: the address, scheme and host, the id, and Via.
const TOLD: usize = 5;

/// What the client would change to, less h2c: in that tunnel requests would pass unseen.
fn protocols(headers: &HeaderMap) -> Option<HeaderValue> {
    let offered = tokens(headers, &UPGRADE).filter(|protocol| {
        let name = protocol.split('/').next().unwrap_or_default().trim();
        !name.is_empty() && !name.eq_ignore_ascii_case("h2c")
    });
    let offered: Vec<&str> = offered.collect();
    HeaderValue::try_from(offered.join(", ")).ok().filter(|list| !list.is_empty())
}

fn has_token(headers: &HeaderMap, name: &HeaderName, token: &str) -> bool {
    tokens(headers, name).any(|found| found.eq_ignore_ascii_case(token))
}

fn tokens<'a>(headers: &'a HeaderMap, name: &HeaderName) -> impl Iterator<Item = &'a str> {
    let lines = headers.get_all(name).into_iter().filter_map(|value| value.to_str().ok());
    lines.flat_map(|line| line.split(',')).map(|token| token.split(';').next().unwrap_or_default().trim())
}

#[cfg(test)]
mod tests;
