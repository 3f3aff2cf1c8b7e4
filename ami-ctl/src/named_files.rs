//! Files that a graph file names: a path in it is relative to the file, as people write it; the manager
//! gets the whole path.

use ami_graph::data::files::MARK;
use ami_graph::ops::USER_CODE;
use serde_json::Value;
use std::path::{Path, PathBuf};

/// Endings of parameters that name a file of data.
const DATA: [&str; 2] = [".npy", ".geom"];
/// Ending of a file of code.
const CODE: &str = ".py";

/// Makes paths whole that are relative to `dir`. Also of what is not there: elsewhere it would be
/// something else that has the name.
pub fn make_absolute(graph: &mut Value, dir: &Path) {
    each(graph, &mut |text, is_code| {
        let Some((path, rest)) = path_in(text, is_code) else { return };
        if Path::new(path).is_absolute() {
            return;
        }
        if let Ok(whole) = std::path::absolute(dir.join(path))
            && let Some(whole) = whole.to_str()
        {
            *text = format!("{whole}{rest}");
        }
    });
}

/// The files of code that a graph names.
pub fn code_files(graph: &Value) -> Vec<PathBuf> {
    let mut graph = graph.clone();
    let mut files = Vec::new();
    each(&mut graph, &mut |text, is_code| {
        if let Some((path, _)) = path_in(text, is_code).filter(|_| is_code) {
            files.push(path.into());
        }
    });
    files
}

/// The path in a parameter's text, and what stands behind it; None where it names no file, or one
/// whose content is fixed.
fn path_in(text: &str, is_code: bool) -> Option<(&str, &str)> {
    if text.contains(['\n', '\r']) || text.contains(MARK) {
        return None;
    }
    if is_code {
        let end = match text.rfind(".py:") {
            Some(at) => at + CODE.len(),
            None => text.len(),
        };
        let (path, name) = text.split_at(end);
        return (path.ends_with(CODE) && path.len() > CODE.len()).then_some((path, name));
    }
    let lower = text.to_ascii_lowercase();
    let is_data = DATA.iter().any(|ending| lower.ends_with(ending) && lower.len() > ending.len());
    is_data.then_some((text, ""))
}

/// Shows every text among the parameters, and whether it is the code of a node.
fn each(graph: &mut Value, see: &mut impl FnMut(&mut String, bool)) {
    let nodes = graph.get_mut("nodes").and_then(Value::as_object_mut);
    for node in
        nodes.into_iter().flat_map(|nodes| nodes.values_mut()).filter_map(Value::as_object_mut)
    {
        let user_code = node.get("op").and_then(Value::as_str) == Some(USER_CODE);
        for (key, value) in node.iter_mut() {
            match key.as_str() {
                "op" | "in" | "with" | "window" => {}
                key => texts(value, user_code && key == "code", see),
            }
        }
    }
}

fn texts(value: &mut Value, is_code: bool, see: &mut impl FnMut(&mut String, bool)) {
    match value {
        Value::String(text) => see(text, is_code),
        Value::Array(items) => items.iter_mut().for_each(|item| texts(item, false, see)),
        Value::Object(map) => map.values_mut().for_each(|item| texts(item, false, see)),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn relative_paths_become_whole_ones() {
        let at = |name: &str| format!("/graphs/{name}");
        let node = |code: &str| json!({"op": "python", "in": "hits.py", "code": code, "params": {"mask": "ped.npy"}});
        let mut graph = json!({"name": "g", "nodes": {
            "a": node("hits.py:spectrum"), "b": node("hits.py"), "name": node("my file.py:x"),
            "inline": node("x = 'hits.py'\n"), "whole": node("/d/hits.py:x"), "kept": node("hits.py:x#sha256=ab"),
            "cal": {"op": "calibrate", "in": "f", "pedestal": "ped.npy", "more": ["ped.npy", "hits.py"]}}});
        make_absolute(&mut graph, Path::new("/graphs"));
        let nodes = &graph["nodes"];
        assert_eq!(nodes["a"]["code"], format!("{}:spectrum", at("hits.py")));
        assert_eq!(nodes["b"]["code"], at("hits.py"));
        assert_eq!(
            (&nodes["a"]["in"], &nodes["a"]["params"]["mask"]),
            (&json!("hits.py"), &json!(at("ped.npy")))
        );
        for (node, code) in [
            ("inline", "x = 'hits.py'\n"),
            ("whole", "/d/hits.py:x"),
            ("kept", "hits.py:x#sha256=ab"),
        ] {
            assert_eq!(nodes[node]["code"], code);
        }
        assert_eq!(nodes["cal"]["more"], json!([at("ped.npy"), "hits.py"]));
        assert_eq!(nodes["cal"]["pedestal"], at("ped.npy"));
        let files = code_files(&graph);
        assert_eq!(files.len(), 4, "{files:?}");
        assert!(files.contains(&at("hits.py").into()) && files.contains(&at("my file.py").into()));
    }
}
