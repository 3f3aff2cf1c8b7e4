//! What user code says of itself, as the manager had it described: the first line of a code file in a
//! graph set, as JSON; the source follows.

use crate::data::types::Type;
use crate::data::value::{DType, MAX_RANK};
use crate::error::Fault;
use serde::Deserialize;
use serde_json::Value as Json;

/// How code takes part.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Values of one event in, values of that event out.
    PerEvent,
    /// Over the events of a window.
    Reduction,
    /// On what is published, beside the root.
    Root,
}

/// A function or class.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Description {
    /// How it takes part.
    pub kind: Kind,
    /// Its name in the file.
    pub name: String,
    /// Names of its inputs, in order.
    #[serde(default)]
    pub inputs: Vec<String>,
    /// True when it takes any number of inputs.
    #[serde(default)]
    pub varargs: bool,
    outputs: Vec<Output>,
    /// What can be set.
    #[serde(default)]
    pub params: Vec<Parameter>,
    /// True when its values depend on how events are shared among workers.
    #[serde(default)]
    pub split_dependent: bool,
    merge: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
struct Output {
    name: String,
    dtype: String,
    /// None for a scalar; of an axis None where any length will do.
    shape: Option<Vec<Option<usize>>>,
}

/// A parameter, from the signature.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Parameter {
    /// Its name.
    pub name: String,
    /// Its value where a node gives none.
    pub default: Json,
    #[serde(rename = "type")]
    kind: String,
}

impl Description {
    /// Description and source of a code file.
    ///
    /// # Errors
    /// When it is none.
    pub fn of(file: &str) -> Result<(Description, &str), Fault> {
        let bad = |reason: String| {
            Fault::of("code", reason, "apply the graph through the manager, which reads its files")
        };
        let (first, source) = file.split_once('\n').ok_or_else(|| bad("no description".into()))?;
        let description: Description = serde_json::from_str(first)
            .map_err(|e| bad(format!("its description cannot be read: {e}")))?;
        Ok((description, source))
    }

    /// True when states are merged by adding every number and array.
    pub fn adds(&self) -> bool {
        self.merge.as_deref().is_none_or(|merge| merge == "add")
    }

    /// Names of the outputs, in order.
    pub fn output_names(&self) -> Vec<String> {
        self.outputs.iter().map(|output| output.name.clone()).collect()
    }

    /// Types of the outputs, in order.
    ///
    /// # Errors
    /// Names the output.
    pub fn types(&self) -> Result<Vec<Type>, Fault> {
        self.outputs.iter().map(Output::type_of).collect()
    }
}

impl Output {
    fn type_of(&self) -> Result<Type, Fault> {
        let bad = |reason: String| {
            let reason = format!("output {:?}: {reason}", self.name);
            Fault::of("code", reason, "write a type such as \"f8\", \"u2[512, 1024]\" or \"f4[:]\"")
        };
        let dtype = match self.dtype.as_str() {
            "str" => Some(DType::Str),
            code => DType::from_numpy(code),
        };
        let dtype = dtype.ok_or_else(|| bad(format!("there is no type {:?}", self.dtype)))?;
        let Some(axes) = &self.shape else { return Ok(Type::scalar(dtype)) };
        if axes.is_empty() || axes.len() > MAX_RANK || dtype == DType::Str {
            return Err(bad(format!("{} axes are not possible", axes.len())));
        }
        let shape: Option<Vec<usize>> = axes.iter().copied().collect();
        Ok(Type { dtype, rank: Some(axes.len()), shape })
    }
}

impl Parameter {
    /// Whether a value is of its type.
    ///
    /// # Errors
    /// Says what is accepted.
    pub fn check(&self, value: &Json) -> Result<(), Fault> {
        let (fits, accepted) = match self.kind.as_str() {
            "bool" => (value.is_boolean(), "true or false"),
            "integer" => (value.as_f64().is_some_and(|x| x.fract() == 0.0), "a whole number"),
            "number" => (value.is_number(), "a number"),
            "text" => (value.is_string(), "text"),
            "list" => (value.is_array(), "a list"),
            _ => (true, ""),
        };
        // What the default is, is accepted: None for "nothing given".
        if fits || *value == self.default {
            return Ok(());
        }
        let reason = format!("{value} is not accepted for {:?}", self.name);
        Err(Fault::of("params", reason, format!("give {accepted}")))
    }
}
