//! The app's own list of its routes: the paths of its OpenAPI document (2.0 to 3.2).
//!
//! Read leniently: nobody promised that the document is right. What makes no sense is left out, and the paths that are
//! there are used.

use super::template::{Pattern, Templates};
use super::{Verb, Verbs};
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::value::RawValue;
use std::collections::BTreeMap;
use std::fmt::Write;
use std::str::FromStr;

/// Where workers serve the app's OpenAPI document: a path, or `off`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OpenApi {
    /// Workers are not asked.
    Off,
    /// Workers are asked for this path.
    At(String),
}

impl Default for OpenApi {
    fn default() -> Self {
        Self::At("/openapi.json".to_owned())
    }
}

/// What was written is no place of an OpenAPI document.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("'{0}' is no path of an OpenAPI document; write a path such as /openapi.json, or off")]
pub struct OpenApiError(String);

impl FromStr for OpenApi {
    type Err = OpenApiError;

    fn from_str(text: &str) -> Result<Self, OpenApiError> {
        let plain = text.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'#');
        match text {
            "off" => Ok(Self::Off),
            path if path.starts_with('/') && plain => Ok(Self::At(path.to_owned())),
            _ => Err(OpenApiError(text.to_owned())),
        }
    }
}

impl std::fmt::Display for OpenApi {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Off => "off",
            Self::At(path) => path,
        })
    }
}

/// What was read is no OpenAPI document.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Unreadable {
    #[error("it is no JSON object with paths: {0}")]
    Json(#[from] serde_json::Error),
    #[error("it names no path")]
    Empty,
}

/// Pieces are kept as text and read one by one, so that one that is wrong spoils no other.
#[derive(Deserialize)]
struct Document<'a> {
    #[serde(borrow)]
    paths: BTreeMap<String, &'a RawValue>,
    #[serde(borrow)]
    servers: Option<&'a RawValue>,
    #[serde(borrow, rename = "basePath")]
    base_path: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Server {
    url: String,
}

/// The templates of a document.
///
/// # Errors
/// If there is nothing to learn from it.
pub(crate) fn read(text: &[u8]) -> Result<Templates, Unreadable> {
    let document: Document<'_> = serde_json::from_slice(text)?;
    let mut templates = Templates::default();
    for (path, item) in document.paths.iter().take(MOST_PATHS) {
        let Ok(pattern) = escaped(path).parse::<Pattern>() else { continue };
        let Ok(item) = serde_json::from_str::<BTreeMap<String, IgnoredAny>>(item.get()) else { continue };
        templates.insert(&pattern, item.keys().filter_map(|key| verb(key)).collect::<Verbs>());
    }
    if templates.declared() == 0 {
        return Err(Unreadable::Empty);
    }
    let servers: Vec<Server> =
        document.servers.map_or_else(Vec::new, |text| lenient(text).unwrap_or_default());
    let base: Option<String> = document.base_path.and_then(lenient);
    let places = servers.iter().map(|server| server.url.as_str()).chain(base.as_deref());
    for prefix in places.filter_map(path_of).take(MOST_PREFIXES) {
        templates.also_under(prefix);
    }
    Ok(templates)
}

fn lenient<'a, T: Deserialize<'a>>(text: &'a RawValue) -> Option<T> {
    serde_json::from_str(text.get()).ok()
}

fn verb(key: &str) -> Option<Verb> {
    match key {
        "get" | "head" => Some(Verb::Get),
        "post" => Some(Verb::Post),
        "put" => Some(Verb::Put),
        "patch" => Some(Verb::Patch),
        "delete" => Some(Verb::Delete),
        "options" => Some(Verb::Options),
        "trace" => Some(Verb::Trace),
        _ => None,
    }
}

/// The path as clients send it: what a target cannot hold is percent-encoded there.
fn escaped(path: &str) -> String {
    let mut text = String::with_capacity(path.len());
    for byte in path.bytes() {
        match byte {
            b'?' | b'#' => write!(text, "%{byte:02X}"),
            _ if byte.is_ascii_graphic() => text.write_char(char::from(byte)),
            _ => write!(text, "%{byte:02X}"),
        }
        .expect("memory takes all text");
    }
    text
}

/// The path of a server's URL, without the slash at its end; nothing for the root, and for a URL with variables.
fn path_of(url: &str) -> Option<&str> {
    let path = match url.split_once("://") {
        Some((_, rest)) => &rest[rest.find('/')?..],
        None => url,
    };
    let path = path.trim_end_matches('/');
    (path.starts_with('/') && !path.contains('{')).then_some(path)
}

/// What is read of a document: no more paths than this; the rest is told by its shape.
const MOST_PATHS: usize = 4096;
const MOST_PREFIXES: usize = 8;
