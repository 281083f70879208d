//! The YAML file: read whole, checked for its shape, then parsed; and where each key stands in it.
//!
//! serde_yaml tells the line of what it cannot parse, but not of what it could. What is found wrong later is located by
//! parsing once more and failing on purpose at the key ([`Document::locate`]): files are small, and no second parser
//! has to agree with the first.

use super::error::ConfigError;
use super::raw::File;
use super::shape::{self, At};
use serde::Deserialize;
use std::io::Read;
use std::path::{Path, PathBuf};

/// A file that is YAML and has the shape of a configuration.
#[derive(Debug)]
pub(crate) struct Document {
    path: PathBuf,
    text: String,
}

impl Document {
    /// Reads and parses a file.
    ///
    /// # Errors
    /// The first thing that is wrong with it, in one line.
    pub(crate) fn read(path: &Path) -> Result<(Self, File), ConfigError> {
        let wrong = |words: &str| ConfigError::new(path.display().to_string(), words);
        let mut bytes = Vec::new();
        std::fs::File::open(path)
            .and_then(|file| file.take(LONGEST + 1).read_to_end(&mut bytes))
            .map_err(|error| wrong(&format!("cannot read the configuration: {error}")))?;
        if bytes.len() as u64 > LONGEST {
            return Err(wrong(&format!(
                "it is longer than {LONGEST} bytes, and no configuration; is it the right file?"
            )));
        }
        let text = String::from_utf8(bytes).map_err(|error| {
            let good = &error.as_bytes()[..error.utf8_error().valid_up_to()];
            let line = 1 + good.iter().filter(|byte| **byte == b'\n').count();
            ConfigError::new(format!("{}:{line}", path.display()), "not UTF-8; save the file as UTF-8")
        })?;
        Self::parse(path.to_owned(), text)
    }

    /// Parses the text of a file.
    ///
    /// # Errors
    /// The first thing that is wrong with it, in one line.
    pub(crate) fn parse(path: PathBuf, text: String) -> Result<(Self, File), ConfigError> {
        let document = Self { path, text };
        if let Some(line) = too_deep(&document.text) {
            let words = "brackets nested too deeply; no setting needs more than four levels";
            return Err(ConfigError::new(format!("{}:{line}", document.path.display()), words));
        }
        shape::check(&document.text).map_err(|error| document.explain(&error))?;
        let file = File::deserialize(serde_yaml::Deserializer::from_str(&document.text))
            .map_err(|error| document.explain(&error))?;
        Ok((document, file))
    }

    /// The place of a key, as `file:line:column`; of the file alone if the key is not in it.
    pub(crate) fn place(&self, key: &str) -> String {
        match self.locate(key) {
            Some((line, column)) => format!("{}:{line}:{column}", self.path.display()),
            None => self.path.display().to_string(),
        }
    }

    /// Line and column of a key, such as `pools.app.queue.limit` or `routes[1].path`; both count from 1.
    pub(crate) fn locate(&self, key: &str) -> Option<(usize, usize)> {
        let steps: Vec<&str> = key.split(['.', '[', ']']).filter(|step| !step.is_empty()).collect();
        let found = At(&steps).find(&self.text)?;
        Some((found.line(), found.column()))
    }

    /// Puts what serde_yaml says into the form of all errors: place, key path, what is wrong, remedy.
    fn explain(&self, error: &serde_yaml::Error) -> ConfigError {
        let mut words = error.to_string();
        let mut place = self.path.display().to_string();
        if let Some(location) = error.location() {
            let (line, column) = (location.line(), location.column());
            place = format!("{place}:{line}:{column}");
            words = words.replacen(&format!(" at line {line} column {column}"), "", 1);
        }
        ConfigError::new(place, &with_remedy(&words))
    }
}

/// No configuration is longer. The parser's time grows with the square of what it is given.
const LONGEST: u64 = 256 * 1024;

/// The first line where brackets are nested beyond reason, quoted or not: the parser needs time that grows with the
/// square of the depth, and would need it before it could complain.
fn too_deep(text: &str) -> Option<usize> {
    let mut depth = 0_usize;
    for (number, line) in text.lines().enumerate() {
        for byte in line.bytes() {
            match byte {
                b'[' | b'{' => depth += 1,
                b']' | b'}' => depth = depth.saturating_sub(1),
                _ => {}
            }
            if depth > DEEPEST {
                return Some(number + 1);
            }
        }
    }
    None
}

const DEEPEST: usize = 100;

/// Adds the remedy to the parsers' sentences that have none.
fn with_remedy(words: &str) -> String {
    if let Some((section, rest)) = words.split_once("unknown field `") {
        let mut names = rest.split('`').step_by(2);
        let unknown = names.next().unwrap_or_default();
        let known: Vec<&str> = names.collect();
        let section = section.trim_end_matches(": ");
        let path = if section.is_empty() { unknown.to_owned() } else { format!("{section}.{unknown}") };
        let elsewhere = crate::args::ids().into_iter().find(|id| id.rsplit('.').next() == Some(unknown));
        let remedy = match elsewhere {
            Some(id) => format!("it belongs to {}", id.replacen("pool.", "pools.NAME.", 1)),
            None => suggest(unknown, &known),
        };
        return format!("{path}: unknown key; {remedy}");
    }
    if let Some((path, (found, expected))) = words
        .split_once("invalid type: ")
        .or_else(|| words.split_once("invalid value: "))
        .and_then(|(path, rest)| Some((path, rest.split_once(", expected ")?)))
    {
        return format!("{path}expected {expected}, found {found}");
    }
    let remedy = match words {
        words if words.contains("found character that cannot start any token") => {
            "indent by spaces, not tabs; text that begins with @, ` or % needs quotes"
        }
        words if words.contains("more than one document") => {
            return "more than one document; keep one, and remove the line --- between them".to_owned();
        }
        words if words.contains("repetition limit exceeded") => {
            return "aliases (*name) repeat one another too often; write the values out".to_owned();
        }
        words if words.contains("recursion limit exceeded") => "no setting needs more than four levels",
        words if words.contains("control characters are not allowed") => {
            "the file holds a NUL or another control character; remove it"
        }
        words if words.contains("mapping values are not allowed") => {
            "is a line above it indented wrongly, or is text with a colon not in quotes?"
        }
        words if words.contains("could not find expected ':'") => {
            "write KEY: VALUE, with a space after the colon"
        }
        _ => return words.to_owned(),
    };
    format!("{words}; {remedy}")
}

/// The known name that is most like it, or all of them.
fn suggest(unknown: &str, known: &[&str]) -> String {
    let similarity = |name: &&str| strsim::jaro_winkler(unknown, name);
    let best = known.iter().copied().max_by(|one, other| similarity(one).total_cmp(&similarity(other)));
    match best {
        Some(best) if similarity(&best) > ALIKE => format!("did you mean {best}?"),
        _ => format!("known here: {}", known.join(", ")),
    }
}

/// What clap takes for alike in flags, a little stricter: keys of one section share words.
const ALIKE: f64 = 0.8;
