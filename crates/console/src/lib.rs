//! What a running antifreeze tells: health, metrics and status over an admin address of its own, and the client that
//! reads them.
//!
//! It decides nothing and changes nothing; it never listens where clients of the service do.

mod address;
pub mod client;
mod guard;
mod listener;
mod metrics;
mod process;
mod readiness;
mod render;
mod routes;
#[cfg(test)]
mod samples;
mod server;
mod snapshot;
mod status;
#[cfg(test)]
mod tests;

pub use address::{AddressError, Admin, AdminAddress};
pub use listener::BindError;
pub use render::render;
pub(crate) use server::Source;
pub use server::{Console, ConsoleOptions};
pub use snapshot::{Snapshot, Stage};
pub use status::{PoolEntry, QueueEntry, RouteEntry, Status, WorkerEntry};
