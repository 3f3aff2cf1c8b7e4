//! Datasets that consist of others: virtual ones, and pieces with numbers in their names.

use crate::hdf5::dataset::Dataset;
use crate::hdf5::files::Files;
use crate::hdf5::format::mapping::{Region, parts};
use crate::hdf5::format::space::Space;
use crate::hdf5::format::store::Store;
use crate::hdf5::format::{MAX_CHUNK, Problem, Result, damaged, unsupported};
use crate::hdf5::region::{self, Place, bytes_of};
use crate::hdf5::tree::dataset_at;
use std::rc::Rc;

/// A box here and the box of a dataset that it comes from; both have as many elements.
#[derive(Debug)]
struct Part {
    to: Region,
    from: Region,
    dataset: usize,
}

/// Datasets and which part of the whole each one is.
#[derive(Debug)]
pub struct Joined {
    datasets: Vec<Dataset>,
    parts: Vec<Part>,
    /// True when rows are added at the end.
    appended: bool,
    buffer: Vec<u8>,
}

impl Joined {
    /// Rows of one after those of the other.
    pub fn behind_each_other(datasets: Vec<Dataset>) -> Joined {
        let mut joined = Joined { datasets, parts: Vec::new(), appended: true, buffer: Vec::new() };
        joined.lay_out();
        joined
    }

    fn lay_out(&mut self) {
        let mut row = 0u64;
        self.parts.clear();
        for (dataset, of) in self.datasets.iter().enumerate() {
            let count = of.shape().to_vec();
            let from = Region { start: vec![0; count.len()], count: count.clone() };
            let mut to = from.clone();
            if let Some(first) = to.start.first_mut() {
                *first = row;
            }
            row = row.saturating_add(of.rows());
            self.parts.push(Part { to, from, dataset });
        }
    }

    /// The parts of a virtual dataset. A file that is not there leaves its part filled.
    ///
    /// # Errors
    /// When parts cannot be read here.
    pub fn virtual_of(
        (files, store, space): (&Rc<Files>, &Rc<Store>, &Space),
        at: u64,
        index: u32,
    ) -> Result<Joined> {
        let mut joined =
            Joined { datasets: Vec::new(), parts: Vec::new(), appended: false, buffer: Vec::new() };
        let mut names: Vec<(String, String, Option<usize>)> = Vec::new();
        for part in parts(store, at, index)? {
            let known =
                names.iter().find(|(file, set, _)| (file, set) == (&part.file, &part.dataset));
            let dataset = match known {
                Some((.., known)) => *known,
                None => {
                    let opened = source(files, store, &part.file, &part.dataset)?;
                    let number = opened.map(|dataset| {
                        joined.datasets.push(dataset);
                        joined.datasets.len() - 1
                    });
                    names.push((part.file.clone(), part.dataset.clone(), number));
                    number
                }
            };
            let Some(dataset) = dataset else { continue };
            let there = joined.datasets[dataset].shape().to_vec();
            let from = cut(part.from, &there);
            let to = cut(part.to, &space.shape);
            joined.parts.push(pair(from, to, dataset)?);
        }
        joined.parts.sort_by_key(|p| p.to.start.first().copied());
        Ok(joined)
    }

    /// Rows of all pieces.
    pub fn rows(&self) -> u64 {
        self.datasets.iter().fold(0, |n, d| n.saturating_add(d.rows()))
    }

    /// Rows of all pieces, where these lie behind each other.
    pub fn appended(&self) -> Option<u64> {
        self.appended.then(|| self.rows())
    }

    /// Asks the files again.
    ///
    /// # Errors
    /// As [`Dataset::refresh`].
    pub fn refresh(&mut self) -> Result<()> {
        self.datasets.iter_mut().try_for_each(Dataset::refresh)?;
        if self.appended {
            self.lay_out();
        }
        Ok(())
    }

    /// True when one part has all of a box.
    pub fn covers(&self, start: &[u64], count: &[u64]) -> bool {
        let common = |part: &Part| part.to.common(start, count).is_some_and(|(_, c)| c == count);
        self.parts.iter().any(common)
    }

    /// Reads what parts there are of a box; the rest of `out` stays as it is.
    ///
    /// # Errors
    /// When a part is damaged.
    pub fn read(
        &mut self,
        start: &[u64],
        count: &[u64],
        size: usize,
        out: &mut [u8],
    ) -> Result<()> {
        for part in &self.parts {
            let Some((low, common)) = part.to.common(start, count) else { continue };
            let inside: Vec<u64> = low.iter().zip(&part.to.start).map(|(l, s)| l - s).collect();
            let (from, there) = translate(part, &inside, &common);
            let dataset = &mut self.datasets[part.dataset];
            if common == count {
                dataset.read(&from, &there, out)?;
                continue;
            }
            let bytes = bytes_of(&common, size).filter(|n| *n as u64 <= MAX_CHUNK);
            let bytes =
                bytes.ok_or_else(|| Problem::Limit("a part of more than 256 MiB".into()))?;
            self.buffer.resize(bytes, 0);
            dataset.read(&from, &there, &mut self.buffer)?;
            let zeros = vec![0; common.len()];
            let outside: Vec<u64> = low.iter().zip(start).map(|(l, s)| l - s).collect();
            let whole = Place { shape: &common, start: &zeros };
            let to = Place { shape: count, start: &outside };
            region::copy((whole, &self.buffer), (to, out), &common, size);
        }
        Ok(())
    }
}

/// The dataset that a part comes from; None when its file or itself is not there.
fn source(files: &Rc<Files>, store: &Rc<Store>, file: &str, path: &str) -> Result<Option<Dataset>> {
    let from = match file {
        "." => store.clone(),
        name => match files.linked(store, name) {
            Ok(from) => from,
            Err(problem) => {
                tracing::warn!(file = name, %problem, "a part of a virtual dataset is not there");
                files.counts.add(crate::hdf5::counts::Count::LinksBroken);
                return Ok(None);
            }
        },
    };
    let found = dataset_at(files, &from, path)?;
    match found {
        Some(dataset)
            if matches!(dataset.layout, crate::hdf5::format::layout::Layout::Virtual(..)) =>
        {
            unsupported("a virtual dataset of virtual datasets")
        }
        found => Ok(found),
    }
}

/// A region with its open ends cut to a shape.
fn cut(region: Option<Region>, shape: &[u64]) -> Region {
    let whole = || Region { start: vec![0; shape.len()], count: shape.to_vec() };
    let mut region = region.unwrap_or_else(whole);
    for ((start, count), n) in region.start.iter().zip(&mut region.count).zip(shape) {
        *count = (*count).min(n.saturating_sub(*start));
    }
    region
}

/// Two regions of as many elements, whose axes longer than 1 agree.
fn pair(mut from: Region, mut to: Region, dataset: usize) -> Result<Part> {
    let long = |r: &Region| r.count.iter().copied().filter(|n| *n != 1).collect::<Vec<_>>();
    if long(&from).len() != long(&to).len() && !from.count.contains(&0) && !to.count.contains(&0) {
        return unsupported("a virtual dataset that changes the shape of its parts");
    }
    if long(&from) != long(&to) {
        // One that was not written to its end: what both have, if only the first axis differs.
        let (a, b) = (long(&from), long(&to));
        let same = a.get(1..) == b.get(1..) && !a.is_empty() && !b.is_empty();
        if !same {
            return unsupported("a virtual dataset that changes the shape of its parts");
        }
        let least = a[0].min(b[0]);
        for region in [&mut from, &mut to] {
            if let Some(axis) = region.count.iter_mut().find(|n| **n != 1) {
                *axis = least;
            }
        }
    }
    Ok(Part { to, from, dataset })
}

/// Where a part of the region here lies there: axes longer than 1 in the region go by their order.
fn translate(part: &Part, inside: &[u64], count: &[u64]) -> (Vec<u64>, Vec<u64>) {
    let mut start = part.from.start.clone();
    let mut there = vec![1; start.len()];
    let mut axes = (0..start.len()).filter(|a| part.from.count[*a] != 1);
    for (axis, _) in part.to.count.iter().enumerate().filter(|(_, n)| **n != 1) {
        if let Some(to) = axes.next() {
            start[to] = start[to].saturating_add(inside[axis]);
            there[to] = count[axis];
        }
    }
    (start, there)
}

impl Region {
    /// What a box and this region have in common: where it begins and its lengths.
    fn common(&self, start: &[u64], count: &[u64]) -> Option<(Vec<u64>, Vec<u64>)> {
        let mut low = Vec::with_capacity(start.len());
        let mut common = Vec::with_capacity(start.len());
        if self.start.len() != start.len() {
            return None;
        }
        for (axis, (s, n)) in start.iter().zip(count).enumerate() {
            let (own, len) = (self.start[axis], self.count[axis]);
            let begin = own.max(*s);
            let end = own.saturating_add(len).min(s.saturating_add(*n));
            if end <= begin {
                return None;
            }
            low.push(begin);
            common.push(end - begin);
        }
        Some((low, common))
    }
}

/// Names with numbers at their end: what stands before, and the number.
pub fn numbered(name: &str) -> Option<(&str, u64)> {
    let stem = name.trim_end_matches(|c: char| c.is_ascii_digit());
    let digits = &name[stem.len()..];
    let stem = stem.strip_suffix('_').unwrap_or(stem);
    (digits.len() >= 3 && digits.len() <= 12 && !stem.is_empty())
        .then(|| digits.parse().ok().map(|n| (stem, n)))
        .flatten()
}

/// Pieces that can stand behind each other.
pub fn alike(a: &Dataset, b: &Dataset) -> Result<()> {
    if a.element != b.element || a.shape().get(1..) != b.shape().get(1..) {
        return damaged("pieces of different shapes");
    }
    Ok(())
}
