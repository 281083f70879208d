//! What the fuzz targets (`tests/fuzz`) reach of this crate: plain data in, plain data out. It is no part of its interface,
//! and is not there without the feature of that name.

use crate::clients::{Clients, Seat};
use crate::drain::Stage;
use crate::origin::Origin;
use crate::proxy_protocol::{self, Parsed};
use crate::request::{self, Wishes};
use crate::route::replica::Replica;
use crate::route::{openapi, shape};
use crate::shard::Shard;
use crate::{App, Limits, Metrics, Options, RescueScope, RouteTable, Routing, Site, Timeouts, http1};
use crate::{response, trailers};
use http::{HeaderMap, HeaderValue, Method, Request, Version};
use ipnet::IpNet;
use policy::RouteId;
use prometheus::{IntGauge, Registry};
use std::net::IpAddr;
use std::sync::Arc;
use supervisor::{Pool, Stream};
use tokio::net::UnixStream;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_util::either::Either;

/// A request as a worker gets it.
#[derive(Debug)]
pub struct Asked {
    /// In HTTP/1.1.
    pub head: http::request::Parts,
    /// In HTTP/2.
    pub http2: Request<()>,
}

/// A client's head as a worker gets it, or nothing if it is refused. Believed proxies make a trusted peer.
pub fn request(
    mut head: http::request::Parts,
    peer: IpAddr,
    believed: Option<Arc<[IpNet]>>,
    id: &'static str,
) -> Option<Asked> {
    let origin = Origin::new(Some(peer), believed, seat(&Options::default()));
    let id = || HeaderValue::from_static(id);
    request::prepare(&mut head, &origin, &Limits::default(), id).ok()?;
    let http2 = request::for_worker(&head);
    Some(Asked { head, http2 })
}

/// Whether a worker's head may go to a client of this version, and what becomes of it.
pub fn response(head: &mut http::response::Parts, version: Version, length: Option<u64>) -> bool {
    let wishes = Wishes { upgrade: None, expects_continue: false, version };
    response::prepare(head, &wishes, length).is_ok()
}

/// What is left of trailers.
pub fn prepare_trailers(fields: &mut HeaderMap) {
    trailers::prepare(fields);
}

/// What bytes at the start of a connection are as a PROXY header.
#[derive(Debug, PartialEq, Eq)]
pub enum ProxyHeader {
    /// The start of one.
    Part,
    /// So many bytes of it, and who they say the client is.
    Whole(usize, Option<IpAddr>),
    /// None, by the reason's token.
    Refused(&'static str),
}

/// Reads a PROXY header of either version.
pub fn proxy_header(bytes: &[u8]) -> ProxyHeader {
    match proxy_protocol::parse(bytes) {
        Ok(Parsed::Part) => ProxyHeader::Part,
        Ok(Parsed::Whole { length, source }) => ProxyHeader::Whole(length, source),
        Err(refused) => ProxyHeader::Refused(refused.reason()),
    }
}

/// The template of a path by its shape.
pub fn shape(path: &str) -> String {
    shape::template(path).into_owned()
}

/// Whether servers may take this path for two.
pub fn is_ambiguous(path: &str) -> bool {
    shape::is_ambiguous(path)
}

/// A route table with a thread's copy.
#[derive(Debug)]
pub struct Routes {
    table: RouteTable,
    replica: Replica,
}

impl Routes {
    /// With the operator's patterns, and those of an OpenAPI document if it is one.
    pub fn new(routing: &Routing, document: &[u8]) -> Self {
        let table = RouteTable::new(routing);
        if let Ok(templates) = openapi::read(document) {
            table.describe(templates);
        }
        Self { replica: Replica::new(table.clone()), table }
    }

    /// The route of a request that is answered with success.
    pub fn find(&mut self, method: &Method, path: &str) -> RouteId {
        let route = self.replica.find(method, path);
        route.answered(http::StatusCode::OK);
        self.replica.find(method, path).id
    }

    /// What it is called.
    pub fn name(&self, route: RouteId) -> String {
        self.table.name(route)
    }

    /// How many have a name.
    pub fn named(&self) -> usize {
        self.table.names().len()
    }
}

/// Serves a client's connection of HTTP/1 to its end.
pub async fn serve_http1(pool: Pool, stream: UnixStream, peer: IpAddr) {
    let mut outbox = JoinSet::new();
    outbox.spawn(supervisor::deliver());
    let sites = vec![Site::everything(Timeouts::default(), &Limits::default())];
    let options = Options { sites, ..Options::default() };
    let app = App { pool, routes: RouteTable::new(&Routing::default()), rescue: RescueScope::Safe };
    let metrics = Metrics::register(&Registry::new()).expect("an empty registry");
    let origin = Arc::new(Origin::new(Some(peer), None, seat(&options)));
    let clients = Arc::new(Clients::new(&options, metrics.connections.clone()));
    let (_stage, stage) = watch::channel(Stage::Serving);
    let shard = Arc::new(Shard::new(&[app], options, metrics, clients, stage, 0));
    http1::serve(shard, Either::Left(Stream::from(stream)), origin, None).await;
}

fn seat(options: &Options) -> Seat {
    let gauge = IntGauge::new("open", "Open connections.").expect("a good name");
    Arc::new(Clients::new(options, gauge)).seat().expect("the first one")
}
