//! JSON: one object a line.

use crate::access::AccessLine;
use crate::entry::Output;
use crate::event::{Event, Value};
use crate::format::{Dates, date, push_address, push_micros, push_number, push_or, push_seconds};
use serde::Serializer;
use serde::ser::SerializeMap;

/// `{"ts":…,"level":"info","target":"worker","msg":…,"worker":"web.1","was":"starting","now":"serving",…}`.
pub(crate) fn event(event: &Event, out: &mut Vec<u8>) {
    object(out, |map| {
        map.serialize_entry("ts", &format_args!("{:.6}", date(event.at)))?;
        map.serialize_entry("level", &event.level.as_str().to_ascii_lowercase())?;
        map.serialize_entry("target", event.target)?;
        match (event.field("worker"), event.field("now")) {
            (Some(Value::Quoted(worker)), Some(Value::Quoted(now))) if event.message.is_empty() => {
                map.serialize_entry("msg", &format_args!("{worker} is {now}"))?;
            }
            _ => map.serialize_entry("msg", &event.message)?,
        }
        for (name, value) in &event.fields {
            match value {
                Value::Quoted(text) | Value::Bare(text) => map.serialize_entry(name, text)?,
                Value::Signed(number) => map.serialize_entry(name, number)?,
                Value::Unsigned(number) => map.serialize_entry(name, number)?,
                Value::Truth(truth) => map.serialize_entry(name, truth)?,
            }
        }
        Ok(())
    });
}

/// `{"ts":…,"worker":"web.3","stream":"stderr","line":…}`.
pub(crate) fn output(output: &Output, out: &mut Vec<u8>) {
    for line in output.lines() {
        object(out, |map| {
            map.serialize_entry("ts", &format_args!("{:.6}", date(output.at)))?;
            map.serialize_entry("worker", &output.speaker.name)?;
            map.serialize_entry("stream", output.source.as_str())?;
            map.serialize_entry("line", &String::from_utf8_lossy(line))
        });
    }
}

/// Every key in every line; `null` for what there is not. Durations are seconds. By hand, because it is done for each request:
/// a serializer looks at each letter of the keys, too.
pub(crate) fn access(line: &AccessLine<'_>, dates: &mut Dates, out: &mut Vec<u8>) {
    let (date, micros) = dates.of(line.at, "%Y-%m-%dT%H:%M:%S");
    out.extend_from_slice(b"{\"ts\":\"");
    out.extend_from_slice(date.as_bytes());
    out.push(b'.');
    push_micros(out, micros);
    out.extend_from_slice(b"Z\",\"client\":");
    push_or_null(out, line.client, |out, client| {
        out.push(b'"');
        push_address(out, client);
        out.push(b'"');
    });
    out.extend_from_slice(b",\"method\":");
    push_text(out, line.method);
    out.extend_from_slice(b",\"target\":");
    push_text(out, line.target);
    out.extend_from_slice(b",\"version\":");
    push_text(out, line.version);
    out.extend_from_slice(b",\"status\":");
    push_number(out, line.status);
    out.extend_from_slice(b",\"bytes\":");
    push_number(out, line.bytes);
    out.extend_from_slice(b",\"duration\":");
    push_seconds(out, line.duration);
    out.extend_from_slice(b",\"queue\":");
    push_seconds(out, line.queue);
    out.extend_from_slice(b",\"response\":");
    push_or_null(out, line.response, push_seconds);
    out.extend_from_slice(b",\"pool\":");
    push_or_null(out, line.pool, push_text);
    out.extend_from_slice(b",\"worker\":");
    push_or_null(out, line.pool.zip(line.worker), |out, (pool, number)| {
        push_text(out, pool);
        // Between the name and its closing quote.
        out.pop();
        out.push(b'.');
        push_number(out, number);
        out.push(b'"');
    });
    out.extend_from_slice(b",\"retries\":");
    push_number(out, line.retries);
    out.extend_from_slice(b",\"reason\":");
    push_or_null(out, line.reason, push_text);
    out.extend_from_slice(b",\"id\":");
    push_or_null(out, line.id, push_bytes);
    out.extend_from_slice(b",\"referer\":");
    push_or_null(out, line.referer, push_bytes);
    out.extend_from_slice(b",\"user_agent\":");
    push_or_null(out, line.user_agent, push_bytes);
    out.extend_from_slice(b"}\n");
}

fn push_or_null<T>(out: &mut Vec<u8>, value: Option<T>, push: impl FnOnce(&mut Vec<u8>, T)) {
    push_or(b"null", out, value, push);
}

/// A string.
fn push_text(out: &mut Vec<u8>, text: &str) {
    serde_json::to_writer(out, text).expect("a vector takes everything");
}

/// A string of bytes, of which those that are not UTF-8 are replaced (U+FFFD).
fn push_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    match str::from_utf8(bytes) {
        Ok(text) => push_text(out, text),
        Err(_) => push_text(out, &String::from_utf8_lossy(bytes)),
    }
}

/// Writes one object and the end of its line.
fn object(
    out: &mut Vec<u8>,
    fill: impl FnOnce(
        &mut <&mut serde_json::Serializer<&mut Vec<u8>> as Serializer>::SerializeMap,
    ) -> serde_json::Result<()>,
) {
    let mut serializer = serde_json::Serializer::new(&mut *out);
    let written = serializer.serialize_map(None).and_then(|mut map| {
        fill(&mut map)?;
        map.end()
    });
    written.expect("a vector takes everything, and keys are strings");
    out.push(b'\n');
}
