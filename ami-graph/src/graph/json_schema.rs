//! The JSON Schema of graphs, with every operation's inputs and parameters, from the table.

use crate::graph::spec::GraphSpec;
use crate::graph::window::MAX_SECONDS;
use crate::op::doc::{Class, Form, OpDoc, ParamDoc};
use crate::ops::OPS;
use serde_json::{Map, Value as Json, json};

/// The schema of a graph: the shape of the document from its types, that of a node from the table
/// of operations.
pub fn graph() -> Json {
    let mut schema = schemars::schema_for!(GraphSpec).to_value();
    schema["title"] = json!("A graph of ami");
    schema["$defs"]["NodeSpec"] = json!({
        "description": "One use of an operation. Parameters stand beside `op`.",
        "type": "object",
        "required": ["op"],
        "properties": {"op": {"enum": OPS.iter().map(|op| op.doc().name).collect::<Vec<_>>()}},
        "oneOf": OPS.iter().map(|op| node(op.doc())).collect::<Vec<_>>(),
    });
    schema["$defs"]["Window"] = window();
    schema
}

fn node(doc: &OpDoc) -> Json {
    let mut properties = Map::new();
    let mut required = vec!["op"];
    properties.insert("op".into(), json!({"const": doc.name}));
    if let Some(inputs) = inputs(doc.form) {
        properties.insert("in".into(), inputs);
        // What an expression uses may all be named by `with`, or be nothing.
        if doc.form != Form::Named {
            required.push("in");
        }
    }
    if doc.with {
        let names = json!({"type": "object", "additionalProperties": {"type": "string"},
                           "description": "Further inputs for the expressions, by name."});
        properties.insert("with".into(), names);
    }
    if doc.class != Class::PerEvent {
        properties.insert("window".into(), json!({"$ref": "#/$defs/Window"}));
    }
    for param in doc.params {
        properties.insert(param.name.into(), parameter(param));
        if param.default.is_empty() {
            required.push(param.name);
        }
    }
    json!({"title": doc.name, "description": format!("{}. {}", doc.summary, doc.text),
           "type": "object", "properties": properties, "required": required,
           "additionalProperties": false, "examples": [serde_json::from_str::<Json>(doc.example).unwrap_or_default()]})
}

fn inputs(form: Form) -> Option<Json> {
    let name = json!({"type": "string", "description": "A field, a node, or node.output."});
    let map = |properties: Map<String, Json>, required: Vec<&str>, free: Json| {
        json!({"type": "object", "properties": properties, "required": required,
               "additionalProperties": free})
    };
    match form {
        Form::None => None,
        Form::Fixed(docs) => {
            let properties = docs
                .iter()
                .map(|d| (d.name.to_owned(), json!({"type": "string", "description": d.doc})));
            let required: Vec<&str> = docs.iter().filter(|d| d.required).map(|d| d.name).collect();
            let list = json!({"type": "array", "items": name, "minItems": required.len(),
                              "maxItems": docs.len()});
            let alone = (required.len() <= 1).then(|| name.clone());
            let map = map(properties.collect(), required, json!(false));
            let forms: Vec<Json> = alone.into_iter().chain([list, map]).collect();
            Some(json!({"anyOf": forms}))
        }
        Form::Values | Form::Named => {
            let list = json!({"type": "array", "items": name});
            Some(json!({"anyOf": [name.clone(), list, map(Map::new(), Vec::new(), name)]}))
        }
    }
}

/// What can be said of a parameter in JSON Schema; the rest is told in words.
fn parameter(param: &ParamDoc) -> Json {
    let mut schema = Map::new();
    let number = json!(["number", "string"]);
    match param.kind {
        // Numbers that JSON lacks are written as texts, as "NaN".
        "number" => schema.insert("type".into(), number),
        "integer" => schema.insert("type".into(), json!("integer")),
        "text" => schema.insert("type".into(), json!("string")),
        "map" => schema.insert("type".into(), json!("object")),
        "bool" => schema.insert("type".into(), json!("boolean")),
        "word" => {
            let words = param.range.split(';').next().unwrap_or_default();
            let words: Vec<&str> =
                words.split([' ', ',', '/']).filter(|w| !w.is_empty() && *w != "or").collect();
            schema.insert("enum".into(), json!(words))
        }
        _ => None,
    };
    let unit =
        if param.unit.is_empty() { String::new() } else { format!(" Unit: {}.", param.unit) };
    let text = format!("{} ({}): {}.{unit}", param.doc, param.kind, param.range);
    schema.insert("description".into(), json!(text));
    match serde_json::from_str::<Json>(param.default) {
        Ok(default) => schema.insert("default".into(), default),
        Err(_) if param.kind == "word" => schema.insert("default".into(), json!(param.default)),
        Err(_) => None,
    };
    Json::Object(schema)
}

fn window() -> Json {
    let of = |name: &str, least: Json| {
        json!({"type": "object", "properties": {name: least}, "required": [name],
               "additionalProperties": false})
    };
    json!({"description": "What a published value is of.", "default": "run", "anyOf": [
        {"enum": ["run", "heartbeat", "step", "reset"]},
        of("steps", json!({"type": "integer", "minimum": 1})),
        of("heartbeats", json!({"type": "integer", "minimum": 1})),
        of("seconds", json!({"type": "number", "exclusiveMinimum": 0, "maximum": MAX_SECONDS})),
        of("events", json!({"type": "integer", "minimum": 1}))]})
}
