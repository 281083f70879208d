//! What happens when.

use super::process::Job;
use policy::{Exit, Moment, WorkerId};
use std::collections::BTreeMap;
use std::time::Duration;

/// Something that will happen.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Happening {
    // To clients and the proxy.
    /// The next request comes in.
    Arrival,
    /// The client of this request has waited long enough for its nth try.
    Impatience(usize, u32),
    /// The client of this request asks again.
    Again(usize),
    /// The supervisor hears of the end of a process.
    Told(WorkerId, Exit),
    // To processes.
    /// It answers for the first time.
    Booted(WorkerId),
    /// Its loop is through with what it was at.
    SliceOver(WorkerId),
    /// What this request waited for is there.
    WaitOver(WorkerId, Job),
    /// A thread is through with this request.
    ThreadOver(WorkerId, Job),
    // To the host.
    /// The processor time of all processes is read.
    Second,
    /// Some worker dies.
    Crash,
    /// Everything stands still for a while.
    Stall(Duration),
}

/// What is still to happen, in order; at the same moment, in the order it was put down.
#[derive(Default)]
pub(crate) struct Agenda {
    entries: BTreeMap<(Moment, u64), Happening>,
    count: u64,
}

impl Agenda {
    pub(crate) fn put(&mut self, at: Moment, happening: Happening) {
        self.count += 1;
        self.entries.insert((at, self.count), happening);
    }

    pub(crate) fn next(&self) -> Option<Moment> {
        self.entries.first_key_value().map(|((at, _), _)| *at)
    }

    pub(crate) fn pop(&mut self) -> Option<Happening> {
        self.entries.pop_first().map(|(_, happening)| happening)
    }

    /// Processes make no progress for this long. The rest of the world does not wait for them: its timers and
    /// packets are all there when the stall is over.
    pub(crate) fn delay_processes(&mut self, time: Duration) {
        let entries = std::mem::take(&mut self.entries);
        self.entries = entries
            .into_iter()
            .map(|((at, count), happening)| match happening {
                Happening::Booted(_)
                | Happening::SliceOver(_)
                | Happening::WaitOver(..)
                | Happening::ThreadOver(..) => ((at + time, count), happening),
                Happening::Arrival
                | Happening::Impatience(..)
                | Happening::Again(_)
                | Happening::Told(..)
                | Happening::Crash
                | Happening::Second
                | Happening::Stall(_) => ((at, count), happening),
            })
            .collect();
    }
}
