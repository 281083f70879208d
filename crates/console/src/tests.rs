//! The admin API over real sockets, with pools of plain data.

use crate::samples::{pool, running};
use crate::{Admin, AdminAddress, BindError, Console, ConsoleOptions, Status, client};
use policy::Phase;
use prometheus::Registry;
use socket2::{Domain, Socket, Type};
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;
use supervisor::PoolStatus;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

#[tokio::test]
async fn each_path_answers_reads_and_nothing_else() {
    let api = Api::start(vec![pool("web", &[Phase::Serving])]);
    let rows = [
        ("GET", "/livez", 200),
        ("HEAD", "/livez", 200),
        ("GET", "/livez?verbose", 200),
        ("GET", "/readyz", 200),
        ("HEAD", "/readyz", 200),
        ("GET", "/metrics", 200),
        ("HEAD", "/metrics", 200),
        ("GET", "/api/v1/status", 200),
        ("HEAD", "/api/v1/status", 200),
        ("GET", "http://localhost/livez", 200),
        ("GET", "/", 404),
        ("GET", "/livez/", 404),
        ("GET", "/LIVEZ", 404),
        ("GET", "/api/v1", 404),
        ("GET", "/%6civez", 404),
        ("GET", "//livez", 404),
        ("POST", "/nothing", 404),
        ("POST", "/livez", 405),
        ("PUT", "/api/v1/status", 405),
        ("DELETE", "/api/v1/status", 405),
        ("PATCH", "/metrics", 405),
        ("OPTIONS", "/api/v1/status", 405),
        ("TRACE", "/readyz", 405),
        ("get", "/readyz", 405),
    ];
    for (method, target, status) in rows {
        let answer = api.ask(&format!("{method} {target} HTTP/1.1\r\nHost: localhost\r\n")).await;
        assert_eq!(answer.status, status, "{method} {target}: {answer:?}");
        assert_eq!(answer.body.is_empty(), method == "HEAD", "{method} {target}: {answer:?}");
        assert_eq!(answer.header("cache-control"), Some("no-store"), "{method} {target}");
        assert_eq!(answer.header("allow").is_some(), status == 405, "{method} {target}");
        assert!(!answer.headers.keys().any(|name| name.starts_with("access-control-")), "{answer:?}");
        if status >= 400 {
            let problem: serde_json::Value = serde_json::from_str(&answer.body).unwrap();
            assert_eq!(answer.header("content-type"), Some("application/problem+json"));
            assert_eq!(problem["status"], status);
            assert_eq!(problem["paths"][3], "/api/v1/status");
        }
    }
}

#[tokio::test]
async fn what_a_foreign_page_can_send_is_forbidden_on_every_path() {
    let api = Api::start(vec![pool("web", &[Phase::Serving])]);
    let foreign = [
        "Host: evil.example\r\n",
        "Host: localhost\r\nOrigin: null\r\n",
        "Host: localhost\r\nOrigin: http://evil.example\r\n",
        "Host: localhost\r\nSec-Fetch-Site: cross-site\r\n",
        "Host: localhost\r\nSec-Fetch-Mode: no-cors\r\n",
        "Host: localhost\r\nHost: localhost\r\n",
    ];
    for method in ["GET", "HEAD", "POST", "DELETE", "OPTIONS"] {
        for path in ["/livez", "/readyz", "/metrics", "/api/v1/status", "/nothing"] {
            for headers in foreign {
                let answer = api.ask(&format!("{method} {path} HTTP/1.1\r\n{headers}")).await;
                assert_eq!(answer.status, 403, "{method} {path} {headers}");
            }
        }
    }
}

#[tokio::test]
async fn readiness_says_what_is_missing() {
    let api = Api::start(vec![pool("web", &[Phase::Serving]), pool("jobs", &[Phase::Frozen])]);
    let brief = api.get("/readyz").await;
    assert_eq!((brief.status, &*brief.body), (503, "pool jobs: no worker serves (1 frozen)\n"));
    let verbose = api.get("/readyz?verbose").await;
    assert_eq!(verbose.body, "[+]pool web: 1 serving\n[-]pool jobs: no worker serves (1 frozen)\n");
    assert_eq!(api.get("/livez").await.status, 200);
}

/// Scripts rely on these keys: they may gain company, and never change.
#[tokio::test]
async fn the_status_document_keeps_its_keys() {
    let api = Api::start(vec![pool("web", &[Phase::Serving, Phase::Waiting])]);
    let answer = api.get("/api/v1/status").await;
    assert_eq!(answer.header("content-type"), Some("application/json"));
    let mut document: serde_json::Value = serde_json::from_str(&answer.body).unwrap();
    assert!(document["uptime_ms"].take().is_u64());
    let reasons = |count: u64| serde_json::json!({"crashed": count, "failed_to_start": count, "frozen": count, "start_timeout": count});
    let expected = serde_json::json!({
        "version": env!("CARGO_PKG_VERSION"),
        "pid": std::process::id(),
        "uptime_ms": null,
        "stage": "running",
        "pools": [{
            "name": "web",
            "queue": {"length": 2, "oldest_ms": 1500},
            "shed": {
                "no_workers": 0, "query_of_death": 0, "queue_full": 0, "queue_timeout": 0, "route_confined": 0,
                "route_quarantined": 0, "stopping": 0, "workers_full": 0,
            },
            "lines_dropped": 5,
            "workers": [
                {
                    "slot": 1, "life": 17, "pid": 4001, "address": "unix:/run/web/1.sock", "state": "serving",
                    "since_ms": 90_250, "in_flight": 3, "parked": 1, "cap": 64, "oldest_request_ms": 250, "restarts": 4,
                    "restarts_by_reason": reasons(1), "frozen_total": 2, "wanted": true, "reserve": false,
                },
                {
                    "slot": 2, "life": 17, "pid": null, "address": null, "state": "waiting",
                    "since_ms": 90_250, "in_flight": 3, "parked": 1, "cap": 64, "oldest_request_ms": 250, "restarts": 8,
                    "restarts_by_reason": reasons(2), "frozen_total": 2, "wanted": true, "reserve": false,
                },
            ],
            "routes": [{"name": "GET /users/{id}", "standing": "confined", "need": 0.5, "p99_ms": 40, "spread": 1}],
        }],
    });
    assert_eq!(document, expected);
}

#[test]
fn a_reader_takes_documents_with_fewer_and_with_unknown_keys() {
    let contract = r#"{"version": "0.1.0", "pid": 1, "uptime_ms": 2, "later": true, "pools": [{"name": "web",
        "queue": {"length": 0, "oldest_ms": 0, "later": 1}, "workers": [{"slot": 1, "life": 1, "pid": null,
        "address": null, "state": "dreaming", "since_ms": 5, "in_flight": 0, "parked": 0, "restarts": 0,
        "frozen_total": 0}]}]}"#;
    let status: Status = serde_json::from_str(contract).unwrap();
    assert!(status.pools[0].workers[0].wanted);
    assert!(crate::render(&status).contains("dreaming"));
}

#[tokio::test]
async fn the_exposition_follows_the_conventions() {
    let api = Api::start(vec![pool("web", &Phase::ALL), pool("jobs", &[])]);
    let answer = api.get("/metrics").await;
    assert_eq!(answer.header("content-type"), Some("text/plain; version=0.0.4; charset=utf-8"));
    let exposition = Exposition::parse(&answer.body);
    for (name, kind) in &exposition.kinds {
        assert!(exposition.helps.contains(name), "{name} has no help");
        assert_eq!(kind == "counter", name.ends_with("_total"), "{name} is a {kind}");
        assert!(
            !["_ms", "_milliseconds", "_kb", "_percent"].iter().any(|unit| name.contains(unit)),
            "{name}"
        );
    }
    for (series, expected) in [
        (r#"antifreeze_worker_up{pool="web",slot="3"}"#, 1.0),
        (r#"antifreeze_worker_up{pool="web",slot="6"}"#, 0.0),
        (r#"antifreeze_worker_state{pool="web",slot="6",state="frozen"}"#, 1.0),
        (r#"antifreeze_worker_state{pool="web",slot="6",state="serving"}"#, 0.0),
        (r#"antifreeze_worker_in_flight{pool="web",slot="1"}"#, 3.0),
        (r#"antifreeze_worker_parked{pool="web",slot="1"}"#, 1.0),
        (r#"antifreeze_worker_cap{pool="web",slot="1"}"#, 64.0),
        (r#"antifreeze_worker_oldest_request_seconds{pool="web",slot="1"}"#, 0.25),
        (r#"antifreeze_worker_restarts_total{pool="web",slot="2",reason="frozen"}"#, 2.0),
        (r#"antifreeze_worker_freezes_total{pool="web",slot="8"}"#, 2.0),
        (r#"antifreeze_queue_length{pool="jobs"}"#, 2.0),
        (r#"antifreeze_queue_oldest_seconds{pool="web"}"#, 1.5),
        (r#"antifreeze_requests_shed_total{pool="web",reason="queue_full"}"#, 0.0),
        (r#"antifreeze_worker_lines_dropped_total{pool="web"}"#, 5.0),
    ] {
        assert_eq!(exposition.value(series), Some(expected), "{series}");
    }
    let build = format!(r#"antifreeze_build_info{{version="{}"}}"#, env!("CARGO_PKG_VERSION"));
    assert_eq!(exposition.value(&build), Some(1.0));
    for name in ["process_start_time_seconds", "process_resident_memory_bytes", "process_open_fds"] {
        assert!(exposition.value(name).is_some_and(|value| value > 0.0), "{name}");
    }
    assert!(exposition.value("process_cpu_seconds_total").is_some());
}

#[tokio::test]
async fn clients_cannot_add_series() {
    let api = Api::start(vec![pool("web", &[Phase::Serving])]);
    let before = Exposition::parse(&api.get("/metrics").await.body);
    for number in 0..100 {
        api.ask(&format!("M{number} /{number} HTTP/1.1\r\nHost: {number}.example\r\n")).await;
    }
    let after = Exposition::parse(&api.get("/metrics").await.body);
    assert_eq!(before.series.keys().collect::<Vec<_>>(), after.series.keys().collect::<Vec<_>>());
    // 1 worker: 9 states, 4 reasons, 6 more; its pool: 8 reasons to shed, 8 decisions, 2 standings, 3 more; the process: 5.
    assert_eq!(after.series.len(), 9 + 4 + 6 + 8 + 8 + 2 + 3 + 5);
}

#[tokio::test]
async fn a_request_that_is_no_http_or_too_large_is_answered_4xx() {
    let api = Api::start(vec![]);
    let long = format!("GET /livez HTTP/1.1\r\nHost: localhost\r\nX: {}\r\n", "x".repeat(17_000));
    assert_eq!(api.ask(&long).await.status, 431);
    assert_eq!(api.ask("\u{16}\u{3}\u{1}").await.status, 400);
    assert_eq!(api.get("/livez").await.status, 200);
}

#[tokio::test]
async fn other_machines_are_let_in_only_when_allowed() {
    for (address, allow_remote, bound) in [
        ("127.0.0.1:0", false, true),
        ("127.0.0.2:0", false, true),
        ("0.0.0.0:0", false, false),
        ("[::]:0", false, false),
        ("192.0.2.1:0", false, false),
        ("[::ffff:127.0.0.1]:0", false, true),
        ("0.0.0.0:0", true, true),
    ] {
        let address: AdminAddress = address.parse().unwrap();
        let result =
            Console::bind(&address, ConsoleOptions { allow_remote }, Registry::new(), || running(vec![]));
        match result {
            Ok(_) => assert!(bound, "{address}"),
            Err(error) => {
                assert!(!bound && matches!(error, BindError::Remote(_)), "{address}: {error}");
                assert!(error.to_string().contains("use 127.0.0.1"), "{error}");
            }
        }
    }
}

#[tokio::test]
async fn a_unix_socket_is_private_and_goes_with_the_server() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("admin.sock");
    // What a killed process leaves behind.
    drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
    let address = AdminAddress::Unix(path.clone());
    let mut api = Api::at(&address, vec![pool("web", &[Phase::Serving])]).unwrap();
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(api.get("/livez").await.status, 200);
    let second = Api::at(&address, vec![]).err().unwrap();
    assert!(matches!(second, BindError::InUse(_)), "{second}");
    assert_eq!(client::fetch(&address).await.unwrap().pools[0].name, "web");
    api.stop().await;
    assert!(!path.exists());
}

#[tokio::test]
async fn a_file_in_the_way_stays() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let error = Api::at(&AdminAddress::Unix(file.path().to_owned()), vec![]).err().unwrap();
    assert!(matches!(error, BindError::NoSocket(_)), "{error}");
    assert!(file.path().exists());
    let missing = Api::at(&"unix:/nowhere/at/all.sock".parse().unwrap(), vec![]).err().unwrap();
    assert!(missing.to_string().starts_with("cannot listen on admin address unix:/nowhere/at/all.sock"));
}

#[tokio::test]
async fn a_port_in_use_is_named() {
    let api = Api::start(vec![]);
    let error = Api::at(&api.address, vec![]).err().unwrap();
    assert!(error.to_string().contains(&format!("{} is in use", api.address)), "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_client_that_sends_half_a_head_is_cut_off() {
    let (_folder, api) = Api::nearby();
    let mut stream = api.address.connect().await.unwrap();
    stream.write_all(b"GET /livez HT").await.unwrap();
    let mut answer = Vec::new();
    tokio::time::timeout(Duration::from_secs(60), stream.read_to_end(&mut answer)).await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn clients_beyond_the_bound_wait_for_a_place() {
    let (_folder, api) = Api::nearby();
    let mut idle = Vec::new();
    for _ in 0..64 {
        let mut stream = api.address.connect().await.unwrap();
        stream.write_all(b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
        stream.read_u8().await.unwrap();
        idle.push(stream);
    }
    // The idle ones are closed in time, so that this one is served.
    assert_eq!(api.get("/livez").await.status, 200);
}

#[tokio::test(start_paused = true)]
async fn shutdown_does_not_wait_for_idle_connections() {
    let (_folder, mut api) = Api::nearby();
    let mut idle = api.address.connect().await.unwrap();
    idle.write_all(b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
    idle.read_u8().await.unwrap();
    tokio::time::timeout(Duration::from_millis(900), api.stop()).await.unwrap();
}

#[tokio::test]
async fn the_client_says_what_is_wrong() {
    // Ours, so that nobody else listens there.
    let silent = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    silent.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
    let free = silent.local_addr().unwrap().as_socket().unwrap();
    let nobody = client::fetch(&AdminAddress::Tcp(free)).await.unwrap_err().to_string();
    assert_eq!(
        nobody,
        format!("no antifreeze listens on {free}; is it running, and with this --admin address?")
    );
    let nobody = client::fetch(&"unix:/nowhere.sock".parse().unwrap()).await.unwrap_err().to_string();
    assert!(nobody.starts_with("no antifreeze listens on unix:/nowhere.sock"), "{nobody}");
    for (reply, words) in [
        ("HTTP/1.1 404 Not Found\r\nContent-Length: 3\r\n\r\nno\x1b", "answered 404 Not Found: no;"),
        ("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}", "answered no status document (missing field"),
        ("220 mail.example ESMTP\r\n", "cannot talk to"),
        ("", "cannot talk to"),
    ] {
        let (address, server) = stranger(reply);
        let error = client::fetch(&address).await.unwrap_err().to_string();
        assert!(error.contains(words), "{reply:?}: {error}");
        server.abort();
    }
}

#[tokio::test(start_paused = true)]
async fn the_client_gives_up_on_a_server_that_says_nothing() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = AdminAddress::Tcp(listener.local_addr().unwrap());
    let error = client::fetch(&address).await.unwrap_err();
    assert_eq!(error.to_string(), format!("{address} did not answer within 5 s"));
}

/// A running admin API.
struct Api {
    address: AdminAddress,
    stop: Option<oneshot::Sender<()>>,
    server: JoinHandle<()>,
}

#[derive(Debug)]
struct Answer {
    status: u16,
    headers: BTreeMap<String, String>,
    body: String,
}

impl Api {
    fn start(pools: Vec<PoolStatus>) -> Self {
        let Ok(Admin::At(address)) = "127.0.0.1:0".parse() else { panic!("an address") };
        Self::at(&address, pools).unwrap()
    }

    /// On a unix socket, where what was sent has arrived: a clock that is paused goes on whenever nothing is to be done, and
    /// bytes may be on their way between two TCP sockets then.
    fn nearby() -> (TempDir, Self) {
        let folder = tempfile::tempdir().unwrap();
        let address = AdminAddress::Unix(folder.path().join("admin.sock"));
        (folder, Self::at(&address, vec![]).unwrap())
    }

    fn at(address: &AdminAddress, pools: Vec<PoolStatus>) -> Result<Self, BindError> {
        let console = Console::bind(address, ConsoleOptions::default(), Registry::new(), move || {
            running(pools.clone())
        })?;
        let (stop, stopped) = oneshot::channel::<()>();
        let address = console.address().clone();
        let server = tokio::spawn(console.serve(async {
            let _ = stopped.await;
        }));
        Ok(Self { address, stop: Some(stop), server })
    }

    async fn stop(&mut self) {
        drop(self.stop.take());
        (&mut self.server).await.unwrap();
    }

    async fn get(&self, path: &str) -> Answer {
        self.ask(&format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n")).await
    }

    /// Sends this head, and takes all that comes.
    async fn ask(&self, head: &str) -> Answer {
        let mut stream = self.address.connect().await.unwrap();
        stream.write_all(format!("{head}Connection: close\r\n\r\n").as_bytes()).await.unwrap();
        let mut bytes = Vec::new();
        // A refused head may end in a reset.
        let _ = stream.read_to_end(&mut bytes).await;
        let text = String::from_utf8(bytes).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        let mut lines = head.lines();
        let status = lines.next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
        let headers = lines.map(|line| {
            let (name, value) = line.split_once(": ").unwrap();
            (name.to_ascii_lowercase(), value.to_owned())
        });
        Answer { status, headers: headers.collect(), body: body.to_owned() }
    }
}

impl Answer {
    fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(String::as_str)
    }
}

/// A server that is no antifreeze.
fn stranger(reply: &'static str) -> (AdminAddress, JoinHandle<()>) {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = AdminAddress::Tcp(listener.local_addr().unwrap());
    listener.set_nonblocking(true).unwrap();
    let listener = tokio::net::TcpListener::from_std(listener).unwrap();
    let server = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let _ = stream.read(&mut [0; 1024]).await;
        let _ = stream.write_all(reply.as_bytes()).await;
    });
    (address, server)
}

/// The text format 0.0.4, read line by line.
#[derive(Default)]
struct Exposition {
    helps: BTreeSet<String>,
    kinds: BTreeMap<String, String>,
    /// By name and labels in the order of their names.
    series: BTreeMap<String, f64>,
}

impl Exposition {
    fn parse(text: &str) -> Self {
        let mut exposition = Self::default();
        assert!(text.ends_with('\n'));
        for line in text.lines() {
            if let Some(help) = line.strip_prefix("# HELP ") {
                let (name, words) = help.split_once(' ').unwrap();
                assert!(words.ends_with('.') && exposition.helps.insert(name.to_owned()), "{line}");
            } else if let Some(kind) = line.strip_prefix("# TYPE ") {
                let (name, kind) = kind.split_once(' ').unwrap();
                assert!(["counter", "gauge", "histogram"].contains(&kind), "{line}");
                assert!(exposition.kinds.insert(name.to_owned(), kind.to_owned()).is_none(), "{line}");
            } else {
                let (series, value) = line.rsplit_once(' ').unwrap();
                let name = series.split('{').next().unwrap();
                assert!(exposition.kinds.contains_key(name), "{line} comes before its type");
                let value = value.parse().unwrap();
                assert!(exposition.series.insert(sorted(series), value).is_none(), "{line} comes twice");
            }
        }
        exposition
    }

    fn value(&self, series: &str) -> Option<f64> {
        self.series.get(&sorted(series)).copied()
    }
}

/// The order of labels means nothing.
fn sorted(series: &str) -> String {
    let Some((name, labels)) = series.strip_suffix('}').and_then(|series| series.split_once('{')) else {
        return series.to_owned();
    };
    let labels: BTreeSet<&str> = labels.split(',').collect();
    format!("{name}{{{}}}", labels.into_iter().collect::<Vec<_>>().join(","))
}
