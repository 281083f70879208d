//! What `routes` means: which pool serves what, and with which limits.

use super::origins::{Fault, Key};
use super::pool::Pool;
use super::raw;
use super::settings::choose;
use super::word::Text;
use proxy::{Host, Limits, Prefix, Site, Timeouts};
use std::collections::HashMap;

/// The sites of these routes; what a route does not say is as `timeouts` and `limits` have it for all.
///
/// # Errors
/// A pool that does not exist, one that no route leads to, or two routes for the same.
pub(crate) fn sites(
    routes: &[raw::Route],
    pools: &[Pool],
    timeouts: Timeouts,
    limits: &Limits,
) -> Result<Vec<Site>, Fault> {
    if routes.is_empty() {
        return match pools {
            [_] => Ok(vec![Site::everything(timeouts, limits)]),
            _ => Err(Fault::new(Key::of_program("routes"), without_routes(pools))),
        };
    }
    let sites: Vec<Site> = (0..)
        .zip(routes)
        .map(|(place, route)| site(place, route, pools, timeouts, limits))
        .collect::<Result<_, _>>()?;
    let mut seen: HashMap<(Option<&Host>, &Prefix), usize> = HashMap::new();
    for (place, site) in sites.iter().enumerate() {
        if let Some(earlier) = seen.insert((site.host.as_ref(), &site.path), place) {
            let words = format!("the same host and path as routes[{earlier}]; keep one of them");
            return Err(Fault::beside(key(place, ""), words, key(earlier, "")));
        }
    }
    let is_idle = |app: &usize| sites.iter().all(|site| site.app != *app);
    match (0..pools.len()).find(is_idle).map(|app| &pools[app].name) {
        None => Ok(sites),
        Some(name) => {
            let words = format!(
                "no route leads to it; add {{ path: /{name}, pool: {name} }} to routes, or remove the pool"
            );
            Err(Fault::new(Key::of_program(&format!("pools.{name}")), words))
        }
    }
}

fn site(
    place: usize,
    route: &raw::Route,
    pools: &[Pool],
    mut timeouts: Timeouts,
    limits: &Limits,
) -> Result<Site, Fault> {
    let Text(name) = &route.pool;
    let Some(app) = pools.iter().position(|pool| pool.name == *name) else {
        let names: Vec<&str> = pools.iter().map(|pool| &*pool.name).collect();
        let words = match &*names {
            [only] => format!("'{name}' is not the name of a pool; there is one, '{only}'"),
            names => format!("'{name}' is not the name of a pool; there are {}", names.join(", ")),
        };
        return Err(Fault::new(key(place, ".pool"), words));
    };
    let own = &route.timeouts;
    choose(&mut timeouts.body_idle, own.body_idle.map(|limit| limit.map(|time| time.0)));
    choose(&mut timeouts.response_start, own.response_start.map(|limit| limit.map(|time| time.0)));
    choose(&mut timeouts.stream_idle, own.stream_idle.map(|limit| limit.map(|time| time.0)));
    choose(&mut timeouts.tunnel_idle, own.tunnel_idle.map(|limit| limit.map(|time| time.0)));
    let mut body_bytes = limits.body_bytes;
    choose(&mut body_bytes, route.limits.body_bytes.map(|limit| limit.map(|size| size.0)));
    Ok(Site {
        host: route.host.as_ref().map(|host| host.0.clone()),
        path: route.path.as_ref().map(|path| path.0.clone()).unwrap_or_default(),
        app,
        timeouts,
        body_bytes,
    })
}

fn key(place: usize, rest: &str) -> Key {
    Key::of_program(&format!("routes[{place}]{rest}"))
}

fn without_routes(pools: &[Pool]) -> String {
    let examples = pools.iter().map(|pool| format!("{{ path: /{0}, pool: {0} }}", pool.name));
    format!(
        "there are several pools, and nothing says which requests go to which; write routes: [{}]",
        examples.collect::<Vec<_>>().join(", ")
    )
}
