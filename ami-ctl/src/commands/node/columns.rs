//! Values of events as the columns that code is given.

use ami_graph::data::batch::{ArrayRef, Column, Dims};
use ami_graph::data::owned_column::OwnedColumn;
use ami_graph::data::schema::Field;
use ami_graph::data::value::{DType, Value};

/// One column, with the memory that it needs beside its values.
pub enum Made<'a> {
    /// Scalars, side by side.
    Own(OwnedColumn),
    /// Arrays and texts where they lie.
    There(Column<'a>),
}

impl<'a> Made<'a> {
    /// Of the values of a field.
    pub fn of(field: &Field, values: &'a [Option<Value>]) -> Made<'a> {
        let there = match (field.dtype, field.rank) {
            (DType::Str, _) => {
                Column::Strings(values.iter().map(|value| text(value.as_ref())).collect())
            }
            (_, 0) => return Made::Own(scalars(field.dtype, values)),
            (dtype, _) => {
                Column::Arrays { dtype, items: values.iter().map(|v| array(v.as_ref())).collect() }
            }
        };
        Made::There(there)
    }

    /// The column.
    pub fn column(&self) -> Column<'_> {
        match self {
            Made::Own(own) => own.view(),
            Made::There(column) => column.clone(),
        }
    }
}

fn scalars(dtype: DType, values: &[Option<Value>]) -> OwnedColumn {
    let mut column = OwnedColumn::new();
    column.start_pushed_scalars(dtype);
    for value in values {
        match value {
            Some(Value::Scalar(scalar)) if scalar.dtype() == dtype => column.push_scalar(*scalar),
            _ => column.push_absent(),
        }
    }
    column
}

fn text(value: Option<&Value>) -> Option<&str> {
    match value {
        Some(Value::Str(text)) => Some(text),
        _ => None,
    }
}

fn array(value: Option<&Value>) -> Option<ArrayRef<'_>> {
    let Some(Value::Array(array)) = value else { return None };
    Some(ArrayRef { dims: Dims::new(array.shape())?, data: array.bytes() })
}
