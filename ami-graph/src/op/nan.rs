//! The parameter `nan` of reductions: whether NaN makes a result NaN, or is left out.

use crate::error::Fault;
use crate::op::doc::{ParamDoc, param};
use crate::op::parameters::Args;

/// What it may be.
const WORDS: [&str; 2] = ["propagate", "skip"];

/// Its row in a table of parameters, of ops that give NaN where nothing else is asked for.
pub const NAN: ParamDoc = nan("\"propagate\"");

/// Its row with a default.
pub const fn nan(default: &'static str) -> ParamDoc {
    let doc = "\"propagate\": a NaN makes the result NaN, as np.sum, mean, …; \"skip\": it is left \
               out, element by element, as np.nansum, nanmean, …";
    param("nan", "text", default, "", "propagate, skip", doc)
}

/// True when a node asks for NaN to be left out; what it says nothing about is `default`.
///
/// # Errors
/// When it says something else.
pub fn skips(args: &Args<'_>, default: &str) -> Result<bool, Fault> {
    Ok(args.word("nan", default, &WORDS)? == WORDS[1])
}
