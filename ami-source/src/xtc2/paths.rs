//! Which files belong together: streams of a run, chunks of a stream, runs one after the other.
//!
//! `<experiment>-r<run>-s<stream>-c<chunk>.xtc2`, `.smd.xtc2` for small data, `.inprogress` behind
//! it while it is written. Files that are named otherwise are runs of their own, unless they do
//! not begin with Configure: then they continue the stream before them.

use crate::xtc2::dgram::{CONFIGURE, SERVICES};
use crate::xtc2::file::{First, first};
use anyhow::{Context, bail};
use std::path::{Path, PathBuf};

const LIVE: &str = ".inprogress";

/// A file name that follows the pattern.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunName {
    /// Experiment and run, and whether it is small data: what streams of one run share.
    pub run: (String, u32, bool),
    /// Stream.
    pub stream: u32,
    /// Chunk.
    pub chunk: u32,
}

impl RunName {
    /// Takes a file's name apart; None when it does not follow the pattern.
    pub fn parse(path: &Path) -> Option<RunName> {
        let name = path.file_name()?.to_str()?;
        let name = name.strip_suffix(LIVE).unwrap_or(name).strip_suffix(".xtc2")?;
        let small = name.ends_with(".smd");
        let name = name.strip_suffix(".smd").unwrap_or(name);
        let (name, chunk) = number(name, "-c")?;
        let (name, stream) = number(name, "-s")?;
        let (experiment, run) = number(name, "-r")?;
        Some(RunName { run: (experiment.to_owned(), run, small), stream, chunk })
    }

    /// The name of the first chunk of the same stream, beside `path`.
    pub fn first_chunk(&self, path: &Path) -> PathBuf {
        let (experiment, run, small) = &self.run;
        let small = if *small { ".smd" } else { "" };
        path.with_file_name(format!("{experiment}-r{run:04}-s{:03}-c000{small}.xtc2", self.stream))
    }
}

/// Splits the number behind the last `mark` off.
fn number<'a>(name: &'a str, mark: &str) -> Option<(&'a str, u32)> {
    let (rest, digits) = name.rsplit_once(mark)?;
    let all = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
    Some((rest, digits.parse().ok().filter(|_| all)?))
}

/// True for a file that is still being written.
pub fn is_live(path: &Path) -> bool {
    path.to_str().is_some_and(|p| p.ends_with(LIVE))
}

/// True for small data, which cover all chunks of their stream.
pub fn is_small(path: &Path) -> bool {
    path.to_str().is_some_and(|p| p.trim_end_matches(LIVE).ends_with(".smd.xtc2"))
}

/// Files of one stream, in order.
pub type StreamFiles = Vec<PathBuf>;

/// Streams of one run.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RunFiles {
    /// Each with at least one file, the first of which begins with Configure.
    pub streams: Vec<StreamFiles>,
}

/// Directories become the XTC2 files in them, by name.
///
/// # Errors
/// When a path does not exist or a directory has no XTC2 file.
pub fn expand(paths: &[PathBuf]) -> anyhow::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for path in paths {
        if path.is_dir() {
            files.extend(files_in(path)?);
        } else {
            files.push(path.clone());
        }
    }
    if files.is_empty() {
        bail!("no XTC2 file was named: give at least one path, as in xtc2:/data/run1.xtc2");
    }
    Ok(files)
}

fn files_in(directory: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let name = directory.display();
    let entries = std::fs::read_dir(directory)
        .with_context(|| format!("directory {name} cannot be read: check its permissions"))?;
    let mut files: Vec<PathBuf> = entries
        .filter_map(|e| e.ok().map(|e| e.path()))
        .filter(|p| p.is_file())
        .filter(|p| p.to_str().is_some_and(|p| p.trim_end_matches(LIVE).ends_with(".xtc2")))
        .collect();
    files.sort();
    if files.is_empty() {
        bail!("directory {name} holds no *.xtc2 file: name the directory that has them itself");
    }
    Ok(files)
}

/// A file and what stands at its beginning.
struct Known {
    path: PathBuf,
    name: Option<RunName>,
    /// Begins a stream (also when it is live and still empty).
    begins: bool,
}

/// Sorts files into runs and streams.
///
/// # Errors
/// When a file is not XTC2, or no stream begins before one that continues.
pub fn arrange(files: &[PathBuf]) -> anyhow::Result<Vec<RunFiles>> {
    let mut known = Vec::new();
    for path in files {
        let (begins, service) = match first(path, is_live(path))? {
            First::Dgram(header) => (header.service() == CONFIGURE, header.service()),
            First::Unknown => (RunName::parse(path).is_none_or(|n| n.chunk == 0), CONFIGURE),
        };
        known.push((Known { path: path.clone(), name: RunName::parse(path), begins }, service));
    }
    if let Some((k, service)) = known.first().filter(|_| known.iter().all(|(k, _)| !k.begins)) {
        bail!(
            "{} begins with {}, not with Configure, so its fields have no names: it continues \
             another file; name the first chunk of its stream (…-c000.xtc2) before it",
            k.path.display(),
            SERVICES.get(usize::from(*service)).unwrap_or(&"an unknown service"),
        );
    }
    let (begin, continue_): (Vec<_>, Vec<_>) =
        known.into_iter().enumerate().partition(|(_, (k, _))| k.begins);
    let mut runs: Vec<Placed> = Vec::new();
    for (at, (k, _)) in begin {
        place(&mut runs, at, k);
    }
    let mut rest: Vec<(usize, Known)> = continue_.into_iter().map(|(i, (k, _))| (i, k)).collect();
    rest.sort_by_key(|(at, k)| (k.name.as_ref().map_or(0, |n| n.chunk), *at));
    for (at, k) in rest {
        append(&mut runs, at, k);
    }
    let files =
        |run: Placed| RunFiles { streams: run.streams.into_iter().map(|s| s.files).collect() };
    Ok(runs.into_iter().map(files).collect())
}

struct Placed {
    run: Option<(String, u32, bool)>,
    streams: Vec<PlacedStream>,
}

struct PlacedStream {
    /// Where it stood in what the user named.
    at: usize,
    stream: Option<u32>,
    files: StreamFiles,
}

/// A file that begins with Configure joins its run as a new stream. When the run has that stream
/// already, it is another recording of that name, or a chunk that repeats Configure.
fn place(runs: &mut Vec<Placed>, at: usize, file: Known) {
    let Some(name) = file.name else {
        let stream = PlacedStream { at, stream: None, files: vec![file.path] };
        runs.push(Placed { run: None, streams: vec![stream] });
        return;
    };
    let stream = PlacedStream { at, stream: Some(name.stream), files: vec![file.path] };
    let free = |r: &&mut Placed| {
        r.run.as_ref() == Some(&name.run) && !r.streams.iter().any(|s| s.stream == stream.stream)
    };
    match runs.iter_mut().rev().find(free) {
        Some(run) => run.streams.push(stream),
        None => runs.push(Placed { run: Some(name.run), streams: vec![stream] }),
    }
}

/// A file without Configure follows the stream of its name, else the stream named before it, else
/// (a directory sorts them by name) the first one.
fn append(runs: &mut [Placed], at: usize, file: Known) {
    let by_name = file.name.as_ref().and_then(|n| {
        let run = runs.iter().rposition(|r| r.run.as_ref() == Some(&n.run))?;
        let stream = runs[run].streams.iter().position(|s| s.stream == Some(n.stream))?;
        Some((run, stream))
    });
    let places = runs.iter().enumerate().flat_map(|(r, run)| {
        run.streams.iter().enumerate().map(move |(s, stream)| (stream.at, (r, s)))
    });
    let before = places.filter(|p| p.0 < at).max().map(|p| p.1);
    let (run, stream) = by_name.or(before).unwrap_or((0, 0));
    if let Some(stream) = runs.get_mut(run).and_then(|r| r.streams.get_mut(stream)) {
        stream.files.push(file.path);
        // The next one named after this one follows the same stream.
        stream.at = stream.at.max(at);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_taken_apart() {
        let name = RunName::parse(Path::new("/d/xpp-tut15-r0014-s001-c002.smd.xtc2.inprogress"));
        let run = ("xpp-tut15".to_owned(), 14, true);
        assert_eq!(name, Some(RunName { run, stream: 1, chunk: 2 }));
        let first = name.map(|n| n.first_chunk(Path::new("/d/x")));
        assert_eq!(first, Some(PathBuf::from("/d/xpp-tut15-r0014-s001-c000.smd.xtc2")));
        for other in ["test_hsd.xtc2", "a-r1-s2-c3.h5", "a-r1-s-c3.xtc2", "a-r1-s+2-c3.xtc2"] {
            assert_eq!(RunName::parse(Path::new(other)), None, "{other}");
        }
    }
}
