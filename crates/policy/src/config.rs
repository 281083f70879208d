//! The knobs of one pool, parsed and in range: below this line there is nothing left to check.

use crate::cap;
use std::num::{NonZeroU16, NonZeroU32};
use std::time::Duration;

/// What the operator decided about one pool. The defaults are here and nowhere else.
#[derive(Clone, Debug, PartialEq)]
pub struct PoolConfig {
    /// How many workers are wanted.
    pub workers: NonZeroU16,
    /// Requests one worker may hold at once ("maxconn" of HAProxy); parked ones are not counted.
    pub max_in_flight: MaxInFlight,
    /// The one queue in front of all workers.
    pub queue: QueueConfig,
    /// When a silent worker is suspected, frozen, killed.
    pub freeze: FreezeConfig,
    /// How workers start, and start again.
    pub start: StartConfig,
    /// How workers end.
    pub stop: StopConfig,
    /// Whether routes are kept from taking every worker.
    pub isolation: Isolation,
    /// Booted workers in reserve: they take requests when others are frozen or gone.
    pub spare: u16,
    /// Workers that may be started beyond the others while as many are frozen ("maxSurge" of Kubernetes).
    pub surge: u16,
}

/// How many requests one worker may hold at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MaxInFlight {
    /// As many as leave its event loop quick.
    Auto,
    /// So many; 1 for a worker that serves one request at a time.
    Fixed(NonZeroU32),
}

impl MaxInFlight {
    /// How many a worker may hold that has just started.
    pub fn first(self) -> u32 {
        match self {
            Self::Auto => cap::FIRST,
            Self::Fixed(most) => most.get(),
        }
    }
}

/// Whether routes are kept from taking every worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Isolation {
    /// By what is learned of each route.
    Auto,
    /// Never.
    Off,
}

impl PoolConfig {
    /// Whether a worker at work cannot answer anything else, its probe included.
    pub fn serves_one_at_a_time(&self) -> bool {
        self.max_in_flight == MaxInFlight::Fixed(NonZeroU32::MIN)
    }

    /// Whether threads of a worker may all be taken while its event loop answers, and that is looked for.
    pub(crate) fn detects_clogs(&self) -> bool {
        self.isolation == Isolation::Auto && !self.serves_one_at_a_time()
    }

    /// The first slots: those of the wanted workers and of the reserve. The rest is for replacements.
    pub(crate) fn lasting_slots(&self) -> u16 {
        self.workers.get().saturating_add(self.spare)
    }

    /// All slots: the lasting ones, and room for replacements.
    pub fn slots(&self) -> u16 {
        self.lasting_slots().saturating_add(self.surge)
    }

    /// The defaults for a pool of `workers`.
    pub fn new(workers: NonZeroU16) -> Self {
        Self {
            workers,
            max_in_flight: MaxInFlight::Auto,
            queue: QueueConfig { limit: 1024, timeout: Duration::from_secs(10) },
            freeze: FreezeConfig {
                suspect_after: Duration::from_millis(250),
                probe_timeout: Duration::from_millis(250),
                restart_after: Duration::from_secs(30),
            },
            start: StartConfig {
                timeout: Duration::from_secs(60),
                backoff: Duration::from_secs(1),
                max_backoff: Duration::from_secs(60),
                attempts: 3,
                ramp: Duration::from_secs(10),
            },
            stop: StopConfig { drain_timeout: Duration::from_secs(30), grace: Duration::from_secs(10) },
            isolation: Isolation::Auto,
            spare: 0,
            surge: 2,
        }
    }
}

/// The bounds of the queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QueueConfig {
    /// Requests that may wait at once; one more is answered 503. Zero: nobody waits.
    pub limit: u32,
    /// How long one may wait before it is answered 503 ("timeout queue" of HAProxy).
    pub timeout: Duration,
}

/// The steps from silence to a restart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FreezeConfig {
    /// A worker that owes answers and sent no byte for so long is suspected, and probed.
    pub suspect_after: Duration,
    /// A suspect that does not answer its probe for so long is frozen: no new requests.
    pub probe_timeout: Duration,
    /// A worker frozen for so long is killed and replaced.
    pub restart_after: Duration,
}

/// From spawn to serving.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StartConfig {
    /// A worker that gives no HTTP answer for so long after its spawn is killed, and started again.
    pub timeout: Duration,
    /// The wait after a first failed start; it doubles with each further one.
    pub backoff: Duration,
    /// The longest such wait.
    pub max_backoff: Duration,
    /// If no worker of the pool was ever ready and each slot failed this many times, the pool gives up. Zero:
    /// it never does.
    pub attempts: u32,
    /// A worker that joins a pool already at work gets its full share only after so long ("slow start").
    pub ramp: Duration,
}

/// From "no new requests" to the end of the process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StopConfig {
    /// How long a draining worker may finish its requests.
    pub drain_timeout: Duration,
    /// How long after SIGTERM a worker is killed.
    pub grace: Duration,
}
