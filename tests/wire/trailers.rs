//! Trailers: what a sender announced goes through, what would change the message's meaning never does.

use crate::wire::rig::Rig;
use crate::wire::script::{Step, path, send};

/// Fields that a recipient might merge into the head, to its harm (RFC 9110 section 6.5.1).
const FORBIDDEN: &[&str] = &[
    "Content-Length",
    "Transfer-Encoding",
    "Host",
    "Connection",
    "Upgrade",
    "TE",
    "Trailer",
    "Keep-Alive",
    "Content-Type",
    "Content-Encoding",
    "Authorization",
    "Proxy-Authorization",
    "Cookie",
    "Set-Cookie",
    "Cache-Control",
    "Expect",
    "Location",
    "Via",
    "X-Forwarded-For",
    "X-Forwarded-Proto",
    "Forwarded",
    "X-Real-IP",
    "X-Request-Id",
    "X_Forwarded_For",
];

fn trailers() -> String {
    let forbidden: String = FORBIDDEN.iter().map(|name| format!("{name}: evil\r\n")).collect();
    format!("0\r\nX-Checksum: abc\r\n{forbidden}Grpc-Status: 0\r\n\r\n")
}

fn announcement() -> String {
    format!("Trailer: X-Checksum, Grpc-Status, {}\r\n", FORBIDDEN.join(", "))
}

#[test]
fn announced_trailers_of_an_answer_reach_a_client_that_wants_them() {
    let rig = Rig::start();
    let head =
        format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n{}\r\n4\r\nbody\r\n", announcement());
    let steps = path(&[send(head), send(trailers())]);
    for (wish, wanted) in [("TE: trailers\r\nConnection: TE\r\n", true), ("", false)] {
        let mut client = rig.client();
        client.send(format!("GET {steps} HTTP/1.1\r\nHost: test\r\n{wish}\r\n")).head();
        client.read_to("4\r\nbody\r\n0\r\n");
        let sent = client
            .send("GET /next HTTP/1.1\r\nHost: test\r\n\r\n")
            .read_to("HTTP/1.1 200 OK")
            .to_ascii_lowercase();
        assert_eq!(
            sent.contains("x-checksum: abc\r\n") && sent.contains("grpc-status: 0\r\n"),
            wanted,
            "{sent}"
        );
        assert!(!sent.contains("evil"), "{sent}");
    }
    let wishes: Vec<_> =
        rig.ledger()[0].text().lines().filter(|line| line.starts_with("te: ")).map(str::to_owned).collect();
    assert_eq!(wishes, ["te: trailers"], "the wish is passed on as the proxy's own");
}

#[test]
fn announced_trailers_of_a_request_reach_the_worker() {
    let rig = Rig::start();
    let request = format!(
        "POST {} HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n{}\r\n4\r\nbody\r\n{}",
        path(&[Step::Body, send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")]),
        announcement(),
        trailers(),
    );
    let mut client = rig.client();
    let (head, _) = client.send(request).answer();
    assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
    let seen = rig.ledger()[0].text().to_ascii_lowercase();
    let sent = seen.split("4\r\nbody\r\n").nth(1).expect("a body").to_owned();
    assert!(sent.contains("x-checksum: abc\r\n") && sent.contains("grpc-status: 0\r\n"), "{sent}");
    assert!(!sent.contains("evil"), "{sent}");
}

#[test]
fn trailers_never_become_header_fields() {
    let rig = Rig::start();
    let steps =
        path(&[send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX-Late: yes\r\n\r\n")]);
    let (head, body) =
        rig.client().send(format!("GET {steps} HTTP/1.1\r\nHost: test\r\nTE: trailers\r\n\r\n")).answer();
    assert!(!head.contains("x-late"), "{head}{body}");
    let (_, body) = rig.client().send(format!("GET {steps} HTTP/1.0\r\nHost: test\r\n\r\n")).answer();
    assert_eq!(body, "");
}
