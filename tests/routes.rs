//! Which requests are one route: what the app itself says of them, and that asking it harms nobody.

use crate::support::{Program, until};
use logs::Log;
use policy::PoolConfig;
use proxy::{
    App, Endpoint, Limits, Listener, Listeners, Metrics, Options, ProxyProtocol, RescueScope, Role,
    RouteTable, Site, Timeouts,
};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::num::NonZeroU16;
use std::path::Path;
use supervisor::{Environment, PoolOptions, Probe, Supervisor};

#[test]
fn the_document_of_a_fastapi_app_makes_requests_with_a_parameter_one_route() {
    let routes = RouteTable::default();
    let table = routes.clone();
    let named = move |name: &str| table.names().iter().filter(|(_, known)| known == name).count();
    behind(&routes.clone(), move |address| {
        until("the document was read", || {
            get(address, "/items/1");
            (named("GET /items/{item_id}") == 1).then_some(())
        });
        let before = routes.names().len();
        for path in ["/items/abc", "/items/2", "/items/abc?x=1", "/items/a%20b"] {
            assert!(get(address, path).starts_with("HTTP/1.1 200"), "{path}");
        }
        assert_eq!(routes.names().len(), before, "{:?}", routes.names());
        get(address, "/client");
        assert_eq!(named("GET /client"), 1);
    });
}

#[test]
fn asking_for_the_document_is_no_clients_request() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    std::fs::write(folder.path().join("api.json"), r#"{"paths": {"/a/{b}": {"get": {}, "put": {}}}}"#)
        .expect("it is writable");
    let mut program = files(folder.path(), &["--openapi", "/api.json"]);
    program.wait_for_line("the app's OpenAPI document at /api.json declares 2 routes");
    let metrics = program.ask("/metrics").body;
    assert!(metrics.contains("antifreeze_client_connections 0"), "{metrics}");
    assert!(!metrics.contains("antifreeze_requests_total{"), "{metrics}");
    assert!(!metrics.contains("_duration_seconds_count 1"), "{metrics}");
}

#[test]
fn an_app_without_a_document_is_asked_once_and_told_how_to_say_so() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mut program = files(folder.path(), &[]);
    let line = program.wait_for_line("no OpenAPI document at /openapi.json");
    assert!(line.contains("404") && line.contains("--openapi off"), "{line}");
    assert_eq!(program.get("/").status, 200);
    program.signal("TERM");
    program.wait();
    let log = program.rest_of_log();
    assert_eq!(log.matches("GET /openapi.json").count(), 1, "{log}");
    assert_eq!(log.matches("OpenAPI").count(), 1, "{log}");
}

#[test]
fn an_app_is_not_asked_if_the_operator_says_off() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mut program = files(folder.path(), &["--openapi", "off"]);
    program.wait_for_line("now=\"serving\"");
    assert_eq!(program.get("/").status, 200);
    program.signal("TERM");
    program.wait();
    let log = program.rest_of_log();
    assert!(!log.to_lowercase().contains("openapi"), "{log}");
}

#[test]
fn documents_that_are_huge_or_nonsense_are_ignored_with_one_line() {
    for (document, expected) in [
        (" ".repeat(5 << 20), "it is longer than 4 MiB"),
        ("<!doctype html><title>my app</title>".to_owned(), "it is no JSON object with paths"),
        ("{\"paths\": {}}".to_owned(), "it names no path"),
    ] {
        let folder = tempfile::tempdir().expect("a temporary folder");
        std::fs::write(folder.path().join("openapi.json"), document).expect("it is writable");
        let mut program = files(folder.path(), &[]);
        program.wait_for_line(expected);
        assert_eq!(program.get("/").status, 200);
        program.signal("TERM");
        program.wait();
        let log = program.rest_of_log();
        assert_eq!(log.matches("OpenAPI document").count(), 1, "{log}");
    }
}

/// A pool of one worker that serves a folder's files, and prints a line a request.
fn files(folder: &Path, flags: &[&str]) -> Program {
    let folder = folder.to_str().expect("plain text");
    let server =
        ["python3", "-u", "-m", "http.server", "--bind", "127.0.0.1", "--directory", folder, "{port}"];
    Program::start(&[&["run", "--workers", "1"], flags, &["--"], &server].concat())
}

/// Runs the FastAPI app behind a proxy in this process, whose route table can be looked into.
fn behind(routes: &RouteTable, act: impl FnOnce(&str) + Send + 'static) {
    let tests = concat!(env!("CARGO_MANIFEST_DIR"), "/tests");
    let uvicorn = format!("{tests}/.venv/bin/uvicorn");
    assert!(Path::new(&uvicorn).exists(), "{uvicorn} is missing: tests/run makes it");
    let options = PoolOptions {
        route_names: supervisor::RouteNames::default(),
        name: "app".to_owned(),
        command: vec![uvicorn, "fastapi_app:app".to_owned()],
        directory: Some(format!("{tests}/apps").into()),
        environment: Environment::new(),
        policy: PoolConfig::new(NonZeroU16::MIN),
        protocol: supervisor::Protocol::Http1,
        probe: Probe::default(),
        runtime_directory: std::env::temp_dir(),
        keep_alive: None,
        sentinel: None,
        log: Log::nowhere(),
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let supervisor = Supervisor::new(options).expect("uvicorn can be run");
        let pool = supervisor.pool();
        let metrics = Metrics::register(&prometheus::Registry::new()).expect("an empty registry");
        let anywhere = Listener {
            endpoint: Endpoint::Tcp(([127, 0, 0, 1], 0).into()),
            proxy_protocol: ProxyProtocol::Off,
            role: Role::Http(tls::Protocols::Http1),
        };
        let listeners = Listeners::bind(vec![anywhere], 2).expect("a free port");
        let sites = vec![Site::everything(Timeouts::default(), &Limits::default())];
        let options = Options { sites, ..Options::default() };
        let apps = [App { pool: pool.clone(), routes: routes.clone(), rescue: RescueScope::Safe }];
        let running = proxy::start(&apps, &options, &metrics, listeners, || {}).expect("threads");
        let address = running.listeners()[0].endpoint.to_string();
        let client = std::thread::spawn(move || {
            let _end = OnDrop(|| pool.kill());
            act(&address);
        });
        supervisor.run().await.expect("it ends when the client does");
        let acted = client.join();
        running.drain(std::future::ready(())).await;
        acted.expect("the client's assertions hold");
    });
}

/// Does something even if an assertion fails.
struct OnDrop<F: Fn()>(F);

impl<F: Fn()> Drop for OnDrop<F> {
    fn drop(&mut self) {
        self.0();
    }
}

fn get(address: &str, path: &str) -> String {
    let mut stream = TcpStream::connect(address).expect("it listens");
    write!(stream, "GET {path} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n").expect("it reads");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer");
    answer
}
