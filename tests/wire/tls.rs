//! What changes on the wire inside TLS, and what does not.

use crate::support::until;
use crate::tls::authority::Authority;
use crate::tls::peer::{Inside, Peer, is_resumed};
use crate::wire::client::{End, field};
use crate::wire::rig::Rig;
use crate::wire::script::{Step, gate, path, send};
use std::fs;

#[test]
fn workers_are_told_of_https_and_of_the_clients_certificate_and_clients_cannot_claim_one() {
    let safe = Safe::start(&["--tls-client-auth", "optional"]);
    let claims = "GET / HTTP/1.1\r\nHost: test\r\nX-Forwarded-Proto: http\r\nClient-Cert: :AAAA:\r\n\
                  Client-Cert-Chain: :AAAA:\r\nClient_Cert: :AAAA:\r\n\r\n";
    let (_, seen) = safe.client().send(claims).answer();
    let seen = seen.to_ascii_lowercase();
    assert_eq!(field(&seen, "x-forwarded-proto"), Some("https"), "{seen}");
    assert!(!seen.contains("client-cert") && !seen.contains("client_cert"), "{seen}");

    let own = safe.authority.client("alice");
    let peer = Peer::with(&safe.authority, Some(&own));
    let pem = fs::read_to_string(own.chain).expect("it was written");
    let base64: String = pem.lines().filter(|line| !line.starts_with("-----")).collect();
    for resumed in [false, true] {
        let mut client = safe.connect(&peer);
        assert_eq!(is_resumed(&client), resumed);
        let (_, seen) = client.send(claims).answer();
        let told: Vec<_> = seen.lines().filter_map(|line| line.split_once(": ")).collect();
        let told: Vec<_> =
            told.into_iter().filter(|(name, _)| name.to_ascii_lowercase().starts_with("client")).collect();
        assert_eq!(told.len(), 1, "{seen}");
        assert_eq!(told[0].1, format!(":{base64}:"));
    }
}

#[test]
fn ends_that_are_in_order_are_said_and_others_are_not() {
    // Long enough for a client that is held up on a busy machine.
    let safe = Safe::start(&["--keep-alive-timeout", "2s", "--header-timeout", "1s"]);
    let mut client = safe.client();
    client.send("GET / HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n").answer();
    assert_eq!(client.end(), End::Closed(String::new()), "after the last answer");
    let mut client = safe.client();
    client.get("/").answer();
    assert_eq!(client.end(), End::Closed(String::new()), "after silence");
    let mut client = safe.client();
    assert!(client.send("GET /").head().starts_with("HTTP/1.1 408 "));
    assert_eq!(client.end(), End::Closed(String::new()), "after half a head");
    let mut client = safe.client();
    assert!(client.send("GET / HTTP/1.1\r\nHost test\r\n\r\n").head().starts_with("HTTP/1.1 400 "));
    assert_eq!(client.end(), End::Closed(String::new()), "after what is no HTTP");

    let short = "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf";
    let mut client = safe.client();
    client.get(&path(&[send(short), gate("broken"), Step::Close])).read_to("half");
    safe.rig.open("broken");
    assert!(matches!(client.end(), End::Cut | End::Reset), "the answer broke off");
}

#[test]
fn an_answer_before_the_end_of_an_upload_can_be_read() {
    let safe = Safe::start(&["--body-limit", "100KiB"]);
    let mut client = safe.client();
    client.send("POST / HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n");
    for _ in 0..64 {
        client.send("4000\r\n").send(vec![b'x'; 0x4000]).send("\r\n");
    }
    assert!(client.answer().0.starts_with("HTTP/1.1 413 "));
    assert!(matches!(client.end(), End::Closed(_)));
}

#[test]
fn a_client_that_leaves_without_a_word_frees_its_place() {
    let safe = Safe::start(&[]);
    let mut client = safe.client();
    client.get(&path(&[Step::Drain]));
    safe.rig.until_held(1);
    // Neither close_notify nor the end of an answer: the socket alone is closed.
    drop(client.stream.sock.try_clone().map(|socket| socket.shutdown(std::net::Shutdown::Both)));
    until("its request ends", || safe.rig.ledger().iter().all(|row| row.ended).then_some(()));
    safe.rig.until_idle();
}

#[test]
fn tunnels_pass_bytes_and_ends_both_ways() {
    let safe = Safe::start(&[]);
    let mut client = safe.client();
    let switch = "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\n";
    let steps = path(&[send(switch), Step::Echo]);
    client
        .send(format!("GET {steps} HTTP/1.1\r\nHost: test\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\n"));
    assert!(client.head().starts_with("HTTP/1.1 101 "));
    let bytes = "0123456789".repeat(20_000);
    client.send(&bytes);
    assert!(client.read(bytes.len()) == bytes);
    client.stream.conn.send_close_notify();
    client.stream.conn.complete_io(&mut client.stream.sock).expect("it is sent");
    assert_eq!(client.end(), End::Closed(String::new()), "the worker ends its side after ours");
    safe.rig.until_idle();
}

/// A rig inside TLS, with an authority that server and clients share.
struct Safe {
    rig: Rig,
    authority: Authority,
    peer: Peer,
}

impl Safe {
    fn start(flags: &[&str]) -> Self {
        let authority = Authority::new();
        let (files, root) = (authority.server("server", &["test"]), authority.root());
        let asked = flags.contains(&"--tls-client-auth");
        let roots: &[&str] = if asked { &["--tls-client-ca", &root] } else { &[] };
        let tls = ["--tls-cert", &files.chain, "--tls-key", &files.key];
        let rig = Rig::with("{socket}", &[&tls, roots, flags].concat());
        let peer = Peer::new(&authority);
        Self { rig, authority, peer }
    }

    fn client(&self) -> Inside {
        self.connect(&self.peer)
    }

    fn connect(&self, peer: &Peer) -> Inside {
        peer.connect(&self.rig.program.address, "test")
    }
}
