//! `present(x)` and `default(x, y)`: expressions of inputs that are absent in some events.

#![allow(clippy::unwrap_used)] // helpers of tests are tests

mod support;

use ami_graph::data::batch::{ArrayRef, Column, Dims};
use ami_graph::data::owned_column::{EventErrors, OwnedColumn};
use ami_graph::data::schema::Labels;
use ami_graph::data::types::Type;
use ami_graph::data::value::{Array, DType, Value};
use ami_graph::expr::Expr;
use ami_graph::root::{Published, RootStage};
use ami_graph::worker::WorkerStage;
use serde_json::json;
use support::*;

/// x float64, k uint8, img uint16[2×2], wave float64 of any length, name text, s an enumeration.
fn inputs() -> Vec<(String, Type)> {
    [
        ("x", Type::scalar(DType::F64)),
        ("k", Type::scalar(DType::U8)),
        ("img", Type::shaped(DType::U16, &[2, 2])),
        ("wave", Type::array(DType::F64, 1)),
        ("name", Type::scalar(DType::Str)),
        ("s", Type::scalar(DType::I32)),
    ]
    .map(|(n, t)| (n.to_string(), t))
    .to_vec()
}

fn labels() -> Vec<(String, Labels)> {
    vec![("s".into(), [("closed".to_string(), 0), ("open".to_string(), 1)].into())]
}

/// Per event type, shape and numbers of the value.
type Answers = Vec<Option<(DType, Vec<usize>, Vec<f64>)>>;

/// Over four events; the first has all inputs, the second none, the third k, the fourth all but x.
fn answers(text: &str) -> Answers {
    let expr = Expr::parse(text).unwrap();
    let mut program =
        expr.compile_labelled(&inputs(), &labels()).unwrap_or_else(|e| panic!("{text}: {e}"));
    let x = [1.5f64, f64::NAN, f64::NAN, f64::NAN];
    let s = [1i32, 7, 7, 0];
    let (img, wave) = ([1u16, 2, 3, 4], [8.0f64, 9.0]);
    let img = ArrayRef { dims: Dims::new(&[2, 2]).unwrap(), data: bytemuck::cast_slice(&img) };
    let wave = ArrayRef { dims: Dims::new(&[2]).unwrap(), data: bytemuck::cast_slice(&wave) };
    let k = [3u8, 99, 4, 5, 0, 0, 0, 0];
    fn scalars<'a>(dtype: DType, data: &'a [u8], present: &'a [u8]) -> Column<'a> {
        Column::Scalars { dtype, data, present: Some(present) }
    }
    let columns = [
        scalars(DType::F64, bytemuck::cast_slice(&x), &[1, 0, 0, 0]),
        scalars(DType::U8, &k[..4], &[7, 0, 1, 1]),
        Column::Arrays { dtype: DType::U16, items: vec![Some(img), None, None, Some(img)] },
        Column::Arrays { dtype: DType::F64, items: vec![Some(wave), None, None, Some(wave)] },
        Column::Strings(vec![Some("a"), None, None, Some("b")]),
        scalars(DType::I32, bytemuck::cast_slice(&s), &[1, 0, 0, 1]),
    ];
    let (mut out, mut errors) = (OwnedColumn::new(), EventErrors::default());
    program.eval(4, &columns.each_ref(), &mut out, &mut errors);
    assert_eq!(errors.last, None, "{text}");
    let found = read(&out);
    for (dtype, shape, _) in found.iter().flatten() {
        let declared = program.output();
        assert_eq!(*dtype, declared.dtype, "{text}");
        assert!(declared.shape.as_ref().is_none_or(|s| s == shape), "{text}");
    }
    found
}

fn read(out: &OwnedColumn) -> Answers {
    let numbers = |dtype: DType, bytes: &[u8]| -> Vec<f64> {
        let one = |b| ami_graph::data::bytes::scalar_from_bytes(dtype, b).as_f64();
        bytes.chunks_exact(dtype.size()).map(one).collect()
    };
    match out.view() {
        Column::Scalars { dtype, data, present } => (0..4)
            .map(|i| {
                let bytes = &data[i * dtype.size()..][..dtype.size()];
                let there = present.is_none_or(|p| p[i] != 0);
                there.then(|| (dtype, vec![], numbers(dtype, bytes)))
            })
            .collect(),
        Column::Arrays { dtype, items } => {
            let one = |item: &ArrayRef<'_>| {
                let shape = item.dims.axes().iter().map(|&d| d as usize).collect();
                (dtype, shape, numbers(dtype, item.data))
            };
            items.iter().map(|item| item.as_ref().map(one)).collect()
        }
        _ => vec![None; 4],
    }
}

/// The first number of each event; -1 where absent.
fn firsts(text: &str) -> Vec<f64> {
    answers(text).into_iter().map(|a| a.map_or(-1.0, |(_, _, n)| n[0])).collect()
}

#[test]
fn what_is_absent_is_told_or_replaced() {
    let cases: &[(&str, [f64; 4])] = &[
        ("present(x)", [1.0, 0.0, 0.0, 0.0]),
        ("present(k)", [1.0, 0.0, 1.0, 1.0]),
        ("present(img)", [1.0, 0.0, 0.0, 1.0]),
        ("present(name) + 0", [1.0, 0.0, 0.0, 1.0]),
        ("not present(wave)", [0.0, 1.0, 1.0, 0.0]),
        ("present(x) and present(k)", [1.0, 0.0, 0.0, 0.0]),
        ("default(x, 0)", [1.5, 0.0, 0.0, 0.0]),
        ("default(x, 2.5) * 2", [3.0, 5.0, 5.0, 5.0]),
        ("default(k, 0) > 3", [0.0, 0.0, 1.0, 1.0]),
        // What else is mentioned must be there.
        ("default(x, k)", [1.5, -1.0, 4.0, 5.0]),
        ("default(x, default(k, 7))", [1.5, 7.0, 4.0, 5.0]),
        ("present(x) and x > 1", [1.0, -1.0, -1.0, -1.0]),
        ("default(x, 0) + x", [3.0, -1.0, -1.0, -1.0]),
        ("k if present(x) else -1.5", [3.0, -1.0, -1.5, -1.5]),
        // Event by event.
        ("sum(default(img, 1))", [10.0, 4.0, 4.0, 10.0]),
        ("default(img, 1)[1, 1] + default(k, 0)", [7.0, 1.0, 5.0, 9.0]),
        ("len(default(wave, cumsum(k)))", [2.0, -1.0, 1.0, 2.0]),
        ("sum(img) if present(x) else 0", [10.0, -1.0, -1.0, 0.0]),
        ("2 ** (default(k, 1) + 0 * k)", [8.0, -1.0, 16.0, 32.0]),
        // Enumerations keep their labels.
        ("default(s, 'closed') == 'open'", [1.0, 0.0, 0.0, 0.0]),
        ("default(s, 5)", [1.0, 5.0, 5.0, 0.0]),
    ];
    for (text, expected) in cases {
        assert_eq!(firsts(text), expected, "{text}");
    }
}

#[test]
fn types_and_shapes_are_those_of_both() {
    let first = |text: &str, event: usize| answers(text)[event].clone().unwrap();
    assert_eq!(first("default(img, 7)", 0), (DType::U16, vec![2, 2], vec![1.0, 2.0, 3.0, 4.0]));
    assert_eq!(first("default(img, 7)", 1), (DType::U16, vec![2, 2], vec![7.0; 4]));
    assert_eq!(first("default(img, 0.5)", 1), (DType::F64, vec![2, 2], vec![0.5; 4]));
    assert_eq!(first("default(k, 1)", 1), (DType::U8, vec![], vec![1.0]));
    assert_eq!(first("default(k, 1.5)", 0), (DType::F64, vec![], vec![3.0]));
    assert_eq!(first("present(k)", 0), (DType::Bool, vec![], vec![1.0]));
    // Of unknown length: whichever is there.
    assert_eq!(first("default(wave, k + cumsum(k))", 2), (DType::F64, vec![1], vec![8.0]));
}

#[test]
fn what_cannot_be_is_refused() {
    let cases = [
        (
            "present(x + 1)",
            "column 11: present is asked of something computed; give it the name of an input; compute \
             what may be absent in a node before",
        ),
        (
            "default(2, 1)",
            "column 9: default is asked of something computed; give it the name of an input; compute what may be absent in a node before",
        ),
        (
            "default(wave, 0)",
            "column 1: default would be float64[?] in one event and float64 in another; how long the axes are \
             only events tell: give an array of that shape, or reduce first",
        ),
        (
            "default(x, img)",
            "column 1: default would be float64 in one event and float64[2×2] in another; give a number, or an \
             array of the same shape",
        ),
        (
            "default(img, img[0])",
            "column 1: default would be uint16[2×2] in one event and uint16[2] in another; give a number, or an array of the same shape",
        ),
        (
            "default(name, 'x')",
            "column 1: default of text is not there; ask present(...) of it; text can only be compared",
        ),
        (
            "default(x, 'x')",
            "column 1: text compared with a value of type float64; it is no text and has no labels",
        ),
        ("default(x)", "column 1: default does not take 1 arguments; write default(x, y)"),
        ("present(y)", "column 9: unknown name y; did you mean k?"),
    ];
    for (text, expected) in cases {
        let found = Expr::parse(text).and_then(|e| e.compile_labelled(&inputs(), &labels()));
        assert_eq!(found.unwrap_err().to_string(), expected, "{text}");
    }
}

/// Twelve events: the scalar in every second, the flag in every third, images in the second half.
fn events() -> Vec<Event> {
    let event = |k: u64| Event {
        time: k,
        scalar: k.is_multiple_of(2).then_some(k as f64),
        flag: k.is_multiple_of(3).then_some(u8::from(k.is_multiple_of(2))),
        waveform: None,
        image: (k >= 6).then_some([k as u16; 6]),
    };
    (0..12).collect::<Vec<_>>().into_iter().map(event).collect()
}

fn graph() -> String {
    let scalar_and_flag = json!({"x": "scalar", "f": "flag"});
    json!({"name": "g", "nodes": {
        "here": {"op": "expr", "in": {"x": "scalar"}, "expr": "present(x)"},
        "heres": {"op": "buffer", "in": "here", "n": 99},
        "filled": {"op": "expr", "in": scalar_and_flag, "expr": "default(x, default(f, 5))"},
        "fills": {"op": "buffer", "in": "filled", "n": 99},
        "images": {"op": "expr", "in": {"i": "image"}, "expr": "sum(default(i, 1))"},
        "sums": {"op": "buffer", "in": "images", "n": 99},
        "never": {"op": "expr", "in": {"w": "waveform"}, "expr": "present(w)"},
        "nevers": {"op": "count", "in": "never"},
        "without": {"op": "gate", "in": "image", "with": {"x": "scalar"}, "when": "not present(x)"},
        "gated": {"op": "count", "in": "without"},
        "routed": {"op": "select", "in": {"x": "scalar", "i": "image"}, "cases": [
            {"when": "present(x) and present(i)", "out": {"both": "x"}},
            {"when": "default(x, 100) < 5", "out": {"low": "x"}}],
            "else": {"rest": "default(x, -1)"}},
        "both": {"op": "buffer", "in": "routed.both", "n": 99},
        "low": {"op": "buffer", "in": "routed.low", "n": 99},
        "rest": {"op": "buffer", "in": "routed.rest", "n": 99},
        "late": {"op": "expr", "in": {"n": "gated", "m": "flags"}, "expr": "n + default(m, 1000)"},
        "flags": {"op": "sum", "in": "waveform_sum", "window": "heartbeat"},
        "waveform_sum": {"op": "array_stat", "in": "waveform"}}})
    .to_string()
}

/// Over workers in units of so many events, merged in any order.
fn published(unit: usize, workers: usize) -> Vec<Published> {
    let plan = good_plan(&graph());
    let mut stages: Vec<_> = (0..workers).map(|_| WorkerStage::new(plan.clone())).collect();
    for (k, chunk) in events().chunks(unit).enumerate() {
        stages[k % workers].absorb(&Unit::new(0, (k * unit) as u64, chunk).batch());
    }
    let mut merged = ami_graph::wire::partial::Partial::empty();
    for stage in stages.iter_mut().rev() {
        merged.merge(carried(stage.take())).unwrap();
    }
    RootStage::new(plan).close(&frame(1, 12), merged)
}

#[test]
fn nodes_of_absent_inputs_run_however_events_are_split() {
    let whole = published(12, 1);
    let list = |name: &str| numbers(&output(&whole, &format!("g/{name}"), "value"));
    assert_eq!(list("heres"), [1., 0., 1., 0., 1., 0., 1., 0., 1., 0., 1., 0.]);
    assert_eq!(list("fills"), [0., 5., 2., 0., 4., 5., 6., 5., 8., 0., 10., 5.]);
    assert_eq!(list("sums"), [6., 6., 6., 6., 6., 6., 36., 42., 48., 54., 60., 66.]);
    assert_eq!(output(&whole, "g/nevers", "value"), int(12));
    assert_eq!(list("both"), [6., 8., 10.]);
    assert_eq!(list("low"), [0., 2., 4.]);
    assert_eq!(list("rest"), [-1.; 6]);
    // At the root, too: three passed the gate, and the sum has no value, as no event has a waveform.
    assert_eq!(output(&whole, "g/late", "value"), int(1003));
    for (unit, workers) in [(1, 1), (1, 3), (2, 2), (5, 2), (7, 3)] {
        let found = published(unit, workers);
        for feature in &whole {
            let other = found.iter().find(|p| p.topic == feature.topic).unwrap();
            assert_eq!(other.values, feature.values, "{} in {unit}", feature.topic);
            assert_eq!(other.arrays, feature.arrays, "{} in {unit}", feature.topic);
        }
    }
}

#[test]
fn held_values_and_absent_columns() {
    let constant = Value::Array(Array::from_elements(&[2, 2], &[9u16; 4]));
    for (column, expected) in [(Column::Constant(&constant), 9.0), (Column::Absent, 3.0)] {
        let expr = Expr::parse("default(img, 3)[0, 0] * present(img) + default(img, 3)[1, 1]");
        let types = [("img".to_string(), Type::shaped(DType::U16, &[2, 2]))];
        let mut program = expr.unwrap().compile(&types).unwrap();
        let (mut out, mut errors) = (OwnedColumn::new(), EventErrors::default());
        program.eval(4, &[&column], &mut out, &mut errors);
        let twice = if matches!(column, Column::Absent) { expected } else { 2.0 * expected };
        assert_eq!(read(&out), vec![Some((DType::U16, vec![], vec![twice])); 4]);
    }
}
