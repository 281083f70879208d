//! What holds between the settings, their flags, and the files that show them. What users see of wrong files is in
//! `tests/config.rs`.

use super::file::Document;
use super::raw::{File, Flags};
use super::{DEFAULT_POOL, Settings};
use crate::args;
use proptest::prelude::*;
use proxy::{Listener, Role};
use std::collections::BTreeSet;
use std::fs;
use std::num::NonZeroU16;
use std::path::{Path, PathBuf};

const PROCESSORS: NonZeroU16 = NonZeroU16::new(3).expect("it is not zero");

fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(name: &str) -> (Document, Settings) {
    let (document, file) = Document::read(&repository().join("config").join(name)).unwrap();
    let settings = Settings::new(&Flags::default(), &file, PROCESSORS).unwrap();
    (document, settings)
}

#[test]
fn the_file_that_shows_every_key_says_the_defaults() {
    let (_, settings) = read("antifreeze.yaml");
    let mut expected = Settings::defaults(PROCESSORS);
    expected.pool.name = "app".to_owned();
    expected.pool.command = vec!["uvicorn".to_owned(), "main:app".to_owned()];
    expected.pool.runtime_directory = PathBuf::from("/tmp");
    assert_eq!(settings, expected);
}

#[test]
fn the_file_that_shows_every_key_leaves_none_out_and_names_each_flag() {
    let (document, _) = read("antifreeze.yaml");
    let text = fs::read_to_string(repository().join("config/antifreeze.yaml")).unwrap();
    let without_flag = ["listeners[0].redirect", "routes[0].path", "routes[0].pool"].map(str::to_owned);
    let ids = args::ids().into_iter().filter(|id| !id.starts_with(TLS));
    for id in ids.chain(without_flag) {
        must_show(&id, &document, &text);
    }
}

#[test]
fn the_file_that_shows_tls_leaves_no_key_of_it_out_says_the_defaults_and_names_each_flag() {
    let (document, settings) = read("tls.yaml");
    let text = fs::read_to_string(repository().join("config/tls.yaml")).unwrap();
    for id in args::ids().into_iter().filter(|id| id.starts_with(TLS)) {
        must_show(&id, &document, &text);
    }
    let [Listener { role: Role::Https(options), .. }, Listener { role: Role::Redirect(_), .. }] =
        &settings.listeners[..]
    else {
        panic!("one listener with TLS and one that redirects: {:?}", settings.listeners)
    };
    assert_eq!(options.min_version, tls::Version::default());
    assert_eq!(options.client_auth, tls::ClientAuth::Off);
}

/// Keys of TLS have a file of their own: where they are, TLS is no longer off.
const TLS: &str = "listeners[0].tls.";

fn must_show(id: &str, document: &Document, text: &str) {
    let key = id.replacen("pool.", "pools.app.", 1);
    assert!(document.locate(&key).is_some(), "{key} is missing");
    let flag = args::flag(id);
    let named = |line: &str| line.contains(&format!("# {flag}"));
    assert!(matches!(&flag[..], "COMMAND") || text.lines().any(named), "{key} does not name {flag}");
}

#[test]
fn every_flag_is_a_setting_that_check_can_show() {
    let shown: BTreeSet<_> =
        Settings::defaults(PROCESSORS).rows(PROCESSORS).into_iter().map(|(id, _)| id).collect();
    let ids = args::ids();
    let flags: BTreeSet<_> = ids.iter().map(String::as_str).filter(|id| *id != "pool.command").collect();
    assert_eq!(shown, flags);
}

#[test]
fn the_command_line_is_consistent_and_fits_a_terminal() {
    let mut command = args::command();
    command.clone().debug_assert();
    for name in ["run", "check", "demo"] {
        let subcommand = command.find_subcommand_mut(name).unwrap();
        let help = subcommand.clone().term_width(80).render_long_help().to_string();
        let long: Vec<_> = help.lines().filter(|line| line.chars().count() > 80).collect();
        assert!(long.is_empty(), "{name}: {long:#?}");
    }
}

#[test]
fn the_readme_names_every_flag_beside_its_key_and_default() {
    let readme = fs::read_to_string(repository().join("README.md")).unwrap();
    let mut defaults = Settings::defaults(PROCESSORS);
    defaults.pool.runtime_directory = PathBuf::from("/tmp");
    for (id, default) in defaults.rows(PROCESSORS) {
        let (flag, key) = (args::flag(id), id.replacen("pool.", "", 1).replace("[0]", "[]"));
        let row = readme.lines().find(|line| line.starts_with(&format!("| `{flag}` | `{key}` |")));
        assert!(row.is_some_and(|row| row.contains(&default)), "{flag}, {key}, {default}: {row:?}");
    }
}

#[test]
fn without_a_file_the_defaults_hold() {
    let settings = Settings::new(&Flags::default(), &File::default(), PROCESSORS).unwrap();
    assert_eq!(settings, Settings::defaults(PROCESSORS));
    assert_eq!(settings.pool.name, DEFAULT_POOL);
}

#[test]
fn the_fastapi_example_is_good() {
    let (_, settings) = read("fastapi.yaml");
    assert_eq!(settings.pool.environment.get("DATABASE_POOL_SIZE"), Some(&Some("5".to_owned())));
    assert_eq!(settings.pool.environment.get("DEBUG"), Some(&None));
}

proptest! {
    /// Pieces of YAML in any order: a good file, or one line that says what is wrong.
    #[test]
    fn whatever_a_file_holds_the_answer_is_settings_or_one_line(
        pieces in prop::collection::vec(prop::sample::select(PIECES), 0..40)
    ) {
        match Document::parse(PathBuf::from("f.yaml"), pieces.concat()) {
            Ok((document, file)) => {
                let _ = Settings::new(&Flags::default(), &file, PROCESSORS);
                for id in args::ids() {
                    document.locate(&id.replacen("pool.", "pools.a.", 1));
                }
            }
            Err(error) => prop_assert_eq!(error.to_string().lines().count(), 1),
        }
    }
}

const PIECES: &[&str] = &[
    "pools:",
    "admin:",
    "listeners:",
    "routes:",
    "timeouts:",
    "limits:",
    "threads:",
    " a:",
    "  a:\n",
    "    queue:",
    "    freeze:",
    "limit:",
    "command:",
    "\n",
    "\n  ",
    "\n    ",
    "\n- ",
    " ",
    "\t",
    "[",
    "]",
    "{",
    "}",
    ", ",
    ": ",
    "- ",
    "? ",
    "&x ",
    "*x",
    "!t ",
    "!!str ",
    "|\n",
    ">\n",
    "\"",
    "'",
    "#",
    "~",
    "null",
    "off",
    "auto",
    "10s",
    "64KiB",
    "4",
    "-1",
    "1e9",
    "0x10",
    "<<: ",
    "---\n",
    "...\n",
    "%YAML 1.2\n",
    "\u{feff}",
    "\0",
    "é",
    "path: /, pool: a",
    "address: ",
    "\"127.0.0.1:0\"",
    "uvicorn",
    "tls: ",
    "redirect: ",
    "https",
    "self_signed",
    "certificates: ",
    "{chain: a, key: b}",
];
