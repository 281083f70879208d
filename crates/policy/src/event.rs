//! What happened, what to do, and why: the words between the policy and the shell that carries it out.

use crate::{LeaseId, Phase, Refusal, RouteId, RouteStanding, TicketId, WorkerId};
use std::fmt;
use std::time::Duration;

/// What the shell observed, or was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// A starting worker gave its first HTTP answer.
    Ready(WorkerId),
    /// There is no process: the spawn failed.
    SpawnFailed(WorkerId),
    /// The latest probe of this worker was answered, by whatever status, or by closing the connection it had accepted; so
    /// long after it was asked.
    ProbeAnswered(WorkerId, Duration),
    /// The probe of this worker found no connection.
    ProbeFailed(WorkerId),
    /// The worker's process ended.
    Exited(WorkerId, Exit),
    /// The processor time that the worker used since the last such event, as a share of that time: 1.0 for one whole
    /// processor.
    Busy(WorkerId, Share),
    /// This frozen worker is stopped (SIGSTOP, a debugger): no request did that.
    Stopped(WorkerId),
    /// End the pool: let workers finish what they hold.
    Stop,
    /// End the pool now.
    Kill,
}

/// A share of a whole, in thousandths.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Share(pub u32);

/// How a process ended (wait(2)).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Exit {
    /// By exit(3), with this code.
    Code(i32),
    /// By this signal.
    Signal(i32),
}

impl Exit {
    /// By SIGKILL: somebody's hand, or the kernel for want of memory.
    pub(crate) const KILLED: Self = Self::Signal(9);
}

impl fmt::Display for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Code(code) => write!(f, "exited with code {code}"),
            Self::KILLED => f.write_str("was killed by SIGKILL (by hand, or for want of memory)"),
            Self::Signal(signal) => write!(f, "was killed by signal {signal}"),
        }
    }
}

/// What the shell has to do. Actions are polled out in order, after every call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Start the process of this life, and say when it answers.
    Spawn(WorkerId),
    /// Send this signal to the worker's process group.
    Signal(WorkerId, Signal),
    /// Send `OPTIONS *` (or what the operator chose) on a fresh connection; at most one such probe a worker.
    Probe(WorkerId),
    /// The queued request may go to this worker.
    Grant(TicketId, LeaseId),
    /// The queued request gets no worker.
    Reject(TicketId, Refusal),
    /// This request, of which no byte of an answer has come, is to be sent to another worker too: ask
    /// [`Pool::rescue`](crate::Pool::rescue) for one. The first answer wins.
    Rescue(LeaseId),
    /// A worker changed its state: log it.
    Report(Report),
    /// What was made of a worker that froze, clogged or died with requests.
    Judged(Judgement),
    /// A route's standing changed: log it.
    Standing(StandingReport),
    /// No worker was ever ready: end the program with an explanation.
    GiveUp,
}

/// The two ways to end a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Signal {
    /// SIGTERM.
    Terminate,
    /// SIGKILL.
    Kill,
}

impl Signal {
    /// Its number (signal(7)).
    pub(crate) fn number(self) -> i32 {
        match self {
            Self::Kill => 9,
            Self::Terminate => 15,
        }
    }
}

/// One change of one worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Report {
    /// The worker.
    pub worker: WorkerId,
    /// Before.
    pub was: Phase,
    /// After.
    pub now: Phase,
    /// The reason.
    pub why: Why,
}

/// What was made of a worker that stopped answering.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Judgement {
    /// The worker.
    pub worker: WorkerId,
    /// Requests that it held.
    pub held: u32,
    /// How many of them may be what stopped it.
    pub suspects: u32,
    /// How many are to be sent to another worker at once.
    pub rescued: u32,
    /// The route of the likely culprit, if one stands out, and how long ago that request was sent.
    pub culprit: Option<(RouteId, Duration)>,
}

/// A change of a route's standing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StandingReport {
    /// The route.
    pub route: RouteId,
    /// Before.
    pub was: RouteStanding,
    /// After.
    pub now: RouteStanding,
}

/// Why a worker changed its state. Displays as a clause for people.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// It was time to start it.
    Due,
    /// It could not be spawned; the next attempt follows after this wait.
    SpawnFailed {
        /// Until the next attempt.
        retry: Option<Duration>,
    },
    /// It answered for the first time.
    Ready {
        /// Since its spawn.
        took: Duration,
    },
    /// It gave no answer in the time it has to start.
    StartTimeout,
    /// It owes answers and has been silent.
    Silent {
        /// For how long.
        silent: Duration,
        /// Requests it holds.
        owes: u32,
    },
    /// It serves one request at a time, and that one takes far longer than its like.
    Overdue {
        /// Since the request was sent.
        age: Duration,
    },
    /// Its loop answers, but requests that are usually quick stand still on it.
    Clogged {
        /// How many.
        stuck: u32,
    },
    /// They moved.
    Unclogged,
    /// It was clogged; a request will tell whether it still is.
    Trial,
    /// It holds nothing but what froze it, and too few others are left.
    NotWorthWaiting,
    /// Enough others serve again.
    Surplus,
    /// It was to end as one too many, and is not any more.
    Needed,
    /// It took no connection.
    Refused,
    /// It serves one request at a time, and the client of that one left: is it free again?
    Abandoned,
    /// It serves one request at a time, and that one is out of time.
    TimedOut,
    /// It did not answer its probe.
    Deaf {
        /// Since its last byte.
        silent: Duration,
        /// Requests it holds.
        owes: u32,
    },
    /// It sent a byte after all.
    Answered {
        /// Since the state before began.
        after: Duration,
    },
    /// It was frozen for too long.
    FrozenTooLong,
    /// The pool is ending.
    Asked,
    /// It finished what it held.
    Empty,
    /// It did not finish, or end, in time.
    OutOfTime,
    /// Its process ended; the next one follows after this wait.
    Exited {
        /// How.
        exit: Exit,
        /// Until the next start; nothing if none is wanted.
        retry: Option<Duration>,
    },
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Due => f.write_str("due to start"),
            Self::SpawnFailed { retry } => write!(f, "could not be spawned{}", Next(retry)),
            Self::Ready { took } => write!(f, "ready after {}", Short(took)),
            Self::StartTimeout => f.write_str("gave no HTTP answer within its start timeout"),
            Self::Silent { silent, owes } => {
                write!(f, "silent for {} while it owes {}", Short(silent), Answers(owes))
            }
            Self::Overdue { age } => {
                write!(f, "its one request has taken {}, far longer than its like", Short(age))
            }
            Self::Clogged { stuck: 0 } => {
                f.write_str("it is as full of the same requests as one that is clogged")
            }
            Self::Clogged { stuck } => {
                write!(f, "its loop lives, but {stuck} usually quick requests stand still on it")
            }
            Self::Unclogged => f.write_str("its requests move again"),
            Self::Trial => f.write_str("trying whether requests move again"),
            Self::NotWorthWaiting => f.write_str("it holds only what froze it, and too few others serve"),
            Self::Surplus => f.write_str("enough others serve again"),
            Self::Needed => f.write_str("needed again"),
            Self::Refused => f.write_str("took no connection"),
            Self::Abandoned => f.write_str("its client left; asking whether it is free"),
            Self::TimedOut => f.write_str("its one request is out of time"),
            Self::Deaf { silent, owes } => {
                write!(f, "silent for {} and deaf to its probe; owes {}", Short(silent), Answers(owes))
            }
            Self::Answered { after } => write!(f, "answered after {}", Short(after)),
            Self::FrozenTooLong => f.write_str("frozen for restart_after"),
            Self::Asked => f.write_str("the pool is ending"),
            Self::Empty => f.write_str("finished its requests"),
            Self::OutOfTime => f.write_str("out of time"),
            Self::Exited { exit, retry } => write!(f, "{exit}{}", Next(retry)),
        }
    }
}

struct Next(Option<Duration>);

impl fmt::Display for Next {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            None => Ok(()),
            Some(Duration::ZERO) => f.write_str("; starting it again"),
            Some(wait) => write!(f, "; starting it again in {}", Short(wait)),
        }
    }
}

struct Answers(u32);

impl fmt::Display for Answers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            1 => f.write_str("1 answer"),
            owed => write!(f, "{owed} answers"),
        }
    }
}

/// A duration to three digits or so: `251 ms`, `2.3 s`.
struct Short(Duration);

impl fmt::Display for Short {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            short if short < Duration::from_secs(1) => write!(f, "{} ms", short.as_millis()),
            whole if whole.subsec_millis() < 50 => write!(f, "{} s", whole.as_secs()),
            long => write!(f, "{:.1} s", long.as_secs_f64()),
        }
    }
}
