//! Every decoder of bytes from outside a process, with samples of what it understands: for the
//! property tests and for `fuzz/`. To decode may fail, but not panic, hang or take much memory.

mod samples;

use crate::chaos::garbage;
use ami_collector::root::checkpoint;
use ami_collector::root::state_file::StateFile;
use ami_graph::data::bytes;
use ami_graph::data::frame::Frame;
use ami_graph::data::types::Type;
use ami_graph::data::value::DType;
use ami_graph::expr::Expr;
use ami_graph::graph::spec::{GraphSet, GraphSpec};
use ami_graph::op::plain::Plain;
use ami_graph::plan::Plan;
use ami_graph::plan::limits::Limits;
use ami_graph::root::RootStage;
use ami_graph::wire::partial::Partial;
use ami_graph::worker::WorkerStage;
use ami_proto::codec;
use ami_proto::config::Config;
use ami_proto::control::ctl_to_manager::Command;
use ami_proto::control::manager_to_members::Announce;
use ami_proto::control::member_to_manager::Report;
use ami_proto::data_path::chunk::{ChunkView, ChunkWriter, HeapArena, Spans, Staging};
use ami_proto::data_path::root_to_hosts::RootMessage;
use ami_proto::data_path::to_collector::ToCollector;
use ami_proto::data_path::to_root::ToRoot;
use ami_proto::data_path::to_ventilator::ToVentilator;
use ami_proto::data_path::ventilator_to_worker::LaneMessage;
use ami_source::codecs;
use ami_source::live::{Live, Recorded, Wire};
use ami_source::shmem::message;
use ami_source::sim::{Model, SimConfig, SimSource};
use ami_source::source::{Next, Source, Written};
use ami_store::store::Store;
use ami_ventilator::flow::past;
use serde::de::DeserializeOwned;
use std::path::Path;
use std::sync::Arc;

/// One decoder.
#[derive(Clone, Copy)]
pub struct Decoder {
    /// Its name.
    pub name: &'static str,
    /// Bytes that it understands.
    pub samples: fn() -> Vec<Vec<u8>>,
    /// Decodes bytes, in a directory for those that read files, and uses what came of it; whether
    /// they were understood.
    pub decode: fn(&[u8], &Path) -> bool,
}

/// All of them.
pub const DECODERS: [Decoder; 31] = [
    Decoder {
        name: "to_ventilator",
        samples: || headers(garbage::to_ventilator()),
        decode: message::<ToVentilator>,
    },
    Decoder {
        name: "to_collector",
        samples: || headers(garbage::to_collector()),
        decode: message::<ToCollector>,
    },
    Decoder { name: "to_root", samples: || headers(garbage::to_root()), decode: message::<ToRoot> },
    Decoder {
        name: "to_worker",
        samples: || headers(garbage::to_worker()),
        decode: message::<LaneMessage>,
    },
    Decoder { name: "to_hosts", samples: samples::to_hosts, decode: message::<RootMessage> },
    Decoder {
        name: "report",
        samples: || headers(garbage::to_manager()),
        decode: message::<Report>,
    },
    Decoder {
        name: "announce",
        samples: || headers(garbage::to_manager()),
        decode: message::<Announce>,
    },
    Decoder { name: "partial", samples: samples::partials, decode: partial },
    Decoder { name: "chunk", samples: samples::chunks, decode: chunk },
    Decoder { name: "ring", samples: samples::rings, decode: ring },
    Decoder { name: "xtc2", samples: samples::xtc2, decode: xtc2 },
    Decoder { name: "hdf5", samples: samples::hdf5, decode: hdf5 },
    Decoder { name: "shmem", samples: samples::shmem, decode: shmem },
    Decoder { name: "journal", samples: samples::journals, decode: journal },
    Decoder { name: "graph", samples: samples::graphs, decode: graph },
    Decoder { name: "graph_set", samples: samples::graph_sets, decode: graph_set },
    Decoder { name: "expression", samples: samples::expressions, decode: expression },
    Decoder { name: "configuration", samples: samples::configurations, decode: configuration },
    Decoder { name: "command", samples: || bodies(garbage::commands()), decode: command },
    Decoder { name: "checkpoint", samples: samples::checkpoints, decode: checkpoint },
    Decoder { name: "windows", samples: samples::windows, decode: windows },
    Decoder { name: "code_state", samples: samples::code_states, decode: code_state },
    Decoder { name: "state_file", samples: samples::state_files, decode: state_file },
    Decoder { name: "inheritance", samples: samples::inheritances, decode: inheritance },
    Decoder { name: "simulation", samples: samples::simulations, decode: simulation },
    Decoder { name: "query", samples: || bodies(garbage::queries()), decode: query },
    Decoder { name: "url", samples: samples::urls, decode: url },
    Decoder { name: "dectris", samples: samples::dectris, decode: dectris },
    Decoder { name: "codecs", samples: samples::compressed, decode: compressed },
    Decoder { name: "karabo", samples: samples::karabo, decode: karabo },
    Decoder { name: "zmq", samples: samples::programs, decode: programs },
];

fn headers(messages: Vec<Vec<Vec<u8>>>) -> Vec<Vec<u8>> {
    messages.into_iter().filter_map(|frames| frames.into_iter().next()).collect()
}

fn bodies(messages: Vec<Vec<Vec<u8>>>) -> Vec<Vec<u8>> {
    messages.into_iter().filter_map(|mut frames| frames.pop()).collect()
}

/// As it comes, and with a checksum that is right, so that what lies behind is reached.
fn message<T: DeserializeOwned>(bytes: &[u8], _dir: &Path) -> bool {
    let mut sealed = bytes.to_vec();
    codec::seal(&mut sealed);
    codec::decode::<T>(bytes).is_ok() | codec::decode::<T>(&sealed).is_ok()
}

/// What can be decoded is merged with a good one and published, as collectors do.
fn partial(bytes: &[u8], _dir: &Path) -> bool {
    let Ok((header, frames)) = bytes::split(bytes) else { return false };
    let Ok(damaged) = Partial::decode(header, &frames) else { return false };
    let plan = samples::plan();
    let mut worker = WorkerStage::new(plan.clone());
    samples::with_batch(|batch| worker.absorb(batch));
    let mut good = worker.take();
    let mut root = RootStage::new(plan);
    root.close(&Frame::default(), damaged.clone());
    if good.merge(damaged).is_ok() {
        root.close(&Frame { heartbeat: 1, ..Frame::default() }, good);
    }
    true
}

/// A state of user code is added to itself, and goes on as bytes.
fn code_state(bytes: &[u8], _dir: &Path) -> bool {
    let Ok(state) = Plain::new(bytes.to_vec()) else { return false };
    let mut sum = state.clone();
    let _ = sum.add(&state);
    Plain::new(sum.bytes().to_vec()).is_ok()
}

struct Memory<'a>(&'a [u8]);

impl Spans for Memory<'_> {
    fn span(&self, offset: u64, len: usize) -> Option<&[u8]> {
        let start = usize::try_from(offset).ok()?;
        self.0.get(start..start.checked_add(len)?)
    }
}

/// The bytes are those of a whole chunk: the last two words say where its index lies.
fn chunk(bytes: &[u8], _dir: &Path) -> bool {
    let Some((bytes, at)) = bytes.split_last_chunk::<8>() else { return false };
    let at = u64::from_le_bytes(*at) as usize;
    // Aligned as in the ring.
    let mut words = vec![0u64; bytes.len().div_ceil(8)];
    let memory: &mut [u8] = bytemuck::cast_slice_mut(&mut words);
    memory[..bytes.len()].copy_from_slice(bytes);
    let memory = &memory[..bytes.len()];
    let Some(index) = memory.get(at..) else { return false };
    let arrays = Memory(memory);
    let Ok(view) = ChunkView::new(&arrays, index) else { return false };
    let plan = samples::plan();
    let held = Default::default();
    let Ok(batch) = view.batch(plan.schema(), &held, plan.wanted()) else { return false };
    let mut worker = WorkerStage::new(plan.clone());
    worker.absorb(&batch);
    worker.take();
    true
}

fn ring(bytes: &[u8], dir: &Path) -> bool {
    let file = dir.join("ring");
    std::fs::write(&file, bytes).unwrap();
    let Ok(ring) = ami_shm::RingReader::open(&file) else { return false };
    for position in [ring.head(), ring.tail(), 0, u64::MAX] {
        let _ = ring.bytes(position, 100).map(|b| b.iter().fold(0, |a: u8, b| a ^ b));
        ring.still_owned(position);
    }
    for lane in 0..ring.lanes().min(4) {
        if let Ok(slot) = ring.lane(lane, 1) {
            slot.fenced();
            slot.beat();
        }
    }
    let _ = ring.lane(usize::MAX, 1);
    let _ = ring.journal_read();
    true
}

fn xtc2(bytes: &[u8], dir: &Path) -> bool {
    let file = dir.join("data.xtc2");
    std::fs::write(&file, bytes).unwrap();
    ami_source::inspect::run(&[file], true, true, &mut std::io::sink()).is_ok()
}

/// The listing, and the first events.
fn hdf5(bytes: &[u8], dir: &Path) -> bool {
    let file = dir.join("data.h5");
    std::fs::write(&file, bytes).unwrap();
    let options = ami_source::hdf5::Options { follow: Some(false), ..Default::default() };
    let url = format!("hdf5:{}?follow=false", file.display());
    let _ = ami_source::hdf5::inspect(&url.parse().unwrap(), true, &mut std::io::sink());
    let Ok(mut source) = ami_source::hdf5::Hdf5Source::open(&[file], &options) else {
        return false;
    };
    while source.transition().is_some() {}
    let mut staging = Staging::new(&source.schema());
    let mut memory = HeapArena::new(1 << 16);
    let mut out = ChunkWriter::new(&mut staging, &mut memory, 0, 20, 1 << 15);
    for _ in 0..20 {
        let _ = source.write(&mut out, u64::MAX, 20);
        source.skip();
    }
    true
}

/// A message of a monitoring server: a hello, a port, a buffer's index.
fn shmem(bytes: &[u8], _dir: &Path) -> bool {
    let Some(message) = bytes.first_chunk() else { return false };
    let _ = (message::port(message), message::index(message));
    message::Hello::read(message).is_ok()
}

fn journal(bytes: &[u8], dir: &Path) -> bool {
    let file = dir.join("graphs.journal");
    std::fs::write(&file, bytes).unwrap();
    ami_manager::journal::Journal::open(&file).is_ok()
}

fn graph(bytes: &[u8], _dir: &Path) -> bool {
    let Ok(text) = std::str::from_utf8(bytes) else { return false };
    GraphSpec::parse(text).map(|spec| compile(GraphSet::of(spec))).is_ok()
}

fn graph_set(bytes: &[u8], _dir: &Path) -> bool {
    GraphSet::from_json_bytes(bytes).map(compile).is_ok()
}

fn compile(set: GraphSet) {
    let limits = Limits { state_bytes: 1 << 20, ..Limits::default() };
    let plan = Arc::new(Plan::new(Arc::new(set), samples::plan().schema().clone(), &limits));
    let mut worker = WorkerStage::new(plan.clone());
    samples::with_batch(|batch| worker.absorb(batch));
    RootStage::new(plan).close(&Frame::default(), worker.take());
}

fn expression(bytes: &[u8], _dir: &Path) -> bool {
    let Ok(text) = std::str::from_utf8(bytes) else { return false };
    let Ok(expr) = Expr::parse(text) else { return false };
    let inputs: Vec<(String, Type)> =
        expr.names().iter().map(|n| (n.clone(), Type::scalar(DType::F64))).collect();
    let _ = expr.compile(&inputs);
    true
}

fn configuration(bytes: &[u8], dir: &Path) -> bool {
    let file = dir.join("ami.toml");
    std::fs::write(&file, bytes).unwrap();
    let set =
        std::str::from_utf8(bytes).is_ok_and(|t| Config::load(None, &[t.to_string()]).is_ok());
    Config::load(Some(&file), &[]).is_ok() | set
}

fn command(bytes: &[u8], _dir: &Path) -> bool {
    serde_json::from_slice::<Command>(bytes).is_ok()
}

/// As it comes, and with checksums that are right.
fn checkpoint(bytes: &[u8], dir: &Path) -> bool {
    let file = dir.join("root.checkpoint");
    let mut sealed = bytes.to_vec();
    checkpoint::seal(&mut sealed);
    let read = |bytes: &[u8]| {
        std::fs::write(&file, bytes).unwrap();
        let restored = checkpoint::load(&file, 1 << 24).ok().flatten();
        restored.is_some_and(|r| r.states().is_ok())
    };
    read(bytes) | read(&sealed)
}

/// The state of all windows, as it lies in a checkpoint; what can be read is published.
fn windows(bytes: &[u8], _dir: &Path) -> bool {
    let Ok(mut stage) = RootStage::restore(samples::plan(), bytes) else { return false };
    stage.again(&Frame::default());
    true
}

fn state_file(bytes: &[u8], dir: &Path) -> bool {
    std::fs::write(dir.join("root.state"), bytes).unwrap();
    StateFile::new(dir).load() != Default::default()
}

/// What a dead ventilator left in its ring: the journal, then the tally; the last word says where.
fn inheritance(bytes: &[u8], _dir: &Path) -> bool {
    let Some((bytes, at)) = bytes.split_last_chunk::<8>() else { return false };
    let at = usize::try_from(u64::from_le_bytes(*at)).unwrap_or(usize::MAX).min(bytes.len());
    let (journal, tally) = bytes.split_at(at);
    let sealed = [journal, tally].map(|part| {
        let mut part = part.to_vec();
        codec::seal(&mut part);
        part
    });
    let read = |journal: &[u8], tally: &[u8]| {
        let Ok(journal) = past::Journal::decode(journal, Some(tally)) else { return false };
        past::inherit(vec![journal.clone(), journal]);
        true
    };
    read(journal, tally) | read(&sealed[0], &sealed[1])
}

/// A description of a beamline; what can be read gives its first transitions.
fn simulation(bytes: &[u8], _dir: &Path) -> bool {
    let Ok(text) = std::str::from_utf8(bytes) else { return false };
    let Ok(config) = SimConfig::parse(text) else { return false };
    let Ok(model) = Model::new(&config, 0, "host") else { return false };
    let mut source = SimSource::new(Arc::new(model));
    (0..10).any(|_| source.transition().is_some())
}

/// A question to a store that has something.
fn query(bytes: &[u8], _dir: &Path) -> bool {
    let mut store = Store::new(10, 1 << 20);
    let header = br#"{"seq":1,"heartbeat":2,"arrays":[]}"#;
    store.ingest(&[b"g/n", header], 0).unwrap();
    let marker = br#"{"seq":1,"heartbeat":2,"arrays":[],"topics":{"g/n":1}}"#;
    store.ingest(&[b"g/@heartbeat", marker], 0).unwrap();
    let answer = ami_store::query::answer(&store, &[bytes], 0);
    !answer[0].starts_with(b"{\"error\"")
}

/// Messages of a live source, their frames with lengths before them, taken as a ventilator takes them.
fn drained<W: Wire>(bytes: &[u8], wire: W) -> bool {
    let mut source = Live::new(Recorded::new(samples::messages(bytes)), wire);
    let (mut staging, mut taken) = (Staging::default(), false);
    let mut arena = HeapArena::new(1 << 20);
    loop {
        match source.next() {
            Ok(Next::Transition(_)) => {
                let transition = source.transition();
                if let Some(schema) = transition.and_then(|t| t.schema) {
                    staging = Staging::new(&schema);
                }
            }
            Ok(Next::Event(_)) => {
                arena.head = 0;
                staging.clear();
                let mut out = ChunkWriter::new(&mut staging, &mut arena, 0, 1, usize::MAX);
                taken = true;
                if !matches!(source.write(&mut out, u64::MAX, 1), Ok(Written::Events(1))) {
                    source.skip();
                }
            }
            Ok(Next::Pending) => {}
            Ok(Next::End) | Err(_) => return taken,
        }
    }
}

fn dectris(bytes: &[u8], _dir: &Path) -> bool {
    let Ok(spec) = "dectris:tcp://d:1?tables_mib=1".parse::<ami_source::SourceSpec>() else {
        return false;
    };
    let ami_source::SourceKind::Dectris(url) = spec.kind else { return false };
    drained(bytes, ami_source::dectris::Series::new(url))
}

fn karabo(bytes: &[u8], _dir: &Path) -> bool {
    let read = |options: &str| {
        let spec = format!("karabo:tcp://b:1{options}").parse::<ami_source::SourceSpec>();
        let Ok(ami_source::SourceKind::Karabo(url)) = spec.map(|s| s.kind) else { return false };
        drained(bytes, ami_source::karabo::Trains::new(url))
    };
    read("") | read("?pulses=events&match=train")
}

fn programs(bytes: &[u8], _dir: &Path) -> bool {
    let spec = "zmq:tcp://b:1?pattern=pull".parse::<ami_source::SourceSpec>();
    let Ok(ami_source::SourceKind::Zmq(url)) = spec.map(|s| s.kind) else { return false };
    drained(bytes, ami_source::zmq::Events::new(url, None))
}

/// Compressed arrays; the last two bytes say how large the array and its elements are.
fn compressed(bytes: &[u8], _dir: &Path) -> bool {
    let Some((bytes, [len, element])) = bytes.split_last_chunk::<2>() else { return false };
    let mut out = vec![0; usize::from(*len) * 64];
    let element = usize::from(*element);
    let shuffled = codecs::bslz4(bytes, element, &mut out).is_ok();
    let blocks = codecs::bslz4_blocks(bytes, element, 1024, &mut out).is_ok();
    let framed = codecs::lz4(bytes, &mut out).is_ok();
    let block = codecs::lz4::block(bytes, &mut out).is_ok();
    shuffled | blocks | framed | block
}

fn url(bytes: &[u8], _dir: &Path) -> bool {
    let text = std::str::from_utf8(bytes).unwrap_or_default();
    text.parse::<ami_source::SourceSpec>().is_ok()
}
