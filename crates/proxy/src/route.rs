//! Which route a request belongs to: requests of one route are expected to behave alike.
//!
//! A route is a method and a path template. The template comes from the operator's patterns, else from the app's own
//! OpenAPI document, else from the path's shape (`shape.rs`). Only the path as the client sent it counts: a query never
//! does, and nothing is decoded or tidied up, because a worker might read it in another way.
//!
//! Whatever clients send, there are at most [`NAMED`] routes with a name; all others share [`SHARED`] by hash. A name is
//! for ever: its id never comes to mean another route, so nobody has to be told that one was reused, and a stranger's
//! million paths push no real route out. Who gets a name:
//!
//! | the route | gets a name at its first request, | else once it is proven, |
//! |---|---|---|
//! | is declared by a pattern or by the document | while there are fewer than [`NAMED`] in all | |
//! | is seen in a request alone | while fewer than [`AT_SIGHT`] were given so | while enough are left for those declared |
//!
//! *Proven* is a route that an app answered with success (`proves`): made-up paths are answered 404, and stay nameless.

pub(crate) mod discovery;
pub(crate) mod openapi;
pub(crate) mod replica;
pub(crate) mod shape;
mod template;

use crate::route::template::Templates;
use foldhash::SharedSeed;
use foldhash::quality::SeedableRandomState;
use http::{Method, StatusCode, Uri};
use policy::{RouteId, Urgency};
use std::hash::{BuildHasher as _, RandomState};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

pub use openapi::{OpenApi, OpenApiError};
pub use template::{Pattern, PatternError};

/// What the operator decided about routes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Routing {
    /// Path templates that go before all others.
    pub patterns: Vec<Pattern>,
    /// Where the app describes its routes.
    pub openapi: OpenApi,
    /// Paths of the app's own health checks, which do not wait behind the queue.
    pub health: Vec<String>,
}

impl Default for Routing {
    fn default() -> Self {
        let health = HEALTH_PATHS.map(str::to_owned).to_vec();
        Self { patterns: Vec::new(), openapi: OpenApi::default(), health }
    }
}

/// What apps commonly call their health checks.
const HEALTH_PATHS: [&str; 6] = ["/health", "/healthz", "/livez", "/readyz", "/ping", "/up"];

/// The routes of one app, the same for all threads. Clones are cheap and mean the same table.
#[derive(Clone, Debug)]
pub struct RouteTable {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    openapi: OpenApi,
    health: Vec<String>,
    patterns: Templates,
    /// Keyed at random, so that nobody outside can choose who shares a route. A quick hash does, whose key could be found by
    /// those who see what it makes of their input: nobody does.
    hasher: SeedableRandomState,
    /// Counts changes of what is under the lock, so that threads notice them without it.
    version: AtomicU32,
    state: Mutex<State>,
}

/// Locked when a thread meets a route for the first time, never for one that it knows.
#[derive(Debug, Default)]
struct State {
    /// By id. Only ever appended to.
    names: Vec<Name>,
    /// How many of them were given to routes that nobody declared.
    undeclared: usize,
    /// The templates of the app's own document.
    document: Arc<Templates>,
}

/// A route with an id of its own.
#[derive(Clone, Debug)]
struct Name {
    verb: Verb,
    template: Arc<str>,
}

impl RouteTable {
    /// A table that knows the operator's patterns and no route yet.
    pub fn new(routing: &Routing) -> Self {
        let mut patterns = Templates::default();
        for pattern in &routing.patterns {
            patterns.insert(pattern, Verbs::APPS);
        }
        Self {
            shared: Arc::new(Shared {
                openapi: routing.openapi.clone(),
                health: routing.health.clone(),
                patterns,
                hasher: SeedableRandomState::with_seed(
                    RandomState::new().hash_one(()),
                    SharedSeed::global_random(),
                ),
                version: AtomicU32::new(0),
                state: Mutex::default(),
            }),
        }
    }

    /// What people call this route: `GET /users/{id}`.
    pub fn name(&self, route: RouteId) -> String {
        match self.state().names.get(route.0 as usize) {
            Some(name) => name.to_string(),
            None => format!("unnamed routes {}/{SHARED}", (route.0 % SHARED) + 1),
        }
    }

    /// Whether a request may pass others in the queue.
    pub(crate) fn urgency_of(&self, path: &str) -> Urgency {
        match self.shared.health.iter().any(|health| health == path) {
            true => Urgency::Health,
            false => Urgency::Ordinary,
        }
    }

    /// The same for the same method and target, on all threads of this process.
    pub(crate) fn fingerprint(&self, method: &Method, target: &Uri) -> u64 {
        self.shared.hasher.hash_one((method, target))
    }

    /// All routes that have a name, the oldest first.
    pub fn names(&self) -> Vec<(RouteId, String)> {
        let names = self.state().names.clone();
        names.iter().zip(0..).map(|(name, id)| (RouteId(id), name.to_string())).collect()
    }

    /// Where the app describes its routes.
    fn openapi(&self) -> &OpenApi {
        &self.shared.openapi
    }

    /// From now on these are the templates of the app's own document.
    pub(crate) fn describe(&self, document: Templates) {
        let mut state = self.state();
        state.document = Arc::new(document);
        self.shared.version.fetch_add(1, Ordering::Release);
    }

    /// The id of a route that has none yet, if it may have one of its own.
    fn enter(&self, verb: Verb, template: &str, claim: Claim) -> Option<RouteId> {
        let mut state = self.state();
        // Another thread may have been quicker.
        let known = state.names.iter().position(|name| name.verb == verb && *name.template == *template);
        if let Some(index) = known {
            return u32::try_from(index).ok().map(RouteId);
        }
        if self.weakest(&state).is_none_or(|weakest| claim < weakest) {
            return None;
        }
        let id = u32::try_from(state.names.len()).ok().map(RouteId)?;
        state.names.push(Name { verb, template: template.into() });
        if claim != Claim::Declared {
            state.undeclared += 1;
        }
        self.shared.version.fetch_add(1, Ordering::Release);
        Some(id)
    }

    /// The route that all those without a name share whose hash is the same.
    fn share(&self, verb: Verb, template: &str) -> RouteId {
        let hash = self.shared.hasher.hash_one((verb, template));
        RouteId(NAMED + (hash % u64::from(SHARED)) as u32)
    }

    /// The weakest claim that there is still a name for.
    fn weakest(&self, state: &State) -> Option<Claim> {
        let declared = self.shared.patterns.declared() + state.document.declared();
        let kept = declared.clamp(FEWEST_KEPT, MOST_KEPT);
        if state.names.len() >= NAMED as usize {
            None
        } else if state.undeclared < AT_SIGHT {
            Some(Claim::Seen)
        } else if state.undeclared < NAMED as usize - kept {
            Some(Claim::Proven)
        } else {
            Some(Claim::Declared)
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.shared.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for RouteTable {
    fn default() -> Self {
        Self::new(&Routing::default())
    }
}

/// Why a route should have a name, the better reason last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Claim {
    /// A client asked for it.
    Seen,
    /// The app answered it with success.
    Proven,
    /// The operator or the app say that it exists.
    Declared,
}

/// The route of one request.
#[derive(Debug)]
pub(crate) struct Route {
    pub(crate) id: RouteId,
    /// For a route without a name that gets one if the app answers this request with success.
    candidate: Option<Box<Candidate>>,
}

#[derive(Debug)]
struct Candidate {
    table: RouteTable,
    verb: Verb,
    template: String,
}

impl Route {
    /// The app answered.
    pub(crate) fn answered(&self, status: StatusCode) {
        if let Some(candidate) = &self.candidate
            && proves(status)
        {
            candidate.table.enter(candidate.verb, &candidate.template, Claim::Proven);
        }
    }
}

/// Whether an app that answers so has this route. Made-up paths are commonly answered 404 or 405, by an app behind a
/// login 401, 403 or a redirect to the login page; an error says nothing either way.
fn proves(status: StatusCode) -> bool {
    let others = [StatusCode::SWITCHING_PROTOCOLS, StatusCode::SEE_OTHER, StatusCode::NOT_MODIFIED];
    status.is_success() || others.contains(&status)
}

impl std::fmt::Display for Name {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.verb.as_str(), self.template)
    }
}

/// A method as routes tell it apart. HEAD is GET without the body (RFC 9110 section 9.3.2): frameworks run the same code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Verb {
    Get,
    Post,
    Put,
    Patch,
    Delete,
    Options,
    Trace,
    /// Any other: clients may invent methods without end.
    Other,
}

impl Verb {
    const ALL: [Self; 8] = [
        Self::Get,
        Self::Post,
        Self::Put,
        Self::Patch,
        Self::Delete,
        Self::Options,
        Self::Trace,
        Self::Other,
    ];

    fn of(method: &Method) -> Self {
        match *method {
            Method::GET | Method::HEAD => Self::Get,
            Method::POST => Self::Post,
            Method::PUT => Self::Put,
            Method::PATCH => Self::Patch,
            Method::DELETE => Self::Delete,
            Method::OPTIONS => Self::Options,
            Method::TRACE => Self::Trace,
            _ => Self::Other,
        }
    }

    fn as_str(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Post => "POST",
            Self::Put => "PUT",
            Self::Patch => "PATCH",
            Self::Delete => "DELETE",
            Self::Options => "OPTIONS",
            Self::Trace => "TRACE",
            Self::Other => "OTHER",
        }
    }
}

/// A set of methods.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Verbs(u8);

impl Verbs {
    /// Those that apps have handlers for.
    const APPS: Self = Self(0b1_1111);

    fn contains(self, verb: Verb) -> bool {
        self.0 & 1 << verb as u8 != 0
    }

    fn count(self) -> usize {
        self.0.count_ones() as usize
    }
}

impl FromIterator<Verb> for Verbs {
    fn from_iter<T: IntoIterator<Item = Verb>>(verbs: T) -> Self {
        Self(verbs.into_iter().fold(0, |set, verb| set | 1 << verb as u8))
    }
}

/// Routes with a name of their own.
const NAMED: u32 = RouteId::LIMIT - SHARED;

/// Routes that all the others share by hash.
const SHARED: u32 = 64;

/// Names that are given to whatever clients ask for, before an answer proves it: enough for the routes of most apps, so
/// that one which hangs from its first request on is told apart.
const AT_SIGHT: usize = 256;

/// Names that are kept for declared routes: as many as the document declares, within these bounds.
const FEWEST_KEPT: usize = 128;
const MOST_KEPT: usize = 512;

#[cfg(test)]
mod tests;
