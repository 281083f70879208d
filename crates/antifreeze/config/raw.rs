//! Every setting, as it was given: in the file, or by a flag or its variable in the environment.
//!
//! A setting is declared once. Its line here is its flag, its key in YAML, its allowed range and its explanation; what
//! is absent is `None`. Defaults are not here: they are `PoolConfig::new` and `Options::default`. The id of a flag is the
//! path of its key, with `pool` for `pools.NAME`; its variable in the environment is `ANTIFREEZE_` and the flag's name.
//!
//! A new setting is a line here, two in [`Settings`](super::Settings), and one each in `config/antifreeze.yaml` and in
//! README.md's table; tests fail until each has it.

use super::word::{
    Assignment, Auto, ClientAuthMode, Description, Disclosing, Http2Mode, Isolating, Level, Limit, LogFormat,
    Network, Number, Place, PoolName, ProxyHeader, Question, Redirection, Rescuing, RouteHost, RoutePath,
    Size, Speaking, Template, Text, Time, TlsVersion, UrlPath, VariableName, Workers, scalar,
};
use clap::Args;
use clap::builder::BoolishValueParser;
use console::Admin;
use proxy::Endpoint;
use serde::Deserialize;
use serde::de::{self, Deserializer, MapAccess, SeqAccess, Visitor};
use std::collections::BTreeMap;
use std::fmt;
use std::num::{NonZeroU16, NonZeroU32};
use std::path::PathBuf;
use std::str::FromStr;

/// What a YAML file holds.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields, expecting = "a mapping of settings")]
pub(crate) struct File {
    pub(crate) listeners: Option<Vec<Listener>>,
    pub(crate) admin: Option<AdminSection>,
    pub(crate) threads: Option<Auto<Number<NonZeroU16, 1, 512>>>,
    pub(crate) trusted_proxies: Option<Vec<Network>>,
    pub(crate) pools: Pools,
    pub(crate) routes: Vec<Route>,
    /// For all pools; what one says itself counts more.
    pub(crate) routing: Routing,
    pub(crate) timeouts: Timeouts,
    pub(crate) limits: Limits,
    pub(crate) log: Log,
}

/// One address of `listeners`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, expecting = "a mapping, for example { address: \"127.0.0.1:8000\" }")]
pub(crate) struct Listener {
    #[serde(deserialize_with = "address")]
    pub(crate) address: Endpoint,
    #[serde(default)]
    pub(crate) tls: Option<TlsSection>,
    #[serde(default)]
    pub(crate) redirect: Option<Redirection>,
    #[serde(default)]
    pub(crate) proxy_protocol: Option<ProxyHeader>,
    pub(crate) http2: Option<Http2Mode>,
}

/// `listeners[].tls`: `off`, `self_signed`, or a mapping.
#[derive(Debug)]
pub(crate) struct TlsSection(pub(crate) Option<Tls>);

/// `listeners[].tls` as a mapping; as flags, it is for every listener that does not redirect.
#[derive(Debug, Default, PartialEq, Eq, Args, Deserialize)]
#[serde(default, deny_unknown_fields, expecting = "a mapping with certificates")]
#[command(next_help_heading = "TLS, of every listener that does not redirect")]
pub(crate) struct Tls {
    #[arg(skip)]
    pub(crate) certificates: Vec<Certificate>,
    /// A certificate for development, made at the start, in place of files
    #[arg(long = "tls-self-signed", id = "listeners[0].tls", value_parser = BoolishValueParser::new())]
    #[serde(skip)]
    pub(crate) self_signed: bool,
    /// A certificate in PEM, and after it those that lead to a root; may be repeated
    #[arg(long = "tls-cert", id = "listeners[0].tls.certificates[0].chain", value_name = "FILE")]
    #[serde(skip)]
    pub(crate) chains: Vec<PathBuf>,
    /// Its private key in PEM; as often as --tls-cert, in the same order
    #[arg(long = "tls-key", id = "listeners[0].tls.certificates[0].key", value_name = "FILE")]
    #[serde(skip)]
    pub(crate) keys: Vec<PathBuf>,
    /// The oldest version of TLS that is spoken: 1.2 or 1.3
    #[arg(long = "tls-min-version", id = "listeners[0].tls.min_version", value_name = "VERSION")]
    pub(crate) min_version: Option<TlsVersion>,
    /// Who signs the certificates of clients, in PEM; without --tls-client-auth each must show one
    #[arg(long = "tls-client-ca", id = "listeners[0].tls.client_ca", value_name = "FILE")]
    pub(crate) client_ca: Option<PathBuf>,
    /// Whether clients show certificates: off, optional or required
    #[arg(long = "tls-client-auth", id = "listeners[0].tls.client_auth", value_name = "WHETHER")]
    pub(crate) client_auth: Option<ClientAuthMode>,
}

impl Tls {
    /// Whether nothing of it was given.
    pub(crate) fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// One of `listeners[].tls.certificates`.
#[derive(Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, expecting = "a mapping, for example { chain: server.pem, key: server.key }")]
pub(crate) struct Certificate {
    pub(crate) chain: PathBuf,
    pub(crate) key: PathBuf,
}

/// `admin`: `off`, or a mapping with its address.
#[derive(Debug)]
pub(crate) struct AdminSection(pub(crate) Admin);

/// `pools`: by name, in the order of the file.
#[derive(Debug, Default)]
pub(crate) struct Pools(pub(crate) Vec<(PoolName, Pool)>);

/// One of `routes`: which requests go to which pool.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, expecting = "a mapping, for example { path: /, pool: app }")]
pub(crate) struct Route {
    #[serde(default)]
    pub(crate) host: Option<RouteHost>,
    #[serde(default)]
    pub(crate) path: Option<RoutePath>,
    pub(crate) pool: Text,
    #[serde(default)]
    pub(crate) timeouts: RouteTimeouts,
    #[serde(default)]
    pub(crate) limits: RouteLimits,
}

/// `routes[].timeouts`: those of [`Timeouts`] that can be another for each route.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields, expecting = "a mapping of time limits")]
pub(crate) struct RouteTimeouts {
    pub(crate) body_idle: Option<Patience>,
    pub(crate) response_start: Option<Patience>,
    pub(crate) stream_idle: Option<Patience>,
    pub(crate) tunnel_idle: Option<TunnelPatience>,
}

/// `routes[].limits`: those of [`Limits`] that can be another for each route.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields, expecting = "a mapping of size limits")]
pub(crate) struct RouteLimits {
    pub(crate) body_bytes: Option<BodyLimit>,
}

/// How long the proxy waits at the most.
pub(crate) type Patience = Limit<Time<10, DAY>>;
/// The same for a tunnel.
pub(crate) type TunnelPatience = Limit<Time<10, WEEK>>;
/// How long a request's body may be.
pub(crate) type BodyLimit = Limit<Size<0, { KIB * KIB * KIB * KIB }>>;

/// What only the command line gives for the whole program.
#[derive(Debug, Default, Args)]
pub(crate) struct Flags {
    /// A YAML file of settings; config/antifreeze.yaml shows them all
    #[arg(long, id = "config", value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Where clients connect: an address and port, or unix:/path; may be repeated
    #[arg(long = "listen", id = "listeners", value_name = "ADDRESS", value_delimiter = ',')]
    pub(crate) listen: Vec<Endpoint>,
    /// Whether connections to these addresses begin with a header of the PROXY protocol, version 1 or 2
    #[arg(long = "proxy-protocol", id = "listeners[0].proxy_protocol", value_name = "off|required")]
    pub(crate) proxy_protocol: Option<ProxyHeader>,
    /// HTTP/2 on every listener that does not redirect: auto (with TLS, by ALPN), on (without TLS too, for clients that
    /// begin with it), or off
    #[arg(long = "http2", id = "listeners[0].http2", value_name = "auto|on|off")]
    pub(crate) http2: Option<Http2Mode>,
    /// Where the admin API listens: a loopback address and port, unix:/path, or off
    #[arg(long = "admin", id = "admin.address", value_name = "ADDRESS")]
    pub(crate) admin: Option<Admin>,
    /// Data-plane threads; auto: one a processor
    #[arg(long = "threads", id = "threads", value_name = "N")]
    pub(crate) threads: Option<Auto<Number<NonZeroU16, 1, 512>>>,
    /// Proxies in front of us whose Forwarded, X-Forwarded-*, X-Request-Id and PROXY headers are believed; may be
    /// repeated
    #[arg(long = "trusted-proxy", id = "trusted_proxies", value_name = "NETWORK", value_delimiter = ',')]
    pub(crate) trusted_proxies: Vec<Network>,
    #[command(flatten)]
    pub(crate) tls: Tls,
    #[command(flatten)]
    pub(crate) pool: Pool,
    #[command(flatten)]
    pub(crate) timeouts: Timeouts,
    #[command(flatten)]
    pub(crate) limits: Limits,
    #[command(flatten)]
    pub(crate) log: Log,
}

/// `pools.NAME`.
#[derive(Debug, Default, Args, Deserialize)]
#[serde(default, deny_unknown_fields, expecting = "a mapping with the settings of a pool")]
#[command(next_help_heading = "Workers")]
pub(crate) struct Pool {
    /// The command of one worker: behind -- on the command line.
    #[arg(skip)]
    pub(crate) command: Words,
    /// How many workers; auto: one a processor
    #[arg(long = "workers", id = "pool.workers", value_name = "N")]
    pub(crate) workers: Option<Workers>,
    /// What workers speak: http1, or h2c (HTTP/2 without TLS, which gRPC needs)
    #[arg(long = "protocol", id = "pool.protocol", value_name = "http1|h2c")]
    pub(crate) protocol: Option<Speaking>,
    /// Requests one worker may hold at once; auto: as many as leave it quick; 1: it serves one at a time
    #[arg(long = "max-in-flight", id = "pool.max_in_flight", value_name = "N")]
    pub(crate) max_in_flight: Option<Auto<Number<NonZeroU32, 1, 1_000_000>>>,
    /// Booted workers in reserve, which step in for those that freeze or die
    #[arg(long = "spare", id = "pool.spare", value_name = "N")]
    pub(crate) spare: Option<Number<u16, 0, 16>>,
    /// Workers that may be started beyond the others while as many are frozen
    #[arg(long = "surge", id = "pool.surge", value_name = "N")]
    pub(crate) surge: Option<Number<u16, 0, 16>>,
    /// auto: no route may take every worker, and one that froze a worker is confined; off: none of that
    #[arg(long = "isolation", id = "pool.isolation", value_name = "auto|off")]
    pub(crate) isolation: Option<Isolating>,
    /// What may be sent to another worker when one froze or died with it: safe (GET, HEAD, OPTIONS, TRACE),
    /// idempotent (also PUT, DELETE, and whatever has an Idempotency-Key), or off
    #[arg(long = "rescue", id = "pool.rescue", value_name = "SCOPE")]
    pub(crate) rescue: Option<Rescuing>,
    /// Where workers run, if not in the folder that antifreeze was started in
    #[arg(long = "directory", id = "pool.directory", value_name = "FOLDER")]
    pub(crate) directory: Option<PathBuf>,
    /// A variable for the workers' environment; NAME alone takes it away; may be repeated
    #[arg(long = "env", id = "pool.environment", value_name = "NAME=VALUE")]
    #[serde(skip)]
    pub(crate) assignments: Vec<Assignment>,
    /// The same as a mapping; null takes a variable away.
    #[arg(skip)]
    pub(crate) environment: BTreeMap<VariableName, Option<Text>>,
    /// How long an idle connection to a worker is kept; auto: what its server allows
    #[arg(long = "worker-keep-alive", id = "pool.keep_alive", value_name = "TIME")]
    pub(crate) keep_alive: Option<Auto<Time<100, HOUR>>>,
    /// Where the private folder with the workers' sockets is made
    #[arg(long = "runtime-directory", id = "pool.runtime_directory", value_name = "FOLDER")]
    pub(crate) runtime_directory: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) queue: Queue,
    #[command(flatten)]
    pub(crate) freeze: Freeze,
    #[command(flatten)]
    pub(crate) start: Start,
    #[command(flatten)]
    pub(crate) stop: Stop,
    #[command(flatten)]
    pub(crate) routing: Routing,
}

/// `pools.NAME.queue`.
#[derive(Debug, Default, Args, Deserialize)]
#[serde(default, deny_unknown_fields, expecting = "a mapping with limit and timeout")]
#[command(next_help_heading = "Queue")]
pub(crate) struct Queue {
    /// Requests that may wait for a worker; one more is answered 503; 0: nobody waits
    #[arg(long = "queue-limit", id = "pool.queue.limit", value_name = "N")]
    pub(crate) limit: Option<Number<u32, 0, 1_000_000>>,
    /// How long one may wait before it is answered 503
    #[arg(long = "queue-timeout", id = "pool.queue.timeout", value_name = "TIME")]
    pub(crate) timeout: Option<Time<1, HOUR>>,
}

/// `pools.NAME.freeze`.
#[derive(Debug, Default, Args, Deserialize)]
#[serde(default, deny_unknown_fields, expecting = "a mapping with the steps from silence to a restart")]
#[command(next_help_heading = "Frozen workers")]
pub(crate) struct Freeze {
    /// A worker that owes answers and is silent for so long is probed
    #[arg(long = "suspect-after", id = "pool.freeze.suspect_after", value_name = "TIME")]
    pub(crate) suspect_after: Option<Time<10, HOUR>>,
    /// A worker that does not answer its probe for so long is frozen: no new requests
    #[arg(long = "probe-timeout", id = "pool.freeze.probe_timeout", value_name = "TIME")]
    pub(crate) probe_timeout: Option<Time<10, HOUR>>,
    /// The request that asks a worker whether it is ready, or alive: a method and a target
    #[arg(long = "probe", id = "pool.freeze.probe", value_name = "REQUEST")]
    pub(crate) probe: Option<Question>,
    /// A worker frozen for so long is killed and replaced
    #[arg(long = "restart-after", id = "pool.freeze.restart_after", value_name = "TIME")]
    pub(crate) restart_after: Option<Time<100, DAY>>,
}

/// `pools.NAME.start`.
#[derive(Debug, Default, Args, Deserialize)]
#[serde(default, deny_unknown_fields, expecting = "a mapping with settings of starting workers")]
#[command(next_help_heading = "Starting workers")]
pub(crate) struct Start {
    /// A worker that gives no HTTP answer for so long after its start is started again
    #[arg(long = "start-timeout", id = "pool.start.timeout", value_name = "TIME")]
    pub(crate) timeout: Option<Time<100, HOUR>>,
    /// The wait after a first failed start; it doubles with each further one
    #[arg(long = "backoff", id = "pool.start.backoff", value_name = "TIME")]
    pub(crate) backoff: Option<Time<10, HOUR>>,
    /// The longest such wait
    #[arg(long = "max-backoff", id = "pool.start.max_backoff", value_name = "TIME")]
    pub(crate) max_backoff: Option<Time<10, DAY>>,
    /// Failed starts of every worker after which antifreeze gives up, if none was ever ready; 0: never
    #[arg(long = "start-attempts", id = "pool.start.attempts", value_name = "N")]
    pub(crate) attempts: Option<Number<u32, 0, 1_000_000>>,
    /// A worker that joins others at work gets its full share only after so long ("slow start")
    #[arg(long = "ramp", id = "pool.start.ramp", value_name = "TIME")]
    pub(crate) ramp: Option<Time<0, HOUR>>,
}

/// `pools.NAME.stop`.
#[derive(Debug, Default, Args, Deserialize)]
#[serde(default, deny_unknown_fields, expecting = "a mapping with drain_timeout and grace")]
#[command(next_help_heading = "Stopping workers")]
pub(crate) struct Stop {
    /// How long open requests may finish after the first signal
    #[arg(long = "drain-timeout", id = "pool.stop.drain_timeout", value_name = "TIME")]
    pub(crate) drain_timeout: Option<Time<0, DAY>>,
    /// How long after SIGTERM a worker is killed
    #[arg(long = "grace", id = "pool.stop.grace", value_name = "TIME")]
    pub(crate) grace: Option<Time<0, HOUR>>,
}

/// `pools.NAME.routing`: which requests of an app are expected to behave alike.
#[derive(Debug, Default, Args, Deserialize)]
#[serde(default, deny_unknown_fields, expecting = "a mapping with patterns, openapi and health")]
#[command(next_help_heading = "Routes")]
pub(crate) struct Routing {
    /// A path pattern whose requests are one route, as in /users/{name} or /static/*; may be repeated
    #[arg(
        long = "route-pattern",
        id = "pool.routing.patterns",
        value_name = "PATTERN",
        value_delimiter = ','
    )]
    pub(crate) patterns: Option<Vec<Template>>,
    /// The path of the app's OpenAPI document, which a worker is asked for to learn the routes; or off
    #[arg(long = "openapi", id = "pool.routing.openapi", value_name = "PATH")]
    pub(crate) openapi: Option<Description>,
    /// A path of the app's own health checks, which do not wait behind the queue; may be repeated
    #[arg(long = "health-path", id = "pool.routing.health", value_name = "PATH", value_delimiter = ',')]
    pub(crate) health: Option<Vec<UrlPath>>,
}

/// `timeouts`: when the proxy stops waiting.
#[derive(Debug, Default, Args, Deserialize)]
#[serde(default, deny_unknown_fields, expecting = "a mapping of time limits")]
#[command(next_help_heading = "Time limits (off: none)")]
pub(crate) struct Timeouts {
    /// From a new connection to the end of its TLS handshake: it is closed
    #[arg(long = "handshake-timeout", id = "timeouts.handshake", value_name = "TIME")]
    pub(crate) handshake: Option<Patience>,
    /// From the first byte of a request to the end of its header: 408
    #[arg(long = "header-timeout", id = "timeouts.header", value_name = "TIME")]
    pub(crate) header: Option<Patience>,
    /// Between two pieces of a request's body: 408
    #[arg(long = "body-timeout", id = "timeouts.body_idle", value_name = "TIME")]
    pub(crate) body_idle: Option<Patience>,
    /// Bytes of a request's body that must come a second, on average, while they are waited for: 408
    #[arg(long = "body-rate", id = "timeouts.body_rate", value_name = "SIZE")]
    pub(crate) body_rate: Option<Limit<Size<1, { KIB * KIB * KIB }>>>,
    /// How far a request's body may be behind that
    #[arg(long = "body-grace", id = "timeouts.body_grace", value_name = "TIME")]
    pub(crate) body_grace: Option<Time<10, DAY>>,
    /// From the whole request to the head of its answer: 504
    #[arg(long = "response-timeout", id = "timeouts.response_start", value_name = "TIME")]
    pub(crate) response_start: Option<Patience>,
    /// Between two pieces of an answer, whoever is slow: the connection is cut
    #[arg(long = "stream-timeout", id = "timeouts.stream_idle", value_name = "TIME")]
    pub(crate) stream_idle: Option<Patience>,
    /// Between two requests of a client: its connection is closed
    #[arg(long = "keep-alive-timeout", id = "timeouts.keep_alive", value_name = "TIME")]
    pub(crate) keep_alive: Option<Patience>,
    /// Without a byte in either direction of a WebSocket: it is cut
    #[arg(long = "tunnel-timeout", id = "timeouts.tunnel_idle", value_name = "TIME")]
    pub(crate) tunnel_idle: Option<TunnelPatience>,
}

/// `limits`: how much clients may send, and have at once.
#[derive(Debug, Default, Args, Deserialize)]
#[serde(default, deny_unknown_fields, expecting = "a mapping of limits")]
#[command(next_help_heading = "Limits of what clients send and have (off: none)")]
pub(crate) struct Limits {
    /// Bytes of a request's header: 431
    #[arg(long = "header-limit", id = "limits.header_bytes", value_name = "SIZE")]
    pub(crate) header_bytes: Option<Size<{ 8 * KIB }, { KIB * KIB }>>,
    /// Fields of a request's header: 431
    #[arg(long = "header-count-limit", id = "limits.header_count", value_name = "N")]
    pub(crate) header_count: Option<Number<usize, 10, 1000>>,
    /// Bytes of a request's target: 414
    #[arg(long = "target-limit", id = "limits.target_bytes", value_name = "SIZE")]
    pub(crate) target_bytes: Option<Size<8000, { 64 * KIB - 2 }>>,
    /// Bytes of a request's body: 413; off: any number
    #[arg(long = "body-limit", id = "limits.body_bytes", value_name = "SIZE")]
    pub(crate) body_bytes: Option<BodyLimit>,
    /// Client connections; more wait in the kernel's queue
    #[arg(long = "connection-limit", id = "limits.connections", value_name = "N")]
    pub(crate) connections: Option<Number<usize, 1, 1_000_000>>,
    /// Requests of one connection: it is closed after the last one's answer
    #[arg(long = "connection-request-limit", id = "limits.connection_requests", value_name = "N")]
    pub(crate) connection_requests: Option<Limit<Number<u32, 1, 1_000_000_000>>>,
    /// Connections of one client (an IPv4 address, an IPv6 /64 network); one more is closed at once
    #[arg(long = "client-connection-limit", id = "limits.client_connections", value_name = "N")]
    pub(crate) client_connections: Option<Limit<Number<u32, 1, 1_000_000>>>,
    /// Requests of one client in flight; one more is answered 429
    #[arg(long = "client-in-flight-limit", id = "limits.client_in_flight", value_name = "N")]
    pub(crate) client_in_flight: Option<Limit<Number<u32, 1, 1_000_000>>>,
    /// Networks whose addresses may stand for many clients, and are not counted; may be repeated
    #[arg(long = "client-exempt", id = "limits.exempt", value_name = "NETWORK", value_delimiter = ',')]
    pub(crate) exempt: Option<Vec<Network>>,
    /// Requests that one HTTP/2 connection may have open at once; one more is refused
    #[arg(long = "stream-limit", id = "limits.streams", value_name = "N")]
    pub(crate) streams: Option<Number<u32, 1, 10_000>>,
}

/// `log`: what the program prints, and where.
#[derive(Debug, Default, Args, Deserialize)]
#[serde(default, deny_unknown_fields, expecting = "a mapping with settings of logs")]
#[command(next_help_heading = "Logs")]
pub(crate) struct Log {
    /// How lines look: text, json (one object a line), or auto (a table on a terminal, else text)
    #[arg(long = "log-format", id = "log.format", value_name = "FORMAT")]
    pub(crate) format: Option<LogFormat>,
    /// The least level that is printed: error, warn, info, debug or trace; or a list with levels for some targets,
    /// as in info,console=debug
    #[arg(long = "log-level", id = "log.level", value_name = "LEVEL")]
    pub(crate) level: Option<Level>,
    /// Where one line a request goes: off, - for standard output, stderr, or a file that SIGUSR1 opens again
    #[arg(long = "access-log", id = "log.access", value_name = "PLACE")]
    pub(crate) access: Option<Place>,
    /// How that line looks: text (the combined format and more), json, or auto (as the other lines)
    #[arg(long = "access-log-format", id = "log.access_format", value_name = "FORMAT")]
    pub(crate) access_format: Option<LogFormat>,
    /// What answers say of their way: reason (X-Antifreeze: why one is ours, or that a second worker gave it), timing
    /// (also Server-Timing), or off
    #[arg(long = "response-header", id = "log.response_header", value_name = "WHAT")]
    pub(crate) response_header: Option<Disclosing>,
}

const HOUR: u64 = 3_600_000;
const DAY: u64 = 24 * HOUR;
const WEEK: u64 = 7 * DAY;
const KIB: u64 = 1024;

/// A command: a program and its arguments.
#[derive(Debug, Default)]
pub(crate) struct Words(pub(crate) Vec<Text>);

impl<'de> Deserialize<'de> for Words {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct List;

        impl<'de> Visitor<'de> for List {
            type Value = Words;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list of words, for example [uvicorn, \"main:app\"]")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, words: A) -> Result<Words, A::Error> {
                Vec::deserialize(de::value::SeqAccessDeserializer::new(words)).map(Words)
            }
        }

        deserializer.deserialize_seq(List)
    }
}

impl<'de> Deserialize<'de> for Pools {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct InOrder;

        impl<'de> Visitor<'de> for InOrder {
            type Value = Pools;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a mapping of pools, for example app: { command: [uvicorn, \"main:app\"] }")
            }

            fn visit_unit<E>(self) -> Result<Pools, E> {
                Ok(Pools::default())
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Pools, A::Error> {
                let mut pools = Vec::new();
                while let Some(pool) = map.next_entry()? {
                    pools.push(pool);
                }
                Ok(Pools(pools))
            }
        }

        deserializer.deserialize_map(InOrder)
    }
}

fn address<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: FromStr,
    T::Err: fmt::Display,
{
    scalar(deserializer, "an address, for example \"127.0.0.1:8000\"")
}

impl<'de> Deserialize<'de> for TlsSection {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct WordOrSection;

        impl<'de> Visitor<'de> for WordOrSection {
            type Value = TlsSection;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("off, self_signed, or a mapping with certificates: [{ chain: FILE, key: FILE }]")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<TlsSection, E> {
                match text {
                    "off" => Ok(TlsSection(None)),
                    "self_signed" => Ok(TlsSection(Some(Tls { self_signed: true, ..Tls::default() }))),
                    other => Err(E::invalid_value(de::Unexpected::Str(other), &self)),
                }
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<TlsSection, A::Error> {
                Tls::deserialize(de::value::MapAccessDeserializer::new(map)).map(|tls| TlsSection(Some(tls)))
            }
        }

        deserializer.deserialize_any(WordOrSection)
    }
}

impl<'de> Deserialize<'de> for AdminSection {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Section {
            #[serde(deserialize_with = "address")]
            address: Admin,
        }

        struct OffOrSection;

        impl<'de> Visitor<'de> for OffOrSection {
            type Value = AdminSection;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("off, or a mapping, for example { address: \"127.0.0.1:9900\" }")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<AdminSection, E> {
                match text {
                    "off" => Ok(AdminSection(Admin::Off)),
                    other => Err(E::invalid_value(de::Unexpected::Str(other), &self)),
                }
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<AdminSection, A::Error> {
                let section = Section::deserialize(de::value::MapAccessDeserializer::new(map))?;
                Ok(AdminSection(section.address))
            }
        }

        deserializer.deserialize_any(OffOrSection)
    }
}
