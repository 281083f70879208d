//! Who gets the next request.

use crate::support::Program;
use std::collections::HashMap;

#[test]
fn equal_requests_one_at_a_time_are_shared_equally() {
    let mut program = Program::start(&["demo", "--workers", "4"]);
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
