//! A dataset: what it is, and any box of its elements, wherever they are. Elements of uncompressed
//! chunks and of one piece are read from the file to where they are to lie; compressed chunks are decoded
//! there.

use crate::hdf5::files::Files;
use crate::hdf5::format::attribute::{Attribute, attributes};
use crate::hdf5::format::element::Element;
use crate::hdf5::format::header::{Message, kind, messages};
use crate::hdf5::format::layout::Layout;
use crate::hdf5::format::space::{self, Filter, Space};
use crate::hdf5::format::store::Store;
use crate::hdf5::format::{Problem, Result, damaged};
use crate::hdf5::joined::Joined;
use crate::hdf5::region::{self, Place, bytes_of};
use std::collections::VecDeque;
use std::rc::Rc;

/// A dataset of a file.
#[derive(Debug)]
pub struct Dataset {
    pub(super) files: Rc<Files>,
    pub(super) store: Rc<Store>,
    header: u64,
    /// Its axes.
    pub space: Space,
    /// Its elements.
    pub element: Element,
    /// Where they are.
    pub layout: Layout,
    /// What chunks went through.
    pub filters: Vec<Filter>,
    /// What the file says about it.
    pub attributes: Vec<Attribute>,
    pub(super) fill: Vec<u8>,
    joined: Option<Joined>,
    pub(super) kept: VecDeque<(Vec<u64>, Vec<u8>)>,
}

impl Dataset {
    /// The dataset whose object header stands at an address; None when that is no dataset.
    ///
    /// # Errors
    /// When its description is damaged.
    pub fn open(files: &Rc<Files>, store: &Rc<Store>, header: u64) -> Result<Option<Dataset>> {
        Dataset::of(files, store, header, &messages(store, header)?)
    }

    /// As [`open`](Self::open), from messages that were read already.
    ///
    /// # Errors
    /// When they are damaged.
    pub fn of(
        files: &Rc<Files>,
        store: &Rc<Store>,
        header: u64,
        messages: &[Message],
    ) -> Result<Option<Dataset>> {
        let find = |kind| messages.iter().find(|m| m.kind == kind).map(|m| &m.bytes[..]);
        let (Some(layout), Some(dtype), Some(space)) =
            (find(kind::LAYOUT), find(kind::DATATYPE), find(kind::DATASPACE))
        else {
            return Ok(None);
        };
        if find(kind::EXTERNAL_FILES).is_some() {
            return Err(Problem::Unsupported("a dataset in files of another kind".into()));
        }
        let fill = match (find(kind::FILL), find(kind::OLD_FILL)) {
            (Some(fill), _) => space::fill(&mut store.cursor(fill), false)?,
            (None, Some(fill)) => space::fill(&mut store.cursor(fill), true)?,
            _ => Vec::new(),
        };
        let filters = find(kind::FILTERS).map(|bytes| space::filters(&mut store.cursor(bytes)));
        Ok(Some(Dataset {
            files: files.clone(),
            store: store.clone(),
            header,
            space: Space::parse(&mut store.cursor(space))?,
            element: Element::parse(&mut store.cursor(dtype))?,
            layout: Layout::parse(&mut store.cursor(layout))?,
            filters: filters.transpose()?.unwrap_or_default(),
            attributes: attributes(store, messages).unwrap_or_default(),
            fill,
            joined: None,
            kept: VecDeque::new(),
        }))
    }

    /// The rows of several datasets one behind the other, as one dataset.
    pub fn concatenated(pieces: Vec<Dataset>) -> Option<Dataset> {
        let first = pieces.first()?;
        let attributes = first.attributes.clone();
        let mut whole = Dataset {
            files: first.files.clone(),
            store: first.store.clone(),
            header: first.header,
            space: first.space.clone(),
            element: first.element.clone(),
            layout: Layout::Virtual(None, 0),
            filters: first.filters.clone(),
            attributes,
            fill: Vec::new(),
            joined: None,
            kept: VecDeque::new(),
        };
        let joined = Joined::behind_each_other(pieces);
        *whole.space.shape.first_mut()? = joined.rows();
        whole.space.most = whole.space.shape.iter().copied().map(Some).collect();
        whole.joined = Some(joined);
        Some(whole)
    }

    /// The same dataset, to be read beside this one; None for one that was put together here.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn again(&self) -> Result<Option<Dataset>> {
        if matches!((&self.layout, &self.joined), (Layout::Virtual(None, _), Some(_))) {
            return Ok(None);
        }
        let mut again = Dataset::open(&self.files, &self.store, self.header)?;
        again.as_mut().map_or(Ok(()), Dataset::resolve)?;
        Ok(again)
    }

    /// Finds the datasets that a virtual one consists of.
    ///
    /// # Errors
    /// When they select in ways that are not read here.
    pub fn resolve(&mut self) -> Result<()> {
        if let (Layout::Virtual(Some(at), index), None) = (&self.layout, &self.joined) {
            let own = (&self.files, &self.store, &self.space);
            self.joined = Some(Joined::virtual_of(own, *at, *index)?);
        }
        Ok(())
    }

    /// The file it is in.
    pub fn store(&self) -> &Rc<Store> {
        &self.store
    }

    /// Address of its object header.
    pub fn header(&self) -> u64 {
        self.header
    }

    /// Lengths of its axes.
    pub fn shape(&self) -> &[u64] {
        &self.space.shape
    }

    /// Length of the first axis; 1 for a scalar.
    pub fn rows(&self) -> u64 {
        if self.space.null { 0 } else { self.space.shape.first().copied().unwrap_or(1) }
    }

    /// True when its first axis may grow.
    pub fn grows(&self) -> bool {
        self.space.most.first().is_some_and(Option::is_none)
    }

    /// True when reading one row costs decoding what others need, too.
    pub fn in_shared_chunks(&self) -> bool {
        match &self.layout {
            Layout::Chunked(c) => c.chunk.first().is_some_and(|n| *n > 1),
            Layout::Virtual(..) => false,
            _ => true,
        }
    }

    /// Asks the file again how long it is and where its chunks are.
    ///
    /// # Errors
    /// When that is damaged, as it may be for moments while it is written.
    pub fn refresh(&mut self) -> Result<()> {
        if let Some(joined) = &mut self.joined {
            joined.refresh()?;
            if let (Some(rows), Some(first)) = (joined.appended(), self.space.shape.first_mut()) {
                *first = rows;
            }
            return Ok(());
        }
        let now = Dataset::open(&self.files, &self.store, self.header)?;
        let mut now = now.ok_or(Problem::Damaged("a dataset that is none any more"))?;
        if now.space.shape.len() != self.space.shape.len() || now.element != self.element {
            return damaged("a dataset that became another one");
        }
        std::mem::swap(&mut self.space, &mut now.space);
        std::mem::swap(&mut self.layout, &mut now.layout);
        // Its last chunk may have been filled up.
        self.forget();
        Ok(())
    }

    fn forget(&mut self) {
        let bytes = self.kept.drain(..).map(|(_, chunk)| chunk.len()).sum();
        self.files.release(bytes);
    }

    /// Reads the elements of a box, as they are stored, in C order.
    ///
    /// # Errors
    /// When the box lies outside, `out` is not of its size, or the file is damaged there.
    pub fn read(&mut self, start: &[u64], count: &[u64], out: &mut [u8]) -> Result<()> {
        let axes = self.space.shape.iter().zip(start).zip(count);
        let inside = start.len() == self.space.shape.len()
            && count.len() == start.len()
            && axes.into_iter().all(|((n, s), c)| s.checked_add(*c).is_some_and(|end| end <= *n));
        if !inside || bytes_of(count, self.element.size) != Some(out.len()) {
            return damaged("a box outside of its dataset");
        }
        if out.is_empty() {
            return Ok(());
        }
        if let Some(joined) = &mut self.joined {
            if !joined.covers(start, count) {
                fill(&self.fill, out);
            }
            return joined.read(start, count, self.element.size, out);
        }
        match &self.layout {
            Layout::Compact(bytes) => {
                let from = Place { shape: &self.space.shape, start };
                let zeros = vec![0; count.len()];
                let to = Place { shape: count, start: &zeros };
                region::copy((from, bytes), (to, out), count, self.element.size);
                Ok(())
            }
            Layout::Contiguous(None) | Layout::Virtual(..) => {
                fill(&self.fill, out);
                Ok(())
            }
            Layout::Contiguous(Some(address)) => {
                let from = Place { shape: &self.space.shape, start };
                self.pieces((*address, from), (count, &vec![0; count.len()]), count, out)
            }
            Layout::Chunked(_) => self.by_chunks(start, count, out),
        }
    }

    /// Reads a box of an array that lies in the file in one piece, run by run, to its place in `out`.
    pub(super) fn pieces(
        &self,
        (address, from): (u64, Place<'_>),
        (shape, start): (&[u64], &[u64]),
        count: &[u64],
        out: &mut [u8],
    ) -> Result<()> {
        let to = Place { shape, start };
        region::runs(from, to, count, self.element.size, &mut |a, b, n| {
            let at = address.checked_add(a).ok_or(Problem::Damaged("an address that wraps"))?;
            match out.get_mut(b as usize..b as usize + n) {
                Some(to) => self.store.read_into(at, to),
                None => Ok(()),
            }
        })
    }
}

impl Drop for Dataset {
    fn drop(&mut self) {
        self.forget();
    }
}

pub(super) fn fill(value: &[u8], out: &mut [u8]) {
    if value.is_empty() {
        out.fill(0);
    } else {
        out.chunks_exact_mut(value.len()).for_each(|to| to.copy_from_slice(value));
    }
}
