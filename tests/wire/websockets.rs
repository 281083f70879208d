//! WebSockets over HTTP/2 (RFC 8441): an extended CONNECT there is an upgrade of HTTP/1.1 here.

use crate::support::until;
use crate::wire::client::field;
use crate::wire::polite::{Polite, read, tell};
use crate::wire::rig::Rig;
use crate::wire::script::{Step, gate, path, send};
use bytes::Bytes;
use h2::client::ResponseFuture;
use h2::ext::Protocol;
use h2::{Reason, SendStream};
use hyper::{Request, StatusCode};

fn rig(address: &str, flags: &[&str]) -> Rig {
    Rig::with(address, &[&["--http2", "on"], flags].concat())
}

fn connect(polite: &mut Polite, steps: &[Step]) -> (ResponseFuture, SendStream<Bytes>) {
    let request = Request::builder()
        .method("CONNECT")
        .uri(format!("http://test{}", path(steps)))
        .extension(Protocol::from_static("websocket"))
        .header("sec-websocket-version", "13")
        .header("sec-websocket-protocol", "chat")
        .header("sec-websocket-key", "of the client")
        .body(());
    polite.send(request.expect("a good head"), false)
}

#[test]
fn a_tunnel_carries_every_byte_both_ways_and_each_end_on_its_own() {
    let rig = rig("{socket}", &[]);
    let mut polite = Polite::new(rig.program.connect());
    let (answer, mut stream) = connect(&mut polite, &[Step::Accept, send("early"), Step::Echo]);
    let bytes: Vec<u8> = (b'a'..=b'z').cycle().take(1_000_000).collect();
    stream.send_data(bytes.clone().into(), true).expect("it is open");
    let (head, echoed) = polite.run(async {
        let (head, mut echoed) = answer.await.expect("an answer").into_parts();
        (head, read(&mut echoed).await.expect("to an orderly end"))
    });
    assert_eq!(head.status, 200);
    for gone in ["connection", "upgrade", "sec-websocket-accept", "content-length", "transfer-encoding"] {
        assert!(!head.headers.contains_key(gone), "{gone}");
    }
    assert!(echoed.strip_prefix("early").is_some_and(|rest| rest.as_bytes() == bytes), "{}", echoed.len());
    let seen = rig.ledger()[0].text().to_ascii_lowercase();
    for (name, value) in [
        ("host", Some("test")),
        ("connection", Some("upgrade")),
        ("upgrade", Some("websocket")),
        ("sec-websocket-version", Some("13")),
        ("sec-websocket-protocol", Some("chat")),
        ("content-length", None),
        ("transfer-encoding", None),
    ] {
        assert_eq!(field(&seen, name), value, "{name}");
    }
    assert!(seen.starts_with("get /accept/"), "{seen}");
    assert_ne!(field(&seen, "sec-websocket-key"), Some("of the client"));
    rig.until_idle();
}

#[test]
fn interim_answers_come_before_the_tunnel() {
    let rig = rig("{socket}", &[]);
    let mut polite = Polite::new(rig.program.connect());
    let hints = send("HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\n");
    let (answer, mut stream) = connect(&mut polite, &[hints, Step::Accept, Step::Echo]);
    stream.send_data(Bytes::from_static(b"back"), true).expect("it is open");
    let told = polite.run(tell(answer)).expect("an answer");
    let interim: Vec<_> = told.interim.iter().map(|one| one.status().as_u16()).collect();
    assert_eq!((interim, told.status.as_u16(), &*told.body), (vec![103], 200, "back"));
}

#[test]
fn the_workers_end_leaves_the_clients_way_open() {
    let rig = rig("{socket}", &[]);
    let mut polite = Polite::new(rig.program.connect());
    let (answer, mut stream) = connect(&mut polite, &[Step::Accept, send("bye"), Step::Drain]);
    polite.run(async {
        let mut body = answer.await.expect("an answer").into_body();
        assert_eq!(body.data().await.expect("data").expect("data"), "bye");
        stream.send_data("still here".into(), true).expect("it is open");
        assert_eq!(read(&mut body).await.expect("an orderly end"), "");
    });
    assert!(rig.ledger()[0].text().ends_with("still here"));
    rig.until_idle();
}

#[test]
fn what_a_worker_said_before_it_closed_arrives_although_it_takes_nothing_more() {
    let rig = rig("{socket}", &[]);
    let mut polite = Polite::new(rig.program.connect());
    // More than the client lets come unread: the rest waits in the worker's socket when that one closes. A full socket of
    // this kind has room again below a quarter of its buffer, which is some 20 of these pieces, and not before.
    let words = Step::Repeat(1040, vec![b'w'; 1024]);
    let (answer, mut stream) = connect(&mut polite, &[Step::Accept, words, send("bye"), Step::Close]);
    let mut body = polite.run(answer).expect("an answer").into_body();
    until("the worker has closed", || {
        polite.ask("GET", "/other");
        rig.ledger()[0].ended.then_some(())
    });
    stream.send_data("too late".into(), false).expect("it is open");
    assert_eq!(polite.ask("GET", "/other").status, 200);
    let heard = polite.run(read(&mut body)).expect("an orderly end");
    assert!(heard.ends_with("wwbye") && heard.len() == 1040 * 1024 + 3, "{} bytes", heard.len());
    drop(stream);
    rig.until_idle();
}

#[test]
fn nothing_of_the_client_goes_to_the_worker_before_it_has_agreed() {
    let rig = rig("{socket}", &[]);
    let mut polite = Polite::new(rig.program.connect());
    let refusal = "HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno";
    let (answer, mut stream) = connect(&mut polite, &[gate("go"), send(refusal)]);
    stream.send_data("GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n".into(), false).expect("it is open");
    polite.ask("GET", "/other");
    rig.open("go");
    let (status, body) = polite.run(async {
        let (head, mut body) = answer.await.expect("an answer").into_parts();
        (head.status, read(&mut body).await.expect("whole"))
    });
    assert_eq!((status, &*body), (StatusCode::FORBIDDEN, "no"), "as every answer");
    assert!(!rig.ledger().iter().any(|row| row.text().contains("smuggled")));
}

#[test]
fn a_worker_that_does_not_prove_that_it_understands_is_a_502() {
    let rig = rig("{socket}", &[]);
    let mut polite = Polite::new(rig.program.connect());
    for answer in [
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
        "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
        "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: x\r\n\r\n",
    ] {
        let (told, _stream) = connect(&mut polite, &[send(answer)]);
        assert_eq!(polite.run(told).expect("an answer").status(), 502, "{answer}");
    }
    rig.until_idle();
}

#[test]
fn a_reset_stream_is_a_reset_connection_and_the_other_way_round() {
    let rig = rig("{port}", &[]);
    let mut polite = Polite::new(rig.program.connect());
    let (answer, mut stream) = connect(&mut polite, &[Step::Accept, Step::Drain]);
    polite.run(answer).expect("an answer");
    stream.send_reset(Reason::CANCEL);
    assert_eq!(polite.ask("GET", "/other").status, 200);
    until("the worker's connection is closed", || rig.ledger()[0].ended.then_some(()));
    let (answer, mut stream) = connect(&mut polite, &[Step::Accept, Step::Take(3), Step::Reset]);
    let ended = polite.run(async {
        let mut body = answer.await.expect("an answer").into_body();
        stream.send_data("end".into(), false).expect("it is open");
        body.data().await.expect("no orderly end").expect_err("no data")
    });
    assert_eq!(ended.reason(), Some(Reason::CANCEL));
    rig.until_idle();
}

#[test]
fn a_tunnel_keeps_its_connection_open_and_ends_when_nobody_speaks() {
    let rig =
        rig("{socket}", &["--keep-alive-timeout", "1s", "--stream-timeout", "1s", "--tunnel-timeout", "3s"]);
    let mut polite = Polite::new(rig.program.connect());
    let (answer, _stream) = connect(&mut polite, &[Step::Accept, send("hi"), Step::Echo]);
    let began = std::time::Instant::now();
    let ended = polite.run(async {
        let mut body = answer.await.expect("an answer").into_body();
        assert_eq!(body.data().await.expect("data").expect("data"), "hi");
        body.data().await.expect("no orderly end").expect_err("no data")
    });
    assert_eq!(ended.reason(), Some(Reason::CANCEL));
    assert!(began.elapsed().as_millis() >= 2_900, "{:?}", began.elapsed());
    rig.until_idle();
}
