//! What to try with the built-in workers.

use logs::START;
use proxy::{Endpoint, Listener, Role};
use tls::Terminator;

/// Says it with the real address, once it answers.
pub(crate) fn say_what_to_try(listeners: &[Listener<Terminator>]) {
    let serves = |listener: &&Listener<_>| !matches!(listener.role, Role::Redirect(_));
    let Some(Listener { endpoint, role, .. }) = listeners.iter().find(serves) else { return };
    let (options, scheme) = if matches!(role, Role::Https(_)) { (" -k", "https") } else { ("", "http") };
    let curl = match endpoint {
        Endpoint::Tcp(address) => format!("curl{options} '{scheme}://{address}"),
        Endpoint::Unix(path) => {
            format!("curl{options} --unix-socket {} '{scheme}://localhost", path.display())
        }
    };
    for (path, what) in TRIALS {
        let command = format!("{curl}{path}'");
        tracing::info!(target: START, "try: {command:<58} {what}");
    }
}

/// What each built-in path is for, in the words of whoever sees it happen.
const TRIALS: [(&str, &str); 5] = [
    ("/", "the worker with the fewest outstanding requests answers, and lists its paths"),
    ("/slow?ms=5000", "only waits: nothing is wrong with its worker, and this log stays quiet"),
    ("/freeze?ms=5000", "blocks its worker: out of rotation in half a second, back with its answer"),
    ("/crash", "its worker dies: a 502 for this request alone, and a new worker"),
    ("/stream?n=10&ms=500", "ten server-sent events, each passed on as it comes"),
];
