//! Reading a node's parameters, with errors that say what would be accepted.

use crate::data::files::{Content, Files, marked};
use crate::error::{Fault, nearest};
use crate::op::foreign::Foreign;
use serde_json::{Map, Value as Json};
use std::ops::RangeInclusive;
use std::sync::Arc;

/// What an op reads its parameters from.
#[derive(Debug, Clone, Copy)]
pub struct Args<'a> {
    /// Names of the inputs in order, those of `with` at the end.
    pub names: &'a [String],
    /// How many of these are of `with`.
    pub with: usize,
    /// True when `in` was a map, so that its names were chosen by the user.
    pub named: bool,
    /// The parameters.
    pub params: &'a Map<String, Json>,
    /// Contents of the files that parameters name; None while a graph is checked without them.
    pub files: Option<&'a Files>,
    /// What runs user code; None where it is only planned.
    pub code: Option<&'a Arc<dyn Foreign>>,
}

impl<'a> Args<'a> {
    /// A parameter as written.
    pub fn get(&self, name: &str) -> Option<&'a Json> {
        self.params.get(name).filter(|json| !json.is_null())
    }

    /// A parameter that must be there.
    ///
    /// # Errors
    /// When it is not.
    pub fn require(&self, name: &str, accepted: &str) -> Result<&'a Json, Fault> {
        self.get(name).ok_or_else(|| Fault::of(name, "is missing", format!("give {accepted}")))
    }

    /// A whole number.
    ///
    /// # Errors
    /// When it is none, or out of range.
    pub fn whole(
        &self,
        name: &str,
        default: Option<u64>,
        range: RangeInclusive<u64>,
    ) -> Result<u64, Fault> {
        let accepted = || format!("a whole number from {} to {}", range.start(), range.end());
        let json = match (self.get(name), default) {
            (Some(json), _) => json,
            (None, Some(default)) => return Ok(default),
            (None, None) => self.require(name, &accepted())?,
        };
        as_whole(json).filter(|n| range.contains(n)).ok_or_else(|| {
            Fault::of(name, format!("{json} is not accepted"), format!("give {}", accepted()))
        })
    }

    /// A number, if given.
    ///
    /// # Errors
    /// When it is something else.
    pub fn number(&self, name: &str) -> Result<Option<f64>, Fault> {
        let Some(json) = self.get(name) else { return Ok(None) };
        let bad = || Fault::of(name, format!("{json} is not a number"), "give a number");
        as_number(json).map(Some).ok_or_else(bad)
    }

    /// A number within bounds.
    ///
    /// # Errors
    /// When it is something else.
    pub fn real(
        &self,
        name: &str,
        default: Option<f64>,
        range: RangeInclusive<f64>,
    ) -> Result<f64, Fault> {
        let accepted = || format!("a number from {:e} to {:e}", range.start(), range.end());
        let json = match (self.get(name), default) {
            (Some(json), _) => json,
            (None, Some(default)) => return Ok(default),
            (None, None) => self.require(name, &accepted())?,
        };
        as_number(json).filter(|x| range.contains(x)).ok_or_else(|| {
            Fault::of(name, format!("{json} is not accepted"), format!("give {}", accepted()))
        })
    }

    /// true or false.
    ///
    /// # Errors
    /// When it is something else.
    pub fn flag(&self, name: &str, default: bool) -> Result<bool, Fault> {
        let Some(json) = self.get(name) else { return Ok(default) };
        let bad = || Fault::of(name, format!("{json} is not accepted"), "give true or false");
        json.as_bool().ok_or_else(bad)
    }

    /// One of some words.
    ///
    /// # Errors
    /// When it is something else.
    pub fn word(
        &self,
        name: &str,
        default: &str,
        words: &[&'static str],
    ) -> Result<&'static str, Fault> {
        let given = match self.get(name) {
            None => default,
            Some(Json::String(word)) => word,
            Some(other) => {
                let hint = format!("give one of: {}", words.join(", "));
                return Err(Fault::of(name, format!("{other} is not accepted"), hint));
            }
        };
        let bad = || {
            let hint = nearest(given, words.iter().copied());
            Fault::of(name, format!("{given:?} is not accepted"), hint)
        };
        words.iter().copied().find(|w| *w == given).ok_or_else(bad)
    }

    /// Text that must be there.
    ///
    /// # Errors
    /// When it is missing or something else.
    pub fn text(&self, name: &str, accepted: &str) -> Result<&'a str, Fault> {
        let json = self.require(name, accepted)?;
        let bad = || Fault::of(name, format!("{json} is not text"), format!("give {accepted}"));
        json.as_str().ok_or_else(bad)
    }
}

impl<'a> Args<'a> {
    /// The content of a file, if the parameter names one with this ending (`.npy`). What is in it
    /// may be looked at in `bind` only: a graph is also checked without its files.
    ///
    /// # Errors
    /// When the parameter is no text with this ending, or its content is not there.
    pub fn file(&self, name: &str, ending: &str) -> Result<Option<Content>, Fault> {
        let Some(json) = self.get(name) else { return Ok(None) };
        let text = json.as_str().unwrap_or_default();
        let (path, hash) = marked(text);
        if !path.to_ascii_lowercase().ends_with(ending) {
            let hint = format!("give the path of a {ending} file, as the manager sees it");
            return Err(Fault::of(name, format!("{json} is not accepted"), hint));
        }
        let Some(files) = self.files else { return Ok(Some(Content::unread(path))) };
        let bytes = hash.and_then(|hash| files.get(hash)).ok_or_else(|| {
            let reason = format!("the content of {path:?} is not in the graph set");
            Fault::of(name, reason, "apply the graph through the manager, which reads its files")
        })?;
        Ok(Some(Content::new(path, bytes)))
    }

    /// The place of an input among those that are wired.
    pub fn input(&self, name: &str) -> Option<usize> {
        self.names.iter().position(|n| n == name)
    }
}

/// A JSON number that is whole and not negative. 50.0 is a whole number to people, and to many
/// JSON writers.
pub fn as_whole(json: &Json) -> Option<u64> {
    let integral = json.as_f64().filter(|x| x.fract() == 0.0 && (0.0..=9e15).contains(x));
    json.as_u64().or(integral.map(|x| x as u64))
}

impl Args<'_> {
    /// A whole number that may be negative, if given.
    ///
    /// # Errors
    /// When it is something else, or out of range.
    pub fn integer(&self, name: &str, range: RangeInclusive<i64>) -> Result<Option<i64>, Fault> {
        let Some(json) = self.get(name) else { return Ok(None) };
        let accepted = as_integer(json).filter(|n| range.contains(n));
        accepted.map(Some).ok_or_else(|| {
            let hint = format!("give a whole number from {} to {}", range.start(), range.end());
            Fault::of(name, format!("{json} is not accepted"), hint)
        })
    }

    /// Whole numbers, if given; one alone counts as a list of one.
    ///
    /// # Errors
    /// When there is something else among them, one is out of range, or not so many are given.
    pub fn integers(
        &self,
        name: &str,
        count: RangeInclusive<usize>,
        range: RangeInclusive<i64>,
    ) -> Result<Option<Vec<i64>>, Fault> {
        let Some(json) = self.get(name) else { return Ok(None) };
        let one = |json: &Json| as_integer(json).filter(|n| range.contains(n));
        let numbers: Option<Vec<i64>> = match json {
            Json::Array(items) => items.iter().map(one).collect(),
            single => one(single).map(|n| vec![n]),
        };
        numbers.filter(|numbers| count.contains(&numbers.len())).map(Some).ok_or_else(|| {
            let hint = format!(
                "give {} to {} whole numbers, each from {} to {}",
                count.start(),
                count.end(),
                range.start(),
                range.end()
            );
            Fault::of(name, format!("{json} is not accepted"), hint)
        })
    }
}

/// A whole number; 3.0 is one to people, and to many JSON writers.
fn as_integer(json: &Json) -> Option<i64> {
    let whole = json.as_f64().filter(|x| x.fract() == 0.0 && x.abs() <= 9e15);
    json.as_i64().or(whole.map(|x| x as i64))
}

/// A JSON number, or one of the texts that stand for those JSON lacks.
pub fn as_number(json: &Json) -> Option<f64> {
    match json.as_str() {
        None => json.as_f64(),
        Some("Infinity" | "inf") => Some(f64::INFINITY),
        Some("-Infinity" | "-inf") => Some(f64::NEG_INFINITY),
        Some("NaN" | "nan") => Some(f64::NAN),
        Some(_) => None,
    }
}
