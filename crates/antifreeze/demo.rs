//! What to try with the built-in workers.

use logs::START;
use proxy::Endpoint;

/// Says it with the real address, once it answers.
pub(crate) fn say_what_to_try(endpoints: &[Endpoint]) {
    let Some(endpoint) = endpoints.first() else { return };
    let curl = match endpoint {
        Endpoint::Tcp(address) => format!("curl 'http://{address}"),
        Endpoint::Unix(path) => format!("curl --unix-socket {} 'http://localhost", path.display()),
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
