//! Blosc 1: a header, blocks, each shuffled and compressed in some pieces. What is inside may be
//! BloscLZ, LZ4, zlib or zstd; snappy is refused.

use crate::codecs;
use crate::hdf5::decode::{inflate, lzf, unshuffle, zstd};
use crate::hdf5::format::{Problem, Result, damaged, unsupported};

const DAMAGED: Problem = Problem::Damaged("a chunk whose blosc frame is damaged");
const HEADER: usize = 16;
const BYTES_SHUFFLED: u8 = 1;
const STORED: u8 = 2;
const BITS_SHUFFLED: u8 = 4;
const WHOLE: u8 = 16;
/// Blocks of wider elements, or of fewer, are not cut in pieces.
const MAX_PIECES: usize = 16;
const MIN_PIECE: usize = 128;

fn word(input: &[u8], at: usize) -> Result<usize> {
    let bytes = input.get(at..).and_then(|b| b.first_chunk::<4>()).ok_or(DAMAGED)?;
    Ok(u32::from_le_bytes(*bytes) as usize)
}

/// Decodes; as many bytes as `out` has.
pub fn decode(input: &[u8], out: &mut [u8]) -> Result<()> {
    let head = input.first_chunk::<HEADER>().ok_or(DAMAGED)?;
    let (flags, element) = (head[2], usize::from(head[3]));
    let (total, size) = (word(head, 4)?, word(head, 8)?);
    if total != out.len() {
        return damaged("a chunk of another length than its shape says");
    }
    if flags & STORED != 0 {
        out.copy_from_slice(input.get(HEADER..HEADER + total).ok_or(DAMAGED)?);
        return Ok(());
    }
    if size == 0 || (size > total && total > 0) {
        return Err(DAMAGED);
    }
    let mut buffer = vec![0; if flags & (BYTES_SHUFFLED | BITS_SHUFFLED) != 0 { size } else { 0 }];
    for (i, out) in out.chunks_mut(size).enumerate() {
        let at = word(input, HEADER + 4 * i)?;
        let block = input.get(at..).ok_or(DAMAGED)?;
        let cut = flags & WHOLE == 0
            && (1..=MAX_PIECES).contains(&element)
            && size / element >= MIN_PIECE
            && out.len() == size;
        let pieces = if cut { element } else { 1 };
        let bytes = flags & BYTES_SHUFFLED != 0 && element > 1;
        let bits = flags & BITS_SHUFFLED != 0 && element > 0 && size >= element;
        if !bytes && !bits {
            unpack(flags >> 5, block, pieces, out)?;
            continue;
        }
        let buffer = &mut buffer[..out.len()];
        unpack(flags >> 5, block, pieces, buffer)?;
        if bytes { unshuffle(element, buffer, out)? } else { unshuffle_bits(element, buffer, out)? }
    }
    Ok(())
}

fn unpack(format: u8, mut block: &[u8], pieces: usize, out: &mut [u8]) -> Result<()> {
    for out in out.chunks_mut((out.len() / pieces).max(1)) {
        let len = word(block, 0)?;
        let piece = block.get(4..).and_then(|b| b.get(..len)).ok_or(DAMAGED)?;
        block = &block[4 + len..];
        if len == out.len() {
            out.copy_from_slice(piece);
            continue;
        }
        match format {
            0 => blosclz(piece, out)?,
            1 => codecs::lz4::block(piece, out).map_err(|_| DAMAGED)?,
            2 => return unsupported("blosc with snappy"),
            3 => inflate(piece, out)?,
            4 => zstd(piece, out)?,
            _ => return Err(DAMAGED),
        }
    }
    Ok(())
}

/// A block whose elements are no multiple of 8 was left as it is.
fn unshuffle_bits(element: usize, input: &[u8], out: &mut [u8]) -> Result<()> {
    let elements = out.len() / element;
    if !elements.is_multiple_of(8) {
        out.copy_from_slice(input);
        return Ok(());
    }
    let whole = elements * element;
    let (out, rest) = out.split_at_mut(whole);
    rest.copy_from_slice(&input[whole..]);
    if whole > 0 {
        codecs::bitshuffle::unshuffle(&input[..whole], element, whole, out).map_err(|_| DAMAGED)?;
    }
    Ok(())
}

/// BloscLZ: as LZF, with longer copies from farther back.
fn blosclz(input: &[u8], out: &mut [u8]) -> Result<()> {
    const FAR: usize = 8191;
    let mut at = 0;
    let mut byte = || -> Result<usize> {
        let byte = input.get(at).copied().ok_or(DAMAGED)?;
        at += 1;
        Ok(byte.into())
    };
    let mut written = 0;
    let mut control = byte()? & 31;
    loop {
        if control >= 32 {
            let mut len = (control >> 5) - 1;
            let mut back = (control & 31) << 8;
            if len == 6 {
                loop {
                    let more = byte()?;
                    len += more;
                    if more != 255 {
                        break;
                    }
                }
            }
            let low = byte()?;
            back += low;
            if low == 255 && control & 31 == 31 {
                back = (byte()? << 8) + byte()? + FAR;
            }
            lzf::repeat(out, written, back + 1, len + 3)?;
            written += len + 3;
        } else {
            for _ in 0..=control {
                *out.get_mut(written).ok_or(DAMAGED)? = byte()? as u8;
                written += 1;
            }
        }
        // The stream ends where its bytes do.
        match byte() {
            Ok(next) => control = next,
            Err(_) => break,
        }
    }
    if written == out.len() { Ok(()) } else { Err(DAMAGED) }
}
