//! Headers byte by byte, and whole connections that begin with one.

use super::*;
use proptest::prelude::*;
use std::future::pending;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::time::Instant;

const LINE: &[u8] = b"PROXY TCP4 192.0.2.1 198.51.100.1 4711 443\r\n";

/// A binary header with these bytes behind its length.
fn binary(command: u8, family: u8, block: &[u8]) -> Vec<u8> {
    let length = u16::try_from(block.len()).expect("it is short").to_be_bytes();
    [SIGNATURE, &[command, family], &length, block].concat()
}

fn v4(tail: &[u8]) -> Vec<u8> {
    binary(0x21, 0x11, &[&[192, 0, 2, 1, 198, 51, 100, 1, 0x12, 0x67, 1, 187], tail].concat())
}

fn source(header: &[u8]) -> Result<Option<IpAddr>, Refused> {
    match parse(header)? {
        Parsed::Whole { length, source } => {
            assert_eq!(length, header.len());
            Ok(source)
        }
        Parsed::Part => panic!("{header:?} is not whole"),
    }
}

#[test]
fn both_versions_name_the_client() {
    let client: IpAddr = [192, 0, 2, 1].into();
    let v6: IpAddr = "2001:db8::1".parse().expect("an address");
    let IpAddr::V6(bytes) = v6 else { unreachable!("it is one") };
    let block = [&bytes.octets()[..], &[0; 16], &[1, 2, 3, 4]].concat();
    for (header, expected) in [
        (LINE.to_vec(), Some(client)),
        (b"PROXY TCP6 2001:db8::1 ::1 1 65535\r\n".to_vec(), Some(v6)),
        (b"PROXY UNKNOWN\r\n".to_vec(), None),
        (b"PROXY UNKNOWN ffff::1 whatever 0 x\r\n".to_vec(), None),
        (v4(&[]), Some(client)),
        (v4(&[4, 0, 1, 42]), Some(client)),
        (v4(&[0; 4000]), Some(client)),
        (binary(0x21, 0x21, &block), Some(v6)),
        (binary(0x20, 0x11, &[192, 0, 2, 1, 198, 51, 100, 1, 0, 1, 0, 2]), None),
        (binary(0x20, 0, &[]), None),
        (binary(0x21, 0, &[1, 2, 3]), None),
        (binary(0x21, 0x31, &[0; 216]), None),
    ] {
        assert_eq!(source(&header), Ok(expected), "{}", String::from_utf8_lossy(&header));
    }
}

#[test]
fn what_is_no_header_is_refused() {
    for (bytes, why) in [
        (&b"GET / HTTP/1.1\r\n"[..], Refused::Malformed),
        (b"\x16\x03\x01", Refused::Malformed),
        (b"proxy TCP4", Refused::Malformed),
        (b"PROXY TCP4 192.0.2.1 198.51.100.1 4711 443\n", Refused::Malformed),
        (b"PROXY TCP4 192.0.2.1 198.51.100.1 4711 65536\r\n", Refused::Malformed),
        (b"PROXY TCP4 192.0.2.1 198.51.100.1 4711 +43\r\n", Refused::Malformed),
        (b"PROXY TCP4 192.0.2.1 198.51.100.1 4711\r\n", Refused::Malformed),
        (b"PROXY TCP4 192.0.2.1 198.51.100.1  4711 443\r\n", Refused::Malformed),
        (b"PROXY TCP4 ::1 ::1 4711 443\r\n", Refused::Malformed),
        (b"PROXY TCP6 192.0.2.1 198.51.100.1 4711 443\r\n", Refused::Malformed),
        (b"PROXY TCP5 192.0.2.1 198.51.100.1 4711 443\r\n", Refused::Malformed),
        (b"PROXY UNKNOWN \xff\r\n", Refused::Malformed),
        (b"PROXY \r\n", Refused::Malformed),
        (&[b"PROXY UNKNOWN ", &[b'x'; 100][..]].concat(), Refused::TooLong),
        (&binary(0x11, 0x11, &[0; 12]), Refused::Malformed),
        (&binary(0x22, 0x11, &[0; 12]), Refused::Malformed),
        (&binary(0x21, 0x11, &[0; 11]), Refused::Malformed),
        (&binary(0x21, 0x21, &[0; 35]), Refused::Malformed),
        (&v4(&[0; 4096]), Refused::TooLong),
    ] {
        assert_eq!(parse(bytes), Err(why), "{}", String::from_utf8_lossy(bytes));
    }
}

proptest! {
    #[test]
    fn a_header_is_never_taken_for_whole_too_early_nor_refused_for_what_is_still_to_come(
        header in prop::sample::select(vec![LINE.to_vec(), b"PROXY UNKNOWN\r\n".to_vec(), v4(&[]), v4(&[1; 99])]),
        behind in prop::collection::vec(any::<u8>(), 0..20),
    ) {
        for end in 0..header.len() {
            prop_assert_eq!(parse(&header[..end]), Ok(Parsed::Part), "{}", end);
        }
        let whole = parse(&[&header[..], &behind].concat());
        let is_whole = matches!(whole, Ok(Parsed::Whole { length, .. }) if length == header.len());
        prop_assert!(is_whole, "{:?}", whole);
    }

    #[test]
    fn whatever_comes_is_a_header_or_refused_and_more_of_it_changes_no_verdict(
        start in prop::sample::select(vec![&b""[..], b"PROXY ", b"PROXY TCP4 ", b"PROXY TCP6 ::1 ", SIGNATURE]),
        bytes in prop::collection::vec(any::<u8>(), 0..200),
    ) {
        let bytes = [start, &bytes].concat();
        let mut verdict = None;
        for end in 0..=bytes.len() {
            match parse(&bytes[..end]) {
                Ok(Parsed::Part) => prop_assert!(verdict.is_none()),
                other => {
                    prop_assert!(verdict.is_none_or(|earlier| earlier == other));
                    verdict = Some(other);
                }
            }
        }
    }
}

#[tokio::test]
async fn what_is_behind_the_header_stays_on_the_connection() {
    for header in [LINE.to_vec(), v4(&[7; 300])] {
        for piece in [1, 7, 1000] {
            let (near, mut far) = UnixStream::pair().expect("a pair");
            let mut near = Stream::from(near);
            let sent = [&header[..], b"GET / HTTP/1.1"].concat();
            let writes = async {
                for part in sent.chunks(piece) {
                    far.write_all(part).await.expect("it reads");
                    tokio::task::yield_now().await;
                }
            };
            let (client, ()) = tokio::join!(accept(&near, None, &[], pending()), writes);
            assert_eq!(client, Ok(Some([192, 0, 2, 1].into())));
            let mut rest = [0; 14];
            near.read_exact(&mut rest).await.expect("it is all there");
            assert_eq!(&rest, b"GET / HTTP/1.1");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_header_that_does_not_come_is_waited_for_until_it_is_late() {
    let (near, mut far) = UnixStream::pair().expect("a pair");
    far.write_all(&LINE[..20]).await.expect("there is room");
    let late = tokio::time::sleep(Duration::from_secs(3));
    let began = Instant::now();
    assert_eq!(accept(&Stream::from(near), None, &[], late).await, Err(Refused::Late));
    assert_eq!(began.elapsed(), Duration::from_secs(3));
}

#[tokio::test]
async fn a_connection_that_ends_within_its_header_is_missing_it() {
    let (near, mut far) = UnixStream::pair().expect("a pair");
    far.write_all(&LINE[..20]).await.expect("there is room");
    drop(far);
    assert_eq!(accept(&Stream::from(near), None, &[], pending()).await, Err(Refused::Missing));
}

#[tokio::test]
async fn where_some_proxies_are_trusted_others_say_nothing() {
    let believed = ["10.0.0.0/8".parse().expect("a network")];
    for (peer, expected) in [
        (Some([10, 0, 0, 1].into()), Ok(Some([192, 0, 2, 1].into()))),
        (None, Ok(Some([192, 0, 2, 1].into()))),
        (Some([192, 0, 2, 99].into()), Err(Refused::Stranger)),
    ] {
        let (near, mut far) = UnixStream::pair().expect("a pair");
        far.write_all(LINE).await.expect("there is room");
        assert_eq!(accept(&Stream::from(near), peer, &believed, pending()).await, expected, "{peer:?}");
    }
}
