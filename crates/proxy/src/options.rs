//! The proxy's limits. The defaults are here and nowhere else.

use crate::origin::is_believed;
use crate::site::Site;
use ipnet::IpNet;
use logs::Log;
use std::net::IpAddr;
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
            response_start: Some(Duration::from_secs(60)),
            stream_idle: Some(Duration::from_secs(300)),
            keep_alive: Some(Duration::from_secs(75)),
            tunnel_idle: Some(Duration::from_secs(3600)),
        }
    }
}

/// How much of a request is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of a request's head, target included: 431.
    pub header_bytes: usize,
    /// Fields of a request's head: 431.
    pub header_count: usize,
    /// Bytes of a request's body: 413. `None`: no limit.
    pub body_bytes: Option<u64>,
    /// Client connections of each thread; more wait in the kernel's queue.
    pub connections: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            header_bytes: 64 * 1024,
            header_count: 100,
            body_bytes: Some(1024 * 1024 * 1024),
            connections: 16 * 1024,
        }
    }
}
