//! The Python half: its files are compiled in, and written where an interpreter finds them.

use sha2::{Digest, Sha256};
use std::fs;
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

/// Every file of the host: its path below the directory, and its text.
const FILES: &[(&str, &str)] = include!(concat!(env!("OUT_DIR"), "/package.rs"));

/// Writes the files below `run_dir`, unless they are there, and says where. The directory is named by
/// what is in it, so that several members and several builds can share a run directory.
///
/// # Errors
/// Text for people: the place and the reason.
pub(crate) fn unpack(run_dir: &Path) -> Result<PathBuf, String> {
    let all = run_dir.join("python");
    let dir = all.join(name());
    let told = |e: io::Error| format!("{}: {e}: the run directory must be writable", dir.display());
    make_private(&all).map_err(told)?;
    if !dir.exists() {
        // Whoever sees the directory sees all of it.
        let new = all.join(format!(".{}-{}", name(), std::process::id()));
        write_to(&new).map_err(told)?;
        if let Err(error) = fs::rename(&new, &dir) {
            let _ = fs::remove_dir_all(&new);
            if !dir.exists() {
                return Err(told(error));
            }
        }
    }
    let differs = |(file, text): &&(&str, &str)| {
        fs::read(dir.join(file)).map_or(true, |there| there != text.as_bytes())
    };
    match FILES.iter().find(differs) {
        None => Ok(dir),
        Some((file, _)) => Err(format!(
            "{}: not as it was written: remove the directory",
            dir.join(file).display()
        )),
    }
}

fn name() -> String {
    let mut hash = Sha256::new();
    for (file, text) in FILES {
        hash.update((file.len() as u64).to_le_bytes());
        hash.update(file);
        hash.update((text.len() as u64).to_le_bytes());
        hash.update(text);
    }
    hash.finalize()[..8].iter().map(|byte| format!("{byte:02x}")).collect()
}

fn make_private(dir: &Path) -> io::Result<()> {
    fs::DirBuilder::new().mode(0o700).recursive(true).create(dir)
}

fn write_to(dir: &Path) -> io::Result<()> {
    for (file, text) in FILES {
        let path = dir.join(file);
        make_private(path.parent().unwrap_or(dir))?;
        fs::write(path, text)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn the_files_are_private_and_written_once() {
        let run_dir = tempfile::tempdir().unwrap();
        let dir = unpack(run_dir.path()).unwrap();
        assert_eq!(fs::metadata(&dir).unwrap().permissions().mode() & 0o777, 0o700);
        let boot = dir.join("boot.py");
        let written = fs::metadata(&boot).unwrap().modified().unwrap();
        assert_eq!(unpack(run_dir.path()).unwrap(), dir);
        assert_eq!(fs::metadata(&boot).unwrap().modified().unwrap(), written);
        assert!(dir.join("ami_node/host.py").exists());
        fs::write(&boot, "import os").unwrap();
        assert!(unpack(run_dir.path()).unwrap_err().contains("boot.py"));
    }
}
