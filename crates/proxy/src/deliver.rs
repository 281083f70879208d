//! A request's way to a worker that answers it.
//!
//! Mostly that is the first one. If nobody listens there, or the connection turns out to be closed before anything was
//! sent, the request itself goes on; if the worker stands still or dies with it, a copy does, once, where that is safe
//! and the policy says so.

use crate::access::Record;
use crate::error::Error;
use crate::metrics::{Rescue, Retry};
use crate::shard::Shard;
use crate::upload::Upload;
use crate::upstream::{self, Upstream, quietly};
use crate::watch::{Phase, Watch};
use http::header::UPGRADE;
use http::request::Parts;
use http::{Request, Response};
use http_body::Body as _;
use hyper::body::Incoming;
use policy::{LeaseId, Outcome, Replay};
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use supervisor::Lease;

/// The head of an answer, and what belongs to its worker.
pub(crate) struct Answered {
    pub(crate) response: Response<Incoming>,
    pub(crate) upstream: Box<Upstream>,
    pub(crate) lease: Lease,
    pub(crate) way: Way,
}

/// By which worker a request was answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// The one that it was given to.
    Direct,
    /// Another one, because the first stood still or died.
    Rescued,
}

/// Finds a worker that answers.
///
/// # Errors
/// The answer to give instead.
pub(crate) async fn deliver(
    shard: &Shard,
    watch: &Arc<Watch>,
    wanted: policy::Request,
    mut request: Request<Upload>,
    record: &mut Record,
) -> Result<Answered, Error> {
    let mut copy = safe_copy(&request);
    let replay = if copy.is_some() { Replay::Once } else { Replay::Never };
    // A body that nobody looked at may make all the difference.
    let fingerprint = if copy.is_some() { wanted.fingerprint } else { 0 };
    let mut wanted = policy::Request { replay, fingerprint, ..wanted };
    let mut connections = Connections::IdleFirst;
    for _ in 0..ATTEMPTS {
        watch.enter(Phase::Queue);
        let asked = watch.now();
        let lease = shard.pool.claim(wanted).await.map_err(Error::Unavailable)?;
        let assigned = watch.now();
        record.note_worker(lease.worker(), assigned - asked);
        watch.enter(Phase::Answer);
        let raced = {
            let mut first = pin!(exchange(shard, watch, record, &lease, request, connections));
            match first_or_rescue(first.as_mut(), &lease, copy.is_some()).await {
                Some(exchanged) => Raced::First(exchanged),
                // The worker stands still: a second one is asked too, and the first answer wins.
                None => race(shard, watch, record, wanted, &lease, first, copy.take()).await,
            }
        };
        let exchanged = match raced {
            Raced::First(exchanged) => exchanged,
            Raced::Second(answered) => {
                record.note_rescuer(answered.lease.worker());
                return Ok(answered);
            }
        };
        let again = if matches!(exchanged, Exchanged::Stale) { copy.take() } else { None };
        match (exchanged, again) {
            (Exchanged::Answered(response, upstream), _) => {
                record.note_answer(watch.now() - assigned);
                return Ok(Answered { response, upstream, lease, way: Way::Direct });
            }
            (Exchanged::Refused(unsent), _) => {
                lease.finish(Outcome::Refused);
                record.note_retry(Retry::Refused);
                request = *unsent;
            }
            // To another worker, in case this one is dying, and on a fresh connection, which cannot have gone stale: the
            // request itself may be what breaks it.
            (Exchanged::Stale, Some(parts)) => {
                wanted = policy::Request { replay: Replay::Never, not_to: Some(lease.worker()), ..wanted };
                lease.finish(Outcome::Lost);
                record.note_retry(Retry::Lost);
                request = Request::from_parts(parts, Upload::empty(Arc::clone(watch)));
                connections = Connections::Fresh;
            }
            (Exchanged::Stale | Exchanged::Failed(Error::Lost), _) => {
                let first = lease.id();
                lease.finish(Outcome::Lost);
                let again = second(shard, watch, record, wanted, first, copy).await;
                let answered = again.unwrap_or(Err(Error::Lost))?;
                record.note_rescuer(answered.lease.worker());
                return Ok(answered);
            }
            (Exchanged::Failed(error), _) => return Err(give_up(lease, error)),
        }
    }
    Err(Error::Unreachable)
}

/// What came of sending a request to one worker.
enum Exchanged {
    Answered(Response<Incoming>, Box<Upstream>),
    /// Nobody accepted a connection: nothing was sent.
    Refused(Box<Request<Upload>>),
    /// An idle connection broke before a byte of the answer: the worker may have closed it before it read anything.
    Stale,
    Failed(Error),
}

/// Which connections to a worker may be used.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Connections {
    IdleFirst,
    Fresh,
}

/// Sends the request to the worker of this lease and waits for the head of the answer: first on an idle connection,
/// and if that turns out to be closed, on a fresh one.
async fn exchange(
    shard: &Shard,
    watch: &Watch,
    record: &Record,
    lease: &Lease,
    mut request: Request<Upload>,
    connections: Connections,
) -> Exchanged {
    while connections == Connections::IdleFirst
        && let Some(mut upstream) = shard.take_idle(lease.worker())
    {
        if !upstream.is_usable() {
            continue;
        }
        // A worker may close an idle connection at the very moment a request is sent on it. If nothing was written, the
        // request comes back.
        match send(&mut upstream, watch, request).await {
            Ok(response) => return Exchanged::Answered(response, upstream),
            Err(Failure::Unsent(unsent)) => {
                record.note_retry(Retry::Unsent);
                request = *unsent;
            }
            Err(Failure::Broken(Error::Lost)) => return Exchanged::Stale,
            Err(Failure::Broken(error)) => return Exchanged::Failed(error),
        }
    }
    let Ok(mut upstream) = Upstream::connect(lease.address()).await else {
        return Exchanged::Refused(Box::new(request));
    };
    match send(&mut upstream, watch, request).await {
        Ok(response) => Exchanged::Answered(response, upstream),
        Err(Failure::Unsent(unsent)) => Exchanged::Refused(unsent),
        Err(Failure::Broken(error)) => Exchanged::Failed(error),
    }
}

/// Waits for the exchange, or (nothing) for word that its worker stands still.
async fn first_or_rescue(
    mut first: Pin<&mut impl Future<Output = Exchanged>>,
    lease: &Lease,
    has_copy: bool,
) -> Option<Exchanged> {
    poll_fn(|cx| match first.as_mut().poll(cx) {
        Poll::Ready(exchanged) => Poll::Ready(Some(exchanged)),
        Poll::Pending if has_copy && lease.is_to_be_rescued() => Poll::Ready(None),
        Poll::Pending => Poll::Pending,
    })
    .await
}

/// Who answered first.
enum Raced {
    First(Exchanged),
    Second(Answered),
}

/// Asks a second worker while the first goes on. The first answer wins; the other connection is closed when dropped.
async fn race(
    shard: &Shard,
    watch: &Arc<Watch>,
    record: &Record,
    wanted: policy::Request,
    lease: &Lease,
    mut first: Pin<&mut impl Future<Output = Exchanged>>,
    copy: Option<Parts>,
) -> Raced {
    let mut second = Some(Box::pin(second(shard, watch, record, wanted, lease.id(), copy)));
    let mut lost = None;
    poll_fn(|cx: &mut Context<'_>| {
        if lost.is_none()
            && let Poll::Ready(exchanged) = first.as_mut().poll(cx)
        {
            match exchanged {
                Exchanged::Answered(..) => {
                    shard.count_rescue(Rescue::Overtaken);
                    return Poll::Ready(Raced::First(exchanged));
                }
                // The other one may still answer.
                Exchanged::Refused(_) | Exchanged::Stale | Exchanged::Failed(_) => lost = Some(exchanged),
            }
        }
        if let Some(asked) = &mut second
            && let Poll::Ready(answered) = asked.as_mut().poll(cx)
        {
            second = None;
            if let Some(Ok(answered)) = answered {
                return Poll::Ready(Raced::Second(answered));
            }
        }
        match (&second, lost.take()) {
            (None, Some(exchanged)) => Poll::Ready(Raced::First(exchanged)),
            (_, exchanged) => {
                lost = exchanged;
                Poll::Pending
            }
        }
    })
    .await
}

/// Sends the copy of a request to another worker. Nothing if there is no copy, or no permission.
async fn second(
    shard: &Shard,
    watch: &Arc<Watch>,
    record: &Record,
    wanted: policy::Request,
    first: LeaseId,
    copy: Option<Parts>,
) -> Option<Result<Answered, Error>> {
    let mut request = Request::from_parts(copy?, Upload::empty(Arc::clone(watch)));
    let mut claimed = match shard.pool.rescue(wanted, first).await {
        Some(claimed) => claimed,
        None => {
            shard.count_rescue(Rescue::Denied);
            return None;
        }
    };
    for _ in 0..ATTEMPTS {
        let lease = match claimed {
            Ok(lease) => lease,
            Err(unavailable) => {
                shard.count_rescue(Rescue::Failed);
                return Some(Err(Error::Unavailable(unavailable)));
            }
        };
        match exchange(shard, watch, record, &lease, request, Connections::IdleFirst).await {
            Exchanged::Answered(response, upstream) => {
                shard.count_rescue(Rescue::Answered);
                return Some(Ok(Answered { response, upstream, lease, way: Way::Rescued }));
            }
            Exchanged::Refused(unsent) => {
                lease.finish(Outcome::Refused);
                request = *unsent;
                let not_to = Some(first.worker);
                claimed = shard.pool.claim(policy::Request { replay: Replay::Never, not_to, ..wanted }).await;
            }
            Exchanged::Stale => {
                shard.count_rescue(Rescue::Failed);
                return Some(Err(give_up(lease, Error::Lost)));
            }
            // The time that ran out was mostly spent at the first one.
            Exchanged::Failed(Error::AnswerTimeout) => {
                shard.count_rescue(Rescue::Failed);
                lease.finish(Outcome::Cancelled);
                return Some(Err(Error::AnswerTimeout));
            }
            Exchanged::Failed(error) => {
                shard.count_rescue(Rescue::Failed);
                return Some(Err(give_up(lease, error)));
            }
        }
    }
    Some(Err(Error::Unreachable))
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

/// Claims of one request that may find nobody listening: each such worker is suspect at once, and not claimed again.
const ATTEMPTS: u32 = 16;
