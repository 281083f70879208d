//! The servers we know: how each is told its address, and what must not stand in its command.

use std::path::Path;
use std::time::Duration;

/// What we know of one server program (see its own `--help`).
#[derive(Debug)]
pub(crate) struct Server {
    /// The program's name.
    pub(crate) name: &'static str,
    /// The arguments that bind it to a unix socket; `{socket}` is filled in.
    pub(crate) address: &'static [&'static str],
    /// Its own flags for an address, which would contradict ours.
    pub(crate) address_flags: &'static [&'static str],
    /// Its own flags for more processes, which would hide a frozen one from us.
    pub(crate) worker_flags: &'static [&'static str],
    /// How long an idle connection may be kept, safely below its own limit.
    pub(crate) keep_alive: Duration,
    /// Whether it speaks HTTP/2 without TLS.
    pub(crate) h2c: bool,
    /// The `WEB_CONCURRENCY` by which it forks no worker of its own.
    pub(crate) alone: &'static str,
}

/// For most servers that read `WEB_CONCURRENCY`, and for those we do not know.
pub(crate) const DEFAULT_ALONE: &str = "1";

/// For a server we do not know: below the shortest limit in common use, gunicorn's 2 s.
pub(crate) const DEFAULT_KEEP_ALIVE: Duration = Duration::from_millis(1500);

const SERVERS: &[Server] = &[
    Server {
        name: "uvicorn",
        address: &["--uds", "{socket}"],
        address_flags: &["--host", "--port", "--uds", "--fd"],
        worker_flags: &["--workers"],
        keep_alive: Duration::from_secs(4),
        h2c: false,
        alone: DEFAULT_ALONE,
    },
    Server {
        name: "gunicorn",
        address: &["-b", "unix:{socket}"],
        address_flags: &["-b", "--bind"],
        worker_flags: &["-w", "--workers"],
        keep_alive: DEFAULT_KEEP_ALIVE,
        h2c: false,
        alone: DEFAULT_ALONE,
    },
    Server {
        name: "hypercorn",
        address: &["-b", "unix:{socket}"],
        address_flags: &["-b", "--bind", "--insecure-bind"],
        worker_flags: &["-w", "--workers"],
        keep_alive: Duration::from_secs(4),
        h2c: true,
        alone: DEFAULT_ALONE,
    },
    Server {
        name: "granian",
        address: &["--uds", "{socket}"],
        address_flags: &["--host", "--port", "--uds"],
        worker_flags: &["--workers"],
        keep_alive: Duration::from_secs(4),
        h2c: true,
        alone: DEFAULT_ALONE,
    },
    Server {
        name: "daphne",
        address: &["-u", "{socket}"],
        address_flags: &["-b", "--bind", "-p", "--port", "-u", "--unix-socket", "--fd", "-e", "--endpoint"],
        worker_flags: &[],
        keep_alive: Duration::from_secs(4),
        h2c: false,
        alone: DEFAULT_ALONE,
    },
    Server {
        name: "waitress-serve",
        address: &["--unix-socket={socket}"],
        address_flags: &["--listen", "--host", "--port", "--unix-socket"],
        worker_flags: &[],
        keep_alive: Duration::from_secs(60),
        h2c: false,
        alone: DEFAULT_ALONE,
    },
    Server {
        name: "puma",
        address: &["-b", "unix://{socket}"],
        address_flags: &["-b", "--bind", "-p", "--port"],
        worker_flags: &["-w", "--workers"],
        keep_alive: Duration::from_secs(30),
        h2c: false,
        // With 1 a master forks one worker: twice the memory.
        alone: "0",
    },
    Server {
        name: "unicorn",
        address: &["-l", "{socket}"],
        address_flags: &["-l", "--listen", "-p", "--port", "-o", "--host"],
        worker_flags: &[],
        keep_alive: DEFAULT_KEEP_ALIVE,
        h2c: false,
        alone: DEFAULT_ALONE,
    },
    Server {
        name: "pitchfork",
        address: &["-l", "{socket}"],
        address_flags: &["-l", "--listen", "-p", "--port", "-o", "--host"],
        worker_flags: &[],
        keep_alive: DEFAULT_KEEP_ALIVE,
        h2c: false,
        alone: DEFAULT_ALONE,
    },
    Server {
        name: "uwsgi",
        address: &["--http-socket", "{socket}"],
        address_flags: &["--http-socket", "--http", "--socket", "-s"],
        worker_flags: &["--processes", "--workers", "-p"],
        keep_alive: DEFAULT_KEEP_ALIVE,
        h2c: false,
        alone: DEFAULT_ALONE,
    },
];

/// What may stand before the server's name without being it: `poetry run uvicorn`, `python -m uvicorn`.
const WRAPPERS: &[&str] = &[
    "run",
    "exec",
    "-m",
    "poetry",
    "pdm",
    "uv",
    "uvx",
    "hatch",
    "pipenv",
    "rye",
    "bundle",
    "env",
    "nice",
    "tini",
    "--",
    "dumb-init",
    "ddtrace-run",
    "opentelemetry-instrument",
    "newrelic-admin",
    "run-program",
    "sentry",
];

impl Server {
    /// The server that this command starts, and the position of its name.
    pub(crate) fn recognise(command: &[String]) -> Option<(&'static Self, usize)> {
        for (position, word) in command.iter().enumerate() {
            let name = Path::new(word).file_name().and_then(|name| name.to_str()).unwrap_or(word);
            if let Some(server) = SERVERS.iter().find(|server| server.name == name) {
                return Some((server, position));
            }
            let wraps = WRAPPERS.contains(&name) || is_python(name) || word.contains('=');
            if !wraps {
                return None;
            }
        }
        None
    }
}

fn is_python(name: &str) -> bool {
    name.strip_prefix("python").or_else(|| name.strip_prefix("pypy")).is_some_and(|version| {
        version.chars().all(|character| character.is_ascii_digit() || character == '.')
    })
}

/// The first of `flags` that stands in `arguments`: `--port 80`, `--port=80`, `-p80`.
pub(crate) fn find_flag<'a>(arguments: &'a [String], flags: &[&str]) -> Option<(usize, &'a str)> {
    arguments.iter().enumerate().find_map(|(position, argument)| {
        let is = |flag: &&&str| {
            let rest = argument.strip_prefix(**flag);
            let long = flag.starts_with("--");
            rest.is_some_and(|rest| rest.is_empty() || if long { rest.starts_with('=') } else { true })
        };
        flags.iter().find(is).map(|_| (position, argument.as_str()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(command: &str) -> Vec<String> {
        command.split_whitespace().map(str::to_owned).collect()
    }

    #[test]
    fn servers_are_recognised_behind_their_usual_wrappers() {
        let table = [
            ("uvicorn main:app", Some("uvicorn")),
            ("/venv/bin/gunicorn app", Some("gunicorn")),
            ("python -m uvicorn main:app", Some("uvicorn")),
            ("python3.11 -m hypercorn app", Some("hypercorn")),
            ("poetry run granian app", Some("granian")),
            ("env A=/b/c uv run uvicorn main:app", Some("uvicorn")),
            ("bundle exec puma", Some("puma")),
            ("node server.js", None),
            ("python app.py uvicorn", None),
            ("sh -c uvicorn", None),
        ];
        for (command, server) in table {
            let found = Server::recognise(&words(command)).map(|(server, _)| server.name);
            assert_eq!(found, server, "{command}");
        }
    }

    #[test]
    fn a_flag_is_found_in_each_of_its_spellings_and_not_in_longer_ones() {
        let found = |command: &str| find_flag(&words(command), &["--port", "-p"]).map(|(at, _)| at);
        assert_eq!(found("a --port 80"), Some(1));
        assert_eq!(found("a b --port=80"), Some(2));
        assert_eq!(found("a -p80"), Some(1));
        assert_eq!(found("a --portal x"), None);
        assert_eq!(found("a b"), None);
    }
}
