//! What a pool's workers are: the command, its surroundings, and the policy's knobs.

use http::Method;
use http::uri::PathAndQuery;
use logs::Log;
use policy::{PoolConfig, RouteId};
use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

/// Everything that describes one pool.
#[derive(Clone, Debug)]
pub struct PoolOptions {
    /// The pool's name: `web` in `web.3 | ...`.
    pub name: String,
    /// The program and its arguments, as typed.
    pub command: Vec<String>,
    /// Where workers run; the program's own working directory if absent.
    pub directory: Option<PathBuf>,
    /// Variables added to, or (with `None`) taken from what workers get.
    pub environment: Environment,
    /// Selection, queue, freeze detection, restarts.
    pub policy: PoolConfig,
    /// What its workers speak.
    pub protocol: Protocol,
    /// The request line's method and target of readiness and liveness probes, `OPTIONS *` by default.
    pub probe: Probe,
    /// What routes are called, for the log.
    pub route_names: RouteNames,
    /// The parent of the pool's private socket folder.
    pub runtime_directory: PathBuf,
    /// How long an idle connection to a worker is kept; `None` for the default of the server that was recognised.
    pub keep_alive: Option<Duration>,
    /// The command of the sentinel: a process that outlives ours just long enough to kill the workers of a
    /// supervisor that died by SIGKILL. It is started with its standard input on a pipe. `None`: no sentinel.
    pub sentinel: Option<Vec<String>>,
    /// Takes what workers print. A worker never waits for it: what finds no room is dropped and counted
    /// ([`PoolStatus::lines_dropped`](crate::PoolStatus)).
    pub log: Log,
}

/// What the workers of a pool are spoken to in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Protocol {
    /// HTTP/1.1.
    #[default]
    Http1,
    /// HTTP/2 without TLS, by prior knowledge (RFC 9113 section 3.3).
    H2c,
}

/// Tells what a route is called: `GET /users/{id}`.
#[derive(Clone)]
pub struct RouteNames(pub Arc<dyn Fn(RouteId) -> String + Send + Sync>);

impl RouteNames {
    pub(crate) fn name(&self, route: RouteId) -> String {
        (self.0)(route)
    }
}

impl Default for RouteNames {
    fn default() -> Self {
        Self(Arc::new(|RouteId(number)| format!("route {number}")))
    }
}

impl fmt::Debug for RouteNames {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RouteNames")
    }
}

/// Variables by name: set to a value, or (`None`) removed.
pub type Environment = BTreeMap<String, Option<String>>;

/// A request that any HTTP server answers from its event loop: `OPTIONS *` unless the operator chose another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Probe {
    pub(crate) method: Method,
    pub(crate) target: PathAndQuery,
}

impl Default for Probe {
    fn default() -> Self {
        Self { method: Method::OPTIONS, target: PathAndQuery::from_static("*") }
    }
}

/// As the request line begins: `OPTIONS *`.
impl fmt::Display for Probe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.method, self.target)
    }
}

/// Text that is no probe.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is not a probe; write a method and a target with one space between: OPTIONS *, or GET /health"
)]
pub struct ProbeError(String);

impl FromStr for Probe {
    type Err = ProbeError;

    fn from_str(text: &str) -> Result<Self, ProbeError> {
        let wrong = || ProbeError(text.to_owned());
        let (method, target) = text.split_once(' ').ok_or_else(wrong)?;
        // `*` is for OPTIONS alone (RFC 9112 section 3.2.4), CONNECT and TRACE are no questions to a worker.
        let known = matches!(method, "GET" | "HEAD" | "OPTIONS" | "POST");
        let fits = match target {
            "*" => method == "OPTIONS",
            path => path.starts_with('/') && path.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'#'),
        };
        match (method.parse(), target.parse()) {
            (Ok(method), Ok(target)) if known && fits => Ok(Self { method, target }),
            _ => Err(wrong()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_probe_reads_as_it_is_written() {
        assert_eq!(Probe::default().to_string(), "OPTIONS *");
        for text in ["OPTIONS *", "GET /health?deep=1", "HEAD /"] {
            assert_eq!(text.parse::<Probe>().map(|probe| probe.to_string()), Ok(text.to_owned()));
        }
    }

    #[test]
    fn what_would_break_the_request_line_is_no_probe() {
        for text in [
            "",
            "GET",
            "/health",
            "GET *",
            "get /",
            "GET  /",
            "GET / HTTP/1.1",
            "GET /\r\nX: 1",
            "GET http://x/",
            "GET /\u{e9}",
            "CONNECT x:1",
            "GET /#x",
            "GET /<x>",
        ] {
            assert!(text.parse::<Probe>().is_err(), "{text:?}");
        }
    }
}
