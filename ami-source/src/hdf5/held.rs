//! Held values: small datasets without an axis of events.

use crate::hdf5::column::Column;
use crate::hdf5::dataset::Dataset;
use crate::hdf5::model::Draft;
use crate::hdf5::options::name_of;
use crate::hdf5::part::Part;
use crate::hdf5::tree::Entry;
use ami_graph::data::schema::{Field, Kind, Labels};
use ami_graph::data::value::{Array, DType, MAX_RANK, Scalar, Value};

/// Bytes of one value, and of all.
const MAX_ONE: usize = 1 << 20;
pub const MAX_ALL: usize = 64 << 20;

impl Draft<'_> {
    /// A small dataset without events is a value that holds for all of them.
    pub(super) fn hold(&self, part: &mut Part, entry: Entry, room: &mut usize) {
        let name = name_of(&entry.path);
        let wanted = entry.names().map(str::to_owned).chain([name.clone()]).collect::<Vec<_>>();
        if !self.options.wants(wanted.iter().map(String::as_str)) {
            return;
        }
        let Entry { path, aliases, dataset } = entry;
        match whole(dataset, room) {
            Ok((value, rank, labels)) => {
                let aliases = [path].into_iter().chain(aliases).collect();
                let dtype = value.dtype();
                let shape = match &value {
                    Value::Array(a) => Some(a.shape().to_vec()),
                    _ => Some(Vec::new()),
                };
                let field = Field { name, aliases, dtype, rank, shape, kind: Kind::Held, labels };
                part.held.push((field, value));
            }
            Err(reason) => part.left_out.push((path, reason)),
        }
    }
}

/// The whole of a small dataset.
fn whole(dataset: Dataset, room: &mut usize) -> Result<(Value, usize, Labels), String> {
    let rows = dataset.rows();
    let scalar = dataset.shape().is_empty() || dataset.shape() == [1];
    let mut column = Column::new(dataset)?;
    let labels = column.dataset.element.labels.clone();
    if rows == 0 {
        return Err("no elements".into());
    }
    if column.dtype == DType::Str {
        let text = if scalar { column.text(0).map_err(|e| e.to_string())? } else { String::new() };
        return match scalar {
            true if text.len() <= MAX_ONE => Ok((Value::Str(text), 0, labels)),
            true => Err("a text of more than 1 MiB".into()),
            false => Err("texts, but not one for each event".into()),
        };
    }
    let shape: Vec<usize> = match scalar {
        true => column.shape.clone(),
        false => [rows as usize].into_iter().chain(column.shape.iter().copied()).collect(),
    };
    let bytes = usize::try_from(rows).ok().and_then(|n| n.checked_mul(column.row_bytes()));
    let bytes = bytes
        .filter(|n| *n <= MAX_ONE && *n <= *room && shape.len() <= MAX_RANK && !column.is_list());
    let Some(bytes) = bytes else {
        return Err("no axis of events, and too large for a value that is held".into());
    };
    let mut memory = vec![0; bytes];
    column.numbers(0, rows, &mut memory).map_err(|e| e.to_string())?;
    *room -= bytes;
    let array = Array::from_bytes(column.dtype, &shape, &memory).ok_or("no array")?;
    match shape.is_empty() {
        true => scalar_of(column.dtype, &memory)
            .map(|s| (Value::Scalar(s), 0, labels))
            .ok_or_else(|| "no scalar".into()),
        false => Ok((Value::Array(array), shape.len(), labels)),
    }
}

/// One element of its bytes.
fn scalar_of(dtype: DType, bytes: &[u8]) -> Option<Scalar> {
    let mut word = [0; 8];
    word.get_mut(..bytes.len())?.copy_from_slice(bytes);
    let n = u64::from_le_bytes(word);
    Some(match dtype {
        DType::Bool => Scalar::Bool(n != 0),
        DType::U8 => Scalar::U8(n as u8),
        DType::U16 => Scalar::U16(n as u16),
        DType::U32 => Scalar::U32(n as u32),
        DType::U64 => Scalar::U64(n),
        DType::I8 => Scalar::I8(n as i8),
        DType::I16 => Scalar::I16(n as i16),
        DType::I32 => Scalar::I32(n as i32),
        DType::I64 => Scalar::I64(n as i64),
        DType::F32 => Scalar::F32(f32::from_bits(n as u32)),
        DType::F64 => Scalar::F64(f64::from_bits(n)),
        DType::Str => return None,
    })
}
