//! Damaged messages: real ones of every kind with bits, lengths and frames changed, and plain noise.
//! Forged ones have a right checksum all the same, so that they are decoded.

use crate::random::Random;
use ami_graph::data::schema::Schema;
use ami_proto::codec::{self, encode};
use ami_proto::control::manager_to_members::{Announce, Phase};
use ami_proto::control::member_to_manager::{Report, Role};
use ami_proto::data_path::ids::{Conditions, Key, Progress, Taken};
use ami_proto::data_path::to_collector::{Manifest, ToCollector};
use ami_proto::data_path::to_root::ToRoot;
use ami_proto::data_path::to_ventilator::{Purpose, ToVentilator};
use ami_proto::data_path::transition::TransitionKind;
use ami_proto::data_path::ventilator_to_worker::{Context, Descriptor, LaneMessage};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Frames of one message.
type Frames = Vec<Vec<u8>>;

/// A stranger on one socket.
struct Stranger {
    socket: zmq::Socket,
    samples: Vec<Frames>,
}

/// Strangers on every socket of a system.
pub struct Garbage {
    random: Random,
    dir: PathBuf,
    context: zmq::Context,
    strangers: Vec<Stranger>,
    lanes: BTreeMap<PathBuf, Stranger>,
    forged: bool,
    /// Messages sent.
    pub sent: u64,
}

/// Files of the run directory, how a stranger speaks to them, and what they understand.
type Target = (&'static str, zmq::SocketType, fn() -> Vec<Frames>);

/// Every socket that a daemon binds; the lanes of workers are found in the run directory.
const TARGETS: [Target; 10] = [
    ("ventilator.in", zmq::PUSH, to_ventilator),
    ("collector.in", zmq::PUSH, to_collector),
    ("root.in", zmq::PUSH, to_root),
    ("manager.in", zmq::PUSH, to_manager),
    ("manager.cmd", zmq::DEALER, commands),
    ("store.query", zmq::DEALER, queries),
    ("root.pub", zmq::XSUB, subscriptions),
    ("results.pub", zmq::XSUB, subscriptions),
    ("store.pub", zmq::XSUB, subscriptions),
    ("manager.pub", zmq::XSUB, subscriptions),
];

impl Garbage {
    /// For the system of a run directory.
    pub fn new(seed: u64, dir: &Path, forged: bool) -> Garbage {
        let context = zmq::Context::new();
        let strangers = TARGETS
            .map(|(file, kind, samples)| stranger(&context, kind, &dir.join(file), samples()));
        Garbage {
            random: Random::new(seed ^ 0x6a72_6261_6765),
            dir: dir.into(),
            context,
            strangers: strangers.into(),
            lanes: BTreeMap::new(),
            forged,
            sent: 0,
        }
    }

    /// Sends so many messages to each socket; those of a daemon that is away are lost.
    pub fn send(&mut self, count: u64) {
        self.find_lanes();
        for stranger in self.strangers.iter().chain(self.lanes.values()) {
            for _ in 0..count {
                let frames = mutated(&mut self.random, &stranger.samples, self.forged);
                // Full: the daemon is away or frozen.
                if stranger.socket.send_multipart(frames, zmq::DONTWAIT).is_ok() {
                    self.sent += 1;
                }
                // Answers are read, so that their queue is no limit.
                while stranger.socket.recv_multipart(zmq::DONTWAIT).is_ok() {}
            }
        }
    }

    fn find_lanes(&mut self) {
        self.lanes.retain(|path, _| path.exists());
        for entry in std::fs::read_dir(&self.dir).into_iter().flatten().flatten() {
            let path = entry.path();
            let is_lane = entry.file_name().to_string_lossy().starts_with("lane-");
            if is_lane && !self.lanes.contains_key(&path) {
                let stranger = stranger(&self.context, zmq::PUSH, &path, to_worker());
                self.lanes.insert(path, stranger);
            }
        }
    }
}

fn stranger(
    context: &zmq::Context,
    kind: zmq::SocketType,
    path: &Path,
    samples: Vec<Frames>,
) -> Stranger {
    let socket = context.socket(kind).unwrap();
    // Not 0: libzmq aborts when the connection of a socket that is being closed breaks, with half of
    // a message on its way; a lane that is left is closed just when its worker goes.
    socket.set_linger(500).unwrap();
    socket.connect(&format!("ipc://{}", path.display())).unwrap();
    Stranger { socket, samples }
}

/// A message whose header is damaged; forged: with a checksum that is right.
pub fn mutated(random: &mut Random, samples: &[Frames], forged: bool) -> Frames {
    let mut frames = random.of(samples).cloned().unwrap_or_default();
    if frames.is_empty() || random.once_in(8) {
        return (0..random.between(1, 4)).map(|_| noise(random, 80)).collect();
    }
    for _ in 0..random.below(3) {
        let at = random.below(frames.len() as u64) as usize;
        match random.below(9) {
            0 if frames.len() > 1 => {
                frames.remove(at);
            }
            1 => frames.push(noise(random, 40)),
            _ => damage(random, &mut frames[at]),
        }
    }
    let header = &mut frames[0];
    let before = header.clone();
    while *header == before {
        damage(random, header);
    }
    if forged && header.starts_with(b"ami") {
        codec::seal(header);
    }
    frames
}

/// Changes some bytes.
pub fn damage(random: &mut Random, bytes: &mut Vec<u8>) {
    let length = bytes.len() as u64;
    if length == 0 {
        return bytes.extend(noise(random, 20));
    }
    let at = random.below(length) as usize;
    match random.below(6) {
        0 => bytes.truncate(at),
        1 => bytes.extend(noise(random, 40)),
        2 => {
            bytes.remove(at);
        }
        // A length or number that is far too large.
        3 => bytes.iter_mut().skip(at).take(8).for_each(|b| *b = 0xff),
        4 => bytes[at] = random.bits() as u8,
        _ => bytes[at] ^= 1 << random.below(8),
    }
}

fn noise(random: &mut Random, most: u64) -> Vec<u8> {
    (0..random.below(most)).map(|_| random.bits() as u8).collect()
}

/// Hosts and epochs of a system that is not this one.
const EPOCH: u64 = 3;
const HOST: &str = "stranger";

fn key() -> Key {
    Key { segment: 1, heartbeat: 17_000_000_000 }
}

const CONDITIONS: Conditions =
    Conditions { schema: 0, version: 1, reading: 1, run: 1, step: Some(1) };

fn context() -> Context {
    Context {
        number: 4,
        conditions: CONDITIONS,
        held: Default::default(),
        step_values: Default::default(),
    }
}

/// Before the manifest.
fn progress() -> Progress {
    let taken = Taken { epoch: 2048, run: 2048, segment: 2048 };
    Progress { flushes: 4, key: key(), conditions: CONDITIONS, taken, ..Progress::default() }
}

fn manifest() -> Manifest {
    Manifest {
        epoch: EPOCH,
        flush: 5,
        key: key(),
        context: 4,
        conditions: CONDITIONS,
        taken: Taken { epoch: 3075, run: 3075, segment: 3075 },
        timestamp_ns: 1_700_000_000_000_000_000,
        units: vec![(7, 256), (8, 256)],
        dropped: BTreeMap::from([("overload".into(), 3)]),
        late: 1,
        last: true,
        end: false,
    }
}

fn graphs() -> Vec<u8> {
    br#"{"version":1,"graphs":{"g":{"name":"g","nodes":{"n":{"op":"count","in":"x"}}}}}"#.to_vec()
}

/// What a ventilator understands.
pub fn to_ventilator() -> Vec<Frames> {
    let hello = ToVentilator::Hello {
        endpoint: "ipc:///nonexistent/lane".into(),
        name: "stranger".into(),
        pid: 1 << 22,
        purpose: Purpose::Record,
    };
    [
        hello,
        ToVentilator::Credit { epoch: EPOCH, lane: 0, generation: 1, done: 9, flushed: 9 },
        ToVentilator::Bye { epoch: EPOCH, lane: 0, generation: 1 },
        ToVentilator::Need { epoch: EPOCH, flush: 5, units: vec![7, 8] },
        ToVentilator::CollectorHello { life: 1 },
    ]
    .map(|m| vec![encode(&m)])
    .into()
}

/// What a host collector understands.
pub fn to_collector() -> Vec<Frames> {
    let partial = ToCollector::Partial {
        epoch: EPOCH,
        flush: 5,
        version: 1,
        units: vec![(7, 256), (8, 256)],
    };
    let (states, arrays) = ami_graph::wire::partial::Partial::empty().encode();
    let dropped =
        ToCollector::Dropped { epoch: EPOCH, flush: 5, unit: 7, reason: "overload".into() };
    let epoch = ToCollector::Epoch { epoch: EPOCH, host: HOST.into(), decided: progress() };
    vec![
        [vec![encode(&partial), states], arrays].concat(),
        vec![encode(&ToCollector::Manifest(manifest()))],
        vec![encode(&dropped)],
        vec![encode(&epoch)],
        vec![encode(&ToCollector::Schema(EPOCH, 0, Schema::default()))],
        vec![encode(&ToCollector::Context(EPOCH, context()))],
        vec![encode(&ToCollector::Graphs(EPOCH, 1)), graphs()],
    ]
}

/// What the root understands.
pub fn to_root() -> Vec<Frames> {
    let host = || HOST.to_string();
    let (states, arrays) = ami_graph::wire::partial::Partial::empty().encode();
    let forward = ToRoot::Forward {
        host: host(),
        base: progress(),
        manifest: manifest(),
        merged: 512,
        units: (2, 2),
    };
    let schema = Schema::default();
    vec![
        [vec![encode(&forward), states], arrays].concat(),
        vec![encode(&ToRoot::Schema { host: host(), epoch: EPOCH, number: 0, schema })],
        vec![encode(&ToRoot::Graphs { version: 1 }), graphs()],
        vec![encode(&ToRoot::Context { host: host(), epoch: EPOCH, context: context() })],
        vec![encode(&ToRoot::Alive { host: host(), bases: vec![(EPOCH, progress())] })],
        vec![encode(&ToRoot::Promise { host: host(), epoch: EPOCH, version: 9, not_before: 9 })],
    ]
}

/// What a worker understands.
pub fn to_worker() -> Vec<Frames> {
    let unit = Descriptor {
        unit: 7,
        context: 4,
        heartbeat: 5,
        start: 64,
        index: 128,
        index_len: 64,
        events: 9,
    };
    let welcome = LaneMessage::Welcome {
        epoch: EPOCH,
        lane: 0,
        generation: 1,
        ring: "/dev/shm/none".into(),
        host: HOST.into(),
        counter: false,
    };
    let mut all: Vec<Frames> = [
        welcome,
        LaneMessage::Schema(0, Schema::default()),
        LaneMessage::Context(context()),
        LaneMessage::Unit(unit),
        LaneMessage::Flush { flush: 5, key: key() },
        LaneMessage::Replay { unit, flush: 5, key: key() },
        LaneMessage::Transition { kind: TransitionKind::Enable, timestamp: 7, set: vec![0] },
        LaneMessage::End,
        LaneMessage::Quit,
    ]
    .map(|m| vec![encode(&m)])
    .into();
    all.push(vec![encode(&LaneMessage::Graphs(1)), graphs()]);
    all
}

/// What the manager understands from members.
pub fn to_manager() -> Vec<Frames> {
    let report = Report {
        role: Role::Worker,
        name: "stranger".into(),
        host: HOST.into(),
        pid: 1,
        life: 1,
        state: "idle".into(),
        version: 1,
        prepared: None,
        schema: Some(Schema::default()),
        metrics: vec![("ami_events_total".into(), 1.0)],
        nodes: Vec::new(),
    };
    let announce = Announce { life: 1, version: 1, phase: Phase::Prepare };
    vec![vec![encode(&report)], vec![encode(&announce), graphs()]]
}

/// What the manager understands from people.
pub fn commands() -> Vec<Frames> {
    [
        r#"{"cmd": "status"}"#,
        r#"{"cmd": "graph.list"}"#,
        r#"{"cmd": "graph.show", "graph": "g"}"#,
        r#"{"cmd": "graph.history", "graph": "g"}"#,
        r#"{"cmd": "graph.validate", "spec": {"name": "x", "nodes": {"e": {"op": "expr", "in": {"a": "gauss"}, "expr": "a * (2 + 1)"}}}}"#,
        r#"{"cmd": "features"}"#,
    ]
    .map(|json| vec![Vec::new(), json.as_bytes().to_vec()])
    .into()
}

/// What the store understands.
pub fn queries() -> Vec<Frames> {
    [
        r#"{"get": "g/n"}"#,
        r#"{"list": "g/"}"#,
        r#"{"snapshot": "g"}"#,
        r#"{"history": "g/n", "since_heartbeat": 1, "limit": 3}"#,
    ]
    .map(|json| vec![Vec::new(), json.as_bytes().to_vec()])
    .into()
}

/// What a publisher understands: to subscribe and to unsubscribe, and what stores tell the root.
pub fn subscriptions() -> Vec<Frames> {
    [&b"\x01nowhere/"[..], b"\x00nowhere/", b"\x02\xff\0\0\0\0\0\0\0"]
        .map(|s| vec![s.to_vec()])
        .into()
}
