//! Where a worker listens.

use crate::Stream;
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::FileTypeExt;
use std::path::PathBuf;
use tokio::net::{TcpStream, UnixStream};

/// Where a worker listens: a unix socket in the pool's private folder, or a loopback port.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Address {
    /// A unix socket's path.
    Unix(PathBuf),
    /// A loopback address and port.
    Tcp(SocketAddr),
}

impl Address {
    /// Opens a connection, with `TCP_NODELAY` where that exists.
    ///
    /// # Errors
    /// What `connect(2)` reports: `ConnectionRefused` or `NotFound` where nobody listens, `WouldBlock` where a unix
    /// socket's backlog is full. Where another file took the socket's place, a link above all: `ConnectionRefused`.
    pub async fn connect(&self) -> io::Result<Stream> {
        match self {
            Self::Unix(path) => {
                // connect(2) would follow a link to wherever it leads.
                if !path.symlink_metadata()?.file_type().is_socket() {
                    return Err(io::ErrorKind::ConnectionRefused.into());
                }
                UnixStream::connect(path).await.map(Stream::from)
            }
            Self::Tcp(address) => {
                let stream = TcpStream::connect(address).await?;
                stream.set_nodelay(true)?;
                Ok(stream.into())
            }
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
            Self::Tcp(address) => write!(f, "{address}"),
        }
    }
}
