//! A code file, and which node in it is meant.

use crate::failure::Failure;
use std::io::Read;
use std::path::{Path, PathBuf};

/// Most bytes of a code file; more is no code that a person wrote.
const MAX_CODE: u64 = 4 << 20;

/// Code as it stands in a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Code {
    /// Its name without folders, as tracebacks have it.
    pub file: String,
    /// Which node; all, or the only one, without.
    pub name: Option<String>,
    /// The text.
    pub source: String,
}

impl Code {
    /// Reads `FILE` or `FILE:NAME`.
    ///
    /// # Errors
    /// When the file cannot be read or is no text: exit code 2.
    pub fn read(which: &Path) -> Result<Code, Failure> {
        let (path, name) = split(which);
        let wrong = |reason: String| {
            Failure::usage(
                format!("code file {}: {reason}", path.display()),
                "give an existing file of Python, or `ami-ctl node new NAME` writes one",
            )
        };
        let mut bytes = Vec::new();
        let file = std::fs::File::open(&path).map_err(|e| wrong(e.to_string()))?;
        let read = file.take(MAX_CODE + 1).read_to_end(&mut bytes);
        read.map_err(|e| wrong(e.to_string()))?;
        if bytes.len() as u64 > MAX_CODE {
            return Err(wrong(format!("more than {MAX_CODE} bytes")));
        }
        let source = String::from_utf8(bytes).map_err(|e| wrong(format!("no UTF-8: {e}")))?;
        let file = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        Ok(Code { file, name, source })
    }
}

/// File and name. A file whose own name has the colon is meant as it stands.
fn split(which: &Path) -> (PathBuf, Option<String>) {
    let text = which.to_string_lossy();
    match text.rsplit_once(':') {
        Some((path, name)) if !which.exists() && !path.is_empty() && is_name(name) => {
            (path.into(), Some(name.into()))
        }
        _ => (which.into(), None),
    }
}

/// Whether Python can have a function or class of this name.
pub fn is_name(text: &str) -> bool {
    let letters = |c: char| c.is_alphanumeric() || c == '_';
    !text.is_empty() && !text.starts_with(|c: char| c.is_ascii_digit()) && text.chars().all(letters)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_stands_behind_a_colon() {
        let dir = tempfile::tempdir().unwrap();
        let plain = dir.path().join("hits.py");
        std::fs::write(&plain, "x = 1\n").unwrap();
        let named = dir.path().join("hits.py:Radial");
        let code = Code::read(&named).unwrap();
        assert_eq!((&code.file[..], code.name.as_deref()), ("hits.py", Some("Radial")));
        assert_eq!(Code::read(&plain).unwrap().name, None);
        std::fs::write(&named, "y = 1\n").unwrap();
        assert_eq!(Code::read(&named).unwrap().source, "y = 1\n");
        let failure = Code::read(&dir.path().join("hist.py")).unwrap_err();
        assert!(failure.refusal.error.contains("hist.py") && failure.code == 2, "{failure}");
    }
}
