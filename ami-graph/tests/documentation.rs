//! What is told about operations is what the table says: the page in `docs` and the JSON Schema.

#![allow(clippy::unwrap_used)] // a test that panics is a test that fails

mod support;

use ami_graph::data::files::{Files, MARK};
use ami_graph::data::schema::Schema;
use ami_graph::data::value::DType;
use ami_graph::graph::spec::GraphSpec;
use ami_graph::op::doc::Class;
use ami_graph::ops::{OPS, markdown};
use serde_json::{Value as Json, json};
use support::*;

#[test]
fn the_page_of_operations_is_current() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/operations.md");
    let page = std::fs::read_to_string(path).unwrap_or_default();
    for picture in page.split("](pictures/").skip(1).filter_map(|rest| rest.split(')').next()) {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/pictures/").to_owned() + picture;
        assert!(std::fs::exists(&path).unwrap(), "{path}");
    }
    assert!(
        page == markdown(),
        "docs/operations.md is stale; run: cargo run -p ami-ctl -- ops --markdown > docs/operations.md"
    );
}

#[test]
fn the_schema_of_graphs_has_every_operation() {
    let schema = GraphSpec::json_schema();
    assert_eq!(schema["properties"]["nodes"]["additionalProperties"]["$ref"], "#/$defs/NodeSpec");
    let nodes = schema["$defs"]["NodeSpec"]["oneOf"].as_array().unwrap();
    assert_eq!(nodes.len(), OPS.len());
    for (node, doc) in nodes.iter().zip(OPS.iter().map(|op| op.doc())) {
        assert_eq!(node["properties"]["op"]["const"], doc.name);
        let known = node["properties"].as_object().unwrap();
        assert_eq!(known.contains_key("window"), doc.class != Class::PerEvent, "{}", doc.name);
        let example: Json = serde_json::from_str(doc.example).unwrap();
        let given = example.as_object().unwrap();
        assert!(given.keys().all(|key| known.contains_key(key)), "{}", doc.name);
        let required = node["required"].as_array().unwrap();
        assert!(required.iter().all(|k| given.contains_key(k.as_str().unwrap())), "{}", doc.name);
        for (name, parameter) in known {
            let (words, default) = (parameter["enum"].as_array(), parameter.get("default"));
            if let (Some(words), Some(default)) = (words, default) {
                assert!(words.contains(default), "{} {name}: {words:?}", doc.name);
            }
        }
    }
}

/// The nodes in the page from AMI2's nodes to ours: inline code that holds an op.
fn snippets(page: &str) -> Vec<Json> {
    let inline = page.split('`').skip(1).step_by(2);
    let written = inline.filter(|text| text.starts_with('{') && text.contains("\"op\": \""));
    let json = |text: &str| serde_json::from_str(text).unwrap_or_else(|e| panic!("{text}: {e}"));
    written.map(json).collect()
}

#[test]
fn every_node_for_users_of_ami2_runs() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/from-ami2.md");
    let snippets = snippets(&std::fs::read_to_string(path).unwrap());
    assert!(snippets.len() > 60, "{}", snippets.len());
    let geometry = b"p/min_fs = 0\np/max_fs = 19\np/min_ss = 0\np/max_ss = 15\np/fs = +1.0x\n\
        p/ss = +1.0y\np/corner_x = 0\np/corner_y = 0\n";
    let files = Files::from([
        ("mask.npy".to_owned(), npy(&[16, 20])),
        ("pixels.npy".to_owned(), npy(&[2, 16, 20])),
        ("detector.geom".to_owned(), geometry.to_vec()),
    ]);
    for snippet in snippets {
        let one = snippet["op"].is_string();
        let nodes = if one { json!({"n": snippet}) } else { snippet };
        let mut graph = json!({"name": "g", "nodes": nodes}).to_string();
        for name in files.keys() {
            graph = graph.replace(name, &format!("{name}{MARK}{name}"));
        }
        let fields = vec![
            field("x", DType::F64, None, 0),
            field("y", DType::F64, None, 0),
            field("laser", DType::Bool, None, 0),
            field("waveform", DType::F32, Some(&[64]), 1),
            field("waveform2", DType::F32, Some(&[64]), 1),
            field("hits", DType::F64, None, 1),
            field("pair", DType::F64, Some(&[2]), 1),
            field("image", DType::U16, Some(&[16, 20]), 2),
        ];
        let plan = plan_with_files(&graph, Schema { fields }, files.clone());
        assert!(plan.errors().is_empty(), "{graph}: {}", plan.errors()[0]);
    }
}
