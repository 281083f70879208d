//! Entries that several lists share: constant-time insertion, removal from anywhere, and keys that expire.
//!
//! Requests leave in any order (clients hang up, workers answer out of turn) while the questions asked are "which is
//! the oldest", "which is the newest". So entries live in [`Pages`], linked into a [`Chain`] each; a key names the entry's
//! place and, by a number that is never used again, the entry itself, so that a key whose entry is gone finds nothing
//! instead of a stranger.

use crate::pages::Pages;

/// The name of an entry, for as long as the entry lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Key {
    index: u32,
    number: u64,
}

impl Key {
    pub(crate) fn index(self) -> u32 {
        self.index
    }
}

/// A list through some of an arena's entries, oldest first. It belongs to the arena it was filled from.
#[derive(Clone, Debug, Default)]
pub(crate) struct Chain {
    front: Option<u32>,
    back: Option<u32>,
    len: u32,
}

impl Chain {
    pub(crate) fn len(&self) -> u32 {
        self.len
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.len == 0
    }
}

/// The entries. An entry is in exactly one chain from its insertion to its removal; the caller knows which.
#[derive(Clone, Debug)]
pub(crate) struct Arena<T> {
    entries: Pages<Entry<T>>,
    /// How many there were so far.
    count: u64,
}

#[derive(Clone, Debug)]
struct Entry<T> {
    number: u64,
    before: Option<u32>,
    after: Option<u32>,
    value: T,
}

impl<T> Arena<T> {
    pub(crate) fn new() -> Self {
        Self { entries: Pages::new(), count: 0 }
    }

    /// Adds `value` as the newest of `chain`.
    #[inline]
    pub(crate) fn push(&mut self, chain: &mut Chain, value: T) -> Key {
        self.count += 1;
        let number = self.count;
        let index = self.entries.add(Entry { number, before: chain.back, after: None, value });
        self.append(chain, index);
        Key { index, number }
    }

    /// Takes the entry out of `chain`, which must be the one it is in. Whether it was still there.
    #[inline]
    pub(crate) fn remove(&mut self, chain: &mut Chain, key: Key) -> bool {
        let is_there = self.get(key).is_some();
        if is_there {
            self.unlink(chain, key.index);
            self.entries.clear(key.index);
        }
        is_there
    }

    /// Moves the entry from one chain to the end of another.
    pub(crate) fn shift(&mut self, from: &mut Chain, to: &mut Chain, key: Key) {
        if self.get(key).is_some() {
            self.unlink(from, key.index);
            self.insert(to, to.back, key.index);
        }
    }

    /// Moves the entry from one chain to its place in another that is in order: before those that `are_later`.
    pub(crate) fn shift_in_order(
        &mut self,
        from: &mut Chain,
        to: &mut Chain,
        key: Key,
        are_later: impl Fn(&T) -> bool,
    ) {
        if self.get(key).is_none() {
            return;
        }
        self.unlink(from, key.index);
        let is_later = |index: u32| are_later(&self.entry(index).value);
        // Mostly it comes before all others, or behind them.
        let mut before = if to.front.is_some_and(is_later) { None } else { to.back };
        while let Some(later) = before.filter(|index| is_later(*index)) {
            before = self.entry(later).before;
        }
        self.insert(to, before, key.index);
    }

    pub(crate) fn get(&self, key: Key) -> Option<&T> {
        let entry = self.entries.get(key.index)?;
        (entry.number == key.number).then_some(&entry.value)
    }

    pub(crate) fn get_mut(&mut self, key: Key) -> Option<&mut T> {
        let entry = self.entries.get_mut(key.index)?;
        (entry.number == key.number).then_some(&mut entry.value)
    }

    /// The entries of `chain`, oldest first.
    pub(crate) fn iter(&self, chain: &Chain) -> impl Iterator<Item = (Key, &T)> {
        let mut next = chain.front;
        std::iter::from_fn(move || {
            let found = self.at(next)?;
            next = self.entry(next?).after;
            Some(found)
        })
    }

    /// The oldest entry of `chain`.
    pub(crate) fn front(&self, chain: &Chain) -> Option<(Key, &T)> {
        self.at(chain.front)
    }

    /// The newest entry of `chain`.
    pub(crate) fn back(&self, chain: &Chain) -> Option<(Key, &T)> {
        self.at(chain.back)
    }

    fn at(&self, place: Option<u32>) -> Option<(Key, &T)> {
        let index = place?;
        let entry = self.entry(index);
        Some((Key { index, number: entry.number }, &entry.value))
    }

    /// Of an entry that knows already which is before it.
    #[inline]
    fn append(&mut self, chain: &mut Chain, index: u32) {
        match chain.back.replace(index) {
            Some(back) => self.entry_mut(back).after = Some(index),
            None => chain.front = Some(index),
        }
        chain.len += 1;
    }

    /// Behind this one of the chain, or before all.
    fn insert(&mut self, chain: &mut Chain, before: Option<u32>, index: u32) {
        let after = before.map_or(chain.front, |before| self.entry(before).after);
        let entry = self.entry_mut(index);
        entry.before = before;
        entry.after = after;
        match before {
            Some(before) => self.entry_mut(before).after = Some(index),
            None => chain.front = Some(index),
        }
        match after {
            Some(after) => self.entry_mut(after).before = Some(index),
            None => chain.back = Some(index),
        }
        chain.len += 1;
    }

    #[inline]
    fn unlink(&mut self, chain: &mut Chain, index: u32) {
        let Entry { before, after, .. } = *self.entry(index);
        match before {
            Some(before) => self.entry_mut(before).after = after,
            None => chain.front = after,
        }
        match after {
            Some(after) => self.entry_mut(after).before = before,
            None => chain.back = before,
        }
        chain.len -= 1;
    }

    fn entry(&self, index: u32) -> &Entry<T> {
        self.entries.get(index).expect("chains lead to entries")
    }

    fn entry_mut(&mut self, index: u32) -> &mut Entry<T> {
        self.entries.get_mut(index).expect("chains lead to entries")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values(arena: &mut Arena<u32>, chain: &mut Chain) -> Vec<u32> {
        let mut all = Vec::new();
        while let Some((key, value)) = arena.front(chain) {
            all.push(*value);
            arena.remove(chain, key);
        }
        all
    }

    #[test]
    fn entries_come_back_in_the_order_they_were_pushed_less_the_removed() {
        let (mut arena, mut chain) = (Arena::new(), Chain::default());
        let keys: Vec<Key> = (0..6).map(|value| arena.push(&mut chain, value)).collect();
        for gone in [0, 3, 5] {
            assert!(arena.remove(&mut chain, keys[gone]));
        }
        assert_eq!(arena.back(&chain).map(|(_, value)| *value), Some(4));
        assert_eq!(values(&mut arena, &mut chain), [1, 2, 4]);
        assert!(chain.is_empty());
    }

    #[test]
    fn an_old_key_does_not_find_the_entry_that_took_its_place() {
        let (mut arena, mut chain) = (Arena::new(), Chain::default());
        let old = arena.push(&mut chain, 1);
        arena.remove(&mut chain, old);
        let new = arena.push(&mut chain, 2);
        assert_eq!(arena.get(old), None);
        assert!(!arena.remove(&mut chain, old));
        assert_eq!(arena.get(new), Some(&2));
        assert_eq!(chain.len(), 1);
    }

    #[test]
    fn an_old_key_finds_nothing_after_a_burst_was_given_back_either() {
        let (mut arena, mut chain) = (Arena::new(), Chain::default());
        let mut old = Vec::new();
        for _ in 0..3 {
            let burst: Vec<Key> = (0..1_000).map(|value| arena.push(&mut chain, value)).collect();
            assert!(burst.iter().all(|key| arena.get(*key).is_some()));
            assert!(old.iter().all(|key| arena.get(*key).is_none() && arena.get_mut(*key).is_none()));
            for key in &burst {
                arena.remove(&mut chain, *key);
            }
            old.extend(burst);
            assert!(old.iter().all(|key| !arena.remove(&mut chain, *key)));
        }
    }

    #[test]
    fn a_shifted_entry_keeps_its_key() {
        let (mut arena, mut one, mut two) = (Arena::new(), Chain::default(), Chain::default());
        let keys: Vec<Key> = (0..3).map(|value| arena.push(&mut one, value)).collect();
        arena.shift(&mut one, &mut two, keys[1]);
        assert_eq!(arena.get(keys[1]), Some(&1));
        assert_eq!(values(&mut arena, &mut one), [0, 2]);
        assert_eq!(values(&mut arena, &mut two), [1]);
    }

    #[test]
    fn an_entry_that_is_shifted_in_order_finds_its_place() {
        for order in [[0, 1, 2, 3], [3, 2, 1, 0], [1, 3, 0, 2], [2, 0, 3, 1]] {
            let (mut arena, mut one, mut two) = (Arena::new(), Chain::default(), Chain::default());
            let keys: Vec<Key> = (0..4).map(|value| arena.push(&mut one, value)).collect();
            for (length, value) in (1..).zip(order) {
                arena.shift_in_order(&mut one, &mut two, keys[value], |other| *other > value as u32);
                assert_eq!(two.len(), length);
            }
            assert_eq!(arena.back(&two).map(|(_, value)| *value), Some(3));
            assert!(one.is_empty());
            assert_eq!(values(&mut arena, &mut two), [0, 1, 2, 3], "{order:?}");
        }
    }
}
