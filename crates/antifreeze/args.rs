//! What was typed.

use crate::units;
use clap::{Args, Parser, Subcommand};
use console::{Admin, AdminAddress};
use policy::PoolConfig;
use proxy::Endpoint;
use std::num::NonZeroU16;
use std::path::PathBuf;
use std::time::Duration;

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
    /// Requests that may wait for a worker; one more is answered 503.
    #[arg(long, env = "ANTIFREEZE_QUEUE_LIMIT")]
    pub(crate) queue_limit: Option<u32>,
    /// How long one may wait before it is answered 503.
    #[arg(long, env = "ANTIFREEZE_QUEUE_TIMEOUT", value_name = "TIME", value_parser = units::duration)]
    pub(crate) queue_timeout: Option<Duration>,
    /// A worker that owes answers and is silent for so long is probed.
    #[arg(long, env = "ANTIFREEZE_SUSPECT_AFTER", value_name = "TIME", value_parser = units::duration)]
    pub(crate) suspect_after: Option<Duration>,
    /// A worker that does not answer its probe for so long is frozen: no new requests.
    #[arg(long, env = "ANTIFREEZE_PROBE_TIMEOUT", value_name = "TIME", value_parser = units::duration)]
    pub(crate) probe_timeout: Option<Duration>,
    /// A worker frozen for so long is killed and replaced.
    #[arg(long, env = "ANTIFREEZE_RESTART_AFTER", value_name = "TIME", value_parser = units::duration)]
    pub(crate) restart_after: Option<Duration>,
    /// How long open requests may finish after the first signal.
    #[arg(long, env = "ANTIFREEZE_DRAIN_TIMEOUT", value_name = "TIME", value_parser = units::duration)]
    pub(crate) drain_timeout: Option<Duration>,
    /// How long after SIGTERM a worker is killed.
    #[arg(long, env = "ANTIFREEZE_GRACE", value_name = "TIME", value_parser = units::duration)]
    pub(crate) grace: Option<Duration>,
}

impl Front {
    /// The policy's knobs: what was typed, over the defaults.
    pub(crate) fn policy(&self, processors: NonZeroU16) -> PoolConfig {
        let mut policy = PoolConfig::new(self.workers.unwrap_or(processors));
        choose(&mut policy.max_in_flight, self.max_in_flight);
        choose(&mut policy.queue.limit, self.queue_limit);
        choose(&mut policy.queue.timeout, self.queue_timeout);
        choose(&mut policy.freeze.suspect_after, self.suspect_after);
        choose(&mut policy.freeze.probe_timeout, self.probe_timeout);
        choose(&mut policy.freeze.restart_after, self.restart_after);
        choose(&mut policy.stop.drain_timeout, self.drain_timeout);
        choose(&mut policy.stop.grace, self.grace);
        policy
    }
}

fn choose<T>(default: &mut T, typed: Option<T>) {
    if let Some(typed) = typed {
        *default = typed;
    }
}
