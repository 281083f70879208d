//! Keeps the wanted workers alive and hands out leases.
//!
//! (Signatures first; the bodies follow.)
mod address;
mod config;
mod lease;
mod pool;
mod status;
mod supervisor;
pub use address::{Address, Stream};
pub use config::{Environment, Line, PoolOptions, Probe, Source};
pub use lease::Lease;
pub use pool::{Pool, Unavailable};
pub use status::{PoolStatus, QueueStatus, RestartCount, WorkerStatus};
pub use supervisor::{Ending, Plan, PlanError, StartError, Supervisor, sentinel};
