//! A server, a source as its client, and datagrams of known content.

use super::common::Replay;
use ami_graph::data::batch::{Batch, Column};
use ami_graph::data::schema::{Field, Kind, Schema};
use ami_graph::data::value::{DType, Scalar, Value};
use ami_proto::data_path::transition::TransitionKind;
use ami_shmem_server::{Options, Server, clean, most_events};
use ami_source::shmem::{ShmemOptions, ShmemSource};
use ami_source::source::{Source, Transition};
use ami_source::xtc2::Xtc2Writer;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

pub use TransitionKind::{
    BeginRun, BeginStep, Configure, Disable, Enable, EndRun, EndStep, SlowUpdate, Unconfigure,
};

/// Nothing that works takes so long.
const DEADLINE: Duration = Duration::from_secs(30);

/// A tag that no other test has.
pub fn tag() -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    format!("amitest{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed))
}

/// A server's options: as many events as a queue may hold here.
pub fn options(tag: &str, queues: usize) -> Options {
    let (tag, events) = (tag.to_owned(), most_events());
    Options { tag, events, queues, size: 1 << 20, serial: false }
}

pub struct Bench {
    pub tag: String,
    pub queues: usize,
    pub server: Option<Server>,
    pub source: ShmemSource,
    pub replay: Replay,
}

impl Bench {
    pub fn new(queues: usize, options: ShmemOptions) -> Bench {
        Bench::of(self::options(&tag(), queues), options)
    }

    pub fn of(server: Options, options: ShmemOptions) -> Bench {
        let (tag, queues) = (server.tag.clone(), server.queues);
        let server = Some(Server::start(server).unwrap());
        let source = ShmemSource::open(&tag, &options).unwrap();
        Bench { tag, queues, server, source, replay: Replay::default() }
    }

    /// One with a client that is connected.
    pub fn connected(queues: usize, options: ShmemOptions) -> Bench {
        let clients = options.clients;
        let mut bench = Bench::new(queues, options);
        bench.until("connection", |b| b.server().clients() == clients && !b.source.lost());
        bench
    }

    pub fn server(&mut self) -> &mut Server {
        self.server.as_mut().unwrap()
    }

    pub fn poll(&mut self) {
        if let Some(server) = &mut self.server {
            server.poll();
        }
    }

    /// The source takes what there is.
    pub fn take(&mut self) {
        self.poll();
        self.replay.go_on(&mut self.source, 7, None);
        self.poll();
    }

    /// Goes on without taking anything.
    pub fn wait(&mut self, what: &str, condition: impl Fn(&mut Bench) -> bool) {
        let began = Instant::now();
        while !condition(self) {
            assert!(began.elapsed() < DEADLINE, "waited for {what}: {:?}", self.source.counters());
            self.poll();
            std::thread::sleep(Duration::from_micros(200));
        }
    }

    /// Goes on, and takes what comes.
    pub fn until(&mut self, what: &str, condition: impl Fn(&mut Bench) -> bool) {
        self.wait(what, |b| {
            b.take();
            condition(b)
        });
    }

    pub fn events(&mut self, n: usize) {
        self.until("events", |b| b.replay.events.len() >= n);
        assert_eq!(self.replay.events.len(), n);
    }

    pub fn transitions(&mut self, kinds: &[TransitionKind]) {
        self.until("transitions", |b| b.replay.transitions.len() >= kinds.len());
        assert_eq!(self.kinds(), kinds);
    }

    pub fn kinds(&self) -> Vec<TransitionKind> {
        self.replay.transitions.iter().map(|t| t.kind).collect()
    }

    pub fn count(&self, name: &str) -> u64 {
        let counters = self.source.counters();
        counters.iter().find(|(n, _)| *n == name).unwrap_or_else(|| panic!("{name}")).1
    }

    /// Timestamps of the events, as made by [`stamp`].
    pub fn stamps(&self) -> Vec<u64> {
        self.replay.events.iter().map(|e| e.timestamp.wrapping_sub(START)).collect()
    }

    /// Offers datagrams one after the other; events only where there is room for them.
    pub fn serve(&mut self, dgrams: &[Vec<u8>]) {
        for dgram in dgrams {
            if !ami_shmem_server::dgram::is_event(dgram) {
                // Enable takes back what nobody read.
                if ami_shmem_server::dgram::service(dgram) == ami_shmem_server::dgram::ENABLE {
                    self.ready(|b| b.server().free() == most_events());
                }
                self.server().transition(dgram);
                continue;
            }
            self.ready(|b| b.server().has_room());
            self.server().event(dgram);
        }
    }

    /// Takes what comes only if the server waits for it.
    fn ready(&mut self, condition: impl Fn(&mut Bench) -> bool) {
        self.poll();
        if !condition(self) {
            self.until("room", condition);
        }
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        self.server = None;
        clean(&self.tag, self.queues);
    }
}

/// 2025-01-01, ns since the Unix epoch.
pub const START: u64 = 1_735_689_600_000_000_000;

/// What a datagram is to be; timestamps are ns after [`START`].
#[derive(Debug, Clone, Copy)]
pub enum Item {
    Set(TransitionKind, u64),
    /// With its pulse id.
    Event(u64, u64),
}

/// An event whose pulse id is its timestamp.
pub fn event(at: u64) -> Item {
    Item::Event(at, at)
}

/// Datagrams with the fields `DET:raw:x` (the timestamp, as a number), the pulse id, and a motor that
/// transitions set to their timestamp.
pub fn dgrams(det: &str, items: &[Item]) -> Vec<Vec<u8>> {
    let fields = [
        (format!("{det}:raw:x"), DType::F64, Kind::Event),
        ("timing:raw:pulseId".into(), DType::U64, Kind::Event),
        ("motor".into(), DType::F64, Kind::Held),
    ];
    let field = |(name, dtype, kind): (String, DType, Kind)| Field {
        name,
        aliases: Vec::new(),
        dtype,
        rank: 0,
        shape: Some(Vec::new()),
        kind,
        labels: BTreeMap::new(),
    };
    let schema = Arc::new(Schema { fields: fields.map(field).into() });
    let mut writer = Xtc2Writer::new(Vec::new());
    // The names come first, whatever the items are.
    let begin = matches!(items.first(), Some(Item::Set(Configure, _)));
    if !begin {
        writer.transition(&transition(Configure, 0, &schema)).unwrap();
    }
    for item in items {
        match *item {
            Item::Set(kind, at) => writer.transition(&transition(kind, at, &schema)).unwrap(),
            Item::Event(at, pulse) => {
                let (stamp, x) = ([START + at], [at as f64]);
                let scalars = |dtype, data| Column::Scalars { dtype, data, present: None };
                let pulse = pulse.to_le_bytes();
                let columns = vec![
                    scalars(DType::F64, bytemuck::cast_slice(&x)),
                    scalars(DType::U64, &pulse),
                    Column::Absent,
                ];
                let batch = Batch {
                    host: 0,
                    belonging: Default::default(),
                    first_sequence: 0,
                    timestamps: &stamp,
                    columns,
                };
                writer.event(&batch, 0).unwrap();
            }
        }
    }
    let all = ami_shmem_server::dgram::split(&writer.finish().unwrap());
    all.into_iter().skip(usize::from(!begin)).collect()
}

fn transition(kind: TransitionKind, at: u64, schema: &Arc<Schema>) -> Transition {
    Transition {
        kind,
        timestamp: START + at,
        schema: (kind == Configure).then(|| schema.clone()),
        run: (kind == BeginRun).then_some(7),
        step: None,
        held: vec![(2, Value::Scalar(Scalar::F64(at as f64)))],
    }
}

/// The beginning of a run, as `at..at + 4`.
pub fn begin(at: u64) -> Vec<Item> {
    [Configure, BeginRun, BeginStep, Enable]
        .into_iter()
        .enumerate()
        .map(|(i, kind)| Item::Set(kind, at + i as u64))
        .collect()
}

/// The kinds of [`begin`].
pub const BEGIN: [TransitionKind; 4] = [Configure, BeginRun, BeginStep, Enable];
