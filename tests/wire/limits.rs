//! What clients may send and have at once: each limit acts, says so on a connection that can still be read, and hits
//! nobody who keeps within it.

use crate::support::until;
use crate::wire::client::{Client, End, field};
use crate::wire::rig::Rig;
use crate::wire::script::{Step, gate, path, send};
use std::io::Write;
use std::time::{Duration, Instant};

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

/// No loopback address is exempt: a network for documentation takes the place of all.
const COUNT_ALL: [&str; 2] = ["--client-exempt", "192.0.2.0/24"];

fn rig(flags: &[&str]) -> Rig {
    Rig::with("{socket}", flags)
}

/// How often something was refused for this reason.
fn refusals(rig: &Rig, reason: &str) -> u64 {
    let metrics = rig.program.ask("/metrics").body;
    let name = format!("antifreeze_refusals_total{{reason=\"{reason}\"}} ");
    metrics.lines().find_map(|line| line.strip_prefix(&name)?.parse().ok()).unwrap_or(0)
}

fn until_refused(rig: &Rig, reason: &str, count: u64) {
    until(reason, || (refusals(rig, reason) == count).then_some(()));
}

#[test]
fn a_target_that_is_too_long_is_a_414_however_long_it_is() {
    let rig = rig(&[]);
    let long = |length: usize| format!("/{}", "x".repeat(length - 1));
    for length in [7_999, 8_000, 32_768] {
        let head = rig.client().get(&long(length)).head();
        assert!(head.starts_with("HTTP/1.1 200 "), "{length}: {head}");
    }
    let too_long = [32_769, 60_000, 65_500, 65_536, 70_000, 1_000_000];
    for length in too_long {
        let mut client = rig.client();
        // The refusal may come before all of it is sent.
        let _ = client
            .stream
            .write_all(format!("GET {} HTTP/1.1\r\nHost: test\r\n\r\n", long(length)).as_bytes());
        let (head, _) = client.answer();
        assert!(head.starts_with("HTTP/1.1 414 "), "{length}: {head}");
        assert_eq!(field(&head, "x-antifreeze"), Some("target_too_long"), "{length}");
        assert_eq!(field(&head, "connection"), Some("close"), "{length}");
        assert_eq!(client.end(), End::Closed(String::new()), "{length}");
    }
    until_refused(&rig, "target_too_long", too_long.len() as u64);
    assert!(rig.executed().iter().all(|line| line.len() <= 32_768 + "GET  HTTP/1.1".len()));
}

#[test]
fn a_head_may_be_as_long_as_its_limit_and_no_longer() {
    let rig = rig(&["--header-limit", "16KiB"]);
    let with_length = |length: usize| {
        let start = "GET / HTTP/1.1\r\nHost: test\r\nX-A: ";
        format!("{start}{}\r\n\r\n", "x".repeat(length - start.len() - 4))
    };
    for behind in ["", "\r\nGET /next HTTP/1.1\r\nHost: test\r\n\r\n"] {
        let head = rig.client().send(with_length(16_384) + behind).head();
        assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
        let mut client = rig.client();
        let head = client.send(with_length(16_385) + behind).head();
        assert!(head.starts_with("HTTP/1.1 431 "), "{head}");
        assert_eq!(field(&head, "x-antifreeze"), Some("head_too_large"));
        assert_eq!(client.end(), End::Closed(String::new()));
    }
    let mut kept = rig.client();
    for _ in 0..3 {
        let (head, _) = kept.send(with_length(16_384)).answer();
        assert!(head.starts_with("HTTP/1.1 200 "), "each request has a limit of its own: {head}");
    }
    let head = kept.send(with_length(16_385)).head();
    assert!(head.starts_with("HTTP/1.1 431 "), "{head}");
    until_refused(&rig, "head_too_large", 3);
    let head = rig.client().get(&format!("/{}", "x".repeat(20_000))).head();
    assert!(head.starts_with("HTTP/1.1 414 "), "a target alone that is too long for a head: {head}");
}

#[test]
fn what_comes_behind_a_refusal_does_not_take_it_away() {
    // What is refused otherwise must not be late, too.
    let patient = rig(&["--body-limit", "100B"]);
    let hasty = rig(&["--header-timeout", "300ms", "--body-timeout", "300ms"]);
    let post = format!("POST {} HTTP/1.1\r\nHost: test\r\nContent-Length: ", path(&[Step::Body, send(OK)]));
    for (status, request) in [
        (408, "GET / HTTP/1.1\r\nHost: te".to_owned()),
        (408, format!("{post}50\r\n\r\nhalf")),
        (413, format!("{post}4000000\r\n\r\n")),
        (414, format!("GET /{} HTTP/1.1\r\nHost: test\r\n\r\n", "x".repeat(40_000))),
        (431, format!("GET / HTTP/1.1\r\nHost: test\r\n{}\r\n", "X-A: 1\r\n".repeat(200))),
        (431, format!("GET / HTTP/1.1\r\nHost: test\r\nX-A: {}", "x".repeat(70_000))),
    ] {
        for _ in 0..3 {
            let mut client = if status == 408 { hasty.client() } else { patient.client() };
            client.send(&request);
            // It reads only when it has written everything, and there is more than the proxy's buffers take.
            if status == 408 {
                until("the limit has passed", || client.stream.peek(&mut [0]).ok());
            }
            client.send(vec![b'x'; 3_000_000]);
            let (head, _) = client.answer();
            assert!(head.starts_with(&format!("HTTP/1.1 {status} ")), "{status}: {head}");
        }
    }
}

#[test]
fn a_body_that_is_too_slow_is_a_408_and_one_that_is_just_quick_enough_is_none() {
    let rig = rig(&["--body-rate", "50B", "--body-grace", "1500ms"]);
    let drip = |pause: u64| {
        let mut client = rig.client();
        let steps = path(&[Step::Body, send(OK)]);
        client.send(format!("POST {steps} HTTP/1.1\r\nHost: test\r\nContent-Length: 150\r\n\r\n"));
        let began = Instant::now();
        for number in 1..=150 {
            until("it is time", || (began.elapsed() >= Duration::from_millis(pause * number)).then_some(()));
            if client.stream.write_all(b"x").is_err() {
                break;
            }
        }
        client.answer().0
    };
    // 50 a second is one every 20 ms.
    let head = drip(15);
    assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
    let head = drip(60);
    assert!(head.starts_with("HTTP/1.1 408 "), "{head}");
    assert_eq!(field(&head, "x-antifreeze"), Some("body_too_slow"));
    until_refused(&rig, "body_too_slow", 1);
    rig.until_idle();
}

#[test]
fn a_client_with_too_many_connections_is_closed_at_once_until_it_has_fewer() {
    let rig = rig(&[&["--client-connection-limit", "2"], &COUNT_ALL[..]].concat());
    let mut kept: Vec<Client> = (0..2).map(|_| rig.client()).collect();
    for client in &mut kept {
        client.get("/").answer();
    }
    for count in 1..=3 {
        assert_eq!(rig.client().end(), End::Reset);
        until_refused(&rig, "client_connections", count);
    }
    kept[0].get("/").answer();
    kept.pop();
    until("there is room again", || {
        let mut client = rig.client();
        client.stream.write_all(b"GET / HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n").ok()?;
        matches!(client.end(), End::Closed(answer) if answer.starts_with("HTTP/1.1 200 ")).then_some(())
    });
}

#[test]
fn a_tunnel_is_one_of_its_clients_connections() {
    let rig = rig(&[&["--client-connection-limit", "1"], &COUNT_ALL[..]].concat());
    let switch = "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\n";
    let mut tunnel = rig.client();
    let steps = path(&[send(switch), Step::Echo]);
    tunnel
        .send(format!("GET {steps} HTTP/1.1\r\nHost: test\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\n"));
    assert!(tunnel.head().starts_with("HTTP/1.1 101 "));
    assert_eq!(tunnel.send("ping").read(4), "ping");
    assert_eq!(rig.client().end(), End::Reset);
    tunnel.finish().end();
    until("there is room again", || {
        let mut client = rig.client();
        client.stream.write_all(b"GET / HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n").ok()?;
        matches!(client.end(), End::Closed(answer) if answer.starts_with("HTTP/1.1 200 ")).then_some(())
    });
}

#[test]
fn a_client_with_too_many_requests_in_flight_is_answered_429_until_it_has_fewer() {
    let rig = rig(&[&["--client-in-flight-limit", "2"], &COUNT_ALL[..]].concat());
    let waits = path(&[gate("done"), send(OK)]);
    let mut held: Vec<Client> = (0..2).map(|_| rig.client()).collect();
    for client in &mut held {
        client.get(&waits);
    }
    rig.until_held(2);
    let mut third = rig.client();
    for _ in 0..2 {
        let (head, body) = third.get("/third").answer();
        assert!(head.starts_with("HTTP/1.1 429 "), "its connection goes on: {head}");
        assert_eq!((field(&head, "retry-after"), field(&head, "connection")), (Some("1"), None));
        assert_eq!(field(&head, "content-type"), Some("application/problem+json"));
        let problem: serde_json::Value = serde_json::from_str(&body).expect("it is JSON");
        assert_eq!((&problem["status"], &problem["reason"]), (&429.into(), &"client_in_flight".into()));
    }
    until_refused(&rig, "client_in_flight", 2);
    rig.open("done");
    for client in &mut held {
        assert_eq!(client.answer().1, "ok");
    }
    assert!(third.get("/fourth").answer().0.starts_with("HTTP/1.1 200 "));
    assert!(!rig.executed().iter().any(|line| line.contains("third")));
}

#[test]
fn behind_a_trusted_proxy_clients_are_counted_one_by_one() {
    let limits =
        ["--client-in-flight-limit", "1", "--client-connection-limit", "1", "--trusted-proxy", "127.0.0.1"];
    let rig = rig(&[&limits, &COUNT_ALL[..]].concat());
    let waits = path(&[gate("done"), send(OK)]);
    let ask = |target: &str, from: &str| {
        let mut client = rig.client();
        client.send(format!("GET {target} HTTP/1.1\r\nHost: test\r\nX-Forwarded-For: {from}\r\n\r\n"));
        client
    };
    let mut held = ask(&waits, "evil, 198.51.100.1");
    rig.until_held(1);
    for (from, status) in [
        ("198.51.100.1", 429),
        ("198.51.100.9, 198.51.100.1, 127.0.0.1", 429),
        ("198.51.100.2", 200),
        ("198.51.100.1, 198.51.100.3", 200),
        ("", 200),
    ] {
        let head = ask("/", from).head();
        assert!(head.starts_with(&format!("HTTP/1.1 {status} ")), "{from}: {head}");
    }
    rig.open("done");
    assert_eq!(held.answer().1, "ok");
    until("the client's place is free", || {
        ask("/", "198.51.100.1").head().starts_with("HTTP/1.1 200 ").then_some(())
    });
}

#[test]
fn whoever_stands_for_many_is_not_counted_unless_told_so() {
    let rig = rig(&["--client-connection-limit", "1", "--client-in-flight-limit", "1"]);
    let mut clients: Vec<Client> = (0..5).map(|_| rig.client()).collect();
    for client in &mut clients {
        client.get(&path(&[gate("done"), send(OK)]));
    }
    rig.until_held(5);
    rig.open("done");
    for client in &mut clients {
        assert_eq!(client.answer().1, "ok", "loopback is exempt");
    }
}

#[test]
fn a_connection_carries_so_many_requests_and_ends_behind_the_last_answer() {
    let rig = rig(&["--connection-request-limit", "3"]);
    let mut client = rig.client();
    // More than it may ask, at once: what is behind the last one was never begun, and the client may ask it elsewhere.
    client.send("GET /n HTTP/1.1\r\nHost: test\r\n\r\n".repeat(300));
    for last in [false, false, true] {
        let (head, _) = client.answer();
        assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
        assert_eq!(field(&head, "connection") == Some("close"), last, "{head}");
    }
    assert_eq!(client.end(), End::Closed(String::new()));
    assert_eq!(rig.executed().len(), 3);
    let mut old = rig.client();
    for last in [false, false, true] {
        let (head, _) = old.send("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n").answer();
        assert_eq!(field(&head, "connection") != Some("keep-alive"), last, "{head}");
    }
    assert_eq!(old.end(), End::Closed(String::new()));
}

#[test]
fn more_connections_than_there_may_be_wait_until_others_end_whichever_thread_has_them() {
    let rig = rig(&["--connection-limit", "3", "--threads", "4"]);
    let mut first: Vec<Client> = (0..3).map(|_| rig.client()).collect();
    for client in &mut first {
        client.get("/first").answer();
    }
    let mut waiting: Vec<Client> = (0..6).map(|_| rig.client()).collect();
    for client in &mut waiting {
        client.send("GET /waiting HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n");
    }
    let waited = |rig: &Rig| rig.executed().iter().filter(|line| line.contains("waiting")).count();
    // The others are served meanwhile.
    let began = Instant::now();
    until("a while", || (began.elapsed() > Duration::from_millis(500)).then_some(()));
    first[0].get("/first").answer();
    assert_eq!(waited(&rig), 0);
    drop(first);
    for mut client in waiting {
        assert!(client.answer().0.starts_with("HTTP/1.1 200 "));
    }
}
