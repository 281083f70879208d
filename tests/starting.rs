//! What cannot start says so in one clear line.

use crate::support::{Program, antifreeze};

#[test]
fn bad_usage_exits_64_with_the_remedy() {
    let table: &[(&[&str], &str)] = &[
        (&[], "Usage"),
        (&["frobnicate"], "frobnicate"),
        (&["run"], "COMMAND"),
        (&["run", "--"], "COMMAND"),
        (&["run", "--workers", "0", "--", "true"], "--workers"),
        (&["run", "--workers", "-1", "--", "true"], "-1"),
        (&["run", "--workers", "many", "--", "true"], "many"),
        (&["run", "--workers", "70000", "--", "true"], "70000"),
        (&["run", "--listen", "nowhere", "--", "true"], "127.0.0.1:8000"),
        (&["run", "--listen", "127.0.0.1", "--", "true"], "not an address"),
        (&["run", "--listen", "127.0.0.1:99999", "--", "true"], "not an address"),
        (&["run", "--listen", "unix:", "--", "true"], "not an address"),
        (&["run", "--admin", "9900", "--", "true"], "no admin address"),
        (&["run", "--listen", "127.0.0.1:0", "--admin", "0.0.0.0:0", "--", "true"], "other machines"),
        (&["run", "--threads", "0", "--", "true"], "--threads"),
        (&["run", "--max-in-flight", "0", "--", "true"], "--max-in-flight"),
        (&["run", "--restart-after", "10", "--", "true"], "250ms"),
        (&["run", "--wrokers", "4", "--", "true"], "--workers"),
        (&["run", "--suspect-after", "2h", "--", "true"], "from 10ms to 1h"),
        (&["run", "--queue-timeout", "0s", "--", "true"], "from 1ms to 1h"),
        (&["run", "--backoff", "0s", "--", "true"], "from 10ms to 1h"),
        (&["run", "--backoff", "2m", "--max-backoff", "1m", "--", "true"], "--max-backoff: 1m is shorter"),
        (&["run", "--header-timeout", "0s", "--", "true"], "or off"),
        (&["run", "--header-limit", "4KiB", "--", "true"], "from 8KiB to 1MiB"),
        (&["run", "--header-limit", "65536", "--", "true"], "64KiB"),
        (&["run", "--body-limit", "none", "--", "true"], "or off"),
        (&["run", "--connection-limit", "0", "--", "true"], "from 1 to 1000000"),
        (&["run", "--probe", "GET /\r\nX: y", "--", "true"], "OPTIONS *"),
        (&["run", "--trusted-proxy", "10.0.0.0/99", "--", "true"], "10.0.0.0/8"),
        (&["run", "--env", "=x", "--", "true"], "NAME"),
        (&["run", "--listen", "127.0.0.1:1", "--listen", "127.0.0.1:1", "--", "true"], "twice"),
        (
            &["run", "--listen", "127.0.0.1:1", "--admin", "127.0.0.1:1", "--", "true"],
            "where clients connect",
        ),
        (&["run", "--directory", "/nowhere", "--", "true"], "--directory: cannot run workers"),
        (&["run", "--config", "/nowhere.yaml", "--", "true"], "/nowhere.yaml: cannot read"),
        (&["check"], "COMMAND"),
        (&["check", "--", "no-such-program-here"], "no-such-program-here"),
        (&["run", "--listen", "127.0.0.1:0", "--", "no-such-program-here"], "no-such-program-here"),
        (&["run", "--listen", "127.0.0.1:0", "--", "/etc/passwd"], "/etc/passwd"),
        (&["run", "--listen", "127.0.0.1:0", "--", "uvicorn", "main:app", "--port", "80"], "remove it"),
        (&["run", "--listen", "127.0.0.1:0", "--", "uvicorn", "main:app", "--uds=/tmp/x"], "remove it"),
        (&["run", "--listen", "127.0.0.1:0", "--", "uvicorn", "main:app", "--workers", "4"], "--workers N"),
        (&["run", "--listen", "127.0.0.1:0", "--", "gunicorn", "-w", "4", "app"], "--workers N"),
        (&["run", "--listen", "127.0.0.1:0", "--", "gunicorn", "-b", "0.0.0.0:80", "app"], "remove it"),
        (&["run", "--listen", "127.0.0.1:0", "--", "sh", "-c", "{port} {socket}"], "one address"),
        (&["run", "--listen", "127.0.0.1:0", "--", ""], "no command"),
        (&["check", "--protocol", "h2c", "--", "gunicorn", "app"], "--protocol: gunicorn does not speak h2c"),
        (&["check", "--protocol", "h3", "--", "true"], "neither http1 nor h2c"),
    ];
    for (args, words) in table {
        let output = antifreeze(args);
        let text = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(64), "{args:?}: {text}");
        assert!(text.contains(words), "{args:?}: {text}");
    }
}

#[test]
fn a_port_in_use_is_one_clear_line_also_between_two_of_us() {
    let first = Program::start(&["demo", "--workers", "1"]);
    let output = antifreeze(&["demo", "--listen", &first.address]);
    let text = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1));
    assert!(text.lines().count() == 1 && text.contains("in use") && text.contains(&first.address), "{text}");
    let output = antifreeze(&["demo", "--listen", "127.0.0.1:0", "--admin", &first.admin]);
    let text = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1));
    assert!(text.lines().count() == 1 && text.contains("in use") && text.contains(&first.admin), "{text}");
}

#[test]
fn workers_that_cannot_boot_end_the_program_with_their_last_words() {
    let output = antifreeze(&[
        "run",
        "--listen",
        "127.0.0.1:0",
        "--workers",
        "2",
        "--",
        "sh",
        "-c",
        "echo no module; exit 3",
    ]);
    let text = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{text}");
    let last = text.lines().last().unwrap_or_default();
    assert!(last.contains("no worker became ready") && last.contains("no module"), "{text}");
    assert_eq!(text.matches("cannot boot the app").count(), 6, "two workers, three attempts each: {text}");
}
