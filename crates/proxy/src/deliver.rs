//! A request's way to a worker that answers it.
//!
//! Mostly that is the first one. If nobody listens there, or the connection turns out to be closed before anything was
//! sent, the request itself goes on; if the worker stands still or dies with it, a copy does, where that is safe and the
//! policy says so.

use crate::access::Record;
use crate::backend::Backend;
use crate::channel::History;
use crate::error::Error;
use crate::exchange;
use crate::metrics::{Rescue, Retry};
use crate::replay::Duplicate;
use crate::reply::Reply;
use crate::upload::Upload;
use crate::upstream::{self, Upstream, quietly};
use crate::watch::{Phase, Watch};
use h2::Reason;
use http::header::{HeaderValue, TRANSFER_ENCODING};
use http::{Request, Response};
use http_body::Body as _;
use hyper::body::Incoming;
use policy::{Fate, LeaseId, Outcome, Past, Replay};
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use supervisor::{Lease, Protocol};

/// The head of an answer, and what belongs to its worker.
pub(crate) struct Answered {
    pub(crate) response: Response<Reply>,
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
    backend: &Backend,
    watch: &Arc<Watch>,
    wanted: policy::Request,
    mut request: Box<Request<Upload>>,
    record: &mut Record,
) -> Result<Answered, Error> {
    // A body that nobody looked at may make all the difference.
    let fingerprint = if request.body().is_end_stream() { wanted.fingerprint } else { 0 };
    let copy = Duplicate::of(&mut request, backend.rescue);
    let replay = if copy.is_some() { Replay::Allowed } else { Replay::Never };
    let mut wanted = policy::Request { replay, fingerprint, ..wanted };
    let mut connections = Connections::IdleFirst;
    for _ in 0..ATTEMPTS {
        watch.enter(Phase::Queue);
        let asked = watch.now();
        let lease = backend.pool.claim(wanted, asked).await.map_err(Error::Unavailable)?;
        let assigned = watch.now();
        record.note_worker(lease.worker(), assigned - asked);
        watch.enter(Phase::Answer);
        let errand = Errand { backend, watch, record, wanted, copy: copy.as_ref() };
        match errand.run(lease, request, connections).await {
            Ok(answered) => {
                match answered.way {
                    Way::Direct => record.note_answer(watch.now() - assigned),
                    Way::Rescued => record.note_rescuer(answered.lease.worker()),
                }
                return Ok(answered);
            }
            Err(Setback::Refused(unsent)) => request = unsent,
            Err(Setback::Full(first, unread)) => {
                wanted = wanted.after(Fate::Full, first.worker);
                request = unread;
            }
            // To another worker, in case this one is dying, and on a fresh connection, which cannot have gone stale: the
            // request itself may be what breaks it.
            Err(Setback::Stale(first, copy)) => {
                record.note_retry(Retry::Lost);
                wanted = wanted.after(Fate::Died, first.worker);
                request = Box::new(copy.request(watch));
                connections = Connections::Fresh;
            }
            Err(Setback::Failed(error)) => return Err(error),
        }
    }
    Err(Error::Unreachable)
}

/// A request under way: what is the same at each worker that is asked.
#[derive(Clone, Copy)]
struct Errand<'a> {
    backend: &'a Backend,
    watch: &'a Arc<Watch>,
    record: &'a Record,
    wanted: policy::Request,
    /// Nothing if no other worker may get it.
    copy: Option<&'a Duplicate>,
}

/// What comes of a copy, if one may be sent at all.
type Rescued<'a> = Pin<Box<dyn Future<Output = Option<Result<Answered, Error>>> + Send + 'a>>;

/// Why a worker did not answer, nor another one in its place.
enum Setback<'a> {
    /// Nobody accepted a connection: nothing was sent.
    Refused(Box<Request<Upload>>),
    /// The worker lives, and refused to read it.
    Full(LeaseId, Box<Request<Upload>>),
    /// An idle connection broke before a byte of the answer; the worker may have closed it before it read anything. There
    /// is a copy.
    Stale(LeaseId, &'a Duplicate),
    Failed(Error),
}

impl<'a> Errand<'a> {
    /// Sends the request to the worker of this lease, and a copy to another one if this one stands still or dies.
    async fn run(
        self,
        lease: Lease,
        request: Box<Request<Upload>>,
        connections: Connections,
    ) -> Result<Answered, Setback<'a>> {
        let (exchanged, copy) = {
            let mut first = pin!(self.exchange(&lease, request, connections));
            match first_or_rescue(first.as_mut(), &lease, self.copy).await {
                Some(exchanged) => (exchanged, self.copy.filter(|copy| copy.is_whole())),
                // The worker stands still: a second one is asked too, and the first answer wins.
                None => match self.race(&lease, first).await {
                    Raced::First(exchanged) => (exchanged, None),
                    Raced::Second(answered) => return Ok(answered),
                },
            }
        };
        match (exchanged, copy) {
            (Exchanged::Answered(response), _) => Ok(Answered { response, lease, way: Way::Direct }),
            (Exchanged::Refused(unsent), _) => {
                lease.finish(Outcome::Refused);
                self.record.note_retry(Retry::Refused);
                Err(Setback::Refused(unsent))
            }
            (Exchanged::Full(unread), _) => {
                let first = lease.id();
                lease.finish(Outcome::Full);
                self.record.note_retry(Retry::Full);
                Err(Setback::Full(first, unread))
            }
            (Exchanged::Stale, Some(copy)) => {
                let first = lease.id();
                lease.finish(Outcome::Lost);
                Err(Setback::Stale(first, copy))
            }
            (Exchanged::Failed(Error::Lost), Some(_)) => {
                let first = lease.id();
                lease.finish(Outcome::Lost);
                let answered = self.rescue(Fate::Died, first).await;
                answered.unwrap_or(Err(Error::Lost)).map_err(Setback::Failed)
            }
            (Exchanged::Stale, None) => Err(Setback::Failed(self.give_up(lease, Error::Lost))),
            (Exchanged::Failed(error), _) => Err(Setback::Failed(self.give_up(lease, error))),
        }
    }

    /// Sends the request to the worker of this lease and waits for the head of the answer: first on a connection that is
    /// there, and if that turns out to be closed, on a fresh one.
    async fn exchange(
        self,
        lease: &Lease,
        request: Box<Request<Upload>>,
        connections: Connections,
    ) -> Exchanged {
        match self.backend.protocol {
            Protocol::Http1 => self.exchange_in_http1(lease, request, connections).await,
            // A future of its own, for which those to workers of HTTP/1.1 carry no room.
            Protocol::H2c => Box::pin(self.exchange_in_http2(lease, request, connections)).await,
        }
    }

    async fn exchange_in_http1(
        self,
        lease: &Lease,
        mut request: Box<Request<Upload>>,
        connections: Connections,
    ) -> Exchanged {
        while connections == Connections::IdleFirst
            && let Some(mut upstream) = self.backend.take_idle(lease.worker(), self.watch.now())
        {
            if !upstream.is_usable() {
                continue;
            }
            // A worker may close an idle connection at the very moment a request is sent on it. If nothing was written, the
            // request comes back.
            match send(&mut upstream, self.watch, request).await {
                Ok(response) => return Exchanged::by(response, upstream),
                Err(Failure::Unsent(unsent)) => {
                    self.record.note_retry(Retry::Unsent);
                    request = unsent;
                }
                Err(Failure::Broken(Error::Lost)) => return Exchanged::Stale,
                Err(Failure::Broken(error)) => return Exchanged::Failed(error),
            }
        }
        let Ok(mut upstream) = Upstream::connect(lease).await else {
            return Exchanged::Refused(request);
        };
        match send(&mut upstream, self.watch, request).await {
            Ok(response) => Exchanged::by(response, upstream),
            Err(Failure::Unsent(unsent)) => Exchanged::Refused(unsent),
            Err(Failure::Broken(error)) => Exchanged::Failed(error),
        }
    }

    async fn exchange_in_http2(
        self,
        lease: &Lease,
        mut request: Box<Request<Upload>>,
        mut connections: Connections,
    ) -> Exchanged {
        loop {
            let berth = match connections {
                Connections::IdleFirst => self.backend.berth(lease).await,
                Connections::Fresh => self.backend.fresh_berth(lease).await,
            };
            let Ok(berth) = berth else { return Exchanged::Refused(request) };
            let history = berth.history;
            match exchange::send(berth, self.watch, *request).await {
                Ok(response) => return Exchanged::Answered(response),
                // A worker that takes not even the first request of a channel is not asked again.
                Err(exchange::Failure::Unsent(unsent)) if history == History::Fresh => {
                    return Exchanged::Refused(unsent);
                }
                // Neither would it be less full on another channel.
                Err(exchange::Failure::Full(unread)) => return Exchanged::Full(unread),
                Err(exchange::Failure::Unsent(unsent)) => {
                    self.record.note_retry(Retry::Unsent);
                    request = unsent;
                    connections = Connections::Fresh;
                }
                Err(exchange::Failure::Broken(Error::Lost)) if history == History::Idle => {
                    return Exchanged::Stale;
                }
                Err(exchange::Failure::Broken(error)) => return Exchanged::Failed(error),
            }
        }
    }

    /// Asks a second worker while the first goes on. The first answer wins; the other connection is closed when dropped.
    async fn race(self, lease: &Lease, mut first: Pin<&mut impl Future<Output = Exchanged>>) -> Raced {
        let mut second = Some(self.rescue(Fate::Froze, lease.id()));
        let mut lost = None;
        poll_fn(|cx: &mut Context<'_>| {
            if lost.is_none()
                && let Poll::Ready(exchanged) = first.as_mut().poll(cx)
            {
                match exchanged {
                    Exchanged::Answered(_) => {
                        self.backend.count_rescue(Rescue::Overtaken);
                        return Poll::Ready(Raced::First(exchanged));
                    }
                    // The other one may still answer.
                    Exchanged::Refused(_) | Exchanged::Full(_) | Exchanged::Stale | Exchanged::Failed(_) => {
                        lost = Some(exchanged);
                    }
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

    /// Sends the copy to another worker than the first. Nothing if there is none that is whole, or no permission. Boxed,
    /// because that worker may fail in its turn.
    fn rescue(self, fate: Fate, first: LeaseId) -> Rescued<'a> {
        Box::pin(async move {
            let mut request = Box::new(self.copy.filter(|copy| copy.is_whole())?.request(self.watch));
            let mut errand = Self { wanted: self.wanted.after(fate, first.worker), ..self };
            let Some(mut claimed) = self.backend.pool.rescue(errand.wanted, first).await else {
                self.backend.count_rescue(Rescue::Denied);
                return None;
            };
            for _ in 0..ATTEMPTS {
                let lease = match claimed {
                    Ok(lease) => lease,
                    Err(unavailable) => {
                        self.backend.count_rescue(Rescue::Failed);
                        return Some(Err(Error::Unavailable(unavailable)));
                    }
                };
                match errand.run(lease, request, Connections::IdleFirst).await {
                    Ok(answered) => {
                        self.backend.count_rescue(match answered.way {
                            Way::Direct => Rescue::Answered,
                            // By a copy of the copy, which was counted.
                            Way::Rescued => Rescue::Failed,
                        });
                        return Some(Ok(Answered { way: Way::Rescued, ..answered }));
                    }
                    Err(Setback::Refused(unsent)) => {
                        request = unsent;
                        claimed = self.backend.pool.claim(errand.wanted, self.watch.now()).await;
                    }
                    Err(Setback::Full(second, unread)) => {
                        request = unread;
                        errand.wanted = errand.wanted.after(Fate::Full, second.worker);
                        claimed = self.backend.pool.claim(errand.wanted, self.watch.now()).await;
                    }
                    Err(Setback::Stale(first, _)) => {
                        self.backend.count_rescue(Rescue::Failed);
                        return errand.rescue(Fate::Died, first).await.or(Some(Err(Error::Lost)));
                    }
                    Err(Setback::Failed(error)) => {
                        self.backend.count_rescue(Rescue::Failed);
                        return Some(Err(error));
                    }
                }
            }
            self.backend.count_rescue(Rescue::Failed);
            Some(Err(Error::Unreachable))
        })
    }

    /// Gives the lease back with what the policy has to know of the failure.
    fn give_up(self, lease: Lease, error: Error) -> Error {
        let is_first = self.wanted.past == Past::default();
        lease.finish(match error {
            Error::AnswerTimeout if is_first => Outcome::TimedOut,
            Error::Lost | Error::BadAnswer => Outcome::Lost,
            // Unread; and there is no copy for another attempt.
            Error::Reset(Reason::REFUSED_STREAM) => Outcome::Full,
            // It was read, and given up by a worker that lives.
            Error::Reset(_) => Outcome::Completed,
            // At a second worker, the time that ran out was mostly spent at the first one.
            _ => Outcome::Cancelled,
        });
        error
    }
}

/// What came of sending a request to one worker.
enum Exchanged {
    Answered(Response<Reply>),
    /// Nobody accepted a connection: nothing was sent.
    Refused(Box<Request<Upload>>),
    /// The worker lives, and refused to read it.
    Full(Box<Request<Upload>>),
    /// An idle connection broke before a byte of the answer: the worker may have closed it before it read anything.
    Stale,
    Failed(Error),
}

impl Exchanged {
    /// An answer by a connection of its own.
    fn by(response: Response<Incoming>, upstream: Box<Upstream>) -> Self {
        Self::Answered(response.map(|body| Reply::Http1(body, upstream)))
    }
}

/// Which connections to a worker may be used.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Connections {
    IdleFirst,
    Fresh,
}

/// Waits for the exchange, or (nothing) for word that its worker stands still while there is a whole copy.
async fn first_or_rescue(
    mut first: Pin<&mut impl Future<Output = Exchanged>>,
    lease: &Lease,
    copy: Option<&Duplicate>,
) -> Option<Exchanged> {
    let mut is_due = false;
    poll_fn(|cx| match (first.as_mut().poll(cx), copy) {
        (Poll::Ready(exchanged), _) => Poll::Ready(Some(exchanged)),
        (Poll::Pending, Some(copy)) => {
            is_due |= lease.is_to_be_rescued();
            if is_due && copy.is_whole() { Poll::Ready(None) } else { Poll::Pending }
        }
        (Poll::Pending, None) => Poll::Pending,
    })
    .await
}

/// Who answered first.
enum Raced {
    First(Exchanged),
    Second(Answered),
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
    mut request: Box<Request<Upload>>,
) -> Result<Response<Incoming>, Failure> {
    if !request.body().is_end_stream() && request.body().size_hint().exact().is_none() {
        // Hyper does so by itself, but for GET and HEAD: their bodies it would leave out without a word.
        request.headers_mut().insert(TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
    }
    let Upstream { sender, connection, meter, .. } = upstream;
    meter.await_head(upstream::LONGEST_ANSWER_HEAD);
    let mut answer = pin!(sender.try_send_request(*request));
    let answer = poll_fn(|cx| {
        if let Some(error) = watch.late_body() {
            return Poll::Ready(Err(Failure::Broken(error)));
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

/// Claims of one request that may find nobody listening: each such worker is suspect at once, and not claimed again. How
/// often one may be refused unread, the policy says.
const ATTEMPTS: u32 = 16;
