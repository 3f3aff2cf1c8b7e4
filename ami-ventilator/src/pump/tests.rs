//! Laws of the pump, with sources that lie about time, rings that are full, and workers that lag.

use crate::flow::{Effect, Limits};
use crate::pump::timeline::Rules;
use crate::pump::*;
use ami_graph::data::schema::{Field, Kind};
use ami_graph::data::value::DType;
use ami_proto::data_path::chunk::ChunkWriter;
use ami_proto::data_path::to_collector::{Manifest, ToCollector};
use ami_proto::data_path::to_ventilator::Purpose;
use ami_proto::data_path::ventilator_to_worker::LaneMessage;
use ami_shm::RingConfig;
use ami_source::source::{Transition, Written};
use proptest::prelude::*;

/// Events of given timestamps, each with an array of so many bytes.
struct Script {
    stamps: Vec<u64>,
    at: usize,
    bytes: usize,
    configured: bool,
    /// Silent after the last event, instead of at its end.
    silent: bool,
}

impl Source for Script {
    fn next(&mut self) -> anyhow::Result<Next> {
        Ok(match (self.configured, self.stamps.get(self.at)) {
            (false, _) => Next::Transition(0),
            (true, Some(stamp)) => Next::Event(*stamp),
            (true, None) if self.silent => Next::Pending,
            (true, None) => Next::End,
        })
    }

    fn transition(&mut self) -> Option<Transition> {
        let field = Field {
            name: "a".into(),
            aliases: Vec::new(),
            dtype: DType::U8,
            rank: 1,
            shape: None,
            kind: Kind::Event,
            labels: BTreeMap::new(),
        };
        let schema = Some(Arc::new(Schema { fields: vec![field] }));
        self.configured = true;
        let kind = TransitionKind::Configure;
        Some(Transition { kind, timestamp: 0, schema, run: None, step: None, held: Vec::new() })
    }

    fn write(
        &mut self,
        out: &mut ChunkWriter<'_>,
        before: u64,
        max: usize,
    ) -> anyhow::Result<Written> {
        let (mut written, mut last) = (0, None);
        while written < max && out.room() > 0 {
            let Some(&stamp) = self.stamps.get(self.at) else { break };
            if last.is_some_and(|last| stamp < last || stamp >= before) {
                break;
            }
            out.event(stamp);
            if out.array(0, &[self.bytes]).is_err() {
                out.cancel();
                return Ok(Written::Full(written));
            }
            (last, written, self.at) = (Some(stamp), written + 1, self.at + 1);
        }
        Ok(Written::Events(written))
    }

    fn skip(&mut self) {
        self.at += 1;
    }
}

const PERIOD: u64 = 100;

fn pump(stamps: &[u64], bytes: usize, ring: usize, drop: bool, max_skew: Option<u64>) -> Pump {
    let source = Script { stamps: stamps.to_vec(), at: 0, bytes, configured: false, silent: false };
    let dir = tempfile::tempdir().unwrap();
    let config = RingConfig { capacity: ring, lanes: 1, journal: 1 << 16, ..RingConfig::default() };
    // The file may go: the mapping stays.
    let ring = RingWriter::create(&dir.path().join("ring"), 1, &config).unwrap();
    let limits = Limits { credits: 4, busy_lanes: 8, flushes_in_flight: 8, repeat_ns: u64::MAX };
    let rules = Rules { period: PERIOD, max_skew, max_back: 1000, confirm: 3 };
    let options = Options {
        source: "script".into(),
        host: 0,
        chunk_events: 16,
        chunk_bytes: 1 << 12,
        workers: 1,
        wait_for_graph: false,
        drop,
        clocked: false,
        idle_close_ns: u64::MAX,
        cap_ns: u64::MAX,
    };
    let flow = crate::flow::Flow::new(1, limits);
    let mut pump = Pump::new(Box::new(source), ring, flow, Timeline::new(rules), options);
    pump.flow.join(0, Purpose::Work);
    pump
}

/// Does what workers, collector and root would do; how much of it at a time is the caller's.
#[derive(Default)]
struct World {
    sent: u64,
    manifests: Vec<Manifest>,
}

impl World {
    fn perform(&mut self, pump: &mut Pump) {
        pump.record(true);
        for effect in pump.flow.effects() {
            match effect {
                Effect::Lane(_, LaneMessage::Unit(_) | LaneMessage::Replay { .. }) => {
                    self.sent += 1;
                }
                Effect::Collector(ToCollector::Manifest(m)) => self.manifests.push(m),
                Effect::Free(position) => pump.ring.free_to(position),
                _ => {}
            }
        }
    }

    fn work(&mut self, pump: &mut Pump) {
        let flushed = self.manifests.len() as u64;
        pump.flow.credit(0, self.sent, flushed);
        self.perform(pump);
        if pump.flow.backlog().heartbeats == 0 {
            pump.flow.decided(1, 1, flushed);
            self.perform(pump);
        }
    }

    /// Runs to the end; panics if the stream is wedged.
    fn run(&mut self, pump: &mut Pump) {
        for turn in 0..100_000 {
            let step = pump.step(turn).unwrap();
            self.perform(pump);
            match step {
                Step::Ended => return,
                Step::Worked => {}
                Step::Blocked(_) | Step::Idle(_) => self.work(pump),
            }
        }
        panic!("wedged: {:?}", pump.counts);
    }

    fn events(&self) -> u64 {
        let units = self.manifests.iter().flat_map(|m| &m.units);
        units.map(|(_, events)| u64::from(*events)).sum()
    }

    fn dropped(&self) -> u64 {
        self.manifests.iter().flat_map(|m| m.dropped.values()).sum()
    }
}

fn conserved(stamps: &[u64], bytes: usize, drop: bool, max_skew: Option<u64>) -> (Pump, World) {
    let mut pump = pump(stamps, bytes, 1 << 16, drop, max_skew);
    let mut world = World::default();
    world.run(&mut pump);
    assert_eq!(world.events() + world.dropped(), stamps.len() as u64, "{:?}", pump.counts);
    assert_eq!(pump.counts.taken, stamps.len() as u64);
    let keys: Vec<_> = world.manifests.iter().map(|m| m.key).collect();
    assert!(keys.is_sorted(), "a closed heartbeat is never opened again: {keys:?}");
    assert_eq!(world.manifests.iter().filter(|m| m.end).count(), 1);
    (pump, world)
}

/// Clocks that were seen to do this, by name.
fn corpus() -> Vec<(&'static str, Vec<u64>)> {
    let good = |from: u64, n: u64| (0..n).map(move |i| from + i * 10);
    let hour = 3_600_000;
    let base = 100 * hour;
    let insert = |stamp: u64| good(base, 50).chain([stamp]).chain(good(base + 500, 50)).collect();
    let alternating =
        |a: u64, b: u64| (0..200).map(|i| if i % 2 == 0 { a + i } else { b + i }).collect();
    vec![
        ("zero in between", insert(0)),
        ("the largest number in between", insert(u64::MAX)),
        ("all zero", vec![0; 100]),
        ("all the largest number", vec![u64::MAX; 100]),
        ("backwards", (0..200).map(|i| base - i * 10).collect()),
        ("far backwards", (0..200).map(|i| base - i * 5000).collect()),
        ("a long pause", good(base, 50).chain(good(base + 24 * hour, 50)).collect()),
        ("each twice", good(base, 50).flat_map(|t| [t, t]).collect()),
        ("all the same", vec![base; 200]),
        ("set back by an hour", good(base, 50).chain(good(base - hour, 50)).collect()),
        ("ahead within the skew", good(base, 50).chain(good(base + 1000, 50)).collect()),
        ("ahead beyond the skew", good(base, 50).chain(good(base + hour, 50)).collect()),
        ("two bases in turn", alternating(base, base + hour)),
        ("zero and a base in turn", alternating(0, base)),
        ("a counter from 0", (0..500).collect()),
        ("a counter that wraps", (0..100).map(|i| (u64::MAX - 50).wrapping_add(i)).collect()),
    ]
}

#[test]
fn no_clock_wedges_the_stream_or_loses_an_event() {
    for skew in [Some(1000), None] {
        for drop in [false, true] {
            for (name, stamps) in corpus() {
                let (pump, world) = conserved(&stamps, 8, drop, skew);
                let merged = world.events();
                // Whatever the clock, most of what can be believed is; in this world nobody works
                // for a live source before the end.
                if !drop && !name.contains("backwards") && !name.contains("in turn") {
                    assert!(merged * 10 >= stamps.len() as u64 * 9, "{name}: {:?}", pump.counts);
                }
            }
        }
    }
}

#[test]
fn a_clock_set_back_makes_a_new_base_and_a_stray_stamp_does_not() {
    let of = |name: &str| corpus().into_iter().find(|c| c.0 == name).unwrap().1;
    let segments = |world: &World| world.manifests.last().unwrap().key.segment;
    let stray = conserved(&of("zero in between"), 8, false, Some(1000)).1;
    let back = conserved(&of("set back by an hour"), 8, false, Some(1000)).1;
    assert_eq!(segments(&stray) + 1, segments(&back));
    assert_eq!((stray.dropped(), back.dropped()), (1, 2));
}

/// It was counted again whenever it came again.
#[test]
fn a_late_event_that_meets_a_full_ring_is_late_once() {
    // Three events fill the ring; the fourth is late, and does not fit until the rest is decided.
    let stamps = [150, 160, 250, 170, 260];
    let mut pump = pump(&stamps, 20_000, 1 << 16, false, Some(1000));
    let mut world = World::default();
    let mut blocked = 0;
    for turn in 0..1000 {
        match pump.step(turn).unwrap() {
            Step::Ended => break,
            Step::Worked => world.perform(&mut pump),
            Step::Blocked(_) | Step::Idle(_) => {
                blocked += 1;
                world.perform(&mut pump);
                if blocked % 5 == 0 {
                    world.work(&mut pump);
                }
            }
        }
    }
    assert!(blocked >= 5, "the ring was full");
    assert_eq!((pump.counts.late, world.events()), (1, 5));
    assert_eq!(world.manifests.iter().map(|m| m.late).sum::<u64>(), 1);
}

/// A heartbeat's end waited until what its source had of the next one was written.
#[test]
fn a_heartbeat_is_handed_on_before_events_of_the_next_one_are_taken() {
    let stamps: Vec<u64> = (0..40).map(|i| 10 * i).collect();
    let mut pump = pump(&stamps, 8, 1 << 16, false, Some(1000));
    let mut world = World::default();
    for heartbeat in 1..4 {
        while world.manifests.len() < heartbeat {
            pump.step(1).unwrap();
            world.perform(&mut pump);
        }
        assert_eq!(pump.counts.taken, 10 * heartbeat as u64, "of heartbeat {heartbeat} and before");
    }
}

/// Eight heartbeats of ten events, in the first of them.
fn under_way() -> (Pump, World) {
    let stamps: Vec<u64> = (0..80).map(|i| 10 * i).collect();
    let mut pump = pump(&stamps, 8, 1 << 16, false, Some(1000));
    let mut world = World::default();
    while pump.counts.taken == 0 {
        pump.step(1).unwrap();
        world.perform(&mut pump);
    }
    (pump, world)
}

/// A source that has events goes on with the version before until the decided heartbeat: its events
/// until then were made late. `pause` brings it to a point where no heartbeat is open.
fn takes_effect_as_decided(pause: impl Fn(&mut Pump, &mut World)) {
    let (mut pump, mut world) = under_way();
    pump.change.announced(1, b"{}".to_vec());
    pause(&mut pump, &mut world);
    pump.change.decided(1, Some(5));
    world.run(&mut pump);
    let first = world.manifests.iter().find(|m| m.conditions.version == 1);
    assert_eq!(first.map(|m| m.key.heartbeat), Some(5));
    assert_eq!((world.events(), pump.counts.late), (80, 0));
}

#[test]
fn a_version_takes_effect_as_decided_after_a_boundary() {
    takes_effect_as_decided(|pump, _| assert!(pump.boundary(1)));
}

/// Its first part was of the version before: another host made all of it with the decided one.
#[test]
fn a_heartbeat_of_which_a_part_went_out_is_not_promised() {
    let (mut pump, _) = under_way();
    assert!(pump.boundary(1));
    assert_eq!(pump.key().heartbeat, 0, "its rest may come");
    pump.change.announced(1, b"{}".to_vec());
    pump.change.activate(1, pump.untouched());
    assert_eq!(pump.change.promise(1), Some((1, 1)));
}

#[test]
fn a_version_takes_effect_as_decided_where_the_decision_was_waited_for() {
    takes_effect_as_decided(|pump, world| {
        pump.change.activate(1, pump.untouched());
        while !matches!(pump.step(1).unwrap(), Step::Blocked(reason) if reason.contains("decision"))
        {
            world.perform(pump);
        }
    });
}

/// It was, with nothing in it, at every try to write into the full ring.
#[test]
fn a_flush_is_not_ended_by_a_ring_that_others_fill() {
    // Thirteen events fill the ring; a flush ends with the fourth, a quarter of it, or with the third
    // where what is skipped at the ring's end is as much.
    let stamps: Vec<u64> = (0..60).map(|i| 100 * (i / 25) + 10).collect();
    let mut pump = pump(&stamps, 5_000, 1 << 16, false, Some(1000));
    let mut world = World::default();
    let mut full = 0;
    for turn in 0..1000 {
        let step = pump.step(turn).unwrap();
        world.perform(&mut pump);
        match step {
            Step::Ended => break,
            Step::Worked => {}
            Step::Blocked("ring full") if full % 5 < 4 => full += 1,
            Step::Blocked("ring full") => {
                full += 1;
                world.work(&mut pump);
            }
            // Workers have time: it is the root that lags.
            Step::Blocked(_) | Step::Idle(_) => {
                pump.flow.credit(0, world.sent, world.manifests.len() as u64);
            }
        }
    }
    assert!(full >= 10 && world.events() == 60, "{full} times, {} events", world.events());
    let events = |m: &Manifest| m.units.iter().map(|u| u.1).sum::<u32>();
    let cut: Vec<u32> = world.manifests.iter().filter(|m| !m.last).map(events).collect();
    assert!(!cut.is_empty() && cut.iter().all(|&n| n >= 3), "{cut:?}");
}

#[test]
fn a_live_source_is_thinned_before_the_ring_is_full_and_keeps_its_results_young() {
    // Workers get to do something only now and then.
    let stamps: Vec<u64> = (0..40_000).map(|i| 1_000_000 + i / 10).collect();
    let mut pump = pump(&stamps, 8, 1 << 18, true, Some(1000));
    let (mut world, mut oldest, mut share) = (World::default(), 0, 1.0f64);
    for turn in 0..1_000_000 {
        let step = pump.step(turn).unwrap();
        world.perform(&mut pump);
        share = share.min(pump.thinner.share());
        oldest = oldest.max(pump.flow.backlog().heartbeats);
        if step == Step::Ended {
            break;
        }
        if turn % 199 == 0 || step != Step::Worked {
            world.work(&mut pump);
        }
    }
    assert_eq!(world.events() + world.dropped(), 40_000);
    assert!(share < 1.0 && pump.counts.dropped["overload"] > 0, "{:?}", pump.counts);
    assert!(!pump.counts.dropped.contains_key("ring_full"), "{:?}", pump.counts);
    assert!(oldest <= 3, "{oldest} heartbeats undone");
}

#[test]
fn what_is_written_down_accounts_for_every_event_at_every_step() {
    let stamps: Vec<u64> = (0..3000).map(|i| 1_000_000 + i * 7 % 900).collect();
    let mut pump = pump(&stamps, 8, 1 << 16, false, Some(1000));
    let (mut world, mut decided) = (World::default(), 0);
    for turn in 0..100_000 {
        let step = pump.step(turn).unwrap();
        world.perform(&mut pump);
        let journal = pump.left_behind();
        let inherited = crate::flow::past::inherit(vec![journal]);
        let owed = inherited.pasts.iter().flat_map(|p| &p.manifests);
        let lost: u64 = owed.flat_map(|m| m.dropped.values()).sum();
        let acknowledged = pump.flow.acknowledged().0 as usize;
        let done = World { sent: 0, manifests: world.manifests[..acknowledged].to_vec() };
        decided = done.events() + done.dropped();
        assert_eq!(decided + lost, inherited.tally.unwrap().taken, "turn {turn}");
        match step {
            Step::Ended if pump.flow.drained() => break,
            Step::Worked => {}
            _ => world.work(&mut pump),
        }
    }
    assert_eq!(decided, 3000);
}

proptest! {
    #[test]
    fn no_timestamps_wedge_the_stream_or_lose_an_event(
        stamps in prop::collection::vec(
            prop_oneof![0u64..2000, 1_000_000u64..1_001_000, any::<u64>(), Just(0), Just(u64::MAX)],
            0..300),
        drop: bool, skewed: bool,
    ) {
        conserved(&stamps, 8, drop, skewed.then_some(1000));
    }
}

#[test]
fn a_silent_host_says_which_heartbeats_were_empty() {
    let mut pump = pump(&[150, 160], 8, 1 << 16, false, None);
    pump.source = Box::new(Script {
        stamps: vec![150, 160],
        at: 0,
        bytes: 8,
        configured: false,
        silent: true,
    });
    (pump.options.clocked, pump.options.idle_close_ns) = (true, 50);
    let mut world = World::default();
    // The clock is 10 000 ahead of the stamps: only differences count.
    for now in 10_000..10_450 {
        pump.step(now).unwrap();
        world.perform(&mut pump);
        world.work(&mut pump);
    }
    let said: Vec<_> = world.manifests.iter().map(|m| (m.key.heartbeat, m.events())).collect();
    // The last event, of 160, came at 10 000: at 10 450 what comes now would be of 610, less 50.
    assert_eq!(said, [(1, 2), (2, 0), (3, 0), (4, 0)]);
    assert!(world.manifests.iter().all(|m| m.last && !m.end));
    // A promised heartbeat is not passed undecided.
    pump.change.announced(1, b"{}".to_vec());
    pump.change.activate(1, pump.untouched());
    for now in 10_450..10_900 {
        pump.step(now).unwrap();
        world.perform(&mut pump);
        world.work(&mut pump);
    }
    assert_eq!(world.manifests.len(), said.len());
    // What was decided for later takes effect at once, and nothing before it is opened any more.
    pump.change.decided(1, Some(20));
    pump.step(10_900).unwrap();
    assert_eq!((pump.change.active(), pump.untouched()), (1, 20));
}

#[test]
fn a_source_that_pauses_is_not_silent() {
    let mut pump = pump(&[110], 1, 1 << 16, false, Some(1000));
    pump.source =
        Box::new(Script { stamps: vec![110], at: 0, bytes: 1, configured: false, silent: true });
    pump.options.idle_close_ns = 50;
    let mut world = World::default();
    while pump.counts.taken == 0 {
        pump.step(10_000).unwrap();
        world.perform(&mut pump);
    }
    assert!(pump.boundary(10_000));
    pump.change.announced(1, b"{}".to_vec());
    pump.change.decided(1, Some(5));
    pump.step(10_049).unwrap();
    assert_eq!(pump.change.active(), 0, "events of heartbeats before the fifth may come");
    pump.step(10_050).unwrap();
    assert_eq!((pump.change.active(), pump.untouched()), (1, 5));
}

/// Its workers were gone for a moment: it went on at the decided heartbeat, all until then late.
#[test]
fn a_version_takes_effect_as_decided_where_workers_come_back() {
    takes_effect_as_decided(|pump, world| {
        assert!(pump.boundary(1));
        pump.flow.leave(0, None);
        pump.change.decided(1, Some(5));
        assert!(matches!(pump.step(1).unwrap(), Step::Blocked(_)));
        world.perform(pump);
        pump.flow.join(0, Purpose::Work);
    });
}
