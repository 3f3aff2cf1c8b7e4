//! Files that h5py wrote, and everything that a source gives, in a form that can be compared.

use ami_graph::data::batch::Column;
use ami_graph::data::schema::{Held, Schema};
use ami_graph::data::value::{DType, Value};
use ami_proto::data_path::chunk::{ChunkView, ChunkWriter, HeapArena, Staging};
use ami_proto::data_path::transition::TransitionKind;
use ami_source::source::{Next, Source, Written};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// Type, shape and bytes.
pub type Datum = (String, Vec<u64>, Vec<u8>);

/// An event: its timestamp and fields by name.
#[derive(Debug, Clone, PartialEq)]
pub struct Event {
    pub stamp: u64,
    pub fields: BTreeMap<String, Datum>,
}

/// Everything of a source.
#[derive(Debug, Default)]
pub struct Taken {
    pub events: Vec<Event>,
    pub kinds: Vec<TransitionKind>,
    pub runs: Vec<Option<u32>>,
    pub schema: Schema,
    pub held: BTreeMap<String, Datum>,
}

/// An interpreter that has h5py and hdf5plugin: `AMI_TEST_PYTHON` or that of `make python`.
pub fn python() -> Option<PathBuf> {
    let of_make = Path::new(env!("CARGO_MANIFEST_DIR")).join("../.venv/bin/python");
    let given = std::env::var_os("AMI_TEST_PYTHON").map(PathBuf::from);
    let works = |python: &PathBuf| {
        let import = Command::new(python)
            .args(["-c", "import h5py, hdf5plugin"])
            .stderr(Stdio::null())
            .status();
        import.is_ok_and(|status| status.success())
    };
    let found = given.into_iter().chain([of_make, "python3".into()]).find(works);
    if found.is_none() {
        println!("skipped: no interpreter has h5py and hdf5plugin; run `make python`");
    }
    found
}

/// A script of this directory, to be run with arguments.
pub fn script(python: &Path, name: &str) -> Command {
    let mut command = Command::new(python);
    command.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/hdf5").join(name));
    command
}

fn datum(dtype: DType, axes: impl IntoIterator<Item = u64>, bytes: &[u8]) -> Datum {
    (dtype.name().into(), axes.into_iter().collect(), bytes.to_vec())
}

fn of_value(value: &Value) -> Datum {
    match value {
        Value::Str(text) => datum(DType::Str, [], text.as_bytes()),
        Value::Array(a) => datum(a.dtype(), a.shape().iter().map(|n| *n as u64), a.bytes()),
        Value::Scalar(s) => (s.dtype().name().into(), vec![], scalar_bytes(*s)),
    }
}

fn scalar_bytes(scalar: ami_graph::data::value::Scalar) -> Vec<u8> {
    use ami_graph::data::value::Scalar;
    match scalar {
        Scalar::Bool(v) => vec![u8::from(v)],
        Scalar::U8(v) => v.to_le_bytes().into(),
        Scalar::U16(v) => v.to_le_bytes().into(),
        Scalar::U32(v) => v.to_le_bytes().into(),
        Scalar::U64(v) => v.to_le_bytes().into(),
        Scalar::I8(v) => v.to_le_bytes().into(),
        Scalar::I16(v) => v.to_le_bytes().into(),
        Scalar::I32(v) => v.to_le_bytes().into(),
        Scalar::I64(v) => v.to_le_bytes().into(),
        Scalar::F32(v) => v.to_le_bytes().into(),
        Scalar::F64(v) => v.to_le_bytes().into(),
    }
}

/// Takes events in chunks of several, so that values lie as they do in the ring.
pub struct Taker {
    memory: HeapArena,
    staging: Staging,
    pub taken: Taken,
}

impl Default for Taker {
    fn default() -> Taker {
        let (memory, staging) = (HeapArena::new(32 << 20), Staging::default());
        Taker { memory, staging, taken: Taken::default() }
    }
}

impl Taker {
    /// Takes what there is now; true at the end.
    pub fn take(&mut self, source: &mut dyn Source) -> anyhow::Result<bool> {
        loop {
            match source.next()? {
                Next::End => return Ok(true),
                Next::Pending => return Ok(false),
                Next::Transition(_) => self.transition(source),
                Next::Event(_) => self.events(source)?,
            }
        }
    }

    /// Takes one transition or some events; true at the end.
    pub fn some(&mut self, source: &mut dyn Source) -> anyhow::Result<bool> {
        match source.next()? {
            Next::End => return Ok(true),
            Next::Pending => std::thread::sleep(Duration::from_millis(2)),
            Next::Transition(_) => self.transition(source),
            Next::Event(_) => self.events(source)?,
        }
        Ok(false)
    }

    fn transition(&mut self, source: &mut dyn Source) {
        let t = source.transition().unwrap();
        self.taken.kinds.push(t.kind);
        if t.kind == TransitionKind::BeginRun {
            self.taken.runs.push(t.run);
        }
        if let Some(schema) = t.schema {
            self.staging = Staging::new(&schema);
            self.taken.schema = (*schema).clone();
        }
        for (field, value) in t.held {
            let name = self.taken.schema.fields[field as usize].name.clone();
            self.taken.held.insert(name, of_value(&value));
        }
    }

    fn events(&mut self, source: &mut dyn Source) -> anyhow::Result<()> {
        self.memory.head = 0;
        let mut out = ChunkWriter::new(&mut self.staging, &mut self.memory, 0, 16, 16 << 20);
        let written = source.write(&mut out, u64::MAX, 16)?;
        if let Written::Events(0) = written {
            // Nothing was whole yet.
            std::thread::sleep(Duration::from_millis(5));
            return Ok(());
        }
        let sealed = out.seal(0, 0).unwrap();
        let bytes: &[u8] = bytemuck::cast_slice(&self.memory.words);
        let index = &bytes[sealed.index as usize..][..sealed.index_len];
        let view = ChunkView::new(&bytes, index).unwrap();
        let held = Held::new();
        let batch = view.batch(&self.taken.schema, &held, &[]).unwrap();
        for (row, &stamp) in batch.timestamps.iter().enumerate() {
            let mut fields = BTreeMap::new();
            for (field, column) in self.taken.schema.fields.iter().zip(&batch.columns) {
                if let Some(value) = value(column, row) {
                    fields.insert(field.name.clone(), value);
                }
            }
            self.taken.events.push(Event { stamp, fields });
        }
        self.staging.clear();
        Ok(())
    }
}

fn value(column: &Column<'_>, row: usize) -> Option<Datum> {
    match column {
        Column::Absent | Column::Constant(_) => None,
        Column::Scalars { dtype, data, present } => {
            let there = present.is_none_or(|mask| mask[row] != 0);
            let size = dtype.size();
            there.then(|| datum(*dtype, [], &data[row * size..][..size]))
        }
        Column::Strings(texts) => texts[row].map(|t| datum(DType::Str, [], t.as_bytes())),
        Column::Arrays { items, dtype } => {
            items[row].map(|a| datum(*dtype, a.dims.axes().iter().map(|n| u64::from(*n)), a.data))
        }
    }
}

/// Opens a URL as the ventilator does.
pub fn open(url: &str) -> anyhow::Result<Box<dyn Source>> {
    ami_source::open(&url.parse()?, 0, "host", 0)
}

/// Everything of a URL.
pub fn take(url: &str) -> (Taken, BTreeMap<&'static str, u64>) {
    let mut source = open(url).unwrap_or_else(|e| panic!("{url}: {e:#}"));
    let mut taker = Taker::default();
    let begin = Instant::now();
    while !taker.take(&mut *source).unwrap_or_else(|e| panic!("{url}: {e:#}")) {
        assert!(begin.elapsed() < Duration::from_secs(60), "{url} does not end");
        std::thread::sleep(Duration::from_millis(5));
    }
    (taker.taken, source.counters().into_iter().collect())
}
