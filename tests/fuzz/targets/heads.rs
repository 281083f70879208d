//! What becomes of heads on their way through: requests for workers, answers for clients, trailers for both.
//!
//! The first byte of the input says whose head it is, the rest is a first line and fields, one a line.

#![no_main]

use http::header::{
    CONNECTION, CONTENT_LENGTH, HOST, HeaderMap, HeaderName, HeaderValue, TE, TRANSFER_ENCODING, UPGRADE, VIA,
};
use http::{Method, Request, Response, StatusCode, Version};
use ipnet::IpNet;
use libfuzzer_sys::fuzz_target;
use proxy::fuzzing;
use std::net::IpAddr;
use std::sync::Arc;

fuzz_target!(|bytes: &[u8]| {
    let Some((kind, head)) = bytes.split_first() else { return };
    let mut lines = head.split(|byte| *byte == b'\n');
    let first = String::from_utf8_lossy(lines.next().unwrap_or_default()).into_owned();
    let fields = lines.filter_map(|line| {
        let colon = line.iter().position(|byte| *byte == b':')?;
        let name = HeaderName::from_bytes(&line[..colon]).ok()?;
        Some((name, HeaderValue::from_bytes(line[colon + 1..].trim_ascii()).ok()?))
    });
    let fields: HeaderMap = fields.collect();
    match kind % 4 {
        0 => request(&first, fields, Version::HTTP_11, kind & 0x80 != 0),
        1 => request(&first, fields, Version::HTTP_2, kind & 0x80 != 0),
        2 => request(&first, fields, Version::HTTP_10, kind & 0x80 != 0),
        _ => answer(&first, fields),
    }
});

const PEER: [u8; 4] = [192, 0, 2, 7];
const ID: &str = "ours";

fn request(line: &str, fields: HeaderMap, version: Version, is_trusted: bool) {
    let Some((method, target)) = line.split_once(' ') else { return };
    let Ok(request) = Request::builder().method(method).uri(target).version(version).body(()) else { return };
    let (mut head, ()) = request.into_parts();
    // Hyper says an equal length once, and refuses others.
    if version != Version::HTTP_2 && fields.get_all(CONTENT_LENGTH).iter().count() > 1 {
        return;
    }
    head.headers = fields.clone();
    let believed: Option<Arc<[IpNet]>> = is_trusted.then(|| Arc::from([IpNet::new_assert(PEER.into(), 32)]));
    let Some(asked) = fuzzing::request(head, IpAddr::from(PEER), believed, ID) else { return };
    let head = &asked.head;
    let headers = &head.headers;

    assert_eq!(head.version, Version::HTTP_11);
    assert!(head.method != Method::CONNECT);
    assert!(head.uri.scheme().is_none() && head.uri.authority().is_none(), "{}", head.uri);
    assert!(head.uri.path().starts_with('/') || (head.uri.path() == "*" && head.method == Method::OPTIONS));
    let hosts = headers.get_all(HOST).iter().count();
    assert!(hosts == 1 || (hosts == 0 && version == Version::HTTP_10), "{hosts} hosts");
    assert!(headers.get_all(CONTENT_LENGTH).iter().count() <= 1);
    for gone in ["keep-alive", "proxy-connection", "transfer-encoding", "proxy-authorization", "proxy"] {
        assert!(!headers.contains_key(gone), "{gone}");
    }
    match headers.get_all(CONNECTION).iter().collect::<Vec<_>>()[..] {
        [] => assert!(!headers.contains_key(UPGRADE) && !headers.contains_key(TE)),
        [one] if one == "te" => assert!(headers[TE] == "trailers" && !headers.contains_key(UPGRADE)),
        [one] => {
            assert!(one == "upgrade" && version != Version::HTTP_10, "{one:?}");
            let protocols = headers[UPGRADE].to_str().expect("they are plain text").to_ascii_lowercase();
            assert!(protocols.split(',').all(|name| !["", "h2c"].contains(&name.trim())), "{protocols}");
            assert!(!headers.contains_key(TE));
        }
        _ => panic!("{headers:?}"),
    }
    let via = headers.get_all(VIA).iter().next_back().expect("ours is the last");
    assert!(via.to_str().is_ok_and(|via| via.ends_with(" antifreeze")), "{via:?}");
    // A trusted proxy may say what it likes, also twice.
    let ids = headers.get_all("x-request-id").iter().count();
    assert!(ids == 1 || (ids > 1 && is_trusted), "{ids} ids");
    let hops = headers["x-forwarded-for"].to_str().expect("addresses");
    assert_eq!(hops.rsplit(", ").next(), Some("192.0.2.7"), "{hops}");
    if !is_trusted {
        assert_eq!((hops, &headers["x-request-id"]), ("192.0.2.7", &HeaderValue::from_static(ID)));
        for name in headers.keys().map(HeaderName::as_str) {
            let known = ["x-forwarded-for", "x-forwarded-proto", "x-forwarded-host"].contains(&name);
            assert!(!name.starts_with("x-forwarded-") || known, "{name}");
            assert!(!["x-real-ip", "client-cert", "client-cert-chain"].contains(&name), "{name}");
        }
    }
    // No two fields that a server with an environment for each request takes for one, and none that passes for ours.
    for name in headers.keys().map(HeaderName::as_str).filter(|name| name.contains(['_', '.'])) {
        let plain = name.replace(['_', '.'], "-");
        assert!(!headers.contains_key(&plain), "{name}");
        assert!(!plain.starts_with("x-forwarded-") && !plain.starts_with("remote-"), "{name}");
        assert!(!["host", "content-length", "transfer-encoding", "proxy"].contains(&&*plain), "{name}");
    }
    // Nobody who names it in Connection takes away what frames or routes a request.
    for kept in [CONTENT_LENGTH, HOST] {
        assert!(headers.contains_key(&kept) || !fields.contains_key(&kept), "{kept}");
    }

    let http2 = asked.http2.headers();
    for gone in [CONNECTION, UPGRADE, TRANSFER_ENCODING] {
        assert!(!http2.contains_key(&gone), "{gone}");
    }
    assert_eq!(asked.http2.uri().path(), head.uri.path());
    assert_eq!(asked.http2.uri().query(), head.uri.query());
    match asked.http2.uri().authority() {
        Some(authority) => {
            assert_eq!(headers[HOST], authority.as_str());
            assert!(!http2.contains_key(HOST));
        }
        None => assert_eq!(http2.get(HOST), headers.get(HOST)),
    }
}

fn answer(line: &str, fields: HeaderMap) {
    let status = line.parse().ok().and_then(|code| StatusCode::from_u16(code).ok()).unwrap_or(StatusCode::OK);
    let (mut head, ()) = Response::new(()).into_parts();
    (head.status, head.headers) = (status, fields.clone());
    if fuzzing::response(&mut head, Version::HTTP_11, None) {
        assert_eq!(head.version, Version::HTTP_11);
        for gone in ["connection", "keep-alive", "proxy-connection", "transfer-encoding", "upgrade", "te"] {
            assert!(!head.headers.contains_key(gone), "{gone}");
        }
        let lengths: Vec<_> = head.headers.get_all(CONTENT_LENGTH).iter().collect();
        match lengths[..] {
            [] => {}
            [one] => assert!(!one.is_empty() && one.as_bytes().iter().all(u8::is_ascii_digit), "{one:?}"),
            _ => panic!("{lengths:?}"),
        }
        assert!(lengths.is_empty() || !fields.contains_key(TRANSFER_ENCODING), "two framings");
    }
    let mut trailers = fields;
    fuzzing::prepare_trailers(&mut trailers);
    for name in trailers.keys().map(HeaderName::as_str) {
        let plain = name.replace(['_', '.'], "-");
        for forbidden in
            ["content-length", "transfer-encoding", "host", "connection", "set-cookie", "authorization"]
        {
            assert!(name != forbidden, "{name}");
        }
        assert!(!plain.starts_with("x-forwarded-") && plain != "content-length", "{name}");
    }
}
