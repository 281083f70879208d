//! What the program prints: its own lines, its workers' lines, and one line a request.
//!
//! Each place that lines go to (standard output, standard error, a file) has one bounded queue and one thread that
//! formats and writes (lines of requests are formatted by whoever served them). Whoever has something to say leaves it in the
//! queue and goes on: nobody ever waits for a slow reader or a full disk. What finds no room, or cannot be written, is dropped, counted, and announced in one line
//! once the place works again. The own lines, the workers' and the requests' have room each for themselves, so that a
//! worker that prints without end hides nothing but its own kind.

mod access;
mod entry;
mod event;
mod format;
mod json;
mod log;
mod options;
mod panics;
mod place;
mod queue;
mod terminal;
#[cfg(test)]
mod tests;
mod text;
mod writer;

pub use access::{AccessLine, AccessLog};
pub use entry::{Output, Source, Speaker};
pub use format::push_address;
pub use log::{Flush, Log, StartError, now};
pub use options::{AccessTarget, Filter, Format, FormatError, LogOptions};

/// The target of events about one worker's change (fields `worker`, `pid`, `was`, `now`, `why`).
pub const WORKER: &str = "worker";

/// The target of events about routes.
pub const ROUTE: &str = "route";
/// The target of events that say what was started, before there is any news.
pub const START: &str = "start";
