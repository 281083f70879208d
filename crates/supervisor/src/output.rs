//! What workers print: read at once, always, so that no worker ever waits for its log.

use logs::{Log, Output, Source, Speaker};
use std::collections::VecDeque;
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::io::AsyncReadExt;
use tokio::net::unix::pipe;

/// The last lines of one life, for the report of its end.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tail(Arc<Mutex<VecDeque<String>>>);

impl Tail {
    /// Takes the last lines of a piece of output; the rest of a flood costs nothing.
    fn push(&self, text: &[u8]) {
        let newest =
            text.rsplit(|byte| *byte == b'\n').filter(|line| !line.iter().all(u8::is_ascii_whitespace));
        let mut newest: Vec<&[u8]> = newest.take(TAIL_LINES).collect();
        newest.reverse();
        let mut lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for line in newest {
            if lines.len() == TAIL_LINES {
                lines.pop_front();
            }
            let line = &line[..line.len().min(TAIL_BYTES)];
            lines.push_back(String::from_utf8_lossy(line).trim_end().to_owned());
        }
    }

    /// The lines, oldest first, in one line.
    pub(crate) fn text(&self) -> String {
        let lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        lines.iter().map(String::as_str).collect::<Vec<_>>().join(" | ")
    }
}

/// Reads one stream of one worker to its end, and passes whole lines on, many at once if many came.
pub(crate) async fn read(fd: OwnedFd, speaker: Arc<Speaker>, source: Source, log: Log, tail: Tail) {
    let mut stream = match pipe::Receiver::from_owned_fd(fd) {
        Ok(stream) => stream,
        Err(error) => {
            tracing::warn!(worker = speaker.name, %error, "cannot read the output of this worker");
            return;
        }
    };
    let mut pending = Vec::new();
    let mut chunk = vec![0; CHUNK_BYTES];
    let pass_on = |text: Vec<u8>| {
        tail.push(&text);
        log.output(Output { speaker: Arc::clone(&speaker), source, text, at: logs::now() });
    };
    // An error means what the end means: nothing more can be read.
    while let Ok(read @ 1..) = stream.read(&mut chunk).await {
        pending.extend_from_slice(&chunk[..read]);
        let rest = match pending.iter().rposition(|byte| *byte == b'\n') {
            Some(end) => {
                let rest = pending.split_off(end + 1);
                pending.truncate(end);
                Some(rest)
            }
            None if pending.len() >= LINE_BYTES => Some(Vec::new()),
            None => None,
        };
        if let Some(rest) = rest {
            pass_on(std::mem::replace(&mut pending, rest));
        }
        // A worker that prints without end must not keep the others' events from this thread.
        tokio::task::yield_now().await;
    }
    if !pending.is_empty() {
        pass_on(pending);
    }
}

const CHUNK_BYTES: usize = 16 * 1024;

/// A longer line comes in pieces of this size or a little more.
const LINE_BYTES: usize = 16 * 1024;

const TAIL_LINES: usize = 5;
const TAIL_BYTES: usize = 300;
