//! Several apps behind one port: which request goes where, and that what one pool suffers is no other's business.

use crate::support::{Answer, Program, lines_of, signal_process, until};
use crate::wire::client::Client;
use crate::wire::frames::{CANCEL, DATA, END_HEADERS, END_STREAM, Frame, HEADERS, Peer, RST_STREAM, block};
use serde_json::Value;
use std::collections::BTreeSet;
use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::Command;
use std::thread;
use tempfile::TempDir;

const OWN: &str = env!("CARGO_BIN_EXE_antifreeze");
const TESTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests");

#[test]
fn two_apps_serve_behind_one_port_by_host_and_by_path() {
    let text = format!(
        "pools:\n  web: {{command: [node, server.js], directory: {TESTS}/apps, workers: 2}}\n\
         \x20 api:\n    command: [{TESTS}/.venv/bin/uvicorn, fastapi_app:app]\n    directory: {TESTS}/apps\n    workers: 2\n\
         \x20   environment: {{ROOT_PATH: /api}}\n\
         routes:\n  - {{pool: web}}\n  - {{path: /api, pool: api}}\n  - {{host: api.example.com, pool: api}}\n"
    );
    let (_folder, mut program) = start(&text);
    program.wait_for_line("the app's OpenAPI document at /openapi.json declares..pool=\"api\"");
    for pool in ["web", "api"] {
        until("all serve", || (states(&program, pool) == ["serving", "serving"]).then_some(()));
    }
    assert_eq!(program.get("/api/items/7").body, r#"{"item":"7"}"#);
    assert_eq!(ask(&program, "API.example.com:80", "/items/8").body, r#"{"item":"8"}"#);
    assert!(program.get("/openapi.json").body.contains("\"client\":"), "node answers everything");
    assert!(ask(&program, "api.example.com", "/openapi.json").body.contains("\"openapi\":"));
    let printed =
        Command::new(OWN).args(["status", "--admin", &program.admin]).output().expect("it was built");
    let table = String::from_utf8_lossy(&printed.stdout);
    for line in ["web: 2 of 2 serving", "web.2 ", "api: 2 of 2 serving", "api.1 "] {
        assert!(table.lines().any(|shown| shown.starts_with(line)), "{line}: {table}");
    }
    assert_eq!(program.ask("/readyz?verbose").body, "[+]pool web: 2 serving\n[+]pool api: 2 serving\n");
    program.signal("TERM");
    assert_eq!(program.wait().code(), Some(0));
    until("no process is left", || program.marked().is_empty().then_some(()));
}

#[test]
fn a_request_goes_by_the_bytes_that_its_worker_gets() {
    let (_folder, mut program) =
        start(&echoes(&[("web", "/"), ("a", "/a"), ("b", "/b"), ("api", "\"*.example.com\"")]));
    serving(&mut program, 4);
    for (target, pool) in [
        ("/", "web"),
        ("/b", "b"),
        ("/b/", "b"),
        ("/b?/a", "b"),
        ("/bb", "web"),
        ("/a/../b", "a"),
        ("/a/..%2fb", "a"),
        ("/a/%2e%2e/b", "a"),
        ("/../b", "web"),
        ("//b", "web"),
        ("/b%2f..%2fa", "web"),
        ("/%62", "web"),
        ("/b/%00", "b"),
        ("/b\\..\\a", "web"),
    ] {
        assert_eq!(program.get(target).body, format!("{pool} {target} 0"));
    }
    for (request, body) in [
        ("GET /b HTTP/1.1\r\nHost: x.Example.COM.:80", "api /b 0"),
        // Of the two authorities the target's counts, and of it the worker gets the path alone.
        ("GET http://x.example.com/b?c HTTP/1.1\r\nHost: test", "api /b?c 0"),
        ("GET http://test/a HTTP/1.1\r\nHost: x.example.com", "a /a 0"),
        ("GET /a HTTP/1.0", "a /a 0"),
        ("OPTIONS * HTTP/1.1\r\nHost: test", "web * 0"),
    ] {
        let answer = program.request(&format!("{request}\r\nConnection: close\r\n\r\n"));
        assert_eq!(answer.body, body, "{request}");
    }
}

#[test]
fn what_no_route_serves_is_404_or_421_and_counted_to_no_pool() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let log = folder.path().join("access.log");
    let text = format!(
        "log: {{access: {}, access_format: json}}\n{}",
        log.display(),
        echoes(&[("api", "api.example.com/v1"), ("web", "\"[::1]\"")])
    );
    let (_folder, mut program) = start(&text);
    serving(&mut program, 2);
    for (host, path, status, reason) in [
        ("api.example.com", "/v1/x", 200, ""),
        ("[0:0::1]:8000", "/v1/x", 200, ""),
        ("api.example.com", "/v2", 404, "no_route"),
        ("api.example.com", "/v10", 404, "no_route"),
        ("example.com", "/v1", 421, "misdirected"),
        ("", "/v1", 421, "misdirected"),
    ] {
        let answer = ask(&program, host, path);
        assert_eq!(answer.status, status, "{host}{path}: {answer:?}");
        if status != 200 {
            let problem: Value = serde_json::from_str(&answer.body).expect("a problem document");
            assert_eq!((&problem["status"], &problem["reason"]), (&status.into(), &reason.into()));
        }
    }
    // Each thread adds its counts up in its own time.
    for line in [
        "antifreeze_requests_total{code=\"421\",pool=\"\"} 2",
        "antifreeze_requests_total{code=\"404\",pool=\"\"} 2",
        "antifreeze_requests_total{code=\"200\",pool=\"api\"} 1",
        "antifreeze_requests_total{code=\"200\",pool=\"web\"} 1",
        "antifreeze_request_duration_seconds_count{pool=\"web\"} 1",
    ] {
        until(line, || program.ask("/metrics").body.contains(line).then_some(()));
    }
    let lines = lines_of(&log, 6);
    let lines: Vec<Value> = lines.iter().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    // Those of different threads in any order.
    let count = |pool: Value, worker: Value, reason: Value| {
        let wanted = (&pool, &worker, &reason);
        lines.iter().filter(|line| (&line["pool"], &line["worker"], &line["reason"]) == wanted).count()
    };
    assert_eq!(count("api".into(), "api.1".into(), Value::Null), 1);
    assert_eq!(count("web".into(), "web.1".into(), Value::Null), 1);
    assert_eq!(count(Value::Null, Value::Null, "no_route".into()), 2);
    assert_eq!(count(Value::Null, Value::Null, "misdirected".into()), 2);
}

#[test]
fn a_route_has_its_own_body_limit_and_time_limits() {
    let (_folder, mut program) = start(&format!(
        "pools:\n  app: {{command: [{OWN}, demo-worker, --uds, \"{{socket}}\"], workers: 1}}\n\
         \x20 echo: {{command: [python3, {TESTS}/apps/echo.py, \"{{socket}}\", echo], workers: 1}}\n\
         limits: {{body_bytes: 10B}}\ntimeouts: {{response_start: 2s}}\nroutes:\n  - {{pool: app}}\n\
         \x20 - {{path: /echo, pool: echo, timeouts: {{body_idle: 1s}}, limits: {{body_bytes: 20B}}}}\n\
         \x20 - {{path: /slow, pool: app, timeouts: {{response_start: off}}}}\n\
         \x20 - {{path: /stream, pool: app, timeouts: {{stream_idle: 300ms}}, limits: {{body_bytes: off}}}}\n"
    ));
    serving(&mut program, 2);
    let post = |path: &str, length: usize| {
        let body = "x".repeat(length);
        program.request(&format!(
            "POST {path} HTTP/1.1\r\nHost: test\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n{body}"
        ))
    };
    for (path, length, status) in [
        ("/", 10, 200),
        ("/", 11, 413),
        ("/echo", 20, 200),
        ("/echo/x", 21, 413),
        ("/stream?n=0", 100_000, 200),
        ("/echoes", 11, 413),
    ] {
        assert_eq!(post(path, length).status, status, "{path} with {length} bytes");
    }
    let chunked = "POST /echo HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n15\r\n";
    assert_eq!(program.request(&format!("{chunked}{}\r\n0\r\n\r\n", "x".repeat(21))).status, 413);
    assert_eq!(program.get("/slow?ms=2500").status, 200, "longer than others may take");
    let stalled = "POST /echo HTTP/1.1\r\nHost: test\r\nContent-Length: 5\r\n\r\nx";
    assert_eq!(program.request(stalled).status, 408);
    let stream = program.get("/stream?n=2&ms=1000");
    assert_eq!((stream.status, stream.body.contains("data: 2")), (200, false), "it is cut: {stream:?}");
    // On one connection: the limits of a route end with its request.
    let mut kept = Client::new(program.connect());
    kept.send(
        b"GET /slow?ms=2500 HTTP/1.1\r\nHost: test\r\n\r\nGET /freeze?ms=4000 HTTP/1.1\r\nHost: test\r\n\r\n",
    );
    let (first, second) = (kept.head(), kept.read_to("answer_timeout"));
    assert!(first.starts_with("HTTP/1.1 200") && second.contains("HTTP/1.1 504"), "{first}{second}");
}

#[test]
fn a_pool_that_is_frozen_wholly_leaves_the_other_alone() {
    let (_folder, mut program) = start(&demos("workers: 2, surge: 0, queue: {limit: 2, timeout: 1s}", ""));
    serving(&mut program, 4);
    let frozen: BTreeSet<u32> = pids(&program, "api");
    frozen.iter().for_each(|pid| signal_process(*pid, "STOP"));
    thread::scope(|scope| {
        // Two that freeze a worker each, two that wait in the queue and are turned away, and one for which there is no room.
        let stuck: Vec<_> = (0..5).map(|_| scope.spawn(|| ask(&program, "api.test", "/").status)).collect();
        until("all workers of one pool are frozen", || {
            states(&program, "api").iter().all(|state| state == "frozen").then_some(())
        });
        let ready = program.ask("/readyz");
        assert_eq!((ready.status, &*ready.body), (503, "pool api: no worker serves (2 frozen)\n"));
        // Whoever waited for the others' thaw would do so in vain: that comes only behind these.
        for _ in 0..50 {
            assert_eq!(program.get("/").status, 200);
        }
        assert_eq!(states(&program, "api"), ["frozen", "frozen"]);
        assert_eq!(states(&program, "web"), ["serving", "serving"]);
        frozen.iter().for_each(|pid| signal_process(*pid, "CONT"));
        let answers: Vec<u16> = stuck.into_iter().map(|answer| answer.join().expect("no panic")).collect();
        assert!(
            answers.contains(&200) && answers.iter().all(|status| [200, 503].contains(status)),
            "{answers:?}"
        );
    });
    until("both are ready again", || (program.ask("/readyz").status == 200).then_some(()));
    assert_eq!(ask(&program, "api.test", "/").status, 200);
}

#[test]
fn a_pool_that_never_gets_up_leaves_the_other_serving() {
    let (_folder, mut program) = start(&format!(
        "pools:\n  web: {{command: [{OWN}, demo-worker, --uds, \"{{socket}}\"], workers: 1}}\n\
         \x20 api: {{command: [sh, -c, \"echo no module; exit 3\"], workers: 1, start: {{backoff: 10ms, max_backoff: 10ms}}}}\n\
         routes: [{{pool: web}}, {{path: /api, pool: api}}]\n"
    ));
    serving(&mut program, 1);
    for _ in 0..10 {
        program.wait_for_line("worker=\"api.1\"..now=\"waiting\"..exited with code 3");
        assert_eq!(program.get("/").status, 200);
    }
    let refused = program.get("/api");
    assert_eq!(refused.status, 503, "{refused:?}");
    assert!(program.ask("/readyz").body.starts_with("pool api: no worker serves"));
    program.signal("TERM");
    assert_eq!(program.wait().code(), Some(0));
    until("no process is left", || program.marked().is_empty().then_some(()));
}

#[test]
fn a_pool_that_is_to_give_up_ends_the_others_in_order() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let go = folder.path().join("go");
    let (_folder, mut program) = start(&format!(
        "pools:\n  web: {{command: [{OWN}, demo-worker, --uds, \"{{socket}}\"], workers: 1, routing: {{openapi: off}}}}\n\
         \x20 api: {{command: [sh, -c, \"until [ -e {} ]; do sleep 0.01; done; exit 3\"], workers: 1, start: {{attempts: 1}}}}\n\
         routes: [{{pool: web}}, {{path: /api, pool: api}}]\n",
        go.display()
    ));
    serving(&mut program, 1);
    let request = program.hold("test");
    until("it is held", || (workers(&program, "web")[0]["in_flight"] == 1).then_some(()));
    fs::write(&go, "").expect("a writable folder");
    program.wait_for_line("draining");
    assert_eq!(request.answer().status, 200);
    assert_eq!(program.wait().code(), Some(1));
    let log = program.rest_of_log();
    assert!(log.contains("pool api: no worker became ready in 1 attempts each"), "{log}");
    until("no process is left", || program.marked().is_empty().then_some(()));
}

#[test]
fn a_drain_lets_the_requests_of_all_pools_finish() {
    let (_folder, mut program) = start(&demos("workers: 1, routing: {openapi: off}", ""));
    serving(&mut program, 2);
    let folders: Vec<_> = ["web", "api"].iter().map(|pool| folder_of(&program, pool)).collect();
    assert!(folders.iter().all(|folder| folder.exists()) && folders[0] != folders[1], "{folders:?}");
    let requests = ["web.test", "api.test"].map(|host| program.hold(host));
    for pool in ["web", "api"] {
        until("it is held", || (workers(&program, pool)[0]["in_flight"] == 1).then_some(()));
    }
    program.signal("TERM");
    program.wait_for_line("draining");
    assert_eq!(requests.map(|request| request.answer().status), [200, 200]);
    assert_eq!(program.wait().code(), Some(0));
    until("no process is left", || program.marked().is_empty().then_some(()));
    assert!(!folders.iter().any(|folder| folder.exists()), "{folders:?}");
}

#[test]
fn a_drain_cuts_what_each_pool_holds_at_its_own_limit() {
    let app = format!(
        "command: [{TESTS}/.venv/bin/uvicorn, --ws, websockets, \"traffic:app\"], directory: {TESTS}/apps, workers: 1, \
         routing: {{openapi: off}}"
    );
    let folder = configuration(&format!(
        "pools:\n  short: {{{app}, stop: {{drain_timeout: 500ms}}}}\n  long: {{{app}, stop: {{drain_timeout: 60s}}}}\n\
         routes: [{{host: short.test, pool: short}}, {{host: long.test, pool: long}}]\n"
    ));
    let mut program = Program::start(&["run", "--config", &path(&folder), "--http2", "on"]);
    serving(&mut program, 2);
    // Each holds an upload whose end its worker waits for, a WebSocket, and an upload on a connection that both share.
    let [(mut short, mut short_socket), (mut long, mut long_socket)] =
        ["short.test", "long.test"].map(|host| (upload(&program, host), websocket(&program, host)));
    let mut shared = Peer::new(program.connect());
    for (stream, host) in [(1, "short.test"), (3, "long.test")] {
        let pseudo = [(":method", "POST"), (":scheme", "http"), (":authority", host), (":path", "/upload")];
        shared.send(&[Frame::new(HEADERS, END_HEADERS, stream, block(&pseudo))]);
    }
    for pool in ["short", "long"] {
        until("all are held", || (workers(&program, pool)[0]["in_flight"] == 3).then_some(()));
    }
    program.signal("TERM");
    for cut in [&mut short, &mut short_socket] {
        let mut told = Vec::new();
        let _ = cut.read_to_end(&mut told);
        assert!(told.is_empty(), "{told:?}");
    }
    let reset = shared.verdict(1);
    assert_eq!((reset.kind, reset.code()), (RST_STREAM, CANCEL));
    // Of the other pool's nothing has ended yet.
    shared.send(&[Frame::new(DATA, END_STREAM, 3, "ab")]);
    assert_eq!(shared.verdict(3).status(), 200);
    long.write_all(b"ab").expect("it is open");
    let mut answer = String::new();
    long.read_to_string(&mut answer).expect("an answer");
    assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with('}'), "{answer}");
    // A masked text (RFC 6455 section 5.2).
    long_socket.write_all(b"\x81\x82\0\0\0\0hi").expect("it is open");
    let mut echo = [0; 4];
    long_socket.read_exact(&mut echo).expect("it is open");
    assert_eq!(&echo, b"\x81\x02hi");
    drop((long_socket, shared));
    assert_eq!(program.wait().code(), Some(0));
    until("no process is left", || program.marked().is_empty().then_some(()));
}

#[test]
fn the_workers_of_all_pools_die_with_a_killed_program() {
    for _ in 0..10 {
        let shell = format!("[sh, -c, \"{OWN} demo-worker --uds {{socket}} & wait\"]");
        let (_folder, mut program) = start(&demos("workers: 2", &shell));
        serving(&mut program, 4);
        assert!(program.marked().len() >= 8, "four shells and what they started");
        let folders: Vec<_> = ["web", "api"].iter().map(|pool| folder_of(&program, pool)).collect();
        program.signal("KILL");
        program.wait();
        until("no process is left", || program.marked().is_empty().then_some(()));
        until("no folder is left", || (!folders.iter().any(|folder| folder.exists())).then_some(()));
    }
}

#[test]
fn as_pid_1_no_pool_reaps_the_workers_of_another() {
    let mut command = Command::new("unshare");
    command.args(["--pid", "--fork", "--mount-proc", OWN]);
    let shell = format!(
        "[sh, -c, \"python3 {TESTS}/apps/orphans.py 20; trap 'exit 7' USR1; {OWN} demo-worker --uds {{socket}} & wait\"]"
    );
    let folder = configuration(&demos("workers: 2, start: {backoff: 10ms, max_backoff: 10ms}", &shell));
    let mut program = Program::launch(command, &["run", "--config", &path(&folder)]);
    let init = until("unshare forked", || children(program.pid()).first().copied());
    serving(&mut program, 4);
    // Four shells and two sentinels stay; 80 orphans go.
    until("no orphan is left", || (children(init).len() == 6).then_some(()));
    for round in 1..=2 {
        // The kernel skips some while others end (proc(5)).
        let shells = until("all shells are seen", || {
            let parents = children(init).into_iter().filter(|child| !children(*child).is_empty());
            Some(parents.collect::<Vec<_>>()).filter(|shells| shells.len() == 4)
        });
        // All at once: each pool is woken for the ends of the other's, too.
        shells.iter().for_each(|shell| signal_process(*shell, "USR1"));
        until("all ends were noticed, and all serve again", || {
            let all: Vec<Value> = ["web", "api"].iter().flat_map(|pool| workers(&program, pool)).collect();
            let again = |worker: &Value| worker["restarts"] == round && worker["state"] == "serving";
            (all.len() == 4 && all.iter().all(again)).then_some(())
        });
    }
    signal_process(init, "TERM");
    assert_eq!(program.wait().code(), Some(0));
    // Which of them is told first is chance.
    let log = program.rest_of_log();
    for worker in ["web.1", "web.2", "api.1", "api.2"] {
        let told = |line: &&str| {
            line.contains(&format!("worker=\"{worker}\"")) && line.contains("why=exited with code 7")
        };
        assert_eq!(log.lines().filter(told).count(), 2, "{worker} in:\n{log}");
    }
}

#[test]
fn no_two_workers_of_any_pool_share_a_port() {
    let (_folder, mut program) = start(&format!(
        "pools:\n  web: {{command: [node, server.js], directory: {TESTS}/apps, workers: 3}}\n\
         \x20 api: {{command: [{OWN}, demo-worker, --port, \"{{port}}\"], workers: 3}}\n\
         routes: [{{pool: web}}, {{path: /api, pool: api}}]\n"
    ));
    serving(&mut program, 6);
    let all = ["web", "api"].iter().flat_map(|pool| workers(&program, pool));
    let addresses: BTreeSet<String> = all.map(|worker| worker["address"].to_string()).collect();
    assert_eq!(addresses.len(), 6, "{addresses:?}");
}

/// A pool `web` for every host, and a pool `api` for `api.test`: built-in workers, unless another command is given.
fn demos(settings: &str, command: &str) -> String {
    let own = format!("[{OWN}, demo-worker, --uds, \"{{socket}}\"]");
    let command = if command.is_empty() { &own } else { command };
    format!(
        "pools:\n  web: {{command: {command}, {settings}}}\n  api: {{command: {command}, {settings}}}\n\
         routes: [{{pool: web}}, {{host: api.test, pool: api}}]\n"
    )
}

/// A pool of one worker for each of these places (a host, a path, or both), which answers with the pool's name.
fn echoes(pools: &[(&str, &str)]) -> String {
    let pool = |(name, _): &(&str, &str)| {
        format!(
            "  {name}: {{command: [python3, {TESTS}/apps/echo.py, \"{{socket}}\", {name}], workers: 1, routing: {{openapi: off}}}}\n"
        )
    };
    let route = |(name, place): &(&str, &str)| {
        let (host, path) = place.find('/').map_or((*place, "/"), |slash| place.split_at(slash));
        let host = if host.is_empty() { "null" } else { host };
        format!("  - {{host: {host}, path: {path}, pool: {name}}}\n")
    };
    let (pools, routes): (Vec<_>, Vec<_>) = pools.iter().map(|one| (pool(one), route(one))).unzip();
    format!("pools:\n{}routes:\n{}", pools.concat(), routes.concat())
}

fn configuration(text: &str) -> TempDir {
    let folder = tempfile::tempdir().expect("a temporary folder");
    fs::write(folder.path().join("antifreeze.yaml"), text).expect("it can be written");
    folder
}

fn path(folder: &TempDir) -> String {
    folder.path().join("antifreeze.yaml").to_string_lossy().into_owned()
}

fn start(text: &str) -> (TempDir, Program) {
    let folder = configuration(text);
    let program = Program::start(&["run", "--config", &path(&folder)]);
    (folder, program)
}

fn serving(program: &mut Program, workers: usize) {
    for _ in 0..workers {
        program.wait_for_line("was=\"starting\" now=\"serving\"");
    }
}

fn ask(program: &Program, host: &str, path: &str) -> Answer {
    program.request(&format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"))
}

/// Begins an upload of two bytes.
fn upload(program: &Program, host: &str) -> TcpStream {
    let mut stream = program.connect();
    let head =
        format!("POST /upload HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\nContent-Length: 2\r\n\r\n");
    stream.write_all(head.as_bytes()).expect("sent");
    stream
}

/// Opens a WebSocket.
fn websocket(program: &Program, host: &str) -> TcpStream {
    let mut stream = program.connect();
    let head = format!(
        "GET /echo HTTP/1.1\r\nHost: {host}\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).expect("sent");
    let mut answer = Vec::new();
    while !answer.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).expect("an answer");
        answer.push(byte[0]);
    }
    assert!(answer.starts_with(b"HTTP/1.1 101"), "{}", String::from_utf8_lossy(&answer));
    stream
}

fn workers(program: &Program, pool: &str) -> Vec<Value> {
    let document: Value = serde_json::from_str(&program.ask("/api/v1/status").body).expect("JSON");
    let pools = document["pools"].as_array().expect("a list");
    let pool = pools.iter().find(|entry| entry["name"] == pool).expect("a pool of this name");
    pool["workers"]
        .as_array()
        .expect("a list")
        .iter()
        .filter(|worker| worker["wanted"] == true)
        .cloned()
        .collect()
}

fn states(program: &Program, pool: &str) -> Vec<String> {
    workers(program, pool).iter().filter_map(|worker| worker["state"].as_str().map(str::to_owned)).collect()
}

fn pids(program: &Program, pool: &str) -> BTreeSet<u32> {
    workers(program, pool).iter().filter_map(|worker| worker["pid"].as_u64()?.try_into().ok()).collect()
}

/// Where the sockets of a pool are.
fn folder_of(program: &Program, pool: &str) -> std::path::PathBuf {
    let address = workers(program, pool)[0]["address"].as_str().expect("it runs").to_owned();
    Path::new(address.strip_prefix("unix:").expect("a socket")).parent().expect("a folder").to_owned()
}

/// The children of a process's main thread (proc(5)), which is the one that spawns.
fn children(pid: u32) -> Vec<u32> {
    let list = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    list.split_whitespace().filter_map(|pid| pid.parse().ok()).collect()
}
