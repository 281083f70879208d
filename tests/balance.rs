//! Who gets the next request.

use crate::support::Program;
use std::collections::HashMap;

#[test]
fn equal_requests_one_at_a_time_are_shared_equally() {
    // Nothing else takes a turn, and no worker misses one because the machine was busy for a moment.
    let alone = ["--openapi", "off", "--suspect-after", "10s"];
    let mut program = Program::start(&[&["demo", "--workers", "4"], &alone[..]].concat());
    for _ in 0..4 {
        program.wait_for_line("now=\"serving\"");
    }
    let mut served: HashMap<u32, u32> = HashMap::new();
    for _ in 0..400 {
        *served.entry(program.get("/").pid()).or_default() += 1;
    }
    assert_eq!(served.len(), 4, "{served:?}");
    assert!(served.values().all(|count| (99..=101).contains(count)), "{served:?}");
}
