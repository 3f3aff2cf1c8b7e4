//! The journal: one line per record, with a checksum, on disk before it counts.
//!
//! ```text
//!     {"sum":"<16 hex of SHA-256 of what follows>","record":{…}}\n
//! ```
//!
//! A process killed in mid-line leaves a torn last line: it is cut off. Damage before the last line
//! means a broken disk or an editor: what stands before it is used and the whole file is kept
//! beside as `.damaged`. Files named in parameters lie in a directory beside it, by content hash.

use crate::files;
use crate::history::{MAX_BYTES, Record};
use std::collections::BTreeSet;
use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// Largest journal that is read: records are compacted far below it.
const MAX_FILE: u64 = 4 * MAX_BYTES as u64;

/// Why the journal cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// Opening, reading or writing failed.
    #[error("journal {path}: {source}: set manager.journal to a file that this user can write")]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Another process has it.
    #[error("journal {path} is in use: stop the other manager, or set manager.journal")]
    Taken {
        /// The file.
        path: PathBuf,
    },
    /// A directory or a device.
    #[error("journal {path} is not a regular file: set manager.journal to one")]
    NoFile {
        /// What was named.
        path: PathBuf,
    },
    /// Not ours.
    #[error(
        "journal {path} has {bytes} bytes, which no manager writes: move it away, or set manager.journal"
    )]
    Huge {
        /// The file.
        path: PathBuf,
        /// Its size.
        bytes: u64,
    },
}

/// The open journal.
#[derive(Debug)]
pub struct Journal {
    path: PathBuf,
    /// None where it cannot even be read, because it is not there and cannot be made.
    file: Option<File>,
    /// A write failed: the file may end in a torn line, so nothing is appended before it is
    /// written anew.
    broken: Option<String>,
}

/// What a journal held.
#[derive(Debug, Default)]
pub struct Contents {
    /// Records, oldest first.
    pub records: Vec<Record>,
    /// What was wrong with the file, for people.
    pub notes: Vec<String>,
}

fn options() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.mode(0o600);
    options
}

/// One record as a line.
pub fn line(record: &Record) -> Result<Vec<u8>, serde_json::Error> {
    let json = serde_json::to_string(record)?;
    let sum = files::hash(json.as_bytes());
    Ok(format!("{{\"sum\":\"{}\",\"record\":{json}}}\n", &sum[..16]).into_bytes())
}

/// The record of a line without its newline; None: damaged.
fn parse(line: &[u8]) -> Option<Record> {
    let rest = line.strip_prefix(b"{\"sum\":\"")?;
    let (sum, rest) = rest.split_at_checked(16)?;
    let json = rest.strip_prefix(b"\",\"record\":")?.strip_suffix(b"}")?;
    (files::hash(json).as_bytes()[..16] == *sum).then(|| serde_json::from_slice(json).ok())?
}

impl Journal {
    /// Opens or creates it and reads what is there.
    ///
    /// # Errors
    /// When it cannot be read or written, or is another manager's.
    pub fn open(path: &Path) -> Result<(Journal, Contents), JournalError> {
        let failed = |source| JournalError::Io { path: path.into(), source };
        if std::fs::metadata(path).is_ok_and(|m| !m.is_file()) {
            return Err(JournalError::NoFile { path: path.into() });
        }
        let file = match make_dirs(path).and_then(|()| append(path)) {
            Ok(file) => file,
            Err(error) if survivable(&error) => return Journal::unwritten(path, &error),
            Err(error) => return Err(failed(error)),
        };
        lock(&file, path)?;
        let bytes = file.metadata().map_err(failed)?.len();
        if bytes > MAX_FILE {
            return Err(JournalError::Huge { path: path.into(), bytes });
        }
        let mut journal = Journal { path: path.into(), file: Some(file), broken: None };
        let contents = match journal.read() {
            Err(error) if survivable(&error) => return Journal::unwritten(path, &error),
            contents => contents.map_err(failed)?,
        };
        sync_dir(path).map_err(failed)?;
        Ok((journal, contents))
    }

    /// On a disk that is full or read-only: what is there is used, and writing is tried again later.
    /// A journal that is there and cannot be read is an error: without it graphs would be lost.
    fn unwritten(path: &Path, error: &io::Error) -> Result<(Journal, Contents), JournalError> {
        let failed = |source| JournalError::Io { path: path.into(), source };
        let broken = Some(format!("cannot write {}: {error}", path.display()));
        let file = match File::open(path) {
            Ok(file) => file,
            Err(e) if e.kind() == io::ErrorKind::NotFound => {
                return Ok((
                    Journal { path: path.into(), file: None, broken },
                    Contents::default(),
                ));
            }
            Err(e) => return Err(failed(e)),
        };
        lock(&file, path)?;
        let bytes = file.metadata().map_err(failed)?.len();
        if bytes > MAX_FILE {
            return Err(JournalError::Huge { path: path.into(), bytes });
        }
        let bytes = std::fs::read(path).map_err(failed)?;
        let (mut contents, good) = records(&bytes);
        if good < bytes.len() {
            let note = format!("the last {} bytes are damaged and not used", bytes.len() - good);
            contents.notes.push(note);
        }
        Ok((Journal { path: path.into(), file: Some(file), broken }, contents))
    }

    fn read(&mut self) -> io::Result<Contents> {
        let bytes = std::fs::read(&self.path)?;
        let (mut contents, good) = records(&bytes);
        if good == bytes.len() {
            return Ok(contents);
        }
        let number = contents.records.len() + 1;
        let after = &bytes[good..];
        let newline = after.iter().position(|b| *b == b'\n');
        if newline.is_none_or(|at| at + 1 == after.len()) {
            let note =
                format!("line {number} was torn by a crash; its {} bytes are cut off", after.len());
            contents.notes.push(note);
            if let Some(file) = &self.file {
                file.set_len(good as u64)?;
                file.sync_all()?;
            }
        } else {
            let kept = self.path.with_added_extension("damaged");
            write_new(&kept, &bytes)?;
            let note = format!(
                "line {number} is damaged: the {} records before it are used; the file as it was is kept as {}",
                contents.records.len(),
                kept.display()
            );
            contents.notes.push(note);
            self.replace(&bytes[..good])?;
        }
        Ok(contents)
    }

    /// Where files named in parameters are kept.
    pub fn files(&self) -> PathBuf {
        files_dir(&self.path)
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Why it is not written at present.
    pub fn broken(&self) -> Option<&str> {
        self.broken.as_deref()
    }

    /// Adds a record; it is on disk when this returns. After a failure nothing more is added until
    /// [`rewrite`](Self::rewrite) succeeds.
    ///
    /// # Errors
    /// The reason, for people.
    pub fn append(&mut self, record: &Record) -> Result<(), String> {
        if let Some(reason) = &self.broken {
            return Err(reason.clone());
        }
        let written = line(record).map_err(io::Error::other).and_then(|line| {
            let closed = || io::Error::other("it is not open");
            let file = self.file.as_mut().ok_or_else(closed)?;
            file.write_all(&line)?;
            file.sync_data()
        });
        self.outcome(&self.path.clone(), written)
    }

    /// Keeps a file's content under its hash.
    ///
    /// # Errors
    /// The reason, for people.
    pub fn store(&mut self, hash: &str, bytes: &[u8]) -> Result<(), String> {
        let path = self.files().join(hash);
        let stored = std::fs::read(&path).is_ok_and(|old| old == bytes);
        let written = if stored { Ok(()) } else { write_new(&path, bytes) };
        self.outcome(&path, written)
    }

    fn outcome(&mut self, path: &Path, written: io::Result<()>) -> Result<(), String> {
        written.map_err(|e| {
            let reason = format!("cannot write {}: {e}", path.display());
            self.broken = Some(reason.clone());
            reason
        })
    }

    /// Writes the whole journal anew, in one step, and drops files that nothing names any more.
    ///
    /// # Errors
    /// The reason, for people; the old journal stays.
    pub fn rewrite(&mut self, records: &[Record]) -> Result<(), String> {
        let lines: Result<Vec<Vec<u8>>, _> = records.iter().map(line).collect();
        let written =
            lines.map_err(io::Error::other).and_then(|lines| self.replace(&lines.concat()));
        self.outcome(&self.path.clone(), written)?;
        self.broken = None;
        self.sweep(records);
        Ok(())
    }

    fn replace(&mut self, bytes: &[u8]) -> io::Result<()> {
        make_dirs(&self.path)?;
        write_new(&self.path, bytes)?;
        let file = append(&self.path)?;
        lock(&file, &self.path).map_err(io::Error::other)?;
        self.file = Some(file);
        Ok(())
    }

    fn sweep(&self, records: &[Record]) {
        let named: BTreeSet<String> = records
            .iter()
            .filter_map(|r| match r {
                Record::Version(entry) => entry.content.as_ref(),
                _ => None,
            })
            .flat_map(|content| files::named(&content.spec))
            .collect();
        let Ok(entries) = std::fs::read_dir(self.files()) else { return };
        for entry in entries.flatten() {
            if entry.file_name().to_str().is_some_and(|name| !named.contains(name)) {
                // One that stays costs space and nothing else.
                let _ = std::fs::remove_file(entry.path());
            }
        }
    }
}

/// The records before the first line that is torn or damaged, and how many bytes they have.
fn records(bytes: &[u8]) -> (Contents, usize) {
    let (mut contents, mut good) = (Contents::default(), 0);
    for line in bytes.split_inclusive(|b| *b == b'\n') {
        let Some(record) = line.strip_suffix(b"\n").and_then(parse) else { break };
        contents.records.push(record);
        good += line.len();
    }
    (contents, good)
}

/// What may be better tomorrow, and is no reason to do without a manager today.
fn survivable(error: &io::Error) -> bool {
    use io::ErrorKind::{
        FileTooLarge, PermissionDenied, QuotaExceeded, ReadOnlyFilesystem, StorageFull,
    };
    let kinds = [FileTooLarge, PermissionDenied, QuotaExceeded, ReadOnlyFilesystem, StorageFull];
    kinds.contains(&error.kind())
}

fn make_dirs(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(files_dir(path))
}

fn append(path: &Path) -> io::Result<File> {
    options().read(true).append(true).create(true).open(path)
}

fn files_dir(path: &Path) -> PathBuf {
    path.with_added_extension("files")
}

/// Makes or replaces a file in one step: a crash leaves the old or the new one.
fn write_new(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let temporary = path.with_added_extension("new");
    let mut file = options().write(true).create(true).truncate(true).open(&temporary)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    std::fs::rename(&temporary, path)?;
    sync_dir(path)
}

fn sync_dir(path: &Path) -> io::Result<()> {
    match path.parent() {
        Some(dir) if !dir.as_os_str().is_empty() => File::open(dir)?.sync_all(),
        _ => File::open(".")?.sync_all(),
    }
}

fn lock(file: &File, path: &Path) -> Result<(), JournalError> {
    file.try_lock().map_err(|e| match e {
        std::fs::TryLockError::WouldBlock => JournalError::Taken { path: path.into() },
        std::fs::TryLockError::Error(source) => JournalError::Io { path: path.into(), source },
    })
}
