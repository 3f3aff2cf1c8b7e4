//! What tells a source from another one under the same URL: after a crash a ventilator goes on in the
//! source that it had, and never in the middle of another.

use crate::url::SourceSpec;
use std::fs::File;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::SystemTime;

/// Bytes at a file's beginning that are looked at: the first datagram's stamp is among them. A file
/// that takes another's place may get its inode.
const BEGINNING: usize = 64;

/// The URL, and for each file device, inode and a hash of its beginning; of a simulation's
/// description the hash of all of it. What cannot be read has none: opening says why.
pub fn identity(url: &str, spec: &SourceSpec) -> String {
    let marks = spec.kind.part().marks();
    std::iter::once(url.to_owned()).chain(marks).collect::<Vec<_>>().join(" ")
}

/// Device, inode and a hash of the beginning.
pub(crate) fn of_file(path: &Path) -> String {
    let Ok(metadata) = path.metadata() else { return String::new() };
    let mut beginning = Vec::new();
    if metadata.is_file()
        && let Ok(file) = File::open(path)
    {
        // A file that cannot be read is told by its inode alone.
        let _ = file.take(BEGINNING as u64).read_to_end(&mut beginning);
    }
    format!("{}:{}:{}", metadata.dev(), metadata.ino(), hash(&beginning))
}

/// Device, inode and birth of a file that may grow; when it was changed last, unless its HDF5 superblock
/// says that it is being written.
pub(crate) fn of_hdf5(path: &Path) -> String {
    let Ok(metadata) = path.metadata() else { return String::new() };
    let mut beginning = Vec::new();
    if metadata.is_file()
        && let Ok(file) = File::open(path)
    {
        let _ = file.take(12).read_to_end(&mut beginning);
    }
    let written = matches!(beginning[..], [.., 2 | 3, _, _, flags] if flags != 0);
    let ns = |time: std::io::Result<SystemTime>| {
        let since = time.ok().and_then(|t| t.duration_since(SystemTime::UNIX_EPOCH).ok());
        since.map_or(0, |t| t.as_nanos())
    };
    let (born, changed) = (ns(metadata.created()), ns(metadata.modified()));
    let changed = if written { 0 } else { changed };
    format!("{}:{}:{born}:{changed}", metadata.dev(), metadata.ino())
}

/// A hash of all of it.
pub(crate) fn of_content(path: &Path) -> String {
    std::fs::read(path).map_or_else(|_| String::new(), |text| hash(&text))
}

fn hash(bytes: &[u8]) -> String {
    let mut hasher = DefaultHasher::new();
    bytes.hash(&mut hasher);
    format!("{:016x}", hasher.finish())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_file_under_the_same_name_is_another_source() {
        let dir = tempfile::tempdir().unwrap();
        for (name, scheme) in [("run.xtc2", "xtc2"), ("sim.toml", "sim")] {
            let path = dir.path().join(name);
            let url = format!("{scheme}:{}", path.display());
            let spec: SourceSpec = url.parse().unwrap();
            std::fs::write(&path, "one").unwrap();
            let one = identity(&url, &spec);
            assert_eq!(identity(&url, &spec), one);
            std::fs::write(&path, "two").unwrap();
            assert_ne!(identity(&url, &spec), one, "written anew in its place");
            std::fs::remove_file(&path).unwrap();
            identity(&url, &spec);
        }
        let spec: SourceSpec = "sim:mixed?seed=3".parse().unwrap();
        assert_eq!(identity("sim:mixed?seed=3", &spec), "sim:mixed?seed=3");
    }
}
