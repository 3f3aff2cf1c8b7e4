//! Bitshuffle undone: bit planes become elements again.
//!
//! A block of n elements (a multiple of 8) of E bytes lies as 8·E planes of n/8 bytes. Plane 8k+b
//! has bit b of byte k of every element: bit j of its byte i is of element 8i+j.
//!
//! Eight planes are eight bytes for eight elements: a matrix of 8×8 bits, transposed in registers for
//! sixteen of them at once. Then bytes change places until they stand as the elements want them.

use crate::codecs::CodecError;
use bytemuck::cast;
use wide::{u8x16, u16x8};

/// Bytes of a block, where nothing else is said.
pub const BLOCK_BYTES: usize = 8192;

/// Elements of a block of at most `bytes`: a multiple of 8.
pub(super) fn block_elements(bytes: usize, element: usize) -> usize {
    bytes / element / 8 * 8
}

/// Undoes bitshuffle without compression, in blocks of `block` bytes; the last elements, fewer than 8,
/// stand as they are.
///
/// # Errors
/// When `out` is not as long as `input`, or `element` or `block` are senseless.
pub fn unshuffle(
    input: &[u8],
    element: usize,
    block: usize,
    out: &mut [u8],
) -> Result<(), CodecError> {
    if input.len() != out.len() {
        return Err(CodecError::Length { found: input.len() as u64, expected: out.len() as u64 });
    }
    let size = block_bytes(block, element)?;
    let whole = block_elements(out.len(), element) * element;
    let blocks = out[..whole].chunks_mut(size).zip(input[..whole].chunks(size));
    for (out, input) in blocks {
        unshuffle_block(input, element, out);
    }
    out[whole..].copy_from_slice(&input[whole..]);
    Ok(())
}

/// Bytes of a whole block that was asked to have `block` bytes.
pub(super) fn block_bytes(block: usize, element: usize) -> Result<usize, CodecError> {
    if element == 0 {
        return Err(CodecError::Element(element));
    }
    match block_elements(block, element) {
        0 => Err(CodecError::Block(block as u64)),
        elements => Ok(elements * element),
    }
}

/// Undoes one block. Both have the same length, a multiple of 8 elements.
pub(super) fn unshuffle_block(planes: &[u8], element: usize, out: &mut [u8]) {
    let groups = out.len() / (8 * element);
    let done = match element {
        1 => wide::<1>(planes, groups, out),
        2 => wide::<2>(planes, groups, out),
        4 => wide::<4>(planes, groups, out),
        8 => wide::<8>(planes, groups, out),
        _ => 0,
    };
    for group in done..groups {
        narrow(planes, (group, groups), element, out);
    }
}

/// One group of 8 elements.
fn narrow(planes: &[u8], (group, groups): (usize, usize), element: usize, out: &mut [u8]) {
    let out = &mut out[group * 8 * element..][..8 * element];
    for k in 0..element {
        let mut rows = [0; 8];
        for (b, row) in rows.iter_mut().enumerate() {
            *row = planes[(8 * k + b) * groups + group];
        }
        let bytes = transposed(u64::from_le_bytes(rows)).to_le_bytes();
        for (j, byte) in bytes.into_iter().enumerate() {
            out[j * element + k] = byte;
        }
    }
}

/// The 8×8 bits of a word, rows and columns changed.
fn transposed(mut x: u64) -> u64 {
    for (shift, mask) in
        [(7, 0x00aa_00aa_00aa_00aa), (14, 0x0000_cccc_0000_cccc), (28, 0x0000_0000_f0f0_f0f0)]
    {
        let t = (x ^ (x >> shift)) & mask;
        x ^= t ^ (t << shift);
    }
    x
}

/// As many groups as go by sixteens; returns how many.
fn wide<const E: usize>(planes: &[u8], groups: usize, out: &mut [u8]) -> usize {
    for (i, out) in out.chunks_exact_mut(128 * E).enumerate() {
        // By k: that byte of 128 elements, in order.
        let mut bytes = [[u8x16::ZERO; 8]; E];
        for (k, bytes) in bytes.iter_mut().enumerate() {
            *bytes = dealt(dealt(dealt(columns(planes, k, groups, 16 * i))));
        }
        for (m, out) in out.chunks_exact_mut(16 * E).enumerate() {
            let mut elements = [u8x16::ZERO; E];
            for k in 0..E {
                elements[k] = bytes[k][m];
            }
            for _ in 0..E.ilog2() {
                elements = dealt(elements);
            }
            for (out, elements) in out.chunks_exact_mut(16).zip(elements) {
                out.copy_from_slice(&elements.to_array());
            }
        }
    }
    groups / 16 * 16
}

/// The first half and the second half, dealt like cards: the upper bit of a byte's place becomes the
/// lowest. As often as the number of registers has bits, and what was between them is within them.
#[inline(always)]
fn dealt<const N: usize>(v: [u8x16; N]) -> [u8x16; N] {
    let mut dealt = [u8x16::ZERO; N];
    for m in 0..N / 2 {
        dealt[2 * m] = u8x16::unpack_low(v[m], v[m + N / 2]);
        dealt[2 * m + 1] = u8x16::unpack_high(v[m], v[m + N / 2]);
    }
    dealt
}

/// Byte k of sixteen groups from `at` on: eight registers of rows, their bits transposed.
#[inline(always)]
fn columns(planes: &[u8], k: usize, groups: usize, at: usize) -> [u8x16; 8] {
    let row = |b: usize| {
        let start = (8 * k + b) * groups + at;
        let bytes: [u8; 16] = planes[start..start + 16].try_into().unwrap_or_default();
        u8x16::new(bytes)
    };
    let mut r: [u8x16; 8] = std::array::from_fn(row);
    swap::<4>(&mut r, 0x0f, [0, 1, 2, 3]);
    swap::<2>(&mut r, 0x33, [0, 1, 4, 5]);
    swap::<1>(&mut r, 0x55, [0, 2, 4, 6]);
    r
}

/// Changes the bits of `mask` in the rows `low + S` with those S above in the rows `low`.
#[inline(always)]
fn swap<const S: usize>(r: &mut [u8x16; 8], mask: u8, low: [usize; 4]) {
    for low in low {
        // Sixteen bits are shifted; what comes from the neighbour is masked away.
        let word: u16x8 = cast(r[low]);
        let shifted: u8x16 = cast(word >> S as u32);
        let t = (shifted ^ r[low + S]) & u8x16::splat(mask);
        r[low + S] ^= t;
        let word: u16x8 = cast(t);
        let back: u8x16 = cast(word << S as u32);
        r[low] ^= back;
    }
}
