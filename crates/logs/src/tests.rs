//! The three styles, and a writer on places that do not work.

use crate::access::{AccessLine, AccessLog};
use crate::entry::{Class, Entry, Output, Source, Speaker};
use crate::event::{Event, Value};
use crate::format::{AccessStyle, Dates, Style};
use crate::options::{AccessTarget, Filter, Format};
use crate::place::Place;
use crate::queue::Queue;
use crate::terminal::{Paint, Terminal};
use crate::writer::{Health, Writer};
use crate::{Log, LogOptions, WORKER, log};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tracing::Level;

#[test]
fn a_change_of_a_worker_in_each_style() {
    let event = change();
    assert_eq!(
        shown(Style::Text, &event),
        "2026-11-25T05:43:11.000250Z  WARN worker: worker=\"web.3\" pid=42 was=\"serving\" now=\"frozen\" why=deaf\\nto its probe\n"
    );
    assert_eq!(
        shown(Style::Json, &event),
        "{\"ts\":\"2026-11-25T05:43:11.000250Z\",\"level\":\"warn\",\"target\":\"worker\",\"msg\":\"web.3 is frozen\",\
         \"worker\":\"web.3\",\"pid\":42,\"was\":\"serving\",\"now\":\"frozen\",\"why\":\"deaf\\nto its probe\"}\n"
    );
    assert_eq!(
        shown(Style::Terminal(Terminal::new(Paint::Plain)), &event),
        "TIME      WORKER       PID STATE     WHY\n05:43:11Z web.3         42 frozen    deaf\\nto its probe\n"
    );
}

#[test]
fn nothing_in_our_own_lines_speaks_to_the_terminal_or_starts_another_line() {
    let mut event = change();
    event.message = "a\x1b[31m\r\n\u{9b}b".to_owned();
    event.fields.push(("bare", Value::Bare("\x07\n".to_owned())));
    event.fields.push(("quoted", Value::Quoted("\x1b\n".to_owned())));
    for (target, style) in [
        ("other", Style::Text),
        ("other", Style::Json),
        ("other", Style::Terminal(Terminal::new(Paint::Plain))),
        (crate::START, Style::Terminal(Terminal::new(Paint::Plain))),
    ] {
        event.target = target;
        let text = shown(style, &event);
        let lines = if target == crate::START { 1 + event.fields.len() } else { 1 };
        assert_eq!(text.lines().count(), lines, "{text:?}");
        assert!(
            !text
                .trim_end()
                .chars()
                .any(|letter| letter.is_control() && letter != '\n' && letter != '\u{9b}'),
            "{text:?}"
        );
    }
}

#[test]
fn a_request_in_both_styles() {
    let mut line = request();
    let mut out = Vec::new();
    AccessStyle::Text.push(&line, &mut Dates::default(), &mut out);
    assert_eq!(
        String::from_utf8_lossy(&out),
        "10.0.0.7 - - [25/Nov/2026:05:43:11 +0000] \"GET /a?b HTTP/1.1\" 502 98 \"-\" \"curl\\x0A\\xFF\\x5C\" pool=web \
         worker=web.3 duration=1.500000 queue=0.000004 response=- retries=1 reason=lost id=a\\x20b\\x22\n"
    );
    out.clear();
    line.worker = None;
    AccessStyle::Json.push(&line, &mut Dates::default(), &mut out);
    assert_eq!(
        String::from_utf8_lossy(&out),
        "{\"ts\":\"2026-11-25T05:43:11.000250Z\",\"client\":\"10.0.0.7\",\"method\":\"GET\",\"target\":\"/a?b\",\
         \"version\":\"HTTP/1.1\",\"status\":502,\"bytes\":98,\"duration\":1.500000,\"queue\":0.000004,\"response\":null,\
         \"pool\":\"web\",\"worker\":null,\"retries\":1,\"reason\":\"lost\",\"id\":\"a b\\\"\",\"referer\":null,\
         \"user_agent\":\"curl\\n\u{fffd}\\\\\"}\n"
    );
}

#[test]
fn what_a_worker_printed_passes_byte_for_byte_as_text_and_readable_as_json() {
    let output = output(b"one\r\n\n\xff\x1b[1m", &Arc::default());
    let mut out = Vec::new();
    Style::Text.output(&output, &mut out);
    assert_eq!(out, b"web.3 | one\nweb.3 | \nweb.3 | \xff\x1b[1m\n");
    out.clear();
    Style::Json.output(&output, &mut out);
    let text = String::from_utf8(out).unwrap();
    assert_eq!(text.lines().count(), 3);
    assert!(text.ends_with("\"stream\":\"stderr\",\"line\":\"\u{fffd}\\u001b[1m\"}\n"), "{text}");
}

#[test]
fn what_a_queue_has_no_room_for_is_counted_and_hides_no_other_kind() {
    let (queue, _entries) = Queue::new(log::counters().unwrap().0);
    let dropped = Arc::default();
    let megabyte = vec![b'\n'; 1024 * 1024 - 1];
    for _ in 0..10 {
        queue.push(Entry::Output(output(&megabyte, &dropped)));
    }
    queue.push(Entry::Event(Box::new(change())));
    let lost = queue.rooms.lost();
    assert_eq!(
        lost[Class::Worker as usize],
        3 * 1024 * 1024,
        "seven of ten fit, with what each takes for itself"
    );
    assert_eq!(dropped.load(Ordering::Relaxed), 3 * 1024 * 1024);
    assert_eq!(lost[Class::Own as usize], 0);
}

#[test]
fn lines_that_a_full_disk_refuses_are_counted_and_the_writer_goes_on() {
    let (queue, entries) = Queue::new(log::counters().unwrap().0);
    let end = start_on_full_disk(&queue, entries);
    let dropped = Arc::default();
    queue.push(Entry::Output(output(b"one\ntwo", &dropped)));
    queue.push(Entry::Event(Box::new(change())));
    end();
    assert_eq!(queue.rooms.lost(), [1, 2, 0]);
    queue.push(Entry::Event(Box::new(change())));
    assert_eq!(queue.rooms.lost(), [2, 2, 0], "nobody is left to write it");
}

#[test]
fn lines_of_requests_that_find_no_room_no_disk_or_no_writer_are_counted_one_by_one() {
    let (queue, entries) = Queue::new(log::counters().unwrap().0);
    let log = AccessLog::new(queue.clone(), AccessStyle::Json);
    let long = vec![b'a'; 1024 * 1024 - 1024];
    let line = AccessLine { user_agent: Some(&long), ..request() };
    for _ in 0..8 {
        log.say(&line);
    }
    assert_eq!(queue.rooms.lost(), [0, 0, 3], "four and the one that begins below the bound find room");
    start_on_full_disk(&queue, entries)();
    assert_eq!(queue.rooms.lost(), [0, 0, 8]);
    for _ in 0..2 {
        log.say(&line);
    }
    assert_eq!(queue.rooms.lost(), [0, 0, 10]);
}

#[test]
fn dates_of_lines_that_follow_each_other_are_those_of_each() {
    let mut dates = Dates::default();
    let mut out = Vec::new();
    for at in [at(), at() + Duration::from_micros(999_749), at() + Duration::from_secs(1), UNIX_EPOCH] {
        AccessStyle::Json.push(&AccessLine { at, ..request() }, &mut dates, &mut out);
    }
    let text = String::from_utf8(out).unwrap();
    let shown: Vec<_> = text.lines().map(|line| &line["{'ts':'".len()..][..27]).collect();
    assert_eq!(
        shown,
        [
            "2026-11-25T05:43:11.000250Z",
            "2026-11-25T05:43:11.999999Z",
            "2026-11-25T05:43:12.000250Z",
            "1970-01-01T00:00:00.000000Z"
        ]
    );
}

#[test]
fn options_read_what_they_show_and_refuse_the_rest_with_the_remedy() {
    for text in ["auto", "text", "json"] {
        assert_eq!(text.parse::<Format>().unwrap().to_string(), text);
    }
    for text in ["info", "warn,console=debug", "error, proxy=trace"] {
        assert_eq!(text.parse::<Filter>().unwrap().to_string(), text);
    }
    for text in ["off", "-", "stderr", "/var/log/access.log"] {
        assert_eq!(text.parse::<AccessTarget>().unwrap().to_string(), text);
    }
    for text in ["", "loud", "INFO", "off", "info,", "console=", "=debug", "info,console=loud"] {
        let error = text.parse::<Filter>().unwrap_err().to_string();
        assert!(error.contains("write error, warn, info, debug or trace"), "{error}");
    }
}

#[test]
fn a_panic_is_counted_and_the_thread_that_caught_it_goes_on() {
    let (log, _flush) = Log::start(&LogOptions::default()).unwrap();
    let registry = prometheus::Registry::new();
    log.register(&registry).unwrap();
    assert!(std::panic::catch_unwind(|| panic!("on purpose")).is_err());
    let families = registry.gather();
    let panics = families.iter().find(|family| family.name() == "antifreeze_panics_total").unwrap();
    assert!((panics.get_metric()[0].get_counter().get_value() - 1.0).abs() < f64::EPSILON);
}

/// Starts a writer that can write nothing. What this returns ends it, once it has taken all that there is.
fn start_on_full_disk(queue: &Queue, entries: mpsc::Receiver<Entry>) -> impl FnOnce() {
    let (done, ended) = mpsc::sync_channel(1);
    let writer = Writer {
        entries,
        rooms: Arc::clone(&queue.rooms),
        place: Place::file(Path::new("/dev/full")).unwrap(),
        style: Style::Text,
        done,
        health: Health::Works,
    };
    let thread = std::thread::spawn(|| writer.run());
    let queue = queue.clone();
    move || {
        queue.push(Entry::Close);
        ended.recv_timeout(Duration::from_secs(10)).unwrap();
        thread.join().unwrap();
    }
}

fn at() -> SystemTime {
    UNIX_EPOCH + Duration::from_micros(1_795_585_391_000_250)
}

fn request() -> AccessLine<'static> {
    AccessLine {
        at: at(),
        client: Some([10, 0, 0, 7].into()),
        method: "GET",
        target: "/a?b",
        version: "HTTP/1.1",
        status: 502,
        bytes: 98,
        duration: Duration::from_micros(1_500_000),
        queue: Duration::from_micros(4),
        response: None,
        pool: Some("web"),
        worker: Some(3),
        retries: 1,
        id: Some(b"a b\""),
        reason: Some("lost"),
        referer: None,
        user_agent: Some(b"curl\n\xff\\"),
    }
}

fn change() -> Event {
    Event {
        at: at(),
        level: Level::WARN,
        target: WORKER,
        message: String::new(),
        fields: vec![
            ("worker", Value::Quoted("web.3".to_owned())),
            ("pid", Value::Signed(42)),
            ("was", Value::Quoted("serving".to_owned())),
            ("now", Value::Quoted("frozen".to_owned())),
            ("why", Value::Bare("deaf\nto its probe".to_owned())),
        ],
    }
}

fn output(text: &[u8], dropped: &Arc<AtomicU64>) -> Output {
    let speaker = Arc::new(Speaker { name: "web.3".to_owned(), dropped: Arc::clone(dropped) });
    Output { speaker, source: Source::Stderr, text: text.to_vec(), at: at() }
}

fn shown(mut style: Style, event: &Event) -> String {
    let mut out = Vec::new();
    style.event(event, &mut out);
    String::from_utf8(out).unwrap()
}
