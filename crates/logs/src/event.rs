//! Our own lines: events of `tracing`, taken apart on the spot and written elsewhere.

use crate::entry::Entry;
use crate::log::now;
use crate::queue::Queue;
use std::fmt;
use std::time::SystemTime;
use tracing::field::{Field, Visit};
use tracing::{Level, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;

/// One line of our own.
#[derive(Debug)]
pub(crate) struct Event {
    pub(crate) at: SystemTime,
    pub(crate) level: Level,
    pub(crate) target: &'static str,
    pub(crate) message: String,
    /// In the order in which they were given.
    pub(crate) fields: Vec<(&'static str, Value)>,
}

/// A field's value.
#[derive(Debug)]
pub(crate) enum Value {
    /// Text that is quoted where the format has quotes.
    Quoted(String),
    /// Text that stands for itself.
    Bare(String),
    Signed(i64),
    Unsigned(u64),
    Truth(bool),
}

impl Event {
    pub(crate) fn field(&self, name: &str) -> Option<&Value> {
        self.fields.iter().find_map(|(found, value)| (*found == name).then_some(value))
    }

    pub(crate) fn size(&self) -> usize {
        let values = self.fields.iter().map(|(_, value)| match value {
            Value::Quoted(text) | Value::Bare(text) => text.len() + FIELD,
            Value::Signed(_) | Value::Unsigned(_) | Value::Truth(_) => FIELD,
        });
        self.message.len() + values.sum::<usize>()
    }
}

/// Leaves events in a queue.
pub(crate) struct ToQueue(pub(crate) Queue);

impl<S: Subscriber> Layer<S> for ToQueue {
    fn on_event(&self, event: &tracing::Event<'_>, _: Context<'_, S>) {
        let metadata = event.metadata();
        let mut taken = Event {
            at: now(),
            level: *metadata.level(),
            target: metadata.target(),
            message: String::new(),
            fields: Vec::new(),
        };
        event.record(&mut taken);
        self.0.push(Entry::Event(Box::new(taken)));
    }
}

impl Visit for Event {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let text = format!("{value:?}");
        match field.name() {
            "message" => self.message = text,
            name => self.fields.push((name, Value::Bare(text))),
        }
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        match field.name() {
            "message" => value.clone_into(&mut self.message),
            name => self.fields.push((name, Value::Quoted(value.to_owned()))),
        }
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.fields.push((field.name(), Value::Signed(value)));
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.fields.push((field.name(), Value::Unsigned(value)));
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.fields.push((field.name(), Value::Truth(value)));
    }
}

/// A field without its text.
const FIELD: usize = 48;
