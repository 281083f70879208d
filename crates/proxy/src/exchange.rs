//! One request and its answer on a channel.

use crate::channel::{Berth, Jam, Share};
use crate::error::Error;
use crate::http2::{Frames, poll_room};
use crate::interim::Interim;
use crate::reply::Reply;
use crate::request;
use crate::upload::Upload;
use crate::watch::{Phase, Watch};
use bytes::Bytes;
use h2::{Reason, SendStream};
use http::{Request, Response, StatusCode};
use http_body::{Body as _, Frame, SizeHint};
use std::collections::VecDeque;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::task::AbortHandle;
use tokio::time::{Sleep, sleep};

/// Why a request got no answer on a channel.
pub(crate) enum Failure {
    /// Proof that nothing was sent, or nothing read of it: the request itself.
    Unsent(Box<Request<Upload>>),
    /// The worker refused to read it: the request itself.
    Full(Box<Request<Upload>>),
    Broken(Error),
}

/// Sends a request on a channel, and waits for the head of the answer. Who drops this resets the stream.
///
/// # Errors
/// Why there is none.
pub(crate) async fn send(
    berth: Berth,
    watch: &Watch,
    request: Request<Upload>,
) -> Result<Response<Reply>, Failure> {
    let (parts, upload) = request.into_parts();
    let Ok((mut answer, stream, share)) = berth.send(request::for_worker(&parts), upload.is_end_stream())
    else {
        return Err(Failure::Unsent(Box::new(Request::from_parts(parts, upload))));
    };
    let mut outgoing = Outgoing::new(upload, stream);
    let (interim, mut interim_count) = (parts.extensions.get::<Interim>(), 0);
    let answered = poll_fn(|cx| {
        if let Some(error) = watch.late_body() {
            return Poll::Ready(Err(Broken::By(error)));
        }
        if watch.has_expired(Phase::Answer) {
            return Poll::Ready(Err(Broken::By(Error::AnswerTimeout)));
        }
        while let Poll::Ready(Some(Ok(head))) = answer.poll_informational(cx) {
            interim_count += 1;
            if head.status() == StatusCode::CONTINUE {
                outgoing.upload.let_go();
            }
            if let Some(interim) = interim {
                interim.add(head.status(), head.headers());
            }
            if interim_count > MOST_INTERIM {
                return Poll::Ready(Err(Broken::By(Error::BadAnswer)));
            }
        }
        // Whatever ends it is told to the answer as well, or noted by the watch.
        let _ = outgoing.poll(cx, &share);
        if watch.has_overrun() {
            return Poll::Ready(Err(Broken::By(Error::BodyTooLarge)));
        }
        if watch.has_broken_body() {
            return Poll::Ready(Err(Broken::By(Error::BadBody)));
        }
        Pin::new(&mut answer).poll(cx).map_err(Broken::Stream)
    });
    match answered.await {
        Ok(response) => {
            let (head, body) = response.into_parts();
            let frames = Frames::new(body, &head.headers);
            let share = Arc::new(share);
            let pump = (!outgoing.is_over).then(|| Pump::start(outgoing, Arc::clone(&share)));
            Ok(Response::from_parts(
                head,
                Reply::Http2(Box::new(Incoming { frames, _pump: pump, _share: share })),
            ))
        }
        Err(Broken::By(error)) => Err(Failure::Broken(error)),
        Err(Broken::Stream(error)) => {
            let unread = Unread::by(&error);
            let request = unread.and_then(|_| outgoing.back());
            let request = request.map(|upload| Box::new(Request::from_parts(parts, upload)));
            Err(match (unread, request) {
                (Some(Unread::Full), Some(request)) => Failure::Full(request),
                (Some(Unread::Gone), Some(request)) => Failure::Unsent(request),
                // What ends the whole channel may be another answer's fault.
                _ if error.is_library() && error.is_reset() => Failure::Broken(Error::BadAnswer),
                _ if let (true, Some(reason)) = (error.is_reset(), error.reason()) => {
                    Failure::Broken(Error::Reset(reason))
                }
                _ => Failure::Broken(Error::Lost),
            })
        }
    }
}

/// What ends the wait for an answer.
enum Broken {
    By(Error),
    Stream(h2::Error),
}

/// How a worker says that it did nothing for a request (RFC 9113 section 8.7).
#[derive(Clone, Copy)]
enum Unread {
    /// It refused the stream.
    Full,
    /// The stream is above the last one of a GOAWAY.
    Gone,
}

impl Unread {
    fn by(error: &h2::Error) -> Option<Self> {
        match (error.is_remote(), error.is_go_away(), error.reason()) {
            (true, true, _) => Some(Self::Gone),
            (true, false, Some(Reason::REFUSED_STREAM)) => Some(Self::Full),
            _ => None,
        }
    }
}

/// A request's body on its way.
#[derive(Debug)]
struct Outgoing {
    upload: Upload,
    stream: SendStream<Bytes>,
    /// What waits for room at the worker.
    ahead: Bytes,
    /// While it waits.
    wait: Option<Wait>,
    is_over: bool,
    /// What was taken from the client, for another channel; nothing if it became too much.
    taken: Option<VecDeque<Frame<Bytes>>>,
    taken_bytes: usize,
}

impl Outgoing {
    fn new(upload: Upload, stream: SendStream<Bytes>) -> Self {
        let is_over = upload.is_end_stream();
        Self {
            upload,
            stream,
            ahead: Bytes::new(),
            wait: None,
            is_over,
            taken: Some(VecDeque::new()),
            taken_bytes: 0,
        }
    }

    /// Passes on what the client sends, as fast as the worker takes it. Ready when that is over.
    ///
    /// # Errors
    /// When the worker reset the stream.
    fn poll(&mut self, cx: &mut Context<'_>, share: &Share) -> Poll<Result<(), h2::Error>> {
        while !self.is_over {
            if self.ahead.is_empty() {
                match ready!(Pin::new(&mut self.upload).poll_frame(cx)) {
                    Some(Ok(frame)) => self.take(frame)?,
                    Some(Err(_)) => {
                        self.is_over = true;
                        self.stream.send_reset(Reason::CANCEL);
                    }
                    None => {
                        self.is_over = true;
                        self.stream.send_data(Bytes::new(), true)?;
                    }
                }
                continue;
            }
            let room = match poll_room(&mut self.stream, cx, self.ahead.len()) {
                Poll::Ready(room) => room.inspect_err(|_| self.is_over = true)?,
                Poll::Pending => {
                    self.wait.get_or_insert_default().poll(cx, share);
                    return Poll::Pending;
                }
            };
            self.wait = None;
            let piece = self.ahead.split_to(room.min(self.ahead.len()));
            self.is_over = self.ahead.is_empty() && self.upload.is_end_stream();
            self.stream.send_data(piece, self.is_over)?;
        }
        Poll::Ready(Ok(()))
    }

    fn take(&mut self, frame: Frame<Bytes>) -> Result<(), h2::Error> {
        if let Some(taken) = &mut self.taken {
            self.taken_bytes += frame.data_ref().map_or(0, Bytes::len);
            match (frame.data_ref(), frame.trailers_ref()) {
                _ if self.taken_bytes > MOST_TAKEN => self.taken = None,
                (Some(data), _) => taken.push_back(Frame::data(data.clone())),
                (_, Some(trailers)) => taken.push_back(Frame::trailers(trailers.clone())),
                (None, None) => {}
            }
        }
        match frame.into_data() {
            Ok(data) => self.ahead = data,
            Err(frame) => {
                if let Ok(trailers) = frame.into_trailers() {
                    self.is_over = true;
                    self.stream.send_trailers(trailers)?;
                }
            }
        }
        Ok(())
    }

    /// The whole upload again, if that is possible.
    fn back(self) -> Option<Upload> {
        let mut upload = self.upload;
        upload.rewind(self.taken?);
        Some(upload)
    }
}

/// An upload's wait for room at its worker: for a moment while what was sent is on its way, or for as long as the app does
/// not read. Only the latter is a jam.
#[derive(Debug)]
struct Wait {
    patience: Pin<Box<Sleep>>,
    jam: Option<Jam>,
}

impl Default for Wait {
    fn default() -> Self {
        Self { patience: Box::pin(sleep(ON_ITS_WAY)), jam: None }
    }
}

impl Wait {
    fn poll(&mut self, cx: &mut Context<'_>, share: &Share) {
        if self.jam.is_none() && self.patience.as_mut().poll(cx).is_ready() {
            self.jam = Some(share.jam());
        }
    }
}

/// Passes on the rest of a request while its answer is under way already: neither may wait for the other, or two sides
/// that both have to say something would wait for ever.
#[derive(Debug)]
struct Pump {
    outgoing: Arc<Mutex<Option<Outgoing>>>,
    task: AbortHandle,
}

impl Pump {
    fn start(mut outgoing: Outgoing, share: Arc<Share>) -> Self {
        outgoing.taken = None;
        let outgoing = Arc::new(Mutex::new(Some(outgoing)));
        let shared = Arc::clone(&outgoing);
        let passed_on = poll_fn(move |cx| {
            let mut place = lock(&shared);
            let Some(outgoing) = place.as_mut() else { return Poll::Ready(()) };
            // How it ends, the answer is told.
            let _ = ready!(outgoing.poll(cx, &share));
            *place = None;
            Poll::Ready(())
        });
        Self { outgoing, task: tokio::spawn(passed_on).abort_handle() }
    }
}

impl Drop for Pump {
    fn drop(&mut self) {
        self.task.abort();
        // What is left of the upload is known at once to who asks for it.
        let left = lock(&self.outgoing).take();
        drop(left);
    }
}

fn lock(place: &Mutex<Option<Outgoing>>) -> MutexGuard<'_, Option<Outgoing>> {
    place.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The body of an answer. Who drops it before its end resets the stream.
#[derive(Debug)]
pub(crate) struct Incoming {
    frames: Frames,
    _pump: Option<Pump>,
    _share: Arc<Share>,
}

impl Incoming {
    pub(crate) fn poll_frame(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, h2::Error>>> {
        self.frames.poll_frame(cx)
    }

    pub(crate) fn is_end_stream(&self) -> bool {
        self.frames.is_end_stream()
    }

    pub(crate) fn size_hint(&self) -> SizeHint {
        self.frames.size_hint()
    }
}

/// Interim answers to one request, most of which are dropped before that.
const MOST_INTERIM: u32 = 1000;

/// A worker that reads makes room within this.
const ON_ITS_WAY: Duration = Duration::from_millis(100);

/// The longest part of a body that is kept until its answer begins, in case that nobody read it.
const MOST_TAKEN: usize = 64 * 1024;
