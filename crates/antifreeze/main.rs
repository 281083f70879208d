//! The program: configuration, start, stop.

mod allocator;
mod args;
mod check;
mod config;
mod crew;
mod demo;
mod demo_worker;
mod run;
mod status;
mod units;

use args::{Cli, Command};
use clap::ArgMatches;
use config::raw::Flags;
use config::{ConfigError, Configuration};
use std::process::ExitCode;

fn main() -> ExitCode {
    let (Cli { command }, matches) = match args::parse() {
        Ok(parsed) => parsed,
        Err(error) => {
            // Nothing can be done about a closed terminal.
            let _ = error.print();
            if let Some(variable) = args::variable_to_blame(&error) {
                eprintln!("The value comes from {variable} in the environment.");
            }
            return if error.use_stderr() { ExitCode::from(USAGE) } else { ExitCode::SUCCESS };
        }
    };
    start(command, matches).unwrap_or_else(|error| {
        eprintln!("antifreeze: {error:#}");
        if error.is::<ConfigError>() { ExitCode::from(USAGE) } else { ExitCode::FAILURE }
    })
}

fn start(command: Command, matches: ArgMatches) -> anyhow::Result<ExitCode> {
    let load = |flags: &Flags| Configuration::load(flags, matches);
    match command {
        Command::Run(service) => run::run(load(&service.flags())?),
        Command::Check(service) => check::run(&load(&service.flags())?).map(|()| ExitCode::SUCCESS),
        Command::Demo { flags } => run::demo(load(&flags)?),
        Command::Status { admin, json } => status::run(&admin, json).map(|()| ExitCode::SUCCESS),
        Command::DemoWorker { address } => demo_worker::run(address).map(|()| ExitCode::SUCCESS),
        Command::Sentinel => Ok(supervisor::sentinel().map(|()| ExitCode::SUCCESS)?),
    }
}

/// Bad usage (EX_USAGE of sysexits.h).
const USAGE: u8 = 64;
