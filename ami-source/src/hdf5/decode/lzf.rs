//! LZF, as h5py writes it: literal runs and copies of what was written before.

use crate::hdf5::format::{Problem, Result, damaged};

const DAMAGED: Problem = Problem::Damaged("a chunk whose lzf stream is damaged");

/// Decodes; as many bytes as `out` has.
pub fn decode(input: &[u8], out: &mut [u8]) -> Result<()> {
    let (mut at, mut written) = (0, 0);
    let byte = |at: &mut usize| -> Result<usize> {
        let byte = input.get(*at).copied().ok_or(DAMAGED)?;
        *at += 1;
        Ok(byte.into())
    };
    while at < input.len() {
        let control = byte(&mut at)?;
        if control < 32 {
            let run = control + 1;
            let from = input.get(at..at + run).ok_or(DAMAGED)?;
            out.get_mut(written..written + run).ok_or(DAMAGED)?.copy_from_slice(from);
            (at, written) = (at + run, written + run);
            continue;
        }
        let mut len = control >> 5;
        if len == 7 {
            len += byte(&mut at)?;
        }
        let back = ((control & 31) << 8 | byte(&mut at)?) + 1;
        repeat(out, written, back, len + 2)?;
        written += len + 2;
    }
    if written == out.len() {
        Ok(())
    } else {
        damaged("a chunk of another length than its shape says")
    }
}

/// Writes `len` bytes at `at` that are those from `back` before on; the two may overlap.
pub(super) fn repeat(out: &mut [u8], at: usize, back: usize, len: usize) -> Result<()> {
    let from = at.checked_sub(back).filter(|_| back > 0).ok_or(DAMAGED)?;
    let end = at.checked_add(len).filter(|end| *end <= out.len()).ok_or(DAMAGED)?;
    // A call is not worth it for a few bytes.
    if back >= len && len >= 32 {
        out.copy_within(from..from + len, at);
    } else {
        for i in at..end {
            out[i] = out[i - back];
        }
    }
    Ok(())
}
