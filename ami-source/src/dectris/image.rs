//! One channel of an image: where its bytes lie in the message and how they become an array.

use crate::codecs::{self, CodecError};
use crate::dectris::cbor::Blob;
use crate::live::Message;
use ami_graph::data::value::{DType, MAX_RANK};
use ami_proto::data_path::chunk::{ChunkWriter, Full};

/// Bytes of an array at most: more than any detector has.
const LARGEST: usize = 1 << 31;

/// How bytes are compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Coding {
    /// Not at all.
    Raw,
    /// One LZ4 block.
    Lz4Block,
    /// HDF5's LZ4 filter.
    Lz4,
    /// HDF5's bitshuffle filter with LZ4; some senders leave its head out.
    Bslz4,
}

/// The bytes of one channel's image, and what they are.
#[derive(Debug, Clone, PartialEq)]
pub struct Plane {
    pub channel: String,
    pub dtype: DType,
    /// Rows, columns.
    pub shape: Vec<usize>,
    pub coding: Coding,
    /// Elements have their greatest byte first.
    pub big_endian: bool,
    /// Which frame of the message has the bytes.
    pub frame: usize,
    pub blob: Blob,
    /// It was tried, and is damaged.
    pub damaged: bool,
}

/// Elements times their size; None when that is more than any array has.
pub fn bytes_of(dtype: DType, shape: &[usize]) -> Option<usize> {
    let count = shape.iter().try_fold(1usize, |n, &axis| n.checked_mul(axis))?;
    let bytes = count.checked_mul(dtype.size())?;
    (bytes <= LARGEST && (1..=MAX_RANK).contains(&shape.len())).then_some(bytes)
}

/// How a plane's writing failed.
pub enum Failed {
    /// The ring has no room.
    Full,
    /// It is damaged.
    Damaged(CodecError),
}

impl From<Full> for Failed {
    fn from(_: Full) -> Failed {
        Failed::Full
    }
}

impl Plane {
    /// Decodes it into the open event.
    pub fn write(
        &self,
        message: &Message,
        field: usize,
        out: &mut ChunkWriter<'_>,
    ) -> Result<(), Failed> {
        let bytes = self.blob.bytes(message.frame(self.frame));
        let expected = bytes_of(self.dtype, &self.shape).unwrap_or(usize::MAX);
        if self.coding == Coding::Raw && bytes.len() != expected {
            let found = bytes.len() as u64;
            return Err(Failed::Damaged(CodecError::Length { found, expected: expected as u64 }));
        }
        if self.coding == Coding::Raw && !self.big_endian {
            out.array_from(field, &self.shape, bytes)?;
            return Ok(());
        }
        let array = out.array(field, &self.shape)?;
        if array.is_empty() {
            return Ok(());
        }
        self.decode(bytes, array).map_err(Failed::Damaged)
    }

    /// Decodes it into memory of its size.
    pub fn decode(&self, bytes: &[u8], array: &mut [u8]) -> Result<(), CodecError> {
        let (found, expected) = (bytes.len() as u64, array.len() as u64);
        match self.coding {
            Coding::Raw if found != expected => return Err(CodecError::Length { found, expected }),
            Coding::Raw => array.copy_from_slice(bytes),
            Coding::Lz4Block => codecs::lz4::block(bytes, array)?,
            Coding::Lz4 => codecs::lz4(bytes, array)?,
            Coding::Bslz4 => {
                let has_head = codecs::head(bytes).is_some_and(|(total, _)| total == expected);
                match has_head {
                    true => codecs::bslz4(bytes, self.dtype.size(), array)?,
                    false => {
                        let block = codecs::bitshuffle::BLOCK_BYTES;
                        codecs::bslz4_blocks(bytes, self.dtype.size(), block, array)?;
                    }
                }
            }
        }
        if self.big_endian {
            array.chunks_exact_mut(self.dtype.size()).for_each(<[u8]>::reverse);
        }
        Ok(())
    }
}
