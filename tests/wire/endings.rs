//! Who leaves early, and what becomes of the other side.

use crate::support::until;
use crate::wire::client::{End, field};
use crate::wire::rig::Rig;
use crate::wire::script::{Step, gate, path, send};
use std::io::Write;

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

#[test]
fn a_client_that_leaves_frees_its_place_and_ends_the_workers_request() {
    let rig = Rig::start();
    let waits = path(&[Step::Drain]);
    for (what, request) in [
        ("before the answer", format!("GET {waits} HTTP/1.1\r\nHost: test\r\n\r\n")),
        (
            "in the middle of its body",
            format!("POST {waits} HTTP/1.1\r\nHost: test\r\nContent-Length: 9\r\n\r\nhalf"),
        ),
        (
            "in the middle of a chunk",
            format!("POST {waits} HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n9\r\nhalf"),
        ),
        (
            "while a 100 is awaited",
            format!(
                "POST {waits} HTTP/1.1\r\nHost: test\r\nExpect: 100-continue\r\nContent-Length: 9\r\n\r\n"
            ),
        ),
    ] {
        let mut client = rig.client();
        client.send(request);
        rig.until_held(1);
        drop(client);
        until(what, || rig.ledger().iter().all(|row| row.ended).then_some(()));
        rig.until_idle();
    }
    // None of these is the worker's fault.
    let metrics = rig.program.ask("/metrics").body;
    assert!(!metrics.contains("code=\"502\""), "{metrics}");
}

#[test]
fn a_client_that_ends_its_side_is_taken_for_gone() {
    let rig = Rig::start();
    let mut client = rig.client();
    client.get(&path(&[Step::Drain]));
    rig.until_held(1);
    client.finish();
    assert_eq!(client.end(), End::Closed(String::new()));
    rig.until_idle();
}

#[test]
fn a_body_of_bad_chunks_is_the_clients_fault() {
    let rig = Rig::start();
    for body in
        ["zz\r\nbody\r\n0\r\n\r\n", "4\r\nbodies\r\n0\r\n\r\n", "10000000000000004\r\nbody\r\n0\r\n\r\n"]
    {
        let mut client = rig.client();
        let steps = path(&[Step::Body, send(OK)]);
        client.send(format!(
            "POST {steps} HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n4\r\ngood\r\n{body}"
        ));
        let (head, _) = client.answer();
        assert!(head.starts_with("HTTP/1.1 400 "), "{body:?}: {head}");
        assert_eq!(field(&head, "connection"), Some("close"), "{head}");
        assert_eq!(client.end(), End::Closed(String::new()));
    }
    rig.until_idle();
}

#[test]
fn an_answer_before_the_end_of_the_request_arrives_and_nothing_gets_out_of_step() {
    let rig = Rig::start();
    for fields in ["Content-Length: 1000000", "Transfer-Encoding: chunked"] {
        let mut client = rig.client();
        let early = path(&[send(OK), Step::Drain]);
        client.send(format!("POST {early} HTTP/1.1\r\nHost: test\r\n{fields}\r\n\r\n"));
        assert_eq!(client.answer().1, "ok");
        // The rest of the body must not be taken for a request.
        let _ = client.stream.write_all(b"GET /evil HTTP/1.1\r\nHost: test\r\n\r\n");
        client.end();
        assert!(rig.client().get("/next").answer().1.starts_with("GET /next "));
    }
    assert!(!rig.executed().iter().any(|line| line.contains("evil")), "{:?}", rig.executed());
    rig.until_idle();
}

#[test]
fn a_body_that_the_proxy_itself_does_not_want_is_never_taken_for_a_request() {
    let rig = Rig::with("{socket}", &["--body-limit", "100B", "--max-in-flight", "1", "--queue-limit", "0"]);
    let mut busy = rig.client();
    busy.get(&path(&[gate("done"), send(OK)]));
    rig.until_held(1);
    let evil = "GET /evil HTTP/1.1\r\nHost: test\r\n\r\n";
    for (status, fields) in [
        (413, "Content-Length: 101".to_owned()),
        (503, format!("Content-Length: {}", evil.len())),
        (503, "Content-Length: 99".to_owned()),
        (503, "Transfer-Encoding: chunked".to_owned()),
        (400, "Host: twice\r\nContent-Length: 99".to_owned()),
    ] {
        let mut client = rig.client();
        client.send(format!("POST / HTTP/1.1\r\nHost: test\r\n{fields}\r\n\r\n{evil}"));
        let (head, _) = client.answer();
        assert!(head.starts_with(&format!("HTTP/1.1 {status} ")), "{fields}: {head}");
        if fields.ends_with(&evil.len().to_string()) {
            let (head, _) = client.get("/next").answer();
            assert!(
                head.starts_with("HTTP/1.1 503 "),
                "a body that is read leaves a good connection: {head}"
            );
        } else {
            client.end();
        }
    }
    rig.open("done");
    busy.answer();
    assert_eq!(rig.executed().len(), 1, "{:?}", rig.executed());
}

#[test]
fn a_refusal_in_the_middle_of_a_large_upload_can_be_read() {
    let rig = Rig::with("{socket}", &["--body-limit", "1MiB"]);
    let file = tempfile::NamedTempFile::new().expect("a folder for temporary files");
    file.as_file().set_len(100 * 1024 * 1024).expect("a sparse file");
    let data = format!("@{}", file.path().to_string_lossy());
    let upload = ["--header", "Expect:", "--write-out", "%{http_code}", "--data-binary", &data];
    let refused = path(&[
        Step::Take(100_000),
        send("HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno"),
        Step::Close,
    ]);
    for (what, target, options, status) in [
        ("by its length", "/", vec![], "413"),
        (
            "by its bytes",
            &path(&[Step::Body, send(OK)]),
            vec!["--header", "Transfer-Encoding: chunked"],
            "413",
        ),
        ("by the worker", &refused, vec!["--header", "Transfer-Encoding: chunked"], "403"),
        ("by its head", "/", vec!["--header", "Host: a b"], "400"),
    ] {
        for _ in 0..5 {
            let (code, printed) = rig.curl(target, &[&upload[..], &options].concat());
            assert!(code == 0 && printed.ends_with(status), "{what}: curl says {code}, {printed}");
        }
    }
}

#[test]
fn a_refusal_is_read_by_a_client_that_only_writes_first() {
    let rig = Rig::with("{socket}", &["--body-limit", "1MiB"]);
    for request in [
        "POST / HTTP/1.1\r\nHost: test\r\nContent-Length: 4000000\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: test\r\nHost: twice\r\nContent-Length: 4000000\r\n\r\n",
        "BROKEN\0 / HTTP/1.1\r\nHost: test\r\n\r\n",
    ] {
        let mut client = rig.client();
        client.send(request).send(vec![b'x'; 4_000_000]);
        let (head, _) = client.answer();
        assert!(head.starts_with("HTTP/1.1 4"), "{head}");
    }
}

#[test]
fn an_answer_of_unknown_length_that_breaks_off_ends_with_a_reset_for_http_1_0() {
    let rig = Rig::with("{socket}", &["--stream-timeout", "500ms"]);
    let head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\npart\r\n";
    for last in [Step::Close, Step::Hang] {
        let mut client = rig.client();
        let steps = path(&[send(head), gate("read"), last]);
        client.send(format!("GET {steps} HTTP/1.0\r\nHost: test\r\n\r\n"));
        client.read_to("part");
        rig.open("read");
        assert_eq!(client.end(), End::Reset, "by a plain end it would look whole");
    }
}
