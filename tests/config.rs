//! The configuration file as users meet it: what is good, what is wrong, and which word wins.

use crate::support::{Program, antifreeze};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// A file with this text, in a folder that lives as long as the test.
fn file(text: impl AsRef<[u8]>) -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().expect("a writable temporary folder");
    let path = folder.path().join("antifreeze.yaml");
    fs::write(&path, text).expect("it can be written");
    (folder, path)
}

/// `antifreeze check --config FILE ARGS`, with nothing of ours in its environment but `variables`.
fn check(path: &Path, args: &[&str], variables: &[(&str, &str)]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_antifreeze"));
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("ANTIFREEZE_")) {
        command.env_remove(name);
    }
    command.arg("check").arg("--config").arg(path).args(args).envs(variables.iter().copied());
    command.output().expect("the binary was built")
}

/// What `check` says of a file that is good.
fn good(text: &str, args: &[&str], variables: &[(&str, &str)]) -> String {
    let (_folder, path) = file(text);
    let output = check(&path, args, variables);
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    let report = String::from_utf8(output.stdout).expect("it prints UTF-8");
    report.replace(&format!("{}:", path.display()), "FILE:")
}

/// What `check` says of a file that is wrong: one line, less the name of the program.
fn wrong(text: &[u8], args: &[&str]) -> String {
    let (_folder, path) = file(text);
    let output = check(&path, args, &[]);
    let said = String::from_utf8(output.stderr).expect("it prints UTF-8");
    assert_eq!(output.status.code(), Some(64), "{:?}: {said}", String::from_utf8_lossy(text));
    assert_eq!(said.lines().count(), 1, "{said}");
    said.trim_start_matches("antifreeze: ").trim_end().replace(&path.display().to_string(), "FILE")
}

/// A wrong file, the place and key path that the message begins with, and words it holds.
type Case = (&'static str, &'static str, &'static str);

const WRONG_KEYS: &[Case] = &[
    ("pool: {}\n", "FILE:1:1: pool: unknown key", "did you mean pools?"),
    ("admin: off\nlisten: [127.0.0.1:1]\n", "FILE:2:1: listen: unknown key", "did you mean listeners?"),
    ("zzz: 1\n", "FILE:1:1: zzz: unknown key", "known here: listeners, admin"),
    ("workers: 4\n", "FILE:1:1: workers: unknown key", "it belongs to pools.NAME.workers"),
    ("pools: {a: {wrokers: 4}}\n", "FILE:1:13: pools.a.wrokers: unknown key", "did you mean workers?"),
    (
        "pools:\n  a:\n    freeze:\n      suspect_aftr: 1s\n",
        "FILE:4:7: pools.a.freeze.suspect_aftr: unknown key",
        "did you mean suspect_after?",
    ),
    ("listeners: [{adress: x}]\n", "FILE:1:14: listeners[0].adress: unknown key", "did you mean address?"),
    ("routes: [{pool: a, hots: x}]\n", "FILE:1:20: routes[0].hots: unknown key", "did you mean host?"),
    (
        "routes: [{pool: a, timeouts: {header: 1s}}]\n",
        "FILE:1:31: routes[0].timeouts.header: unknown key",
        "it belongs to timeouts.header",
    ),
    (
        "routes: [{pool: a, limits: {connections: 1}}]\n",
        "FILE:1:29: routes[0].limits.connections: unknown key",
        "it belongs to limits.connections",
    ),
    ("openapi: off\n", "FILE:1:1: openapi: unknown key", "it belongs to pools.NAME.routing.openapi"),
    ("limits:\n  body: 1GiB\n", "FILE:2:3: limits.body: unknown key", "did you mean body_bytes?"),
    ("pools: {a: {workers: 1, workers: 2}}\n", "FILE:1:25: pools.a", "workers occurs twice"),
    ("admin: off\nthreads: 1\nadmin: off\n", "FILE:3:1", "admin occurs twice"),
    ("pools: {a: {}, a: {}}\n", "FILE:1:16: pools", "a occurs twice"),
    ("pools: {a: {environment: {X: 1, X: 2}}}\n", "FILE:1:33: pools.a.environment", "X occurs twice"),
    ("pools: {a: {<<: {workers: 1}}}\n", "FILE:1:13: pools.a.<<: unknown key", "known here"),
    ("? [a]\n: 1\n", "FILE:1:3", "a key that is a plain word"),
];

const WRONG_VALUES: &[Case] = &[
    (
        "pools: {a: {freeze: {suspect_after: 10}}}\n",
        "FILE:1:37: pools.a.freeze.suspect_after: '10'",
        "write a whole number and a unit: 250ms",
    ),
    (
        "pools: {a: {freeze: {suspect_after: 2h}}}\n",
        "FILE:1:37: pools.a.freeze.suspect_after",
        "out of range: from 10ms to 1h",
    ),
    (
        "pools: {a: {freeze: {suspect_after: 0s}}}\n",
        "FILE:1:37: pools.a.freeze.suspect_after",
        "from 10ms to 1h",
    ),
    (
        "pools: {a: {freeze: {restart_after: -5s}}}\n",
        "FILE:1:37: pools.a.freeze.restart_after",
        "a whole number",
    ),
    ("pools: {a: {queue: {timeout: 0ms}}}\n", "FILE:1:30: pools.a.queue.timeout", "from 1ms to 1h"),
    ("pools: {a: {queue: {timeout: [1s]}}}\n", "FILE:1:30: pools.a.queue.timeout", "expected a duration"),
    (
        "pools: {a: {queue: {limit: -1}}}\n",
        "FILE:1:28: pools.a.queue.limit",
        "whole number from 0 to 1000000",
    ),
    ("pools: {a: {queue: 10}}\n", "FILE:1:20: pools.a.queue", "expected a mapping with limit and timeout"),
    ("pools: {a: {workers: 0}}\n", "FILE:1:22: pools.a.workers", "from 1 to 512, or auto"),
    ("pools: {a: {workers: 1.5}}\n", "FILE:1:22: pools.a.workers", "not a whole number"),
    (
        "pools: {a: {workers: {min: 2, max: 8}}}\n",
        "FILE:1:22: pools.a.workers",
        "a range of workers comes with",
    ),
    ("pools: {a: {max_in_flight: many}}\n", "FILE:1:28: pools.a.max_in_flight", "whole number from 1"),
    ("pools: {a: {start: {backoff: 0s}}}\n", "FILE:1:30: pools.a.start.backoff", "from 10ms to 1h"),
    ("pools: {a: {keep_alive: 1ms}}\n", "FILE:1:25: pools.a.keep_alive", "from 100ms to 1h, or auto"),
    ("pools: {a: {command: uvicorn main}}\n", "FILE:1:22: pools.a.command", "expected a list of words"),
    ("pools: {a: {command: [sh, {x: 1}]}}\n", "FILE:1:27: pools.a.command[1]", "expected text"),
    ("pools: {a: {command: [\"a\\0b\"]}}\n", "FILE:1:23: pools.a.command[0]", "NUL"),
    ("pools: {a: {environment: [X=1]}}\n", "FILE:1:26: pools.a.environment", "expected a map"),
    ("pools: {a: {environment: {X=Y: 1}}}\n", "FILE:1:27: pools.a.environment", "name of a variable"),
    ("pools: {a: {freeze: {probe: /health}}}\n", "FILE:1:29: pools.a.freeze.probe", "OPTIONS *"),
    ("pools: {a: {freeze: {probe: \"GET /\\r\\nX: y\"}}}\n", "FILE:1:29: pools.a.freeze.probe", "one space"),
    ("pools: {\"a b\": {}}\n", "FILE:1:9: pools", "cannot be the name of a pool"),
    ("pools: [a]\n", "FILE:1:8: pools", "expected a map"),
    ("timeouts: {header: 0s}\n", "FILE:1:20: timeouts.header", "from 10ms to 24h, or off"),
    ("timeouts: {header: none}\n", "FILE:1:20: timeouts.header", "or off"),
    ("timeouts: {header: false}\n", "FILE:1:20: timeouts.header", "or off"),
    ("log: {format: xml}\n", "FILE:1:15: log.format: 'xml'", "write auto, text or json"),
    ("log: {level: loud}\n", "FILE:1:14: log.level: 'loud'", "write error, warn, info"),
    ("log: {level: \"info,=debug\"}\n", "FILE:1:14: log.level", "info,console=debug"),
    ("log: {access: \"\"}\n", "FILE:1:15: log.access: an empty access log", "write off"),
    ("log: {access_format: []}\n", "FILE:1:22: log.access_format", "expected auto, text or json"),
    ("limits: {header_bytes: 4KiB}\n", "FILE:1:24: limits.header_bytes", "from 8KiB to 1MiB"),
    ("limits: {header_bytes: 65536}\n", "FILE:1:24: limits.header_bytes", "64KiB"),
    ("limits: {body_bytes: 1GB}\n", "FILE:1:22: limits.body_bytes", "1GiB"),
    ("limits: {header_count: 5}\n", "FILE:1:24: limits.header_count", "from 10 to 1000"),
    ("limits: {target_bytes: 7KiB}\n", "FILE:1:24: limits.target_bytes", "from 8000B to 65534B"),
    ("limits: {client_in_flight: 0}\n", "FILE:1:28: limits.client_in_flight", "from 1 to 1000000, or off"),
    ("limits: {client_connections: none}\n", "FILE:1:30: limits.client_connections", "or off"),
    ("limits: {exempt: [office]}\n", "FILE:1:19: limits.exempt[0]", "not a network"),
    ("limits: {exempt: off}\n", "FILE:1:18: limits.exempt", "expected a sequence"),
    ("timeouts: {body_rate: 0B}\n", "FILE:1:23: timeouts.body_rate", "from 1B to 1GiB, or off"),
    ("timeouts: {body_grace: off}\n", "FILE:1:24: timeouts.body_grace", "write a whole number and a unit"),
    (
        "listeners: [{address: \"[::]:1\", proxy_protocol: on}]\n",
        "FILE:1:49: listeners[0].proxy_protocol",
        "off nor required",
    ),
    ("pools: {a: {protocol: h2}}\n", "FILE:1:23: pools.a.protocol: 'h2'", "is neither http1 nor h2c"),
    ("threads: none\n", "FILE:1:10: threads", "from 1 to 512, or auto"),
    ("trusted_proxies: [10.0.0.0/33]\n", "FILE:1:19: trusted_proxies[0]", "write 10.0.0.0/8"),
    ("routing: {patterns: [users]}\n", "FILE:1:22: routing.patterns[0]", "begin with a slash"),
    ("routing: {patterns: /users}\n", "FILE:1:21: routing.patterns", "expected a sequence"),
    ("routing: {patterns: [\"/*/x\"]}\n", "FILE:1:22: routing.patterns[0]", "as the last segment"),
    (
        "routes: [{path: /v1/, pool: a}]\n",
        "FILE:1:17: routes[0].path",
        "write /v1 for /v1 and all that is below it",
    ),
    ("routes: [{path: v1, pool: a}]\n", "FILE:1:17: routes[0].path", "begin with a slash"),
    ("routes: [{path: /a/../b, pool: a}]\n", "FILE:1:17: routes[0].path", "/../"),
    ("routes: [{host: \"a:80\", pool: a}]\n", "FILE:1:17: routes[0].host", "leave the port out"),
    ("routes: [{host: \"*\", pool: a}]\n", "FILE:1:17: routes[0].host", "leave host out"),
    ("routes: [{path: /}]\n", "FILE:1:10: routes[0]", "missing field `pool`"),
    (
        "routes: [{pool: a, timeouts: {body_idle: 1ms}}]\n",
        "FILE:1:42: routes[0].timeouts.body_idle",
        "from 10ms to 24h, or off",
    ),
    ("routes: [{pool: a, limits: {body_bytes: 1GB}}]\n", "FILE:1:41: routes[0].limits.body_bytes", "1GiB"),
    ("pools: {a: {routing: {openapi: api.json}}}\n", "FILE:1:32: pools.a.routing.openapi", "or off"),
    ("routing: {openapi: api.json}\n", "FILE:1:20: routing.openapi", "such as /openapi.json, or off"),
    ("routing: {openapi: false}\n", "FILE:1:20: routing.openapi", "or off"),
    ("listeners: [{address: localhost}]\n", "FILE:1:23: listeners[0].address", "127.0.0.1:8000"),
    ("listeners: [127.0.0.1:8000]\n", "FILE:1:13: listeners[0]", "expected a mapping, for example { address"),
    ("listeners: [{}]\n", "FILE:1:13: listeners[0]", "missing field `address`"),
    ("listeners: [{address: x:1, tls: on}]\n", "FILE:1:23: listeners[0].address", "127.0.0.1:8000"),
    (
        "listeners: [{address: \"[::]:1\", tls: on}]\n",
        "FILE:1:38: listeners[0].tls",
        "expected off, self_signed, or",
    ),
    (
        "listeners: [{address: \"[::]:1\", tls: {min_version: 1.1}}]\n",
        "FILE:1:52: listeners[0].tls.min_version: '1.1'",
        "write 1.2 or 1.3",
    ),
    (
        "listeners: [{address: \"[::]:1\", tls: {client_auth: maybe}}]\n",
        "FILE:1:52: listeners[0].tls.client_auth: 'maybe'",
        "off, optional and required",
    ),
    (
        "listeners: [{address: \"[::]:1\", tls: {certificates: [{chain: a.pem}]}}]\n",
        "FILE:1:54: listeners[0].tls.certificates[0]",
        "missing field `key`",
    ),
    (
        "listeners: [{address: \"[::]:1\", redirect: http}]\n",
        "FILE:1:43: listeners[0].redirect: 'http'",
        "write https, or https:8443",
    ),
    (
        "listeners: [{address: \"[::]:1\", redirect: \"https:0\"}]\n",
        "FILE:1:43: listeners[0].redirect",
        "or off",
    ),
    ("admin: false\n", "FILE:1:8: admin", "expected off, or a mapping"),
    ("admin: {address: 9900}\n", "FILE:1:18: admin.address", "no admin address"),
    ("threads: !x 3\n", "FILE:1:10: threads", "a tag (!x) has no meaning here"),
];

const WRONG_TOGETHER: &[Case] = &[
    ("listeners: []\n", "FILE:1:1: listeners", "no address to listen on"),
    (
        "listeners:\n  - {address: \"127.0.0.1:1\"}\n  - {address: \"127.0.0.1:1\"}\n",
        "FILE:1:1: listeners",
        "there twice",
    ),
    ("listeners: [{address: \"[::]:1\", tls: {}}]\n", "FILE:1:33: listeners[0].tls", "no certificate; write"),
    (
        "listeners: [{address: \"[::]:1\", tls: self_signed, redirect: https}]\n",
        "FILE:1:51: listeners[0].redirect",
        "remove one of redirect and tls",
    ),
    (
        "listeners: [{address: \"[::]:1\", http2: on, redirect: https}]\n",
        "FILE:1:44: listeners[0].redirect",
        "remove one of redirect and http2",
    ),
    (
        "listeners:\n- address: \"[::]:1\"\n  tls:\n    certificates: [{chain: a, key: b}]\n    client_auth: required\n",
        "FILE:5:5: listeners[0].tls.client_auth",
        "add client_ca: FILE",
    ),
    (
        "listeners:\n- address: \"[::]:1\"\n- address: \"[::]:2\"\n  tls:\n    certificates: [{chain: /no/a.pem, key: /no/b.key}]\npools: {a: {command: [\"true\"]}}\n",
        "FILE:5:21: listeners[1].tls.certificates[0].chain",
        "cannot read /no/a.pem",
    ),
    ("admin: {address: \"0.0.0.0:9900\"}\n", "FILE:1:9: admin.address", "other machines"),
    (
        "listeners: [{address: \"unix:/x\"}]\nadmin:\n  address: unix:/x\n",
        "FILE:3:3: admin.address",
        "where clients connect",
    ),
    (
        "pools:\n  a:\n    start:\n      backoff: 20s\n      max_backoff: 10s\n",
        "FILE:5:7: pools.a.start.max_backoff",
        "shorter than the first wait, backoff: 20s",
    ),
    ("pools:\n  a: {}\n  b: {}\n", "FILE: routes", "[{ path: /a, pool: a }, { path: /b, pool: b }]"),
    (
        "pools: {a: {}, b: {}}\nroutes: [{pool: a}]\n",
        "FILE:1:16: pools.b",
        "no route leads to it; add { path: /b, pool: b }",
    ),
    ("pools: {a: {}}\nroutes: [{path: /, pool: b}]\n", "FILE:2:20: routes[0].pool", "there is one, 'a'"),
    ("pools: {b: {}, a: {}}\nroutes: [{pool: c}]\n", "FILE:2:11: routes[0].pool", "there are b, a"),
    (
        "pools: {a: {}}\nroutes:\n  - {path: /x, pool: a}\n  - {path: /y, pool: a}\n  - {path: /x, pool: a}\n",
        "FILE:5:5: routes[2]: the same host and path as routes[0]",
        "keep one of them (the other one: FILE:3:5)",
    ),
    (
        "pools: {a: {}}\nroutes: [{host: A.example.com., path: /x, pool: a}, {host: a.example.com, path: /x, pool: a}]\n",
        "FILE:2:53: routes[1]: the same host and path as routes[0]",
        "keep one of them (the other one: FILE:2:10)",
    ),
    (
        "pools:\n  a: {command: [\"true\"]}\n  b: {command: [\"true\"], start: {backoff: 20s, max_backoff: 10s}}\n\
         routes: [{path: /a, pool: a}, {path: /b, pool: b}]\n",
        "FILE:3:48: pools.b.start.max_backoff",
        "shorter than the first wait",
    ),
    (
        "pools: {a: {command: [\"true\"]}, b: {command: [no-such-program]}}\nroutes: [{path: /a, pool: a}, {path: /b, pool: b}]\n",
        "FILE:1:37: pools.b.command",
        "is it installed",
    ),
    (
        "pools: {a: {command: [uvicorn, \"main:app\"], protocol: h2c}}\n",
        "FILE:1:45: pools.a.protocol: uvicorn does not speak h2c",
        "remove this setting, or run a server that does",
    ),
    ("pools: {a: {}}\n", "FILE: pools.a.command", "no command: say what to run after --"),
    ("pools: {a: {command: [no-such-program]}}\n", "FILE:1:13: pools.a.command", "is it installed"),
    (
        "pools: {a: {command: [uvicorn, \"m:a\", --port, \"80\"]}}\n",
        "FILE:1:13: pools.a.command",
        "remove it",
    ),
    (
        "pools: {a: {command: [\"true\"], directory: /nowhere}}\n",
        "FILE:1:32: pools.a.directory",
        "choose another folder",
    ),
];

const NOT_OURS: &[Case] = &[
    ("", "FILE:1:1", "no settings in it"),
    ("# only words\n", "FILE", "no settings in it"),
    ("~\n", "FILE:1:1", "no settings in it"),
    ("[]\n", "FILE:1:1", "expected a mapping of settings"),
    ("hello\n", "FILE:1:1", "expected a mapping of settings"),
    ("admin: off\n---\nadmin: off\n", "FILE", "more than one document"),
    ("pools:\n\ta: {}\n", "FILE:2:1", "indent by spaces, not tabs"),
    ("pools:\n  a:\n   workers: 1\n  command: [x\n", "FILE:", "while parsing a flow sequence"),
    ("admin: off: on\n", "FILE:1:11", "text with a colon"),
    ("admin: *nothing\n", "FILE:1:8", "unknown anchor"),
    ("admin: \"unfinished\n", "FILE:2:1", "while scanning a quoted scalar"),
    ("admin: off\0\n", "FILE", "NUL"),
];

#[test]
fn every_wrong_file_exits_64_with_place_key_and_remedy_in_one_line() {
    let tables = [WRONG_KEYS, WRONG_VALUES, WRONG_TOGETHER, NOT_OURS];
    for (text, place, words) in tables.iter().copied().flatten() {
        let said = wrong(text.as_bytes(), &[]);
        assert!(
            said.starts_with(place) && said.contains(words),
            "{text:?}\n  said: {said}\n  not: {place} … {words}"
        );
    }
}

#[test]
fn what_is_no_text_file_is_said_in_one_line() {
    assert_eq!(wrong(b"pools:\n  a: \xff\n", &[]), "FILE:2: not UTF-8; save the file as UTF-8");
    let utf16: Vec<u8> = "admin: off".encode_utf16().flat_map(u16::to_le_bytes).collect();
    assert!(wrong(&[b"\xff\xfe".as_slice(), &utf16].concat(), &[]).contains("not UTF-8"));
    assert!(wrong(&vec![b'#'; 300 * 1024], &[]).contains("is it the right file?"));
    let folder = tempfile::tempdir().expect("a writable temporary folder");
    let missing = folder.path().join("missing.yaml");
    for (path, words) in [(folder.path(), "Is a directory"), (&missing, "No such file")] {
        let output = check(path, &[], &[]);
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(64), "{said}");
        assert!(
            said.lines().count() == 1 && said.contains(words) && said.contains(&*path.to_string_lossy()),
            "{said}"
        );
    }
}

#[test]
fn a_file_made_to_hang_the_parser_is_refused_quickly() {
    let level =
        |name: char, below: char| format!("{name}: &{name} [*{below},*{below},*{below},*{below},*{below}]\n");
    let laughs: String = ('b'..='l').zip('a'..='k').map(|(name, below)| level(name, below)).collect();
    let blocks: String = (0..500).map(|depth| " ".repeat(depth) + "a:\n").collect();
    let bombs: &[(String, &str)] = &[
        (format!("a: &a [x,x,x,x,x]\n{laughs}"), "aliases"),
        ("a: ".to_owned() + &"[".repeat(100_000), "nested too deeply"),
        ("{a: [".repeat(20_000), "nested too deeply"),
        ("a: ".to_owned() + &"[".repeat(90) + &"]".repeat(90), "a: unknown key"),
        ("a:\n".to_owned() + &"- ".repeat(100_000), "recursion limit exceeded"),
        ("? ".repeat(100_000), "a key that is a plain word"),
        (blocks, "recursion limit exceeded"),
        (format!("threads: {}\n", "9".repeat(200_000)), "…"),
        ("&a ".repeat(50_000), "FILE"),
        (format!("a: \"{}\"\n", "\\x41".repeat(60_000)), "a: unknown key"),
    ];
    for (text, words) in bombs {
        let began = Instant::now();
        let said = wrong(text.as_bytes(), &[]);
        let start: String = text.chars().take(30).collect();
        assert!(said.contains(words), "{start:?}: {said}");
        assert!(began.elapsed() < Duration::from_secs(5), "{start:?} took {:?}", began.elapsed());
    }
}

#[test]
fn unusual_but_good_files_are_understood() {
    let texts = [
        "\u{feff}pools: {a: {command: [\"true\"]}}\n",
        "---\npools: {a: {command: [\"true\"]}}\n...\n",
        "%YAML 1.2\n---\npools: {a: {command: [\"true\"]}}\r\n",
        "{\"pools\": {\"a\": {\"command\": [\"true\"]}}}",
        "pools:\n  a:\n    command: &c [\"true\"]\n    queue:\n    freeze:\n      suspect_after:\n      probe:\n    workers: ~\n",
        "pools: {a: {command: [\"true\"], freeze: {suspect_after: \"250ms\"}}}\nroutes: [{path: /, pool: a}]\n",
    ];
    for text in texts {
        assert!(good(text, &[], &[]).contains("Every setting has its default"), "{text}");
    }
}

#[test]
fn flags_win_over_the_environment_over_the_file_over_the_defaults() {
    let text = "pools:\n  a:\n    command: [\"true\"]\n    queue: {limit: 1}\n    max_in_flight: 1\n";
    let row = |report: &str, key: &str| {
        let row = report.lines().find(|line| line.trim_start().starts_with(key)).unwrap_or_default();
        row.split_whitespace().collect::<Vec<_>>().join(" ")
    };
    let report = good(text, &[], &[]);
    assert_eq!(row(&report, "pools.a.queue.limit"), "pools.a.queue.limit 1 (default 1024) FILE:4:13");
    assert_eq!(row(&report, "pools.a.queue.timeout"), "");
    let variables = [("ANTIFREEZE_QUEUE_LIMIT", "2"), ("ANTIFREEZE_MAX_IN_FLIGHT", "2")];
    let report = good(text, &[], &variables);
    assert_eq!(
        row(&report, "pools.a.queue.limit"),
        "pools.a.queue.limit 2 (default 1024) ANTIFREEZE_QUEUE_LIMIT"
    );
    let report = good(text, &["--queue-limit", "3"], &variables);
    assert_eq!(row(&report, "pools.a.queue.limit"), "pools.a.queue.limit 3 (default 1024) --queue-limit");
    assert_eq!(
        row(&report, "pools.a.max_in_flight"),
        "pools.a.max_in_flight 2 (default auto) ANTIFREEZE_MAX_IN_FLIGHT"
    );
}

#[test]
fn the_command_line_replaces_the_command_and_lists_of_the_file_and_adds_to_its_variables() {
    let text = "listeners: [{address: \"127.0.0.1:1\"}]\ntrusted_proxies: [10.0.0.0/8]\n\
                pools: {a: {command: [\"true\"], workers: 1, environment: {A: 010, B: 1.10}}}\n";
    let report = good(text, &["--", "false", "x y"], &[]);
    assert!(report.contains("a.1               false 'x y'"), "{report}");
    let args =
        ["--listen", "127.0.0.1:2", "--trusted-proxy", "::1", "--env", "B", "--env", "C=3", "--workers", "2"];
    let report = good(text, &args, &[]);
    for words in ["listener    127.0.0.1:2\nadmin", "::1/128 ", "A=…, less B, C=…", "a.1 to a.2        true"]
    {
        assert!(report.contains(words), "{words}: {report}");
    }
    let report = good(text, &[], &[("ANTIFREEZE_WROKERS", "4"), ("ANTIFREEZE_THREADS", "2")]);
    assert!(
        report.contains("Not used: ANTIFREEZE_WROKERS in") && !report.contains("Not used: ANTIFREEZE_T"),
        "{report}"
    );
    let report = good(text, &[], &[("ANTIFREEZE_LISTEN", "127.0.0.1:3,unix:/x")]);
    assert!(report.contains("listener    127.0.0.1:3\nlistener    unix:/x\n"), "{report}");
}

#[test]
fn several_pools_each_have_their_own_settings_and_their_routes() {
    let text = "pools:\n  web: {command: [\"true\"], workers: 2}\n  api:\n    command: [\"false\"]\n    workers: 1\n\
                \x20   routing: {openapi: off}\n    queue: {limit: 7}\n\
                routing: {openapi: /docs.json, health: [/alive]}\n\
                routes:\n  - {pool: web}\n  - {host: \"*.Example.com\", path: /v1, pool: api, timeouts: {stream_idle: off}, limits: {body_bytes: 1MiB}}\n";
    let report = good(text, &[], &[]);
    for words in [
        "pool        web: 2 workers",
        "web.1 to web.2    true",
        "pool        api: 1 workers",
        "route       / to web\nroute       *.example.com/v1 to api, stream_idle off, body_bytes 1MiB\n",
    ] {
        assert!(report.contains(words), "{words}: {report}");
    }
    let rows: Vec<String> =
        report.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect();
    for row in [
        "pools.web.routing.openapi /docs.json (default /openapi.json) FILE:8:11",
        "pools.api.routing.openapi off (default /openapi.json) FILE:6:15",
        "pools.api.queue.limit 7 (default 1024) FILE:7:13",
    ] {
        assert!(rows.iter().any(|shown| shown == row), "{row}: {report}");
    }
    assert_eq!(report.matches("routing.health").count(), 2, "{report}");
    assert!(!report.contains("start.attempts"), "that none gives up is the default of several: {report}");
}

#[test]
fn what_a_file_says_of_routing_holds_for_every_pool_also_for_one_that_it_does_not_name() {
    let report = good("routing: {openapi: off}\n", &["--health-path", "/alive", "--", "true"], &[]);
    let rows: Vec<String> =
        report.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect();
    assert!(
        rows.iter().any(|row| row == "pools.web.routing.openapi off (default /openapi.json) FILE:1:11"),
        "{report}"
    );
    assert!(rows.iter().any(|row| row.starts_with("pools.web.routing.health /alive")), "{report}");
}

#[test]
fn flags_act_on_the_only_pool_and_are_refused_where_there_are_several() {
    let text = "pools: {a: {command: [\"true\"]}, b: {command: [\"true\"]}}\nroutes: [{path: /a, pool: a}, {path: /b, pool: b}]\n";
    for (args, place, key) in [
        (&["--workers", "4"][..], "--workers: ", "pools.a.workers"),
        (&["--openapi", "off"], "--openapi: ", "pools.a.routing.openapi"),
        (&["--", "false"], "COMMAND: ", "pools.a.command"),
    ] {
        let said = wrong(text.as_bytes(), args);
        assert!(
            said.starts_with(place) && said.contains("several pools (a, b)") && said.ends_with(key),
            "{said}"
        );
    }
    let (_folder, path) = file(text);
    let output = check(&path, &[], &[("ANTIFREEZE_GRACE", "1s")]);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("ANTIFREEZE_GRACE: there are several pools"), "{said}");
    good(text, &["--body-limit", "1KiB", "--listen", "127.0.0.1:0"], &[]);
}

#[test]
fn check_shows_how_a_worker_learns_its_address_and_starts_nothing() {
    let folder = tempfile::tempdir().expect("a writable temporary folder");
    let trace = folder.path().join("ran");
    let text =
        format!("pools: {{a: {{command: [sh, -c, \"touch {} {{port}}\"], workers: 2}}}}\n", trace.display());
    let report = good(&text, &[], &[]);
    assert!(report.contains("a.1 to a.2") && report.contains("{port} in the command"), "{report}");
    assert!(!trace.exists());
    let report = good("pools: {a: {command: [sh, \"{slot}\", \"{socket}\"], workers: 2}}\n", &[], &[]);
    assert!(
        report.contains("a.1               sh 1 {socket}\n  a.2               sh 2 {socket}\n"),
        "{report}"
    );
}

#[test]
fn a_wrong_value_in_the_environment_names_its_variable() {
    let (_folder, path) = file("admin: off\n");
    for (name, value, words) in [
        ("ANTIFREEZE_WORKERS", "", "ANTIFREEZE_WORKERS in the environment"),
        ("ANTIFREEZE_GRACE", "10", "ANTIFREEZE_GRACE in the environment"),
        ("ANTIFREEZE_ADMIN", "0.0.0.0:1", "ANTIFREEZE_ADMIN: admin address 0.0.0.0:1"),
    ] {
        let output = check(&path, &["--", "true"], &[(name, value)]);
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(64), "{said}");
        assert!(said.contains(words), "{name}={value}: {said}");
    }
}

#[test]
fn run_takes_its_command_and_variables_from_the_file() {
    let script = "import http.server as h, json, os\n\
                  class H(h.BaseHTTPRequestHandler):\n\
                  \x20   def do_GET(self):\n\
                  \x20       body = json.dumps({'cwd': os.getcwd(), 'A': os.environ.get('A'), 'HOME': os.environ.get('HOME')}).encode()\n\
                  \x20       self.send_response(200); self.send_header('Content-Length', str(len(body))); self.end_headers(); self.wfile.write(body)\n\
                  h.ThreadingHTTPServer(('127.0.0.1', int(os.environ['PORT'])), H).serve_forever()\n";
    let (folder, path) = file("");
    let app = folder.path().join("app.py");
    fs::write(&app, script).expect("it can be written");
    let text = format!(
        "pools:\n  app:\n    command: [python3, app.py]\n    directory: {}\n    workers: 1\n    environment: {{A: 010, HOME: }}\n",
        folder.path().display()
    );
    fs::write(&path, text).expect("it can be written");
    let mut program = Program::start(&["run", "--config", &path.to_string_lossy()]);
    program.wait_for_line("worker=\"app.1\"..now=\"serving\"");
    let answer = program.get("/");
    let told: serde_json::Value = serde_json::from_str(&answer.body).expect("JSON");
    let folder = fs::canonicalize(folder.path()).expect("it is there");
    assert_eq!(told, serde_json::json!({ "cwd": folder, "A": "010", "HOME": null }));
}

#[test]
fn a_socket_folder_that_cannot_be_made_is_one_clear_line() {
    let output = antifreeze(&[
        "run",
        "--listen",
        "127.0.0.1:0",
        "--runtime-directory",
        "/proc/none",
        "--",
        "sh",
        "-c",
        "exec true {socket}",
    ]);
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    let words = ["socket folder in \"/proc/none\"", "--runtime-directory"];
    assert!(said.lines().count() == 1 && words.iter().all(|words| said.contains(words)), "{said}");
}
