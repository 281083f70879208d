//! Which HTTP a client without TLS speaks: one that knows beforehand that HTTP/2 is spoken begins with its preface (RFC
//! 9113 section 3.3).

use crate::socket::when_readable;
use rustix::net::{RecvFlags, recv};
use std::io;
use std::os::fd::BorrowedFd;
use supervisor::Stream;

/// What a client speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Spoken {
    Http1,
    Http2,
}

/// Looks at how a connection begins. That stays unread.
///
/// # Errors
/// When it broke before.
pub(crate) async fn recognise(stream: &Stream) -> io::Result<Spoken> {
    when_readable(stream, judge).await
}

/// Would block until so much has come that it is clear.
fn judge(socket: BorrowedFd<'_>) -> io::Result<Spoken> {
    let mut seen = [0; START.len()];
    let (count, _) = recv(socket, &mut seen[..], RecvFlags::PEEK)?;
    match count {
        // The client has left, as clients of HTTP/1 do.
        0 => Ok(Spoken::Http1),
        count if seen[..count] != START[..count] => Ok(Spoken::Http1),
        count if count < START.len() => Err(io::ErrorKind::WouldBlock.into()),
        _ => Ok(Spoken::Http2),
    }
}

/// How the preface begins, and no method of HTTP/1 ever does, by design.
const START: &[u8; 3] = b"PRI";
