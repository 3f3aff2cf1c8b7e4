//! Per-event ops: what they refuse, shapes that vary, and the same answers at either stage.

#![allow(clippy::unwrap_used)] // a test that panics is a test that fails

mod support;

use ami_graph::data::batch::{Batch, Column};
use ami_graph::data::schema::Schema;
use ami_graph::data::value::{Array, DType, Value};
use ami_graph::op::doc::{Class, Form};
use ami_graph::ops::OPS;
use ami_graph::root::{Published, RootStage};
use ami_graph::worker::WorkerStage;
use serde_json::{Value as Json, json};
use support::*;

/// A node that is wrong, the parameter that is said to be, and part of what is said.
const MISTAKES: &[(&str, &str, &str)] = &[
    (r#"{"op": "array_stat", "in": "image", "stat": "percentile"}"#, "q", "is missing"),
    (
        r#"{"op": "array_stat", "in": "image", "stat": "quantile", "q": 50}"#,
        "q",
        "a number from 0e0 to 1e0",
    ),
    (r#"{"op": "project", "in": "image", "stat": "nanmean", "q": 50}"#, "q", "takes no q"),
    (
        r#"{"op": "array_stat", "in": "flag", "stat": "nanquantile", "q": 0.5}"#,
        "in",
        "a quantile of bool has no meaning",
    ),
    (
        r#"{"op": "array_stat", "in": "image", "stat": "nanmeen"}"#,
        "stat",
        "did you mean \"nanmean\"",
    ),
    (r#"{"op": "pixel", "in": "image"}"#, "at", "is missing"),
    (r#"{"op": "pixel", "in": "image", "at": [1]}"#, "at", "1 indices for an input of 2 axes"),
    (r#"{"op": "pixel", "in": "image", "at": [2, 0]}"#, "at", "index 2 lies beyond an axis of 2"),
    (r#"{"op": "pixel", "in": "image", "at": [0.5, 0]}"#, "at", "whole numbers"),
    (r#"{"op": "pixel", "in": "scalar", "at": [0]}"#, "at", "for an input of 0 axes"),
    (r#"{"op": "take", "in": "image"}"#, "index", "is missing"),
    (r#"{"op": "take", "in": "image", "index": "x"}"#, "index", "whole numbers"),
    (r#"{"op": "take", "in": "image", "index": [0, -3]}"#, "index", "index -3 lies beyond"),
    (r#"{"op": "take", "in": "image", "index": 0, "axis": 2}"#, "axis", "there is no axis 2"),
    (r#"{"op": "take", "in": "image", "index": 0, "axis": 9}"#, "axis", "from -5 to 4"),
    (
        r#"{"op": "take", "in": "image", "index": 0, "mode": "warp"}"#,
        "mode",
        "did you mean \"wrap\"",
    ),
    (r#"{"op": "split", "in": "image"}"#, "count", "is missing"),
    (r#"{"op": "split", "in": "image", "count": 3}"#, "count", "3 outputs for an axis of 2"),
    (r#"{"op": "split", "in": "image", "count": 0}"#, "count", "from 1 to 256"),
    (r#"{"op": "split", "in": "waveform", "count": 2, "axis": 1}"#, "axis", "no axis 1"),
    (r#"{"op": "rot90", "in": "waveform"}"#, "axes", "there is no axis 1 in an input of 1"),
    (r#"{"op": "rot90", "in": "image", "axes": [0, -2]}"#, "axes", "axis -2 is named twice"),
    (r#"{"op": "rot90", "in": "image", "axes": [0]}"#, "axes", "give 2 to 2 whole numbers"),
    (r#"{"op": "rot90", "in": "image", "k": "one"}"#, "k", "give a whole number"),
    (r#"{"op": "flip", "in": "image", "axis": 2}"#, "axis", "there is no axis 2"),
    (r#"{"op": "transpose", "in": "image", "axes": [1]}"#, "axes", "1 of 2 axes are named"),
    (r#"{"op": "transpose", "in": "image", "axes": [1, 1]}"#, "axes", "named twice"),
    (r#"{"op": "stack", "in": ["image", "waveform"]}"#, "in", "inputs of 2 and of 1 axes"),
    (
        r#"{"op": "stack", "in": ["scalar", "flag"], "axis": 1}"#,
        "axis",
        "no axis 1 in an output of 1",
    ),
    (r#"{"op": "concatenate", "in": ["scalar", "flag"]}"#, "in", "use `stack`"),
    (r#"{"op": "concatenate", "in": ["image", "waveform"]}"#, "in", "inputs of 2 and of 1 axes"),
    (r#"{"op": "rebin", "in": "image"}"#, "by", "is missing"),
    (r#"{"op": "rebin", "in": "image", "by": [2]}"#, "by", "1 factors for an input of 2 axes"),
    (r#"{"op": "rebin", "in": "image", "by": [2, 4]}"#, "by", "a block of 4 on axis 1 of 3"),
    (r#"{"op": "rebin", "in": "image", "by": [0, 1]}"#, "by", "each from 1"),
    (r#"{"op": "rebin", "in": "image", "by": [1, 1], "stat": "argmax"}"#, "stat", "not accepted"),
    (r#"{"op": "normalize", "in": "image", "by": "input"}"#, "by", "does not go with the inputs"),
    (r#"{"op": "normalize", "in": ["image", "scalar"], "by": "sum"}"#, "by", "give the input"),
    (r#"{"op": "normalize", "in": "image", "by": "area"}"#, "by", "sum"),
    (
        r#"{"op": "normalize", "in": ["image", "waveform"], "by": "nrom"}"#,
        "by",
        "did you mean \"norm\"",
    ),
    (r#"{"op": "diff", "in": "scalar"}"#, "axis", "there is no axis -1"),
    (r#"{"op": "cumsum", "in": "image", "axis": 2}"#, "axis", "there is no axis 2"),
    (r#"{"op": "interp", "in": "waveform"}"#, "grid", "is missing"),
    (r#"{"op": "interp", "in": "waveform", "grid": []}"#, "grid", "give 1 to"),
    (r#"{"op": "interp", "in": "waveform", "grid": {"start": 0, "stop": 1}}"#, "grid", "\"n\""),
    (r#"{"op": "interp", "in": "image", "grid": [0]}"#, "in", "not an array of 1 axis"),
    (r#"{"op": "combinations", "in": "image"}"#, "in", "not an array of 1 axis"),
    (r#"{"op": "combinations", "in": "waveform", "length": 9}"#, "length", "from 1 to 8"),
    (r#"{"op": "select", "in": "scalar"}"#, "cases", "is missing"),
    (r#"{"op": "select", "in": "scalar", "cases": []}"#, "cases", "1 to 64"),
    (r#"{"op": "select", "in": "scalar", "cases": [{"when": "scalar"}]}"#, "cases", "\"out\""),
    (
        r#"{"op": "select", "in": "scalar", "cases": [{"when": "scalr > 1", "out": {"a": "scalar"}}]}"#,
        "cases[0].when",
        "did you mean \"scalar\"",
    ),
    (
        r#"{"op": "select", "in": "scalar", "cases": [{"when": "1", "out": {"a": "sqr(scalar)"}}]}"#,
        "cases[0].out.a",
        "column 1",
    ),
    (
        r#"{"op": "select", "in": "scalar", "cases": [{"when": "1", "out": {"a.b": "scalar"}}]}"#,
        "cases[0].out",
        "output names",
    ),
    (
        r#"{"op": "select", "in": "image", "cases": [{"when": "image", "out": {"a": 1}}]}"#,
        "cases[0].when",
        "not one number or bool",
    ),
    (
        r#"{"op": "select", "in": "image", "cases": [{"when": "1", "out": {"a": 1}}], "else": {"a": "image"}}"#,
        "cases",
        "in one case",
    ),
    (
        r#"{"op": "select", "in": "image", "cases": [{"when": "1", "out": {"a": 1}}], "else": {}}"#,
        "else",
        "not accepted",
    ),
];

#[test]
fn mistakes_name_node_and_parameter_and_say_what_fits() {
    for (node, parameter, wanted) in MISTAKES {
        let plan = plan(&format!(r#"{{"name": "g", "nodes": {{"n": {node}}}}}"#));
        let errors = plan.errors();
        assert_eq!(errors.len(), 1, "{node}: {errors:?}");
        let text = errors[0].to_string();
        assert_eq!(errors[0].parameter.as_deref(), Some(*parameter), "{node}: {text}");
        assert!(text.contains(wanted), "{node}: {text}");
        assert!(!errors[0].hint.is_empty(), "{node}: {text}");
    }
}

/// An event whose waveform is as long as asked for.
fn wave(time: u64, length: i32) -> Event {
    Event { waveform: Some((0..length).collect()), ..only(time, time as f64) }
}

/// The heartbeat of a graph of one node, and how many events failed in it.
fn beat(node: &Json, events: &[Event]) -> (Vec<Published>, u64) {
    let graph = json!({"name": "g", "nodes": {"n": node}}).to_string();
    let plan = good_plan(&graph);
    let mut root = RootStage::new(plan.clone());
    let published = root.close(&frame(1, events.len() as u64), partial(&plan, 0, 0, events));
    (published, root.reports().iter().map(|r| r.errors).sum())
}

#[test]
fn shapes_may_vary_from_event_to_event() {
    let waves: Vec<Event> = (0..4).map(|n| wave(n as u64, n)).collect();
    // A node, how many of waveforms of 0 to 3 elements fail, and what is made of the longest.
    let cases = [
        (json!({"op": "pixel", "at": [1]}), 2, vec![1.0]),
        (json!({"op": "take", "index": [1, 0]}), 2, vec![1.0, 0.0]),
        (json!({"op": "take", "index": 9, "mode": "clip"}), 1, vec![2.0]),
        (json!({"op": "flip"}), 0, vec![2.0, 1.0, 0.0]),
        (json!({"op": "concatenate"}), 0, vec![0.0, 1.0, 2.0]),
        (json!({"op": "stack"}), 0, vec![0.0, 1.0, 2.0]),
    ];
    for (mut node, failing, wanted) in cases {
        node["in"] = json!("waveform");
        let (published, failed) = beat(&node, &waves);
        assert_eq!(failed, failing, "{node}");
        assert_eq!(numbers(&output(&published, "g/n", "value")), wanted, "{node}");
    }
    let (published, failed) = beat(&json!({"op": "split", "in": "waveform", "count": 2}), &waves);
    assert_eq!((failed, numbers(&output(&published, "g/n", "value1"))), (3, vec![1.0]));
}

/// A node whose inputs are what `from` makes of them.
fn rewired(example: &str, from: impl Fn(&str) -> String) -> Json {
    let mut node: Json = serde_json::from_str(example).unwrap();
    for key in ["in", "with"] {
        match &mut node[key] {
            Json::String(name) => *name = from(name),
            Json::Array(names) => {
                names.iter_mut().for_each(|n| *n = json!(from(n.as_str().unwrap())));
            }
            Json::Object(map) => {
                map.values_mut().for_each(|n| *n = json!(from(n.as_str().unwrap())));
            }
            _ => {
                node.as_object_mut().unwrap().remove(key);
            }
        }
    }
    node
}

/// An event on which every example gives something.
fn event_of_examples() -> Event {
    Event {
        time: 1,
        scalar: Some(2.5),
        flag: Some(1),
        waveform: Some(vec![0, 1, 2, 6, 3, 1, 0, -1]),
        image: Some([9, 2, 6, 5, 3, 8]),
    }
}

#[test]
fn where_an_input_is_absent_so_are_the_outputs_and_only_there() {
    let full = event_of_examples();
    let without = [
        ("scalar", Event { time: 2, scalar: None, ..full.clone() }),
        ("flag", Event { time: 2, flag: None, ..full.clone() }),
        ("waveform", Event { time: 2, waveform: None, ..full.clone() }),
        ("image", Event { time: 2, image: None, ..full.clone() }),
    ];
    for op in OPS.iter().map(|op| op.doc()).filter(|op| op.class == Class::PerEvent) {
        let used = std::cell::RefCell::new(Vec::new());
        let node = rewired(op.example, |name| {
            used.borrow_mut().push(name.to_owned());
            name.to_owned()
        });
        let graph = json!({"name": "g", "nodes": {"n": node}}).to_string();
        let values = |events: &[Event]| {
            let published = once(&graph, events);
            published.into_iter().map(|p| (p.error, p.arrays, p.values)).collect::<Vec<_>>()
        };
        let alone = values(std::slice::from_ref(&full));
        for (_, event) in without.iter().filter(|(name, _)| used.borrow().iter().any(|u| u == name))
        {
            let nothing = values(std::slice::from_ref(event));
            assert!(nothing.is_empty(), "{} of {event:?}: {nothing:?}", op.name);
            for events in [[full.clone(), event.clone()], [event.clone(), full.clone()]] {
                assert_eq!(values(&events), alone, "{} of {events:?}", op.name);
            }
        }
    }
}

#[test]
fn results_at_the_root_are_those_on_workers() {
    let event = event_of_examples();
    for op in OPS.iter().map(|op| op.doc()) {
        if op.class != Class::PerEvent || op.form == Form::None {
            continue;
        }
        let mut nodes = serde_json::Map::new();
        for field in ["scalar", "flag", "waveform", "image"] {
            nodes.insert(format!("{field}_"), json!({"op": "last", "in": field}));
        }
        nodes.insert("worker".into(), rewired(op.example, str::to_owned));
        nodes.insert("root".into(), rewired(op.example, |field| format!("{field}_")));
        let graph = json!({"name": "g", "nodes": nodes, "publish": ["worker", "root"]}).to_string();
        let published = once(&graph, std::slice::from_ref(&event));
        let find = |topic| published.iter().find(|p: &&Published| p.topic == topic);
        let (Some(worker), Some(root)) = (find("g/worker"), find("g/root")) else {
            panic!("{} gave nothing", op.name)
        };
        assert_eq!(worker.error, None, "{}", op.name);
        assert!(worker.arrays.len() + worker.values.len() > 0, "{}", op.name);
        assert_eq!(worker.arrays, root.arrays, "{}", op.name);
        assert_eq!(worker.values, root.values, "{}", op.name);
    }
}

/// The values that each output of a `select` has in the events in which it has one.
fn routed(node: Json, outputs: &[&str], events: &[Event]) -> Vec<Vec<f64>> {
    let mut nodes = json!({"n": node});
    for output in outputs {
        nodes[output] = json!({"op": "buffer", "in": format!("n.{output}")});
    }
    let publish: Vec<String> = outputs.iter().map(|&o| o.to_owned()).collect();
    let graph = json!({"name": "g", "nodes": nodes, "publish": publish}).to_string();
    let published = once(&graph, events);
    let of = |o: &&str| {
        let topic = format!("g/{o}");
        let there = has_output(&published, &topic, "value");
        if there { numbers(&output(&published, &topic, "value")) } else { Vec::new() }
    };
    outputs.iter().map(of).collect()
}

#[test]
fn the_first_case_that_holds_is_taken() {
    let events: Vec<Event> = (0..8)
        .map(|i| Event {
            flag: (i != 6).then_some((i % 2) as u8),
            waveform: (i > 2).then(|| vec![i; 2]),
            ..only(i as u64, f64::from(i))
        })
        .collect();
    let node = json!({"op": "select",
        "in": {"x": "scalar", "w": "waveform"}, "with": {"laser": "flag"},
        "cases": [
            {"when": "x < 2", "out": {"a": "x", "b": 1}},
            {"when": "laser == 1", "out": {"b": "x * 10", "c": "sum(w)"}},
            {"when": "x == 4", "out": {"c": "w[1]"}}],
        "else": {"a": "-x", "d": "w[5]"}});
    let all = routed(node, &["a", "b", "c"], &events);
    // Event 6 has no laser, so that nothing is known of it; 3 to 7 have a waveform.
    assert_eq!(all[0], [0.0, 1.0, -2.0]);
    assert_eq!(all[1], [1.0, 1.0, 30.0, 50.0, 70.0]);
    assert_eq!(all[2], [6.0, 4.0, 10.0, 14.0]);
}

#[test]
fn a_case_not_taken_neither_fails_nor_counts() {
    let events: Vec<Event> = (1..4).map(|n| wave(n as u64, n)).collect();
    let node = json!({"op": "select", "in": {"w": "waveform"},
        "cases": [{"when": "len(w) > 2", "out": {"value": "w[2]"}}],
        "else": {"value": "w[1]"}});
    // Only the waveform of one element has no w[1].
    let (published, failed) = beat(&node, &events);
    assert_eq!((failed, numbers(&output(&published, "g/n", "value"))), (1, vec![2.0]));
    let (published, _) = beat(&node, &events[..2]);
    assert_eq!(numbers(&output(&published, "g/n", "value")), [1.0]);
}

#[test]
fn arrays_texts_and_constants_are_routed_too() {
    let events: Vec<Event> =
        (0..4).map(|i| Event { image: Some([i; 6]), ..only(u64::from(i), f64::from(i)) }).collect();
    let node = json!({"op": "select", "in": {"x": "scalar", "img": "image"},
        "cases": [{"when": "x == 1", "out": {"value": "img * 0.5"}},
                  {"when": "x == 2", "out": {"value": "img"}},
                  {"when": "1 > 2", "out": {"value": "img - img"}}]});
    let all = routed(node, &["value"], &events);
    assert_eq!(all[0], [[0.5; 6], [2.0; 6]].concat());
    let mut schema = schema();
    schema.fields.push(field("state", ami_graph::data::value::DType::Str, None, 0));
    let graph = json!({"name": "g", "nodes": {"n": {"op": "select",
        "in": {"s": "state"}, "cases": [{"when": "s == 'on'", "out": {"value": "s"}}]}}});
    let plan = plan_with(&graph.to_string(), schema);
    assert!(plan.errors().is_empty(), "{}", plan.errors()[0]);
    let texts = Column::Strings(vec![Some("on"), Some("off"), None]);
    let mut columns = vec![Column::Absent; 4];
    columns.push(texts);
    let mut worker = ami_graph::worker::WorkerStage::new(plan.clone());
    worker.absorb(&Batch {
        host: 0,
        belonging: Default::default(),
        first_sequence: 0,
        timestamps: &[1, 2, 3],
        columns,
    });
    let published = RootStage::new(plan).close(&frame(1, 3), worker.take());
    assert_eq!(output(&published, "g/n", "value"), Value::Str("on".into()));
}

#[test]
fn shapes_are_known_beforehand_where_the_inputs_are() {
    // A node on the 2×3 image, and the shape of its first output.
    let cases = [
        (json!({"op": "take", "index": [0, 0, 1], "axis": 1}), json!([2, 3])),
        (json!({"op": "take", "index": 0, "axis": 1}), json!([2])),
        (json!({"op": "pixel", "at": [0, 0]}), json!([])),
        (json!({"op": "rot90"}), json!([3, 2])),
        (json!({"op": "rot90", "k": 2}), json!([2, 3])),
        (json!({"op": "flip"}), json!([2, 3])),
        (json!({"op": "transpose"}), json!([3, 2])),
        (json!({"op": "stack", "axis": -1}), json!([2, 3, 1])),
        (json!({"op": "concatenate"}), json!([2, 3])),
        (json!({"op": "split", "count": 3, "axis": 1}), json!([2])),
        (json!({"op": "rebin", "by": [1, 2]}), json!([2, 1])),
        (json!({"op": "normalize"}), json!([2, 3])),
        (json!({"op": "diff"}), json!([2, 2])),
        (json!({"op": "cumsum", "axis": 0}), json!([2, 3])),
    ];
    for (mut node, shape) in cases {
        node["in"] = json!("image");
        let graph = json!({"name": "g", "nodes": {"n": node}}).to_string();
        let features = good_plan(&graph).features();
        assert_eq!(json!(features[0].outputs[0].shape), shape, "{node}");
    }
}

/// Arrays of float64 of one event, as a field without a fixed shape.
fn hostile(shape: &[usize], value: impl Fn(usize) -> f64) -> Array {
    let values: Vec<f64> = (0..shape.iter().product()).map(value).collect();
    Array::from_elements(shape, &values)
}

#[test]
fn no_value_crashes_an_op() {
    let values: [&dyn Fn(usize) -> f64; 8] = [
        &|_| f64::NAN,
        &|_| f64::INFINITY,
        &|i| if i % 2 == 0 { f64::MAX } else { f64::MIN },
        &|_| 5e-324,
        &|_| 0.0,
        &|i| (i as f64) * 1e200,
        &|i| (i as f64 * 0.7).sin() * 1e155,
        &|i| if i == 3 { f64::NEG_INFINITY } else { i as f64 },
    ];
    let all = |shapes: &[&[usize]]| -> Vec<Option<Array>> {
        let each = |shape: &&[usize]| values.map(|value| Some(hostile(shape, value)));
        shapes.iter().flat_map(each).collect()
    };
    let waves = all(&[&[0], &[1], &[2], &[8], &[100]]);
    let images = all(&[&[0, 0], &[0, 3], &[2, 0], &[1, 1], &[20, 30]]);
    let scalars: Vec<f64> = (0..waves.len()).map(|i| values[i % values.len()](i)).collect();
    let times: Vec<u64> = (0..waves.len() as u64).collect();
    let fields = vec![
        field("scalar", DType::F64, None, 0),
        field("flag", DType::F64, None, 0),
        field("waveform", DType::F64, None, 1),
        field("image", DType::F64, None, 2),
    ];
    for op in engine_ops() {
        let node: Json = serde_json::from_str(op.example).unwrap();
        let graph = json!({"name": "g", "nodes": {"n": node}}).to_string();
        let plan = plan_with(&graph, Schema { fields: fields.clone() });
        assert!(plan.errors().is_empty(), "{}", plan.errors()[0]);
        let data = bytemuck::cast_slice(&scalars);
        let scalar = Column::Scalars { dtype: DType::F64, data, present: None };
        let columns =
            vec![scalar.clone(), scalar, arrays(DType::F64, &waves), arrays(DType::F64, &images)];
        let mut worker = WorkerStage::new(plan.clone());
        worker.absorb(&Batch {
            host: 0,
            belonging: Default::default(),
            first_sequence: 0,
            timestamps: &times,
            columns,
        });
        RootStage::new(plan).close(&frame(1, times.len() as u64), worker.take());
    }
}
