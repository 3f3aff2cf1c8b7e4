//! Laws of the flow, driven by hand and at random.

use crate::flow::*;
use ami_proto::data_path::ids::{Conditions, Key};
use ami_proto::data_path::to_ventilator::Purpose::{Record, Work};

const LIMITS: Limits = Limits { credits: 4, busy_lanes: 3, flushes_in_flight: 8, repeat_ns: 100 };

fn conditions() -> Conditions {
    Conditions { version: 1, run: 1, ..Conditions::default() }
}

fn flow(lanes: u32) -> Flow {
    let mut flow = Flow::new(7, LIMITS);
    flow.schema(Arc::new(Schema::default()));
    flow.context(conditions(), Held::new(), StepValues::new());
    (0..lanes).for_each(|l| flow.join(l, Work));
    flow.effects();
    flow
}

fn sealed(n: u64) -> Sealed {
    Sealed { start: n * 64, index: n * 64, index_len: 64, end: (n + 1) * 64, events: 10 }
}

fn add(flow: &mut Flow, n: u64) {
    flow.begin(Key { segment: 0, heartbeat: n / 3 }, 0, 0, n * 64);
    flow.unit(&sealed(n), 0, n);
}

/// (lane, unit, alone) of what was sent.
fn sent(effects: &[Effect]) -> Vec<(u32, u64, bool)> {
    let pick = |e: &Effect| match e {
        Effect::Lane(l, LaneMessage::Unit(d)) => Some((*l, d.unit, false)),
        Effect::Lane(l, LaneMessage::Replay { unit, .. }) => Some((*l, unit.unit, true)),
        _ => None,
    };
    effects.iter().filter_map(pick).collect()
}

#[test]
fn a_schema_that_comes_after_a_graph_is_told() {
    let mut flow = Flow::new(7, LIMITS);
    flow.join(0, Work);
    // A live source has not said yet what it has, and a graph is applied.
    flow.context(conditions(), Held::new(), StepValues::new());
    flow.schema(Arc::new(Schema::default()));
    flow.context(conditions(), Held::new(), StepValues::new());
    flow.begin(Key { segment: 0, heartbeat: 0 }, 1, 0, 0);
    flow.unit(&sealed(0), 1, 0);
    flow.flush(true, false, 0);
    let effects = flow.effects();
    let lane = |e: &Effect| matches!(e, Effect::Lane(0, LaneMessage::Schema(0, _)));
    let collector = |e: &Effect| matches!(e, Effect::Collector(ToCollector::Schema(7, 0, _)));
    assert_eq!(effects.iter().filter(|e| lane(e)).count(), 1);
    assert_eq!(effects.iter().filter(|e| collector(e)).count(), 1);
}

#[test]
fn light_load_stays_on_one_lane_and_heavy_load_spreads() {
    let mut flow = flow(3);
    for n in 0..3 {
        add(&mut flow, n);
        flow.credit(0, n + 1, 0);
    }
    assert!(sent(&flow.effects()).iter().all(|s| s.0 == 0), "lane 0 keeps up");
    (3..12).for_each(|n| add(&mut flow, n));
    let lanes: BTreeSet<u32> = sent(&flow.effects()).iter().map(|s| s.0).collect();
    assert_eq!(lanes.len(), 3);
}

#[test]
fn no_more_lanes_than_processors_are_kept_busy_but_a_hanging_one_does_not_count() {
    let mut flow = flow(5);
    (0..12).for_each(|n| add(&mut flow, n));
    let of =
        |flow: &mut Flow| -> BTreeSet<u32> { sent(&flow.effects()).iter().map(|s| s.0).collect() };
    assert_eq!(of(&mut flow), [0, 1, 2].into(), "three of five");
    assert!(!flow.ready(), "the three have no room");
    flow.tick(lanes::LOOK_NS);
    (12..15).for_each(|n| add(&mut flow, n));
    flow.credit(0, 1, 0);
    flow.credit(1, 1, 0);
    flow.tick(lanes::LOOK_NS + 1);
    assert_eq!(of(&mut flow), [0, 1].into(), "it is too early to say of lane 2 that it hangs");
    flow.tick(2 * lanes::LOOK_NS);
    assert_eq!(of(&mut flow), [3].into(), "it hangs");
    (0..2).for_each(|lane| flow.credit(lane, 2, 0));
    flow.credit(2, 1, 0);
    flow.tick(3 * lanes::LOOK_NS);
    (15..18).for_each(|n| add(&mut flow, n));
    assert_eq!(of(&mut flow), [0, 1, 2].into(), "it woke, and lane 3 is not needed any more");
}

#[test]
fn the_number_of_busy_lanes_changes_in_the_course_of_a_run() {
    let mut flow = flow(3);
    let of =
        |flow: &mut Flow| -> BTreeSet<u32> { sent(&flow.effects()).iter().map(|s| s.0).collect() };
    flow.use_lanes(1);
    (0..4).for_each(|n| add(&mut flow, n));
    assert_eq!(of(&mut flow), [0].into());
    assert!(!flow.ready(), "the one has no room");
    flow.use_lanes(2);
    assert!(flow.ready(), "another has");
    (4..8).for_each(|n| add(&mut flow, n));
    assert_eq!(of(&mut flow), [1].into());
    flow.use_lanes(1);
    (0..2).for_each(|lane| flow.credit(lane, 4, 0));
    (8..13).for_each(|n| add(&mut flow, n));
    assert_eq!(of(&mut flow).len(), 1);
    assert!(!flow.ready(), "the fifth waits, though two more have room");
}

#[test]
fn the_flush_goes_to_those_who_hold_units_of_it_and_names_them_all() {
    let mut flow = flow(2);
    (0..3).for_each(|n| add(&mut flow, n));
    flow.flush(true, false, 0);
    let effects = flow.effects();
    let flushed: BTreeSet<u32> = effects
        .iter()
        .filter_map(|e| match e {
            Effect::Lane(l, LaneMessage::Flush { flush: 0, .. }) => Some(*l),
            _ => None,
        })
        .collect();
    let holders: BTreeSet<u32> = sent(&effects).iter().map(|s| s.0).collect();
    assert_eq!(flushed, holders);
    let manifest = effects.iter().find_map(|e| match e {
        Effect::Collector(ToCollector::Manifest(m)) => Some(m),
        _ => None,
    });
    assert_eq!(manifest.unwrap().units, [(0, 10), (1, 10), (2, 10)]);
}

#[test]
fn a_dead_lanes_units_are_replayed_alone_on_others() {
    let mut flow = flow(1);
    (0..3).for_each(|n| add(&mut flow, n));
    flow.flush(true, false, 0);
    flow.effects();
    flow.leave(0, None);
    assert!(sent(&flow.effects()).is_empty(), "nobody is there");
    flow.join(1, Work);
    let replayed = sent(&flow.effects());
    assert_eq!(replayed, [(1, 0, true), (1, 1, true), (1, 2, true)]);
}

#[test]
fn needs_are_answered_by_replay_or_lost_but_not_while_the_lane_works() {
    let mut flow = flow(1);
    (0..3).for_each(|n| add(&mut flow, n));
    flow.flush(true, false, 0);
    flow.effects();
    flow.need(7, 0, &[1]);
    assert!(sent(&flow.effects()).is_empty(), "the lane still works on it");
    flow.credit(0, 3, 1);
    flow.need(7, 0, &[1]);
    assert_eq!(sent(&flow.effects()), [(0, 1, true)]);
    flow.need(7, 0, &[1]);
    assert!(sent(&flow.effects()).is_empty(), "it is under way");
    flow.decided(7, 1, 1);
    flow.effects();
    flow.need(7, 0, &[1]);
    let lost = flow.effects();
    assert!(matches!(&lost[..], [Effect::Collector(ToCollector::Dropped { unit: 1, .. })]));
}

#[test]
fn the_watermark_frees_and_an_older_life_is_ignored() {
    let mut flow = flow(1);
    for n in 0..4 {
        add(&mut flow, n);
        flow.flush(true, false, 0);
        flow.credit(0, n + 1, n + 1);
    }
    flow.effects();
    flow.decided(7, 5, 2);
    assert!(matches!(flow.effects()[..], [Effect::Free(128)]));
    flow.decided(7, 4, 4);
    assert!(flow.effects().is_empty());
    flow.decided(7, 6, 1);
    assert_eq!(flow.watermark(), 2, "freed stays freed");
    flow.decided(7, 6, 99);
    assert!(flow.drained());
}

#[test]
fn a_new_collector_is_handed_contexts_before_manifests() {
    let mut flow = flow(1);
    add(&mut flow, 0);
    flow.flush(true, false, 0);
    flow.effects();
    flow.collector_hello("h", 0);
    let kinds: Vec<&str> = flow
        .effects()
        .iter()
        .map(|e| match e {
            Effect::Collector(ToCollector::Epoch { .. }) => "epoch",
            Effect::Collector(ToCollector::Schema(..)) => "schema",
            Effect::CollectorGraphs(1) => "graphs",
            Effect::Collector(ToCollector::Context(..)) => "context",
            Effect::Collector(ToCollector::Manifest(_)) => "manifest",
            _ => "other",
        })
        .collect();
    assert_eq!(kinds, ["epoch", "schema", "graphs", "context", "manifest"]);
}

#[test]
fn manifests_are_repeated_until_decided() {
    let mut flow = flow(1);
    add(&mut flow, 0);
    flow.flush(true, false, 0);
    flow.effects();
    flow.tick(99);
    assert!(flow.effects().is_empty());
    flow.tick(100);
    assert_eq!(flow.effects().len(), 1);
    flow.decided(7, 1, 1);
    flow.effects();
    flow.tick(1000);
    assert!(flow.effects().is_empty());
}

#[test]
fn a_recorder_gets_every_unit_and_holds_the_ring() {
    let mut flow = flow(1);
    flow.join(9, Record);
    flow.effects();
    add(&mut flow, 0);
    flow.flush(true, false, 0);
    let copies: Vec<_> = sent(&flow.effects()).into_iter().filter(|s| s.0 == 9).collect();
    assert_eq!(copies, [(9, 0, false)]);
    flow.decided(7, 1, 1);
    assert!(flow.effects().is_empty(), "the recorder has not done it");
    flow.credit(9, 1, 0);
    assert!(matches!(flow.effects()[..], [Effect::Free(64)]));
    assert_eq!(flow.workers(), 1);
}

/// Dropped for poison, and units sent with the lane and whether alone.
fn poisoned(effects: &[Effect]) -> Vec<u64> {
    let pick = |e: &Effect| match e {
        Effect::Collector(ToCollector::Dropped { unit, reason, .. }) if reason == "poison" => {
            Some(*unit)
        }
        _ => None,
    };
    effects.iter().filter_map(pick).collect()
}

#[test]
fn the_third_death_over_a_unit_gives_it_up_and_the_others_are_done() {
    let mut flow = flow(3);
    (0..6).for_each(|n| add(&mut flow, n));
    flow.flush(true, false, 0);
    flow.effects();
    let holder = |flow: &Flow, unit: usize| flow.units[unit].lane.unwrap();
    // Once: replayed like any other unit.
    let lane = holder(&flow, 4);
    flow.leave(lane, Some(4));
    let effects = flow.effects();
    assert!(sent(&effects).iter().any(|s| s.1 == 4 && s.2), "{effects:?}");
    // Twice: alone, on a lane that is done with everything else.
    let lane = holder(&flow, 4);
    flow.leave(lane, Some(4));
    let left = *flow.lanes.keys().next().unwrap();
    assert!(sent(&flow.effects()).iter().all(|s| s.1 != 4), "not beside other units");
    assert!(!flow.ready(), "the only lane is kept free");
    let all = flow.lanes[&left].sent;
    flow.credit(left, all, 1);
    assert_eq!(sent(&flow.effects())[0], (left, 4, true));
    flow.join(8, Work);
    flow.effects();
    // Thrice: given up, saved, declared; and again with every manifest and need.
    flow.leave(left, Some(4));
    let effects = flow.effects();
    assert_eq!(poisoned(&effects), [4]);
    assert!(effects.iter().any(|e| matches!(e, Effect::Quarantine(p) if p.unit.unit == 4)));
    assert!(sent(&effects).iter().all(|s| s.1 != 4));
    flow.need(7, 0, &[4]);
    flow.tick(1000);
    assert_eq!(poisoned(&flow.effects()), [4, 4]);
    let all = flow.lanes[&8].sent;
    flow.credit(8, all, 1);
    flow.decided(7, 1, 1);
    flow.effects();
    add(&mut flow, 6);
    assert_eq!(sent(&flow.effects()), [(8, 6, false)], "the lane is free again");
}

#[test]
fn deaths_that_name_no_unit_or_anothers_are_no_strike() {
    let mut flow = flow(1);
    add(&mut flow, 0);
    for lane in 1..20 {
        flow.join(lane, Work);
        // Whoever leaves was idle, or claims a unit that it never had.
        flow.leave(lane, [None, Some(99), Some(0)][lane as usize % 3]);
    }
    flow.leave(0, None);
    assert!(poisoned(&flow.effects()).is_empty());
    flow.join(20, Work);
    assert_eq!(sent(&flow.effects()), [(20, 0, true)]);
}

proptest::proptest! {
    /// Whatever joins, leaves and lags: while a lane lives, every undecided unit is on a living
    /// lane or queued, and a lane never holds more than its credit.
    #[test]
    fn no_unit_is_forgotten(actions in proptest::collection::vec((0u8..7, 0u32..3), 1..200)) {
        let mut flow = flow(0);
        let mut next = 0;
        for (action, lane) in actions {
            match action {
                0 if !flow.lanes.contains_key(&lane) => flow.join(lane, Work),
                1 => flow.leave(lane, None),
                2 if flow.ready() => { add(&mut flow, next); next += 1; }
                3 => flow.flush(true, false, 0),
                4 => { let done = flow.lanes.get(&lane).map_or(0, |l| l.sent); flow.credit(lane, done, 0); }
                5 => { let decided = flow.watermark + 1; if flow.flushes.len() > 3 { flow.decided(7, 1, decided) } }
                6 => {
                    let held = flow.units.iter().find(|u| u.lane == Some(lane));
                    let unit = held.map(|u| u.descriptor.unit);
                    flow.leave(lane, unit);
                }
                _ => {}
            }
            for unit in &flow.units {
                let n = unit.descriptor.unit;
                let held = unit.lane.is_some_and(|l| flow.lanes.contains_key(&l));
                let queued = flow.waiting.contains(&n) || flow.replays.contains(&n);
                proptest::prop_assert!(held || queued || flow.poison.has(n), "unit {}", n);
            }
            for lane in flow.lanes.values() {
                proptest::prop_assert!(lane.outstanding() <= LIMITS.credits);
            }
        }
    }
}
