//! A node's `in` and `with` brought into the order in which its op reads them, and its parameters
//! compared with those that the op has.

use crate::error::{Fault, nearest};
use crate::graph::inputs::Inputs;
use crate::graph::spec::NodeSpec;
use crate::op::doc::{Form, InputDoc, OpDoc};

/// A node's inputs in the order the op reads them.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Wiring {
    /// Names that the op knows them by.
    pub names: Vec<String>,
    /// Fields or nodes they come from.
    pub sources: Vec<String>,
    /// How many, at the end, are of `with`.
    pub with: usize,
}

/// Parameters that the op does not have.
pub fn unknown_params(spec: &NodeSpec, doc: &OpDoc) -> Vec<Fault> {
    let known = || doc.params.iter().map(|p| p.name);
    let unknown = spec.params.keys().filter(|key| !known().any(|name| name == key.as_str()));
    unknown
        .map(|key| {
            let hint = nearest(key, known().chain(["in", "window"]));
            Fault::of(key, format!("op {:?} has no such parameter", doc.name), hint)
        })
        .collect()
}

/// Puts a node's `in` and `with` into the op's order.
///
/// # Errors
/// When inputs are missing, too many, or named otherwise than the op names them.
pub fn wire(spec: &NodeSpec, doc: &OpDoc) -> Result<Wiring, Fault> {
    let mut wiring = match doc.form {
        Form::None if spec.inputs.is_none() => Wiring::default(),
        Form::None => {
            let reason = format!("op {:?} takes no inputs", doc.name);
            return Err(Fault::of("in", reason, "leave `in` out"));
        }
        Form::Fixed(inputs) => fixed(&spec.inputs, inputs)?,
        Form::Values => free(&spec.inputs, false)?,
        Form::Named => free(&spec.inputs, true)?,
    };
    match &spec.with {
        Some(_) if !doc.with => {
            let reason = format!("op {:?} takes no further inputs", doc.name);
            return Err(Fault::of("with", reason, "leave `with` out, or use an `expr` before it"));
        }
        Some(with) => {
            wiring.with = with.len();
            wiring.names.extend(with.keys().cloned());
            wiring.sources.extend(with.values().cloned());
        }
        None => {}
    }
    Ok(wiring)
}

fn fixed(inputs: &Inputs, docs: &[InputDoc]) -> Result<Wiring, Fault> {
    let names: Vec<&str> = docs.iter().map(|d| d.name).collect();
    let required: Vec<&str> = docs.iter().filter(|d| d.required).map(|d| d.name).collect();
    let form = || match names.as_slice() {
        [one] => format!("write \"in\": \"NAME\" for the {one}"),
        many => {
            let pairs: Vec<String> = many.iter().map(|n| format!("{n:?}: \"NAME\"")).collect();
            format!("write \"in\": {{{}}}", pairs.join(", "))
        }
    };
    let given: Vec<(&str, &str)> = match inputs {
        Inputs::Map(pairs) => pairs.iter().map(|(n, s)| (n.as_str(), s.as_str())).collect(),
        other => names.iter().copied().zip(other.sources()).collect(),
    };
    if given.len() < inputs.sources().len() {
        let reason = format!("{} inputs are given, {} taken", inputs.sources().len(), names.len());
        return Err(Fault::of("in", reason, form()));
    }
    if let Some((name, _)) = given.iter().find(|(name, _)| !names.contains(name)) {
        let hint = nearest(name, names.iter().copied());
        return Err(Fault::of("in", format!("there is no input {name:?}"), hint));
    }
    if let Some(missing) = required.iter().find(|r| !given.iter().any(|(name, _)| name == *r)) {
        return Err(Fault::of("in", format!("input {missing:?} is missing"), form()));
    }
    // In the op's order, whatever the order of the map.
    let mut wiring = Wiring::default();
    for name in names {
        if let Some((_, source)) = given.iter().find(|(n, _)| *n == name) {
            wiring.names.push(name.to_owned());
            wiring.sources.push((*source).to_owned());
        }
    }
    Ok(wiring)
}

/// Inputs of any name and number. Those of an expression need names to be called by: the
/// source's own name, unless a map gives others.
fn free(inputs: &Inputs, for_expression: bool) -> Result<Wiring, Fault> {
    let sources: Vec<String> = inputs.sources().into_iter().map(str::to_owned).collect();
    if sources.is_empty() && !for_expression {
        return Err(Fault::of(
            "in",
            "no input is given",
            "write \"in\": \"NAME\", a list or a map",
        ));
    }
    let names: Vec<String> = match inputs {
        Inputs::Map(pairs) => pairs.iter().map(|(name, _)| name.clone()).collect(),
        _ if for_expression => sources.clone(),
        Inputs::List(list) if list.len() > 1 => {
            (0..list.len()).map(|i| format!("value{i}")).collect()
        }
        _ => vec!["value".into()],
    };
    let identifier = |name: &str| {
        name.chars().all(|c| c.is_alphanumeric() || c == '_')
            && !name.starts_with(|c: char| c.is_numeric())
            && !name.is_empty()
    };
    if let Some(name) = names.iter().find(|name| !identifier(name)) {
        let hint = format!("name it by a map: \"in\": {{\"x\": {name:?}}}");
        return Err(Fault::of(
            "in",
            format!("{name:?} cannot be used as a name of an input"),
            hint,
        ));
    }
    if let Some((i, name)) = names.iter().enumerate().find(|(i, n)| names[..*i].contains(n)) {
        let hint = "name them by a map: \"in\": {\"a\": …, \"b\": …}";
        return Err(Fault::of("in", format!("input {i} is called {name:?} as another"), hint));
    }
    Ok(Wiring { names, sources, with: 0 })
}
