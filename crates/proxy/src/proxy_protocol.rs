//! The PROXY protocol: the first bytes of a connection, in which a load balancer says whose connection it passes on.
//!
//! Both versions of HAProxy's proxy-protocol.txt are read: a line of text, or a binary header. Not a byte behind it is
//! taken from the connection, so that whatever comes next finds it as if there had been no header. What else the header
//! says (the destination, TLVs) is skipped.
//!
//! It is read here and not by the crate `ppp`, which calls a line malformed whose last number has not come yet.

use crate::origin::is_believed;
use crate::socket::when_readable;
use ipnet::IpNet;
use rustix::net::{RecvFlags, recv};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;
use supervisor::Stream;

/// Why a connection is closed before its first request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refused {
    /// There are trusted proxies, and the peer is none.
    Stranger,
    /// The connection ended before its header did.
    Missing,
    /// It did not come in time.
    Late,
    /// It is none.
    Malformed,
    /// It is longer than any that makes sense.
    TooLong,
}

impl Refused {
    /// The token of the metrics.
    pub(crate) fn reason(self) -> &'static str {
        match self {
            Self::Stranger => "proxy_header_stranger",
            Self::Missing => "proxy_header_missing",
            Self::Late => "proxy_header_timeout",
            Self::Malformed => "proxy_header_malformed",
            Self::TooLong => "proxy_header_too_long",
        }
    }
}

/// Reads the header until it is late: the client's address, or the peer's if the header names none (a load balancer's own
/// health checks).
///
/// # Errors
/// Why the connection must be closed.
pub(crate) async fn accept(
    stream: &Stream,
    peer: Option<IpAddr>,
    believed: &[IpNet],
    late: impl Future<Output = ()>,
) -> Result<Option<IpAddr>, Refused> {
    if !believed.is_empty() && peer.is_some_and(|peer| !is_believed(peer, believed)) {
        return Err(Refused::Stranger);
    }
    let source = tokio::select! {
        biased;
        source = read(stream) => source?,
        () = late => return Err(Refused::Late),
    };
    Ok(source.or(peer))
}

/// Takes the header, and no more, off the connection.
async fn read(stream: &Stream) -> Result<Option<IpAddr>, Refused> {
    let mut header = vec![0; LONGEST];
    let mut taken = 0;
    loop {
        let seen = receive(stream, &mut header[taken..], RecvFlags::PEEK).await?;
        match parse(&header[..taken + seen])? {
            Parsed::Whole { length, source } => {
                while taken < length {
                    taken += receive(stream, &mut header[taken..length], RecvFlags::empty()).await?;
                }
                return Ok(source);
            }
            // All of it is header.
            Parsed::Part => {
                taken += receive(stream, &mut header[taken..][..seen], RecvFlags::empty()).await?;
            }
        }
    }
}

/// recv(2), at least one byte.
async fn receive(stream: &Stream, buffer: &mut [u8], flags: RecvFlags) -> Result<usize, Refused> {
    match when_readable(stream, |socket| Ok(recv(socket, &mut *buffer, flags)?.1)).await {
        Ok(count @ 1..) => Ok(count),
        Ok(0) | Err(_) => Err(Refused::Missing),
    }
}

/// What bytes at the start of a connection are.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Parsed {
    /// The start of a header.
    Part,
    /// A header, maybe with something behind it.
    Whole {
        length: usize,
        /// Who the client is, if the header says so.
        source: Option<IpAddr>,
    },
}

pub(crate) fn parse(bytes: &[u8]) -> Result<Parsed, Refused> {
    if starts_alike(bytes, SIGNATURE) {
        parse_binary(bytes)
    } else if starts_alike(bytes, b"PROXY ") {
        parse_line(bytes)
    } else {
        Err(Refused::Malformed)
    }
}

fn starts_alike(bytes: &[u8], start: &[u8]) -> bool {
    bytes.iter().zip(start).all(|(one, other)| one == other)
}

/// Version 2: the signature, version and command, family and transport, a length, and so much.
fn parse_binary(bytes: &[u8]) -> Result<Parsed, Refused> {
    let Some((start, rest)) = bytes.split_at_checked(SIGNATURE.len() + 4) else { return Ok(Parsed::Part) };
    let [version_and_command, family_and_transport, high, low] = start[SIGNATURE.len()..] else {
        return Ok(Parsed::Part);
    };
    let named = match version_and_command {
        0x20 => false,
        0x21 => true,
        _ => return Err(Refused::Malformed),
    };
    let length = usize::from(u16::from_be_bytes([high, low]));
    if start.len() + length > LONGEST {
        return Err(Refused::TooLong);
    }
    let Some(rest) = rest.get(..length) else { return Ok(Parsed::Part) };
    let source = match family_and_transport {
        // What is not over TCP has no address of use.
        _ if !named => None,
        0x11 => Some(Ipv4Addr::from(*first(rest, 12)?).into()),
        0x21 => Some(Ipv6Addr::from(*first(rest, 36)?).into()),
        _ => None,
    };
    Ok(Parsed::Whole { length: start.len() + length, source })
}

/// The first bytes of a block of addresses that is `length` long.
fn first<const N: usize>(block: &[u8], length: usize) -> Result<&[u8; N], Refused> {
    block.get(..length).and_then(<[u8]>::first_chunk).ok_or(Refused::Malformed)
}

/// Version 1: `PROXY TCP4 source destination port port` and CRLF, or `PROXY UNKNOWN` and anything.
fn parse_line(bytes: &[u8]) -> Result<Parsed, Refused> {
    let Some(end) = bytes.iter().take(LONGEST_LINE).position(|byte| *byte == b'\n') else {
        return if bytes.len() < LONGEST_LINE { Ok(Parsed::Part) } else { Err(Refused::TooLong) };
    };
    let line = std::str::from_utf8(&bytes[..end]).ok().and_then(|line| line.strip_suffix('\r'));
    let words: Vec<&str> = line.ok_or(Refused::Malformed)?.split(' ').collect();
    let source = match words[1..] {
        ["UNKNOWN", ..] => None,
        ["TCP4", source, destination, from, to] => {
            Some(addresses::<Ipv4Addr>(source, destination, from, to)?)
        }
        ["TCP6", source, destination, from, to] => {
            Some(addresses::<Ipv6Addr>(source, destination, from, to)?)
        }
        _ => return Err(Refused::Malformed),
    };
    Ok(Parsed::Whole { length: end + 1, source })
}

fn addresses<A: FromStr + Into<IpAddr>>(
    source: &str,
    destination: &str,
    from: &str,
    to: &str,
) -> Result<IpAddr, Refused> {
    let is_port = |port: &str| port.bytes().all(|byte| byte.is_ascii_digit()) && port.parse::<u16>().is_ok();
    let source = source.parse::<A>().map_err(|_| Refused::Malformed)?;
    if destination.parse::<A>().is_err() || !is_port(from) || !is_port(to) {
        return Err(Refused::Malformed);
    }
    Ok(source.into())
}

/// What version 2 begins with: no HTTP, TLS or text does.
const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";

/// The longest line of version 1, with its end.
const LONGEST_LINE: usize = 107;

/// Longer binary headers are refused: the longest part that is in use is a client certificate.
const LONGEST: usize = 4096;

#[cfg(test)]
mod tests;
