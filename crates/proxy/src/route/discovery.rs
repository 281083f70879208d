//! Asks the workers for the app's OpenAPI document, and keeps the route table up to date with it.
//!
//! An ordinary lease on an ordinary worker, so that what a worker does for it counts like any other load; but it is not a
//! client's request: it appears in no metric and in no access log, and nobody waits for it. Whatever comes of it is one
//! line in the log. Asked for when the first worker serves, and again a minute after a new one began to (it may be a
//! new version of the app). An app that has no document is not asked again.

use super::openapi::{self, OpenApi, Unreadable};
use crate::backend::Backend;
use bytes::{Bytes, BytesMut};
use http::header::{CONNECTION, HOST, USER_AGENT};
use http::{Method, Request, StatusCode};
use http_body_util::{BodyExt, Empty, LengthLimitError, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use policy::{Outcome, Phase, WorkerId};
use std::io;
use std::sync::Arc;
use std::time::Duration;
use supervisor::{Protocol, Stream, Unavailable};
use tokio::time::{Instant, sleep, timeout};

/// Why there is no document.
#[derive(Debug, thiserror::Error)]
enum Missing {
    #[error("a worker answers {0}")]
    Absent(StatusCode),
    #[error(transparent)]
    Unreadable(#[from] Unreadable),
    #[error("it is longer than {} MiB", LONGEST >> 20)]
    TooLong,
    #[error("it did not come within {} s", PATIENCE.as_secs())]
    Slow,
    #[error("the worker takes no connection: {0}")]
    Unreachable(io::Error),
    #[error("the worker broke off: {0}")]
    Broken(Box<dyn std::error::Error + Send + Sync>),
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
}

/// Follows the app's document for as long as the app has one.
pub(crate) async fn follow(backend: Arc<Backend>) {
    let (table, pool) = (&backend.routes, backend.pool.name());
    let OpenApi::At(target) = table.openapi() else { return };
    let mut asked = Vec::new();
    loop {
        let mut serving = newcomers(&backend, &asked).await;
        if !asked.is_empty() {
            // Where one is replaced, others often follow.
            sleep(AT_MOST_EVERY).await;
            serving = serving_workers(&backend);
        }
        asked = serving;
        // On the heap while it lasts: what is spawned once and stays is small.
        match Box::pin(fetch(&backend, target)).await {
            Ok(templates) => {
                let routes = templates.declared();
                table.describe(templates);
                tracing::info!(pool, "the app's OpenAPI document at {target} declares {routes} routes");
            }
            Err(reason @ (Missing::Absent(_) | Missing::Unreadable(_))) => {
                tracing::info!(
                    pool,
                    "no OpenAPI document at {target} ({reason}): routes are told by the shape of paths; \
                     --openapi PATH says where it is, --openapi off that there is none \
                     (pools.{pool}.routing.openapi)"
                );
                return;
            }
            Err(reason @ Missing::TooLong) => {
                tracing::warn!(pool, "the OpenAPI document at {target} is not used: {reason}");
                return;
            }
            Err(
                reason @ (Missing::Slow
                | Missing::Unreachable(_)
                | Missing::Broken(_)
                | Missing::Unavailable(_)),
            ) => {
                tracing::warn!(
                    pool,
                    "the OpenAPI document at {target} is not used until another worker starts: {reason}"
                );
            }
        }
    }
}

/// The workers that serve, as soon as one of them is new.
async fn newcomers(backend: &Backend, known: &[WorkerId]) -> Vec<WorkerId> {
    loop {
        let serving = serving_workers(backend);
        if serving.iter().any(|worker| !known.contains(worker)) {
            return serving;
        }
        // A change between the look and the wait is seen at the next look.
        let _ = timeout(LOOK_EVERY, backend.pool.changed()).await;
    }
}

fn serving_workers(backend: &Backend) -> Vec<WorkerId> {
    let workers = backend.pool.status().workers;
    workers.iter().filter(|worker| worker.phase == Phase::Serving).map(|worker| worker.id).collect()
}

async fn fetch(backend: &Backend, target: &str) -> Result<super::Templates, Missing> {
    let path = target.split('?').next().unwrap_or(target);
    let route = backend.route(&Method::GET, path).id;
    let lease = backend.pool.claim(route.into(), Instant::now()).await?;
    let asked = ask(lease.connect(), target, backend.protocol).await;
    lease.finish(match asked {
        Ok(_) => Outcome::Completed,
        Err(Missing::Unreachable(_)) => Outcome::Refused,
        Err(_) => Outcome::Cancelled,
    });
    let text = asked?;
    // Up to LONGEST bytes of JSON: not on the thread that serves clients.
    let read = tokio::task::spawn_blocking(move || openapi::read(&text)).await;
    Ok(read.map_err(|panic| Missing::Broken(panic.into()))??)
}

/// One request on a connection of its own.
async fn ask(
    connect: impl Future<Output = io::Result<Stream>>,
    target: &str,
    protocol: Protocol,
) -> Result<Bytes, Missing> {
    let answered = async {
        let stream = connect.await.map_err(Missing::Unreachable)?;
        match protocol {
            Protocol::Http1 => ask_in_http1(stream, target).await,
            Protocol::H2c => ask_in_http2(stream, target).await,
        }
    };
    timeout(PATIENCE, answered).await.unwrap_or(Err(Missing::Slow))
}

async fn ask_in_http1(stream: Stream, target: &str) -> Result<Bytes, Missing> {
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(broken)?;
    let request = Request::get(target)
        .header(HOST, "localhost")
        .header(USER_AGENT, "antifreeze")
        .header(CONNECTION, "close")
        .body(Empty::<Bytes>::new())
        .map_err(broken)?;
    let exchange = async move {
        let response = sender.send_request(request).await.map_err(broken)?;
        check(response.status())?;
        let body = Limited::new(response.into_body(), LONGEST).collect().await;
        body.map(http_body_util::Collected::to_bytes).map_err(|error| match error.is::<LengthLimitError>() {
            true => Missing::TooLong,
            false => Missing::Broken(error),
        })
    };
    // The connection ends with the exchange: nobody is left to send on it or to read from it.
    let (_, answer) = tokio::join!(connection, exchange);
    answer
}

async fn ask_in_http2(stream: Stream, target: &str) -> Result<Bytes, Missing> {
    let (mut sender, connection) = h2::client::handshake(stream).await.map_err(broken)?;
    let request = Request::get(format!("http://localhost{target}"))
        .header(USER_AGENT, "antifreeze")
        .body(())
        .map_err(broken)?;
    let exchange = async move {
        let (answer, _) = sender.send_request(request, true).map_err(broken)?;
        let (head, mut stream) = answer.await.map_err(broken)?.into_parts();
        check(head.status)?;
        let mut body = BytesMut::new();
        while let Some(bytes) = stream.data().await.transpose().map_err(broken)? {
            // It fails only if there was less.
            let _ = stream.flow_control().release_capacity(bytes.len());
            if body.len() + bytes.len() > LONGEST {
                return Err(Missing::TooLong);
            }
            body.extend_from_slice(&bytes);
        }
        Ok(body.freeze())
    };
    let (_, answer) = tokio::join!(connection, exchange);
    answer
}

fn check(status: StatusCode) -> Result<(), Missing> {
    match status {
        StatusCode::OK => Ok(()),
        status if status.is_server_error() => Err(Missing::Broken(status.to_string().into())),
        status => Err(Missing::Absent(status)),
    }
}

fn broken(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Missing {
    Missing::Broken(error.into())
}

/// The document of an app with a thousand routes has about 2 MB.
const LONGEST: usize = 4 << 20;
/// Frameworks build the document at the first request for it: seconds for a big app.
const PATIENCE: Duration = Duration::from_secs(10);
const AT_MOST_EVERY: Duration = Duration::from_secs(60);
const LOOK_EVERY: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests;
