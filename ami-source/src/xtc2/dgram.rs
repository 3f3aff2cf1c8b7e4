//! Datagrams: the header, and the tree of Xtcs below it. Pure; any bytes are walked without harm.
//!
//! ```text
//! Dgram (24)   u32 nanoseconds | u32 seconds | u32 env | Xtc root
//! Xtc   (12)   u32 src | u16 damage | u16 type | u32 extent (with these 12 bytes)
//! ```
//!
//! Little-endian and unaligned throughout. An extent that does not fit ends its level of the tree,
//! not the datagram: what came before it is still delivered.

use crate::xtc2::counts::{Count, Counts};

/// Bytes of a datagram's header with its root Xtc.
pub const HEADER: usize = 24;
/// Bytes of an Xtc's header.
pub const XTC: usize = 12;
/// No datagram is larger; the facility's readers have the same limit.
pub const MAX_DGRAM: usize = 64 << 20;
/// Event-built data are two deep; deeper than this is garbage.
const MAX_DEPTH: usize = 8;
/// Damage bit of an Xtc that must not be looked into.
const CORRUPTED: u16 = 1 << 3;

/// Xtc types.
pub(super) const PARENT: u16 = 0;
pub(super) const SHAPES_DATA: u16 = 1;
pub(super) const SHAPES: u16 = 2;
pub(super) const DATA: u16 = 3;
pub(super) const NAMES: u16 = 4;

/// Services (transition ids) by number. 11 is an event at the end of a batch.
pub const SERVICES: [&str; 13] = [
    "ClearReadout",
    "Reset",
    "Configure",
    "Unconfigure",
    "BeginRun",
    "EndRun",
    "BeginStep",
    "EndStep",
    "Enable",
    "Disable",
    "SlowUpdate",
    "L1Accept_EndOfBatch",
    "L1Accept",
];

/// Configure's service.
pub const CONFIGURE: u8 = 2;
/// BeginRun's service.
pub const BEGIN_RUN: u8 = 4;
/// EndRun's service.
pub const END_RUN: u8 = 5;
/// Enable's service.
pub const ENABLE: u8 = 8;
/// An event's service.
pub const L1_ACCEPT: u8 = 12;

/// The u16 at `at`, if it is there.
pub fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    bytes.get(at..at.checked_add(2)?)?.try_into().ok().map(u16::from_le_bytes)
}

/// The u32 at `at`, if it is there.
pub fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..at.checked_add(4)?)?.try_into().ok().map(u32::from_le_bytes)
}

/// Header of an Xtc.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Xtc {
    /// Level and value, or the NamesId.
    pub src: u32,
    /// Bits 0..11 damage, 12..15 the user's.
    pub damage: u16,
    /// Type and version.
    pub contains: u16,
    /// Bytes with this header.
    pub extent: u32,
}

impl Xtc {
    /// From the first 12 bytes.
    pub fn parse(bytes: &[u8]) -> Option<Xtc> {
        Some(Xtc {
            src: u32_at(bytes, 0)?,
            damage: u16_at(bytes, 4)?,
            contains: u16_at(bytes, 6)?,
            extent: u32_at(bytes, 8)?,
        })
    }

    /// What it holds: Parent 0, ShapesData 1, Shapes 2, Data 3, Names 4.
    pub const fn type_id(&self) -> u16 {
        self.contains & 0x0fff
    }

    /// Version of the type.
    pub const fn version(&self) -> u16 {
        self.contains >> 12
    }

    /// Key of Names and ShapesData.
    pub const fn names_id(&self) -> u32 {
        self.src & 0x0fff_ffff
    }
}

/// Header of a datagram.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// Seconds since the source's epoch.
    pub sec: u32,
    /// Nanoseconds, or a counter.
    pub nsec: u32,
    /// Service and readout groups.
    pub env: u32,
    /// The root.
    pub root: Xtc,
}

impl Header {
    /// From the first 24 bytes.
    pub fn parse(bytes: &[u8]) -> Option<Header> {
        Some(Header {
            nsec: u32_at(bytes, 0)?,
            sec: u32_at(bytes, 4)?,
            env: u32_at(bytes, 8)?,
            root: Xtc::parse(bytes.get(XTC..)?)?,
        })
    }

    /// The transition's number.
    pub const fn service(&self) -> u8 {
        ((self.env >> 24) & 0xf) as u8
    }

    /// Name of the service.
    pub fn service_name(&self) -> &'static str {
        SERVICES.get(self.service() as usize).copied().unwrap_or("Unknown")
    }

    /// True for events.
    pub const fn is_event(&self) -> bool {
        matches!(self.service(), 11 | L1_ACCEPT)
    }

    /// Groups that were read out.
    pub const fn readout_groups(&self) -> u16 {
        (self.env & 0xffff) as u16
    }

    /// Seconds in the high word, nanoseconds in the low one: compares as time does.
    pub const fn timestamp(&self) -> u64 {
        (self.sec as u64) << 32 | self.nsec as u64
    }

    /// Bytes of the whole datagram; None when its extent cannot be true.
    pub const fn size(&self) -> Option<usize> {
        let extent = self.root.extent as usize;
        if extent < XTC || extent + HEADER - XTC > MAX_DGRAM {
            return None;
        }
        Some(extent + HEADER - XTC)
    }
}

/// One detector's data: payloads of its Shapes and its Data.
#[derive(Debug, Clone, Copy)]
pub struct ShapesData<'a> {
    /// The header that both stand in.
    pub xtc: Xtc,
    /// Five u32 per array.
    pub shapes: &'a [u8],
    /// Packed fields.
    pub data: &'a [u8],
}

/// What a walk meets.
#[derive(Debug, Clone, Copy)]
pub enum Item<'a> {
    /// A definition: header and payload.
    Names(Xtc, &'a [u8]),
    /// Data.
    Data(ShapesData<'a>),
}

/// Visits all Names and ShapesData of a datagram, in order, counting damage.
///
/// # Errors
/// The visitor's own.
pub fn walk<'a, E>(
    dgram: &'a [u8],
    counts: &mut Counts,
    visit: &mut dyn FnMut(Item<'a>, &mut Counts) -> Result<(), E>,
) -> Result<(), E> {
    let Some(header) = Header::parse(dgram) else { return Ok(()) };
    counts.damage(header.root.damage);
    if header.root.damage & CORRUPTED != 0 {
        return Ok(());
    }
    children(&dgram[HEADER..], 0, counts, visit)
}

fn children<'a, E>(
    bytes: &'a [u8],
    depth: usize,
    counts: &mut Counts,
    visit: &mut dyn FnMut(Item<'a>, &mut Counts) -> Result<(), E>,
) -> Result<(), E> {
    if depth == MAX_DEPTH {
        counts.add(Count::NestedTooDeep);
        return Ok(());
    }
    let mut rest = bytes;
    while !rest.is_empty() {
        let Some((xtc, payload, next)) = split(rest) else {
            counts.add(Count::CorruptExtent);
            return Ok(());
        };
        rest = next;
        if matches!(xtc.type_id(), PARENT | SHAPES_DATA | NAMES) {
            counts.damage(xtc.damage);
        }
        if xtc.damage & CORRUPTED != 0 {
            continue;
        }
        match xtc.type_id() {
            PARENT => children(payload, depth + 1, counts, visit)?,
            NAMES => visit(Item::Names(xtc, payload), counts)?,
            SHAPES_DATA => visit(Item::Data(shapes_data(xtc, payload, counts)), counts)?,
            _ => {}
        }
    }
    Ok(())
}

/// First Xtc of `bytes`: header, payload, what follows.
fn split(bytes: &[u8]) -> Option<(Xtc, &[u8], &[u8])> {
    let xtc = Xtc::parse(bytes)?;
    let extent = xtc.extent as usize;
    if extent < XTC || extent > bytes.len() {
        return None;
    }
    Some((xtc, &bytes[XTC..extent], &bytes[extent..]))
}

/// Shapes and Data come in either order; the one that is missing counts as empty, so that the
/// fields that need it are found short.
fn shapes_data<'a>(xtc: Xtc, payload: &'a [u8], counts: &mut Counts) -> ShapesData<'a> {
    let mut found = ShapesData { xtc, shapes: &[], data: &[] };
    let mut rest = payload;
    while !rest.is_empty() {
        let Some((inner, payload, next)) = split(rest) else {
            counts.add(Count::CorruptExtent);
            break;
        };
        rest = next;
        match inner.type_id() {
            SHAPES => found.shapes = payload,
            DATA => found.data = payload,
            _ => {}
        }
    }
    found
}
