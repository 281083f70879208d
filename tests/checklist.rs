//! Keeps the checklist (`tests/README.md`) true: each row is answered, and by tests that exist.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

#[test]
fn every_row_of_the_checklist_is_answered() {
    let rows: BTreeSet<String> = rows().into_iter().map(|(row, _)| row).collect();
    let owed = (1..=72).map(|row| row.to_string()).chain((1..=45).map(|row| format!("C{row}")));
    let owed = owed.chain((7..=20).chain([39, 41, 42]).map(|row| format!("F{row}")));
    let missing: Vec<String> = owed.filter(|row| !rows.contains(row)).collect();
    assert!(missing.is_empty(), "rows {missing:?} of the checklist are missing");
    for (row, answer) in self::rows() {
        let is_answered = !names(&answer).is_empty()
            || ["known gap: ", "no concern: "].iter().any(|word| answer.contains(word))
            || answer.contains("`tests/conformance/");
        assert!(is_answered, "row {row} names no test and no reason: {answer}");
    }
}

#[test]
fn the_checklist_names_tests_and_commands_that_exist() {
    for (row, answer) in rows() {
        for name in names(&answer) {
            let (module, test) = name.rsplit_once("::").expect("a path has two parts");
            let exists = sources(module).iter().any(|file| defines(file, test));
            assert!(exists, "row {row} names a test that does not exist: {name}");
        }
        for command in quoted(&answer).filter(|word| word.starts_with("tests/")) {
            let file = command.split(' ').next().unwrap_or(command);
            assert!(root().join(file).exists(), "row {row} names a command that does not exist: {command}");
        }
    }
}

/// The rows of all tables: the first cell, and the last.
fn rows() -> Vec<(String, String)> {
    let text = fs::read_to_string(root().join("tests/README.md")).expect("the checklist is there");
    let cells = text.lines().filter_map(|line| line.strip_prefix("| ")?.strip_suffix(" |"));
    let pairs = cells.filter_map(|line| Some((line.split(" | ").next()?, line.rsplit(" | ").next()?)));
    let numbered = pairs.filter(|(row, _)| row.trim_start_matches(['C', 'F']).parse::<u32>().is_ok());
    numbered.map(|(row, answer)| (row.to_owned(), answer.to_owned())).collect()
}

/// The tests that an answer names, as `cargo nextest` does.
fn names(answer: &str) -> Vec<&str> {
    quoted(answer).filter(|word| word.contains("::")).collect()
}

fn quoted(answer: &str) -> impl Iterator<Item = &str> {
    answer.split('`').skip(1).step_by(2)
}

/// The files that may hold a module: of the end-to-end tests, or of a crate, where its tests may be in a file of their own.
fn sources(module: &str) -> Vec<PathBuf> {
    let path = module.replace("::", "/");
    let (first, rest) = path.split_once('/').unwrap_or((&path, "lib"));
    let home = match first {
        "antifreeze" => root().join("crates/antifreeze"),
        name => root().join("crates").join(name).join("src"),
    };
    let own = rest.strip_suffix("/tests").unwrap_or(rest);
    vec![
        root().join("tests").join(format!("{path}.rs")),
        home.join(format!("{rest}.rs")),
        home.join(format!("{own}.rs")),
    ]
}

/// Whether a file has a test of this name.
fn defines(file: &Path, test: &str) -> bool {
    let text = fs::read_to_string(file).unwrap_or_default();
    text.lines().any(|line| {
        let line = line.trim_start();
        let line = line.strip_prefix("async ").unwrap_or(line);
        line.strip_prefix("fn ")
            .and_then(|rest| rest.strip_prefix(test))
            .is_some_and(|rest| rest.starts_with('('))
    })
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}
