//! A datagram as one JSON record: every definition and every field with its sum, extremes and first
//! elements, so that two readers can be compared field by field.

use crate::xtc2::counts::Counts;
use crate::xtc2::dgram::{CONFIGURE, Header};
use crate::xtc2::names::{Datum, FieldType, Names, Table, text_of};
use ami_graph::data::value::DType;
use serde::Serialize;
use serde_json::Value;
use std::convert::Infallible;

/// Integers beyond this are not exact in every JSON reader.
const EXACT: u64 = 1 << 53;
/// Elements listed.
const FIRST: usize = 8;

/// One datagram.
#[derive(Debug, Serialize)]
pub struct Record {
    /// Which file, when several are listed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
    /// Number in its file.
    pub index: u64,
    /// Place in its file.
    pub offset: u64,
    /// Bytes.
    pub size: usize,
    /// Name of the transition.
    pub service: &'static str,
    /// Its number.
    pub service_id: u8,
    /// Seconds in the high word, decimal.
    pub timestamp: String,
    /// Seconds.
    pub sec: u32,
    /// Nanoseconds.
    pub nsec: u32,
    /// The env word.
    pub env: u32,
    /// Its low 16 bits.
    pub readout_groups: u16,
    /// Of the root.
    pub src: u32,
    /// Of the root.
    pub damage: u16,
    /// Of the root.
    pub typeid: u16,
    /// Of the root.
    pub extent: u32,
    /// At Configure: the definitions.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub names: Option<Vec<NamesRecord>>,
    /// Every field.
    pub data: Vec<DataRecord>,
}

/// One definition.
#[derive(Debug, Serialize)]
#[serde(rename_all = "lowercase")]
#[allow(missing_docs)] // as in the file
pub struct NamesRecord {
    #[serde(rename = "nodeId")]
    pub node_id: u32,
    #[serde(rename = "namesId")]
    pub names_id: u32,
    pub src: u32,
    pub damage: u16,
    pub version: u16,
    pub extent: u32,
    pub det: String,
    pub dettype: String,
    pub detid: String,
    pub alg: String,
    pub algver: u32,
    pub segment: u32,
    pub numarrays: u32,
    pub fields: Vec<NameRecord>,
}

/// One field's definition.
#[derive(Debug, Serialize)]
#[allow(missing_docs)] // as in the file
pub struct NameRecord {
    pub name: String,
    pub dtype: &'static str,
    pub rank: usize,
    pub alg: String,
    pub algver: u32,
}

/// One field's data.
#[derive(Debug, Serialize)]
#[allow(missing_docs)] // as in the file
pub struct DataRecord {
    pub det: String,
    pub segment: u32,
    pub alg: String,
    pub algver: u32,
    pub field: String,
    pub dtype: &'static str,
    pub rank: usize,
    pub shape: Vec<u32>,
    pub nbytes: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fnv1a64: Option<String>,
    pub xtc_damage: u16,
    pub sum: Value,
    pub min: Value,
    pub max: Value,
    pub first: Vec<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub str: Option<String>,
}

impl Record {
    /// Lists a datagram with the names in force (its own at Configure).
    pub fn new(
        (index, offset): (u64, u64),
        header: &Header,
        dgram: &[u8],
        table: &Table,
        hash: bool,
    ) -> Record {
        let names = (header.service() == CONFIGURE)
            .then(|| table.all().iter().map(NamesRecord::new).collect());
        let mut data = Vec::new();
        let walked = table.each::<Infallible>(dgram, &mut Counts::default(), &mut |datum, _| {
            data.push(DataRecord::new(&datum, hash));
            Ok(())
        });
        let Ok(()) = walked;
        Record {
            file: None,
            index,
            offset,
            size: dgram.len(),
            service: header.service_name(),
            service_id: header.service(),
            timestamp: header.timestamp().to_string(),
            sec: header.sec,
            nsec: header.nsec,
            env: header.env,
            readout_groups: header.readout_groups(),
            src: header.root.src,
            damage: header.root.damage,
            typeid: header.root.type_id(),
            extent: header.root.extent,
            names,
            data,
        }
    }
}

impl NamesRecord {
    fn new(names: &Names) -> NamesRecord {
        let fields = names.fields.iter().map(|f| NameRecord {
            name: f.name.clone(),
            dtype: f.kind.name(),
            rank: f.rank,
            alg: f.alg.clone(),
            algver: f.alg_version,
        });
        NamesRecord {
            node_id: names.xtc.src >> 8 & 0xfff,
            names_id: names.xtc.src & 0xff,
            src: names.xtc.src,
            damage: names.xtc.damage,
            version: names.xtc.version(),
            extent: names.xtc.extent,
            det: names.det.clone(),
            dettype: names.det_type.clone(),
            detid: names.det_id.clone(),
            alg: names.alg.clone(),
            algver: names.alg_version,
            segment: names.segment,
            numarrays: names.arrays,
            fields: fields.collect(),
        }
    }
}

impl DataRecord {
    fn new(datum: &Datum<'_, '_>, hash: bool) -> DataRecord {
        let (names, name) = (datum.names, datum.name());
        let summary = Summary::of(name.kind, datum.bytes);
        let text = name.kind == FieldType::CharStr;
        DataRecord {
            det: names.det.clone(),
            segment: names.segment,
            alg: names.alg.clone(),
            algver: names.alg_version,
            field: name.name.clone(),
            dtype: name.kind.name(),
            rank: name.rank,
            shape: datum.dims.axes().to_vec(),
            nbytes: datum.bytes.len(),
            fnv1a64: hash.then(|| format!("{:016x}", fnv1a64(datum.bytes))),
            xtc_damage: datum.damage,
            sum: summary.sum,
            min: summary.min,
            max: summary.max,
            first: summary.first,
            str: text.then(|| text_of(datum.bytes).0.into_owned()),
        }
    }
}

/// FNV-1a with the offset basis that the reference dumps used.
pub fn fnv1a64(bytes: &[u8]) -> u64 {
    let step = |hash: u64, &byte: &u8| (hash ^ u64::from(byte)).wrapping_mul(1_099_511_628_211);
    bytes.iter().fold(1_469_598_103_934_665_603, step)
}

struct Summary {
    sum: Value,
    min: Value,
    max: Value,
    first: Vec<Value>,
}

impl Summary {
    fn of(kind: FieldType, bytes: &[u8]) -> Summary {
        match kind.dtype() {
            DType::Bool | DType::U8 | DType::Str => integers(bytes, |[b]: [u8; 1]| i128::from(b)),
            DType::I8 => integers(bytes, |b| i128::from(i8::from_le_bytes(b))),
            DType::U16 => integers(bytes, |b| i128::from(u16::from_le_bytes(b))),
            DType::I16 => integers(bytes, |b| i128::from(i16::from_le_bytes(b))),
            DType::U32 => integers(bytes, |b| i128::from(u32::from_le_bytes(b))),
            DType::I32 => integers(bytes, |b| i128::from(i32::from_le_bytes(b))),
            DType::U64 => integers(bytes, |b| i128::from(u64::from_le_bytes(b))),
            DType::I64 => integers(bytes, |b| i128::from(i64::from_le_bytes(b))),
            DType::F32 => floats(bytes, |b| f64::from(f32::from_le_bytes(b))),
            DType::F64 => floats(bytes, f64::from_le_bytes),
        }
    }
}

fn integers<const N: usize>(bytes: &[u8], element: impl Fn([u8; N]) -> i128) -> Summary {
    let (chunks, _) = bytes.as_chunks::<N>();
    let values = || chunks.iter().map(|c| element(*c));
    Summary {
        sum: integer(values().sum()),
        min: values().min().map_or(Value::Null, integer),
        max: values().max().map_or(Value::Null, integer),
        first: values().take(FIRST).map(integer).collect(),
    }
}

fn floats<const N: usize>(bytes: &[u8], element: impl Fn([u8; N]) -> f64) -> Summary {
    let (chunks, _) = bytes.as_chunks::<N>();
    let values = || chunks.iter().map(|c| element(*c));
    let least = |a: f64, b: f64| if b < a { b } else { a };
    let greatest = |a: f64, b: f64| if b > a { b } else { a };
    Summary {
        // Not `sum()`: that starts from -0.0.
        sum: float(values().fold(0.0, |a, b| a + b)),
        min: values().reduce(least).map_or(Value::Null, float),
        max: values().reduce(greatest).map_or(Value::Null, float),
        first: values().take(FIRST).map(float).collect(),
    }
}

fn integer(value: i128) -> Value {
    match i64::try_from(value) {
        Ok(small) if small.unsigned_abs() <= EXACT => small.into(),
        _ => value.to_string().into(),
    }
}

fn float(value: f64) -> Value {
    if value.is_nan() {
        "nan".into()
    } else if value.is_infinite() {
        if value > 0.0 { "inf".into() } else { "-inf".into() }
    } else if value.fract() == 0.0 && value.abs() <= EXACT as f64 {
        (value as i64).into()
    } else {
        value.into()
    }
}
