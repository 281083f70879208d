//! The `Forwarded` field (RFC 7239): a list of hops, each some `name=value` pairs.

use crate::origin::{address, is_believed};
use http::header::{FORWARDED, HeaderMap, HeaderValue};
use ipnet::IpNet;
use std::fmt::Write;
use std::net::IpAddr;

/// What trusted proxies vouch for: the hops from the end up to the first whose `for` is no trusted proxy. Nothing of a
/// field that is not well formed: somebody else might read it otherwise.
pub(crate) fn vouched(headers: &HeaderMap, believed: &[IpNet]) -> String {
    let lines = headers.get_all(FORWARDED).into_iter().map(HeaderValue::to_str);
    let Ok(lines) = lines.collect::<Result<Vec<_>, _>>() else { return String::new() };
    let list = lines.join(", ");
    let Some(hops) = split(&list, b',') else { return String::new() };
    let hops: Vec<&str> = hops.into_iter().filter(|hop| !hop.is_empty()).collect();
    let is_proxy = |hop: &&str| sender(hop).is_some_and(|sender| is_believed(sender, believed));
    let proxies = hops.iter().rev().take_while(|hop| is_proxy(hop)).count();
    hops[hops.len().saturating_sub(proxies + 1)..].join(", ")
}

/// Adds a hop.
pub(crate) fn append(list: &mut String, peer: IpAddr, scheme: &HeaderValue, host: Option<&HeaderValue>) {
    if !list.is_empty() {
        list.push_str(", ");
    }
    // A string takes everything.
    let _ = match peer {
        IpAddr::V4(address) => write!(list, "for={address}"),
        IpAddr::V6(address) => write!(list, "for=\"[{address}]\""),
    };
    for (name, value) in [("host", host), ("proto", Some(scheme))] {
        let Some(value) = value.and_then(|value| value.to_str().ok()).filter(|value| !value.is_empty())
        else {
            continue;
        };
        let _ = match value.bytes().all(is_token) {
            true => write!(list, ";{name}={value}"),
            // An authority and a scheme have no quotes or backslashes in them.
            false => write!(list, ";{name}=\"{value}\""),
        };
    }
}

/// Where a hop says that its request came from; nothing for `unknown` and names of the proxy's own.
fn sender(hop: &str) -> Option<IpAddr> {
    let mut pairs = split(hop, b';')?.into_iter().filter_map(|pair| pair.split_once('='));
    let (_, node) = pairs.find(|(name, _)| name.trim().eq_ignore_ascii_case("for"))?;
    let node = node.trim();
    address(node.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).unwrap_or(node))
}

/// The trimmed parts between separators that are not in quotes; nothing if a quote does not end.
fn split(text: &str, separator: u8) -> Option<Vec<&str>> {
    let (mut parts, mut start, mut quoted, mut escaped) = (Vec::new(), 0, false, false);
    for (place, byte) in text.bytes().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            _ if byte == separator && !quoted => {
                parts.push(text[start..place].trim());
                start = place + 1;
            }
            _ => {}
        }
    }
    parts.push(text[start..].trim());
    (!quoted).then_some(parts)
}

/// `tchar` of RFC 9110 section 5.6.2.
fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}
