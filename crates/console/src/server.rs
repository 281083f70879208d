//! The admin API's server. It shares the control thread with the supervisor, so everything about it is bounded: the
//! connections, their lifetime, the requests at once, the time for each.

use crate::listener::Listener;
use crate::metrics::PoolMetrics;
use crate::process::ProcessMetrics;
use crate::routes::{self, Answer, Site};
use crate::{AdminAddress, BindError, Snapshot};
use http::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use prometheus::Registry;
use std::convert::Infallible;
use std::fmt;
use std::future::{self, Future};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use supervisor::Stream;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};
use tower::{Service, ServiceBuilder, ServiceExt, service_fn};

/// Where snapshots come from; called once a request that needs one.
pub(crate) type Source = Arc<dyn Fn() -> Snapshot + Send + Sync>;

/// The admin API, bound and not yet serving.
pub struct Console {
    listener: Listener,
    site: Arc<Site>,
}

/// What the operator decided about the admin API.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ConsoleOptions {
    /// Whether it may listen where other machines reach it. It asks for no password.
    pub allow_remote: bool,
}

impl Console {
    /// Opens the address and adds the metrics of the pools and of this process to the registry. To be called within
    /// a tokio runtime.
    ///
    /// # Errors
    /// [`BindError`], one line each.
    pub fn bind(
        address: &AdminAddress,
        options: ConsoleOptions,
        registry: Registry,
        source: impl Fn() -> Snapshot + Send + Sync + 'static,
    ) -> Result<Self, BindError> {
        if address.is_remote() && !options.allow_remote {
            return Err(BindError::Remote(address.clone()));
        }
        let source: Source = Arc::new(source);
        registry.register(Box::new(PoolMetrics::new(Arc::clone(&source))?))?;
        registry.register(Box::new(ProcessMetrics::new()?))?;
        let listener = Listener::bind(address)?;
        let address =
            listener.address().map_err(|source| BindError::System { address: address.clone(), source })?;
        let site = Site { address, began: Instant::now(), registry, source };
        Ok(Self { listener, site: Arc::new(site) })
    }

    /// Where it listens, with the port that the system chose.
    pub fn address(&self) -> &AdminAddress {
        &self.site.address
    }

    /// Serves until `shutdown` resolves; requests in progress then have a second. The socket's file goes at the end.
    pub async fn serve(self, shutdown: impl Future<Output = ()>) {
        let service = service(self.site);
        let (stop, stopping) = watch::channel(());
        let mut connections = JoinSet::new();
        let mut shutdown = pin!(shutdown);
        loop {
            let accept = async {
                // At the bound, newcomers wait in the backlog.
                if connections.len() >= MAX_CONNECTIONS {
                    connections.join_next().await;
                }
                self.listener.accept().await
            };
            match tokio::select! { () = &mut shutdown => break, accepted = accept => accepted } {
                Ok(stream) => {
                    while connections.try_join_next().is_some() {}
                    connections.spawn(converse(stream, service.clone(), stopping.clone()));
                }
                Err(error) => {
                    // Out of descriptors, most likely: trying at once would spin.
                    tracing::warn!(target: "console", %error, "cannot accept a connection");
                    tokio::select! { () = &mut shutdown => break, () = sleep(ACCEPT_PAUSE) => {} }
                }
            }
        }
        drop(self.listener);
        drop(stop);
        let _ = timeout(GRACE * 2, async { while connections.join_next().await.is_some() {} }).await;
    }
}

impl fmt::Debug for Console {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Console").field("address", self.address()).finish_non_exhaustive()
    }
}

/// From the outside in: a failure becomes an answer, the bounds, the guard, the pages.
fn service(
    site: Arc<Site>,
) -> impl Service<Request<Incoming>, Response = Answer, Error = Infallible, Future: Send> + Clone + Send {
    let guarded = service_fn(move |request: Request<Incoming>| {
        future::ready(Ok::<_, Infallible>(match site.check(&request) {
            Ok(()) => site.answer(&request),
            Err(why) => {
                tracing::debug!(target: "console", why = why.as_str(), "request refused");
                routes::forbidden(why)
            }
        }))
    });
    let bounded = ServiceBuilder::new()
        .load_shed()
        .concurrency_limit(MAX_REQUESTS)
        .timeout(ANSWER_TIMEOUT)
        .service(guarded);
    service_fn(move |request| {
        let answer = bounded.clone().oneshot(request);
        async { Ok(answer.await.unwrap_or_else(|error| routes::failed(&error))) }
    })
}

/// One connection, from its first request to its end.
async fn converse<S>(stream: Stream, service: S, mut stopping: watch::Receiver<()>)
where
    S: Service<Request<Incoming>, Response = Answer, Error = Infallible> + Clone,
{
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .max_buf_size(MAX_HEAD)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(service));
    let mut connection = pin!(connection);
    let end = async {
        // It only ever changes by the end of its sender.
        tokio::select! { _ = stopping.changed() => {}, () = sleep(LIFETIME) => {} }
    };
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = end => {
            connection.as_mut().graceful_shutdown();
            timeout(GRACE, connection).await.unwrap_or(Ok(()))
        }
    };
    if let Err(error) = ended {
        tracing::debug!(target: "console", %error, "connection broke");
    }
}

/// Connections at once.
const MAX_CONNECTIONS: usize = 64;
/// Requests at once; more are answered 503.
const MAX_REQUESTS: usize = 32;
/// The size of a request's head, in bytes.
const MAX_HEAD: usize = 16 * 1024;
/// How long a head may take, the idle time before it included.
const HEAD_TIMEOUT: Duration = Duration::from_secs(30);
/// How long an answer may take to be made.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a connection is kept, so that 64 readers who never read cannot shut the API for ever.
const LIFETIME: Duration = Duration::from_secs(300);
/// How long the last request of a connection may take to end.
const GRACE: Duration = Duration::from_secs(1);
/// The wait after a failed accept.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
