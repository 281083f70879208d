//! What waits to be printed.

use crate::access::Shelf;
use crate::event::Event;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::SystemTime;

/// One thing in a queue.
#[derive(Debug)]
pub(crate) enum Entry {
    Event(Box<Event>),
    Output(Output),
    /// Lines of requests, at least one, are on this shelf.
    Requests(Arc<Shelf>),
    /// Open the file again: it was renamed.
    Reopen,
    /// Write what came before this, and end.
    Close,
}

/// Whole lines that a worker printed.
#[derive(Debug)]
pub struct Output {
    /// Who printed them.
    pub speaker: Arc<Speaker>,
    /// On which of its two streams.
    pub source: Source,
    /// The lines, with a newline between them and none at the end. Not necessarily UTF-8.
    pub text: Vec<u8>,
    /// When they arrived.
    pub at: SystemTime,
}

/// A worker as the author of lines.
#[derive(Debug)]
pub struct Speaker {
    /// As people see it: `web.3`.
    pub name: String,
    /// Counts its lines that were dropped.
    pub dropped: Arc<AtomicU64>,
}

/// A worker's two output streams.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

impl Source {
    /// The word of the JSON log.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Stdout => "stdout",
            Self::Stderr => "stderr",
        }
    }
}

/// Whose lines; each kind has room for itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Class {
    Own,
    Worker,
    Access,
}

impl Class {
    pub(crate) const COUNT: usize = 3;

    /// Bytes that may wait in one queue.
    pub(crate) const fn room(self) -> usize {
        match self {
            Self::Own => 1024 * 1024,
            Self::Worker | Self::Access => 8 * 1024 * 1024,
        }
    }
}

impl Entry {
    /// Nothing for what is no line.
    pub(crate) fn class(&self) -> Option<Class> {
        match self {
            Self::Event(_) => Some(Class::Own),
            Self::Output(_) => Some(Class::Worker),
            Self::Requests(_) => Some(Class::Access),
            Self::Reopen | Self::Close => None,
        }
    }

    /// What it takes of the room, in bytes.
    pub(crate) fn size(&self) -> usize {
        OVERHEAD
            + match self {
                Self::Event(event) => event.size(),
                Self::Output(output) => output.text.len(),
                // Shelves have their own bounds.
                Self::Requests(_) | Self::Reopen | Self::Close => 0,
            }
    }

    /// Of requests the first: who leaves a notice adds the line after it.
    pub(crate) fn lines(&self) -> u64 {
        match self {
            Self::Event(_) | Self::Requests(_) => 1,
            Self::Output(output) => output.lines().count() as u64,
            Self::Reopen | Self::Close => 0,
        }
    }
}

impl Output {
    pub(crate) fn lines(&self) -> impl Iterator<Item = &[u8]> {
        let lines = self.text.split(|byte| *byte == b'\n');
        lines.map(|line| line.strip_suffix(b"\r").unwrap_or(line))
    }
}

/// The entry itself and its allocations, roughly.
const OVERHEAD: usize = 128;
