//! JSON: one object a line.

use crate::access::AccessLine;
use crate::entry::Output;
use crate::event::{Event, Value};
use crate::format::date;
use serde::Serializer;
use serde::ser::SerializeMap;
use std::borrow::Cow;

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

/// Every key in every line; `null` for what there is not. Durations are seconds.
pub(crate) fn access(line: &AccessLine, out: &mut Vec<u8>) {
    fn lossy(bytes: Option<&[u8]>) -> Option<Cow<'_, str>> {
        bytes.map(String::from_utf8_lossy)
    }
    object(out, |map| {
        map.serialize_entry("ts", &format_args!("{:.6}", date(line.at)))?;
        map.serialize_entry("client", &line.client)?;
        map.serialize_entry("method", &line.method)?;
        map.serialize_entry("target", &line.target)?;
        map.serialize_entry("version", line.version)?;
        map.serialize_entry("status", &line.status)?;
        map.serialize_entry("bytes", &line.bytes)?;
        map.serialize_entry("duration", &line.duration.as_secs_f64())?;
        map.serialize_entry("queue", &line.queue.as_secs_f64())?;
        map.serialize_entry("response", &line.response.map(|response| response.as_secs_f64()))?;
        map.serialize_entry("pool", &line.pool)?;
        map.serialize_entry("worker", &line.worker)?;
        map.serialize_entry("retries", &line.retries)?;
        map.serialize_entry("reason", &line.reason)?;
        map.serialize_entry("id", &lossy(line.id.as_deref()))?;
        map.serialize_entry("referer", &lossy(line.referer.as_deref()))?;
        map.serialize_entry("user_agent", &lossy(line.user_agent.as_deref()))
    });
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
