//! The values of one input in kept rows: dense scalars, or values of any kind.

use crate::data::batch::Column;
use crate::data::bytes::{Reader, Writer, scalar_from_bytes};
use crate::data::column_views::value_at;
use crate::data::owned_column::scalar_bytes;
use crate::data::value::{Array, DType, Value};
use crate::error::DecodeError;

/// One input's values by row.
#[derive(Debug, Clone)]
pub enum Cells {
    /// Scalars of one type, as bytes.
    Scalars(DType, Vec<u8>),
    /// Anything else.
    Values(Vec<Value>),
}

impl Cells {
    fn push(&mut self, value: Value) {
        match (&mut *self, value) {
            (Cells::Scalars(dtype, bytes), Value::Scalar(s)) if s.dtype() == *dtype => {
                bytes.extend_from_slice(&scalar_bytes(s)[..dtype.size()]);
            }
            (Cells::Values(values), value) => values.push(value),
            (Cells::Scalars(..), value) => {
                let mut values: Vec<Value> = (0..self.len()).map(|i| self.at(i)).collect();
                values.push(value);
                *self = Cells::Values(values);
            }
        }
    }

    /// True before the first row of a type that is not told beforehand.
    fn awaits_type(&self) -> bool {
        matches!(self, Cells::Values(values) if values.is_empty())
    }

    /// Adds the values of some events of a column.
    pub fn extend(&mut self, column: &Column<'_>, events: &[usize]) {
        if self.awaits_type()
            && let Column::Scalars { dtype, .. } = column
        {
            *self = Cells::Scalars(*dtype, Vec::new());
        }
        if let (Cells::Scalars(dtype, bytes), Column::Scalars { dtype: same, data, .. }) =
            (&mut *self, column)
            && dtype == same
        {
            let size = dtype.size();
            for &i in events {
                bytes.extend_from_slice(&data[i * size..(i + 1) * size]);
            }
            return;
        }
        events.iter().filter_map(|&i| value_at(column, i)).for_each(|value| self.push(value));
    }

    /// Number of rows.
    fn len(&self) -> usize {
        match self {
            Cells::Scalars(dtype, bytes) => bytes.len() / dtype.size(),
            Cells::Values(values) => values.len(),
        }
    }

    /// The value of a row.
    pub fn at(&self, row: usize) -> Value {
        match self {
            Cells::Scalars(dtype, bytes) => {
                Value::Scalar(scalar_from_bytes(*dtype, &bytes[row * dtype.size()..]))
            }
            Cells::Values(values) => values[row].clone(),
        }
    }

    /// Keeps these rows, in this order.
    pub fn pick(&mut self, rows: &[usize]) {
        match self {
            Cells::Scalars(dtype, bytes) => {
                let size = dtype.size();
                let all = rows.iter().flat_map(|&r| &bytes[r * size..(r + 1) * size]);
                *bytes = all.copied().collect();
            }
            Cells::Values(values) => {
                let mut old: Vec<Option<Value>> =
                    std::mem::take(values).into_iter().map(Some).collect();
                *values = rows.iter().filter_map(|&r| old[r].take()).collect();
            }
        }
    }

    /// Forgets so many rows at the beginning.
    pub fn drop_first(&mut self, rows: usize) {
        match self {
            Cells::Scalars(dtype, bytes) => drop(bytes.drain(..rows * dtype.size())),
            Cells::Values(values) => drop(values.drain(..rows)),
        }
    }

    /// Adds all rows of another.
    pub fn append(&mut self, other: Cells) {
        match (&mut *self, other) {
            (mine, other) if mine.awaits_type() => *self = other,
            (Cells::Scalars(a, bytes), Cells::Scalars(b, more)) if *a == b => bytes.extend(more),
            (_, other) => (0..other.len()).for_each(|row| self.push(other.at(row))),
        }
    }

    /// Bytes held.
    pub fn bytes(&self) -> usize {
        match self {
            Cells::Scalars(_, bytes) => bytes.len(),
            Cells::Values(values) => values
                .iter()
                .map(|value| match value {
                    Value::Array(a) => 64 + a.bytes().len(),
                    Value::Str(text) => 48 + text.len(),
                    Value::Scalar(_) => 48,
                })
                .sum(),
        }
    }

    /// What tells rows apart: the bits of the value.
    pub fn mark(&self, row: usize, writer: &mut Writer) {
        writer.value(&self.at(row));
    }

    /// Gives the rows away as bytes.
    pub fn encode(self, writer: &mut Writer) {
        match self {
            Cells::Scalars(dtype, bytes) => {
                writer.u8(0);
                writer.dtype(dtype);
                writer.bytes(bytes);
            }
            Cells::Values(values) => {
                writer.u8(1);
                values.iter().for_each(|value| writer.value(value));
            }
        }
    }

    /// Reads so many rows.
    ///
    /// # Errors
    /// When the bytes are not rows.
    pub fn decode(reader: &mut Reader<'_>, count: usize) -> Result<Cells, DecodeError> {
        match reader.u8("cells")? {
            0 => {
                let dtype = reader.dtype("cells")?;
                let bytes = reader.bytes("cells")?;
                if dtype == DType::Str || bytes.len() != count * dtype.size() {
                    return Err(DecodeError::invalid(
                        "cells",
                        format_args!("{} bytes", bytes.len()),
                    ));
                }
                Ok(Cells::Scalars(dtype, bytes.to_vec()))
            }
            1 => {
                let values = (0..count).map(|_| reader.value("cell")).collect::<Result<_, _>>()?;
                Ok(Cells::Values(values))
            }
            other => Err(DecodeError::invalid("cells", other)),
        }
    }

    /// Some rows as one array, rows on a new first axis.
    ///
    /// # Errors
    /// When arrays differ in shape, or texts would have to be stacked.
    pub fn stack(&self, rows: &[usize]) -> Result<Value, String> {
        if let Cells::Scalars(dtype, bytes) = self {
            let size = dtype.size();
            let all: Vec<u8> =
                rows.iter().flat_map(|&r| &bytes[r * size..(r + 1) * size]).copied().collect();
            let array = Array::from_bytes(*dtype, &[rows.len()], &all);
            return array.map(Value::Array).ok_or_else(|| "text cannot be stacked".to_owned());
        }
        let values: Vec<Value> = rows.iter().map(|&r| self.at(r)).collect();
        let Some(first) = values.first() else { return Err("no rows".into()) };
        let shape = |value: &Value| match value {
            Value::Array(a) => a.shape().to_vec(),
            Value::Scalar(_) | Value::Str(_) => Vec::new(),
        };
        let dtype = first.dtype();
        let mut all = Vec::new();
        for value in &values {
            if (value.dtype(), shape(value)) != (dtype, shape(first)) {
                return Err(format!(
                    "shape conflict: kept items are {} {:?} and {} {:?}; select one shape, or wait until the older ones have left",
                    dtype,
                    shape(first),
                    value.dtype(),
                    shape(value)
                ));
            }
            match value {
                Value::Array(a) => all.extend_from_slice(a.bytes()),
                Value::Scalar(s) => all.extend_from_slice(&scalar_bytes(*s)[..dtype.size()]),
                Value::Str(_) => return Err("text cannot be stacked".into()),
            }
        }
        let axes: Vec<usize> = [values.len()].into_iter().chain(shape(first)).collect();
        let array = Array::from_bytes(dtype, &axes, &all);
        array.map(Value::Array).ok_or_else(|| format!("{axes:?} is no shape"))
    }
}
