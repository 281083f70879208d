//! The data-plane threads: accept, serve, drain.

use crate::access;
use crate::admission;
use crate::backend::App;
use crate::client::ClientStream;
use crate::clients::{Clients, Seat};
use crate::closing;
use crate::drain::Stage;
use crate::handshake::{self, Reason};
use crate::http1;
use crate::http2;
use crate::listener::{Acceptor, Endpoint, Listeners, ListeningSocket};
use crate::metrics::Metrics;
use crate::origin::Origin;
use crate::preface::{self, Spoken};
use crate::role::{HttpsPort, Listener, ProxyProtocol, Role};
use crate::route::discovery;
use crate::shard::{Lately, SWEEP_EVERY, SWEEP_QUIET, Shard};
use crate::watch::Watch;
use crate::{BindError, Options};
use http::StatusCode;
use std::future::{Future, poll_fn};
use std::io;
use std::net::IpAddr;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::thread::JoinHandle;
use std::time::Duration;
use supervisor::Stream;
use tls::{Protocols, Terminator};
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

/// A running data plane.
#[derive(Debug)]
pub struct Running {
    listeners: Vec<Listener<Terminator>>,
    stage: watch::Sender<Stage>,
    /// The longest time that a pool lets its requests have when the service drains.
    longest_drain: Duration,
    threads: Vec<JoinHandle<()>>,
}

/// Starts one thread for each set of listeners, in front of these apps. Each of the options' sites is of one of them. A thread
/// of which nothing was asked for a moment lets go of the memory that its allocator keeps at hand for it.
///
/// # Errors
/// When a thread or its runtime cannot be made.
pub fn start(
    apps: &[App],
    options: &Options,
    metrics: &Metrics,
    listeners: Listeners,
    let_go: fn(),
) -> io::Result<Running> {
    let bound = listeners.bound().to_vec();
    let (stage, _) = watch::channel(Stage::Serving);
    let clients = Arc::new(Clients::new(options, metrics.connections.clone()));
    let mut threads = Vec::new();
    for (number, acceptors) in listeners.by_thread.into_iter().enumerate() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let (options, metrics, clients) = (options.clone(), metrics.clone(), Arc::clone(&clients));
        let shard = Arc::new(Shard::new(apps, options, metrics, clients, stage.subscribe(), number));
        let body = move || {
            runtime.block_on(async {
                let mut errands = JoinSet::new();
                if number == 0 {
                    for backend in &shard.backends {
                        errands.spawn(discovery::follow(Arc::clone(backend)));
                    }
                }
                run(shard, acceptors, errands, let_go).await;
            });
        };
        threads.push(std::thread::Builder::new().name(format!("proxy-{number}")).spawn(body)?);
    }
    let longest_drain = apps.iter().map(|app| app.pool.drain_timeout()).max().unwrap_or_default();
    Ok(Running { listeners: bound, stage, longest_drain, threads })
}

impl Running {
    /// The listeners, with the ports chosen by the system.
    pub fn listeners(&self) -> &[Listener<Terminator>] {
        &self.listeners
    }

    /// Takes no more connections and lets the open ones finish their requests, each within its pool's limit. After the
    /// longest of these, or when `hurry` resolves, cuts what is left.
    pub async fn drain(self, hurry: impl Future<Output = ()>) {
        self.stage.send_replace(Stage::Draining(Instant::now()));
        // The threads drop their receivers when they are done.
        tokio::select! {
            () = self.stage.closed() => {}
            () = sleep(self.longest_drain) => {}
            () = hurry => {}
        }
        self.stage.send_replace(Stage::Cut);
        self.stage.closed().await;
        for thread in self.threads {
            // A thread that panicked has said so already.
            let _ = thread.join();
        }
    }
}

/// The life of one thread. Its errands end when the service does.
async fn run(shard: Arc<Shard>, acceptors: Vec<Acceptor>, errands: JoinSet<()>, let_go: fn()) {
    // It has no end of its own.
    let mut outbox = JoinSet::new();
    outbox.spawn(supervisor::deliver());
    let mut connections = JoinSet::new();
    let mut doors = Vec::new();
    for acceptor in acceptors {
        match Door::open(acceptor) {
            Ok(door) => doors.push(door),
            Err(error) => tracing::error!(%error, "cannot listen"),
        }
    }
    let mut sweep = pin!(sleep(SWEEP_EVERY));
    let mut stage = shard.stage.clone();
    let mut changes = stage.clone();
    let mut draining = pin!(changes.wait_for(|stage| *stage > Stage::Serving));
    // Accepted, and without a seat: then the others wait in the kernel's queue.
    let mut seatless = None;
    loop {
        if let Some(accepted) = seatless.take() {
            match shard.clients.seat() {
                Some(seat) => {
                    connections.spawn(serve(Arc::clone(&shard), accepted, seat));
                }
                None => seatless = Some(accepted),
            }
        }
        tokio::select! {
            biased;
            _ = &mut draining => break,
            accepted = accept(&doors), if seatless.is_none() => match accepted {
                Ok(accepted) => {
                    forget_ended(&mut connections);
                    seatless = Some(accepted);
                }
                // Out of descriptors or memory (accept(2)): wait for somebody to leave instead of spinning.
                Err(error) => {
                    tracing::warn!(%error, "cannot accept connections; trying again");
                    sleep(ACCEPT_PAUSE).await;
                }
            },
            // The end of a connection wakes this task only if its seat is waited for.
            Some(_) = connections.join_next(), if seatless.is_some() => {}
            () = &mut sweep => {
                forget_ended(&mut connections);
                let lately = shard.sweep();
                if lately == Lately::Quiet {
                    let_go();
                }
                // A thread that nothing is asked of need not wake often. But on other threads too seats become free.
                let pause = if lately == Lately::Asked || seatless.is_some() { SWEEP_EVERY } else { SWEEP_QUIET };
                sweep.as_mut().reset(Instant::now() + pause);
            }
        }
    }
    drop(errands);
    // What waits in the kernel's queue was promised a connection, as long as there are seats.
    while let Some(seat) = shard.clients.seat() {
        let next = match seatless.take() {
            Some(accepted) => Some(accepted),
            None => poll_once(accept(&doors)).await.and_then(Result::ok),
        };
        let Some(accepted) = next else { break };
        connections.spawn(serve(Arc::clone(&shard), accepted, seat));
    }
    drop(doors);
    tokio::select! {
        () = async {
            while connections.join_next().await.is_some() {}
            let mut tunnels = shard.take_tunnels();
            while tunnels.join_next().await.is_some() {}
        } => {}
        _ = stage.wait_for(|stage| *stage == Stage::Cut) => {
            connections.shutdown().await;
            shard.take_tunnels().shutdown().await;
        }
    }
    shard.sweep();
}

/// Gives back what is kept of tasks that ended.
fn forget_ended(tasks: &mut JoinSet<()>) {
    while tasks.try_join_next().is_some() {}
}

/// One client connection, from its acceptance to its end.
async fn serve(shard: Arc<Shard>, accepted: Accepted, seat: Seat) {
    // Futures of their own, so that connections of HTTP/1 at rest, of which there may be very many, carry no room for them.
    let Some(Begun { stream, origin, redirect, spoken }) = Box::pin(begin(&shard, accepted, seat)).await
    else {
        return;
    };
    match spoken {
        Spoken::Http1 => http1::serve(shard, stream, origin, redirect).await,
        Spoken::Http2 => Box::pin(http2::serve(shard, stream, origin)).await,
    }
}

/// A connection on which HTTP can be spoken.
struct Begun {
    stream: ClientStream,
    origin: Arc<Origin>,
    redirect: Option<HttpsPort>,
    spoken: Spoken,
}

/// Finds out who is at the other end and what is spoken. Nothing if that was the end of it.
async fn begin(shard: &Arc<Shard>, accepted: Accepted, mut seat: Seat) -> Option<Begun> {
    let stage = &shard.stage;
    let Accepted { stream, peer, proxy_protocol, role } = accepted;
    let late = || too_late(shard.options.timeouts.header, stage.clone());
    let peer = match admission::admit(shard, &stream, &mut seat, peer, proxy_protocol, late).await {
        Ok(peer) => peer,
        Err(reason) => {
            tracing::debug!(?peer, reason, "connection refused");
            shard.refuse(reason);
            closing::refuse(&stream);
            return None;
        }
    };
    let origin = Origin::new(peer, shard.options.believed(peer), seat);
    let limits = &shard.options.timeouts;
    let plain = |stream, origin, redirect, spoken| {
        Some(Begun { stream: ClientStream::Left(stream), origin: Arc::new(origin), redirect, spoken })
    };
    match role {
        Role::Redirect(port) => plain(stream, origin, Some(port), Spoken::Http1),
        Role::Http(Protocols::Http1) => plain(stream, origin, None, Spoken::Http1),
        Role::Http(Protocols::Http2AndHttp1) => {
            let spoken = tokio::select! {
                spoken = preface::recognise(&stream) => spoken.ok()?,
                () = too_late(limits.keep_alive, stage.clone()) => return None,
            };
            plain(stream, origin, None, spoken)
        }
        Role::Https(terminator) => {
            let late = too_late(limits.handshake, stage.clone());
            let shaken = Box::pin(handshake::accept(stream, terminator.config(), late, peer, &shard.metrics));
            match shaken.await {
                Ok(stream) => {
                    let (_, session) = stream.get_ref();
                    let origin = origin.secured(session.peer_certificates().and_then(|chain| chain.first()));
                    let spoken = match session.alpn_protocol() {
                        Some(tls::ALPN_HTTP2) => Spoken::Http2,
                        // Who chose nothing speaks HTTP/1.1.
                        Some(_) | None => Spoken::Http1,
                    };
                    let stream = ClientStream::Right(stream);
                    Some(Begun { stream, origin: Arc::new(origin), redirect: None, spoken })
                }
                Err(reason) => {
                    if reason == Reason::PlainHttp {
                        let watch = Arc::new(Watch::new(Arc::clone(&shard.timeouts)));
                        access::note_unread(shard, &watch, &origin, StatusCode::BAD_REQUEST, reason.as_str());
                    }
                    None
                }
            }
        }
    }
}

/// Resolves when the limit has passed, or a moment after the drain began: who has said nothing yet has no request that could
/// be waited for.
pub(crate) async fn too_late(limit: Option<Duration>, mut stage: watch::Receiver<Stage>) {
    let drained = async {
        // Its sender lives as long as the threads do.
        let _ = stage.wait_for(|stage| *stage > Stage::Serving).await;
        sleep(LAST_WORDS).await;
    };
    match limit {
        Some(limit) => timeout(limit, drained).await.unwrap_or(()),
        None => drained.await,
    }
}

/// A listening socket on this thread's runtime.
struct Door {
    socket: Socket,
    proxy_protocol: ProxyProtocol,
    role: Role<Terminator>,
}

enum Socket {
    Tcp(TcpListener),
    Unix(UnixListener),
}

/// A connection that nothing was read from yet.
struct Accepted {
    stream: Stream,
    peer: Option<IpAddr>,
    proxy_protocol: ProxyProtocol,
    role: Role<Terminator>,
}

impl Door {
    fn open(acceptor: Acceptor) -> Result<Self, BindError> {
        let failed = |error| BindError::Other(Endpoint::Unix("listener".into()), error);
        let socket = match acceptor.socket {
            ListeningSocket::Tcp(listener) => TcpListener::from_std(listener).map(Socket::Tcp),
            ListeningSocket::Unix(listener) => UnixListener::from_std(listener).map(Socket::Unix),
        };
        Ok(Self {
            socket: socket.map_err(failed)?,
            proxy_protocol: acceptor.proxy_protocol,
            role: acceptor.role,
        })
    }

    fn poll_accept(&self, cx: &mut Context<'_>) -> Poll<io::Result<Accepted>> {
        let accepted = |stream, peer| Accepted {
            stream,
            peer,
            proxy_protocol: self.proxy_protocol,
            role: self.role.clone(),
        };
        match &self.socket {
            Socket::Tcp(listener) => {
                listener.poll_accept(cx).map_ok(|(stream, peer)| accepted(stream.into(), Some(peer.ip())))
            }
            Socket::Unix(listener) => {
                listener.poll_accept(cx).map_ok(|(stream, _)| accepted(stream.into(), None))
            }
        }
    }
}

async fn accept(doors: &[Door]) -> io::Result<Accepted> {
    poll_fn(|cx| {
        let ready = doors.iter().map(|door| door.poll_accept(cx)).find(Poll::is_ready);
        ready.unwrap_or(Poll::Pending)
    })
    .await
}

async fn poll_once<T>(future: impl Future<Output = T>) -> Option<T> {
    let mut future = pin!(future);
    poll_fn(|cx| match future.as_mut().poll(cx) {
        Poll::Ready(value) => Poll::Ready(Some(value)),
        Poll::Pending => Poll::Ready(None),
    })
    .await
}

const LAST_WORDS: Duration = Duration::from_secs(1);
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
