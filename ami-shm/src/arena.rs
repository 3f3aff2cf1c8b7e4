//! Memory shared with one other process that nobody trusts: a file without a name, which both map.
//!
//! Unlike the ring nothing of it becomes a reference: bytes are copied in and out, and checked once they
//! are here. The file can grow but not shrink, so no access is beyond its end, whatever the other
//! process does to it.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::sync::atomic::AtomicU64;

use rustix::fs::{MemfdFlags, Mode, OFlags, SealFlags};

use crate::map::load_acquire;
use crate::region::Region;

/// A range that is not inside an [`Arena`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{len} bytes at {at} are not inside the shared memory of {size} bytes")]
pub struct OutOfRange {
    /// Where it begins.
    pub at: usize,
    /// How long it is.
    pub len: usize,
    /// What there is.
    pub size: usize,
}

/// Shared memory without a name; see the module.
#[derive(Debug)]
pub struct Arena {
    file: File,
    region: Region,
    size: usize,
}

impl Arena {
    /// New memory of `size` bytes, at least one, all zero; `name` shows in `/proc`.
    ///
    /// # Errors
    /// When the kernel gives none.
    pub fn create(name: &str, size: usize) -> io::Result<Arena> {
        let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
        let file = File::from(rustix::fs::memfd_create(name, flags)?);
        file.set_len(size as u64)?;
        rustix::fs::fcntl_add_seals(&file, SealFlags::SHRINK | SealFlags::SEAL)?;
        let region = Region::map(&file, size, true)?;
        Ok(Arena { file, region, size })
    }

    /// A descriptor through which another process can map it, but not write to it.
    ///
    /// # Errors
    /// When `/proc` is not mounted or there are no descriptors left.
    pub fn read_only(&self) -> io::Result<OwnedFd> {
        let path = format!("/proc/self/fd/{}", self.file.as_raw_fd());
        Ok(rustix::fs::open(path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?)
    }

    /// A descriptor through which another process can map it, write to it, and let it grow.
    ///
    /// # Errors
    /// When there are no descriptors left.
    pub fn writable(&self) -> io::Result<OwnedFd> {
        self.file.as_fd().try_clone_to_owned()
    }

    /// Bytes that can be reached from here.
    pub fn size(&self) -> usize {
        self.size
    }

    /// Makes it at least `size` bytes long.
    ///
    /// # Errors
    /// When the kernel gives no more.
    pub fn grow(&mut self, size: usize) -> io::Result<()> {
        if size <= self.size {
            return Ok(());
        }
        let there = self.file.metadata()?.len();
        if there < size as u64 {
            self.file.set_len(size as u64)?;
        }
        self.region = Region::map(&self.file, size, true)?;
        self.size = size;
        Ok(())
    }

    /// Reaches what the other process has let it grow by, up to `most` bytes in all.
    ///
    /// # Errors
    /// When it cannot be mapped.
    pub fn follow(&mut self, most: usize) -> io::Result<()> {
        let there = usize::try_from(self.file.metadata()?.len()).unwrap_or(usize::MAX).min(most);
        if there > self.size {
            self.region = Region::map(&self.file, there, true)?;
            self.size = there;
        }
        Ok(())
    }

    /// Copies bytes in.
    ///
    /// # Errors
    /// When they would lie outside; nothing is written then.
    pub fn write(&mut self, at: usize, bytes: &[u8]) -> Result<(), OutOfRange> {
        self.check(at, bytes.len())?;
        let to = self.region.as_mut_ptr().wrapping_add(at);
        // SAFETY: the range lies in the mapping, as just checked, and in the file, which is sealed
        // against shrinking. `bytes` is memory of this process that is no part of the mapping, as no
        // reference into it is ever made. Here nobody else accesses it (`&mut self`); what the other
        // process does to these bytes can only change what it reads itself.
        unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), to, bytes.len()) };
        Ok(())
    }

    /// Copies bytes out. The other process may write to them meanwhile: so they are any bytes, and are
    /// checked after the copy.
    ///
    /// # Errors
    /// When they lie outside.
    pub fn read(&self, at: usize, into: &mut [u8]) -> Result<(), OutOfRange> {
        self.check(at, into.len())?;
        let from = self.region.as_ptr().wrapping_add(at);
        // SAFETY: the range lies in the mapping and in the file, as in `write`; bytes have no invalid
        // values. Rust cannot see the other process: all that its writes do is that some bytes of
        // the copy are old and some new, as in `Mapping::arena`; nothing but the copy is looked at.
        unsafe { std::ptr::copy_nonoverlapping(from, into.as_mut_ptr(), into.len()) };
        Ok(())
    }

    /// A word that the other process changes while this one watches, at a multiple of 8.
    ///
    /// # Errors
    /// When it lies outside or not at a multiple of 8.
    pub fn word(&self, at: usize) -> Result<u64, OutOfRange> {
        self.check(at, 8)?;
        if !at.is_multiple_of(8) {
            return Err(OutOfRange { at, len: 8, size: self.size });
        }
        // SAFETY: the word lies in the mapping, which starts on a page and lives as long as `self`, at
        // a multiple of 8; it is only read as an atomic here.
        let word = unsafe { &*self.region.as_ptr().wrapping_add(at).cast::<AtomicU64>() };
        Ok(load_acquire(word))
    }

    fn check(&self, at: usize, len: usize) -> Result<(), OutOfRange> {
        match at.checked_add(len) {
            Some(end) if end <= self.size => Ok(()),
            _ => Err(OutOfRange { at, len, size: self.size }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::FileExt;

    #[test]
    fn both_sides_see_the_same_bytes() {
        let mut arena = Arena::create("test", 100).unwrap();
        let other = File::from(arena.writable().unwrap());
        arena.write(60, b"here").unwrap();
        let mut bytes = [0; 4];
        other.read_exact_at(&mut bytes, 60).unwrap();
        assert_eq!(&bytes, b"here");
        other.write_all_at(&7u64.to_le_bytes(), 8).unwrap();
        assert_eq!(arena.word(8), Ok(7));
        arena.read(8, &mut bytes).unwrap();
        assert_eq!(bytes, [7, 0, 0, 0]);
    }

    #[test]
    fn nothing_outside_is_reached() {
        let mut arena = Arena::create("test", 100).unwrap();
        assert!(arena.write(97, b"here").is_err());
        assert!(arena.write(usize::MAX, b"here").is_err());
        assert!(arena.read(101, &mut []).is_err());
        assert!(arena.read(100, &mut []).is_ok());
        assert!(arena.word(96).is_err());
        assert!(arena.word(4).is_err());
    }

    #[test]
    fn it_grows_and_never_shrinks() {
        let mut arena = Arena::create("test", 100).unwrap();
        let other = File::from(arena.writable().unwrap());
        arena.write(0, b"here").unwrap();
        arena.grow(1 << 20).unwrap();
        assert_eq!(arena.size(), 1 << 20);
        other.set_len(3 << 20).unwrap();
        arena.follow(2 << 20).unwrap();
        assert_eq!(arena.size(), 2 << 20);
        let mut bytes = [0; 4];
        arena.read(0, &mut bytes).unwrap();
        assert_eq!(&bytes, b"here");
        assert!(other.set_len(50).is_err(), "what is gone would kill who reads it");
        arena.grow(1).unwrap();
        assert_eq!(arena.size(), 2 << 20);
    }

    #[test]
    fn who_may_only_read_cannot_write() {
        let mut arena = Arena::create("test", 100).unwrap();
        let other = File::from(arena.read_only().unwrap());
        arena.write(0, b"here").unwrap();
        let mut bytes = [0; 4];
        other.read_exact_at(&mut bytes, 0).unwrap();
        assert_eq!(&bytes, b"here");
        assert!(other.write_all_at(b"x", 0).is_err());
        assert!(Region::map(&other, 100, true).is_err());
    }
}
