//! Interim answers (1xx, RFC 9110 section 15.2) of a worker on their way to the client.
//!
//! That is a client of HTTP/2: hyper's server can send those of HTTP/1.1 none but a 100 of its own, so they go without. Only
//! the worker that gets the request itself is heard, never one that gets a copy of it, so that two workers' hints do not mix.
//! Hints of a worker that turns out frozen later were sent by then, which is in order: they are advice, whatever the final
//! answer says.

use crate::response;
use http::{HeaderMap, Response, StatusCode};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Where the interim answers to one request wait for its stream. Clones are the same place.
///
/// Nobody is woken by what comes: the task that has it sent is the one that adds it, by driving the worker's connection.
#[derive(Clone, Debug)]
pub(crate) struct Interim(Arc<Mutex<Waiting>>);

#[derive(Debug)]
struct Waiting {
    answers: Vec<Response<()>>,
    /// Bytes that may still come.
    room: usize,
}

impl Interim {
    pub(crate) fn new() -> Self {
        Self(Arc::new(Mutex::new(Waiting { answers: Vec::new(), room: ROOM })))
    }

    /// The worker sent one. It is dropped if it would change protocols, which HTTP/2 does not know (RFC 9113 section 8.6), or
    /// if there is no room.
    pub(crate) fn add(&self, status: StatusCode, headers: &HeaderMap) {
        if status == StatusCode::SWITCHING_PROTOCOLS {
            return;
        }
        let fields = headers.iter().map(|(name, value)| name.as_str().len() + value.len() + FIELD_OVERHEAD);
        let mut waiting = self.waiting();
        let Some(room) = waiting.room.checked_sub(OVERHEAD + fields.sum::<usize>()) else { return };
        waiting.room = room;
        let mut answer = Response::new(());
        *answer.status_mut() = status;
        answer.headers_mut().clone_from(headers);
        response::prepare_interim(answer.headers_mut());
        waiting.answers.push(answer);
    }

    /// What came since the last time.
    pub(crate) fn take(&self) -> Vec<Response<()>> {
        std::mem::take(&mut self.waiting().answers)
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Bytes of interim answers to one request that are passed on, about as they lie in memory: no window holds them up, so they
/// wait in the h2 library for as long as their client reads nothing. Enough for 128 answers without fields, or for eight that
/// each name twenty things to load.
const ROOM: usize = 32 * 1024;

/// What one takes beside its fields.
const OVERHEAD: usize = 256;

/// What a field takes beside its text.
const FIELD_OVERHEAD: usize = 128;

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;
    use http::header::LINK;

    #[test]
    fn answers_beyond_the_room_are_dropped_for_good() {
        let interim = Interim::new();
        let mut long = HeaderMap::new();
        long.insert(LINK, HeaderValue::try_from("x".repeat(ROOM)).expect("it is text"));
        interim.add(StatusCode::EARLY_HINTS, &long);
        assert!(interim.take().is_empty());
        for _ in 0..1000 {
            interim.add(StatusCode::PROCESSING, &HeaderMap::new());
        }
        assert_eq!(interim.take().len(), ROOM / OVERHEAD);
        interim.add(StatusCode::PROCESSING, &HeaderMap::new());
        assert!(interim.take().is_empty(), "what was passed on may wait still");
    }
}
