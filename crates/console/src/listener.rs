//! Opening the admin address: a loopback port, or a unix socket that only its owner may use.

use crate::AdminAddress;
use socket2::{Domain, SockAddr, Socket, Type};
use std::fs::Permissions;
use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::{Path, PathBuf};
use supervisor::Stream;
use tokio::net::{TcpListener, UnixListener};

/// Why the admin API cannot listen. Displays as one line with the remedy.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// Other machines could reach it.
    #[error("admin address {0} can be reached from other machines; use 127.0.0.1, [::1] or unix:/path")]
    Remote(AdminAddress),
    /// Somebody listens there.
    #[error("admin address {0} is in use; is another antifreeze running? choose another address, or off")]
    InUse(AdminAddress),
    /// There is a file that is no socket where the socket should be.
    #[error(
        "cannot listen on unix:{0}: a file that is no socket is there; remove it, or choose another path"
    )]
    NoSocket(PathBuf),
    /// Anything else that the system objects to.
    #[error("cannot listen on admin address {address}: {source}")]
    System {
        /// The address.
        address: AdminAddress,
        /// What it said.
        source: io::Error,
    },
    /// A metric of the same name is registered already.
    #[error("cannot register metrics: {0}")]
    Metrics(#[from] prometheus::Error),
}

/// Connections that come in.
#[derive(Debug)]
pub(crate) enum Listener {
    Tcp(TcpListener),
    /// With the path, whose file goes when the listener does.
    Unix(UnixListener, SocketFile),
}

/// The file of a socket we listen on.
#[derive(Debug)]
pub(crate) struct SocketFile(PathBuf);

impl Drop for SocketFile {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

impl Listener {
    pub(crate) fn bind(address: &AdminAddress) -> Result<Self, BindError> {
        let opened = match address {
            AdminAddress::Tcp(address) => bind_tcp(*address),
            AdminAddress::Unix(path) => {
                clear(path)?;
                bind_unix(path)
            }
        };
        opened.map_err(|source| match source.kind() {
            io::ErrorKind::AddrInUse => BindError::InUse(address.clone()),
            _ => BindError::System { address: address.clone(), source },
        })
    }

    /// The address with the port that the system chose.
    pub(crate) fn address(&self) -> io::Result<AdminAddress> {
        match self {
            Self::Tcp(listener) => listener.local_addr().map(AdminAddress::Tcp),
            Self::Unix(_, file) => Ok(AdminAddress::Unix(file.0.clone())),
        }
    }

    pub(crate) async fn accept(&self) -> io::Result<Stream> {
        match self {
            Self::Tcp(listener) => listener.accept().await.map(|(stream, _)| Stream::from(stream)),
            Self::Unix(listener, _) => listener.accept().await.map(|(stream, _)| Stream::from(stream)),
        }
    }
}

fn bind_tcp(address: SocketAddr) -> io::Result<Listener> {
    let listener = std::net::TcpListener::bind(address)?;
    listener.set_nonblocking(true)?;
    TcpListener::from_std(listener).map(Listener::Tcp)
}

/// Nobody can connect between `bind` and `listen`, so the file is private before it is of any use.
fn bind_unix(path: &Path) -> io::Result<Listener> {
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    socket.bind(&SockAddr::unix(path)?)?;
    let file = SocketFile(path.to_owned());
    std::fs::set_permissions(path, Permissions::from_mode(0o600))?;
    socket.listen(BACKLOG)?;
    socket.set_nonblocking(true)?;
    UnixListener::from_std(socket.into()).map(|listener| Listener::Unix(listener, file))
}

/// Removes the socket that a killed process left behind; one that somebody listens on stays.
fn clear(path: &Path) -> Result<(), BindError> {
    let Ok(file) = std::fs::symlink_metadata(path) else { return Ok(()) };
    if !file.file_type().is_socket() {
        return Err(BindError::NoSocket(path.to_owned()));
    }
    match std::os::unix::net::UnixStream::connect(path) {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => std::fs::remove_file(path)
            .map_err(|source| BindError::System { address: AdminAddress::Unix(path.to_owned()), source }),
        Ok(_) | Err(_) => Err(BindError::InUse(AdminAddress::Unix(path.to_owned()))),
    }
}

/// Connections that may wait to be accepted.
const BACKLOG: i32 = 128;
