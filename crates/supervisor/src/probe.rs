//! The two questions that a worker is asked: are you ready, and are you alive?
//!
//! Both are a request on a fresh connection. An idle connection or a helper thread could answer for a process whose
//! event loop is stuck; a fresh connection has to be accepted, read and answered by the loop itself. `OPTIONS *` is
//! HTTP's own ping (RFC 9110 section 9.3.7): every server answers it, by some status.
//!
//! In HTTP/2 it is the answer to the request that counts, by whatever status or reset. What comes before it (SETTINGS,
//! acknowledgements) may be the work of a thread that lives on beside a stuck application: gRPC's servers have such.

use crate::{Address, Probe, Protocol, Stream, owner};
use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderValue, TE, USER_AGENT};
use http::uri::{Authority, Scheme};
use http::{Method, Request, Uri, uri};
use rustix::process::Pid;
use std::pin::pin;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::Instant;

/// What is asked, and in which words.
#[derive(Clone, Debug)]
pub(crate) struct Question {
    pub(crate) probe: Probe,
    pub(crate) protocol: Protocol,
}

/// How a probe ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// An HTTP response began.
    Http,
    /// The worker speaks another version of HTTP than it is spoken to in.
    OtherVersion,
    /// The worker did something with the connection: it sent other bytes, or closed it.
    Other,
    /// No connection.
    None,
}

/// Asks once and waits for as long as it takes: a worker that thaws answers late, and that is worth knowing. Tells how
/// long it took, from the request to the first byte of its answer.
pub(crate) async fn ask(address: &Address, question: &Question) -> (Answer, Duration) {
    match address.connect().await {
        Ok(stream) => {
            let asked = Instant::now();
            let answer = match question.protocol {
                Protocol::Http1 => ask_in_http1(stream, &question.probe).await,
                Protocol::H2c => ask_in_http2(stream, &question.probe).await,
            };
            (answer, asked.elapsed())
        }
        Err(_) => (Answer::None, Duration::ZERO),
    }
}

/// Asks until there is an HTTP answer, and it is the answer of this worker, the leader of its group.
pub(crate) async fn await_ready(address: &Address, question: &Question, worker: &str, leader: Pid) {
    let (began, mut pause) = (Instant::now(), SHORTEST_PAUSE);
    let mut told = None;
    loop {
        let wrong = match (ask(address, question).await.0, address) {
            (Answer::Http, Address::Unix(_)) => return,
            (Answer::Http, Address::Tcp(tcp)) if owner::is_workers(tcp.port(), leader) => return,
            (Answer::Http, Address::Tcp(_)) => Some(STRANGER),
            (Answer::OtherVersion, _) => Some(match question.protocol {
                Protocol::Http1 => SPEAKS_HTTP_2,
                Protocol::H2c => SPEAKS_HTTP_1,
            }),
            (Answer::Other | Answer::None, _) => None,
        };
        if let Some(wrong) = wrong {
            told.get_or_insert_with(|| tracing::warn!(worker, %address, "{wrong}"));
        }
        tokio::time::sleep(pause).await;
        if began.elapsed() > USUAL_START {
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }
}

async fn ask_in_http1(mut stream: Stream, probe: &Probe) -> Answer {
    let request = format!(
        "{probe} HTTP/1.1\r\nHost: localhost\r\nUser-Agent: antifreeze-probe\r\nConnection: close\r\n\r\n"
    );
    if stream.write_all(request.as_bytes()).await.is_err() {
        return Answer::Other;
    }
    let mut start = [0; HTTP.len()];
    match stream.read_exact(&mut start).await {
        Ok(_) if start == *HTTP => Answer::Http,
        Ok(_) if start[3..] == SETTINGS => Answer::OtherVersion,
        Ok(_) | Err(_) => Answer::Other,
    }
}

async fn ask_in_http2(stream: Stream, probe: &Probe) -> Answer {
    let Ok((mut sender, connection)) = h2::client::handshake(stream).await else { return Answer::Other };
    let is_call = probe.method == Method::POST;
    let request = http2_head(probe, is_call);
    let Ok((answer, mut body)) = sender.send_request(request, !is_call) else { return Answer::Other };
    if is_call && body.send_data(Bytes::from_static(EMPTY_MESSAGE), true).is_err() {
        return Answer::Other;
    }
    let mut answer = pin!(async {
        match answer.await {
            Ok(_) => Answer::Http,
            // The request, and no other, was turned down: it was read.
            Err(error) if error.is_reset() && error.is_remote() => Answer::Http,
            Err(error) if error.is_go_away() && error.is_library() => Answer::OtherVersion,
            Err(_) => Answer::Other,
        }
    });
    tokio::select! {
        answer = &mut answer => answer,
        // Then the answer knows how.
        _ = connection => answer.await,
    }
}

/// A POST is a call of gRPC: its servers answer nothing else.
fn http2_head(probe: &Probe, is_call: bool) -> Request<()> {
    let mut target = uri::Parts::default();
    target.scheme = Some(Scheme::HTTP);
    target.authority = Some(Authority::from_static("localhost"));
    target.path_and_query = Some(probe.target.clone());
    let mut head = Request::new(());
    *head.method_mut() = probe.method.clone();
    *head.uri_mut() = Uri::from_parts(target).expect("it has all three parts");
    let headers = head.headers_mut();
    headers.insert(USER_AGENT, HeaderValue::from_static("antifreeze-probe"));
    if is_call {
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
        headers.insert(TE, HeaderValue::from_static("trailers"));
    }
    head
}

const HTTP: &[u8; 5] = b"HTTP/";

/// How a frame of that type goes on behind its length (RFC 9113 section 4.1): the first of every connection.
const SETTINGS: [u8; 2] = [4, 0];

/// A message of gRPC without a field: of grpc.health.v1, the question for the server as a whole.
const EMPTY_MESSAGE: &[u8] = &[0; 5];

const STRANGER: &str = "its port is answered by a process that is not of this worker, and gets no request";

const SPEAKS_HTTP_2: &str =
    "it speaks HTTP/2 and is spoken to in HTTP/1.1: say --protocol h2c (pools.NAME.protocol: h2c)";

const SPEAKS_HTTP_1: &str = "it does not speak HTTP/2, which --protocol h2c (pools.NAME.protocol) says: remove that, or have \
                             it speak HTTP/2 without TLS";

/// Nobody who waits for a new worker waits longer than this for us. To ask in vain takes one call, since nobody listens yet.
const SHORTEST_PAUSE: Duration = Duration::from_millis(15);
/// Most workers are ready after so long; others are asked less often from then on.
const USUAL_START: Duration = Duration::from_secs(10);
const LONGEST_PAUSE: Duration = Duration::from_millis(250);

#[cfg(test)]
mod tests {
    use super::*;
    use http::uri::PathAndQuery;

    #[test]
    fn a_probe_keeps_its_target_in_http_2_and_a_post_is_a_call() {
        for (probe, path, is_call) in [
            ("OPTIONS *", "*", false),
            ("GET /health?deep=1", "/health?deep=1", false),
            ("POST /grpc.health.v1.Health/Check", "/grpc.health.v1.Health/Check", true),
        ] {
            let head = http2_head(&probe.parse().expect("a probe"), is_call);
            assert_eq!(head.method().as_str(), probe.split(' ').next().unwrap_or_default());
            assert_eq!(head.uri().path_and_query().map(PathAndQuery::as_str), Some(path));
            assert_eq!(head.uri().authority().map(Authority::as_str), Some("localhost"));
            assert_eq!(head.headers().contains_key(CONTENT_TYPE), is_call);
        }
    }
}
