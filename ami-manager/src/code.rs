//! User code that nodes name: read and described here once, so that every host runs the same text and
//! the engine knows what it takes and gives without running it.
//!
//! A node's `code`, `FILE.py:NAME` or the source itself, becomes `…#sha256=HEX`, and the set carries
//! under HEX a line of JSON, the description, and behind it the source.

use crate::files::{MAX_FILES, hash};
use crate::validate::World;
use ami_graph::data::files::{Files, MARK, marked};
use ami_graph::error::{Fault, nearest};
use ami_graph::graph::spec::{GraphSpec, NodeSpec};
use ami_graph::ops::USER_CODE;
use serde_json::Value;

/// The text of a node's code, if it has some.
pub fn of(node: &NodeSpec) -> Option<&str> {
    (node.op == USER_CODE).then(|| node.params.get("code")?.as_str()).flatten()
}

/// The hash in a node's code.
pub fn named(node: &NodeSpec) -> Option<String> {
    of(node).and_then(|text| marked(text).1).map(str::to_owned)
}

/// Nodes whose code says that its values depend on how events are shared among workers.
pub fn warnings(spec: &GraphSpec, files: &Files) -> Vec<String> {
    let depends = |node: &NodeSpec| {
        let file = files.get(&named(node)?)?;
        let line = file.split(|&byte| byte == b'\n').next()?;
        serde_json::from_slice::<Value>(line).ok()?["split_dependent"].as_bool()
    };
    let told = |(name, node): (&String, &NodeSpec)| {
        let text = "its code keeps state for each worker (split_dependent), so values depend on how events \
                    are shared among workers";
        (depends(node) == Some(true)).then(|| format!("node {name:?}: {text}"))
    };
    spec.nodes.iter().filter_map(told).collect()
}

/// Reads and describes a node's code into `files`, and marks the parameter with its hash. Code that is not
/// in `files` yet is taken only if the editor may bring code.
///
/// # Errors
/// Says what is wrong with file, code or permission.
pub fn resolve(
    node: &mut NodeSpec,
    files: &mut Files,
    world: &dyn World,
    may_bring: bool,
) -> Result<(), Fault> {
    let Some(text) = of(node).map(str::to_owned) else { return Ok(()) };
    let (place, known) = marked(&text);
    let inline = place.contains('\n');
    let file = known.and_then(|known| files.get(known));
    // Source that was changed is new, whatever mark was left behind it.
    if file.is_some_and(|file| !inline || is_of(file, place)) {
        return Ok(());
    }
    if !may_bring {
        let reason = "your key may not bring or change code";
        return Err(Fault::of("code", reason, "ask someone whose key has the role operate"));
    }
    let stored = known.filter(|_| !inline).map(|known| {
        let gone = || {
            Fault::of(
                "code",
                "that code is not kept here",
                "write the path without its #sha256=… to read it anew",
            )
        };
        world.stored(known).ok_or_else(gone)
    });
    let bundle = match stored {
        Some(bytes) => bytes?,
        None => described(node, place, inline, world)?,
    };
    let key = hash(&bundle);
    let total: usize = files.values().map(Vec::len).sum();
    if total + bundle.len() > MAX_FILES {
        let reason = format!("with it the files of all graphs have {} bytes", total + bundle.len());
        return Err(Fault::of(
            "code",
            reason,
            format!("at most {MAX_FILES} travel with the graphs"),
        ));
    }
    files.insert(key.clone(), bundle);
    let line = if inline && !place.ends_with('\n') { "\n" } else { "" };
    node.params.insert("code".into(), Value::String(format!("{place}{line}{MARK}{key}")));
    Ok(())
}

/// Whether a code file is of this source.
fn is_of(file: &[u8], source: &str) -> bool {
    let end = file.iter().position(|&byte| byte == b'\n').map_or(file.len(), |at| at + 1);
    std::str::from_utf8(&file[end..]).is_ok_and(|own| own.trim_end() == source.trim_end())
}

/// Description and source of code that is read now.
fn described(
    node: &NodeSpec,
    place: &str,
    inline: bool,
    world: &dyn World,
) -> Result<Vec<u8>, Fault> {
    let (path, name) = if inline { ("graph", None) } else { file_and_name(place)? };
    let source = if inline { place.to_owned() } else { read(path, world)? };
    let env = node.params.get("env").and_then(Value::as_str).unwrap_or("default");
    let file = path.rsplit('/').next().unwrap_or(path);
    let refused = |reason: String| {
        Fault::of("code", reason, "`ami-ctl node describe FILE` shows what is in it")
    };
    let nodes = world.describe(env, file, &source, name).map_err(refused)?;
    let nodes = nodes["nodes"].as_object().cloned().unwrap_or_default();
    let names: Vec<&str> = nodes.keys().map(String::as_str).collect();
    let description = match (name, names.as_slice()) {
        (Some(name), _) => nodes.get(name).ok_or_else(|| {
            Fault::of(
                "code",
                format!("{file} has no {name:?}"),
                nearest(name, names.iter().copied()),
            )
        })?,
        (None, [one]) => &nodes[*one],
        (None, several) => {
            let reason = format!("{file} has {} nodes: {}", several.len(), several.join(", "));
            return Err(Fault::of("code", reason, "write FILE.py:NAME"));
        }
    };
    // Of one line: the source begins behind it.
    Ok(format!("{description}\n{source}").into_bytes())
}

/// `FILE.py:NAME` or `FILE.py`.
fn file_and_name(place: &str) -> Result<(&str, Option<&str>), Fault> {
    let (path, name) = match place.rsplit_once(".py:") {
        Some((stem, name)) => (&place[..stem.len() + 3], Some(name)),
        None => (place, None),
    };
    if !path.ends_with(".py") {
        let reason = format!("{place:?} is no file of Python and no source");
        return Err(Fault::of("code", reason, "write \"/PATH/FILE.py:NAME\""));
    }
    Ok((path, name))
}

fn read(path: &str, world: &dyn World) -> Result<String, Fault> {
    let bytes = world.read(path).map_err(|reason| {
        Fault::of("code", reason, "name a file that the manager can read, with its whole path")
    })?;
    let text = String::from_utf8(bytes);
    let text = text
        .map_err(|e| Fault::of("code", format!("{path:?} is not text: {e}"), "save it as UTF-8"))?;
    // Python takes a byte order mark, too.
    Ok(text.strip_prefix('\u{feff}').map_or_else(|| text.clone(), str::to_owned))
}
