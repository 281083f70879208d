//! A client of HTTP/2 that sends exactly the frames that a test wants, however wrong they are.

use crate::support::PATIENCE;
use std::io::{self, Read, Write};
use std::net::TcpStream;

/// One frame (RFC 9113 section 4.1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Frame {
    pub(crate) kind: u8,
    pub(crate) flags: u8,
    pub(crate) stream: u32,
    pub(crate) payload: Vec<u8>,
}

pub(crate) const DATA: u8 = 0;
pub(crate) const HEADERS: u8 = 1;
pub(crate) const PRIORITY: u8 = 2;
pub(crate) const RST_STREAM: u8 = 3;
pub(crate) const SETTINGS: u8 = 4;
pub(crate) const PUSH_PROMISE: u8 = 5;
pub(crate) const PING: u8 = 6;
pub(crate) const GOAWAY: u8 = 7;
pub(crate) const WINDOW_UPDATE: u8 = 8;
pub(crate) const CONTINUATION: u8 = 9;

pub(crate) const END_STREAM: u8 = 1;
pub(crate) const ACK: u8 = 1;
pub(crate) const END_HEADERS: u8 = 4;

pub(crate) const NO_ERROR: u32 = 0;
pub(crate) const PROTOCOL_ERROR: u32 = 1;
pub(crate) const FLOW_CONTROL_ERROR: u32 = 3;
pub(crate) const STREAM_CLOSED: u32 = 5;
pub(crate) const FRAME_SIZE_ERROR: u32 = 6;
pub(crate) const REFUSED_STREAM: u32 = 7;
pub(crate) const CANCEL: u32 = 8;
pub(crate) const COMPRESSION_ERROR: u32 = 9;
pub(crate) const ENHANCE_YOUR_CALM: u32 = 11;

impl Frame {
    pub(crate) fn new(kind: u8, flags: u8, stream: u32, payload: impl AsRef<[u8]>) -> Self {
        Self { kind, flags, stream, payload: payload.as_ref().to_vec() }
    }

    pub(crate) fn reset(stream: u32, code: u32) -> Self {
        Self::new(RST_STREAM, 0, stream, code.to_be_bytes())
    }

    pub(crate) fn window(stream: u32, increment: u32) -> Self {
        Self::new(WINDOW_UPDATE, 0, stream, increment.to_be_bytes())
    }

    /// A request without a body, as a whole.
    pub(crate) fn get(stream: u32, path: &str) -> Self {
        Self::new(HEADERS, END_STREAM | END_HEADERS, stream, request("GET", path, &[]))
    }

    /// A request whose body follows.
    pub(crate) fn post(stream: u32, path: &str, fields: &[(&str, &str)]) -> Self {
        Self::new(HEADERS, END_HEADERS, stream, request("POST", path, fields))
    }

    pub(crate) fn bytes(&self) -> Vec<u8> {
        let mut bytes = u32::try_from(self.payload.len()).expect("it is short").to_be_bytes()[1..].to_vec();
        bytes.extend([self.kind, self.flags]);
        bytes.extend(self.stream.to_be_bytes());
        bytes.extend(&self.payload);
        bytes
    }

    /// The code of a RST_STREAM or GOAWAY.
    pub(crate) fn code(&self) -> u32 {
        let start = if self.kind == GOAWAY { 4 } else { 0 };
        u32::from_be_bytes(self.payload[start..start + 4].try_into().expect("four bytes"))
    }

    /// The status in the first HEADERS of an answer to a [`Peer`].
    pub(crate) fn status(&self) -> u16 {
        let block: Vec<u8> = self.payload.iter().copied().skip_while(|byte| byte >> 5 == 1).collect();
        match block[..] {
            // RFC 7541 appendix A.
            [indexed @ 0x88..=0x8e, ..] => [200, 204, 206, 304, 400, 404, 500][usize::from(indexed - 0x88)],
            [_, length, ref rest @ ..] if length & 0x80 == 0 => {
                std::str::from_utf8(&rest[..usize::from(length)]).expect("digits").parse().expect("a number")
            }
            [_, _, ref rest @ ..] => digits(rest),
            _ => panic!("no status: {block:?}"),
        }
    }

    pub(crate) fn ends_stream(&self) -> bool {
        self.flags & END_STREAM != 0
    }
}

/// Three digits in the code of RFC 7541 appendix B: 0 to 2 in five bits, 3 to 9 in six.
fn digits(bytes: &[u8]) -> u16 {
    let mut bits = bytes.iter().flat_map(|byte| (0..8).rev().map(move |place| u16::from(byte >> place & 1)));
    let mut take =
        |count: usize, value: u16| bits.by_ref().take(count).fold(value, |value, bit| value * 2 + bit);
    (0..3).fold(0, |number, _| {
        let five = take(5, 0);
        number * 10 + if five <= 2 { five } else { take(1, five) - 0b01_1001 + 3 }
    })
}

/// A header block of literal fields, whatever they are.
pub(crate) fn block(fields: &[(&str, &str)]) -> Vec<u8> {
    let mut block = Vec::new();
    for (name, value) in fields {
        block.push(0);
        for text in [name, value] {
            length(text.len(), &mut block);
            block.extend(text.as_bytes());
        }
    }
    block
}

/// An integer with a prefix of seven bits (RFC 7541 section 5.1).
fn length(length: usize, block: &mut Vec<u8>) {
    let Some(mut rest) = length.checked_sub(127) else {
        return block.push(u8::try_from(length).expect("it fits"));
    };
    block.push(127);
    while rest >= 128 {
        block.push(u8::try_from(rest % 128 + 128).expect("it fits"));
        rest /= 128;
    }
    block.push(u8::try_from(rest).expect("it fits"));
}

pub(crate) fn request(method: &str, path: &str, fields: &[(&str, &str)]) -> Vec<u8> {
    let pseudo = [(":method", method), (":scheme", "http"), (":authority", "test"), (":path", path)];
    block(&[&pseudo, fields].concat())
}

/// The client.
pub(crate) struct Peer {
    pub(crate) stream: TcpStream,
    /// What became of other streams while the verdict on one was waited for.
    passed: Vec<Frame>,
}

impl Peer {
    /// Begins the conversation. The server's compression is kept so simple that [`Frame::status`] can read it.
    pub(crate) fn new(stream: TcpStream) -> Self {
        Self::with_settings(stream, &[])
    }

    /// The same, with more settings.
    pub(crate) fn with_settings(stream: TcpStream, settings: &[(u16, u32)]) -> Self {
        stream.set_nodelay(true).expect("a socket can");
        stream.set_write_timeout(Some(PATIENCE)).expect("a time limit above zero");
        let mut payload = Vec::new();
        for (name, value) in [&[(HEADER_TABLE_SIZE, 0)], settings].concat() {
            payload.extend(name.to_be_bytes());
            payload.extend(value.to_be_bytes());
        }
        let mut peer = Self::silent(stream);
        peer.write(PREFACE).write(Frame::new(SETTINGS, 0, 0, payload).bytes());
        peer
    }

    /// One that has said nothing yet.
    pub(crate) fn silent(stream: TcpStream) -> Self {
        Self { stream, passed: Vec::new() }
    }

    pub(crate) fn send(&mut self, frames: &[Frame]) -> &mut Self {
        self.try_send(frames).expect("the proxy reads");
        self
    }

    /// # Errors
    /// When the proxy has closed the connection.
    pub(crate) fn try_send(&mut self, frames: &[Frame]) -> io::Result<()> {
        let bytes: Vec<u8> = frames.iter().flat_map(Frame::bytes).collect();
        self.stream.write_all(&bytes)
    }

    fn write(&mut self, bytes: impl AsRef<[u8]>) -> &mut Self {
        self.stream.write_all(bytes.as_ref()).expect("the proxy reads");
        self
    }

    /// The next frame; nothing at the end of the connection.
    pub(crate) fn next(&mut self) -> Option<Frame> {
        let mut head = [0; 9];
        self.stream.read_exact(&mut head).ok()?;
        let mut payload =
            vec![0; usize::from(head[0]) << 16 | usize::from(head[1]) << 8 | usize::from(head[2])];
        self.stream.read_exact(&mut payload).ok()?;
        let stream = u32::from_be_bytes(head[5..].try_into().expect("four bytes"));
        Some(Frame { kind: head[3], flags: head[4], stream, payload })
    }

    /// The next frame of this kind, less acknowledgements.
    pub(crate) fn wait(&mut self, kind: u8) -> Frame {
        let found = std::iter::from_fn(|| self.next()).find(|frame| frame.kind == kind && !is_ack(frame));
        found.unwrap_or_else(|| panic!("the connection ended before a frame of kind {kind}"))
    }

    /// The next frame that says what becomes of this stream: HEADERS or RST_STREAM, or the GOAWAY of an error. Streams may be
    /// asked about in any order.
    pub(crate) fn verdict(&mut self, stream: u32) -> Frame {
        if let Some(place) = self.passed.iter().position(|frame| frame.stream == stream) {
            return self.passed.remove(place);
        }
        loop {
            let Some(frame) = self.next() else {
                panic!("the connection ended before an answer to {stream}")
            };
            match frame.kind {
                HEADERS | RST_STREAM if frame.stream == stream => return frame,
                HEADERS | RST_STREAM => self.passed.push(frame),
                GOAWAY if frame.code() != NO_ERROR => return frame,
                _ => {}
            }
        }
    }

    /// Waits until the proxy has seen all that was sent.
    pub(crate) fn sync(&mut self) -> &mut Self {
        self.send(&[Frame::new(PING, 0, 0, *b"whatever")]);
        let found = std::iter::from_fn(|| self.next()).find(|frame| frame.kind == PING && frame.flags == ACK);
        assert!(found.is_some(), "the connection ended before the answer to a PING");
        self
    }

    /// All that is left, to the end of the connection.
    pub(crate) fn rest(&mut self) -> Vec<Frame> {
        std::iter::from_fn(|| self.next()).collect()
    }
}

fn is_ack(frame: &Frame) -> bool {
    matches!(frame.kind, PING | SETTINGS) && frame.flags == ACK
}

/// Names of settings (RFC 9113 section 6.5.2).
const HEADER_TABLE_SIZE: u16 = 1;
pub(crate) const INITIAL_WINDOW_SIZE: u16 = 4;

pub(crate) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

#[test]
fn a_status_is_read_as_hpack_writes_it() {
    for (block, status) in [
        (&[0x88][..], 200),
        (&[0x20, 0x8c], 400),
        // RFC 7541 appendix C.5.1 and C.6.1.
        (b"\x48\x03302", 302),
        (&[0x48, 0x82, 0x64, 0x02], 302),
        (&[0x48, 0x83, 0x64, 0x0e, 0xff], 307),
    ] {
        assert_eq!(Frame::new(HEADERS, 0, 1, block).status(), status, "{block:?}");
    }
}
