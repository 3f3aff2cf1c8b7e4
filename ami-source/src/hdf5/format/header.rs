//! Object headers: the messages that a group or a dataset consists of.

use crate::hdf5::format::cursor::Cursor;
use crate::hdf5::format::store::Store;
use crate::hdf5::format::{Problem, Result, checksum, damaged, unsupported};

/// Messages of one object.
const MAX_MESSAGES: usize = 1 << 16;
/// Blocks that the messages of one object lie in.
const MAX_BLOCKS: usize = 1 << 12;

/// Kinds of messages that are looked at.
#[allow(missing_docs)] // named as in the format
pub mod kind {
    pub const DATASPACE: u16 = 0x01;
    pub const LINK_INFO: u16 = 0x02;
    pub const DATATYPE: u16 = 0x03;
    pub const OLD_FILL: u16 = 0x04;
    pub const FILL: u16 = 0x05;
    pub const LINK: u16 = 0x06;
    pub const EXTERNAL_FILES: u16 = 0x07;
    pub const LAYOUT: u16 = 0x08;
    pub const FILTERS: u16 = 0x0b;
    pub const ATTRIBUTE: u16 = 0x0c;
    pub const CONTINUATION: u16 = 0x10;
    pub const SYMBOL_TABLE: u16 = 0x11;
    pub const ATTRIBUTE_INFO: u16 = 0x15;
}

/// One message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// What it is.
    pub kind: u16,
    /// True when its bytes only say where the message is.
    pub shared: bool,
    /// Its bytes.
    pub bytes: Vec<u8>,
}

/// All messages of the object at an address; shared ones stand for themselves.
///
/// # Errors
/// When the header is damaged or larger than any should be.
pub fn messages(store: &Store, address: u64) -> Result<Vec<Message>> {
    let mut messages = raw(store, address)?;
    for message in messages.iter_mut().filter(|m| m.shared) {
        message.bytes = resolve(store, &message.bytes, message.kind)?;
        message.shared = false;
    }
    Ok(messages)
}

/// The bytes of a message that is kept elsewhere.
pub(super) fn resolve(store: &Store, bytes: &[u8], kind: u16) -> Result<Vec<u8>> {
    let mut c = store.cursor(bytes);
    let (version, place) = (c.u8()?, c.u8()?);
    match version {
        1 => c.skip(6)?,
        3 if place == 1 => return unsupported("a message in a shared heap"),
        2 | 3 => {}
        _ => return damaged("a shared message of an unknown version"),
    }
    let at = c.address()?.ok_or(Problem::Damaged("a shared message that is nowhere"))?;
    let found = raw(store, at)?.into_iter().find(|m| m.kind == kind && !m.shared);
    found.map(|m| m.bytes).ok_or(Problem::Damaged("a shared message that is not there"))
}

fn raw(store: &Store, address: u64) -> Result<Vec<Message>> {
    let beginning = store.piece(address, 4)?;
    if &beginning[..] == b"OHDR" { second(store, address) } else { first(store, address) }
}

/// Version 1, without checksums.
fn first(store: &Store, address: u64) -> Result<Vec<Message>> {
    let prefix = store.piece(address, 16)?;
    let mut c = store.cursor(&prefix);
    if c.u8()? != 1 {
        return damaged("no object header");
    }
    c.skip(7)?;
    let size = c.u32()? as usize;
    store.charge(size)?;
    let mut blocks = vec![(address.saturating_add(16), size)];
    let (mut at, mut messages) = (0, Vec::new());
    while let Some(&(address, size)) = blocks.get(at) {
        let block = store.piece(address, size)?;
        let mut c = store.cursor(&block);
        while c.left() >= 8 {
            let (kind, size, flags) = (c.u16()?, c.u16()?, c.u8()?);
            c.skip(3)?;
            let bytes = c.take(size.into())?;
            add(store, &mut messages, &mut blocks, (kind, flags, bytes))?;
        }
        at += 1;
    }
    Ok(messages)
}

/// Version 2, each block with its checksum.
fn second(store: &Store, address: u64) -> Result<Vec<Message>> {
    let most = store.bytes()?.saturating_sub(address).min(64) as usize;
    let prefix = store.piece(address, most)?;
    let mut c = store.cursor(&prefix);
    c.skip(4)?;
    if c.u8()? != 2 {
        return damaged("an object header of an unknown version");
    }
    let flags = c.u8()?;
    c.skip(if flags & 0x20 != 0 { 16 } else { 0 } + if flags & 0x10 != 0 { 4 } else { 0 })?;
    let size = c.uint(1 << (flags & 3))?;
    let size = usize::try_from(size).map_err(|_| Problem::Damaged("a header without end"))?;
    let begin = c.at();
    let whole = begin.checked_add(size).and_then(|n| n.checked_add(4));
    let whole = whole.ok_or(Problem::Damaged("a header without end"))?;
    store.charge(whole)?;
    let mut blocks = vec![(address, whole)];
    let (mut at, mut messages) = (0, Vec::new());
    while let Some(&(address, size)) = blocks.get(at) {
        let block = store.checked(address, size)?;
        let mut c = store.cursor(checksum::body(&block));
        c.skip(if at == 0 { begin } else { 4 })?;
        let prefix = if flags & 4 != 0 { 6 } else { 4 };
        while c.left() >= prefix {
            let (kind, size, own) = (u16::from(c.u8()?), c.u16()?, c.u8()?);
            c.skip(prefix - 4)?;
            let bytes = c.take(size.into())?;
            add(store, &mut messages, &mut blocks, (kind, own, bytes))?;
        }
        at += 1;
    }
    Ok(messages)
}

fn add(
    store: &Store,
    messages: &mut Vec<Message>,
    blocks: &mut Vec<(u64, usize)>,
    (kind, flags, bytes): (u16, u8, &[u8]),
) -> Result<()> {
    if messages.len() >= MAX_MESSAGES || blocks.len() >= MAX_BLOCKS {
        return Err(Problem::Limit(format!("an object of more than {MAX_MESSAGES} messages")));
    }
    if kind == kind::CONTINUATION {
        let mut c: Cursor<'_> = store.cursor(bytes);
        let (at, size) = (c.address()?, c.length()?);
        let at = at.ok_or(Problem::Damaged("a header that goes on nowhere"))?;
        let size = usize::try_from(size).map_err(|_| Problem::Damaged("a header without end"))?;
        // A block that is read twice is a circle.
        if blocks.contains(&(at, size)) {
            return damaged("a header that goes on in itself");
        }
        store.charge(size)?;
        blocks.push((at, size));
    } else if kind != 0 {
        messages.push(Message { kind, shared: flags & 2 != 0, bytes: bytes.to_vec() });
    }
    Ok(())
}
