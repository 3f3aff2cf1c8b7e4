//! Boxes of datasets in chunks: which chunks they touch, and how each gets where its elements are to lie.

use crate::hdf5::dataset::{Dataset, fill};
use crate::hdf5::decode;
use crate::hdf5::format::btree::Stored;
use crate::hdf5::format::chunks::{self, Grid};
use crate::hdf5::format::layout::{Chunked, Layout};
use crate::hdf5::format::{MAX_CHUNK, Problem, Result, damaged};
use crate::hdf5::region::{self, Place, bytes_of};
use std::collections::VecDeque;

/// Bytes of decoded chunks that one dataset keeps.
const KEPT: usize = 64 << 20;
/// Runs shorter than this are not worth a read each.
const SHORT: usize = 4096;

impl Dataset {
    pub(super) fn by_chunks(&mut self, start: &[u64], count: &[u64], out: &mut [u8]) -> Result<()> {
        let Layout::Chunked(chunked) = &self.layout else { return Ok(()) };
        let chunked = chunked.clone();
        if chunked.chunk.len() != start.len() {
            return damaged("chunks of another rank than their dataset");
        }
        let size = chunked.chunk.clone();
        let first: Vec<u64> = start.iter().zip(&size).map(|(s, c)| s / c).collect();
        let last: Vec<u64> =
            start.iter().zip(count).zip(&size).map(|((s, n), c)| (s + n - 1) / c).collect();
        let mut numbers = first.clone();
        loop {
            let begin: Vec<u64> = numbers.iter().zip(&size).map(|(n, c)| n * c).collect();
            let axes = || begin.iter().zip(&size).zip(start.iter().zip(count));
            // The part of the box that lies in this chunk.
            let low: Vec<u64> = axes().map(|((b, _), (s, _))| (*b).max(*s)).collect();
            let part: Vec<u64> = axes()
                .zip(&low)
                .map(|(((b, c), (s, n)), low)| b.saturating_add(*c).min(s + n) - low)
                .collect();
            let inside: Vec<u64> = low.iter().zip(&begin).map(|(l, b)| l - b).collect();
            let outside: Vec<u64> = low.iter().zip(start).map(|(l, s)| l - s).collect();
            let to = Place { shape: count, start: &outside };
            self.chunk(&chunked, &numbers, (&inside, to), &part, out)?;
            let mut axis = numbers.len();
            loop {
                let Some(next) = axis.checked_sub(1) else { return Ok(()) };
                axis = next;
                numbers[axis] += 1;
                if numbers[axis] <= last[axis] {
                    break;
                }
                numbers[axis] = first[axis];
            }
        }
    }

    /// Copies a part of one chunk, which begins at `inside` of the chunk, to its place.
    fn chunk(
        &mut self,
        chunked: &Chunked,
        numbers: &[u64],
        (inside, to): (&[u64], Place<'_>),
        part: &[u64],
        out: &mut [u8],
    ) -> Result<()> {
        let from = Place { shape: &chunked.chunk, start: inside };
        let size = self.element.size;
        if let Some((_, bytes)) = self.kept.iter().find(|(n, _)| n == numbers) {
            region::copy((from, bytes), (to, out), part, size);
            return Ok(());
        }
        let whole = bytes_of(&chunked.chunk, size).unwrap_or(usize::MAX);
        let filtered = !self.filters.is_empty();
        let grid = Grid { chunked, space: &self.space, bytes: whole as u64, filtered };
        let Some(stored) = chunks::find(&self.store, grid, numbers)? else {
            return self.fill_box(to, part, out);
        };
        let plain =
            self.filters.is_empty() || (chunked.plain_edges && self.at_edge(chunked, numbers));
        if plain {
            let run = part.last().copied().unwrap_or(1).saturating_mul(size as u64) as usize;
            if run >= SHORT || part == to.shape || whole as u64 > MAX_CHUNK {
                return self.pieces((stored.address, from), (to.shape, to.start), part, out);
            }
        }
        if whole as u64 > MAX_CHUNK {
            let most = MAX_CHUNK >> 20;
            return Err(Problem::Limit(format!("compressed chunks of more than {most} MiB")));
        }
        if part == chunked.chunk && out.len() == whole {
            return self.load(stored, plain, out);
        }
        self.through_memory((stored, plain, numbers), (from, to), part, whole, out)
    }

    /// Decodes a chunk of which only a part is wanted, and keeps it for the other parts.
    fn through_memory(
        &mut self,
        (stored, plain, numbers): (Stored, bool, &[u64]),
        (from, to): (Place<'_>, Place<'_>),
        part: &[u64],
        whole: usize,
        out: &mut [u8],
    ) -> Result<()> {
        // What is used up at once is not kept.
        let keep = part != from.shape && self.room_for(whole) && self.files.reserve(whole);
        let mut decoded = match keep {
            true => vec![0; whole],
            false => {
                let mut shared = std::mem::take(&mut self.files.scratch.borrow_mut().decoded);
                shared.resize(whole, 0);
                shared
            }
        };
        let loaded = self.load(stored, plain, &mut decoded);
        if loaded.is_ok() {
            region::copy((from, &decoded), (to, out), part, self.element.size);
        }
        if keep && loaded.is_ok() {
            self.kept.push_back((numbers.to_vec(), decoded));
        } else if keep {
            self.files.release(whole);
        } else {
            self.files.scratch.borrow_mut().decoded = decoded;
        }
        loaded
    }

    /// Makes room for one more decoded chunk; false when it is too large to be kept.
    fn room_for(&mut self, bytes: usize) -> bool {
        let held =
            |kept: &VecDeque<(Vec<u64>, Vec<u8>)>| kept.iter().map(|(_, c)| c.len()).sum::<usize>();
        while !self.kept.is_empty() && held(&self.kept) + bytes > KEPT {
            if let Some((_, chunk)) = self.kept.pop_front() {
                self.files.release(chunk.len());
            }
        }
        bytes <= KEPT
    }

    /// Reads a whole chunk and undoes its filters.
    fn load(&self, stored: Stored, plain: bool, out: &mut [u8]) -> Result<()> {
        if plain {
            return self.store.read_into(stored.address, out);
        }
        // What cannot be compressed grows a little.
        let most = out.len() as u64 + out.len() as u64 / 8 + 65536;
        if stored.bytes > most || stored.bytes > self.store.bytes()? {
            return damaged("a chunk stored in more bytes than it has");
        }
        let mut scratch = self.files.scratch.borrow_mut();
        let scratch = &mut *scratch;
        scratch.stored.resize(stored.bytes as usize, 0);
        self.store.read_into(stored.address, &mut scratch.stored)?;
        decode::decode(&self.filters, stored.mask, &scratch.stored, &mut scratch.steps, out)
    }

    /// True for a chunk that sticks out over the dataset's end.
    fn at_edge(&self, chunked: &Chunked, numbers: &[u64]) -> bool {
        let axes = numbers.iter().zip(&chunked.chunk).zip(&self.space.shape);
        axes.into_iter().any(|((n, c), all)| (n + 1).saturating_mul(*c) > *all)
    }

    fn fill_box(&self, to: Place<'_>, part: &[u64], out: &mut [u8]) -> Result<()> {
        region::runs(to, to, part, self.element.size, &mut |at, _, n| {
            if let Some(to) = out.get_mut(at as usize..at as usize + n) {
                fill(&self.fill, to);
            }
            Ok(())
        })
    }
}
