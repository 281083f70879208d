//! Reads the status of a running antifreeze.

use crate::{AdminAddress, Status, routes};
use bytes::Bytes;
use http::{Request, StatusCode, header};
use http_body_util::{BodyExt, Empty, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use std::io;
use std::time::Duration;
use supervisor::Stream;
use tokio::time::timeout;

/// Why there is no status. Displays as one line with the remedy.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// Nobody listens there.
    #[error("no antifreeze listens on {0}; is it running, and with this --admin address?")]
    Nobody(AdminAddress),
    /// The socket belongs to another user.
    #[error("{0} belongs to another user; run this as that user")]
    Denied(AdminAddress),
    /// It took too long.
    #[error("{address} did not answer within {} s", TIMEOUT.as_secs())]
    Timeout {
        /// Who.
        address: AdminAddress,
    },
    /// It answered something else.
    #[error("{address} answered {status}: {body}; is it the admin address of an antifreeze?")]
    Refused {
        /// Who.
        address: AdminAddress,
        /// What.
        status: StatusCode,
        /// The beginning of its answer.
        body: String,
    },
    /// The answer is no status document.
    #[error("{address} answered no status document ({source}); is it the admin address of an antifreeze?")]
    Document {
        /// Who.
        address: AdminAddress,
        /// What is wrong with it.
        source: serde_json::Error,
    },
    /// The connection failed in another way.
    #[error("cannot talk to {address}: {source}")]
    Connection {
        /// Who.
        address: AdminAddress,
        /// How.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

/// Asks for the status document.
///
/// # Errors
/// [`FetchError`], one line each.
pub async fn fetch(address: &AdminAddress) -> Result<Status, FetchError> {
    let asked = timeout(TIMEOUT, async {
        let stream = address.connect().await.map_err(|error| refused(address, error))?;
        ask(address, stream)
            .await
            .map_err(|source| FetchError::Connection { address: address.clone(), source })
    });
    let (status, body) = asked.await.map_err(|_| FetchError::Timeout { address: address.clone() })??;
    if status != StatusCode::OK {
        let body = String::from_utf8_lossy(&body).chars().filter(|c| !c.is_control()).take(200).collect();
        return Err(FetchError::Refused { address: address.clone(), status, body });
    }
    serde_json::from_slice(&body).map_err(|source| FetchError::Document { address: address.clone(), source })
}

fn refused(address: &AdminAddress, error: io::Error) -> FetchError {
    let address = address.clone();
    match error.kind() {
        io::ErrorKind::ConnectionRefused | io::ErrorKind::NotFound => FetchError::Nobody(address),
        io::ErrorKind::PermissionDenied => FetchError::Denied(address),
        _ => FetchError::Connection { address, source: error.into() },
    }
}

async fn ask(
    address: &AdminAddress,
    stream: Stream,
) -> Result<(StatusCode, Bytes), Box<dyn std::error::Error + Send + Sync>> {
    let host = match address {
        AdminAddress::Tcp(address) => address.to_string(),
        AdminAddress::Unix(_) => "localhost".to_owned(),
    };
    let request = Request::get(routes::STATUS).header(header::HOST, host).body(Empty::<Bytes>::new())?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    let conversation = async move {
        let (head, body) = sender.send_request(request).await?.into_parts();
        Ok((head.status, Limited::new(body, MAX_DOCUMENT).collect().await?.to_bytes()))
    };
    tokio::pin!(conversation);
    // The connection moves the bytes; it may be done before the last of them are taken.
    tokio::select! {
        answered = &mut conversation => answered,
        ended = connection => {
            ended?;
            conversation.await
        }
    }
}

/// For all of it: connecting, asking, reading.
const TIMEOUT: Duration = Duration::from_secs(5);
/// The largest document that is read, in bytes: some ten thousand workers.
const MAX_DOCUMENT: usize = 8 * 1024 * 1024;
