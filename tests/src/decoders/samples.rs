//! Samples of what the decoders understand.

use crate::chaos::{Options, garbage, stream};
use ami_collector::root::builder::Mark;
use ami_collector::root::checkpoint::{self, Header, Image};
use ami_graph::data::batch::{Batch, Column};
use ami_graph::data::frame::Frame;
use ami_graph::data::schema::{Field, Kind, Schema};
use ami_graph::data::value::DType;
use ami_graph::graph::spec::{GraphSet, GraphSpec};
use ami_graph::plan::Plan;
use ami_graph::plan::limits::Limits;
use ami_graph::root::RootStage;
use ami_graph::worker::WorkerStage;
use ami_proto::codec::{self, encode};
use ami_proto::data_path::chunk::{Arena, ChunkWriter, Staging};
use ami_proto::data_path::ids::Progress;
use ami_proto::data_path::root_to_hosts::RootMessage;
use ami_proto::data_path::to_collector::ToCollector;
use ami_shm::{RingConfig, RingWriter};
use ami_ventilator::flow::past::{Journal, Past, Tally};
use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};

fn field(name: &str, dtype: DType, rank: usize) -> Field {
    Field {
        name: name.into(),
        aliases: vec![],
        dtype,
        rank,
        shape: None,
        kind: Kind::Event,
        labels: BTreeMap::new(),
    }
}

fn schema() -> Schema {
    let fields = vec![
        field("gauss", DType::F64, 0),
        field("number", DType::I64, 0),
        field("spread", DType::I32, 0),
        field("seldom", DType::F64, 0),
        field("frame", DType::U16, 2),
        field("text", DType::Str, 0),
    ];
    Schema { fields }
}

/// The plan of the chaos stream's graph.
pub fn plan() -> Arc<Plan> {
    static PLAN: LazyLock<Arc<Plan>> = LazyLock::new(|| {
        let spec = GraphSpec::parse(&stream::builtin().to_string()).unwrap();
        let set = Arc::new(GraphSet::of(spec));
        Arc::new(Plan::new(set, Arc::new(schema()), &Limits::default()))
    });
    PLAN.clone()
}

/// Three events.
pub fn with_batch(use_it: impl FnOnce(&Batch<'_>)) {
    fn scalars<T: bytemuck::Pod>(dtype: DType, data: &[T]) -> Column<'_> {
        Column::Scalars { dtype, data: bytemuck::cast_slice(data), present: None }
    }
    let columns = vec![
        scalars(DType::F64, &[0.5f64, -1.0, 2.0]),
        scalars(DType::I64, &[1i64, 2, 3]),
        scalars(DType::I32, &[-50i32, 0, 50]),
        scalars(DType::F64, &[3.0f64, f64::NAN, 1e300]),
        Column::Absent,
        Column::Absent,
    ];
    use_it(&Batch {
        host: 1,
        belonging: Default::default(),
        first_sequence: 0,
        timestamps: &[10, 20, 30],
        columns,
    });
}

/// What the root says.
pub fn to_hosts() -> Vec<Vec<u8>> {
    vec![encode(&RootMessage::Decision { version: 3, heartbeat: Some(17), life: 1 })]
}

/// Files that h5py wrote, old and new.
pub fn hdf5() -> Vec<Vec<u8>> {
    vec![
        include_bytes!("../../../ami-source/tests/hdf5/small_old.h5").to_vec(),
        include_bytes!("../../../ami-source/tests/hdf5/small_new.h5").to_vec(),
    ]
}

/// States of every reduction of the stream's graph.
pub fn partials() -> Vec<Vec<u8>> {
    let mut worker = WorkerStage::new(plan());
    with_batch(|batch| worker.absorb(batch));
    let (header, frames) = worker.take().encode();
    // As `ami_graph::data::bytes::split` takes it apart.
    let number = |n: usize| (n as u64).to_le_bytes();
    let mut bytes = number(header.len()).to_vec();
    bytes.extend((frames.len() as u32).to_le_bytes());
    frames.iter().for_each(|f| bytes.extend(number(f.len())));
    bytes.extend(header);
    frames.iter().for_each(|f| bytes.extend(f));
    vec![bytes]
}

struct Memory {
    words: Vec<u64>,
    head: u64,
}

impl Arena for Memory {
    fn reserve(&mut self, len: usize) -> Option<u64> {
        let at = self.head;
        let end = at + len.next_multiple_of(64) as u64;
        (end <= self.words.len() as u64 * 8).then(|| {
            self.head = end;
            at
        })
    }
    fn bytes_mut(&mut self, position: u64, len: usize) -> &mut [u8] {
        &mut bytemuck::cast_slice_mut(&mut self.words)[position as usize..][..len]
    }
    fn rewind(&mut self, position: u64) {
        self.head = position;
    }
    fn head(&self) -> u64 {
        self.head
    }
}

/// A chunk with every kind of column.
pub fn chunks() -> Vec<Vec<u8>> {
    let mut memory = Memory { words: vec![0; 4096], head: 0 };
    let mut staging = Staging::new(&schema());
    let mut out = ChunkWriter::new(&mut staging, &mut memory, 0, 100, 1 << 20);
    for n in 0..5u16 {
        out.event(1000 + u64::from(n));
        out.scalar(0, f64::from(n));
        out.scalar(1, i64::from(n));
        if n % 2 == 0 {
            out.scalar(3, 1.0f64);
            out.array(4, &[2, 3]).unwrap().fill(n as u8);
            out.text(5, "text");
        }
    }
    let sealed = out.seal(1, 0).unwrap();
    let bytes = &bytemuck::cast_slice::<u64, u8>(&memory.words)[..sealed.end as usize];
    vec![[bytes, &sealed.index.to_le_bytes()].concat()]
}

/// A ring that was written to.
pub fn rings() -> Vec<Vec<u8>> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("ring");
    let config = RingConfig { capacity: 4096, lanes: 2, journal: 256, ..RingConfig::default() };
    let mut ring = RingWriter::create(&path, 7, &config).unwrap();
    let position = ring.reserve(100).unwrap();
    ring.bytes_mut(position, 100).fill(7);
    ring.publish();
    ring.open_lane(0, 1);
    vec![std::fs::read(&path).unwrap()]
}

/// Recorded files, where a checkout has them.
pub fn xtc2() -> Vec<Vec<u8>> {
    let Some(dir) = crate::shared_data() else { return vec![Vec::new()] };
    let mut found = Vec::new();
    let mut dirs = vec![dir.join("xtc2")];
    while let Some(dir) = dirs.pop() {
        for entry in std::fs::read_dir(dir).into_iter().flatten().flatten() {
            let (path, size) = (entry.path(), entry.metadata().map_or(0, |m| m.len()));
            if path.is_dir() {
                dirs.push(path);
            } else if path.extension().is_some_and(|e| e == "xtc2") && size < 1 << 16 {
                found.extend(std::fs::read(path));
            }
        }
    }
    found.sort();
    if found.is_empty() { vec![Vec::new()] } else { found }
}

/// A journal of one edit, and nonsense in its form.
pub fn journals() -> Vec<Vec<u8>> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("graphs.journal");
    drop(ami_manager::journal::Journal::open(&path));
    let empty = std::fs::read(&path).unwrap_or_default();
    let spec = stream::builtin();
    let edit = format!(r#"{{"time_ns":1,"who":"me","version":1,"graph":"g","spec":{spec}}}"#);
    vec![[&empty[..], edit.as_bytes(), b"\n"].concat(), edit.into_bytes()]
}

/// Graphs as people write them.
pub fn graphs() -> Vec<Vec<u8>> {
    let expr = r#"{"name": "e", "nodes": {"x": {"op": "expr", "in": {"a": "gauss", "b": "number"},
        "expr": "where(a > 0, a * b, sqrt(abs(a)))"}, "m": {"op": "mean", "in": "x", "window": {"events": 100}},
        "g": {"op": "gate", "in": "gauss", "with": {"b": "number"}, "when": "b > 1"},
        "h": {"op": "hist", "in": "g", "bins": 10, "range": "auto"}}}"#;
    vec![
        stream::builtin().to_string().into_bytes(),
        stream::edited(3).to_string().into_bytes(),
        expr.as_bytes().to_vec(),
    ]
}

/// Sets of graphs as they travel.
pub fn graph_sets() -> Vec<Vec<u8>> {
    let spec = GraphSpec::parse(&stream::builtin().to_string()).unwrap();
    vec![GraphSet::of(spec).to_json_bytes()]
}

/// Expressions.
pub fn expressions() -> Vec<Vec<u8>> {
    [
        "a * 2 + b ** -3",
        "where(a > 0 and not (b == 1), sum(a[1:3, ::2]), max(a, b))",
        "((((a))))",
        "1e308 * 10 // 3 % 7 & 0x1f | ~b << 3",
        "'text' == name",
    ]
    .map(|e| e.as_bytes().to_vec())
    .into()
}

/// The default configuration, and assignments.
pub fn configurations() -> Vec<Vec<u8>> {
    vec![
        ami_proto::config::DEFAULTS.as_bytes().to_vec(),
        b"heartbeat.period_ms=10".to_vec(),
        b"root.hosts=[\"a\", \"b\"]".to_vec(),
    ]
}

/// Hellos of monitoring servers: distribute and serial mode.
pub fn shmem() -> Vec<Vec<u8>> {
    [[0x0000_0000u32, 0x0001_011a, 0x0001_0000, 0], [0x0000_0001, 0x0000_021a, 0x0001_0000, 0]]
        .map(|words| words.into_iter().flat_map(u32::to_le_bytes).collect())
        .into()
}

/// Source URLs.
pub fn urls() -> Vec<Vec<u8>> {
    [
        "sim:mixed?rate=10&pace=realtime&loop=forever",
        "xtc2:/a/b.xtc2,/c.xtc2?epoch=counter&start=7",
        "shmem:rix0?clients=4&hold=2&epoch=epics&overload=drop",
    ]
    .map(|u| u.as_bytes().to_vec())
    .into()
}

/// A checkpoint of an open heartbeat.
pub fn checkpoints() -> Vec<Vec<u8>> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("root.checkpoint");
    let [windows] = &windows()[..] else { return Vec::new() };
    let mut header = Header::default();
    let mark = Mark { progress: Progress { flushes: 1, ..Progress::default() }, events: 7 };
    header.builder.forward("host", 1, 0, mark);
    header.builder.forward("host", 1, 2, mark);
    header.schemas.insert("host".into(), ((1, 0), (**plan().schema()).clone()));
    header.lengths = vec![vec![windows.len() as u64]];
    header.seqs.insert("g/n".into(), 7);
    checkpoint::write(&path, &Image { header, body: vec![windows.clone()] }).unwrap();
    vec![std::fs::read(&path).unwrap()]
}

/// The state of windows that hold something.
pub fn windows() -> Vec<Vec<u8>> {
    let plan = plan();
    let mut worker = WorkerStage::new(plan.clone());
    with_batch(|batch| worker.absorb(batch));
    let mut root = RootStage::new(plan);
    root.close(&Frame::default(), worker.take());
    vec![root.save().concat()]
}

/// What the root must not forget.
pub fn state_files() -> Vec<Vec<u8>> {
    [r#"{"life":7,"decision":[3,17000000000]}"#, r#"{"life":8,"decision":null}"#]
        .map(|s| s.as_bytes().to_vec())
        .into()
}

/// A ventilator's journal and tally, and where the one ends.
pub fn inheritances() -> Vec<Vec<u8>> {
    let manifests = garbage::to_collector().into_iter().filter_map(|frames| {
        match codec::decode::<ToCollector>(&frames[0]) {
            Ok(ToCollector::Manifest(manifest)) => Some(manifest),
            _ => None,
        }
    });
    let manifests: Vec<_> = manifests.collect();
    let mut journal = Journal { source: "sim:scalars".into(), ..Journal::default() };
    journal.life.epoch = 3;
    journal.life.watermark = 5;
    journal.life.manifests = manifests.clone();
    journal.life.schemas = vec![(0, plan().schema().clone())];
    journal.before = vec![Past { epoch: 2, manifests: manifests.clone(), ..Past::default() }];
    let open = manifests.first().cloned();
    let tally = Tally { step: 1, taken: 4000, newest: Some(17), open, ..Tally::default() };
    let (journal, tally) = (codec::encode(&journal), codec::encode(&tally));
    let at = (journal.len() as u64).to_le_bytes();
    vec![[&journal[..], &tally, &at].concat()]
}

/// Descriptions of beamlines.
pub fn simulations() -> Vec<Vec<u8>> {
    let dir = tempfile::tempdir().unwrap();
    let file = stream::describe(&Options::default(), dir.path());
    let presets = concat!(env!("CARGO_MANIFEST_DIR"), "/../ami-source/src/sim/presets");
    let mut all = vec![std::fs::read(file).unwrap()];
    all.extend(
        ["mixed", "scalars20"].map(|p| std::fs::read(format!("{presets}/{p}.toml")).unwrap()),
    );
    all
}

/// States of user code, as its processes write them.
pub fn code_states() -> Vec<Vec<u8>> {
    let texts = [
        r#"{"sum": {"$": [0, "f8", null]}}"#,
        r#"{"n": {"$": [0, "i8", null]}, "of": {"image": {"$": [16, "u2", [2, 3]]}}, "unit": "mm"}"#,
        r#"{"seen": {"$": [0, "?", [5]]}, "mean": {"$": [16, "f4", []]}}"#,
    ];
    let block = |text: &str| {
        let mut bytes = (text.len() as u32).to_le_bytes().to_vec();
        bytes.extend(text.as_bytes());
        bytes.resize(bytes.len().next_multiple_of(16), 0);
        bytes.extend([1; 48]);
        bytes
    };
    texts.map(block).to_vec()
}

/// Messages in one piece: of each the number of its frames, of each frame its length and bytes.
fn joined(messages: &[Vec<Vec<u8>>]) -> Vec<u8> {
    let mut out = Vec::new();
    for frames in messages {
        out.push(frames.len() as u8);
        for frame in frames {
            out.extend_from_slice(&(frame.len() as u32).to_le_bytes());
            out.extend_from_slice(frame);
        }
    }
    out
}

/// What [`joined`] joined; what breaks off is as long as it is.
pub fn messages(mut bytes: &[u8]) -> Vec<Vec<Vec<u8>>> {
    let mut messages = Vec::new();
    while let Some((count, rest)) = bytes.split_first() {
        bytes = rest;
        let mut frames = Vec::new();
        for _ in 0..*count {
            let Some((len, rest)) = bytes.split_first_chunk::<4>() else { break };
            let len = (u32::from_le_bytes(*len) as usize).min(rest.len());
            let (frame, rest) = rest.split_at(len);
            frames.push(frame.to_vec());
            bytes = rest;
        }
        messages.push(frames);
    }
    messages
}

/// Each message alone, and all together.
fn alone_and_together(all: &[Vec<Vec<u8>>]) -> Vec<Vec<u8>> {
    let alone = all.iter().map(|message| joined(std::slice::from_ref(message)));
    alone.chain([joined(all)]).collect()
}

/// Series of both versions of DECTRIS' streams.
pub fn dectris() -> Vec<Vec<u8>> {
    alone_and_together(&ami_source::dectris::samples::all())
}

/// Trains of both protocols of karabo-bridge.
pub fn karabo() -> Vec<Vec<u8>> {
    alone_and_together(&ami_source::karabo::samples::all())
}

/// Events of programs, and features.
pub fn programs() -> Vec<Vec<u8>> {
    alone_and_together(&ami_source::zmq::samples::all())
}

/// An LZ4 block, and one in the framing of HDF5's filter; the array's length in units of 64 and the size
/// of an element behind them.
pub fn compressed() -> Vec<Vec<u8>> {
    // A literal 7, repeated; then five literals end the block, as they must.
    let block = [&[0x1f, 7, 1, 0, 103][..], &[0x50, 1, 2, 3, 4, 5]].concat();
    let mut framed = 128u64.to_be_bytes().to_vec();
    framed.extend_from_slice(&[0, 0, 0, 128, 0, 0, 0, block.len() as u8]);
    framed.extend_from_slice(&block);
    [&[&block[..], &[2, 2]].concat()[..], &[&framed[..], &[2, 2]].concat()]
        .map(<[u8]>::to_vec)
        .to_vec()
}
