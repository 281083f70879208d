//! What was typed.

use clap::{Args, Parser, Subcommand};
use console::{Admin, AdminAddress};
use proxy::Endpoint;
use std::num::NonZeroU16;
use std::path::PathBuf;

/// A front proxy and supervisor that never lets one slow call freeze a service.
#[derive(Debug, Parser)]
#[command(version, about, after_help = "Example:\n  antifreeze run --workers 4 -- uvicorn main:app")]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Start workers and stand in front of them.
    Run {
        #[command(flatten)]
        front: Front,
        /// The command of one worker; it is told its address (see README.md).
        #[arg(last = true, required = true)]
        command: Vec<String>,
    },
    /// Try it with built-in workers: no Python needed.
    Demo {
        #[command(flatten)]
        front: Front,
    },
    /// Print what the workers of a running antifreeze are doing.
    Status {
        /// Its admin address.
        #[arg(long, env = "ANTIFREEZE_ADMIN", default_value = "127.0.0.1:9900")]
        admin: AdminAddress,
        /// As it came, in JSON.
        #[arg(long)]
        json: bool,
    },
    /// The demo's worker.
    #[command(hide = true)]
    DemoWorker {
        #[arg(long)]
        uds: PathBuf,
    },
    /// Kills the workers of a supervisor that was killed.
    #[command(hide = true)]
    Sentinel,
}

#[derive(Debug, Args)]
pub(crate) struct Front {
    /// Where clients connect: an address and port, or unix:/path.
    #[arg(long, env = "ANTIFREEZE_LISTEN", default_value = "127.0.0.1:8000")]
    pub(crate) listen: Vec<Endpoint>,
    /// Where the admin API listens: a loopback address and port, unix:/path, or off.
    #[arg(long, env = "ANTIFREEZE_ADMIN", default_value = "127.0.0.1:9900")]
    pub(crate) admin: Admin,
    /// How many workers; the number of processors if absent.
    #[arg(long, env = "ANTIFREEZE_WORKERS")]
    pub(crate) workers: Option<NonZeroU16>,
    /// Data-plane threads; the number of processors if absent.
    #[arg(long, env = "ANTIFREEZE_THREADS")]
    pub(crate) threads: Option<NonZeroU16>,
    /// Requests one worker may hold at once; 1 for a worker that serves one at a time.
    #[arg(long, env = "ANTIFREEZE_MAX_IN_FLIGHT")]
    pub(crate) max_in_flight: Option<std::num::NonZeroU32>,
    /// Seconds after which a frozen worker is killed and replaced.
    #[arg(long, env = "ANTIFREEZE_RESTART_AFTER", value_name = "SECONDS")]
    pub(crate) restart_after: Option<u64>,
}
