//! Keeps the wanted workers alive and hands out leases on them.
//!
//! A thin shell around `policy`: the policy decides, this crate spawns, signals, probes and reaps, and tells it what
//! happened. It speaks no HTTP beyond its probe. One file locks (`pool.rs`), one file kills (`process.rs`). Its [`Stream`] is
//! also what clients are spoken to by.

mod address;
mod config;
mod environment;
mod folder;
mod last_words;
mod lease;
mod load;
mod outbox;
mod output;
mod owner;
mod plan;
mod pool;
mod probe;
mod process;
mod sentinel;
mod server;
mod status;
mod stream;
mod supervisor;

pub use address::Address;
pub use config::{Environment, PoolOptions, Probe, ProbeError, Protocol, RouteNames};
pub use folder::ProgramProblem;
pub use lease::Lease;
pub use outbox::deliver;
pub use plan::{Plan, PlanError};
pub use pool::{Pool, Unavailable};
pub use sentinel::sentinel;
pub use status::{PoolStatus, QueueStatus, RestartCount, RouteStatus, WorkerStatus};
pub use stream::Stream;
pub use supervisor::{Ending, StartError, Supervisor};
