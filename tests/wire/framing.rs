//! Where an answer ends: the proxy frames it anew, and never by what the worker got wrong.

use crate::wire::client::field;
use crate::wire::rig::Rig;
use crate::wire::script::{Step, path, send};

/// What a careless client would take for the next answer.
const SMUGGLED: &str = "HTTP/1.1 200 OK\r\nX-Smuggled: yes\r\nContent-Length: 4\r\n\r\nevil";

#[test]
fn answers_without_a_body_have_none_whatever_the_worker_sends() {
    let rig = Rig::start();
    for (method, status, fields, kept_length) in [
        ("HEAD", "200 OK", "Content-Length: 61\r\n", Some("61")),
        ("HEAD", "200 OK", "Transfer-Encoding: chunked\r\n", None),
        ("HEAD", "200 OK", "", None),
        ("HEAD", "404 Not Found", "Content-Length: 61\r\n", Some("61")),
        ("GET", "204 No Content", "", None),
        ("GET", "204 No Content", "Content-Length: 61\r\n", None),
        ("GET", "204 No Content", "Transfer-Encoding: chunked\r\n", None),
        ("GET", "304 Not Modified", "ETag: \"x\"\r\n", None),
        ("GET", "304 Not Modified", "Content-Length: 61\r\nETag: \"x\"\r\n", None),
    ] {
        let what = format!("{method} {status} {fields:?}");
        let steps = path(&[send(format!("HTTP/1.1 {status}\r\n{fields}\r\n{SMUGGLED}"))]);
        let mut client = rig.client();
        let head = client.send(format!("{method} {steps} HTTP/1.1\r\nHost: test\r\n\r\n")).head();
        assert!(head.starts_with(&format!("HTTP/1.1 {status}\r\n")), "{what}: {head}");
        assert_eq!(field(&head, "content-length"), kept_length, "{what}: {head}");
        assert_eq!(field(&head, "transfer-encoding"), None, "{what}: {head}");
        let (next, seen) = client.get("/next").answer();
        assert!(seen.starts_with("GET /next "), "{what}: {next}{seen}");
        assert_eq!(field(&next, "x-smuggled"), None, "{what}");
    }
}

#[test]
fn an_answer_with_both_framings_is_read_as_chunked_and_told_as_such() {
    let rig = Rig::start();
    let answer = "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n8\r\nall of i\r\n1\r\nt\r\n0\r\n\r\n";
    let mut client = rig.client();
    let (head, body) = client.get(&path(&[send(answer)])).answer();
    assert_eq!(field(&head, "content-length"), None, "{head}");
    let text: String = body.split("\r\n").skip(1).step_by(2).collect();
    assert_eq!(text, "all of it", "{body}");
    assert_eq!(rig.curl(&path(&[send(answer)]), &[]), (0, "all of it".to_owned()));
}

#[test]
fn a_body_that_ends_with_the_connection_arrives_whole() {
    let rig = Rig::start();
    for version in ["1.0", "1.1"] {
        let steps = [send(format!("HTTP/{version} 200 OK\r\n\r\nto the end")), Step::Close];
        assert_eq!(rig.curl(&path(&steps), &[]), (0, "to the end".to_owned()));
        assert!(
            rig.client().get(&path(&steps)).head().starts_with("HTTP/1.1 200 "),
            "the proxy's own version"
        );
    }
}

#[test]
fn equal_lengths_may_be_said_twice() {
    let rig = Rig::start();
    for fields in ["Content-Length: 4, 4\r\n", "Content-Length: 4\r\nContent-Length: 4\r\n"] {
        let (head, body) =
            rig.client().get(&path(&[send(format!("HTTP/1.1 200 OK\r\n{fields}\r\nbody"))])).answer();
        assert_eq!((field(&head, "content-length"), &*body), (Some("4"), "body"), "{head}");
        assert_eq!(head.matches("content-length").count(), 1, "{head}");
    }
}

#[test]
fn an_http_1_0_worker_that_speaks_in_chunks_is_not_understood() {
    let rig = Rig::start();
    let answer = "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nbody\r\n0\r\n\r\n";
    let (head, _) = rig.client().get(&path(&[send(answer)])).answer();
    assert!(head.starts_with("HTTP/1.1 502 "), "{head}");
}

#[test]
fn request_bodies_reach_the_worker_in_frames_of_the_proxys_own() {
    let rig = Rig::start();
    let funny = "POST /chunks HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n\
        5;name=value\r\nhello\r\n00006   \r\n world\r\n0\r\n\r\n";
    let mut client = rig.client();
    let (head, _) = client.send(funny).answer();
    assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
    client.send("POST /sized HTTP/1.1\r\nHost: test\r\nContent-Length: 5\r\n\r\nhello").answer();
    let received = rig.ledger().remove(0).text();
    let body = received.split("\r\n\r\n").nth(1).expect("a body").to_owned();
    assert!(!body.contains("name") && !body.contains("0000"), "{received}");
    assert_eq!(received.matches("transfer-encoding: chunked\r\n").count(), 1, "{received}");
    assert!(received.contains("content-length: 5\r\n") && received.ends_with("\r\n\r\nhello"), "{received}");
}

#[test]
fn a_body_in_chunks_reaches_the_worker_whatever_the_method() {
    for method in ["GET", "HEAD", "DELETE", "QUERY"] {
        let rig = Rig::start();
        let target = path(&[Step::Body, send("HTTP/1.1 204 No Content\r\n\r\n")]);
        let head = format!("{method} {target} HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n");
        let (answer, _) = rig.client().send(head).send("5\r\nhello\r\n0\r\n\r\n").answer();
        assert!(answer.starts_with("HTTP/1.1 204 "), "{method}: {answer}");
        let received = rig.ledger().remove(0).text();
        assert_eq!(received.matches("transfer-encoding: chunked\r\n").count(), 1, "{received}");
        assert!(received.ends_with("\r\n\r\n5\r\nhello\r\n0\r\n\r\n"), "{received}");
    }
}

#[test]
fn chunk_lines_that_two_servers_might_read_differently_reach_no_worker() {
    let rig = Rig::start();
    for body in [
        "5\nhello\n0\n\n",
        "5\r\nhello0\r\n\r\n",
        "5 5\r\nhello\r\n0\r\n\r\n",
        "0x5\r\nhello\r\n0\r\n\r\n",
        "-5\r\nhello\r\n0\r\n\r\n",
        "+5\r\nhello\r\n0\r\n\r\n",
        "\r\n5\r\nhello\r\n0\r\n\r\n",
        "10000000000000005\r\nhello\r\n0\r\n\r\n",
        "5;a=\nb\r\nhello\r\n0\r\n\r\n",
    ] {
        let request = format!(
            "POST / HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n{body}GET /evil HTTP/1.1\r\nHost: test\r\n\r\n"
        );
        let mut client = rig.client();
        client.send(request);
        client.end();
        assert!(!rig.executed().iter().any(|line| line.contains("evil")), "{body:?}: {:?}", rig.ledger());
    }
}

#[test]
fn a_length_that_a_client_says_twice_is_refused_or_said_once() {
    let rig = Rig::start();
    for fields in [
        "Content-Length: 5, 5\r\n",
        "Content-Length: 5\r\nContent-Length: 5\r\n",
        "Content-Length: 5\r\nContent-Length: 6\r\n",
        "Content-Length: 6\r\nContent-Length: 5\r\n",
        "Content-Length: \r\n",
        "Content-Length: 0x5\r\n",
        "Content-Length: 5 5\r\n",
        "Content-Length: 18446744073709551621\r\n",
    ] {
        let mut client = rig.client();
        let (head, seen) =
            client.send(format!("POST / HTTP/1.1\r\nHost: test\r\n{fields}\r\nhello")).answer();
        if head.starts_with("HTTP/1.1 200 ") {
            let lines = seen.lines().filter(|line| line.to_ascii_lowercase().starts_with("content-length"));
            assert_eq!(lines.collect::<Vec<_>>(), ["content-length: 5"], "{fields:?}");
        } else {
            assert!(head.starts_with("HTTP/1.1 400 "), "{fields:?}: {head}");
        }
    }
}
