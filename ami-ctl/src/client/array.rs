//! Arrays of features: numbers out of raw buffers, `.npy` files.

use ami_graph::data::value::DType;
use std::io::Write;

/// One array of a feature: name, type, shape, and the bytes as they came.
#[derive(Debug, Clone, PartialEq)]
pub struct NdArray {
    /// Its name among the node's outputs.
    pub name: String,
    /// Element type.
    pub dtype: DType,
    /// Lengths of the axes, slowest first.
    pub shape: Vec<usize>,
    bytes: Vec<u8>,
}

/// An array in a few numbers. NaN are left out of all but the count.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Summary {
    /// Elements.
    pub count: usize,
    /// Of these, not a number.
    pub nan: usize,
    /// Smallest.
    pub min: f64,
    /// Mean.
    pub mean: f64,
    /// Largest.
    pub max: f64,
}

impl NdArray {
    /// From a buffer as it came.
    ///
    /// # Errors
    /// When type, shape and length do not fit together.
    pub fn new(
        name: &str,
        dtype: &str,
        shape: Vec<usize>,
        bytes: Vec<u8>,
    ) -> Result<NdArray, String> {
        let unknown = || format!("array {name:?} is of unknown type {dtype:?}");
        let dtype = DType::from_numpy(dtype).ok_or_else(unknown)?;
        let count = shape.iter().try_fold(dtype.size(), |n, &d| n.checked_mul(d));
        if count != Some(bytes.len()) {
            let len = bytes.len();
            return Err(format!("array {name:?} of {dtype} {shape:?} came with {len} bytes"));
        }
        Ok(NdArray { name: name.into(), dtype, shape, bytes })
    }

    /// Its bytes, C order, little-endian.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// All elements as f64, in C order.
    pub fn to_f64(&self) -> Vec<f64> {
        macro_rules! read {
            ($type:ty) => {
                self.bytes
                    .chunks_exact(size_of::<$type>())
                    .filter_map(|c| c.try_into().ok())
                    .map(|c| <$type>::from_le_bytes(c) as f64)
                    .collect()
            };
        }
        match self.dtype {
            DType::Bool | DType::U8 | DType::Str => read!(u8),
            DType::U16 => read!(u16),
            DType::U32 => read!(u32),
            DType::U64 => read!(u64),
            DType::I8 => read!(i8),
            DType::I16 => read!(i16),
            DType::I32 => read!(i32),
            DType::I64 => read!(i64),
            DType::F32 => read!(f32),
            DType::F64 => read!(f64),
        }
    }

    /// The array in a few numbers.
    pub fn summary(&self) -> Summary {
        let elements = self.to_f64();
        let numbers = || elements.iter().copied().filter(|x| !x.is_nan());
        let n = numbers().count();
        Summary {
            count: elements.len(),
            nan: elements.len() - n,
            min: numbers().fold(f64::NAN, f64::min),
            mean: if n == 0 { f64::NAN } else { numbers().sum::<f64>() / n as f64 },
            max: numbers().fold(f64::NAN, f64::max),
        }
    }

    /// The elements as nested JSON lists; not-a-number and infinities as strings, as in headers.
    pub fn to_json(&self) -> serde_json::Value {
        let exact = self.dtype.is_integer() && self.dtype.size() == 8;
        let flat: Vec<serde_json::Value> = if exact {
            self.bytes
                .chunks_exact(8)
                .filter_map(|c| c.try_into().ok())
                .map(|c| self.wide(c))
                .collect()
        } else {
            self.to_f64().into_iter().map(|x| self.narrow(x)).collect()
        };
        nest(&mut flat.into_iter(), &self.shape)
    }

    /// 64-bit integers do not go through f64, which would round them.
    fn wide(&self, bytes: [u8; 8]) -> serde_json::Value {
        if self.dtype == DType::U64 {
            u64::from_le_bytes(bytes).into()
        } else {
            i64::from_le_bytes(bytes).into()
        }
    }

    fn narrow(&self, x: f64) -> serde_json::Value {
        if self.dtype == DType::Bool {
            (x != 0.0).into()
        } else if self.dtype.is_integer() {
            (x as i64).into()
        } else {
            crate::print::float_json(x)
        }
    }

    /// Writes a `.npy` file (format 1.0).
    ///
    /// # Errors
    /// Those of the writer.
    pub fn write_npy(&self, out: &mut impl Write) -> std::io::Result<()> {
        let axes: Vec<String> = self.shape.iter().map(|d| format!("{d},")).collect();
        let descr = self.dtype.numpy();
        let mut header = format!(
            "{{'descr': '{descr}', 'fortran_order': False, 'shape': ({}), }}",
            axes.join(" ")
        );
        // Magic, version and length are 10 bytes; data begin at a multiple of 64.
        let padded = (10 + header.len() + 1).next_multiple_of(64) - 10;
        header.extend(std::iter::repeat_n(' ', padded - 1 - header.len()));
        header.push('\n');
        out.write_all(b"\x93NUMPY\x01\x00")?;
        out.write_all(&(padded as u16).to_le_bytes())?;
        out.write_all(header.as_bytes())?;
        out.write_all(&self.bytes)
    }
}

fn nest(flat: &mut impl Iterator<Item = serde_json::Value>, shape: &[usize]) -> serde_json::Value {
    match shape {
        [] => flat.next().unwrap_or_default(),
        [n] => flat.take(*n).collect(),
        [n, inner @ ..] => (0..*n).map(|_| nest(flat, inner)).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn floats(shape: &[usize], x: &[f64]) -> NdArray {
        let bytes = x.iter().flat_map(|v| v.to_le_bytes()).collect();
        NdArray::new("a", "<f8", shape.to_vec(), bytes).unwrap()
    }

    #[test]
    fn numbers_come_out_as_they_went_in() {
        let array = floats(&[2, 2], &[1.0, f64::NAN, -3.0, f64::INFINITY]);
        assert_eq!(array.to_json(), json!([[1.0, "NaN"], [-3.0, "Infinity"]]));
        let summary = array.summary();
        assert_eq!((summary.count, summary.nan, summary.min), (4, 1, -3.0));
        let big = NdArray::new("b", "<u8", vec![1], u64::MAX.to_le_bytes().to_vec()).unwrap();
        assert_eq!(big.to_json(), json!([u64::MAX]));
        assert!(floats(&[0], &[]).summary().mean.is_nan());
    }

    #[test]
    fn wrong_lengths_and_types_are_refused() {
        assert!(NdArray::new("a", "<f8", vec![2], vec![0; 8]).unwrap_err().contains("8 bytes"));
        assert!(NdArray::new("a", "<f8", vec![usize::MAX, 9], vec![]).is_err());
        assert!(NdArray::new("a", "<c16", vec![1], vec![0; 16]).unwrap_err().contains("<c16"));
    }

    #[test]
    fn npy_files_are_as_numpy_writes_them() {
        let mut file = Vec::new();
        floats(&[3], &[1.0, 2.0, 3.0]).write_npy(&mut file).unwrap();
        assert_eq!(&file[..8], b"\x93NUMPY\x01\x00");
        let length = usize::from(u16::from_le_bytes([file[8], file[9]]));
        assert_eq!((10 + length) % 64, 0);
        let header = std::str::from_utf8(&file[10..10 + length]).unwrap();
        assert!(header.starts_with("{'descr': '<f8', 'fortran_order': False, 'shape': (3,), }"));
        assert!(header.ends_with('\n'));
        assert_eq!(file.len(), 10 + length + 24);
    }
}
