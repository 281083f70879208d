//! The one queue in front of all workers: bounded by length and by age.
//!
//! First in, first out, until the oldest has waited for too long: then newest first, because serving the old ones
//! would make everybody late, while the newest can still be answered in time (adaptive LIFO: Maurer, "Fail at
//! Scale", ACM Queue 13.8, 2015; half a second proved better than less in simulation).
//!
//! Requests whose route may not have another worker now stand aside, so that they keep nobody else from theirs: one
//! line for those that may all have the same workers, so that to find one that may have a free worker takes a look at
//! each line's first, however many wait.

use crate::arena::{Arena, Chain, Key};
use crate::{Holders, Moment, QueueConfig, Request, RouteId, TicketId, Urgency};
use std::collections::BTreeMap;
use std::time::Duration;

#[derive(Clone, Debug)]
pub(crate) struct Queue {
    config: QueueConfig,
    arena: Arena<Waiting>,
    /// Those about the app's health.
    urgent: Chain,
    line: Chain,
    /// None of them is empty.
    aside: BTreeMap<Kind, Chain>,
    /// How many stand in those.
    aside_len: u32,
}

/// Requests of a kind may have the same workers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Kind {
    route: RouteId,
    not_to: Holders,
    urgent: bool,
}

impl From<&Request> for Kind {
    fn from(request: &Request) -> Self {
        let urgent = request.urgency == Urgency::Health;
        Self { route: request.route, not_to: request.not_to, urgent }
    }
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
        let (urgent, line) = (Chain::default(), Chain::default());
        Self { config, arena: Arena::new(), urgent, line, aside: BTreeMap::new(), aside_len: 0 }
    }

    pub(crate) fn len(&self) -> u32 {
        self.urgent.len() + self.line.len() + self.aside_len
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
        let room = self.aside_len < self.config.limit.div_ceil(2) && self.len() < self.config.limit;
        room.then(|| self.add(Waiting { request, since: now, place: Place::Aside }))
    }

    fn add(&mut self, waiting: Waiting) -> TicketId {
        let Self { arena, urgent, line, aside, aside_len, .. } = self;
        let chain = match waiting.place {
            Place::Urgent => urgent,
            Place::Line => line,
            Place::Aside => {
                *aside_len += 1;
                aside.entry(Kind::from(&waiting.request)).or_default()
            }
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

    /// Those who stand aside and have waited longest, one of each kind.
    pub(crate) fn first_aside(&self) -> impl Iterator<Item = (TicketId, Waiting)> {
        let fronts = self.aside.values().filter_map(|chain| self.arena.front(chain));
        fronts.map(|(key, waiting)| (TicketId { key }, *waiting))
    }

    /// Those of this route who stand aside.
    pub(crate) fn aside_of(&self, route: RouteId) -> impl Iterator<Item = TicketId> {
        let chains = self.aside.iter().filter(move |(kind, _)| kind.route == route);
        chains.flat_map(|(_, chain)| self.arena.iter(chain)).map(|(key, _)| TicketId { key })
    }

    /// A request whose turn it is steps aside. Whether it did not stand there already.
    pub(crate) fn set_aside(&mut self, ticket: TicketId) -> bool {
        let Some(waiting) = self.arena.get_mut(ticket.key) else { return false };
        let from = match std::mem::replace(&mut waiting.place, Place::Aside) {
            Place::Urgent => &mut self.urgent,
            Place::Line => &mut self.line,
            Place::Aside => return false,
        };
        let to = self.aside.entry(Kind::from(&waiting.request)).or_default();
        let since = waiting.since;
        // A younger one may have had its turn first. Its time is up later all the same.
        self.arena.shift_in_order(from, to, ticket.key, |other| other.since > since);
        self.aside_len += 1;
        true
    }

    /// Takes a request out: its client left, or it has a worker. Nothing if it is not there any more.
    pub(crate) fn remove(&mut self, ticket: TicketId) -> Option<Waiting> {
        self.take(ticket.key)
    }

    /// The oldest request, if its time is up.
    pub(crate) fn pop_expired(&mut self, now: Moment) -> Option<TicketId> {
        let (key, since) = self.oldest_entry()?;
        (now >= since + self.config.timeout).then(|| {
            self.take(key);
            TicketId { key }
        })
    }

    /// Any request, oldest first, whatever its age.
    pub(crate) fn pop_any(&mut self) -> Option<TicketId> {
        let (key, _) = self.oldest_entry()?;
        self.take(key);
        Some(TicketId { key })
    }

    /// When the oldest request's time is up.
    pub(crate) fn deadline(&self) -> Option<Moment> {
        self.oldest_entry().map(|(_, since)| since + self.config.timeout)
    }

    /// How long the oldest request has waited.
    pub(crate) fn oldest(&self, now: Moment) -> Duration {
        self.oldest_entry().map_or(Duration::ZERO, |(_, since)| now.since(since))
    }

    /// How long the oldest of those has waited who wait for any worker.
    pub(crate) fn line_waits(&self, now: Moment) -> Duration {
        self.arena.front(&self.line).map_or(Duration::ZERO, |(_, waiting)| now.since(waiting.since))
    }

    fn oldest_entry(&self) -> Option<(Key, Moment)> {
        let chains = [&self.urgent, &self.line].into_iter().chain(self.aside.values());
        let fronts = chains.filter_map(|chain| self.arena.front(chain));
        fronts.map(|(key, waiting)| (key, waiting.since)).min_by_key(|(_, since)| *since)
    }

    fn take(&mut self, key: Key) -> Option<Waiting> {
        let Self { arena, urgent, line, aside, aside_len, .. } = self;
        let waiting = *arena.get(key)?;
        match waiting.place {
            Place::Urgent => arena.remove(urgent, key),
            Place::Line => arena.remove(line, key),
            Place::Aside => {
                let kind = Kind::from(&waiting.request);
                let chain = aside.get_mut(&kind)?;
                let taken = arena.remove(chain, key);
                if chain.is_empty() {
                    aside.remove(&kind);
                }
                *aside_len -= 1;
                taken
            }
        }
        .then_some(waiting)
    }

    /// The oldest has waited too long for its turn to make sense.
    fn late(&self) -> Duration {
        (self.config.timeout / 2).min(LATE)
    }
}

/// Whoever waited longer has mostly given up on a quick answer.
const LATE: Duration = Duration::from_millis(500);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_steps_aside_behind_a_younger_one_is_turned_away_in_time_all_the_same() {
        let config = QueueConfig { limit: 8, timeout: Duration::from_secs(10) };
        let at = |seconds| Moment::default() + Duration::from_secs(seconds);
        let mut queue = Queue::new(config);
        let tickets =
            [0, 1, 2].map(|second| queue.push(Request::from(RouteId(0)), at(second)).expect("room"));
        // They wait for so long that the newest has its turn first.
        for ticket in tickets.into_iter().rev() {
            assert_eq!(queue.next(at(5)).map(|(next, _)| next), Some(ticket));
            assert!(queue.set_aside(ticket));
        }
        assert_eq!(queue.first_aside().map(|(first, _)| first).collect::<Vec<_>>(), tickets[..1]);
        for (ticket, end) in tickets.into_iter().zip([10, 11, 12]) {
            assert_eq!((queue.deadline(), queue.pop_expired(at(end - 1))), (Some(at(end)), None));
            assert_eq!(queue.pop_expired(at(end)), Some(ticket));
        }
    }
}
