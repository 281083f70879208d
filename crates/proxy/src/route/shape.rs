//! Templates by the shape of a path alone: what looks like an id, a date or a token is a placeholder.
//!
//! It errs on the side of merging: two endpoints that share a route are confined together at the worst, while an id taken
//! for a route of its own is never known well enough to be judged at all.

use std::borrow::Cow;

/// Whether two servers may take this path for two different ones (or for another than it looks like): encoded letters,
/// slashes and dots, dot segments, empty segments, backslashes, parameters behind a `;`, broken or double encoding.
pub(crate) fn is_ambiguous(path: &str) -> bool {
    let bytes = path.as_bytes();
    bytes.iter().enumerate().any(|(place, byte)| match byte {
        b'%' => is_odd_escape(bytes.get(place + 1..place + 3)),
        b'/' => match bytes.get(place + 1..).unwrap_or_default() {
            [b'/', ..] | [b'.'] | [b'.', b'/', ..] | [b'.', b'.'] | [b'.', b'.', b'/', ..] => true,
            [] | [_, ..] => false,
        },
        b'\\' | b';' => true,
        _ => false,
    })
}

/// Whether this is anything but the one way to write a byte that cannot stand for itself.
fn is_odd_escape(digits: Option<&[u8]>) -> bool {
    let digit = |byte: u8| char::from(byte).to_digit(16);
    let Some(&[high, low]) = digits else { return true };
    let Some((high, low)) = digit(high).zip(digit(low)) else { return true };
    let byte = (high * 16 + low) as u8;
    byte.is_ascii_alphanumeric() || byte.is_ascii_control() || b"-._~/\\;?#%".contains(&byte)
}

/// The path with placeholders where it holds values.
pub(crate) fn template(path: &str) -> Cow<'_, str> {
    let mut made: Option<String> = None;
    let mut start = 0;
    for (count, segment) in path.split('/').enumerate() {
        if count > MOST_SEGMENTS || start > LONGEST_PATH {
            let head = made.as_deref().unwrap_or(&path[..start]);
            return Cow::Owned(format!("{head}*"));
        }
        match (value_in(segment), &mut made) {
            (Some(rest), made) => {
                let made = made.get_or_insert_with(|| path[..start].to_owned());
                made.push_str(PLACEHOLDER);
                made.push_str(rest);
                made.push('/');
            }
            (None, Some(made)) => {
                made.push_str(segment);
                made.push('/');
            }
            (None, None) => {}
        }
        start += segment.len() + 1;
    }
    match made {
        Some(mut made) => {
            // The slash behind the last segment.
            made.pop();
            Cow::Owned(made)
        }
        None => Cow::Borrowed(path),
    }
}

/// Whether a segment is a value, and what of it is none: `.json` of `123.json`, nothing of `123`.
fn value_in(segment: &str) -> Option<&str> {
    if segment.len() > LONGEST_WORD || is_value(segment.as_bytes()) {
        return Some("");
    }
    let (stem, extension) = segment.rsplit_once('.')?;
    let kind = !extension.is_empty()
        && extension.len() <= LONGEST_EXTENSION
        && extension.bytes().all(|byte| byte.is_ascii_alphanumeric())
        && extension.bytes().any(|byte| byte.is_ascii_alphabetic());
    // Each part: there is a hash in app.3f2a91bc.chunk.js.
    (kind && stem.split('.').any(|part| is_value(part.as_bytes()))).then(|| &segment[stem.len()..])
}

fn is_value(word: &[u8]) -> bool {
    // Addresses, escapes, and what should have been escaped.
    if word.iter().any(|byte| matches!(byte, b'@' | b'%') || !byte.is_ascii()) {
        return true;
    }
    let digits = word.iter().filter(|byte| byte.is_ascii_digit()).count();
    if digits == 0 && word.len() < LONG_TOKEN {
        return false;
    }
    is_number(word)
        || is_date(word)
        || is_hex(word)
        || is_uuid(word)
        || is_token(word, digits)
        || ends_in_id(word)
}

/// Numbers and what is made of them: `42`, `-1`, `10.5`, `10.0.0.1`, `12:30`, `52.5,13.4`.
fn is_number(word: &[u8]) -> bool {
    word.iter().any(u8::is_ascii_digit)
        && word.iter().all(|byte| byte.is_ascii_digit() || b"+-.,:_~".contains(byte))
}

/// What begins with a date: `2026-01-31`, `2026-01-31T10:00:00Z`, `2026-01-31-release-notes`.
fn is_date(word: &[u8]) -> bool {
    word.len() >= 10
        && word[..10].iter().enumerate().all(|(place, byte)| match place {
            4 | 7 => *byte == b'-',
            _ => byte.is_ascii_digit(),
        })
}

/// At least eight hexadecimal digits with a decimal one among them: `deadbee1`, but not `defaced`.
fn is_hex(word: &[u8]) -> bool {
    word.len() >= 8 && word.iter().all(u8::is_ascii_hexdigit) && word.iter().any(u8::is_ascii_digit)
}

/// `123e4567-e89b-12d3-a456-426614174000`, in either case, with or without braces.
fn is_uuid(word: &[u8]) -> bool {
    let word = word.strip_prefix(b"{").and_then(|word| word.strip_suffix(b"}")).unwrap_or(word);
    word.len() == 36
        && word.iter().enumerate().all(|(place, byte)| match place {
            8 | 13 | 18 | 23 => *byte == b'-',
            _ => byte.is_ascii_hexdigit(),
        })
}

/// Long and not made of words: digits all over, or capitals where no writer puts them. `getUserAccountInformation` is a
/// name, `dGhpc0lzQmFzZTY0VG9rZW4` is not.
fn is_token(word: &[u8], digits: usize) -> bool {
    if word.len() < LONG_TOKEN
        || !word.iter().all(|byte| byte.is_ascii_alphanumeric() || b"-_=+~".contains(byte))
    {
        return false;
    }
    let upper = word.iter().filter(|byte| byte.is_ascii_uppercase()).count();
    let lower = word.iter().filter(|byte| byte.is_ascii_lowercase()).count();
    digits >= 3 || upper > 0 && lower > 0 && (digits > 0 || 3 * upper >= upper + lower)
}

/// A word and an id behind it: `user-1234`, `cus_9s6XKzkNRiz8i3`, `photo_3f2a91bc`.
fn ends_in_id(word: &[u8]) -> bool {
    let Some(place) = word.iter().rposition(|byte| matches!(byte, b'-' | b'_')) else { return false };
    let id = &word[place + 1..];
    let digits = id.iter().filter(|byte| byte.is_ascii_digit()).count();
    let mixed = id.iter().any(u8::is_ascii_uppercase) && id.iter().any(u8::is_ascii_lowercase);
    (id.len() >= 3 && digits == id.len()) || is_hex(id) || (id.len() >= 8 && digits > 0 && mixed)
}

const PLACEHOLDER: &str = "{}";

/// Shorter ones are words, unless they are numbers or the like.
const LONG_TOKEN: usize = 20;

/// Longer segments are values whatever they look like.
const LONGEST_WORD: usize = 64;

const LONGEST_EXTENSION: usize = 5;

/// What lies deeper in a path, or further behind, tells no routes apart.
const MOST_SEGMENTS: usize = 16;
const LONGEST_PATH: usize = 512;
