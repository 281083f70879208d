//! What a listener is for.

use crate::listener::Endpoint;
use std::fmt;
use std::str::FromStr;
use tls::Protocols;

/// An address, and what is done for those who connect there. `T` is TLS as it was asked for ([`tls::Options`]), or ready
/// for handshakes ([`tls::Terminator`]).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listener<T> {
    /// Where clients connect.
    pub endpoint: Endpoint,
    /// Whether their connections begin with a PROXY header.
    pub proxy_protocol: ProxyProtocol,
    /// What they get there.
    pub role: Role<T>,
}

/// Whether connections begin with a header of the PROXY protocol (version 1 or 2, as HAProxy's proxy-protocol.txt has
/// it), in which a load balancer says whose connection it passes on. There is no "perhaps": then strangers could say it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ProxyProtocol {
    /// None does.
    #[default]
    Off,
    /// Each does; others are closed.
    Required,
}

impl fmt::Display for ProxyProtocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Off => "off",
            Self::Required => "required",
        })
    }
}

/// What is done for those who connect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Role<T> {
    /// Their requests are answered by workers. HTTP/2 is for those who know beforehand that it is spoken.
    Http(Protocols),
    /// The same, inside TLS.
    Https(T),
    /// They are sent to https.
    Redirect(HttpsPort),
}

impl Listener<tls::Options> {
    /// Reads the certificates, if it is to have any.
    ///
    /// # Errors
    /// What is wrong with them.
    pub fn load(self) -> Result<Listener<tls::Terminator>, tls::Error> {
        let role = match self.role {
            Role::Http(protocols) => Role::Http(protocols),
            Role::Https(options) => Role::Https(tls::Terminator::load(options)?),
            Role::Redirect(port) => Role::Redirect(port),
        };
        Ok(Listener { endpoint: self.endpoint, proxy_protocol: self.proxy_protocol, role })
    }
}

impl<T> fmt::Display for Listener<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.role {
            Role::Http(_) => write!(f, "{}", self.endpoint)?,
            Role::Https(_) => write!(f, "{} with TLS", self.endpoint)?,
            Role::Redirect(port) => write!(f, "{}, redirecting to {port}", self.endpoint)?,
        }
        match self.proxy_protocol {
            ProxyProtocol::Off => Ok(()),
            ProxyProtocol::Required => f.write_str(" behind a PROXY header"),
        }
    }
}

/// The port that clients are sent to, as they see it: outside a container it may be another than the listener's own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HttpsPort(u16);

impl HttpsPort {
    /// As it follows the host in a URL: nothing if it is the default of https.
    pub(crate) fn suffix(self) -> String {
        match self.0 {
            DEFAULT_PORT => String::new(),
            port => format!(":{port}"),
        }
    }
}

impl fmt::Display for HttpsPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "https{}", self.suffix())
    }
}

/// Text that says nowhere to send clients to.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("'{0}' is no place to send clients to; write https, or https:8443 for a port other than 443")]
pub struct HttpsPortError(String);

impl FromStr for HttpsPort {
    type Err = HttpsPortError;

    fn from_str(text: &str) -> Result<Self, HttpsPortError> {
        let wrong = || HttpsPortError(text.to_owned());
        match text.strip_prefix("https").ok_or_else(wrong)?.strip_prefix(':') {
            None if text == "https" => Ok(Self(DEFAULT_PORT)),
            Some(port) => port.parse().ok().filter(|port| *port != 0).map(Self).ok_or_else(wrong),
            None => Err(wrong()),
        }
    }
}

const DEFAULT_PORT: u16 = 443;
