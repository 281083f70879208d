//! What the operator asks of TLS on one listener.

use std::fmt;
use std::path::PathBuf;

/// TLS on one listener.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// Who the server says it is.
    pub identity: Identity,
    /// The oldest version that is spoken.
    pub min_version: Version,
    /// Whether clients show certificates.
    pub client_auth: ClientAuth,
    /// Which versions of HTTP are offered.
    pub protocols: Protocols,
}

/// Who the server says it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Identity {
    /// A certificate for this machine alone, made when the program starts and gone when it ends.
    SelfSigned,
    /// Those in these files. The first is for clients that name no host, or one that no certificate has.
    Files(Vec<Pair>),
}

/// The files of one certificate, in PEM; both may be one file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pair {
    /// The server's certificate, and after it those that lead to a root.
    pub chain: PathBuf,
    /// Its private key, not encrypted.
    pub key: PathBuf,
}

/// A version of TLS. Older ones are broken (RFC 8996).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Version {
    /// TLS 1.2 (RFC 5246).
    #[default]
    Tls12,
    /// TLS 1.3 (RFC 8446).
    Tls13,
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Tls12 => "1.2",
            Self::Tls13 => "1.3",
        })
    }
}

/// Whether clients show certificates, and a file of those that must have signed them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClientAuth {
    /// They are not asked.
    Off,
    /// They are asked. One that is shown must be good.
    Optional(PathBuf),
    /// Who shows none, or not a good one, is not served.
    Required(PathBuf),
}

impl ClientAuth {
    /// The file of the authorities that sign clients' certificates.
    pub fn authorities(&self) -> Option<&PathBuf> {
        match self {
            Self::Off => None,
            Self::Optional(path) | Self::Required(path) => Some(path),
        }
    }
}

/// The versions of HTTP that a listener speaks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Protocols {
    /// HTTP/1.1 alone.
    Http1,
    /// HTTP/2 with clients that want it, else HTTP/1.1.
    #[default]
    Http2AndHttp1,
}

impl Protocols {
    /// As they are offered inside TLS, the preferred one first (ALPN, RFC 7301).
    pub(crate) fn alpn(self) -> &'static [&'static [u8]] {
        match self {
            Self::Http1 => &[b"http/1.1"],
            Self::Http2AndHttp1 => &[ALPN_HTTP2, b"http/1.1"],
        }
    }
}

/// What a client chose that speaks HTTP/2 inside TLS (RFC 9113 section 3.2).
pub const ALPN_HTTP2: &[u8] = b"h2";
