//! The program: flags, start, stop.

mod args;
mod demo_worker;
mod run;
mod status;
mod units;

use args::{Cli, Command};
use clap::Parser;
use std::process::ExitCode;

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // Nothing can be done about a closed terminal.
            let _ = error.print();
            return if error.use_stderr() { run::usage() } else { ExitCode::SUCCESS };
        }
    };
    let done = match cli.command {
        Command::Run { front, command } => run::run(&front, command),
        Command::Demo { front } => run::demo(&front),
        Command::Status { admin, json } => status::run(&admin, json).map(|()| ExitCode::SUCCESS),
        Command::DemoWorker { uds } => demo_worker::run(&uds).map(|()| ExitCode::SUCCESS),
        Command::Sentinel => supervisor::sentinel().map(|()| ExitCode::SUCCESS).map_err(Into::into),
    };
    done.unwrap_or_else(|error| {
        eprintln!("antifreeze: {error:#}");
        ExitCode::FAILURE
    })
}
