//! `Expect: 100-continue` and other answers before the answer.

use crate::support::until;
use crate::wire::client::{End, field};
use crate::wire::frames::{Frame, HEADERS, Peer};
use crate::wire::polite::{Polite, Told, tell};
use crate::wire::rig::Rig;
use crate::wire::script::{Step, gate, path, send};
use bytes::Bytes;
use h2::client::ResponseFuture;
use hyper::{HeaderMap, Response};
use std::future::poll_fn;
use std::time::{Duration, Instant};

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
const CONTINUE: &str = "HTTP/1.1 100 Continue\r\n\r\n";
const HINTS: &str = "HTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\n\r\n";
const PROCESSING: &str = "HTTP/1.1 102 Processing\r\n\r\n";
const UNKNOWN: &str = "HTTP/1.1 199 Whatever\r\n\r\n";

fn expecting(steps: &[Step]) -> String {
    let path = path(steps);
    format!("POST {path} HTTP/1.1\r\nHost: test\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n")
}

#[test]
fn a_100_of_the_worker_is_what_makes_the_client_send() {
    let rig = Rig::start();
    let mut client = rig.client();
    client.send(expecting(&[gate("go"), send(CONTINUE), Step::Body, send(OK)]));
    until("the worker has the head", || (rig.executed().len() == 1).then_some(()));
    assert_eq!(field(&rig.ledger()[0].text().to_ascii_lowercase(), "expect"), Some("100-continue"));
    rig.open("go");
    assert_eq!(client.read_to("\r\n\r\n"), CONTINUE);
    client.send("body");
    assert_eq!(client.answer().1, "ok");
    assert!(rig.ledger()[0].text().ends_with("\r\n\r\nbody"));
    assert_eq!(client.get("/next").answer().0.split("\r\n").next(), Some("HTTP/1.1 200 OK"));
}

#[test]
fn a_final_answer_instead_of_a_100_arrives_and_no_body_is_asked_for() {
    let rig = Rig::start();
    for status in ["417 Expectation Failed", "401 Unauthorized", "413 Content Too Large", "200 OK"] {
        let mut client = rig.client();
        let answer = format!("HTTP/1.1 {status}\r\nContent-Length: 2\r\n\r\nno");
        client.send(expecting(&[send(answer), Step::Drain]));
        let (head, body) = client.answer();
        assert!(head.starts_with(&format!("HTTP/1.1 {}", &status[..3])) && body == "no", "{head}");
        // Whether a body follows is unknown: the connection cannot carry another request.
        assert_eq!(client.end(), End::Closed(String::new()), "{status}");
    }
    for row in rig.ledger() {
        assert!(row.text().ends_with("\r\n\r\n"), "the worker got a body that nobody sent: {row:?}");
    }
    rig.until_idle();
}

#[test]
fn a_worker_that_withholds_the_100_gets_the_body_after_a_second() {
    let rig = Rig::start();
    let began = Instant::now();
    let mut client = rig.client();
    client.send(expecting(&[Step::Body, send(OK)]));
    assert_eq!(client.read_to("\r\n\r\n"), CONTINUE);
    assert!(began.elapsed() > Duration::from_millis(900), "after {:?}", began.elapsed());
    client.send("body");
    assert_eq!(client.answer().1, "ok");
}

#[test]
fn a_body_that_is_sent_without_waiting_is_taken() {
    let rig = Rig::start();
    let mut client = rig.client();
    client.send(expecting(&[send(CONTINUE), Step::Body, send(OK)])).send("body");
    client.read_to("ok");
    assert!(rig.ledger()[0].text().ends_with("\r\n\r\nbody"));
}

#[test]
fn an_expectation_of_http_1_0_is_ignored() {
    let rig = Rig::start();
    let mut client = rig.client();
    let request = expecting(&[send(CONTINUE), Step::Body, send(OK)]).replace("HTTP/1.1", "HTTP/1.0");
    client.send(request).send("body");
    let (head, body) = client.answer();
    assert!(
        head.starts_with("HTTP/1.0 200 ") && body == "ok",
        "no 100 for a client that does not know it: {head}"
    );
}

#[test]
fn curl_waits_for_the_100_and_is_heard() {
    let rig = Rig::start();
    let steps = path(&[send(CONTINUE), Step::Body, send(OK)]);
    let data = "x".repeat(100_000);
    let options = ["--header", "Expect: 100-continue", "--data", &data, "--expect100-timeout", "15"];
    assert_eq!(rig.curl(&steps, &options), (0, "ok".to_owned()));
}

#[test]
fn other_interim_answers_stay_behind_in_http_1_and_the_final_one_arrives() {
    let rig = Rig::start();
    let mut client = rig.client();
    let (head, body) =
        client.get(&path(&[send([CONTINUE, HINTS, PROCESSING, UNKNOWN, OK].concat())])).answer();
    assert!(head.starts_with("HTTP/1.1 200 ") && body == "ok", "{head}");
    let (head, body) =
        client.get(&path(&[send(HINTS), send(PROCESSING), Step::Pause(20), send(OK)])).answer();
    assert!(head.starts_with("HTTP/1.1 200 ") && body == "ok", "{head}");
    let (head, _) = client.get(&path(&[send(HINTS), Step::Close])).answer();
    assert!(head.starts_with("HTTP/1.1 502 "), "interim answers alone are no answer: {head}");
}

#[test]
fn a_storm_of_interim_answers_is_bounded() {
    let rig = Rig::start();
    for (count, expected) in [(100, "HTTP/1.1 200 "), (1_000_000, "HTTP/1.1 502 ")] {
        let storm = Step::Repeat(count, b"HTTP/1.1 102 Processing\r\n\r\n".to_vec());
        let (head, _) = rig.client().get(&path(&[storm, send(OK)])).answer();
        assert!(head.starts_with(expected), "{count}: {head}");
    }
    let sent = rig.ledger().iter().map(|row| row.sent_total).max().unwrap_or_default();
    assert!(sent < 2 * 1024 * 1024, "{sent} bytes of interim answers were taken");
}

fn http2() -> (Rig, Polite) {
    let rig = Rig::with("{socket}", &["--http2", "on"]);
    let client = Polite::new(rig.program.connect());
    (rig, client)
}

fn statuses(told: &Told) -> Vec<u16> {
    told.interim.iter().map(Response::status).chain([told.status]).map(|status| status.as_u16()).collect()
}

/// The next interim answer.
fn next(client: &Polite, answer: &mut ResponseFuture) -> Response<()> {
    let next = client.run(poll_fn(|cx| answer.poll_informational(cx)));
    next.expect("one before the final answer").expect("no error")
}

#[test]
fn each_interim_answer_reaches_a_client_of_http_2_when_it_comes() {
    let (rig, mut client) = http2();
    let steps = [
        send(HINTS),
        gate("first"),
        send([PROCESSING, UNKNOWN, CONTINUE].concat()),
        gate("rest"),
        send([HINTS, OK].concat()),
    ];
    let (mut answer, _) = client.begin("GET", &path(&steps), &[], true);
    let hint = next(&client, &mut answer);
    assert_eq!(hint.status(), 103);
    assert_eq!(hint.headers()["link"], "</a.css>; rel=preload");
    // Another request of the same connection gets its own alone.
    let other = client.ask("GET", &path(&[send([UNKNOWN, OK].concat())]));
    assert_eq!(statuses(&other), [199, 200]);
    rig.open("first");
    let then = [(); 3].map(|()| next(&client, &mut answer).status().as_u16());
    assert_eq!(then, [102, 199, 100]);
    rig.open("rest");
    let told = client.run(tell(answer)).expect("an answer");
    assert_eq!((statuses(&told), &*told.body), (vec![103, 200], "ok"));
    assert!(!told.headers.contains_key("link"), "{told:?}");
}

#[test]
fn interim_answers_end_no_stream_and_come_before_the_final_one_alone() {
    let (rig, _) = http2();
    let mut peer = Peer::new(rig.program.connect());
    let answers = [HINTS, "HTTP/1.1 204 No Content\r\n\r\n", HINTS].concat();
    peer.send(&[Frame::get(1, &path(&[send(answers)])), Frame::get(3, &path(&[send([HINTS, OK].concat())]))]);
    let heads: Vec<_> = std::iter::repeat_with(|| peer.wait(HEADERS)).take(4).collect();
    for (stream, expected) in [(1, [(103, false), (204, true)]), (3, [(103, false), (200, false)])] {
        let seen = heads.iter().filter(|head| head.stream == stream);
        let seen: Vec<_> = seen.map(|head| (head.status(), head.ends_stream())).collect();
        assert_eq!(seen, expected, "{stream}");
    }
    peer.sync();
}

#[test]
fn what_concerns_a_workers_connection_is_taken_from_its_interim_answers() {
    let (_rig, mut client) = http2();
    let hints = "HTTP/1.1 103 Early Hints\r\nConnection: x-mine, close\r\nX-Mine: 1\r\nKeep-Alive: timeout=5\r\n\
                 Transfer-Encoding: chunked\r\nUpgrade: h2c\r\nContent-Length: 5\r\nX-A: 1\r\nX-A: 2\r\n\r\n";
    let told = client.ask("GET", &path(&[send([hints, OK].concat())]));
    assert_eq!((statuses(&told), &*told.body), (vec![103, 200], "ok"));
    let fields = told.interim[0].headers().iter();
    let fields: Vec<_> = fields.map(|(name, value)| (name.as_str(), value.as_bytes())).collect();
    assert_eq!(fields, [("x-a", &b"1"[..]), ("x-a", b"2")]);
}

#[test]
fn an_error_follows_the_interim_answers_of_a_worker_that_fails() {
    let (rig, mut client) = http2();
    for end in [Step::Close, send("nonsense\r\n\r\n"), send("HTTP/1.1 101 Switching Protocols\r\n\r\n")] {
        let told = client.ask("POST", &path(&[send(HINTS), end]));
        assert_eq!(statuses(&told), [103, 502]);
    }
    rig.until_idle();
}

#[test]
fn no_interim_answer_of_a_second_attempt_follows_one_of_the_first() {
    let (rig, mut client) = http2();
    assert_eq!(statuses(&client.ask("GET", &path(&[send(OK)]))), [200]);
    // On the connection that is there now, and on another one.
    let told = client.ask("GET", &path(&[send(HINTS), Step::Close]));
    assert_eq!((statuses(&told), rig.executed().len()), (vec![103, 502], 3));
}

#[test]
fn a_client_of_http_2_gets_the_100_that_it_waits_for_or_the_final_answer() {
    let (rig, mut client) = http2();
    let fields = [("expect", "100-continue"), ("content-length", "4")];
    for (status, line) in [(417, "417 Expectation Failed"), (401, "401 Unauthorized"), (200, "200 OK")] {
        let refusal = send(format!("HTTP/1.1 {line}\r\nContent-Length: 2\r\n\r\nno"));
        let (answer, _body) = client.begin("POST", &path(&[refusal, Step::Drain]), &fields, false);
        let told = client.run(tell(answer)).expect("an answer");
        assert_eq!((statuses(&told), &*told.body), (vec![status], "no"));
    }
    for row in rig.ledger() {
        assert!(row.text().ends_with("\r\n\r\n"), "the worker got a body that nobody sent: {row:?}");
    }

    let steps = path(&[gate("go"), send(CONTINUE), Step::Body, send(OK)]);
    let (mut answer, mut body) = client.begin("POST", &steps, &fields, false);
    until("the worker has the head", || {
        client.run(tokio::task::yield_now());
        (rig.executed().len() == 4).then_some(())
    });
    let seen = || rig.ledger().pop().expect("the last connection").text();
    assert_eq!(field(&seen().to_ascii_lowercase(), "expect"), Some("100-continue"));
    rig.open("go");
    assert_eq!(next(&client, &mut answer).status(), 100);
    body.send_data(Bytes::from_static(b"body"), true).expect("it is open");
    let told = client.run(tell(answer)).expect("an answer");
    assert_eq!((statuses(&told), &*told.body), (vec![200], "ok"));
    assert!(seen().ends_with("\r\n\r\nbody"), "{}", seen());
}

#[test]
fn a_client_of_http_2_that_does_not_wait_for_a_100_is_heard() {
    let (rig, mut client) = http2();
    let body = Some((&b"body"[..], HeaderMap::new()));
    for steps in [vec![send(CONTINUE), Step::Body, send(OK)], vec![Step::Body, send(OK)]] {
        let told = client.ask_with("POST", &path(&steps), &[("expect", "100-continue")], body.clone());
        assert_eq!(told.expect("an answer").body, "ok");
    }
    let seen: String = rig.ledger().iter().map(|row| row.text()).collect();
    assert_eq!(seen.matches("\r\n4\r\nbody\r\n").count(), 2, "{seen}");
}

#[test]
fn a_storm_of_interim_answers_to_a_client_of_http_2_is_bounded() {
    let (rig, mut client) = http2();
    let storm = |count, answer: &str| Step::Repeat(count, answer.as_bytes().to_vec());
    for (steps, status, passed_on) in [
        ([storm(100, PROCESSING), send(OK)], 200, 100),
        ([storm(3_000, PROCESSING), send(OK)], 200, 128),
        ([storm(1_000_000, PROCESSING), send(OK)], 502, 128),
        ([storm(1_000_000, HINTS), send(OK)], 502, 80),
    ] {
        let told = client.ask("GET", &path(&steps));
        assert_eq!(told.status, status);
        assert_eq!(told.interim.len(), passed_on);
    }
    let sent = rig.ledger().iter().map(|row| row.sent_total).max().unwrap_or_default();
    assert!(sent < 2 * 1024 * 1024, "{sent} bytes of interim answers were taken");
}

#[test]
fn curl_shows_the_hints_that_it_gets_by_http_2() {
    let (rig, _) = http2();
    let steps = path(&[send([HINTS, HINTS, OK].concat())]);
    let (code, printed) = rig.curl(&steps, &["--http2-prior-knowledge", "--include"]);
    let heads: Vec<_> = printed.lines().filter(|line| line.starts_with("HTTP/")).map(str::trim).collect();
    assert_eq!((code, heads), (0, vec!["HTTP/2 103", "HTTP/2 103", "HTTP/2 200"]), "{printed}");
    assert_eq!(printed.matches("link: </a.css>; rel=preload").count(), 2, "{printed}");
    // The same by HTTP/1.1.
    let (code, printed) = rig.curl(&steps, &["--include"]);
    assert!(code == 0 && printed.starts_with("HTTP/1.1 200 OK") && !printed.contains("103"), "{printed}");
}
