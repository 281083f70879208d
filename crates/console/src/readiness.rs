//! Whether every pool can serve: what `/readyz` answers.

use crate::{Snapshot, Stage};
use policy::Phase;
use std::fmt::Write;
use supervisor::PoolStatus;

/// Which pools can serve, in words.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Readiness {
    /// All of them.
    Ready,
    /// The service is about to end, or at least one cannot. One line for each reason.
    Unready(String),
}

impl Readiness {
    pub(crate) fn of(Snapshot { stage, pools }: &Snapshot) -> Self {
        match stage {
            Stage::Running => {}
            Stage::Draining => return Self::Unready(DRAINING.to_owned()),
        }
        let lines: String =
            pools.iter().filter(|pool| !is_ready(pool)).map(|pool| format!("{}\n", describe(pool))).collect();
        if lines.is_empty() { Self::Ready } else { Self::Unready(lines) }
    }
}

/// Every pool, ready (`[+]`) or not (`[-]`): the form of Kubernetes' own `?verbose`.
pub(crate) fn verbose(Snapshot { stage, pools }: &Snapshot) -> String {
    let begin = match stage {
        Stage::Running => String::new(),
        Stage::Draining => format!("[-]{DRAINING}"),
    };
    pools.iter().fold(begin, |mut text, pool| {
        let sign = if is_ready(pool) { '+' } else { '-' };
        let _ = writeln!(text, "[{sign}]{}", describe(pool));
        text
    })
}

/// A suspect counts: most suspicions are answered within milliseconds, and the rest become frozen within half a
/// second. A balancer in front must not see one slow request as an outage of a single worker's pool.
fn is_ready(pool: &PoolStatus) -> bool {
    pool.workers.iter().any(|worker| match worker.phase {
        Phase::Serving | Phase::Suspect => worker.wanted,
        Phase::Waiting
        | Phase::Starting
        | Phase::Clogged
        | Phase::Frozen
        | Phase::Draining
        | Phase::Stopping
        | Phase::Killing => false,
    })
}

fn describe(pool: &PoolStatus) -> String {
    let counts: Vec<String> = Phase::ALL
        .iter()
        .filter_map(|phase| {
            let count = pool.workers.iter().filter(|worker| worker.phase == *phase).count();
            (count > 0).then(|| format!("{count} {phase}"))
        })
        .collect();
    let counts = if counts.is_empty() { "no workers".to_owned() } else { counts.join(", ") };
    match is_ready(pool) {
        true => format!("pool {}: {counts}", pool.name),
        false => format!("pool {}: no worker serves ({counts})", pool.name),
    }
}

const DRAINING: &str = "draining: no more connections are taken\n";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::samples::{pool, running};

    #[test]
    fn every_pool_needs_one_worker_that_serves() {
        use Phase::{Draining, Frozen, Killing, Serving, Starting, Stopping, Suspect, Waiting};
        let rows: [(&[Phase], bool); 9] = [
            (&[Serving], true),
            (&[Frozen, Waiting, Serving], true),
            (&[Suspect], true),
            (&[Frozen, Frozen], false),
            (&[Starting, Waiting], false),
            (&[Draining], false),
            (&[Stopping, Killing], false),
            (&[Waiting], false),
            (&[], false),
        ];
        for (phases, ready) in rows {
            let alone = Readiness::of(&running(vec![pool("app", phases)]));
            assert_eq!(alone == Readiness::Ready, ready, "{phases:?}");
            let beside = Readiness::of(&running(vec![pool("app", &[Serving]), pool("api", phases)]));
            assert_eq!(beside == Readiness::Ready, ready, "{phases:?} beside a pool that serves");
        }
    }

    #[test]
    fn it_says_which_pool_cannot_serve_and_why() {
        let pools =
            running(vec![pool("app", &[Phase::Serving]), pool("api", &[Phase::Starting, Phase::Frozen])]);
        let why = "pool api: no worker serves (1 starting, 1 frozen)\n";
        assert_eq!(Readiness::of(&pools), Readiness::Unready(why.to_owned()));
        assert_eq!(verbose(&pools), format!("[+]pool app: 1 serving\n[-]{why}"));
    }

    #[test]
    fn a_service_that_drains_is_not_ready_though_its_workers_serve() {
        let snapshot = Snapshot { stage: Stage::Draining, ..running(vec![pool("app", &[Phase::Serving])]) };
        assert_eq!(Readiness::of(&snapshot), Readiness::Unready(DRAINING.to_owned()));
        assert_eq!(verbose(&snapshot), format!("[-]{DRAINING}[+]pool app: 1 serving\n"));
    }
}
