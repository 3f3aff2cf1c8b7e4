//! Equality with numpy, scipy and pyFAI: answers recorded by the scripts in `tests/record`.

#![allow(clippy::unwrap_used)] // a test that panics is a test that fails

mod support;

use ami_graph::data::batch::{Batch, Column};
use ami_graph::data::files::Files;
use ami_graph::data::schema::Schema;
use ami_graph::data::value::{Array, DType, Value};
use ami_graph::op::doc::Class;
use ami_graph::ops::OPS;
use ami_graph::root::RootStage;
use ami_graph::worker::WorkerStage;
use serde_json::{Value as Json, json};
use std::collections::BTreeSet;
use support::*;

/// An array as recorded.
fn recorded(json: &Json) -> Value {
    let name = json["dtype"].as_str().unwrap();
    let dtype = *DType::ALL.iter().find(|d| d.name() == name).unwrap();
    let shape: Vec<usize> =
        json["shape"].as_array().unwrap().iter().map(|n| n.as_u64().unwrap() as usize).collect();
    let bits = json["bits"].as_array().unwrap().iter();
    let numbers: Vec<f64> = bits
        .map(|b| f64::from_bits(u64::from_str_radix(b.as_str().unwrap(), 16).unwrap()))
        .collect();
    let bytes: Vec<u8> = numbers.iter().flat_map(|&x| element(dtype, x)).collect();
    Value::Array(Array::from_bytes(dtype, &shape, &bytes).unwrap())
}

fn element(dtype: DType, x: f64) -> Vec<u8> {
    match dtype {
        DType::Bool | DType::U8 => vec![x as u8],
        DType::I8 => (x as i8).to_le_bytes().to_vec(),
        DType::U16 => (x as u16).to_le_bytes().to_vec(),
        DType::I16 => (x as i16).to_le_bytes().to_vec(),
        DType::U32 => (x as u32).to_le_bytes().to_vec(),
        DType::I32 => (x as i32).to_le_bytes().to_vec(),
        DType::U64 => (x as u64).to_le_bytes().to_vec(),
        DType::I64 => (x as i64).to_le_bytes().to_vec(),
        DType::F32 => (x as f32).to_le_bytes().to_vec(),
        DType::F64 => x.to_le_bytes().to_vec(),
        DType::Str => unreachable!(),
    }
}

/// One array per event.
fn events_of(value: &Value, present: Option<&[u8]>) -> Vec<Option<Array>> {
    let Value::Array(all) = value else { unreachable!() };
    let (count, shape) = all.shape().split_first().unwrap();
    let each = all.bytes().len() / count;
    let one =
        |k: usize| Array::from_bytes(all.dtype(), shape, &all.bytes()[k * each..(k + 1) * each]);
    let here = |k: &usize| present.is_none_or(|p| p[*k] != 0);
    (0..*count).map(|k| Some(k).filter(here).and_then(one)).collect()
}

/// Per event, 1 where an input is there.
fn flags(json: &Json) -> Option<Vec<u8>> {
    let flags = json.get("present")?.as_array().unwrap();
    Some(flags.iter().map(|f| f.as_u64().unwrap() as u8).collect())
}

/// The files that a case's parameters name.
fn files(case: &Json) -> Files {
    let bytes = |hex: &str| -> Vec<u8> {
        (0..hex.len() / 2)
            .map(|i| u8::from_str_radix(&hex[2 * i..2 * i + 2], 16).unwrap())
            .collect()
    };
    let Some(files) = case.get("files") else { return Files::new() };
    let files = files.as_object().unwrap();
    files.iter().map(|(hash, hex)| (hash.clone(), bytes(hex.as_str().unwrap()))).collect()
}

/// The case's node with its inputs.
fn wired(case: &Json, inputs: &serde_json::Map<String, Json>) -> Json {
    let mut node = case["node"].clone();
    node["in"] = match inputs.keys().next() {
        Some(one) if inputs.len() == 1 => json!(one),
        _ => inputs.keys().map(|n| (n.clone(), json!(n))).collect(),
    };
    node
}

fn check(case: &Json) {
    let inputs = case["inputs"].as_object().unwrap();
    let values: Vec<Value> = inputs.values().map(recorded).collect();
    let present: Vec<Option<Vec<u8>>> = inputs.values().map(flags).collect();
    let split: Vec<Vec<Option<Array>>> =
        values.iter().zip(&present).map(|(v, p)| events_of(v, p.as_deref())).collect();
    let mut fields = Vec::new();
    let mut columns = Vec::new();
    for (((name, value), events), present) in inputs.keys().zip(&values).zip(&split).zip(&present) {
        let Value::Array(all) = value else { unreachable!() };
        let shape = &all.shape()[1..];
        fields.push(field(name, value.dtype(), Some(shape), shape.len()));
        columns.push(if shape.is_empty() {
            Column::Scalars { dtype: value.dtype(), data: all.bytes(), present: present.as_deref() }
        } else {
            arrays(value.dtype(), events)
        });
    }
    let count = split[0].len();
    let node = wired(case, inputs);
    let graph = json!({"name": "g", "nodes": {"n": node}}).to_string();
    let plan = plan_with_files(&graph, Schema { fields }, files(case));
    assert!(plan.errors().is_empty(), "{}: {}", case["node"], plan.errors()[0]);
    let times: Vec<u64> = match case["times"].as_array() {
        Some(times) => times.iter().map(|t| t.as_u64().unwrap()).collect(),
        None => (0..count as u64).collect(),
    };
    let mut worker = WorkerStage::new(plan.clone());
    worker.absorb(&Batch {
        host: 0,
        belonging: Default::default(),
        first_sequence: 0,
        timestamps: &times,
        columns,
    });
    let published = RootStage::new(plan.clone()).close(&frame(1, count as u64), worker.take());
    let scale = numbers(&values[values.len() - 1]).into_iter().filter(|x| x.is_finite());
    let scale: f64 = scale.map(f64::abs).sum();
    for (name, expected) in case["outputs"].as_object().unwrap() {
        if expected.is_null() {
            assert!(!has_output(&published, "g/n", name), "{}: {name} is there", case["node"]);
            continue;
        }
        let (found, expected) = (output(&published, "g/n", name), recorded(expected));
        compare(case, name, &found, &expected, scale);
    }
}

fn compare(case: &Json, name: &str, found: &Value, expected: &Value, scale: f64) {
    let what = format!("{} {name}", case["node"]);
    let Value::Array(wanted) = expected else { unreachable!() };
    let shape = if let Value::Array(a) = found { a.shape().to_vec() } else { Vec::new() };
    assert_eq!(shape, wanted.shape(), "{what}");
    let exact = case["exact"].as_bool().unwrap();
    if exact && name != "edges" {
        assert_eq!(found.dtype(), expected.dtype(), "{what}");
    }
    let single = expected.dtype() == DType::F32 || found.dtype() == DType::F32;
    let default = if single { 1e-6 } else { 1e-12 } * scale;
    let tolerance = case.get("tolerance").map_or(default, |t| t.as_f64().unwrap());
    for (x, y) in numbers(found).into_iter().zip(numbers(expected)) {
        let same = x == y || (x.is_nan() && y.is_nan());
        let tolerance = case["relative"].as_f64().map_or(tolerance, |r| r * y.abs());
        assert!(same || (!exact && (x - y).abs() <= tolerance), "{what}: {x:e}, numpy {y:e}");
    }
}

fn cases() -> Vec<Json> {
    let dir = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/numpy");
    let files = std::fs::read_dir(dir).unwrap();
    let texts = files.map(|file| std::fs::read_to_string(file.unwrap().path()).unwrap());
    texts.flat_map(|text| serde_json::from_str::<Vec<Json>>(&text).unwrap()).collect()
}

#[test]
fn answers_are_numpys() {
    let cases = cases();
    cases.iter().for_each(check);
    assert!(cases.len() > 200);
}

/// Per-event ops whose answers to NaN are not recorded, and why.
const WITHOUT_NAN: &[(&str, &str)] = &[
    ("const", "has no input"),
    ("expr", "expr_numpy.rs"),
    ("gate", "its condition is an expression"),
    ("select", "its conditions are expressions"),
    ("median_filter", "scipy's answer depends on the order of comparisons"),
    ("peakfinder8", "the original's data are finite"),
    ("cfd", "timing.rs; scipy has none"),
    ("edge", "timing.rs; scipy has none"),
];

#[test]
fn every_op_is_recorded_with_nan() {
    let with_nan: BTreeSet<String> = cases()
        .iter()
        .filter(|case| {
            let mut inputs = case["inputs"].as_object().unwrap().values().map(recorded);
            inputs.any(|input| numbers(&input).into_iter().any(f64::is_nan))
        })
        .map(|case| case["node"]["op"].as_str().unwrap().to_owned())
        .collect();
    for op in OPS.iter().map(|op| op.doc()).filter(|op| op.class == Class::PerEvent) {
        let excused = WITHOUT_NAN.iter().any(|(name, _)| *name == op.name);
        assert!(with_nan.contains(op.name) != excused, "{}", op.name);
    }
}
