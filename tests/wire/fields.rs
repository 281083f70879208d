//! Header fields on their way through, in both directions.

use crate::wire::client::{End, field};
use crate::wire::rig::Rig;
use crate::wire::script::{path, send};

#[test]
fn fields_of_one_connection_end_there_and_all_others_go_on() {
    let rig = Rig::start();
    let request = "GET / HTTP/1.1\r\nHost: test\r\nConnection: close, X-Mine\r\nConnection: X-Also\r\nX-Mine: 1\r\n\
        X-Also: 1\r\nKeep-Alive: timeout=5\r\nProxy-Connection: keep-alive\r\nTE: gzip\r\nUpgrade: foo\r\n\
        Proxy-Authorization: Basic eA==\r\nX-A: 1\r\nX-A: 2\r\nX-A: 3\r\nX-Unheard-Of: yes\r\n\r\n";
    let (_, seen) = rig.client().send(request).answer();
    let seen = seen.to_ascii_lowercase();
    for gone in [
        "x-mine",
        "x-also",
        "keep-alive",
        "proxy-connection",
        "te",
        "upgrade",
        "proxy-authorization",
        "connection",
    ] {
        assert_eq!(field(&seen, gone), None, "{seen}");
    }
    let values: Vec<_> = seen.lines().filter_map(|line| line.strip_prefix("x-a: ")).collect();
    assert_eq!(values, ["1", "2", "3"]);
    assert_eq!(field(&seen, "x-unheard-of"), Some("yes"));
    assert_eq!(field(&seen, "via"), Some("1.1 antifreeze"));

    let answer = "HTTP/1.1 200 OK\r\nConnection: X-Mine\r\nX-Mine: 1\r\nKeep-Alive: timeout=5\r\nProxy-Connection: x\r\n\
        Upgrade: foo\r\nSet-Cookie: a=1\r\nX-Unheard-Of: yes\r\nSet-Cookie: b=2\r\nSet-Cookie: c=3\r\nSet-Cookie: d=4\r\n\
        Set-Cookie: e=5\r\nDate: Mon, 01 Jan 2024 00:00:00 GMT\r\nContent-Length: 0\r\n\r\n";
    let head = rig.client().get(&path(&[send(answer)])).head();
    for gone in ["x-mine", "keep-alive", "proxy-connection", "upgrade", "connection"] {
        assert_eq!(field(&head, gone), None, "{head}");
    }
    let cookies: Vec<_> = head.lines().filter_map(|line| line.strip_prefix("set-cookie: ")).collect();
    assert_eq!(cookies, ["a=1", "b=2", "c=3", "d=4", "e=5"]);
    assert_eq!(field(&head, "x-unheard-of"), Some("yes"));
    let dates: Vec<_> = head.lines().filter_map(|line| line.strip_prefix("date: ")).collect();
    assert_eq!(dates, ["mon, 01 jan 2024 00:00:00 gmt"]);
}

#[test]
fn a_date_is_added_where_the_worker_gave_none() {
    let rig = Rig::start();
    let head = rig.client().get(&path(&[send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")])).head();
    assert!(field(&head, "date").is_some_and(|date| date.ends_with(" gmt")), "{head}");
}

#[test]
fn space_before_a_colon_is_refused_from_clients_and_removed_from_answers() {
    let rig = Rig::start();
    let head = rig.client().send("GET / HTTP/1.1\r\nHost: test\r\nX-A : 1\r\n\r\n").head();
    assert!(head.starts_with("HTTP/1.1 400 "), "{head}");
    let steps = [send("HTTP/1.1 200 OK\r\nX-A : 1\r\nContent-Length: 0\r\n\r\n")];
    let head = rig.client().get(&path(&steps)).head();
    assert_eq!(field(&head, "x-a"), Some("1"), "{head}");
}

#[test]
fn control_bytes_in_values_never_go_through() {
    let rig = Rig::start();
    for byte in (0..0x20).chain([0x7f]).filter(|byte| *byte != b'\t') {
        // LF ends the field: what follows is another one, of a name that is none.
        let request = [&b"GET / HTTP/1.1\r\nHost: test\r\nX-A: a"[..], &[byte], b"b\r\n\r\n"].concat();
        let head = rig.client().send(request).head();
        assert!(head.starts_with("HTTP/1.1 400 "), "{byte:#x}: {head}");
        let answer = [&b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nX-A: a"[..], &[byte], b"b\r\n\r\n"].concat();
        let head = rig.client().get(&path(&[send(answer)])).head();
        assert!(head.starts_with("HTTP/1.1 502 "), "{byte:#x}: {head}");
    }
    let bytes_above = b"GET / HTTP/1.1\r\nHost: test\r\nX-A: \xe4\tb\r\nConnection: close\r\n\r\n";
    assert!(rig.client().send(bytes_above).head().starts_with("HTTP/1.1 200 "));
    assert_eq!(rig.executed().iter().filter(|line| line.contains(" / ")).count(), 1, "{:?}", rig.executed());
}

#[test]
fn heads_that_are_too_long_are_refused_by_name() {
    let rig = Rig::start();
    let long = |length| "x".repeat(length);
    for (request, status) in [
        (format!("GET /{} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n", long(7998)), 200),
        (format!("GET /{} HTTP/1.1\r\nHost: test\r\n\r\n", long(70_000)), 414),
        (format!("GET / HTTP/1.1\r\nHost: test\r\nX-A: {}\r\n\r\n", long(70_000)), 431),
        (format!("GET / HTTP/1.1\r\nHost: test\r\n{}\r\n", "X-A: 1\r\n".repeat(200)), 431),
    ] {
        let head = rig.client().send(request).head();
        assert!(head.starts_with(&format!("HTTP/1.1 {status} ")), "{head}");
    }
}

#[test]
fn an_http_1_0_client_is_spoken_to_in_its_own_version() {
    let rig = Rig::start();
    let mut client = rig.client();
    let (head, seen) = client.send("GET / HTTP/1.0\r\nHost: test\r\nExpect: 100-continue\r\nConnection: upgrade\r\nUpgrade: foo\r\n\r\n").answer();
    assert!(head.starts_with("HTTP/1.0 200 "), "{head}");
    assert!(seen.starts_with("GET / HTTP/1.1\r\n"), "{seen}");
    let seen = seen.to_ascii_lowercase();
    assert_eq!((field(&seen, "expect"), field(&seen, "upgrade")), (None, None));
    assert_eq!(field(&seen, "via"), Some("1.0 antifreeze"));
    assert_eq!(client.end(), End::Closed(String::new()), "no keep-alive was agreed on");

    let mut keeping = rig.client();
    for _ in 0..2 {
        let (head, _) = keeping.send("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n").answer();
        assert_eq!(field(&head, "connection"), Some("keep-alive"), "{head}");
    }

    // It knows no chunks: what has no length ends with the connection.
    let chunks = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nbody\r\n0\r\n\r\n";
    let mut client = rig.client();
    let head = client
        .send(format!("GET {} HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", path(&[send(chunks)])))
        .head();
    assert_eq!((field(&head, "transfer-encoding"), field(&head, "connection")), (None, None), "{head}");
    assert_eq!(client.end(), End::Closed("body".to_owned()));
}

#[test]
fn an_answer_says_where_its_time_went_if_that_is_wanted() {
    let rig = Rig::with("{socket}", &["--response-header", "timing"]);
    let steps = [send("HTTP/1.1 200 OK\r\nServer-Timing: db;dur=53\r\nContent-Length: 0\r\n\r\n")];
    let head = rig.client().get(&path(&steps)).head();
    let lines: Vec<_> = head.lines().filter_map(|line| line.strip_prefix("server-timing: ")).collect();
    let [apps, ours] = lines[..] else { panic!("{head}") };
    assert_eq!(apps, "db;dur=53");
    let (queue, worker) = ours.split_once(", ").expect("two steps");
    for (step, name) in [(queue, "queue;dur="), (worker, "worker;dur=")] {
        let duration = step.strip_prefix(name).and_then(|number| number.parse::<f64>().ok());
        assert!(duration.is_some_and(|milliseconds| (0.0..20_000.0).contains(&milliseconds)), "{ours}");
    }
}

#[test]
fn an_answer_says_whose_it_is_unless_that_is_a_secret() {
    let refused = |rig: &Rig| rig.client().send("CONNECT test:80 HTTP/1.1\r\nHost: test\r\n\r\n").head();
    let head = refused(&Rig::start());
    assert_eq!(field(&head, "x-antifreeze"), Some("connect"), "{head}");
    let head = refused(&Rig::with("{socket}", &["--response-header", "off"]));
    assert!(head.starts_with("HTTP/1.1 405 "), "{head}");
    assert_eq!(field(&head, "x-antifreeze"), None, "{head}");
}
