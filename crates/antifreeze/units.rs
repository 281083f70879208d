//! Durations as people write them: `250ms`, `10s`, `5m`.

use std::time::Duration;

/// Reads a whole number followed by `ms`, `s`, `m` or `h`.
///
/// # Errors
/// A sentence that names the accepted forms, ready to follow a key path.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    const FORMS: &str = "write a whole number and a unit: 250ms, 10s, 5m or 1h";
    let (number, unit) = split(text).ok_or_else(|| format!("'{text}' is not a duration; {FORMS}"))?;
    let milliseconds = match unit {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        _ => return Err(format!("'{text}' is not a duration; {FORMS}")),
    };
    number
        .checked_mul(milliseconds)
        .map(Duration::from_millis)
        .ok_or_else(|| format!("'{text}' is too long for a duration"))
}

fn split(text: &str) -> Option<(u64, &str)> {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (digits, unit) = text.split_at(end);
    Some((digits.parse().ok()?, unit))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_unit_has_its_factor() {
        for (text, ms) in [("0s", 0), ("250ms", 250), ("10s", 10_000), ("5m", 300_000), ("1h", 3_600_000)] {
            assert_eq!(duration(text), Ok(Duration::from_millis(ms)), "{text}");
        }
    }

    #[test]
    fn what_is_not_a_whole_number_with_a_unit_is_refused() {
        for text in ["", "10", "s", "-1s", "+1s", "1.5s", "1 s", "1S", "1h30m", "99999999999999999999s"] {
            assert!(duration(text).is_err(), "{text}");
        }
        assert!(duration("9999999999999999h").is_err_and(|error| error.contains("too long")));
    }
}
