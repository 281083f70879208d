//! Answers that break HTTP's rules or break off: never shown as whole, never mixed with somebody else's.

use crate::wire::client::End;
use crate::wire::rig::Rig;
use crate::wire::script::{Step, path, send};

#[test]
fn an_answer_that_is_no_http_becomes_a_502_and_leaks_nothing() {
    let rig = Rig::start();
    let ok = "HTTP/1.1 200 OK\r\n";
    let table: &[(&str, Vec<Step>)] = &[
        ("garbage", vec![send("\0\x01leak leak leak\r\n\r\n"), Step::Close]),
        ("another version", vec![send("HTTP/9.9 200 OK\r\n\r\nleak"), Step::Close]),
        ("another protocol", vec![send("SSH-2.0-leak\r\n"), Step::Close]),
        (
            "64 KiB of status line",
            vec![send("HTTP/1.1 200 "), Step::Repeat(65536, b"leak".to_vec()), Step::Close],
        ),
        ("a folded field", vec![send(format!("{ok}A: leak\r\n leak\r\nContent-Length: 0\r\n\r\n"))]),
        ("two lengths", vec![send(format!("{ok}Content-Length: 5, 6\r\n\r\nleak!!"))]),
        (
            "two lengths in two fields",
            vec![send(format!("{ok}Content-Length: 5\r\nContent-Length: 6\r\n\r\nleak!!"))],
        ),
        ("a length with a sign", vec![send(format!("{ok}Content-Length: +4\r\n\r\nleak"))]),
        ("a zero byte in a field", vec![send(format!("{ok}A: le\0ak\r\nContent-Length: 0\r\n\r\n"))]),
        ("a bare CR in a field", vec![send(format!("{ok}A: le\rak\r\nContent-Length: 0\r\n\r\n"))]),
        (
            "a coding that was not asked for",
            vec![send(format!("{ok}Transfer-Encoding: gzip, chunked\r\n\r\n4\r\nleak\r\n0\r\n\r\n"))],
        ),
        (
            "chunked twice",
            vec![send(format!(
                "{ok}Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nleak\r\n0\r\n\r\n"
            ))],
        ),
        (
            "a protocol nobody asked for",
            vec![
                send("HTTP/1.1 101 Switching Protocols\r\nUpgrade: leak\r\nConnection: upgrade\r\n\r\nleak"),
                Step::Drain,
            ],
        ),
        (
            "1 MiB of fields",
            vec![
                send(ok),
                Step::Repeat(16 * 1024, format!("A: {}\r\n", "leak".repeat(15)).into()),
                send("\r\n"),
            ],
        ),
        ("an end before the status", vec![Step::Close]),
        ("an end in the status line", vec![send("HTTP/1.1 20"), Step::Close]),
        ("an end in the fields", vec![send(format!("{ok}A: leak\r\n")), Step::Close]),
    ];
    let mut client = rig.client();
    let before = rig.memory();
    for (what, steps) in table {
        let (head, body) = client.get(&path(steps)).answer();
        assert!(head.starts_with("HTTP/1.1 502 "), "{what}: {head}");
        assert!(!head.contains("leak") && !body.contains("leak"), "{what}: {head}{body}");
    }
    let grown = rig.memory().saturating_sub(before);
    assert!(grown < 4 * 1024, "they cost {grown} KiB");
    let executed = rig.executed().len();
    // Where the connection ended before the head did, the worker may have died: a GET gets one more try.
    let ended = table.iter().filter(|(what, _)| what.starts_with("an end")).count();
    assert_eq!(executed, table.len() + ended);
}

#[test]
fn an_answer_that_breaks_off_never_looks_complete() {
    let rig = Rig::start();
    let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
    let sized = "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n";
    for (what, steps) in [
        ("a short body", vec![send(format!("{sized}part")), Step::Close]),
        ("no body", vec![send(sized), Step::Close]),
        ("no last chunk", vec![send(format!("{chunked}4\r\npart\r\n")), Step::Close]),
        ("half a chunk", vec![send(format!("{chunked}40\r\npart")), Step::Close]),
        ("no end behind the last chunk", vec![send(format!("{chunked}4\r\npart\r\n0\r\n")), Step::Close]),
        ("a chunk without a size", vec![send(format!("{chunked}4\r\npart\r\nzz\r\npart\r\n0\r\n\r\n"))]),
        ("a chunk longer than its size", vec![send(format!("{chunked}4\r\nparted\r\n0\r\n\r\n"))]),
        ("a size beyond 64 bits", vec![send(format!("{chunked}4\r\npart\r\n10000000000000000\r\n"))]),
    ] {
        // Incomplete: 18 (partial file), 56 (receiving failed) or 52 (nothing at all).
        let (code, printed) = rig.curl(&path(&steps), &[]);
        assert!([18, 52, 56].contains(&code), "{what}: curl says {code}, {printed}");
        let mut client = rig.client();
        match client.get(&path(&steps)).end() {
            End::Closed(text) => assert!(!text.ends_with("0\r\n\r\n"), "{what}: {text}"),
            End::Reset | End::Cut => {}
        }
    }
    rig.until_idle();
}

#[test]
fn an_answer_that_is_reset_never_looks_complete() {
    let rig = Rig::on_tcp();
    for head in ["Transfer-Encoding: chunked\r\n\r\n4\r\npart\r\n", "Content-Length: 100\r\n\r\npart"] {
        let steps = [send(format!("HTTP/1.1 200 OK\r\n{head}")), Step::Reset];
        let (code, printed) = rig.curl(&path(&steps), &[]);
        assert!([18, 52, 56].contains(&code), "curl says {code}, {printed}");
    }
}
