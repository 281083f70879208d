use super::*;
use supervisor::Address;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

#[tokio::test]
async fn a_document_is_read_from_one_request() {
    let (address, request) = answering(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}".to_vec()).await;
    assert_eq!(
        ask(address.connect(), "/openapi.json?v=1", Protocol::Http1).await.expect("it is there"),
        "{}"
    );
    let (request, _) = request.await.expect("no panic");
    assert!(request.starts_with("GET /openapi.json?v=1 HTTP/1.1\r\n"), "{request}");
    assert!(request.contains("user-agent: antifreeze\r\n"), "{request}");
}

#[tokio::test]
async fn what_is_no_document_is_told_apart() {
    let cases: [(Vec<u8>, &str); 6] = [
        (b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n".to_vec(), "a worker answers 404 Not Found"),
        (b"HTTP/1.1 302 Found\r\nContent-Length: 0\r\n\r\n".to_vec(), "a worker answers 302 Found"),
        (b"HTTP/1.1 500 Oh\r\nContent-Length: 0\r\n\r\n".to_vec(), "the worker broke off: 500 "),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nx\r\n".to_vec(), "the worker broke off: "),
        (b"not HTTP at all\r\n\r\n".to_vec(), "the worker broke off: "),
        (
            [b"HTTP/1.1 200 OK\r\n\r\n".as_slice(), &vec![b' '; LONGEST + 1]].concat(),
            "it is longer than 4 MiB",
        ),
    ];
    for (answer, expected) in cases {
        let (address, _request) = answering(answer).await;
        let reason =
            ask(address.connect(), "/openapi.json", Protocol::Http1).await.expect_err(expected).to_string();
        assert!(reason.starts_with(expected), "{reason}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_document_that_does_not_end_is_given_up() {
    let unfinished = b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{\"paths\":".to_vec();
    let (address, connection) = answering(unfinished).await;
    let reason = ask(address.connect(), "/openapi.json", Protocol::Http1)
        .await
        .expect_err("it does not end")
        .to_string();
    assert_eq!(reason, "it did not come within 10 s");
    drop(connection);
}

/// A worker that answers one request so and keeps the connection, and what it was asked.
async fn answering(answer: Vec<u8>) -> (Address, JoinHandle<(String, TcpStream)>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = Address::Tcp(listener.local_addr().expect("it has one"));
    let worker = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.expect("a connection");
        let mut request = Vec::new();
        while !request.ends_with(b"\r\n\r\n") {
            request.push(stream.read_u8().await.expect("a head"));
        }
        // Whoever has read enough may hang up.
        let _ = stream.write_all(&answer).await;
        (String::from_utf8(request).expect("text"), stream)
    });
    (address, worker)
}
