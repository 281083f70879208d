//! What the pool has learned of each route: how often it is asked for, how long it takes, which workers it is on, and
//! how it stands.
//!
//! Everything is of fixed size for a route, and routes are dense small numbers that the proxy bounds: whatever clients
//! send, this book does not grow beyond [`RouteId::LIMIT`] pages.

use crate::pool::PARK_AFTER;
use crate::standing::Standing;
use crate::{Moment, RouteId, Slot};
use std::time::Duration;

/// One page a route, made when the route is first met.
#[derive(Clone, Debug)]
pub(crate) struct Routes {
    pages: Vec<Option<Box<Route>>>,
    slots: usize,
    /// Since when the present window collects work.
    window: Moment,
    /// The mean number of workers that all routes together keep busy.
    need: f64,
    /// Completions a second, all routes together.
    rate: f64,
}

/// One route.
#[derive(Clone, Debug)]
pub(crate) struct Route {
    pub(crate) standing: Standing,
    /// What it has to do with each slot's worker.
    on: Vec<Presence>,
    /// How many slots that is.
    spread: u32,
    /// How many of its requests are parked.
    pub(crate) parked: u32,
    /// How many frozen and clogged workers it is blamed for.
    pub(crate) frozen: u32,
    /// When the most recently sent of its completed requests was sent.
    pub(crate) last_success: Moment,
    /// The same of those that took no time worth mentioning.
    last_quick: Moment,
    times: Times,
    /// Work completed in the present window.
    collected: Duration,
    completions: u32,
    /// The mean number of workers that it keeps busy.
    pub(crate) need: f64,
    /// Completions a second.
    rate: f64,
    /// How long its means were taken.
    known_for: Duration,
    /// Workers with an overdue request, and when they were last counted.
    pub(crate) overdue: Overdue,
}

/// A route at one worker.
#[derive(Clone, Copy, Debug, Default)]
struct Presence {
    /// Its requests there, parked ones too.
    held: u32,
    /// When the most recently sent of those completed there was sent.
    last_success: Moment,
}

/// A count that is taken anew only every few milliseconds.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Overdue {
    pub(crate) workers: u32,
    pub(crate) counted: Option<Moment>,
}

impl Routes {
    pub(crate) fn new(slots: usize, now: Moment) -> Self {
        Self { pages: Vec::new(), slots, window: now, need: 0.0, rate: 0.0 }
    }

    pub(crate) fn page(&mut self, route: RouteId) -> &mut Route {
        // Whoever numbers routes beyond the limit shares the last page.
        let index = (route.0.min(RouteId::LIMIT - 1)) as usize;
        if self.pages.len() <= index {
            self.pages.resize_with(index + 1, || None);
        }
        let slots = self.slots;
        self.pages[index].get_or_insert_with(|| Box::new(Route::new(slots)))
    }

    pub(crate) fn known(&self, route: RouteId) -> Option<&Route> {
        self.pages.get(route.0.min(RouteId::LIMIT - 1) as usize)?.as_deref()
    }

    pub(crate) fn all(&self) -> impl Iterator<Item = (RouteId, &Route)> {
        (0..).map(RouteId).zip(&self.pages).filter_map(|(id, page)| Some((id, page.as_deref()?)))
    }

    /// The mean number of workers that the other routes keep busy.
    pub(crate) fn need_of_others(&self, route: RouteId) -> f64 {
        (self.need - self.known(route).map_or(0.0, |page| page.need)).max(0.0)
    }

    /// The mean number of workers that all routes keep busy.
    pub(crate) fn need(&self) -> f64 {
        self.need
    }

    /// Whether this route is most of what the pool does.
    pub(crate) fn is_major(&self, route: RouteId) -> bool {
        self.known(route).is_none_or(|page| page.need * MINOR_PARTS >= self.need)
    }

    /// How much of all that is answered belongs to this route: everything, while nothing is known.
    pub(crate) fn share(&self, route: RouteId) -> f64 {
        let own = self.known(route).map_or(0.0, |page| page.rate);
        if self.rate > 0.0 { own / self.rate } else { 1.0 }
    }

    /// Whether its requests keep workers many times longer than those of the other routes do.
    pub(crate) fn is_heavy(&self, route: RouteId) -> bool {
        let Some(page) = self.known(route) else { return false };
        let others = self.rate - page.rate;
        others > 0.0 && page.need * others > page.rate * self.need_of_others(route) * HEAVY
    }

    /// Whether the window is over.
    pub(crate) fn is_due(&self, now: Moment) -> bool {
        now.since(self.window) >= WINDOW
    }

    /// Closes the window: what was completed in it becomes part of the means. `busy` is how many workers
    /// were busy by their own clocks, if somebody measured it: where many requests wait at once in one worker, their
    /// duration says little about the work they cause, and is only used to share it out.
    pub(crate) fn turn(&mut self, busy: Option<f64>, now: Moment) {
        let length = now.since(self.window);
        self.window = now;
        let pages = || self.pages.iter().flatten();
        let collected: Duration = pages().map(|page| page.collected).sum();
        let completions: u32 = pages().map(|page| page.completions).sum();
        let (mut need, mut rate) = (0.0, 0.0);
        for page in self.pages.iter_mut().flatten() {
            let share = match busy {
                Some(busy) => busy * f64::from(page.completions) / f64::from(completions.max(1)),
                None => page.collected.as_secs_f64() / length.as_secs_f64(),
            };
            // A second in which nothing was completed says that something is wrong, not that nothing is needed.
            if !collected.is_zero() {
                // A young route's mean is that of its whole life.
                page.known_for += length;
                let half_life = (page.known_for / 2).min(HALF_LIFE);
                let keep = 0.5_f64.powf(length.as_secs_f64() / half_life.as_secs_f64());
                let mean =
                    |old: f64, new: f64| if old == 0.0 { new } else { old * keep + new * (1.0 - keep) };
                page.need = mean(page.need, share);
                page.rate = mean(page.rate, f64::from(page.completions) / length.as_secs_f64());
            }
            page.collected = Duration::ZERO;
            page.completions = 0;
            need += page.need;
            rate += page.rate;
        }
        (self.need, self.rate) = (need, rate);
    }

    /// The worker in this slot is gone, with all that it held.
    pub(crate) fn clear(&mut self, slot: Slot) {
        for page in self.pages.iter_mut().flatten() {
            if std::mem::take(&mut page.on[slot.index()].held) > 0 {
                page.spread -= 1;
            }
        }
    }
}

impl Route {
    fn new(slots: usize) -> Self {
        Self {
            standing: Standing::Good,
            on: vec![Presence::default(); slots],
            spread: 0,
            parked: 0,
            frozen: 0,
            last_success: Moment::default(),
            last_quick: Moment::default(),
            times: Times::default(),
            collected: Duration::ZERO,
            completions: 0,
            need: 0.0,
            rate: 0.0,
            known_for: Duration::ZERO,
            overdue: Overdue::default(),
        }
    }

    /// A request of this route went to the worker in this slot.
    pub(crate) fn enter(&mut self, slot: Slot) {
        let count = &mut self.on[slot.index()].held;
        *count += 1;
        self.spread += u32::from(*count == 1);
    }

    /// One left.
    pub(crate) fn leave(&mut self, slot: Slot) {
        let count = &mut self.on[slot.index()].held;
        if *count > 0 {
            *count -= 1;
            self.spread -= u32::from(*count == 0);
        }
    }

    /// How many workers hold requests of this route.
    pub(crate) fn spread(&self) -> u32 {
        self.spread
    }

    /// How many of its requests the worker in this slot holds.
    pub(crate) fn held_by(&self, slot: Slot) -> u32 {
        self.on[slot.index()].held
    }

    /// One was answered whole, by the worker in this slot.
    pub(crate) fn completed(&mut self, slot: Slot, sent: Moment, now: Moment) {
        let took = now.since(sent);
        self.last_success = self.last_success.max(sent);
        if took < PARK_AFTER {
            self.last_quick = self.last_quick.max(sent);
        }
        let here = &mut self.on[slot.index()].last_success;
        *here = (*here).max(sent);
        // One request that hung for half a minute must not make a quick route a big one.
        self.collected += took.min(self.times.typical().saturating_mul(8).max(Duration::from_millis(100)));
        self.completions += 1;
        self.times.add(took);
    }

    /// How long all but one in a hundred of its requests take at the most; nothing while too few are known.
    pub(crate) fn p99(&self) -> Option<Duration> {
        self.times.p99
    }

    /// Completions a second.
    pub(crate) fn rate(&self) -> f64 {
        self.rate
    }

    /// Whether nearly all of its requests are answered before others would be parked.
    pub(crate) fn is_quick(&self) -> bool {
        self.times.p99.is_some_and(|p99| p99 < PARK_AFTER)
    }

    /// Whether a request that was sent to this worker then is overtaken by its like elsewhere, and by none here: it
    /// does not wait for anything that the route waits for, but stands still on this worker.
    pub(crate) fn is_overtaken(&self, slot: Slot, sent: Moment) -> bool {
        self.is_quick() && self.last_quick > sent && self.on[slot.index()].last_success <= sent
    }

    /// Whether its requests usually take so long that they must be waiting for something.
    pub(crate) fn is_slow(&self) -> bool {
        self.times.is_known() && self.times.typical() >= SLOW
    }
}

/// How long requests take: counts by size class, halved from time to time so that the past fades.
#[derive(Clone, Copy, Debug)]
struct Times {
    /// Class `i` holds durations below `2^(i/2)` times 250 us, above those of the class before.
    classes: [u16; CLASSES],
    total: u32,
    p99: Option<Duration>,
}

impl Default for Times {
    fn default() -> Self {
        Self { classes: [0; CLASSES], total: 0, p99: None }
    }
}

impl Times {
    fn add(&mut self, took: Duration) {
        self.classes[class_of(took)] += 1;
        self.total += 1;
        if self.total >= FADE_AT {
            self.total = 0;
            for class in &mut self.classes {
                *class /= 2;
                self.total += u32::from(*class);
            }
        }
        if self.total >= KNOWN && (self.total.is_multiple_of(16) || self.p99.is_none()) {
            self.p99 = Some(self.quantile(99));
        }
    }

    fn is_known(&self) -> bool {
        self.p99.is_some()
    }

    fn typical(&self) -> Duration {
        if self.total == 0 { Duration::ZERO } else { self.quantile(50) }
    }

    /// The upper bound of the class in which this share of all lies.
    fn quantile(&self, percent: u32) -> Duration {
        let wanted = (self.total * percent).div_ceil(100);
        let mut seen = 0;
        for (index, count) in self.classes.iter().enumerate() {
            seen += u32::from(*count);
            if seen >= wanted {
                return bound_of(index);
            }
        }
        bound_of(CLASSES - 1)
    }
}

fn class_of(took: Duration) -> usize {
    let units = took.as_nanos().div_ceil(UNIT);
    let octave = units.max(1).ilog2();
    if octave < FIRST_OCTAVE {
        return 0;
    }
    if octave > 60 {
        return CLASSES - 1;
    }
    // The second half of each octave begins at the square root of two.
    let upper = units.pow(2) > 1 << (2 * octave + 1);
    (2 * (octave - FIRST_OCTAVE) as usize + 1 + usize::from(upper)).min(CLASSES - 1)
}

fn bound_of(class: usize) -> Duration {
    let octave = Duration::from_micros(250).saturating_mul(1 << (class / 2));
    if class.is_multiple_of(2) { octave } else { octave.mul_f64(std::f64::consts::SQRT_2) }
}

/// A 1,024th of 250 us, so that the square root of two is met closely enough.
const UNIT: u128 = 244;
const FIRST_OCTAVE: u32 = 10;

/// From a quarter of a millisecond to half an hour.
const CLASSES: usize = 46;

/// Below so many completions nothing is concluded from a route's times.
const KNOWN: u32 = 20;

/// At so many the counts are halved.
const FADE_AT: u32 = 1024;

/// A route that usually takes this long waits for something, on a worker that can serve others meanwhile.
const SLOW: Duration = Duration::from_millis(250);

/// A route that causes less than a tenth of the work is a minor one.
const MINOR_PARTS: f64 = 10.0;

/// Beyond so many times the time of the others, a route's requests are heavy.
const HEAVY: f64 = 8.0;

/// How often the means are brought up to date.
const WINDOW: Duration = Duration::from_millis(500);

/// After so long, half of a mean is new.
const HALF_LIFE: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_class_bounds_what_it_holds_from_above_and_not_by_much() {
        for micros in [1, 249, 250, 300, 353, 354, 499, 500, 1_000, 5_000, 23_456, 1_000_000, 30_000_000] {
            let took = Duration::from_micros(micros);
            let bound = bound_of(class_of(took));
            assert!(took <= bound.mul_f64(1.003), "{took:?} is above {bound:?}");
            assert!(micros < 250 || bound <= took.mul_f64(1.4143), "{took:?} is far below {bound:?}");
        }
        assert_eq!(class_of(Duration::MAX), CLASSES - 1);
    }

    #[test]
    fn the_tail_is_known_after_twenty_and_follows_a_change() {
        let mut times = Times::default();
        for _ in 0..19 {
            times.add(Duration::from_millis(5));
        }
        assert_eq!(times.p99, None);
        for _ in 0..200 {
            times.add(Duration::from_millis(5));
        }
        assert!(times.p99 < Some(Duration::from_millis(8)), "{times:?}");
        for _ in 0..4_000 {
            times.add(Duration::from_millis(400));
        }
        assert!(times.typical() >= Duration::from_millis(400), "{times:?}");
    }

    #[test]
    fn the_need_of_a_route_is_the_number_of_workers_that_it_keeps_busy() {
        let mut now = Moment::default();
        let mut routes = Routes::new(4, now);
        for _ in 0..100 {
            now = now + Duration::from_millis(100);
            // Ten times a second, 30 ms each, and once 100 ms each.
            for _ in 0..10 {
                routes.page(RouteId(1)).completed(Slot(0), now - Duration::from_millis(30), now);
            }
            routes.page(RouteId(2)).completed(Slot(0), now - Duration::from_millis(10), now);
            if routes.is_due(now) {
                routes.turn(None, now);
            }
        }
        assert!((routes.need_of_others(RouteId(2)) - 3.0).abs() < 0.1, "{}", routes.need());
        assert!((routes.need_of_others(RouteId(1)) - 0.1).abs() < 0.02);
        assert!(routes.is_major(RouteId(1)) && !routes.is_major(RouteId(2)));
    }
}
