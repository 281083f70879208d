//! What the configuration means: every setting has a value, and the values agree with one another.

use super::listeners;
use super::origins::{Fault, Key};
use super::pool::{Company, Pool};
use super::raw::{self, File, Flags};
use super::routes;
use super::word::{Auto, Number, PoolName, show_choice};
use crate::units::{show_duration, show_limit, show_size};
use console::Admin;
use ipnet::IpNet;
use logs::LogOptions;
use proxy::{Disclosure, Endpoint, Limits, Listener, ProxyProtocol, Role, Site, Timeouts};
use std::num::{NonZeroU16, NonZeroU64};
use tls::Protocols;

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
    /// The workers of each app, in the order of the file.
    pub(crate) pools: Vec<Pool>,
    /// Which pool serves what.
    pub(crate) sites: Vec<Site>,
    /// When the proxy stops waiting.
    pub(crate) timeouts: Timeouts,
    /// What the proxy refuses to read.
    pub(crate) limits: Limits,
    /// What the program prints.
    pub(crate) log: LogOptions,
    /// What answers say of their way.
    pub(crate) disclosure: Disclosure,
}

/// One setting as people read it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Row {
    pub(crate) key: Key,
    pub(crate) value: String,
}

impl Settings {
    /// What holds if nothing is said, on a machine with so many processors.
    pub(crate) fn defaults(processors: NonZeroU16) -> Self {
        Self {
            listeners: vec![Listener {
                endpoint: Endpoint::Tcp(([127, 0, 0, 1], 8000).into()),
                proxy_protocol: ProxyProtocol::default(),
                role: Role::Http(Protocols::Http1),
            }],
            admin: Admin::At(console::AdminAddress::Tcp(([127, 0, 0, 1], 9900).into())),
            threads: processors,
            trusted_proxies: Vec::new(),
            pools: vec![Pool::defaults(super::DEFAULT_POOL, Company::Alone, processors)],
            sites: vec![Site::everything(Timeouts::default(), &Limits::default())],
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
        settings.take_file(file, processors);
        settings.take_flags(flags, processors);
        settings.listeners = listeners::resolve(flags, file, settings.listeners)?;
        settings.sites = routes::sites(&file.routes, &settings.pools, settings.timeouts, &settings.limits)?;
        settings.agree()?;
        Ok(settings)
    }

    fn take_file(&mut self, file: &File, processors: NonZeroU16) {
        choose(&mut self.admin, file.admin.as_ref().map(|section| section.0.clone()));
        choose(&mut self.threads, file.threads.map(|threads| or_processors(threads, processors)));
        choose(&mut self.trusted_proxies, file.trusted_proxies.as_ref().map(|all| networks(all)));
        let raw::Pools(given) = &file.pools;
        if !given.is_empty() {
            let company = Company::of(given.len());
            let default = |(name, _): &(PoolName, _)| Pool::defaults(&name.0, company, processors);
            self.pools = given.iter().map(default).collect();
        }
        for pool in &mut self.pools {
            pool.take_routing(&file.routing);
        }
        for (pool, (_, given)) in self.pools.iter_mut().zip(given) {
            pool.take(given, processors);
        }
        take_timeouts(&mut self.timeouts, &file.timeouts);
        take_limits(&mut self.limits, &file.limits);
        take_log(&mut self.log, &file.log);
        choose(&mut self.disclosure, file.log.response_header.map(|what| what.0));
    }

    fn take_flags(&mut self, flags: &Flags, processors: NonZeroU16) {
        choose(&mut self.admin, flags.admin.clone());
        choose(&mut self.threads, flags.threads.map(|threads| or_processors(threads, processors)));
        if !flags.trusted_proxies.is_empty() {
            self.trusted_proxies = networks(&flags.trusted_proxies);
        }
        // With several pools none of these flags is given: [`Origins::refuse_flags_of_pools`] saw to it.
        if let [pool] = &mut *self.pools {
            pool.take(&flags.pool, processors);
        }
        take_timeouts(&mut self.timeouts, &flags.timeouts);
        take_limits(&mut self.limits, &flags.limits);
        take_log(&mut self.log, &flags.log);
        choose(&mut self.disclosure, flags.log.response_header.map(|what| what.0));
    }

    /// Checks what no single value can be blamed for.
    fn agree(&self) -> Result<(), Fault> {
        let fault = |key: &str, words: String| Err(Fault::new(Key::of_program(key), words));
        for pool in &self.pools {
            pool.agree()?;
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

    /// Every setting that has a flag, as text.
    pub(crate) fn rows(&self, processors: NonZeroU16) -> Vec<Row> {
        let limit = |limit| show_limit(limit, show_duration);
        let bytes = |bytes: usize| show_size(bytes as u64);
        let row = |(id, value)| Row { key: Key::of_program(id), value };
        let before = [
            ("admin.address", self.admin.to_string()),
            ("threads", show_count(self.threads, processors)),
            ("trusted_proxies", join(&self.trusted_proxies)),
        ];
        let behind = [
            ("timeouts.handshake", limit(self.timeouts.handshake)),
            ("timeouts.header", limit(self.timeouts.header)),
            ("timeouts.body_idle", limit(self.timeouts.body_idle)),
            ("timeouts.body_rate", show_limit(self.timeouts.body_rate.map(NonZeroU64::get), show_size)),
            ("timeouts.body_grace", show_duration(self.timeouts.body_grace)),
            ("timeouts.response_start", limit(self.timeouts.response_start)),
            ("timeouts.stream_idle", limit(self.timeouts.stream_idle)),
            ("timeouts.keep_alive", limit(self.timeouts.keep_alive)),
            ("timeouts.tunnel_idle", limit(self.timeouts.tunnel_idle)),
            ("limits.header_bytes", bytes(self.limits.header_bytes)),
            ("limits.header_count", self.limits.header_count.to_string()),
            ("limits.target_bytes", bytes(self.limits.target_bytes)),
            ("limits.body_bytes", show_limit(self.limits.body_bytes, show_size)),
            ("limits.connections", self.limits.connections.to_string()),
            (
                "limits.connection_requests",
                show_limit(self.limits.connection_requests, |most| most.to_string()),
            ),
            (
                "limits.client_connections",
                show_limit(self.limits.client_connections, |most| most.to_string()),
            ),
            ("limits.client_in_flight", show_limit(self.limits.client_in_flight, |most| most.to_string())),
            ("limits.exempt", join(&self.limits.exempt)),
            ("limits.streams", self.limits.streams.to_string()),
            ("log.format", self.log.format.to_string()),
            ("log.level", self.log.filter.to_string()),
            ("log.access", self.log.access.to_string()),
            ("log.access_format", self.log.access_format.to_string()),
            ("log.response_header", show_choice(self.disclosure)),
        ];
        let listeners = listeners::rows(&self.listeners).into_iter().map(row);
        let pools = self.pools.iter().flat_map(|pool| pool.rows(processors));
        listeners.chain(before.into_iter().map(row)).chain(pools).chain(behind.into_iter().map(row)).collect()
    }
}

fn take_timeouts(timeouts: &mut Timeouts, given: &raw::Timeouts) {
    choose(&mut timeouts.handshake, given.handshake.map(|limit| limit.map(|time| time.0)));
    choose(&mut timeouts.header, given.header.map(|limit| limit.map(|time| time.0)));
    choose(&mut timeouts.body_idle, given.body_idle.map(|limit| limit.map(|time| time.0)));
    choose(
        &mut timeouts.body_rate,
        given.body_rate.map(|limit| limit.map(|size| size.0).and_then(NonZeroU64::new)),
    );
    choose(&mut timeouts.body_grace, given.body_grace.map(|time| time.0));
    choose(&mut timeouts.response_start, given.response_start.map(|limit| limit.map(|time| time.0)));
    choose(&mut timeouts.stream_idle, given.stream_idle.map(|limit| limit.map(|time| time.0)));
    choose(&mut timeouts.keep_alive, given.keep_alive.map(|limit| limit.map(|time| time.0)));
    choose(&mut timeouts.tunnel_idle, given.tunnel_idle.map(|limit| limit.map(|time| time.0)));
}

fn take_limits(limits: &mut Limits, given: &raw::Limits) {
    let bytes = |size: u64| usize::try_from(size).unwrap_or(usize::MAX);
    choose(&mut limits.header_bytes, given.header_bytes.map(|size| bytes(size.0)));
    choose(&mut limits.header_count, given.header_count.map(|count| count.0));
    choose(&mut limits.target_bytes, given.target_bytes.map(|size| bytes(size.0)));
    choose(&mut limits.body_bytes, given.body_bytes.map(|limit| limit.map(|size| size.0)));
    choose(&mut limits.connections, given.connections.map(|count| count.0));
    choose(
        &mut limits.connection_requests,
        given.connection_requests.map(|limit| limit.map(|count| count.0)),
    );
    choose(&mut limits.client_connections, given.client_connections.map(|limit| limit.map(|count| count.0)));
    choose(&mut limits.client_in_flight, given.client_in_flight.map(|limit| limit.map(|count| count.0)));
    choose(&mut limits.exempt, given.exempt.as_ref().map(|all| networks(all)));
    choose(&mut limits.streams, given.streams.map(|count| count.0));
}

fn take_log(log: &mut LogOptions, given: &raw::Log) {
    choose(&mut log.format, given.format.map(|format| format.0));
    choose(&mut log.filter, given.level.clone().map(|level| level.0));
    choose(&mut log.access, given.access.clone().map(|place| place.0));
    choose(&mut log.access_format, given.access_format.map(|format| format.0));
}

pub(super) fn choose<T>(setting: &mut T, given: Option<T>) {
    if let Some(given) = given {
        *setting = given;
    }
}

pub(super) fn or_processors<const MIN: u64, const MAX: u64>(
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

pub(super) fn show_count(count: NonZeroU16, processors: NonZeroU16) -> String {
    match count == processors {
        true => "auto".to_owned(),
        false => count.to_string(),
    }
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
