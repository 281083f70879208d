//! What workers print: read at once, always, so that no worker ever waits for its log.

use crate::{Line, Source};
use std::collections::VecDeque;
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::SyncSender;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::io::AsyncReadExt;
use tokio::net::unix::pipe;

/// The last lines of one life, for the report of its end.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tail(Arc<Mutex<VecDeque<String>>>);

impl Tail {
    fn push(&self, line: &[u8]) {
        if line.iter().all(u8::is_ascii_whitespace) {
            return;
        }
        let mut lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if lines.len() == TAIL_LINES {
            lines.pop_front();
        }
        let line = &line[..line.len().min(TAIL_BYTES)];
        lines.push_back(String::from_utf8_lossy(line).trim_end().to_owned());
    }

    /// The lines, oldest first, in one line.
    pub(crate) fn text(&self) -> String {
        let lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        lines.iter().map(String::as_str).collect::<Vec<_>>().join(" | ")
    }
}

/// Where lines go, and what counts those that found no room.
#[derive(Clone, Debug)]
pub(crate) struct Sink {
    pub(crate) lines: SyncSender<Line>,
    pub(crate) dropped: Arc<AtomicU64>,
}

/// Reads one stream of one worker to its end.
pub(crate) async fn read(fd: OwnedFd, worker: String, source: Source, sink: Sink, tail: Tail) {
    let mut stream = match pipe::Receiver::from_owned_fd(fd) {
        Ok(stream) => stream,
        Err(error) => {
            tracing::warn!(worker, %error, "cannot read the output of this worker");
            return;
        }
    };
    let mut pending = Vec::new();
    let mut chunk = vec![0; CHUNK_BYTES];
    let emit = |text: &[u8]| {
        tail.push(text);
        let line = Line { worker: worker.clone(), source, text: text.to_vec() };
        if sink.lines.try_send(line).is_err() {
            sink.dropped.fetch_add(1, Ordering::Relaxed);
        }
    };
    // An error means what the end means: nothing more can be read.
    while let Ok(read @ 1..) = stream.read(&mut chunk).await {
        for piece in chunk[..read].split_inclusive(|byte| *byte == b'\n') {
            pending.extend_from_slice(piece);
            if pending.ends_with(b"\n") {
                pending.pop();
                emit(pending.strip_suffix(b"\r").unwrap_or(&pending));
                pending.clear();
            } else if pending.len() >= LINE_BYTES {
                emit(&pending);
                pending.clear();
            }
        }
        // A worker that prints without end must not keep the others' events from this thread.
        tokio::task::yield_now().await;
    }
    if !pending.is_empty() {
        emit(&pending);
    }
}

const CHUNK_BYTES: usize = 16 * 1024;

/// A longer line comes in pieces of this size or a little more.
const LINE_BYTES: usize = 16 * 1024;

const TAIL_LINES: usize = 5;
const TAIL_BYTES: usize = 300;
