//! For whoever sits at a terminal: what was started, a table of the workers as they come up, and one line for each
//! change after that.

use crate::entry::Output;
use crate::event::{Event, Value};
use crate::format::{date, push_field, push_plain, put};
use crate::{START, WORKER};
use std::fmt::Write;
use tracing::Level;

/// The style, and how far its table is.
#[derive(Debug)]
pub(crate) struct Terminal {
    paint: Paint,
    table: Table,
}

/// Whether colours are wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Paint {
    Coloured,
    Plain,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Table {
    /// No worker was told of yet.
    Unopened,
    /// The head of the table is there.
    Open,
}

impl Paint {
    /// As the environment wants it (no-color.org).
    pub(crate) fn wanted() -> Self {
        let set = |name| std::env::var_os(name).filter(|value| !value.is_empty());
        match (set("NO_COLOR"), set("TERM")) {
            (Some(_), _) => Self::Plain,
            (None, Some(term)) if term == "dumb" => Self::Plain,
            (None, _) => Self::Coloured,
        }
    }

    fn put(self, out: &mut String, colour: &str, text: &str) {
        match self {
            Self::Coloured => put!(out, "\x1b[{colour}m{text}\x1b[0m"),
            Self::Plain => out.push_str(text),
        }
    }
}

impl Terminal {
    pub(crate) fn new(paint: Paint) -> Self {
        Self { paint, table: Table::Unopened }
    }

    pub(crate) fn event(&mut self, event: &Event, out: &mut Vec<u8>) {
        let mut line = String::new();
        match event.target {
            START => self.start(event, &mut line),
            WORKER if event.field("now").is_some() => self.change(event, &mut line),
            _ => self.other(event, &mut line),
        }
        out.extend_from_slice(line.as_bytes());
    }

    /// `web.3 | what it printed`, byte for byte.
    pub(crate) fn output(&self, output: &Output, out: &mut Vec<u8>) {
        let mut name = String::new();
        self.paint.put(&mut name, CYAN, &format!("{} |", output.speaker.name));
        for line in output.lines() {
            out.extend_from_slice(name.as_bytes());
            out.push(b' ');
            out.extend_from_slice(line);
            out.push(b'\n');
        }
    }

    /// A heading, and one line a field.
    fn start(&self, event: &Event, line: &mut String) {
        if event.fields.is_empty() {
            line.push_str("  ");
            push_plain(line, &event.message);
            line.push('\n');
            return;
        }
        let mut heading = String::new();
        push_plain(&mut heading, &event.message);
        self.paint.put(line, BOLD, &heading);
        line.push('\n');
        for (name, _) in &event.fields {
            put!(line, "  {name:<9}");
            push_plain(line, &word(event, name));
            line.push('\n');
        }
    }

    /// A row of the table.
    fn change(&mut self, event: &Event, line: &mut String) {
        if self.table == Table::Unopened {
            self.table = Table::Open;
            let head = format!("{:<9} {:<8} {:>7} {:<9} WHY", "TIME", "WORKER", "PID", "STATE");
            self.paint.put(line, BOLD, &head);
            line.push('\n');
        }
        let (was, now) = (word(event, "was"), word(event, "now"));
        let thawed = if was == "frozen" && now == "serving" { "thawed: " } else { "" };
        let colour = match (event.level, &*now) {
            (Level::ERROR, _) => RED,
            (Level::WARN, "serving") | (_, "serving") => GREEN,
            (Level::WARN, _) => YELLOW,
            _ => DIM,
        };
        put!(line, "{} {:<8} {:>7} ", self.time(event), word(event, "worker"), word(event, "pid"));
        self.paint.put(line, colour, &format!("{now:<9}"));
        put!(line, " {thawed}");
        push_plain(line, &word(event, "why"));
        let last_output = word(event, "last_output");
        if !last_output.is_empty() {
            line.push_str("; it printed: ");
            push_plain(line, &last_output);
        }
        line.push('\n');
    }

    fn other(&self, event: &Event, line: &mut String) {
        put!(line, "{} ", self.time(event));
        match event.level {
            Level::ERROR => self.paint.put(line, RED, "error: "),
            Level::WARN => self.paint.put(line, YELLOW, "warning: "),
            Level::INFO => {}
            _ => self.paint.put(line, DIM, &format!("{}: ", event.target)),
        }
        push_plain(line, &event.message);
        for (name, value) in &event.fields {
            push_field(line, name, value);
        }
        line.push('\n');
    }

    fn time(&self, event: &Event) -> String {
        let mut time = String::new();
        self.paint.put(&mut time, DIM, &date(event.at).strftime("%H:%M:%SZ").to_string());
        time
    }
}

/// A field's value as a word or sentence; nothing if it is absent.
fn word(event: &Event, name: &str) -> String {
    match event.field(name) {
        Some(Value::Quoted(text) | Value::Bare(text)) => text.clone(),
        Some(Value::Signed(number)) => number.to_string(),
        Some(Value::Unsigned(number)) => number.to_string(),
        Some(Value::Truth(truth)) => truth.to_string(),
        None => String::new(),
    }
}

const BOLD: &str = "1";
const DIM: &str = "2";
const RED: &str = "31";
const GREEN: &str = "32";
const YELLOW: &str = "33";
const CYAN: &str = "36";
