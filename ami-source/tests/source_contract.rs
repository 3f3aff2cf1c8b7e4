//! The laws of `Source`, run over every preset of the simulation, a file and every adaptor: whatever the
//! splits, the limits and the room, the same events and transitions come.

// A failed unwrap is a failed test, also in a helper.
#![allow(clippy::unwrap_used)]

#[path = "shmem/bench.rs"]
#[allow(dead_code, unused_imports)]
mod bench;
#[path = "xtc2/common.rs"]
#[allow(dead_code)]
mod common;

use ami_graph::data::batch::Column;
use ami_graph::data::schema::{Field, Held, Kind, Schema};
use ami_graph::data::value::{DType, Scalar, Value};
use ami_proto::data_path::chunk::{ChunkView, ChunkWriter, Full, HeapArena, Staging};
use ami_proto::data_path::transition::TransitionKind;
use ami_shmem_server::{Server, clean, dgram};
use ami_source::adaptors::looped::Looped;
use ami_source::adaptors::paced::Paced;
use ami_source::adaptors::range::Range;
use ami_source::dectris::{DectrisUrl, Series};
use ami_source::hdf5::Hdf5Source;
use ami_source::karabo::{KaraboUrl, Pulses, Trains};
use ami_source::live::{Live, Recorded};
use ami_source::shmem::ShmemSource;
use ami_source::sim::{Model, SimConfig, SimSource, preset_names};
use ami_source::source::{Next, Source, Transition, Written};
use ami_source::zmq::{Events, Pattern, ZmqUrl};
use ami_source::{Pace, SourceSpec, Timed, open};
use proptest::prelude::*;
use std::cell::Cell;
use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// What a source delivered. A field's value is its shape and a hash of its bytes.
#[derive(Debug, Clone, PartialEq)]
enum Item {
    Event(u64, Vec<Option<(Vec<u32>, u64)>>),
    Transition(TransitionKind, u64, Option<u32>, Vec<(u32, Value)>, Option<Schema>),
}

impl Item {
    fn timestamp(&self) -> u64 {
        match self {
            Item::Event(t, _) | Item::Transition(_, t, ..) => *t,
        }
    }
    fn kind(&self) -> Option<TransitionKind> {
        match self {
            Item::Event(..) => None,
            Item::Transition(kind, ..) => Some(*kind),
        }
    }
}

fn hash(bytes: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    bytes.hash(&mut hasher);
    hasher.finish()
}

/// How one call of `write` is limited.
#[derive(Debug, Clone, Copy)]
struct Split {
    /// ns after the announced event; None: no limit.
    before: Option<u64>,
    max: usize,
    /// Events of a chunk.
    events: usize,
    /// Bytes of a chunk.
    bytes: usize,
    /// Seal after this write.
    seal: bool,
}

const WHOLE: Split = Split { before: None, max: 4096, events: 4096, bytes: 1 << 22, seal: false };

/// Takes everything from a source, as the ventilator does.
struct Drain {
    memory: HeapArena,
    schema: Schema,
    staging: Staging,
    items: Vec<Item>,
    /// Called when nothing is due.
    wait: Box<dyn Fn(Option<Duration>)>,
}

impl Drain {
    fn new(bytes: usize) -> Drain {
        let memory = HeapArena::new(bytes);
        let (schema, staging) = (Schema::default(), Staging::default());
        let wait = Box::new(|_| panic!("nothing may be pending here"));
        Drain { memory, schema, staging, items: Vec::new(), wait }
    }

    fn run(mut self, source: &mut dyn Source, splits: &[Split], limit: usize) -> Vec<Item> {
        for split in splits.iter().cycle() {
            let next = source.next().unwrap();
            if next != Next::Pending {
                assert_eq!(source.next().unwrap(), next, "next takes nothing");
            }
            match next {
                Next::Event(timestamp) => self.write(source, timestamp, split),
                Next::Transition(timestamp) => {
                    self.seal();
                    let t = source.transition().expect("announced");
                    assert_eq!(t.timestamp, timestamp, "{:?}", t.kind);
                    self.follow(t);
                }
                Next::Pending => (self.wait)(source.due_in()),
                Next::End => break,
            }
            if self.items.len() >= limit {
                break;
            }
        }
        self.seal();
        self.items
    }

    fn write(&mut self, source: &mut dyn Source, announced: u64, split: &Split) {
        let before = split.before.map_or(u64::MAX, |ns| announced.saturating_add(ns));
        let held = self.staging.events();
        assert!(source.transition().is_none(), "an event is announced, not a transition");
        let mut out =
            ChunkWriter::new(&mut self.staging, &mut self.memory, 0, split.events, split.bytes);
        let room = out.room();
        let written = source.write(&mut out, before, split.max).unwrap();
        let (Written::Events(n) | Written::Full(n)) = written;
        assert!(n <= split.max.min(room), "{n} events, {split:?}");
        assert_eq!(self.staging.events(), held + n, "as many as it says");
        let new = &self.staging.timestamps()[held..];
        assert!(n == 0 || new[0] == announced, "the announced one is first");
        assert!(new.is_sorted(), "{new:?}");
        assert!(new.iter().skip(1).all(|t| *t < before), "before {before}: {new:?}");
        assert!(n > 0 || room == 0 || matches!(written, Written::Full(_)), "no progress");
        if split.seal || n == 0 || matches!(written, Written::Full(_)) {
            assert!(held + n > 0, "an event does not fit into the empty arena");
            self.seal();
        }
    }

    fn follow(&mut self, t: Transition) {
        assert!(!self.schema.fields.is_empty() || t.schema.is_some(), "Configure first");
        if let Some(schema) = &t.schema {
            self.schema = (**schema).clone();
            self.staging = Staging::new(schema);
        }
        let schema = t.schema.map(|s| (*s).clone());
        self.items.push(Item::Transition(t.kind, t.timestamp, t.run, t.held, schema));
    }

    fn seal(&mut self) {
        if self.staging.events() == 0 {
            return;
        }
        // The index needs room that arrays may have used up: it goes elsewhere.
        let used = self.memory.head as usize;
        self.memory.words.resize(self.memory.words.len() + (1 << 18), 0);
        let mut out =
            ChunkWriter::new(&mut self.staging, &mut self.memory, 0, usize::MAX, usize::MAX);
        let sealed = out.seal(0, 0).unwrap();
        let bytes: &[u8] = bytemuck::cast_slice(&self.memory.words);
        let index = &bytes[sealed.index as usize..][..sealed.index_len];
        let arrays = &bytes[..used];
        let view = ChunkView::new(&arrays, index).unwrap();
        let held = Held::new();
        let batch = view.batch(&self.schema, &held, &[]).unwrap();
        for (row, &timestamp) in batch.timestamps.iter().enumerate() {
            let values = batch.columns.iter().map(|column| value(column, row)).collect();
            self.items.push(Item::Event(timestamp, values));
        }
        self.memory.words.truncate(self.memory.words.len() - (1 << 18));
        self.memory.head = 0;
    }
}

fn value(column: &Column<'_>, row: usize) -> Option<(Vec<u32>, u64)> {
    match column {
        Column::Absent | Column::Constant(_) => None,
        Column::Scalars { dtype, data, present } => {
            let there = present.is_none_or(|mask| mask[row] != 0);
            let size = dtype.size();
            there.then(|| (vec![], hash(&data[row * size..][..size])))
        }
        Column::Strings(texts) => texts[row].map(|t| (vec![], hash(t.as_bytes()))),
        Column::Arrays { items, .. } => items[row].map(|a| (a.dims.axes().to_vec(), hash(a.data))),
    }
}

fn drain(source: &mut dyn Source, splits: &[Split], bytes: usize) -> Vec<Item> {
    Drain::new(bytes).run(source, splits, usize::MAX)
}

fn all(source: &mut dyn Source) -> Vec<Item> {
    drain(source, &[WHOLE], 64 << 20)
}

fn model(preset: &str, events: u64) -> Arc<Model> {
    let mut config = SimConfig::load(preset).unwrap();
    config.events = Some(events);
    Arc::new(Model::new(&config, 3, "here").unwrap())
}

fn sim(model: &Arc<Model>) -> Box<dyn Timed> {
    Box::new(SimSource::new(model.clone()))
}

fn looped(model: Arc<Model>, passes: u64) -> Looped {
    Looped::new(Box::new(move || Ok(sim(&model))), Some(passes)).unwrap()
}

/// A recording of which each test says what is in it; one u64 field that counts.
struct Script {
    items: Vec<(Option<TransitionKind>, u64)>,
    schema: Arc<Schema>,
    at: usize,
    events: u64,
    shift: u64,
    newest: Option<u64>,
}

fn schema(name: &str) -> Arc<Schema> {
    let field = |name: &str, kind| Field {
        name: name.into(),
        aliases: vec![],
        dtype: DType::U64,
        rank: 0,
        shape: None,
        kind,
        labels: BTreeMap::new(),
    };
    Arc::new(Schema { fields: vec![field(name, Kind::Event), field("held", Kind::Held)] })
}

impl Script {
    fn new(name: &str, items: &[(Option<TransitionKind>, u64)]) -> Box<Script> {
        let mut items = items.to_vec();
        items.insert(0, (Some(TransitionKind::Configure), 5));
        let schema = schema(name);
        Box::new(Script { items, schema, at: 0, events: 0, shift: 0, newest: None })
    }
    fn take(&mut self) {
        self.newest = self.newest.max(Some(self.items[self.at].1 + self.shift));
        self.at += 1;
    }
}

impl Source for Script {
    fn next(&mut self) -> anyhow::Result<Next> {
        Ok(match self.items.get(self.at) {
            None => Next::End,
            Some((None, t)) => Next::Event(t + self.shift),
            Some((Some(_), t)) => Next::Transition(t + self.shift),
        })
    }
    fn transition(&mut self) -> Option<Transition> {
        let &(kind, timestamp) = self.items.get(self.at)?;
        let kind = kind?;
        self.take();
        let configure = kind == TransitionKind::Configure;
        let schema = configure.then(|| self.schema.clone());
        let held = if configure { vec![(1, Value::Scalar(Scalar::U64(8)))] } else { vec![] };
        Some(Transition {
            kind,
            timestamp: timestamp + self.shift,
            schema,
            run: None,
            step: None,
            held,
        })
    }
    fn write(
        &mut self,
        out: &mut ChunkWriter<'_>,
        before: u64,
        max: usize,
    ) -> anyhow::Result<Written> {
        let (mut n, mut last) = (0, None);
        while let Next::Event(t) = self.next()? {
            if n == max || out.room() == 0 || last.is_some_and(|last| t < last || t >= before) {
                break;
            }
            out.event(t);
            out.scalar(0, self.events);
            self.events += 1;
            self.take();
            (n, last) = (n + 1, Some(t));
        }
        Ok(Written::Events(n))
    }
    fn skip(&mut self) {
        self.events += 1;
        self.take();
    }
}

impl Timed for Script {
    fn shift(&mut self, ns: u64) -> bool {
        self.shift += ns;
        true
    }
    fn newest(&self) -> Option<u64> {
        self.newest
    }
}

type Make = Box<dyn Fn() -> Box<dyn Source>>;

/// A source under test, how many bytes its largest event needs, and what it delivers.
type Case = (&'static str, usize, Make, Vec<Item>);

/// Sources of messages, here recorded ones.
fn live_sources(list: &mut Vec<(&'static str, usize, Make)>) {
    let dectris = || -> Box<dyn Source> {
        let url = DectrisUrl::read("tcp://detector:31001").unwrap();
        let feed = Recorded::new(ami_source::dectris::samples::all());
        Box::new(Live::new(feed, Series::new(url)))
    };
    list.push(("dectris", 1 << 15, Box::new(dectris)));
    for by_pulse in [false, true] {
        let karabo = move || -> Box<dyn Source> {
            let mut url = KaraboUrl::read("tcp://bridge:1").unwrap();
            if by_pulse {
                url.pulses = Pulses::Events;
            }
            let feed = Recorded::new(ami_source::karabo::samples::all());
            Box::new(Live::new(feed, Trains::new(url)))
        };
        list.push(("karabo", 1 << 10, Box::new(karabo)));
    }
    let programs = || -> Box<dyn Source> {
        let mut url = ZmqUrl::read("ipc:///tmp/x").unwrap();
        url.pattern = Pattern::Pull;
        let feed = Recorded::new(ami_source::zmq::samples::all());
        Box::new(Live::new(feed, Events::new(url, None)))
    };
    list.push(("zmq", 1 << 10, Box::new(programs)));
}

/// Every source under test by name, and how many bytes its largest event needs.
fn sources() -> Vec<(&'static str, usize, Make)> {
    let mut list: Vec<(&'static str, usize, Make)> = Vec::new();
    for (name, events, bytes) in [
        ("pump-probe", 60, 1 << 18),
        ("scalars", 5000, 64),
        ("scalars20", 3000, 64),
        ("image128", 40, 1 << 15),
        ("image512", 6, 1 << 22),
        ("image1024", 6, 1 << 22),
        ("mixed", 700, 1 << 13),
    ] {
        let model = model(name, events);
        list.push((name, bytes, Box::new(move || sim(&model) as Box<dyn Source>)));
    }
    let mixed = model("mixed", 300);
    let m = mixed.clone();
    list.push(("range", 1 << 13, Box::new(move || Box::new(Range::new(sim(&m), 33, Some(120))))));
    let m = mixed.clone();
    list.push(("looped", 1 << 13, Box::new(move || Box::new(looped(m.clone(), 3)))));
    let both = move || -> Box<dyn Source> {
        let m = mixed.clone();
        let open = move || Ok(Box::new(Range::new(sim(&m), 7, Some(60))) as Box<dyn Timed>);
        Box::new(Looped::new(Box::new(open), Some(4)).unwrap())
    };
    list.push(("range, looped", 1 << 13, Box::new(both)));
    list.push((
        "hdf5",
        1 << 12,
        Box::new(|| {
            let file = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/hdf5/small_new.h5");
            Box::new(Hdf5Source::open(&[file.into()], &Default::default()).unwrap())
        }),
    ));
    let hostile = [10, 20, 15, 15, 900, 30, 40, 40].map(|t| (None, t));
    let back = move || -> Box<dyn Source> {
        let open = move || Ok(Script::new("n", &hostile) as Box<dyn Timed>);
        Box::new(Looped::new(Box::new(open), Some(3)).unwrap())
    };
    list.push(("time going back", 64, Box::new(back)));
    let dgrams = Arc::new(three_steps());
    let served = move || -> Box<dyn Source> { Box::new(Served::new(dgrams.clone())) };
    list.push(("shared memory", 64, Box::new(served)));
    live_sources(&mut list);
    list
}

/// A run as a monitoring server offers it.
fn three_steps() -> Vec<Vec<u8>> {
    let mut items =
        vec![bench::Item::Set(bench::Configure, 0), bench::Item::Set(bench::BeginRun, 1)];
    for step in [1_000_000, 2_000_000, 3_000_000] {
        let set = |kind, at| bench::Item::Set(kind, step + at);
        items.extend([set(bench::BeginStep, 0), set(bench::Enable, 1)]);
        items.extend((1..40).map(|n| bench::event(step + 7000 * n)));
        items.push(set(bench::SlowUpdate, 280_000));
        items.extend((41..60).map(|n| bench::event(step + 7000 * n)));
        items.extend([set(bench::Disable, 900_000), set(bench::EndStep, 900_001)]);
    }
    items.push(bench::Item::Set(bench::EndRun, 4_000_000));
    bench::dgrams("cam", &items)
}

/// A monitoring server in a thread, which loses nothing, and its client until the run's end. What is
/// pending there is waited for here, so that the laws can be looked at.
struct Served {
    source: ShmemSource,
    stop: Arc<AtomicBool>,
    server: Option<std::thread::JoinHandle<()>>,
    ended: bool,
}

impl Served {
    fn new(dgrams: Arc<Vec<Vec<u8>>>) -> Served {
        let options = bench::options(&bench::tag(), 1);
        let source = ShmemSource::open(&options.tag, &Default::default()).unwrap();
        let stop = Arc::new(AtomicBool::new(false));
        let stopping = stop.clone();
        let serve = move || {
            let all = options.events;
            let mut server = Server::start(options.clone()).unwrap();
            let wait = |server: &mut Server, ready: &dyn Fn(&Server) -> bool| {
                while !ready(server) && !stopping.load(Ordering::Relaxed) {
                    server.wait(Duration::from_millis(1));
                    server.poll();
                }
            };
            wait(&mut server, &|s| s.clients() == 1);
            for d in dgrams.iter() {
                // Enable takes back what nobody read.
                let room = |s: &Server| match dgram::service(d) {
                    dgram::ENABLE => s.free() == all,
                    _ => s.has_room(),
                };
                wait(&mut server, &room);
                if dgram::is_event(d) { server.event(d) } else { server.transition(d) }
            }
            wait(&mut server, &|_| false);
            clean(&options.tag, 1);
        };
        Served { source, stop, server: Some(std::thread::spawn(serve)), ended: false }
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        self.server.take().unwrap().join().unwrap();
    }
}

impl Source for Served {
    fn next(&mut self) -> anyhow::Result<Next> {
        loop {
            match self.source.next()? {
                _ if self.ended => return Ok(Next::End),
                Next::Pending => std::thread::sleep(Duration::from_micros(50)),
                next => return Ok(next),
            }
        }
    }
    fn transition(&mut self) -> Option<Transition> {
        let transition = self.source.transition()?;
        self.ended = transition.kind == TransitionKind::EndRun;
        Some(transition)
    }
    fn write(
        &mut self,
        out: &mut ChunkWriter<'_>,
        before: u64,
        max: usize,
    ) -> anyhow::Result<Written> {
        self.source.write(out, before, max)
    }
    fn skip(&mut self) {
        self.source.skip();
    }
}

fn splits() -> impl Strategy<Value = Vec<Split>> {
    let before = prop_oneof![Just(None), (0u64..20_000_000).prop_map(Some), Just(Some(0))];
    let split = (before, 1usize..1500, 1usize..1500, any::<bool>()).prop_map(
        |(before, max, events, seal)| Split { before, max, events, bytes: 1 << 16, seal },
    );
    proptest::collection::vec(split, 1..20)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, failure_persistence: None, ..Default::default() })]
    #[test]
    fn any_split_gives_the_same(splits in splits(), spare in 1usize..4) {
        thread_local! {
            static CASES: Vec<Case> =
                sources().into_iter().map(|(n, b, make)| {
                    let items = all(&mut *make());
                    (n, b, make, items)
                }).collect();
        }
        CASES.with(|cases| {
            for (name, bytes, make, expected) in cases {
                // An arena that an event fills, or nearly: most writes meet Full.
                let items = drain(&mut *make(), &splits, bytes * spare);
                assert_eq!(items.len(), expected.len(), "{name}");
                for (k, (a, b)) in items.iter().zip(expected).enumerate() {
                    assert_eq!(a, b, "{name}: item {k}");
                }
                // The pace changes when, never what.
                for pace in [Pace::Realtime, Pace::Hz(777.0)] {
                    let items = paced(make(), pace, &splits, bytes * spare).0;
                    assert!(items == *expected, "{name} at {pace:?}");
                }
            }
        });
    }
}

/// Drains a source at a pace with a clock that only moves while waiting; how long it took, ns.
fn paced(source: Box<dyn Source>, pace: Pace, splits: &[Split], bytes: usize) -> (Vec<Item>, u64) {
    let now = Rc::new(Cell::new(1_000_000_000u64));
    let clock = now.clone();
    let mut source = Paced::new(source, pace, Box::new(move || clock.get()));
    let mut drain = Drain::new(bytes);
    let waiting = now.clone();
    drain.wait = Box::new(move |due| {
        let wait = due.expect("it knows when").as_nanos() as u64;
        assert!(wait > 0, "a wait must make progress");
        waiting.set(waiting.get() + wait);
    });
    let items = drain.run(&mut source, splits, usize::MAX);
    (items, now.get() - 1_000_000_000)
}

fn kinds(items: &[Item]) -> Vec<TransitionKind> {
    items.iter().filter_map(Item::kind).collect()
}

fn events(items: &[Item]) -> Vec<&Item> {
    items.iter().filter(|i| i.kind().is_none()).collect()
}

#[test]
fn the_structure_of_mixed_is_what_its_file_says() {
    use TransitionKind::{BeginRun, BeginStep, Configure, Disable, Enable, EndRun, EndStep};
    let items = all(&mut *sim(&model("mixed", 700)));
    assert_eq!(kinds(&items)[..4], [Configure, BeginRun, BeginStep, Enable]);
    assert_eq!(kinds(&items)[kinds(&items).len() - 3..], [Disable, EndStep, EndRun]);
    let count = |kind| kinds(&items).iter().filter(|k| **k == kind).count();
    assert_eq!((count(BeginRun), count(BeginStep), count(EndRun)), (3, 14, 3));
    assert_eq!(count(TransitionKind::SlowUpdate), 23);
    assert_eq!(events(&items).len(), 700);
    assert!(items.windows(2).all(|w| w[0].timestamp() <= w[1].timestamp()));
    let runs: Vec<u32> = items
        .iter()
        .filter_map(|i| match i {
            Item::Transition(BeginRun, _, run, ..) => *run,
            _ => None,
        })
        .collect();
    assert_eq!(runs, [17, 18, 19]);
    let motor = items.iter().filter_map(|i| match i {
        Item::Transition(BeginStep, _, _, held, _) => Some(held[0].1.clone()),
        _ => None,
    });
    let motor: Vec<Value> = motor.take(5).collect();
    assert_eq!(motor, [0.5, 1.0, 2.0, 0.5, 1.0].map(|v| Value::Scalar(Scalar::F32(v))));
}

#[test]
fn hosts_and_seeds_differ_and_are_repeated_exactly() {
    let made = |seed, host| {
        let mut config = SimConfig::load("mixed").unwrap();
        config.seed = seed;
        let model = Arc::new(Model::new(&config, host, "here").unwrap());
        all(&mut *sim(&model))
    };
    let first = made(1, 0);
    assert_eq!(first, made(1, 0));
    for other in [made(2, 0), made(1, 1)] {
        assert_ne!(first, other);
        let times = |items: &[Item]| items.iter().map(Item::timestamp).collect::<Vec<_>>();
        assert_eq!(times(&first), times(&other), "time is the same everywhere");
    }
}

#[test]
fn skipped_events_are_only_missing() {
    let whole = all(&mut *sim(&model("mixed", 300)));
    let mut source = sim(&model("mixed", 300));
    let mut drain = Drain::new(1 << 20);
    let mut n = 0;
    let mut expected = whole.clone();
    while source.next().unwrap() != Next::End {
        match source.next().unwrap() {
            Next::Event(t) if n % 3 == 1 => {
                source.skip();
                expected.retain(|i| i.kind().is_some() || i.timestamp() != t);
                n += 1;
            }
            Next::Event(t) => {
                drain.write(&mut *source, t, &Split { max: 1, ..WHOLE });
                n += 1;
            }
            _ => {
                drain.seal();
                let t = source.transition().unwrap();
                drain.follow(t);
            }
        }
    }
    drain.seal();
    assert_eq!(n, 300);
    assert_eq!(drain.items, expected);
}

#[test]
fn a_range_is_a_stretch_of_the_whole() {
    let whole = all(&mut *sim(&model("mixed", 300)));
    let items = all(&mut Range::new(sim(&model("mixed", 300)), 33, Some(120)));
    assert_eq!(events(&items), events(&whole)[33..153]);
    use TransitionKind::{Disable, EndRun, EndStep};
    assert_eq!(kinds(&items)[kinds(&items).len() - 3..], [Disable, EndStep, EndRun]);
    let short = all(&mut Range::new(sim(&model("mixed", 300)), 290, Some(120)));
    assert_eq!(events(&short), events(&whole)[290..]);
    assert_eq!(kinds(&short), kinds(&whole));
}

#[test]
fn a_range_ends_a_source_that_does_not() {
    let mut config = SimConfig::load("scalars").unwrap();
    config.events = None;
    let endless = Arc::new(Model::new(&config, 0, "here").unwrap());
    let items = all(&mut Range::new(sim(&endless), 10, Some(2000)));
    assert_eq!(events(&items).len(), 2000);
}

#[test]
fn each_pass_is_a_new_run_in_later_time() {
    use TransitionKind::{BeginRun, Configure};
    let one = all(&mut *sim(&model("mixed", 300)));
    let items = all(&mut looped(model("mixed", 300), 3));
    assert_eq!(events(&items).len(), 900);
    assert_eq!(kinds(&items).iter().filter(|k| **k == Configure).count(), 1);
    let runs = items.iter().filter_map(|i| match i {
        Item::Transition(BeginRun, _, run, ..) => *run,
        _ => None,
    });
    assert_eq!(runs.collect::<Vec<_>>(), [17, 18, 19, 20, 21, 22]);
    assert!(items.windows(2).all(|w| w[0].timestamp() <= w[1].timestamp()));
    let (a, b) = (events(&items), events(&one));
    let shift = a[300].timestamp() - b[0].timestamp();
    for (again, first) in a[300..600].iter().zip(&b) {
        assert_eq!(again.timestamp(), first.timestamp() + shift);
        let (Item::Event(_, x), Item::Event(_, y)) = (again, first) else { panic!() };
        assert_eq!(x, y);
    }
}

#[test]
fn a_bare_recording_is_given_runs() {
    use TransitionKind::{BeginRun, BeginStep, Configure, Enable, EndRun, EndStep, Unconfigure};
    let bare = [(None, 100), (None, 110), (None, 130), (Some(Unconfigure), 130)];
    let mut source = Looped::new(Box::new(move || Ok(Script::new("n", &bare))), Some(2)).unwrap();
    let items = all(&mut source);
    assert_eq!(kinds(&items), [Configure, BeginRun, EndRun, BeginRun, Unconfigure]);
    let times: Vec<u64> = events(&items).iter().map(|i| i.timestamp()).collect();
    // The period is (130 - 100) / 2.
    assert_eq!(times, [100, 110, 130, 145, 155, 175]);
    let held: Vec<usize> = items
        .iter()
        .filter_map(|i| match i {
            Item::Transition(_, _, _, held, _) => Some(held.len()),
            Item::Event(..) => None,
        })
        .collect();
    assert_eq!(held, [1, 0, 0, 1, 0], "what the dropped Configure set is set by BeginRun");

    let cut = [(Some(BeginRun), 90), (Some(BeginStep), 90), (Some(Enable), 90), (None, 100)];
    let mut source = Looped::new(Box::new(move || Ok(Script::new("n", &cut))), Some(2)).unwrap();
    let items = all(&mut source);
    let closed = [TransitionKind::Disable, EndStep, EndRun];
    assert_eq!(kinds(&items)[4..7], closed);
    assert_eq!(kinds(&items)[10..], closed);
}

#[test]
fn a_configure_that_says_something_new_is_delivered() {
    let mut pass = 0;
    let open = move || {
        pass += 1;
        Ok(Script::new(["a", "a", "b"][pass - 1], &[(None, 100)]) as Box<dyn Timed>)
    };
    let items = all(&mut Looped::new(Box::new(open), Some(3)).unwrap());
    let configures = items.iter().filter(|i| i.kind() == Some(TransitionKind::Configure));
    assert_eq!(configures.clone().count(), 2);
    assert!(items.windows(2).all(|w| w[0].timestamp() <= w[1].timestamp()), "{items:?}");
}

#[test]
fn an_empty_recording_does_not_loop_for_ever() {
    let open = || Ok(Script::new("a", &[]) as Box<dyn Timed>);
    let items = all(&mut Looped::new(Box::new(open), None).unwrap());
    assert_eq!(kinds(&items), [TransitionKind::Configure]);
}

#[test]
fn a_pace_takes_the_time_it_should() {
    // 700 events at 1 kHz of data time.
    let (items, took) = paced(sim(&model("mixed", 700)), Pace::Realtime, &[WHOLE], 64 << 20);
    assert_eq!((events(&items).len(), took.div_ceil(500_000)), (700, 1398));
    let (_, took) = paced(sim(&model("mixed", 700)), Pace::Hz(100.0), &[WHOLE], 64 << 20);
    assert!((6.99e9..6.991e9).contains(&(took as f64)), "{took}");
    // A million per second comes in bursts.
    let model = model("scalars", 100_000);
    let waits = Rc::new(Cell::new(0));
    let (now, clock) = (Rc::new(Cell::new(0)), Rc::new(Cell::new(0u64)));
    let time = clock.clone();
    let mut source = Paced::new(sim(&model), Pace::Hz(1e6), Box::new(move || time.get()));
    let mut drain = Drain::new(1 << 20);
    let count = waits.clone();
    drain.wait = Box::new(move |due| {
        count.set(count.get() + 1);
        now.set(now.get() + 1);
        clock.set(clock.get() + due.unwrap().as_nanos() as u64);
    });
    assert_eq!(events(&drain.run(&mut source, &[WHOLE], usize::MAX)).len(), 100_000);
    assert!(waits.get() <= 201, "{} waits for 0.1 s", waits.get());
}

#[test]
fn a_source_that_was_held_does_not_race() {
    let clock = Rc::new(Cell::new(0u64));
    let time = clock.clone();
    let mut source =
        Paced::new(sim(&model("mixed", 700)), Pace::Realtime, Box::new(move || time.get()));
    while matches!(source.next().unwrap(), Next::Transition(_)) {
        source.transition();
    }
    assert!(matches!(source.next().unwrap(), Next::Event(_)));
    clock.set(3_600_000_000_000);
    let mut staging = Staging::new(&model("mixed", 1).schema);
    let mut memory = HeapArena::new(8 << 16);
    let mut out = ChunkWriter::new(&mut staging, &mut memory, 0, 4096, 1 << 20);
    assert_eq!(source.write(&mut out, u64::MAX, 4096).unwrap(), Written::Events(1));
    assert_eq!(source.next().unwrap(), Next::Pending);
    assert_eq!(source.due_in(), Some(Duration::from_millis(1)));
    assert!(source.counters().contains(&("pace_restarts", 1)));
}

#[test]
fn urls_open_what_they_say() {
    let open = |url: &str| open(&url.parse::<SourceSpec>().unwrap(), 0, "here", 0);
    let items = all(&mut *open("sim:mixed?start=10&events=600&loop=2&seed=9&rate=500").unwrap());
    assert_eq!(events(&items).len(), 1200);
    assert_eq!(events(&items)[1].timestamp() - events(&items)[0].timestamp(), 2_000_000);
    // More than the description's own number.
    assert_eq!(events(&all(&mut *open("sim:mixed?events=900").unwrap())).len(), 900);
    for name in preset_names() {
        let items = all(&mut *open(&format!("sim:{name}?events=3&pace=max")).unwrap());
        assert_eq!(events(&items).len(), 3, "{name}");
    }
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("own.toml");
    std::fs::write(&file, "events = 4\n[[field]]\nname = 'a:b:c'\nkind = 'normal'\n").unwrap();
    let items = all(&mut *open(&format!("sim:{}?pace=max", file.display())).unwrap());
    assert_eq!(events(&items).len(), 4);
    let error = open("sim:nowhere.toml").err().unwrap();
    assert!(format!("{error:#}").contains("nowhere.toml"), "{error:#}");
    assert!(open("xtc2:/nowhere.xtc2").is_err());
}

#[test]
fn an_event_too_large_for_now_stays_next() {
    let mut source = sim(&model("image512", 3));
    while matches!(source.next().unwrap(), Next::Transition(_)) {
        source.transition();
    }
    let next = source.next().unwrap();
    let mut staging = Staging::new(&model("image512", 1).schema);
    let mut memory = HeapArena::new(64 * 8);
    let mut out = ChunkWriter::new(&mut staging, &mut memory, 0, 10, 1 << 20);
    assert_eq!(source.write(&mut out, u64::MAX, 10).unwrap(), Written::Full(0));
    assert_eq!(out.array(0, &[1 << 20]).err(), Some(Full));
    assert_eq!(source.next().unwrap(), next);
    assert_eq!((staging.events(), memory.head), (0, 0));
}

/// Every event with the run, step and held values that it is seen with.
fn seen(items: &[Item]) -> Vec<(u32, u32, BTreeMap<u32, Value>, Item)> {
    let (mut run, mut step, mut held, mut out) = (0, 0, BTreeMap::new(), Vec::new());
    for item in items {
        match item {
            Item::Event(..) => out.push((run, step, held.clone(), item.clone())),
            Item::Transition(kind, _, number, set, _) => {
                match kind {
                    TransitionKind::Configure => held.clear(),
                    TransitionKind::BeginRun => (run, step) = (number.unwrap(), 0),
                    TransitionKind::BeginStep => step += 1,
                    _ => {}
                }
                held.extend(set.iter().cloned());
            }
        }
    }
    out
}

#[test]
fn a_resumed_source_goes_on_with_what_holds_there() {
    let spec: SourceSpec = "sim:pump-probe?events=1500&loop=3&pace=max".parse().unwrap();
    let drained = |taken| {
        let mut source = open(&spec, 0, "here", taken).unwrap();
        let mut drain = Drain::new(1 << 24);
        drain.wait = Box::new(|_| ());
        drain.run(&mut *source, &[WHOLE], usize::MAX)
    };
    let whole = seen(&drained(0));
    assert_eq!(whole.len(), 4500);
    for taken in [1, 99, 1000, 1499, 1500, 1501, 3700, 4499, 4500] {
        let rest = seen(&drained(taken as u64));
        assert!(rest == whole[taken..], "after {taken}");
    }
}
