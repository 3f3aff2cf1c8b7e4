//! Files named in parameters: read here once, so that every host uses the same bytes.
//!
//! A parameter that is text and ends in `.npy` or `.geom` names a file. It becomes
//! `PATH#sha256=HEX`, and the set carries the bytes under HEX: the content is part of the node's
//! parameters, and a rollback brings the old bytes back. A parameter written with `#sha256=` keeps
//! the bytes it names; without it the file is read anew.

use crate::code;
use crate::validate::World;
use ami_graph::data::files::{Files, MARK};
use ami_graph::error::{Fault, SpecError};
use ami_graph::graph::spec::GraphSpec;
use ami_graph::ops::USER_CODE;
use serde_json::Value;
use sha2::{Digest, Sha256};
use std::collections::BTreeSet;

/// Most bytes of all files of a graph set together: they travel with every announcement.
pub const MAX_FILES: usize = 64 << 20;
const ENDINGS: [&str; 2] = [".npy", ".geom"];

/// Hash of a content, as lowercase hexadecimal.
pub fn hash(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|b| format!("{b:02x}")).collect()
}

/// The hash in a parameter's text, if it has one.
pub fn marked(text: &str) -> Option<&str> {
    let (path, hash) = text.rsplit_once(MARK)?;
    let good = hash.len() == 64 && hash.bytes().all(|b| b.is_ascii_hexdigit());
    (good && is_path(path)).then_some(hash)
}

fn is_path(text: &str) -> bool {
    let lower = text.to_ascii_lowercase();
    ENDINGS.iter().any(|e| lower.ends_with(e) && lower.len() > e.len())
}

/// The hashes that a graph names.
pub fn named(spec: &GraphSpec) -> BTreeSet<String> {
    let mut hashes = BTreeSet::new();
    for node in spec.nodes.values() {
        node.params.values().for_each(|value| collect(value, &mut hashes));
        hashes.extend(code::named(node));
    }
    hashes
}

fn collect(value: &Value, hashes: &mut BTreeSet<String>) {
    match value {
        Value::String(text) => hashes.extend(marked(text).map(String::from)),
        Value::Array(items) => items.iter().for_each(|v| collect(v, hashes)),
        Value::Object(map) => map.values().for_each(|v| collect(v, hashes)),
        _ => {}
    }
}

/// Reads every file that the graph names into `files` and marks the parameters with its hash.
/// So does code, if the editor may bring it.
pub fn resolve(
    spec: &mut GraphSpec,
    files: &mut Files,
    world: &dyn World,
    may_bring_code: bool,
) -> Vec<SpecError> {
    let mut errors = Vec::new();
    for (node, content) in &mut spec.nodes {
        if let Err(fault) = code::resolve(content, files, world, may_bring_code) {
            errors.push(fault.at(&spec.name, node));
        }
        // What code is given it reads itself.
        if content.op == USER_CODE {
            continue;
        }
        for (parameter, value) in &mut content.params {
            let mut faults = Vec::new();
            visit(value, files, world, &mut faults);
            let at = |(reason, hint)| Fault::of(parameter, reason, hint).at(&spec.name, node);
            errors.extend(faults.into_iter().map(at));
        }
    }
    errors
}

fn visit(
    value: &mut Value,
    files: &mut Files,
    world: &dyn World,
    faults: &mut Vec<(String, String)>,
) {
    match value {
        Value::String(text) => {
            if let Err(fault) = visit_text(text, files, world) {
                faults.push(fault);
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|v| visit(v, files, world, faults)),
        Value::Object(map) => map.values_mut().for_each(|v| visit(v, files, world, faults)),
        _ => {}
    }
}

fn visit_text(
    text: &mut String,
    files: &mut Files,
    world: &dyn World,
) -> Result<(), (String, String)> {
    let (key, bytes) = match marked(text) {
        Some(hash) if files.contains_key(hash) => return Ok(()),
        Some(hash) => {
            let bytes = world.stored(hash).ok_or_else(|| {
                let reason = format!("the content named by {text:?} is not kept here");
                (reason, format!("write the path without {MARK}… to read the file anew"))
            })?;
            (hash.to_string(), bytes)
        }
        None if is_path(text) => {
            let bytes = world.read(text).map_err(|e| {
                (e, "name a file that the manager can read, with its whole path".to_string())
            })?;
            let key = hash(&bytes);
            *text = format!("{text}{MARK}{key}");
            (key, bytes)
        }
        None => return Ok(()),
    };
    let total: usize = files.values().map(Vec::len).sum();
    if !files.contains_key(&key) && total + bytes.len() > MAX_FILES {
        let reason =
            format!("with {text:?} the files of all graphs have {} bytes", total + bytes.len());
        return Err((reason, format!("at most {MAX_FILES} travel with the graphs")));
    }
    files.insert(key, bytes);
    Ok(())
}
