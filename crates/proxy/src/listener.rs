//! Where clients connect: one socket a thread, all on one address.
//!
//! With `SO_REUSEPORT` the kernel spreads connections over the threads' own queues (socket(7)). The same option would
//! let a second program of this user share the port unnoticed; so the address is first taken without it.

use crate::role::{Listener, ProxyProtocol, Role};
use socket2::{Domain, Protocol, SockAddr, Socket, Type};
use std::fmt;
use std::fs;
use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::FileTypeExt;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::str::FromStr;
use tls::Terminator;

/// An address to listen on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Endpoint {
    /// An IP address and port; port 0 takes a free one.
    Tcp(SocketAddr),
    /// A unix socket, written `unix:/path`.
    Unix(PathBuf),
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => write!(f, "{address}"),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

/// Text that is no address.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not an address; write 127.0.0.1:8000, [::1]:8000, or unix:/path")]
pub struct EndpointError(String);

impl FromStr for Endpoint {
    type Err = EndpointError;

    fn from_str(text: &str) -> Result<Self, EndpointError> {
        match text.strip_prefix("unix:") {
            Some("") => Err(EndpointError(text.to_owned())),
            Some(path) => Ok(Self::Unix(PathBuf::from(path))),
            None => text.parse().map(Self::Tcp).map_err(|_| EndpointError(text.to_owned())),
        }
    }
}

/// An address that could not be taken.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// Somebody has it.
    #[error(
        "{0} is in use: another program listens there (see: ss -ltnp), choose another address with --listen"
    )]
    InUse(Endpoint),
    /// Anything else.
    #[error("cannot listen on {0}: {1}")]
    Other(Endpoint, io::Error),
}

/// Bound sockets, one list a thread.
#[derive(Debug)]
pub struct Listeners {
    bound: Vec<Listener<Terminator>>,
    pub(crate) by_thread: Vec<Vec<Acceptor>>,
}

/// One thread's socket, and what is done for those who connect to it.
#[derive(Debug)]
pub(crate) struct Acceptor {
    pub(crate) socket: ListeningSocket,
    pub(crate) proxy_protocol: ProxyProtocol,
    pub(crate) role: Role<Terminator>,
}

#[derive(Debug)]
pub(crate) enum ListeningSocket {
    Tcp(std::net::TcpListener),
    Unix(std::os::unix::net::UnixListener),
}

impl Listeners {
    /// Takes the addresses, once for each of `threads`.
    ///
    /// # Errors
    /// [`BindError`], one line each.
    pub fn bind(listeners: Vec<Listener<Terminator>>, threads: usize) -> Result<Self, BindError> {
        let mut by_thread: Vec<Vec<Acceptor>> = (0..threads).map(|_| Vec::new()).collect();
        let mut bound = Vec::new();
        for Listener { endpoint, proxy_protocol, role } in listeners {
            let acceptor = |socket| Acceptor { socket, proxy_protocol, role: role.clone() };
            let failed = |error: io::Error| match error.kind() {
                io::ErrorKind::AddrInUse => BindError::InUse(endpoint.clone()),
                _ => BindError::Other(endpoint.clone(), error),
            };
            let endpoint = match &endpoint {
                Endpoint::Tcp(address) => {
                    let address = take(*address).map_err(failed)?;
                    for acceptors in &mut by_thread {
                        let socket = ListeningSocket::Tcp(listen(address).map_err(failed)?);
                        acceptors.push(acceptor(socket));
                    }
                    Endpoint::Tcp(address)
                }
                Endpoint::Unix(path) => {
                    let listener = listen_unix(path).map_err(failed)?;
                    for acceptors in &mut by_thread {
                        let socket = ListeningSocket::Unix(listener.try_clone().map_err(failed)?);
                        acceptors.push(acceptor(socket));
                    }
                    endpoint.clone()
                }
            };
            bound.push(Listener { endpoint, proxy_protocol, role });
        }
        Ok(Self { bound, by_thread })
    }

    /// The listeners as they were bound, with the ports chosen by the system.
    pub fn bound(&self) -> &[Listener<Terminator>] {
        &self.bound
    }
}

/// Makes sure that nobody has the address, and picks the port if none was named.
fn take(address: SocketAddr) -> io::Result<SocketAddr> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.bind(&SockAddr::from(address))?;
    // Two sockets may be bound to a port as long as none listens: only this tells.
    socket.listen(1)?;
    socket.local_addr()?.as_socket().ok_or_else(|| io::ErrorKind::InvalidInput.into())
}

fn listen(address: SocketAddr) -> io::Result<std::net::TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM.nonblocking(), Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(true)?;
    socket.bind(&SockAddr::from(address))?;
    // Inherited by the connections (tcp(7)). Small answers would wait for acknowledgements.
    socket.set_tcp_nodelay(true)?;
    socket.set_tcp_notsent_lowat(MOST_UNSENT)?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

fn listen_unix(path: &PathBuf) -> io::Result<std::os::unix::net::UnixListener> {
    // A socket file outlives its program; it may go if nobody answers behind it, and nothing else may.
    let is_socket = fs::symlink_metadata(path).is_ok_and(|about| about.file_type().is_socket());
    if is_socket
        && UnixStream::connect(path).is_err_and(|error| error.kind() == io::ErrorKind::ConnectionRefused)
    {
        fs::remove_file(path)?;
    }
    let listener = std::os::unix::net::UnixListener::bind(path)?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

/// Bytes of an answer that wait in the kernel for a client's window: by itself it takes up to 4 MiB for each slow reader
/// (`tcp_wmem`), and beyond a limit for all connections (`tcp_mem`) it drops everybody's packets.
const MOST_UNSENT: u32 = 128 * 1024;

/// Connections that wait to be accepted; the kernel cuts it to `net.core.somaxconn`.
const BACKLOG: i32 = 4096;

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{Ipv4Addr, TcpStream};

    #[test]
    fn connections_have_the_options_of_their_listener() {
        let listener = listen((Ipv4Addr::LOCALHOST, 0).into()).expect("a free port");
        listener.set_nonblocking(false).expect("a socket");
        let _client = TcpStream::connect(listener.local_addr().expect("bound")).expect("it listens");
        let accepted = Socket::from(listener.accept().expect("a client").0);
        assert!(accepted.tcp_nodelay().expect("an option"));
        assert_eq!(accepted.tcp_notsent_lowat().expect("an option"), MOST_UNSENT);
    }
}
