//! Tunnels (WebSocket): only after a 101 that was asked for, and then byte by byte.

use crate::support::until;
use crate::wire::client::{Client, End, field};
use crate::wire::rig::Rig;
use crate::wire::script::{Step, gate, path, send};

const SWITCH: &str = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: x\r\n\r\n";

fn upgrade(steps: &[Step]) -> String {
    let path = path(steps);
    format!(
        "GET {path} HTTP/1.1\r\nHost: test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: k\r\n\r\n"
    )
}

fn opened(rig: &Rig, steps: &[Step]) -> Client {
    let mut client = rig.client();
    let head = client.send(upgrade(steps)).head();
    assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
    client
}

#[test]
fn a_tunnel_carries_every_byte_both_ways_and_each_end_on_its_own() {
    let rig = Rig::start();
    let mut client = rig.client();
    let head = client.send(upgrade(&[send([SWITCH, "early"].concat()), Step::Echo])).head();
    for (name, value) in [("connection", "upgrade"), ("upgrade", "websocket"), ("sec-websocket-accept", "x")]
    {
        assert_eq!(field(&head, name), Some(value), "{head}");
    }
    assert_eq!(field(&head, "transfer-encoding").or(field(&head, "content-length")), None, "{head}");
    assert_eq!(client.read(5), "early");
    let seen = rig.ledger()[0].text().to_ascii_lowercase();
    assert_eq!((field(&seen, "upgrade"), field(&seen, "sec-websocket-key")), (Some("websocket"), Some("k")));

    let bytes: Vec<u8> = (0..=255).cycle().take(1_000_000).collect();
    let mut writer = client.stream.try_clone().expect("a second handle");
    let echoed = std::thread::scope(|scope| {
        scope.spawn(|| {
            std::io::Write::write_all(&mut writer, &bytes).expect("the tunnel takes it");
            writer.shutdown(std::net::Shutdown::Write).expect("it is connected");
        });
        client.rest()
    });
    assert!(echoed == bytes, "{} of {} bytes came back", echoed.len(), bytes.len());
    rig.until_idle();
}

#[test]
fn the_workers_end_of_a_tunnel_leaves_the_clients_way_open() {
    let rig = Rig::start();
    let mut client = opened(&rig, &[send(SWITCH), send("bye"), Step::Drain]);
    client.read_to("bye");
    client.send("still here");
    until("the worker hears it", || rig.ledger()[0].text().ends_with("still here").then_some(()));
    client.finish();
    assert_eq!(client.end(), End::Closed(String::new()));
    rig.until_idle();
}

#[test]
fn a_tunnel_ends_at_once_when_either_side_is_gone() {
    let rig = Rig::start();
    let mut client = opened(&rig, &[send(SWITCH), Step::Take(2), Step::Close]);
    client.send("ab");
    client.end();
    drop(client);
    rig.until_idle();
    drop(opened(&rig, &[send(SWITCH), Step::Drain]));
    until("the worker sees it", || rig.ledger()[1].ended.then_some(()));
    rig.until_idle();
}

#[test]
fn what_follows_an_upgrade_request_reaches_the_worker_after_its_101_alone() {
    let rig = Rig::start();
    let behind = "GET /smuggled HTTP/1.1\r\nHost: test\r\n\r\n";
    let unseen = |number: usize| !rig.ledger()[number].text().contains("smuggled");

    let mut client = rig.client();
    client.send(upgrade(&[gate("switch"), send(SWITCH), Step::Drain]) + behind);
    until("the worker has the request", || (rig.executed().len() == 1).then_some(()));
    assert!(unseen(0));
    rig.open("switch");
    client.head();
    until("now it may pass", || (!unseen(0)).then_some(()));
    drop(client);

    for status in ["200 OK", "400 Bad Request", "403 Forbidden"] {
        let refusal = format!("HTTP/1.1 {status}\r\nContent-Length: 2\r\n\r\nno");
        let mut client = rig.client();
        client.send(upgrade(&[Step::Pause(50), send(refusal)]) + behind);
        let (head, body) = client.answer();
        assert!(head.starts_with(&format!("HTTP/1.1 {status}")) && body == "no", "{head}");
        // It is a request like any other now, with all that a request has to go through.
        let (_, seen) = client.answer();
        assert!(
            seen.starts_with("GET /smuggled HTTP/1.1\r\n") && seen.contains("via: 1.1 antifreeze"),
            "{seen}"
        );
    }
}

#[test]
fn a_100_goes_before_the_101() {
    let rig = Rig::start();
    let steps = [send("HTTP/1.1 100 Continue\r\n\r\n"), Step::Body, send(SWITCH), Step::Echo];
    let mut client = rig.client();
    let fields = "\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n";
    client.send(upgrade(&steps).replace("\r\n\r\n", fields));
    assert_eq!(client.read_to("\r\n\r\n"), "HTTP/1.1 100 Continue\r\n\r\n");
    client.send("body");
    assert!(client.head().starts_with("HTTP/1.1 101 "));
    assert_eq!(client.send("raw").read(3), "raw");
    assert!(rig.ledger()[0].text().contains("\r\n\r\nbodyraw"), "{}", rig.ledger()[0].text());
}

#[test]
fn only_a_101_makes_a_tunnel() {
    let rig = Rig::start();
    let answer =
        "HTTP/1.1 200 OK\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nContent-Length: 2\r\n\r\nno";
    let mut client = rig.client();
    let (head, body) = client.send(upgrade(&[send(answer)])).answer();
    assert_eq!((field(&head, "upgrade"), field(&head, "connection"), &*body), (None, None, "no"), "{head}");
    assert!(client.get("/next").answer().1.starts_with("GET /next "), "the connection speaks HTTP still");

    let (head, _) = client.get(&path(&[send(SWITCH), Step::Drain])).answer();
    assert!(head.starts_with("HTTP/1.1 502 "), "nobody asked for it: {head}");
    rig.until_idle();
}

#[test]
fn half_a_pair_and_h2c_never_reach_the_worker() {
    let rig = Rig::start();
    for (version, fields) in [
        ("1.1", "Upgrade: websocket\r\n"),
        ("1.1", "Connection: upgrade\r\n"),
        (
            "1.1",
            "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n",
        ),
        ("1.1", "Connection: Upgrade\r\nUpgrade: H2C\r\n"),
        ("1.1", "Connection: Upgrade\r\nUpgrade: websocket, h2c\r\n"),
        ("1.1", "Connection: Upgrade\r\nUpgrade: websocket\r\nUpgrade: h2c\r\n"),
        ("1.1", "Connection: Upgrade\r\nUpgrade: h2c/x\r\n"),
        ("1.0", "Connection: Upgrade\r\nUpgrade: websocket\r\n"),
    ] {
        let (head, seen) =
            rig.client().send(format!("GET / HTTP/{version}\r\nHost: test\r\n{fields}\r\n")).answer();
        assert!(head.contains(" 200 "), "{fields:?}: {head}");
        let seen = seen.to_ascii_lowercase();
        assert!(!seen.contains("h2c") && !seen.contains("http2-settings"), "{fields:?}: {seen}");
        let pair = (field(&seen, "connection").is_some(), field(&seen, "upgrade").is_some());
        assert_eq!(pair.0, pair.1, "{fields:?}: {seen}");
        assert!(version == "1.1" || pair == (false, false), "{fields:?}: {seen}");
    }
}

#[test]
fn a_drain_waits_for_tunnels_until_it_is_out_of_time() {
    let mut rig = Rig::with("{socket}", &["--drain-timeout", "5s"]);
    let mut client = opened(&rig, &[send(SWITCH), Step::Echo]);
    rig.program.signal("TERM");
    rig.program.wait_for_line("draining");
    until("nobody listens any more", || {
        std::net::TcpStream::connect(&rig.program.address).is_err().then_some(())
    });
    client.send("hello");
    assert_eq!(client.read(5), "hello");
    client.end();
    assert_eq!(rig.program.wait().code(), Some(0));
}
