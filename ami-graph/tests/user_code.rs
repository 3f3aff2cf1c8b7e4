//! User code in graphs, run by a stand-in that is not a process: planning, types, parameters, any
//! split, checkpoints, and what becomes of failures. The real one is tested in ami-python.

#![allow(clippy::unwrap_used)] // a test that panics is a test that fails

mod support;

use ami_graph::data::column_views::value_at;
use ami_graph::data::files::Files;
use ami_graph::data::owned_column::{EventErrors, OwnedColumn};
use ami_graph::data::types::Type;
use ami_graph::data::value::{DType, Scalar, Value};
use ami_graph::graph::spec::{GraphSet, GraphSpec};
use ami_graph::op::foreign::{Call, Foreign, UserCode};
use ami_graph::op::plain::Plain;
use ami_graph::plan::{Plan, limits::Limits};
use ami_graph::root::{Frame, Published, RootStage};
use ami_graph::wire::partial::Partial;
use ami_graph::worker::WorkerStage;
use serde_json::{Value as Json, json};
use std::sync::{Arc, Mutex};
use support::*;

/// Runs three pieces of code: `double` (per event), `total` (a reduction whose merge is its own: it
/// keeps a sum) and `report` (after the merge: how often it was told).
#[derive(Debug, Default)]
struct StandIn {
    loaded: Mutex<Vec<String>>,
    told: Mutex<u64>,
}

fn number(column: &ami_graph::data::batch::Column<'_>, event: usize) -> f64 {
    match value_at(column, event) {
        Some(Value::Scalar(scalar)) => scalar.as_f64(),
        other => panic!("{other:?}"),
    }
}

fn state(sum: f64) -> Plain {
    let text = r#"{"sum": {"$": [0, "f8", null]}}"#;
    let mut bytes = (text.len() as u32).to_le_bytes().to_vec();
    bytes.extend(text.as_bytes());
    bytes.resize(bytes.len().next_multiple_of(16), 0);
    bytes.extend(sum.to_le_bytes());
    Plain::new(bytes).unwrap()
}

fn sum_of(state: &Plain) -> f64 {
    f64::from_le_bytes(*state.bytes().last_chunk::<8>().unwrap())
}

impl Foreign for StandIn {
    fn load(&self, code: &Arc<UserCode>, inputs: &[Type], _: &str) -> Result<(), String> {
        assert_eq!(inputs.len(), 1);
        self.loaded.lock().unwrap().push(format!("{code:?} {}", Json::Object(code.params.clone())));
        if code.source.contains("import nothing") {
            Err("no module nothing".into())
        } else {
            Ok(())
        }
    }

    fn events(
        &self,
        code: &Arc<UserCode>,
        call: Call<'_>,
        outputs: &mut [OwnedColumn],
        errors: &mut EventErrors,
    ) {
        let factor = code.params["factor"].as_f64().unwrap();
        outputs[0].start_pushed_scalars(DType::F64);
        for event in 0..call.events {
            if call.mask.is_some_and(|mask| mask[event] == 0) {
                outputs[0].push_absent();
            } else if number(call.columns[0], event) == 13.0 {
                errors.record(|| "ValueError: thirteen (hits.py:3)".into());
                outputs[0].push_absent();
            } else {
                outputs[0].push_scalar(Scalar::F64(factor * number(call.columns[0], event)));
            }
        }
    }

    fn absorb(
        &self,
        _: &Arc<UserCode>,
        before: Option<Plain>,
        call: Call<'_>,
        _: &mut EventErrors,
    ) -> Result<Plain, String> {
        let taking_part = (0..call.events).filter(|&i| call.mask.is_none_or(|mask| mask[i] != 0));
        let sum: f64 = taking_part.map(|i| number(call.columns[0], i)).sum();
        Ok(state(before.map_or(0.0, |state| sum_of(&state)) + sum))
    }

    fn merge(&self, _: &Arc<UserCode>, states: &[Plain]) -> Result<Plain, String> {
        assert!(states.len() > 1);
        Ok(state(states.iter().map(sum_of).sum()))
    }

    fn finish(
        &self,
        _: &Arc<UserCode>,
        state: &Plain,
        outputs: &mut [OwnedColumn],
    ) -> Result<(), String> {
        if sum_of(state) < 0.0 {
            return Err("ValueError: negative".into());
        }
        outputs[0].start_pushed_scalars(DType::F64);
        outputs[0].push_scalar(Scalar::F64(sum_of(state)));
        Ok(())
    }

    fn update(
        &self,
        _: &Arc<UserCode>,
        frame: &Frame,
        call: Call<'_>,
        outputs: &mut [OwnedColumn],
    ) -> Result<Option<u64>, String> {
        let mut told = self.told.lock().unwrap();
        *told += 1;
        outputs[0].start_pushed_scalars(DType::F64);
        let value = number(call.columns[0], 0) + 1000.0 * frame.heartbeat as f64;
        outputs[0].push_scalar(Scalar::F64(value));
        Ok(Some(frame.heartbeat))
    }
}

/// A code file as the manager puts it into a graph set.
fn described(kind: &str, name: &str, merge: &str) -> String {
    let description = json!({
        "kind": kind, "name": name, "inputs": ["x"],
        "outputs": [{"name": "value", "dtype": "f8", "shape": null}],
        "params": [{"name": "factor", "default": 2.0, "type": "number", "doc": ""}],
        "merge": merge,
    });
    format!("{description}\ndef {name}(x): ...\n")
}

const HASHES: [&str; 4] = ["aa", "bb", "cc", "dd"];

fn files() -> Files {
    let broken = described("per_event", "double", "add") + "import nothing";
    let contents = [
        described("per_event", "double", "add"),
        described("reduction", "total", "custom"),
        described("root", "report", "add"),
        broken,
    ];
    HASHES.iter().zip(contents).map(|(h, c)| ((*h).to_owned(), c.into_bytes())).collect()
}

fn code(place: usize, more: Json) -> Json {
    let code = format!("/home/me/hits.py:it#sha256={}", HASHES[place]);
    let mut node = json!({"op": "python", "in": "scalar", "code": code});
    node.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    node
}

fn planned(nodes: Json, runner: Option<Arc<StandIn>>) -> Arc<Plan> {
    let graph = json!({"name": "g", "nodes": nodes}).to_string();
    let set = GraphSet { files: files(), ..GraphSet::of(GraphSpec::parse(&graph).unwrap()) };
    let runner = runner.map(|runner| runner as Arc<dyn Foreign>);
    Arc::new(Plan::with_code(Arc::new(set), Arc::new(schema()), &Limits::default(), runner))
}

fn running(nodes: Json) -> Arc<Plan> {
    let plan = planned(nodes, Some(Arc::default()));
    assert!(plan.errors().is_empty(), "{}", plan.errors()[0]);
    plan
}

fn fault(nodes: Json) -> String {
    let plan = planned(nodes, Some(Arc::default()));
    plan.errors().first().map(ToString::to_string).unwrap_or_default()
}

fn events(numbers: &[f64]) -> Vec<Event> {
    numbers.iter().enumerate().map(|(i, &x)| only(i as u64, x)).collect()
}

/// Over so many lanes, and as a host collector would carry it: merged without what runs the code.
fn split(plan: &Arc<Plan>, events: &[Event], lanes: usize) -> Partial {
    let mut workers: Vec<WorkerStage> =
        (0..lanes).map(|_| WorkerStage::new(plan.clone())).collect();
    for (u, unit) in events.chunks(3).enumerate() {
        workers[u % lanes].absorb(&Unit::new(0, 3 * u as u64, unit).batch());
    }
    let mut merged = Partial::empty();
    for mut worker in workers {
        merged.merge(carried(worker.take())).unwrap();
    }
    carried(merged)
}

fn value(published: &[Published], topic: &str) -> f64 {
    numbers(&output(published, topic, "value"))[0]
}

#[test]
fn an_event_in_which_the_code_raises_has_no_value_and_is_counted() {
    let sum = json!({"op": "sum", "in": "d"});
    let plan = running(json!({"d": code(0, json!({"params": {"factor": 10}})), "sum": sum}));
    let mut root = RootStage::new(plan.clone());
    let events = events(&[1.0, 13.0, 2.0, 13.0]);
    let published = root.close(&frame(1, 4), split(&plan, &events, 2));
    assert_eq!(value(&published, "g/sum"), 30.0);
    let report = &root.reports().iter().find(|r| r.errors > 0).unwrap();
    assert_eq!((report.errors, &report.message[..]), (2, "ValueError: thirteen (hits.py:3)"));
}

#[test]
fn a_reduction_with_a_merge_of_its_own_is_the_same_for_any_split_and_after_a_checkpoint() {
    let nodes = json!({"t": code(1, json!({})), "beat": code(1, json!({"window": "heartbeat"}))});
    for lanes in [1, 2, 3, 7] {
        let plan = running(nodes.clone());
        let mut root = RootStage::new(plan.clone());
        let numbers: Vec<f64> = (0..40).map(f64::from).collect();
        for (beat, numbers) in numbers.chunks(20).enumerate() {
            let beat = frame(1 + beat as u64, 20);
            let published = root.close(&beat, split(&plan, &events(numbers), lanes));
            assert_eq!(value(&published, "g/beat"), numbers.iter().sum::<f64>());
            root = RootStage::restore(plan.clone(), &root.save().concat()).unwrap();
        }
        let published = root.again(&frame(2, 20));
        assert_eq!(value(&published, "g/t"), 780.0, "{lanes} lanes");
    }
}

#[test]
fn a_finish_that_raises_is_an_error_of_the_feature() {
    let plan = running(json!({"t": code(1, json!({}))}));
    let mut root = RootStage::new(plan.clone());
    root.close(&frame(1, 1), split(&plan, &events(&[-1.0]), 1));
    assert_eq!(root.failures()[0].1, "finish: ValueError: negative");
}

#[test]
fn code_on_results_is_told_each_heartbeat() {
    let mean = json!({"op": "mean", "in": "scalar"});
    let plan = running(json!({"m": mean, "r": code(2, json!({"in": "m"}))}));
    let mut root = RootStage::new(plan.clone());
    let published = root.close(&frame(7, 2), split(&plan, &events(&[1.0, 3.0]), 1));
    assert_eq!(value(&published, "g/r"), 7002.0);
    let fault = fault(json!({"r": code(2, json!({}))}));
    assert!(fault.contains("works on results"), "{fault}");
}

#[test]
fn code_is_loaded_with_all_its_parameters_where_it_runs_and_only_there() {
    let runner = Arc::new(StandIn::default());
    planned(json!({"d": code(0, json!({}))}), Some(runner.clone()));
    let loaded = runner.loaded.lock().unwrap().clone();
    assert_eq!(loaded[0], r#"hits.py:double in default {"factor":2.0}"#);
    let elsewhere = planned(json!({"d": code(3, json!({}))}), None);
    assert!(elsewhere.errors().is_empty(), "a process that only plans loads nothing");
    let fault = fault(json!({"d": code(3, json!({}))}));
    assert!(fault.contains("no module nothing"), "{fault}");
}

#[test]
fn what_does_not_fit_the_signature_is_refused() {
    let cases = [
        (code(0, json!({"params": {"facto": 1}})), "did you mean \"factor\""),
        (code(0, json!({"params": {"factor": "a"}})), "give a number"),
        (code(0, json!({"params": 3})), "give a map"),
        (code(0, json!({"in": {"y": "scalar"}})), "input \"x\" is missing"),
        (code(0, json!({"in": ["scalar", "flag"]})), "2 inputs are given, 1 taken"),
        (code(0, json!({"window": "run"})), "the code is no reduction"),
        (code(0, json!({"timeout_ms": 0})), "1 to 600000"),
        (json!({"op": "python", "in": "scalar", "code": "hits.py:it"}), "not in the graph set"),
    ];
    for (node, expected) in cases {
        let fault = fault(json!({"d": node}));
        assert!(fault.contains(expected), "{fault}");
    }
}

#[test]
fn other_code_or_parameters_begin_anew_and_the_same_go_on() {
    let plan = running(json!({"t": code(1, json!({}))}));
    let mut root = RootStage::new(plan.clone());
    root.close(&frame(1, 1), split(&plan, &events(&[5.0]), 1));
    let same = running(json!({"t": code(1, json!({})), "n": {"op": "count", "in": "scalar"}}));
    root.update(same.clone());
    assert_eq!(value(&root.close(&frame(2, 1), split(&same, &events(&[1.0]), 1)), "g/t"), 6.0);
    let other = running(json!({"t": code(1, json!({"params": {"factor": 3}}))}));
    root.update(other.clone());
    assert_eq!(value(&root.close(&frame(3, 1), split(&other, &events(&[1.0]), 1)), "g/t"), 1.0);
}
