//! The way to a writer: never waited for, and bounded for each kind of line.

use crate::entry::{Class, Entry};
use prometheus::IntCounter;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{self, Receiver, Sender};

/// A handle; clones mean the same queue.
#[derive(Clone, Debug)]
pub(crate) struct Queue {
    sender: Sender<Entry>,
    pub(crate) rooms: Arc<Rooms>,
}

/// What may wait, and what was lost.
#[derive(Debug)]
pub(crate) struct Rooms {
    /// Bytes that wait, by class.
    used: [AtomicUsize; Class::COUNT],
    /// Lines lost since the queue began, by class.
    lost: [AtomicU64; Class::COUNT],
    drops: Drops,
}

/// Lines lost in all queues. Those of workers are counted by who printed them.
#[derive(Clone, Debug)]
pub(crate) struct Drops {
    pub(crate) own: IntCounter,
    pub(crate) access: IntCounter,
}

impl Queue {
    pub(crate) fn new(drops: Drops) -> (Self, Receiver<Entry>) {
        // Bounded by the rooms, in bytes.
        let (sender, receiver) = mpsc::channel();
        let rooms = Rooms { used: Default::default(), lost: Default::default(), drops };
        (Self { sender, rooms: Arc::new(rooms) }, receiver)
    }

    /// Leaves an entry for the writer, or counts it as lost. Whether it was left.
    pub(crate) fn push(&self, entry: Entry) -> bool {
        if !self.rooms.take(&entry) {
            self.rooms.lose(&entry);
            return false;
        }
        let sent = self.sender.send(entry);
        if let Err(mpsc::SendError(entry)) = &sent {
            // The writer has ended.
            self.rooms.give_back(entry);
            self.rooms.lose(entry);
        }
        sent.is_ok()
    }
}

impl Rooms {
    fn take(&self, entry: &Entry) -> bool {
        let Some(class) = entry.class() else { return true };
        let (used, size) = (&self.used[class as usize], entry.size());
        let fits = used.fetch_add(size, Ordering::Relaxed) + size <= class.room();
        if !fits {
            used.fetch_sub(size, Ordering::Relaxed);
        }
        fits
    }

    /// The entry waits no more.
    pub(crate) fn give_back(&self, entry: &Entry) {
        if let Some(class) = entry.class() {
            self.used[class as usize].fetch_sub(entry.size(), Ordering::Relaxed);
        }
    }

    /// The entry will not be printed.
    pub(crate) fn lose(&self, entry: &Entry) {
        let lines = entry.lines();
        match entry {
            Entry::Event(_) => self.drops.own.inc_by(lines),
            Entry::Requests(_) => return self.lose_requests(lines),
            Entry::Output(output) => {
                output.speaker.dropped.fetch_add(lines, Ordering::Relaxed);
            }
            Entry::Reopen | Entry::Close => {}
        }
        if let Some(class) = entry.class() {
            self.lost[class as usize].fetch_add(lines, Ordering::Relaxed);
        }
    }

    /// These lines of requests will not be printed.
    pub(crate) fn lose_requests(&self, lines: u64) {
        self.drops.access.inc_by(lines);
        self.lost[Class::Access as usize].fetch_add(lines, Ordering::Relaxed);
    }

    /// Lines lost so far, by class.
    pub(crate) fn lost(&self) -> [u64; Class::COUNT] {
        [Class::Own, Class::Worker, Class::Access]
            .map(|class| self.lost[class as usize].load(Ordering::Relaxed))
    }
}
