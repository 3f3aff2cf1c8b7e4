//! Filters undone: from the bytes of a chunk as they are stored to its elements. Pure.
//!
//! The last step writes where the elements are to lie; steps before it go through two buffers that are
//! kept. Every length is known before memory is taken.

mod blosc;
mod lzf;

use crate::codecs;
use crate::hdf5::format::space::Filter;
use crate::hdf5::format::{Problem, Result, damaged, unsupported};
use flate2::{Decompress, FlushDecompress, Status};

const DEFLATE: u16 = 1;
const SHUFFLE: u16 = 2;
const FLETCHER32: u16 = 3;
const LZF: u16 = 32000;
const BLOSC: u16 = 32001;
const LZ4: u16 = 32004;
const BITSHUFFLE: u16 = 32008;
const ZSTD: u16 = 32015;

/// Memory between steps, kept from chunk to chunk.
#[derive(Debug, Default)]
pub struct Steps([Vec<u8>; 2]);

/// What a filter is called.
pub fn name(filter: &Filter) -> String {
    let name = match filter.id {
        DEFLATE => "gzip",
        SHUFFLE => "shuffle",
        FLETCHER32 => "fletcher32",
        4 => "szip",
        5 => "nbit",
        6 => "scaleoffset",
        LZF => "lzf",
        BLOSC => "blosc",
        LZ4 => "lz4",
        BITSHUFFLE => match filter.values.get(4) {
            Some(2) => "bitshuffle+lz4",
            Some(3) => "bitshuffle+zstd",
            _ => "bitshuffle",
        },
        32013 => "zfp",
        ZSTD => "zstd",
        32017 => "sz",
        32026 => "blosc2",
        id => return format!("filter {id}"),
    };
    name.into()
}

/// What of these filters is not undone here.
pub fn refused(filters: &[Filter]) -> Option<String> {
    let known = [DEFLATE, SHUFFLE, FLETCHER32, LZF, BLOSC, LZ4, BITSHUFFLE, ZSTD];
    let unknown = filters.iter().find(|f| !known.contains(&f.id)).map(name);
    let compressions = filters.iter().filter(|f| !keeps_length(f)).count();
    unknown.or_else(|| (compressions > 1).then(|| "two compressions in a row".into()))
}

/// True for a filter after which there are as many bytes as before, but for a checksum.
fn keeps_length(filter: &Filter) -> bool {
    let planes = filter.id == BITSHUFFLE && filter.values.get(4).is_none_or(|c| *c == 0);
    matches!(filter.id, SHUFFLE | FLETCHER32) || planes
}

/// Undoes the filters of a chunk, except those whose bit in `mask` says that it did not go through them.
///
/// # Errors
/// When the bytes are damaged, or do not make as many as `out` has.
pub fn decode(
    filters: &[Filter],
    mask: u32,
    stored: &[u8],
    steps: &mut Steps,
    out: &mut [u8],
) -> Result<()> {
    let passed = |i: usize| i >= 32 || mask & (1 << i) == 0;
    let through: Vec<&Filter> =
        filters.iter().enumerate().filter(|(i, _)| passed(*i)).map(|(_, f)| f).collect();
    let [held, spare] = &mut steps.0;
    let (mut first, mut len) = (true, stored.len());
    for (i, filter) in through.iter().enumerate().rev() {
        let input = if first { stored } else { &held[..len] };
        let input = input.get(..len).unwrap_or_default();
        if filter.id == FLETCHER32 {
            len = fletcher32(input)?.len();
        } else if i == 0 {
            return undo(filter, input, out);
        } else {
            let sums = through[..i].iter().filter(|f| f.id == FLETCHER32).count();
            if !through[..i].iter().all(|f| keeps_length(f)) {
                return unsupported("two compressions in a row");
            }
            spare.resize(out.len() + 4 * sums, 0);
            undo(filter, input, spare)?;
            std::mem::swap(held, spare);
            (first, len) = (false, held.len());
        }
    }
    let input = if first { stored } else { &held[..] };
    copy(input.get(..len).unwrap_or_default(), out)
}

fn copy(from: &[u8], out: &mut [u8]) -> Result<()> {
    if from.len() != out.len() {
        return damaged("a chunk of another length than its shape says");
    }
    out.copy_from_slice(from);
    Ok(())
}

fn undo(filter: &Filter, input: &[u8], out: &mut [u8]) -> Result<()> {
    let value = |i: usize| filter.values.get(i).copied().unwrap_or(0) as usize;
    let of_codec = |done: std::result::Result<(), codecs::CodecError>| {
        done.map_err(|_| Problem::Damaged("a chunk whose compressed bytes are damaged"))
    };
    match filter.id {
        DEFLATE => inflate(input, out),
        SHUFFLE => unshuffle(value(0), input, out),
        LZF => lzf::decode(input, out),
        BLOSC => blosc::decode(input, out),
        LZ4 => of_codec(codecs::lz4(input, out)),
        ZSTD => zstd(input, out),
        BITSHUFFLE => match value(4) {
            0 => {
                // The block's size is written in elements.
                let block = match value(3) {
                    0 => codecs::bitshuffle::BLOCK_BYTES,
                    n => n.saturating_mul(value(2)),
                };
                of_codec(codecs::bitshuffle::unshuffle(input, value(2), block, out))
            }
            2 => of_codec(codecs::bslz4(input, value(2), out)),
            3 => bitshuffle_zstd(value(2), input, out),
            _ => unsupported("a compression of bitshuffle's of an unknown number"),
        },
        _ => unsupported(name(filter)),
    }
}

/// zlib's format; as many bytes as `out` has, neither more nor less.
pub(super) fn inflate(input: &[u8], out: &mut [u8]) -> Result<()> {
    let mut state = Decompress::new(true);
    let done = state.decompress(input, out, FlushDecompress::Finish);
    match done {
        Ok(Status::StreamEnd) if state.total_out() == out.len() as u64 => Ok(()),
        _ => damaged("a chunk whose gzip stream is damaged"),
    }
}

pub(super) fn zstd(input: &[u8], out: &mut [u8]) -> Result<()> {
    let mut decoder = ruzstd::decoding::FrameDecoder::new();
    match decoder.decode_all(input, out) {
        Ok(n) if n == out.len() => Ok(()),
        _ => damaged("a chunk whose zstd stream is damaged"),
    }
}

/// As bitshuffle with LZ4, but each block is a frame of zstd.
fn bitshuffle_zstd(element: usize, input: &[u8], out: &mut [u8]) -> Result<()> {
    const DAMAGED: Problem = Problem::Damaged("a chunk whose compressed bytes are damaged");
    let (total, block) = codecs::head(input).ok_or(DAMAGED)?;
    let group = element.checked_mul(8).filter(|n| *n > 0).ok_or(DAMAGED)?;
    let size = (block as usize) / group * group;
    if total != out.len() as u64 || size == 0 {
        return Err(DAMAGED);
    }
    let mut input = &input[codecs::HEAD..];
    let whole = out.len() / group * group;
    let (blocks, rest) = out.split_at_mut(whole);
    let mut planes = vec![0; size.min(whole)];
    for out in blocks.chunks_mut(size) {
        let (len, after) = input.split_first_chunk::<4>().ok_or(DAMAGED)?;
        let len = u32::from_be_bytes(*len) as usize;
        let (frame, after) = after.split_at_checked(len).ok_or(DAMAGED)?;
        let planes = &mut planes[..out.len()];
        zstd(frame, planes)?;
        let done = codecs::bitshuffle::unshuffle(planes, element, out.len(), out);
        done.map_err(|_| DAMAGED)?;
        input = after;
    }
    copy(input, rest)
}

/// Byte planes become elements again.
pub(super) fn unshuffle(element: usize, input: &[u8], out: &mut [u8]) -> Result<()> {
    if input.len() != out.len() {
        return damaged("a chunk of another length than its shape says");
    }
    match element {
        0 | 1 => out.copy_from_slice(input),
        2 => planes::<2>(input, out),
        4 => planes::<4>(input, out),
        8 => planes::<8>(input, out),
        n => {
            let count = out.len() / n;
            for (plane, bytes) in input[..count * n].chunks_exact(count.max(1)).enumerate() {
                let to = out[plane..].iter_mut().step_by(n);
                to.zip(bytes).for_each(|(to, from)| *to = *from);
            }
            out[count * n..].copy_from_slice(&input[count * n..]);
        }
    }
    Ok(())
}

/// Two, four or eight planes: with their number known the processor takes many elements at once.
fn planes<const N: usize>(input: &[u8], out: &mut [u8]) {
    let count = out.len() / N;
    let plane = |k: usize| input[k * count..(k + 1) * count].iter();
    let (elements, rest) = out.as_chunks_mut::<N>();
    // Pairs of planes, so that there are as many loops as pairs.
    for k in (0..N).step_by(2) {
        for ((element, low), high) in elements.iter_mut().zip(plane(k)).zip(plane(k + 1)) {
            (element[k], element[k + 1]) = (*low, *high);
        }
    }
    rest.copy_from_slice(&input[count * N..]);
}

/// The bytes before HDF5's Fletcher-32, if it is right.
fn fletcher32(input: &[u8]) -> Result<&[u8]> {
    let Some((body, stated)) = input.split_last_chunk::<4>() else {
        return damaged("a chunk without its checksum");
    };
    let (mut one, mut two) = (0u32, 0u32);
    let (pairs, odd) = body.as_chunks::<2>();
    for block in pairs.chunks(360) {
        for pair in block {
            one += u32::from(u16::from_be_bytes(*pair));
            two += one;
        }
        one = (one & 0xffff) + (one >> 16);
        two = (two & 0xffff) + (two >> 16);
    }
    if let [last] = odd {
        one += u32::from(*last) << 8;
        two += one;
        one = (one & 0xffff) + (one >> 16);
        two = (two & 0xffff) + (two >> 16);
    }
    one = (one & 0xffff) + (one >> 16);
    two = (two & 0xffff) + (two >> 16);
    let sum = two << 16 | one;
    let stated = u32::from_le_bytes(*stated);
    // Versions before 1.6.3 wrote the halves' bytes the other way round on some machines.
    let turned = (stated & 0x00ff_00ff) << 8 | (stated & 0xff00_ff00) >> 8;
    if sum == stated || sum == turned { Ok(body) } else { damaged("a chunk's checksum is wrong") }
}

#[cfg(test)]
mod tests;
