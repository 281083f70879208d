//! Floods of HTTP/2: each attacker is cut off or held, the program's memory stays small, workers do no more than they
//! would for anybody, and a good client never notices.

use crate::wire::frames::*;
use crate::wire::rig::Rig;
use crate::wire::script::{Step, gate, path, send};
use std::io::ErrorKind;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

/// What an attack may cost, in KiB.
const MOST_MEMORY: u64 = 32 * 1024;

/// How an attack ended.
#[derive(Debug, PartialEq, Eq)]
enum Fate {
    /// The proxy closed the connection, with this code if it was heard.
    Cut(Option<u32>),
    /// The proxy read no further, or all was sent.
    Endured,
}

#[test]
fn rapid_resets_end_the_connection_and_hardly_reach_the_worker() {
    let rig = rig();
    let hangs = path(&[Step::Hang]);
    let fate = under_attack(&rig, 1, |peer| {
        flood(peer, 1_000_000, |number| {
            let stream = 2 * number + 1;
            vec![Frame::get(stream, &hangs), Frame::reset(stream, CANCEL)]
        })
    });
    assert!(matches!(fate, Fate::Cut(None | Some(ENHANCE_YOUR_CALM))), "{fate:?}");
    assert!(rig.executed().iter().filter(|line| line.contains("hang")).count() <= 200);
}

#[test]
fn resets_that_take_their_time_end_the_connection_too() {
    let rig = rig();
    let hangs = path(&[Step::Hang]);
    let fate = under_attack(&rig, 1, |peer| {
        for number in 0..1_000 {
            let stream = 2 * number + 1;
            let ping = Frame::new(PING, 0, 0, *b"received");
            if peer.try_send(&[Frame::get(stream, &hangs), ping]).is_err() {
                return Fate::Cut(None);
            }
            // Each request is under way before it is reset.
            match std::iter::from_fn(|| peer.next()).find(|frame| matches!(frame.kind, PING | GOAWAY)) {
                Some(frame) if frame.kind == PING => {}
                goaway => return Fate::Cut(goaway.map(|frame| frame.code())),
            }
            if peer.try_send(&[Frame::reset(stream, CANCEL)]).is_err() {
                return Fate::Cut(None);
            }
        }
        Fate::Endured
    });
    assert!(matches!(fate, Fate::Cut(None | Some(ENHANCE_YOUR_CALM))), "{fate:?}");
}

#[test]
fn resets_that_the_client_provokes_end_the_requests_and_at_last_the_connection() {
    for provoke in [
        // An increment of zero, one that overflows, and data after the end (sections 6.9 and 5.1).
        (|stream| Frame::window(stream, 0)) as fn(u32) -> Frame,
        |stream| Frame::window(stream, 0x7fff_ffff),
        |stream| Frame::new(DATA, 0, stream, "late"),
    ] {
        let rig = rig();
        let hangs = path(&[Step::Hang]);
        let fate = under_attack(&rig, 1, |peer| {
            flood(peer, 10_000, |number| vec![Frame::get(2 * number + 1, &hangs), provoke(2 * number + 1)])
        });
        assert!(matches!(fate, Fate::Cut(_)), "{fate:?}");
    }
}

#[test]
fn a_head_without_end_is_cut_at_its_limit() {
    let rig = rig();
    for piece in [block(&[("x-a", &"x".repeat(8_000))]), Vec::new()] {
        let fate = under_attack(&rig, 1, |peer| {
            peer.send(&[Frame::new(HEADERS, END_STREAM, 1, request("GET", "/endless", &[]))]);
            flood(peer, 100_000, |_| vec![Frame::new(CONTINUATION, 0, 1, &piece)])
        });
        assert!(matches!(fate, Fate::Cut(_)), "{fate:?}");
    }
    assert!(!rig.executed().iter().any(|line| line.contains("endless")));
}

#[test]
fn data_frames_without_data_are_cut_or_come_to_nothing() {
    let rig = rig();
    let target = path(&[Step::Body, send(OK)]);
    for (flags, payload) in [(0, &b""[..]), (0, b"x"), (PADDED, b"\0")] {
        under_attack(&rig, 1, |peer| {
            give_up_soon(peer);
            peer.send(&[Frame::post(1, &target, &[])]);
            flood(peer, 1_000_000, |_| vec![Frame::new(DATA, flags, 1, payload)])
        });
    }
}

#[test]
fn bytes_one_by_one_that_no_worker_takes_are_cut() {
    let rig = rig();
    let target = path(&[Step::Hang]);
    let fate = under_attack(&rig, 1, |peer| {
        // The windows of 30 bodies.
        let open: Vec<Frame> = (0..30).map(|number| Frame::post(2 * number + 1, &target, &[])).collect();
        peer.send(&open);
        flood(peer, 1_000_000, |number| vec![Frame::new(DATA, 0, 2 * (number % 30) + 1, b"x")])
    });
    assert!(matches!(fate, Fate::Cut(None | Some(ENHANCE_YOUR_CALM))), "{fate:?}");
}

#[test]
fn frames_that_ask_for_nothing_end_the_connection() {
    let rig = rig();
    let target = path(&[Step::Hang]);
    let floods: [fn(u32) -> Frame; 6] = [
        |_| Frame::new(PING, 0, 0, *b"pingping"),
        |_| Frame::new(SETTINGS, 0, 0, [0, 4, 0, 0, 255, 255]),
        |_| Frame::new(PRIORITY, 0, 3, [0, 0, 0, 1, 16]),
        |_| Frame::window(0, 1),
        |_| Frame::window(1, 1),
        |_| Frame::new(0xfa, 0, 0, "unknown"),
    ];
    for frame in floods {
        let fate = under_attack(&rig, 1, |peer| {
            peer.send(&[Frame::get(1, &target)]);
            flood(peer, 500_000, |number| vec![frame(number)])
        });
        assert!(matches!(fate, Fate::Cut(None | Some(ENHANCE_YOUR_CALM))), "{fate:?}");
    }
    // Fields without name and value.
    let empty = [&request("GET", "/", &[])[..], &[0, 0, 0].repeat(1_000)].concat();
    under_attack(&rig, 1, |peer| {
        give_up_soon(peer);
        flood(peer, 20_000, |number| {
            vec![Frame::new(HEADERS, END_STREAM | END_HEADERS, 2 * number + 1, &empty)]
        })
    });
}

#[test]
fn small_heads_that_unpack_to_large_ones_are_bounded_by_what_they_unpack_to() {
    const CONNECTIONS: u32 = 10;
    let rig = rig();
    let hangs = path(&[Step::Hang]);
    // A field in the table of the connection (RFC 7541 section 6.2.1), and then a byte for each repetition of it.
    let mut stored = vec![0x40];
    stored.extend(&block(&[("x-bomb", &"x".repeat(3_000))])[1..]);
    let head = |repetitions: usize| [&request("GET", &hangs, &[])[..], &vec![0xbe; repetitions]].concat();
    let first = [&request("GET", "/", &[])[..], &stored].concat();
    // So many that it fits (21 times 3 KB in 64 KiB), and so many that it does not.
    for repetitions in [21, 10_000] {
        under_attack(&rig, CONNECTIONS, |peer| {
            peer.send(&[Frame::new(HEADERS, END_STREAM | END_HEADERS, 1, &first)]);
            let heads = (1..=100).map(|number| {
                Frame::new(HEADERS, END_STREAM | END_HEADERS, 2 * number + 1, head(repetitions))
            });
            match peer.try_send(&heads.collect::<Vec<_>>()) {
                Ok(()) => Fate::Endured,
                Err(_) => Fate::Cut(None),
            }
        });
    }
    // Crumbs of cookies, which are joined.
    let crumbs = [&request("GET", &hangs, &[])[..], &block(&[("cookie", "")]).repeat(60_000)].concat();
    under_attack(&rig, CONNECTIONS, |peer| {
        let mut frames = vec![Frame::new(HEADERS, END_STREAM, 1, &crumbs[..16_000])];
        frames.extend(crumbs[16_000..].chunks(16_000).map(|piece| Frame::new(CONTINUATION, 0, 1, piece)));
        match peer.try_send(&frames) {
            Ok(()) => Fate::Endured,
            Err(_) => Fate::Cut(None),
        }
    });
}

#[test]
fn frames_beside_what_they_are_for_are_taken_however_many() {
    let rig = rig();
    let mut peer = Peer::new(rig.program.connect());
    let long =
        [send("HTTP/1.1 200 OK\r\nContent-Length: 2000000\r\n\r\n"), Step::Repeat(2_000, vec![b'x'; 1000])];
    peer.send(&[Frame::get(1, &path(&long))]);
    // A client that makes room for each frame of data in both windows, and measures its way.
    let mut received = 0;
    while received < 2_000_000 {
        let data = peer.wait(DATA);
        received += data.payload.len();
        let room = u32::try_from(data.payload.len()).expect("a frame is short");
        peer.send(&[Frame::window(0, room), Frame::window(1, room), Frame::new(PING, 0, 0, *b"whatever")]);
    }
    // And one that tells how urgent each request is.
    for number in 1..=500 {
        let stream = 2 * number + 1;
        let priority = Frame::new(PRIORITY, 0, stream, [0, 0, 0, 0, 16]);
        peer.send(&[Frame::get(stream, "/"), priority.clone(), priority, Frame::window(0, 1_000)]);
        assert_eq!(peer.verdict(stream).status(), 200);
    }
}

#[test]
fn room_made_for_each_of_many_small_pieces_of_an_answer_is_no_flood() {
    let rig = rig();
    let mut peer = Peer::new(rig.program.connect());
    let lines = [
        send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"),
        Step::Repeat(20_000, b"14\r\nnineteen bytes here\n\r\n".to_vec()),
        send("0\r\n\r\n"),
    ];
    peer.send(&[Frame::get(1, &path(&lines))]);
    let mut received = 0;
    while received < 400_000 {
        let frame = peer.next().unwrap_or_else(|| panic!("closed after {received} bytes"));
        assert_ne!(frame.kind, GOAWAY, "code {} after {received} bytes", frame.code());
        let Ok(room @ 1..) = u32::try_from(frame.payload.len()) else { continue };
        if frame.kind == DATA {
            received += room;
            // As Dart's HTTP/2 does, and with it gRPC there.
            peer.send(&[Frame::window(0, room), Frame::window(1, room)]);
        }
    }
}

#[test]
fn heads_beyond_what_a_connection_has_room_for_are_refused_and_may_come_again() {
    let rig = rig();
    let mut peer = Peer::new(rig.program.connect());
    let waits = path(&[gate("go"), send(OK)]);
    let long = request("GET", &waits, &[("x-long", &"x".repeat(15_000))]);
    let get = |stream| Frame::new(HEADERS, END_STREAM | END_HEADERS, stream, &long);
    // Room for two MiB of them.
    peer.send(&(0..100).map(|number| get(2 * number + 1)).collect::<Vec<_>>());
    rig.until_held(100);
    drop(peer);
    rig.until_idle();
    let mut peer = Peer::new(rig.program.connect());
    let stored = [&[0x40][..], &block(&[("x-bomb", &"x".repeat(3_000))])[1..]].concat();
    let first = [&request("GET", "/", &[])[..], &stored].concat();
    peer.send(&[Frame::new(HEADERS, END_STREAM | END_HEADERS, 1, first)]);
    assert_eq!(peer.verdict(1).status(), 200);
    let bomb = [&request("GET", &waits, &[])[..], &[0xbe; 20]].concat();
    let get = |stream| Frame::new(HEADERS, END_STREAM | END_HEADERS, stream, &bomb);
    peer.send(&(1..=60).map(|number| get(2 * number + 1)).collect::<Vec<_>>());
    let refused: Vec<_> = std::iter::repeat_with(|| peer.wait(RST_STREAM)).take(20).collect();
    assert!(refused.iter().all(|frame| frame.code() == REFUSED_STREAM), "{refused:?}");
    rig.open("go");
    assert_eq!(peer.verdict(3).status(), 200);
    rig.until_idle();
    peer.sync().send(&[get(201)]);
    assert_eq!(peer.verdict(201).status(), 200);
}

#[test]
fn answers_that_nobody_takes_wait_where_they_are() {
    let rig = rig();
    let long = [
        send("HTTP/1.1 200 OK\r\nContent-Length: 100000000\r\n\r\n"),
        Step::Repeat(100_000, vec![b'x'; 1000]),
    ];
    let target = path(&long);
    // By the windows there is room for nothing, or for everything: then it is the connection that nobody reads.
    let all = [Frame::new(SETTINGS, 0, 0, [0, 4, 0x7f, 0xff, 0xff, 0xff]), Frame::window(0, 0x7fff_0000)];
    for windows in [&[][..], &all] {
        under_attack(&rig, 10, |peer| {
            peer.send(windows);
            peer.send(&(0..100).map(|number| Frame::get(2 * number + 1, &target)).collect::<Vec<_>>());
            let begun = std::iter::from_fn(|| peer.next()).find(|frame| frame.kind == HEADERS);
            assert_eq!(begun.map(|frame| frame.status()), Some(200));
            Fate::Endured
        });
    }
}

fn rig() -> Rig {
    Rig::with("{socket}", &["--http2", "on", "--max-in-flight", "2000"])
}

/// Carries out an attack on several connections while a good client asks on, and checks what it costs. What the first
/// one came to is returned.
fn under_attack(rig: &Rig, connections: u32, attack: impl Fn(&mut Peer) -> Fate + Sync) -> Fate {
    rig.program.get("/warm");
    let before = rig.memory();
    let over = AtomicBool::new(false);
    let (most_memory, most_held) = (AtomicU64::new(before), AtomicU64::new(0));
    let fate = std::thread::scope(|scope| {
        let good = scope.spawn(|| {
            let mut answered = 0;
            while !over.load(Ordering::Relaxed) || answered < 20 {
                assert_eq!(rig.program.get("/good").status, 200);
                answered += 1;
                most_memory.fetch_max(rig.memory(), Ordering::Relaxed);
                let held = rig.program.status()["workers"][0]["in_flight"].as_u64();
                most_held.fetch_max(held.expect("a number"), Ordering::Relaxed);
            }
        });
        let attackers: Vec<_> = (0..connections)
            .map(|_| {
                scope.spawn(|| {
                    let mut peer = Peer::with_settings(rig.program.connect(), &[(INITIAL_WINDOW_SIZE, 0)]);
                    let fate = attack(&mut peer);
                    (peer, fate)
                })
            })
            .collect();
        let mut ended: Vec<_> =
            attackers.into_iter().map(|attacker| attacker.join().expect("it ends")).collect();
        // Their connections are open still.
        over.store(true, Ordering::Relaxed);
        good.join().expect("the good client notices nothing");
        ended.swap_remove(0).1
    });
    let memory = most_memory.load(Ordering::Relaxed) - before;
    assert!(memory <= MOST_MEMORY.max(u64::from(connections) * MOST_OF_A_CONNECTION), "{memory} KiB more");
    let held = most_held.load(Ordering::Relaxed);
    assert!(held <= u64::from(connections) * STREAMS + 1, "{held} requests held at once");
    rig.until_idle();
    fate
}

/// For floods that the proxy may endure, by reading no further.
fn give_up_soon(peer: &Peer) {
    peer.stream.set_write_timeout(Some(Duration::from_secs(1))).expect("a time limit above zero");
}

/// Sends frames until the proxy has had enough. One that only reads no further is waited for as long as the writes of the
/// peer may take.
fn flood(peer: &mut Peer, count: u32, frames: impl Fn(u32) -> Vec<Frame>) -> Fate {
    for start in (0..count).step_by(BATCH as usize) {
        let batch: Vec<Frame> = (start..count.min(start + BATCH)).flat_map(&frames).collect();
        match peer.try_send(&batch) {
            Ok(()) => {}
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                return Fate::Endured;
            }
            Err(_) => {
                let goaway = std::iter::from_fn(|| peer.next()).find(|frame| frame.kind == GOAWAY);
                return Fate::Cut(goaway.map(|frame| frame.code()));
            }
        }
    }
    Fate::Endured
}

/// Frames in one write.
const BATCH: u32 = 1_000;

/// The limit of requests that a connection may have open.
const STREAMS: u64 = 100;

/// KiB, of a hundred requests.
const MOST_OF_A_CONNECTION: u64 = 8 * 1024;

/// A flag of DATA (section 6.1).
const PADDED: u8 = 8;
