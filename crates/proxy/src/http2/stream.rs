//! One request of a connection, from its head to the last byte of its answer.

use super::Portion;
use super::inflow::{Inflow, Rest};
use super::outflow::{Outflow, Piece};
use super::stream_end::{Handover, Pledge};
use crate::download::Download;
use crate::drain;
use crate::error::WorkersReset;
use crate::forward;
use crate::interim::Interim;
use crate::origin::Origin;
use crate::shard::Shard;
use crate::upload::ClientBody;
use crate::watch::{Alarm, Phase, Watch};
use h2::server::SendResponse;
use h2::{Reason, RecvStream};
use http::header::{CONNECTION, CONTENT_LENGTH, DATE, HeaderValue};
use http::{Method, Request, Response, StatusCode};
use http_body::Body as _;
use std::convert::Infallible;
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Poll, ready};
use std::time::SystemTime;
use tokio::sync::oneshot;

/// How a request ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Closed {
    /// With its answer, whole or broken off.
    Answered,
    /// By its client, before it was answered, or because of what the client sent.
    Reset,
}

/// Marks an answer that is not sent: its request is malformed, and its stream is reset (RFC 9113 section 8.1.1).
#[derive(Clone, Copy, Debug)]
pub(crate) struct Unsound;

/// Serves one request within its limits, that of a drain among them. When one passes, or the client resets it, it is
/// dropped, and with it whatever a worker does for it.
pub(super) async fn serve(
    shard: Arc<Shard>,
    origin: Arc<Origin>,
    request: Request<RecvStream>,
    respond: SendResponse<Piece>,
    portion: Portion,
) -> Closed {
    let watch = Arc::new(Watch::new(Arc::clone(&shard.timeouts)));
    let mut alarm = Alarm::new(&watch);
    let stage = shard.stage.clone();
    let mut spent = pin!(drain::spent(stage.clone(), || shard.drain_limit(&watch)));
    let mut answered =
        pin!(answer(Arc::clone(&shard), Arc::clone(&watch), origin, request, respond, portion));
    poll_fn(|cx| {
        watch.tick();
        loop {
            if let Poll::Ready(closed) = answered.as_mut().poll(cx) {
                return Poll::Ready(closed);
            }
            // Once the alarm waits, so does this: there is no need to poll it until the stage has changed.
            if (!alarm.is_armed() || stage.has_changed().unwrap_or(true))
                && spent.as_mut().poll(cx).is_ready()
            {
                return Poll::Ready(Closed::Answered);
            }
            if ready!(alarm.poll(cx, &watch)).is_some() {
                return Poll::Ready(Closed::Answered);
            }
        }
    })
    .await
}

async fn answer(
    shard: Arc<Shard>,
    watch: Arc<Watch>,
    origin: Arc<Origin>,
    request: Request<RecvStream>,
    mut respond: SendResponse<Piece>,
    portion: Portion,
) -> Closed {
    let (mut parts, stream) = request.into_parts();
    let method = parts.method.clone();
    // The stream of a CONNECT carries the bytes of a tunnel, once there is one (RFC 9113 section 8.5).
    let (body, kept) = if method == Method::CONNECT {
        let (pledge, handover) = Handover::new();
        parts.extensions.insert(handover);
        (Inflow::empty(), Kept::Tunnel(pledge, stream))
    } else {
        let (body, rest) = Inflow::new(stream, &parts.headers);
        (body, Kept::Body(rest))
    };
    let interim = Interim::new();
    parts.extensions.insert(interim.clone());
    let request = Request::from_parts(parts, ClientBody::Http2(body));
    // A future of its own: this one is copied on its way to its task, and would hold two of that.
    let served = Box::pin(forward::serve(shard, Arc::clone(&watch), origin, None, request));
    let Some(mut response) = unless_reset(served, &interim, &mut respond).await else { return Closed::Reset };
    if let Some(WorkersReset(reason)) = response.extensions_mut().remove() {
        respond.send_reset(reason);
        return Closed::Answered;
    }
    if response.extensions().get::<Unsound>().is_some() {
        respond.send_reset(Reason::PROTOCOL_ERROR);
        return Closed::Reset;
    }
    let (head, body) = split(response, &method);
    match kept {
        Kept::Tunnel(pledge, stream) if head.status().is_success() => {
            let Ok(send) = respond.send_response(head, false) else { return Closed::Reset };
            watch.enter(Phase::Tunnel);
            pledge.fulfil(Outflow::new(send, portion.answers), stream).await;
            Closed::Answered
        }
        Kept::Tunnel(..) => send(&mut respond, head, body, portion, &watch).await,
        Kept::Body(mut rest) => {
            let closed = send(&mut respond, head, body, portion, &watch).await;
            if let (Closed::Answered, Ok(rest)) = (closed, rest.try_recv()) {
                watch.enter(Phase::Tunnel);
                rest.discard().await;
            }
            closed
        }
    }
}

/// What is kept of a request while it is served.
enum Kept {
    /// The place where what is not read of its body is found.
    Body(oneshot::Receiver<Rest>),
    /// Its stream.
    Tunnel(Pledge, RecvStream),
}

/// What is served, or nothing if the client resets its request before. Interim answers are sent as they come.
async fn unless_reset<T>(
    served: impl Future<Output = Result<T, Infallible>>,
    interim: &Interim,
    respond: &mut SendResponse<Piece>,
) -> Option<T> {
    let mut served = pin!(served);
    poll_fn(|cx| {
        let polled = served.as_mut().poll(cx);
        for answer in interim.take() {
            // Behind a reset the h2 library would send it all the same.
            if respond.poll_reset(cx).is_pending() {
                // It fails only for a final answer, or for fields of one connection.
                let _ = respond.send_informational(answer);
            }
        }
        match polled {
            Poll::Ready(Ok(response)) => Poll::Ready(Some(response)),
            Poll::Pending => respond.poll_reset(cx).map(|_| None),
        }
    })
    .await
}

/// The head as HTTP/2 wants it, with what hyper adds in HTTP/1 and without what that knows alone; and the body, if one is
/// to be sent.
fn split(response: Response<Download>, method: &Method) -> (Response<()>, Option<Download>) {
    let (parts, body) = response.into_parts();
    let mut head = Response::new(());
    *head.status_mut() = parts.status;
    *head.headers_mut() = parts.headers;
    let status = head.status();
    let headers = head.headers_mut();
    headers.remove(CONNECTION);
    if status == StatusCode::NO_CONTENT {
        // RFC 9110 section 8.6.
        headers.remove(CONTENT_LENGTH);
    } else if let Some(length) = body.size_hint().exact()
        && !body.is_end_stream()
    {
        headers.entry(CONTENT_LENGTH).or_insert_with(|| HeaderValue::from(length));
    }
    headers.entry(DATE).or_insert_with(today);
    let is_sent = *method != Method::HEAD && !body.is_end_stream();
    (head, is_sent.then_some(body))
}

/// What a Date field says now.
#[expect(clippy::disallowed_methods, reason = "a date that is shown follows the wall clock")]
fn today() -> HeaderValue {
    HeaderValue::try_from(httpdate::fmt_http_date(SystemTime::now())).expect("a date is plain text")
}

/// Sends an answer to its end.
async fn send(
    respond: &mut SendResponse<Piece>,
    head: Response<()>,
    body: Option<Download>,
    portion: Portion,
    watch: &Watch,
) -> Closed {
    match (respond.send_response(head, body.is_none()), body) {
        (Ok(stream), Some(body)) => {
            pass_on(body, Outflow::new(stream, portion.answers), watch).await.unwrap_or(Closed::Reset)
        }
        (Ok(_), None) => Closed::Answered,
        (Err(_), _) => Closed::Reset,
    }
}

/// Sends a body as fast as the client takes it.
async fn pass_on(mut body: Download, mut outflow: Outflow, watch: &Watch) -> Result<Closed, h2::Error> {
    loop {
        let frame = poll_fn(|cx| match outflow.poll_reset(cx) {
            Poll::Ready(reset) => Poll::Ready(Err(reset)),
            Poll::Pending => Pin::new(&mut body).poll_frame(cx).map(Ok),
        });
        let frame = match frame.await {
            Ok(Some(Ok(frame))) => frame,
            Ok(Some(Err(broken))) => {
                // It is not to look whole.
                outflow.reset(broken.as_reset());
                return Ok(Closed::Answered);
            }
            Ok(None) => {
                outflow.end()?;
                return Ok(Closed::Answered);
            }
            Err(_) => return Ok(Closed::Reset),
        };
        match frame.into_data() {
            Ok(mut data) => {
                while !data.is_empty() {
                    let room = poll_fn(|cx| outflow.poll_room(cx, data.len())).await?;
                    let piece = data.split_to(room.bytes());
                    watch.enter(Phase::Download);
                    if data.is_empty() && body.is_end_stream() {
                        outflow.send_last(piece, room)?;
                        return Ok(Closed::Answered);
                    }
                    outflow.send(piece, room)?;
                }
            }
            Err(frame) => {
                if let Ok(trailers) = frame.into_trailers() {
                    outflow.end_with(trailers)?;
                    return Ok(Closed::Answered);
                }
            }
        }
    }
}
