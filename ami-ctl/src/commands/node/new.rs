//! `node new`: a file that works, to be changed.

use crate::failure::Failure;
use crate::print;
use serde_json::json;
use std::fs::OpenOptions;
use std::io::{ErrorKind, Write};
use std::path::PathBuf;
use std::process::ExitCode;

/// Arguments.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// What it is called; the file is NAME.py
    #[arg(value_parser = name)]
    name: String,
    /// What it works on: each event, all events of a window, or what is published
    #[arg(long, value_enum, default_value_t = Kind::PerEvent)]
    kind: Kind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Kind {
    /// A function of one event
    PerEvent,
    /// A class that accumulates events and is merged over workers
    Reduction,
    /// A class over published values
    Root,
}

/// Words that Python has for itself.
const KEYWORDS: [&str; 35] = [
    "False", "None", "True", "and", "as", "assert", "async", "await", "break", "class", "continue",
    "def", "del", "elif", "else", "except", "finally", "for", "from", "global", "if", "import",
    "in", "is", "lambda", "nonlocal", "not", "or", "pass", "raise", "return", "try", "while",
    "with", "yield",
];
/// Names that the files use themselves.
const TAKEN: [&str; 6] = ["np", "numpy", "ami_node", "logging", "per_event", "PerEvent"];

/// A name that Python takes for a function or class.
fn name(text: &str) -> Result<String, String> {
    let letters = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let begins = text.starts_with(|c: char| c.is_ascii_alphabetic());
    if !begins || !text.chars().all(letters) {
        return Err("begin with a letter; letters, digits and _ follow".into());
    }
    if KEYWORDS.contains(&text) || TAKEN.contains(&text) || ["Reduction", "Root"].contains(&text) {
        return Err("the name is taken, by Python or by the file: choose another".into());
    }
    Ok(text.into())
}

pub(super) fn run(args: &Args, json: bool) -> anyhow::Result<ExitCode> {
    let path = PathBuf::from(format!("{}.py", args.name));
    let text = text(args.kind, &args.name);
    let written = OpenOptions::new().write(true).create_new(true).open(&path);
    written.and_then(|mut file| file.write_all(text.as_bytes())).map_err(|e| match e.kind() {
        ErrorKind::AlreadyExists => Failure::failed(
            format!("{} exists already; it is left as it is", path.display()),
            "give another name, or move it away",
        ),
        _ => Failure::failed(format!("{}: {e}", path.display()), "go to a directory of yours"),
    })?;
    let next = format!("ami-ctl node check {} --in image=jungfrau:raw:raw", path.display());
    if json {
        print::json(&json!({"file": path, "node": args.name, "next": next}))?;
    } else {
        print::line(&format!("{} is written. Try it:\n  {next}", path.display()))?;
    }
    Ok(ExitCode::SUCCESS)
}

fn text(kind: Kind, name: &str) -> String {
    let template = match kind {
        Kind::PerEvent => include_str!("templates/per_event.py"),
        Kind::Reduction => include_str!("templates/reduction.py"),
        Kind::Root => include_str!("templates/root.py"),
    };
    // Nowhere else in these files: `GRAPH NODE` in their comments stays.
    template
        .replace("def NAME(", &format!("def {name}("))
        .replace("class NAME(", &format!("class {name}("))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_has_its_name() {
        for kind in [Kind::PerEvent, Kind::Reduction, Kind::Root] {
            let text = text(kind, "hits");
            assert!(!text.contains("NAME"), "{text}");
            assert!(text.contains("def hits(image, *,") || text.contains("class hits("), "{text}");
        }
    }

    #[test]
    fn names_are_pythons() {
        assert_eq!(name("hits_2"), Ok("hits_2".into()));
        for bad in ["", "2hits", "_hits", "a-b", "a/b", "../a", "a.py", "class", "np", "Root", "ä"]
        {
            assert!(name(bad).is_err(), "{bad}");
        }
    }
}
