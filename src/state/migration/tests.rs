//! A small state of format 2, kept for good: made by the last program that wrote it, from two clips of drawn objects, with cells
//! that divided, groups, nodes that the budget retired and one that was forgotten, and the numbers that program told.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::config::Config;
use crate::recompute::Rules;
use crate::state::record::MadeWith;
use crate::state::{FORMAT_VERSION, State, StateError};
use crate::stats::{Stats, stats, stats_as_of};
use crate::store::lmdb::LmdbStore;
use crate::verify::{Report, verify};

/// The past epoch that the old program was asked for.
const THEN: u64 = 30;
/// What format 2 did not keep yet.
const LATER: [&str; 1] = ["degrees"];

fn data(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data").join(name)
}

/// The state, in a folder of its own.
fn unpacked() -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let unpack =
        Command::new("tar").arg("xzf").arg(data("format-2.tar.gz")).arg("-C").arg(dir.path()).status();
    assert!(unpack.unwrap().success());
    let state = dir.path().join("format-2");
    (dir, state)
}

fn made_with(state: &State) -> Config {
    let made: MadeWith = state.view().unwrap().made_with().unwrap().unwrap();
    Config::parse(&made.config, "format-2").unwrap()
}

fn verified(state: &State, config: &Config) -> Report {
    let report = verify(state, &Rules::of(&config.graph), None, &|_, _, _| {}).unwrap();
    assert_eq!(report.differences, 0, "{report}");
    report
}

/// Whether `found` says what the old program said, of all that it knew of.
fn as_told(found: &Stats, told: &Value) {
    let found = serde_json::to_value(found).unwrap();
    let told = told.as_object().unwrap();
    assert!(told.len() > 25 && told["digests"].as_object().unwrap().len() == 10);
    for (name, value) in told {
        match name.as_str() {
            // Later programs tell of more.
            "digests" | "sources" => {
                for (part, value) in value.as_object().unwrap() {
                    assert_eq!(&found[name][part], value, "{name}: {part}");
                }
            }
            // Bytes of the records of history, in which keys are longer now.
            "history_bytes" => assert_eq!(found[name][1], value[1], "deltas are what they were"),
            // A fraction may be read as its neighbour.
            _ if value.is_f64() => {
                let apart = found[name].as_f64().unwrap() - value.as_f64().unwrap();
                assert!(apart.abs() < 1e-12, "{name}: {} and {value}", found[name]);
            }
            _ => assert_eq!(&found[name], value, "{name}"),
        }
    }
}

#[test]
fn a_state_of_format_2_opens_says_what_it_said_goes_on_and_verifies() {
    let told: Value = serde_json::from_slice(&std::fs::read(data("format-2.json")).unwrap()).unwrap();
    let (_dir, place) = unpacked();
    let refused = State::open_read(&place).err().unwrap().to_string();
    assert!(refused.contains("kinetograph migrate"), "{refused}");
    // The tables that came since are there, and nothing else yet: a reader is still told what to do.
    drop(LmdbStore::open(&place).unwrap());
    let refused = State::open_read(&place).err().unwrap();
    assert!(matches!(refused, StateError::Earlier { found: 2, .. }), "{refused}");
    assert!(refused.to_string().contains("kinetograph migrate --state"), "{refused}");

    // As of a kill while the new file grew: what it left is nobody's.
    let growing = place.join("compacting");
    std::fs::create_dir(&growing).unwrap();
    std::fs::write(growing.join("data.mdb"), "half").unwrap();
    State::migrate(&place).unwrap();
    assert!(!growing.exists());

    let state = State::open_read(&place).unwrap();
    assert_eq!(state.format().unwrap(), Some(FORMAT_VERSION));
    let config = made_with(&state);
    let k = config.graph.neighbours.k;
    as_told(&stats(&state, k).unwrap(), &told["now"]);
    as_told(&stats_as_of(&state, THEN, k).unwrap(), &told["as_of_30"]);
    let report = verified(&state, &config);
    assert_eq!(report.not_kept, LATER);
    assert!(report.checks.iter().all(|check| check.checked > 0), "{report}");
    drop(state);

    let again = std::fs::read(place.join("data.mdb")).unwrap();
    State::migrate(&place).unwrap();
    assert_eq!(std::fs::read(place.join("data.mdb")).unwrap().len(), again.len(), "once is enough");
    goes_on(&place, &config, &told);
}

/// A run over a source in which nothing moves, after which the graph is what it was and whole.
#[cfg(feature = "ingest")]
fn goes_on(place: &Path, config: &Config, told: &Value) {
    use crate::engine::{Options, start};

    let options = Options {
        sources: vec!["test://?frames=24&width=64&height=48".into()],
        batch: true,
        until_idle: true,
        ..Options::new(place)
    };
    start(config, &options).unwrap().join().unwrap();
    let state = State::open_read(place).unwrap();
    let now = stats(&state, config.graph.neighbours.k).unwrap();
    assert_eq!(now.frames, told["now"]["frames"].as_u64().unwrap() + 24);
    for (collection, digest) in told["now"]["digests"].as_object().unwrap() {
        assert_eq!(Some(now.digests[collection.as_str()].as_str()), digest.as_str(), "{collection}");
    }
    let report = verified(&state, config);
    assert!(report.not_kept.is_empty(), "{report}");
    LATER
        .iter()
        .for_each(|later| assert!(report.check(later).is_some_and(|check| check.checked > 0), "{report}"));
}

#[cfg(not(feature = "ingest"))]
fn goes_on(_: &Path, _: &Config, _: &Value) {}

#[test]
fn a_state_whose_history_is_damaged_stays_as_it_was() {
    let (_dir, place) = unpacked();
    let store = LmdbStore::open(&place).unwrap();
    let mut batch = crate::store::Batch::default();
    batch.put(crate::store::Table::History, super::key::epoch(40), [0xff; 3]);
    crate::store::Store::commit(&store, &batch).unwrap();
    drop(store);
    let refused = State::open(&place).err().unwrap().to_string();
    assert!(refused.contains("history is damaged"), "{refused}");
    assert!(matches!(State::open_read(&place), Err(StateError::Earlier { found: 2, .. })));
}
