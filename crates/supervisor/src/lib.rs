//! Keeps the wanted workers alive and hands out leases.
//!
//! (Signatures first; the bodies follow.)
mod address;
mod config;
mod lease;
mod pool;
mod status;
pub use address::{Address, Stream};
pub use config::{Environment, PoolOptions, Probe};
pub use lease::Lease;
pub use pool::{Pool, Unavailable};
pub use status::{PoolStatus, QueueStatus, RestartCount, WorkerStatus};
