//! How a client's connection ends, so that its last answer can be read and a broken one is seen as broken.

use crate::client::{ClientStream, socket};
use crate::watch::{Phase, Watch};
use http::StatusCode;
use std::io;
use std::time::Duration;
use supervisor::Stream;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
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
}

impl Ending {
    /// How a request in this phase was answered whose head was not whole, or no HTTP, so that no task served it.
    pub(crate) fn refusal(&self, phase: Phase) -> Option<(StatusCode, &'static str)> {
        match self {
            Self::Late(Phase::Head) => Some((StatusCode::REQUEST_TIMEOUT, "header_timeout")),
            Self::Broken(error) if phase == Phase::Head && error.is_parse_too_large() => {
                Some((StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, "head_too_large"))
            }
            Self::Broken(error) if phase == Phase::Head && error.is_parse() => {
                Some((StatusCode::BAD_REQUEST, "malformed"))
            }
            Self::Over | Self::Broken(_) | Self::Late(_) => None,
        }
    }
}

/// Closes a connection on which no HTTP goes on.
pub(crate) async fn close(mut stream: ClientStream, ending: &Ending, watch: &Watch) {
    // Nothing can be done for a client that is gone already.
    let _ = match ending {
        Ending::Late(Phase::Head) => {
            let sent = timeout(LAST_WRITE, stream.write_all(HEADER_TIMEOUT)).await;
            if sent.is_ok() { linger(stream).await } else { Ok(()) }
        }
        Ending::Broken(_) | Ending::Late(_) if watch.answer_ends_with_connection() => reset(&stream),
        Ending::Broken(error) if error.is_parse() => linger(stream).await,
        Ending::Over | Ending::Broken(_) if watch.left_unread() => linger(stream).await,
        // An end that is in order is said inside TLS as well; hyper has done so where it was done.
        Ending::Late(Phase::Idle) => timeout(LAST_WRITE, stream.shutdown()).await.unwrap_or(Ok(())),
        Ending::Over | Ending::Broken(_) | Ending::Late(_) => Ok(()),
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

/// Ends a connection whose orderly end would say that the answer was whole. Unix sockets know no resets.
fn reset(stream: &ClientStream) -> io::Result<()> {
    match socket(stream) {
        Stream::Tcp(stream) => stream.set_zero_linger(),
        Stream::Unix(_) => Ok(()),
    }
}

const LAST_WRITE: Duration = Duration::from_secs(1);
const LONGEST_LINGER: Duration = Duration::from_secs(10);
const LONGEST_SILENCE: Duration = Duration::from_secs(2);
const BUFFER: usize = 16 * 1024;

const HEADER_TIMEOUT: &[u8] =
    b"HTTP/1.1 408 Request Timeout\r\nconnection: close\r\ncontent-length: 0\r\nx-antifreeze: header_timeout\r\n\r\n";

const PLAIN_HTTP: &[u8] =
    b"HTTP/1.1 400 Bad Request\r\nconnection: close\r\ncontent-type: text/plain\r\nx-antifreeze: plain_http\r\n\r\nHTTPS is spoken here: write https:// instead of http\n";
