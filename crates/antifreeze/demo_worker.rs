//! The built-in worker: one thread, one event loop, and a few ways to misbehave. Enough to see the main job at work on a
//! machine without Python.

use crate::args::DemoAddress;
use anyhow::Context;
use bytes::Bytes;
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full};
use hyper::body::{Body, Frame, Incoming};
use hyper::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderValue};
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use std::convert::Infallible;
use std::net::Ipv4Addr;
use std::pin::Pin;
use std::sync::LazyLock;
use std::task::{Context as Polling, Poll, ready};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, UnixListener};
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::{Interval, MissedTickBehavior};

/// Serves until SIGTERM. By then antifreeze has let its requests finish.
pub(crate) fn run(address: DemoAddress) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let mut terminate = signal(SignalKind::terminate())?;
        let listening = Listening::open(address).await?;
        loop {
            tokio::select! {
                accepted = listening.accept() => accepted?,
                _ = terminate.recv() => return Ok(()),
            }
        }
    })
}

enum Listening {
    Unix(UnixListener),
    Tcp(TcpListener),
}

impl Listening {
    async fn open(address: DemoAddress) -> anyhow::Result<Self> {
        Ok(match address {
            DemoAddress { uds: Some(socket), .. } => Self::Unix(
                UnixListener::bind(&socket)
                    .with_context(|| format!("cannot listen on {}", socket.display()))?,
            ),
            DemoAddress { port, .. } => Self::Tcp(TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await?),
        })
    }

    async fn accept(&self) -> anyhow::Result<()> {
        match self {
            Self::Unix(unix) => serve(unix.accept().await?.0),
            Self::Tcp(tcp) => {
                let (stream, _) = tcp.accept().await?;
                stream.set_nodelay(true)?;
                serve(stream);
            }
        }
        Ok(())
    }
}

fn serve(stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) {
    tokio::spawn(async move {
        let served = hyper::server::conn::http1::Builder::new()
            .header_read_timeout(None)
            .serve_connection(TokioIo::new(stream), service_fn(answer));
        // A client that left is no news.
        let _ = served.await;
    });
}

type Answer = Response<BoxBody<Bytes, Infallible>>;

async fn answer(request: Request<Incoming>) -> Result<Answer, Infallible> {
    let query = request.uri().query().unwrap_or_default();
    let wait = Duration::from_millis(number(query, "ms", 1000));
    match request.uri().path() {
        "/" | "*" => {}
        "/slow" => tokio::time::sleep(wait).await,
        "/freeze" => block(wait),
        "/crash" => std::process::abort(),
        "/stream" => return Ok(stream(number(query, "n", 10), wait)),
        "/bytes" => return Ok(bytes(number(query, "n", 1024))),
        "/count" => return Ok(count(request.into_body()).await),
        "/openapi.json" => return Ok(plain(StatusCode::OK, DOCUMENT.to_owned())),
        _ => return Ok(plain(StatusCode::NOT_FOUND, format!("{{\"error\":\"no such path\",{PATHS}}}\n"))),
    }
    Ok(plain(StatusCode::OK, format!("{{{PATHS},\"pid\":{}}}\n", std::process::id())))
}

fn plain(status: StatusCode, text: String) -> Answer {
    let mut response = Response::new(Full::from(text).boxed());
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

/// So many bytes, 1 MiB at most.
fn bytes(count: u64) -> Answer {
    static ALL: LazyLock<Bytes> = LazyLock::new(|| vec![b'x'; 1024 * 1024].into());
    let count = usize::try_from(count).map_or(ALL.len(), |count| count.min(ALL.len()));
    let mut response = Response::new(Full::from(ALL.slice(..count)).boxed());
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
    response
}

/// How long the request's body is, once all of it has come.
async fn count(mut body: Incoming) -> Answer {
    let mut count = 0;
    while let Some(frame) = body.frame().await {
        match frame {
            Ok(frame) => count += frame.data_ref().map_or(0, Bytes::len),
            Err(_) => {
                return plain(StatusCode::BAD_REQUEST, "{\"error\":\"the body broke off\"}\n".to_owned());
            }
        }
    }
    plain(StatusCode::OK, format!("{{\"bytes\":{count}}}\n"))
}

/// Server-sent events.
fn stream(count: u64, every: Duration) -> Answer {
    let mut ticks = tokio::time::interval(every.max(Duration::from_millis(1)));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut response = Response::new(Ticks { sent: 0, count, ticks }.boxed());
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    response
}

/// `data: 1`, `data: 2`, … one a tick.
struct Ticks {
    sent: u64,
    count: u64,
    ticks: Interval,
}

impl Body for Ticks {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Polling<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if self.sent == self.count {
            return Poll::Ready(None);
        }
        ready!(self.ticks.poll_tick(cx));
        self.sent += 1;
        Poll::Ready(Some(Ok(Frame::data(format!("data: {}\n\n", self.sent).into()))))
    }
}

/// Blocks the whole worker, as a blocking call in an event loop does.
#[expect(clippy::disallowed_methods, reason = "to block the only thread is what this is for")]
fn block(wait: Duration) {
    std::thread::sleep(wait);
}

fn number(query: &str, name: &str, default: u64) -> u64 {
    let mut pairs = query.split('&').filter_map(|pair| pair.split_once('='));
    pairs.find(|(found, _)| *found == name).and_then(|(_, value)| value.parse().ok()).unwrap_or(default)
}

const PATHS: &str = r#""paths":["/","/slow?ms=1000","/freeze?ms=1000","/crash","/stream?n=10&ms=1000","/bytes?n=1024","/count"]"#;

/// What frameworks make of an app: the routes that antifreeze then knows by name.
const DOCUMENT: &str = r#"{"openapi":"3.1.0","info":{"title":"demo","version":"1"},"paths":{"/":{"get":{}},
"/slow":{"get":{}},"/freeze":{"get":{}},"/crash":{"get":{}},"/stream":{"get":{}},
"/bytes":{"get":{}},"/count":{"post":{}}}}
"#;
