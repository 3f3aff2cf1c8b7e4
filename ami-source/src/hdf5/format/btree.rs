//! B-trees: version 1 finds chunks and lists old groups, version 2 finds chunks and lists everything
//! else. Nodes are read as they are needed and kept by the [`Store`].

use crate::hdf5::format::cursor::width_of;
use crate::hdf5::format::store::Store;
use crate::hdf5::format::{MAX_DEPTH, Problem, Result, checksum, damaged};
use std::cmp::Ordering;

/// Node, level, entries.
fn node(store: &Store, address: u64, kind: u8) -> Result<(u8, usize)> {
    let head = store.piece(address, 8)?;
    let mut c = store.cursor(&head);
    c.signature(b"TREE", "no node of a B-tree")?;
    if c.u8()? != kind {
        return damaged("a node of another kind of B-tree");
    }
    Ok((c.u8()?, usize::from(c.u16()?)))
}

/// Visits the addresses of the leaves' entries of a version 1 tree over names, in order; of so many nodes
/// and leaves at most.
///
/// # Errors
/// When the tree is damaged, and the visitor's own.
pub fn symbol_nodes(
    store: &Store,
    address: u64,
    (depth, left): (usize, &mut usize),
    visit: &mut dyn FnMut(u64) -> Result<()>,
) -> Result<()> {
    if depth > MAX_DEPTH {
        return damaged("a B-tree too deep");
    }
    // Nodes that lead to one another in circles are many, too.
    *left = left.checked_sub(1).ok_or(Problem::Damaged("a B-tree of too many nodes"))?;
    let (o, l) = (store.widths().offset, store.widths().length);
    let (level, used) = node(store, address, 0)?;
    let piece = store.piece(address, 8 + 2 * o + used * (l + o))?;
    let mut c = store.cursor(&piece);
    c.skip(8 + 2 * o)?;
    for _ in 0..used {
        c.skip(l)?;
        let child = c.address()?.ok_or(Problem::Damaged("a B-tree that leads nowhere"))?;
        if level == 0 {
            *left = left.checked_sub(1).ok_or(Problem::Damaged("a B-tree of too many nodes"))?;
            visit(child)?;
        } else {
            symbol_nodes(store, child, (depth + 1, left), visit)?;
        }
    }
    Ok(())
}

/// A chunk as an index knows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stored {
    /// Where its bytes begin.
    pub address: u64,
    /// How many there are.
    pub bytes: u64,
    /// Filters that it did not go through, a bit each.
    pub mask: u32,
}

/// Looks a chunk up in a version 1 tree; `offset` is that of its first element on every axis.
///
/// # Errors
/// When the tree is damaged.
pub fn find_chunk(store: &Store, root: u64, offset: &[u64]) -> Result<Option<Stored>> {
    let o = store.widths().offset;
    let key = 8 + 8 * (offset.len() + 1);
    let mut address = root;
    for _ in 0..MAX_DEPTH {
        let (level, used) = node(store, address, 1)?;
        if used == 0 {
            return Ok(None);
        }
        let piece = store.piece(address, 8 + 2 * o + used * (key + o))?;
        let entries = &piece[8 + 2 * o..];
        let order = |i: usize| -> Result<Ordering> {
            let mut c = store.cursor(&entries[i * (key + o) + 8..]);
            for want in offset {
                match c.u64()?.cmp(want) {
                    Ordering::Equal => {}
                    other => return Ok(other),
                }
            }
            Ok(Ordering::Equal)
        };
        // The last entry that does not lie behind.
        let (mut low, mut high) = (0, used);
        while low < high {
            let middle = (low + high) / 2;
            if order(middle)? == Ordering::Greater { high = middle } else { low = middle + 1 }
        }
        let Some(at) = low.checked_sub(1) else { return Ok(None) };
        let mut c = store.cursor(&entries[at * (key + o)..]);
        let (bytes, mask) = (u64::from(c.u32()?), c.u32()?);
        c.skip(key - 8)?;
        let child = c.address()?.ok_or(Problem::Damaged("a B-tree that leads nowhere"))?;
        if level == 0 {
            let found = order(at)? == Ordering::Equal;
            return Ok(found.then_some(Stored { address: child, bytes, mask }));
        }
        address = child;
    }
    damaged("a B-tree too deep")
}

/// A version 2 tree.
pub struct Tree2<'a> {
    store: &'a Store,
    /// Bytes of a record.
    pub record: usize,
    node: usize,
    depth: usize,
    root: Option<(u64, u64)>,
    /// Bytes of "records of a child", and by level of "records below a child".
    count_width: usize,
    below_width: Vec<usize>,
}

impl<'a> Tree2<'a> {
    /// Reads the header of a tree of one of some kinds.
    ///
    /// # Errors
    /// When it is damaged or of another kind.
    pub fn open(store: &'a Store, address: u64, kinds: &[u8]) -> Result<Tree2<'a>> {
        let (o, l) = (store.widths().offset, store.widths().length);
        let head = store.checked(address, 22 + o + l)?;
        let mut c = store.cursor(checksum::body(&head));
        c.signature(b"BTHD", "no B-tree of version 2")?;
        c.skip(1)?;
        if !kinds.contains(&c.u8()?) {
            return damaged("a B-tree of another kind");
        }
        let (node, record) = (c.u32()? as usize, usize::from(c.u16()?));
        let depth = usize::from(c.u16()?);
        c.skip(2)?;
        let root = c.address()?;
        let records = u64::from(c.u16()?);
        if record == 0 || node < 10 + record || depth > MAX_DEPTH {
            return damaged("a B-tree whose sizes cannot be");
        }
        let most_in_leaf = ((node - 10) / record) as u64;
        let count_width = width_of(most_in_leaf);
        let (mut below_width, mut most) = (vec![0], most_in_leaf);
        for level in 1..=depth {
            let pointer = o + count_width + below_width[level - 1];
            let here = (node.saturating_sub(10 + pointer) / (record + pointer)) as u64;
            most = (here + 1).saturating_mul(most).saturating_add(here);
            below_width.push(width_of(most));
        }
        let root = root.map(|at| (at, records));
        Ok(Tree2 { store, record, node, depth, root, count_width, below_width })
    }

    /// The records of a node, and the children between them.
    fn node(&self, address: u64, records: u64, level: usize) -> Result<Node> {
        let records = usize::try_from(records).unwrap_or(usize::MAX);
        let o = self.store.widths().offset;
        let pointer = match level {
            0 => 0,
            _ => o + self.count_width + self.below_width[level - 1],
        };
        let pointers =
            if level == 0 { 0 } else { (records.saturating_add(1)).saturating_mul(pointer) };
        let len = records.saturating_mul(self.record).saturating_add(pointers).saturating_add(10);
        if len > self.node {
            return damaged("a node with more records than it can hold");
        }
        let piece = self.store.checked(address, len)?;
        let mut c = self.store.cursor(checksum::body(&piece));
        let signature = if level == 0 { b"BTLF" } else { b"BTIN" };
        c.signature(signature, "no node of a B-tree of version 2")?;
        c.skip(2)?;
        let bytes = c.take(records * self.record)?.to_vec();
        let mut children = Vec::new();
        for _ in 0..if level == 0 { 0 } else { records + 1 } {
            let at = c.address()?.ok_or(Problem::Damaged("a B-tree that leads nowhere"))?;
            children.push((at, c.uint(self.count_width)?));
            c.skip(self.below_width[level - 1])?;
        }
        Ok(Node { bytes, children })
    }

    /// Visits all records, in order.
    ///
    /// # Errors
    /// When the tree is damaged, and the visitor's own.
    pub fn each(&self, visit: &mut dyn FnMut(&[u8]) -> Result<()>) -> Result<()> {
        let Some((root, records)) = self.root else { return Ok(()) };
        self.walk(root, records, self.depth, visit)
    }

    fn walk(
        &self,
        address: u64,
        records: u64,
        level: usize,
        visit: &mut dyn FnMut(&[u8]) -> Result<()>,
    ) -> Result<()> {
        let node = self.node(address, records, level)?;
        let mut children = node.children.iter();
        for record in node.bytes.chunks_exact(self.record) {
            if let Some(&(at, records)) = children.next() {
                self.walk(at, records, level - 1, visit)?;
            }
            visit(record)?;
        }
        match children.next() {
            Some(&(at, records)) => self.walk(at, records, level - 1, visit),
            None => Ok(()),
        }
    }

    /// The record that `order` calls equal.
    ///
    /// # Errors
    /// When the tree is damaged.
    pub fn find(&self, order: &dyn Fn(&[u8]) -> Result<Ordering>) -> Result<Option<Vec<u8>>> {
        let Some((mut address, mut records)) = self.root else { return Ok(None) };
        for level in (0..=self.depth).rev() {
            let node = self.node(address, records, level)?;
            let record = |i: usize| &node.bytes[i * self.record..(i + 1) * self.record];
            let (mut low, mut high) = (0, node.bytes.len() / self.record);
            while low < high {
                let middle = (low + high) / 2;
                match order(record(middle))? {
                    Ordering::Equal => return Ok(Some(record(middle).to_vec())),
                    Ordering::Greater => high = middle,
                    Ordering::Less => low = middle + 1,
                }
            }
            match node.children.get(low) {
                Some(&child) => (address, records) = child,
                None => return Ok(None),
            }
        }
        Ok(None)
    }
}

struct Node {
    bytes: Vec<u8>,
    children: Vec<(u64, u64)>,
}
