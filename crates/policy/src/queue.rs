//! The one queue in front of all workers: bounded by length and by age.
//!
//! First in, first out, until the oldest has waited half its time: then newest first, because serving the old ones
//! would make everybody late, while the newest can still be answered in time (adaptive LIFO: Maurer, "Fail at
//! Scale", ACM Queue 13.8, 2015; half of the time proved better than less in simulation).

use crate::arena::{Arena, Chain};
use crate::{Moment, QueueConfig, RouteId, TicketId};
use std::time::Duration;

#[derive(Clone, Debug)]
pub(crate) struct Queue {
    config: QueueConfig,
    arena: Arena<Waiting>,
    line: Chain,
}

/// A request that waits.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Waiting {
    pub(crate) route: RouteId,
    since: Moment,
}

impl Queue {
    pub(crate) fn new(config: QueueConfig) -> Self {
        Self { config, arena: Arena::new(), line: Chain::default() }
    }

    pub(crate) fn len(&self) -> u32 {
        self.line.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.line.is_empty()
    }

    /// Puts a request at the end, or refuses it for want of room.
    pub(crate) fn push(&mut self, route: RouteId, now: Moment) -> Option<TicketId> {
        (self.line.len() < self.config.limit)
            .then(|| TicketId { key: self.arena.push(&mut self.line, Waiting { route, since: now }) })
    }

    /// The request whose turn it is.
    pub(crate) fn pop(&mut self, now: Moment) -> Option<(TicketId, Waiting)> {
        let (oldest, head) = self.arena.front(&self.line)?;
        let late = now.since(head.since) > self.config.timeout / 2;
        let key = if late { self.arena.back(&self.line)?.0 } else { oldest };
        let waiting = self.arena.remove(&mut self.line, key)?;
        Some((TicketId { key }, waiting))
    }

    /// Takes a request out because its client left. Nothing if it is not there any more.
    pub(crate) fn remove(&mut self, ticket: TicketId) {
        self.arena.remove(&mut self.line, ticket.key);
    }

    /// The oldest request, if its time is up.
    pub(crate) fn pop_expired(&mut self, now: Moment) -> Option<TicketId> {
        let (key, head) = self.arena.front(&self.line)?;
        if now < head.since + self.config.timeout {
            return None;
        }
        self.arena.remove(&mut self.line, key);
        Some(TicketId { key })
    }

    /// Any request, oldest first, whatever its age.
    pub(crate) fn pop_any(&mut self) -> Option<TicketId> {
        let (key, _) = self.arena.front(&self.line)?;
        self.arena.remove(&mut self.line, key);
        Some(TicketId { key })
    }

    /// When the oldest request's time is up.
    pub(crate) fn deadline(&self) -> Option<Moment> {
        self.arena.front(&self.line).map(|(_, head)| head.since + self.config.timeout)
    }

    /// How long the oldest request has waited.
    pub(crate) fn oldest(&self, now: Moment) -> Duration {
        self.arena.front(&self.line).map_or(Duration::ZERO, |(_, head)| now.since(head.since))
    }
}
