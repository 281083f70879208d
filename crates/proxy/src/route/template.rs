//! Path templates that somebody wrote down, and which of them a path is an example of.

use super::Verbs;
use super::shape::is_ambiguous;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

/// A path template: `/users/{id}/orders/{order}`, `/reports/{year}.pdf`, `/static/*`.
///
/// A placeholder stands for at least one byte of one segment; `*`, as the last segment, for all the rest of a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern {
    text: Arc<str>,
    segments: Vec<Segment>,
}

/// What was written is no path template.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PatternError {
    /// It does not begin with a slash.
    #[error("'{0}' is no path pattern: begin with a slash, as in /users/{{id}}")]
    NoSlash(String),
    /// A `*` that is not all of the last segment.
    #[error("'{0}': a * stands for the rest of a path, so write it as the last segment, as in /static/*")]
    Star(String),
    /// Braces that do not pair up, or two placeholders without anything between them.
    #[error(
        "'{0}': write each placeholder as {{name}}, and something between two in one segment, as in {{a}}-{{b}}"
    )]
    Braces(String),
    /// A query, a fragment, a space, or what servers read in several ways.
    #[error(
        "'{0}' matches no request: write the path alone, without ? # ; \\ // /./ and /../, and anything but plain \
         characters as clients send it (%20 for a space)"
    )]
    NoPath(String),
    /// Too long to be a name.
    #[error("'{0}' is too long: at most {LONGEST} bytes and {MOST_SEGMENTS} segments; shorten its end to /*")]
    TooLong(String),
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Segment {
    Literal(Box<str>),
    /// The text before, between and behind placeholders: two empty ones around a placeholder alone.
    Around(Vec<Box<str>>),
    /// The rest of the path.
    Rest,
}

impl FromStr for Pattern {
    type Err = PatternError;

    fn from_str(text: &str) -> Result<Self, PatternError> {
        let Some(path) = text.strip_prefix('/') else {
            return Err(PatternError::NoSlash(text.to_owned()));
        };
        if text.len() > LONGEST || path.split('/').count() > MOST_SEGMENTS {
            return Err(PatternError::TooLong(text.to_owned()));
        }
        let plain = text.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'?' && byte != b'#');
        if !plain || is_ambiguous(text) {
            return Err(PatternError::NoPath(text.to_owned()));
        }
        let mut segments = Vec::new();
        let mut parts = path.split('/').peekable();
        while let Some(part) = parts.next() {
            let last = parts.peek().is_none();
            segments.push(match part {
                "*" if last => Segment::Rest,
                part if part.contains('*') => return Err(PatternError::Star(text.to_owned())),
                part => Segment::parse(part).ok_or_else(|| PatternError::Braces(text.to_owned()))?,
            });
        }
        Ok(Self { text: text.into(), segments })
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Segment {
    /// Nothing for braces that make no sense.
    fn parse(text: &str) -> Option<Self> {
        let mut around = Vec::new();
        let mut rest = text;
        while let Some((before, behind)) = rest.split_once('{') {
            let (name, behind) = behind.split_once('}')?;
            if before.contains('}') || name.contains('{') || (!around.is_empty() && before.is_empty()) {
                return None;
            }
            around.push(before.into());
            rest = behind;
        }
        if rest.contains('}') {
            return None;
        }
        Some(if around.is_empty() {
            Self::Literal(rest.into())
        } else {
            around.push(rest.into());
            Self::Around(around)
        })
    }
}

/// A set of templates, as a tree of their segments.
#[derive(Debug, Default)]
pub(crate) struct Templates {
    root: Node,
    /// Pairs of a method and a template.
    declared: usize,
    /// Paths under which the app may be served as well, without a slash at the end.
    prefixes: Vec<String>,
}

#[derive(Debug, Default)]
struct Node {
    /// In order.
    literals: Vec<(Box<str>, Self)>,
    /// Those with the most text first: `{id}.json` before `{id}`.
    around: Vec<(Vec<Box<str>>, Self)>,
    end: Option<Template>,
    rest: Option<Template>,
}

/// One template of a set.
#[derive(Debug)]
pub(crate) struct Template {
    pub(crate) text: Arc<str>,
    /// The methods it is declared for.
    pub(crate) verbs: Verbs,
}

impl Templates {
    /// Adds a template. The first of two that mean the same stays.
    pub(crate) fn insert(&mut self, pattern: &Pattern, verbs: Verbs) {
        let place = self.root.place(&pattern.segments);
        if place.is_none() {
            *place = Some(Template { text: Arc::clone(&pattern.text), verbs });
            self.declared += verbs.count();
        }
    }

    /// The template that a path is an example of: at each segment the literal one, else that with the most text around its
    /// placeholders, else a `*`.
    pub(crate) fn find(&self, path: &str) -> Option<&Template> {
        let under = |prefix: &String| path.strip_prefix(prefix.as_str())?.strip_prefix('/');
        let mut paths = path.strip_prefix('/').into_iter().chain(self.prefixes.iter().filter_map(under));
        paths.find_map(|path| self.root.find(Some(path)))
    }

    /// Paths may begin with this prefix, which belongs to no template: `/api`, without a slash at its end.
    pub(crate) fn also_under(&mut self, prefix: &str) {
        self.prefixes.push(prefix.to_owned());
    }

    /// How many routes they declare.
    pub(crate) fn declared(&self) -> usize {
        self.declared
    }
}

impl Node {
    /// Where the template of these segments belongs.
    fn place(&mut self, segments: &[Segment]) -> &mut Option<Template> {
        match segments {
            [] => &mut self.end,
            [Segment::Rest, ..] => &mut self.rest,
            [Segment::Literal(text), more @ ..] => {
                let place = self.literal(text).unwrap_or_else(|place| {
                    self.literals.insert(place, (text.clone(), Self::default()));
                    place
                });
                self.literals[place].1.place(more)
            }
            [Segment::Around(around), more @ ..] => self.behind(around).place(more),
        }
    }

    /// Where the node of this text is, or belongs.
    fn literal(&self, text: &str) -> Result<usize, usize> {
        self.literals.binary_search_by(|(known, _)| (**known).cmp(text))
    }

    fn behind(&mut self, around: &[Box<str>]) -> &mut Self {
        let text = |around: &[Box<str>]| around.iter().map(|text| text.len()).sum::<usize>();
        let place = match self.around.iter().position(|(known, _)| **known == *around) {
            Some(place) => place,
            None => {
                let place = self.around.partition_point(|(known, _)| text(known) >= text(around));
                self.around.insert(place, (around.to_vec(), Self::default()));
                place
            }
        };
        &mut self.around[place].1
    }

    /// Each node is visited once at the most, because there is but one way to it.
    fn find(&self, path: Option<&str>) -> Option<&Template> {
        let Some(path) = path else { return self.end.as_ref() };
        let (segment, rest) = match path.split_once('/') {
            Some((segment, rest)) => (segment, Some(rest)),
            None => (path, None),
        };
        let literal = self.literal(segment).ok().and_then(|place| self.literals[place].1.find(rest));
        literal
            .or_else(|| {
                let matching = self.around.iter().filter(|(around, _)| surrounds(around, segment));
                matching.map(|(_, node)| node).find_map(|node| node.find(rest))
            })
            .or(self.rest.as_ref())
    }
}

/// Whether a segment is these texts in this order, with at least one byte in between.
fn surrounds(around: &[Box<str>], segment: &str) -> bool {
    let [first, middle @ .., last] = around else { return false };
    // The ordinary case, and not to be left to the comparisons below: memcmp takes some 70 ns to find that nothing equals
    // nothing where its masked loads meet the dangling pointer of an empty text.
    if middle.is_empty() && first.is_empty() && last.is_empty() {
        return !segment.is_empty();
    }
    let Some(mut rest) = segment.strip_prefix(&**first) else { return false };
    for text in middle {
        let Some(first) = rest.chars().next() else { return false };
        let behind = &rest[first.len_utf8()..];
        let Some((_, behind)) = behind.split_once(&**text) else { return false };
        rest = behind;
    }
    rest.strip_suffix(&**last).is_some_and(|value| !value.is_empty())
}

/// Bytes and segments of the longest template.
const LONGEST: usize = 256;
const MOST_SEGMENTS: usize = 32;
