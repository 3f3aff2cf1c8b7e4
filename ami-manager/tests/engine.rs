//! Validation by the real engine, over the schemas of several hosts.

#![allow(clippy::unwrap_used)] // helpers of tests are tests

use ami_graph::data::schema::Schema;
use ami_graph::graph::spec::{GraphSet, GraphSpec};
use ami_graph::plan::limits::Limits;
use ami_manager::trying::Trying;
use ami_manager::validate::{Engine, Strictness, Verdict, World, verdict};
use ami_proto::config::Config;
use ami_python::Python;
use std::sync::Arc;

fn schema(field: &str) -> Arc<Schema> {
    let json = format!(
        r#"{{"fields":[{{"name":"{field}","dtype":"f64","rank":0,"shape":[],"kind":"event"}}]}}"#
    );
    Arc::new(serde_json::from_str(&json).unwrap())
}

fn engine() -> Engine {
    let python = Config::load(None, &[]).unwrap().python;
    let python = Python::new(python, "/nonexistent".as_ref(), "manager");
    let code = Arc::new(Trying::start(python).unwrap());
    Engine { limits: Limits::default(), files: "/nonexistent".into(), code }
}

fn look(nodes: &str, schemas: &[Arc<Schema>]) -> Verdict {
    let spec = GraphSpec::parse(&format!(r#"{{"name":"g","nodes":{nodes}}}"#)).unwrap();
    let set = Arc::new(GraphSet::of(spec));
    verdict(&engine(), &Arc::default(), &set, "g", schemas, Strictness::Graph)
}

const TWO: &str = r#"{"a": {"op": "count", "in": "x:r:f"}, "b": {"op": "count", "in": "y:r:f"}}"#;

#[test]
fn a_field_of_any_host_will_do_and_none_is_an_error() {
    assert_eq!(look(TWO, &[schema("x:r:f"), schema("y:r:f")]), Verdict::default());
    let missing = look(TWO, &[schema("x:r:f")]);
    assert_eq!(missing.errors.len(), 1, "{missing:?}");
    assert_eq!(missing.errors[0].node.as_deref(), Some("b"));
    assert!(missing.errors[0].reason.contains("y:r:f"), "{missing:?}");
    let unknown = look(TWO, &[]);
    assert!(unknown.errors.is_empty() && unknown.warnings[0].contains("no source is known"));
}

#[test]
fn what_needs_no_field_is_looked_at_without_one() {
    let wrong =
        look(r#"{"a": {"op": "cuont", "in": "x:r:f"}, "b": {"op": "count", "in": "b"}}"#, &[]);
    let mut nodes: Vec<_> = wrong.errors.iter().filter_map(|e| e.node.clone()).collect();
    nodes.dedup();
    assert_eq!(nodes, ["a", "b"], "{wrong:?}");
}

#[test]
fn files_are_read_if_they_are_files() {
    assert!(engine().read("/dev/zero").unwrap_err().contains("not a regular file"));
    assert!(engine().read("nothing.npy").unwrap_err().contains("/nothing.npy"));
    assert_eq!(engine().stored(&"0".repeat(64)), None);
}
