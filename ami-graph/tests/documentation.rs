//! What is told about operations is what the table says: the page in `docs` and the JSON Schema.

#![allow(clippy::unwrap_used)] // a test that panics is a test that fails

use ami_graph::ops::{Class, OPS, markdown};
use ami_graph::spec::GraphSpec;
use serde_json::Value as Json;

#[test]
fn the_page_of_operations_is_current() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/operations.md");
    let page = std::fs::read_to_string(path).unwrap_or_default();
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
        assert_eq!(known.contains_key("window"), doc.class == Class::Reduction, "{}", doc.name);
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
