//! The server's shared memory. It is read like a file: one copy, which is needed anyway before a
//! buffer is given back, and nothing of it is looked at but the copy. Whatever the server does to it
//! meanwhile costs at most that datagram.

use crate::shmem::message::{Hello, Names};
use crate::xtc2::dgram::{HEADER, Header};
use anyhow::{Context, bail};
use std::fs::File;
use std::io;
use std::ops::Deref;
use std::os::unix::fs::FileExt;

/// So much is read at once at least, so that small datagrams take one call.
const LEAST: usize = 4096;

/// A datagram of our own; its memory is used again.
#[derive(Debug, Default)]
pub struct Block {
    bytes: Vec<u8>,
    len: usize,
}

impl Block {
    /// Bytes of memory that it takes.
    pub fn footprint(&self) -> usize {
        self.bytes.capacity()
    }

    /// Room for so many bytes; what it held is kept.
    fn room(&mut self, bytes: usize) -> &mut [u8] {
        if self.bytes.len() < bytes {
            self.bytes.resize(bytes, 0);
        }
        &mut self.bytes[..bytes]
    }
}

impl Deref for Block {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes[..self.len]
    }
}

/// The buffers of a server.
#[derive(Debug)]
pub struct Memory {
    file: File,
    buffers: usize,
    size: usize,
}

impl Memory {
    /// Of the server that said hello.
    ///
    /// # Errors
    /// When the file cannot be opened or is smaller than the hello says.
    pub fn open(names: &Names, hello: &Hello) -> anyhow::Result<Memory> {
        let path = names.memory();
        let file = File::open(&path).with_context(|| format!("{path} cannot be opened"))?;
        let (have, want) = (file.metadata()?.len(), (hello.buffers * hello.size) as u64);
        if have < want {
            bail!("{path} has {have} bytes where the server says {want}");
        }
        Ok(Memory { file, buffers: hello.buffers, size: hello.size })
    }

    /// Copies the datagram in a buffer; `guess` is how large it may be. None when there is no such
    /// buffer or no datagram in it.
    ///
    /// # Errors
    /// When reading fails: the file became shorter.
    pub fn read(
        &self,
        index: usize,
        guess: usize,
        block: &mut Block,
    ) -> io::Result<Option<Header>> {
        if index >= self.buffers {
            return Ok(None);
        }
        let at = (index * self.size) as u64;
        let first = guess.max(LEAST).min(self.size);
        self.file.read_exact_at(block.room(first), at)?;
        let Some(header) = Header::parse(&block.bytes[..first]) else { return Ok(None) };
        let size = header.size().filter(|size| *size <= self.size);
        let Some(size) = size else { return Ok(None) };
        if size > first {
            self.file.read_exact_at(&mut block.room(size)[first..], at + first as u64)?;
        }
        block.len = size.max(HEADER);
        Ok(Some(header))
    }
}
