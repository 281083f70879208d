//! What is known about the end of a process, in words for the log and for the line that the program ends with.

use policy::{Exit, Report, Why};
use std::io;

/// How a slot's last process ended, in words.
#[derive(Clone, Debug)]
pub(crate) enum LastWords {
    /// The last lines it printed; perhaps none.
    Output(String),
    /// There was no process, and why.
    NotSpawned(String),
    /// They may still be in the pipe. Meanwhile nothing of this slot is logged, to keep the order.
    Coming(Vec<Report>),
}

impl LastWords {
    /// Names the limit to raise where one is at fault.
    pub(crate) fn not_spawned(error: &io::Error) -> Self {
        Self::NotSpawned(match error.raw_os_error() {
            Some(libc::EAGAIN) => format!("{error}: allow more processes (ulimit -u, pids.max)"),
            Some(libc::EMFILE) => format!("{error}: allow more open files (ulimit -n)"),
            _ => error.to_string(),
        })
    }

    /// For somebody who has not seen the log; nothing if there is nothing to say.
    pub(crate) fn sentence(&self) -> Option<String> {
        match self {
            Self::Output(output) if output.is_empty() => None,
            Self::Output(output) => Some(format!("the last output of one: {output}")),
            Self::NotSpawned(error) => Some(format!("one could not be spawned: {error}")),
            Self::Coming(_) => None,
        }
    }
}

/// What the exit code of a server that could not start tells.
pub(crate) fn hint(why: &Why) -> &'static str {
    match why {
        Why::Exited { exit: Exit::Code(3), .. } => " (code 3: the server says that it cannot boot the app)",
        Why::Exited { exit: Exit::Code(126 | 127), .. } => " (not found, or not a program for this machine)",
        _ => "",
    }
}
