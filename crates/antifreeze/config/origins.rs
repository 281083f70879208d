//! Where settings came from, and whom to blame when they cannot work.

use super::error::ConfigError;
use super::file::Document;
use crate::args;
use clap::ArgMatches;
use clap::parser::ValueSource;
use std::fmt;

/// A setting by its name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Key {
    /// Of which pool, if it is one of a pool.
    pool: Option<String>,
    /// Its flag's id, or the path of a key that has no flag.
    pub(crate) id: String,
}

impl Key {
    /// One of the whole program.
    pub(crate) fn of_program(id: &str) -> Self {
        Self { pool: None, id: id.to_owned() }
    }

    /// One of a pool.
    pub(crate) fn of_pool(pool: &str, id: &str) -> Self {
        Self { pool: Some(pool.to_owned()), id: id.to_owned() }
    }

    /// Where it stands in YAML.
    pub(crate) fn path(&self) -> String {
        match (&self.pool, self.id.strip_prefix(OF_POOL)) {
            (Some(pool), Some(rest)) => format!("pools.{pool}.{rest}"),
            (Some(_) | None, _) => self.id.clone(),
        }
    }
}

/// Something that is wrong with a combination of settings.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Fault {
    /// What to blame.
    key: Key,
    words: String,
    /// What it cannot go together with.
    other: Option<Key>,
}

impl Fault {
    /// One setting is to blame.
    pub(crate) fn new(key: Key, words: String) -> Self {
        Self { key, words, other: None }
    }

    /// One setting cannot go together with another one.
    pub(crate) fn beside(key: Key, words: String, other: Key) -> Self {
        Self { key, words, other: Some(other) }
    }
}

/// Where settings may have come from.
#[derive(Debug)]
pub(crate) struct Origins {
    pub(crate) matches: ArgMatches,
    pub(crate) document: Option<Document>,
}

/// Where one setting came from.
pub(crate) enum Origin {
    Flag(String),
    Variable(String),
    File(String),
    Nowhere,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flag(name) | Self::Variable(name) | Self::File(name) => f.write_str(name),
            Self::Nowhere => Ok(()),
        }
    }
}

impl Origins {
    pub(crate) fn of(&self, key: &Key) -> Origin {
        let flag_id = first_of_all(&key.id);
        match (self.given(&flag_id), &self.document) {
            (Some(ValueSource::EnvVariable), _) => Origin::Variable(args::variable(&args::flag(&flag_id))),
            (Some(_), _) => Origin::Flag(args::flag(&flag_id)),
            (None, Some(document)) => {
                // What a pool does not say itself, the file may say for all.
                let for_all = key.id.strip_prefix(OF_POOL).unwrap_or(&key.id);
                let own = key.path();
                Origin::File(document.place(if document.locate(&own).is_some() { &own } else { for_all }))
            }
            (None, None) => Origin::Nowhere,
        }
    }

    pub(crate) fn blame(&self, key: &Key, words: &str) -> ConfigError {
        match self.of(key) {
            Origin::Flag(name) | Origin::Variable(name) => ConfigError::new(name, words),
            Origin::File(place) => ConfigError::new(place, &format!("{}: {words}", key.path())),
            Origin::Nowhere => ConfigError::new(args::flag(&first_of_all(&key.id)), words),
        }
    }

    /// As an error for people.
    pub(crate) fn explain(&self, Fault { key, words, other }: &Fault) -> ConfigError {
        match other.as_ref().map(|other| self.of(other)) {
            Some(Origin::File(place)) => self.blame(key, &format!("{words} (the other one: {place})")),
            Some(Origin::Flag(_) | Origin::Variable(_) | Origin::Nowhere) | None => self.blame(key, words),
        }
    }

    /// A flag cannot say which of several pools it means.
    ///
    /// # Errors
    /// The first such flag or variable, with the key to write instead.
    pub(crate) fn refuse_flags_of_pools(&self, pools: &[&str]) -> Result<(), ConfigError> {
        let ids = args::ids();
        let given = ids.iter().filter_map(|id| Some((id, id.strip_prefix(OF_POOL)?)));
        let mut given = given.filter(|(id, _)| self.given(id).is_some());
        match (pools, given.next()) {
            ([first, _, ..], Some((id, rest))) => {
                let words = format!(
                    "there are several pools ({}), and this does not say which is meant; write it in the file, as \
                     pools.{first}.{rest}",
                    pools.join(", ")
                );
                Err(self.blame(&Key::of_pool(first, id), &words))
            }
            _ => Ok(()),
        }
    }

    /// Whether a flag was typed, or stands in the environment.
    fn given(&self, id: &str) -> Option<ValueSource> {
        let known = self.matches.ids().any(|known| known.as_str() == id);
        let source = known.then(|| self.matches.value_source(id)).flatten();
        source.filter(|source| *source != ValueSource::DefaultValue)
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

/// How the ids of a pool's settings begin.
const OF_POOL: &str = "pool.";
