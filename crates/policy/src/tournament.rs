//! Who is first, where places change one at a time and the first is asked for at each change.
//!
//! A binary tree: each slot is a leaf, and each node above has the better of the two below it. So the first of all is at
//! the root, and after a change only the matches between its leaf and the root are played again: six among 64 slots.

use crate::Slot;

#[derive(Clone, Debug)]
pub(crate) struct Tournament {
    /// The root is 1; the nodes below `n` are `2 * n` and `2 * n + 1`. Leaves are the second half, in the order of slots.
    nodes: Vec<Rank>,
}

/// A place in an order; the least is the first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Rank(u128);

impl Rank {
    /// Behind all others: takes no part.
    pub(crate) const OUT: Self = Self(u128::MAX);

    /// The least score is first; among equals the one picked longest ago; among those never picked, the first slot.
    /// One number, because to compare it takes no branch, and those would be unpredictable.
    pub(crate) fn new(score: u32, picked: u64, slot: Slot) -> Self {
        Self(u128::from(score) << 80 | u128::from(picked) << 16 | u128::from(slot.0))
    }

    /// Whose it is, if he takes part.
    pub(crate) fn slot(self) -> Option<Slot> {
        (self != Self::OUT).then_some(Slot(self.0 as u16))
    }
}

impl Tournament {
    /// Of so many slots, none of which takes part.
    pub(crate) fn new(slots: usize) -> Self {
        Self { nodes: vec![Rank::OUT; 2 * slots.next_power_of_two()] }
    }

    /// The first of all.
    pub(crate) fn first(&self) -> Option<Slot> {
        self.nodes[1].slot()
    }

    /// The first of those that `may` be it.
    pub(crate) fn first_of(&self, may: impl Fn(Slot) -> bool) -> Option<Slot> {
        let leaves = &self.nodes[self.nodes.len() / 2..];
        leaves.iter().filter(|rank| rank.slot().is_some_and(&may)).min()?.slot()
    }

    /// Gives a slot its place.
    pub(crate) fn place(&mut self, slot: Slot, rank: Rank) {
        let mut node = self.nodes.len() / 2 + slot.index();
        self.nodes[node] = rank;
        while node > 1 {
            node /= 2;
            self.nodes[node] = self.nodes[2 * node].min(self.nodes[2 * node + 1]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_is_the_least_of_all_whatever_changes() {
        let mut random = fastrand::Rng::with_seed(1);
        for slots in [1, 2, 3, 8, 13, 64] {
            let mut tournament = Tournament::new(slots.into());
            let mut ranks = vec![Rank::OUT; slots.into()];
            for _ in 0..1_000 {
                let slot = Slot(random.u16(..slots));
                let rank = if random.u8(..4) == 0 {
                    Rank::OUT
                } else {
                    Rank::new(random.u32(..5), random.u64(..5), slot)
                };
                tournament.place(slot, rank);
                ranks[slot.index()] = rank;
                assert_eq!(tournament.first(), ranks.iter().min().and_then(|first| first.slot()));
                let even = |slot: Slot| slot.0.is_multiple_of(2);
                let first_even = ranks.iter().step_by(2).min().and_then(|first| first.slot());
                assert_eq!(tournament.first_of(even), first_even);
            }
        }
    }

    #[test]
    fn ranks_keep_to_their_order_at_the_bounds() {
        let least = Rank::new(0, u64::MAX, Slot(u16::MAX));
        assert!(least < Rank::new(1, 0, Slot(0)));
        assert!(Rank::new(7, 1, Slot(9)) < Rank::new(7, 2, Slot(0)));
        assert!(Rank::new(7, 1, Slot(8)) < Rank::new(7, 1, Slot(9)));
        assert!(Rank::new(u32::MAX, u64::MAX, Slot(u16::MAX)) < Rank::OUT);
        assert_eq!(Rank::new(3, 4, Slot(5)).slot(), Some(Slot(5)));
    }
}
