//! An open file: positioned reads, no memory map, so that a file that shrinks ends the reading and not
//! the process. Pieces of structure are kept for a while, since many chunks hang on one node.

use crate::hdf5::format::cursor::{Cursor, Widths};
use crate::hdf5::format::superblock::Superblock;
use crate::hdf5::format::{MAX_PIECE, Problem, Result, checksum, damaged};
use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::{Duration, SystemTime};

/// Bytes of structure kept in memory.
const KEPT: usize = 16 << 20;

/// Bytes of object headers.
const MAX_WALKED: usize = 1 << 30;

/// Pieces by address and length.
type Pieces = HashMap<(u64, usize), Rc<[u8]>>;

/// A file, open for reading.
#[derive(Debug)]
pub struct Store {
    path: PathBuf,
    file: File,
    /// Device and inode.
    identity: (u64, u64),
    superblock: Cell<Superblock>,
    /// Greatest length seen.
    longest: Cell<u64>,
    /// It is being written, so that its writer may cut off what it does not need.
    grows: Cell<bool>,
    /// Length and time of the last change when it was read anew.
    seen: Cell<Option<(u64, SystemTime)>>,
    pieces: RefCell<Pieces>,
    kept: Cell<usize>,
    /// Bytes of object headers walked over.
    walked: Cell<usize>,
}

impl Store {
    /// Opens a file.
    ///
    /// # Errors
    /// When it cannot be read or is no HDF5 file.
    pub fn open(path: &Path) -> Result<Store> {
        // A pipe of that name must not hold us up.
        let nonblock = rustix::fs::OFlags::NONBLOCK.bits() as i32;
        let file = File::options().read(true).custom_flags(nonblock).open(path)?;
        let metadata = file.metadata()?;
        if !metadata.is_file() {
            return Err(Problem::Limit("is no regular file".into()));
        }
        let superblock = Cell::new(Superblock::find(&file, metadata.len())?);
        Ok(Store {
            path: path.to_path_buf(),
            identity: (metadata.dev(), metadata.ino()),
            longest: Cell::new(metadata.len()),
            grows: Cell::new(false),
            seen: Cell::new(None),
            file,
            superblock,
            pieces: RefCell::default(),
            kept: Cell::new(0),
            walked: Cell::new(0),
        })
    }

    /// Its path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What stands at its beginning.
    pub fn superblock(&self) -> Superblock {
        self.superblock.get()
    }

    /// Widths of addresses and lengths.
    pub fn widths(&self) -> Widths {
        self.superblock.get().widths
    }

    /// Device and inode.
    pub fn identity(&self) -> (u64, u64) {
        self.identity
    }

    /// Forgets what was kept and reads the superblock anew: the file may have grown.
    ///
    /// # Errors
    /// When it cannot be read any more.
    pub fn refresh(&self) -> Result<()> {
        self.grows.set(true);
        let metadata = self.file.metadata()?;
        self.seen.set(metadata.modified().ok().map(|time| (metadata.len(), time)));
        self.pieces.borrow_mut().clear();
        self.kept.set(0);
        self.walked.set(0);
        self.superblock.set(Superblock::find(&self.file, self.bytes()?)?);
        Ok(())
    }

    /// True when nobody has written since it was read anew. Changes of the last second do not count as
    /// seen: clocks of files tick slowly.
    pub fn quiet(&self) -> bool {
        let Ok(metadata) = self.file.metadata() else { return false };
        let Ok(time) = metadata.modified() else { return false };
        let old = time.elapsed().is_ok_and(|age| age > Duration::from_secs(1));
        old && self.seen.get() == Some((metadata.len(), time))
    }

    /// Says when the file is no longer what was opened: another one under its name, or shorter.
    ///
    /// # Errors
    /// What happened to it.
    pub fn unchanged(&self) -> Result<()> {
        let now = match std::fs::metadata(&self.path) {
            Ok(now) => (now.dev(), now.ino()),
            Err(e) if e.kind() == io::ErrorKind::NotFound => {
                return Err(Problem::Limit("was removed while it was read".into()));
            }
            Err(error) => return Err(error.into()),
        };
        if now != self.identity {
            return Err(Problem::Limit("was replaced while it was read".into()));
        }
        let len = self.bytes()?;
        if len < self.longest.get() && !self.grows.get() {
            return Err(Problem::Limit("was cut while it was read".into()));
        }
        self.longest.set(len);
        Ok(())
    }

    /// Bytes of the file now.
    ///
    /// # Errors
    /// When the system does not say.
    pub fn bytes(&self) -> Result<u64> {
        Ok(self.file.metadata()?.len())
    }

    /// Fills `to` with what stands at an address.
    ///
    /// # Errors
    /// When the file does not reach so far.
    pub fn read_into(&self, address: u64, to: &mut [u8]) -> Result<()> {
        let at = self.superblock.get().base.checked_add(address);
        let at = at.ok_or(Problem::Damaged("an address that wraps"))?;
        match self.file.read_exact_at(to, at) {
            Err(e) if e.kind() == io::ErrorKind::UnexpectedEof => {
                damaged("an address beyond the file's end: it was cut, or is being written")
            }
            done => Ok(done?),
        }
    }

    /// A piece of structure; memory only for what the file holds.
    ///
    /// # Errors
    /// As [`read_into`](Self::read_into), and when it is larger than any should be.
    pub fn piece(&self, address: u64, len: usize) -> Result<Rc<[u8]>> {
        if let Some(piece) = self.pieces.borrow().get(&(address, len)) {
            return Ok(piece.clone());
        }
        let mut bytes = vec![0; self.bounded(address, len as u64)?];
        self.read_into(address, &mut bytes)?;
        Ok(self.keep((address, len), bytes))
    }

    /// A piece that ends with its checksum.
    ///
    /// # Errors
    /// As [`piece`](Self::piece), and when the checksum is wrong.
    pub fn checked(&self, address: u64, len: usize) -> Result<Rc<[u8]>> {
        let known = self.pieces.borrow().contains_key(&(address, len));
        let piece = self.piece(address, len)?;
        if !known && let Err(problem) = checksum::checked(&piece) {
            self.pieces.borrow_mut().remove(&(address, len));
            self.kept.set(self.kept.get().saturating_sub(len));
            return Err(problem);
        }
        Ok(piece)
    }

    /// Notes that so many bytes of object headers are walked over: headers may share blocks, so that a
    /// small file would take for ever.
    ///
    /// # Errors
    /// When it is more than any file should need.
    pub fn charge(&self, bytes: usize) -> Result<()> {
        let walked = self.walked.get().saturating_add(bytes);
        self.walked.set(walked);
        if walked > MAX_WALKED {
            return Err(Problem::Limit("object headers of more than 1 GiB".into()));
        }
        Ok(())
    }

    /// A walk over a piece.
    pub fn cursor<'a>(&self, piece: &'a [u8]) -> Cursor<'a> {
        Cursor::new(piece, self.widths())
    }

    /// `len`, if the file holds so much there and no piece should be larger.
    fn bounded(&self, address: u64, len: u64) -> Result<usize> {
        let end = self.superblock.get().base.checked_add(address).and_then(|a| a.checked_add(len));
        if end.is_none_or(|end| self.bytes().is_ok_and(|have| end > have)) {
            return damaged("an address beyond the file's end: it was cut, or is being written");
        }
        match usize::try_from(len) {
            Ok(len) if len <= MAX_PIECE => Ok(len),
            _ => Err(Problem::Limit(format!("a structure of {len} bytes; {MAX_PIECE} are read"))),
        }
    }

    fn keep(&self, key: (u64, usize), bytes: Vec<u8>) -> Rc<[u8]> {
        let piece: Rc<[u8]> = bytes.into();
        let mut pieces = self.pieces.borrow_mut();
        if self.kept.get() + piece.len() > KEPT {
            pieces.clear();
            self.kept.set(0);
        }
        self.kept.set(self.kept.get() + piece.len());
        pieces.insert(key, piece.clone());
        piece
    }
}
