//! What the configuration means for one pool.

use super::origins::{Fault, Key};
use super::raw;
use super::settings::{Row, choose, join, or_processors, show_count};
use super::word::{Auto, Text, show_choice};
use crate::units::show_duration;
use logs::Log;
use policy::{MaxInFlight, PoolConfig};
use proxy::{RescueScope, Routing};
use std::num::NonZeroU16;
use std::path::PathBuf;
use std::time::Duration;
use supervisor::{Environment, PoolOptions, Probe, Protocol};

/// One pool of workers.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Pool {
    pub(crate) name: String,
    pub(crate) command: Vec<String>,
    pub(crate) directory: Option<PathBuf>,
    pub(crate) environment: Environment,
    /// What its workers speak.
    pub(crate) protocol: Protocol,
    pub(crate) policy: PoolConfig,
    pub(crate) probe: Probe,
    /// `None`: what the server that is recognised in the command allows.
    pub(crate) keep_alive: Option<Duration>,
    pub(crate) runtime_directory: PathBuf,
    /// Which requests may be sent to another worker.
    pub(crate) rescue: RescueScope,
    /// Which requests are expected to behave alike.
    pub(crate) routing: Routing,
}

/// Whether a pool is the only one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Company {
    Alone,
    Several,
}

impl Company {
    /// That of each of so many pools.
    pub(crate) fn of(pools: usize) -> Self {
        if pools > 1 { Self::Several } else { Self::Alone }
    }
}

impl Pool {
    /// What holds of a pool if nothing is said, on a machine with so many processors. One of several pools never gives up:
    /// that would end the others.
    pub(crate) fn defaults(name: &str, company: Company, processors: NonZeroU16) -> Self {
        let mut policy = PoolConfig::new(processors);
        match company {
            Company::Alone => {}
            Company::Several => policy.start.attempts = 0,
        }
        Self {
            name: name.to_owned(),
            command: Vec::new(),
            directory: None,
            environment: Environment::new(),
            protocol: Protocol::default(),
            policy,
            probe: Probe::default(),
            rescue: RescueScope::default(),
            keep_alive: None,
            runtime_directory: std::env::temp_dir(),
            routing: Routing::default(),
        }
    }

    /// What the supervisor is given, but for the sentinel.
    pub(crate) fn options(&self, log: Log) -> PoolOptions {
        PoolOptions {
            name: self.name.clone(),
            command: self.command.clone(),
            directory: self.directory.clone(),
            environment: self.environment.clone(),
            policy: self.policy.clone(),
            protocol: self.protocol,
            probe: self.probe.clone(),
            runtime_directory: self.runtime_directory.clone(),
            keep_alive: self.keep_alive,
            route_names: supervisor::RouteNames::default(),
            sentinel: None,
            log,
        }
    }

    /// What was given, over what held before.
    pub(crate) fn take(&mut self, given: &raw::Pool, processors: NonZeroU16) {
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
        choose(&mut self.protocol, given.protocol.map(|protocol| protocol.0));
        choose(&mut self.probe, given.freeze.probe.clone().map(|question| question.0));
        choose(&mut self.rescue, given.rescue.map(|rescue| rescue.0));
        let policy = &mut self.policy;
        choose(&mut policy.workers, given.workers.map(|workers| or_processors(workers.0, processors)));
        choose(
            &mut policy.max_in_flight,
            given.max_in_flight.map(|most| match most {
                Auto::Auto => MaxInFlight::Auto,
                Auto::Is(most) => MaxInFlight::Fixed(most.0),
            }),
        );
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
        self.take_routing(&given.routing);
    }

    /// As [`take`](Self::take), of what a file may also say for all pools.
    pub(crate) fn take_routing(&mut self, given: &raw::Routing) {
        let routing = &mut self.routing;
        let patterns = given.patterns.as_ref();
        choose(&mut routing.patterns, patterns.map(|all| all.iter().map(|one| one.0.clone()).collect()));
        choose(&mut routing.openapi, given.openapi.clone().map(|place| place.0));
        let health = given.health.as_ref();
        choose(&mut routing.health, health.map(|all| all.iter().map(|one| one.0.clone()).collect()));
    }

    /// Checks what no single value can be blamed for.
    ///
    /// # Errors
    /// The first combination that cannot work.
    pub(crate) fn agree(&self) -> Result<(), Fault> {
        let start = self.policy.start;
        if start.max_backoff >= start.backoff {
            return Ok(());
        }
        let (longest, first) = (show_duration(start.max_backoff), show_duration(start.backoff));
        let words =
            format!("{longest} is shorter than the first wait, backoff: {first}; write {first} or more");
        Err(Fault::new(self.key("pool.start.max_backoff"), words))
    }

    /// Every setting as text.
    pub(crate) fn rows(&self, processors: NonZeroU16) -> Vec<Row> {
        let policy = &self.policy;
        let variable = |(name, value): (&String, &Option<String>)| match value {
            Some(_) => format!("{name}=…"),
            None => format!("less {name}"),
        };
        let rows = [
            ("pool.workers", show_count(policy.workers, processors)),
            ("pool.protocol", show_choice(self.protocol)),
            ("pool.max_in_flight", show_max_in_flight(policy.max_in_flight)),
            ("pool.spare", policy.spare.to_string()),
            ("pool.surge", policy.surge.to_string()),
            ("pool.isolation", show_choice(policy.isolation)),
            ("pool.rescue", show_choice(self.rescue)),
            (
                "pool.directory",
                self.directory.as_ref().map(|path| path.display().to_string()).unwrap_or_default(),
            ),
            ("pool.environment", join(self.environment.iter().map(variable))),
            ("pool.keep_alive", self.keep_alive.map_or_else(|| "auto".to_owned(), show_duration)),
            ("pool.runtime_directory", self.runtime_directory.display().to_string()),
            ("pool.queue.limit", policy.queue.limit.to_string()),
            ("pool.queue.timeout", show_duration(policy.queue.timeout)),
            ("pool.freeze.suspect_after", show_duration(policy.freeze.suspect_after)),
            ("pool.freeze.probe_timeout", show_duration(policy.freeze.probe_timeout)),
            ("pool.freeze.probe", self.probe.to_string()),
            ("pool.freeze.restart_after", show_duration(policy.freeze.restart_after)),
            ("pool.start.timeout", show_duration(policy.start.timeout)),
            ("pool.start.backoff", show_duration(policy.start.backoff)),
            ("pool.start.max_backoff", show_duration(policy.start.max_backoff)),
            ("pool.start.attempts", policy.start.attempts.to_string()),
            ("pool.start.ramp", show_duration(policy.start.ramp)),
            ("pool.stop.drain_timeout", show_duration(policy.stop.drain_timeout)),
            ("pool.stop.grace", show_duration(policy.stop.grace)),
            ("pool.routing.patterns", join(&self.routing.patterns)),
            ("pool.routing.openapi", self.routing.openapi.to_string()),
            ("pool.routing.health", join(&self.routing.health)),
        ];
        rows.into_iter().map(|(id, value)| Row { key: self.key(id), value }).collect()
    }

    fn key(&self, id: &str) -> Key {
        Key::of_pool(&self.name, id)
    }
}

fn show_max_in_flight(most: MaxInFlight) -> String {
    match most {
        MaxInFlight::Auto => "auto".to_owned(),
        MaxInFlight::Fixed(most) => most.to_string(),
    }
}
