//! Which route a request belongs to: requests of one route are expected to behave alike.

use http::{Method, Uri};
use policy::RouteId;
use std::hash::{DefaultHasher, Hash, Hasher};

/// The route of a method and path. For now each path is one of its own, by hash.
pub(crate) fn of(method: &Method, uri: &Uri) -> RouteId {
    let mut hasher = DefaultHasher::new();
    method.hash(&mut hasher);
    uri.path().hash(&mut hasher);
    let [one, two, three, four, ..] = hasher.finish().to_le_bytes();
    RouteId(u32::from_le_bytes([one, two, three, four]))
}
