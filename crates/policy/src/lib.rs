//! What to do next: which worker gets a request, which worker is suspected, frozen, restarted.
//!
//! A synchronous value, [`Pool`]: requests and events come in with the time they happened, actions are polled out. It
//! has no clock, no threads, no I/O, no randomness, no log; it cannot fail. The same calls give the same answers, which
//! is what makes it testable by scenario, by property and by simulation.
//!
//! It must never learn of tokio, HTTP, processes or configuration files.

mod arena;
mod blame;
mod budget;
mod cap;
mod clog;
mod config;
mod event;
mod id;
mod isolation;
mod lease_map;
mod moment;
mod pages;
mod pool;
mod queue;
mod request;
mod restarts;
mod route;
mod selection;
mod staff;
mod stall;
mod standing;
mod state;
mod tournament;
mod worker;

pub use config::{FreezeConfig, Isolation, MaxInFlight, PoolConfig, QueueConfig, StartConfig, StopConfig};
pub use event::{Action, Event, Exit, Judgement, Report, Share, Signal, StandingReport, Why};
pub use id::{LeaseId, RouteId, Slot, TicketId, WorkerId};
pub use lease_map::LeaseMap;
pub use moment::Moment;
pub use pool::{Counts, Pool, RouteView, ShedCounts, WorkerView};
pub use request::{Admission, Fate, Holders, Outcome, Past, Refusal, Replay, Request, Shed, Urgency};
pub use restarts::{RestartReason, Restarts};
pub use standing::RouteStanding;
pub use state::Phase;
