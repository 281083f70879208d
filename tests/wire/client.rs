//! A client that says and reads exactly what a test wants.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};

/// A raw connection to the proxy.
pub(crate) struct Client<S = TcpStream> {
    pub(crate) stream: S,
    /// Received, and not asked for yet.
    ahead: Vec<u8>,
}

/// How the proxy ended a connection.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// By FIN, after these last bytes.
    Closed(String),
    /// By RST.
    Reset,
    /// By FIN without the `close_notify` of TLS: what came may not be all.
    Cut,
}

impl Client {
    /// Sends no more.
    pub(crate) fn finish(&mut self) -> &mut Self {
        self.stream.shutdown(Shutdown::Write).expect("it is connected");
        self
    }
}

impl<S: Read + Write> Client<S> {
    pub(crate) fn new(stream: S) -> Self {
        Self { stream, ahead: Vec::new() }
    }

    pub(crate) fn send(&mut self, bytes: impl AsRef<[u8]>) -> &mut Self {
        self.stream.write_all(bytes.as_ref()).expect("the proxy reads");
        self
    }

    /// A GET of this path on a connection that is kept.
    pub(crate) fn get(&mut self, path: &str) -> &mut Self {
        self.send(format!("GET {path} HTTP/1.1\r\nHost: test\r\n\r\n"))
    }

    /// What comes next, up to and with these bytes.
    pub(crate) fn read_to(&mut self, wanted: &str) -> String {
        loop {
            let found = self.ahead.windows(wanted.len()).position(|window| window == wanted.as_bytes());
            if let Some(start) = found {
                return self.take(start + wanted.len());
            }
            self.read_more(wanted);
        }
    }

    /// The next bytes, so many of them.
    pub(crate) fn read(&mut self, count: usize) -> String {
        while self.ahead.len() < count {
            self.read_more("more");
        }
        self.take(count)
    }

    /// The next head, in lower case but for the first line.
    pub(crate) fn head(&mut self) -> String {
        let head = self.read_to("\r\n\r\n");
        let (line, fields) = head.split_once("\r\n").expect("a head has lines");
        format!("{line}\r\n{}", fields.to_ascii_lowercase())
    }

    /// The next whole answer: its head, and its body by the head's Content-Length or up to the last chunk.
    pub(crate) fn answer(&mut self) -> (String, String) {
        let head = self.head();
        let body = match field(&head, "content-length") {
            Some(length) => self.read(length.parse().expect("a number")),
            None if head.contains("\r\ntransfer-encoding: chunked\r\n") => self.read_to("0\r\n\r\n"),
            None => String::new(),
        };
        (head, body)
    }

    /// All that is left, up to a clean end.
    pub(crate) fn rest(&mut self) -> Vec<u8> {
        let mut rest = std::mem::take(&mut self.ahead);
        self.stream.read_to_end(&mut rest).expect("it ends cleanly");
        rest
    }

    /// What is left, and how the connection ends.
    pub(crate) fn end(&mut self) -> End {
        let mut buffer = [0; 16 * 1024];
        loop {
            match self.stream.read(&mut buffer) {
                Ok(0) => return End::Closed(self.take(self.ahead.len())),
                Ok(count) => self.ahead.extend(&buffer[..count]),
                Err(error) if error.kind() == ErrorKind::ConnectionReset => return End::Reset,
                Err(error) if error.kind() == ErrorKind::UnexpectedEof => return End::Cut,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => panic!("the connection does not end: {error}; {}", self.seen()),
            }
        }
    }

    /// Whether the proxy ends the connection without a word. Whoever writes on it meanwhile is told of the reset then, and
    /// reads a plain end.
    pub(crate) fn is_cut(&mut self) -> bool {
        match self.end() {
            End::Reset | End::Cut => true,
            End::Closed(rest) => rest.is_empty(),
        }
    }

    fn read_more(&mut self, wanted: &str) {
        let mut buffer = [0; 16 * 1024];
        match self.stream.read(&mut buffer) {
            Ok(0) => panic!("the connection ended before {wanted:?} came: {}", self.seen()),
            Ok(count) => self.ahead.extend(&buffer[..count]),
            // Whoever stops this process for a moment ends a read that has a time limit (signal(7)).
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => panic!("no {wanted:?}: {error}; {}", self.seen()),
        }
    }

    fn take(&mut self, count: usize) -> String {
        let taken: Vec<u8> = self.ahead.drain(..count).collect();
        String::from_utf8_lossy(&taken).into_owned()
    }

    fn seen(&self) -> String {
        String::from_utf8_lossy(&self.ahead).into_owned()
    }
}

/// A field's value in a head in lower case.
pub(crate) fn field<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
}
