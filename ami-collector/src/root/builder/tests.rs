//! Laws of decisions and losses.

use crate::root::builder::*;
use ami_proto::data_path::ids::{Conditions, Key, Taken};

/// Ten events per flush; a run has so many flushes.
fn mark(flush: u64, per_run: u64) -> Mark {
    let in_run = (flush % per_run + 1) * 10;
    let run = flush / per_run;
    let progress = Progress {
        flushes: flush + 1,
        key: Key { segment: run, heartbeat: flush },
        conditions: Conditions { run: run as u32 + 1, version: 1, ..Conditions::default() },
        timestamp_ns: flush,
        taken: Taken { epoch: (flush + 1) * 10, run: in_run, segment: in_run },
        last: true,
        end: false,
    };
    Mark { progress, events: 10 }
}

fn one_run(flush: u64) -> Mark {
    mark(flush, 1000)
}

fn passed(outcome: Option<Outcome>) -> Vec<u64> {
    let outcome = outcome.expect("not decided before");
    assert_eq!(outcome.lost, []);
    outcome.passed.iter().map(|p| p.key.heartbeat).collect()
}

#[test]
fn flushes_are_decided_once_in_any_order_and_passed_in_order() {
    let mut root = RootBuilder::default();
    assert!(passed(root.forward("a", 1, 1, one_run(1))).is_empty());
    assert_eq!(root.watermark("a", 1), (0, 0));
    assert_eq!(passed(root.forward("a", 1, 0, one_run(0))), [0, 1]);
    assert_eq!(root.watermark("a", 1), (2, 0));
    assert!(root.forward("a", 1, 1, one_run(1)).is_none());
    assert_eq!(passed(root.forward("a", 2, 0, one_run(0))), [0], "a new epoch begins anew");
}

#[test]
fn what_no_host_holds_is_lost_exactly() {
    let mut root = RootBuilder::default();
    for flush in [0, 1, 4] {
        root.forward("a", 1, flush, one_run(flush));
    }
    // 2, 3, 5 and 6 are gone, 4 was decided.
    let outcome = root.base("a", 1, &one_run(6).progress);
    assert_eq!(outcome.lost, [Loss { events: 40, at: one_run(6).progress }]);
    assert_eq!(root.watermark("a", 1).0, 7);
    assert_eq!(root.base("a", 1, &one_run(6).progress), Outcome::default(), "said again");
    assert_eq!(passed(root.forward("a", 1, 7, one_run(7))), [7]);
}

#[test]
fn a_loss_over_the_end_of_a_run_is_declared_in_both() {
    let mut root = RootBuilder::default();
    (0..3).for_each(|flush| drop(root.forward("a", 1, flush, mark(flush, 5))));
    let outcome = root.base("a", 1, &mark(6, 5).progress);
    let older = Loss { events: 20, at: mark(2, 5).progress };
    let newer = Loss { events: 20, at: mark(6, 5).progress };
    assert_eq!(outcome.lost, [older, newer]);
}

#[test]
fn a_root_without_memory_declares_what_the_run_had_before() {
    let mut root = RootBuilder::default();
    let outcome = root.base("a", 1, &mark(6, 5).progress);
    assert_eq!(outcome.lost[1], Loss { events: 20, at: mark(6, 5).progress });
    assert_eq!(outcome.lost[0].at.flushes, 0, "of an earlier run: no window speaks of it");
    assert_eq!(passed(root.forward("a", 1, 7, mark(7, 5))), [7]);
}

#[test]
fn durable_is_what_was_decided_when_the_checkpoint_was_copied() {
    let mut root = RootBuilder::default();
    root.forward("a", 1, 0, one_run(0));
    let copied = root.clone();
    root.forward("a", 1, 1, one_run(1));
    root.durable(&copied);
    assert_eq!(root.watermark("a", 1), (2, 1));
    assert_eq!(copied.restored().watermark("a", 1), (1, 1));
}

#[test]
fn hosts_and_epochs_are_bounded_and_an_old_epoch_is_not_decided_again() {
    let mut root = RootBuilder::default();
    for epoch in 1..=6 {
        root.forward("a", epoch, 0, one_run(0));
    }
    assert_eq!(root.watermarks().count(), EPOCHS);
    assert!(root.forward("a", 1, 0, one_run(0)).is_none());
    for host in 0..2 * HOSTS {
        root.forward(&host.to_string(), 1, 0, one_run(0));
    }
    assert_eq!(root.watermarks().count(), HOSTS - 1 + EPOCHS);
}

#[test]
fn senseless_counts_are_survived() {
    let mut root = RootBuilder::default();
    let mut wild = one_run(3).progress;
    wild.flushes = u64::MAX;
    wild.taken = Taken { epoch: 1, run: u64::MAX, segment: u64::MAX };
    root.forward("a", 1, 0, one_run(0));
    root.base("a", 1, &wild);
    assert!(root.forward("a", 1, u64::MAX, one_run(0)).is_some());
}
