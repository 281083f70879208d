//! Who is let in, before a byte of TLS or HTTP is read.

use crate::clients::{Full, Seat};
use crate::proxy_protocol::{self, Refused};
use crate::role::ProxyProtocol;
use crate::shard::Shard;
use std::net::IpAddr;
use supervisor::Stream;

/// Lets a connection in, and tells who is at its other end. What comes first on it is waited for until it is late.
///
/// # Errors
/// Why it must be closed at once: the token of the metrics.
pub(crate) async fn admit<F: Future<Output = ()>>(
    shard: &Shard,
    stream: &Stream,
    seat: &mut Seat,
    peer: Option<IpAddr>,
    proxy_protocol: ProxyProtocol,
    late: impl FnOnce() -> F,
) -> Result<Option<IpAddr>, &'static str> {
    let peer = match proxy_protocol {
        ProxyProtocol::Off => peer,
        ProxyProtocol::Required => {
            let believed = &shard.options.trusted_proxies;
            // A future of its own, so that other connections do not carry room for it.
            let read = Box::pin(proxy_protocol::accept(stream, peer, believed, late()));
            read.await.map_err(Refused::reason)?
        }
    };
    seat.assign(peer).map_err(|Full| CLIENT_CONNECTIONS)?;
    Ok(peer)
}

const CLIENT_CONNECTIONS: &str = "client_connections";
