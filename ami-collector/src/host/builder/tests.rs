//! Laws of the host builder.

use crate::host::builder::*;
use ami_graph::wire::partial::{NodeReport, Partial};
use ami_proto::data_path::ids::{Conditions, Key, Taken};

fn manifest(flush: u64, units: &[(u64, u32)]) -> Manifest {
    Manifest {
        epoch: 1,
        flush,
        key: Key { segment: 0, heartbeat: flush },
        context: 0,
        conditions: Conditions { run: 1, ..Conditions::default() },
        taken: taken(flush),
        timestamp_ns: 0,
        units: units.to_vec(),
        dropped: BTreeMap::new(),
        late: 0,
        last: true,
        end: false,
    }
}

/// A hundred events in all flushes before, ten in this.
fn taken(flush: u64) -> Taken {
    let events = flush * 100 + 10;
    Taken { epoch: events, run: events, segment: events }
}

fn decided(flushes: u64) -> Progress {
    let taken = flushes.checked_sub(1).map(taken).unwrap_or_default();
    Progress { flushes, taken, ..Progress::default() }
}

const LIMITS: Limits = Limits { ask_after: 100, resend: 50, bytes: 1 << 20 };

fn builder() -> HostBuilder {
    let mut builder = HostBuilder::new(LIMITS);
    builder.epoch(1, &decided(0));
    builder.tick(0);
    builder
}

fn partial(builder: &mut HostBuilder, flush: u64, units: &[(u64, u32)]) {
    builder.partial(1, flush, units, Partial::default(), 0);
}

fn forwards(builder: &mut HostBuilder) -> Vec<Forward> {
    let pick = |e| if let Effect::Forward(f) = e { Some(*f) } else { None };
    builder.effects().into_iter().filter_map(pick).collect()
}

#[test]
fn a_flush_is_forwarded_once_in_either_order() {
    let mut builder = builder();
    partial(&mut builder, 0, &[(0, 10), (1, 10)]);
    assert!(forwards(&mut builder).is_empty());
    builder.manifest(manifest(0, &[(0, 10), (1, 10)]), 0);
    builder.manifest(manifest(0, &[(0, 10), (1, 10)]), 0);
    let done = forwards(&mut builder);
    assert_eq!((done.len(), done[0].merged, done[0].units), (1, 20, (2, 2)));
    builder.manifest(manifest(1, &[(2, 5)]), 0);
    partial(&mut builder, 1, &[(2, 5)]);
    assert_eq!(forwards(&mut builder).len(), 1);
}

#[test]
fn the_first_partial_of_a_unit_wins_whole() {
    let mut builder = builder();
    builder.manifest(manifest(0, &[(0, 10), (1, 10), (2, 10)]), 0);
    partial(&mut builder, 0, &[(1, 10)]);
    partial(&mut builder, 0, &[(0, 10), (1, 10), (2, 10)]);
    assert_eq!(builder.counts.repeated, 1);
    assert!(forwards(&mut builder).is_empty());
    partial(&mut builder, 0, &[(0, 10)]);
    partial(&mut builder, 0, &[(2, 10)]);
    assert_eq!(forwards(&mut builder)[0].merged, 30);
}

#[test]
fn a_partial_that_contradicts_its_manifest_is_rejected_in_either_order() {
    let mut builder = builder();
    partial(&mut builder, 0, &[(0, 11)]);
    builder.manifest(manifest(0, &[(0, 10)]), 0);
    partial(&mut builder, 0, &[(0, 9)]);
    assert_eq!(builder.counts.rejected, 2);
    partial(&mut builder, 0, &[(0, 10)]);
    assert_eq!(forwards(&mut builder)[0].merged, 10);
}

#[test]
fn missing_units_are_asked_for_and_may_be_given_up() {
    let mut builder = builder();
    builder.manifest(manifest(0, &[(0, 10), (1, 7)]), 0);
    partial(&mut builder, 0, &[(0, 10)]);
    builder.tick(99);
    assert!(builder.effects().is_empty());
    builder.tick(100);
    assert!(matches!(&builder.effects()[..], [Effect::Need(1, 0, units)] if units == &[1]));
    builder.given_up(1, 0, 1, "lost", 100);
    let done = forwards(&mut builder);
    assert_eq!(done[0].manifest.dropped["lost"], 7);
    assert_eq!((done[0].merged, done[0].units), (10, (1, 2)));
}

#[test]
fn a_restarted_collector_asks_at_once() {
    let mut builder = HostBuilder::new(LIMITS);
    builder.epoch(1, &decided(3));
    builder.manifest(manifest(3, &[(8, 1)]), 1000);
    builder.tick(1000);
    assert!(matches!(&builder.effects()[..], [Effect::Need(1, 3, units)] if units == &[8]));
    partial(&mut builder, 2, &[(7, 1)]);
    assert_eq!(builder.counts.outdated, 1);
}

#[test]
fn undecided_flushes_are_resent_and_decided_ones_forgotten() {
    let mut builder = builder();
    builder.manifest(manifest(0, &[]), 0);
    assert_eq!(forwards(&mut builder).len(), 1, "an empty flush is forwarded, too");
    builder.tick(50);
    assert!(matches!(builder.effects()[..], [Effect::Resend(1, 0)]));
    builder.decided(1, 5, (1, 1), 0);
    assert!(matches!(builder.effects()[..], [Effect::Forget(1, 0)]));
    builder.decided(1, 4, (9, 9), 0);
    builder.manifest(manifest(1, &[]), 0);
    assert_eq!(forwards(&mut builder).len(), 1, "an older life's word is ignored");
    assert_eq!(builder.pending(), 1);
}

fn done(builder: &mut HostBuilder, flushes: std::ops::Range<u64>) {
    for flush in flushes {
        builder.manifest(manifest(flush, &[(flush, 10)]), 0);
        partial(builder, flush, &[(flush, 10)]);
    }
}

fn resent(builder: &mut HostBuilder) -> Vec<u64> {
    let pick = |e| if let Effect::Resend(1, flush) = e { Some(flush) } else { None };
    builder.effects().into_iter().filter_map(pick).collect()
}

#[test]
fn decided_flushes_are_held_until_durable_and_sent_again_to_a_restarted_root() {
    let mut builder = builder();
    done(&mut builder, 0..6);
    builder.decided(1, 5, (5, 2), 0);
    builder.effects();
    assert_eq!((builder.pending(), builder.base(1).flushes), (1, 2));
    assert_eq!(builder.base(1).taken, taken(1));
    builder.tick(1_000);
    assert_eq!(resent(&mut builder), [5], "what is decided is not sent again");
    builder.decided(1, 6, (3, 3), 0);
    builder.tick(1_001);
    assert_eq!(resent(&mut builder), [3, 4, 5]);
    builder.decided(1, 6, (6, 6), 0);
    assert_eq!((builder.pending(), builder.bytes()), (0, 0));
}

#[test]
fn without_memory_decided_flushes_are_let_go_and_the_base_says_so() {
    let mut builder = HostBuilder::new(Limits { bytes: 2500, ..LIMITS });
    builder.epoch(1, &decided(0));
    done(&mut builder, 0..3);
    builder.decided(1, 5, (3, 0), 0);
    done(&mut builder, 3..6);
    assert_eq!((builder.counts.let_go, builder.base(1).flushes), (2, 2));
    assert_eq!(builder.base(1).taken, taken(1));
    assert!(builder.counts.refused == 0 && builder.bytes() < 4000);
}

#[test]
fn partials_without_room_are_refused_but_never_those_of_the_next_flush() {
    let mut builder = HostBuilder::new(Limits { bytes: 1, ..LIMITS });
    builder.epoch(1, &decided(0));
    partial(&mut builder, 0, &[(0, 5)]);
    partial(&mut builder, 1, &[(1, 10)]);
    partial(&mut builder, 0, &[(7, 5)]);
    assert_eq!(builder.counts.refused, 1);
    builder.manifest(manifest(0, &[(0, 5), (7, 5)]), 0);
    builder.manifest(manifest(1, &[(1, 10)]), 0);
    assert_eq!(forwards(&mut builder).len(), 1);
    builder.tick(100);
    assert!(builder.effects().iter().any(|e| matches!(e, Effect::Need(1, 1, _))));
}

#[test]
fn what_was_refused_is_asked_for_as_soon_as_the_root_waits_for_it() {
    let mut builder = HostBuilder::new(Limits { bytes: 1, ..LIMITS });
    builder.epoch(1, &decided(0));
    builder.tick(0);
    builder.manifest(manifest(0, &[(0, 5)]), 0);
    builder.manifest(manifest(1, &[(1, 10), (2, 10), (3, 10)]), 0);
    partial(&mut builder, 1, &[(1, 10), (3, 10)]);
    assert_eq!(builder.counts.refused, 1);
    builder.tick(1);
    assert!(builder.effects().is_empty(), "there is no room yet");
    partial(&mut builder, 0, &[(0, 5)]);
    builder.decided(1, 5, (1, 0), 2);
    builder.effects();
    builder.tick(2);
    let needs = builder.effects();
    assert!(matches!(&needs[..], [Effect::Need(1, 1, units)] if units == &[1, 3]), "{needs:?}");
    builder.tick(3);
    assert!(builder.effects().is_empty(), "once is enough");
}

#[test]
fn what_waits_for_a_root_that_goes_on_is_not_sent_again() {
    let mut builder = builder();
    done(&mut builder, 0..4);
    builder.effects();
    builder.decided(1, 5, (1, 0), 40);
    builder.tick(60);
    assert_eq!(resent(&mut builder), [0; 0]);
    builder.decided(1, 5, (1, 0), 70);
    builder.tick(90);
    assert_eq!(resent(&mut builder), [1, 2, 3], "the same word again is no progress");
}

#[test]
fn what_waits_for_a_flush_that_is_not_forwarded_is_not_sent_again() {
    let mut builder = builder();
    done(&mut builder, 0..1);
    builder.manifest(manifest(1, &[(1, 10)]), 0);
    done(&mut builder, 2..4);
    builder.tick(50);
    assert_eq!(resent(&mut builder), [0], "of 2 and 3 the root says nothing before it has 1");
    builder.decided(1, 5, (1, 0), 60);
    partial(&mut builder, 1, &[(1, 10)]);
    builder.tick(110);
    assert_eq!(resent(&mut builder), [1, 2, 3]);
}

#[test]
fn a_hole_left_by_a_restart_is_asked_about_and_moves_the_base() {
    // The life before had forwarded 0 and 1; this one holds 2 only.
    let mut builder = builder();
    builder.decided(1, 5, (2, 0), 0);
    done(&mut builder, 2..3);
    builder.decided(1, 5, (3, 0), 0);
    builder.effects();
    builder.decided(1, 6, (0, 0), 0);
    builder.tick(1_000);
    assert!(builder.effects().iter().any(|e| matches!(e, Effect::Hello)));
    builder.epoch(1, &decided(3));
    assert_eq!(builder.base(1).flushes, 2);
    assert_eq!(builder.base(1).taken.epoch, 200, "what was before the first that is held");
}

#[test]
fn an_unknown_old_epoch_makes_nothing_and_many_epochs_are_bounded() {
    let mut builder = builder();
    builder.partial(0, 0, &[(0, 1)], Partial::default(), 0);
    assert_eq!((builder.counts.outdated, builder.bytes()), (1, 0));
    for epoch in 2..9 {
        builder.partial(epoch, 0, &[(0, 1)], Partial::default(), 0);
    }
    assert_eq!(builder.bases().len(), EPOCHS);
}

/// As it comes from a worker whose node failed for so many events.
fn came(errors: u64) -> States {
    let mut partial = Partial::default();
    partial.reports.push(NodeReport::new(3, errors, "failed", 0));
    States::Came(States::Merged(partial).into_frames())
}

/// What the root reads in a flush.
fn errors(forward: Forward) -> u64 {
    let partial = crate::host::flush_states::read(&forward.states.into_frames()).unwrap();
    partial.reports.iter().map(|r| r.errors).sum()
}

#[test]
fn one_partial_is_handed_on_as_it_came_and_several_are_merged() {
    let mut builder = builder();
    builder.manifest(manifest(0, &[(0, 10), (1, 10)]), 0);
    builder.partial(1, 0, &[(0, 10), (1, 10)], came(5), 0);
    let forward = forwards(&mut builder).remove(0);
    assert!(matches!(forward.states, States::Came(_)));
    assert_eq!(errors(forward), 5);
    builder.manifest(manifest(1, &[(2, 10), (3, 10)]), 0);
    builder.partial(1, 1, &[(3, 10)], came(1), 0);
    builder.partial(1, 1, &[(2, 10)], came(2), 0);
    assert_eq!(errors(forwards(&mut builder).remove(0)), 3);
}

#[test]
fn what_was_forwarded_and_cannot_be_read_is_asked_for_again() {
    let mut builder = builder();
    builder.manifest(manifest(0, &[(0, 10)]), 0);
    builder.partial(1, 0, &[(0, 10)], States::Came(vec![b"garbage".to_vec()]), 0);
    assert_eq!((forwards(&mut builder).len(), builder.counts.events), (1, 10));
    builder.unreadable(1, 0);
    assert_eq!((builder.counts.rejected, builder.counts.flushes, builder.counts.events), (1, 0, 0));
    builder.tick(100);
    assert!(matches!(&builder.effects()[..], [Effect::Need(1, 0, units)] if units == &[0]));
    builder.partial(1, 0, &[(0, 10)], came(5), 100);
    assert_eq!(errors(forwards(&mut builder).remove(0)), 5);
    builder.decided(1, 5, (1, 1), 100);
    assert_eq!((builder.pending(), builder.bytes()), (0, 0));
}

#[test]
fn of_two_partials_the_one_that_can_be_read_stays() {
    let garbage = || States::Came(vec![b"garbage".to_vec()]);
    let mut builder = builder();
    builder.manifest(manifest(0, &[(0, 10), (1, 10)]), 0);
    builder.partial(1, 0, &[(0, 10)], came(1), 0);
    builder.partial(1, 0, &[(1, 10)], garbage(), 0);
    assert_eq!(builder.counts.rejected, 1);
    builder.partial(1, 0, &[(1, 10)], came(2), 0);
    assert_eq!(errors(forwards(&mut builder).remove(0)), 3);
    builder.manifest(manifest(1, &[(2, 10), (3, 10)]), 0);
    builder.partial(1, 1, &[(2, 10)], garbage(), 0);
    builder.partial(1, 1, &[(3, 10)], came(1), 0);
    assert_eq!(builder.counts.rejected, 2);
    assert!(builder.effects().is_empty(), "a worker that never sends anything else is not hurried");
    builder.decided(1, 5, (1, 1), 0);
    builder.effects();
    builder.tick(100);
    assert!(matches!(&builder.effects()[..], [Effect::Need(1, 1, units)] if units == &[2]));
    builder.partial(1, 1, &[(2, 10)], came(4), 100);
    assert_eq!(errors(forwards(&mut builder).remove(0)), 5);
}
