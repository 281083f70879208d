//! One client connection of HTTP/1: one request after the other.

use crate::access;
use crate::client::{ClientStream, socket};
use crate::closing::{self, Ending};
use crate::drain::{self, Stage};
use crate::forward;
use crate::noted::{BESIDE_HEAD, Noted};
use crate::origin::Origin;
use crate::role::HttpsPort;
use crate::shard::Shard;
use crate::socket::{has_unread, readable};
use crate::upload::ClientBody;
use crate::watch::{Alarm, Phase, Watch};
use bytes::Bytes;
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
use tokio::time::sleep_until;

/// A connection on which HTTP/1.1 is spoken, or answered with redirects alone. Whenever its client has said nothing for a
/// while, it rests: what is kept of it then is little more than its socket and a deadline.
pub(crate) async fn serve(
    shard: Arc<Shard>,
    stream: ClientStream,
    origin: Arc<Origin>,
    redirect: Option<HttpsPort>,
) {
    let mut stage = shard.stage.clone();
    let watch = Arc::new(Watch::new(Arc::clone(&shard.timeouts)));
    let mut silence = Silence { stream, begun: Bytes::new() };
    // Futures of their own are what connections at rest shall not carry room for.
    loop {
        let conversation = Box::pin(converse(&shard, silence, &watch, &origin, redirect, &mut stage));
        match conversation.await {
            Some(next) => silence = next,
            None => return,
        }
        if silence.begun.is_empty() && rest(&silence.stream, &watch, &mut stage).await == Rested::Over {
            let end = closing::close(silence.stream, &Ending::Late(Phase::Idle), None, &watch);
            return Box::pin(end).await;
        }
    }
}

/// A connection between two requests.
struct Silence {
    stream: ClientStream,
    /// What came of the next request with the last one.
    begun: Bytes,
}

/// What ended a rest.
#[derive(PartialEq, Eq)]
enum Rested {
    /// There is something to read, if only an end.
    Woken,
    /// The client has said nothing for as long as it may, or everybody is to leave.
    Over,
}

/// Waits until a client says something.
async fn rest(stream: &ClientStream, watch: &Watch, stage: &mut watch::Receiver<Stage>) -> Rested {
    let late = async {
        match watch.idle_deadline() {
            Some(deadline) => sleep_until(deadline).await,
            None => std::future::pending().await,
        }
    };
    let drained = async {
        // Its sender lives as long as the threads do.
        let _ = stage.wait_for(|stage| *stage > Stage::Serving).await;
    };
    tokio::select! {
        biased;
        () = readable(socket(stream)) => Rested::Woken,
        () = drained => {
            // What there is may not have been noticed yet.
            if !has_unread(socket(stream)) {
                return Rested::Over;
            }
            // It is in the kernel: only the runtime has yet to hear of it.
            readable(socket(stream)).await;
            Rested::Woken
        }
        () = late => Rested::Over,
    }
}

/// Serves requests until the connection ends (nothing), or nothing was said on it for a while.
async fn converse(
    shard: &Arc<Shard>,
    silence: Silence,
    watch: &Arc<Watch>,
    origin: &Arc<Origin>,
    redirect: Option<HttpsPort>,
    stage: &mut watch::Receiver<Stage>,
) -> Option<Silence> {
    let service = service_fn({
        let (shard, watch, origin) = (Arc::clone(shard), Arc::clone(watch), Arc::clone(origin));
        move |request: Request<Incoming>| {
            // The head is whole: what is read from now on is something else.
            watch.enter(Phase::Queue);
            let (shard, watch, origin) = (Arc::clone(&shard), Arc::clone(&watch), Arc::clone(&origin));
            forward::serve(shard, watch, origin, redirect, request.map(ClientBody::Http1))
        }
    });
    let limits = &shard.options.limits;
    let io = TokioIo::new(Noted::new(silence.stream, silence.begun, Arc::clone(watch), limits.header_bytes));
    let mut connection = http1::Builder::new()
        // More than a head may have: what is too long is noticed where it is read.
        .max_buf_size(limits.header_bytes + BESIDE_HEAD)
        .max_header_size(limits.header_bytes + BESIDE_HEAD)
        .max_headers(limits.header_count)
        .header_read_timeout(None)
        .serve_connection(io, service)
        .with_upgrades();

    let mut alarm = Alarm::new(watch);
    let stage_changes = stage.clone();
    let mut draining = pin!(stage.wait_for(|stage| *stage > Stage::Serving));
    let mut told = false;
    let mut spent = pin!(drain::spent(stage_changes.clone(), || shard.drain_limit(watch)));
    let served = watch.requests();
    let ending = poll_fn(|cx| {
        watch.tick();
        loop {
            match Pin::new(&mut connection).poll(cx) {
                Poll::Ready(Ok(())) => return Poll::Ready(Ending::Over),
                Poll::Ready(Err(error)) => return Poll::Ready(Ending::Broken(error)),
                Poll::Pending => {}
            }
            // Once the alarm waits, so does the end of the stage: there is no need to poll it until it has come. Not before
            // what woke the connection was read: on hearing of it, hyper closes one on which it has read nothing.
            let may_drain = (!alarm.is_armed() || stage_changes.has_changed().unwrap_or(true))
                && (watch.phase() != Phase::Idle || watch.requests() > served);
            if !told && may_drain && draining.as_mut().poll(cx).is_ready() {
                told = true;
                Pin::new(&mut connection).graceful_shutdown();
                continue;
            }
            if told && spent.as_mut().poll(cx).is_ready() {
                return Poll::Ready(Ending::Cut);
            }
            if let Some(phase) = ready!(alarm.poll(cx, watch)) {
                return Poll::Ready(Ending::Late(phase));
            }
        }
    })
    .await;
    // A tunnel has taken its connection with it.
    let parts = connection.into_parts()?;
    let noted = parts.io.into_inner();
    if matches!(ending, Ending::Late(Phase::Idle)) && !watch.is_blocked() {
        // Even an empty part of hyper's buffer would keep all of it.
        let begun = if parts.read_buf.is_empty() { Bytes::new() } else { parts.read_buf };
        return Some(Silence { stream: noted.into_inner(), begun });
    }
    let refusal = ending.refusal(watch.phase(), &parts.read_buf, limits.target_bytes);
    if let Some(error) = refusal {
        access::note_unread(shard, watch, origin, error.status(), error.reason());
    }
    let refusal = refusal.filter(|_| !watch.is_blocked());
    let last_words = refusal.map(|error| error.last_words(shard.options.disclosure));
    // A future of its own, too: a conversation has no room for it before.
    Box::pin(closing::close(noted.into_inner(), &ending, last_words, watch)).await;
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clients::Clients;
    use crate::{Metrics, Options};
    use prometheus::Registry;
    use supervisor::Stream;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::UnixStream;
    use tokio::time::Instant;
    use tokio_util::either::Either;

    #[tokio::test]
    async fn a_request_that_waited_in_the_kernels_queue_when_the_drain_began_is_the_last_of_its_connection() {
        tokio::spawn(supervisor::deliver());
        let (mut client, ours) = UnixStream::pair().expect("sockets");
        client.write_all(b"GET / HTTP/1.1\r\nHost: test\r\n\r\n").await.expect("there is room");
        let options = Options::default();
        let metrics = Metrics::register(&Registry::new()).expect("an empty registry");
        let clients = Arc::new(Clients::new(&options, metrics.connections.clone()));
        let seat = clients.seat().expect("the first one");
        let (sender, stage) = watch::channel(Stage::Serving);
        let shard = Arc::new(Shard::new(&[], options, metrics, clients, stage, 0));
        let origin = Arc::new(Origin::new(None, None, seat));
        sender.send_replace(Stage::Draining(Instant::now()));
        let stream = Either::Left(Stream::from(ours));
        let port = "https".parse().expect("a port");
        let served = serve(shard, stream, origin, Some(port));
        let asked = async {
            let mut answers = String::new();
            // Another one, as long as the connection is open.
            loop {
                let mut piece = [0; 1024];
                let count = client.read(&mut piece).await.unwrap_or(0);
                if count == 0 || answers.matches("HTTP/1.1").count() > 20 {
                    return answers;
                }
                answers.push_str(&String::from_utf8_lossy(&piece[..count]));
                if client.write_all(b"GET / HTTP/1.1\r\nHost: test\r\n\r\n").await.is_err() {
                    return answers;
                }
            }
        };
        let (answers, ()) = tokio::join!(asked, served);
        assert_eq!(answers.matches("HTTP/1.1").count(), 1, "{answers}");
    }
}
