//! The parameters of a node of user code, read with what the code says of itself.

use super::description::{Description, Kind};
use crate::data::files::marked;
use crate::data::types::Type;
use crate::error::{Fault, nearest};
use crate::op::foreign::{Foreign, UserCode};
use crate::op::parameters::Args;
use serde_json::{Map, Value as Json};
use std::fmt::Write;
use std::sync::Arc;

/// A node's code and what it is.
#[derive(Debug)]
pub struct Described {
    pub code: Arc<UserCode>,
    pub description: Description,
    /// Which of the node's inputs each of the code's is.
    pub order: Vec<usize>,
    /// Which use of the code it is, see [`Foreign::load`].
    pub place: String,
}

impl Described {
    /// The code, made ready for a node's inputs where something runs it.
    ///
    /// # Errors
    /// Why it cannot be.
    pub fn loaded(
        &self,
        runner: Option<&Arc<dyn Foreign>>,
        inputs: &[Type],
    ) -> Result<&Arc<UserCode>, Fault> {
        if let Some(runner) = runner {
            let inputs: Vec<Type> =
                self.order.iter().filter_map(|&k| inputs.get(k).cloned()).collect();
            let hint = "`ami-ctl node check` runs it on a few events";
            let loaded = runner.load(&self.code, &inputs, &self.place);
            loaded.map_err(|reason| Fault::of("code", reason, hint))?;
        }
        Ok(&self.code)
    }

    /// As [`PerEvent::known_as`](crate::op::per_event::PerEvent::known_as).
    pub fn known_as(&mut self, graph: &str, node: &str, identity: &[u8; 32]) {
        self.place = format!("{graph}/{node} ");
        for byte in identity {
            // Writing to a String does not fail.
            let _ = write!(self.place, "{byte:02x}");
        }
    }
}

/// Largest limits that can be set.
const MAX_TIMEOUT_MS: u64 = 600_000;
/// What an event may take unless the node says otherwise.
const TIMEOUT_MS: u64 = 1000;
const MAX_STATE_MIB: u64 = 16_384;

/// Reads a node's code.
///
/// # Errors
/// Names the parameter and what would be accepted.
pub fn read(args: &Args<'_>) -> Result<Described, Fault> {
    let text = args.text("code", "FILE.py:NAME, or the source itself")?;
    let env = args.get("env").map_or(Some("default"), Json::as_str);
    let env = env.ok_or_else(|| Fault::of("env", "is not text", "give a name of [python.envs]"))?;
    let state_bytes = args.whole("state_mib", Some(16), 1..=MAX_STATE_MIB)? << 20;
    let (place, hash) = marked(text);
    let file = hash.and_then(|hash| args.files?.get(hash)).ok_or_else(|| {
        let reason = "the code is not in the graph set";
        Fault::of("code", reason, "apply the graph through the manager, which reads its files")
    })?;
    let file = std::str::from_utf8(file)
        .map_err(|e| Fault::of("code", format!("the code is not text: {e}"), "save it as UTF-8"))?;
    let (description, source) = Description::of(file)?;
    // Code beside the root may sleep.
    let default = if description.kind == Kind::Root { MAX_TIMEOUT_MS } else { TIMEOUT_MS };
    let timeout_ms = args.whole("timeout_ms", Some(default), 1..=MAX_TIMEOUT_MS)?;
    let params = parameters(args, &description)?;
    let order = inputs(args, &description)?;
    let code = UserCode {
        file: file_name(place),
        name: description.name.clone(),
        source: source.into(),
        env: env.to_owned(),
        params,
        timeout_ms,
        state_bytes,
        merges: description.kind == Kind::Reduction && !description.adds(),
        outputs: description.types()?,
    };
    Ok(Described { code: Arc::new(code), description, order, place: String::new() })
}

/// The name of the file, without its folders; of source in the graph itself `graph`.
fn file_name(place: &str) -> String {
    if place.contains('\n') {
        return "graph".into();
    }
    let path = place.rsplit_once(':').map_or(place, |(path, _)| path);
    path.rsplit('/').next().unwrap_or(path).to_owned()
}

/// All parameters of the code: those of the node, and defaults.
fn parameters(args: &Args<'_>, description: &Description) -> Result<Map<String, Json>, Fault> {
    let none = Map::new();
    let given = match args.get("params") {
        None => &none,
        Some(Json::Object(map)) => map,
        Some(other) => {
            let reason = format!("{other} is not accepted");
            return Err(Fault::of("params", reason, "give a map from parameter to value"));
        }
    };
    let known = || description.params.iter().map(|p| p.name.as_str());
    if let Some(name) = given.keys().find(|name| !known().any(|known| known == name.as_str())) {
        let reason = format!("{:?} has no parameter {name:?}", description.name);
        return Err(Fault::of("params", reason, nearest(name, known())));
    }
    let value = |parameter: &super::description::Parameter| {
        let value = given.get(&parameter.name).unwrap_or(&parameter.default);
        parameter.check(value)?;
        Ok((parameter.name.clone(), value.clone()))
    };
    description.params.iter().map(value).collect()
}

/// Which of the node's inputs each of the code's is: by name from a map, else in order.
fn inputs(args: &Args<'_>, description: &Description) -> Result<Vec<usize>, Fault> {
    let (given, taken) = (args.names.len(), description.inputs.len());
    if description.varargs {
        return Ok((0..given).collect());
    }
    let hint = || format!("{:?} takes {}", description.name, description.inputs.join(", "));
    if given != taken {
        return Err(Fault::of("in", format!("{given} inputs are given, {taken} taken"), hint()));
    }
    if !args.named {
        return Ok((0..given).collect());
    }
    let place = |name: &String| {
        let missing = || Fault::of("in", format!("input {name:?} is missing"), hint());
        args.input(name).ok_or_else(missing)
    };
    description.inputs.iter().map(place).collect()
}
