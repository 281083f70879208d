//! What happens, as data: who asks for what, how much of it, and what goes wrong.

use policy::{MaxInFlight, PoolConfig, RouteId};
use std::num::{NonZeroU16, NonZeroU32};
use std::time::Duration;

/// A story that any pool can be put through.
pub(crate) struct Scenario {
    pub(crate) name: &'static str,
    pub(crate) about: &'static str,
    /// The worker time that is asked for while the fault lasts, as a share of what all workers have.
    pub(crate) load: f64,
    /// The same while the pool warms up.
    pub(crate) load_before: f64,
    /// Their places are their ids.
    pub(crate) routes: &'static [Route],
    pub(crate) fault: Fault,
    pub(crate) client: Client,
    pub(crate) servers: &'static [Server],
    pub(crate) kills: Kills,
    /// Runs that its figures are the mean of.
    pub(crate) seeds: u64,
}

/// Requests that behave alike.
pub(crate) struct Route {
    /// Its share of all requests.
    pub(crate) share: f64,
    pub(crate) usual: Usual,
    pub(crate) role: Role,
}

/// Whose answers are measured how.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// Innocent: what counts is the answer within a second.
    Fast,
    /// Slow, or at fault: what counts is whether it is answered at all.
    Slow,
}

/// What a request of a route needs when nothing is wrong.
#[derive(Clone, Copy)]
pub(crate) enum Usual {
    /// 5 ms of its worker on average; under an async server in two halves around 20 ms of waiting.
    Quick,
    /// The same, but for one request in 200, which needs this much of its worker's loop.
    Uneven(Duration),
    /// Its worker's loop, for so long.
    Report(Duration),
    /// As quick, and this wait; a sync server's worker waits with it.
    Awaits(Duration),
    /// This wait, and next to nothing of its worker's loop.
    Relays(Duration),
    /// A thread of its worker, for so long on average, and next to nothing of its loop.
    Threaded(Duration),
}

/// What goes wrong.
#[derive(Clone, Copy)]
pub(crate) enum Fault {
    Nothing,
    /// Each request of these routes blocks its worker for so long.
    Blocks(&'static [RouteId], Duration),
    /// Each request of this route waits for so long, its worker's loop alive.
    Awaits(RouteId, Duration),
    /// Each request of this route keeps a thread for so long.
    Threads(RouteId, Duration),
    /// Now and then (on average every so often) any request blocks its worker for so long.
    Rare {
        every: Duration,
        blocks: Duration,
    },
    /// Now and then a worker dies.
    Crashes {
        every: Duration,
    },
    /// In the middle of the time the whole host stands still for so long.
    HostStall(Duration),
}

/// How long a client waits for one answer, and how often it asks.
#[derive(Clone, Copy)]
pub(crate) struct Client {
    pub(crate) patience: Duration,
    pub(crate) tries: u32,
}

/// The two kinds of workers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Server {
    /// One request at a time.
    Sync,
    /// One loop, many requests, and 40 threads.
    Async,
}

/// Whether any restart is right.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kills {
    Allowed,
    /// No worker is at fault: to end one is to lose what it holds.
    Unjust,
}

/// A pool to put through a story.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Setup {
    pub(crate) server: Server,
    pub(crate) workers: u16,
    /// Booted workers in reserve.
    pub(crate) spare: u16,
}

impl Setup {
    /// The configuration that a user would have: the defaults, but for the reserve.
    pub(crate) fn config(&self) -> PoolConfig {
        let mut config = PoolConfig::new(NonZeroU16::new(self.workers).expect("a pool has workers"));
        config.spare = self.spare;
        if self.server == Server::Sync {
            config.max_in_flight = MaxInFlight::Fixed(NonZeroU32::MIN);
        }
        config
    }
}

impl Server {
    pub(crate) const ALL: [Self; 2] = [Self::Sync, Self::Async];

    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Sync => "sync",
            Self::Async => "async",
        }
    }
}

impl Scenario {
    /// The one of this name.
    pub(crate) fn named(name: &str) -> Option<&'static Self> {
        SCENARIOS.iter().find(|scenario| scenario.name == name)
    }

    pub(crate) fn role(&self, route: RouteId) -> Role {
        self.routes[route.0 as usize].role
    }

    /// Requests per second at this load.
    pub(crate) fn rate(&self, load: f64, setup: &Setup) -> f64 {
        let busy = |route: &Route| route.share * route.usual.busy(setup.server).as_secs_f64();
        load * f64::from(setup.workers) / self.routes.iter().map(busy).sum::<f64>()
    }
}

impl Usual {
    /// How long a request keeps its worker from others, on average.
    fn busy(self, server: Server) -> Duration {
        match (self, server) {
            (Self::Quick, Server::Sync | Server::Async) | (Self::Awaits(_), Server::Async) => QUICK,
            (Self::Uneven(time), Server::Sync | Server::Async) => {
                QUICK.mul_f64(1.0 - UNEVEN_SHARE) + time.mul_f64(UNEVEN_SHARE)
            }
            (Self::Report(time), Server::Sync | Server::Async) => time,
            (Self::Awaits(time), Server::Sync) => QUICK + time,
            (Self::Threaded(time) | Self::Relays(time), Server::Sync) => time,
            (Self::Threaded(_) | Self::Relays(_), Server::Async) => TOUCH * 2,
        }
    }
}

/// When the first request comes: the workers have booted.
pub(crate) const OPENS: Duration = Duration::from_secs(3);
/// When the fault begins: ten seconds to learn what is normal.
pub(crate) const FAULT: Duration = Duration::from_secs(13);
/// When the fault ends, and with it the traffic.
pub(crate) const END: Duration = Duration::from_secs(43);
/// From spawn to the first answer.
pub(crate) const BOOT: Duration = Duration::from_secs(2);
/// The worker time of a quick request.
pub(crate) const QUICK: Duration = Duration::from_millis(5);
/// What a quick request waits for under an async server.
pub(crate) const IO: Duration = Duration::from_millis(20);
/// How many requests of an uneven route take longer than the others.
pub(crate) const UNEVEN_SHARE: f64 = 0.005;
/// What the loop has to do before and after a thread's work.
pub(crate) const TOUCH: Duration = Duration::from_micros(500);

pub(crate) const SCENARIOS: &[Scenario] = &[
    Scenario { name: "healthy", about: "nothing is wrong", kills: Kills::Unjust, ..ORDINARY },
    Scenario {
        name: "outage",
        about: "5 % of the requests, one route, block 30 s each",
        fault: Fault::Blocks(&[SLOW], HANG),
        ..ORDINARY
    },
    Scenario {
        name: "rare",
        about: "about every 10 s a request of any route blocks 30 s",
        fault: Fault::Rare { every: Duration::from_secs(10), blocks: HANG },
        seeds: 8,
        ..ORDINARY
    },
    Scenario {
        name: "await",
        about: "5 % of the requests wait 20 s, their loops alive",
        fault: Fault::Awaits(SLOW, Duration::from_secs(20)),
        client: Client { patience: Duration::from_secs(30), tries: 1 },
        servers: &[Server::Async],
        kills: Kills::Unjust,
        ..ORDINARY
    },
    Scenario {
        name: "legit",
        about: "1 % of the requests are reports of 0.4 s that block their worker, as ever",
        load: 0.716,
        load_before: 0.716,
        routes: &[
            Route { share: 0.99, usual: Usual::Quick, role: Role::Fast },
            Route { share: 0.01, usual: Usual::Report(Duration::from_millis(400)), role: Role::Slow },
        ],
        kills: Kills::Unjust,
        ..ORDINARY
    },
    Scenario {
        name: "retries",
        about: "the outage, with clients that ask three times, for 2 s each",
        fault: Fault::Blocks(&[SLOW], HANG),
        client: Client { patience: Duration::from_secs(2), tries: 3 },
        ..ORDINARY
    },
    Scenario {
        name: "dominant",
        about: "the outage of a route that 70 % of the requests are for",
        routes: &[
            Route { share: 0.3, usual: Usual::Quick, role: Role::Fast },
            Route { share: 0.7, usual: Usual::Quick, role: Role::Slow },
        ],
        fault: Fault::Blocks(&[SLOW], HANG),
        ..ORDINARY
    },
    Scenario {
        name: "two-routes",
        about: "two routes of 5 % block at once",
        routes: &[
            Route { share: 0.9, usual: Usual::Quick, role: Role::Fast },
            Route { share: 0.05, usual: Usual::Quick, role: Role::Slow },
            Route { share: 0.05, usual: Usual::Quick, role: Role::Slow },
        ],
        fault: Fault::Blocks(&[SLOW, RouteId(2)], HANG),
        ..ORDINARY
    },
    Scenario {
        name: "slow-fine",
        about: "10 % of the requests take 0.3 s, as ever",
        routes: &[
            Route { share: 0.9, usual: Usual::Quick, role: Role::Fast },
            Route { share: 0.1, usual: Usual::Awaits(Duration::from_millis(300)), role: Role::Slow },
        ],
        kills: Kills::Unjust,
        ..ORDINARY
    },
    Scenario {
        name: "learned-need",
        about: "the outage begins as the load doubles",
        load_before: 0.3,
        fault: Fault::Blocks(&[SLOW], HANG),
        ..ORDINARY
    },
    Scenario {
        name: "clogged",
        about: "5 thread calls a second and worker keep their thread 20 s; the loops live",
        load: 0.08,
        load_before: 0.08,
        routes: &[
            Route { share: 0.625, usual: Usual::Threaded(QUICK), role: Role::Fast },
            Route { share: 0.125, usual: Usual::Threaded(Duration::from_millis(50)), role: Role::Slow },
            Route { share: 0.25, usual: Usual::Quick, role: Role::Fast },
        ],
        fault: Fault::Threads(SLOW, Duration::from_secs(20)),
        servers: &[Server::Async],
        kills: Kills::Unjust,
        ..ORDINARY
    },
    Scenario {
        name: "host-stall",
        about: "workers and proxy stand still for 2 s at once",
        fault: Fault::HostStall(Duration::from_secs(2)),
        kills: Kills::Unjust,
        ..ORDINARY
    },
    Scenario {
        name: "overload",
        about: "for 30 s more is asked for than all workers can do: 10 ms of the loop each",
        load: 1.3,
        routes: &[
            Route { share: 0.95, usual: Usual::Report(COMPUTED), role: Role::Fast },
            Route { share: 0.05, usual: Usual::Report(COMPUTED), role: Role::Slow },
        ],
        kills: Kills::Unjust,
        ..ORDINARY
    },
    Scenario {
        name: "relays",
        about: "80 requests at once and worker that do nothing but wait, 0.2 s each",
        load: 0.4,
        load_before: 0.4,
        routes: &[
            Route { share: 0.95, usual: Usual::Relays(Duration::from_millis(200)), role: Role::Fast },
            Route { share: 0.05, usual: Usual::Relays(Duration::from_millis(200)), role: Role::Slow },
        ],
        servers: &[Server::Async],
        kills: Kills::Unjust,
        ..ORDINARY
    },
    Scenario {
        name: "crashes",
        about: "a worker dies about every 5 s",
        fault: Fault::Crashes { every: Duration::from_secs(5) },
        ..ORDINARY
    },
    Scenario {
        name: "many-routes",
        about: "twenty routes alike; one request in 200 keeps its worker 0.4 s, as ever",
        routes: &TWENTY,
        kills: Kills::Unjust,
        ..ORDINARY
    },
    Scenario {
        name: "many-outage",
        about: "the same; the requests of one of them block 30 s each",
        routes: &TWENTY,
        fault: Fault::Blocks(&[SLOW], HANG),
        ..ORDINARY
    },
    Scenario {
        name: "legit-1s",
        about: "0.5 % are reports of 1 s that block their worker, as ever",
        load: 0.4,
        load_before: 0.4,
        routes: &[
            Route { share: 0.995, usual: Usual::Quick, role: Role::Fast },
            Route { share: 0.005, usual: Usual::Report(Duration::from_secs(1)), role: Role::Slow },
        ],
        ..ORDINARY
    },
    Scenario {
        name: "legit-1s-quiet",
        about: "5 requests a second, one in ten a report of 1 s",
        load: 0.13,
        load_before: 0.13,
        routes: &[
            Route { share: 0.9, usual: Usual::Quick, role: Role::Fast },
            Route { share: 0.1, usual: Usual::Report(Duration::from_secs(1)), role: Role::Slow },
        ],
        ..ORDINARY
    },
    Scenario {
        name: "legit-6s",
        about: "reports of 6 s, as ever, one in 10 s",
        load: 0.25,
        load_before: 0.25,
        routes: &[
            Route { share: 0.998, usual: Usual::Quick, role: Role::Fast },
            Route { share: 0.002, usual: Usual::Report(Duration::from_secs(6)), role: Role::Slow },
        ],
        client: Client { patience: Duration::from_secs(30), tries: 1 },
        ..ORDINARY
    },
    Scenario {
        name: "quiet-rare",
        about: "3 requests a second to three routes; about every 10 s one blocks 30 s",
        load: 0.00375,
        load_before: 0.00375,
        routes: &[
            Route { share: 0.34, usual: Usual::Quick, role: Role::Fast },
            Route { share: 0.33, usual: Usual::Quick, role: Role::Fast },
            Route { share: 0.33, usual: Usual::Quick, role: Role::Fast },
        ],
        fault: Fault::Rare { every: Duration::from_secs(20), blocks: HANG },
        seeds: 8,
        ..ORDINARY
    },
    Scenario {
        name: "quiet-tail",
        about: "3 requests a second to three routes; about every 10 s one takes 7 s",
        load: 0.00375,
        load_before: 0.00375,
        routes: &[
            Route { share: 0.34, usual: Usual::Quick, role: Role::Fast },
            Route { share: 0.33, usual: Usual::Quick, role: Role::Fast },
            Route { share: 0.33, usual: Usual::Quick, role: Role::Fast },
        ],
        fault: Fault::Rare { every: Duration::from_secs(10), blocks: Duration::from_secs(7) },
        seeds: 8,
        ..ORDINARY
    },
    Scenario {
        name: "quiet-outage",
        about: "3 requests a second to three routes; those of one block 30 s each",
        load: 0.00375,
        load_before: 0.00375,
        routes: &[
            Route { share: 0.34, usual: Usual::Quick, role: Role::Fast },
            Route { share: 0.33, usual: Usual::Quick, role: Role::Slow },
            Route { share: 0.33, usual: Usual::Quick, role: Role::Fast },
        ],
        fault: Fault::Blocks(&[SLOW], HANG),
        seeds: 8,
        ..ORDINARY
    },
    Scenario {
        name: "slowdown",
        about: "for 30 s everything takes 5 s; 0.6 requests a second",
        load: 0.0008,
        load_before: 0.05,
        routes: &[
            Route { share: 0.5, usual: Usual::Quick, role: Role::Slow },
            Route { share: 0.5, usual: Usual::Quick, role: Role::Slow },
        ],
        fault: Fault::Blocks(&[RouteId(0), SLOW], Duration::from_secs(5)),
        client: Client { patience: Duration::from_secs(30), tries: 1 },
        seeds: 8,
        ..ORDINARY
    },
];

const ORDINARY: Scenario = Scenario {
    name: "",
    about: "",
    load: 0.6,
    load_before: 0.6,
    routes: &[
        Route { share: 0.95, usual: Usual::Quick, role: Role::Fast },
        Route { share: 0.05, usual: Usual::Quick, role: Role::Slow },
    ],
    fault: Fault::Nothing,
    client: Client { patience: Duration::from_secs(10), tries: 1 },
    servers: &Server::ALL,
    kills: Kills::Allowed,
    seeds: 2,
};

/// Alike; the second is the one that may be at fault.
const TWENTY: [Route; 20] = {
    let mut routes = [const { Route { share: 0.05, usual: UNEVEN, role: Role::Fast } }; 20];
    routes[1].role = Role::Slow;
    routes
};

const COMPUTED: Duration = Duration::from_millis(10);

const UNEVEN: Usual = Usual::Uneven(Duration::from_millis(400));
const SLOW: RouteId = RouteId(1);
const HANG: Duration = Duration::from_secs(30);
