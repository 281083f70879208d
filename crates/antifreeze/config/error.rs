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
        // Text from the file is quoted in some words; the message stays one line that can be read whatever is in it.
        let mut words = words.replace(char::is_control, "\u{fffd}");
        if let Some((end, _)) = words.char_indices().nth(LONGEST) {
            words.truncate(end);
            words.push('…');
        }
        Self { place, words }
    }
}

/// Characters; our own sentences are shorter.
const LONGEST: usize = 500;
