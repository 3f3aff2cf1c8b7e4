//! What transitions say: held values, the run's number, labels of enumerations.

use crate::xtc2::INFO;
use crate::xtc2::counts::{Count, Counts};
use crate::xtc2::file::{DgramFile, Peek};
use crate::xtc2::names::{Datum, FieldType, Table, text_of};
use crate::xtc2::schema::{Labels, Plan, Route, Stack, enum_key, enum_name};
use ami_graph::data::batch::Dims;
use ami_graph::data::schema::{Held, Kind, Schema};
use ami_graph::data::value::{Array, DType, Scalar, Value};
use std::convert::Infallible;

/// Datagrams behind Configure that are searched for the codes of enumerations.
const LOOK_AHEAD: usize = 64;
/// And bytes.
const LOOK_AHEAD_BYTES: u64 = 64 << 20;

/// An element from its bytes; booleans are whatever is not zero.
pub fn scalar(dtype: DType, bytes: &[u8]) -> Option<Scalar> {
    Some(match dtype {
        DType::Bool => Scalar::Bool(*bytes.first()? != 0),
        DType::U8 => Scalar::U8(*bytes.first()?),
        DType::I8 => Scalar::I8(*bytes.first()? as i8),
        DType::U16 => Scalar::U16(u16::from_le_bytes(bytes.try_into().ok()?)),
        DType::I16 => Scalar::I16(i16::from_le_bytes(bytes.try_into().ok()?)),
        DType::U32 => Scalar::U32(u32::from_le_bytes(bytes.try_into().ok()?)),
        DType::I32 => Scalar::I32(i32::from_le_bytes(bytes.try_into().ok()?)),
        DType::F32 => Scalar::F32(f32::from_le_bytes(bytes.try_into().ok()?)),
        DType::U64 => Scalar::U64(u64::from_le_bytes(bytes.try_into().ok()?)),
        DType::I64 => Scalar::I64(i64::from_le_bytes(bytes.try_into().ok()?)),
        DType::F64 => Scalar::F64(f64::from_le_bytes(bytes.try_into().ok()?)),
        DType::Str => return None,
    })
}

/// Text of a field, counted when nothing ends it.
pub fn text<'a>(bytes: &'a [u8], counts: &mut Counts) -> std::borrow::Cow<'a, str> {
    let (text, ended) = text_of(bytes);
    if !ended {
        counts.add(Count::UnterminatedText);
    }
    text
}

fn value(dtype: DType, dims: &Dims, bytes: &[u8], counts: &mut Counts) -> Option<Value> {
    if dtype == DType::Str {
        return Some(Value::Str(text(bytes, counts).into_owned()));
    }
    if dims.axes().is_empty() {
        return scalar(dtype, bytes).map(Value::Scalar);
    }
    let shape: Vec<usize> = dims.axes().iter().map(|&d| d as usize).collect();
    let mut array = Array::from_bytes(dtype, &shape, bytes)?;
    if dtype == DType::Bool {
        array.bytes_mut().iter_mut().for_each(|b| *b = u8::from(*b != 0));
    }
    Some(Value::Array(array))
}

/// Gathers what one transition sets, over its streams.
pub struct Gathering<'p> {
    plan: &'p Plan,
    /// What it sets.
    pub set: Held,
    /// `runinfo:runnum`, if it says so.
    pub run: Option<u32>,
    /// The step's number, in ami's own recordings.
    pub step: Option<u32>,
    touched: Vec<bool>,
}

impl<'p> Gathering<'p> {
    /// Nothing yet.
    pub fn new(plan: &'p Plan) -> Gathering<'p> {
        Gathering {
            plan,
            set: Held::new(),
            run: None,
            step: None,
            touched: vec![false; plan.slots],
        }
    }

    /// Takes what one stream's datagram says.
    pub fn read(&mut self, stream: usize, table: &Table, dgram: &[u8], counts: &mut Counts) {
        let walked = table.each::<Infallible>(dgram, counts, &mut |datum, counts| {
            let routes = self.plan.routes.get(stream).and_then(|r| r.get(datum.at));
            if let Some(route) = routes.and_then(|r| r.get(datum.field)) {
                self.datum(route, &datum, counts);
            }
            Ok(())
        });
        let Ok(()) = walked;
    }

    fn datum(&mut self, route: &Route, datum: &Datum<'_, '_>, counts: &mut Counts) {
        if datum.names.det == "runinfo" && datum.name().name == "runnum" {
            self.run = datum.bytes.try_into().ok().map(u32::from_le_bytes);
        }
        if datum.names.det == INFO && datum.name().name == "step" {
            self.step = datum.bytes.try_into().ok().map(u32::from_le_bytes);
        }
        let Some(field) = route.field else { return };
        if route.kind == Kind::Event {
            counts.add(Count::EventFieldsInTransitions);
            return;
        }
        let Some(value) = value(route.dtype, &datum.dims, datum.bytes, counts) else { return };
        // Streams repeat run information; the first one is it.
        if let std::collections::btree_map::Entry::Vacant(entry) = self.set.entry(field) {
            entry.insert(value);
            if let Some(slot) = route.slot {
                self.touched[slot as usize] = true;
            }
        }
    }

    /// Adds the stacks whose segments changed; segments not set now count as they were.
    pub fn stacks(&mut self, before: &Held, counts: &mut Counts) {
        for stack in self.plan.stacks.iter().filter(|s| s.kind == Kind::Held) {
            let slots = stack.first_slot..stack.first_slot + stack.members.len();
            if !self.touched[slots].iter().any(|t| *t) {
                continue;
            }
            let member = |m: &usize| self.set.get(&(*m as u32)).or(before.get(&(*m as u32)));
            let Some(members) = stack.members.iter().map(member).collect::<Option<Vec<_>>>() else {
                continue;
            };
            match stacked(stack, &members) {
                Some(value) => drop(self.set.insert(stack.field as u32, value)),
                None => counts.add(Count::StacksOfUnequalShapes),
            }
        }
    }
}

fn stacked(stack: &Stack, members: &[&Value]) -> Option<Value> {
    let mut shape = vec![members.len()];
    let mut bytes = Vec::new();
    for member in members {
        match member {
            Value::Array(a) => {
                if shape.len() == 1 {
                    shape.extend_from_slice(a.shape());
                }
                if shape[1..] != *a.shape() {
                    return None;
                }
                bytes.extend_from_slice(a.bytes());
            }
            Value::Scalar(s) => put_scalar(*s, &mut bytes),
            Value::Str(_) => return None,
        }
    }
    Array::from_bytes(stack.dtype, &shape, &bytes).map(Value::Array)
}

/// An element's little-endian bytes.
pub fn put_scalar(scalar: Scalar, out: &mut Vec<u8>) {
    match scalar {
        Scalar::Bool(v) => out.push(u8::from(v)),
        Scalar::U8(v) => out.push(v),
        Scalar::I8(v) => out.push(v as u8),
        Scalar::U16(v) => out.extend_from_slice(&v.to_le_bytes()),
        Scalar::I16(v) => out.extend_from_slice(&v.to_le_bytes()),
        Scalar::U32(v) => out.extend_from_slice(&v.to_le_bytes()),
        Scalar::I32(v) => out.extend_from_slice(&v.to_le_bytes()),
        Scalar::F32(v) => out.extend_from_slice(&v.to_le_bytes()),
        Scalar::U64(v) => out.extend_from_slice(&v.to_le_bytes()),
        Scalar::I64(v) => out.extend_from_slice(&v.to_le_bytes()),
        Scalar::F64(v) => out.extend_from_slice(&v.to_le_bytes()),
    }
}

/// The schema that a recording of ours carries in its Configure.
pub fn recorded_schema(table: &Table, dgram: &[u8]) -> Option<Schema> {
    let mut found = None;
    let mut counts = Counts::default();
    let walked = table.each::<Infallible>(dgram, &mut counts, &mut |datum, _| {
        if datum.names.det == INFO && datum.name().name == "schema" {
            found = serde_json::from_str(&text_of(datum.bytes).0).ok();
        }
        Ok(())
    });
    let Ok(()) = walked;
    found
}

/// Adds the codes of a stream's enumerations: they are values of ENUMDICT fields, in Configure or,
/// for detectors that have no configuration, in the first events. A live file may not hold those
/// yet; its labels stay unknown.
pub fn labels(table: &Table, configure: &[u8], ahead: Option<DgramFile>, labels: &mut Labels) {
    let mut wanted = Vec::new();
    for names in table.all() {
        let dictionary = names.fields.iter().filter(|f| f.kind == FieldType::EnumDict);
        wanted.extend(dictionary.filter_map(|f| enum_key(names, &f.name)));
    }
    add_labels(table, configure, labels);
    let Some(mut file) = ahead else { return };
    let end = file.offset() + LOOK_AHEAD_BYTES;
    for _ in 0..LOOK_AHEAD {
        if wanted.iter().all(|k| labels.contains_key(k)) || file.offset() > end {
            return;
        }
        let Ok(Peek::Ready(header)) = file.peek() else { return };
        if header.service() == crate::xtc2::dgram::CONFIGURE {
            return;
        }
        add_labels(table, file.dgram(), labels);
        file.advance();
    }
}

fn add_labels(table: &Table, dgram: &[u8], labels: &mut Labels) {
    // Damage here is counted when the datagram is delivered.
    let mut counts = Counts::default();
    let walked = table.each::<Infallible>(dgram, &mut counts, &mut |datum, _| {
        let raw = &datum.name().name;
        if datum.name().kind == FieldType::EnumDict
            && let Some((label, _)) = enum_name(raw)
            && let Some(key) = enum_key(datum.names, raw)
            && let Ok(code) = datum.bytes.try_into().map(i32::from_le_bytes)
        {
            labels.entry(key).or_default().entry(label.to_owned()).or_insert(i64::from(code));
        }
        Ok(())
    });
    let Ok(()) = walked;
}
