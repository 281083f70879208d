//! How lines look: which of the three styles, and what they share.

use crate::access::AccessLine;
use crate::entry::Output;
use crate::event::Event;
use crate::terminal::Terminal;
use crate::{json, text};
use jiff::Timestamp;
use std::fmt::Write;
use std::time::SystemTime;

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

    pub(crate) fn access(&self, line: &AccessLine, out: &mut Vec<u8>) {
        match self {
            Self::Terminal(_) | Self::Text => text::access(line, out),
            Self::Json => json::access(line, out),
        }
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
