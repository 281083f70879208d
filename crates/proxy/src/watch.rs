//! One alarm a client connection, instead of a timer a request.
//!
//! Each step of a request writes down what the connection waits for and since when: two plain stores. The
//! connection's task keeps one lazily moved timer and judges by the clock which limit has passed. Which limits hold is one
//! more store, once it is known which site a request is for.

use crate::Timeouts;
use crate::error::Error;
use crate::pace::Pace;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::time::{Instant, Sleep, sleep_until};

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
    /// How the request's body comes.
    pace: Pace,
    /// Requests so far.
    requests: AtomicU32,
    /// Whether bytes of the request's body may still come, though nobody wants them.
    unread: AtomicBool,
    /// Whether the answer's end is the connection's (a body of unknown length to a client of HTTP/1.0).
    closing: AtomicBool,
    /// Whether the client has no room for what there is for it.
    blocked: AtomicBool,
}

const CONNECTIONS_OWN: usize = 0;

/// An idle connection is ready for the next request for so long before it rests. To wake one costs a microsecond or two (4,000
/// instructions, a tenth of a GET's); one that is awake holds 15 KiB, and what a burst of connections holds at its peak leaves
/// traces in the allocator for good.
const AWAKE: Duration = Duration::from_millis(250);

const NOT_EXPIRED: u8 = u8::MAX;
const OVERRUN: u8 = u8::MAX - 1;
const BROKEN: u8 = u8::MAX - 2;
const SLOW: u8 = u8::MAX - 3;

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
            pace: Pace::default(),
            requests: AtomicU32::new(0),
            unread: AtomicBool::new(false),
            closing: AtomicBool::new(false),
            blocked: AtomicBool::new(false),
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

    /// A request begins: whatever an earlier one met is history. Tells its number on this
    /// connection, from 1.
    pub(crate) fn begin(&self) -> u32 {
        self.expired.store(NOT_EXPIRED, Ordering::Relaxed);
        self.pace.begin();
        self.unread.store(false, Ordering::Relaxed);
        self.heed(CONNECTIONS_OWN);
        let number = self.requests().saturating_add(1);
        self.requests.store(number, Ordering::Relaxed);
        number
    }

    /// Requests so far.
    pub(crate) fn requests(&self) -> u32 {
        self.requests.load(Ordering::Relaxed)
    }

    /// From now on, and until the next request begins, these limits hold.
    pub(crate) fn heed(&self, place: usize) {
        self.heeded.store(place, Ordering::Relaxed);
    }

    /// The place of the site that the present request is for, once that is known.
    pub(crate) fn site(&self) -> Option<usize> {
        match self.phase() {
            Phase::Idle | Phase::Head => None,
            Phase::Upload | Phase::Queue | Phase::Answer | Phase::Download | Phase::Tunnel => {
                self.heeded.load(Ordering::Relaxed).checked_sub(CONNECTIONS_OWN + 1)
            }
        }
    }

    /// The request is over, and the next one is waited for, unless the connection became a tunnel.
    pub(crate) fn end(&self) {
        if self.phase() != Phase::Tunnel {
            self.enter(Phase::Idle);
        }
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

    /// Some of the request's body came, for which the client was waited.
    pub(crate) fn receive(&self, bytes: u64) {
        self.pace.receive(bytes);
        if self.phase() == Phase::Upload {
            let waited = self.now.load(Ordering::Relaxed) - self.since.load(Ordering::Relaxed);
            self.pace.wait(waited);
            self.enter(Phase::Answer);
        }
        if self.phase() == Phase::Download {
            // An answer may wait for what comes, as those of gRPC do that have begun with their metadata. A task of its own
            // may be passing it on.
            self.tick();
            self.enter(Phase::Download);
        }
    }

    /// When the limit of the present phase passes.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        let own = || &self.timeouts[CONNECTIONS_OWN];
        let limit = match self.phase() {
            Phase::Idle if self.is_blocked() => own().keep_alive,
            Phase::Idle => sooner(own().keep_alive, Some(AWAKE)),
            Phase::Head => own().header,
            Phase::Upload => sooner(self.heeded().body_idle, self.pace.left(self.heeded())),
            Phase::Queue | Phase::Tunnel => None,
            Phase::Answer => self.heeded().response_start,
            Phase::Download => self.heeded().stream_idle,
        }?;
        Some(self.since() + limit)
    }

    /// How long the connection may rest, if it is idle.
    pub(crate) fn idle_deadline(&self) -> Option<Instant> {
        self.timeouts[CONNECTIONS_OWN].keep_alive.map(|limit| self.since() + limit)
    }

    /// When the present phase began.
    fn since(&self) -> Instant {
        self.began + Duration::from_nanos(self.since.load(Ordering::Relaxed))
    }

    fn heeded(&self) -> &Timeouts {
        &self.timeouts[self.heeded.load(Ordering::Relaxed)]
    }

    /// The limit of the present phase has passed.
    pub(crate) fn expire(&self) {
        let stood = self.now() - self.since();
        let what = match self.phase() {
            Phase::Upload if self.heeded().body_idle.is_none_or(|limit| stood < limit) => SLOW,
            phase => phase as u8,
        };
        self.expired.store(what, Ordering::Relaxed);
    }

    /// Why the request's body is waited for no longer, if it is not.
    pub(crate) fn late_body(&self) -> Option<Error> {
        match self.expired.load(Ordering::Relaxed) {
            SLOW => Some(Error::BodyTooSlow),
            late if late == Phase::Upload as u8 => Some(Error::BodyTimeout),
            _ => None,
        }
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

    /// Whether the client takes nothing at present.
    pub(crate) fn note_blocked(&self, blocked: bool) {
        self.blocked.store(blocked, Ordering::Relaxed);
    }

    /// Whether the client takes nothing, in the middle of an answer: then nothing else can be said to it.
    pub(crate) fn is_blocked(&self) -> bool {
        self.blocked.load(Ordering::Relaxed)
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

/// The earlier of two limits.
fn sooner(one: Option<Duration>, other: Option<Duration>) -> Option<Duration> {
    one.into_iter().chain(other).min()
}

/// The one timer of a watch. It is moved only when it rings, or would ring too late.
#[derive(Debug)]
pub(crate) struct Alarm {
    timer: Pin<Box<Sleep>>,
    armed: bool,
}

impl Alarm {
    pub(crate) fn new(watch: &Watch) -> Self {
        Self { timer: Box::pin(sleep_until(watch.deadline().unwrap_or_else(far))), armed: false }
    }

    /// Whether it waits to wake the task: until it may be due there is no need to poll it.
    pub(crate) fn is_armed(&self) -> bool {
        self.armed
    }

    /// Ready when the limit of the present phase has passed: with that phase, or with nothing if the request's own task
    /// answers for it. That one looks at the watch when it is polled.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>, watch: &Watch) -> Poll<Option<Phase>> {
        loop {
            let deadline = watch.deadline();
            if let Some(deadline) = deadline
                && deadline < self.timer.deadline()
            {
                self.timer.as_mut().reset(deadline);
            }
            if self.armed && watch.now() < self.timer.deadline() {
                return Poll::Pending;
            }
            self.armed = self.timer.as_mut().poll(cx).is_pending();
            if self.armed {
                return Poll::Pending;
            }
            match deadline {
                Some(deadline) if deadline <= watch.now() => {
                    watch.expire();
                    return Poll::Ready(match watch.phase() {
                        Phase::Upload | Phase::Answer => {
                            watch.enter(Phase::Download);
                            None
                        }
                        phase @ (Phase::Idle
                        | Phase::Head
                        | Phase::Queue
                        | Phase::Download
                        | Phase::Tunnel) => Some(phase),
                    });
                }
                Some(later) => self.timer.as_mut().reset(later),
                None => self.timer.as_mut().reset(far()),
            }
        }
    }
}

/// When no limit passes.
fn far() -> Instant {
    Instant::now() + Duration::from_secs(365 * 24 * 3600)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::num::NonZeroU64;

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
            body_rate: None,
            ..Timeouts::default()
        };
        // Shorter than it stays awake.
        let own = AWAKE / 2;
        let watch = watch(&[all(Some(own)), all(Some(2 * SECOND)), all(None)]);
        let limit = |phase| {
            watch.enter(phase);
            watch.deadline().map(|deadline| deadline - watch.now())
        };
        watch.begin();
        assert_eq!(limit(Phase::Answer), Some(own));
        for (site, expected) in [(1, Some(2 * SECOND)), (2, None)] {
            watch.heed(site);
            for phase in [Phase::Upload, Phase::Answer, Phase::Download] {
                assert_eq!(limit(phase), expected, "{phase:?}");
            }
            assert_eq!(limit(Phase::Idle), Some(own), "between two requests");
            assert_eq!(limit(Phase::Head), Some(own), "nobody knows yet for whom");
        }
        watch.begin();
        assert_eq!(limit(Phase::Answer), Some(own));
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
            ..Timeouts::default()
        }]);
        for (phase, expected) in [
            (Phase::Idle, Some(AWAKE)),
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
    async fn an_idle_connection_rests_unless_its_client_has_yet_to_take_the_last_answer() {
        let keep_alive = Some(5 * SECOND);
        let watch = watch(&[Timeouts { keep_alive, ..Timeouts::default() }]);
        let limit = || watch.deadline().map(|deadline| deadline - watch.now());
        assert_eq!(limit(), Some(AWAKE));
        watch.note_blocked(true);
        assert_eq!(limit(), keep_alive);
        assert_eq!(watch.idle_deadline(), Some(watch.now() + 5 * SECOND), "of the whole silence");
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

    /// A body in pieces of so many bytes, each after so long, behind a grace of 10 s; the second that it is late in.
    async fn late_after(pieces: u64, bytes: u64, pause: Duration) -> Option<u64> {
        let watch = watch(&[Timeouts { body_rate: NonZeroU64::new(100), ..Timeouts::default() }]);
        let began = Instant::now();
        watch.begin();
        watch.enter(Phase::Answer);
        for _ in 0..pieces {
            watch.advance(Phase::Answer, Phase::Upload);
            let deadline = watch.deadline().expect("it has a limit");
            tokio::time::advance(pause).await;
            watch.tick();
            if deadline <= watch.now() {
                watch.expire();
                assert_eq!(watch.late_body(), Some(Error::BodyTooSlow));
                return Some((deadline - began).as_secs());
            }
            watch.receive(bytes);
            assert_eq!(watch.phase(), Phase::Answer);
        }
        None
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_is_a_byte_a_second_too_slow_is_cut_and_one_that_is_quick_enough_never() {
        assert_eq!(late_after(100_000, 100, SECOND).await, None);
        assert_eq!(late_after(100_000, 101, SECOND).await, None);
        assert_eq!(
            late_after(10_000, 1_450, Duration::from_millis(14_500)).await,
            Some(10),
            "no longer than the grace"
        );
        assert_eq!(late_after(10_000, 900, Duration::from_secs(9)).await, None, "in pieces");
        assert_eq!(late_after(100_000, 99, SECOND).await, Some(901));
        assert_eq!(late_after(100_000, 1, SECOND).await, Some(10));
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_is_not_waited_for_is_not_too_slow() {
        let watch = watch(&[Timeouts { body_rate: NonZeroU64::new(1_000), ..Timeouts::default() }]);
        watch.begin();
        for _ in 0..10 {
            // The worker reads slowly.
            watch.enter(Phase::Answer);
            tokio::time::advance(20 * SECOND).await;
            watch.tick();
            watch.receive(1);
            watch.advance(Phase::Answer, Phase::Upload);
        }
        let left = watch.deadline().expect("it has a limit") - watch.now();
        assert_eq!(left, Duration::from_millis(10_010), "the grace is whole");
        tokio::time::advance(30 * SECOND).await;
        watch.tick();
        watch.expire();
        assert_eq!(watch.late_body(), Some(Error::BodyTimeout), "it stood still for as long as a body may");
    }

    #[test]
    fn requests_of_a_connection_are_numbered() {
        let watch = watch(&[Timeouts::default()]);
        assert_eq!([watch.begin(), watch.begin(), watch.begin()], [1, 2, 3]);
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
