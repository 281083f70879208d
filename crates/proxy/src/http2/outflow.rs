//! The bytes of one answer on their way into the connection.

use super::inspected::Pieces;
use super::stock::Answers;
use bytes::{Buf, Bytes};
use h2::{Reason, SendStream};
use http::HeaderMap;
use std::task::{Context, Poll, ready};
use tokio::sync::OwnedSemaphorePermit;
use tokio_util::sync::PollSemaphore;

/// The sending half of a stream. What it has sent waits in the h2 library until the client takes it, and takes room there
/// from all answers of its connection: many that nobody reads are to cost no more than one.
pub(super) struct Outflow {
    stream: SendStream<Piece>,
    room: PollSemaphore,
    pieces: Pieces,
}

/// Bytes that wait, and the room that they take until they are written.
pub(super) struct Piece {
    bytes: Bytes,
    _room: Option<OwnedSemaphorePermit>,
}

/// Room for some bytes.
pub(super) struct Room(OwnedSemaphorePermit);

impl Room {
    /// For how many.
    pub(super) fn bytes(&self) -> usize {
        self.0.num_permits()
    }
}

impl Outflow {
    /// Into this stream, beside the other answers of its connection.
    pub(super) fn new(stream: SendStream<Piece>, Answers { room, pieces }: Answers) -> Self {
        Self { stream, room: PollSemaphore::new(room), pieces }
    }

    /// Waits until there is room for some of these bytes: the client's, and of what may wait.
    pub(super) fn poll_room(&mut self, cx: &mut Context<'_>, bytes: usize) -> Poll<Result<Room, h2::Error>> {
        let room = ready!(poll_room(&mut self.stream, cx, bytes))?;
        let count = room.min(bytes).min(FRAME);
        match self.room.poll_acquire_many(cx, u32::try_from(count).expect("a frame is short")) {
            Poll::Ready(room) => Poll::Ready(Ok(Room(room.expect("nobody closes it")))),
            Poll::Pending => self.poll_reset(cx).map(Err),
        }
    }

    /// Sends bytes for which there is room.
    pub(super) fn send(&mut self, bytes: Bytes, Room(room): Room) -> Result<(), h2::Error> {
        self.pieces.note();
        self.stream.send_data(Piece { bytes, _room: Some(room) }, false)
    }

    /// The same, and ends the stream.
    pub(super) fn send_last(&mut self, bytes: Bytes, Room(room): Room) -> Result<(), h2::Error> {
        self.pieces.note();
        self.stream.send_data(Piece { bytes, _room: Some(room) }, true)
    }

    /// Ends the stream behind what was sent.
    pub(super) fn end(&mut self) -> Result<(), h2::Error> {
        self.stream.send_data(Piece { bytes: Bytes::new(), _room: None }, true)
    }

    pub(super) fn end_with(&mut self, trailers: HeaderMap) -> Result<(), h2::Error> {
        self.stream.send_trailers(trailers)
    }

    pub(super) fn reset(&mut self, reason: Reason) {
        self.stream.send_reset(reason);
    }

    /// Waits until the client resets the stream, or the connection ends.
    pub(super) fn poll_reset(&mut self, cx: &mut Context<'_>) -> Poll<h2::Error> {
        self.stream.poll_reset(cx).map(|reset| reset.map_or_else(|error| error, h2::Error::from))
    }
}

/// How many of these bytes the other side, and our share of the connection, have room for.
pub(crate) fn poll_room<B: Buf>(
    send: &mut SendStream<B>,
    cx: &mut Context<'_>,
    bytes: usize,
) -> Poll<Result<usize, h2::Error>> {
    // No more than a frame at a time, so that each of many answers gets its turn.
    send.reserve_capacity(bytes.min(FRAME));
    loop {
        if send.capacity() > 0 {
            return Poll::Ready(Ok(send.capacity()));
        }
        match ready!(send.poll_capacity(cx)) {
            Some(room) => {
                room?;
            }
            // The other side reset it.
            None => return Poll::Ready(Err(Reason::CANCEL.into())),
        }
    }
}

impl Buf for Piece {
    fn remaining(&self) -> usize {
        self.bytes.len()
    }

    fn chunk(&self) -> &[u8] {
        &self.bytes
    }

    fn advance(&mut self, count: usize) {
        self.bytes.advance(count);
    }
}

/// The longest frame that everybody takes (RFC 9113 section 4.2).
const FRAME: usize = 16 * 1024;
