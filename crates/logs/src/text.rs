//! Plain text: the log of a service without a terminal, and the access log in the combined format.

use crate::access::AccessLine;
use crate::entry::Output;
use crate::event::Event;
use crate::format::{
    Dates, date, push_address, push_field, push_number, push_or, push_plain, push_seconds, put,
};
use std::fmt::Write as _;
use std::io::Write as _;

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
pub(crate) fn access(line: &AccessLine<'_>, dates: &mut Dates, out: &mut Vec<u8>) {
    push_or_dash(out, line.client, push_address);
    out.extend_from_slice(b" - - [");
    out.extend_from_slice(dates.of(line.at, "%d/%b/%Y:%H:%M:%S +0000").0.as_bytes());
    out.extend_from_slice(b"] \"");
    push_escaped(out, line.method.as_bytes(), b"");
    out.push(b' ');
    push_escaped(out, line.target.as_bytes(), b"");
    out.push(b' ');
    out.extend_from_slice(line.version.as_bytes());
    out.extend_from_slice(b"\" ");
    push_number(out, line.status);
    out.push(b' ');
    push_number(out, line.bytes);
    for quoted in [line.referer, line.user_agent] {
        out.extend_from_slice(b" \"");
        push_or_dash(out, quoted, |out, text| push_escaped(out, text, b""));
        out.push(b'"');
    }
    out.extend_from_slice(b" pool=");
    push_or_dash(out, line.pool, push_word);
    out.extend_from_slice(b" worker=");
    push_or_dash(out, line.pool.zip(line.worker), |out, (pool, number)| {
        push_word(out, pool);
        out.push(b'.');
        push_number(out, number);
    });
    out.extend_from_slice(b" duration=");
    push_seconds(out, line.duration);
    out.extend_from_slice(b" queue=");
    push_seconds(out, line.queue);
    out.extend_from_slice(b" response=");
    push_or_dash(out, line.response, push_seconds);
    out.extend_from_slice(b" retries=");
    push_number(out, line.retries);
    out.extend_from_slice(b" reason=");
    push_or_dash(out, line.reason, push_word);
    out.extend_from_slice(b" id=");
    push_or_dash(out, line.id, push_word);
    out.push(b'\n');
}

fn push_or_dash<T>(out: &mut Vec<u8>, value: Option<T>, push: impl FnOnce(&mut Vec<u8>, T)) {
    push_or(b"-", out, value, push);
}

/// A value of a pair, which ends at a space.
fn push_word(out: &mut Vec<u8>, word: impl AsRef<[u8]>) {
    push_escaped(out, word.as_ref(), b" ");
}

/// Bytes between quotes: what is not plain ASCII, a quote, a backslash, or one of these others, becomes `\xHH`, as nginx
/// writes it.
fn push_escaped(out: &mut Vec<u8>, bytes: &[u8], others: &[u8]) {
    let is_plain =
        |byte: &u8| matches!(byte, b' '..=b'~') && !matches!(byte, b'"' | b'\\') && !others.contains(byte);
    let mut rest = bytes;
    while let Some(at) = rest.iter().position(|byte| !is_plain(byte)) {
        out.extend_from_slice(&rest[..at]);
        write!(out, "\\x{:02X}", rest[at]).expect("a vector takes everything");
        rest = &rest[at + 1..];
    }
    out.extend_from_slice(rest);
}
