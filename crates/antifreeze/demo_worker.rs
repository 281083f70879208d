//! The built-in worker: one thread, one event loop, and a few ways to misbehave. Enough to see the main job at work on a
//! machine without Python.

use anyhow::Context;
use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use std::convert::Infallible;
use std::path::Path;
use std::time::Duration;
use tokio::net::UnixListener;

/// Serves on a unix socket until it is killed.
pub(crate) fn run(socket: &Path) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let listener =
            UnixListener::bind(socket).with_context(|| format!("cannot listen on {}", socket.display()))?;
        loop {
            let (stream, _) = listener.accept().await?;
            tokio::spawn(async move {
                let served = hyper::server::conn::http1::Builder::new()
                    .header_read_timeout(None)
                    .serve_connection(TokioIo::new(stream), service_fn(answer));
                // A client that left is no news.
                let _ = served.await;
            });
        }
    })
}

async fn answer(request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    let wait = Duration::from_millis(milliseconds(request.uri().query().unwrap_or_default()));
    match request.uri().path() {
        "/slow" => tokio::time::sleep(wait).await,
        "/freeze" => block(wait),
        "/crash" => std::process::abort(),
        _ => {}
    }
    Ok(Response::new(Full::from(format!("{{\"pid\":{}}}\n", std::process::id()))))
}

/// Blocks the whole worker, as a blocking call in an event loop does.
#[expect(clippy::disallowed_methods, reason = "to block the only thread is what this is for")]
fn block(wait: Duration) {
    std::thread::sleep(wait);
}

fn milliseconds(query: &str) -> u64 {
    let value = query.split('&').find_map(|pair| pair.strip_prefix("ms="));
    value.and_then(|value| value.parse().ok()).unwrap_or(1000)
}
