//! The command line: what was typed.
//!
//! Two things follow from a flag's name and are not repeated at each flag: its variable in the environment, and the
//! default that `--help` shows, which is that of [`Settings`].

use crate::config::raw::{Flags, Words};
use crate::config::word::Text;
use crate::config::{Settings, processors};
use clap::builder::StyledStr;
use clap::error::{ContextKind, ContextValue};
use clap::{Arg, ArgMatches, Args, CommandFactory, FromArgMatches, Parser, Subcommand};
use console::AdminAddress;
use std::collections::BTreeMap;
use std::path::PathBuf;

/// A front proxy and supervisor that never lets one slow call freeze a service.
#[derive(Debug, Parser)]
#[command(
    version,
    about,
    after_help = "Example:\n  antifreeze run --workers 4 -- uvicorn main:app",
    max_term_width = 100
)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Start workers and stand in front of them
    #[command(after_help = RANKS)]
    Run(Service),
    /// Say what run would do with the same arguments, and start nothing
    #[command(after_help = RANKS)]
    Check(Service),
    /// Try it with built-in workers: no Python needed
    #[command(after_help = RANKS)]
    Demo {
        #[command(flatten)]
        flags: Box<Flags>,
    },
    /// Print what the workers of a running antifreeze are doing
    Status {
        /// Its admin address
        #[arg(long, default_value = "127.0.0.1:9900")]
        admin: AdminAddress,
        /// As it came, in JSON
        #[arg(long)]
        json: bool,
    },
    /// The demo's worker.
    #[command(hide = true)]
    DemoWorker {
        #[command(flatten)]
        address: DemoAddress,
    },
    /// Kills the workers of a supervisor that was killed.
    #[command(hide = true)]
    Sentinel,
}

/// Where the demo's worker listens.
#[derive(Debug, clap::Args)]
#[group(required = true, multiple = false)]
pub(crate) struct DemoAddress {
    #[arg(long)]
    pub(crate) uds: Option<PathBuf>,
    /// Of 127.0.0.1, for proxies that know no unix sockets
    #[arg(long, default_value_t = 0)]
    pub(crate) port: u16,
}

const RANKS: &str = "\
Each flag but --env is also a variable in the environment (ANTIFREEZE_QUEUE_LIMIT
for --queue-limit) and a key in the file. A flag wins over the variable, the
variable over the file, the file over the default.

A TIME is written 250ms, 10s, 5m or 1h, a SIZE 64KiB, 512MiB or 1GiB.

Example:
  antifreeze run --workers 4 -- uvicorn main:app";

/// What to run, and how.
#[derive(Debug, Args)]
pub(crate) struct Service {
    /// What one worker runs, for example uvicorn main:app; may be in the file instead
    #[arg(last = true, id = "pool.command", value_name = "COMMAND")]
    command: Vec<Text>,
    #[command(flatten)]
    flags: Box<Flags>,
}

impl Service {
    /// The flags with the command among them.
    pub(crate) fn flags(mut self) -> Flags {
        self.flags.pool.command = Words(self.command);
        *self.flags
    }
}

/// Reads the command line and the environment; the matches are those of the subcommand.
///
/// # Errors
/// What clap objects to, or `--help`.
pub(crate) fn parse() -> Result<(Cli, ArgMatches), clap::Error> {
    let mut matches = command().try_get_matches()?;
    let cli = Cli::from_arg_matches(&matches)?;
    let matches = matches.remove_subcommand().map(|(_, matches)| matches).unwrap_or_default();
    Ok((cli, matches))
}

/// The variable behind a value that clap refused, if it was not typed.
pub(crate) fn variable_to_blame(error: &clap::Error) -> Option<String> {
    let Some(ContextValue::String(argument)) = error.get(ContextKind::InvalidArg) else { return None };
    let flag = argument.split(' ').next()?;
    let variable = variable(flag.strip_prefix("--")?);
    let typed = std::env::args().any(|typed| typed == flag || typed.starts_with(&format!("{flag}=")));
    (!typed && std::env::var_os(&variable).is_some()).then_some(variable)
}

/// The variable in the environment that stands for a flag.
pub(crate) fn variable(flag: &str) -> String {
    format!("ANTIFREEZE_{}", flag.trim_start_matches('-').to_ascii_uppercase().replace('-', "_"))
}

/// The flag of a setting, as it is typed.
pub(crate) fn flag(id: &str) -> String {
    let flags = Service::augment_args(clap::Command::new("flags"));
    let long = flags.get_arguments().find(|argument| argument.get_id() == id).and_then(Arg::get_long);
    long.map_or_else(|| "COMMAND".to_owned(), |long| format!("--{long}"))
}

/// The ids of all settings that have a flag, which are the paths of their keys.
pub(crate) fn ids() -> Vec<String> {
    let flags = Service::augment_args(clap::Command::new("flags"));
    let ids = flags.get_arguments().map(|argument| argument.get_id().to_string());
    ids.filter(|id| id != "config").collect()
}

/// The whole command line, with variables and defaults.
pub(crate) fn command() -> clap::Command {
    let processors = processors();
    let rows = Settings::defaults(processors).rows(processors).into_iter();
    let defaults: BTreeMap<_, _> = rows.map(|row| (row.key.id, row.value)).collect();
    let teach = |argument: Arg| {
        let argument = match argument.get_long() {
            // The workers' variables are in the environment already.
            Some("env" | "json" | "uds" | "help" | "version") | None => argument,
            Some(long) => {
                let variable = variable(long);
                // The rule is told once, below all flags.
                argument.env(variable).hide_env(true)
            }
        };
        match (defaults.get(argument.get_id().as_str()), argument.get_help().map(StyledStr::to_string)) {
            (Some(default), Some(help)) if !default.is_empty() => {
                argument.help(format!("{help} [default: {default}]"))
            }
            _ => argument,
        }
    };
    ["run", "check", "demo", "status"]
        .into_iter()
        .fold(Cli::command(), |cli, name| cli.mut_subcommand(name, |subcommand| subcommand.mut_args(teach)))
}
