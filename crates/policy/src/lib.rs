//! What to do next: which worker gets a request, which worker is suspected, frozen, restarted.
//!
//! A synchronous value, [`Pool`]: requests and events come in with the time they happened, actions are polled out. It
//! has no clock, no threads, no I/O, no randomness, no log; it cannot fail. The same calls give the same answers, which
//! is what makes it testable by scenario, by property and by simulation.
//!
//! It must never learn of tokio, HTTP, processes or configuration files.

mod arena;
mod config;
mod event;
mod id;
mod moment;
mod pool;
mod queue;
mod request;
mod restarts;
mod selection;
mod stall;
mod state;
mod worker;

pub use config::{FreezeConfig, PoolConfig, QueueConfig, StartConfig, StopConfig};
pub use event::{Action, Event, Exit, Report, Signal, Why};
pub use id::{LeaseId, RouteId, Slot, TicketId, WorkerId};
pub use moment::Moment;
pub use pool::{Pool, ShedCounts, WorkerView};
pub use request::{Admission, Outcome, Refusal, Shed};
pub use restarts::{RestartReason, Restarts};
pub use state::Phase;
