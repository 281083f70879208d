//! Which pool serves a request: by its host and by how its path begins.
//!
//! A site is a host, a path prefix, and what serves them. Of the sites that match a request, the one with the most
//! particular host counts (exact, then the longest wildcard, then any), and among those the one with the longest path.
//!
//! A path is compared byte by byte as the client sent it and as the worker gets it; nothing is decoded, and no `..` is
//! resolved. So `/a/../b` is below `/a`, and `//b` and `/%62` are not below `/b`: whatever a worker makes of such a path,
//! no request reaches another pool than the one that its first bytes name. Hosts have no second reading to guard
//! against, but several spellings: case, a port, the dot of the root, the forms of an IPv6 address.

use crate::error::Error;
use crate::route::shape::is_ambiguous;
use crate::{Limits, Timeouts};
use http::HeaderMap;
use http::header::HOST;
use std::collections::HashMap;
use std::fmt;
use std::io::Write;
use std::net::Ipv6Addr;
use std::str::FromStr;

/// A part of what clients may ask for, and what serves it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Site {
    /// Which hosts; `None`: any.
    pub host: Option<Host>,
    /// Which paths.
    pub path: Prefix,
    /// Who serves it: the place of an app among those that the proxy is [started](crate::start) with.
    pub app: usize,
    /// How long each step of a request may take. What is over before a request's site is known, or begins when it is
    /// over (`handshake`, `header`, `keep_alive`), is the same for all: that of [`Options`](crate::Options).
    pub timeouts: Timeouts,
    /// Bytes of a request's body: 413. `None`: no limit.
    pub body_bytes: Option<u64>,
}

impl Site {
    /// All that anybody may ask for, served by the first app.
    pub fn everything(timeouts: Timeouts, limits: &Limits) -> Self {
        Self { host: None, path: Prefix::default(), app: 0, timeouts, body_bytes: limits.body_bytes }
    }
}

/// The hosts of a site: `api.example.com`, `[::1]`, or `*.example.com` for all names that end so.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Host {
    breadth: Breadth,
    /// In lower case, without a dot at the end; of a wildcard, what is behind `*.`.
    name: Box<str>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Breadth {
    /// This name.
    Exact,
    /// Every name that ends in a dot and this name.
    Wildcard,
}

/// What was written is not the host of a site.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum HostError {
    /// A port behind it.
    #[error("'{0}': leave the port out; a route holds for every port")]
    Port(String),
    /// A star where none may be.
    #[error(
        "'{0}': a * stands for what is before a domain, as in *.example.com; for any host leave host out"
    )]
    Star(String),
    /// Neither a name nor an IPv6 address in brackets.
    #[error(
        "'{0}' is no host; write api.example.com, *.example.com or [::1] (a name with other letters as clients send \
         it: xn--…)"
    )]
    NoName(String),
}

impl FromStr for Host {
    type Err = HostError;

    fn from_str(text: &str) -> Result<Self, HostError> {
        let (breadth, name) = match text.strip_prefix("*.") {
            Some(name) => (Breadth::Wildcard, name),
            None => (Breadth::Exact, text),
        };
        if name.contains('*') {
            return Err(HostError::Star(text.to_owned()));
        }
        let no_name = || HostError::NoName(text.to_owned());
        let (is_address, behind) = match name.split_once(']') {
            Some((address, behind)) => (address.starts_with('[') && breadth == Breadth::Exact, behind),
            None => (false, name.trim_start_matches(|c| c != ':')),
        };
        if let Some(port) = behind.strip_prefix(':')
            && port.bytes().all(|byte| byte.is_ascii_digit())
        {
            return Err(HostError::Port(text.to_owned()));
        }
        let mut buffer = [0; LONGEST_HOST];
        let spelled =
            canonical(name.as_bytes(), &mut buffer).filter(|_| behind.is_empty()).ok_or_else(no_name)?;
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
        let is_name = spelled.split('.').all(|label| !label.is_empty() && label.bytes().all(plain));
        match is_address || is_name {
            true => Ok(Self { breadth, name: spelled.into() }),
            false => Err(no_name()),
        }
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.breadth {
            Breadth::Exact => f.write_str(&self.name),
            Breadth::Wildcard => write!(f, "*.{}", self.name),
        }
    }
}

/// How the paths of a site begin: with these whole segments. `/v1` stands for `/v1` and all below it, but not for
/// `/v10`; `/` for all, and for the `*` of OPTIONS.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Prefix(Box<str>);

/// What was written is not the path of a site.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PrefixError {
    /// It does not begin with a slash.
    #[error("'{0}': begin with a slash, as in /v1")]
    NoSlash(String),
    /// It is not whole segments, or a pattern.
    #[error("'{0}': write /v1 for /v1 and all that is below it; no * or {{}}, and no slash at the end")]
    Pattern(String),
    /// A query, a fragment, a space, or what servers read in several ways.
    #[error(
        "'{0}' is not how a path begins: write it without ? # ; \\ // /./ and /../, and anything but plain characters \
         as clients send it (%20 for a space)"
    )]
    NoPath(String),
    /// Too long.
    #[error("a path of {0} bytes; write {LONGEST_PREFIX} at the most")]
    TooLong(usize),
}

impl Default for Prefix {
    /// `/`
    fn default() -> Self {
        Self("/".into())
    }
}

impl FromStr for Prefix {
    type Err = PrefixError;

    fn from_str(text: &str) -> Result<Self, PrefixError> {
        let plain = |byte: u8| byte.is_ascii_graphic() && byte != b'?' && byte != b'#';
        if !text.starts_with('/') {
            Err(PrefixError::NoSlash(text.to_owned()))
        } else if text.len() > LONGEST_PREFIX {
            Err(PrefixError::TooLong(text.len()))
        } else if is_ambiguous(text) || !text.bytes().all(plain) {
            Err(PrefixError::NoPath(text.to_owned()))
        } else if text.contains(['*', '{', '}']) || (text.ends_with('/') && text != "/") {
            Err(PrefixError::Pattern(text.to_owned()))
        } else {
            Ok(Self(text.into()))
        }
    }
}

impl fmt::Display for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// All sites, arranged to be found: each by its place among them.
#[derive(Debug, Default)]
pub(crate) struct Sites {
    /// By name.
    exact: HashMap<Box<str>, Paths>,
    /// By what is behind `*.`.
    wildcards: HashMap<Box<str>, Paths>,
    any: Paths,
}

impl Sites {
    pub(crate) fn new(sites: &[Site]) -> Self {
        let mut all = Self::default();
        for (place, site) in sites.iter().enumerate() {
            let paths = match &site.host {
                None => &mut all.any,
                Some(Host { breadth: Breadth::Exact, name }) => all.exact.entry(name.clone()).or_default(),
                Some(Host { breadth: Breadth::Wildcard, name }) => {
                    all.wildcards.entry(name.clone()).or_default()
                }
            };
            paths.insert(&site.path, place);
        }
        all
    }

    /// The site of a request, by its `Host`, if any site names one, and by the path of its target.
    ///
    /// # Errors
    /// [`Error::Misdirected`] if no site is of this host, whatever the path; else [`Error::NoRoute`].
    pub(crate) fn find(&self, fields: &HeaderMap, path: &str) -> Result<usize, Error> {
        let mut is_served = !self.any.is_empty();
        if !(self.exact.is_empty() && self.wildcards.is_empty()) {
            let mut buffer = [0; LONGEST_HOST];
            let host = fields.get(HOST).and_then(|host| canonical(host.as_bytes(), &mut buffer));
            for paths in host.into_iter().flat_map(|host| self.of(host)) {
                is_served = true;
                if let Some(site) = paths.find(path) {
                    return Ok(site);
                }
            }
        }
        self.any.find(path).ok_or(if is_served { Error::NoRoute } else { Error::Misdirected })
    }

    /// The sites that name this host, the most particular first.
    fn of(&self, host: &str) -> impl Iterator<Item = &Paths> {
        let domains = host.match_indices('.').filter(|(dot, _)| *dot > 0).map(|(dot, _)| &host[dot + 1..]);
        let wildcards = domains.filter_map(|domain| self.wildcards.get(domain));
        self.exact.get(host).into_iter().chain(wildcards)
    }
}

/// The paths of one host, by segment. The root is `/`.
#[derive(Debug, Default)]
struct Paths {
    site: Option<usize>,
    below: HashMap<Box<str>, Paths>,
}

impl Paths {
    fn insert(&mut self, Prefix(path): &Prefix, site: usize) {
        let segments = path.split('/').filter(|segment| !segment.is_empty());
        segments.fold(self, |paths, segment| paths.below.entry(segment.into()).or_default()).site =
            Some(site);
    }

    fn find(&self, path: &str) -> Option<usize> {
        let (mut paths, mut found) = (self, self.site);
        if paths.below.is_empty() {
            return found;
        }
        // Before the first slash is nothing, or the `*` of OPTIONS.
        for segment in path.split('/').skip(1) {
            let Some(next) = paths.below.get(segment) else { break };
            paths = next;
            found = paths.site.or(found);
        }
        found
    }

    fn is_empty(&self) -> bool {
        self.site.is_none() && self.below.is_empty()
    }
}

/// The one spelling of a host (RFC 3986 section 6.2.2.1: in lower case), less its port. Nothing for an empty one, and for
/// one that is too long to be a name.
fn canonical<'a>(host: &[u8], buffer: &'a mut [u8; LONGEST_HOST]) -> Option<&'a str> {
    let length = if let Some(rest) = host.strip_prefix(b"[") {
        let address = rest.split(|byte| *byte == b']').next()?;
        let address: Ipv6Addr = std::str::from_utf8(address).ok()?.parse().ok()?;
        let mut room = &mut buffer[..];
        write!(room, "[{address}]").ok()?;
        LONGEST_HOST - room.len()
    } else {
        let name = host.split(|byte| *byte == b':').next()?;
        let name = name.strip_suffix(b".").unwrap_or(name);
        if name.is_empty() {
            return None;
        }
        let room = buffer.get_mut(..name.len())?;
        room.copy_from_slice(name);
        room.make_ascii_lowercase();
        name.len()
    };
    std::str::from_utf8(&buffer[..length]).ok()
}

/// Of a name in DNS (RFC 1035 section 2.3.4), as text without the dot of the root.
const LONGEST_HOST: usize = 253;

/// Bytes of a prefix: a tree of them is never deep.
const LONGEST_PREFIX: usize = 1024;

#[cfg(test)]
mod tests;
