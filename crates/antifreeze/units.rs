//! Durations and sizes as people write them: `250ms`, `10s`, `5m`; `64KiB`, `512MiB`.

use std::time::Duration;

/// Reads a whole number followed by `ms`, `s`, `m` or `h`.
///
/// # Errors
/// A sentence that names the accepted forms, ready to follow a key path.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    const FORMS: &str = "write a whole number and a unit: 250ms, 10s, 5m or 1h";
    match measure(text, DURATIONS) {
        Measured::Amount(milliseconds) => Ok(Duration::from_millis(milliseconds)),
        Measured::TooMuch => Err(format!("'{text}' is too long for a duration")),
        Measured::Nothing => Err(format!("'{text}' is not a duration; {FORMS}")),
    }
}

/// Reads a whole number followed by `B`, `KiB`, `MiB`, `GiB` or `TiB`, in bytes.
///
/// # Errors
/// A sentence that names the accepted forms, ready to follow a key path.
pub(crate) fn size(text: &str) -> Result<u64, String> {
    const FORMS: &str = "write a whole number and a unit: 512B, 64KiB, 512MiB or 1GiB";
    match measure(text, SIZES) {
        Measured::Amount(bytes) => Ok(bytes),
        Measured::TooMuch => Err(format!("'{text}' is too much for a size")),
        Measured::Nothing => Err(format!("'{text}' is not a size; {FORMS}")),
    }
}

/// Writes a duration as [`duration`] reads it, in the largest unit that loses nothing above a millisecond.
pub(crate) fn show_duration(duration: Duration) -> String {
    show(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX), DURATIONS)
}

/// Writes a number of bytes as [`size`] reads it, in the largest unit that loses nothing.
pub(crate) fn show_size(bytes: u64) -> String {
    show(bytes, SIZES)
}

/// Writes a limit, or that there is none.
pub(crate) fn show_limit<T>(limit: Option<T>, show: impl FnOnce(T) -> String) -> String {
    limit.map_or_else(|| "off".to_owned(), show)
}

/// Units and their factors, smallest first.
type Units = &'static [(&'static str, u64)];

const DURATIONS: Units = &[("ms", 1), ("s", 1_000), ("m", 60_000), ("h", 3_600_000)];

const SIZES: Units = &[("B", 1), ("KiB", 1 << 10), ("MiB", 1 << 20), ("GiB", 1 << 30), ("TiB", 1 << 40)];

enum Measured {
    Amount(u64),
    TooMuch,
    Nothing,
}

fn measure(text: &str, units: Units) -> Measured {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (digits, unit) = text.split_at(end);
    let factor = units.iter().find(|(name, _)| *name == unit);
    match (digits.parse::<u64>(), factor) {
        (Ok(number), Some((_, factor))) => {
            number.checked_mul(*factor).map_or(Measured::TooMuch, Measured::Amount)
        }
        (Err(_), _) | (_, None) => Measured::Nothing,
    }
}

fn show(amount: u64, units: Units) -> String {
    let (mut name, mut factor) = units[0];
    // Zero divides by everything, but nobody writes 0h; 0s and 0B are what people write.
    let units = if amount == 0 { &units[..units.len().min(2)] } else { units };
    for (larger, by) in units {
        if amount.is_multiple_of(*by) {
            (name, factor) = (larger, *by);
        }
    }
    format!("{}{name}", amount / factor)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_unit_has_its_factor() {
        for (text, ms) in [("0s", 0), ("250ms", 250), ("10s", 10_000), ("5m", 300_000), ("1h", 3_600_000)] {
            assert_eq!(duration(text), Ok(Duration::from_millis(ms)), "{text}");
            assert_eq!(show_duration(Duration::from_millis(ms)), text);
        }
        for (text, bytes) in [("1B", 1), ("64KiB", 65_536), ("512MiB", 1 << 29), ("1GiB", 1 << 30)] {
            assert_eq!(size(text), Ok(bytes), "{text}");
            assert_eq!(show_size(bytes), text);
        }
    }

    #[test]
    fn what_is_not_a_whole_number_with_a_unit_is_refused() {
        for text in ["", "10", "s", "-1s", "+1s", "1.5s", "1 s", "1S", "1h30m", "99999999999999999999s"] {
            assert!(duration(text).is_err_and(|error| error.contains("250ms")), "{text}");
        }
        assert!(duration("9999999999999999h").is_err_and(|error| error.contains("too long")));
        for text in ["", "10", "KiB", "-1B", "1.5MiB", "1 MiB", "1mib", "1KB", "1M"] {
            assert!(size(text).is_err_and(|error| error.contains("64KiB")), "{text}");
        }
        assert!(size("99999999999999TiB").is_err_and(|error| error.contains("too much")));
    }
}
