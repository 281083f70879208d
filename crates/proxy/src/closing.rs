//! How a client's connection ends, so that its last answer can be read and a broken one is seen as broken.

use crate::client::{ClientStream, socket};
use crate::error::Error;
use crate::watch::{Phase, Watch};
use std::error::Error as _;
use std::io;
use std::time::Duration;
use supervisor::Stream;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// What ended the HTTP on a connection.
#[derive(Debug)]
pub(crate) enum Ending {
    /// Either side was done.
    Over,
    /// An error: the client's, or an answer that broke off.
    Broken(hyper::Error),
    /// The limit of this phase passed.
    Late(Phase),
    /// The service drains, and has no more time for this request.
    Cut,
}

impl Ending {
    /// How a request is answered whose head was not whole, or no HTTP, so that no task served it. `unread` is what is
    /// there of it.
    pub(crate) fn refusal(&self, phase: Phase, unread: &[u8], longest_target: usize) -> Option<Error> {
        match self {
            Self::Late(Phase::Head) => Some(Error::HeaderTimeout),
            Self::Broken(error)
                if phase == Phase::Head && (error.is_parse_too_large() || is_too_long(error)) =>
            {
                Some(if is_target_too_long(unread, longest_target) {
                    Error::TargetTooLong
                } else {
                    Error::HeadTooLarge
                })
            }
            Self::Broken(error) if phase == Phase::Head && error.is_parse() => {
                Some(Error::Malformed("The request is not HTTP."))
            }
            Self::Over | Self::Broken(_) | Self::Late(_) | Self::Cut => None,
        }
    }

    /// Whether hyper has said something to the client before it gave up.
    fn is_answered(&self) -> bool {
        matches!(self, Self::Broken(error) if error.is_parse())
    }
}

/// What hyper gets to read behind a head that is longer than allowed. By itself it would answer every such head 431.
#[derive(Debug, thiserror::Error)]
#[error("the head is longer than allowed")]
pub(crate) struct HeadTooLong;

impl From<HeadTooLong> for io::Error {
    fn from(error: HeadTooLong) -> Self {
        Self::other(error)
    }
}

fn is_too_long(error: &hyper::Error) -> bool {
    let cause = error.source().and_then(|cause| cause.downcast_ref::<io::Error>());
    cause.and_then(io::Error::get_ref).is_some_and(|cause| cause.is::<HeadTooLong>())
}

/// Whether the first line of a head that is too long is to blame: its target, or all of it if no other line is there.
fn is_target_too_long(head: &[u8], longest: usize) -> bool {
    let Some(end) = head.iter().position(|byte| *byte == b'\n') else { return true };
    head[..end].split(|byte| *byte == b' ').nth(1).is_some_and(|target| target.len() > longest)
}

/// Closes a connection on which no HTTP goes on, after the answer to a request that nobody served.
pub(crate) async fn close(
    mut stream: ClientStream,
    ending: &Ending,
    last_words: Option<String>,
    watch: &Watch,
) {
    // Nothing can be done for a client that is gone already.
    let _ = match (last_words, ending) {
        (Some(words), _) if !ending.is_answered() => {
            let said = async {
                stream.write_all(words.as_bytes()).await?;
                // That it is written says only that it is on its way.
                stream.shutdown().await
            };
            if timeout(LAST_WRITE, said).await.is_ok() { linger(stream).await } else { Ok(()) }
        }
        (_, Ending::Broken(_) | Ending::Late(_) | Ending::Cut) if watch.answer_ends_with_connection() => {
            reset(socket(&stream))
        }
        (_, Ending::Broken(error)) if error.is_parse() => linger(stream).await,
        (_, Ending::Over | Ending::Broken(_)) if watch.left_unread() => linger(stream).await,
        // An end that is in order is said inside TLS as well; hyper has done so where it was done.
        (_, Ending::Late(Phase::Idle)) => timeout(LAST_WRITE, stream.shutdown()).await.unwrap_or(Ok(())),
        (_, Ending::Over | Ending::Broken(_) | Ending::Late(_) | Ending::Cut) => Ok(()),
    };
}

/// Tells a client that speaks HTTP where TLS is spoken.
pub(crate) async fn refuse_plain_http(mut stream: Stream) -> io::Result<()> {
    match timeout(LAST_WRITE, stream.write_all(PLAIN_HTTP)).await {
        Ok(sent) => sent?,
        Err(_) => return Ok(()),
    }
    linger(stream).await
}

/// Ends a connection without a word, and at once: the kernel keeps nothing of it.
pub(crate) fn refuse(stream: &Stream) {
    // A client that is gone already is refused as well.
    let _ = reset(stream);
}

/// Reads on for a while before it closes: data that meets a closed socket is answered by a reset, and the reset takes an
/// answer away that the client has not read yet (RFC 9112 section 9.6).
pub(crate) async fn linger(mut stream: impl AsyncRead + AsyncWrite + Unpin) -> io::Result<()> {
    let unread = async {
        stream.shutdown().await?;
        let mut buffer = vec![0; BUFFER];
        loop {
            match timeout(LONGEST_SILENCE, stream.read(&mut buffer)).await {
                Ok(Ok(1..)) => {}
                Ok(Ok(0)) | Err(_) => return Ok(()),
                Ok(Err(error)) => return Err(error),
            }
        }
    };
    timeout(LONGEST_LINGER, unread).await.unwrap_or(Ok(()))
}

/// Ends a connection whose orderly end would say that all was said. Unix sockets know no resets.
pub(crate) fn reset(stream: &Stream) -> io::Result<()> {
    stream.tcp().map_or(Ok(()), TcpStream::set_zero_linger)
}

const LAST_WRITE: Duration = Duration::from_secs(1);
pub(crate) const LONGEST_LINGER: Duration = Duration::from_secs(10);
pub(crate) const LONGEST_SILENCE: Duration = Duration::from_secs(2);
const BUFFER: usize = 16 * 1024;

const PLAIN_HTTP: &[u8] =
    b"HTTP/1.1 400 Bad Request\r\nconnection: close\r\ncontent-type: text/plain\r\nx-antifreeze: plain_http\r\n\r\nHTTPS is spoken here: write https:// instead of http\n";
