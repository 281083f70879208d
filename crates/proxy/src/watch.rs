//! One alarm a client connection, instead of a timer a request.
//!
//! Each step of a request writes down what the connection waits for and since when: two plain stores. The
//! connection's task keeps one lazily moved timer and judges by the clock which limit has passed. Which limits hold is one
//! more store, once it is known which site a request is for.

use crate::Timeouts;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;
use tokio::time::Instant;

/// What a client connection waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Phase {
    /// The next request.
    Idle,
    /// The rest of a request's head.
    Head,
    /// The client's next piece of body.
    Upload,
    /// The queue: its own deadline counts.
    Queue,
    /// The worker's answer.
    Answer,
    /// The answer's next piece, from the worker or to the client.
    Download,
    /// Nothing: the connection became a tunnel.
    Tunnel,
}

/// The notes of one connection. Written and read by one thread; atomics only because tasks must be `Send`.
#[derive(Debug)]
pub(crate) struct Watch {
    /// The connection's own first.
    timeouts: Arc<[Timeouts]>,
    /// The place of those that hold now.
    heeded: AtomicUsize,
    began: Instant,
    /// Nanoseconds since `began`, at the last look at the clock.
    now: AtomicU64,
    phase: AtomicU8,
    /// Nanoseconds since `began`.
    since: AtomicU64,
    /// Set once the limit of this phase has passed: requests look at it whenever they are polled.
    expired: AtomicU8,
    /// Whether bytes of the request's body may still come, though nobody wants them.
    unread: AtomicBool,
    /// Whether the answer's end is the connection's (a body of unknown length to a client of HTTP/1.0).
    closing: AtomicBool,
}

const CONNECTIONS_OWN: usize = 0;

const NOT_EXPIRED: u8 = u8::MAX;
const OVERRUN: u8 = u8::MAX - 1;
const BROKEN: u8 = u8::MAX - 2;

impl Watch {
    /// A watch over a new connection, for which the first of these limits hold until a request
    /// [heeds](Self::heed) others.
    pub(crate) fn new(timeouts: Arc<[Timeouts]>) -> Self {
        Self {
            timeouts,
            heeded: AtomicUsize::new(CONNECTIONS_OWN),
            began: Instant::now(),
            now: AtomicU64::new(0),
            phase: AtomicU8::new(Phase::Idle as u8),
            since: AtomicU64::new(0),
            expired: AtomicU8::new(NOT_EXPIRED),
            unread: AtomicBool::new(false),
            closing: AtomicBool::new(false),
        }
    }

    /// Looks at the clock. The connection's task does so once whenever it is polled: nothing waits within a poll, and a
    /// request would otherwise ask for the time at each of its dozen steps.
    pub(crate) fn tick(&self) {
        let now = u64::try_from(self.began.elapsed().as_nanos()).unwrap_or(u64::MAX);
        self.now.store(now, Ordering::Relaxed);
    }

    /// The time of the last look.
    pub(crate) fn now(&self) -> Instant {
        self.began + Duration::from_nanos(self.now.load(Ordering::Relaxed))
    }

    /// A request begins: whatever an earlier one met is history.
    pub(crate) fn begin(&self) {
        self.expired.store(NOT_EXPIRED, Ordering::Relaxed);
        self.unread.store(false, Ordering::Relaxed);
        self.heed(CONNECTIONS_OWN);
    }

    /// From now on, and until the next request begins, these limits hold.
    pub(crate) fn heed(&self, place: usize) {
        self.heeded.store(place, Ordering::Relaxed);
    }

    /// From now on the connection waits for this.
    pub(crate) fn enter(&self, phase: Phase) {
        self.phase.store(phase as u8, Ordering::Relaxed);
        self.since.store(self.now.load(Ordering::Relaxed), Ordering::Relaxed);
    }

    /// As [`enter`](Self::enter), from one phase alone.
    pub(crate) fn advance(&self, from: Phase, to: Phase) {
        if self.phase() == from {
            self.enter(to);
        }
    }

    pub(crate) fn phase(&self) -> Phase {
        match self.phase.load(Ordering::Relaxed) {
            0 => Phase::Idle,
            1 => Phase::Head,
            2 => Phase::Upload,
            3 => Phase::Queue,
            4 => Phase::Answer,
            5 => Phase::Download,
            _ => Phase::Tunnel,
        }
    }

    /// When the limit of the present phase passes.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        let own = || &self.timeouts[CONNECTIONS_OWN];
        let heeded = || &self.timeouts[self.heeded.load(Ordering::Relaxed)];
        let limit = match self.phase() {
            Phase::Idle => own().keep_alive,
            Phase::Head => own().header,
            Phase::Upload => heeded().body_idle,
            Phase::Queue | Phase::Tunnel => None,
            Phase::Answer => heeded().response_start,
            Phase::Download => heeded().stream_idle,
        }?;
        Some(self.began + Duration::from_nanos(self.since.load(Ordering::Relaxed)) + limit)
    }

    /// The limit of the present phase has passed.
    pub(crate) fn expire(&self) {
        self.expired.store(self.phase() as u8, Ordering::Relaxed);
    }

    /// The request's body is longer than allowed.
    pub(crate) fn overrun(&self) {
        self.expired.store(OVERRUN, Ordering::Relaxed);
    }

    /// Whether the request's body was longer than allowed.
    pub(crate) fn has_overrun(&self) -> bool {
        self.expired.load(Ordering::Relaxed) == OVERRUN
    }

    /// The request's body broke off, or is no proper chunks.
    pub(crate) fn break_body(&self) {
        self.expired.store(BROKEN, Ordering::Relaxed);
    }

    /// Whether the request's body broke off.
    pub(crate) fn has_broken_body(&self) -> bool {
        self.expired.load(Ordering::Relaxed) == BROKEN
    }

    /// Nobody reads the rest of the request's body.
    pub(crate) fn leave_unread(&self) {
        self.unread.store(true, Ordering::Relaxed);
    }

    /// Whether the client may be sending still.
    pub(crate) fn left_unread(&self) -> bool {
        self.unread.load(Ordering::Relaxed)
    }

    /// The answer will end with the connection.
    pub(crate) fn end_with_connection(&self) {
        self.closing.store(true, Ordering::Relaxed);
    }

    /// Whether an orderly end of the connection would be the end of a whole answer.
    pub(crate) fn answer_ends_with_connection(&self) -> bool {
        self.closing.load(Ordering::Relaxed)
    }

    /// Whether the limit of this phase has passed while a request was in it.
    pub(crate) fn has_expired(&self, phase: Phase) -> bool {
        self.expired.load(Ordering::Relaxed) == phase as u8
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn watch(timeouts: &[Timeouts]) -> Watch {
        Watch::new(timeouts.into())
    }

    #[test]
    fn a_sites_limits_hold_for_its_requests_alone() {
        let all = |limit| Timeouts {
            handshake: limit,
            header: limit,
            body_idle: limit,
            response_start: limit,
            stream_idle: limit,
            keep_alive: limit,
            tunnel_idle: limit,
        };
        let watch = watch(&[all(Some(SECOND)), all(Some(2 * SECOND)), all(None)]);
        let limit = |phase| {
            watch.enter(phase);
            watch.deadline().map(|deadline| deadline - watch.now())
        };
        watch.begin();
        assert_eq!(limit(Phase::Answer), Some(SECOND));
        for (site, expected) in [(1, Some(2 * SECOND)), (2, None)] {
            watch.heed(site);
            for phase in [Phase::Upload, Phase::Answer, Phase::Download] {
                assert_eq!(limit(phase), expected, "{phase:?}");
            }
            assert_eq!(limit(Phase::Idle), Some(SECOND), "between two requests");
            assert_eq!(limit(Phase::Head), Some(SECOND), "nobody knows yet for whom");
        }
        watch.begin();
        assert_eq!(limit(Phase::Answer), Some(SECOND));
    }

    #[tokio::test(start_paused = true)]
    async fn each_phase_has_its_own_limit_from_its_own_start() {
        let limit = |seconds| Some(Duration::from_secs(seconds));
        let watch = watch(&[Timeouts {
            handshake: None,
            header: limit(1),
            body_idle: limit(2),
            response_start: limit(3),
            stream_idle: limit(4),
            keep_alive: limit(5),
            tunnel_idle: limit(6),
        }]);
        for (phase, expected) in [
            (Phase::Idle, limit(5)),
            (Phase::Head, limit(1)),
            (Phase::Queue, None),
            (Phase::Answer, limit(3)),
            (Phase::Upload, limit(2)),
            (Phase::Download, limit(4)),
            (Phase::Tunnel, None),
        ] {
            tokio::time::advance(7 * SECOND).await;
            watch.tick();
            watch.enter(phase);
            assert_eq!(watch.deadline().map(|deadline| deadline - Instant::now()), expected, "{phase:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_phase_that_is_entered_again_begins_again() {
        let watch = watch(&[Timeouts { stream_idle: Some(10 * SECOND), ..Timeouts::default() }]);
        watch.enter(Phase::Download);
        let first = watch.deadline().expect("it has a limit");
        tokio::time::advance(9 * SECOND).await;
        watch.tick();
        watch.advance(Phase::Answer, Phase::Upload);
        assert_eq!(watch.deadline(), Some(first), "it is not in that phase");
        watch.advance(Phase::Download, Phase::Download);
        assert_eq!(watch.deadline(), Some(first + 9 * SECOND));
    }

    #[test]
    fn what_one_request_met_does_not_hit_the_next() {
        let watch = watch(&[Timeouts::default()]);
        watch.enter(Phase::Answer);
        watch.expire();
        watch.leave_unread();
        assert!(watch.has_expired(Phase::Answer) && !watch.has_expired(Phase::Upload) && watch.left_unread());
        watch.begin();
        assert!(!watch.has_expired(Phase::Answer) && !watch.left_unread());
    }
}
