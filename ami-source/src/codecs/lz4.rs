//! LZ4 blocks, decoded into memory that is there.
//!
//! Bit planes of detector images are short literals and short repetitions, thousands in a block. So
//! both are copied by sixteen bytes at once, more than asked for where there is room: what is too much
//! is written over by what follows. Decoders that ask `memmove` for each take twice as long.

use crate::codecs::CodecError;

/// Bytes copied at once.
const STRIDE: usize = 16;
/// Bytes behind a block's own with which all of it goes by strides.
pub(super) const SPARE: usize = 2 * STRIDE;

/// One LZ4 block without any framing, which has to fill `out`.
///
/// # Errors
/// When it is damaged, or its content is shorter or longer than `out`.
pub fn block(input: &[u8], out: &mut [u8]) -> Result<(), CodecError> {
    let len = out.len();
    block_within(input, out, len)
}

/// As [`block`], into the first `len` bytes of `out`; what lies behind them may be written over.
pub(super) fn block_within(input: &[u8], out: &mut [u8], len: usize) -> Result<(), CodecError> {
    match decode(input, out) {
        Some(n) if n == len => Ok(()),
        Some(n) => Err(CodecError::Length { found: n as u64, expected: len as u64 }),
        None => Err(CodecError::Damaged),
    }
}

/// Bytes that the block holds; None when it is damaged or `out` is too small.
fn decode(input: &[u8], out: &mut [u8]) -> Option<usize> {
    let (mut i, mut o) = (0, 0);
    loop {
        let token = *input.get(i)?;
        i += 1;
        let mut literals = usize::from(token >> 4);
        match (input.get(i..i + STRIDE), out.get_mut(o..o + STRIDE)) {
            (Some(from), Some(to)) if literals < 15 => to.copy_from_slice(from),
            _ => {
                literals = extended(literals, input, &mut i)?;
                let from = input.get(i..i.checked_add(literals)?)?;
                out.get_mut(o..o.checked_add(literals)?)?.copy_from_slice(from);
            }
        }
        (i, o) = (i + literals, o + literals);
        if i == input.len() {
            return Some(o);
        }
        let offset = u16::from_le_bytes(*input.get(i..)?.first_chunk()?);
        i += 2;
        let len = extended(usize::from(token & 15), input, &mut i)?.checked_add(4)?;
        repeat(out, o, usize::from(offset), len)?;
        o += len;
    }
}

/// A length of which 15 is only the beginning.
#[inline(always)]
fn extended(mut len: usize, input: &[u8], i: &mut usize) -> Option<usize> {
    if len == 15 {
        loop {
            let more = *input.get(*i)?;
            *i += 1;
            len = len.checked_add(usize::from(more))?;
            if more < 255 {
                break;
            }
        }
    }
    Some(len)
}

/// Writes `len` bytes at `o` that repeat those `offset` before.
#[inline(always)]
fn repeat(out: &mut [u8], o: usize, offset: usize, len: usize) -> Option<()> {
    let from = o.checked_sub(offset)?;
    let end = o.checked_add(len)?;
    if offset == 0 || end > out.len() {
        return None;
    }
    // Strides begin below this.
    let strides = end.min((out.len() + 1).saturating_sub(STRIDE));
    let mut at = o;
    if offset >= STRIDE {
        while at < strides {
            let bytes = load(out, at - offset);
            store(out, at, bytes);
            at += STRIDE;
        }
    } else if o < strides {
        let pattern = pattern(out, o, from, offset);
        let step = STRIDE - STRIDE % offset;
        while at < strides {
            store(out, at, pattern);
            at += step;
        }
    }
    // Near the end of the memory, to the byte.
    while at < end {
        out[at] = out[at - offset];
        at += 1;
    }
    Some(())
}

#[inline(always)]
fn load(out: &[u8], at: usize) -> [u8; STRIDE] {
    out[at..at + STRIDE].try_into().unwrap_or_default()
}

#[inline(always)]
fn store(out: &mut [u8], at: usize, bytes: [u8; STRIDE]) {
    out[at..at + STRIDE].copy_from_slice(&bytes);
}

/// The `offset` bytes at `from`, again and again, `offset` being less than the pattern has.
#[inline(always)]
fn pattern(out: &mut [u8], o: usize, from: usize, offset: usize) -> [u8; STRIDE] {
    let word = u128::from_le_bytes(load(out, from));
    let pattern = match offset {
        1 => (word & 0xff) * (u128::MAX / 0xff),
        2 => (word & 0xffff) * (u128::MAX / 0xffff),
        4 => (word & 0xffff_ffff) * (u128::MAX / 0xffff_ffff),
        8 => (word & u128::from(u64::MAX)) * (u128::MAX / u128::from(u64::MAX)),
        _ => {
            for at in 0..STRIDE {
                out[o + at] = out[from + at];
            }
            return load(out, o);
        }
    };
    pattern.to_le_bytes()
}
