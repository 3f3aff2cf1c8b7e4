//! How long a graph of 200 nodes takes from its text to stages that run: 10 ms are the goal.
//!
//! `cargo bench -p ami-graph --bench plan`; an iteration is the whole graph.

use ami_graph::data::schema::{Field, Kind, Schema};
use ami_graph::data::value::DType;
use ami_graph::graph::spec::{GraphSet, GraphSpec};
use ami_graph::plan::Plan;
use ami_graph::plan::limits::Limits;
use ami_graph::root::RootStage;
use ami_graph::worker::WorkerStage;
use serde_json::{Map, json};
use std::sync::Arc;

/// Each makes five nodes.
const CHAINS: usize = 40;

/// A region of an image, its signal, the signal of chosen events, and two reductions of it.
fn text() -> String {
    let mut nodes = Map::new();
    for k in 0..CHAINS {
        let (roi, signal) = (format!("roi{k}"), format!("signal{k}"));
        let mut put = |name: String, node| nodes.insert(name, node);
        put(roi.clone(), json!({"op": "roi", "in": "img", "x": [k, k + 64], "y": [0, 64]}));
        let inputs = json!({"img": roi, "i0": "x"});
        put(signal.clone(), json!({"op": "expr", "in": inputs, "expr": "sum(img) / i0"}));
        let gate = json!({"op": "gate", "in": signal, "with": {"k": "k"}, "when": "k == 1"});
        put(format!("on{k}"), gate);
        let inputs = json!({"key": "y", "value": format!("on{k}")});
        let scan = json!({"op": "profile", "in": inputs, "bins": 50, "range": [-1, 4]});
        put(format!("scan{k}"), scan);
        let window = json!({"heartbeats": 5});
        put(format!("hist{k}"), json!({"op": "hist", "in": signal, "bins": 100, "window": window}));
    }
    json!({"name": "g", "nodes": nodes}).to_string()
}

fn schema() -> Arc<Schema> {
    let field = |name: &str, dtype, shape: &[usize]| Field {
        name: name.into(),
        aliases: Vec::new(),
        dtype,
        rank: shape.len(),
        shape: Some(shape.to_vec()),
        kind: Kind::Event,
        labels: Default::default(),
    };
    let scalars = [("x", DType::F64), ("y", DType::F64), ("k", DType::U16)];
    let mut fields: Vec<Field> = scalars.map(|(name, dtype)| field(name, dtype, &[])).into();
    fields.push(field("img", DType::U16, &[1024, 1024]));
    Arc::new(Schema { fields })
}

fn main() {
    divan::main();
}

fn plan(text: &str, schema: &Arc<Schema>) -> Arc<Plan> {
    let set = GraphSet::of(GraphSpec::parse(text).expect("the graph here is good"));
    let plan = Plan::new(Arc::new(set), schema.clone(), &Limits::default());
    assert!(plan.errors().is_empty(), "{}", plan.errors()[0]);
    assert_eq!(plan.nodes().len(), 5 * CHAINS);
    Arc::new(plan)
}

#[divan::bench]
fn text_to_validated_plan(bencher: divan::Bencher<'_, '_>) {
    let (text, schema) = (text(), schema());
    bencher.bench(|| plan(&text, &schema));
}

#[divan::bench]
fn text_to_stages_of_worker_and_root(bencher: divan::Bencher<'_, '_>) {
    let (text, schema) = (text(), schema());
    bencher.bench_local(|| {
        let plan = plan(&text, &schema);
        (WorkerStage::new(plan.clone()), RootStage::new(plan))
    });
}
