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
    /// That of a worker that has just started.
    first_cap: u32,
    ramp: Duration,
    /// Counts picks: the clock of "picked longest ago".
    picks: u64,
    open: u32,
}

/// One slot. Scanned for every request: it is kept small, and whether there is room is one comparison.
#[derive(Clone, Debug)]
struct Seat {
    /// Outstanding requests that are not parked.
    load: u32,
    /// As many as those may be now: follows from the three below.
    limit: u32,
    /// Whether the worker gets new requests.
    open: bool,
    /// Whether it gets one request at a time, until one was answered.
    on_trial: bool,
    /// As many as it may have if nothing is the matter.
    cap: u32,
    picked: u64,
    joined: Moment,
    /// Whether its share still grows, from when it joined.
    ramps: bool,
}

impl Seat {
    fn has_room(&self) -> bool {
        self.load < self.limit
    }

    fn set_limit(&mut self) {
        self.limit = match (self.open, self.on_trial) {
            (false, _) => 0,
            (true, true) => 1,
            (true, false) => self.cap,
        };
    }
}

impl Rotation {
    pub(crate) fn new(slots: usize, cap: u32, ramp: Duration) -> Self {
        let seat = Seat {
            load: 0,
            limit: 0,
            open: false,
            on_trial: false,
            cap,
            picked: 0,
            joined: Moment::default(),
            ramps: false,
        };
        Self { seats: vec![seat; slots], first_cap: cap, ramp, picks: 0, open: 0 }
    }

    /// Picks one of the workers that `may` be picked, and counts one request against it.
    pub(crate) fn claim(&mut self, may: impl Fn(Slot) -> bool, now: Moment) -> Option<Slot> {
        let mut best: Option<(usize, u32, u64)> = None;
        for (index, seat) in self.seats.iter_mut().enumerate() {
            if !seat.has_room() || !may(slot_at(index)) {
                continue;
            }
            let weight = if seat.ramps { weight(now.since(seat.joined), self.ramp) } else { FULL };
            if weight == FULL {
                seat.ramps = false;
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
        Some(slot_at(index))
    }

    /// How many workers take requests.
    pub(crate) fn open(&self) -> u32 {
        self.open
    }

    /// The workers that take requests.
    pub(crate) fn open_slots(&self) -> impl Iterator<Item = Slot> {
        self.seats.iter().enumerate().filter(|(_, seat)| seat.open).map(|(index, _)| slot_at(index))
    }

    /// Whether any worker could take one more request.
    pub(crate) fn has_room(&self) -> bool {
        self.has_room_at(|_| true)
    }

    /// Whether any of these workers could.
    pub(crate) fn has_room_at(&self, may: impl Fn(Slot) -> bool) -> bool {
        let mut seats = self.seats.iter().enumerate();
        seats.any(|(index, seat)| seat.has_room() && may(slot_at(index)))
    }

    /// Takes one request off a worker's load: it ended, or it was parked.
    pub(crate) fn lighten(&mut self, slot: Slot) {
        self.seats[slot.index()].load -= 1;
    }

    /// Forgets what the worker of this slot held: its process is gone.
    pub(crate) fn clear(&mut self, slot: Slot) {
        let seat = &mut self.seats[slot.index()];
        (seat.load, seat.cap) = (0, self.first_cap);
        seat.set_limit();
    }

    /// How many requests this worker may hold, parked ones apart.
    pub(crate) fn cap(&self, slot: Slot) -> u32 {
        self.seats[slot.index()].cap
    }

    /// What it holds above that stays.
    pub(crate) fn set_cap(&mut self, slot: Slot, cap: u32) {
        let seat = &mut self.seats[slot.index()];
        seat.cap = cap;
        seat.set_limit();
    }

    /// Whether the cap is what keeps this worker from having more, or nearly.
    pub(crate) fn is_nearly_full(&self, slot: Slot) -> bool {
        let seat = &self.seats[slot.index()];
        seat.load * 4 >= seat.cap * 3
    }

    /// Lets the worker take requests. Beside workers that are warm it begins with a quarter of a share ("slow start"
    /// of HAProxy and Envoy); where all are new, a ramp would only be unfair.
    pub(crate) fn join(&mut self, slot: Slot, now: Moment) {
        let ramp = self.ramp;
        let beside_warm_ones = self.seats.iter().any(|seat| seat.open && now.since(seat.joined) >= ramp);
        let seat = &mut self.seats[slot.index()];
        seat.on_trial = false;
        seat.joined = now;
        seat.ramps = beside_warm_ones;
        self.rejoin(slot);
    }

    /// Lets a worker have one request at a time, until one was answered.
    pub(crate) fn try_out(&mut self, slot: Slot) {
        self.seats[slot.index()].on_trial = true;
        self.rejoin(slot);
    }

    /// A request was answered by this worker.
    pub(crate) fn proven(&mut self, slot: Slot) {
        let seat = &mut self.seats[slot.index()];
        if std::mem::take(&mut seat.on_trial) {
            seat.set_limit();
        }
    }

    /// Lets a worker that was out for a moment go on where it was.
    pub(crate) fn rejoin(&mut self, slot: Slot) {
        let seat = &mut self.seats[slot.index()];
        self.open += u32::from(!std::mem::replace(&mut seat.open, true));
        seat.set_limit();
    }

    /// No new requests for this worker.
    pub(crate) fn leave(&mut self, slot: Slot) {
        let seat = &mut self.seats[slot.index()];
        self.open -= u32::from(std::mem::replace(&mut seat.open, false));
        seat.set_limit();
    }
}

fn slot_at(index: usize) -> Slot {
    Slot(u16::try_from(index).expect("one seat a slot, and slots are counted in 16 bits"))
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
