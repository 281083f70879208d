//! Heads of requests: what two servers might read in two ways reaches no worker, everything else reaches it as it came.

use crate::wire::client::{End, field};
use crate::wire::rig::Rig;
use crate::wire::script::{Step, path, send};

/// What a careless server would take for a request of its own.
const SMUGGLED: &str = "GET /evil HTTP/1.1\r\nHost: test\r\n\r\n";

#[test]
fn a_request_line_that_is_not_exact_is_a_400_and_the_end() {
    let rig = Rig::start();
    for line in [
        "GET  / HTTP/1.1",
        " GET / HTTP/1.1",
        "GET\t/ HTTP/1.1",
        "GET /\tHTTP/1.1",
        "GET /  HTTP/1.1",
        "GET / HTTP/1.1 ",
        "GET /a b HTTP/1.1",
        "GET /\rHTTP/1.1",
        "GET /a\rb HTTP/1.1",
        "G\rET / HTTP/1.1",
        "GET / HTTP/1.1\rX: ",
        "GET /\0 HTTP/1.1",
        "GET /\u{1} HTTP/1.1",
        "GET / http/1.1",
        "GET / HTTP/1.2",
        "GET / HTTP/2.0",
        "GET / HTTP/11",
        "GET / HTTP/1",
        "GET / HTTQ/1.1",
        "GET /",
        "GET",
        "/ HTTP/1.1",
        "G@T / HTTP/1.1",
        "GET: / HTTP/1.1",
        "GET no-slash HTTP/1.1",
        "GET ?query HTTP/1.1",
        "GET test:80 HTTP/1.1",
        "OPTIONS test:80 HTTP/1.1",
        "GET http:// HTTP/1.1",
        "GET http:///path HTTP/1.1",
        "GET http://user@test/ HTTP/1.1",
        "GET http://test:99999/ HTTP/1.1",
        "GET * HTTP/1.1",
        "POST * HTTP/1.1",
    ] {
        refused(&rig, &format!("{line}\r\nHost: test\r\n\r\n"), &[400]);
    }
    assert_eq!(rig.executed(), [""; 0]);
}

#[test]
fn a_host_that_is_missing_repeated_or_no_host_is_a_400_and_the_end() {
    let rig = Rig::start();
    for fields in [
        "",
        "Host: test\r\nHost: test\r\n",
        "Host: test\r\nHost: other\r\n",
        "Host: a,b\r\n",
        "Host: a b\r\n",
        "Host: a\tb\r\n",
        "Host: user@test\r\n",
        "Host: user:secret@test\r\n",
        "Host: http://test\r\n",
        "Host: test/path\r\n",
        "Host: test?query\r\n",
        "Host: test#fragment\r\n",
        "Host: test\\other\r\n",
        "Host: test:65536\r\n",
        "Host: test:-1\r\n",
        "Host: test:8o\r\n",
        "Host: test:80:80\r\n",
        "Host: [::1\r\n",
        "Host: ::1]\r\n",
        "Host: [::g]\r\n",
        "Host: \"test\"\r\n",
        "Host: t\u{e9}st\r\n",
    ] {
        refused(&rig, &format!("GET / HTTP/1.1\r\n{fields}\r\n"), &[400]);
        // Neither does an authority in the target make up for it.
        refused(&rig, &format!("GET http://test/ HTTP/1.1\r\n{fields}\r\n"), &[400]);
    }
    assert_eq!(rig.executed(), [""; 0]);
}

#[test]
fn field_lines_that_servers_read_in_two_ways_are_a_400_and_the_end() {
    let rig = Rig::start();
    for fields in [
        " X-A: before the first\r\nHost: test\r\n",
        "\tX-A: before the first\r\nHost: test\r\n",
        " \r\nHost: test\r\n",
        "Host: test\r\nX-A: folded\r\n here\r\n",
        "Host: test\r\nX-A: folded\r\n\there\r\n",
        "Host: test\r\nX-A: folded\r\n \r\n",
        "Host: test\r\nX-A : 1\r\n",
        "Host: test\r\nX-A\t: 1\r\n",
        "Host: test\r\n: no name\r\n",
        "Host: test\r\nno colon\r\n",
        "Host: test\r\nX A: 1\r\n",
        "Host: test\r\nX(A): 1\r\n",
        "Host: test\r\nX\u{e9}: 1\r\n",
        "Host: test\r\nX\0A: 1\r\n",
        "Host: test\r\nX-A: 1\rX-B: 2\r\n",
        "Host: test\r\nX-A: 1\r\r\n",
        "Host: test\r\r\n",
    ] {
        refused(&rig, &format!("GET / HTTP/1.1\r\n{fields}\r\n"), &[400]);
    }
    refused(&rig, &format!("GET / HTTP/1.1\r\nHost: test\r\n{}: 1\r\n\r\n", "x".repeat(64 * 1024)), &[431]);
    assert_eq!(rig.executed(), [""; 0]);
}

#[test]
fn a_body_of_two_framings_is_read_as_chunks_and_is_the_last_of_its_connection() {
    let rig = Rig::start();
    for fields in [
        "Transfer-Encoding: chunked\r\nContent-Length: 3\r\n",
        "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n",
        "Content-Length: 3\r\nTransfer-Encoding: CHUNKED\r\n",
        "Content-Length: 3\r\ntransfer-encoding:chunked\r\n",
        "Content-Length: 3\r\nTransfer-Encoding: \t chunked \t \r\n",
        "Content-Length: 3\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n",
    ] {
        let before = rig.executed().len();
        let mut client = rig.client();
        client.send(format!("POST / HTTP/1.1\r\nHost: test\r\n{fields}\r\n4\r\nbody\r\n0\r\n\r\n{SMUGGLED}"));
        let head = client.head();
        let End::Closed(seen) = client.end() else { panic!("{fields:?}: {head}") };
        if head.starts_with("HTTP/1.1 200 ") {
            let seen = seen.to_ascii_lowercase();
            assert_eq!(field(&seen, "content-length"), None, "{fields:?}: {seen}");
            assert_eq!(field(&seen, "transfer-encoding"), Some("chunked"), "{fields:?}: {seen}");
        } else {
            assert!(head.starts_with("HTTP/1.1 400 "), "{fields:?}: {head}");
        }
        assert!(rig.executed().len() <= before + 1, "{fields:?}: {:?}", rig.executed());
    }
    assert!(!rig.executed().iter().any(|line| line.contains("evil")), "{:?}", rig.executed());
}

#[test]
fn codings_other_than_chunked_once_are_refused_and_reach_no_worker() {
    let rig = Rig::start();
    for (version, codings) in [
        ("1.1", "Transfer-Encoding: gzip\r\n"),
        ("1.1", "Transfer-Encoding: identity\r\n"),
        ("1.1", "Transfer-Encoding: gzip, chunked\r\n"),
        ("1.1", "Transfer-Encoding: identity, chunked\r\n"),
        ("1.1", "Transfer-Encoding: chunked, identity\r\n"),
        ("1.1", "Transfer-Encoding: chunked, gzip\r\n"),
        ("1.1", "Transfer-Encoding: chunked, chunked\r\n"),
        ("1.1", "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n"),
        ("1.1", "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n"),
        ("1.1", "Transfer-Encoding: identity\r\nTransfer-Encoding: chunked\r\n"),
        ("1.1", "Transfer-Encoding: chunked\r\nTransfer-Encoding: \r\n"),
        ("1.1", "Transfer-Encoding: \r\n"),
        ("1.1", "Transfer-Encoding: ,chunked\r\n"),
        ("1.1", "Transfer-Encoding: chunked,\r\n"),
        ("1.1", "Transfer-Encoding: xchunked\r\n"),
        ("1.1", "Transfer-Encoding: chunkedx\r\n"),
        ("1.1", "Transfer-Encoding: chunked;q=1\r\n"),
        ("1.1", "Transfer-Encoding: \"chunked\"\r\n"),
        ("1.1", "Transfer-Encoding: chunked chunked\r\n"),
        ("1.1", "Transfer-Encoding: ch\u{fc}nked\r\n"),
        ("1.1", "Transfer-Encoding: \u{b}chunked\r\n"),
        ("1.1", "Transfer-Encoding: \u{c}chunked\r\n"),
        ("1.1", "Transfer-Encoding: chunked\0\r\n"),
        ("1.1", "Transfer-Encoding:\r\n chunked\r\n"),
        ("1.1", "Transfer-Encoding : chunked\r\n"),
        ("1.1", "Transfer-Encoding\t: chunked\r\n"),
        ("1.1", " Transfer-Encoding: chunked\r\n"),
        ("1.1", "X: y\rTransfer-Encoding: chunked\r\n"),
        ("1.0", "Transfer-Encoding: chunked\r\n"),
        ("1.0", "Transfer-Encoding: identity\r\n"),
        ("1.0", "Connection: keep-alive\r\nTransfer-Encoding: chunked\r\n"),
    ] {
        for length in ["", "Content-Length: 5\r\n"] {
            for fields in [format!("{codings}{length}"), format!("{length}{codings}")] {
                let request =
                    format!("POST / HTTP/{version}\r\nHost: test\r\n{fields}\r\n0\r\n\r\n{SMUGGLED}");
                refused(&rig, &request, &[400, 501]);
            }
        }
    }
    assert_eq!(rig.executed(), [""; 0]);
}

#[test]
fn fields_that_only_look_like_framing_frame_nothing() {
    let rig = Rig::start();
    for name in ["Transfer_Encoding", "Transfer.Encoding", "X-Transfer-Encoding", "Transfer-Encodin"] {
        let mut client = rig.client();
        client.send(format!("POST / HTTP/1.1\r\nHost: test\r\n{name}: chunked\r\nContent-Length: 5\r\n\r\n"));
        let (_, seen) = client.send("0\r\n\r\n").answer();
        let seen = seen.to_ascii_lowercase();
        assert_eq!(field(&seen, "content-length"), Some("5"), "{name}: {seen}");
        assert!(client.get("/next").answer().1.starts_with("GET /next "), "{name}");
    }
    // Nor can a client have its framing taken away behind the proxy.
    for listed in
        ["content-length", "Transfer-Encoding", "Host", "Content-Length, close", "x, content-length"]
    {
        let mut client = rig.client();
        client.send(format!(
            "POST / HTTP/1.1\r\nHost: test\r\nConnection: {listed}\r\nContent-Length: {}\r\n\r\n{SMUGGLED}",
            SMUGGLED.len()
        ));
        let (_, seen) = client.answer();
        let seen = seen.to_ascii_lowercase();
        assert_eq!(field(&seen, "host"), Some("test"), "{listed}: {seen}");
        assert_eq!(field(&seen, "content-length"), Some(&*SMUGGLED.len().to_string()), "{listed}: {seen}");
    }
    assert!(!rig.executed().iter().any(|line| line.contains("evil")), "{:?}", rig.executed());
}

#[test]
fn obscure_lengths_and_expectations_leave_the_connection_in_step() {
    let rig = Rig::start();
    let early = path(&[send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"), Step::Body]);
    for method in ["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS"] {
        for expectation in [
            "100-continue",
            "100-Continue",
            "y 100-continue",
            "100-continue, 100-continue",
            "100-continue\r\nExpect: 100-continue",
            "101-nothing",
            "\t",
        ] {
            for target in ["/", &early] {
                let mut client = rig.client();
                client.send(format!(
                    "{method} {target} HTTP/1.1\r\nHost: test\r\nExpect: {expectation}\r\nContent-Length: {}\r\n\r\n",
                    SMUGGLED.len()
                ));
                // Whoever writes without waiting for a 100 may find the connection closed.
                let _ = std::io::Write::write_all(&mut client.stream, SMUGGLED.as_bytes());
                let _ = std::io::Write::write_all(
                    &mut client.stream,
                    b"GET /last HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n",
                );
                client.end();
            }
        }
    }
    assert!(!rig.executed().iter().any(|line| line.contains("evil")), "{:?}", rig.executed());
    for _ in 0..100 {
        assert!(rig.client().get("/next").answer().1.starts_with("GET /next "));
    }
}

#[test]
fn targets_and_methods_reach_the_worker_as_they_came() {
    let rig = Rig::start();
    let mut client = rig.client();
    for target in [
        "/",
        "//",
        "//evil.example/",
        "/a//b",
        "/a/../b",
        "/a/..;/b",
        "/%2e%2e/b",
        "/..%2fb",
        "/a%2Fb",
        "/a%2fb",
        "/a%5cb",
        "/%00",
        "/a%0d%0ab",
        "/%3f%23",
        "/;a=1;b",
        "/?",
        "/??",
        "/?a=b?c",
        "/?a=%26&b=%",
        "/%zz",
        "/%e4%f6",
        "/~user/'(x)*!$&,=:@+",
        "/admin/../metrics",
        "/metrics",
        "/api/v1/status",
    ] {
        let (_, seen) = client.get(target).answer();
        assert!(seen.starts_with(&format!("GET {target} HTTP/1.1\r\n")), "{target}: {seen}");
    }
    for method in ["FOO", "get", "PROPFIND", "M-SEARCH", "QUERY", "PATCH", "TRACE", "!#$%&'*+.^_`|~"] {
        let (_, seen) = client.send(format!("{method} /m HTTP/1.1\r\nHost: test\r\n\r\n")).answer();
        assert!(seen.starts_with(&format!("{method} /m HTTP/1.1\r\n")), "{method}: {seen}");
    }
    let (_, seen) = client.send("OPTIONS * HTTP/1.1\r\nHost: test\r\n\r\n").answer();
    assert!(seen.is_empty() || seen.starts_with("OPTIONS * HTTP/1.1\r\n"), "{seen}");
    // A fragment is the client's own affair (RFC 3986 section 3.5).
    let (_, seen) = client.get("/a#b").answer();
    assert!(seen.starts_with("GET /a HTTP/1.1\r\n"), "{seen}");
}

#[test]
fn the_authority_of_an_absolute_target_is_the_host() {
    let rig = Rig::start();
    for (target, host, path) in [
        ("http://b/", "b", "/"),
        ("http://b", "b", "/"),
        ("http://b:81/p?q", "b:81", "/p?q"),
        ("HTTP://b/p", "b", "/p"),
        ("https://b/p", "b", "/p"),
        ("http://b?q", "b", "/?q"),
        ("http://127.0.0.1:9900/metrics", "127.0.0.1:9900", "/metrics"),
    ] {
        let (_, seen) = rig.client().send(format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n")).answer();
        assert!(seen.starts_with(&format!("GET {path} HTTP/1.1\r\n")), "{target}: {seen}");
        let seen = seen.to_ascii_lowercase();
        assert_eq!(field(&seen, "host"), Some(host), "{target}: {seen}");
        assert_eq!(field(&seen, "x-forwarded-host"), Some(host), "{target}: {seen}");
        assert_eq!(seen.matches("\r\nhost: ").count(), 1, "{target}: {seen}");
    }
}

#[test]
fn max_forwards_is_counted_down_and_the_last_hop_answers_itself() {
    let rig = Rig::start();
    for method in ["OPTIONS", "TRACE"] {
        for (hops, told) in [("10", Some("9")), ("1", Some("0")), ("0", None)] {
            let request = format!("{method} /hops HTTP/1.1\r\nHost: test\r\nMax-Forwards: {hops}\r\n\r\n");
            let (head, seen) = rig.client().send(request).answer();
            assert!(head.starts_with("HTTP/1.1 200 "), "{method} {hops}: {head}");
            assert_eq!(field(&seen.to_ascii_lowercase(), "max-forwards"), told, "{method} {hops}: {seen}");
            assert_eq!(seen.contains(" /hops "), told.is_some(), "{method} {hops}: {seen}");
        }
    }
    // Of other methods it says nothing (RFC 9110 section 7.6.2).
    let (_, seen) = rig.client().send("GET / HTTP/1.1\r\nHost: test\r\nMax-Forwards: 0\r\n\r\n").answer();
    assert_eq!(field(&seen.to_ascii_lowercase(), "max-forwards"), Some("0"), "{seen}");
}

#[test]
fn the_proxy_adds_itself_behind_those_before_it() {
    let rig = Rig::start();
    let (_, seen) = rig
        .client()
        .send("GET / HTTP/1.1\r\nHost: test\r\nVia: 1.0 first\r\nVia: 2 second (x)\r\n\r\n")
        .answer();
    let seen = seen.to_ascii_lowercase();
    let ways: Vec<_> = seen.lines().filter_map(|line| line.strip_prefix("via: ")).collect();
    assert_eq!(ways, ["1.0 first", "2 second (x)", "1.1 antifreeze"]);
}

/// Every field that the proxy writes for the worker.
const OURS: &[&str] = &[
    "X-Forwarded-For",
    "X-Forwarded-Proto",
    "X-Forwarded-Host",
    "X-Request-Id",
    "X-Real-IP",
    "Forwarded",
    "Client-Cert",
    "Client-Cert-Chain",
    "Proxy",
];

#[test]
fn nothing_of_what_a_stranger_says_of_itself_arrives_under_any_spelling() {
    let rig = Rig::start();
    for between in ["-", "_", "."] {
        let mut fields = String::new();
        for name in OURS {
            for name in [name.replace('-', between), name.replace('-', between).to_ascii_uppercase()] {
                fields += &format!("{name}: evil\r\n");
            }
        }
        let (_, seen) = rig.client().send(format!("GET / HTTP/1.1\r\nHost: test\r\n{fields}\r\n")).answer();
        assert!(!seen.contains("evil"), "{seen}");
    }
}

#[test]
fn no_client_can_have_the_proxys_own_fields_taken_away() {
    let rig = Rig::start();
    let (_, plain) = rig.client().get("/").answer();
    for listed in [OURS.join(", "), "Via, Host".to_owned()] {
        let request = format!("GET / HTTP/1.1\r\nHost: test\r\nConnection: {listed}\r\n\r\n");
        let (_, seen) = rig.client().send(request).answer();
        let names = |text: &str| -> Vec<String> {
            text.lines()
                .skip(1)
                .filter_map(|line| Some(line.split_once(':')?.0.to_ascii_lowercase()))
                .collect()
        };
        let (mut expected, mut found) = (names(&plain), names(&seen));
        expected.sort();
        found.sort();
        assert_eq!(found, expected, "{listed}: {seen}");
    }
}

#[test]
fn fields_of_the_content_pass_untouched_both_ways_and_nothing_is_answered_from_memory() {
    let rig = Rig::start();
    let head = "HTTP/1.1 200 OK\r\nETag: \"x\"\r\nContent-Encoding: gzip\r\nContent-Type: text/plain\r\nVary: *\r\n\
        Cache-Control: no-transform, public, max-age=3600\r\nAccept-Ranges: bytes\r\nContent-Length: 4\r\n\r\n\x1f\u{8}\0b";
    let kept = path(&[send(head)]);
    let conditions = "Accept-Encoding: br;q=0\r\nIf-None-Match: \"x\"\r\nRange: bytes=0-1\r\nTE: gzip\r\n";
    let mut client = rig.client();
    for _ in 0..3 {
        client.send(format!("GET {kept} HTTP/1.1\r\nHost: test\r\n{conditions}\r\n"));
        let (told, body) = client.answer();
        for line in head.to_ascii_lowercase().split("\r\n\r\n").next().expect("a head").lines().skip(1) {
            assert!(told.contains(line), "{line}: {told}");
        }
        assert_eq!((body.as_str(), field(&told, "age")), ("\x1f\u{8}\0b", None));
    }
    assert_eq!(rig.executed().len(), 3, "each was the worker's own answer");
    let seen = rig.ledger()[0].text().to_ascii_lowercase();
    for (name, value) in [("accept-encoding", "br;q=0"), ("if-none-match", "\"x\""), ("range", "bytes=0-1")] {
        assert_eq!(field(&seen, name), Some(value), "{seen}");
    }
}

#[test]
fn extensions_of_chunks_are_bounded_whatever_they_say() {
    let rig = Rig::start();
    let steps = path(&[Step::Body, send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")]);
    for (what, extension) in [("one of 20 MB", 20_000_000), ("many small ones", 8)] {
        let mut client = rig.client();
        client.send(format!("POST {steps} HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n"));
        let chunk = format!("1;{}\r\nx\r\n", "e".repeat(extension));
        let times = 20_000_000 / chunk.len();
        let bytes = chunk.repeat(times.max(1));
        // The proxy stops reading: at which byte is its affair.
        let _ = std::io::Write::write_all(&mut client.stream, bytes.as_bytes());
        match client.end() {
            End::Closed(text) => assert!(text.starts_with("HTTP/1.1 400 "), "{what}: {text}"),
            End::Reset | End::Cut => {}
        }
    }
    let received = rig.ledger().iter().map(|row| row.received_total).max().unwrap_or_default();
    assert!(received < 1024 * 1024, "{received} bytes of it reached the worker");
    rig.until_idle();
}

/// Sends a request that no worker may see, with another one behind it: it is answered by one of these statuses, and that
/// is all there is on the connection.
fn refused(rig: &Rig, request: &str, statuses: &[u16]) {
    let mut client = rig.client();
    // Characters stand for bytes here: of those above ASCII too.
    let bytes =
        [request, SMUGGLED].concat().chars().map(|c| u8::try_from(c).unwrap_or(b'?')).collect::<Vec<_>>();
    client.send(bytes);
    let head = client.head();
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
    assert!(status.is_some_and(|status| statuses.contains(&status)), "{request:?}: {head}");
    assert_eq!(field(&head, "connection"), Some("close"), "{request:?}: {head}");
    if let End::Closed(rest) = client.end() {
        assert!(!rest.contains("HTTP/1"), "{request:?}: {rest}");
    }
    assert_eq!(rig.executed(), [""; 0], "{request:?}");
}
