//! The proxy byte by byte: a scripted worker on one side, raw sockets (or curl) on the other.
//!
//! A request's path is the script of the worker that gets it ([`script`]), so that a test says in one place what the
//! client sends, what the worker does and what must arrive. What the worker saw is read from its ledger ([`rig`]).

pub(crate) mod client;
pub(crate) mod frames;
mod h2c;
mod polite;
mod rig;
mod script;
mod worker;

mod broken_answers;
mod connections;
mod endings;
mod fields;
mod floods;
mod framing;
mod http2;
mod interim;
mod limits;
mod proxy_protocol;
mod requests;
mod streaming;
mod timeouts;
mod tls;
mod trailers;
mod upgrades;
mod websockets;
