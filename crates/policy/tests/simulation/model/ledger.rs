//! What became of each request, and which promises were broken on the way.

use policy::{Holders, LeaseId, Moment, Past, RouteId, Shed, TicketId, WorkerId};

/// One request of one client, from its first try to its last.
pub(crate) struct Request {
    pub(crate) route: RouteId,
    pub(crate) arrived: Moment,
    pub(crate) work: super::traffic::Work,
    /// Which try this is, from 1.
    pub(crate) tried: u32,
    /// Its place in the queue.
    pub(crate) ticket: Option<TicketId>,
    /// Its places at workers.
    pub(crate) held: Vec<LeaseId>,
    /// The workers that may have read this try.
    pub(crate) given_to: Vec<WorkerId>,
    /// What the policy is told of those that did not answer.
    pub(crate) not_to: Holders,
    pub(crate) past: Past,
    pub(crate) fate: Fate,
}

/// How a request ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    Open,
    Answered(Moment),
    TurnedAway(Shed),
    /// Its worker died with it.
    Failed,
    /// Its client left.
    GaveUp,
}

/// All requests of a run.
#[derive(Default)]
pub(crate) struct Ledger {
    pub(crate) requests: Vec<Request>,
    /// Processes that the pool had ended or replaced.
    pub(crate) kills: u32,
    /// Promises that were broken, each with its moment.
    pub(crate) violations: Vec<String>,
}

impl Ledger {
    pub(crate) fn open(&mut self, arrival: super::traffic::Arrival) -> usize {
        self.requests.push(Request {
            route: arrival.route,
            arrived: arrival.at,
            work: arrival.work,
            tried: 1,
            ticket: None,
            held: Vec::new(),
            given_to: Vec::new(),
            not_to: Holders::default(),
            past: Past::default(),
            fate: Fate::Open,
        });
        self.requests.len() - 1
    }

    /// Notes what must never be.
    pub(crate) fn violation(&mut self, what: &str, now: Moment) {
        self.violations.push(format!("{now} {what}"));
    }

    /// The run is over: whoever asked must have been told something.
    pub(crate) fn close(&mut self, now: Moment) {
        let open = self.requests.iter().filter(|request| request.fate == Fate::Open).count();
        if open > 0 {
            self.violation(&format!("{open} requests got neither an answer nor a refusal"), now);
        }
    }
}
