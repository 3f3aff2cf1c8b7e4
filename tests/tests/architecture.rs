//! The rules of the code base that Cargo and clippy cannot state.

use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Crate, and which of ours it may depend on.
const MAY: [(&str, &[&str]); 12] = [
    ("ami-graph", &[]),
    ("ami-shm", &[]),
    ("ami-python", &["ami-graph", "ami-proto", "ami-shm"]),
    ("ami-proto", &["ami-graph"]),
    ("ami-source", &["ami-graph", "ami-proto"]),
    ("ami-ventilator", &["ami-graph", "ami-proto", "ami-shm", "ami-source"]),
    ("ami-worker", &["ami-graph", "ami-proto", "ami-python", "ami-shm"]),
    ("ami-collector", &["ami-graph", "ami-proto", "ami-python"]),
    ("ami-manager", &["ami-graph", "ami-proto", "ami-python"]),
    ("ami-store", &["ami-proto"]),
    ("ami-gateway", &["ami-proto"]),
    ("ami-ctl", &["ami-graph", "ami-proto", "ami-python", "ami-shm", "ami-source"]),
];

#[test]
fn no_process_depends_on_a_process() {
    for (name, may) in MAY {
        let manifest = std::fs::read_to_string(root().join(name).join("Cargo.toml")).unwrap();
        let dependencies = manifest.split("[dependencies]").nth(1).unwrap();
        let dependencies = dependencies.split("\n[").next().unwrap();
        for line in dependencies.lines().filter(|l| l.starts_with("ami-")) {
            let dependency = line.split(['.', ' ', '=']).next().unwrap();
            assert!(may.contains(&dependency), "{name} must not depend on {dependency}");
        }
    }
}

/// The wings of ami-graph, from the ground up, and what each may name besides itself and errors.
const WINGS: [(&str, &[&str]); 10] = [
    ("data", &[]),
    ("expr", &["data"]),
    ("merge", &["data"]),
    ("op", &["data", "merge"]),
    ("ops", &["data", "expr", "merge", "op"]),
    ("graph", &["data", "expr", "op", "ops"]),
    ("plan", &["data", "expr", "graph", "op", "ops"]),
    ("wire", &["data", "expr", "graph", "op", "ops", "plan"]),
    ("worker", &["data", "expr", "graph", "op", "ops", "plan", "wire"]),
    ("root", &["data", "expr", "graph", "op", "ops", "plan", "wire"]),
];

/// The same within `expr`.
const EXPR: [(&str, &[&str]); 4] = [
    ("arithmetic", &[]),
    ("syntax", &["arithmetic"]),
    ("check", &["arithmetic", "syntax"]),
    ("run", &["arithmetic", "check"]),
];

/// The same for the families of `ops`: they know their own and what all share, never the table.
const FAMILIES: [(&str, &[&str]); 5] = [
    ("flow", &["expression"]),
    ("array", &["expression"]),
    ("detector", &[]),
    ("signal", &[]),
    ("over_events", &[]),
];

/// Code without comments and without tests.
fn code(file: &Path) -> String {
    let text = std::fs::read_to_string(file).unwrap();
    let text = text.split("#[cfg(test)]\nmod tests").next().unwrap();
    text.lines().map(|line| line.split("//").next().unwrap()).collect::<Vec<_>>().join("\n")
}

/// Modules that code names right behind `prefix`, in paths and in lists of a `use`.
fn named_behind<'a>(code: &'a str, prefix: &str) -> Vec<&'a str> {
    let word = |text: &'a str| {
        let end = text.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(text.len());
        &text[..end]
    };
    let mut names = Vec::new();
    for (at, _) in code.match_indices(prefix) {
        let boundary = code[..at].chars().next_back();
        if boundary.is_some_and(|c| c.is_alphanumeric() || c == '_' || c == ':') {
            continue;
        }
        let rest = &code[at + prefix.len()..];
        match rest.strip_prefix('{') {
            None => names.push(word(rest)),
            Some(list) => {
                let mut depth = 0;
                let mut begins = true;
                for (i, c) in list.char_indices() {
                    match c {
                        '{' => depth += 1,
                        '}' if depth == 0 => break,
                        '}' => depth -= 1,
                        ',' if depth == 0 => begins = true,
                        c if begins && !c.is_whitespace() => {
                            names.push(word(&list[i..]));
                            begins = false;
                        }
                        _ => {}
                    }
                }
            }
        }
    }
    names
}

/// What in `files` of `part` names parts of `parts` that it may not name.
fn upward(
    part: &str,
    may: &[&str],
    parts: &[&str],
    prefix: &str,
    files: &[(PathBuf, String)],
) -> Vec<String> {
    let forbidden = |name: &&str| *name != part && parts.contains(name) && !may.contains(name);
    let mut found = Vec::new();
    for (path, code) in files {
        for name in named_behind(code, prefix).into_iter().filter(forbidden) {
            found.push(format!("{}: {part} must not name {prefix}{name}", path.display()));
        }
    }
    found
}

fn read(dir: &Path) -> Vec<(PathBuf, String)> {
    let mut files = Vec::new();
    sources(dir, &mut files);
    files.into_iter().map(|file| (file.clone(), code(&file))).collect()
}

/// Every import in the folders of a table that goes up.
fn violations(dir: &Path, prefix: &str, table: &[(&str, &[&str])], more: &[&str]) -> Vec<String> {
    let parts: Vec<&str> =
        table.iter().map(|(part, _)| *part).chain(more.iter().copied()).collect();
    let of = |(part, may): &(&str, &[&str])| {
        let files = read(&dir.join(part));
        assert!(!files.is_empty(), "there is no {}", dir.join(part).display());
        upward(part, may, &parts, prefix, &files)
    };
    table.iter().flat_map(of).collect()
}

#[test]
fn imports_of_the_engine_go_down() {
    let src = root().join("ami-graph/src");
    let mut found = violations(&src, "crate::", &WINGS, &[]);
    found.extend(violations(&src.join("expr"), "crate::expr::", &EXPR, &[]));
    let table = ["OPS", "find", "ops_json", "markdown", "json", "expression"];
    found.extend(violations(&src.join("ops"), "crate::ops::", &FAMILIES, &table));
    assert!(found.is_empty(), "{}", found.join("\n"));
}

/// The test above looks at paths that begin with `crate::`; so nothing may climb by `super`.
#[test]
fn nothing_in_the_engine_climbs_out_of_its_folder_by_super() {
    for (path, code) in read(&root().join("ami-graph/src")) {
        assert!(!code.contains("super::super"), "{}: name it from `crate::`", path.display());
        let climbs = path.ends_with("mod.rs") && code.contains("super::");
        assert!(!climbs, "{}: name it from `crate::`", path.display());
    }
}

#[test]
fn wings_stay_small() {
    let src = root().join("ami-graph/src");
    let entries = |dir: &Path| std::fs::read_dir(dir).unwrap().count();
    assert!(entries(&src) <= 12, "ami-graph/src has {} entries", entries(&src));
    for (wing, _) in WINGS {
        let files = entries(&src.join(wing));
        assert!(files <= 16, "{wing} has {files} files beside each other");
    }
}

/// The tests above see what they are to see.
#[test]
fn an_import_that_goes_up_is_found() {
    let seen = |code: &str| {
        let files = [(PathBuf::from("x.rs"), code.to_owned())];
        upward("data", &[], &["data", "plan", "ops"], "crate::", &files).len()
    };
    assert_eq!(seen("use crate::data::value::Value;\nuse crate::error::Fault;"), 0);
    assert_eq!(seen("use crate::plan::Plan;"), 1);
    assert_eq!(seen("let x = crate::ops::find(name);"), 1);
    assert_eq!(
        seen("use crate::{\n    data::{value::Value, types::Type},\n    plan::Plan,\n    ops,\n};"),
        2
    );
    assert_eq!(seen("other_crate::plan(x)"), 0);
}

fn sources(dir: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(dir).unwrap().flatten() {
        let path = entry.path();
        if path.is_dir() && !path.ends_with("target") && !path.ends_with(".git") {
            sources(&path, found);
        } else if path.extension().is_some_and(|e| e == "rs") {
            found.push(path);
        }
    }
}

#[test]
fn every_file_opens_with_what_it_is_for() {
    let mut files = Vec::new();
    sources(&root(), &mut files);
    assert!(files.len() > 50, "found only {} files", files.len());
    for file in files {
        let text = std::fs::read_to_string(&file).unwrap();
        assert!(text.starts_with("//!"), "{} does not open with //!", file.display());
    }
}

#[test]
fn zmq_sockets_are_made_in_one_file() {
    let mut files = Vec::new();
    for (name, _) in MAY {
        sources(&root().join(name).join("src"), &mut files);
    }
    let mut made = Vec::new();
    for file in files {
        let text = std::fs::read_to_string(&file).unwrap();
        let code = text.split("#[cfg(test)]").next().unwrap();
        let own = file.strip_prefix(root()).unwrap().to_string_lossy().into_owned();
        if (code.contains(".socket(zmq::") || code.contains(".socket(kind)"))
            && !own.contains("tests")
        {
            made.push(own);
        }
    }
    made.sort();
    // Beside the one file: sockets within a process, for the handler that libzmq asks about keys.
    assert_eq!(made, ["ami-proto/src/socket/context.rs", "ami-proto/src/socket/mod.rs"]);
}
