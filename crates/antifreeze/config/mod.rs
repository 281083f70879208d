//! The configuration: flags over environment over the YAML file over the defaults.
//!
//! [`raw`] is what was given; [`settings`], [`pool`] and [`routes`] are what it means, [`origins`] is where it came from;
//! [`word`] holds the types of single values, with their ranges.
//! [`file`](mod@file) reads YAML, [`shape`] is what it needs to know about any YAML text.

mod error;
mod file;
mod listeners;
mod origins;
mod pool;
pub(crate) mod raw;
mod routes;
mod settings;
mod shape;
#[cfg(test)]
mod tests;
pub(crate) mod word;

pub(crate) use error::ConfigError;
pub(crate) use pool::Pool;
pub(crate) use settings::Settings;

use clap::ArgMatches;
use file::Document;
use logs::Log;
use origins::{Key, Origins};
use pool::Company;
use proxy::Listener;
use raw::{File, Flags};
use std::num::NonZeroU16;
use supervisor::{Plan, PlanError, StartError, Supervisor};
use tls::{Setting, Terminator};

/// The settings, and where each came from.
#[derive(Debug)]
pub(crate) struct Configuration {
    pub(crate) settings: Settings,
    origins: Origins,
}

/// A setting that is not what it would be by default.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Choice {
    /// The path of its key in YAML.
    pub(crate) key: String,
    pub(crate) value: String,
    pub(crate) default: String,
    /// `--workers`, `ANTIFREEZE_WORKERS`, or `file:line:column`.
    pub(crate) origin: String,
}

impl Configuration {
    /// Reads the file if there is one, and works out what holds.
    ///
    /// # Errors
    /// The first thing that is wrong, in one line.
    pub(crate) fn load(flags: &Flags, matches: ArgMatches) -> Result<Self, ConfigError> {
        let (document, file) = match &flags.config {
            Some(path) => {
                let (document, file) = Document::read(path)?;
                (Some(document), file)
            }
            None => (None, File::default()),
        };
        let origins = Origins { matches, document };
        let raw::Pools(pools) = &file.pools;
        origins.refuse_flags_of_pools(&pools.iter().map(|(name, _)| &*name.0).collect::<Vec<_>>())?;
        match Settings::new(flags, &file, processors()) {
            Ok(settings) => Ok(Self { settings, origins }),
            Err(fault) => Err(origins.explain(&fault)),
        }
    }

    /// What would run in each pool.
    ///
    /// # Errors
    /// What the supervisor objects to in a command or its folder.
    pub(crate) fn plans(&self) -> Result<Vec<Plan>, ConfigError> {
        let plan = |pool: &Pool| {
            Supervisor::check(&pool.options(Log::nowhere())).map_err(|error| {
                let id = match error {
                    StartError::Directory { .. } => "pool.directory",
                    StartError::Plan(PlanError::NoHttp2 { .. }) => "pool.protocol",
                    StartError::Plan(_)
                    | StartError::Program { .. }
                    | StartError::Folder { .. }
                    | StartError::Sentinel(_)
                    | StartError::Signals(_) => "pool.command",
                };
                self.origins.blame(&Key::of_pool(&pool.name, id), &error.to_string())
            })
        };
        self.settings.pools.iter().map(plan).collect()
    }

    /// The listeners, with their certificates read.
    ///
    /// # Errors
    /// What is wrong with the files of certificates.
    pub(crate) fn listeners(&self) -> Result<Vec<Listener<Terminator>>, ConfigError> {
        let numbered = self.settings.listeners.iter().cloned().enumerate();
        numbered
            .map(|(number, listener)| {
                listener.load().map_err(|error| {
                    let key = match error.setting {
                        Setting::Chain(place) => format!(".certificates[{place}].chain"),
                        Setting::Key(place) => format!(".certificates[{place}].key"),
                        Setting::Authorities => ".client_ca".to_owned(),
                        Setting::Tls => String::new(),
                    };
                    let key = Key::of_program(&format!("listeners[{number}].tls{key}"));
                    self.origins.blame(&key, &error.to_string())
                })
            })
            .collect()
    }

    /// What differs from the defaults, in the order of `config/antifreeze.yaml`.
    pub(crate) fn choices(&self) -> Vec<Choice> {
        let (processors, pools) = (processors(), &self.settings.pools);
        let company = Company::of(pools.len());
        let default = |pool: &Pool| Pool::defaults(&pool.name, company, processors);
        let defaults =
            Settings { pools: pools.iter().map(default).collect(), ..Settings::defaults(processors) };
        let pairs = self.settings.rows(processors).into_iter().zip(defaults.rows(processors));
        let different = pairs.filter(|(row, default)| row.value != default.value);
        different
            .map(|(row, default)| Choice {
                key: row.key.path(),
                value: row.value,
                default: default.value,
                origin: self.origins.of(&row.key).to_string(),
            })
            .collect()
    }
}

/// The pool of a command that has no file.
const DEFAULT_POOL: &str = "web";

/// The processors this process may use, as far as they are of use to us: more than 512 workers cannot be asked for.
pub(crate) fn processors() -> NonZeroU16 {
    let count = std::thread::available_parallelism().map_or(1, |count| count.get().min(512));
    u16::try_from(count).ok().and_then(NonZeroU16::new).unwrap_or(NonZeroU16::MIN)
}
