//! Entries that several lists share: constant-time insertion, removal from anywhere, and keys that expire.
//!
//! Requests leave in any order (clients hang up, workers answer out of turn) while the questions asked are "which is
//! the oldest", "which is the newest". So entries live in one vector, linked into a [`Chain`] each; a key names
//! its entry's generation, so that a key whose entry is gone finds nothing instead of a stranger.

/// The name of an entry, for as long as the entry lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Key {
    index: u32,
    generation: u32,
}

impl Key {
    pub(crate) fn index(self) -> usize {
        self.index as usize
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
    entries: Vec<Entry<T>>,
    free: Option<u32>,
}

#[derive(Clone, Debug)]
struct Entry<T> {
    generation: u32,
    before: Option<u32>,
    /// In a free entry: the next free one.
    after: Option<u32>,
    value: Option<T>,
}

impl<T> Arena<T> {
    pub(crate) fn new() -> Self {
        Self { entries: Vec::new(), free: None }
    }

    /// Adds `value` as the newest of `chain`.
    pub(crate) fn push(&mut self, chain: &mut Chain, value: T) -> Key {
        let index = match self.free {
            Some(index) => {
                self.free = self.entry(index).after;
                index
            }
            None => {
                self.entries.push(Entry { generation: 0, before: None, after: None, value: None });
                u32::try_from(self.entries.len() - 1).expect("fewer requests than 2^32 fit in memory")
            }
        };
        self.entry_mut(index).value = Some(value);
        self.link(chain, index);
        Key { index, generation: self.entry(index).generation }
    }

    /// Takes the entry out of `chain`, which must be the one it is in. Nothing if it is gone.
    pub(crate) fn remove(&mut self, chain: &mut Chain, key: Key) -> Option<T> {
        self.get(key)?;
        self.unlink(chain, key.index);
        let free = self.free.replace(key.index);
        let entry = self.entry_mut(key.index);
        entry.generation = entry.generation.wrapping_add(1);
        entry.after = free;
        entry.value.take()
    }

    /// Moves the entry from one chain to the end of another.
    pub(crate) fn shift(&mut self, from: &mut Chain, to: &mut Chain, key: Key) {
        if self.get(key).is_some() {
            self.unlink(from, key.index);
            self.link(to, key.index);
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
        let is_later = |index: u32| self.entry(index).value.as_ref().is_some_and(&are_later);
        // Mostly it comes before all others, or behind them.
        let mut before = if to.front.is_some_and(is_later) { None } else { to.back };
        while let Some(later) = before.filter(|index| is_later(*index)) {
            before = self.entry(later).before;
        }
        self.insert(to, before, key.index);
    }

    pub(crate) fn get(&self, key: Key) -> Option<&T> {
        let entry = self.entries.get(key.index as usize)?;
        if entry.generation == key.generation { entry.value.as_ref() } else { None }
    }

    pub(crate) fn get_mut(&mut self, key: Key) -> Option<&mut T> {
        let entry = self.entries.get_mut(key.index as usize)?;
        if entry.generation == key.generation { entry.value.as_mut() } else { None }
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
        Some((Key { index, generation: entry.generation }, entry.value.as_ref()?))
    }

    fn link(&mut self, chain: &mut Chain, index: u32) {
        let entry = self.entry_mut(index);
        entry.before = chain.back;
        entry.after = None;
        match chain.back.replace(index) {
            Some(back) => self.entry_mut(back).after = Some(index),
            None => chain.front = Some(index),
        }
        chain.len += 1;
    }

    fn insert(&mut self, chain: &mut Chain, before: Option<u32>, index: u32) {
        let after = before.map_or(chain.front, |before| self.entry(before).after);
        let Some(next) = after else { return self.link(chain, index) };
        let entry = self.entry_mut(index);
        entry.before = before;
        entry.after = after;
        self.entry_mut(next).before = Some(index);
        match before {
            Some(before) => self.entry_mut(before).after = Some(index),
            None => chain.front = Some(index),
        }
        chain.len += 1;
    }

    fn unlink(&mut self, chain: &mut Chain, index: u32) {
        let (before, after) = (self.entry(index).before, self.entry(index).after);
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
        &self.entries[index as usize]
    }

    fn entry_mut(&mut self, index: u32) -> &mut Entry<T> {
        &mut self.entries[index as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values(arena: &mut Arena<u32>, chain: &mut Chain) -> Vec<u32> {
        let mut all = Vec::new();
        while let Some((key, _)) = arena.front(chain) {
            all.extend(arena.remove(chain, key));
        }
        all
    }

    #[test]
    fn entries_come_back_in_the_order_they_were_pushed_less_the_removed() {
        let (mut arena, mut chain) = (Arena::new(), Chain::default());
        let keys: Vec<Key> = (0..6).map(|value| arena.push(&mut chain, value)).collect();
        for gone in [0, 3, 5] {
            assert_eq!(arena.remove(&mut chain, keys[gone]), Some(gone as u32));
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
        assert_eq!(arena.remove(&mut chain, old), None);
        assert_eq!(arena.get(new), Some(&2));
        assert_eq!(chain.len(), 1);
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
