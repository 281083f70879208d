//! Bodies go through as they come, and no faster than the slower side.

use crate::support::until;
use crate::wire::client::End;
use crate::wire::rig::Rig;
use crate::wire::script::{Step, gate, path, send};
use std::io::Write;
use std::time::Duration;

#[test]
fn each_piece_of_an_answer_arrives_before_the_next_is_sent() {
    let rig = Rig::start();
    for (number, fields) in
        ["Content-Length: 9", "Transfer-Encoding: chunked", "Content-Type: text/event-stream"]
            .iter()
            .enumerate()
    {
        let piece = |text: &str| match fields.contains("chunked") {
            true => send(format!("{:x}\r\n{text}\r\n", text.len())),
            false => send(text),
        };
        let gates = [format!("head{number}"), format!("one{number}"), format!("two{number}")];
        let steps = [
            send(format!("HTTP/1.1 200 OK\r\n{fields}\r\n\r\n")),
            gate(&gates[0]),
            piece("one"),
            gate(&gates[1]),
            piece("two"),
            gate(&gates[2]),
            piece("end"),
            send(if fields.contains("chunked") { "0\r\n\r\n" } else { "" }),
            Step::Close,
        ];
        let mut client = rig.client();
        client.get(&path(&steps)).head();
        for (gate, text) in gates.iter().zip(["one", "two", "end"]) {
            rig.open(gate);
            client.read_to(text);
        }
    }
}

#[test]
fn each_piece_of_an_upload_arrives_before_the_next_is_sent() {
    let rig = Rig::start();
    for (number, (fields, pieces)) in [
        ("Content-Length: 9", ["one", "two", "end"]),
        ("Transfer-Encoding: chunked", ["3\r\none\r\n", "3\r\ntwo\r\n", "3\r\nend\r\n0\r\n\r\n"]),
    ]
    .into_iter()
    .enumerate()
    {
        let steps = path(&[Step::Body, send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")]);
        let mut client = rig.client();
        client.send(format!("POST {steps} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n{fields}\r\nX-Number: {number}\r\n\r\n"));
        for piece in pieces {
            client.send(piece);
            let text = &piece.trim_start_matches("3\r\n")[..3];
            until("the worker has it", || {
                rig.ledger()
                    .iter()
                    .any(|row| {
                        let row = row.text();
                        row.contains(&format!("x-number: {number}")) && row.contains(text)
                    })
                    .then_some(())
            });
        }
        assert!(client.head().starts_with("HTTP/1.1 200 "));
    }
}

#[test]
fn both_directions_stream_at_the_same_time() {
    let rig = Rig::start();
    let steps = path(&[
        send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"),
        Step::Take(8),
        send("4\r\nfour\r\n"),
        Step::Body,
    ]);
    let mut client = rig.client();
    client.send(format!("POST {steps} HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n")).head();
    client.send("3\r\none\r\n").read_to("four");
    rig.until_held(1);
}

#[test]
fn bodies_arrive_byte_by_byte_as_they_were() {
    let rig = Rig::start();
    let all: Vec<u8> = (0..=255).cycle().take(300_000).collect();
    let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", all.len() * 4);
    let block: Vec<u8> = (0..=255).cycle().take(3000).collect();
    let file = tempfile::NamedTempFile::new().expect("a folder for temporary files");
    let name = file.path().to_string_lossy().into_owned();
    let (code, _) = rig.curl(&path(&[send(head), Step::Repeat(400, block)]), &["--output", &name]);
    let got = std::fs::read(file.path()).expect("curl wrote it");
    let expected: Vec<u8> = (0..400).flat_map(|_| (0..=255).cycle().take(3000)).collect();
    assert!(code == 0 && got == expected, "curl says {code}, {} bytes", got.len());

    for coding in ["Content-Type: x", "Transfer-Encoding: chunked"] {
        std::fs::write(file.path(), &all[..200_000]).expect("a file");
        let data = format!("@{name}");
        let sent = rig.curl(
            &format!("/upload?{}", coding.len()),
            &["--data-binary", &data, "--header", coding, "--header", "Expect:"],
        );
        assert_eq!(sent.0, 0, "{}", sent.1);
    }
    let find = |bytes: &[u8], wanted: &[u8]| bytes.windows(wanted.len()).position(|found| found == wanted);
    let (row, at) = rig
        .ledger()
        .into_iter()
        .find_map(|row| find(&row.received, b"POST /upload?15 ").map(|at| (row, at)))
        .expect("it came");
    let start = at + find(&row.received[at..], b"\r\n\r\n").expect("a head") + 4;
    assert!(row.received[start..start + 200_000] == all[..200_000], "the upload arrived changed");
}

#[test]
fn a_reader_that_stalls_stalls_the_worker_and_costs_no_memory() {
    let rig = Rig::start();
    let before = rig.memory();
    let block = vec![b'x'; 16 * 1024];
    let endless =
        path(&[send("HTTP/1.1 200 OK\r\nContent-Length: 10737418240\r\n\r\n"), Step::Repeat(655_360, block)]);
    let mut clients: Vec<_> = (0..8).map(|_| rig.client()).collect();
    for client in &mut clients {
        client.get(&endless).head();
    }
    let sent = || rig.ledger().iter().map(|row| row.sent_total).sum::<u64>();
    let (mut last, mut stands) = (0, 0);
    until("the worker cannot send any more", || {
        let now = sent();
        stands = if now == last && now > 0 { stands + 1 } else { 0 };
        last = now;
        (stands == 5).then_some(())
    });
    assert!(last < 8 * 1024 * 1024, "{last} bytes went out to readers that read nothing");
    let grown = rig.memory().saturating_sub(before);
    assert!(grown < 8 * 1024, "8 stalled streams cost {grown} KiB");
    until("reading lets the worker send again", || {
        for client in &mut clients {
            client.read(64 * 1024);
        }
        (sent() > last).then_some(())
    });
    drop(clients);
    rig.until_idle();
}

#[test]
fn a_worker_that_reads_nothing_stalls_the_client_and_costs_no_memory() {
    let rig = Rig::start();
    let before = rig.memory();
    let mut client = rig.client();
    let length: usize = 1 << 29;
    client.send(format!(
        "POST {} HTTP/1.1\r\nHost: test\r\nContent-Length: {length}\r\n\r\n",
        path(&[gate("never")])
    ));
    client.stream.set_write_timeout(Some(Duration::from_millis(500))).expect("above zero");
    let block = vec![b'x'; 64 * 1024];
    let mut sent = 0;
    while let Ok(count) = client.stream.write(&block) {
        sent += count;
        assert!(sent < 64 * 1024 * 1024, "nothing stopped the upload");
    }
    let grown = rig.memory().saturating_sub(before);
    assert!(grown < 4 * 1024, "a stalled upload cost {grown} KiB");
}

#[test]
fn an_endless_event_stream_ends_at_the_worker_when_its_reader_leaves() {
    let rig = Rig::start();
    let events = path(&[
        send("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n"),
        send("data: 1\n\n"),
        Step::Drain,
    ]);
    let mut client = rig.client();
    client.get(&events).read_to("data: 1\n\n");
    rig.until_held(1);
    drop(client);
    until("the worker sees the end", || rig.ledger()[0].ended.then_some(()));
    rig.until_idle();
}

#[test]
fn slow_pieces_are_no_reason_to_cut_anything() {
    let rig = Rig::start();
    let drip = path(&[Step::Drip(20, b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok".to_vec())]);
    let mut client = rig.client();
    for byte in format!("GET {drip} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n").bytes() {
        client.send([byte]);
    }
    assert!(client.answer().1 == "ok" && client.end() == End::Closed(String::new()));
}
