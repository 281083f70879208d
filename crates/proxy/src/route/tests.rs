use super::replica::Replica;
use super::*;
use std::fs;
use std::time::{Duration, Instant};

/// Paths, and the templates that their shapes make of them.
const SHAPES: &[(&str, &str)] = &[
    // Words stay.
    ("/", "/"),
    ("*", "*"),
    ("/users", "/users"),
    ("/users/", "/users/"),
    ("/Users", "/Users"),
    ("/api/v2/users/me", "/api/v2/users/me"),
    ("/oauth2/token", "/oauth2/token"),
    ("/s3", "/s3"),
    ("/.well-known/openid-configuration", "/.well-known/openid-configuration"),
    ("/forgot-password-confirmation", "/forgot-password-confirmation"),
    ("/twirp/shop.Hats/getUserAccountInformation", "/twirp/shop.Hats/getUserAccountInformation"),
    ("/grpc.health.v1.Health/Check", "/grpc.health.v1.Health/Check"),
    ("/static/app.js", "/static/app.js"),
    ("/utf-8", "/utf-8"),
    ("/defaced", "/defaced"),
    ("/feedface", "/feedface"),
    ("/api/v1.2/x", "/api/v1.2/x"),
    // Numbers and what is made of them.
    ("/users/1", "/users/{}"),
    ("/users/1/orders/2/", "/users/{}/orders/{}/"),
    ("/42", "/{}"),
    ("/x/-1", "/x/{}"),
    ("/x/3.14", "/x/{}"),
    ("/x/10.0.0.1", "/x/{}"),
    ("/x/52.5,13.4", "/x/{}"),
    ("/x/123.json", "/x/{}.json"),
    ("/x/1,2,3", "/x/{}"),
    // Dates.
    ("/x/2026-01-31", "/x/{}"),
    ("/x/2026-01-31T10:00:00Z", "/x/{}"),
    ("/x/2026-01-31-release-notes", "/x/{}"),
    // UUIDs, hex, tokens.
    ("/x/123e4567-e89b-12d3-a456-426614174000/y", "/x/{}/y"),
    ("/x/123E4567-E89B-12D3-A456-426614174000", "/x/{}"),
    ("/x/{123e4567-e89b-12d3-a456-426614174000}", "/x/{}"),
    ("/x/deadbee1", "/x/{}"),
    ("/x/507f1f77bcf86cd799439011", "/x/{}"),
    ("/x/01ARZ3NDEKTSV4RRFFQ69G5FAV", "/x/{}"),
    ("/x/dGhpc0lzQmFzZTY0VG9rZW4", "/x/{}"),
    ("/x/aGVsbG-gd29ybGQ_aGVsbG8=", "/x/{}"),
    ("/x/cus_9s6XKzkNRiz8i3", "/x/{}"),
    ("/x/user-1234", "/x/{}"),
    ("/static/app.3f2a91bc.js", "/static/{}.js"),
    ("/static/main.3f2a91bc.chunk.js", "/static/{}.js"),
    ("/static/index-3f2a91bc.css", "/static/{}.css"),
    // Addresses and escapes.
    ("/x/ada@example.org", "/x/{}"),
    ("/x/ada%40example.org", "/x/{}"),
    ("/x/a%20b", "/x/{}"),
    ("/x/%C3%A9t%C3%A9", "/x/{}"),
    ("/x/été", "/x/{}"),
    // Depth.
    ("/a/b/c/d/e/f/g/h/i/j/k/l/m/n/o/p/q/r/s", "/a/b/c/d/e/f/g/h/i/j/k/l/m/n/o/p/*"),
    ("/1/b/c/d/e/f/g/h/i/j/k/l/m/n/o/p/q/r/s", "/{}/b/c/d/e/f/g/h/i/j/k/l/m/n/o/p/*"),
];

#[test]
fn values_in_a_path_become_placeholders() {
    for (path, expected) in SHAPES {
        assert!(!shape::is_ambiguous(path), "{path}");
        assert_eq!(shape::template(path), *expected, "{path}");
    }
}

#[test]
fn a_template_is_bounded_and_made_quickly_of_any_path() {
    let long = "x".repeat(64 * 1024);
    assert_eq!(shape::template(&format!("/{long}/a")), "/{}/*");
    assert_eq!(shape::template(&format!("/a/{long}")), "/a/{}");
    assert!(shape::template(&"/abcdefgh".repeat(8 * 1024)).len() < 600);
    let began = Instant::now();
    for _ in 0..1000 {
        shape::template(&long);
        shape::template(&"/1".repeat(64));
    }
    assert!(began.elapsed() < Duration::from_secs(10));
}

#[test]
fn paths_that_servers_read_in_several_ways_share_one_route_each_method() {
    let mut routes = Replica::new(table(&["/block", "/a/{x}", "/static/*"]));
    let block = id(&mut routes, "GET", "/block");
    let odd = id(&mut routes, "GET", "//block");
    for path in [
        "/%62lock",
        "/./block",
        "/x/../block",
        "/block/..",
        "/block/.",
        "/%2e/block",
        "/a%2Fblock",
        "/a%2fblock",
        "/a%5Cblock",
        "/a\\block",
        "/block;x=1",
        "/block%00",
        "/block%3Bx",
        "/block%3Fx",
        "/block%23x",
        "/%2562lock",
        "/block%",
        "/block%4",
        "/block%zz",
        "/static//x",
        "/static/%2e%2e/block",
    ] {
        assert!(shape::is_ambiguous(path), "{path}");
        assert_eq!(id(&mut routes, "GET", path), odd, "{path}");
    }
    assert_ne!(odd, block);
    assert_ne!(odd, id(&mut routes, "POST", "//block"));
    for path in ["/.block", "/..block", "/block.", "/a%20b", "/a%40b", "/a%C3%A9", "/", "/a/", "*"] {
        assert!(!shape::is_ambiguous(path), "{path}");
    }
}

#[test]
fn patterns_go_before_shapes_and_the_more_literal_first() {
    let table = table(&[
        "/users/{id}",
        "/users/me",
        "/users/{id}/orders/{order}",
        "/reports/{year}-{month}.pdf",
        "/reports/{name}",
        "/static/*",
        "/v{version}/items",
    ]);
    let mut routes = Replica::new(table.clone());
    for (path, expected) in [
        ("/users/ada", "/users/{id}"),
        ("/users/17", "/users/{id}"),
        ("/users/me", "/users/me"),
        ("/users/{id}", "/users/{id}"),
        ("/users/", "/users/"),
        ("/users/ada/", "/users/ada/"),
        ("/users/ada/orders/x", "/users/{id}/orders/{order}"),
        ("/users/me/orders/x", "/users/{id}/orders/{order}"),
        ("/users/ada/orders", "/users/ada/orders"),
        ("/reports/2026-01.pdf", "/reports/{year}-{month}.pdf"),
        ("/reports/-.pdf", "/reports/{name}"),
        ("/reports/été-1.pdf", "/reports/{year}-{month}.pdf"),
        ("/static/", "/static/*"),
        ("/static/a/b/c.css", "/static/*"),
        ("/static", "/static"),
        ("/v7/items", "/v{version}/items"),
        ("/v/items", "/v/items"),
        ("/USERS/ada", "/USERS/ada"),
    ] {
        let route = id(&mut routes, "GET", path);
        assert_eq!(table.name(route), format!("GET {expected}"), "{path}");
    }
}

#[test]
fn patterns_that_match_nothing_are_refused_with_the_remedy() {
    let deep = "/x".repeat(40);
    for (pattern, remedy) in [
        ("users", "begin with a slash"),
        ("", "begin with a slash"),
        ("/static/*.js", "last segment"),
        ("/*/x", "last segment"),
        ("/{a", "write each placeholder as {name}"),
        ("/a}", "write each placeholder as {name}"),
        ("/{a}{b}", "something between two"),
        ("/{a{b}}", "write each placeholder as {name}"),
        ("/a?b=1", "without ?"),
        ("/a#b", "without ?"),
        ("/a b", "%20"),
        ("/é", "as clients send it"),
        ("//a", "//"),
        ("/a/../b", "/../"),
        ("/a;b", ";"),
        (&deep, "shorten its end to /*"),
    ] {
        let error = pattern.parse::<Pattern>().expect_err(pattern).to_string();
        assert!(error.contains(remedy), "{pattern}: {error}");
    }
}

#[test]
fn the_place_of_the_document_is_a_path_or_off() {
    assert_eq!("off".parse(), Ok(OpenApi::Off));
    assert_eq!("/v3/api-docs".parse(), Ok(OpenApi::At("/v3/api-docs".to_owned())));
    for wrong in ["openapi.json", "", "http://localhost/openapi.json", "/a b", "/a#b"] {
        let error = wrong.parse::<OpenApi>().expect_err(wrong).to_string();
        assert!(error.contains("write a path such as /openapi.json, or off"), "{error}");
    }
}

#[test]
fn the_apps_own_document_tells_routes_apart() {
    let table = table(&["/users/{who}/avatar"]);
    let mut routes = Replica::new(table.clone());
    // Before the document is there.
    assert_eq!(table.name(id(&mut routes, "GET", "/users/ada")), "GET /users/ada");
    table.describe(openapi::read(DOCUMENT.as_bytes()).expect("a document"));
    for (method, path, expected) in [
        ("GET", "/users/ada", "GET /users/{id}"),
        ("GET", "/users/17", "GET /users/{id}"),
        ("HEAD", "/users/bob", "GET /users/{id}"),
        ("DELETE", "/users/bob", "DELETE /users/{id}"),
        ("GET", "/users/me", "GET /users/me"),
        ("GET", "/users/ada/avatar", "GET /users/{who}/avatar"),
        ("GET", "/v1/users/ada", "GET /users/{id}"),
        ("GET", "/v2/x/users/ada", "GET /users/{id}"),
        ("GET", "/v3/users/ada", "GET /v3/users/ada"),
        ("GET", "/reports/2026.pdf", "GET /reports/{year}.pdf"),
        ("GET", "/gr%C3%B6%C3%9Fe", "GET /gr%C3%B6%C3%9Fe"),
        ("GET", "/elsewhere/17", "GET /elsewhere/{}"),
    ] {
        assert_eq!(table.name(id(&mut routes, method, path)), expected, "{method} {path}");
    }
    // The next version of the app.
    table.describe(openapi::read(br#"{"paths": {"/users/{name}": {"get": {}}}}"#).expect("a document"));
    assert_eq!(table.name(id(&mut routes, "GET", "/users/ada")), "GET /users/{name}");
    assert_eq!(table.name(id(&mut routes, "GET", "/users/me")), "GET /users/{name}");
}

#[test]
fn documents_are_read_leniently_and_nonsense_is_refused() {
    let read = |text: &str| openapi::read(text.as_bytes());
    let declared = |text: &str| read(text).map(|templates| templates.declared()).expect("a document");
    assert_eq!(declared(DOCUMENT), 5);
    assert_eq!(
        declared(r#"{"swagger": "2.0", "basePath": "/v1/", "paths": {"/a": {"get": 1, "post": []}}}"#),
        2
    );
    assert_eq!(declared(r#"{"paths": {"/a": {"get": {}}}, "servers": {"url": 3}, "basePath": null}"#), 1);
    let many: Vec<_> = (0..5000).map(|number| format!(r#""/p{number}": {{"get": {{}}}}"#)).collect();
    assert_eq!(declared(&format!(r#"{{"paths": {{{}}}}}"#, many.join(","))), 4096);
    let deep = format!(
        r#"{{"x": {}{}, "paths": {{"/a": {{"get": {{}}}}}}}}"#,
        "[".repeat(100_000),
        "]".repeat(100_000)
    );
    assert_eq!(declared(&deep), 1);
    for nonsense in [
        "",
        "<!doctype html>",
        "[]",
        "{}",
        r#"{"paths": []}"#,
        r#"{"paths": {}}"#,
        r#"{"paths": {"/a": {}}}"#,
        "\u{0}",
    ] {
        assert!(read(nonsense).is_err(), "{nonsense}");
    }
    assert!(openapi::read(&[0xff, 0xfe]).is_err());
}

#[test]
fn head_is_get_and_invented_methods_are_one() {
    let mut routes = Replica::new(RouteTable::default());
    assert_eq!(id(&mut routes, "HEAD", "/a"), id(&mut routes, "GET", "/a"));
    assert_ne!(id(&mut routes, "POST", "/a"), id(&mut routes, "GET", "/a"));
    assert_eq!(id(&mut routes, "PURGE", "/a"), id(&mut routes, "FOO", "/a"));
    assert_ne!(id(&mut routes, "PURGE", "/a"), id(&mut routes, "GET", "/a"));
}

#[test]
fn ids_are_dense_and_the_same_on_all_threads() {
    let table = table(&["/users/{id}"]);
    let paths: Vec<String> = (0..2000)
        .flat_map(|n| [format!("/p{}x", n % 400), format!("/users/u{n}"), format!("/n/{n}")])
        .collect();
    let walk = |start: usize| {
        let mut routes = Replica::new(table.clone());
        let mut found = vec![RouteId(0); paths.len()];
        for step in 0..paths.len() {
            let place = (start + step) % paths.len();
            let route = routes.find(&Method::GET, &paths[place]);
            route.answered(StatusCode::OK);
            found[place] = routes.find(&Method::GET, &paths[place]).id;
        }
        found
    };
    std::thread::scope(|scope| {
        let threads: Vec<_> = [0, 1500, 3000, 4500].map(|start| scope.spawn(move || walk(start))).into();
        let found: Vec<_> = threads.into_iter().map(|thread| thread.join().expect("no panic")).collect();
        assert!(found.windows(2).all(|pair| pair[0] == pair[1]));
    });
    let ids: Vec<u32> = table.names().iter().map(|(id, _)| id.0).collect();
    assert_eq!(ids, (0..402).collect::<Vec<_>>());
}

#[test]
fn a_route_seen_late_gets_its_name_when_it_is_proven() {
    let table = table(&["/orders/{id}"]);
    let mut routes = Replica::new(table.clone());
    for word in words(AT_SIGHT) {
        let route = routes.find(&Method::GET, &word);
        assert!(route.id.0 < NAMED);
        route.answered(StatusCode::NOT_FOUND);
    }
    let route = routes.find(&Method::GET, "/late");
    assert!(route.id.0 >= NAMED, "no more names at first sight");
    assert!(table.name(route.id).starts_with("unnamed routes "));
    for status in [404, 405, 401, 403, 302, 307, 422, 500, 503] {
        route.answered(StatusCode::from_u16(status).expect("a status"));
        assert_eq!(id(&mut routes, "GET", "/late"), route.id, "{status} proves nothing");
    }
    route.answered(StatusCode::OK);
    let named = id(&mut routes, "GET", "/late");
    assert_eq!(table.name(named), "GET /late");
    assert_eq!(table.name(id(&mut routes, "GET", "/orders/x")), "GET /orders/{id}");
}

#[test]
fn an_app_that_answers_everything_leaves_names_for_declared_routes() {
    let table = table(&["/orders/{id}"]);
    let mut routes = Replica::new(table.clone());
    for word in words(20_000) {
        routes.find(&Method::GET, &word).answered(StatusCode::OK);
    }
    assert_eq!(table.names().len(), NAMED as usize - FEWEST_KEPT);
    assert_eq!(table.name(id(&mut routes, "DELETE", "/orders/x")), "DELETE /orders/{id}");
}

#[test]
fn a_million_made_up_requests_take_neither_memory_nor_the_names_of_real_routes() {
    let table = RouteTable::default();
    let mut routes = Replica::new(table.clone());
    let real = ["/", "/orders", "/orders/17", "/late"];
    let before: Vec<_> = real.iter().map(|path| id(&mut routes, "GET", path)).collect();
    // As much as it takes to come to rest.
    let mut paths = words(1_001_000);
    for path in paths.by_ref().take(1000) {
        routes.find(&Method::GET, &path).answered(StatusCode::NOT_FOUND);
    }
    let (memory, names) = (resident(), table.names().len());
    let mut seen = std::collections::HashSet::new();
    for (number, path) in paths.enumerate() {
        let method = match number % 4 {
            0 => Method::from_bytes(format!("M{number}").as_bytes()).expect("a token"),
            1 => Method::POST,
            _ => Method::GET,
        };
        let route = routes.find(&method, &path);
        seen.insert(route.id);
        route.answered(StatusCode::NOT_FOUND);
    }
    let grown = resident().saturating_sub(memory);
    println!("after 1,000,000 requests: {names} names, {} ids seen, {grown} KiB more", seen.len());
    assert_eq!(table.names().len(), names);
    assert_eq!(names, AT_SIGHT);
    assert!(seen.iter().all(|route| route.0 < RouteId::LIMIT));
    // A hundred bytes each would be 100 MB; other tests may run in this process.
    assert!(grown < 16 * 1024, "{grown} KiB");
    let after: Vec<_> = real.iter().map(|path| id(&mut routes, "GET", path)).collect();
    assert_eq!(before, after);
    let route = routes.find(&Method::GET, "/brand/new");
    route.answered(StatusCode::OK);
    assert_eq!(table.name(id(&mut routes, "GET", "/brand/new")), "GET /brand/new");
}

/// `cargo test --release -p proxy -- --ignored --nocapture known_routes`.
#[test]
#[ignore = "a measurement: it prints nanoseconds, and means nothing without optimisation"]
fn known_routes_are_found_within_a_few_hundred_nanoseconds() {
    let patterns = ["/orders/{id}", "/users/{id}/orders/{order}", "/static/*"];
    let mut routes = Replica::new(table(&patterns));
    for word in words(200) {
        id(&mut routes, "GET", &word);
    }
    for path in [
        "/",
        "/api/v1/users/me",
        "/orders/17",
        "/users/ada/orders/17",
        "/items/17",
        "/x/123e4567-e89b-12d3-a456-426614174000",
        "//ambiguous",
    ] {
        id(&mut routes, "GET", path);
        println!("{path:<45} {:>4} ns", cost([path].into_iter().cycle(), &mut routes));
    }
    let made_up: Vec<_> = words(101_000).collect();
    for path in &made_up[..1000] {
        id(&mut routes, "GET", path);
    }
    println!("{:<45} {:>4} ns", "a made-up path", cost(made_up.iter().map(String::as_str), &mut routes));
}

/// Nanoseconds a lookup in the best of many short runs: the machine is never ours alone.
fn cost<'a>(mut paths: impl Iterator<Item = &'a str>, routes: &mut Replica) -> u128 {
    let runs = (0..100).map(|_| {
        let began = Instant::now();
        for path in paths.by_ref().take(1000) {
            std::hint::black_box(routes.find(&Method::GET, std::hint::black_box(path)));
        }
        began.elapsed().as_nanos() / 1000
    });
    runs.min().unwrap_or_default()
}

const DOCUMENT: &str = r#"{
    "openapi": "3.1.0",
    "servers": [{"url": "/v1/"}, {"url": "https://example.org/v2/x"}, {"url": "/"}, {"url": "{scheme}://a/b"}],
    "paths": {
        "x-generated": "by hand",
        "/users/{id}": {"get": {}, "head": {}, "delete": {}, "summary": "one", "parameters": []},
        "/users/me": {"get": {"nested": [[[{}]]]}},
        "/reports/{year}.pdf": {"get": null},
        "/größe": {"get": {}},
        "/broken/{a}{b}": {"get": {}},
        "no/slash": {"get": {}},
        "/odd": "not an object",
        "/nothing": {}
    }
}"#;

fn table(patterns: &[&str]) -> RouteTable {
    let patterns = patterns.iter().map(|pattern| pattern.parse().expect("a pattern")).collect();
    RouteTable::new(&Routing { patterns, openapi: OpenApi::Off, ..Routing::default() })
}

fn id(routes: &mut Replica, method: &str, path: &str) -> RouteId {
    routes.find(&method.parse().expect("a method"), path).id
}

/// Paths that look like words, each another.
fn words(count: usize) -> impl Iterator<Item = String> {
    (0..count).map(|mut number| {
        let mut path = "/word-".to_owned();
        for _ in 0..6 {
            path.push(char::from(b'g' + (number % 16) as u8));
            number /= 16;
        }
        path
    })
}

/// This process's memory in KiB.
fn resident() -> usize {
    let status = fs::read_to_string("/proc/self/status").expect("Linux");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("a process has memory");
    line.trim().trim_end_matches(" kB").parse().expect("a number")
}
