//! Proves that absorbing a unit allocates nothing per event, and nothing large: what a unit costs
//! does not depend on how many events it has.

use crate::plans::Plans;
use crate::work::Work;
use ami_graph::limits::Limits;
use ami_graph::schema::{Field, Held, Kind, Schema};
use ami_graph::spec::{GraphSet, GraphSpec};
use ami_graph::value::DType;
use ami_proto::chunk::{Arena, ChunkWriter, Staging};
use ami_proto::ids::Conditions;
use ami_proto::ventilator_to_worker::{Context, Descriptor};
use ami_shm::{LaneSlot, RingConfig, RingReader, RingWriter};
use std::sync::Arc;

const SHAPE: [usize; 2] = [64, 64];

const GRAPH: &str = r#"{"name": "g", "nodes": {
    "mean": {"op": "mean", "in": "x"},
    "hist": {"op": "hist", "in": "x", "bins": 100, "range": [0, 1]},
    "twice": {"op": "expr", "in": {"x": "x"}, "expr": "x * 2 + sqrt(x)"},
    "stats": {"op": "stats", "in": "twice"},
    "profile": {"op": "profile", "in": {"key": "x", "value": "y"}, "bins": 50, "range": [0, 1]},
    "image": {"op": "sum", "in": "img"},
    "total": {"op": "array_stat", "in": "img"},
    "trend": {"op": "mean", "in": "total"}}}"#;

struct InRing<'a>(&'a mut RingWriter);

impl Arena for InRing<'_> {
    fn reserve(&mut self, len: usize) -> Option<u64> {
        self.0.reserve(len)
    }
    fn bytes_mut(&mut self, position: u64, len: usize) -> &mut [u8] {
        self.0.bytes_mut(position, len)
    }
    fn rewind(&mut self, position: u64) {
        self.0.rewind(position);
    }
    fn head(&self) -> u64 {
        self.0.next_position()
    }
}

fn schema() -> Schema {
    let field = |name: &str, dtype, shape: &[usize]| Field {
        name: name.into(),
        aliases: vec![],
        dtype,
        rank: shape.len(),
        shape: Some(shape.to_vec()),
        kind: Kind::Event,
        labels: Default::default(),
    };
    Schema {
        fields: vec![
            field("x", DType::F64, &[]),
            field("y", DType::F64, &[]),
            field("img", DType::U16, &SHAPE),
        ],
    }
}

/// A ring, a lane in it, and what a lane is told first.
struct Bench {
    writer: RingWriter,
    reader: RingReader,
    slot: LaneSlot,
    staging: Staging,
    plans: Plans,
    work: Work,
    units: u64,
}

impl Bench {
    fn new() -> Bench {
        let path = std::env::temp_dir().join(format!("ami-alloc-{}.ring", std::process::id()));
        let config = RingConfig { capacity: 64 << 20, lanes: 1, ..RingConfig::default() };
        let mut writer = RingWriter::create(&path, 1, &config).unwrap();
        writer.open_lane(0, 1);
        let reader = RingReader::open(&path).unwrap();
        let slot = reader.lane(0, 1).unwrap();
        let mut plans = Plans::new(Limits::default());
        let set = GraphSet::of(GraphSpec::parse(GRAPH).unwrap());
        let conditions = Conditions { schema: 0, version: set.version, run: 1, step: 0 };
        plans.schema(0, schema());
        plans.graphs(Arc::new(set));
        let (held, step_values) = (Held::new(), Default::default());
        plans.context(Context { number: 0, conditions, held, step_values });
        let staging = Staging::new(&schema());
        Bench { writer, reader, slot, staging, plans, work: Work::default(), units: 0 }
    }

    fn write(&mut self, events: usize) -> Descriptor {
        let start = self.writer.next_position();
        let mut arena = InRing(&mut self.writer);
        let mut out = ChunkWriter::new(&mut self.staging, &mut arena, start, events, usize::MAX);
        for i in 0..events {
            out.event(i as u64);
            let x = i as f64 / events as f64;
            out.scalar(0, x);
            if i % 3 > 0 {
                out.scalar(1, 2.0 * x);
            }
            out.array(2, &SHAPE).unwrap().fill(i as u8);
        }
        let sealed = out.seal(0, 0).unwrap();
        self.writer.publish();
        self.units += 1;
        Descriptor {
            unit: self.units,
            context: 0,
            start: sealed.start,
            index: sealed.index,
            index_len: sealed.index_len as u32,
            events: events as u32,
        }
    }

    /// Allocations, and bytes of them, that a unit of so many events costs.
    fn cost(&mut self, events: usize) -> (u64, u64) {
        let unit = self.write(events);
        let Bench { reader, slot, plans, work, .. } = self;
        let info = allocation_counter::measure(|| {
            work.unit(reader, slot, plans, unit).unwrap();
        });
        (info.count_total, info.bytes_total)
    }
}

#[test]
fn a_unit_allocates_nothing_per_event() {
    let mut bench = Bench::new();
    // The first units let buffers grow to the size they keep.
    for _ in 0..4 {
        bench.cost(1024);
    }
    let (few, _) = bench.cost(16);
    let (many, bytes) = bench.cost(1024);
    // A unit costs some short lists: columns, the inputs of each node, the places of its arrays.
    // The last grow by doubling, six times from 16 to 1024.
    assert!(many <= few + 32, "{many} allocations for 1024 events, {few} for 16");
    assert!(many <= 16 * 8, "{many} allocations for one unit of 8 nodes");
    let payload = 1024 * (16 + 2 * 64 * 64);
    assert!(bytes < payload / 16, "{bytes} bytes allocated for {payload} of events");
    bench.writer.remove().unwrap();
}
