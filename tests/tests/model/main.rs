//! The event path's real state machines under everything that may happen to two lanes: kills of every
//! member, lost, delayed and repeated messages, fenced lanes that wake. No unit is counted twice, none
//! is missing without a word, and from every state the stream comes to its end.

mod search;
mod system;

use search::{Faults, search};
use system::System;

/// States of one search at most; the searches that are larger than this are cut.
fn most() -> usize {
    std::env::var("AMI_MODEL_STATES").ok().and_then(|s| s.parse().ok()).unwrap_or(5_000)
}

fn check(what: &str, units: &[usize], faults: Faults) {
    let searched = search(System::new(2, units), faults, most());
    let whole = if searched.exhausted { "all" } else { "the first" };
    println!("{what}: {whole} {} states of {units:?} units with {faults:?}", searched.states);
    assert!(searched.states > 100, "{searched:?}");
}

/// Every state there is.
fn all(lanes: u32, units: &[usize], faults: Faults) {
    let searched = search(System::new(lanes, units), faults, usize::MAX);
    println!("{lanes} lanes: all {} states of {units:?} units with {faults:?}", searched.states);
    assert!(searched.exhausted);
}

/// Faults of one kind.
const WORKER: Faults = Faults { workers: 1, ..Faults::NONE };
const FENCE: Faults = Faults { fences: 1, ..Faults::NONE };
const COLLECTOR: Faults = Faults { collectors: 1, ..Faults::NONE };
const ROOT: Faults = Faults { roots: 1, checkpoints: 1, ..Faults::NONE };
const LOSS: Faults = Faults { losses: 1, ..Faults::NONE };
const REPEAT: Faults = Faults { repeats: 1, ..Faults::NONE };

#[test]
fn one_unit_survives_everything() {
    for faults in [WORKER, FENCE, COLLECTOR, ROOT, LOSS, REPEAT] {
        all(1, &[1], faults);
        all(2, &[1], faults);
    }
}

#[test]
fn two_flushes_survive_a_worker_a_collector_and_messages() {
    for faults in [Faults::NONE, WORKER, COLLECTOR, LOSS, REPEAT] {
        all(2, &[1, 1], faults);
    }
}

#[test]
fn two_flushes_survive_a_fence_and_a_root() {
    all(2, &[1, 1], FENCE);
    all(2, &[1, 1], ROOT);
}

#[test]
fn two_units_of_a_flush_survive_everything() {
    for faults in [Faults::NONE, WORKER, FENCE, COLLECTOR, ROOT, LOSS, REPEAT] {
        all(2, &[2], faults);
    }
}

#[test]
fn without_faults_any_order_of_messages_is_fine() {
    check("no faults", &[2, 2], Faults { ticks: 1, ..Faults::NONE });
}

#[test]
fn workers_die() {
    check("worker", &[2], Faults { workers: 2, ticks: 1, ..Faults::NONE });
    check("worker", &[2, 1], Faults { workers: 1, ticks: 1, ..Faults::NONE });
}

#[test]
fn lanes_are_fenced_and_wake() {
    check("fence", &[2], Faults { fences: 2, ticks: 1, ..Faults::NONE });
    check("fence", &[2, 1], Faults { fences: 1, ticks: 1, ..Faults::NONE });
}

#[test]
fn host_collectors_die() {
    check("collector", &[2], Faults { collectors: 2, ticks: 1, ..Faults::NONE });
    let both = Faults { collectors: 1, workers: 1, ticks: 1, ..Faults::NONE };
    check("collector and worker", &[2], both);
}

#[test]
fn roots_die_with_and_without_a_checkpoint() {
    let root = Faults { roots: 1, checkpoints: 1, ticks: 1, repeats: 1, ..Faults::NONE };
    check("root", &[1, 1], root);
    check("root and collector", &[1, 1], Faults { collectors: 1, repeats: 0, ..root });
}

#[test]
fn messages_are_lost_and_repeated() {
    let faults = Faults { losses: 1, repeats: 1, ticks: 1, ..Faults::NONE };
    check("messages", &[2], faults);
    check("messages and a worker", &[2], Faults { workers: 1, ..faults });
}
