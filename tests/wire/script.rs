//! What a scripted worker does about one request, written as the request's path.

use std::fmt::Write;

/// One step of a script. A worker that has carried out the last one waits for the next request on the connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// Sends these bytes.
    Send(Vec<u8>),
    /// Sends these bytes so many times.
    Repeat(u64, Vec<u8>),
    /// Sends these bytes one by one, so many milliseconds apart.
    Drip(u64, Vec<u8>),
    /// Does nothing for so many milliseconds: for limits that only time can show.
    Pause(u64),
    /// Does nothing until the test opens the gate of this name (one plain word).
    Await(String),
    /// Reads the request's body to its end.
    Body,
    /// Reads so many bytes, whatever they are.
    Take(u64),
    /// Reads to the end of the connection.
    Drain,
    /// Sends back whatever comes, to its end, and then ends its own side.
    Echo,
    /// Agrees to the WebSocket that the request asks for (RFC 6455 section 4.2.2).
    Accept,
    /// Never does anything again.
    Hang,
    /// Closes the connection.
    Close,
    /// Closes the connection with a reset (TCP).
    Reset,
}

/// Sends a text.
pub(crate) fn send(text: impl AsRef<[u8]>) -> Step {
    Step::Send(text.as_ref().to_vec())
}

/// Waits for a gate.
pub(crate) fn gate(name: &str) -> Step {
    Step::Await(name.to_owned())
}

/// The path that makes a worker do this.
pub(crate) fn path(steps: &[Step]) -> String {
    steps.iter().fold(String::new(), |path, step| {
        let words = match step {
            Step::Send(bytes) => format!("send:{}", escape(bytes)),
            Step::Repeat(count, bytes) => format!("repeat:{count}:{}", escape(bytes)),
            Step::Drip(pause, bytes) => format!("drip:{pause}:{}", escape(bytes)),
            Step::Pause(pause) => format!("pause:{pause}"),
            Step::Await(gate) => format!("await:{gate}"),
            Step::Body => "body".to_owned(),
            Step::Take(count) => format!("take:{count}"),
            Step::Drain => "drain".to_owned(),
            Step::Echo => "echo".to_owned(),
            Step::Accept => "accept".to_owned(),
            Step::Hang => "hang".to_owned(),
            Step::Close => "close".to_owned(),
            Step::Reset => "reset".to_owned(),
        };
        path + "/" + &words
    })
}

/// The steps of a path; `None` if it is no script.
pub(crate) fn parse(path: &str) -> Option<Vec<Step>> {
    path.strip_prefix('/')?.split('/').map(parse_step).collect()
}

fn parse_step(words: &str) -> Option<Step> {
    let mut words = words.split(':');
    let verb = words.next()?;
    let mut argument = || words.next();
    Some(match verb {
        "send" => Step::Send(unescape(argument()?)?),
        "repeat" => Step::Repeat(argument()?.parse().ok()?, unescape(argument()?)?),
        "drip" => Step::Drip(argument()?.parse().ok()?, unescape(argument()?)?),
        "pause" => Step::Pause(argument()?.parse().ok()?),
        "await" => Step::Await(argument()?.to_owned()),
        "body" => Step::Body,
        "take" => Step::Take(argument()?.parse().ok()?),
        "drain" => Step::Drain,
        "echo" => Step::Echo,
        "accept" => Step::Accept,
        "hang" => Step::Hang,
        "close" => Step::Close,
        "reset" => Step::Reset,
        _ => return None,
    })
}

fn escape(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        if byte.is_ascii_alphanumeric() {
            text.push(char::from(*byte));
        } else {
            write!(text, "%{byte:02X}").expect("a string takes everything");
        }
        text
    })
}

fn unescape(text: &str) -> Option<Vec<u8>> {
    let mut pieces = text.split('%');
    let mut bytes = pieces.next()?.as_bytes().to_vec();
    for piece in pieces {
        bytes.push(u8::from_str_radix(piece.get(..2)?, 16).ok()?);
        bytes.extend(&piece.as_bytes()[2..]);
    }
    Some(bytes)
}

#[test]
fn a_script_survives_its_way_through_a_path() {
    let steps = [
        send(b"HTTP/1.1 200 OK\r\n\r\n\0\xff%"),
        Step::Repeat(3, b"ab:/".to_vec()),
        Step::Drip(5, vec![0x7f]),
        Step::Pause(10),
        gate("go"),
        Step::Body,
        Step::Take(7),
        Step::Drain,
        Step::Echo,
        Step::Accept,
        Step::Hang,
        Step::Close,
        Step::Reset,
    ];
    assert_eq!(parse(&path(&steps)).as_deref(), Some(&steps[..]));
    for other in ["/", "/favicon.ico", "*", "/send", "/send:%4"] {
        assert_eq!(parse(other), None, "{other}");
    }
}
