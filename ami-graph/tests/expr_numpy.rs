//! Every function over every element type and many shapes, against recorded answers of numpy
//! (`record_expr.py`). Each case runs with its inputs as held values and as columns of events.

#![allow(clippy::unwrap_used)] // helpers of tests are tests

use ami_graph::data::batch::{ArrayRef, Column, Dims};
use ami_graph::data::owned_column::{EventErrors, OwnedColumn};
use ami_graph::data::types::Type;
use ami_graph::data::value::{Array, DType, Scalar, Value};
use ami_graph::expr::Expr;
use serde_json::Value as Json;
use std::collections::HashMap;

/// An array or a scalar (no axes) with its type as numpy names it.
#[derive(Debug, Clone)]
struct Recorded {
    dtype: DType,
    /// numpy answered in float16: computed in less than float32 there.
    half: bool,
    array: Array,
}

fn float(v: &Json) -> f64 {
    match v {
        Json::String(s) => s.parse().unwrap(),
        Json::Bool(b) => f64::from(u8::from(*b)),
        v => v.as_f64().unwrap(),
    }
}

fn int(v: &Json) -> i128 {
    v.as_u64()
        .map(i128::from)
        .or(v.as_i64().map(i128::from))
        .unwrap_or_else(|| v.as_bool().map(i128::from).unwrap())
}

fn decode(json: &Json) -> Recorded {
    let name = json[0].as_str().unwrap();
    let half = name == "float16";
    let name = if half { "float32" } else { name };
    let dtype = *DType::ALL.iter().find(|d| d.name() == name).unwrap();
    let shape: Vec<usize> =
        json[1].as_array().unwrap().iter().map(|v| v.as_u64().unwrap() as usize).collect();
    let mut bytes = Vec::new();
    for v in json[2].as_array().unwrap() {
        match dtype {
            DType::F64 => bytes.extend(float(v).to_le_bytes()),
            DType::F32 => bytes.extend((float(v) as f32).to_le_bytes()),
            _ => bytes.extend(&int(v).to_le_bytes()[..dtype.size()]),
        }
    }
    Recorded { dtype, half, array: Array::from_bytes(dtype, &shape, &bytes).unwrap() }
}

/// As a held value: scalars as scalars.
fn held(value: &Recorded) -> Value {
    if value.array.shape().is_empty() {
        return Value::Scalar(scalar(value.dtype, value.array.bytes()));
    }
    Value::Array(value.array.clone())
}

fn scalar(dtype: DType, b: &[u8]) -> Scalar {
    match dtype {
        DType::Bool => Scalar::Bool(b[0] != 0),
        DType::U8 => Scalar::U8(b[0]),
        DType::U16 => Scalar::U16(u16::from_le_bytes(b.try_into().unwrap())),
        DType::U32 => Scalar::U32(u32::from_le_bytes(b.try_into().unwrap())),
        DType::U64 => Scalar::U64(u64::from_le_bytes(b.try_into().unwrap())),
        DType::I8 => Scalar::I8(b[0] as i8),
        DType::I16 => Scalar::I16(i16::from_le_bytes(b.try_into().unwrap())),
        DType::I32 => Scalar::I32(i32::from_le_bytes(b.try_into().unwrap())),
        DType::I64 => Scalar::I64(i64::from_le_bytes(b.try_into().unwrap())),
        DType::F32 => Scalar::F32(f32::from_le_bytes(b.try_into().unwrap())),
        DType::F64 => Scalar::F64(f64::from_le_bytes(b.try_into().unwrap())),
        DType::Str => unreachable!(),
    }
}

/// What came out in each event: type, shape and elements.
type Answer = Result<(DType, Vec<usize>, Vec<u8>), String>;

/// How inputs are handed over.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Way {
    Held,
    /// Columns of three events, the second without the first input.
    Columns,
    /// As `Columns`, with neither rank nor shape known beforehand.
    Unknown,
}

fn types(inputs: &[(String, &Recorded)], way: Way) -> Vec<(String, Type)> {
    let ty = |r: &Recorded| match way {
        Way::Held => Type::shaped(r.dtype, r.array.shape()),
        Way::Columns => Type::array(r.dtype, r.array.shape().len()),
        Way::Unknown => Type::unknown(r.dtype),
    };
    inputs.iter().map(|(name, r)| (name.clone(), ty(r))).collect()
}

fn evaluate(text: &str, known: &HashMap<String, Recorded>, way: Way) -> Answer {
    let expr = Expr::parse(text).map_err(|e| format!("parse: {e}"))?;
    let inputs: Vec<(String, &Recorded)> =
        expr.names().iter().map(|n| (n.clone(), &known[n])).collect();
    let mut program = expr.compile(&types(&inputs, way)).map_err(|e| format!("check: {e}"))?;
    let values: Vec<Value> = inputs.iter().map(|(_, r)| held(r)).collect();
    let repeated: Vec<Vec<u64>> = inputs.iter().map(|(_, r)| thrice(r)).collect();
    let columns: Vec<Column<'_>> = inputs
        .iter()
        .enumerate()
        .map(|(i, (_, r))| match way {
            Way::Held => Column::Constant(&values[i]),
            _ => column(r, &repeated[i], i == 0),
        })
        .collect();
    let refs: Vec<&Column<'_>> = columns.iter().collect();
    let (mut out, mut errors) = (OwnedColumn::new(), EventErrors::default());
    program.eval(3, &refs, &mut out, &mut errors);
    let answer = first_event(&out, &errors)?;
    assert_eq!(answer.0, program.output().dtype, "{text}: declared type");
    if let Some(rank) = program.output().rank {
        assert_eq!(answer.1.len(), rank, "{text}: declared rank");
    }
    if let Some(shape) = &program.output().shape {
        assert_eq!(&answer.1, shape, "{text}: declared shape");
    }
    check_events(text, &out, way == Way::Held || inputs.is_empty());
    Ok(answer)
}

fn thrice(r: &Recorded) -> Vec<u64> {
    let bytes = [r.array.bytes(), r.array.bytes(), r.array.bytes()].concat();
    let mut words = vec![0u64; bytes.len().div_ceil(8) + 1];
    bytemuck::cast_slice_mut::<u64, u8>(&mut words)[..bytes.len()].copy_from_slice(&bytes);
    words
}

fn column<'a>(r: &'a Recorded, words: &'a [u64], gap: bool) -> Column<'a> {
    if r.array.shape().is_empty() {
        let data = &bytemuck::cast_slice(words)[..3 * r.dtype.size()];
        let present = gap.then_some(&[1u8, 0, 1][..]);
        return Column::Scalars { dtype: r.dtype, data, present };
    }
    let item = ArrayRef { dims: Dims::new(r.array.shape()).unwrap(), data: r.array.bytes() };
    let items = vec![Some(item), (!gap).then_some(item), Some(item)];
    Column::Arrays { dtype: r.dtype, items }
}

fn first_event(out: &OwnedColumn, errors: &EventErrors) -> Answer {
    let failed = || errors.last.clone().unwrap_or("absent".into());
    match out.view() {
        Column::Constant(Value::Scalar(s)) => {
            let mut column = OwnedColumn::new();
            column.start_pushed_scalars(s.dtype());
            column.push_scalar(*s);
            first_event(&column, errors)
        }
        Column::Scalars { dtype, data, present } => match present {
            Some([0, ..]) => Err(failed()),
            _ => Ok((dtype, vec![], data[..dtype.size()].to_vec())),
        },
        Column::Arrays { dtype, items } => {
            let item = items[0].ok_or_else(failed)?;
            let shape = item.dims.axes().iter().map(|&d| d as usize).collect();
            Ok((dtype, shape, item.data.to_vec()))
        }
        _ => Err(failed()),
    }
}

/// The second event is absent unless all inputs are held; the third is as the first.
fn check_events(text: &str, out: &OwnedColumn, all: bool) {
    match out.view() {
        Column::Scalars { dtype, data, present } => {
            let size = dtype.size();
            assert_eq!(data[..size], data[2 * size..], "{text}: third event");
            assert_eq!(present, (!all).then_some(&[1u8, 0, 1][..]), "{text}");
        }
        Column::Arrays { items, .. } => {
            assert_eq!(items[0].unwrap().data, items[2].unwrap().data, "{text}: third event");
            assert_eq!(items[1].is_some(), all, "{text}: second event");
        }
        other => assert!(matches!(other, Column::Constant(_)), "{text}"),
    }
}

fn floats(dtype: DType, bytes: &[u8]) -> Vec<f64> {
    bytes.chunks_exact(dtype.size()).map(|b| scalar(dtype, b).as_f64()).collect()
}

/// Functions for which libm and numpy's own vectorised code differ by a few units.
fn transcendental(text: &str) -> bool {
    ["exp", "log", "sin", "cos", "tan", "hypot", "**", "sqrt"].iter().any(|f| text.contains(f))
}

fn same(text: &str, expected: &Recorded, dtype: DType, shape: &[usize], bytes: &[u8]) -> bool {
    if dtype != expected.dtype || shape != expected.array.shape() {
        return false;
    }
    if !dtype.is_float() {
        return bytes == expected.array.bytes();
    }
    let tolerance = match (expected.half, dtype) {
        (true, _) => 1e-3,
        (_, DType::F32) => 1e-6,
        _ if transcendental(text) => 4e-15,
        _ => 1e-12,
    };
    let mut pairs = floats(dtype, bytes).into_iter().zip(floats(dtype, expected.array.bytes()));
    pairs.all(|(a, b)| {
        // Beyond float16's range numpy has infinity where float32 has a number.
        let beyond_half = expected.half && (b.is_infinite() || b.abs() < 1e-4);
        (a.is_nan() && b.is_nan())
            || (a == b && (a != 0.0 || a.is_sign_negative() == b.is_sign_negative()))
            || (a - b).abs() <= tolerance * b.abs()
            || (dtype == DType::F32 && (a - b).abs() < 1e-37)
            || beyond_half
            // Exact here; numpy adds 64-bit integers in float64.
            || (text.contains("mean(i8") && (a - b).abs() < 4096.0)
    })
}

/// Cases where this is meant to differ, with the reason.
const DIFFERENT: &[(&str, &str)] = &[
    ("bv ** 2", "int8 in numpy for arrays, int64 for scalars and for every other exponent"),
    ("1 if f8s > 1 else 2.5", "the type both sides promote to"),
    ("f8v[0] > 9 and f8v[5] > 1", "what fails in every event is refused, taken or not"),
    ("1.5 if f8v[0] > 1 else f8v[5] * 1.0", "as before"),
    ("nanquantile(be, 0.5)", "quantiles of bool are refused, also of none"),
];

#[test]
fn as_numpy() {
    let text = include_str!("data/expr.json");
    let json: Json = serde_json::from_str(text).unwrap();
    let known: HashMap<String, Recorded> =
        json["inputs"].as_object().unwrap().iter().map(|(k, v)| (k.clone(), decode(v))).collect();
    let (mut wrong, mut count, mut refused) = (Vec::new(), 0, 0);
    for case in json["cases"].as_array().unwrap() {
        let text = case[0].as_str().unwrap();
        if DIFFERENT.iter().any(|(t, _)| *t == text) {
            continue;
        }
        for way in [Way::Held, Way::Columns, Way::Unknown] {
            count += 1;
            let answer = evaluate(text, &known, way);
            match (&answer, case[1].as_str()) {
                (Err(_), Some(_)) => refused += 1,
                (Ok((dtype, shape, bytes)), None) => {
                    let expected = decode(&case[1]);
                    if !same(text, &expected, *dtype, shape, bytes) {
                        let values = floats(*dtype, bytes);
                        wrong.push(format!(
                            "{way:?} {text}: {dtype} {shape:?} {values:?}, numpy {}",
                            case[1]
                        ));
                    }
                }
                (answer, _) => wrong.push(format!("{way:?} {text}: {answer:?}, numpy {}", case[1])),
            }
        }
    }
    let shown = wrong.iter().take(60).cloned().collect::<Vec<_>>().join("\n");
    assert!(wrong.is_empty(), "{} of {count} differ:\n{shown}", wrong.len());
    assert!(count > 15_000 && refused > 100, "{count} cases, {refused} refused");
}
