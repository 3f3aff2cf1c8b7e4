//! What the engine's tests share: a small source with every kind of field, and ways to run a graph.
#![allow(dead_code)] // each test file uses its part

use ami_graph::data::batch::{ArrayRef, Batch, Column, Dims};
use ami_graph::data::files::Files;
use ami_graph::data::schema::{Field, Kind, Schema};
use ami_graph::data::value::{Array, DType, Scalar, Value};
use ami_graph::graph::spec::{GraphSet, GraphSpec};
use ami_graph::op::doc::{Class, OpDoc};
use ami_graph::ops::OPS;
use ami_graph::plan::Plan;
use ami_graph::plan::limits::Limits;
use ami_graph::root::{Frame, Published, RootStage, ScalarOrText, Truth};
use ami_graph::wire::partial::Partial;
use ami_graph::worker::WorkerStage;
use std::sync::Arc;

/// The ops that the engine runs itself. User code needs files and what runs it: `user_code.rs`.
pub fn engine_ops() -> impl Iterator<Item = &'static OpDoc> {
    OPS.iter().map(|op| op.doc()).filter(|op| op.class != Class::UserCode)
}

/// Length of a heartbeat, ns.
pub const PERIOD: u64 = 100_000_000;

/// One event. `None` is absent.
#[derive(Debug, Clone, PartialEq)]
pub struct Event {
    pub time: u64,
    pub scalar: Option<f64>,
    pub flag: Option<u8>,
    pub waveform: Option<Vec<i32>>,
    pub image: Option<[u16; 6]>,
}

pub fn field(name: &str, dtype: DType, shape: Option<&[usize]>, rank: usize) -> Field {
    Field {
        name: name.into(),
        aliases: Vec::new(),
        dtype,
        rank,
        shape: shape.map(<[usize]>::to_vec),
        kind: Kind::Event,
        labels: Default::default(),
    }
}

/// `scalar` float64, `flag` bool, `waveform` int32 1-d of varying length, `image` uint16 2×3,
/// and `det:raw:x`, another name of the scalar.
pub fn schema() -> Schema {
    let mut scalar = field("scalar", DType::F64, None, 0);
    scalar.aliases.push("det:raw:x".into());
    Schema {
        fields: vec![
            scalar,
            field("flag", DType::Bool, None, 0),
            field("waveform", DType::I32, None, 1),
            field("image", DType::U16, Some(&[2, 3]), 2),
        ],
    }
}

/// Columns with the memory they borrow.
pub struct Unit {
    pub host: u32,
    pub first_sequence: u64,
    times: Vec<u64>,
    scalars: Vec<f64>,
    scalars_here: Vec<u8>,
    flags: Vec<u8>,
    flags_here: Vec<u8>,
    waveforms: Vec<Option<Array>>,
    images: Vec<Option<Array>>,
}

impl Unit {
    pub fn new(host: u32, first_sequence: u64, events: &[Event]) -> Unit {
        let wave = |w: &Vec<i32>| Array::from_elements(&[w.len()], w);
        let image = |i: &[u16; 6]| Array::from_elements(&[2, 3], i);
        Unit {
            host,
            first_sequence,
            times: events.iter().map(|e| e.time).collect(),
            scalars: events.iter().map(|e| e.scalar.unwrap_or(-77.0)).collect(),
            scalars_here: events.iter().map(|e| e.scalar.is_some().into()).collect(),
            flags: events.iter().map(|e| e.flag.unwrap_or(1)).collect(),
            flags_here: events.iter().map(|e| e.flag.is_some().into()).collect(),
            waveforms: events.iter().map(|e| e.waveform.as_ref().map(wave)).collect(),
            images: events.iter().map(|e| e.image.as_ref().map(image)).collect(),
        }
    }

    pub fn batch(&self) -> Batch<'_> {
        fn here(bytes: &[u8]) -> Option<&[u8]> {
            bytes.contains(&0).then_some(bytes)
        }
        Batch {
            host: self.host,
            belonging: Default::default(),
            first_sequence: self.first_sequence,
            timestamps: &self.times,
            columns: vec![
                Column::Scalars {
                    dtype: DType::F64,
                    data: bytemuck::cast_slice(&self.scalars),
                    present: here(&self.scalars_here),
                },
                Column::Scalars {
                    dtype: DType::Bool,
                    data: &self.flags,
                    present: here(&self.flags_here),
                },
                arrays(DType::I32, &self.waveforms),
                arrays(DType::U16, &self.images),
            ],
        }
    }
}

pub fn arrays(dtype: DType, arrays: &[Option<Array>]) -> Column<'_> {
    fn item(a: &Array) -> ArrayRef<'_> {
        ArrayRef { dims: Dims::new(a.shape()).unwrap(), data: a.bytes() }
    }
    Column::Arrays { dtype, items: arrays.iter().map(|a| a.as_ref().map(item)).collect() }
}

pub fn plan(json: &str) -> Arc<Plan> {
    plan_with(json, schema())
}

pub fn plan_with(json: &str, schema: Schema) -> Arc<Plan> {
    plan_with_files(json, schema, Files::new())
}

/// A `.npy` file of float64 zeros.
pub fn npy(shape: &[usize]) -> Vec<u8> {
    let axes: String = shape.iter().map(|axis| format!("{axis}, ")).collect();
    let header = format!("{{'descr': '<f8', 'fortran_order': False, 'shape': ({axes}), }}\n");
    let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
    bytes.extend((header.len() as u16).to_le_bytes());
    bytes.extend(header.as_bytes());
    bytes.resize(bytes.len() + 8 * shape.iter().product::<usize>(), 0);
    bytes
}

/// A plan whose parameters name these files.
pub fn plan_with_files(json: &str, schema: Schema, files: Files) -> Arc<Plan> {
    let spec = GraphSpec::parse(json).unwrap_or_else(|e| panic!("{e}"));
    let set = GraphSet { files, ..GraphSet::of(spec) };
    Arc::new(Plan::new(Arc::new(set), Arc::new(schema), &Limits::default()))
}

/// A plan of which every node runs.
pub fn good_plan(json: &str) -> Arc<Plan> {
    let plan = plan(json);
    assert!(plan.errors().is_empty(), "{}", plan.errors()[0]);
    plan
}

/// The frame of a heartbeat with so many events, all merged.
pub fn frame(heartbeat: u64, events: u64) -> Frame {
    Frame {
        run: 1,
        step: Some(0),
        segment: 1,
        heartbeat,
        timestamp_ns: heartbeat * PERIOD,
        period_ns: PERIOD,
        truth: Truth { events, expected: Some(events), ..Truth::default() },
        ..Frame::default()
    }
}

/// Over a wire and back.
pub fn carried(partial: Partial) -> Partial {
    let (header, frames) = partial.encode();
    let frames: Vec<&[u8]> = frames.iter().map(Vec::as_slice).collect();
    Partial::decode(&header, &frames).unwrap()
}

/// The partial of some events on one worker.
pub fn partial(plan: &Arc<Plan>, host: u32, first: u64, events: &[Event]) -> Partial {
    let mut worker = WorkerStage::new(plan.clone());
    worker.absorb(&Unit::new(host, first, events).batch());
    worker.take()
}

/// One heartbeat of events through a graph, on one worker.
pub fn once(json: &str, events: &[Event]) -> Vec<Published> {
    let plan = good_plan(json);
    let partial = partial(&plan, 0, 0, events);
    RootStage::new(plan).close(&frame(1, events.len() as u64), partial)
}

/// An output of a published feature.
/// Whether an output was published.
pub fn has_output(published: &[Published], topic: &str, name: &str) -> bool {
    published
        .iter()
        .filter(|p| p.topic == topic)
        .any(|p| p.arrays.iter().any(|(n, _)| n == name) || p.values.iter().any(|(n, _)| n == name))
}

pub fn output(published: &[Published], topic: &str, name: &str) -> Value {
    let feature = published.iter().find(|p| p.topic == topic);
    let feature = feature.unwrap_or_else(|| {
        let topics: Vec<&str> = published.iter().map(|p| p.topic.as_str()).collect();
        panic!("no {topic} among {topics:?}")
    });
    assert_eq!(feature.error, None);
    if let Some((_, array)) = feature.arrays.iter().find(|(n, _)| n == name) {
        return Value::Array(array.clone());
    }
    match feature.values.iter().find(|(n, _)| n == name) {
        Some((_, ScalarOrText::Scalar(s))) => Value::Scalar(*s),
        Some((_, ScalarOrText::Text(t))) => Value::Str(t.clone()),
        None => panic!("no output {name} of {topic}: {feature:?}"),
    }
}

/// An output as float64, whatever its type and shape.
pub fn numbers(value: &Value) -> Vec<f64> {
    match value {
        Value::Scalar(s) => vec![s.as_f64()],
        Value::Str(_) => panic!("text"),
        Value::Array(a) => {
            let size = a.dtype().size();
            let one = |b| ami_graph::data::bytes::scalar_from_bytes(a.dtype(), b).as_f64();
            a.bytes().chunks_exact(size).map(one).collect()
        }
    }
}

pub fn int(value: i64) -> Value {
    Value::Scalar(Scalar::I64(value))
}

pub fn real(value: f64) -> Value {
    Value::Scalar(Scalar::F64(value))
}

/// An event with only its scalar.
pub fn only(time: u64, scalar: f64) -> Event {
    Event { time, scalar: Some(scalar), flag: None, waveform: None, image: None }
}
