//! Connections that are kept, on both sides: no answer reaches another request, nothing unsafe runs twice.

use crate::support::until;
use crate::wire::client::{End, field};
use crate::wire::rig::Rig;
use crate::wire::script::{Step, gate, path, send};
use std::fmt::Write;
use std::time::{Duration, Instant};

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

#[test]
fn a_second_answer_to_one_request_reaches_nobody() {
    let rig = Rig::start();
    let stray = "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil";
    for (what, steps) in [
        ("in one piece", vec![send([OK, stray].concat())]),
        ("right behind", vec![send(OK), send(stray)]),
        ("half of it", vec![send(OK), send("HTTP/1.1 200 OK\r\nCont")]),
        (
            "behind chunks",
            vec![send(
                ["HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n", stray].concat(),
            )],
        ),
        ("on the idle connection", vec![send(OK), gate("answered"), send(stray)]),
        ("something else on the idle connection", vec![send(OK), gate("answered"), send("\r\n")]),
    ] {
        let mut client = rig.client();
        let (_, body) = client.get(&path(&steps)).answer();
        assert!(body.contains("ok") && !body.contains("evil"), "{what}: {body}");
        rig.open("answered");
        let stray_sent = || rig.ledger().iter().all(|row| row.sent_total > OK.len() as u64);
        until("the worker has sent it", || stray_sent().then_some(()));
        let (_, seen) = client.get("/next").answer();
        assert!(seen.starts_with("GET /next "), "{what}: {seen}");
    }
    for row in rig.ledger() {
        let strays = row.requests.iter().filter(|line| !line.contains(" /next ")).count();
        assert!(
            strays <= 1 && row.requests.len() <= 2,
            "a connection that got out of step was used again: {row:?}"
        );
    }
}

#[test]
fn connections_to_the_worker_are_used_again_until_it_says_close() {
    let rig = Rig::start();
    let mut client = rig.client();
    for _ in 0..3 {
        client.get("/kept").answer();
    }
    let closing =
        path(&[send("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok"), Step::Drain]);
    for _ in 0..2 {
        let (head, _) = client.get(&closing).answer();
        assert_eq!(field(&head, "connection"), None, "the client's connection is another: {head}");
    }
    let one_zero = path(&[send("HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok"), Step::Drain]);
    client.get(&one_zero).answer();
    client.get("/last").answer();
    let requests: Vec<usize> = rig.ledger().iter().map(|row| row.requests.len()).collect();
    assert_eq!(requests, [4, 1, 1, 1]);
}

#[test]
fn a_client_that_says_close_gets_its_answer_and_the_end() {
    let rig = Rig::start();
    let mut client = rig.client();
    client.send(
        "GET / HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\nGET /more HTTP/1.1\r\nHost: test\r\n\r\n",
    );
    let (head, _) = client.answer();
    assert_eq!(field(&head, "connection"), Some("close"));
    assert_eq!(client.end(), End::Closed(String::new()));
    assert_eq!(rig.executed().len(), 1, "nothing is read behind a close");
}

#[test]
fn a_connection_serves_on_after_a_rest() {
    let rig = Rig::start();
    let mut clients: Vec<_> = (0..3).map(|_| rig.client()).collect();
    let [quiet, keen, half] = &mut clients[..] else { unreachable!("there are three") };
    keen.get("/first").answer();
    half.send("GET /first HTTP/1.1\r\nHost: test\r\n\r\nGET /second HTTP/1.1\r\nHo").answer();
    for round in ["/second", "/third"] {
        rest();
        assert!(quiet.get(round).answer().1.starts_with(&format!("GET {round} ")));
        assert!(keen.get(round).answer().1.starts_with(&format!("GET {round} ")));
    }
    assert!(
        half.send("st: test\r\n\r\n").answer().1.starts_with("GET /second "),
        "it was begun before the rest"
    );
    rest();
    keen.send("GET /last HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n").answer();
    assert_eq!(keen.end(), End::Closed(String::new()));
}

/// Longer than connections stay awake.
fn rest() {
    let began = Instant::now();
    until("connections rest", || (began.elapsed() > Duration::from_millis(1_500)).then_some(()));
}

#[test]
fn connections_at_rest_are_closed_by_a_drain_and_those_with_a_request_are_served() {
    let rig = Rig::start();
    let (mut quiet, mut keen) = (rig.client(), rig.client());
    keen.get("/first").answer();
    rest();
    let mut slow = rig.client();
    slow.get(&path(&[gate("drained"), send(OK)]));
    rig.until_held(1);
    rig.program.signal("TERM");
    assert_eq!(quiet.end(), End::Closed(String::new()));
    assert_eq!(keen.end(), End::Closed(String::new()));
    rig.open("drained");
    assert_eq!(slow.answer().1, "ok");
    assert_eq!(slow.end(), End::Closed(String::new()));
}

#[test]
fn a_connection_that_was_idle_for_longer_than_its_worker_likes_is_not_used_again() {
    let rig = Rig::with("{socket}", &["--worker-keep-alive", "1500ms"]);
    let mut client = rig.client();
    let mut used = Vec::new();
    for round in 0..4 {
        client.get(&format!("/first/{round}")).answer();
        let (before, began) = (rig.ledger().len(), Instant::now());
        // gunicorn closes after 2 s.
        until("it is idle", || (began.elapsed() > Duration::from_millis(1_950 + 60 * round)).then_some(()));
        client.get(&format!("/second/{round}")).answer();
        if rig.ledger().len() == before {
            used.push(1_950 + 60 * round);
        }
    }
    assert!(used.is_empty(), "used after so many ms: {used:?}");
}

#[test]
fn fifty_pipelined_requests_are_answered_in_order() {
    let rig = Rig::start();
    let mut client = rig.client();
    let mut requests = String::new();
    for number in 0..50 {
        let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n{number:03}");
        let steps = [Step::Pause(number * 7 % 10), send(answer)];
        write!(requests, "GET {} HTTP/1.1\r\nHost: test\r\n\r\n", path(&steps)).expect("a string");
    }
    client.send(requests);
    for number in 0..50 {
        assert_eq!(client.answer().1, format!("{number:03}"));
    }
}

#[test]
fn an_empty_line_before_a_request_is_skipped() {
    let rig = Rig::start();
    let mut client = rig.client();
    for _ in 0..2 {
        let (head, _) = client.send("\r\nGET / HTTP/1.1\r\nHost: test\r\n\r\n").answer();
        assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
    }
}

#[test]
fn a_kept_connection_that_breaks_under_a_request_costs_no_get_and_repeats_no_post() {
    let rig = Rig::start();
    // The worker reads the start of the next request, and closes: whether it executed it nobody knows.
    let poisoned = path(&[send(OK), Step::Take(1), Step::Close]);
    for (method, body, status) in [
        ("GET", "", 200),
        ("HEAD", "", 200),
        ("OPTIONS", "", 200),
        ("POST", "Content-Length: 4\r\n\r\nbody", 502),
        ("POST", "\r\n", 502),
        ("PUT", "\r\n", 502),
        ("PATCH", "\r\n", 502),
        ("DELETE", "\r\n", 502),
    ] {
        let mut client = rig.client();
        client.get(&poisoned).answer();
        let end = if body.is_empty() { "\r\n" } else { body };
        let head = client.send(format!("{method} /{method} HTTP/1.1\r\nHost: test\r\n{end}")).head();
        assert!(head.starts_with(&format!("HTTP/1.1 {status} ")), "{method} {body:?}: {head}");
    }
    let executed = rig.executed();
    for (method, times) in
        [("GET", 1), ("HEAD", 1), ("OPTIONS", 1), ("POST", 0), ("PUT", 0), ("PATCH", 0), ("DELETE", 0)]
    {
        let line = format!("{method} /{method} HTTP/1.1");
        assert_eq!(executed.iter().filter(|found| **found == line).count(), times, "{line}: {executed:?}");
    }
}

#[test]
fn an_idle_connection_that_the_worker_closed_costs_nobody_anything() {
    let rig = Rig::start();
    let closing = path(&[send(OK), Step::Close]);
    let mut client = rig.client();
    for number in 0..20 {
        client.get(&closing).answer();
        let closed = || rig.ledger().iter().all(|row| row.ended);
        until("the worker has closed it", || closed().then_some(()));
        let (head, _) = client
            .send(format!("POST /{number} HTTP/1.1\r\nHost: test\r\nContent-Length: 4\r\n\r\nbody"))
            .answer();
        assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
    }
    let posts = rig.executed().iter().filter(|line| line.starts_with("POST")).count();
    assert_eq!(posts, 20);
}

#[test]
fn a_worker_with_a_keep_alive_of_one_millisecond_costs_no_get_and_repeats_no_post() {
    let rig = Rig::start();
    let closing = path(&[Step::Body, send(OK), Step::Pause(1), Step::Close]);
    std::thread::scope(|scope| {
        for client in 0..4 {
            let (rig, closing) = (&rig, &closing);
            scope.spawn(move || {
                let mut kept = rig.client();
                for number in 0..250 {
                    let (head, _) = kept.get(closing).answer();
                    assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
                    let id = format!("{closing}?id={client}.{number}.");
                    let (head, _) = kept.send(format!("POST {id} HTTP/1.1\r\nHost: test\r\n\r\n")).answer();
                    assert!(head.starts_with("HTTP/1.1 200 ") || head.starts_with("HTTP/1.1 502 "), "{head}");
                }
            });
        }
    });
    let mut posts = rig.executed();
    posts.retain(|line| line.starts_with("POST"));
    let all = posts.len();
    posts.sort();
    posts.dedup();
    assert_eq!(posts.len(), all, "a POST was executed twice");
}

#[test]
fn a_worker_that_dies_before_it_reads_costs_one_502_and_runs_nothing_twice() {
    for surprise in [vec![Step::Close], vec![Step::Take(1), Step::Close]] {
        let rig = Rig::start();
        rig.surprise(&surprise);
        let (head, _) =
            rig.client().send("POST /pay HTTP/1.1\r\nHost: test\r\nContent-Length: 4\r\n\r\nbody").answer();
        // A connection that ended before a byte was sent proves that nothing was: then it is sent again.
        let times = if head.starts_with("HTTP/1.1 200 ") { 1 } else { 0 };
        assert!(times == 1 || head.starts_with("HTTP/1.1 502 "), "{head}");
        assert_eq!(rig.executed().len(), times, "{:?}", rig.ledger());
        let (head, _) = rig.client().get("/after").answer();
        assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
    }
}
