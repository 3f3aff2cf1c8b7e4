//! Laws of the host builder.

use super::*;
use ami_proto::ids::Key;

fn manifest(flush: u64, units: &[(u64, u32)]) -> Manifest {
    Manifest {
        epoch: 1,
        flush,
        key: Key { segment: 0, heartbeat: flush },
        context: 0,
        timestamp_ns: 0,
        units: units.to_vec(),
        dropped: BTreeMap::new(),
        late: 0,
        last: true,
        end: false,
    }
}

fn builder() -> HostBuilder {
    let mut builder = HostBuilder::new(Times { ask_after: 100, resend: 50 });
    builder.epoch(1, 0, 0);
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
    let mut builder = HostBuilder::new(Times { ask_after: 100, resend: 50 });
    builder.epoch(1, 3, 9);
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
    builder.decided(1, 5, 1);
    assert!(matches!(builder.effects()[..], [Effect::Forget(1, 0)]));
    builder.decided(1, 4, 9);
    assert_eq!(builder.watermark(1), 1, "an older life's word is ignored");
    assert_eq!(builder.pending(), 0);
}
