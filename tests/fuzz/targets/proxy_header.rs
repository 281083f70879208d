//! The PROXY header, versions 1 and 2: it arrives in pieces, from whoever connects.

#![no_main]

use libfuzzer_sys::fuzz_target;
use proxy::fuzzing::{ProxyHeader, proxy_header};

fuzz_target!(|bytes: &[u8]| {
    let whole = proxy_header(bytes);
    if let ProxyHeader::Whole(length, source) = whole {
        assert!(length <= bytes.len() && length <= LONGEST, "it takes what is not there, or not its own");
        assert_eq!(proxy_header(&bytes[..length]), whole, "what comes behind it changes it");
        if bytes.starts_with(b"PROXY ") {
            let line = std::str::from_utf8(&bytes[..length]).expect("version 1 is text");
            assert!(line.ends_with("\r\n") && line.matches('\n').count() == 1 && length <= 107, "{line:?}");
            let named = line.split(' ').nth(2).and_then(|word| word.parse().ok());
            assert!(source.is_none() || source == named, "{line:?} names {source:?}");
            assert!(source.is_some() || line.starts_with("PROXY UNKNOWN"), "{line:?} names nobody");
        } else {
            assert!(bytes.starts_with(b"\r\n\r\n\0\r\nQUIT\n") && bytes[12] >> 4 == 2);
            assert_eq!(length, 16 + usize::from(u16::from_be_bytes([bytes[14], bytes[15]])));
            assert!(source.is_none() || bytes[12] & 15 == 1, "a health check of the sender names nobody");
        }
    }
    assert!(bytes.len() < LONGEST || whole != ProxyHeader::Part, "it is waited for without end");
    // However it is cut: what was refused stays refused, and what is whole was a part before.
    for cut in 0..bytes.len() {
        match (proxy_header(&bytes[..cut]), &whole) {
            (ProxyHeader::Part, _) => {}
            (ProxyHeader::Refused(_), later) => assert!(matches!(later, ProxyHeader::Refused(_)), "at {cut}"),
            (early, later) => assert_eq!(&early, later, "at {cut}"),
        }
    }
});

/// Longer headers are refused.
const LONGEST: usize = 4096;
