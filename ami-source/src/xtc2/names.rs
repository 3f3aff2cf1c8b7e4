//! Names: what the fields of a detector are called and how they lie in its Data. Pure.

use crate::xtc2::counts::{Count, Counts};
use crate::xtc2::dgram::{CONFIGURE, Header, Item, ShapesData, XTC, Xtc, u32_at, walk};
use ami_graph::data::batch::Dims;
use ami_graph::data::value::{DType, MAX_RANK};
use std::collections::HashMap;
use std::convert::Infallible;

/// Bytes of every text slot.
pub(super) const TEXT: usize = 256;
/// Bytes of an Alg.
pub(super) const ALG: usize = TEXT + 4;
/// Bytes of a Name.
pub(super) const NAME: usize = ALG + TEXT + 8;
/// Bytes of a NameInfo.
pub(super) const NAME_INFO: usize = 4 + 3 * TEXT + ALG + 4;
/// Bytes of a Shape.
pub(super) const SHAPE: usize = 4 * MAX_RANK;

/// Element types as XTC2 numbers them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[allow(missing_docs)] // the names are the format's own
pub enum FieldType {
    U8,
    U16,
    U32,
    U64,
    I8,
    I16,
    I32,
    I64,
    F32,
    F64,
    CharStr,
    EnumVal,
    EnumDict,
}

/// Number, name, element type of each.
const TYPES: [(FieldType, &str, DType); 13] = [
    (FieldType::U8, "UINT8", DType::U8),
    (FieldType::U16, "UINT16", DType::U16),
    (FieldType::U32, "UINT32", DType::U32),
    (FieldType::U64, "UINT64", DType::U64),
    (FieldType::I8, "INT8", DType::I8),
    (FieldType::I16, "INT16", DType::I16),
    (FieldType::I32, "INT32", DType::I32),
    (FieldType::I64, "INT64", DType::I64),
    (FieldType::F32, "FLOAT", DType::F32),
    (FieldType::F64, "DOUBLE", DType::F64),
    (FieldType::CharStr, "CHARSTR", DType::Str),
    (FieldType::EnumVal, "ENUMVAL", DType::I32),
    (FieldType::EnumDict, "ENUMDICT", DType::I32),
];

impl FieldType {
    /// By its number in the file.
    pub fn from_code(code: u32) -> Option<FieldType> {
        TYPES.get(code as usize).map(|t| t.0)
    }

    /// The facility's name for it.
    pub const fn name(self) -> &'static str {
        TYPES[self as usize].1
    }

    /// Element type in ami.
    pub const fn dtype(self) -> DType {
        TYPES[self as usize].2
    }
}

/// One field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Name {
    /// As it stands in the file: `gain:GainEnum`.
    pub name: String,
    /// Element type.
    pub kind: FieldType,
    /// Number of axes; 1 for text.
    pub rank: usize,
    /// The field's own algorithm, usually empty.
    pub alg: String,
    /// Its version.
    pub alg_version: u32,
}

/// The fields of one (detector, segment, algorithm).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Names {
    /// Header of the definition; `src` is the NamesId with its spare bits.
    pub xtc: Xtc,
    /// Fields with axes, as the file says.
    pub arrays: u32,
    /// Detector type.
    pub det_type: String,
    /// Detector.
    pub det: String,
    /// Serial number or the like.
    pub det_id: String,
    /// Algorithm.
    pub alg: String,
    /// major << 16 | minor << 8 | micro.
    pub alg_version: u32,
    /// Segment of the detector.
    pub segment: u32,
    /// The fields in the order of the data.
    pub fields: Vec<Name>,
}

/// Text up to the first NUL: what follows it is uninitialised in real files.
pub fn text_of(bytes: &[u8]) -> (std::borrow::Cow<'_, str>, bool) {
    let end = bytes.iter().position(|&b| b == 0);
    (String::from_utf8_lossy(&bytes[..end.unwrap_or(bytes.len())]), end.is_some())
}

fn text_at(bytes: &[u8], at: usize) -> Option<String> {
    Some(text_of(bytes.get(at..at + TEXT)?).0.into_owned())
}

impl Names {
    /// From a definition's payload. None when it is shorter than its fixed part, or when a field's
    /// type or rank is unknown: where the fields behind it lie could not be told.
    pub fn parse(xtc: Xtc, payload: &[u8]) -> Option<Names> {
        let fields = payload.get(NAME_INFO..)?.chunks_exact(NAME).map(name_of);
        Some(Names {
            xtc,
            arrays: u32_at(payload, 0)?,
            det_type: text_at(payload, 4)?,
            det: text_at(payload, 4 + TEXT)?,
            det_id: text_at(payload, 4 + 2 * TEXT)?,
            alg: text_at(payload, 4 + 3 * TEXT)?,
            alg_version: u32_at(payload, 4 + 4 * TEXT)?,
            segment: u32_at(payload, NAME_INFO - 4)?,
            fields: fields.collect::<Option<_>>()?,
        })
    }

    /// Visits the fields that are there: index, shape, bytes. False when the data end before the
    /// fields do.
    pub fn each_field<'a, E>(
        &self,
        data: &ShapesData<'a>,
        mut visit: impl FnMut(usize, Dims, &'a [u8]) -> Result<(), E>,
    ) -> Result<bool, E> {
        let mut rest = data.data;
        let mut shapes = data.shapes.chunks_exact(SHAPE);
        for (index, field) in self.fields.iter().enumerate() {
            let dims = dims_of(field.rank, &mut shapes).filter(sane);
            let bytes_of = |d: Dims| d.count()?.checked_mul(field.kind.dtype().size());
            let split = dims.and_then(bytes_of).and_then(|n| rest.split_at_checked(n));
            let (Some(dims), Some((bytes, behind))) = (dims, split) else { return Ok(false) };
            rest = behind;
            visit(index, dims, bytes)?;
        }
        Ok(true)
    }
}

fn name_of(bytes: &[u8]) -> Option<Name> {
    Some(Name {
        alg: text_at(bytes, 0)?,
        alg_version: u32_at(bytes, TEXT)?,
        name: text_at(bytes, ALG)?,
        kind: FieldType::from_code(u32_at(bytes, ALG + TEXT)?)?,
        rank: u32_at(bytes, ALG + TEXT + 4).map(|r| r as usize).filter(|r| *r <= MAX_RANK)?,
    })
}

/// Axes that multiply to more than any file holds are garbage, also where another one is 0.
fn sane(dims: &Dims) -> bool {
    let axes = dims.axes().iter().map(|&d| d.max(1) as usize);
    axes.into_iter().try_fold(1usize, usize::checked_mul).is_some_and(|n| n <= 1 << 40)
}

fn dims_of(rank: usize, shapes: &mut std::slice::ChunksExact<'_, u8>) -> Option<Dims> {
    let mut axes = [0; MAX_RANK];
    if rank > 0 {
        let shape = shapes.next()?;
        for (axis, bytes) in axes.iter_mut().zip(shape.chunks_exact(4)).take(rank) {
            *axis = u32_at(bytes, 0)? as usize;
        }
    }
    Dims::new(axes.get(..rank)?)
}

/// The definitions of one Configure, in their order.
#[derive(Debug, Clone, Default)]
pub struct Table {
    all: Vec<Names>,
    by_id: HashMap<u32, usize>,
}

impl Table {
    /// Reads the definitions of a datagram.
    pub fn read(dgram: &[u8], counts: &mut Counts) -> Table {
        let mut table = Table::default();
        // Damage is counted when the datagram's data are read.
        let walked = walk::<Infallible>(dgram, &mut Counts::default(), &mut |item, _| {
            if let Item::Names(xtc, payload) = item {
                match Names::parse(xtc, payload) {
                    Some(names) => table.add(names, counts),
                    None => counts.add(Count::BadNames),
                }
            }
            Ok(())
        });
        let Ok(()) = walked;
        table
    }

    /// From definitions made here.
    pub fn of(all: Vec<Names>) -> Table {
        let by_id = all.iter().enumerate().map(|(i, n)| (n.xtc.names_id(), i)).collect();
        Table { all, by_id }
    }

    /// The first definition of an id stays: data that follow were most likely made with it.
    fn add(&mut self, names: Names, counts: &mut Counts) {
        let id = names.xtc.names_id();
        if self.by_id.contains_key(&id) {
            counts.add(Count::DuplicateNames);
            return;
        }
        self.by_id.insert(id, self.all.len());
        self.all.push(names);
    }

    /// All definitions, in order.
    pub fn all(&self) -> &[Names] {
        &self.all
    }

    /// Place of a definition in [`all`](Self::all).
    pub fn position(&self, xtc: &Xtc) -> Option<usize> {
        self.by_id.get(&xtc.names_id()).copied()
    }

    /// The definition that data were made with; counts when there is none.
    pub fn names(&self, xtc: &Xtc, counts: &mut Counts) -> Option<(usize, &Names)> {
        let position = self.position(xtc);
        if position.is_none() {
            counts.add(Count::UnknownNames);
        }
        position.map(|p| (p, &self.all[p]))
    }

    /// Visits every field of every ShapesData of a datagram: which definition, which field, shape,
    /// bytes. Counts what is unknown or short.
    ///
    /// # Errors
    /// The visitor's own.
    pub fn each<'a, E>(
        &self,
        dgram: &'a [u8],
        counts: &mut Counts,
        visit: &mut dyn FnMut(Datum<'a, '_>, &mut Counts) -> Result<(), E>,
    ) -> Result<(), E> {
        let configure = Header::parse(dgram).is_some_and(|h| h.service() == CONFIGURE);
        walk(dgram, counts, &mut |item, counts| {
            let Item::Data(data) = item else {
                if !configure {
                    counts.add(Count::NamesOutsideConfigure);
                }
                return Ok(());
            };
            let Some((at, names)) = self.names(&data.xtc, counts) else { return Ok(()) };
            let whole = names.each_field(&data, |field, dims, bytes| {
                visit(Datum { at, names, field, damage: data.xtc.damage, dims, bytes }, counts)
            })?;
            if !whole {
                counts.add(Count::ShortData);
            }
            Ok(())
        })
    }
}

/// One field of one ShapesData.
#[derive(Debug, Clone, Copy)]
pub struct Datum<'a, 'n> {
    /// Place of its definition in the table.
    pub at: usize,
    /// Its definition.
    pub names: &'n Names,
    /// Place of the field in its definition.
    pub field: usize,
    /// Damage of its ShapesData.
    pub damage: u16,
    /// Axis lengths.
    pub dims: Dims,
    /// Exactly the elements.
    pub bytes: &'a [u8],
}

impl Datum<'_, '_> {
    /// The field's definition.
    pub fn name(&self) -> &Name {
        &self.names.fields[self.field]
    }
}

/// Size of a definition in a file.
pub(super) const fn encoded_len(fields: usize) -> usize {
    XTC + NAME_INFO + fields * NAME
}
