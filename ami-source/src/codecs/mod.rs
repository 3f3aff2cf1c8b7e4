//! Decoders of compressed arrays, as detectors send them and HDF5 files hold them: LZ4 and bitshuffle.
//!
//! Each is a pure function from bytes to the bytes of an array that the caller has made room for, so
//! that an image is written once, where it is to lie. Everything is checked: damaged bytes are an
//! error, after which the array holds anything. Memory beside the array is taken only for blocks
//! larger than usual, and never more than the array has.
//!
//! ```text
//! lz4      u64 BE bytes of all │ u32 BE bytes of a block │ per block: u32 BE length, LZ4 block
//! bslz4    the same; each block is the bit planes of its elements; the last elements, fewer than 8, raw
//! ```

pub mod bitshuffle;
pub mod lz4;

/// Why bytes could not be decoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CodecError {
    /// The input ends before the array is full.
    #[error("the compressed data end too early")]
    Short,
    /// Something follows the last block.
    #[error("{0} bytes follow the compressed data")]
    Trailing(usize),
    /// A block is not what LZ4 makes.
    #[error("a block of the compressed data is damaged")]
    Damaged,
    /// The array has another size.
    #[error("the compressed data hold {found} bytes, the array has {expected}")]
    Length {
        /// As the data say.
        found: u64,
        /// As the caller says.
        expected: u64,
    },
    /// Blocks of this size hold no 8 elements.
    #[error("blocks of {0} bytes cannot be")]
    Block(u64),
    /// Elements of this size do not exist.
    #[error("elements of {0} bytes cannot be")]
    Element(usize),
}

/// Bytes of the head of both framings.
pub const HEAD: usize = 12;

/// What the head of both framings says: bytes of all and bytes of a block. None when it is cut short.
pub fn head(input: &[u8]) -> Option<(u64, u32)> {
    let (total, rest) = input.split_first_chunk::<8>()?;
    let block = rest.first_chunk::<4>()?;
    Some((u64::from_be_bytes(*total), u32::from_be_bytes(*block)))
}

/// The head, when it fits an array of `len` bytes.
fn head_for(input: &[u8], len: usize) -> Result<(usize, &[u8]), CodecError> {
    let (found, block) = head(input).ok_or(CodecError::Short)?;
    if found != len as u64 {
        return Err(CodecError::Length { found, expected: len as u64 });
    }
    Ok((block as usize, &input[HEAD..]))
}

/// Takes `u32 BE length, block` from the front.
fn next_block<'a>(input: &mut &'a [u8]) -> Result<&'a [u8], CodecError> {
    let (len, rest) = input.split_first_chunk::<4>().ok_or(CodecError::Short)?;
    let len = u32::from_be_bytes(*len) as usize;
    let (block, rest) = rest.split_at_checked(len).ok_or(CodecError::Short)?;
    *input = rest;
    Ok(block)
}

/// HDF5's LZ4 filter: head and blocks. A block as long as its content stands as it is.
///
/// # Errors
/// When the data are damaged or not of `out`'s size.
pub fn lz4(input: &[u8], out: &mut [u8]) -> Result<(), CodecError> {
    let (size, mut input) = head_for(input, out.len())?;
    if size == 0 && !out.is_empty() {
        return Err(CodecError::Block(0));
    }
    for out in out.chunks_mut(size.max(1)) {
        let block = next_block(&mut input)?;
        match block.len() == out.len() {
            true => out.copy_from_slice(block),
            false => lz4::block(block, out)?,
        }
    }
    nothing_left(input)
}

/// Bitshuffle with LZ4 as HDF5's filter writes it, with its head. `element` is the size of an element.
///
/// # Errors
/// When the data are damaged or not of `out`'s size.
pub fn bslz4(input: &[u8], element: usize, out: &mut [u8]) -> Result<(), CodecError> {
    let (size, input) = head_for(input, out.len())?;
    let size = if size == 0 { bitshuffle::BLOCK_BYTES } else { size };
    bslz4_blocks(input, element, size, out)
}

/// The blocks alone, of `block` bytes each, as some senders write them.
///
/// # Errors
/// When the data are damaged or not of `out`'s size.
pub fn bslz4_blocks(
    mut input: &[u8],
    element: usize,
    block: usize,
    out: &mut [u8],
) -> Result<(), CodecError> {
    let size = bitshuffle::block_bytes(block, element)?;
    let whole = bitshuffle::block_elements(out.len(), element) * element;
    let (blocks, rest) = out.split_at_mut(whole);
    // Usual blocks need no memory of the heap; others as much as a block that is there.
    let mut usual = [0; bitshuffle::BLOCK_BYTES + lz4::SPARE];
    let mut large = Vec::new();
    let planes = if size.min(whole) <= bitshuffle::BLOCK_BYTES {
        &mut usual[..]
    } else {
        large.resize(size.min(whole) + lz4::SPARE, 0);
        &mut large[..]
    };
    for out in blocks.chunks_mut(size) {
        lz4::block_within(next_block(&mut input)?, planes, out.len())?;
        bitshuffle::unshuffle_block(&planes[..out.len()], element, out);
    }
    let (raw, input) = input.split_at_checked(rest.len()).ok_or(CodecError::Short)?;
    rest.copy_from_slice(raw);
    nothing_left(input)
}

fn nothing_left(input: &[u8]) -> Result<(), CodecError> {
    if input.is_empty() { Ok(()) } else { Err(CodecError::Trailing(input.len())) }
}

#[cfg(test)]
mod tests;
