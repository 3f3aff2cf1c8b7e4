//! Reads a source to its end into plain values.

use ami_graph::data::batch::{Batch, Column};
use ami_graph::data::schema::{Held, Schema};
use ami_graph::data::value::{Array, DType, Scalar, Value};
pub use ami_proto::data_path::chunk::HeapArena;
use ami_proto::data_path::chunk::{ChunkView, ChunkWriter, Sealed, Staging};
use ami_source::source::{Next, Source, Transition, Written};
use ami_source::xtc2::{Epoch, Xtc2Options, Xtc2Source, Xtc2Writer};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The facility's files, where they are.
pub fn data() -> Option<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data/xtc2");
    if !root.is_dir() {
        println!("skipped: {} is not here", root.display());
        return None;
    }
    Some(root)
}

/// Every file with its dump.
pub fn files(root: &Path) -> Vec<(PathBuf, PathBuf)> {
    let mut found = Vec::new();
    let mut folders = vec![root.to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|e| e == "xtc2") {
                let name = path.strip_prefix(root).unwrap().to_str().unwrap().replace('/', "__");
                found.push((path, root.join(name.replace(".xtc2", ".jsonl"))));
            }
        }
    }
    found.sort();
    found
}

/// A dump's records; the large one is compressed.
pub fn dump(path: &Path) -> Vec<serde_json::Value> {
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(_) => {
            let packed = format!("{}.gz", path.display());
            let out = std::process::Command::new("gzip").args(["-dc", &packed]).output();
            String::from_utf8(out.expect("gzip is installed").stdout).unwrap()
        }
    };
    text.lines().map(|l| serde_json::from_str(l).unwrap()).collect()
}

pub type Values = BTreeMap<usize, Value>;

#[derive(Debug, Clone, PartialEq)]
pub struct Event {
    pub timestamp: u64,
    pub values: Values,
}

#[derive(Debug, Default)]
pub struct Replay {
    pub schema: Arc<Schema>,
    pub transitions: Vec<Transition>,
    pub events: Vec<Event>,
    /// Kinds of what came, events as one character, in order.
    pub order: Vec<&'static str>,
    pub counters: BTreeMap<&'static str, u64>,
    pub ended: bool,
}

impl Replay {
    pub fn count(&self, name: &str) -> u64 {
        self.counters.get(name).copied().unwrap_or_else(|| panic!("no counter {name}"))
    }

    pub fn same(&self, other: &Replay) {
        assert_eq!(self.schema, other.schema);
        assert_eq!(self.order, other.order);
        assert_eq!(self.transitions.len(), other.transitions.len());
        for (a, b) in self.transitions.iter().zip(&other.transitions) {
            assert_eq!((a.kind, a.timestamp, a.run, a.step), (b.kind, b.timestamp, b.run, b.step));
            assert_eq!(a.schema, b.schema);
            assert_eq!(a.held, b.held, "{:?}", a.kind);
        }
        assert_eq!(self.events.len(), other.events.len());
        for (a, b) in self.events.iter().zip(&other.events) {
            assert_eq!(a, b);
        }
    }

    pub fn value(&self, event: usize, name: &str) -> Option<&Value> {
        self.events[event].values.get(&self.schema.find(name).unwrap())
    }
}

pub fn open(paths: &[PathBuf]) -> anyhow::Result<Xtc2Source> {
    Xtc2Source::open(paths, &Xtc2Options { epoch: Epoch::Unix })
}

pub fn replay(paths: &[PathBuf]) -> Replay {
    let mut replay = Replay::default();
    replay.go_on(&mut open(paths).unwrap(), 1000, None);
    assert!(replay.ended);
    replay
}

impl Replay {
    /// Reads on until the source ends or has nothing now; records what comes to `copy`.
    pub fn go_on(
        &mut self,
        source: &mut dyn Source,
        max: usize,
        mut copy: Option<&mut Xtc2Writer<Vec<u8>>>,
    ) {
        let mut staging = Staging::new(&self.schema);
        loop {
            match source.next().unwrap() {
                Next::Pending => break,
                Next::End => {
                    self.ended = true;
                    break;
                }
                Next::Transition(stamp) => {
                    let transition = source.transition().unwrap();
                    assert_eq!(transition.timestamp, stamp);
                    if let Some(schema) = &transition.schema {
                        self.schema = schema.clone();
                        staging = Staging::new(schema);
                    }
                    if let Some(copy) = &mut copy {
                        copy.transition(&transition).unwrap();
                    }
                    self.order.push("T");
                    self.transitions.push(transition);
                }
                Next::Event(stamp) => {
                    let before = self.events.len();
                    self.chunk(source, &mut staging, max, &mut copy);
                    assert_eq!(self.events[before].timestamp, stamp);
                }
            }
        }
        self.counters = source.counters().into_iter().collect();
    }

    fn chunk(
        &mut self,
        source: &mut dyn Source,
        staging: &mut Staging,
        max: usize,
        copy: &mut Option<&mut Xtc2Writer<Vec<u8>>>,
    ) {
        let mut memory = HeapArena::new(16 << 20);
        let mut out = ChunkWriter::new(staging, &mut memory, 0, 100, 4 << 20);
        let (Written::Events(n) | Written::Full(n)) =
            source.write(&mut out, u64::MAX, max).unwrap();
        assert!(n > 0, "an announced event is written");
        let sealed = out.seal(0, 0).unwrap();
        assert_eq!(sealed.events, n);
        let schema = self.schema.clone();
        with_batch(&mut memory, &sealed, &schema, |batch| {
            for event in 0..n {
                if let Some(copy) = copy {
                    copy.event(batch, event).unwrap();
                }
                self.order.push("e");
                self.events.push(Event {
                    timestamp: batch.timestamps[event],
                    values: values(batch, event),
                });
            }
        });
    }
}

pub fn with_batch(
    memory: &mut HeapArena,
    sealed: &Sealed,
    schema: &Schema,
    mut visit: impl FnMut(&Batch<'_>),
) {
    let held = Held::new();
    let bytes: &[u8] = bytemuck::cast_slice(&memory.words);
    let arrays = &bytes[..sealed.index as usize];
    let index = &bytes[sealed.index as usize..][..sealed.index_len];
    let view = ChunkView::new(&arrays, index).unwrap();
    visit(&view.batch(schema, &held, &[]).unwrap());
}

fn values(batch: &Batch<'_>, event: usize) -> Values {
    let columns = batch.columns.iter().enumerate();
    columns.filter_map(|(i, c)| Some((i, value(c, event)?))).collect()
}

fn value(column: &Column<'_>, event: usize) -> Option<Value> {
    Some(match column {
        Column::Absent => return None,
        Column::Constant(value) => (*value).clone(),
        Column::Scalars { dtype, data, present } => {
            if present.is_some_and(|p| p[event] == 0) {
                return None;
            }
            Value::Scalar(scalar(*dtype, &data[event * dtype.size()..][..dtype.size()]))
        }
        Column::Strings(items) => Value::Str(items[event]?.to_owned()),
        Column::Arrays { dtype, items } => {
            let array = items[event]?;
            let shape: Vec<usize> = array.dims.axes().iter().map(|&n| n as usize).collect();
            Value::Array(Array::from_bytes(*dtype, &shape, array.data).unwrap())
        }
    })
}

fn scalar(dtype: DType, bytes: &[u8]) -> Scalar {
    match dtype {
        DType::Bool => Scalar::Bool(bytes[0] != 0),
        DType::U8 => Scalar::U8(bytes[0]),
        DType::I8 => Scalar::I8(bytes[0] as i8),
        DType::U16 => Scalar::U16(u16::from_le_bytes(bytes.try_into().unwrap())),
        DType::I16 => Scalar::I16(i16::from_le_bytes(bytes.try_into().unwrap())),
        DType::U32 => Scalar::U32(u32::from_le_bytes(bytes.try_into().unwrap())),
        DType::I32 => Scalar::I32(i32::from_le_bytes(bytes.try_into().unwrap())),
        DType::F32 => Scalar::F32(f32::from_le_bytes(bytes.try_into().unwrap())),
        DType::U64 => Scalar::U64(u64::from_le_bytes(bytes.try_into().unwrap())),
        DType::I64 => Scalar::I64(i64::from_le_bytes(bytes.try_into().unwrap())),
        DType::F64 => Scalar::F64(f64::from_le_bytes(bytes.try_into().unwrap())),
        DType::Str => panic!("text is no scalar"),
    }
}

/// Sum of a value's elements as f64.
pub fn sum(value: &Value) -> f64 {
    match value {
        Value::Scalar(s) => s.as_f64(),
        Value::Str(_) => 0.0,
        Value::Array(a) => {
            let size = a.dtype().size();
            a.bytes().chunks_exact(size).map(|b| scalar(a.dtype(), b).as_f64()).sum()
        }
    }
}
