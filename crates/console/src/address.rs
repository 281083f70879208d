//! Where the admin API listens.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;
use supervisor::Stream;
use tokio::net::{TcpStream, UnixStream};

/// What the operator chose for the admin API: `off`, or an address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Admin {
    /// No admin API.
    Off,
    /// It listens here.
    At(AdminAddress),
}

/// Where the admin API listens: `127.0.0.1:9900`, `[::1]:9900`, `unix:/run/antifreeze.sock`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AdminAddress {
    /// An IP address and port; port 0 lets the system choose.
    Tcp(SocketAddr),
    /// A unix socket's path.
    Unix(PathBuf),
}

/// What was written is no admin address.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no admin address; write 127.0.0.1:9900, [::1]:9900, unix:/path/to/socket, or off")]
pub struct AddressError(String);

impl AdminAddress {
    /// Whether other machines can reach it.
    pub fn is_remote(&self) -> bool {
        match self {
            Self::Tcp(address) => !address.ip().to_canonical().is_loopback(),
            Self::Unix(_) => false,
        }
    }

    /// Opens a connection to an admin API.
    ///
    /// # Errors
    /// What `connect(2)` reports.
    pub async fn connect(&self) -> io::Result<Stream> {
        match self {
            Self::Tcp(address) => TcpStream::connect(address).await.map(Stream::from),
            Self::Unix(path) => UnixStream::connect(path).await.map(Stream::from),
        }
    }
}

impl FromStr for Admin {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        match text {
            "off" => Ok(Self::Off),
            address => address.parse().map(Self::At),
        }
    }
}

impl FromStr for AdminAddress {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        let address = match text.strip_prefix("unix:") {
            Some("") => None,
            Some(path) => Some(Self::Unix(path.into())),
            None => text.parse().ok().map(Self::Tcp),
        };
        address.ok_or_else(|| AddressError(text.to_owned()))
    }
}

impl fmt::Display for Admin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Off => f.write_str("off"),
            Self::At(address) => address.fmt(f),
        }
    }
}

impl fmt::Display for AdminAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => write!(f, "{address}"),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_prints_as_it_is_written() {
        for text in ["off", "127.0.0.1:9900", "[::1]:9900", "0.0.0.0:0", "unix:/run/x.sock"] {
            assert_eq!(text.parse::<Admin>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn what_is_no_address_is_named_in_the_error() {
        for text in
            ["", "9900", "localhost:9900", "127.0.0.1", "unix:", "::1:9900:", "127.0.0.1:99000", "OFF"]
        {
            let error = text.parse::<Admin>().unwrap_err().to_string();
            assert!(error.starts_with(&format!("{text:?} is no admin address")), "{error}");
        }
    }
}
