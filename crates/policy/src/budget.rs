//! How many requests may be sent twice: a share of all, so that a pool in trouble is not given twice the work.

use crate::Moment;

/// A bucket of permissions, filled by requests and by time.
#[derive(Clone, Debug)]
pub(crate) struct Budget {
    /// In hundredths of a permission.
    hundredths: u64,
    filled: Moment,
}

impl Budget {
    pub(crate) fn new(now: Moment) -> Self {
        Self { hundredths: FULL, filled: now }
    }

    /// A request came in.
    pub(crate) fn earn(&mut self) {
        self.hundredths = (self.hundredths + PER_REQUEST).min(FULL);
    }

    /// Takes one permission, if there is one.
    pub(crate) fn spend(&mut self, now: Moment) -> bool {
        let millis = u64::try_from(now.since(self.filled).as_millis()).unwrap_or(u64::MAX);
        self.filled = now;
        self.hundredths = self.hundredths.saturating_add(millis.saturating_mul(PER_MILLISECOND)).min(FULL);
        let enough = self.hundredths >= ONE;
        if enough {
            self.hundredths -= ONE;
        }
        enough
    }
}

const ONE: u64 = 100;

/// A fifth: the rule of thumb of retry budgets (Finagle, linkerd).
const PER_REQUEST: u64 = 20;

/// Ten a second, for pools with little to do.
const PER_MILLISECOND: u64 = 1;

/// What one frozen worker may hold, and as much again.
const FULL: u64 = 128 * ONE;

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn after_a_burst_a_fifth_of_the_requests_and_ten_a_second_may_be_sent_twice() {
        let mut now = Moment::default();
        let mut budget = Budget::new(now);
        while budget.spend(now) {}
        for _ in 0..100 {
            budget.earn();
        }
        assert_eq!(std::iter::from_fn(|| budget.spend(now).then_some(())).count(), 20);
        now = now + Duration::from_secs(2);
        assert_eq!(std::iter::from_fn(|| budget.spend(now).then_some(())).count(), 20);
    }
}
