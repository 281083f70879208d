//! The one queue in front of all workers: bounded by length and by age.
//!
//! First in, first out, until the oldest has waited for too long: then newest first, because serving the old ones
//! would make everybody late, while the newest can still be answered in time (adaptive LIFO: Maurer, "Fail at
//! Scale", ACM Queue 13.8, 2015; half a second proved better than less in simulation).
//!
//! Requests whose route may not have another worker now stand aside, so that they keep nobody else from theirs.

use crate::arena::{Arena, Chain, Key};
use crate::{Moment, QueueConfig, Request, TicketId, Urgency};
use std::time::Duration;

#[derive(Clone, Debug)]
pub(crate) struct Queue {
    config: QueueConfig,
    arena: Arena<Waiting>,
    /// Those about the app's health.
    urgent: Chain,
    line: Chain,
    aside: Chain,
}

/// A request that waits.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Waiting {
    pub(crate) request: Request,
    pub(crate) since: Moment,
    place: Place,
}

/// Which list a waiting request is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    Urgent,
    Line,
    Aside,
}

impl Queue {
    pub(crate) fn new(config: QueueConfig) -> Self {
        let (urgent, line, aside) = (Chain::default(), Chain::default(), Chain::default());
        Self { config, arena: Arena::new(), urgent, line, aside }
    }

    pub(crate) fn len(&self) -> u32 {
        self.urgent.len() + self.line.len() + self.aside.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether anybody waits for any worker.
    pub(crate) fn has_line(&self) -> bool {
        !(self.urgent.is_empty() && self.line.is_empty())
    }

    /// Puts a request at the end, or refuses it for want of room.
    pub(crate) fn push(&mut self, request: Request, now: Moment) -> Option<TicketId> {
        let place = match request.urgency {
            Urgency::Health => Place::Urgent,
            Urgency::Ordinary => Place::Line,
        };
        (self.len() < self.config.limit).then(|| self.add(Waiting { request, since: now, place }))
    }

    /// Puts a request aside, or refuses it: half of the room at most is for those whose routes have no leave.
    pub(crate) fn push_aside(&mut self, request: Request, now: Moment) -> Option<TicketId> {
        let room = self.aside.len() < self.config.limit.div_ceil(2) && self.len() < self.config.limit;
        room.then(|| self.add(Waiting { request, since: now, place: Place::Aside }))
    }

    fn add(&mut self, waiting: Waiting) -> TicketId {
        let Self { arena, urgent, line, aside, .. } = self;
        let chain = match waiting.place {
            Place::Urgent => urgent,
            Place::Line => line,
            Place::Aside => aside,
        };
        TicketId { key: arena.push(chain, waiting) }
    }

    /// The request in the line whose turn it is.
    pub(crate) fn next(&self, now: Moment) -> Option<(TicketId, Waiting)> {
        let urgent = self.arena.front(&self.urgent);
        let (key, waiting) = match urgent {
            Some(first) => first,
            None => {
                let oldest = self.arena.front(&self.line)?;
                if now.since(oldest.1.since) > self.late() { self.arena.back(&self.line)? } else { oldest }
            }
        };
        Some((TicketId { key }, *waiting))
    }

    /// Those who stand aside, oldest first.
    pub(crate) fn aside(&self) -> impl Iterator<Item = (TicketId, Waiting)> {
        self.arena.iter(&self.aside).map(|(key, waiting)| (TicketId { key }, *waiting))
    }

    /// A request whose turn it is steps aside. Whether it did not stand there already.
    pub(crate) fn set_aside(&mut self, ticket: TicketId) -> bool {
        let Some(waiting) = self.arena.get_mut(ticket.key) else { return false };
        let from = match std::mem::replace(&mut waiting.place, Place::Aside) {
            Place::Urgent => &mut self.urgent,
            Place::Line => &mut self.line,
            Place::Aside => return false,
        };
        self.arena.shift(from, &mut self.aside, ticket.key);
        true
    }

    /// Takes a request out: its client left, or it has a worker. Nothing if it is not there any more.
    pub(crate) fn remove(&mut self, ticket: TicketId) -> Option<Waiting> {
        let place = self.arena.get(ticket.key)?.place;
        self.take(place, ticket.key)
    }

    /// The oldest request, if its time is up.
    pub(crate) fn pop_expired(&mut self, now: Moment) -> Option<TicketId> {
        let (place, key) = self.oldest_key()?;
        let since = self.arena.get(key)?.since;
        (now >= since + self.config.timeout).then(|| {
            self.take(place, key);
            TicketId { key }
        })
    }

    /// Any request, oldest first, whatever its age.
    pub(crate) fn pop_any(&mut self) -> Option<TicketId> {
        let (place, key) = self.oldest_key()?;
        self.take(place, key);
        Some(TicketId { key })
    }

    /// When the oldest request's time is up.
    pub(crate) fn deadline(&self) -> Option<Moment> {
        let (_, key) = self.oldest_key()?;
        self.arena.get(key).map(|oldest| oldest.since + self.config.timeout)
    }

    /// How long the oldest request has waited.
    pub(crate) fn oldest(&self, now: Moment) -> Duration {
        let oldest = self.oldest_key().and_then(|(_, key)| self.arena.get(key));
        oldest.map_or(Duration::ZERO, |oldest| now.since(oldest.since))
    }

    fn oldest_key(&self) -> Option<(Place, Key)> {
        let front = |place, chain| self.arena.front(chain).map(|(key, waiting)| (waiting.since, place, key));
        let fronts = [
            front(Place::Urgent, &self.urgent),
            front(Place::Line, &self.line),
            front(Place::Aside, &self.aside),
        ];
        fronts.into_iter().flatten().min_by_key(|(since, ..)| *since).map(|(_, place, key)| (place, key))
    }

    fn take(&mut self, place: Place, key: Key) -> Option<Waiting> {
        let Self { arena, urgent, line, aside, .. } = self;
        arena.remove(
            match place {
                Place::Urgent => urgent,
                Place::Line => line,
                Place::Aside => aside,
            },
            key,
        )
    }

    /// The oldest has waited too long for its turn to make sense.
    fn late(&self) -> Duration {
        (self.config.timeout / 2).min(LATE)
    }
}

/// Whoever waited longer has mostly given up on a quick answer.
const LATE: Duration = Duration::from_millis(500);
