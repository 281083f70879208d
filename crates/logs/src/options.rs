//! What the operator chose about logs. Each is read from text by one rule, whether it was typed or is in a file.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::Targets;

/// Everything about what the program prints. The defaults are here and nowhere else.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct LogOptions {
    /// How lines look.
    pub format: Format,
    /// Which of our own lines are printed.
    pub filter: Filter,
    /// Where one line a request goes.
    pub access: AccessTarget,
    /// How that line looks; [`Format::Auto`]: as the others.
    pub access_format: Format,
}

/// How lines look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// A table and readable lines on a terminal, else text.
    #[default]
    Auto,
    /// Plain text.
    Text,
    /// One JSON object a line.
    Json,
}

/// Levels: one for everything, others for some targets.
#[derive(Clone, Debug, PartialEq)]
pub struct Filter {
    pub(crate) targets: Targets,
    text: String,
}

/// Where the access log goes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum AccessTarget {
    /// There is none.
    #[default]
    Off,
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
    /// A file, which SIGUSR1 opens again.
    File(PathBuf),
}

/// Text that names no format, level or target. Displays what would.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FormatError {
    /// Of [`Format`].
    #[error("'{0}' is no log format; write auto, text or json")]
    Format(String),
    /// Of [`Filter`].
    #[error(
        "'{0}' is no log level; write error, warn, info, debug or trace, or a list as in info,console=debug"
    )]
    Level(String),
    /// Of [`AccessTarget`].
    #[error("an empty access log; write off, - for standard output, stderr, or the path of a file")]
    Access,
}

impl FromStr for Format {
    type Err = FormatError;

    fn from_str(text: &str) -> Result<Self, FormatError> {
        match text {
            "auto" => Ok(Self::Auto),
            "text" => Ok(Self::Text),
            "json" => Ok(Self::Json),
            _ => Err(FormatError::Format(text.to_owned())),
        }
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Auto => "auto",
            Self::Text => "text",
            Self::Json => "json",
        })
    }
}

/// As it was given.
impl fmt::Display for Filter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl FromStr for Filter {
    type Err = FormatError;

    fn from_str(text: &str) -> Result<Self, FormatError> {
        let mut targets = Targets::new().with_default(LevelFilter::INFO);
        for item in text.split(',') {
            targets = match item.trim().split_once('=') {
                None => targets.with_default(level(item.trim())?),
                Some((target, word)) if !target.is_empty() => targets.with_target(target, level(word)?),
                Some(_) => return Err(FormatError::Level(item.to_owned())),
            };
        }
        Ok(Self { targets, text: text.to_owned() })
    }
}

/// No `off`: a program that cannot start has to say why.
fn level(word: &str) -> Result<LevelFilter, FormatError> {
    match word {
        "error" => Ok(LevelFilter::ERROR),
        "warn" => Ok(LevelFilter::WARN),
        "info" => Ok(LevelFilter::INFO),
        "debug" => Ok(LevelFilter::DEBUG),
        "trace" => Ok(LevelFilter::TRACE),
        _ => Err(FormatError::Level(word.to_owned())),
    }
}

impl Default for Filter {
    fn default() -> Self {
        Self { targets: Targets::new().with_default(LevelFilter::INFO), text: "info".to_owned() }
    }
}

impl FromStr for AccessTarget {
    type Err = FormatError;

    fn from_str(text: &str) -> Result<Self, FormatError> {
        match text {
            "" => Err(FormatError::Access),
            "off" => Ok(Self::Off),
            "-" | "stdout" => Ok(Self::Stdout),
            "stderr" => Ok(Self::Stderr),
            path => Ok(Self::File(path.into())),
        }
    }
}

impl fmt::Display for AccessTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Off => f.write_str("off"),
            Self::Stdout => f.write_str("-"),
            Self::Stderr => f.write_str("stderr"),
            Self::File(path) => path.display().fmt(f),
        }
    }
}
