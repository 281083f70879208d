//! Connections that begin with a PROXY header: its client is who asks, and without one nobody is let in.

use crate::support::{lines_of, until};
use crate::wire::client::{Client, field};
use crate::wire::rig::Rig;
use crate::wire::script::{gate, path, send};
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
const LINE: &str = "PROXY TCP4 198.51.100.7 192.0.2.1 4711 80\r\n";
const BINARY: &[u8] =
    b"\r\n\r\n\0\r\nQUIT\n\x21\x11\x00\x10\xc6\x33\x64\x07\xc0\x00\x02\x01\x12\x67\x00\x50\x04\x00\x01\x2a";

fn rig(flags: &[&str]) -> Rig {
    Rig::with("{socket}", &[&["--proxy-protocol", "required"], flags].concat())
}

/// What the worker sees behind this header.
fn seen(rig: &Rig, header: impl AsRef<[u8]>) -> String {
    let mut client = rig.client();
    client.send([header.as_ref(), b"GET / HTTP/1.1\r\nHost: test\r\n\r\n"].concat());
    client.answer().1.to_ascii_lowercase()
}

#[test]
fn the_client_of_a_header_is_who_asks() {
    let folder = tempfile::tempdir().expect("a writable temporary folder");
    let log = folder.path().join("access.log");
    let rig = rig(&["--access-log", &log.to_string_lossy(), "--access-log-format", "json"]);
    for (header, client) in [
        (LINE.as_bytes(), "198.51.100.7"),
        (BINARY, "198.51.100.7"),
        (b"PROXY TCP6 2001:db8::7 ::1 4711 80\r\n", "2001:db8::7"),
        // A load balancer's own checks.
        (b"PROXY UNKNOWN\r\n", "127.0.0.1"),
        (b"\r\n\r\n\0\r\nQUIT\n\x20\x00\x00\x00", "127.0.0.1"),
    ] {
        assert_eq!(field(&seen(&rig, header), "x-forwarded-for"), Some(client));
    }
    let mut clients: Vec<String> = lines_of(&log, 5)
        .iter()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).expect("it is JSON"))
        .map(|line| line["client"].as_str().expect("a client").to_owned())
        .collect();
    // Each thread hands over its lines in its own time.
    clients.sort();
    assert_eq!(clients, ["127.0.0.1", "127.0.0.1", "198.51.100.7", "198.51.100.7", "2001:db8::7"]);
}

#[test]
fn a_header_may_come_in_pieces_and_requests_right_behind_it() {
    let rig = rig(&[]);
    for header in [LINE.as_bytes(), BINARY] {
        let mut client = rig.client();
        client.stream.set_nodelay(true).expect("a TCP socket");
        let requests = b"GET /1 HTTP/1.1\r\nHost: test\r\n\r\nGET /2 HTTP/1.1\r\nHost: test\r\n\r\n";
        for byte in header {
            client.send([*byte]);
        }
        client.send(requests);
        for number in ["/1", "/2"] {
            let (_, seen) = client.answer();
            assert!(seen.starts_with(&format!("GET {number} ")), "{seen}");
            assert_eq!(field(&seen.to_ascii_lowercase(), "x-forwarded-for"), Some("198.51.100.7"));
        }
    }
}

#[test]
fn what_begins_otherwise_is_closed_and_counted() {
    // What is malformed must not be late, too.
    let (patient, hasty) = (rig(&[]), rig(&["--header-timeout", "500ms"]));
    let long = [b"\r\n\r\n\0\r\nQUIT\n\x21\x11\xff\xff", &[0; 5000][..]].concat();
    for (start, reason) in [
        (&b"GET / HTTP/1.1\r\nHost: test\r\n\r\n"[..], "proxy_header_malformed"),
        (
            b"PROXY TCP4 evil 192.0.2.1 4711 80\r\nGET / HTTP/1.1\r\nHost: test\r\n\r\n",
            "proxy_header_malformed",
        ),
        (b"\r\n\r\n\0\r\nQUIT\n\x21\x11\x00\x02\x00\x00", "proxy_header_malformed"),
        (&long, "proxy_header_too_long"),
        (b"PROXY TCP4 198.51", "proxy_header_timeout"),
        (b"", "proxy_header_timeout"),
    ] {
        let rig = if reason == "proxy_header_timeout" { &hasty } else { &patient };
        let before = rig.program.ask("/metrics").body;
        let count = |metrics: &str| {
            let name = format!("antifreeze_refusals_total{{reason=\"{reason}\"}} ");
            metrics.lines().find_map(|line| line.strip_prefix(&name)?.parse::<u64>().ok()).unwrap_or(0)
        };
        let mut client = rig.client();
        let _ = client.stream.write_all(start);
        assert!(client.is_cut(), "{reason}");
        until(reason, || (count(&rig.program.ask("/metrics").body) == count(&before) + 1).then_some(()));
    }
    for rig in [patient, hasty] {
        assert!(rig.executed().is_empty(), "{:?}", rig.executed());
    }
}

#[test]
fn only_trusted_proxies_may_say_who_asks_if_there_are_any() {
    let stranger = rig(&["--trusted-proxy", "192.0.2.1"]);
    let mut client = stranger.client();
    let _ = client.stream.write_all(format!("{LINE}GET / HTTP/1.1\r\nHost: test\r\n\r\n").as_bytes());
    assert!(client.is_cut());
    assert!(stranger.executed().is_empty());

    let trusted = rig(&["--trusted-proxy", "127.0.0.1"]);
    assert_eq!(field(&seen(&trusted, LINE), "x-forwarded-for"), Some("198.51.100.7"));
}

#[test]
fn whoever_comes_through_a_trusted_load_balancer_is_no_more_believed_than_directly() {
    let rig = rig(&["--trusted-proxy", "127.0.0.1"]);
    let mut client = rig.client();
    client.send(format!(
        "{LINE}GET / HTTP/1.1\r\nHost: test\r\nX-Forwarded-For: 10.9.9.9\r\nForwarded: for=10.9.9.9\r\n\r\n"
    ));
    let seen = client.answer().1.to_ascii_lowercase();
    assert_eq!(field(&seen, "x-forwarded-for"), Some("198.51.100.7"));
    assert_eq!(field(&seen, "forwarded"), Some("for=198.51.100.7;host=test;proto=http"));
}

#[test]
fn limits_are_those_of_the_client_in_the_header() {
    let rig = rig(&[
        "--client-in-flight-limit",
        "1",
        "--client-connection-limit",
        "2",
        "--trusted-proxy",
        "127.0.0.1",
    ]);
    let ask = |header: &str, target: &str| {
        let mut client = rig.client();
        let _ = client
            .stream
            .write_all(format!("{header}GET {target} HTTP/1.1\r\nHost: test\r\n\r\n").as_bytes());
        client
    };
    let mut held = ask(LINE, &path(&[gate("done"), send(OK)]));
    rig.until_held(1);
    let mut second = ask(LINE, "/");
    assert!(second.answer().0.starts_with("HTTP/1.1 429 "));
    assert!(ask(LINE, "/").is_cut(), "a third connection");
    let mut other = ask("PROXY TCP4 198.51.100.8 192.0.2.1 4711 80\r\n", "/");
    assert!(other.answer().0.starts_with("HTTP/1.1 200 "), "another client has its own");
    rig.open("done");
    assert_eq!(held.answer().1, "ok");
}

#[test]
fn a_unix_socket_takes_the_header_too() {
    let folder = tempfile::tempdir().expect("a writable temporary folder");
    let socket = folder.path().join("front.sock");
    let _rig = rig(&["--listen", &format!("unix:{}", socket.display())]);
    for header in [LINE.as_bytes(), BINARY] {
        let mut stream = UnixStream::connect(&socket).expect("it listens");
        let request =
            b"GET / HTTP/1.1\r\nHost: test\r\nConnection: close\r\nX-Forwarded-For: 10.9.9.9\r\n\r\n";
        stream.write_all(&[header, request].concat()).expect("it reads");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("it answers");
        let answer = answer.to_ascii_lowercase();
        assert_eq!(field(&answer, "x-forwarded-for"), Some("198.51.100.7"), "{answer}");
    }
    let mut silent = UnixStream::connect(&socket).expect("it listens");
    silent.write_all(b"GET / HTTP/1.1\r\n\r\n").expect("there is room");
    let mut answer = Vec::new();
    let _ = silent.read_to_end(&mut answer);
    assert!(answer.is_empty(), "{}", String::from_utf8_lossy(&answer));
}

#[test]
fn curl_is_understood_with_its_header_and_not_without() {
    let rig = rig(&[]);
    let (code, printed) = rig.curl("/", &["--haproxy-protocol"]);
    assert_eq!(code, 0, "{printed}");
    assert_eq!(field(&printed.to_ascii_lowercase(), "x-forwarded-for"), Some("127.0.0.1"));
    let (code, printed) = rig.curl("/", &[]);
    assert!(code != 0, "{printed}");
}

#[test]
fn a_client_that_says_nothing_holds_no_end_up() {
    let rig = rig(&["--header-timeout", "off"]);
    let _silent: Vec<Client> = (0..5).map(|_| rig.client()).collect();
    let mut rig = rig;
    rig.program.signal("TERM");
    assert!(rig.program.wait().success());
}
