//! TLS for listeners: from the operator's files to what a handshake is given, and again when the files change.
//!
//! It opens no connection and knows no HTTP. What clients are shown is replaced as a whole or not at all: files that
//! cannot be used leave everything as it was, and connections that are open keep what they began with.

mod certificate;
mod error;
mod keeper;
mod metrics;
mod names;
mod options;
mod pem;
mod self_signed;
mod stamp;
mod terminator;
#[cfg(test)]
mod tests;

pub use certificate::Certificate;
pub use error::{Error, Problem, Setting};
pub use keeper::{Keeper, Watched};
pub use metrics::Metrics;
pub use options::{ALPN_HTTP2, ClientAuth, Identity, Options, Pair, Protocols, Version};
pub use terminator::Terminator;
