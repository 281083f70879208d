//! Who asks, and how a worker is told.
//!
//! What a stranger says in forwarding fields is replaced by what is seen. What a trusted proxy says is kept and added to,
//! but no more of its lists than trusted proxies vouch for: entries are in the order of the way, so the last one that is
//! no trusted proxy is the client, and what stands before it is what that client claims.

use crate::clients::{Full, Seat, Turn};
use crate::forwarded;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::header::{Entry, FORWARDED, HeaderMap, HeaderName, HeaderValue};
use ipnet::IpNet;
use rustls::pki_types::CertificateDer;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

/// Where a connection's requests come from.
#[derive(Debug)]
pub(crate) struct Origin {
    /// The address at the other end; nothing for a unix socket.
    pub(crate) peer: Option<IpAddr>,
    /// The proxies that are believed, if the peer is one of them.
    believed: Option<Arc<[IpNet]>>,
    /// The peer's address as text, written once a connection.
    address: Option<HeaderValue>,
    /// `http` or `https`.
    scheme: HeaderValue,
    /// The certificate that the client showed, as RFC 9440 writes it.
    certificate: Option<HeaderValue>,
    seat: Seat,
}

impl Origin {
    pub(crate) fn new(peer: Option<IpAddr>, believed: Option<Arc<[IpNet]>>, seat: Seat) -> Self {
        let address = peer.map(|peer| {
            let mut text = Vec::with_capacity(LONGEST_ADDRESS);
            logs::push_address(&mut text, peer.to_canonical());
            HeaderValue::try_from(text).expect("an IP address is plain text")
        });
        let scheme = HeaderValue::from_static("http");
        Self { peer, believed, address, scheme, certificate: None, seat }
    }

    /// The same, inside TLS, with the certificate that the client showed.
    pub(crate) fn secured(self, certificate: Option<&CertificateDer<'_>>) -> Self {
        let certificate = certificate.map(|bytes| {
            HeaderValue::try_from(format!(":{}:", STANDARD.encode(bytes))).expect("base64 is plain text")
        });
        Self { scheme: HeaderValue::from_static("https"), certificate, ..self }
    }

    /// Who asked: what trusted proxies vouch for, else the peer.
    pub(crate) fn client(&self, headers: &HeaderMap) -> Option<IpAddr> {
        let vouched = || Some(vouched(&entries(headers), self.believed.as_deref()?).client?.to_canonical());
        vouched().or_else(|| self.peer.map(|peer| peer.to_canonical()))
    }

    /// Counts a request, if whoever asks is counted.
    ///
    /// # Errors
    /// When the client has as many in flight as it may.
    pub(crate) fn begin(&self, headers: &HeaderMap) -> Result<Option<Turn>, Full> {
        if self.believed.is_none() {
            return self.seat.begin();
        }
        match self.client(headers) {
            Some(client) => self.seat.account().begin(client),
            None => Ok(None),
        }
    }

    /// Whether the peer's own word on this field is kept.
    pub(crate) fn keeps(&self, name: &str) -> bool {
        self.believed.is_some() || !is_claim(name)
    }

    /// What is vouched for of the lists in these fields, before anything of them is dropped.
    pub(crate) fn lists(&self, headers: &HeaderMap) -> Lists {
        let Some(believed) = &self.believed else { return Lists::default() };
        let entries = entries(headers);
        let kept = vouched(&entries, believed).entries;
        let addresses = (kept > 0).then(|| entries[entries.len() - kept..].join(", "));
        let forwarded = headers.contains_key(FORWARDED).then(|| forwarded::vouched(headers, believed));
        Lists { addresses, forwarded }
    }

    /// Writes the fields for the worker, with this peer in them.
    pub(crate) fn tell(&self, headers: &mut HeaderMap, lists: Lists, host: Option<&HeaderValue>) {
        match (lists.addresses, &self.address) {
            (None, Some(address)) => {
                headers.insert(FORWARDED_FOR, address.clone());
            }
            (Some(mut list), address) => {
                if let Some(address) = address.as_ref().and_then(|address| address.to_str().ok()) {
                    list.push_str(", ");
                    list.push_str(address);
                }
                set(headers, FORWARDED_FOR, list);
            }
            (None, None) => {
                headers.remove(FORWARDED_FOR);
            }
        }
        if let Some(mut list) = lists.forwarded {
            if let Some(peer) = self.peer {
                forwarded::append(&mut list, peer.to_canonical(), &self.scheme, host);
            }
            set(headers, FORWARDED, list);
        }
        if let Entry::Vacant(place) = headers.entry(FORWARDED_PROTO) {
            place.insert(self.scheme.clone());
        }
        if let Some(certificate) = &self.certificate
            && let Entry::Vacant(place) = headers.entry(CLIENT_CERT)
        {
            place.insert(certificate.clone());
        }
        if let (Entry::Vacant(place), Some(host)) = (headers.entry(FORWARDED_HOST), host) {
            place.insert(host.clone());
        }
    }
}

/// The lists of forwarding fields as far as somebody vouches for them.
#[derive(Debug, Default)]
pub(crate) struct Lists {
    /// Of `X-Forwarded-For`.
    addresses: Option<String>,
    /// Of `Forwarded`: nothing if the request has none, since few apps read it.
    forwarded: Option<String>,
}

impl Lists {
    /// Notes what was dropped: a worker that gets `Forwarded` gets ours.
    pub(crate) fn replace(&mut self, dropped: &[HeaderName]) {
        if dropped.contains(&FORWARDED) {
            self.forwarded.get_or_insert_default();
        }
    }
}

/// A list, or nothing where it is empty.
fn set(headers: &mut HeaderMap, name: HeaderName, list: String) {
    match HeaderValue::try_from(list) {
        Ok(list) if !list.is_empty() => headers.insert(name, list),
        Ok(_) | Err(_) => headers.remove(name),
    };
}

/// The entries of all lines of `X-Forwarded-For`: a list may be spread over several (RFC 9110 section 5.3).
fn entries(headers: &HeaderMap) -> Vec<&str> {
    let lines = headers.get_all(FORWARDED_FOR).into_iter().filter_map(|line| line.to_str().ok());
    lines.flat_map(|line| line.split(',')).map(str::trim).filter(|entry| !entry.is_empty()).collect()
}

/// How far a list is vouched for.
struct Vouched {
    /// Entries, from the end.
    entries: usize,
    /// The first of them, or the next one that is an address.
    client: Option<IpAddr>,
}

/// From its end up to the first entry that is no trusted proxy.
fn vouched(entries: &[&str], believed: &[IpNet]) -> Vouched {
    let mut vouched = Vouched { entries: 0, client: None };
    for entry in entries.iter().rev() {
        vouched.entries += 1;
        let address = address(entry);
        vouched.client = address.or(vouched.client);
        if !address.is_some_and(|address| is_believed(address, believed)) {
            break;
        }
    }
    vouched
}

pub(crate) fn is_believed(address: IpAddr, believed: &[IpNet]) -> bool {
    let address = address.to_canonical();
    believed.iter().any(|block| block.contains(&address))
}

/// An address as proxies write it: with a port or without, an IPv6 one in brackets or bare.
pub(crate) fn address(text: &str) -> Option<IpAddr> {
    let bare = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(text);
    bare.parse().ok().or_else(|| text.parse::<SocketAddr>().ok().map(|address| address.ip()))
}

pub(crate) const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const CLIENT_CERT: HeaderName = HeaderName::from_static("client-cert");
const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");

/// Bytes of the longest address as text: one of IPv6.
const LONGEST_ADDRESS: usize = 39;

/// Fields that say who asks, and for what, in the place of what is seen: those of strangers are dropped.
pub(crate) fn is_claim(name: &str) -> bool {
    name.starts_with("x-forwarded-")
        || matches!(name, "forwarded" | "x-real-ip" | "x-request-id" | "client-cert" | "client-cert-chain")
}

/// Fields that a CGI-style environment (WSGI, Rack, PHP) cannot tell from others: there `X_Forwarded_For`,
/// `X.Forwarded.For` and `X-Forwarded-For` become one variable. Those go that would pass for a field of ours, for one that
/// an authenticating proxy sets, or for another one of the same request.
pub(crate) fn is_alias(name: &str, headers: &HeaderMap) -> bool {
    name.bytes().any(|byte| byte == b'_' || byte == b'.') && {
        let plain = name.replace(['_', '.'], "-");
        is_claim(&plain)
            || plain.starts_with("remote-")
            || plain.starts_with("x-remote-")
            || crate::request::is_ours(&plain)
            || headers.contains_key(plain.as_str())
    }
}
