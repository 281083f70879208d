//! One request in, one response out: the whole way in one function, read from top to bottom.

use crate::access::Record;
use crate::download::Download;
use crate::error::Error;
use crate::metrics::Retry;
use crate::request::{self, Origin, Wishes};
use crate::response;
use crate::shard::Shard;
use crate::tunnel;
use crate::upload::{Gate, Upload};
use crate::upstream::{self, Upstream, quietly};
use crate::watch::{Phase, Watch};
use http::header::{CONNECTION, UPGRADE};
use http::request::Parts;
use http::{Request, Response, StatusCode, Version};
use http_body::Body as _;
use hyper::body::Incoming;
use hyper::upgrade::OnUpgrade;
use policy::Outcome;
use std::convert::Infallible;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use supervisor::Lease;

/// Answers one request: by a worker, or by an error of our own.
pub(crate) async fn serve(
    shard: Arc<Shard>,
    watch: Arc<Watch>,
    origin: Arc<Origin>,
    request: Request<Incoming>,
) -> Result<Response<Download>, Infallible> {
    watch.begin();
    let mut record = Box::new(Record {
        shard: Arc::clone(&shard),
        watch: Arc::clone(&watch),
        began: watch.now(),
        status: None,
        bytes: 0,
        whole: false,
        reason: None,
        line: None,
    });
    let mut response = match forward(&shard, &watch, &origin, request, &mut record).await {
        Ok(response) => response,
        Err(error) => {
            record.reason = Some(error.reason());
            error.into_response()
        }
    };
    record.status = Some(response.status());
    record.whole = response.body().is_end_stream();
    watch.enter(Phase::Download);
    response.body_mut().record = Some(record);
    Ok(response)
}

async fn forward(
    shard: &Arc<Shard>,
    watch: &Arc<Watch>,
    origin: &Origin,
    request: Request<Incoming>,
    record: &mut Record,
) -> Result<Response<Download>, Error> {
    let (mut parts, body) = request.into_parts();
    record.note_head(&parts, origin);
    let limit = shard.options.limits.body_bytes;
    let mut upload = Upload::new(body, limit, Arc::clone(watch));
    let wishes = request::prepare(&mut parts, origin, || shard.new_id())?;
    if limit.is_some_and(|limit| upload.size_hint().lower() > limit) {
        return Err(Error::BodyTooLarge);
    }
    record.note_id(&parts.headers);
    let client = wishes.upgrade.as_ref().and_then(|_| parts.extensions.remove::<OnUpgrade>());
    let route = shard.route(&parts.method, parts.uri.path());
    let gate = (wishes.expects_continue && !upload.is_end_stream()).then(Arc::<Gate>::default);
    if let Some(gate) = &gate {
        upload.hold(Arc::clone(gate));
    }
    let mut request = Request::from_parts(parts, upload);
    if let Some(gate) = gate {
        hyper::ext::on_informational(&mut request, move |answer| {
            if answer.status() == StatusCode::CONTINUE {
                gate.open();
            }
        });
    }

    for _ in 0..ATTEMPTS {
        watch.enter(Phase::Queue);
        let asked = watch.now();
        let lease = shard.pool.claim(route.id).await.map_err(Error::Unavailable)?;
        let assigned = watch.now();
        record.note_worker(lease.worker(), assigned - asked);
        watch.enter(Phase::Answer);
        match exchange(shard, watch, record, lease, request).await? {
            Exchanged::Answered(response, upstream, lease) => {
                record.note_answer(watch.now() - assigned);
                route.answered(response.status());
                return answer(shard, watch, &wishes, response, upstream, lease, client);
            }
            Exchanged::Refused(unsent) => {
                record.note_retry(Retry::Refused);
                request = unsent;
            }
        }
    }
    Err(Error::Unreachable)
}

/// What came of sending a request to one worker.
enum Exchanged {
    Answered(Response<Incoming>, Box<Upstream>, Lease),
    /// Nobody accepted a connection: nothing was sent.
    Refused(Request<Upload>),
}

/// Sends the request to the worker of this lease and waits for the head of the answer: first on an idle connection,
/// and if that turns out to be closed, on a fresh one.
async fn exchange(
    shard: &Shard,
    watch: &Arc<Watch>,
    record: &mut Record,
    lease: Lease,
    mut request: Request<Upload>,
) -> Result<Exchanged, Error> {
    while let Some(mut upstream) = shard.take_idle(lease.worker()) {
        if !upstream.is_usable() {
            continue;
        }
        // A worker may close an idle connection at the very moment a request is sent on it. If nothing was written, the
        // request comes back; if something was, only what is safe and has no body may be sent again.
        let copy = safe_copy(&request);
        match send(&mut upstream, watch, request).await {
            Ok(response) => return Ok(Exchanged::Answered(response, upstream, lease)),
            Err(Failure::Unsent(unsent)) => {
                record.note_retry(Retry::Unsent);
                request = *unsent;
            }
            Err(Failure::Broken(error)) => match (copy, error) {
                (Some(copy), Error::Lost) => {
                    record.note_retry(Retry::Lost);
                    request = Request::from_parts(copy, Upload::empty(Arc::clone(watch)));
                    // Once, and on a connection that cannot have gone stale: the request itself may be what breaks it.
                    break;
                }
                (Some(_) | None, error) => return Err(give_up(lease, error)),
            },
        }
    }
    let mut upstream = match Upstream::connect(lease.address()).await {
        Ok(upstream) => upstream,
        Err(_) => {
            lease.finish(Outcome::Refused);
            return Ok(Exchanged::Refused(request));
        }
    };
    match send(&mut upstream, watch, request).await {
        Ok(response) => Ok(Exchanged::Answered(response, upstream, lease)),
        Err(Failure::Unsent(unsent)) => {
            lease.finish(Outcome::Refused);
            Ok(Exchanged::Refused(*unsent))
        }
        Err(Failure::Broken(error)) => Err(give_up(lease, error)),
    }
}

/// Why a request got no answer on one connection.
enum Failure {
    /// Proof that nothing was sent: the request itself.
    Unsent(Box<Request<Upload>>),
    Broken(Error),
}

/// Sends a request on a connection and drives that connection until the head of the answer is there.
async fn send(
    upstream: &mut Upstream,
    watch: &Watch,
    request: Request<Upload>,
) -> Result<Response<Incoming>, Failure> {
    let Upstream { sender, connection, meter, .. } = upstream;
    meter.await_head(upstream::LONGEST_ANSWER_HEAD);
    let mut answer = pin!(sender.try_send_request(request));
    let answer = poll_fn(|cx| {
        if watch.has_expired(Phase::Upload) {
            return Poll::Ready(Err(Failure::Broken(Error::BodyTimeout)));
        }
        if watch.has_expired(Phase::Answer) {
            return Poll::Ready(Err(Failure::Broken(Error::AnswerTimeout)));
        }
        // Whatever ends the connection is told to the answer as well.
        let _ = connection.poll(cx);
        quietly(|cx| answer.as_mut().poll(cx)).map_err(|mut error| match error.take_message() {
            Some(request) => Failure::Unsent(Box::new(request)),
            None if watch.has_overrun() => Failure::Broken(Error::BodyTooLarge),
            None if watch.has_broken_body() => Failure::Broken(Error::BadBody),
            None if error.error().is_parse() || meter.is_spent() => Failure::Broken(Error::BadAnswer),
            None => Failure::Broken(Error::Lost),
        })
    });
    let answer = answer.await;
    meter.lift();
    answer
}

/// Gives the lease back with what the policy has to know of the failure.
fn give_up(lease: Lease, error: Error) -> Error {
    lease.finish(match error {
        Error::AnswerTimeout => Outcome::TimedOut,
        Error::Lost | Error::BadAnswer => Outcome::Lost,
        _ => Outcome::Cancelled,
    });
    error
}

/// A second copy of a request that may be sent twice: safe by its method (RFC 9110 section 9.2.1), and without a body.
fn safe_copy(request: &Request<Upload>) -> Option<Parts> {
    let safe = request.method().is_safe() && request.body().is_end_stream();
    let upgrades = request.headers().contains_key(UPGRADE);
    (safe && !upgrades).then(|| {
        let (mut parts, ()) = Request::new(()).into_parts();
        parts.method = request.method().clone();
        parts.uri = request.uri().clone();
        parts.version = request.version();
        parts.headers = request.headers().clone();
        parts
    })
}

/// Makes a worker's answer fit for the client.
fn answer(
    shard: &Arc<Shard>,
    watch: &Arc<Watch>,
    wishes: &Wishes,
    response: Response<Incoming>,
    upstream: Box<Upstream>,
    mut lease: Lease,
    client: Option<OnUpgrade>,
) -> Result<Response<Download>, Error> {
    let (mut parts, body) = response.into_parts();
    if parts.status == StatusCode::SWITCHING_PROTOCOLS {
        let (Some(client), Some(_)) = (client, &wishes.upgrade) else {
            // Nobody asked for it (RFC 9110 section 15.2.2).
            lease.finish(Outcome::Lost);
            return Err(Error::BadAnswer);
        };
        let protocol = parts.headers.get(UPGRADE).cloned();
        request::strip(&mut parts.headers);
        parts.headers.insert(CONNECTION, http::HeaderValue::from_static("upgrade"));
        if let Some(protocol) = protocol {
            parts.headers.insert(UPGRADE, protocol);
        }
        lease.upgraded();
        watch.enter(Phase::Tunnel);
        shard.keep_tunnel(tunnel::run(client, upstream, lease, shard.options.timeouts.tunnel_idle));
        return Ok(Response::from_parts(parts, Download::own(bytes::Bytes::new())));
    }
    if let Err(error) = response::prepare(&mut parts, wishes, body.size_hint().exact()) {
        lease.finish(Outcome::Lost);
        return Err(error);
    }
    if parts.version == Version::HTTP_10 {
        watch.end_with_connection();
    }
    let mut download = Download::from_worker(body, upstream, lease, Arc::clone(shard), Arc::clone(watch));
    download.finish_if_empty();
    Ok(Response::from_parts(parts, download))
}

/// Claims of one request that may find nobody listening: each such worker is suspect at once, and not claimed again.
const ATTEMPTS: u32 = 16;
