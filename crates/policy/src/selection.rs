//! Which worker gets the next request: the one with the fewest outstanding requests for its weight.
//!
//! Exact, not sampled: one proxy knows all counts, and a scan over them costs less than being wrong (power-of-two
//! choices and its kin serve balancers that cannot know). Ties go to the worker picked longest ago, so that equal
//! workers get equal shares even when requests come one at a time.

use crate::{Moment, Slot};
use std::time::Duration;

/// What selection knows of the workers, one seat a slot.
#[derive(Clone, Debug)]
pub(crate) struct Rotation {
    seats: Vec<Seat>,
    cap: u32,
    ramp: Duration,
    /// Counts picks: the clock of "picked longest ago".
    picks: u64,
}

#[derive(Clone, Debug)]
struct Seat {
    /// Whether the worker gets new requests.
    open: bool,
    /// Outstanding requests that are not parked.
    load: u32,
    picked: u64,
    joined: Moment,
    /// Since when its share grows; nothing once it is full.
    ramp: Option<Moment>,
}

impl Rotation {
    pub(crate) fn new(slots: u16, cap: u32, ramp: Duration) -> Self {
        let seat = Seat { open: false, load: 0, picked: 0, joined: Moment::default(), ramp: None };
        Self { seats: vec![seat; usize::from(slots)], cap, ramp, picks: 0 }
    }

    /// Picks a worker and counts one request against it.
    pub(crate) fn claim(&mut self, now: Moment) -> Option<Slot> {
        let mut best: Option<(usize, u32, u64)> = None;
        for (index, seat) in self.seats.iter_mut().enumerate() {
            if !seat.open || seat.load >= self.cap {
                continue;
            }
            let weight = seat.ramp.map_or(FULL, |since| weight(now.since(since), self.ramp));
            if weight == FULL {
                seat.ramp = None;
            }
            // load / weight, as integers: cap and weight are far below 2^32 / FULL.
            let score = seat.load * (FULL * FULL / weight);
            if best.is_none_or(|(_, least, picked)| (score, seat.picked) < (least, picked)) {
                best = Some((index, score, seat.picked));
            }
        }
        let (index, _, _) = best?;
        self.picks += 1;
        self.seats[index].picked = self.picks;
        self.seats[index].load += 1;
        Some(Slot(u16::try_from(index).expect("one seat a slot, and slots are counted in 16 bits")))
    }

    /// Takes one request off a worker's load: it ended, or it was parked.
    pub(crate) fn lighten(&mut self, slot: Slot) {
        self.seats[slot.index()].load -= 1;
    }

    /// Forgets what the worker of this slot held: its process is gone.
    pub(crate) fn clear(&mut self, slot: Slot) {
        self.seats[slot.index()].load = 0;
    }

    /// Lets the worker take requests. Beside workers that are warm it begins with a quarter of a share ("slow start"
    /// of HAProxy and Envoy); where all are new, a ramp would only be unfair.
    pub(crate) fn join(&mut self, slot: Slot, now: Moment) {
        let ramp = self.ramp;
        let beside_warm_ones = self.seats.iter().any(|seat| seat.open && now.since(seat.joined) >= ramp);
        let seat = &mut self.seats[slot.index()];
        seat.open = true;
        seat.joined = now;
        seat.ramp = beside_warm_ones.then_some(now);
    }

    /// Lets a worker that was out for a moment go on where it was.
    pub(crate) fn rejoin(&mut self, slot: Slot) {
        self.seats[slot.index()].open = true;
    }

    /// No new requests for this worker.
    pub(crate) fn leave(&mut self, slot: Slot) {
        self.seats[slot.index()].open = false;
    }
}

/// The weight of a full share. A power of two, and so few steps that scores stay exact integers.
const FULL: u32 = 16;

/// A quarter share at first, growing in sixteenths to a full one.
fn weight(age: Duration, ramp: Duration) -> u32 {
    const FIRST: u32 = FULL / 4;
    if age >= ramp {
        return FULL;
    }
    let grown = age.as_nanos() * u128::from(FULL - FIRST) / ramp.as_nanos().max(1);
    FIRST + u32::try_from(grown).unwrap_or(FULL - FIRST).min(FULL - FIRST)
}
