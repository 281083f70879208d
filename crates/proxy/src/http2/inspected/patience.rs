//! How many frames that ask for nothing are taken: PING, SETTINGS, WINDOW_UPDATE, PRIORITY, and those that nobody knows.
//!
//! Each costs a client a few bytes of a large write, and this side its parsing and perhaps an answer. Honest ones come beside
//! something else: a request, an answer whose data they make room for, or a while in which nothing else went on.

use h2::Reason;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;
use tokio::time::Instant;

/// A client's credit, in frames.
pub(super) struct Patience {
    left: u32,
    /// For what was sent to it and may not have reached it yet: more than it may spend at once of the rest.
    owed: u32,
    counted: Instant,
}

/// Frames with data that were sent to a client since somebody looked. Clones count the same.
#[derive(Clone, Debug, Default)]
pub(in crate::http2) struct Pieces(Arc<AtomicU32>);

impl Pieces {
    /// One was sent.
    pub(in crate::http2) fn note(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn take(&self) -> u32 {
        self.0.swap(0, Ordering::Relaxed)
    }
}

impl Patience {
    pub(super) fn new() -> Self {
        Self { left: MOST, owed: 0, counted: Instant::now() }
    }

    /// For a frame that asks for nothing.
    ///
    /// # Errors
    /// When there were too many.
    pub(super) fn spend(&mut self) -> Result<(), Reason> {
        if let Some(owed) = self.owed.checked_sub(1) {
            self.owed = owed;
            return Ok(());
        }
        if self.left == 0 {
            // Only now is the clock asked: an honest client hardly ever comes here.
            let now = Instant::now();
            self.earn((now - self.counted).div_duration_f32(BY_TIME) as u32);
            self.counted = now;
        }
        self.left = self.left.checked_sub(1).ok_or(Reason::ENHANCE_YOUR_CALM)?;
        Ok(())
    }

    pub(super) fn earn_by_request(&mut self) {
        self.earn(BY_REQUEST);
    }

    /// By what was written to it at once. Answers to its frames are short, and many of them are written together.
    pub(super) fn earn_by_bytes(&mut self, bytes: usize) {
        self.earn(BY_WRITE.saturating_add(u32::try_from(bytes / BYTES).unwrap_or(u32::MAX)));
    }

    /// By frames with data that were sent to it. Some clients open both windows again for each of them, however short.
    pub(super) fn earn_by_pieces(&mut self, pieces: u32) {
        self.owed = self.owed.saturating_add(pieces.saturating_mul(BY_PIECE)).min(MOST_OWED);
    }

    fn earn(&mut self, frames: u32) {
        self.left = self.left.saturating_add(frames).min(MOST);
    }
}

/// Frames that are taken at once. Where a client sends more than this to begin with, it means to.
const MOST: u32 = 1_000;

/// One more after so long.
const BY_TIME: Duration = Duration::from_millis(10);

/// For a request: its priority may change, and its windows be opened.
const BY_REQUEST: u32 = 16;

/// For each write, however short: of an answer's data, or of one to a single frame, which was as costly for its sender.
const BY_WRITE: u32 = 4;

/// For each frame with data.
const BY_PIECE: u32 = 2;

/// The frames of a large window in pieces of a few bytes, on their way.
const MOST_OWED: u32 = 1_000_000;

/// For so many bytes of a write. Clients make room for data in both windows.
const BYTES: usize = 128;

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_flood_ends_and_what_comes_beside_something_does_not() {
        let mut patience = Patience::new();
        let mut spend = |frames: u32| (0..frames).try_for_each(|_| patience.spend());
        assert_eq!(spend(MOST), Ok(()));
        assert_eq!(spend(1), Err(Reason::ENHANCE_YOUR_CALM));
        for _ in 0..10 * MOST {
            patience.earn_by_bytes(50);
            assert_eq!(
                patience.spend().and_then(|()| patience.spend()),
                Ok(()),
                "the windows for a short event"
            );
        }
        for _ in 0..10 * MOST {
            tokio::time::advance(BY_TIME).await;
            assert_eq!(patience.spend(), Ok(()), "a clockwork");
        }
        // Pieces of an answer by the thousand, before the first of them was heard of.
        patience.earn_by_pieces(10 * MOST);
        assert_eq!((0..2 * 10 * MOST).try_for_each(|_| patience.spend()), Ok(()));
        for _ in 0..MOST {
            patience.earn_by_request();
            assert_eq!((0..BY_REQUEST).try_for_each(|_| patience.spend()), Ok(()));
        }
        // Answers of 17 bytes to frames of as many, a full buffer at a time.
        let flood = (0..100).try_for_each(|_| {
            patience.earn_by_bytes(16 * 1024);
            (0..16 * 1024 / 17).try_for_each(|_| patience.spend())
        });
        assert_eq!(flood, Err(Reason::ENHANCE_YOUR_CALM));
    }
}
