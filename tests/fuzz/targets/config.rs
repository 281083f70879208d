//! The configuration file. What is wrong is one line with the file's name, in little time; what is good can be shown.

#![no_main]
#![expect(dead_code, reason = "the program uses more of these modules")]

#[path = "../../../crates/antifreeze/args.rs"]
mod args;
#[path = "../../../crates/antifreeze/config/mod.rs"]
mod config;
#[path = "../../../crates/antifreeze/units.rs"]
mod units;

use args::{Cli, Command};
use clap::{ArgMatches, CommandFactory, FromArgMatches};
use config::Configuration;
use libfuzzer_sys::fuzz_target;
use std::sync::LazyLock;
use std::{fs, process};

/// Where the input stands while it is read.
static FILE: LazyLock<String> = LazyLock::new(|| format!("/dev/shm/antifreeze-fuzz-{}.yaml", process::id()));

static TYPED: LazyLock<ArgMatches> =
    LazyLock::new(|| Cli::command().get_matches_from(["antifreeze", "check", "--config", &FILE]));

fuzz_target!(|text: &[u8]| {
    fs::write(&*FILE, text).expect("memory for a file");
    let cli = Cli::from_arg_matches(&TYPED).expect("it was typed so");
    let Command::Check(service) = cli.command else { unreachable!("it was typed so") };
    let matches = TYPED.subcommand_matches("check").expect("it was typed so").clone();
    match Configuration::load(&service.flags(), matches) {
        Ok(configuration) => {
            for choice in configuration.choices() {
                assert_ne!(choice.value, choice.default, "{}", choice.key);
                assert!(choice.origin.starts_with(&*FILE), "{} is from {}", choice.key, choice.origin);
            }
            let _ = configuration.plans().map_err(|error| check(&error.to_string()));
        }
        Err(error) => check(&error.to_string()),
    }
});

fn check(error: &str) {
    assert!(error.starts_with(&*FILE), "it does not say where: {error}");
    assert!(error.len() > FILE.len() + 10, "it does not say what: {error}");
    assert!(!error.contains('\n'), "it is more than one line: {error}");
}
