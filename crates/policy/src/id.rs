//! The names of things: slots, lives, routes, leases, tickets.
//!
//! A slot is a place for a worker, kept for as long as the pool; a life is one process in it. Every event about
//! a worker carries both, so that a late word about an earlier life changes nothing.

use std::fmt;

/// A place for a worker in its pool. People count from one, so it prints as its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Slot(pub u16);

impl Slot {
    /// The number people see in logs, metrics and the status page: 1 for the first slot.
    pub fn number(self) -> u32 {
        u32::from(self.0) + 1
    }

    /// The position in a list of slots.
    pub fn index(self) -> usize {
        usize::from(self.0)
    }
}

impl fmt::Display for Slot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.number())
    }
}

/// One process in a slot: `3.17` is the seventeenth life of slot three.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WorkerId {
    /// The place.
    pub slot: Slot,
    /// Which process in that place, from 1.
    pub life: u32,
}

impl fmt::Display for WorkerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.slot, self.life)
    }
}

/// What requests have in common that are expected to behave alike: method and path template.
///
/// The policy only compares routes; what they are called is the proxy's business.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RouteId(pub u32);

impl RouteId {
    /// Ids are below this: 1,024 routes of their own, and 64 that the rest shares by hash.
    pub const LIMIT: u32 = 1024 + 64;
}

/// A request's claim on one worker, from the moment it was picked until it is given back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct LeaseId {
    /// The worker it counts against.
    pub worker: WorkerId,
    pub(crate) key: crate::arena::Key,
}

/// A request's place in the queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TicketId {
    pub(crate) key: crate::arena::Key,
}
