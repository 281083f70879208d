//! Workers that die are replaced, and cost at most what they held.

use crate::support::{Program, signal_process, until};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

#[test]
fn killed_workers_cost_at_most_the_request_each_of_them_held() {
    let kills: u32 = std::env::var("KILLS").ok().and_then(|kills| kills.parse().ok()).unwrap_or(20);
    let mut program = Program::start(&["demo", "--workers", "4"]);
    for _ in 0..4 {
        program.wait_for_line("now=\"serving\"");
    }
    let done = AtomicBool::new(false);
    let (asked, failed) = thread::scope(|scope| {
        let load = scope.spawn(|| {
            let (mut asked, mut failed) = (0, Vec::new());
            while !done.load(Ordering::Relaxed) {
                asked += 1;
                let answer = program.get("/");
                if answer.status != 200 {
                    failed.push(answer);
                }
            }
            (asked, failed)
        });
        for _ in 0..kills {
            let worker = until("a worker answers", || Some(program.get("/").pid()).filter(|pid| *pid > 0));
            signal_process(worker, "KILL");
        }
        done.store(true, Ordering::Relaxed);
        load.join().expect("the load ran")
    });
    println!("{kills} kills, {asked} requests beside them, {} failed", failed.len());
    assert!(failed.len() <= kills as usize, "{failed:?}");
    assert!(failed.iter().all(|answer| answer.status == 502 && answer.body.contains("lost")), "{failed:?}");
}

#[test]
fn every_request_that_fails_while_workers_are_killed_was_held_by_one_of_them() {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/soak/kills");
    let mut command = std::process::Command::new(script);
    let output = command.env("ANTIFREEZE", env!("CARGO_BIN_EXE_antifreeze")).env("KILLS", "12").output();
    let output = output.expect("it can be executed");
    let told = String::from_utf8_lossy(&output.stdout);
    println!("{told}");
    assert!(output.status.success(), "{told}{}", String::from_utf8_lossy(&output.stderr));
}
