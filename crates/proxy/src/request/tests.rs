//! The header rules as data: a request as it comes, and what the worker gets or the client is told.

use super::*;
use crate::Options;
use crate::clients::Clients;
use http::{Request, StatusCode};
use ipnet::IpNet;
use prometheus::IntGauge;
use proptest::prelude::*;
use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;

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
        ("x_kept_too", "1"),
    ];
    let headers = forward("GET", "/", &fields, STRANGER).expect("it is well formed").headers;
    for gone in ["connection", "x-mine", "keep-alive", "proxy-connection", "proxy"] {
        assert!(!headers.contains_key(gone), "{gone}");
    }
    assert_eq!((&headers["x-kept"], &headers["x_kept_too"]), (&HeaderValue::from(1), &HeaderValue::from(1)));
    assert_eq!(headers["x-forwarded-for"], "192.0.2.7");
}

#[test]
fn strangers_cannot_claim_to_be_somebody_else() {
    let fields = [
        ("host", "a"),
        ("x-forwarded-for", "10.0.0.1"),
        ("x-forwarded-proto", "https"),
        ("x-forwarded-host", "b"),
        ("x-forwarded-port", "443"),
        ("x-forwarded-prefix", "/admin"),
        ("x-forwarded-ssl", "on"),
        ("x-real-ip", "10.0.0.1"),
        ("forwarded", "for=10.0.0.1"),
        ("x-request-id", "theirs"),
    ];
    let headers = forward("GET", "/", &fields, STRANGER).expect("it is well formed").headers;
    assert_eq!(headers["x-forwarded-for"], "192.0.2.7");
    assert_eq!(headers["x-forwarded-proto"], "http");
    assert_eq!(headers["x-forwarded-host"], "a");
    assert_eq!(headers["x-request-id"], "ours");
    assert_eq!(headers["forwarded"], "for=192.0.2.7;host=a;proto=http");
    for gone in ["x-forwarded-port", "x-forwarded-prefix", "x-forwarded-ssl", "x-real-ip"] {
        assert!(!headers.contains_key(gone), "{gone}");
    }
}

#[test]
fn names_that_a_worker_would_take_for_others_are_dropped() {
    let aliases = [
        "x_forwarded_for",
        "x.forwarded.for",
        "x-forwarded_proto",
        "x_forwarded-ssl",
        "x_real_ip",
        "x_request.id",
        "content_length",
        "transfer_encoding",
        "content.type",
        "remote_user",
        "remote.groups",
        "x_remote_user",
        "authorization_",
        "x_kept",
        "pro_xy",
    ];
    for peer in [STRANGER, TRUSTED] {
        let mut fields = vec![("host", "a"), ("x-kept", "1"), ("authorization", "1"), ("api_key", "1")];
        fields.extend(aliases.map(|name| (name, "evil")));
        let headers = forward("GET", "/", &fields, peer).expect("it is well formed").headers;
        let left: Vec<_> = headers.iter().filter(|(_, value)| *value == "evil").collect();
        // Neither of these is another name for a field that there is.
        let names: BTreeSet<_> = left.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, BTreeSet::from(["authorization_", "pro_xy"]));
        assert_eq!((&headers["x-kept"], &headers["api_key"]), (&HeaderValue::from(1), &HeaderValue::from(1)));
    }
}

#[test]
fn no_field_of_ours_can_be_deleted_by_naming_it_in_connection() {
    let named =
        "X-Forwarded-For, X-Forwarded-Proto, X-Forwarded-Host, X-Request-Id, Forwarded, Via, Host, X-Mine";
    let fields = [
        ("host", "a"),
        ("connection", named),
        ("x-mine", "1"),
        ("x-request-id", "theirs"),
        ("forwarded", "for=10.0.0.1"),
    ];
    let headers = forward("GET", "/", &fields, TRUSTED).expect("it is well formed").headers;
    assert_eq!(
        (&headers["x-forwarded-for"], &headers["x-request-id"]),
        (&"192.0.2.7".parse().unwrap(), &"theirs".parse().unwrap())
    );
    for kept in ["x-forwarded-proto", "x-forwarded-host", "forwarded", "via", "host"] {
        assert!(headers.contains_key(kept), "{kept}");
    }
    assert!(!headers.contains_key("x-mine"));
}

#[test]
fn trusted_proxy_is_believed_and_added_to_the_list() {
    let fields = [
        ("host", "a"),
        ("x-forwarded-for", "10.0.0.1"),
        ("x-forwarded-proto", "https"),
        ("x-forwarded-port", "443"),
        ("x-forwarded-prefix", "/app"),
        ("x-real-ip", "10.0.0.1"),
        ("x-request-id", "theirs"),
        ("forwarded", "for=10.0.0.1;proto=https"),
    ];
    let headers = forward("GET", "/", &fields, TRUSTED).expect("it is well formed").headers;
    assert_eq!(headers["x-forwarded-for"], "10.0.0.1, 192.0.2.7");
    assert_eq!(headers["forwarded"], "for=10.0.0.1;proto=https, for=192.0.2.7;host=a;proto=http");
    for (name, value) in &fields[2..7] {
        assert_eq!(headers[*name], *value, "{name}");
    }
}

#[test]
fn of_a_list_counts_what_trusted_proxies_vouch_for() {
    // 192.0.2.0/24 is trusted, and 192.0.2.7 is the peer.
    for (list, client, told) in [
        ("10.0.0.1", "10.0.0.1", "10.0.0.1, 192.0.2.7"),
        ("10.0.0.9, 10.0.0.1", "10.0.0.1", "10.0.0.1, 192.0.2.7"),
        ("10.0.0.9, 10.0.0.1, 192.0.2.8, 192.0.2.9", "10.0.0.1", "10.0.0.1, 192.0.2.8, 192.0.2.9, 192.0.2.7"),
        ("192.0.2.5, 192.0.2.6", "192.0.2.5", "192.0.2.5, 192.0.2.6, 192.0.2.7"),
        ("10.0.0.9, unknown, 192.0.2.8", "192.0.2.8", "unknown, 192.0.2.8, 192.0.2.7"),
        ("10.0.0.9, unknown", "192.0.2.7", "unknown, 192.0.2.7"),
        ("10.0.0.1:4711", "10.0.0.1", "10.0.0.1:4711, 192.0.2.7"),
        ("[2001:db8::1]:4711", "2001:db8::1", "[2001:db8::1]:4711, 192.0.2.7"),
        ("2001:db8::1, ,", "2001:db8::1", "2001:db8::1, 192.0.2.7"),
        ("", "192.0.2.7", "192.0.2.7"),
    ] {
        let fields = [("host", "a"), ("x-forwarded-for", list)];
        let headers = forward("GET", "/", &fields, TRUSTED).expect("it is well formed").headers;
        assert_eq!(headers["x-forwarded-for"], told, "{list}");
        let told = TRUSTED().client(&head("GET", "/", &fields).headers);
        assert_eq!(told, Some(client.parse().expect("an address")), "{list}");
        assert_eq!(
            STRANGER().client(&head("GET", "/", &fields).headers),
            Some([192, 0, 2, 7].into()),
            "{list}"
        );
    }
}

#[test]
fn trusted_proxys_list_over_several_lines_is_one_list() {
    let fields = [("host", "a"), ("x-forwarded-for", "10.0.0.1"), ("x-forwarded-for", "10.0.0.2, 192.0.2.8")];
    let headers = forward("GET", "/", &fields, TRUSTED).expect("it is well formed").headers;
    assert_eq!(headers["x-forwarded-for"], "10.0.0.2, 192.0.2.8, 192.0.2.7");
}

#[test]
fn of_forwarded_too_counts_what_trusted_proxies_vouch_for() {
    let ours = "for=192.0.2.7;host=\"a:80\";proto=http";
    for (theirs, kept) in [
        ("for=10.0.0.1", "for=10.0.0.1"),
        ("for=evil, for=10.0.0.1", "for=10.0.0.1"),
        (
            "for=evil, FOR=\"[2001:db8::1]:80\";by=x , for=192.0.2.8",
            "FOR=\"[2001:db8::1]:80\";by=x, for=192.0.2.8",
        ),
        (
            "for=evil,for=_hidden,proto=https;For=\"192.0.2.8:1\"",
            "for=_hidden, proto=https;For=\"192.0.2.8:1\"",
        ),
        ("by=\"a,b\\\",for=192.0.2.8\"", "by=\"a,b\\\",for=192.0.2.8\""),
        ("for=10.0.0.1;by=\"", ""),
        ("", ""),
    ] {
        let fields = [("host", "a:80"), ("forwarded", theirs)];
        let headers = forward("GET", "/", &fields, TRUSTED).expect("it is well formed").headers;
        let told = if kept.is_empty() { ours.to_owned() } else { format!("{kept}, {ours}") };
        assert_eq!(headers["forwarded"], told, "{theirs}");
    }
}

#[test]
fn a_peer_on_a_unix_socket_is_believed_and_adds_nothing() {
    let fields = [("host", "a"), ("x-forwarded-for", "10.0.0.9, 10.0.0.1"), ("forwarded", "for=10.0.0.1")];
    let headers = forward("GET", "/", &fields, || origin(None, true)).expect("it is well formed").headers;
    assert_eq!(
        (&headers["x-forwarded-for"], &headers["forwarded"]),
        (&"10.0.0.1".parse().unwrap(), &"for=10.0.0.1".parse().unwrap())
    );
}

#[test]
fn an_ipv6_peer_is_told_as_each_field_wants_it() {
    let peer = || origin(Some("2001:db8::7".parse().expect("an address")), false);
    let headers =
        forward("GET", "/", &[("host", "[::1]:80"), ("forwarded", "")], peer).expect("good").headers;
    assert_eq!(headers["x-forwarded-for"], "2001:db8::7");
    assert_eq!(headers["forwarded"], "for=\"[2001:db8::7]\";host=\"[::1]:80\";proto=http");
}

proptest! {
    /// Whatever a stranger writes into whichever lines: the worker hears of nobody but the stranger.
    #[test]
    fn a_stranger_is_always_told_as_what_it_is(fields in claims()) {
        let headers = forward("GET", "/", &pairs(&fields), STRANGER).expect("it is well formed").headers;
        prop_assert_eq!(&headers["x-forwarded-for"], "192.0.2.7");
        for (name, value) in &headers {
            let value = value.to_str().expect("it is text");
            prop_assert!(!value.contains("10.0.0."), "{}: {}", name, value);
            let plain = name.as_str().replace(['_', '.'], "-");
            prop_assert!(plain == name.as_str() || !is_claim(&plain), "{}", name);
        }
    }

    /// Whatever a client writes, behind a proxy that adds that client to the lists: an app that looks at the first entry
    /// and one that looks at the last one which it does not trust see the same client.
    #[test]
    fn behind_a_trusted_proxy_the_client_is_who_the_proxy_says(fields in claims()) {
        let mut fields = pairs(&fields);
        fields.extend([("x-forwarded-for", "10.1.1.1"), ("forwarded", "for=10.1.1.1")]);
        let client: IpAddr = [10, 1, 1, 1].into();
        prop_assert_eq!(TRUSTED().client(&head("GET", "/", &fields).headers), Some(client));
        let headers = forward("GET", "/", &fields, TRUSTED).expect("it is well formed").headers;
        prop_assert_eq!(&headers["x-forwarded-for"], "10.1.1.1, 192.0.2.7");
        prop_assert!(headers.get_all("forwarded").iter().count() == 1);
        let told = headers["forwarded"].to_str().expect("it is text");
        let ours = "for=192.0.2.7;host=a;proto=http";
        prop_assert!(told == ours || told == format!("for=10.1.1.1, {ours}"), "{}", told);
    }
}

/// Fields that claim something, under their names and others.
fn claims() -> impl Strategy<Value = Vec<(String, String)>> {
    const NAMES: &[&str] = &[
        "x-forwarded-for",
        "X-Forwarded-For",
        "x_forwarded_for",
        "x.forwarded-for",
        "forwarded",
        "x-real-ip",
        "x_real.ip",
        "x-forwarded-host",
        "connection",
    ];
    const PIECES: &[&str] = &[
        "10.0.0.1",
        "192.0.2.8",
        "unknown",
        ", ",
        ",",
        ";",
        "for=",
        "For=",
        "\"",
        "\\",
        "[",
        "]",
        ":80",
        " ",
        "x-forwarded-for",
    ];
    let value = prop::collection::vec(prop::sample::select(PIECES), 0..8).prop_map(|pieces| pieces.concat());
    prop::collection::vec((prop::sample::select(NAMES).prop_map(str::to_owned), value), 0..6)
}

fn pairs(fields: &[(String, String)]) -> Vec<(&str, &str)> {
    [("host", "a")]
        .into_iter()
        .chain(fields.iter().map(|(name, value)| (name.as_str(), value.as_str())))
        .collect()
}

#[test]
fn a_target_may_be_so_long_and_no_longer() {
    for (target, fits) in [
        (format!("/{}", "x".repeat(99)), true),
        (format!("/{}", "x".repeat(100)), false),
        (format!("/?{}", "x".repeat(99)), false),
        (format!("http://a/{}", "x".repeat(91)), true),
        (format!("http://a/{}", "x".repeat(92)), false),
        ("*".to_owned(), true),
    ] {
        let target: Uri = target.parse().expect("a target");
        assert_eq!(check_target(&target, 100).is_ok(), fits, "{target}");
    }
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
const STRANGER: Peer = || origin(Some([192, 0, 2, 7].into()), false);
const TRUSTED: Peer = || origin(Some([192, 0, 2, 7].into()), true);

fn origin(peer: Option<IpAddr>, trusted: bool) -> Origin {
    let believed: Arc<[IpNet]> = ["192.0.2.0/24".parse().expect("a network")].into();
    let open = IntGauge::new("open", "open").expect("a name");
    let seat = Arc::new(Clients::new(&Options::default(), open)).seat().expect("there is room");
    Origin::new(peer, trusted.then_some(believed), seat)
}

fn forward(
    method: &str,
    target: &str,
    fields: &[(&str, &str)],
    peer: impl Fn() -> Origin,
) -> Result<Parts, Error> {
    let mut parts = head(method, target, fields);
    prepare(&mut parts, &peer(), &Limits::default(), || HeaderValue::from_static("ours"))?;
    Ok(parts)
}

fn head(method: &str, target: &str, fields: &[(&str, &str)]) -> Parts {
    let mut request = Request::builder().method(method).uri(target);
    for (name, value) in fields {
        request = request.header(*name, *value);
    }
    request.body(()).expect("a request").into_parts().0
}
