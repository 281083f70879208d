//! What the configuration means: every setting has a value, and the values agree with one another.

use super::listeners;
use super::raw::{self, File, Flags};
use super::word::{Auto, Number, Text};
use crate::units::{show_duration, show_size};
use console::Admin;
use ipnet::IpNet;
use logs::{Log, LogOptions};
use policy::{Isolation, PoolConfig};
use proxy::{Disclosure, Endpoint, Limits, Listener, RescueScope, Role, Routing, Timeouts};
use std::num::NonZeroU16;
use std::path::PathBuf;
use std::time::Duration;
use supervisor::{Environment, PoolOptions, Probe};

/// The whole configuration.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Settings {
    /// Where clients connect.
    pub(crate) listeners: Vec<Listener<tls::Options>>,
    /// Where the admin API listens.
    pub(crate) admin: Admin,
    /// Data-plane threads.
    pub(crate) threads: NonZeroU16,
    /// Proxies whose forwarding headers are believed.
    pub(crate) trusted_proxies: Vec<IpNet>,
    /// The workers.
    pub(crate) pool: Pool,
    /// Which requests are expected to behave alike.
    pub(crate) routing: Routing,
    /// When the proxy stops waiting.
    pub(crate) timeouts: Timeouts,
    /// What the proxy refuses to read.
    pub(crate) limits: Limits,
    /// What the program prints.
    pub(crate) log: LogOptions,
    /// What answers say of their way.
    pub(crate) disclosure: Disclosure,
}

/// One pool of workers.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Pool {
    pub(crate) name: String,
    pub(crate) command: Vec<String>,
    pub(crate) directory: Option<PathBuf>,
    pub(crate) environment: Environment,
    pub(crate) policy: PoolConfig,
    pub(crate) probe: Probe,
    /// `None`: what the server that is recognised in the command allows.
    pub(crate) keep_alive: Option<Duration>,
    pub(crate) runtime_directory: PathBuf,
    /// Which requests may be sent to a second worker.
    pub(crate) rescue: RescueScope,
}

/// Something that is wrong with a combination of settings, and the key to blame.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Fault {
    /// A flag's id, or the path of a key that has no flag.
    pub(crate) key: String,
    pub(crate) words: String,
}

impl Settings {
    /// What holds if nothing is said, on a machine with so many processors.
    pub(crate) fn defaults(processors: NonZeroU16) -> Self {
        Self {
            listeners: vec![Listener {
                endpoint: Endpoint::Tcp(([127, 0, 0, 1], 8000).into()),
                role: Role::Http,
            }],
            admin: Admin::At(console::AdminAddress::Tcp(([127, 0, 0, 1], 9900).into())),
            threads: processors,
            trusted_proxies: Vec::new(),
            pool: Pool {
                name: super::DEFAULT_POOL.to_owned(),
                command: Vec::new(),
                directory: None,
                environment: Environment::new(),
                policy: PoolConfig::new(processors),
                probe: Probe::default(),
                keep_alive: None,
                runtime_directory: std::env::temp_dir(),
                rescue: RescueScope::default(),
            },
            routing: Routing::default(),
            timeouts: Timeouts::default(),
            limits: Limits::default(),
            log: LogOptions::default(),
            disclosure: Disclosure::default(),
        }
    }

    /// Flags (and the environment) over the file over the defaults.
    ///
    /// # Errors
    /// The first combination that cannot work.
    pub(crate) fn new(flags: &Flags, file: &File, processors: NonZeroU16) -> Result<Self, Fault> {
        let mut settings = Self::defaults(processors);
        settings.take_file(file, processors)?;
        settings.take_flags(flags, processors);
        settings.listeners = listeners::resolve(flags, file, settings.listeners)?;
        settings.agree()?;
        Ok(settings)
    }

    fn take_file(&mut self, file: &File, processors: NonZeroU16) -> Result<(), Fault> {
        choose(&mut self.admin, file.admin.as_ref().map(|section| section.0.clone()));
        choose(&mut self.threads, file.threads.map(|threads| or_processors(threads, processors)));
        choose(&mut self.trusted_proxies, file.trusted_proxies.as_ref().map(|all| networks(all)));
        let mut pools = file.pools.iter();
        if let Some((name, pool)) = pools.next() {
            self.pool.name.clone_from(&name.0);
            self.pool.take(pool, processors);
        }
        if let Some((name, _)) = pools.next() {
            let words = "a second pool; this version runs one pool: keep one of them";
            return Err(Fault { key: format!("pools.{}", name.0), words: words.to_owned() });
        }
        take_routing(&mut self.routing, &file.routing);
        take_timeouts(&mut self.timeouts, &file.timeouts);
        take_limits(&mut self.limits, &file.limits);
        take_log(&mut self.log, &file.log);
        choose(&mut self.disclosure, file.log.response_header.map(|what| what.0));
        self.check_routes(&file.routes)
    }

    fn take_flags(&mut self, flags: &Flags, processors: NonZeroU16) {
        choose(&mut self.admin, flags.admin.clone());
        choose(&mut self.threads, flags.threads.map(|threads| or_processors(threads, processors)));
        if !flags.trusted_proxies.is_empty() {
            self.trusted_proxies = networks(&flags.trusted_proxies);
        }
        self.pool.take(&flags.pool, processors);
        take_routing(&mut self.routing, &flags.routing);
        take_timeouts(&mut self.timeouts, &flags.timeouts);
        take_limits(&mut self.limits, &flags.limits);
        take_log(&mut self.log, &flags.log);
        choose(&mut self.disclosure, flags.log.response_header.map(|what| what.0));
    }

    fn check_routes(&self, routes: &[raw::Route]) -> Result<(), Fault> {
        for (number, route) in routes.iter().enumerate() {
            let fault =
                |key: &str, words: String| Err(Fault { key: format!("routes[{number}]{key}"), words });
            if number > 0 {
                let words = "a second route; this version sends every path to its one pool: keep the first";
                return fault("", words.to_owned());
            }
            let Text(path) = &route.path;
            if path != "/" {
                return fault(
                    ".path",
                    format!("'{path}'; this version sends every path to its one pool: write /"),
                );
            }
            let Text(pool) = &route.pool;
            if *pool != self.pool.name {
                let name = &self.pool.name;
                return fault(".pool", format!("'{pool}' is not the name of a pool; there is one, '{name}'"));
            }
        }
        Ok(())
    }

    /// Checks what no single value can be blamed for.
    fn agree(&self) -> Result<(), Fault> {
        let fault = |key: &str, words: String| Err(Fault { key: key.to_owned(), words });
        let start = self.pool.policy.start;
        if start.max_backoff < start.backoff {
            let (longest, first) = (show_duration(start.max_backoff), show_duration(start.backoff));
            let words =
                format!("{longest} is shorter than the first wait, backoff: {first}; write {first} or more");
            return fault("pool.start.max_backoff", words);
        }
        if self.listeners.is_empty() {
            let words = "no address to listen on; write [{ address: \"127.0.0.1:8000\" }], or leave it out";
            return fault("listeners", words.to_owned());
        }
        let endpoints: Vec<&Endpoint> = self.listeners.iter().map(|listener| &listener.endpoint).collect();
        for (number, endpoint) in endpoints.iter().enumerate() {
            if !picks_its_own_port(endpoint) && endpoints[..number].contains(endpoint) {
                return fault("listeners", format!("{endpoint} is there twice; keep one of them"));
            }
        }
        match &self.admin {
            Admin::Off => Ok(()),
            Admin::At(address) if address.is_remote() => {
                let words = format!("{}", console::BindError::Remote(address.clone()));
                fault("admin.address", words)
            }
            Admin::At(address) => {
                let shared = |endpoint: &&Endpoint| {
                    !picks_its_own_port(endpoint) && endpoint.to_string() == address.to_string()
                };
                match endpoints.into_iter().find(shared) {
                    Some(_) => fault(
                        "admin.address",
                        format!("{address} is where clients connect; choose another address, or off"),
                    ),
                    None => Ok(()),
                }
            }
        }
    }

    /// Every setting as text, by its flag's id.
    pub(crate) fn rows(&self, processors: NonZeroU16) -> Vec<(&'static str, String)> {
        let count = |count: NonZeroU16| match count == processors {
            true => "auto".to_owned(),
            false => count.to_string(),
        };
        let limit = |limit: Option<Duration>| limit.map_or_else(|| "off".to_owned(), show_duration);
        let bytes = |bytes: usize| show_size(bytes as u64);
        let (pool, policy) = (&self.pool, &self.pool.policy);
        let variable = |(name, value): (&String, &Option<String>)| match value {
            Some(_) => format!("{name}=…"),
            None => format!("less {name}"),
        };
        let listeners = listeners::rows(&self.listeners);
        let others = vec![
            ("admin.address", self.admin.to_string()),
            ("threads", count(self.threads)),
            ("trusted_proxies", join(&self.trusted_proxies)),
            ("pool.workers", count(policy.workers)),
            ("pool.max_in_flight", policy.max_in_flight.to_string()),
            ("pool.spare", policy.spare.to_string()),
            ("pool.surge", policy.surge.to_string()),
            ("pool.isolation", show_isolation(policy.isolation).to_owned()),
            ("pool.rescue", show_rescue(pool.rescue).to_owned()),
            (
                "pool.directory",
                pool.directory.as_ref().map(|path| path.display().to_string()).unwrap_or_default(),
            ),
            ("pool.environment", join(pool.environment.iter().map(variable))),
            ("pool.keep_alive", pool.keep_alive.map_or_else(|| "auto".to_owned(), show_duration)),
            ("pool.runtime_directory", pool.runtime_directory.display().to_string()),
            ("pool.queue.limit", policy.queue.limit.to_string()),
            ("pool.queue.timeout", show_duration(policy.queue.timeout)),
            ("pool.freeze.suspect_after", show_duration(policy.freeze.suspect_after)),
            ("pool.freeze.probe_timeout", show_duration(policy.freeze.probe_timeout)),
            ("pool.freeze.probe", pool.probe.to_string()),
            ("pool.freeze.restart_after", show_duration(policy.freeze.restart_after)),
            ("pool.start.timeout", show_duration(policy.start.timeout)),
            ("pool.start.backoff", show_duration(policy.start.backoff)),
            ("pool.start.max_backoff", show_duration(policy.start.max_backoff)),
            ("pool.start.attempts", policy.start.attempts.to_string()),
            ("pool.start.ramp", show_duration(policy.start.ramp)),
            ("pool.stop.drain_timeout", show_duration(policy.stop.drain_timeout)),
            ("pool.stop.grace", show_duration(policy.stop.grace)),
            ("routing.patterns", join(&self.routing.patterns)),
            ("routing.openapi", self.routing.openapi.to_string()),
            ("routing.health", join(&self.routing.health)),
            ("timeouts.handshake", limit(self.timeouts.handshake)),
            ("timeouts.header", limit(self.timeouts.header)),
            ("timeouts.body_idle", limit(self.timeouts.body_idle)),
            ("timeouts.response_start", limit(self.timeouts.response_start)),
            ("timeouts.stream_idle", limit(self.timeouts.stream_idle)),
            ("timeouts.keep_alive", limit(self.timeouts.keep_alive)),
            ("timeouts.tunnel_idle", limit(self.timeouts.tunnel_idle)),
            ("limits.header_bytes", bytes(self.limits.header_bytes)),
            ("limits.header_count", self.limits.header_count.to_string()),
            ("limits.body_bytes", self.limits.body_bytes.map_or_else(|| "off".to_owned(), show_size)),
            ("limits.connections", self.limits.connections.to_string()),
            ("log.format", self.log.format.to_string()),
            ("log.level", self.log.filter.to_string()),
            ("log.access", self.log.access.to_string()),
            ("log.access_format", self.log.access_format.to_string()),
            ("log.response_header", show_disclosure(self.disclosure).to_owned()),
        ];
        listeners.into_iter().chain(others).collect()
    }
}

impl Pool {
    /// What the supervisor is given, but for the sentinel.
    pub(crate) fn options(&self, log: Log) -> PoolOptions {
        PoolOptions {
            name: self.name.clone(),
            command: self.command.clone(),
            directory: self.directory.clone(),
            environment: self.environment.clone(),
            policy: self.policy.clone(),
            probe: self.probe.clone(),
            runtime_directory: self.runtime_directory.clone(),
            keep_alive: self.keep_alive,
            route_names: supervisor::RouteNames::default(),
            sentinel: None,
            log,
        }
    }

    fn take(&mut self, given: &raw::Pool, processors: NonZeroU16) {
        let raw::Words(command) = &given.command;
        if !command.is_empty() {
            self.command = command.iter().map(|Text(word)| word.clone()).collect();
        }
        if given.directory.is_some() {
            self.directory.clone_from(&given.directory);
        }
        for (name, value) in &given.environment {
            self.environment.insert(name.0.clone(), value.clone().map(|Text(value)| value));
        }
        for assignment in &given.assignments {
            self.environment.insert(assignment.name.0.clone(), assignment.value.clone());
        }
        match given.keep_alive {
            Some(Auto::Is(time)) => self.keep_alive = Some(time.0),
            Some(Auto::Auto) => self.keep_alive = None,
            None => {}
        }
        choose(&mut self.runtime_directory, given.runtime_directory.clone());
        choose(&mut self.probe, given.freeze.probe.clone().map(|question| question.0));
        choose(&mut self.rescue, given.rescue.map(|rescue| rescue.0));
        let policy = &mut self.policy;
        choose(&mut policy.workers, given.workers.map(|workers| or_processors(workers.0, processors)));
        choose(&mut policy.max_in_flight, given.max_in_flight.map(|most| most.0));
        choose(&mut policy.spare, given.spare.map(|spare| spare.0));
        choose(&mut policy.surge, given.surge.map(|surge| surge.0));
        choose(&mut policy.isolation, given.isolation.map(|isolation| isolation.0));
        choose(&mut policy.queue.limit, given.queue.limit.map(|limit| limit.0));
        choose(&mut policy.queue.timeout, given.queue.timeout.map(|time| time.0));
        choose(&mut policy.freeze.suspect_after, given.freeze.suspect_after.map(|time| time.0));
        choose(&mut policy.freeze.probe_timeout, given.freeze.probe_timeout.map(|time| time.0));
        choose(&mut policy.freeze.restart_after, given.freeze.restart_after.map(|time| time.0));
        choose(&mut policy.start.timeout, given.start.timeout.map(|time| time.0));
        choose(&mut policy.start.backoff, given.start.backoff.map(|time| time.0));
        choose(&mut policy.start.max_backoff, given.start.max_backoff.map(|time| time.0));
        choose(&mut policy.start.attempts, given.start.attempts.map(|attempts| attempts.0));
        choose(&mut policy.start.ramp, given.start.ramp.map(|time| time.0));
        choose(&mut policy.stop.drain_timeout, given.stop.drain_timeout.map(|time| time.0));
        choose(&mut policy.stop.grace, given.stop.grace.map(|time| time.0));
    }
}

fn take_routing(routing: &mut Routing, given: &raw::Routing) {
    let patterns = given.patterns.as_ref();
    choose(&mut routing.patterns, patterns.map(|all| all.iter().map(|one| one.0.clone()).collect()));
    choose(&mut routing.openapi, given.openapi.clone().map(|place| place.0));
    let health = given.health.as_ref();
    choose(&mut routing.health, health.map(|all| all.iter().map(|one| one.0.clone()).collect()));
}

fn show_isolation(isolation: Isolation) -> &'static str {
    match isolation {
        Isolation::Auto => "auto",
        Isolation::Off => "off",
    }
}

fn show_rescue(scope: RescueScope) -> &'static str {
    match scope {
        RescueScope::Off => "off",
        RescueScope::Safe => "safe",
        RescueScope::Idempotent => "idempotent",
    }
}

fn show_disclosure(disclosure: Disclosure) -> &'static str {
    match disclosure {
        Disclosure::Off => "off",
        Disclosure::Reason => "reason",
        Disclosure::Timing => "timing",
    }
}

fn take_timeouts(timeouts: &mut Timeouts, given: &raw::Timeouts) {
    choose(&mut timeouts.handshake, given.handshake.map(|limit| limit.map(|time| time.0)));
    choose(&mut timeouts.header, given.header.map(|limit| limit.map(|time| time.0)));
    choose(&mut timeouts.body_idle, given.body_idle.map(|limit| limit.map(|time| time.0)));
    choose(&mut timeouts.response_start, given.response_start.map(|limit| limit.map(|time| time.0)));
    choose(&mut timeouts.stream_idle, given.stream_idle.map(|limit| limit.map(|time| time.0)));
    choose(&mut timeouts.keep_alive, given.keep_alive.map(|limit| limit.map(|time| time.0)));
    choose(&mut timeouts.tunnel_idle, given.tunnel_idle.map(|limit| limit.map(|time| time.0)));
}

fn take_limits(limits: &mut Limits, given: &raw::Limits) {
    let bytes = given.header_bytes.map(|size| usize::try_from(size.0).unwrap_or(usize::MAX));
    choose(&mut limits.header_bytes, bytes);
    choose(&mut limits.header_count, given.header_count.map(|count| count.0));
    choose(&mut limits.body_bytes, given.body_bytes.map(|limit| limit.map(|size| size.0)));
    choose(&mut limits.connections, given.connections.map(|count| count.0));
}

fn take_log(log: &mut LogOptions, given: &raw::Log) {
    choose(&mut log.format, given.format.map(|format| format.0));
    choose(&mut log.filter, given.level.clone().map(|level| level.0));
    choose(&mut log.access, given.access.clone().map(|place| place.0));
    choose(&mut log.access_format, given.access_format.map(|format| format.0));
}

fn choose<T>(setting: &mut T, given: Option<T>) {
    if let Some(given) = given {
        *setting = given;
    }
}

fn or_processors<const MIN: u64, const MAX: u64>(
    count: Auto<Number<NonZeroU16, MIN, MAX>>,
    processors: NonZeroU16,
) -> NonZeroU16 {
    match count {
        Auto::Auto => processors,
        Auto::Is(count) => count.0,
    }
}

fn networks(given: &[super::word::Network]) -> Vec<IpNet> {
    given.iter().map(|network| network.0).collect()
}

/// Port 0: the system chooses, so that two of them are two addresses.
fn picks_its_own_port(endpoint: &Endpoint) -> bool {
    match endpoint {
        Endpoint::Tcp(address) => address.port() == 0,
        Endpoint::Unix(_) => false,
    }
}

pub(super) fn join<T: ToString>(all: impl IntoIterator<Item = T>) -> String {
    all.into_iter().map(|one| one.to_string()).collect::<Vec<_>>().join(", ")
}
