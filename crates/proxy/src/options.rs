//! The proxy's limits. The defaults are here and nowhere else.

use crate::origin::is_believed;
use crate::site::Site;
use ipnet::IpNet;
use logs::Log;
use std::net::{IpAddr, Ipv6Addr};
use std::num::NonZeroU64;
use std::sync::Arc;
use std::time::Duration;

/// What the operator decided about connections and requests.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// When the proxy stops waiting.
    pub timeouts: Timeouts,
    /// What the proxy refuses to read.
    pub limits: Limits,
    /// Peers whose `Forwarded`, `X-Forwarded-*` and `X-Request-Id` are believed; those of others are replaced.
    pub trusted_proxies: Arc<[IpNet]>,
    /// Takes one line a request, if it has an access log.
    pub log: Option<Log>,
    /// Which app serves what.
    pub sites: Vec<Site>,
    /// What answers say of the way that they came.
    pub disclosure: Disclosure,
}

/// What the header of an answer says of the way that it came.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Disclosure {
    /// Nothing.
    Off,
    /// `X-Antifreeze`: why the answer is the proxy's own, or that a second worker gave it.
    #[default]
    Reason,
    /// The same, and `Server-Timing`: how long the request waited for a worker, and the worker took (W3C Server Timing).
    Timing,
}

/// Which requests may be sent to a second worker when the first one froze or died with them. A request that never
/// reached a worker may always go to another.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RescueScope {
    /// None.
    Off,
    /// Those whose method is safe: GET, HEAD, OPTIONS, TRACE (RFC 9110 section 9.2.1).
    #[default]
    Safe,
    /// Also those whose method is idempotent (PUT, DELETE; RFC 9110 section 9.2.2), and any with an `Idempotency-Key`.
    Idempotent,
}

impl Options {
    /// Whose forwarding headers are believed, if this peer's are. Whoever reaches a unix socket was let in by its mode.
    pub(crate) fn believed(&self, peer: Option<IpAddr>) -> Option<Arc<[IpNet]>> {
        let trusted = peer.is_none_or(|peer| is_believed(peer, &self.trusted_proxies));
        trusted.then(|| Arc::clone(&self.trusted_proxies))
    }
}

/// How long each step may take. `None`: for ever.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// From a new connection to the end of its TLS handshake: the connection is closed.
    pub handshake: Option<Duration>,
    /// From the first byte of a request to the end of its header: 408.
    pub header: Option<Duration>,
    /// Between two pieces of a request body that the proxy waits for: 408.
    pub body_idle: Option<Duration>,
    /// Bytes of a request's body that must come on average in each second that the proxy waits for them: 408.
    pub body_rate: Option<NonZeroU64>,
    /// How far a body may be behind that.
    pub body_grace: Duration,
    /// From the request, sent, to the head of its answer: 504.
    pub response_start: Option<Duration>,
    /// Between two pieces of an answer, whoever is slow: the connection is cut.
    pub stream_idle: Option<Duration>,
    /// Between two requests of a client: the connection is closed.
    pub keep_alive: Option<Duration>,
    /// Without a byte in either direction of a tunnel (WebSocket): the tunnel is cut.
    pub tunnel_idle: Option<Duration>,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            handshake: Some(Duration::from_secs(10)),
            header: Some(Duration::from_secs(15)),
            body_idle: Some(Duration::from_secs(30)),
            body_rate: NonZeroU64::new(240),
            body_grace: Duration::from_secs(10),
            response_start: Some(Duration::from_secs(60)),
            stream_idle: Some(Duration::from_secs(300)),
            keep_alive: Some(Duration::from_secs(75)),
            tunnel_idle: Some(Duration::from_secs(3600)),
        }
    }
}

/// How much a client may send, and have at once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of a request's head, target included: 431.
    pub header_bytes: usize,
    /// Fields of a request's head: 431.
    pub header_count: usize,
    /// Bytes of a request's target: 414. RFC 9112 section 3 asks for 8000 at least.
    pub target_bytes: usize,
    /// Bytes of a request's body: 413. `None`: no limit.
    pub body_bytes: Option<u64>,
    /// Client connections; more wait in the kernel's queue.
    pub connections: usize,
    /// Requests of one connection: it is closed behind the last one's answer. `None`: no limit.
    pub connection_requests: Option<u32>,
    /// Connections of one client, an IPv4 address or an IPv6 /64 network: one more is closed at once. `None`: no limit.
    pub client_connections: Option<u32>,
    /// Requests of one client in flight: 429. `None`: no limit.
    pub client_in_flight: Option<u32>,
    /// Networks whose addresses are not counted as clients, because one of them may stand for many.
    pub exempt: Vec<IpNet>,
    /// Requests that one connection of HTTP/2 may have open at once; more are refused (RFC 9113 section 5.1.2).
    pub streams: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            header_bytes: 64 * 1024,
            header_count: 100,
            target_bytes: 32 * 1024,
            body_bytes: Some(1024 * 1024 * 1024),
            connections: 16 * 1024,
            connection_requests: Some(10_000),
            client_connections: Some(4096),
            client_in_flight: Some(1024),
            exempt: local_networks(),
            streams: 100,
        }
    }
}

/// Loopback and private networks (RFC 1918, RFC 4193): no stranger has such an address, but a proxy that nobody
/// declared may.
fn local_networks() -> Vec<IpNet> {
    let v4 = |address: [u8; 4], length| IpNet::new_assert(address.into(), length);
    let v6 = |address: Ipv6Addr, length| IpNet::new_assert(address.into(), length);
    vec![
        v4([127, 0, 0, 0], 8),
        v6(Ipv6Addr::LOCALHOST, 128),
        v4([10, 0, 0, 0], 8),
        v4([172, 16, 0, 0], 12),
        v4([192, 168, 0, 0], 16),
        v6(Ipv6Addr::new(0xfc00, 0, 0, 0, 0, 0, 0, 0), 7),
    ]
}
