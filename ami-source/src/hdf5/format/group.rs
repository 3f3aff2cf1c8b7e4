//! Groups: the names in them and what these lead to.

use crate::hdf5::format::btree::{Tree2, symbol_nodes};
use crate::hdf5::format::cursor::Cursor;
use crate::hdf5::format::fractal_heap::FractalHeap;
use crate::hdf5::format::header::{Message, kind};
use crate::hdf5::format::heap::LocalHeap;
use crate::hdf5::format::store::Store;
use crate::hdf5::format::{MAX_LINKS, Problem, Result, damaged};

/// Nodes and leaves of an old group.
const MAX_NODES: usize = 1 << 15;

/// Where a name leads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// To an object header in this file.
    Hard(u64),
    /// To a path in this file.
    Soft(String),
    /// To a path in another file.
    External(String, String),
    /// Elsewhere, in a way of somebody's own.
    Unknown,
}

/// A name in a group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    /// The name.
    pub name: String,
    /// Where it leads.
    pub target: Target,
}

/// True for an object that is a group.
pub fn is_group(messages: &[Message]) -> bool {
    let of_groups = [kind::LINK_INFO, kind::LINK, kind::SYMBOL_TABLE];
    messages.iter().any(|m| of_groups.contains(&m.kind))
}

/// The links of a group, by name.
///
/// # Errors
/// When their list is damaged, or longer than any should be.
pub fn links(store: &Store, messages: &[Message]) -> Result<Vec<Link>> {
    let mut list = Vec::new();
    for message in messages {
        let mut c = store.cursor(&message.bytes);
        match message.kind {
            kind::LINK => add(&mut list, link(&mut c)?)?,
            kind::LINK_INFO => dense(store, &mut c, &mut list)?,
            kind::SYMBOL_TABLE => {
                if let (Some(tree), Some(heap)) = (c.address()?, c.address()?) {
                    old(store, tree, &LocalHeap::open(store, heap)?, &mut list)?;
                }
            }
            _ => {}
        }
    }
    list.sort_by(|a: &Link, b| a.name.cmp(&b.name));
    Ok(list)
}

fn add(list: &mut Vec<Link>, link: Link) -> Result<()> {
    if list.len() >= MAX_LINKS {
        return Err(Problem::Limit(format!("a group of more than {MAX_LINKS} names")));
    }
    list.push(link);
    Ok(())
}

fn link(c: &mut Cursor<'_>) -> Result<Link> {
    if c.u8()? != 1 {
        return damaged("a link of an unknown version");
    }
    let flags = c.u8()?;
    let kind = if flags & 8 != 0 { c.u8()? } else { 0 };
    c.skip(if flags & 4 != 0 { 8 } else { 0 } + if flags & 16 != 0 { 1 } else { 0 })?;
    let len = usize::try_from(c.uint(1 << (flags & 3))?).unwrap_or(usize::MAX);
    let name = String::from_utf8_lossy(c.take(len)?).into_owned();
    let target = match kind {
        0 => Target::Hard(c.address()?.ok_or(Problem::Damaged("a link that leads nowhere"))?),
        1 => {
            let len = usize::from(c.u16()?);
            Target::Soft(String::from_utf8_lossy(c.take(len)?).into_owned())
        }
        64 => {
            let len = usize::from(c.u16()?);
            let mut inside = Cursor::new(c.take(len)?, c.widths());
            inside.skip(1)?;
            Target::External(inside.text_to_nul()?, inside.text_to_nul()?)
        }
        _ => Target::Unknown,
    };
    Ok(Link { name, target })
}

fn dense(store: &Store, c: &mut Cursor<'_>, list: &mut Vec<Link>) -> Result<()> {
    c.skip(1)?;
    if c.u8()? & 1 != 0 {
        c.skip(8)?;
    }
    let (Some(heap), Some(names)) = (c.address()?, c.address()?) else { return Ok(()) };
    let heap = FractalHeap::open(store, heap)?;
    Tree2::open(store, names, &[5])?.each(&mut |record| {
        let Some(id) = record.get(4..) else { return damaged("a record too short") };
        add(list, link(&mut store.cursor(&heap.object(id)?))?)
    })
}

fn old(store: &Store, tree: u64, heap: &LocalHeap, list: &mut Vec<Link>) -> Result<()> {
    let entry = 2 * store.widths().offset + 24;
    let mut left = MAX_NODES;
    symbol_nodes(store, tree, (0, &mut left), &mut |address| {
        let head = store.piece(address, 8)?;
        let mut c = store.cursor(&head);
        c.signature(b"SNOD", "no node of names")?;
        c.skip(2)?;
        let count = usize::from(c.u16()?);
        let node = store.piece(address, 8 + count * entry)?;
        for bytes in node[8..].chunks_exact(entry) {
            let mut c = store.cursor(bytes);
            let name = heap.text(c.heap_offset()?)?;
            let header = c.address()?;
            let cached = c.u32()?;
            c.skip(4)?;
            let target = match (cached, header) {
                (2, _) => Target::Soft(heap.text(c.u32()?.into())?),
                (_, Some(header)) => Target::Hard(header),
                _ => return damaged("a name that leads nowhere"),
            };
            add(list, Link { name, target })?;
        }
        Ok(())
    })
}
