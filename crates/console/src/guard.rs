//! Who may ask. The admin API trusts its address (loopback, or a socket that only its owner opens), and a browser on
//! the same machine can be made to reach that address by any page. So a request must look as if no page sent it:
//!
//! - its `Host` names this machine by a loopback name or an IP literal, which DNS rebinding cannot fake;
//! - it has no `Origin` but its own, and no `Sec-Fetch-*` that tells of another site or of a script
//!   (Fetch Metadata Request Headers, W3C).
//!
//! There are no CORS headers, so a page could not read an answer either.

use crate::AdminAddress;
use http::uri::Authority;
use http::{HeaderMap, HeaderName, Uri, header};
use std::net::IpAddr;

/// Why a request was turned away, in words for its sender.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Forbidden {
    /// The host it names is not this machine, or is missing, or named twice.
    Host,
    /// A page of another origin sent it.
    Origin,
    /// A browser sent it on behalf of another site.
    Site,
    /// A browser sent it for a script or as a part of a page.
    Mode,
}

impl Forbidden {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Host => "the Host header must be localhost or an IP address of the admin API",
            Self::Origin => "the request comes from a page of another origin",
            Self::Site => "the request comes from another site (Sec-Fetch-Site)",
            Self::Mode => "the request was not made by navigation (Sec-Fetch-Mode)",
        }
    }
}

/// Judges a request by its head.
pub(crate) fn check(bound: &AdminAddress, uri: &Uri, headers: &HeaderMap) -> Result<(), Forbidden> {
    let host = host(bound, headers)?;
    // An absolute-form target speaks louder than Host (RFC 9112 section 3.2.2).
    if uri.authority().is_some_and(|authority| !is_ours(bound, authority.as_str())) {
        return Err(Forbidden::Host);
    }
    let own = format!("http://{host}");
    all(headers, &header::ORIGIN, |origin| origin.eq_ignore_ascii_case(&own), Forbidden::Origin)?;
    all(headers, &SITE, |site| matches!(site, "same-origin" | "none"), Forbidden::Site)?;
    all(headers, &MODE, |mode| matches!(mode, "navigate" | "same-origin"), Forbidden::Mode)
}

/// The one `Host`. Over a unix socket it may be missing or empty: no browser gets there.
fn host<'a>(bound: &AdminAddress, headers: &'a HeaderMap) -> Result<&'a str, Forbidden> {
    let mut hosts = headers.get_all(header::HOST).iter();
    match (hosts.next(), hosts.next(), bound) {
        (None, _, AdminAddress::Unix(_)) => Ok(""),
        (Some(host), None, AdminAddress::Unix(_)) if host.is_empty() => Ok(""),
        (Some(host), None, _) => {
            host.to_str().ok().filter(|host| is_ours(bound, host)).ok_or(Forbidden::Host)
        }
        (Some(_), Some(_), _) | (None, _, AdminAddress::Tcp(_)) => Err(Forbidden::Host),
    }
}

/// Whether this names the machine itself. The port is not compared: a forwarded port has another number.
fn is_ours(bound: &AdminAddress, authority: &str) -> bool {
    let Ok(authority) = authority.parse::<Authority>() else { return false };
    if authority.as_str().contains('@') || (authority.port().is_none() && authority.as_str().ends_with(':')) {
        return false;
    }
    let host = authority.host();
    if host.eq_ignore_ascii_case("localhost") {
        return true;
    }
    let literal = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(host);
    let Ok(ip) = literal.parse::<IpAddr>().map(|ip| ip.to_canonical()) else { return false };
    ip.is_loopback()
        || match bound {
            AdminAddress::Unix(_) => false,
            // Bound to all addresses it is reached by any; a literal is not subject to rebinding.
            AdminAddress::Tcp(bound) => bound.ip().is_unspecified() || bound.ip().to_canonical() == ip,
        }
}

/// Whether each value of this header is allowed.
fn all(
    headers: &HeaderMap,
    name: &HeaderName,
    allowed: impl Fn(&str) -> bool,
    otherwise: Forbidden,
) -> Result<(), Forbidden> {
    let mut values = headers.get_all(name).iter();
    if values.all(|value| value.to_str().is_ok_and(&allowed)) { Ok(()) } else { Err(otherwise) }
}

static SITE: HeaderName = HeaderName::from_static("sec-fetch-site");
static MODE: HeaderName = HeaderName::from_static("sec-fetch-mode");

#[cfg(test)]
mod tests {
    use super::*;

    const LOOPBACK: &str = "127.0.0.1:9900";
    const UNIX: &str = "unix:/run/x.sock";

    /// Bound address; target; headers, one a line; the verdict.
    #[test]
    fn only_requests_that_no_foreign_page_can_send_are_let_in() {
        use Forbidden::{Host, Mode, Origin, Site};
        let rows: &[(&str, &str, &str, Result<(), Forbidden>)] = &[
            (LOOPBACK, "/", "host: 127.0.0.1:9900", Ok(())),
            (LOOPBACK, "/", "host: localhost:9900", Ok(())),
            (LOOPBACK, "/", "host: LocalHost", Ok(())),
            (LOOPBACK, "/", "host: [::1]:9900", Ok(())),
            (LOOPBACK, "/", "host: 127.9.9.9", Ok(())),
            (LOOPBACK, "/", "host: localhost:19900", Ok(())),
            (LOOPBACK, "http://localhost:9900/", "host: localhost:9900", Ok(())),
            (LOOPBACK, "/", "", Err(Host)),
            (LOOPBACK, "/", "host:", Err(Host)),
            (LOOPBACK, "/", "host: evil.example", Err(Host)),
            (LOOPBACK, "/", "host: evil.example:9900", Err(Host)),
            (LOOPBACK, "/", "host: 127.0.0.1.evil.example", Err(Host)),
            (LOOPBACK, "/", "host: localhost.evil.example", Err(Host)),
            (LOOPBACK, "/", "host: localhost.", Err(Host)),
            (LOOPBACK, "/", "host: localhost@evil.example", Err(Host)),
            (LOOPBACK, "/", "host: evil.example@localhost", Err(Host)),
            (LOOPBACK, "/", "host: localhost, evil.example", Err(Host)),
            (LOOPBACK, "/", "host: 192.0.2.1:9900", Err(Host)),
            (LOOPBACK, "/", "host: localhost:", Err(Host)),
            (LOOPBACK, "/", "host: localhost\nhost: localhost", Err(Host)),
            (LOOPBACK, "/", "host: localhost\nhost: evil.example", Err(Host)),
            (LOOPBACK, "http://evil.example/", "host: localhost", Err(Host)),
            ("192.0.2.1:9900", "/", "host: 192.0.2.1:9900", Ok(())),
            ("192.0.2.1:9900", "/", "host: 192.0.2.2:9900", Err(Host)),
            ("0.0.0.0:9900", "/", "host: 192.0.2.2:9900", Ok(())),
            ("0.0.0.0:9900", "/", "host: evil.example:9900", Err(Host)),
            (UNIX, "/", "host: localhost", Ok(())),
            (UNIX, "/", "host:", Ok(())),
            (UNIX, "/", "", Ok(())),
            (UNIX, "/", "host: evil.example", Err(Host)),
            (LOOPBACK, "/", "host: localhost:9900\norigin: http://localhost:9900", Ok(())),
            (LOOPBACK, "/", "host: localhost:9900\norigin: http://localhost:3000", Err(Origin)),
            (LOOPBACK, "/", "host: localhost:9900\norigin: https://localhost:9900", Err(Origin)),
            (LOOPBACK, "/", "host: localhost:9900\norigin: http://evil.example", Err(Origin)),
            (LOOPBACK, "/", "host: localhost:9900\norigin: null", Err(Origin)),
            (LOOPBACK, "/", "host: localhost:9900\norigin:", Err(Origin)),
            (UNIX, "/", "origin: http://evil.example", Err(Origin)),
            (LOOPBACK, "/", "host: localhost:9900\norigin: http://localhost:9900\norigin: null", Err(Origin)),
            (LOOPBACK, "/", "host: localhost\nsec-fetch-site: none\nsec-fetch-mode: navigate", Ok(())),
            (LOOPBACK, "/", "host: localhost\nsec-fetch-site: same-origin", Ok(())),
            (LOOPBACK, "/", "host: localhost\nsec-fetch-site: cross-site", Err(Site)),
            (LOOPBACK, "/", "host: localhost\nsec-fetch-site: same-site", Err(Site)),
            (LOOPBACK, "/", "host: localhost\nsec-fetch-site: whatever", Err(Site)),
            (LOOPBACK, "/", "host: localhost\nsec-fetch-site: none\nsec-fetch-mode: no-cors", Err(Mode)),
            (LOOPBACK, "/", "host: localhost\nsec-fetch-mode: cors", Err(Mode)),
            (LOOPBACK, "/", "host: localhost\nsec-fetch-mode: websocket", Err(Mode)),
            (LOOPBACK, "/", "host: localhost\nsec-fetch-mode: same-origin", Ok(())),
        ];
        for (bound, target, lines, verdict) in rows {
            let headers = lines.lines().map(|line| {
                let (name, value) = line.split_once(':').unwrap();
                (name.parse::<HeaderName>().unwrap(), value.trim().parse().unwrap())
            });
            let mut map = HeaderMap::new();
            headers.for_each(|(name, value)| {
                map.append(name, value);
            });
            let judged = check(&bound.parse().unwrap(), &target.parse().unwrap(), &map);
            assert_eq!(judged, *verdict, "{bound} {target} {lines:?}");
        }
    }
}
