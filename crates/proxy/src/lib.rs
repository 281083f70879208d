//! One request in, one response out.
//!
//! The data plane: each thread has a runtime, a listening socket and idle connections of its own, and shares with the
//! others nothing but the pools, whose counts are exact. It knows leases, and nothing of processes.

mod access;
mod admission;
mod backend;
mod bounded;
mod channel;
mod client;
mod clients;
mod closing;
mod deliver;
mod download;
mod drain;
mod error;
mod exchange;
mod forward;
mod forwarded;
#[cfg(feature = "fuzzing")]
#[doc(hidden)]
pub mod fuzzing;
mod handshake;
mod http1;
mod http2;
mod interim;
mod listener;
mod meter;
mod metrics;
mod noted;
mod options;
mod origin;
mod pace;
mod preface;
mod proxy_protocol;
mod redirect;
mod replay;
mod reply;
mod request;
mod response;
mod role;
mod route;
mod server;
mod shard;
mod site;
mod socket;
mod trailers;
mod tunnel;
mod upload;
mod upstream;
mod watch;
mod websocket;

pub use backend::App;
pub use listener::{BindError, Endpoint, EndpointError, Listeners};
pub use metrics::Metrics;
pub use options::{Disclosure, Limits, Options, RescueScope, Timeouts};
pub use role::{HttpsPort, HttpsPortError, Listener, ProxyProtocol, Role};
pub use route::{OpenApi, OpenApiError, Pattern, PatternError, RouteTable, Routing};
pub use server::{Running, start};
pub use site::{Host, HostError, Prefix, PrefixError, Site};
