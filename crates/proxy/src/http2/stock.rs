//! What all requests of a connection have together, so that many cost it no more than a few.

use super::FIELD_OVERHEAD;
use super::inspected::Pieces;
use crate::Limits;
use http::Request;
use std::sync::Arc;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Room for the heads of open requests, and for what their answers have to wait.
pub(super) struct Stock {
    heads: Arc<Semaphore>,
    answers: Answers,
}

/// What the answers of a connection have together.
#[derive(Clone)]
pub(super) struct Answers {
    /// For the bytes that wait.
    pub(super) room: Arc<Semaphore>,
    /// What was sent of them.
    pub(super) pieces: Pieces,
}

/// One request's portion of it. The room for its head is given back when this is dropped.
pub(super) struct Portion {
    _head: OwnedSemaphorePermit,
    pub(super) answers: Answers,
}

impl Stock {
    pub(super) fn new(limits: &Limits, pieces: Pieces) -> Self {
        let heads = limits.header_bytes.saturating_mul(LONGEST_HEADS).min(Semaphore::MAX_PERMITS);
        let answers = Answers { room: Arc::new(Semaphore::new(WAITING)), pieces };
        Self { heads: Arc::new(Semaphore::new(heads)), answers }
    }

    /// A portion for this request, if there is room for its head. Clients can name a long field in a byte (RFC 7541 section
    /// 6.1), and it is written out for a worker.
    pub(super) fn portion<T>(&self, request: &Request<T>) -> Option<Portion> {
        let fields: usize = request
            .headers()
            .iter()
            .map(|(name, value)| name.as_str().len() + value.len() + FIELD_OVERHEAD as usize)
            .sum();
        let path = request.uri().path_and_query().map_or(0, |path| path.as_str().len());
        let size = u32::try_from(fields + path).ok()?;
        let head = Arc::clone(&self.heads).try_acquire_many_owned(size).ok()?;
        Some(Portion { _head: head, answers: self.answers.clone() })
    }
}

/// As many of the longest heads may be open at once. Those of browsers are a hundredth of that.
const LONGEST_HEADS: usize = 32;

/// Bytes of answers that wait on the connection, all together.
const WAITING: usize = 1024 * 1024;
