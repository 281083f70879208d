//! Which worker gets the next request: the one with the fewest outstanding requests for its weight.
//!
//! Exact, not sampled: one proxy knows all counts, and keeps its workers in their order (power-of-two choices and its kin
//! serve balancers that cannot know). Ties go to the worker picked longest ago, so that equal workers get equal shares
//! even when requests come one at a time.

use crate::tournament::{Rank, Tournament};
use crate::{Moment, Slot};
use std::time::Duration;

/// What selection knows of the workers, one seat a slot.
#[derive(Clone, Debug)]
pub(crate) struct Rotation {
    seats: Vec<Seat>,
    /// Whose turn it is, of those that have room. Follows from the seats: whatever changes one [places](Self::place) it.
    order: Tournament,
    /// Whose shares still grow.
    ramping: Vec<Slot>,
    /// That of a worker that has just started.
    first_cap: u32,
    ramp: Duration,
    /// Counts picks: the clock of "picked longest ago".
    picks: u64,
    open: u32,
}

/// One slot.
#[derive(Clone, Debug)]
struct Seat {
    /// Outstanding requests that are not parked.
    load: u32,
    /// Whether the worker gets new requests.
    open: bool,
    /// Whether it gets one request at a time, until one was answered.
    on_trial: bool,
    /// As many as it may have if nothing is the matter.
    cap: u32,
    picked: u64,
    joined: Moment,
    /// What a request counts for here: more while the worker's share grows.
    each: u32,
}

impl Seat {
    /// As many requests as it may hold now.
    fn limit(&self) -> u32 {
        match (self.open, self.on_trial) {
            (false, _) => 0,
            (true, true) => 1,
            (true, false) => self.cap,
        }
    }

    fn rank(&self, slot: Slot) -> Rank {
        if self.load >= self.limit() {
            return Rank::OUT;
        }
        // load / weight, as integers: caps are far below 2^32 / FULL / FULL.
        Rank::new(self.load * self.each, self.picked, slot)
    }
}

impl Rotation {
    pub(crate) fn new(slots: usize, cap: u32, ramp: Duration) -> Self {
        let seat = Seat {
            load: 0,
            open: false,
            on_trial: false,
            cap,
            picked: 0,
            joined: Moment::default(),
            each: each(FULL),
        };
        Self {
            seats: vec![seat; slots],
            order: Tournament::new(slots),
            ramping: Vec::new(),
            first_cap: cap,
            ramp,
            picks: 0,
            open: 0,
        }
    }

    /// Picks a worker, and counts one request against it.
    pub(crate) fn claim(&mut self, now: Moment) -> Option<Slot> {
        self.grow(now);
        let first = self.order.first()?;
        self.pick(first);
        Some(first)
    }

    /// The same, among those that `may` be picked.
    pub(crate) fn claim_among(&mut self, may: impl Fn(Slot) -> bool, now: Moment) -> Option<Slot> {
        self.grow(now);
        let first = self.order.first_of(may)?;
        self.pick(first);
        Some(first)
    }

    fn pick(&mut self, slot: Slot) {
        self.picks += 1;
        let seat = &mut self.seats[slot.index()];
        seat.picked = self.picks;
        seat.load += 1;
        self.place(slot);
    }

    /// Brings the growing shares up to date; nearly always there are none.
    fn grow(&mut self, now: Moment) {
        if self.ramping.is_empty() {
            return;
        }
        let mut ramping = std::mem::take(&mut self.ramping);
        ramping.retain(|slot| {
            let seat = &mut self.seats[slot.index()];
            let weight = weight(now.since(seat.joined), self.ramp);
            seat.each = each(weight);
            self.place(*slot);
            weight < FULL
        });
        self.ramping = ramping;
    }

    /// Gives a worker its place in the order, after its seat changed.
    fn place(&mut self, slot: Slot) {
        self.order.place(slot, self.seats[slot.index()].rank(slot));
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
        self.order.first().is_some()
    }

    /// Whether any of these workers could.
    pub(crate) fn has_room_at(&self, may: impl Fn(Slot) -> bool) -> bool {
        self.order.first_of(may).is_some()
    }

    /// Takes one request off a worker's load: it ended, or it was parked.
    pub(crate) fn lighten(&mut self, slot: Slot) {
        self.seats[slot.index()].load -= 1;
        self.place(slot);
    }

    /// Forgets what the worker of this slot held: its process is gone.
    pub(crate) fn clear(&mut self, slot: Slot) {
        let seat = &mut self.seats[slot.index()];
        (seat.load, seat.cap) = (0, self.first_cap);
        self.place(slot);
    }

    /// How many requests this worker may hold, parked ones apart.
    pub(crate) fn cap(&self, slot: Slot) -> u32 {
        self.seats[slot.index()].cap
    }

    /// What it holds above that stays.
    pub(crate) fn set_cap(&mut self, slot: Slot, cap: u32) {
        self.seats[slot.index()].cap = cap;
        self.place(slot);
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
        seat.each = each(FULL);
        self.ramping.retain(|other| *other != slot);
        if beside_warm_ones {
            self.ramping.push(slot);
        }
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
            self.place(slot);
        }
    }

    /// Lets a worker that was out for a moment go on where it was.
    pub(crate) fn rejoin(&mut self, slot: Slot) {
        let seat = &mut self.seats[slot.index()];
        self.open += u32::from(!std::mem::replace(&mut seat.open, true));
        self.place(slot);
    }

    /// No new requests for this worker.
    pub(crate) fn leave(&mut self, slot: Slot) {
        let seat = &mut self.seats[slot.index()];
        self.open -= u32::from(std::mem::replace(&mut seat.open, false));
        self.place(slot);
    }
}

fn slot_at(index: usize) -> Slot {
    Slot(u16::try_from(index).expect("one seat a slot, and slots are counted in 16 bits"))
}

/// The weight of a full share. A power of two, and so few steps that scores stay exact integers.
const FULL: u32 = 16;

/// What a request counts for at a worker of this weight.
fn each(weight: u32) -> u32 {
    FULL * FULL / weight
}

/// A quarter share at first, growing in sixteenths to a full one.
fn weight(age: Duration, ramp: Duration) -> u32 {
    const FIRST: u32 = FULL / 4;
    if age >= ramp {
        return FULL;
    }
    let grown = age.as_nanos() * u128::from(FULL - FIRST) / ramp.as_nanos().max(1);
    FIRST + u32::try_from(grown).unwrap_or(FULL - FIRST).min(FULL - FIRST)
}

#[cfg(test)]
mod tests {
    use super::*;

    const RAMP: Duration = Duration::from_secs(10);

    /// Whose turn it is, by a look at every seat.
    fn first_by_scan(rotation: &Rotation, may: impl Fn(Slot) -> bool, now: Moment) -> Option<Slot> {
        let seats = rotation.seats.iter().enumerate().map(|(index, seat)| (slot_at(index), seat));
        let candidates = seats.filter(|(slot, seat)| seat.load < seat.limit() && may(*slot));
        let score = |(slot, seat): &(Slot, &Seat)| {
            let weight = match rotation.ramping.contains(slot) {
                true => weight(now.since(seat.joined), RAMP),
                false => FULL,
            };
            (seat.load * (FULL * FULL / weight), seat.picked)
        };
        candidates.min_by_key(score).map(|(slot, _)| slot)
    }

    #[test]
    fn whose_turn_it_is_is_what_a_look_at_every_seat_says() {
        const SLOTS: u16 = 13;
        let mut random = fastrand::Rng::with_seed(1);
        let mut rotation = Rotation::new(SLOTS.into(), 4, RAMP);
        let mut now = Moment::default();
        for _ in 0..20_000 {
            now = now + Duration::from_millis(random.u64(..100));
            let slot = Slot(random.u16(..SLOTS));
            match random.u8(..100) {
                0 => rotation.join(slot, now),
                1 => rotation.leave(slot),
                2 => rotation.rejoin(slot),
                3 => rotation.try_out(slot),
                4 => rotation.clear(slot),
                5 => rotation.set_cap(slot, random.u32(1..8)),
                6..10 => rotation.proven(slot),
                10..50 if rotation.seats[slot.index()].load > 0 => rotation.lighten(slot),
                10..60 => {
                    let may = |other: Slot| !(slot.0 + other.0).is_multiple_of(3);
                    let expected = first_by_scan(&rotation, may, now);
                    assert_eq!(rotation.claim_among(may, now), expected);
                }
                _ => {
                    let expected = first_by_scan(&rotation, |_| true, now);
                    assert_eq!(rotation.claim(now), expected);
                }
            }
        }
    }
}
