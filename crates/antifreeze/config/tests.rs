//! What holds between the settings, their flags, and the files that show them. What users see of wrong files is in
//! `tests/config.rs`.

use super::file::Document;
use super::origins::Key;
use super::raw::{File, Flags};
use super::settings::Row;
use super::{DEFAULT_POOL, Settings};
use crate::args;
use proptest::prelude::*;
use proxy::{Listener, Role, Site};
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
    let pool = &mut expected.pools[0];
    pool.name = "app".to_owned();
    pool.command = vec!["uvicorn".to_owned(), "main:app".to_owned()];
    pool.runtime_directory = PathBuf::from("/tmp");
    assert_eq!(settings, expected);
}

#[test]
fn the_file_that_shows_every_key_leaves_none_out_and_names_each_flag() {
    let (document, _) = read("antifreeze.yaml");
    let text = fs::read_to_string(repository().join("config/antifreeze.yaml")).unwrap();
    let of_a_route = [
        "host",
        "path",
        "pool",
        "timeouts.body_idle",
        "timeouts.response_start",
        "timeouts.stream_idle",
        "timeouts.tunnel_idle",
        "limits.body_bytes",
    ];
    let without_flag = of_a_route.map(|key| format!("routes[0].{key}"));
    let without_flag = without_flag.into_iter().chain(["listeners[0].redirect".to_owned()]);
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
        Settings::defaults(PROCESSORS).rows(PROCESSORS).into_iter().map(|row| row.key.id).collect();
    let flags: BTreeSet<_> = args::ids().into_iter().filter(|id| id != "pool.command").collect();
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
    defaults.pools[0].runtime_directory = PathBuf::from("/tmp");
    for Row { key: Key { id, .. }, value: default } in defaults.rows(PROCESSORS) {
        let (flag, key) = (args::flag(&id), id.replacen("pool.", "", 1).replace("[0]", "[]"));
        let row = readme.lines().find(|line| line.starts_with(&format!("| `{flag}` | `{key}` |")));
        assert!(row.is_some_and(|row| row.contains(&default)), "{flag}, {key}, {default}: {row:?}");
    }
}

#[test]
fn without_a_file_the_defaults_hold() {
    let settings = Settings::new(&Flags::default(), &File::default(), PROCESSORS).unwrap();
    assert_eq!(settings, Settings::defaults(PROCESSORS));
    assert_eq!(settings.pools[0].name, DEFAULT_POOL);
}

#[test]
fn the_fastapi_example_is_good() {
    let (_, settings) = read("fastapi.yaml");
    assert_eq!(settings.pools[0].environment.get("DATABASE_POOL_SIZE"), Some(&Some("5".to_owned())));
    assert_eq!(settings.pools[0].environment.get("DEBUG"), Some(&None));
}

#[test]
fn the_example_of_two_apps_is_good() {
    let (_, settings) = read("two-apps.yaml");
    let served =
        |site: &Site| (site.path.to_string(), settings.pools[site.app].name.clone(), site.body_bytes);
    let (mib, gib) = (Some(1 << 20), Some(1 << 30));
    let expected = [
        ("/", "web", gib),
        ("/api", "api", mib),
        ("/api/uploads", "api", gib.map(|gib| 2 * gib)),
        ("/", "api", gib),
    ];
    let expected = expected.map(|(path, pool, limit)| (path.to_owned(), pool.to_owned(), limit));
    assert_eq!(settings.sites.iter().map(served).collect::<Vec<_>>(), expected);
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
    "  b:\n",
    "- pool: b\n",
    "- host: a.b\n",
    "  path: /b\n",
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
