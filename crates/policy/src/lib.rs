//! What to do next.
mod arena;
mod config;
mod id;
mod moment;
mod request;
mod state;
pub use config::{FreezeConfig, PoolConfig, QueueConfig, StartConfig, StopConfig};
pub use id::{LeaseId, RouteId, Slot, TicketId, WorkerId};
pub use moment::Moment;
pub use request::{Admission, Outcome, Refusal, Shed};
pub use state::{Phase, Action};
