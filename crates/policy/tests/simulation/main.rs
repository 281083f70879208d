//! Simulated services under the real policy: no run breaks a promise, and no figure falls behind what is written down
//! in `model/goals.rs`.

mod model;

use model::figures::Summary;
use model::goals::GOALS;
use model::scenario::{SCENARIOS, Setup};

#[test]
fn a_healthy_pool_is_as_quick_as_one_ideal_queue() {
    keeps_its_figures("healthy");
}

#[test]
fn a_route_that_blocks_its_workers_leaves_some_to_the_others() {
    keeps_its_figures("outage");
}

#[test]
fn a_request_that_blocks_its_worker_now_and_then_harms_few_others() {
    keeps_its_figures("rare");
}

#[test]
fn requests_that_wait_on_a_live_loop_are_answered_and_harm_nobody() {
    keeps_its_figures("await");
}

#[test]
fn reports_that_take_long_are_answered_and_delay_others_little() {
    keeps_its_figures("legit");
}

#[test]
fn clients_that_ask_again_do_not_make_an_outage_worse() {
    keeps_its_figures("retries");
}

#[test]
fn an_outage_of_most_of_the_traffic_leaves_workers_to_the_rest() {
    keeps_its_figures("dominant");
}

#[test]
fn two_routes_that_block_at_once_leave_workers_to_the_rest() {
    keeps_its_figures("two-routes");
}

#[test]
fn a_route_that_is_slow_as_ever_is_answered_and_harms_nobody() {
    keeps_its_figures("slow-fine");
}

#[test]
fn a_load_that_doubles_as_the_outage_begins_is_learned_in_time() {
    keeps_its_figures("learned-need");
}

#[test]
fn thread_pools_that_are_full_do_not_stop_quick_requests() {
    keeps_its_figures("clogged");
}

#[test]
fn a_host_that_stood_still_costs_no_worker() {
    keeps_its_figures("host-stall");
}

#[test]
fn more_than_all_workers_can_do_leaves_them_doing_as_much_as_they_can() {
    keeps_its_figures("overload");
}

#[test]
fn workers_that_only_wait_get_as_many_requests_as_there_are() {
    keeps_its_figures("relays");
}

#[test]
fn workers_that_die_lose_little_more_than_what_they_held() {
    keeps_its_figures("crashes");
}

#[test]
fn no_scenario_breaks_a_promise() {
    for scenario in SCENARIOS {
        for server in scenario.servers {
            let summary = Summary::of_runs(scenario, Setup { server: *server, workers: 2, spare: 0 }, 1);
            let broken = summary.violations;
            assert!(broken.is_empty(), "{}, {} workers: {broken:#?}", scenario.about, server.as_str());
        }
    }
}

#[test]
fn the_same_seed_gives_the_same_run() {
    let once = || {
        let goal = &GOALS[0];
        let Summary { good, p50, p99, .. } = Summary::of_runs(goal.scenario(), goal.setup(), 1);
        (good, p50, p99)
    };
    assert_eq!(once(), once());
}

fn keeps_its_figures(scenario: &str) {
    let goals: Vec<_> = GOALS.iter().filter(|goal| goal.scenario == scenario).collect();
    let mut broken = Vec::new();
    for same_setup in goals.chunk_by(|one, next| one.setup() == next.setup()) {
        let scenario = same_setup[0].scenario();
        let summary = Summary::of_runs(scenario, same_setup[0].setup(), scenario.seeds);
        broken.extend(summary.violations.iter().take(3).cloned());
        for goal in same_setup {
            let figure = goal.measure.of(&summary);
            if !goal.is_kept_by(figure) {
                broken.push(format!("{goal}: {figure:.1}, was {}, goal {}", goal.today, goal.wanted));
            }
        }
    }
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}
