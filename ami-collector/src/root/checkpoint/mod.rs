//! The root's checkpoint: open heartbeats, windows and watermarks in one piece.
//!
//! ```text
//! "amiroot\n"  layout u32  spare u32  header length u64  body length u64  checksum u64
//! header       one message in ami-proto's codec
//! body         states: of the windows, of each open heartbeat; graph sets as JSON
//! ```
//!
//! Written by a thread of its own to a new file that replaces the old one once it is on the disk; the
//! loop that decides only copies states. Reading trusts nothing: what is damaged or of another layout
//! is put aside, and the root begins without it.

pub(crate) mod saver;

use crate::root::builder::RootBuilder;
use crate::root::heartbeats::{Ready, Saved};
use crate::root::readings::Readings;
use ami_graph::data::schema::Schema;
use ami_proto::codec;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

const MAGIC: [u8; 8] = *b"amiroot\n";

/// Raised with every change of the file's bytes.
const LAYOUT: u32 = 4;

/// Bytes before the header.
const PREFIX: usize = 40;

/// What is not a state.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Header {
    /// What is decided.
    pub builder: RootBuilder,
    /// Open heartbeats; their states are in the body.
    pub frames: Saved,
    /// What every host reads.
    pub readings: Readings,
    /// By host: epoch and number of its newest schema, and the fields.
    pub schemas: BTreeMap<String, ((u64, u32), Schema)>,
    /// Versions of the graph sets that lie in the body as JSON.
    pub graphs: Vec<u64>,
    /// Version of the windows; None before the first.
    pub version: Option<u64>,
    /// The newest heartbeat published.
    pub newest: Option<Ready>,
    /// Sequence numbers by topic.
    pub seqs: BTreeMap<String, u64>,
    /// Lengths of what is in the body: of the windows' state, then by open heartbeat those of its
    /// partial's header and frames, then of each graph set.
    pub lengths: Vec<Vec<u64>>,
}

/// A checkpoint to be written: the states as they lie in memory.
#[derive(Debug)]
pub struct Image {
    /// What is not a state.
    pub header: Header,
    /// States, one after the other.
    pub body: Vec<Vec<u8>>,
}

impl Image {
    /// Bytes of the states.
    pub fn bytes(&self) -> u64 {
        self.body.iter().map(|part| part.len() as u64).sum()
    }
}

/// A checkpoint as it was read.
#[derive(Debug)]
pub struct Restored {
    /// What is not a state.
    pub header: Header,
    body: Vec<u8>,
}

impl Restored {
    /// The parts of each state.
    ///
    /// # Errors
    /// When the lengths are not those of the body.
    pub fn states(&self) -> Result<Vec<Vec<&[u8]>>, LoadError> {
        let mut rest = &self.body[..];
        let mut take = |length: &u64| -> Result<&[u8], LoadError> {
            let length = usize::try_from(*length).unwrap_or(usize::MAX);
            let short = || LoadError::Damaged("states are missing".into());
            let (part, left) = rest.split_at_checked(length).ok_or_else(short)?;
            rest = left;
            Ok(part)
        };
        self.header.lengths.iter().map(|state| state.iter().map(&mut take).collect()).collect()
    }
}

/// A checkpoint that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The file cannot be read.
    #[error("cannot be read: {0}")]
    Io(#[from] io::Error),
    /// Of another release.
    #[error("has layout {0}, this build reads {LAYOUT}")]
    Layout(u32),
    /// Not what was written.
    #[error("is damaged: {0}")]
    Damaged(String),
}

/// Reads a checkpoint of at most so many bytes; None when there is none.
///
/// # Errors
/// When it cannot be used.
pub fn load(path: &Path, most: u64) -> Result<Option<Restored>, LoadError> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    let mut bytes = Vec::new();
    file.take(most.saturating_add(1)).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > most {
        return Err(LoadError::Damaged(format!("more than {most} bytes")));
    }
    decode(bytes).map(Some)
}

fn decode(mut bytes: Vec<u8>) -> Result<Restored, LoadError> {
    let damaged = |what: &str| LoadError::Damaged(what.into());
    let Some(prefix) = bytes.first_chunk::<PREFIX>() else { return Err(damaged("too short")) };
    if prefix[..8] != MAGIC {
        return Err(damaged("not a checkpoint"));
    }
    let layout = u32::from_le_bytes([prefix[8], prefix[9], prefix[10], prefix[11]]);
    if layout != LAYOUT {
        return Err(LoadError::Layout(layout));
    }
    let number = |at: usize| prefix[at..at + 8].iter().rev().fold(0, |n, b| n << 8 | u64::from(*b));
    let (header, body, sum) = (number(16), number(24), number(32));
    let there = (bytes.len() - PREFIX) as u64;
    if header.checked_add(body) != Some(there) {
        return Err(damaged("cut short"));
    }
    if Checksum::of([&bytes[PREFIX..]].into_iter()) != sum {
        return Err(damaged("its checksum does not fit"));
    }
    let head = &bytes[PREFIX..PREFIX + header as usize];
    let header = codec::decode(head).map_err(|e| damaged(&e.to_string()))?;
    let body = bytes.split_off(bytes.len() - body as usize);
    Ok(Restored { header, body })
}

/// Makes the checksums of a checkpoint's bytes right.
pub fn seal(bytes: &mut [u8]) {
    let Some((prefix, rest)) = bytes.split_first_chunk_mut::<PREFIX>() else { return };
    let header = prefix[16..24].iter().rev().fold(0, |n, b| n << 8 | usize::from(*b));
    if let Some(header) = rest.get_mut(..header) {
        codec::seal(header);
    }
    prefix[32..].copy_from_slice(&Checksum::of([&*rest].into_iter()).to_le_bytes());
}

/// Writes a checkpoint beside, and lets it replace the old one once it is on the disk.
///
/// # Errors
/// When the disk does not take it; the old one stays.
pub fn write(path: &Path, image: &Image) -> io::Result<()> {
    let header = codec::encode(&image.header);
    let parts = std::iter::once(&header).chain(&image.body);
    let sum = Checksum::of(parts.map(Vec::as_slice));
    let new = path.with_extension("new");
    let mut prefix = MAGIC.to_vec();
    prefix.extend(LAYOUT.to_le_bytes());
    prefix.extend([0; 4]);
    for number in [header.len() as u64, image.bytes(), sum] {
        prefix.extend(number.to_le_bytes());
    }
    let written = (|| {
        let mut options = std::fs::OpenOptions::new();
        let mut file = options.create(true).truncate(true).write(true).mode(0o600).open(&new)?;
        file.write_all(&prefix)?;
        file.write_all(&header)?;
        image.body.iter().try_for_each(|part| file.write_all(part))?;
        file.sync_all()?;
        std::fs::rename(&new, path)?;
        sync_dir(path)
    })();
    if written.is_err() {
        // A full disk needs the room; and half a file is of no use.
        let _ = std::fs::remove_file(&new);
    }
    written
}

/// Makes a new name in a directory last.
///
/// # Errors
/// Those of the disk.
pub fn sync_dir(path: &Path) -> io::Result<()> {
    match path.parent() {
        Some(dir) if !dir.as_os_str().is_empty() => File::open(dir)?.sync_all(),
        _ => File::open(".")?.sync_all(),
    }
}

/// Puts a file aside that cannot be used; where.
pub fn put_aside(path: &Path) -> PathBuf {
    let aside = path.with_extension("damaged");
    let _ = std::fs::rename(path, &aside);
    aside
}

/// Detects torn and rotten files: FNV-1a over words of eight bytes. Where parts end does not matter.
#[derive(Debug, Clone, Copy)]
struct Checksum {
    sum: u64,
    /// Bytes that do not fill a word yet, and how many.
    word: [u8; 8],
    filled: usize,
}

impl Default for Checksum {
    fn default() -> Checksum {
        Checksum { sum: 0xcbf2_9ce4_8422_2325, word: [0; 8], filled: 0 }
    }
}

impl Checksum {
    fn mix(&mut self, word: u64) {
        self.sum = (self.sum ^ word).wrapping_mul(0x0000_0100_0000_01b3).rotate_left(23);
    }

    fn add(&mut self, bytes: &[u8]) {
        let (first, rest) = bytes.split_at(bytes.len().min((8 - self.filled) % 8));
        first.iter().for_each(|b| self.byte(*b));
        let (words, last) = rest.as_chunks::<8>();
        words.iter().for_each(|word| self.mix(u64::from_le_bytes(*word)));
        last.iter().for_each(|b| self.byte(*b));
    }

    fn byte(&mut self, byte: u8) {
        self.word[self.filled] = byte;
        self.filled += 1;
        if self.filled == 8 {
            self.filled = 0;
            let word = std::mem::take(&mut self.word);
            self.mix(u64::from_le_bytes(word));
        }
    }

    fn of<'a>(parts: impl Iterator<Item = &'a [u8]>) -> u64 {
        let mut sum = Checksum::default();
        parts.for_each(|part| sum.add(part));
        let (word, filled) = (u64::from_le_bytes(sum.word), sum.filled as u64);
        sum.mix(word);
        sum.mix(filled);
        sum.sum
    }
}

#[cfg(test)]
mod tests;
