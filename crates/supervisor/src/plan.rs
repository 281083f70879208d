//! How a command becomes N commands, each with an address of its own.
//!
//! In this order: a placeholder in the command (`{socket}`, `{port}`, `{fd}`) is filled in; a known server gets its own
//! flag, a unix socket; anything else gets `PORT` in its environment. A unix socket is preferred because it survives
//! every wrapper script, needs no port number, and cannot be taken by a stranger.

use crate::server::{DEFAULT_ALONE, DEFAULT_KEEP_ALIVE, Server, find_flag};
use crate::{Address, PoolOptions, Protocol};
use policy::WorkerId;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::time::Duration;

/// What would run: the command after the address of a worker was worked in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// The server that was recognised, for example `uvicorn`.
    pub server: Option<&'static str>,
    /// How a worker learns its address, in words: `--uds {socket}`, `{port} in the command`, `PORT in the environment`.
    pub address: String,
    /// The command with the places for the address still open.
    pub command: Vec<String>,
    /// How long an idle connection to a worker is kept.
    pub keep_alive: Duration,
    pub(crate) transport: Transport,
    /// The `WEB_CONCURRENCY` of a worker.
    pub(crate) alone: &'static str,
}

/// By what means a worker listens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Transport {
    /// It binds a unix socket whose path it was told.
    Socket,
    /// It listens on an inherited unix socket whose number it was told.
    Inherited,
    /// It binds a loopback port that it was told in its command.
    Port,
    /// It binds a loopback port that it finds in `PORT`.
    PortVariable,
}

/// One worker's own command and address.
#[derive(Debug)]
pub(crate) struct Launch {
    pub(crate) command: Vec<String>,
    pub(crate) address: Address,
    /// The `PORT` of a worker that looks for it in its environment.
    pub(crate) port: Option<u16>,
    /// The listening socket that the process inherits.
    pub(crate) inherited: Option<OwnedFd>,
}

impl Plan {
    /// Works out how the workers of this pool get their addresses.
    ///
    /// # Errors
    /// [`PlanError`] for a command that cannot be given an address of its own.
    pub fn new(options: &PoolOptions) -> Result<Self, PlanError> {
        let command = &options.command;
        if command.first().is_none_or(String::is_empty) {
            return Err(PlanError::Empty);
        }
        let recognised = Server::recognise(command);
        let server = recognised.map(|(server, _)| server.name);
        let keep_alive = options
            .keep_alive
            .or(recognised.map(|(server, _)| server.keep_alive))
            .unwrap_or(DEFAULT_KEEP_ALIVE);
        let alone = recognised.map_or(DEFAULT_ALONE, |(server, _)| server.alone);
        let plan = |address: String, command: &[String], transport| Self {
            server,
            address,
            command: command.to_vec(),
            keep_alive,
            transport,
            alone,
        };
        if let Some((server, position)) = recognised
            && let Some((_, flag)) = find_flag(&command[position + 1..], server.worker_flags)
        {
            return Err(PlanError::OwnWorkers { server: server.name, flag: flag.to_owned() });
        }
        if let Some((server, _)) = recognised
            && options.protocol == Protocol::H2c
            && !server.h2c
        {
            return Err(PlanError::NoHttp2 { server: server.name });
        }
        let holds = |place: &str| command.iter().any(|word| word.contains(place));
        let places: Vec<_> = PLACES.iter().filter(|(place, _)| holds(place)).collect();
        match (places.as_slice(), recognised) {
            ([(place, transport)], _) => Ok(plan(format!("{place} in the command"), command, *transport)),
            ([(one, _), (other, _), ..], _) => Err(PlanError::TwoPlaces { one, other }),
            ([], Some((server, position))) => {
                if let Some((_, flag)) = find_flag(&command[position + 1..], server.address_flags) {
                    return Err(PlanError::OwnAddress { server: server.name, flag: flag.to_owned() });
                }
                // Right behind the name: waitress reads no option behind its first argument.
                let mut command = command.clone();
                let words = server.address.iter().map(|&word| word.to_owned());
                command.splice(position + 1..=position, words);
                Ok(plan(server.address.join(" "), &command, Transport::Socket))
            }
            ([], None) => Ok(plan("PORT in the environment".to_owned(), command, Transport::PortVariable)),
        }
    }

    /// The command and address of one life of one worker.
    ///
    /// # Errors
    /// When no port is free, or the socket to inherit cannot be bound.
    pub(crate) fn launch(&self, worker: WorkerId, folder: &Path) -> io::Result<Launch> {
        // A path of its own for each life: what a dead worker left behind cannot be mistaken for it.
        let path = folder.join(format!("{worker}.sock"));
        let (address, port, inherited) = match self.transport {
            Transport::Socket => (Address::Unix(path), None, None),
            Transport::Inherited => {
                let listener = UnixListener::bind(&path)?;
                (Address::Unix(path), None, Some(OwnedFd::from(listener)))
            }
            Transport::Port | Transport::PortVariable => {
                let port = free_port()?;
                (Address::Tcp(SocketAddr::from((Ipv4Addr::LOCALHOST, port))), Some(port), None)
            }
        };
        let fill = |word: &String| {
            let mut word = word.replace("{slot}", &worker.slot.to_string());
            match &address {
                Address::Unix(path) => word = word.replace("{socket}", &path.to_string_lossy()),
                Address::Tcp(tcp) => word = word.replace("{port}", &tcp.port().to_string()),
            }
            match &inherited {
                Some(fd) => word.replace("{fd}", &fd.as_raw_fd().to_string()),
                None => word,
            }
        };
        let command = self.command.iter().map(fill).collect();
        let port = port.filter(|_| self.transport == Transport::PortVariable);
        Ok(Launch { command, address, port, inherited })
    }
}

const PLACES: &[(&str, Transport)] =
    &[("{socket}", Transport::Socket), ("{port}", Transport::Port), ("{fd}", Transport::Inherited)];

/// A loopback port that nobody listens on at this moment. The worker binds it a moment later; one that finds it
/// taken ends, and is started again with another.
fn free_port() -> io::Result<u16> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port())
}

/// A command that cannot work: bad usage. Displays as one line with the remedy.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
    /// No command.
    #[error(
        "no command: say what to run after --, for example -- uvicorn main:app, or in pools.NAME.command"
    )]
    Empty,
    /// Two different placeholders.
    #[error("the command holds both {one} and {other}: a worker has one address, keep one of them")]
    TwoPlaces {
        /// One.
        one: &'static str,
        /// The other.
        other: &'static str,
    },
    /// An address of its own.
    #[error(
        "{flag:?} in the command: each {server} worker gets an address of its own from antifreeze; remove it (clients \
         connect to --listen), or write {{socket}} or {{port}} where the address belongs"
    )]
    OwnAddress {
        /// The server.
        server: &'static str,
        /// Its flag.
        flag: String,
    },
    /// HTTP/2 to a server without it.
    #[error(
        "{server} does not speak h2c, HTTP/2 without TLS; remove this setting, or run a server that does: hypercorn, \
         granian, or one of gRPC"
    )]
    NoHttp2 {
        /// The server.
        server: &'static str,
    },
    /// Workers of its own.
    #[error(
        "{flag:?} in the command: antifreeze itself runs the workers, and could not see which of {server}'s own is \
         frozen; remove it and say antifreeze run --workers N, or pools.NAME.workers"
    )]
    OwnWorkers {
        /// The server.
        server: &'static str,
        /// Its flag.
        flag: String,
    },
}
