//! Lists the files of the Python host, so that they are compiled in.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::{env, fs, io};

/// Where they are, seen from here.
const PYTHON: &str = "../ami-worker/python";

fn main() -> io::Result<()> {
    let root = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").unwrap_or_default()).join(PYTHON);
    println!("cargo::rerun-if-changed={}", root.join("boot.py").display());
    println!("cargo::rerun-if-changed={}", root.join("src/ami_node").display());
    let mut files = vec![("boot.py".to_owned(), root.join("boot.py"))];
    collect(&root.join("src/ami_node"), "ami_node", &mut files)?;
    files.sort();
    let mut text = String::from("&[\n");
    for (name, path) in files {
        let path = path.canonicalize()?;
        let _ = writeln!(text, "({name:?}, include_str!({:?})),", path.display().to_string());
    }
    text.push_str("]\n");
    let out = PathBuf::from(env::var_os("OUT_DIR").unwrap_or_default());
    fs::write(out.join("package.rs"), text)
}

fn collect(dir: &Path, prefix: &str, files: &mut Vec<(String, PathBuf)>) -> io::Result<()> {
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        let name = format!("{prefix}/{}", path.file_name().unwrap_or_default().to_string_lossy());
        if path.is_dir() {
            collect(&path, &name, files)?;
        } else if path.extension().is_some_and(|e| e == "py") {
            files.push((name, path));
        }
    }
    Ok(())
}
