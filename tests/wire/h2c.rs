//! Workers that are spoken to in HTTP/2: what becomes of a request there, which ones are sent again, and how streams,
//! windows and connections of both sides depend on each other.

use crate::support::{Program, until, whole_lines};
use crate::wire::client::{Client, End, field};
use crate::wire::frames::{
    CANCEL, DATA, END_HEADERS, END_STREAM, Frame, HEADERS, INITIAL_WINDOW_SIZE, Peer, WINDOW_UPDATE, block,
};
use crate::wire::polite::{Polite, read};
use bytes::Bytes;
use hyper::HeaderMap;
use hyper::header::{HeaderName, HeaderValue};
use serde::Deserialize;
use std::future::poll_fn;
use std::time::Duration;
use tempfile::TempDir;

const TESTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests");

/// The proxy before one worker that speaks HTTP/2 as its requests' paths say (`apps/frames_app.py`).
struct Rig {
    program: Program,
    folder: TempDir,
}

/// One line of the worker's ledger.
#[derive(Debug, Deserialize)]
struct Line {
    connection: Option<u32>,
    event: String,
    #[serde(default)]
    path: String,
    #[serde(default)]
    headers: Vec<(String, String)>,
    #[serde(default)]
    trailers: Vec<(String, String)>,
    #[serde(default)]
    length: u64,
    #[serde(default)]
    left: u64,
    code: Option<u32>,
}

impl Line {
    fn field(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }
}

impl Rig {
    fn start() -> Self {
        Self::with(100, &[])
    }

    /// A worker that lets a connection have so many streams.
    fn with(streams: u32, flags: &[&str]) -> Self {
        let folder = tempfile::tempdir().expect("room");
        let ledger = folder.path().join("ledger").to_string_lossy().into_owned();
        let python = format!("{TESTS}/.venv/bin/python");
        let app = format!("{TESTS}/apps/frames_app.py");
        let command = ["--", &python, &app, "{socket}", &ledger, &streams.to_string()];
        // Each thread has connections of its own.
        let quiet = ["run", "--workers", "1", "--threads", "1", "--openapi", "off", "--probe-timeout", "20s"];
        let http2 = ["--protocol", "h2c", "--http2", "on"];
        let mut program = Program::start(&[&quiet[..], &http2, flags, &command].concat());
        program.wait_for_line("now=\"serving\"");
        Self { program, folder }
    }

    fn client(&self) -> Client {
        Client::new(self.program.connect())
    }

    fn polite(&self) -> Polite {
        Polite::new(self.program.connect())
    }

    fn ledger(&self) -> Vec<Line> {
        let lines = whole_lines(&self.folder.path().join("ledger"));
        lines.iter().map(|line| serde_json::from_str(line).expect("a line of JSON")).collect()
    }

    /// The events of this kind so far.
    fn events(&self, event: &str) -> Vec<Line> {
        self.ledger().into_iter().filter(|line| line.event == event).collect()
    }

    fn requests_for(&self, part: &str) -> usize {
        self.events("request").iter().filter(|line| line.path.contains(part)).count()
    }

    fn until_idle(&self) {
        until("no request is held", || {
            let worker = &self.program.status()["workers"][0];
            (worker["in_flight"] == 0 && worker["parked"] == 0).then_some(())
        });
    }
}

/// The path of attempts that each are steps.
fn path(attempts: &[&str]) -> String {
    format!("/{}", attempts.join("%7C"))
}

/// Lets the client's connection move, until something is so.
fn moved(client: &Polite, is_so: bool) -> Option<()> {
    client.run(tokio::task::yield_now());
    is_so.then_some(())
}

fn status(answer: &str) -> &str {
    answer.split(' ').nth(1).unwrap_or_default()
}

#[test]
fn a_head_becomes_one_of_http_2() {
    let rig = Rig::start();
    let head = "GET /ok?a=%20b HTTP/1.1\r\nHost: Example.com:81\r\nConnection: keep-alive, x-mine\r\nX-Mine: 1\r\n\
                Keep-Alive: 5\r\nTE: trailers, gzip\r\nCookie: a=1\r\nX-A: 1\r\nX-A: 2\r\n\r\n";
    let (answer, body) = rig.client().send(head).answer();
    assert_eq!((status(&answer), &*body), ("200", "ok"), "{answer}");
    let told = rig.polite().ask_with("GET", "/ok", &[("te", "trailers")], None).expect("an answer");
    assert_eq!((told.status.as_u16(), &*told.body), (200, "ok"));
    let old = rig.client().send("GET /ok HTTP/1.0\r\n\r\n").answer().0;
    assert_eq!(status(&old), "200", "{old}");

    let requests = rig.events("request");
    let [first, second, third] = &requests[..] else { panic!("{requests:?}") };
    for (name, value) in [
        (":method", Some("GET")),
        (":scheme", Some("http")),
        (":authority", Some("Example.com:81")),
        (":path", Some("/ok?a=%20b")),
        ("te", Some("trailers")),
        ("cookie", Some("a=1")),
        ("x-forwarded-host", Some("Example.com:81")),
        ("via", Some("1.1 antifreeze")),
        ("host", None),
        ("connection", None),
        ("keep-alive", None),
        ("x-mine", None),
    ] {
        assert_eq!(first.field(name), value, "{first:?}");
    }
    let values: Vec<_> =
        first.headers.iter().filter(|(name, _)| name == "x-a").map(|(_, value)| value).collect();
    assert_eq!(values, ["1", "2"]);
    assert_eq!((second.field(":authority"), second.field("te")), (Some("test"), Some("trailers")));
    assert_eq!((third.field(":authority"), third.field("host"), third.field("te")), (None, None, None));
}

#[test]
fn requests_share_a_connection_and_open_another_when_it_is_full() {
    let rig = Rig::with(2, &[]);
    let mut client = rig.client();
    for _ in 0..3 {
        assert_eq!(status(&client.get("/ok").answer().0), "200");
    }
    assert!(rig.events("request").iter().all(|line| line.connection == Some(1)), "{:?}", rig.ledger());
    let held: Vec<Client> = (0..5)
        .map(|number| {
            let mut client = rig.client();
            client.get("/head,hang");
            until("it came", || (rig.requests_for("hang") == number + 1).then_some(()));
            client
        })
        .collect();
    let on = |number| {
        rig.events("request")
            .iter()
            .filter(|line| line.path.contains("hang") && line.connection == Some(number))
            .count()
    };
    assert_eq!([on(1), on(2), on(3)], [2, 2, 1]);
    drop(held);
    until("their streams are reset", || (rig.events("reset").len() == 5).then_some(()));
    assert!(rig.events("lost").is_empty(), "the connections live on");
}

#[test]
fn a_request_that_was_refused_or_not_read_is_sent_again_whatever_its_method() {
    for (unread, reason) in [("refuse", "full"), ("goaway", "unsent")] {
        let rig = Rig::start();
        let mut client = rig.client();
        assert_eq!(status(&client.get("/ok").answer().0), "200");
        assert_eq!(status(&client.get(&path(&[unread, "ok"])).answer().0), "200", "{unread}");
        // The body is under way when the request comes back.
        let body = "x".repeat(20_000);
        let target = path(&[unread, "body,ok"]);
        let head = format!("POST {target} HTTP/1.1\r\nHost: test\r\nContent-Length: 20000\r\n\r\n");
        assert_eq!(status(&client.send(&head).send(&body).answer().0), "200", "{unread}");
        assert_eq!(rig.events("body").iter().map(|line| line.length).collect::<Vec<_>>(), [20_000]);
        let mut trailers = HeaderMap::new();
        trailers.insert("x-checked", HeaderValue::from_static("1"));
        let target = path(&[unread, "body,ok", ""]);
        let told = rig.polite().ask_with("POST", &target, &[], Some((b"body", trailers))).expect("an answer");
        assert_eq!(told.status, 200, "{unread}");
        let bodies = rig.events("body");
        let last = bodies.last().expect("it came");
        assert_eq!((last.length, &*last.trailers), (4, &[("x-checked".to_owned(), "1".to_owned())][..]));
        assert_eq!(rig.events("request").len(), 7, "each came twice: {:?}", rig.ledger());
        let counted = format!("antifreeze_retries_total{{pool=\"web\",reason=\"{reason}\"}} 3");
        until("it is counted", || rig.program.ask("/metrics").body.contains(&counted).then_some(()));
    }
}

#[test]
fn a_worker_that_refuses_a_request_is_full_and_not_suspected() {
    let mut rig = Rig::start();
    // On a channel that was opened for it.
    assert_eq!(status(&rig.client().get(&path(&["refuse", "ok"])).answer().0), "200");
    let (answer, body) = rig.client().get("/refuse").answer();
    assert_eq!((status(&answer), field(&answer, "x-antifreeze")), ("503", Some("workers_full")), "{body}");
    assert!(field(&answer, "retry-after").is_some(), "{answer}");
    assert_eq!(rig.requests_for("refuse"), 2 + 3);
    // It would not be less full on further connections.
    assert!(rig.events("request").iter().all(|line| line.connection == Some(1)), "{:?}", rig.ledger());
    assert_eq!(status(&rig.client().get("/ok").answer().0), "200");
    rig.until_idle();
    rig.program.signal("TERM");
    rig.program.wait();
    let log = rig.program.rest_of_log();
    assert!(!log.contains("suspect"), "{log}");
}

#[test]
fn after_a_goodbye_open_requests_end_and_new_ones_take_another_connection() {
    let rig = Rig::start();
    let mut client = rig.client();
    let (answer, _) = client.get("/goodbye,ok").answer();
    assert_eq!(field(&answer, "x-connection"), Some("1"));
    let (answer, _) = client.get("/ok").answer();
    assert_eq!(field(&answer, "x-connection"), Some("2"));
    until("the first one is closed", || {
        rig.events("lost").iter().any(|line| line.connection == Some(1)).then_some(())
    });
}

#[test]
fn a_reset_before_the_answer_is_a_502_in_http_1_and_a_reset_in_http_2_and_is_not_repeated() {
    let rig = Rig::start();
    let (answer, body) = rig.client().get("/reset:2").answer();
    assert_eq!((status(&answer), field(&answer, "x-antifreeze")), ("502", Some("reset")), "{answer}{body}");
    for (code, told) in [(8, 8), (11, 11), (2, 2), (1, 2), (13, 2)] {
        let error = rig.polite().ask_with("GET", &format!("/reset:{code}"), &[], None).expect_err("a reset");
        assert!(error.is_reset() && error.is_remote(), "{error}");
        assert_eq!(error.reason().map(u32::from), Some(told), "{code}");
    }
    assert_eq!(rig.requests_for("reset"), 6);
    rig.until_idle();
    assert_eq!(rig.program.status()["workers"][0]["state"], "serving");
}

#[test]
fn a_reset_in_the_middle_of_an_answer_never_looks_like_its_end() {
    let rig = Rig::start();
    for step in ["reset:8", "close"] {
        match rig.client().get(&format!("/head,data:half,{step}")).end() {
            End::Closed(text) => assert!(!text.ends_with("0\r\n\r\n"), "{text}"),
            End::Reset | End::Cut => {}
        }
    }
    let mut polite = rig.polite();
    for (step, told) in [("reset:8", 8), ("reset:11", 11), ("reset:7", 2), ("close", 2)] {
        let error =
            polite.ask_with("GET", &format!("/head,data:half,{step}"), &[], None).expect_err("a reset");
        assert_eq!(error.reason().map(u32::from), Some(told), "{step}");
    }
    assert_eq!(polite.ask("GET", "/ok").status, 200, "the client's connection goes on");
}

#[test]
fn trailers_pass_both_ways_unannounced_and_without_what_is_dangerous() {
    let rig = Rig::start();
    let mut trailers = HeaderMap::new();
    for (name, value) in [("x-checked", "1"), ("content-length", "7"), ("x-forwarded-for", "1.1.1.1")] {
        trailers.insert(HeaderName::from_static(name), HeaderValue::from_static(value));
    }
    let mut polite = rig.polite();
    let told = polite
        .ask_with("POST", "/body,head,data:a,trailers:7", &[], Some((b"body", trailers)))
        .expect("an answer");
    let answered = told.trailers.expect("there are some");
    assert_eq!(
        (answered.len(), &answered["x-sum"], &answered["grpc-status"]),
        (2, &HeaderValue::from_static("7"), &HeaderValue::from_static("0"))
    );
    assert_eq!(rig.events("body")[0].trailers, [("x-checked".to_owned(), "1".to_owned())]);
    // Without a byte of body, as in an error of gRPC.
    let told = polite.ask("GET", "/head,trailers:8");
    assert_eq!(
        (&*told.body, &told.trailers.expect("there are some")["x-sum"]),
        ("", &HeaderValue::from_static("8"))
    );
    // A client of HTTP/1.1 sees the same body, whole.
    let (answer, body) = rig.client().get("/head,data:a,trailers:7").answer();
    assert_eq!((status(&answer), &*body), ("200", "1\r\na\r\n0\r\n\r\n"));
}

#[test]
fn both_sides_speak_in_turn_on_one_stream() {
    let rig = Rig::start();
    let mut polite = rig.polite();
    let (answer, mut send) = polite.begin("POST", "/head,echo,trailers:1", &[], false);
    polite.run(async {
        let mut stream = answer.await.expect("it begins before the request ends").into_body();
        for word in ["one", "two", "three"] {
            send.send_data(Bytes::from_static(word.as_bytes()), false).expect("it goes on");
            let told = stream.data().await.expect("more").expect("no reset");
            stream.flow_control().release_capacity(told.len()).expect("it came");
            assert_eq!(told, word);
        }
        send.send_data(Bytes::new(), true).expect("it goes on");
        assert_eq!(read(&mut stream).await.expect("no reset"), "");
        assert_eq!(stream.trailers().await.expect("no reset").expect("there are some")["x-sum"], "1");
    });
}

#[test]
fn an_answer_that_is_whole_before_its_request_survives_the_reset_behind_it() {
    let rig = Rig::start();
    let mut polite = rig.polite();
    // What is asked for is clear already: NO_ERROR (RFC 9113 section 8.1).
    let (answer, mut send) = polite.begin("POST", "/head,data:enough,trailers:7,reset:0", &[], false);
    let (body, trailers) = polite.run(async {
        send.send_data(Bytes::from_static(b"half"), false).expect("it goes on");
        let mut stream = answer.await.expect("an answer").into_body();
        let body = read(&mut stream).await.expect("no reset");
        (body, stream.trailers().await.expect("no reset"))
    });
    assert_eq!(
        (&*body, &trailers.expect("there are some")["x-sum"]),
        ("enough", &HeaderValue::from_static("7"))
    );
    rig.until_idle();
    assert_eq!(polite.ask("GET", "/ok").status, 200);
}

#[test]
fn an_upload_goes_on_while_its_client_does_not_take_the_answer() {
    let rig = Rig::start();
    // A client without a window for the answer, that sends more than the proxy would hold.
    let mut peer = Peer::with_settings(rig.program.connect(), &[(INITIAL_WINDOW_SIZE, 0)]);
    peer.send(&[Frame::post(1, "/head,data:early,body,end", &[])]);
    peer.wait(HEADERS);
    // The proxy opens its window again as it passes on what it got. Its settings were not acknowledged: it is the first one.
    let mut room = 65_535;
    for number in 0..100 {
        while room < 10_000 {
            let frame = peer.wait(WINDOW_UPDATE);
            if frame.stream == 1 {
                room += u32::from_be_bytes(frame.payload.try_into().expect("four bytes"));
            }
        }
        peer.send(&[Frame::new(DATA, if number == 99 { END_STREAM } else { 0 }, 1, [0; 10_000])]);
        room -= 10_000;
    }
    until("the worker has all of it", || (rig.events("body").first()?.length == 1_000_000).then_some(()));
}

#[test]
fn a_cancelled_request_is_cancelled_at_the_worker_and_leaves_others_alone() {
    let rig = Rig::start();
    let mut polite = rig.polite();
    for target in ["/hang", "/head,data:a,hang"] {
        let before = rig.events("reset").len();
        let (answer, send) = polite.begin("POST", target, &[], false);
        until("it came", || moved(&polite, rig.requests_for(target) == 1));
        drop((answer, send));
        until("it is reset", || moved(&polite, rig.events("reset").len() > before));
        assert_eq!(rig.events("reset").last().and_then(|line| line.code), Some(CANCEL));
        assert_eq!(polite.ask("GET", "/ok").status, 200);
    }
    rig.until_idle();
    assert!(rig.events("request").iter().all(|line| line.connection == Some(1)));
}

#[test]
fn an_answer_that_nobody_takes_stops_its_worker_and_no_other_answer() {
    let rig = Rig::start();
    let mut lazy: Vec<Client> = (0..20).map(|_| rig.client()).collect();
    for client in &mut lazy {
        client.get("/head,much:10000000,end");
    }
    until("the worker is stopped", || {
        let full = rig.events("full");
        assert!(full.iter().all(|line| line.left > 1_000_000), "a window for all that there is");
        (full.len() >= 20).then_some(())
    });
    let mut client = rig.client();
    for _ in 0..20 {
        assert_eq!(status(&client.get("/head,much:200000,end").answer().0), "200");
    }
}

#[test]
fn an_upload_that_its_worker_does_not_take_stops_its_client_and_no_other_upload() {
    let rig = Rig::start();
    let mut polite = rig.polite();
    let (_answer, mut send) = polite.begin("POST", "/head,hang", &[], false);
    // More than all windows on the way.
    send.reserve_capacity(10_000_000);
    let mut sent = 0;
    let stopped = until("the client is stopped", || {
        polite.run(async {
            while send.capacity() > 0 {
                let room = send.capacity().min(16_384);
                send.send_data(Bytes::from(vec![0; room]), false).expect("it goes on");
                sent += room;
            }
            let more = tokio::time::timeout(Duration::from_millis(300), poll_fn(|cx| send.poll_capacity(cx)));
            more.await.is_err().then_some(sent)
        })
    });
    assert!(stopped < 2_000_000, "{stopped} bytes were taken");
    let body = "x".repeat(100_000);
    let mut client = rig.client();
    for _ in 0..5 {
        let head = "POST /body,ok HTTP/1.1\r\nHost: test\r\nContent-Length: 100000\r\n\r\n";
        assert_eq!(status(&client.send(head).send(&body).answer().0), "200");
    }
}

#[test]
fn what_breaks_the_rules_beside_a_get_costs_it_nothing() {
    let rig = Rig::start();
    let mut innocent = rig.client();
    innocent.get(&path(&["hang", "ok"]));
    until("it came", || (rig.requests_for("hang") == 1).then_some(()));
    let mut guilty = rig.client();
    guilty.get("/garbage");
    assert_eq!(status(&innocent.answer().0), "200");
}

#[test]
fn an_answer_that_waits_for_the_rest_of_an_upload_does_not_stand_still_while_that_moves() {
    let rig = Rig::with(100, &["--stream-timeout", "2s"]);
    let mut polite = rig.polite();
    // As a server of gRPC that sends its metadata at once, and its answer when the stream of requests is over.
    let (answer, mut send) = polite.begin("POST", "/head,body,data:all,trailers:0", &[], false);
    polite.run(async {
        let mut stream = answer.await.expect("it begins before the request ends").into_body();
        for _ in 0..15 {
            send.send_data(Bytes::from_static(b"more"), false).expect("it goes on");
            let early = tokio::time::timeout(Duration::from_millis(200), stream.data()).await;
            assert!(early.is_err(), "the answer waits: {early:?}");
        }
        send.send_data(Bytes::new(), true).expect("it goes on");
        assert_eq!(read(&mut stream).await.expect("no reset"), "all");
    });
}

#[test]
fn uploads_that_move_share_a_connection() {
    let rig = Rig::start();
    let body = "x".repeat(300_000);
    std::thread::scope(|scope| {
        for _ in 0..30 {
            scope.spawn(|| {
                let mut client = rig.client();
                let head = "POST /body,ok HTTP/1.1\r\nHost: test\r\nContent-Length: 300000\r\n\r\n";
                assert_eq!(status(&client.send(head).send(&body).answer().0), "200");
            });
        }
    });
    let most = rig.events("request").iter().filter_map(|line| line.connection).max();
    // One a thread, and some that met a machine which had more to do.
    assert!(most.is_some_and(|most| most < 15), "{most:?} connections");
}

#[test]
fn a_broken_connection_costs_no_get_and_repeats_no_post() {
    let rig = Rig::start();
    let mut client = rig.client();
    assert_eq!(status(&client.get("/ok").answer().0), "200");
    assert_eq!(status(&client.get(&path(&["close", "ok"])).answer().0), "200");
    let target = path(&["close", "ok", ""]);
    let head = format!("POST {target} HTTP/1.1\r\nHost: test\r\nContent-Length: 0\r\n\r\n");
    let (answer, _) = client.send(&head).answer();
    assert_eq!((status(&answer), field(&answer, "x-antifreeze")), ("502", Some("lost")));
    assert_eq!(rig.requests_for(&target), 1);
    assert_eq!(status(&client.get("/ok").answer().0), "200");
}

#[test]
fn an_idle_connection_is_closed_in_order_before_its_worker_would() {
    let rig = Rig::with(100, &["--worker-keep-alive", "100ms"]);
    assert_eq!(status(&rig.client().get("/ok").answer().0), "200");
    until("it says goodbye", || (rig.events("goodbye").len() == 1).then_some(()));
    until("and is closed", || (rig.events("lost").len() == 1).then_some(()));
}

#[test]
fn an_answer_that_does_not_begin_is_a_504_and_its_stream_is_reset() {
    let rig = Rig::with(100, &["--response-timeout", "200ms"]);
    let (answer, _) = rig.client().get("/hang").answer();
    assert_eq!(status(&answer), "504", "{answer}");
    until("it is reset", || (rig.events("reset").first()?.code == Some(CANCEL)).then_some(()));
}

#[test]
fn an_answer_that_stands_still_is_cut_at_both_ends() {
    let rig = Rig::with(100, &["--stream-timeout", "200ms"]);
    match rig.client().get("/head,data:half,hang").end() {
        End::Closed(text) => assert!(!text.ends_with("0\r\n\r\n"), "{text}"),
        End::Reset | End::Cut => {}
    }
    until("it is reset", || (rig.events("reset").first()?.code == Some(CANCEL)).then_some(()));
    let error = rig.polite().ask_with("GET", "/head,data:half,hang", &[], None).expect_err("no end");
    assert!(error.is_reset(), "{error}");
    until("it is reset", || (rig.events("reset").len() == 2).then_some(()));
}

#[test]
fn answers_without_a_body_leave_the_clients_connection_in_step() {
    let rig = Rig::start();
    let mut client = rig.client();
    for (method, target, told, body) in [
        ("GET", "/head:204,end", "204", ""),
        ("GET", "/head:304,end", "304", ""),
        ("HEAD", "/head,end", "200", ""),
        // Its head did not say yet that nothing comes.
        ("GET", "/head,end", "200", "0\r\n\r\n"),
        ("GET", "/ok", "200", "ok"),
    ] {
        client.send(format!("{method} {target} HTTP/1.1\r\nHost: test\r\n\r\n"));
        let answered = if method == "HEAD" { (client.head(), String::new()) } else { client.answer() };
        assert_eq!((status(&answered.0), &*answered.1), (told, body), "{method} {target}");
    }
    // A worker that sends less than it said, or more.
    for step in ["data:short,end", "data:more-than-nine-bytes,end"] {
        match rig.client().get(&format!("/head:200x9,{step}")).end() {
            End::Closed(text) => assert!(!text.ends_with("bytes") && text.len() < 400, "{text}"),
            End::Reset | End::Cut => {}
        }
    }
}

#[test]
fn a_100_of_the_worker_is_what_makes_the_client_send() {
    let rig = Rig::start();
    let mut client = rig.client();
    let head = "POST /interim:103x5,interim:100,body,ok HTTP/1.1\r\nHost: test\r\nContent-Length: 4\r\n\
                Expect: 100-continue\r\n\r\n";
    client.send(head).read_to("HTTP/1.1 100 Continue\r\n\r\n");
    assert_eq!(status(&client.send("body").answer().0), "200");
    assert_eq!(rig.events("request")[0].field("expect"), Some("100-continue"));
    let (answer, _) = rig.client().get("/interim:103x5000,ok").answer();
    assert_eq!((status(&answer), field(&answer, "x-antifreeze")), ("502", Some("bad_answer")), "{answer}");
}

#[test]
fn interim_answers_reach_a_client_of_http_2_but_for_those_that_it_does_not_know() {
    let rig = Rig::start();
    let mut client = rig.polite();
    let told = client.ask("GET", "/interim:103x2,interim:101,interim:102,interim:199,ok");
    let seen: Vec<_> = told.interim.iter().map(|one| one.status().as_u16()).collect();
    assert_eq!(seen, [103, 103, 102, 199]);
    assert!(told.interim.iter().all(|one| one.headers()["link"] == "</a.css>"), "{told:?}");
    assert_eq!((told.status.as_u16(), &*told.body), (200, "ok"));
    let told = client.ask("GET", "/interim:103x5000,ok");
    assert_eq!((told.interim.len() <= 128, told.status.as_u16()), (true, 502), "{}", told.interim.len());

    let expecting = [("expect", "100-continue")];
    let (mut answer, mut body) = client.begin("POST", "/interim:100,body,ok", &expecting, false);
    let asked = client.run(poll_fn(|cx| answer.poll_informational(cx)));
    assert_eq!(asked.expect("one").expect("no error").status(), 100);
    body.send_data(Bytes::from_static(b"body"), true).expect("it is open");
    assert_eq!(client.run(answer).expect("an answer").status(), 200);
}

#[test]
fn websockets_are_refused_and_other_upgrades_ignored() {
    let rig = Rig::start();
    let ask = |protocol: &str| {
        let head =
            format!("GET /ok HTTP/1.1\r\nHost: test\r\nConnection: Upgrade\r\nUpgrade: {protocol}\r\n\r\n");
        rig.client().send(&head).answer().0
    };
    let answer = ask("WebSocket");
    assert_eq!((status(&answer), field(&answer, "x-antifreeze")), ("501", Some("websocket")), "{answer}");
    assert_eq!(status(&ask("other/1")), "200");
    let mut peer = Peer::new(rig.program.connect());
    let connect = [
        (":method", "CONNECT"),
        (":protocol", "websocket"),
        (":scheme", "http"),
        (":authority", "test"),
        (":path", "/ok"),
    ];
    peer.send(&[Frame::new(HEADERS, END_HEADERS, 1, block(&connect))]);
    assert_eq!(peer.verdict(1).status(), 501);
    assert_eq!(rig.events("request").len(), 1);
}
