//! One request in, one response out: the whole way in one function, read from top to bottom.

use crate::access::Record;
use crate::clients::Full;
use crate::deliver::{Answered, deliver};
use crate::download::Download;
use crate::drain;
use crate::error::Error;
use crate::http2;
use crate::interim::Interim;
use crate::origin::Origin;
use crate::redirect::{self, REDIRECT};
use crate::reply::Reply;
use crate::request::{self, Upgrade, Wishes};
use crate::response;
use crate::role::HttpsPort;
use crate::shard::{Destination, Shard};
use crate::tunnel::{self, ClientEnd};
use crate::upload::{ClientBody, Gate, Upload};
use crate::watch::{Phase, Watch};
use http::header::{CONNECTION, UPGRADE};
use http::response::Parts;
use http::{HeaderValue, Request, Response, StatusCode, Version};
use http_body::Body as _;
use policy::Outcome;
use std::convert::Infallible;
use std::sync::Arc;
use supervisor::Protocol;

/// Answers one request: by a worker, by an error of our own, or by sending it to https.
pub(crate) async fn serve(
    shard: Arc<Shard>,
    watch: Arc<Watch>,
    origin: Arc<Origin>,
    redirect: Option<HttpsPort>,
    request: Request<ClientBody>,
) -> Result<Response<Download>, Infallible> {
    let number = watch.begin();
    let version = request.version();
    let mut record = Box::new(Record::new(Arc::clone(&shard), Arc::clone(&watch)));
    let mut response = match forward(&shard, &watch, &origin, redirect, request, &mut record).await {
        Ok(response) => response,
        Err(error) => {
            record.reason = Some(error.reason());
            if error.ends_connection() {
                watch.leave_unread();
            }
            let route = record.backend.as_ref().zip(record.route).filter(|_| error.concerns_route());
            error.into_response(route.map(|(backend, route)| backend.routes.name(route)))
        }
    };
    record.disclose(response.headers_mut());
    record.status = Some(response.status());
    record.whole = response.body().is_end_stream();
    if response.status() != StatusCode::SWITCHING_PROTOCOLS {
        watch.enter(Phase::Download);
        if shard.options.limits.connection_requests.is_some_and(|most| number >= most) {
            end_connection(&mut response, version);
            // The client may have sent the next one already.
            watch.leave_unread();
        }
    }
    response.body_mut().record = Some(record);
    Ok(response)
}

/// Makes this the last answer of a connection.
fn end_connection(response: &mut Response<Download>, version: Version) {
    if version == Version::HTTP_10 {
        // Hyper knows it by this version; to a close it would add a keep-alive.
        *response.version_mut() = Version::HTTP_10;
    } else {
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    }
}

async fn forward(
    shard: &Arc<Shard>,
    watch: &Arc<Watch>,
    origin: &Arc<Origin>,
    redirect: Option<HttpsPort>,
    request: Request<ClientBody>,
    record: &mut Record,
) -> Result<Response<Download>, Error> {
    let (mut parts, body) = request.into_parts();
    record.note_head(&parts, origin);
    request::check_target(&parts.uri, shard.options.limits.target_bytes)?;
    record.turn = origin.begin(&parts.headers).map_err(|Full| Error::ClientInFlight)?;
    let mut upload = Upload::new(body, Arc::clone(watch));
    if let Some(port) = redirect {
        let response = redirect::answer(&mut parts, port)?;
        record.reason = Some(REDIRECT);
        return Ok(response);
    }
    let mut wishes = request::prepare(&mut parts, origin, &shard.options.limits, || shard.new_id())?;
    record.note_id(&parts.headers);
    let destination = shard.destination(&parts)?;
    let Destination { backend, timeouts, body_bytes } = destination;
    record.note_backend(backend);
    watch.heed(*timeouts);
    upload.limit(*body_bytes)?;
    if backend.protocol == Protocol::H2c {
        wishes.give_up_upgrade()?;
    }
    let client = wishes.upgrade.as_ref().and_then(|_| ClientEnd::take(&mut parts.extensions, origin));
    let route = backend.route(&parts.method, parts.uri.path());
    record.route = Some(route.id);
    let gate = (wishes.expects_continue && !upload.is_end_stream()).then(Arc::<Gate>::default);
    if let Some(gate) = &gate {
        upload.hold(Arc::clone(gate));
    }
    // It is handed on a dozen times, and is some hundred bytes.
    let mut request = Box::new(Request::from_parts(parts, upload));
    let interim = request.extensions().get::<Interim>().cloned();
    if backend.protocol == Protocol::Http1 && (gate.is_some() || interim.is_some()) {
        hyper::ext::on_informational(&mut request, move |answer| {
            if answer.status() == StatusCode::CONTINUE
                && let Some(gate) = &gate
            {
                gate.open();
            }
            if let Some(interim) = &interim {
                interim.add(answer.status(), answer.headers());
            }
        });
    }
    let wanted = policy::Request {
        fingerprint: backend.routes.fingerprint(request.method(), request.uri()),
        urgency: backend.routes.urgency_of(request.uri().path()),
        ..policy::Request::from(route.id)
    };
    let answered = deliver(backend, watch, wanted, request, record).await?;
    route.answered(answered.response.status());
    answer(shard, watch, destination, &wishes, answered, client)
}

/// Makes a worker's answer fit for the client.
fn answer(
    shard: &Shard,
    watch: &Arc<Watch>,
    destination: &Destination,
    wishes: &Wishes,
    answered: Answered,
    client: Option<ClientEnd>,
) -> Result<Response<Download>, Error> {
    let Answered { response, mut lease, .. } = answered;
    let (mut parts, reply) = response.into_parts();
    if parts.status == StatusCode::SWITCHING_PROTOCOLS {
        let (Some(client), Reply::Http1(_, upstream), true) = (client, reply, switch(&mut parts, wishes))
        else {
            lease.finish(Outcome::Lost);
            return Err(Error::BadAnswer);
        };
        lease.upgraded();
        watch.enter(Phase::Tunnel);
        let idle = shard.timeouts[destination.timeouts].tunnel_idle;
        let limit = destination.backend.pool.drain_timeout();
        let spent = drain::spent(shard.stage.clone(), move || Some(limit));
        shard.keep_tunnel(tunnel::run(client, upstream, lease, idle, spent));
        return Ok(Response::from_parts(parts, Download::own(bytes::Bytes::new())));
    }
    if matches!(wishes.upgrade, Some(Upgrade::WebSocket(_))) && parts.status.is_success() {
        // To the client it would mean that the WebSocket is open (RFC 8441 section 5).
        lease.finish(Outcome::Completed);
        return Err(Error::BadAnswer);
    }
    if let Err(error) = response::prepare(&mut parts, wishes, reply.size_hint().exact()) {
        lease.finish(Outcome::Lost);
        return Err(error);
    }
    if parts.version == Version::HTTP_10 {
        watch.end_with_connection();
    }
    if let (Version::HTTP_2, Reply::Http1(_, upstream)) = (wishes.version, &reply) {
        upstream.meter.read_in_pieces(http2::PIECE);
    }
    let backend = Arc::clone(&destination.backend);
    let mut download = Download::from_worker(reply, lease, backend, Arc::clone(watch));
    download.finish_if_empty();
    Ok(Response::from_parts(parts, download))
}

/// Turns a worker's 101 into what tells the client that its tunnel begins. Not if nobody asked for it (RFC 9110 section
/// 15.2.2), or the worker does not understand what it agrees to.
fn switch(parts: &mut Parts, wishes: &Wishes) -> bool {
    let protocol = parts.headers.get(UPGRADE).cloned();
    request::strip(&mut parts.headers);
    match &wishes.upgrade {
        None => false,
        Some(Upgrade::Named(_)) => {
            parts.headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
            if let Some(protocol) = protocol {
                parts.headers.insert(UPGRADE, protocol);
            }
            true
        }
        Some(Upgrade::WebSocket(handshake)) => {
            parts.status = StatusCode::OK;
            handshake.is_proven(&mut parts.headers)
        }
    }
}
