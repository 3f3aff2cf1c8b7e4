//! The fields that messages make which name what they hold: they only become more, and each keeps its
//! type as long as it can.

use ami_graph::data::schema::{Field, Kind, Schema};
use ami_graph::data::value::{DType, Scalar};
use ami_proto::data_path::chunk::ChunkWriter;
use std::collections::{BTreeMap, HashMap};

/// Fields at most.
const MOST: usize = 4096;
/// So often a property may change its type; after that only its last one counts.
const CHANGES: u32 = 8;

#[derive(Debug)]
struct Known {
    name: String,
    dtype: DType,
    rank: usize,
    shape: Option<Vec<usize>>,
    changes: u32,
}

/// See the module's documentation.
#[derive(Debug)]
pub struct Fields {
    known: Vec<Known>,
    index: HashMap<String, usize>,
    /// Something changed since the last schema.
    changed: bool,
    /// Values without a field: too many fields, or of another type once more.
    pub misfits: u64,
}

impl Fields {
    /// With fields that are there from the beginning.
    pub fn new(first: &[String]) -> Fields {
        let mut fields =
            Fields { known: Vec::new(), index: HashMap::new(), changed: true, misfits: 0 };
        for name in first {
            fields.add(name.clone(), DType::U64, &[]);
        }
        fields
    }

    fn add(&mut self, name: String, dtype: DType, shape: &[usize]) -> usize {
        self.index.insert(name.clone(), self.known.len());
        let (rank, shape) = (shape.len(), Some(shape.to_vec()));
        self.known.push(Known { name, dtype, rank, shape, changes: 0 });
        self.changed = true;
        self.known.len() - 1
    }

    /// The field of a value, made or changed where it must be. None of a value that has none.
    pub fn fit(&mut self, name: &str, dtype: DType, shape: &[usize]) -> Option<usize> {
        let Some(&at) = self.index.get(name) else {
            if self.known.len() >= MOST {
                self.misfits += 1;
                return None;
            }
            return Some(self.add(name.to_owned(), dtype, shape));
        };
        let known = self.known.get_mut(at)?;
        if (known.dtype, known.rank) == (dtype, shape.len()) {
            if known.shape.as_deref().is_some_and(|s| s != shape) {
                // From here on it varies.
                known.shape = None;
                self.changed = true;
            }
            return Some(at);
        }
        let both_numbers = known.rank == 0 && shape.is_empty() && numeric(known.dtype);
        if both_numbers && numeric(dtype) {
            // Whole numbers and others: one type for both.
            if known.dtype != DType::F64 {
                (known.dtype, self.changed) = (DType::F64, true);
            }
            return Some(at);
        }
        if known.changes >= CHANGES {
            self.misfits += 1;
            return None;
        }
        known.changes += 1;
        (known.dtype, known.rank, known.shape) = (dtype, shape.len(), Some(shape.to_vec()));
        self.changed = true;
        Some(at)
    }

    /// The type of a field.
    pub fn dtype(&self, at: usize) -> Option<DType> {
        self.known.get(at).map(|known| known.dtype)
    }

    /// The fields, if they are not those that were told last.
    pub fn news(&mut self) -> Option<Schema> {
        if !std::mem::take(&mut self.changed) {
            return None;
        }
        let fields = self.known.iter().map(|known| Field {
            name: known.name.clone(),
            // Consumers look up `position`, then `position.value`.
            aliases: known.name.strip_suffix(".value").map(str::to_owned).into_iter().collect(),
            dtype: known.dtype,
            rank: known.rank,
            shape: known.shape.clone(),
            kind: Kind::Event,
            labels: BTreeMap::new(),
        });
        Some(Schema { fields: fields.collect() })
    }
}

fn numeric(dtype: DType) -> bool {
    dtype.is_integer() || dtype.is_float()
}

/// A number as the field's type.
pub fn converted(scalar: Scalar, dtype: DType) -> Option<Scalar> {
    match scalar.dtype() == dtype {
        true => Some(scalar),
        false if dtype == DType::F64 => Some(Scalar::F64(scalar.as_f64())),
        false => None,
    }
}

/// Writes a scalar of any type.
pub fn write_scalar(field: usize, scalar: Scalar, out: &mut ChunkWriter<'_>) {
    match scalar {
        Scalar::Bool(v) => out.scalar_bytes(field, DType::Bool, &[u8::from(v)]),
        Scalar::U8(v) => out.scalar(field, v),
        Scalar::U16(v) => out.scalar(field, v),
        Scalar::U32(v) => out.scalar(field, v),
        Scalar::U64(v) => out.scalar(field, v),
        Scalar::I8(v) => out.scalar(field, v),
        Scalar::I16(v) => out.scalar(field, v),
        Scalar::I32(v) => out.scalar(field, v),
        Scalar::I64(v) => out.scalar(field, v),
        Scalar::F32(v) => out.scalar(field, v),
        Scalar::F64(v) => out.scalar(field, v),
    }
}
