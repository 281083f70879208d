//! `Expect: 100-continue` and other answers before the answer.

use crate::support::until;
use crate::wire::client::{End, field};
use crate::wire::rig::Rig;
use crate::wire::script::{Step, gate, path, send};
use std::time::{Duration, Instant};

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
const CONTINUE: &str = "HTTP/1.1 100 Continue\r\n\r\n";

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
fn other_interim_answers_are_skipped_and_the_final_one_arrives() {
    let rig = Rig::start();
    let hints = "HTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\n\r\n";
    let processing = "HTTP/1.1 102 Processing\r\n\r\n";
    let unknown = "HTTP/1.1 199 Whatever\r\n\r\n";
    let mut client = rig.client();
    let (head, body) =
        client.get(&path(&[send([CONTINUE, hints, processing, unknown, OK].concat())])).answer();
    assert!(head.starts_with("HTTP/1.1 200 ") && body == "ok", "{head}");
    let (head, body) =
        client.get(&path(&[send(hints), send(processing), Step::Pause(20), send(OK)])).answer();
    assert!(head.starts_with("HTTP/1.1 200 ") && body == "ok", "{head}");
    let (head, _) = client.get(&path(&[send(hints), Step::Close])).answer();
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
