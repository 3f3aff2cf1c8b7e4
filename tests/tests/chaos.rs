//! A short seeded run of the chaos harness; `make chaos` runs it for long.

use ami_tests::chaos::schedule::Kind;
use ami_tests::chaos::{Options, run, stream};
use std::sync::Arc;

fn survives(options: &Options) {
    let dir = tempfile::tempdir().unwrap();
    let reference = Arc::new(stream::reference(options, dir.path()));
    let outcome = run::run(options, &reference);
    assert!(
        outcome.violations.is_empty(),
        "seed {}:\n{}\n{}",
        options.seed,
        outcome.schedule,
        outcome.violations.join("\n")
    );
    assert!(outcome.features.1 > 100, "{:?} features were seen and compared", outcome.features);
}

#[test]
fn no_number_changes_whatever_happens_to_those_who_can_be_replaced() {
    survives(&Options { seconds: 12, every_ms: 400, ..Options::default() });
}

#[test]
fn workers_killed_faster_than_they_start_change_no_number() {
    let victims = vec!["worker".to_string()];
    let kinds = vec![Kind::Kill, Kind::Freeze];
    survives(&Options { seed: 7, seconds: 8, every_ms: 150, victims, kinds, ..Options::default() });
}
