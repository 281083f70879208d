//! What is wrong with a configuration.

/// One thing that is wrong: where, what, and the remedy, in one line.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{place}: {words}")]
pub(crate) struct ConfigError {
    place: String,
    words: String,
}

impl ConfigError {
    /// `place` is a flag, a variable of the environment, or `file:line:column` and perhaps a key path.
    pub(crate) fn new(place: String, words: &str) -> Self {
        // Text from the file is quoted in some words; the message stays one line whatever is in it.
        let words = words.replace(char::is_control, "\u{fffd}");
        Self { place, words }
    }
}
