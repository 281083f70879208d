//! Each time limit acts, says so, and hits nobody who moves.

use crate::support::until;
use crate::wire::client::{End, field};
use crate::wire::rig::Rig;
use crate::wire::script::{Step, gate, path, send};
use std::time::{Duration, Instant};

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

/// A proxy with one limit so short that a test can wait for it.
fn rig(flag: &str) -> Rig {
    Rig::with("{socket}", &[flag, "500ms"])
}

/// Where something has to go on within the limit, be the machine as busy as it may.
const PATIENT: Duration = Duration::from_secs(2);

fn patient(flag: &str) -> Rig {
    Rig::with("{socket}", &[flag, "2s"])
}

/// Carries out what must take as long as a limit of 500 ms, or little more.
pub(crate) fn timed<T>(wait: impl FnOnce() -> T) -> T {
    timed_by(Duration::from_millis(500), wait)
}

/// Carries out what must take as long as this limit, or little more. What begins the limit is a part of it: a test that is
/// held up behind it would look at the clock too late.
pub(crate) fn timed_by<T>(limit: Duration, wait: impl FnOnce() -> T) -> T {
    let began = Instant::now();
    let result = wait();
    let took = began.elapsed();
    assert!((limit.mul_f64(0.8)..limit + LITTLE_MORE).contains(&took), "it took {took:?}");
    result
}

const LITTLE_MORE: Duration = Duration::from_millis(4_500);

#[test]
fn a_head_that_does_not_end_is_a_408() {
    let rig = rig("--header-timeout");
    for start in ["G", "GET / HTTP/1.1\r\nHost: test\r\nX-A: "] {
        let mut client = rig.client();
        // Drops do not help: the limit is for the whole head.
        let head = timed(|| client.send(start).head());
        assert!(head.starts_with("HTTP/1.1 408 "), "{head}");
        assert_eq!(field(&head, "x-antifreeze"), Some("header_timeout"));
        assert_eq!(client.end(), End::Closed(String::new()));
    }
    let mut kept = rig.client();
    kept.get("/").answer();
    let head = timed(|| kept.send("GET /second HTTP/1.1\r\n").head());
    assert!(head.starts_with("HTTP/1.1 408 "), "a later request has the same limit: {head}");
    assert!(!rig.executed().iter().any(|line| line.contains("second")));
}

#[test]
fn a_head_that_drips_is_a_408_all_the_same() {
    let rig = rig("--header-timeout");
    let mut client = rig.client();
    client.stream.set_nonblocking(true).expect("a socket can");
    client.send("GET / HTTP/1.1\r\nX-A: ");
    let answer = timed(|| {
        until("the proxy has had enough", || {
            use std::io::{Read, Write};
            let mut answer = [0; 512];
            let _ = client.stream.write(b"x");
            client.stream.read(&mut answer).ok().map(|count| answer[..count].to_vec())
        })
    });
    assert!(answer.starts_with(b"HTTP/1.1 408 "), "{}", String::from_utf8_lossy(&answer));
}

#[test]
fn a_body_that_stops_is_a_408_and_frees_the_worker() {
    let rig = rig("--body-timeout");
    for (fields, part) in [("Content-Length: 10", "half"), ("Transfer-Encoding: chunked", "4\r\nhalf\r\n")] {
        let mut client = rig.client();
        let steps = path(&[Step::Body, send(OK)]);
        let request = format!("POST {steps} HTTP/1.1\r\nHost: test\r\n{fields}\r\n\r\n{part}");
        let (head, _) = timed(|| client.send(request).answer());
        assert!(head.starts_with("HTTP/1.1 408 "), "{head}");
        assert_eq!(field(&head, "x-antifreeze"), Some("body_timeout"));
        client.end();
    }
    until("the worker sees the ends", || rig.ledger().iter().all(|row| row.ended).then_some(()));
    rig.until_idle();
}

#[test]
fn a_body_that_drips_is_waited_for() {
    let rig = patient("--body-timeout");
    let mut client = rig.client();
    let steps = path(&[Step::Body, send(OK)]);
    client.send(format!("POST {steps} HTTP/1.1\r\nHost: test\r\nContent-Length: 8\r\n\r\n"));
    for byte in b"dripping" {
        let sent = Instant::now();
        until("a while", || (sent.elapsed() > Duration::from_millis(300)).then_some(()));
        client.send([*byte]);
    }
    assert_eq!(client.answer().1, "ok");
}

#[test]
fn an_answer_that_does_not_begin_is_a_504_and_is_not_asked_for_again() {
    let rig = Rig::with("{socket}", &["--response-timeout", "1s"]);
    for (method, steps) in [
        ("GET", vec![Step::Hang]),
        ("POST", vec![Step::Hang]),
        ("GET", vec![send("HTTP/1.1 200 O"), Step::Hang]),
        ("GET", vec![send("HTTP/1.1 102 Processing\r\n\r\n"), Step::Hang]),
        ("GET", vec![Step::Drip(50, OK.into())]),
    ] {
        let mut client = rig.client();
        let request = format!("{method} {} HTTP/1.1\r\nHost: test\r\n\r\n", path(&steps));
        let (head, _) = timed_by(Duration::from_secs(1), || client.send(request).answer());
        assert!(head.starts_with("HTTP/1.1 504 "), "{steps:?}: {head}");
        assert_eq!(field(&head, "x-antifreeze"), Some("answer_timeout"));
        assert!(client.get("/next").answer().1.starts_with("GET /next "), "the client's connection goes on");
    }
    assert_eq!(rig.executed().iter().filter(|line| !line.contains("/next")).count(), 5);
    rig.until_idle();
}

#[test]
fn an_upload_that_moves_is_no_answer_that_does_not_begin() {
    let rig = patient("--response-timeout");
    let mut client = rig.client();
    // The worker takes longer than the limit for the whole, and less for each piece.
    let slow: Vec<Step> = (0..12).flat_map(|_| [Step::Take(256 * 1024), Step::Pause(200)]).collect();
    let steps = path(&[slow, vec![send(OK), Step::Drain]].concat());
    client.send(format!("POST {steps} HTTP/1.1\r\nHost: test\r\nContent-Length: 3145728\r\n\r\n"));
    let mut writer = client.stream.try_clone().expect("a second handle");
    std::thread::scope(|scope| {
        scope.spawn(move || std::io::Write::write_all(&mut writer, &vec![b'x'; 3_145_728]));
        let (head, _) = client.answer();
        assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
    });
}

#[test]
fn an_answer_that_stops_is_cut_whoever_stopped() {
    let rig = rig("--stream-timeout");
    let stops = path(&[send("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf"), Step::Drain]);
    let mut client = rig.client();
    timed(|| {
        client.get(&stops).read_to("half");
        client.end()
    });
    until("the worker sees it", || rig.ledger()[0].ended.then_some(()));

    let block = vec![b'x'; 16 * 1024];
    let endless =
        path(&[send("HTTP/1.1 200 OK\r\nContent-Length: 1073741824\r\n\r\n"), Step::Repeat(65536, block)]);
    let mut reader = rig.client();
    reader.get(&endless).head();
    until("the worker sees that nobody reads", || rig.ledger()[1].ended.then_some(()));
    rig.until_idle();
}

#[test]
fn an_answer_that_drips_is_waited_for() {
    let rig = patient("--stream-timeout");
    let drips =
        path(&[send("HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\n"), Step::Drip(300, b"dripping".to_vec())]);
    assert_eq!(rig.client().get(&drips).answer().1, "dripping");
}

#[test]
fn a_client_that_asks_nothing_is_let_go() {
    let rig = patient("--keep-alive-timeout");
    // Who waits for an answer is not idle.
    let slow = path(&[Step::Pause(2500), send(OK)]);
    assert_eq!(rig.client().get(&slow).answer().1, "ok");
    let mut kept = rig.client();
    let end = timed_by(PATIENT, || {
        kept.get("/").answer();
        kept.end()
    });
    assert_eq!(end, End::Closed(String::new()));
    let rig = self::rig("--keep-alive-timeout");
    assert_eq!(timed(|| rig.client().end()), End::Closed(String::new()));
}

#[test]
fn a_tunnel_in_which_nobody_speaks_is_cut() {
    let rig = patient("--tunnel-timeout");
    let switch = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n";
    let steps = path(&[send(switch), Step::Echo]);
    let mut client = rig.client();
    client
        .send(format!("GET {steps} HTTP/1.1\r\nHost: test\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\n"))
        .head();
    for _ in 0..5 {
        let sent = Instant::now();
        until("a while", || (sent.elapsed() > Duration::from_millis(500)).then_some(()));
        assert_eq!(client.send("ping").read(4), "ping");
    }
    timed_by(PATIENT, || {
        assert_eq!(client.send("ping").read(4), "ping");
        client.end()
    });
    until("the worker sees it", || rig.ledger()[0].ended.then_some(()));
    rig.until_idle();
}

#[test]
fn a_route_may_have_less_patience_with_tunnels_than_the_others() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = folder.path().join("routes.yaml");
    let text =
        "pools: {web: {}}\nroutes: [{pool: web}, {host: hasty, pool: web, timeouts: {tunnel_idle: 500ms}}]\n";
    std::fs::write(&file, text).expect("it can be written");
    let rig = Rig::with("{socket}", &["--config", &file.to_string_lossy()]);
    let switch = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n";
    let steps = path(&[send(switch), Step::Echo]);
    let open = |host: &str| {
        let mut client = rig.client();
        client.send(format!(
            "GET {steps} HTTP/1.1\r\nHost: {host}\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\n"
        ));
        client.head();
        client
    };
    let mut patient = open("test");
    timed(|| open("hasty").end());
    assert_eq!(patient.send("ping").read(4), "ping");
}

#[test]
fn the_queue_answers_when_its_time_is_up() {
    let rig = Rig::with("{socket}", &["--max-in-flight", "1", "--queue-timeout", "500ms"]);
    let mut first = rig.client();
    first.get(&path(&[gate("done"), send(OK)]));
    rig.until_held(1);
    let (head, _) = timed(|| rig.client().get("/second").answer());
    assert!(head.starts_with("HTTP/1.1 503 "), "{head}");
    assert_eq!(
        (field(&head, "x-antifreeze"), field(&head, "retry-after").is_some()),
        (Some("queue_timeout"), true)
    );
    rig.open("done");
    assert_eq!(first.answer().1, "ok");
}
