//! A client that goes away gives its place back.

use crate::support::{Program, until};
use crate::wire::client::Client;
use std::io::Write;
use std::thread;

#[test]
fn counts_return_to_zero_after_ten_thousand_requests_half_of_them_cancelled() {
    let mut program = Program::start(&["demo", "--workers", "4"]);
    for _ in 0..4 {
        program.wait_for_line("now=\"serving\"");
    }
    let program = &program;
    thread::scope(|scope| {
        for _ in 0..20 {
            scope.spawn(|| {
                let mut kept = Client::new(program.connect());
                for _ in 0..250 {
                    let mut cancelled = program.connect();
                    cancelled.write_all(b"GET /slow?ms=5000 HTTP/1.1\r\nHost: test\r\n\r\n").expect("sent");
                    let (head, _) = kept.get("/").answer();
                    assert!(head.starts_with("HTTP/1.1 200"), "{head}");
                }
            });
        }
    });
    until("nobody holds a request", || {
        let status = program.ask("/api/v1/status").body;
        let status: serde_json::Value = serde_json::from_str(&status).ok()?;
        let workers = status["pools"][0]["workers"].as_array()?;
        workers
            .iter()
            .all(|worker| worker["in_flight"] == 0 && worker["parked"] == 0 && worker["state"] == "serving")
            .then_some(())
    });
    // Threads add their counts up four times a second.
    let answered = "antifreeze_requests_total{code=\"200\",pool=\"web\"} 5000";
    until("all others are counted as answered", || {
        program.ask("/metrics").body.lines().any(|line| line == answered).then_some(())
    });
}
