//! Values by place, kept in pages of 64: what a burst leaves empty is given back page by page.
//!
//! A place that was given out stays where it is until its value leaves, so nothing can be moved together after a burst. But
//! new values go to the lowest page that has room, so that the others run empty, and one that is empty is given back, wherever
//! it is: what is kept is no more than a page for each value that stays, one more, and 16 bytes for each page of the peak. To
//! grow takes a new page, and no copy of all that is there.

/// The values.
#[derive(Clone, Debug)]
pub(crate) struct Pages<T> {
    pages: Vec<Page<T>>,
    /// No page below this one has room.
    first: usize,
    /// Places without a value in all pages that are there.
    vacant: usize,
}

#[derive(Clone, Debug)]
struct Page<T> {
    /// A bit for each place that has a value. Of a page that is not there: all.
    taken: u64,
    values: Option<Box<[Option<T>; PAGE]>>,
}

impl<T> Pages<T> {
    pub(crate) fn new() -> Self {
        Self { pages: Vec::new(), first: 0, vacant: 0 }
    }

    /// Keeps a value, and tells where: in the lowest page that has room.
    #[inline]
    pub(crate) fn add(&mut self, value: T) -> u32 {
        if self.pages.get(self.first).is_none_or(|page| page.taken == ALL) {
            self.find_room();
        }
        let page = &mut self.pages[self.first];
        let within = page.taken.trailing_ones() as usize;
        let values = page.values.as_mut().expect("a page that has room is there");
        values[within] = Some(value);
        page.taken |= 1 << within;
        self.vacant -= 1;
        u32::try_from(self.first * PAGE + within).expect("fewer requests than 2^32 fit in memory")
    }

    /// Keeps a value at this place, instead of the one that is there.
    #[inline]
    pub(crate) fn set(&mut self, place: u32, value: T) {
        let (number, within) = split(place);
        if self.pages.get(number).is_none_or(|page| page.values.is_none()) {
            self.open(number);
        }
        let page = &mut self.pages[number];
        page.values.as_mut().expect("it was opened")[within] = Some(value);
        let bit = 1 << within;
        self.vacant -= usize::from(page.taken & bit == 0);
        page.taken |= bit;
    }

    #[inline]
    pub(crate) fn get(&self, place: u32) -> Option<&T> {
        let (number, within) = split(place);
        self.pages.get(number)?.values.as_ref()?[within].as_ref()
    }

    #[inline]
    pub(crate) fn get_mut(&mut self, place: u32) -> Option<&mut T> {
        self.slot_mut(place)?.as_mut()
    }

    /// Takes a value out.
    pub(crate) fn take(&mut self, place: u32) -> Option<T> {
        let value = self.slot_mut(place)?.take()?;
        self.vacate(place);
        Some(value)
    }

    /// Drops the value that is here.
    #[inline]
    pub(crate) fn clear(&mut self, place: u32) {
        if let Some(slot) = self.slot_mut(place)
            && slot.is_some()
        {
            *slot = None;
            self.vacate(place);
        }
    }

    #[inline]
    fn slot_mut(&mut self, place: u32) -> Option<&mut Option<T>> {
        let (number, within) = split(place);
        Some(&mut self.pages.get_mut(number)?.values.as_mut()?[within])
    }

    /// A place has no value any more. If its page is empty now, and the others have room enough for a while, that is given
    /// back: not before 64 values came will there be another one.
    #[inline]
    fn vacate(&mut self, place: u32) {
        let (number, within) = split(place);
        let page = &mut self.pages[number];
        page.taken &= !(1 << within);
        self.vacant += 1;
        self.first = self.first.min(number);
        if self.pages[number].taken == 0 && self.vacant >= 2 * PAGE {
            self.close(number);
        }
    }

    /// Sets the first page that has room, and opens one if there is none.
    #[cold]
    fn find_room(&mut self) {
        let found = self.pages[self.first..].iter().position(|page| page.taken != ALL);
        match found {
            Some(ahead) => self.first += ahead,
            None => {
                let absent = self.pages.iter().position(|page| page.values.is_none());
                let number = absent.unwrap_or(self.pages.len());
                self.open(number);
                self.first = number;
            }
        }
    }

    #[cold]
    fn open(&mut self, number: usize) {
        if self.pages.len() <= number {
            self.pages.resize_with(number + 1, Page::absent);
        }
        let values = Some(Box::new([const { None }; PAGE]));
        self.pages[number] = Page { taken: 0, values };
        self.vacant += PAGE;
        self.first = self.first.min(number);
    }

    #[cold]
    fn close(&mut self, number: usize) {
        self.pages[number] = Page::absent();
        self.vacant -= PAGE;
        while self.pages.pop_if(|page| page.values.is_none()).is_some() {}
        self.first = self.first.min(self.pages.len());
    }
}

impl<T> Page<T> {
    fn absent() -> Self {
        Self { taken: ALL, values: None }
    }
}

/// The number of a place's page, and where it is in there.
fn split(place: u32) -> (usize, usize) {
    (place as usize / PAGE, place as usize % PAGE)
}

/// As many as a word has bits.
const PAGE: usize = 64;
const ALL: u64 = u64::MAX;

#[cfg(test)]
mod tests {
    use super::*;

    fn kept<T>(pages: &Pages<T>) -> usize {
        pages.pages.iter().filter(|page| page.values.is_some()).count()
    }

    fn filled(count: u32) -> Pages<u32> {
        let mut pages = Pages::new();
        for value in 0..count {
            assert_eq!(pages.add(value), value);
        }
        pages
    }

    #[test]
    fn what_a_burst_leaves_empty_is_given_back() {
        for descending in [false, true] {
            let mut pages = filled(10_000);
            assert_eq!(kept(&pages), 157);
            for turn in 0..10_000 {
                let place = if descending { 9_999 - turn } else { turn };
                assert_eq!(pages.take(place), Some(place));
            }
            assert_eq!(kept(&pages), 1);
        }
    }

    #[test]
    fn who_stays_keeps_a_page_and_no_more_wherever_it_is() {
        let mut pages = filled(10_000);
        let stays = [70, 5_000, 9_999];
        for place in (0..10_000).filter(|place| !stays.contains(place)) {
            pages.take(place);
        }
        assert!(kept(&pages) <= stays.len() + 1);
        assert_eq!(stays.map(|place| pages.get(place).copied()), stays.map(Some));
        for place in stays {
            assert_eq!(pages.take(place), Some(place));
        }
        assert_eq!((kept(&pages), pages.get(5_000)), (1, None));
    }

    #[test]
    fn new_values_go_to_the_lowest_page_that_is_there_and_has_room() {
        let mut pages = filled(1_000);
        for place in (64..128).chain([300, 200]) {
            pages.take(place);
        }
        let places: Vec<u32> = (0..4).map(|value| pages.add(value)).collect();
        assert_eq!(places[..2], [64, 65], "an empty page that nobody else has room for is kept");
        for place in (0..64).chain(places).chain(128..192) {
            pages.take(place);
        }
        assert_eq!(kept(&pages), 14);
        let places: Vec<u32> = (0..66).map(|value| pages.add(value)).collect();
        assert_eq!((places[0], places[64], kept(&pages)), (64, 200, 14));
    }

    #[test]
    fn coming_and_going_at_a_pages_edge_takes_and_gives_back_nothing() {
        let mut pages = filled(128);
        for _ in 0..100 {
            let more: Vec<u32> = (0..64).map(|value| pages.add(value)).collect();
            assert_eq!(kept(&pages), 3);
            for place in more {
                pages.take(place);
            }
            assert_eq!(kept(&pages), 3);
        }
    }

    #[test]
    fn a_place_that_others_chose_is_as_good() {
        let mut pages = Pages::new();
        pages.set(1_000, 'a');
        pages.set(1_000, 'b');
        pages.set(3, 'c');
        pages.set(2_000, 'd');
        assert_eq!((kept(&pages), pages.get(1_000), pages.get(999)), (3, Some(&'b'), None));
        assert_eq!((pages.take(2_000), pages.take(2_000), pages.take(70_000)), (Some('d'), None, None));
        assert_eq!((kept(&pages), pages.pages.len(), pages.get_mut(3)), (2, 16, Some(&mut 'c')));
    }

    /// Against a table of places, in an order that is different each time.
    #[test]
    fn values_are_found_where_they_were_put_and_nowhere_else() {
        let mut pages = Pages::new();
        let mut table: Vec<Option<u64>> = vec![None; 2_000];
        let mut random = 1_u64;
        for turn in 0..100_000_u64 {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            // Tides: more come than go, then more go than come.
            let comes = (random >> 60) < if turn / 4_000 % 2 == 0 { 10 } else { 6 };
            let place = (random >> 33) as usize % table.len();
            if comes && table.iter().flatten().count() < table.len() / 2 {
                let place = pages.add(turn) as usize;
                assert!(place < table.len() && table[place].replace(turn).is_none(), "it was vacant");
            } else {
                assert_eq!(pages.take(place as u32), table[place].take());
            }
            assert_eq!(pages.get(place as u32), table[place].as_ref());
        }
    }
}
