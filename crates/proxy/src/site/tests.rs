use super::*;
use http::HeaderValue;
use proptest::prelude::*;

/// Sites as `HOST PATH`, with `-` for any host.
fn sites(texts: &[&str]) -> Vec<Site> {
    let site = |text: &&str| {
        let (host, path) = text.split_once(' ').expect("HOST PATH");
        Site {
            host: (host != "-").then(|| host.parse().expect("a host")),
            path: path.parse().expect("a path"),
            app: 0,
            timeouts: Timeouts::default(),
            body_bytes: None,
        }
    };
    texts.iter().map(site).collect()
}

/// The fields of a request to this host.
fn naming(host: &str) -> HeaderMap {
    HeaderValue::from_bytes(host.as_bytes()).into_iter().map(|host| (HOST, host)).collect()
}

/// Asserts which of the sites serves `HOST PATH`: its text, or the reason why none does.
fn check(texts: &[&str], rows: &[(&str, &str)]) {
    let all = Sites::new(&sites(texts));
    for (request, expected) in rows {
        let (host, path) = request.split_once(' ').expect("HOST PATH");
        let found = match all.find(&naming(host), path) {
            Ok(site) => texts[site],
            Err(error) => error.reason(),
        };
        assert_eq!(found, *expected, "{request}");
    }
}

#[test]
fn a_path_belongs_to_the_longest_prefix_of_whole_segments() {
    check(
        &["- /", "- /v1", "- /v1/admin", "- /static/css", "- /caf%C3%A9"],
        &[
            ("x /", "- /"),
            ("x *", "- /"),
            ("x /v1", "- /v1"),
            ("x /v1/", "- /v1"),
            ("x /v1/users/7", "- /v1"),
            ("x /v10", "- /"),
            ("x /v1.1", "- /"),
            ("x /V1", "- /"),
            ("x /v1/admin", "- /v1/admin"),
            ("x /v1/admin/x", "- /v1/admin"),
            ("x /v1/administrator", "- /v1"),
            ("x /static", "- /"),
            ("x /static/css/a.css", "- /static/css"),
            ("x /caf%C3%A9/1", "- /caf%C3%A9"),
        ],
    );
}

/// C27 of the table of attacks: what a rule about paths decides on are the bytes that the worker gets.
#[test]
fn a_path_is_taken_as_it_was_sent_and_nothing_in_it_is_resolved() {
    check(
        &["- /", "- /a", "- /b", "- /b/c"],
        &[
            ("x /a/../b", "- /a"),
            ("x /a/..%2fb", "- /a"),
            ("x /a/%2e%2e/b", "- /a"),
            ("x /a/./b", "- /a"),
            ("x /../b", "- /"),
            ("x /./b", "- /"),
            ("x //b", "- /"),
            ("x /b//c", "- /b"),
            ("x /b%2fc", "- /"),
            ("x /b/%63", "- /b"),
            ("x /%62", "- /"),
            ("x /b%00", "- /"),
            ("x /b;x=1", "- /"),
            ("x /b\\c", "- /"),
            ("x /b/c%3Fd", "- /b"),
        ],
    );
}

#[test]
fn the_most_particular_host_counts_that_serves_the_path() {
    check(
        &[
            "- /",
            "- /health",
            "a.example.com /",
            "*.example.com /",
            "*.example.com /v1",
            "*.a.example.com /",
            "b.example.com /v2",
        ],
        &[
            ("a.example.com /v1", "a.example.com /"),
            ("c.example.com /v1/x", "*.example.com /v1"),
            ("c.d.example.com /v2", "*.example.com /"),
            ("x.a.example.com /v1", "*.a.example.com /"),
            ("example.com /v1", "- /"),
            ("notexample.com /", "- /"),
            ("b.example.com /v2", "b.example.com /v2"),
            ("b.example.com /v1", "*.example.com /v1"),
            ("example.com.evil.org /health", "- /health"),
        ],
    );
}

#[test]
fn a_host_that_nobody_serves_is_misdirected_and_a_path_that_nobody_serves_is_not_found() {
    check(
        &["api.example.com /v1", "*.example.org /"],
        &[
            ("api.example.com /v1/x", "api.example.com /v1"),
            ("api.example.com /", "no_route"),
            ("api.example.com *", "no_route"),
            ("a.example.org *", "*.example.org /"),
            ("example.org /", "misdirected"),
            (".example.org /", "misdirected"),
            ("example.com /v1", "misdirected"),
            (" /v1", "misdirected"),
        ],
    );
    let all = Sites::new(&sites(&["api.example.com /v1"]));
    assert_eq!(
        all.find(&HeaderMap::new(), "/v1"),
        Err(Error::Misdirected),
        "a client of HTTP/1.0 may name no host"
    );
    check(&["- /v1"], &[("x /v1", "- /v1"), ("x /v2", "no_route"), (" /v2", "no_route")]);
}

#[test]
fn a_host_has_many_spellings() {
    let texts = ["api.example.com /", "[::1] /", "127.0.0.1 /", "*.Example.NET. /"];
    let served =
        |host: &str| Sites::new(&sites(&texts)).find(&naming(host), "/").ok().map(|site| texts[site]);
    for (host, expected) in [
        ("api.example.com", Some("api.example.com /")),
        ("API.Example.COM", Some("api.example.com /")),
        ("api.example.com:8443", Some("api.example.com /")),
        ("api.example.com:", Some("api.example.com /")),
        ("api.example.com.", Some("api.example.com /")),
        ("api.example.com.:80", Some("api.example.com /")),
        ("api.example.com..", None),
        ("ap%69.example.com", None),
        ("[::1]", Some("[::1] /")),
        ("[::1]:8000", Some("[::1] /")),
        ("[0:0:0:0:0:0:0:1]:8000", Some("[::1] /")),
        ("[::2]", None),
        ("127.0.0.1:8000", Some("127.0.0.1 /")),
        ("x.EXAMPLE.net.:1", Some("*.Example.NET. /")),
        ("", None),
        (".", None),
        (":80", None),
    ] {
        assert_eq!(served(host), expected, "{host:?}");
    }
    let longest = format!("{}.example.net", "a".repeat(LONGEST_HOST - ".example.net".len()));
    assert_eq!(served(&longest), Some(texts[3]));
    assert_eq!(served(&format!("a{longest}")), None, "no name is so long");
    assert_eq!(served(&".".repeat(60_000)), None);
}

#[test]
fn a_host_reads_as_it_is_spelled_or_says_what_is_wrong() {
    for (text, shown) in [
        ("api.example.com", "api.example.com"),
        ("API.example.com.", "api.example.com"),
        ("*.Example.com", "*.example.com"),
        ("localhost", "localhost"),
        ("my_service", "my_service"),
        ("[0::1]", "[::1]"),
        ("10.0.0.1", "10.0.0.1"),
    ] {
        assert_eq!(text.parse::<Host>().map(|host| host.to_string()), Ok(shown.to_owned()));
    }
    for (text, words) in [
        ("example.com:8000", "leave the port out"),
        ("[::1]:8000", "leave the port out"),
        ("*", "leave host out"),
        ("api.*", "leave host out"),
        ("*example.com", "leave host out"),
        ("*.*.com", "leave host out"),
        ("", "is no host"),
        ("*.", "is no host"),
        (".example.com", "is no host"),
        ("a..b", "is no host"),
        ("::1", "is no host"),
        ("[::1", "is no host"),
        ("[::1]x", "is no host"),
        ("*.[::1]", "is no host"),
        ("[fe80::1%25eth0]", "is no host"),
        ("http://a", "is no host"),
        ("a/b", "is no host"),
        ("user@a", "is no host"),
        ("b\u{fc}cher.de", "xn--"),
        ("a b", "is no host"),
    ] {
        let error = text.parse::<Host>().map_err(|error| error.to_string());
        assert!(error.as_ref().is_err_and(|error| error.contains(words)), "{text:?}: {error:?}");
    }
    assert!("a.".repeat(200).parse::<Host>().is_err());
}

#[test]
fn a_prefix_is_whole_segments_in_their_one_spelling() {
    for text in ["/", "/v1", "/a/b-c/d.e", "/caf%C3%A9", "/~x", "/a+b,c@d"] {
        assert_eq!(text.parse::<Prefix>().map(|path| path.to_string()), Ok(text.to_owned()));
    }
    for (text, words) in [
        ("", "begin with a slash"),
        ("v1", "begin with a slash"),
        ("*", "begin with a slash"),
        ("/v1/", "write /v1 for"),
        ("/v1/*", "write /v1 for"),
        ("/users/{id}", "write /v1 for"),
        ("//", "is not how a path begins"),
        ("/a//b", "is not how a path begins"),
        ("/a/../b", "is not how a path begins"),
        ("/a/.", "is not how a path begins"),
        ("/a%2Fb", "is not how a path begins"),
        ("/%61", "is not how a path begins"),
        ("/a;b", "is not how a path begins"),
        ("/a?b", "is not how a path begins"),
        ("/a#b", "is not how a path begins"),
        ("/a b", "is not how a path begins"),
        ("/caf\u{e9}", "is not how a path begins"),
    ] {
        let error = text.parse::<Prefix>().map_err(|error| error.to_string());
        assert!(error.as_ref().is_err_and(|error| error.contains(words)), "{text:?}: {error:?}");
    }
    assert!("/a".repeat(1000).parse::<Prefix>().is_err_and(|error| error.to_string().contains("1024")));
}

/// How particular a site is for this request; nothing if it does not match. Written out once more, slowly: what
/// [`Sites`] finds is to be the greatest.
fn particularity(site: &Site, host: &str, path: &str) -> Option<(usize, usize)> {
    let host = match &site.host {
        None => 0,
        Some(own) => match own.to_string().strip_prefix("*.") {
            None => (own.to_string() == host).then_some(usize::MAX)?,
            Some(domain) => host
                .strip_suffix(domain)
                .filter(|rest| rest.len() > 1 && rest.ends_with('.'))
                .map(|_| domain.len())?,
        },
    };
    let own = site.path.to_string();
    let below = path.strip_prefix(&own).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
    (own == "/" || below).then_some((host, own.len()))
}

proptest! {
    #[test]
    fn the_site_found_is_the_most_particular_one_that_matches(
        texts in prop::collection::hash_set(("(-|(\\*\\.|b\\.|a\\.b\\.)?(b|c)(\\.c)?)", "/((a|b)(/(a|b)){0,2})?"), 1..12),
        host in "((a|b)\\.){0,3}(b|c)(\\.c)?",
        path in "/((a|b|\\.\\.|%62|)(/(a|b|\\.|)){0,4})?",
    ) {
        let texts: Vec<String> = texts.into_iter().map(|(host, path)| format!("{host} {path}")).collect();
        let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
        let all = sites(&texts);
        let best = all.iter().filter_map(|site| particularity(site, &host, &path).map(|how| (how, site)));
        let best = best.max_by_key(|(how, _)| *how).map(|(_, site)| site);
        let found = Sites::new(&all).find(&naming(&host), &path);
        prop_assert_eq!(found.ok().map(|place| &all[place]), best);
        let known = all.iter().any(|site| particularity(site, &host, &site.path.to_string()).is_some());
        let reason = if known { Error::NoRoute } else { Error::Misdirected };
        prop_assert!(found.is_ok() || found == Err(reason));
    }

    #[test]
    fn whatever_is_asked_for_there_is_an_answer(host in "\\PC*", path in "\\PC*") {
        let all = Sites::new(&sites(&["- /a", "a.b /", "*.b /c"]));
        let _ = all.find(&naming(&host), &path);
        let _ = path.parse::<Prefix>();
        let _ = path.parse::<Host>();
    }
}
