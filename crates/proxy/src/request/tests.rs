//! The header rules as data: a request as it comes, and what the worker gets or the client is told.

use super::*;
use http::{Request, StatusCode};

#[test]
fn only_one_well_formed_authority_is_accepted() {
    for (fields, fits) in [
        (&[("host", "a.example:80")][..], true),
        (&[("host", "[::1]:8000")], true),
        (&[("host", "")], true),
        (&[], false),
        (&[("host", "a"), ("host", "a")], false),
        (&[("host", "a/b")], false),
        (&[("host", "user@a")], false),
        (&[("host", "a:99999")], false),
        (&[("host", "a:b")], false),
    ] {
        let verdict = forward("GET", "/", fields, STRANGER);
        let expected = if fits { None } else { Some(StatusCode::BAD_REQUEST) };
        assert_eq!(verdict.err().map(|error| error.into_response(None).status()), expected, "{fields:?}");
    }
}

#[test]
fn only_chunked_once_is_understood() {
    // A Content-Length beside it never gets here: hyper drops it.
    for codings in [&["gzip, chunked"][..], &["chunked", "chunked"], &["chunked, chunked"], &["identity"]] {
        let mut fields = vec![("host", "a")];
        fields.extend(codings.iter().map(|coding| ("transfer-encoding", *coding)));
        assert_eq!(forward("POST", "/", &fields, STRANGER).err(), Some(Error::Coding), "{codings:?}");
    }
}

#[test]
fn fields_of_one_connection_stay_behind() {
    let fields = [
        ("host", "a"),
        ("connection", "close, X-Mine, x-forwarded-for"),
        ("x-mine", "1"),
        ("keep-alive", "1"),
        ("proxy-connection", "1"),
        ("proxy", "http://evil"),
        ("x-kept", "1"),
    ];
    let headers = forward("GET", "/", &fields, STRANGER).expect("it is well formed").headers;
    for gone in ["connection", "x-mine", "keep-alive", "proxy-connection", "proxy"] {
        assert!(!headers.contains_key(gone), "{gone}");
    }
    assert_eq!(headers["x-kept"], "1");
    assert_eq!(headers["x-forwarded-for"], "192.0.2.7");
}

#[test]
fn strangers_cannot_claim_to_be_somebody_else() {
    let fields = [
        ("host", "a"),
        ("x-forwarded-for", "10.0.0.1"),
        ("x_forwarded_for", "10.0.0.1"),
        ("x-forwarded-proto", "https"),
        ("x-real-ip", "10.0.0.1"),
        ("forwarded", "for=10.0.0.1"),
        ("x-request-id", "theirs"),
    ];
    let headers = forward("GET", "/", &fields, STRANGER).expect("it is well formed").headers;
    assert_eq!(headers["x-forwarded-for"], "192.0.2.7");
    assert_eq!(headers["x-forwarded-proto"], "http");
    assert_eq!(headers["x-request-id"], "ours");
    for gone in ["x_forwarded_for", "x-real-ip", "forwarded"] {
        assert!(!headers.contains_key(gone), "{gone}");
    }
}

#[test]
fn trusted_proxy_is_believed_and_added_to_the_list() {
    let fields = [
        ("host", "a"),
        ("x-forwarded-for", "10.0.0.1"),
        ("x-forwarded-proto", "https"),
        ("x-request-id", "theirs"),
    ];
    let headers = forward("GET", "/", &fields, TRUSTED).expect("it is well formed").headers;
    assert_eq!(headers["x-forwarded-for"], "10.0.0.1, 192.0.2.7");
    assert_eq!(headers["x-forwarded-proto"], "https");
    assert_eq!(headers["x-request-id"], "theirs");
}

#[test]
fn trusted_proxys_list_over_several_lines_is_kept_whole() {
    let fields = [("host", "a"), ("x-forwarded-for", "10.0.0.1"), ("x-forwarded-for", "10.0.0.2")];
    let headers = forward("GET", "/", &fields, TRUSTED).expect("it is well formed").headers;
    assert_eq!(headers["x-forwarded-for"], "10.0.0.1, 10.0.0.2, 192.0.2.7");
}

#[test]
fn absolute_target_wins_over_host() {
    let parts =
        forward("GET", "http://real.example/p?q", &[("host", "other")], STRANGER).expect("it is well formed");
    assert_eq!(
        (parts.uri.to_string().as_str(), &parts.headers["host"]),
        ("/p?q", &HeaderValue::from_static("real.example"))
    );
}

#[test]
fn only_a_proper_pair_upgrades_and_never_to_h2c() {
    for (fields, upgrades) in [
        (&[("connection", "Upgrade"), ("upgrade", "websocket")][..], true),
        (&[("upgrade", "websocket")], false),
        (&[("connection", "upgrade"), ("upgrade", "h2c")], false),
    ] {
        let fields = [&[("host", "a")], fields].concat();
        let parts = forward("GET", "/", &fields, STRANGER).expect("it is well formed");
        assert_eq!(parts.headers.contains_key(UPGRADE), upgrades, "{fields:?}");
    }
}

#[test]
fn max_forwards_counts_down_and_ends_here() {
    let fields = |hops| [("host", "a"), ("max-forwards", hops)];
    let parts = forward("OPTIONS", "/", &fields("2"), STRANGER).expect("it goes on");
    assert_eq!(parts.headers["max-forwards"], "1");
    assert_eq!(forward("OPTIONS", "/", &fields("0"), STRANGER).err(), Some(Error::LastHop));
}

/// Makes the peer that a request comes from.
type Peer = fn() -> Origin;
const STRANGER: Peer = || Origin::new(Some([192, 0, 2, 7].into()), false);
const TRUSTED: Peer = || Origin::new(Some([192, 0, 2, 7].into()), true);

fn forward(method: &str, target: &str, fields: &[(&str, &str)], peer: Peer) -> Result<Parts, Error> {
    let mut request = Request::builder().method(method).uri(target);
    for (name, value) in fields {
        request = request.header(*name, *value);
    }
    let (mut parts, ()) = request.body(()).expect("a request").into_parts();
    prepare(&mut parts, &peer(), || HeaderValue::from_static("ours"))?;
    Ok(parts)
}
