//! What workers find in their environment.

use crate::{Address, Environment};
use std::ffi::{OsStr, OsString};

/// The variables of a worker: the user's, less what is ours or misleads, plus what a single worker needs.
pub(crate) fn of_worker(
    inherited: impl Iterator<Item = (OsString, OsString)>,
    chosen: &Environment,
    address: &Address,
    port: Option<u16>,
    alone: &str,
) -> Vec<(OsString, OsString)> {
    let mut variables: Vec<_> = inherited.filter(|(name, _)| !is_ours(name)).collect();
    // The count of workers of the whole service: a single worker that read it would start as many children.
    set(&mut variables, "WEB_CONCURRENCY", alone);
    // Lets SIGABRT print the stack of a stuck Python program.
    set_default(&mut variables, "PYTHONFAULTHANDLER", "1");
    match address {
        // Over a unix socket uvicorn sees no client address to trust; only we can reach the socket.
        Address::Unix(_) => set_default(&mut variables, "FORWARDED_ALLOW_IPS", "*"),
        Address::Tcp(_) => {}
    }
    if let Some(port) = port {
        set(&mut variables, "PORT", &port.to_string());
    }
    for (name, value) in chosen {
        match value {
            Some(value) => set(&mut variables, name, value),
            None => variables.retain(|(known, _)| known != OsStr::new(name)),
        }
    }
    variables
}

/// Ours (`ANTIFREEZE_*`), or addressed to this process alone: a service manager's readiness socket, watchdog and
/// passed sockets (sd_notify(3), sd_listen_fds(3)).
fn is_ours(name: &OsStr) -> bool {
    let name = name.to_string_lossy();
    name.starts_with("ANTIFREEZE_")
        || matches!(
            &*name,
            "NOTIFY_SOCKET"
                | "WATCHDOG_PID"
                | "WATCHDOG_USEC"
                | "LISTEN_FDS"
                | "LISTEN_PID"
                | "LISTEN_FDNAMES"
        )
}

fn set(variables: &mut Vec<(OsString, OsString)>, name: &str, value: &str) {
    variables.retain(|(known, _)| known != OsStr::new(name));
    variables.push((name.into(), value.into()));
}

fn set_default(variables: &mut Vec<(OsString, OsString)>, name: &str, value: &str) {
    if !variables.iter().any(|(known, _)| known == OsStr::new(name)) {
        variables.push((name.into(), value.into()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::PathBuf;

    fn environment(inherited: &[(&str, &str)], chosen: &[(&str, Option<&str>)]) -> Vec<String> {
        let inherited = inherited.iter().map(|(name, value)| (OsString::from(name), OsString::from(value)));
        let chosen =
            chosen.iter().map(|(name, value)| ((*name).to_owned(), value.map(str::to_owned))).collect();
        let mut all: Vec<String> =
            of_worker(inherited, &chosen, &Address::Unix(PathBuf::from("/s")), None, "1")
                .into_iter()
                .map(|(name, value)| format!("{}={}", name.to_string_lossy(), value.to_string_lossy()))
                .collect();
        all.sort();
        all
    }

    #[test]
    fn workers_get_the_users_variables_less_ours_plus_what_a_single_worker_needs() {
        let user =
            [("PATH", "/bin"), ("WEB_CONCURRENCY", "8"), ("ANTIFREEZE_LISTEN", "x"), ("NOTIFY_SOCKET", "y")];
        let expected = ["FORWARDED_ALLOW_IPS=*", "PATH=/bin", "PYTHONFAULTHANDLER=1", "WEB_CONCURRENCY=1"];
        assert_eq!(environment(&user, &[]), expected);
    }

    #[test]
    fn what_the_operator_chose_wins_over_everything() {
        let user = [("A", "1"), ("PYTHONFAULTHANDLER", "0")];
        let chosen = [("WEB_CONCURRENCY", Some("2")), ("A", None), ("FORWARDED_ALLOW_IPS", Some("10.0.0.1"))];
        let expected = ["FORWARDED_ALLOW_IPS=10.0.0.1", "PYTHONFAULTHANDLER=0", "WEB_CONCURRENCY=2"];
        assert_eq!(environment(&user, &chosen), expected);
    }
}
