//! Plain text: the log of a service without a terminal, and the access log in the combined format.

use crate::access::AccessLine;
use crate::entry::Output;
use crate::event::Event;
use crate::format::{date, push_field, push_plain, put};
use std::fmt::{Display, Write};
use std::time::Duration;

/// `2026-11-25T05:43:11.123456Z  INFO worker: worker="web.1" was="starting" now="serving" why=ready after 180 ms`.
pub(crate) fn event(event: &Event, out: &mut Vec<u8>) {
    let mut line = String::new();
    put!(line, "{:.6} {:>5} {}:", date(event.at), event.level, event.target);
    if !event.message.is_empty() {
        line.push(' ');
        push_plain(&mut line, &event.message);
    }
    for (name, value) in &event.fields {
        push_field(&mut line, name, value);
    }
    line.push('\n');
    out.extend_from_slice(line.as_bytes());
}

/// `web.3 | what it printed`, byte for byte.
pub(crate) fn output(output: &Output, out: &mut Vec<u8>) {
    for line in output.lines() {
        out.extend_from_slice(output.speaker.name.as_bytes());
        out.extend_from_slice(b" | ");
        out.extend_from_slice(line);
        out.push(b'\n');
    }
}

/// The combined format, which every tool reads, and `name=value` pairs after it. Absent things are `-`.
pub(crate) fn access(line: &AccessLine, out: &mut Vec<u8>) {
    let mut text = String::new();
    put!(text, "{} - - [{}] \"", Or(line.client), date(line.at).strftime("%d/%b/%Y:%H:%M:%S +0000"));
    push_quoted(&mut text, line.method.as_bytes());
    text.push(' ');
    push_quoted(&mut text, line.target.as_bytes());
    put!(text, " {}\" {} {}", line.version, line.status, line.bytes);
    for quoted in [&line.referer, &line.user_agent] {
        text.push_str(" \"");
        push_quoted(&mut text, quoted.as_deref().unwrap_or(b"-"));
        text.push('"');
    }
    put!(
        text,
        " pool={} worker={} duration={} queue={} response={} retries={} reason={} id=",
        Or(line.pool.as_deref()),
        Or(line.worker.as_deref()),
        Seconds(line.duration),
        Seconds(line.queue),
        Or(line.response.map(Seconds)),
        line.retries,
        Or(line.reason),
    );
    push_word(&mut text, line.id.as_deref().unwrap_or(b"-"));
    text.push('\n');
    out.extend_from_slice(text.as_bytes());
}

/// Bytes between quotes: what is not plain ASCII, a quote or a backslash becomes `\xHH`, as nginx writes it.
fn push_quoted(out: &mut String, bytes: &[u8]) {
    for byte in bytes {
        match byte {
            b'"' | b'\\' => put!(out, "\\x{byte:02X}"),
            b' '..=b'~' => out.push(char::from(*byte)),
            _ => put!(out, "\\x{byte:02X}"),
        }
    }
}

/// As [`push_quoted`], and without a space.
fn push_word(out: &mut String, bytes: &[u8]) {
    for piece in bytes.split_inclusive(|byte| *byte == b' ') {
        let (word, space) = piece.split_at(piece.len() - usize::from(piece.ends_with(b" ")));
        push_quoted(out, word);
        if !space.is_empty() {
            out.push_str("\\x20");
        }
    }
}

/// A value, or `-`.
struct Or<T>(Option<T>);

impl<T: Display> Display for Or<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.0 {
            Some(value) => value.fmt(f),
            None => f.write_char('-'),
        }
    }
}

/// Seconds to the microsecond.
struct Seconds(Duration);

impl Display for Seconds {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{:06}", self.0.as_secs(), self.0.subsec_micros())
    }
}
