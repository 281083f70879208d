//! One thread's copy of the route table: what finds a known route without a lock.

use super::template::Templates;
use super::{Candidate, Claim, NAMED, Route, RouteTable, Verb, shape};
use foldhash::fast::RandomState;
use http::Method;
use policy::RouteId;
use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// All named routes as of some version of the table: at most [`NAMED`], whatever clients send.
#[derive(Debug)]
pub(crate) struct Replica {
    table: RouteTable,
    version: u32,
    /// How many of the table's names were copied.
    copied: usize,
    /// By method and template, those alone that are their own template: so a path found here needs no look at templates. They
    /// are few, so a hash does that is quick and no more.
    ids: [HashMap<Arc<str>, RouteId, RandomState>; Verb::ALL.len()],
    document: Arc<Templates>,
    /// The weakest claim that the table had a name for.
    weakest: Option<Claim>,
}

impl Replica {
    pub(crate) fn new(table: RouteTable) -> Self {
        let mut replica = Self {
            table,
            version: 0,
            copied: 0,
            ids: Default::default(),
            document: Arc::default(),
            weakest: None,
        };
        replica.copy();
        replica
    }

    /// The route of a request.
    pub(crate) fn find(&mut self, method: &Method, path: &str) -> Route {
        if self.table.shared.version.load(Ordering::Acquire) != self.version {
            self.copy();
        }
        let verb = Verb::of(method);
        if let Some(id) = self.id(verb, path) {
            return Route { id, candidate: None };
        }
        let (template, claim) = self.template(verb, path);
        if let Some(id) = self.id(verb, &template) {
            return Route { id, candidate: None };
        }
        let weakest = self.weakest.filter(|_| template.len() <= LONGEST_NAME);
        if weakest.is_some_and(|weakest| claim >= weakest)
            && let Some(id) = self.table.enter(verb, &template, claim)
        {
            return Route { id, candidate: None };
        }
        let id = self.table.share(verb, &template);
        let candidate = weakest.filter(|weakest| Claim::Proven >= *weakest).map(|_| {
            Box::new(Candidate { table: self.table.clone(), verb, template: template.into_owned() })
        });
        Route { id, candidate }
    }

    fn id(&self, verb: Verb, template: &str) -> Option<RouteId> {
        self.ids[verb as usize].get(template).copied()
    }

    /// The template of a path, and what claim to a name it has.
    fn template<'a>(&'a self, verb: Verb, path: &'a str) -> (Cow<'a, str>, Claim) {
        if shape::is_ambiguous(path) {
            // Not even a pattern: one server's `/a%2Fb` is another's `/a/b`, and a client must not be able to put the
            // blame for one route on another.
            return (Cow::Borrowed(AMBIGUOUS), Claim::Seen);
        }
        match self.table.shared.patterns.find(path).or_else(|| self.document.find(path)) {
            Some(template) if template.verbs.contains(verb) => {
                (Cow::Borrowed(&template.text), Claim::Declared)
            }
            Some(template) => (Cow::Borrowed(&template.text), Claim::Seen),
            None => (shape::template(path), Claim::Seen),
        }
    }

    /// Brings this copy up to date.
    fn copy(&mut self) {
        let table = self.table.clone();
        let state = table.state();
        // Under the lock, where it stands still.
        self.version = table.shared.version.load(Ordering::Acquire);
        self.weakest = table.weakest(&state);
        if !Arc::ptr_eq(&self.document, &state.document) {
            // What is a path of its own under one document may be an example of a template under the next.
            self.document = Arc::clone(&state.document);
            self.ids = Default::default();
            self.copied = 0;
        }
        let new = state.names[self.copied..].to_vec();
        drop(state);
        for (name, index) in new.into_iter().zip(self.copied as u32..NAMED) {
            self.copied += 1;
            if *self.template(name.verb, &name.template).0 == *name.template || *name.template == *AMBIGUOUS {
                self.ids[name.verb as usize].insert(name.template, RouteId(index));
            }
        }
    }
}

/// The template of every path that servers read in several ways. No path looks like it.
const AMBIGUOUS: &str = "(ambiguous path)";

/// Bytes of the longest template that gets a name: 1,024 of them stay small, and a label stays legible.
const LONGEST_NAME: usize = 256;
