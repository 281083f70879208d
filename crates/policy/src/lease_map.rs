//! What somebody else keeps for each lease.

use crate::LeaseId;
use crate::pages::Pages;

/// A value for each lease that has one. It is found without a search; and after a burst of leases the room for theirs is
/// given back.
#[derive(Clone, Debug)]
pub struct LeaseMap<T> {
    values: Pages<(LeaseId, T)>,
}

impl<T> LeaseMap<T> {
    /// With a value for none.
    pub fn new() -> Self {
        Self { values: Pages::new() }
    }

    /// Keeps a value for this lease. What was kept for one that is over, and that nobody removed, may go for it.
    pub fn insert(&mut self, lease: LeaseId, value: T) {
        self.values.set(lease.key.index(), (lease, value));
    }

    /// What is kept for this lease, and for no later one in its place.
    pub fn get(&self, lease: LeaseId) -> Option<&T> {
        let (owner, value) = self.values.get(lease.key.index())?;
        (*owner == lease).then_some(value)
    }

    /// Takes out what is kept for this lease.
    pub fn remove(&mut self, lease: LeaseId) -> Option<T> {
        self.get(lease)?;
        self.values.take(lease.key.index()).map(|(_, value)| value)
    }
}

impl<T> Default for LeaseMap<T> {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arena::{Arena, Chain};
    use crate::{Slot, WorkerId};

    #[test]
    fn a_lease_finds_its_own_value_and_not_that_of_the_next_in_its_place() {
        let (mut arena, mut chain) = (Arena::new(), Chain::default());
        let worker = WorkerId { slot: Slot(0), life: 1 };
        let mut map = LeaseMap::new();
        let old = LeaseId { worker, key: arena.push(&mut chain, ()) };
        map.insert(old, 'a');
        assert_eq!(map.get(old), Some(&'a'));
        arena.remove(&mut chain, old.key);
        let new = LeaseId { worker, key: arena.push(&mut chain, ()) };
        assert_eq!(old.key.index(), new.key.index());
        assert_eq!(map.get(new), None);
        assert_eq!(map.remove(new), None);
        map.insert(new, 'b');
        assert_eq!(map.get(old), None);
        assert_eq!(map.remove(old), None);
        assert_eq!((map.remove(new), map.remove(new)), (Some('b'), None));
    }
}
