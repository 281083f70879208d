//! HTTP/2 to clients (RFC 9113): what becomes of it in HTTP/1.1, what is refused, and how streams and connections end.

use crate::support::{antifreeze, lines_of, until};
use crate::wire::client::{Client, End, field};
use crate::wire::frames::*;
use crate::wire::polite::{Polite, tell};
use crate::wire::rig::Rig;
use crate::wire::script::{Step, gate, path, send};
use crate::wire::timeouts::{timed, timed_by};
use hyper::HeaderMap;
use hyper::header::{HeaderName, HeaderValue};
use std::io::Write;
use std::time::Duration;

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

fn rig(flags: &[&str]) -> Rig {
    Rig::with("{socket}", &[&["--http2", "on"], flags].concat())
}

fn peer(rig: &Rig) -> Peer {
    Peer::new(rig.program.connect())
}

#[test]
fn a_head_becomes_one_of_http_1() {
    let rig = rig(&[]);
    let mut polite = Polite::new(rig.program.connect());
    let fields = [
        ("cookie", "a=1"),
        ("x-a", "1"),
        ("cookie", "b=2"),
        ("x-a", "2"),
        ("te", "trailers"),
        ("cookie", "c=3"),
        ("via", "1.1 other"),
        ("x-forwarded-for", "10.0.0.1"),
        ("expect", "100-continue"),
    ];
    let told = polite.ask_with("GET", "/a?b=c%20d", &fields, None).expect("an answer");
    assert_eq!(told.status, 200);
    let seen = &rig.ledger()[0].text();
    assert!(seen.starts_with("GET /a?b=c%20d HTTP/1.1\r\n"), "{seen}");
    let seen = seen.to_ascii_lowercase();
    for (name, value) in [
        ("host", "test"),
        ("cookie", "a=1; b=2; c=3"),
        ("te", "trailers"),
        ("connection", "te"),
        ("x-forwarded-for", "127.0.0.1"),
        ("x-forwarded-proto", "http"),
        ("x-forwarded-host", "test"),
        ("expect", "100-continue"),
    ] {
        assert_eq!(field(&seen, name), Some(value), "{seen}");
    }
    assert!(seen.contains("via: 1.1 other\r\nvia: 2.0 antifreeze\r\n"), "{seen}");
    assert!(seen.contains("x-a: 1\r\nx-a: 2\r\n"), "{seen}");
    assert_eq!(seen.matches("cookie:").count(), 1, "{seen}");
}

#[test]
fn what_is_malformed_is_refused_and_never_forwarded() {
    let rig = rig(&[]);
    const METHOD: (&str, &str) = (":method", "GET");
    const SCHEME: (&str, &str) = (":scheme", "http");
    const AUTHORITY: (&str, &str) = (":authority", "test");
    const PATH: (&str, &str) = (":path", "/bad");
    let heads: &[&[(&str, &str)]] = &[
        // Section 8.3: pseudo-fields.
        &[SCHEME, AUTHORITY, PATH],
        &[METHOD, AUTHORITY, PATH],
        &[METHOD, SCHEME, AUTHORITY],
        &[METHOD, METHOD, SCHEME, AUTHORITY, PATH],
        &[METHOD, SCHEME, AUTHORITY, PATH, PATH],
        &[METHOD, SCHEME, AUTHORITY, AUTHORITY, PATH],
        &[METHOD, SCHEME, PATH, ("x-a", "1"), AUTHORITY],
        &[METHOD, SCHEME, AUTHORITY, PATH, (":status", "200")],
        &[METHOD, SCHEME, AUTHORITY, PATH, (":unknown", "1")],
        &[METHOD, SCHEME, AUTHORITY, PATH, (":protocol", "websocket")],
        &[METHOD, SCHEME, AUTHORITY, (":path", "")],
        &[METHOD, SCHEME, AUTHORITY, (":path", "bad")],
        &[METHOD, SCHEME, AUTHORITY, (":path", "*")],
        &[METHOD, SCHEME, AUTHORITY, (":path", "/bad x")],
        &[METHOD, SCHEME, AUTHORITY, (":path", "/bad\r\nx: y")],
        &[METHOD, SCHEME, (":authority", "user@test"), PATH],
        &[METHOD, SCHEME, (":authority", "a,b"), PATH],
        &[METHOD, SCHEME, (":authority", "a b"), PATH],
        &[METHOD, SCHEME, (":authority", ""), PATH],
        &[METHOD, SCHEME, PATH],
        &[(":method", "BAD METHOD"), SCHEME, AUTHORITY, PATH],
        &[METHOD, SCHEME, AUTHORITY, PATH, ("host", "other")],
        &[METHOD, SCHEME, AUTHORITY, PATH, ("host", "test"), ("host", "other")],
        &[METHOD, SCHEME, PATH, ("host", "a"), ("host", "a")],
        // Section 8.2: fields.
        &[METHOD, SCHEME, AUTHORITY, PATH, ("X-A", "1")],
        &[METHOD, SCHEME, AUTHORITY, PATH, ("", "1")],
        &[METHOD, SCHEME, AUTHORITY, PATH, ("x a", "1")],
        &[METHOD, SCHEME, AUTHORITY, PATH, ("x-a:", "1")],
        &[METHOD, SCHEME, AUTHORITY, PATH, ("x-a", "1\r\nx-b: 2")],
        &[METHOD, SCHEME, AUTHORITY, PATH, ("x-a", "1\n")],
        &[METHOD, SCHEME, AUTHORITY, PATH, ("x-a", "\0")],
        &[METHOD, SCHEME, AUTHORITY, PATH, ("x-a", " 1")],
        &[METHOD, SCHEME, AUTHORITY, PATH, ("x-a", "1\t")],
        &[METHOD, SCHEME, AUTHORITY, PATH, ("connection", "close")],
        &[METHOD, SCHEME, AUTHORITY, PATH, ("keep-alive", "1")],
        &[METHOD, SCHEME, AUTHORITY, PATH, ("proxy-connection", "1")],
        &[METHOD, SCHEME, AUTHORITY, PATH, ("transfer-encoding", "chunked")],
        &[METHOD, SCHEME, AUTHORITY, PATH, ("upgrade", "h2c")],
        &[METHOD, SCHEME, AUTHORITY, PATH, ("te", "gzip")],
        // Section 8.1.1: the length, of a request that is over with its head.
        &[METHOD, SCHEME, AUTHORITY, PATH, ("content-length", "10")],
        &[METHOD, SCHEME, AUTHORITY, PATH, ("content-length", "x")],
        &[METHOD, SCHEME, AUTHORITY, PATH, ("content-length", "0"), ("content-length", "1")],
        &[METHOD, SCHEME, AUTHORITY, PATH, ("content-length", "0"), ("content-length", "0")],
    ];
    for head in heads {
        let mut peer = peer(&rig);
        peer.send(&[Frame::new(HEADERS, END_STREAM | END_HEADERS, 1, block(head)), Frame::get(3, "/good")]);
        let verdict = peer.verdict(1);
        let refused = match verdict.kind {
            HEADERS => verdict.status() == 400,
            _ => verdict.code() == PROTOCOL_ERROR,
        };
        assert!(refused, "{head:?}: {verdict:?}");
        // What is wrong within a field, the h2 library takes for an error of the whole connection.
        if verdict.kind != GOAWAY {
            assert_eq!(peer.verdict(3).status(), 200, "the connection goes on after {head:?}");
        }
    }
    let executed = rig.executed();
    assert!(executed.iter().all(|line| line.contains("/good")), "{executed:?}");
}

#[test]
fn what_only_a_gateway_finds_malformed_resets_its_stream_and_is_logged() {
    let mut rig = rig(&["--access-log", "stderr"]);
    let head = |path, fields: &[(&str, &str)]| {
        Frame::new(HEADERS, END_STREAM | END_HEADERS, 1, request("GET", path, fields))
    };
    for frame in [
        head("/space", &[("x-a", " 1")]),
        head("/tab", &[("x-a", "1\t")]),
        head("/host", &[("host", "other")]),
        head("/host-of-another-port", &[("host", "test:81")]),
        head("/lengths", &[("content-length", "0"), ("content-length", "0")]),
        Frame::new(HEADERS, END_HEADERS, 1, block(&[(":method", "CONNECT")])),
    ] {
        let mut peer = peer(&rig);
        peer.send(&[frame.clone(), Frame::get(3, "/good")]);
        let verdict = peer.verdict(1);
        assert_eq!((verdict.kind, verdict.code()), (RST_STREAM, PROTOCOL_ERROR), "{frame:?}");
        assert_eq!(peer.verdict(3).status(), 200);
    }
    let line = rig.program.wait_for_line("GET /host ");
    assert!(line.contains("\"GET /host HTTP/2.0\" 400") && line.contains("reason=malformed"), "{line}");
    // These say the same of the host (RFC 3986 section 6.2.3).
    for (authority, host) in
        [("test", "TEST:80"), ("test:80", "test"), ("test:", "test"), ("[::1]:80", "[::1]")]
    {
        let mut peer = peer(&rig);
        let fields = [(":method", "GET"), (":scheme", "http"), (":authority", authority), (":path", "/same")];
        let fields = [&fields[..], &[("host", host)]].concat();
        peer.send(&[Frame::new(HEADERS, END_STREAM | END_HEADERS, 1, block(&fields))]);
        assert_eq!(peer.verdict(1).status(), 200, "{authority} and {host}");
    }
}

#[test]
fn a_body_that_is_not_as_long_as_its_head_said_is_reset_and_broken_off_at_the_worker() {
    let rig = rig(&[]);
    let ten = &[("content-length", "10")];
    let target = path(&[Step::Body, send(OK)]);
    let trailers = Frame::new(HEADERS, END_STREAM | END_HEADERS, 1, block(&[("x-a", "1")]));
    for body in [
        vec![Frame::new(DATA, END_STREAM, 1, "12345")],
        vec![Frame::new(DATA, END_STREAM, 1, "12345678901")],
        vec![Frame::new(DATA, 0, 1, "12345"), trailers],
    ] {
        let mut peer = peer(&rig);
        peer.send(&[Frame::post(1, &target, ten)]).send(&body);
        let verdict = peer.verdict(1);
        assert_eq!((verdict.kind, verdict.code()), (RST_STREAM, PROTOCOL_ERROR), "{body:?}");
        rig.until_idle();
    }
    until("its connections are closed", || rig.ledger().iter().all(|row| row.ended).then_some(()));
}

#[test]
fn a_body_in_small_pieces_that_its_worker_takes_late_is_no_flood() {
    let rig = rig(&[]);
    let target = path(&[gate("take"), Step::Body, send(OK)]);
    let mut peer = peer(&rig);
    peer.send(&[Frame::post(1, &target, &[])]);
    // As a client of gRPC streams messages: one in each frame.
    peer.send(&vec![Frame::new(DATA, 0, 1, "thirteen byte"); 5_000]).sync();
    peer.send(&[Frame::new(DATA, END_STREAM, 1, "")]);
    rig.open("take");
    assert_eq!(peer.verdict(1).status(), 200);
}

#[test]
fn faults_of_frames_end_the_connection_by_the_code_that_they_have() {
    let rig = rig(&[]);
    let hangs = &path(&[Step::Hang]);
    let waits = &path(&[Step::Body, send(OK)]);
    let get = || Frame::get(1, hangs);
    let post = || Frame::post(1, waits, &[]);
    let settings = |payload: &[u8]| Frame::new(SETTINGS, 0, 0, payload);
    for (frames, code) in [
        // Lengths (sections 4.2 and 6).
        (vec![settings(&[0; 7])], FRAME_SIZE_ERROR),
        (vec![Frame::new(SETTINGS, ACK, 0, "x")], FRAME_SIZE_ERROR),
        (vec![Frame::new(PING, 0, 0, "short")], FRAME_SIZE_ERROR),
        (vec![Frame::new(GOAWAY, 0, 0, "short")], FRAME_SIZE_ERROR),
        (vec![Frame::new(WINDOW_UPDATE, 0, 0, "one")], FRAME_SIZE_ERROR),
        (vec![get(), Frame::new(RST_STREAM, 0, 1, "one")], FRAME_SIZE_ERROR),
        (vec![get(), Frame::new(PRIORITY, 0, 1, "four")], FRAME_SIZE_ERROR),
        (vec![post(), Frame::new(DATA, 0, 1, [b'x'; 16_385])], FRAME_SIZE_ERROR),
        // Windows (section 6.5.2).
        (vec![settings(&[0, 4, 0x80, 0, 0, 0])], FLOW_CONTROL_ERROR),
        // What was ended (section 5.1): by its request, by a reset, and with its answer.
        (vec![get(), Frame::new(DATA, 0, 1, "late")], STREAM_CLOSED),
        (vec![get(), get()], STREAM_CLOSED),
        (vec![post(), Frame::reset(1, CANCEL), post()], STREAM_CLOSED),
        (vec![post(), Frame::reset(1, CANCEL), Frame::new(DATA, 0, 1, "late")], STREAM_CLOSED),
        (vec![Frame::get(3, hangs), get()], PROTOCOL_ERROR),
        // Fields (section 4.3): a name that is missing, a number that names nothing, a size in the wrong place.
        (vec![Frame::new(HEADERS, END_STREAM | END_HEADERS, 1, [0x40])], COMPRESSION_ERROR),
        (vec![Frame::new(HEADERS, END_STREAM | END_HEADERS, 1, [0x82, 0x80])], COMPRESSION_ERROR),
        (vec![Frame::new(HEADERS, END_STREAM | END_HEADERS, 1, [0x82, 0x20])], COMPRESSION_ERROR),
        (
            vec![Frame::new(HEADERS, 0, 1, [0x40]), Frame::new(CONTINUATION, END_HEADERS, 1, "")],
            COMPRESSION_ERROR,
        ),
        // What no client may send (section 8.4), whole or not.
        (vec![get(), Frame::new(PUSH_PROMISE, 0, 1, [0, 0, 0, 2])], PROTOCOL_ERROR),
        (vec![get(), Frame::new(PUSH_PROMISE, END_HEADERS, 1, [0, 0, 0, 2])], PROTOCOL_ERROR),
    ] {
        let mut peer = peer(&rig);
        peer.send(&frames);
        assert_eq!(peer.wait(GOAWAY).code(), code, "{frames:?}");
        assert_eq!(peer.rest(), [], "{frames:?}");
    }
    // A client that does not begin with its settings (section 3.4).
    let mut early = Peer::silent(rig.program.connect());
    early.stream.write_all(&[PREFACE, &Frame::new(PING, 0, 0, [0; 8]).bytes()].concat()).expect("it reads");
    assert_eq!(early.wait(GOAWAY).code(), PROTOCOL_ERROR);
    rig.until_idle();
}

#[test]
fn a_closed_stream_is_an_ended_one() {
    let rig = rig(&[]);
    let mut peer = peer(&rig);
    peer.send(&[Frame::get(1, "/")]);
    assert!(peer.wait(DATA).ends_stream());
    // These may have crossed its end (section 5.1).
    peer.send(&[Frame::window(1, 1), Frame::reset(1, CANCEL), Frame::new(PRIORITY, 0, 1, [0, 0, 0, 0, 16])]);
    peer.sync().send(&[Frame::get(1, "/")]);
    assert_eq!(peer.wait(GOAWAY).code(), STREAM_CLOSED);
    assert_eq!(rig.executed().len(), 1);
}

#[test]
fn what_came_before_a_fault_is_taken_and_what_comes_behind_it_is_not() {
    let rig = rig(&[]);
    let mut peer = peer(&rig);
    let fault = Frame::new(PING, 0, 0, "short");
    peer.send(&[Frame::get(1, "/before"), fault, Frame::get(3, "/behind")]);
    let told = peer.wait(GOAWAY);
    assert_eq!((told.code(), &told.payload[..4]), (FRAME_SIZE_ERROR, &1_u32.to_be_bytes()[..]));
    assert!(!rig.executed().iter().any(|line| line.contains("behind")));
}

#[test]
fn pseudo_fields_and_framing_in_trailers_go_no_further() {
    let rig = rig(&[]);
    let target = path(&[Step::Body, send(OK)]);
    let path_by_number: &[u8] = b"\x04\x06/other";
    for fields in [&block(&[(":path", "/other")])[..], &block(&[(":unknown", "1")]), path_by_number] {
        let mut peer = peer(&rig);
        peer.send(&[Frame::post(1, &target, &[]), Frame::new(HEADERS, END_STREAM | END_HEADERS, 1, fields)]);
        assert_eq!(peer.verdict(1).code(), PROTOCOL_ERROR);
        rig.until_idle();
    }
    // One that the client stored on the connection before, the h2 library drops.
    let mut peer = peer(&rig);
    let stored = [&[0x82, 0x86, 0x41, 4][..], b"test", &[0x44, 6], b"/other"].concat();
    peer.send(&[Frame::new(HEADERS, END_STREAM | END_HEADERS, 1, stored)]);
    assert_eq!(peer.verdict(1).status(), 200);
    let trailers = Frame::new(HEADERS, END_STREAM | END_HEADERS, 5, [0xbe]);
    peer.send(&[Frame::post(5, &target, &[]), trailers]);
    assert_eq!(peer.verdict(5).status(), 200);
    let seen = rig.ledger().last().expect("it came").text();
    assert!(seen.ends_with("\r\n\r\n0\r\n\r\n"), "{seen}");
    let fields = block(&[("content-length", "5"), ("host", "other"), ("x-checked", "1")]);
    peer.send(&[
        Frame::post(7, &target, &[("trailer", "content-length, host, x-checked")]),
        Frame::new(DATA, 0, 7, "body"),
        Frame::new(HEADERS, END_STREAM | END_HEADERS, 7, fields),
    ]);
    assert_eq!(peer.verdict(7).status(), 200);
    let seen = rig.ledger().last().expect("it came").text().to_ascii_lowercase();
    let body = seen.rsplit("trailer: content-length, host, x-checked\r\n").next().unwrap_or_default();
    let (_, body) = body.split_once("\r\n\r\n").expect("a head");
    assert_eq!(body, "4\r\nbody\r\n0\r\nx-checked: 1\r\n\r\n");
}

#[test]
fn answers_pass_through_with_trailers_and_without_what_http_1_alone_knows() {
    let rig = rig(&[]);
    let mut polite = Polite::new(rig.program.connect());
    let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nConnection: close, x-mine\r\nKeep-Alive: timeout=5\r\n\
                   X-Mine: 1\r\nUpgrade: h2c\r\nTrailer: x-sum\r\nSet-Cookie: a\r\nSet-Cookie: b\r\n\r\n\
                   5\r\nhello\r\n0\r\nX-Sum: 7\r\nContent-Length: 9\r\n\r\n";
    let told = polite.ask("GET", &path(&[send(chunked)]));
    assert_eq!((told.status.as_u16(), &*told.body), (200, "hello"));
    for gone in ["connection", "keep-alive", "transfer-encoding", "upgrade", "x-mine"] {
        assert!(!told.headers.contains_key(gone), "{gone}: {:?}", told.headers);
    }
    assert!(told.headers.contains_key("date"), "{:?}", told.headers);
    assert_eq!(told.headers.get_all("set-cookie").iter().collect::<Vec<_>>(), ["a", "b"]);
    let trailers = told.trailers.expect("there were some");
    assert_eq!((trailers.len(), &trailers["x-sum"]), (1, &HeaderValue::from_static("7")));

    let told = polite.ask("GET", &path(&[send("HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n")]));
    assert_eq!((told.status.as_u16(), told.headers.get("content-length")), (204, None));
    let told = polite.ask("GET", &path(&[send("HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n")]));
    assert_eq!(
        (told.status.as_u16(), &told.headers["content-length"]),
        (304, &HeaderValue::from_static("5"))
    );
    let told = polite.ask("HEAD", &path(&[send("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n")]));
    assert_eq!((&*told.body, &told.headers["content-length"]), ("", &HeaderValue::from_static("5")));
    // Nobody asked for it, and HTTP/2 knows no such thing.
    let told = polite.ask("GET", &path(&[Step::Accept]));
    assert_eq!(told.status, 502);
}

#[test]
fn errors_of_the_proxy_itself_fit_http_2() {
    let rig = rig(&["--body-limit", "1KiB", "--access-log", "stderr"]);
    let mut polite = Polite::new(rig.program.connect());
    let told = polite.ask("GET", &path(&[Step::Close]));
    assert_eq!((told.status.as_u16(), told.headers.get("connection")), (502, None));
    assert!(told.body.contains("\"reason\":\"lost\""), "{}", told.body);
    let told = polite.ask("HEAD", &path(&[Step::Close]));
    assert_eq!((told.status.as_u16(), &*told.body), (502, ""));
    let told = polite.ask_with("POST", "/", &[], Some((&[b'x'; 2000], HeaderMap::new()))).expect("an answer");
    assert_eq!((told.status.as_u16(), told.headers.get("connection")), (413, None));
    let many: Vec<(String, String)> = (0..101).map(|n| (format!("x-{n}"), String::new())).collect();
    let many: Vec<(&str, &str)> = many.iter().map(|(name, value)| (&**name, &**value)).collect();
    assert_eq!(polite.ask_with("GET", "/many", &many, None).expect("an answer").status, 431);
    let crumbs = vec![("cookie", "a=1"); 200];
    assert_eq!(polite.ask_with("GET", "/crumbs", &crumbs, None).expect("an answer").status, 200);
    let long = "x".repeat(100_000);
    assert_eq!(polite.ask_with("GET", "/long", &[("x-long", &long)], None).expect("an answer").status, 431);
    let mut program = rig.program;
    let line = program.wait_for_line("/many");
    assert!(line.contains("\"GET /many HTTP/2.0\" 431") && line.contains("reason=head_too_large"), "{line}");
}

#[test]
fn an_answer_that_comes_before_the_end_of_its_request_is_whole_and_the_rest_is_taken_for_a_while() {
    let rig = rig(&[]);
    let mut peer = peer(&rig);
    let early = path(&[send(OK), Step::Drain]);
    peer.send(&[Frame::post(1, &early, &[]), Frame::new(DATA, 0, 1, [b'x'; 1000])]);
    assert_eq!(peer.verdict(1).status(), 200);
    let data = peer.wait(DATA);
    assert!(data.payload == b"ok" && data.ends_stream(), "{data:?}");
    // More than the windows of stream and connection hold.
    for _ in 0..200 {
        peer.send(&[Frame::new(DATA, 0, 1, [b'x'; 10_000])]).sync();
    }
    let told = peer.wait(RST_STREAM);
    assert_eq!(told.code(), NO_ERROR, "whoever goes on is told to stop (section 8.1)");
    peer.send(&[Frame::get(3, "/")]);
    assert_eq!(peer.verdict(3).status(), 200);
}

#[test]
fn a_reset_stream_ends_its_request_at_the_worker_and_no_other() {
    let rig = rig(&[]);
    let mut peer = peer(&rig);
    let waits = path(&[gate("go"), send(OK)]);
    peer.send(&[
        Frame::get(1, &waits),
        Frame::get(3, &path(&[Step::Hang])),
        Frame::post(5, &path(&[Step::Hang]), &[]),
    ]);
    rig.until_held(3);
    peer.send(&[Frame::reset(3, CANCEL), Frame::reset(5, CANCEL)]);
    rig.until_held(1);
    rig.open("go");
    assert_eq!(peer.verdict(1).status(), 200);
    rig.until_idle();
    // In the middle of an answer.
    let begun = path(&[send("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\npart"), Step::Hang]);
    peer.send(&[Frame::get(7, &begun)]);
    peer.wait(DATA);
    peer.send(&[Frame::reset(7, CANCEL)]);
    rig.until_idle();
    // With the connection.
    peer.send(&[Frame::get(9, &begun), Frame::get(11, &path(&[Step::Hang]))]);
    rig.until_held(2);
    drop(peer);
    rig.until_idle();
}

#[test]
fn an_answer_that_breaks_off_is_a_reset_stream_and_the_others_go_on() {
    let rig = rig(&[]);
    let mut polite = Polite::new(rig.program.connect());
    let broken = path(&[send("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\npart"), Step::Close]);
    let error = polite.ask_with("GET", &broken, &[], None).expect_err("it is not whole");
    assert_eq!(error.reason(), Some(h2::Reason::INTERNAL_ERROR));
    assert_eq!(polite.ask("GET", "/").status, 200);
}

#[test]
fn more_streams_than_the_limit_are_refused_and_may_come_again() {
    let rig = rig(&["--stream-limit", "2"]);
    let mut peer = peer(&rig);
    let waits = path(&[gate("go"), send(OK)]);
    // The client counts only what it knows: it has acknowledged the limit.
    peer.send(&[Frame::new(SETTINGS, ACK, 0, "")]).sync();
    peer.send(&[Frame::get(1, &waits), Frame::get(3, &waits), Frame::get(5, "/refused")]);
    let refused = peer.verdict(5);
    assert_eq!((refused.kind, refused.code()), (RST_STREAM, REFUSED_STREAM));
    rig.open("go");
    assert_eq!((peer.verdict(1).status(), peer.verdict(3).status()), (200, 200));
    peer.sync().send(&[Frame::get(7, "/again")]);
    assert_eq!(peer.verdict(7).status(), 200);
    assert!(!rig.executed().iter().any(|line| line.contains("refused")));
}

#[test]
fn a_drain_says_goodbye_and_lets_open_streams_finish() {
    let mut rig = rig(&[]);
    let (mut busy, mut idle) = (peer(&rig), peer(&rig));
    idle.send(&[Frame::get(1, "/")]).verdict(1);
    busy.send(&[Frame::get(1, &path(&[gate("go"), send(OK)]))]);
    rig.until_held(1);
    rig.program.signal("TERM");
    assert_eq!(idle.wait(GOAWAY).code(), NO_ERROR);
    let told = busy.wait(GOAWAY);
    assert_eq!((told.code(), &told.payload[..4]), (NO_ERROR, &0x7fff_ffff_u32.to_be_bytes()[..]));
    // What was on its way already is served (section 6.8).
    busy.send(&[Frame::get(3, "/late")]);
    assert_eq!(busy.verdict(3).status(), 200);
    // The idle one never answers, and holds nobody up.
    drop(idle.rest());
    rig.open("go");
    assert_eq!(busy.verdict(1).status(), 200);
    drop(busy.rest());
    assert_eq!(rig.program.wait().code(), Some(0));
}

#[test]
fn a_ping_behind_a_goodbye_is_answered_and_the_connection_ends_soon() {
    let rig = rig(&["--threads", "1"]);
    let mut other = peer(&rig);
    // The last stream of the server that it knows, and a code that nobody knows.
    let goodbye = Frame::new(GOAWAY, 0, 0, [0, 0, 0, 0, 0, 0, 0, 0xff]).bytes();
    for cut in [0, 1, 3, 4, 9, 16] {
        let mut leaving = peer(&rig);
        leaving.send(&[Frame::get(1, "/")]).verdict(1);
        for piece in [&goodbye[..cut], &goodbye[cut..]] {
            leaving.stream.write_all(piece).expect("the proxy reads");
            // The thread that answers this has read what came before.
            other.sync().sync();
        }
        leaving.sync();
        assert_eq!(leaving.wait(GOAWAY).code(), NO_ERROR, "cut at {cut}");
        assert_eq!(leaving.rest(), []);
    }
    // What is open is answered, and then it is the same.
    let mut busy = peer(&rig);
    busy.send(&[Frame::get(1, &path(&[gate("go"), send(OK)]))]);
    rig.until_held(1);
    busy.stream.write_all(&goodbye).expect("the proxy reads");
    busy.sync();
    rig.open("go");
    assert_eq!(busy.verdict(1).status(), 200);
    busy.sync();
    assert_eq!(busy.wait(GOAWAY).code(), NO_ERROR);
    assert_eq!(busy.rest(), []);
    // Who has left as it said it would has no place any more.
    let mut gone = peer(&rig);
    gone.stream.write_all(&goodbye).expect("the proxy reads");
    gone.sync();
    drop((gone, other));
    until("nobody is left", || {
        (rig.program.ask("/metrics").body.contains("antifreeze_client_connections 0")).then_some(())
    });
}

#[test]
fn silent_clients_are_told_to_leave() {
    let rig = rig(&["--header-timeout", "1s", "--keep-alive-timeout", "1s"]);
    let limit = Duration::from_secs(1);
    for start in [&b""[..], b"P", b"PRI * HT", PREFACE] {
        let end = timed_by(limit, || Client::new(rig.program.connect()).send(start).end());
        assert!(matches!(end, End::Closed(_) | End::Reset), "{start:?}: {end:?}");
    }
    let (told, rest) = timed_by(limit, || {
        let mut first = peer(&rig);
        (first.wait(GOAWAY), first.rest())
    });
    assert_eq!((told.code(), rest), (NO_ERROR, vec![]));
    let (told, rest) = timed_by(limit, || {
        let mut later = peer(&rig);
        later.send(&[Frame::get(1, "/")]).verdict(1);
        (later.wait(GOAWAY), later.rest())
    });
    assert_eq!((told.code(), rest), (NO_ERROR, vec![]));
    // Half a head and frames that ask for nothing keep nobody's connection open.
    timed_by(limit, || peer(&rig).send(&[Frame::new(HEADERS, 0, 1, request("GET", "/half", &[]))]).rest());
    until("nobody is left", || {
        (rig.program.ask("/metrics").body.contains("antifreeze_client_connections 0")).then_some(())
    });
    assert!(!rig.executed().iter().any(|line| line.contains("half")));
}

#[test]
fn each_stream_has_its_own_time_limits() {
    let flags = ["--body-timeout", "500ms", "--response-timeout", "2s", "--stream-timeout", "500ms"];
    let rig = rig(&flags);
    let mut peer = peer(&rig);
    let begun = [Frame::post(1, &path(&[Step::Body, send(OK)]), &[]), Frame::new(DATA, 0, 1, "part")];
    assert_eq!(timed(|| peer.send(&begun).verdict(1)).status(), 408);
    let hangs = [Frame::get(3, &path(&[Step::Hang]))];
    assert_eq!(timed_by(Duration::from_secs(2), || peer.send(&hangs).verdict(3)).status(), 504);
    let begun = path(&[send("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\npart"), Step::Hang]);
    timed(|| {
        assert_eq!(peer.send(&[Frame::get(5, &begun)]).verdict(5).status(), 200);
        assert_eq!(peer.verdict(5).kind, RST_STREAM);
    });
    // The client takes nothing.
    let long =
        [send("HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n"), Step::Repeat(1000, vec![b'x'; 1000])];
    timed(|| {
        assert_eq!(peer.send(&[Frame::get(7, &path(&long))]).verdict(7).status(), 200);
        assert_eq!(peer.verdict(7).kind, RST_STREAM);
    });
    rig.until_idle();
    peer.send(&[Frame::window(0, 1_000_000), Frame::get(9, "/")]);
    assert_eq!(peer.verdict(9).status(), 200, "the connection goes on");
}

#[test]
fn a_slow_reader_that_reads_is_served_to_the_end() {
    let rig = rig(&["--stream-timeout", "3s"]);
    let mut peer = peer(&rig);
    let long = [send("HTTP/1.1 200 OK\r\nContent-Length: 70000\r\n\r\n"), Step::Repeat(70, vec![b'x'; 1000])];
    peer.send(&[Frame::get(1, &path(&long))]);
    let mut received = 0;
    while received < 70_000 {
        let data = peer.wait(DATA);
        received += data.payload.len();
        if received >= 65_535 {
            until("a while has passed", || rig.program.get("/").status.eq(&200).then_some(()));
            peer.send(&[Frame::window(0, 500), Frame::window(1, 500)]);
        }
    }
    assert_eq!(received, 70_000);
}

#[test]
fn connect_is_refused_but_for_websockets() {
    let rig = rig(&[]);
    let mut peer = peer(&rig);
    let plain = block(&[(":method", "CONNECT"), (":authority", "other:443")]);
    let masque = block(&[
        (":method", "CONNECT"),
        (":protocol", "connect-udp"),
        (":scheme", "http"),
        (":authority", "test"),
        (":path", "/"),
    ]);
    peer.send(&[Frame::new(HEADERS, END_HEADERS, 1, plain), Frame::new(HEADERS, END_HEADERS, 3, masque)]);
    assert_eq!((peer.verdict(1).status(), peer.verdict(3).status()), (405, 501));
    assert_eq!(rig.executed(), [""; 0]);
}

#[test]
fn without_tls_http_2_is_for_those_who_begin_with_it() {
    let rig = rig(&[]);
    let (code, printed) =
        rig.curl("/x", &["--http2-prior-knowledge", "-o", "/dev/null", "-w", "%{http_version}"]);
    assert_eq!((code, &*printed), (0, "2"));
    // Who asks for an upgrade goes on with HTTP/1.1 (section 3.1).
    let (code, printed) = rig.curl("/x", &["--http2", "-o", "/dev/null", "-w", "%{http_version}"]);
    assert_eq!((code, &*printed), (0, "1.1"));
    for start in ["P", "PR", "PROPFIND / HT"] {
        let mut client = rig.client();
        client.send(start);
        let rest = &"PROPFIND / HTTP/1.1\r\nHost: test\r\n\r\n"[start.len()..];
        let head = client
            .send(
                rest.replace("OPFIND", if start == "P" { "ROPFIND" } else { "OPFIND" })
                    .replace("RROP", "ROP"),
            )
            .head();
        assert!(head.starts_with("HTTP/1.1 200 "), "{start}: {head}");
    }
    let mut wrong = Client::new(rig.program.connect());
    wrong.send("PRI * HTTP/3.0\r\n\r\n");
    assert!(matches!(wrong.end(), End::Closed(_) | End::Reset));
}

#[test]
fn http_2_without_tls_is_off_unless_it_is_wanted() {
    let rig = Rig::start();
    let mut client = rig.client();
    client.send(PREFACE);
    // Hyper knows it, and that no answer of HTTP/1 would be understood.
    assert!(matches!(client.end(), End::Closed(nothing) if nothing.is_empty()));
    let output = antifreeze(&["check", "--http2", "maybe", "--", "true"]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains("'maybe' is none of auto, on and off"), "{said}");
}

#[test]
fn many_uploads_and_downloads_share_a_connection() {
    let rig = rig(&[]);
    let mut polite = Polite::new(rig.program.connect());
    let upload = path(&[Step::Body, send(OK)]);
    let download = path(&[
        send("HTTP/1.1 200 OK\r\nContent-Length: 300000\r\n\r\n"),
        Step::Repeat(300, vec![b'x'; 1000]),
    ]);
    let fields = [("trailer", "x-sum")];
    let (mut answers, mut uploads) = (Vec::new(), Vec::new());
    for number in 0..40 {
        let target = if number % 2 == 0 { &upload } else { &download };
        let (answer, mut stream) = polite.begin("POST", target, &fields, false);
        stream.send_data(vec![b'y'; 100_000].into(), false).expect("it is open");
        let sum = (HeaderName::from_static("x-sum"), HeaderValue::from_static("1"));
        stream.send_trailers(HeaderMap::from_iter([sum])).expect("it is open");
        answers.push(answer);
        uploads.push(stream);
    }
    polite.run(async {
        for (number, answer) in answers.into_iter().enumerate() {
            let told = tell(answer).await.expect("an answer");
            assert_eq!(told.body.len(), if number % 2 == 0 { 2 } else { 300_000 }, "{number}");
        }
    });
}

#[test]
fn the_access_log_tells_the_version_and_the_path() {
    let log = tempfile::NamedTempFile::new().expect("room");
    let rig = rig(&["--access-log", &log.path().to_string_lossy()]);
    Polite::new(rig.program.connect()).ask("GET", "/a?b");
    let line = lines_of(log.path(), 1).remove(0);
    assert!(line.contains("\"GET /a?b HTTP/2.0\" 200"), "{line}");
}
