//! Panics, as one line each through the log. A panic in a connection's task ends that connection alone (tokio catches
//! it); this is how anybody learns of it.

use prometheus::IntCounter;
use std::backtrace::{Backtrace, BacktraceStatus};

/// Replaces the standard hook, which would print several lines, and wait for whoever reads them.
pub(crate) fn install(counter: IntCounter) {
    std::panic::set_hook(Box::new(move |info| {
        counter.inc();
        let words = info.payload_as_str().unwrap_or("(no message)");
        let location = info.location().map(ToString::to_string);
        let thread = std::thread::current().name().map(ToOwned::to_owned);
        // Only where RUST_BACKTRACE asks for it.
        let trace = Backtrace::capture();
        let backtrace = (trace.status() == BacktraceStatus::Captured).then(|| trace.to_string());
        tracing::error!(target: "panic", location, thread, backtrace, "this is a bug in antifreeze: {words}");
    }));
}
