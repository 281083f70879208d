//! One client connection of HTTP/1: one request after the other.

use crate::access;
use crate::client::ClientStream;
use crate::closing::{self, Ending};
use crate::forward;
use crate::noted::Noted;
use crate::origin::Origin;
use crate::role::HttpsPort;
use crate::server::Stage;
use crate::shard::Shard;
use crate::upload::ClientBody;
use crate::watch::{Alarm, Phase, Watch};
use http::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Poll, ready};
use tokio::sync::watch;

/// A connection on which HTTP/1.1 is spoken, or answered with redirects alone.
pub(crate) async fn serve(
    shard: Arc<Shard>,
    stream: ClientStream,
    origin: Origin,
    redirect: Option<HttpsPort>,
    mut stage: watch::Receiver<Stage>,
) {
    let watch = Arc::new(Watch::new(Arc::clone(&shard.timeouts)));
    let origin = Arc::new(origin);
    let service = service_fn({
        let (shard, watch, origin) = (Arc::clone(&shard), Arc::clone(&watch), Arc::clone(&origin));
        move |request: Request<Incoming>| {
            // The head is whole: what is read from now on is something else.
            watch.enter(Phase::Queue);
            let (shard, watch, origin) = (Arc::clone(&shard), Arc::clone(&watch), Arc::clone(&origin));
            forward::serve(shard, watch, origin, redirect, request.map(ClientBody::Http1))
        }
    });
    let limits = &shard.options.limits;
    let io = TokioIo::new(Noted::new(stream, Arc::clone(&watch), limits.header_bytes));
    let mut connection = http1::Builder::new()
        // More than a head may have: what is too long is noticed where it is read.
        .max_buf_size(limits.header_bytes + SMALLEST_BUFFER)
        .max_header_size(limits.header_bytes + SMALLEST_BUFFER)
        .max_headers(limits.header_count)
        .header_read_timeout(None)
        .serve_connection(io, service)
        .with_upgrades();

    let mut alarm = Alarm::new(&watch);
    let stage_changes = stage.clone();
    let mut draining = pin!(stage.wait_for(|stage| *stage > Stage::Serving));
    let mut told = false;
    let ending = poll_fn(|cx| {
        watch.tick();
        // Once the alarm waits, so does the end of the stage: there is no need to poll it until it has come.
        let may_drain = !alarm.is_armed() || stage_changes.has_changed().unwrap_or(true);
        if !told && may_drain && draining.as_mut().poll(cx).is_ready() {
            told = true;
            Pin::new(&mut connection).graceful_shutdown();
        }
        loop {
            match Pin::new(&mut connection).poll(cx) {
                Poll::Ready(Ok(())) => return Poll::Ready(Ending::Over),
                Poll::Ready(Err(error)) => return Poll::Ready(Ending::Broken(error)),
                Poll::Pending => {}
            }
            if let Some(phase) = ready!(alarm.poll(cx, &watch)) {
                return Poll::Ready(Ending::Late(phase));
            }
        }
    })
    .await;
    // A tunnel has taken its connection with it.
    let Some(parts) = connection.into_parts() else { return };
    let refusal = ending.refusal(watch.phase(), &parts.read_buf, limits.target_bytes);
    if let Some(error) = refusal {
        access::note_unread(&shard, &watch, &origin, error.status(), error.reason());
    }
    let noted = parts.io.into_inner();
    let refusal = refusal.filter(|_| !noted.is_blocked());
    let last_words = refusal.map(|error| error.last_words(shard.options.disclosure));
    closing::close(noted.into_inner(), &ending, last_words, &watch).await;
}

/// What hyper asks for at the least.
const SMALLEST_BUFFER: usize = 8192;
