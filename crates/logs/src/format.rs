//! How lines look: which of the three styles, and what they share.

use crate::access::AccessLine;
use crate::entry::Output;
use crate::event::Event;
use crate::terminal::Terminal;
use crate::{json, text};
use jiff::Timestamp;
use std::fmt::Write as _;
use std::io::Write as _;
use std::net::IpAddr;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// How lines look at one place.
#[derive(Debug)]
pub(crate) enum Style {
    /// For whoever sits at a terminal.
    Terminal(Terminal),
    /// One line each, with date, level and target.
    Text,
    /// One object a line.
    Json,
}

impl Style {
    pub(crate) fn event(&mut self, event: &Event, out: &mut Vec<u8>) {
        match self {
            Self::Terminal(terminal) => terminal.event(event, out),
            Self::Text => text::event(event, out),
            Self::Json => json::event(event, out),
        }
    }

    pub(crate) fn output(&self, output: &Output, out: &mut Vec<u8>) {
        match self {
            Self::Terminal(terminal) => terminal.output(output, out),
            Self::Text => text::output(output, out),
            Self::Json => json::output(output, out),
        }
    }
}

/// How the lines of requests look.
#[derive(Clone, Copy, Debug)]
pub(crate) enum AccessStyle {
    /// The combined format, and more.
    Text,
    /// One object a line.
    Json,
}

impl AccessStyle {
    pub(crate) fn push(self, line: &AccessLine<'_>, dates: &mut Dates, out: &mut Vec<u8>) {
        match self {
            Self::Text => text::access(line, dates, out),
            Self::Json => json::access(line, dates, out),
        }
    }
}

/// The date of lines that follow each other, formatted once a second.
#[derive(Debug, Default)]
pub(crate) struct Dates {
    second: u64,
    text: String,
}

impl Dates {
    /// The date of this moment, always in the same `strftime` format, and the microseconds after it.
    pub(crate) fn of(&mut self, at: SystemTime, format: &str) -> (&str, u32) {
        let since = at.duration_since(UNIX_EPOCH).unwrap_or_default();
        if self.second != since.as_secs() || self.text.is_empty() {
            self.second = since.as_secs();
            self.text = date(at).strftime(format).to_string();
        }
        (&self.text, since.subsec_micros())
    }
}

/// Adds a number.
pub(crate) fn push_number(out: &mut Vec<u8>, number: impl itoa::Integer) {
    out.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
}

/// Adds the six digits of a part of a second.
pub(crate) fn push_micros(out: &mut Vec<u8>, micros: u32) {
    let mut digits = itoa::Buffer::new();
    // The one in front keeps the zeros behind it.
    let digits = digits.format(1_000_000 + micros % 1_000_000);
    out.extend_from_slice(&digits.as_bytes()[1..]);
}

/// Adds an address. Those of IPv4 without the standard formatter, which takes several times as long.
pub fn push_address(out: &mut Vec<u8>, address: IpAddr) {
    match address {
        IpAddr::V4(address) => {
            for (place, octet) in address.octets().into_iter().enumerate() {
                if place > 0 {
                    out.push(b'.');
                }
                push_number(out, octet);
            }
        }
        IpAddr::V6(address) => write!(out, "{address}").expect("a vector takes everything"),
    }
}

/// Adds seconds to the microsecond.
pub(crate) fn push_seconds(out: &mut Vec<u8>, duration: Duration) {
    push_number(out, duration.as_secs());
    out.push(b'.');
    push_micros(out, duration.subsec_micros());
}

/// Adds a value, or the word for none.
pub(crate) fn push_or<T>(
    none: &[u8],
    out: &mut Vec<u8>,
    value: Option<T>,
    push: impl FnOnce(&mut Vec<u8>, T),
) {
    match value {
        Some(value) => push(out, value),
        None => out.extend_from_slice(none),
    }
}

/// A moment as a date. Before 1677 and after 2262 there is none.
pub(crate) fn date(at: SystemTime) -> Timestamp {
    Timestamp::try_from(at).unwrap_or(Timestamp::UNIX_EPOCH)
}

/// Adds text of which no byte can start another line or speak to a terminal: control characters are escaped.
pub(crate) fn push_plain(out: &mut String, text: &str) {
    for letter in text.chars() {
        if letter.is_control() {
            out.extend(letter.escape_default());
        } else {
            out.push(letter);
        }
    }
}

/// Formats into a string, which cannot fail.
macro_rules! put {
    ($out:expr, $($arguments:tt)*) => {
        write!($out, $($arguments)*).expect("a string takes everything")
    };
}
pub(crate) use put;

/// `name=value` with a space before it.
pub(crate) fn push_field(out: &mut String, name: &str, value: &crate::event::Value) {
    use crate::event::Value;
    put!(out, " {name}=");
    match value {
        Value::Quoted(text) => put!(out, "{text:?}"),
        Value::Bare(text) => push_plain(out, text),
        Value::Signed(number) => put!(out, "{number}"),
        Value::Unsigned(number) => put!(out, "{number}"),
        Value::Truth(truth) => put!(out, "{truth}"),
    }
}
