//! Python's dotted calls, which have no meaning here: `np.sum(img)` and `img.sum()`, and what to
//! write instead.

use crate::expr::error::ExprError;
use crate::expr::syntax::advice::{advice, instead};
use crate::expr::syntax::functions::find;

/// Names that functions are taken from in Python.
const MODULES: [&str; 6] = ["np", "numpy", "math", "cmath", "scipy", "special"];
/// Longest arguments that are repeated in a hint.
const SHOWN: usize = 60;

/// What the dot at this place of the text is about, if it is one of Python's.
pub(super) fn mistake(chars: &[char], dot: usize) -> Option<ExprError> {
    let word = |c: &char| c.is_ascii_alphanumeric() || *c == '_';
    let length = chars[..dot].iter().rev().take_while(|c| word(c)).count();
    let object: String = chars[dot - length..dot].iter().collect();
    // Of `np.linalg.norm` the last counts.
    let parts = chars[dot..].iter().take_while(|c| word(c) || **c == '.').count();
    let path: String = chars[dot + 1..dot + parts].iter().collect();
    let name = path.rsplit('.').next().filter(|name| !name.is_empty())?;
    let arguments = arguments(&chars[dot + parts..]);
    let column = dot - length + 1;
    if MODULES.contains(&object.as_str()) {
        let hint = of_module(name, arguments.map(|a| a.replace(&format!("{object}."), "")));
        let message = format!("names have no module here: {object}.{path}");
        return Some(ExprError::new(column, message, hint));
    }
    let arguments = arguments?;
    let of = if object.is_empty() { "…" } else { &object };
    let comma = if arguments.is_empty() { "" } else { ", " };
    let message = format!("values have no methods: {object}.{path}");
    let hint = match find(name) {
        Some(_) => format!("write {name}({of}{comma}{arguments})"),
        None => advice(name)?.to_owned(),
    };
    Some(ExprError::new(column, message, hint))
}

/// What to write for a name of a module.
fn of_module(name: &str, arguments: Option<String>) -> String {
    match arguments {
        _ if ["pi", "e"].contains(&name) => format!("write {name}"),
        Some(arguments) if find(name).is_some() => format!("write {name}({arguments})"),
        None if find(name).is_some() => format!("write {name}(...)"),
        _ => instead(name),
    }
}

/// What stands between the brackets that begin here; None without brackets.
fn arguments(chars: &[char]) -> Option<String> {
    let mut depth = 0usize;
    for (i, c) in chars.iter().enumerate() {
        match c {
            '(' | '[' => depth += 1,
            ')' | ']' => depth = depth.saturating_sub(1),
            _ if depth == 0 => return None,
            _ => {}
        }
        if depth == 0 {
            let inner = chars.get(1..i)?;
            let shown = if inner.len() > SHOWN { &['…'][..] } else { inner };
            return Some(shown.iter().collect());
        }
    }
    None
}
