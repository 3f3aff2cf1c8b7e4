//! The rules of the code base that Cargo and clippy cannot state.

use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Crate, and which of ours it may depend on.
const MAY: [(&str, &[&str]); 9] = [
    ("ami-graph", &[]),
    ("ami-shm", &[]),
    ("ami-proto", &["ami-graph"]),
    ("ami-ventilator", &["ami-graph", "ami-proto", "ami-shm"]),
    ("ami-worker", &["ami-graph", "ami-proto", "ami-shm"]),
    ("ami-collector", &["ami-graph", "ami-proto"]),
    ("ami-manager", &["ami-graph", "ami-proto"]),
    ("ami-store", &["ami-proto"]),
    ("ami-ctl", &["ami-graph", "ami-proto", "ami-shm"]),
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
    for file in files {
        let text = std::fs::read_to_string(&file).unwrap();
        let code = text.split("#[cfg(test)]").next().unwrap();
        let makes = code.contains(".socket(zmq::") || code.contains(".socket(kind)");
        let is_test = file.to_string_lossy().contains("tests");
        assert!(
            !makes || is_test || file.ends_with("ami-proto/src/socket.rs"),
            "{}",
            file.display()
        );
    }
}
