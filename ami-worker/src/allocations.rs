//! Proves that absorbing a unit allocates nothing, once states are there and buffers have the size
//! that they keep. Ops that sort or group events (`by_key`, `unique`, `quantile`, medians, longer
//! `last`) are not among these: they take lists of the unit's events.

use crate::plans::Plans;
use crate::work::Work;
use ami_graph::data::schema::{Field, Held, Kind, Schema};
use ami_graph::data::value::DType;
use ami_graph::graph::spec::{GraphSet, GraphSpec};
use ami_graph::plan::Plan;
use ami_graph::plan::limits::Limits;
use ami_proto::codec;
use ami_proto::data_path::chunk::{Arena, ChunkWriter, Staging};
use ami_proto::data_path::ids::Conditions;
use ami_proto::data_path::ventilator_to_worker::{Context, Descriptor, LaneMessage};
use ami_shm::{LaneSlot, RingConfig, RingReader, RingWriter};
use std::sync::Arc;

const SHAPE: [usize; 2] = [64, 64];

/// Graphs by what is looked at: `x` is there in every event, `y` in two of three.
const GRAPHS: [&str; 20] = [
    r#""mean": {"op": "mean", "in": "x"}"#,
    r#""sparse": {"op": "mean", "in": "y"}"#,
    r#""sum": {"op": "sum", "in": "n"}"#,
    r#""count": {"op": "count", "in": "y"}"#,
    r#""stats": {"op": "stats", "in": "x"}"#,
    r#""min": {"op": "min", "in": "y"}"#,
    r#""hist": {"op": "hist", "in": "x", "bins": 100, "range": [0, 1]}"#,
    r#""hist2d": {"op": "hist2d", "in": {"x": "x", "y": "y"}, "bins": [9, 9], "range": [[0, 1], [0, 2]]}"#,
    r#""profile": {"op": "profile", "in": {"key": "x", "value": "y"}, "bins": 50, "range": [0, 1]}"#,
    r#""expr": {"op": "expr", "in": {"x": "x"}, "expr": "x * 2 + sqrt(x)"},
       "stats": {"op": "stats", "in": "expr"}"#,
    r#""gate": {"op": "gate", "in": "x", "with": {"y": "y"}, "when": "y > 1"},
       "mean": {"op": "mean", "in": "gate"}"#,
    r#""select": {"op": "select", "in": {"x": "x"}, "cases": [{"when": "x > 0.5", "out": {"high": "x"}}]},
       "mean": {"op": "mean", "in": "select.high"}"#,
    r#""image": {"op": "sum", "in": "img"}"#,
    r#""mean": {"op": "mean", "in": "img"}"#,
    r#""mean": {"op": "mean", "in": "real"}"#,
    r#""total": {"op": "array_stat", "in": "img"}, "mean": {"op": "mean", "in": "total"}"#,
    r#""roi": {"op": "roi", "in": "img", "slices": ["3:7", "2:9"]}, "sum": {"op": "sum", "in": "roi.value"}"#,
    r#""project": {"op": "project", "in": "img", "axis": 0}, "mean": {"op": "mean", "in": "project"}"#,
    r#""project": {"op": "project", "in": "real"}, "onto": {"op": "mean", "in": "project"},
       "mean": {"op": "mean", "in": "real"}"#,
    r#""pick": {"op": "last", "in": "x"}"#,
];

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
            field("n", DType::I32, &[]),
            field("real", DType::F64, &SHAPE),
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
    fn new(nodes: &str) -> Bench {
        let graph = format!(r#"{{"name": "g", "nodes": {{{nodes}}}}}"#);
        let path = std::env::temp_dir().join(format!("ami-alloc-{}.ring", std::process::id()));
        let config = RingConfig { capacity: 64 << 20, lanes: 1, ..RingConfig::default() };
        let mut writer = RingWriter::create(&path, 1, &config).unwrap();
        writer.open_lane(0, 1);
        let reader = RingReader::open(&path).unwrap();
        let slot = reader.lane(0, 1).unwrap();
        let mut plans = Plans::new(Limits::default(), "host", None);
        let set = GraphSet::of(GraphSpec::parse(&graph).unwrap());
        let conditions = Conditions { version: set.version, run: 1, ..Conditions::default() };
        let plan = Plan::new(Arc::new(set.clone()), Arc::new(schema()), &Limits::default());
        assert!(plan.errors().is_empty(), "{nodes}: {:?}", plan.errors());
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
            out.scalar(3, (i % 3) as i32);
            out.array(4, &SHAPE).unwrap().fill(0);
        }
        let sealed = out.seal(0, 0).unwrap();
        self.writer.publish();
        self.units += 1;
        Descriptor {
            unit: self.units,
            context: 0,
            heartbeat: 1,
            start: sealed.start,
            index: sealed.index,
            index_len: sealed.index_len as u32,
            events: events as u32,
        }
    }

    /// Allocations, and bytes of them, that a unit of so many events costs.
    fn cost(&mut self, events: usize) -> (u64, u64) {
        let message = codec::encode(&LaneMessage::Unit(self.write(events)));
        let Bench { reader, slot, plans, work, .. } = self;
        let info = allocation_counter::measure(|| {
            let LaneMessage::Unit(unit) = codec::decode(&message).unwrap() else { panic!() };
            work.unit(reader, slot, plans, unit).unwrap();
        });
        (info.count_total, info.bytes_total)
    }
}

#[test]
fn a_unit_allocates_nothing() {
    let mut costs = Vec::new();
    for nodes in GRAPHS {
        let mut bench = Bench::new(nodes);
        // The first units start states, and let buffers grow to the size they keep.
        for _ in 0..4 {
            bench.cost(128);
        }
        bench.work.flush().unwrap();
        bench.cost(128);
        bench.cost(128);
        let (many, few) = (bench.cost(128), bench.cost(16));
        costs.extend((many.0 + few.0 > 0).then_some((nodes, many, few)));
        bench.writer.remove().unwrap();
    }
    assert!(costs.is_empty(), "allocations and bytes for 128 and 16 events: {costs:#?}");
}
