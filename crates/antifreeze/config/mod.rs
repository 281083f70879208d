//! The configuration: flags over environment over the YAML file over the defaults.
//!
//! [`raw`] is what was given, [`settings`] what it means; [`word`] holds the types of single values, with their ranges.
//! [`file`](mod@file) reads YAML, [`shape`] is what it needs to know about any YAML text.

mod error;
mod file;
mod listeners;
pub(crate) mod raw;
mod settings;
mod shape;
#[cfg(test)]
mod tests;
pub(crate) mod word;

pub(crate) use error::ConfigError;
pub(crate) use settings::{Pool, Settings};

use crate::args;
use clap::ArgMatches;
use clap::parser::ValueSource;
use file::Document;
use proxy::Listener;
use raw::{File, Flags};
use std::num::NonZeroU16;
use supervisor::{Plan, PoolOptions, StartError, Supervisor};
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
        let pool = file.pools.keys().next().map_or_else(|| DEFAULT_POOL.to_owned(), |name| name.0.clone());
        let origins = Origins { matches, document, pool };
        match Settings::new(flags, &file, processors()) {
            Ok(settings) => Ok(Self { settings, origins }),
            Err(fault) => Err(origins.blame(&fault.key, &fault.words)),
        }
    }

    /// What would run.
    ///
    /// # Errors
    /// What the supervisor objects to in the command or its folder.
    pub(crate) fn plan(&self, options: &PoolOptions) -> Result<Plan, ConfigError> {
        Supervisor::check(options).map_err(|error| {
            let key = match error {
                StartError::Directory { .. } => "pool.directory",
                StartError::Plan(_)
                | StartError::Program { .. }
                | StartError::Folder { .. }
                | StartError::Sentinel(_)
                | StartError::Signals(_) => "pool.command",
            };
            self.origins.blame(key, &error.to_string())
        })
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
                    self.origins.blame(&format!("listeners[{number}].tls{key}"), &error.to_string())
                })
            })
            .collect()
    }

    /// What differs from the defaults, in the order of `config/antifreeze.yaml`.
    pub(crate) fn choices(&self) -> Vec<Choice> {
        let processors = processors();
        let defaults = Settings::defaults(processors).rows(processors);
        let pairs = self.settings.rows(processors).into_iter().zip(defaults);
        let different = pairs.filter(|((_, value), (_, default))| value != default);
        different
            .map(|((id, value), (_, default))| Choice {
                key: self.origins.key_path(id),
                value,
                default,
                origin: match self.origins.of(id) {
                    Origin::Flag(name) | Origin::Variable(name) | Origin::File(name) => name,
                    Origin::Nowhere => String::new(),
                },
            })
            .collect()
    }
}

/// The pool of a command that has no file.
const DEFAULT_POOL: &str = "web";

/// Where settings may have come from.
#[derive(Debug)]
struct Origins {
    matches: ArgMatches,
    document: Option<Document>,
    pool: String,
}

enum Origin {
    Flag(String),
    Variable(String),
    File(String),
    Nowhere,
}

impl Origins {
    fn of(&self, id: &str) -> Origin {
        let flag_id = first_of_all(id);
        let given = self.matches.ids().any(|known| known.as_str() == flag_id);
        match (given.then(|| self.matches.value_source(&flag_id)).flatten(), &self.document) {
            (Some(ValueSource::EnvVariable), _) => Origin::Variable(args::variable(&args::flag(&flag_id))),
            (Some(ValueSource::CommandLine), _) => Origin::Flag(args::flag(&flag_id)),
            (_, Some(document)) => Origin::File(document.place(&self.key_path(id))),
            (_, None) => Origin::Nowhere,
        }
    }

    fn blame(&self, id: &str, words: &str) -> ConfigError {
        match self.of(id) {
            Origin::Flag(name) | Origin::Variable(name) => ConfigError::new(name, words),
            Origin::File(place) => ConfigError::new(place, &format!("{}: {words}", self.key_path(id))),
            Origin::Nowhere => ConfigError::new(args::flag(&first_of_all(id)), words),
        }
    }

    /// The path of a key in YAML, from the id of its flag.
    fn key_path(&self, id: &str) -> String {
        match id.strip_prefix("pool.") {
            Some(rest) => format!("pools.{}.{rest}", self.pool),
            None => id.to_owned(),
        }
    }
}

/// The id of the flag for a key of any listener, as in `listeners[2].tls`: a flag speaks of all of them, and bears the
/// path of the first.
fn first_of_all(id: &str) -> String {
    let pieces = id.split_inclusive('[').map(|piece| match piece.split_once(']') {
        Some((_number, rest)) => format!("0]{rest}"),
        None => piece.to_owned(),
    });
    pieces.collect()
}

/// The processors this process may use, as far as they are of use to us: more than 512 workers cannot be asked for.
pub(crate) fn processors() -> NonZeroU16 {
    let count = std::thread::available_parallelism().map_or(1, |count| count.get().min(512));
    u16::try_from(count).ok().and_then(NonZeroU16::new).unwrap_or(NonZeroU16::MIN)
}
