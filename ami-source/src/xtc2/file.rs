//! One file as a sequence of datagrams, read through a buffer: positioned reads, no memory map, so
//! that a file that shrinks or vanishes ends the reading and not the process.

use crate::xtc2::dgram::{HEADER, Header, PARENT};
use anyhow::{Context, bail};
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

/// Bytes asked for at once: large enough that small datagrams cost no syscall each, small enough to
/// stay in cache between reading and copying on.
const BLOCK: usize = 1 << 20;

/// What stands at the current place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Peek {
    /// A whole datagram.
    Ready(Header),
    /// The beginning of one: bytes there, bytes needed as far as known.
    Partial(usize, usize),
    /// Nothing: the file ends between datagrams.
    End,
    /// Bytes that cannot be a datagram; the extent they state.
    Broken(u32),
}

/// A file open for reading.
#[derive(Debug)]
pub struct DgramFile {
    path: PathBuf,
    file: File,
    /// Place of the current datagram in the file.
    offset: u64,
    /// Bytes of the file from `offset - at` on; `..filled` are valid.
    buffer: Vec<u8>,
    at: usize,
    filled: usize,
    /// Size of the current datagram, once it is known to be whole.
    size: usize,
}

impl DgramFile {
    /// Opens a file.
    ///
    /// # Errors
    /// When it does not exist or may not be read.
    pub fn open(path: &Path) -> anyhow::Result<DgramFile> {
        let next = "check the path and that this user may read it";
        let file = File::open(path)
            .with_context(|| format!("XTC2 file {} cannot be opened: {next}", path.display()))?;
        if file.metadata().is_ok_and(|m| m.is_dir()) {
            bail!("{} is a directory, not an XTC2 file: name a file in it", path.display());
        }
        Ok(DgramFile {
            path: path.to_path_buf(),
            file,
            offset: 0,
            buffer: Vec::new(),
            at: 0,
            filled: 0,
            size: 0,
        })
    }

    /// A second reader that starts where this one stands and does not move it.
    ///
    /// # Errors
    /// When the system has no file descriptor left.
    pub fn fork(&self) -> io::Result<DgramFile> {
        let file = self.file.try_clone()?;
        let path = self.path.clone();
        let offset = self.offset;
        Ok(DgramFile { path, file, offset, buffer: Vec::new(), at: 0, filled: 0, size: 0 })
    }

    /// Its path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Place of the current datagram.
    pub const fn offset(&self) -> u64 {
        self.offset
    }

    /// What stands at the current place; asks the file again while it is not a whole datagram.
    ///
    /// # Errors
    /// When reading fails.
    pub fn peek(&mut self) -> anyhow::Result<Peek> {
        self.look().with_context(|| {
            let path = self.path.display();
            format!("reading {path} at byte {} failed: check the disk or mount", self.offset)
        })
    }

    fn look(&mut self) -> io::Result<Peek> {
        self.size = 0;
        let have = self.ensure(HEADER)?;
        let Some(header) = Header::parse(self.available()) else {
            return Ok(if have == 0 { Peek::End } else { Peek::Partial(have, HEADER) });
        };
        let Some(size) = header.size() else { return Ok(Peek::Broken(header.root.extent)) };
        let have = self.ensure(size)?;
        if have < size {
            return Ok(Peek::Partial(have, size));
        }
        self.size = size;
        Ok(Peek::Ready(header))
    }

    /// The current datagram; empty unless [`peek`](Self::peek) said that it is ready.
    pub fn dgram(&self) -> &[u8] {
        &self.available()[..self.size]
    }

    /// Goes behind the current datagram.
    pub fn advance(&mut self) {
        self.offset += self.size as u64;
        self.at += self.size;
        self.size = 0;
    }

    fn available(&self) -> &[u8] {
        &self.buffer[self.at..self.filled]
    }

    /// Reads until `want` bytes are there or the file ends; returns how many are.
    fn ensure(&mut self, want: usize) -> io::Result<usize> {
        let have = self.filled - self.at;
        if have >= want {
            return Ok(have);
        }
        // An extent may claim more than the file holds: take memory only for what is there.
        let room = if want > BLOCK {
            let left = self.file.metadata()?.len().saturating_sub(self.offset);
            want.min(usize::try_from(left).unwrap_or(want)).max(BLOCK)
        } else {
            BLOCK
        };
        self.buffer.copy_within(self.at..self.filled, 0);
        (self.at, self.filled) = (0, have);
        if self.buffer.len() < room {
            self.buffer.resize(room, 0);
        }
        while self.filled < want.min(self.buffer.len()) {
            let from = self.offset + self.filled as u64;
            match self.file.read_at(&mut self.buffer[self.filled..], from) {
                Ok(0) => break,
                Ok(n) => self.filled += n,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
        }
        Ok(self.filled)
    }

    /// The file's first bytes, as hex and text, for messages.
    pub fn first_bytes(&self) -> String {
        let mut bytes = [0; 16];
        let n = self.file.read_at(&mut bytes, 0).unwrap_or(0);
        let text: String = bytes[..n]
            .iter()
            .map(|&b| if b.is_ascii_graphic() { char::from(b) } else { '.' })
            .collect();
        let hex: Vec<String> = bytes[..n].iter().map(|b| format!("{b:02x}")).collect();
        format!("{} \"{text}\"", hex.join(" "))
    }
}

/// What a file begins with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum First {
    /// A datagram of this header.
    Dgram(Header),
    /// Not yet known: a file still being written.
    Unknown,
}

/// Looks at a file's first datagram; `live` files may not have one yet.
///
/// # Errors
/// When the file cannot be read, is empty, cut within its first datagram or not XTC2.
pub fn first(path: &Path, live: bool) -> anyhow::Result<First> {
    let mut file = DgramFile::open(path)?;
    let peek = file.peek()?;
    let name = path.display();
    match peek {
        Peek::Ready(header) if plausible(&header) => Ok(First::Dgram(header)),
        Peek::End | Peek::Partial(..) if live => Ok(First::Unknown),
        Peek::End => bail!("{name} is empty: is it still being copied?"),
        Peek::Partial(have, want) if plausible_start(&file) => bail!(
            "{name} ends within its first datagram ({have} of {want} bytes): copy the file again"
        ),
        _ => bail!(
            "{name} is not an XTC2 file: it begins with {} where a datagram is expected; name a \
             file that the LCLS-II DAQ or `ami-ctl record` wrote",
            file.first_bytes()
        ),
    }
}

/// A datagram has no magic number; these fields have few legal values, together good evidence.
fn plausible(header: &Header) -> bool {
    header.root.type_id() == PARENT && header.root.version() == 0 && header.service() <= 12
}

fn plausible_start(file: &DgramFile) -> bool {
    Header::parse(file.available()).is_none_or(|h| plausible(&h) && h.size().is_some())
}
