//! The thread of one place: takes what waits, formats it, writes it in as few pieces as possible.

use crate::access::Shelf;
use crate::entry::{Class, Entry};
use crate::format::Style;
use crate::place::Place;
use crate::queue::Rooms;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender};
use std::time::{Duration, Instant};

#[derive(Debug)]
pub(crate) struct Writer {
    pub(crate) entries: Receiver<Entry>,
    pub(crate) rooms: Arc<Rooms>,
    pub(crate) place: Place,
    pub(crate) style: Style,
    /// Told at the end.
    pub(crate) done: SyncSender<()>,
    pub(crate) health: Health,
}

/// How the last write went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Health {
    Works,
    Fails,
}

/// What a round ended with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Next {
    /// The batch is full; more waits.
    More,
    /// Nothing waits.
    Idle,
    Reopen,
    Close,
}

/// One write's worth.
#[derive(Debug, Default)]
struct Batch {
    bytes: Vec<u8>,
    /// Is left on shelves in exchange for their lines.
    empty: Vec<u8>,
    /// Each with where its bytes end.
    entries: Vec<(usize, Entry)>,
}

impl Writer {
    /// Runs until it is told to close, or nobody is left who could tell it anything.
    pub(crate) fn run(mut self) {
        let mut batch = Batch::default();
        let mut news = News::new(&self.rooms);
        loop {
            let next = self.gather(&mut batch, news.is_due());
            self.write(&mut batch);
            match self.health {
                Health::Works => news.tell(&self.rooms, next, &self.place),
                Health::Fails => news.note(&self.rooms),
            }
            match next {
                Next::More => {}
                Next::Idle => pause(),
                Next::Reopen => {
                    if let Err(error) = self.place.reopen() {
                        tracing::error!(%error, "cannot reopen {}; going on with the old file", self.place.name());
                    }
                }
                Next::Close => {
                    // What was lost is still worth a line.
                    self.gather(&mut batch, Some(Duration::ZERO));
                    self.write(&mut batch);
                    break;
                }
            }
        }
        // Nobody waits for it any more if this fails.
        let _ = self.done.send(());
    }

    /// Waits for the first entry and takes what else is there.
    fn gather(&mut self, batch: &mut Batch, look_again: Option<Duration>) -> Next {
        let first = match look_again {
            None => self.entries.recv().map_err(|_| RecvTimeoutError::Disconnected),
            Some(limit) => self.entries.recv_timeout(limit),
        };
        let mut entry = match first {
            Ok(entry) => entry,
            Err(RecvTimeoutError::Timeout) => return Next::Idle,
            Err(RecvTimeoutError::Disconnected) => return Next::Close,
        };
        loop {
            match entry {
                Entry::Event(ref event) => self.style.event(event, &mut batch.bytes),
                Entry::Output(ref output) => self.style.output(output, &mut batch.bytes),
                Entry::Requests(ref shelf) => batch.clear_shelf(shelf),
                Entry::Reopen => return Next::Reopen,
                Entry::Close => return Next::Close,
            }
            batch.entries.push((batch.bytes.len(), entry));
            if batch.bytes.len() >= BATCH_BYTES {
                return Next::More;
            }
            match self.entries.try_recv() {
                Ok(more) => entry = more,
                Err(_) => return Next::Idle,
            }
        }
    }

    /// Writes the batch; what could not be written is lost.
    fn write(&mut self, batch: &mut Batch) {
        if batch.entries.is_empty() {
            return;
        }
        let written = match self.place.write(&batch.bytes) {
            Ok(()) => {
                self.health = Health::Works;
                batch.bytes.len()
            }
            Err((written, error)) => {
                if self.health == Health::Works && !self.place.is_main() {
                    tracing::error!(target: "log", %error, "cannot write to {}; dropping lines", self.place.name());
                }
                self.health = Health::Fails;
                written
            }
        };
        let mut start = 0;
        for (end, entry) in batch.entries.drain(..) {
            self.rooms.give_back(&entry);
            match &entry {
                _ if end <= written => {}
                Entry::Requests(_) => self.rooms.lose_requests(lines(&batch.bytes[start.max(written)..end])),
                entry => self.rooms.lose(entry),
            }
            start = end;
        }
        clear(&mut batch.bytes);
    }
}

impl Batch {
    fn clear_shelf(&mut self, shelf: &Shelf) {
        shelf.take(&mut self.empty);
        self.bytes.extend_from_slice(&self.empty);
        clear(&mut self.empty);
    }
}

/// Empties a vector, and gives back what a flood needed.
fn clear(bytes: &mut Vec<u8>) {
    bytes.clear();
    bytes.shrink_to(2 * BATCH_BYTES);
}

/// How many lines end in these bytes.
fn lines(bytes: &[u8]) -> u64 {
    bytes.iter().filter(|byte| **byte == b'\n').count() as u64
}

/// What was lost and not told yet.
#[derive(Debug)]
struct News {
    told: [u64; Class::COUNT],
    untold_since: Option<Instant>,
    last_told: Option<Instant>,
}

impl News {
    fn new(rooms: &Rooms) -> Self {
        Self { told: rooms.lost(), untold_since: None, last_told: None }
    }

    /// When to look again although nothing new came.
    fn is_due(&self) -> Option<Duration> {
        self.untold_since.map(|_| TELL_EVERY)
    }

    /// Notes since when there is something to tell.
    fn note(&mut self, rooms: &Rooms) {
        if rooms.lost() != self.told {
            self.untold_since.get_or_insert_with(Instant::now);
        }
    }

    /// One line about what was lost: once everything that waited is written, or now and then while it never is.
    fn tell(&mut self, rooms: &Rooms, next: Next, place: &Place) {
        self.note(rooms);
        let Some(since) = self.untold_since else { return };
        let recently = self.last_told.is_some_and(|last| last.elapsed() < TELL_EVERY);
        let over = next == Next::Idle || next == Next::Close || since.elapsed() >= TELL_EVERY;
        if recently || !over {
            return;
        }
        let lost = rooms.lost();
        let [own, workers, requests] = std::array::from_fn(|class| lost[class] - self.told[class]);
        tracing::warn!(
            target: "log", own, workers, requests,
            "{} lines were dropped: {} was too slow or full", own + workers + requests, place.name()
        );
        self.told = lost;
        self.untold_since = None;
        self.last_told = Some(Instant::now());
    }
}

/// Lets lines gather, so that a busy service pays one wake-up and one write for many.
#[expect(clippy::disallowed_methods, reason = "a thread of its own, and nothing to wait for but more lines")]
fn pause() {
    std::thread::sleep(PAUSE);
}

const BATCH_BYTES: usize = 64 * 1024;
const PAUSE: Duration = Duration::from_millis(5);
const TELL_EVERY: Duration = Duration::from_secs(5);
