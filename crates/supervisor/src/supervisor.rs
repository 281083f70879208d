//! Start, run, end.

use crate::{Pool, PoolOptions};
use std::io;

/// What would run: the command after the address of a worker was worked in. `check` prints it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// The server that was recognised, for example `uvicorn`.
    pub server: Option<&'static str>,
    /// How a worker learns its address, in words: `--uds PATH`, `{port} in the command`, `PORT in the environment`.
    pub address: String,
    /// The command of the first worker, with its address filled in.
    pub command: Vec<String>,
}

impl Plan {
    /// Works the address into the command of a pool's first worker.
    ///
    /// # Errors
    /// [`PlanError`] for a command that cannot be given an address of its own.
    pub fn new(options: &PoolOptions) -> Result<Self, PlanError> {
        let _ = options;
        todo!()
    }
}

/// A command that cannot work: bad usage (exit 64). Displays as one line with the remedy.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct PlanError(String);

/// A pool that could not be started. Displays as one line with the remedy.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Bad usage: exit 64.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// The program of the command is not there, or may not be executed.
    #[error("cannot run {program:?}: {source}")]
    Program {
        /// The first word of the command.
        program: String,
        /// What `execve(2)` or the search through PATH said.
        source: io::Error,
    },
    /// The socket folder could not be made.
    #[error("cannot create the socket folder {path}: {source}")]
    Folder {
        /// The folder.
        path: String,
        /// What the system said.
        source: io::Error,
    },
    /// The sentinel could not be started.
    #[error("cannot start the sentinel: {0}")]
    Sentinel(io::Error),
}

/// The task that keeps a pool's workers alive.
#[derive(Debug)]
pub struct Supervisor {}

impl Supervisor {
    /// Makes the socket folder and starts the sentinel; workers start with [`run`](Self::run). To be called on the
    /// thread that will run it, which must live as long as the process: workers die with the thread that
    /// spawned them (`PR_SET_PDEATHSIG`, prctl(2)).
    ///
    /// # Errors
    /// [`StartError`], one line each.
    pub fn new(options: PoolOptions) -> Result<Self, StartError> {
        let _ = options;
        todo!()
    }

    /// A handle for the proxy and the console.
    pub fn pool(&self) -> Pool {
        todo!()
    }

    /// Runs until every worker ended after [`Pool::stop`] or [`Pool::kill`], or the pool gave up. Logs each change
    /// of a worker's state by `tracing` (target `worker`; fields `worker`, `pid`, `was`, `now`, `why`).
    pub async fn run(self) -> Ending {
        todo!()
    }
}

/// How a pool ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ending {
    /// Every worker ended as asked.
    Stopped,
    /// At least one had to be killed.
    Killed,
    /// No worker was ever ready. The words say what happened and end with the last lines of a worker.
    GaveUp(String),
}

/// The body of the sentinel process: reads which process groups live from its standard input, and when that ends
/// kills the ones that are left. Returns when its work is done.
///
/// # Errors
/// When its standard input cannot be read.
pub fn sentinel() -> io::Result<()> {
    todo!()
}
