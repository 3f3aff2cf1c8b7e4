//! Per-event ops that compute on whole values: what stands between them and columns.
//!
//! An op gives its output types and an [`Each`], which sees one event at a time; scalars are
//! arrays without axes. Buffers are those of the columns, so nothing is allocated per event.

use crate::data::batch::{ArrayRef, Column, Dims};
use crate::data::column_views::{Expanded, as_f32, as_f64, expand};
use crate::data::event_values::Filling;
use crate::data::owned_column::{EventErrors, OwnedColumn};
use crate::data::reused_lists::Few;
use crate::data::types::Type;
use crate::data::value::{DType, Element, MAX_RANK};
use crate::op::per_event::Kernel;

/// One input's value in one event.
#[derive(Debug, Clone, Copy)]
pub struct Item<'a> {
    /// Element type, not text.
    pub dtype: DType,
    rank: usize,
    axes: [usize; MAX_RANK],
    /// The elements' bytes, C order, aligned to 8 bytes for arrays.
    pub data: &'a [u8],
}

impl<'a> Item<'a> {
    fn new(dtype: DType, array: ArrayRef<'a>) -> Item<'a> {
        let mut axes = [0; MAX_RANK];
        let given = array.dims.axes();
        axes.iter_mut().zip(given).for_each(|(to, &axis)| *to = axis as usize);
        Item { dtype, rank: given.len(), axes, data: array.data }
    }

    /// Axis lengths; none for a scalar.
    pub fn shape(&self) -> &[usize] {
        &self.axes[..self.rank]
    }

    /// All elements as float64, in `scratch` unless they are float64 already.
    pub fn f64<'s>(&self, scratch: &'s mut Vec<f64>) -> &'s [f64]
    where
        'a: 's,
    {
        as_f64(self.dtype, self.data, scratch)
    }

    /// All elements as float32, in `scratch` unless they are float32 already.
    pub fn f32<'s>(&self, scratch: &'s mut Vec<f32>) -> &'s [f32]
    where
        'a: 's,
    {
        as_f32(self.dtype, self.data, scratch)
    }
}

/// A per-event op at work.
pub trait Each: Send {
    /// Computes one event, in which every wired input is present. Outputs that are not written
    /// are absent.
    ///
    /// # Errors
    /// Why this event's value cannot be computed: counted and told. Nothing may be written before.
    fn event(&mut self, inputs: &[Item<'_>], out: &mut Out<'_, '_>) -> Result<(), String>;

    /// True for an op that also computes events in which inputs are absent, by
    /// [`parts`](Self::parts).
    fn takes_parts(&self) -> bool {
        false
    }

    /// Computes one event in which some inputs, but not all, are absent.
    ///
    /// # Errors
    /// As [`event`](Self::event).
    fn parts(&mut self, inputs: &[Option<Item<'_>>], out: &mut Out<'_, '_>) -> Result<(), String> {
        let _ = (inputs, out);
        Ok(())
    }
}

/// The outputs of one event. Each output may be written once.
#[derive(Debug)]
pub struct Out<'b, 'o> {
    outputs: &'b mut [Filling<'o>],
    written: &'b mut [bool],
    errors: &'b mut EventErrors,
}

impl Out<'_, '_> {
    /// Writes an output of this shape (empty: a scalar); `fill` gets its bytes, which start as
    /// zeros.
    pub fn bytes(&mut self, output: usize, shape: &[usize], fill: impl FnOnce(&mut [u8])) {
        let Some(dims) = Dims::new(shape).filter(|dims| dims.count().is_some()) else {
            self.errors.record(|| format!("an output of shape {shape:?} cannot be made"));
            return;
        };
        self.written[output] = true;
        self.outputs[output].push(dims, self.errors, fill);
    }

    /// Writes an output of elements `T`, which must be its type; `fill` gets zeros.
    pub fn array<T: Element>(
        &mut self,
        output: usize,
        shape: &[usize],
        fill: impl FnOnce(&mut [T]),
    ) {
        self.bytes(output, shape, |bytes| fill(bytemuck::cast_slice_mut(bytes)));
    }

    /// Writes an array by copying.
    pub fn copy<T: Element>(&mut self, output: usize, shape: &[usize], from: &[T]) {
        self.array(output, shape, |to| to.copy_from_slice(from));
    }

    /// Writes a scalar of the output's type.
    pub fn scalar<T: Element>(&mut self, output: usize, value: T) {
        self.array(output, &[], |to| to[0] = value);
    }
}

/// The kernel of an op, with the types of its outputs.
pub fn each(types: Vec<Type>, op: impl Each + 'static) -> (Vec<Type>, Box<dyn Kernel>) {
    let kernel = EachKernel {
        op: Box::new(op),
        dtypes: types.iter().map(|t| t.dtype).collect(),
        written: vec![false; types.len()],
        memory: Vec::new(),
    };
    (types, Box::new(kernel))
}

struct EachKernel {
    op: Box<dyn Each>,
    /// Of the outputs.
    dtypes: Vec<DType>,
    written: Vec<bool>,
    /// One per input, for those that are constant.
    memory: Vec<Expanded>,
}

impl Kernel for EachKernel {
    fn run(
        &mut self,
        events: usize,
        inputs: &[&Column<'_>],
        outputs: &mut [OwnedColumn],
        errors: &mut EventErrors,
    ) {
        self.memory.resize_with(inputs.len(), Expanded::default);
        let expanded: Few<Option<Column<'_>>> = inputs
            .iter()
            .zip(&mut self.memory)
            .map(|(c, memory)| expand(c, events, memory))
            .collect();
        let columns: Few<&Column<'_>> =
            inputs.iter().zip(&expanded).map(|(c, e)| e.as_ref().unwrap_or(c)).collect();
        let mut filling: Few<Filling<'_>> =
            outputs.iter_mut().zip(&self.dtypes).map(|(o, &d)| Filling::new(o, d)).collect();
        let mut items: Few<Item<'_>> = Few::new();
        for event in 0..events {
            items.clear();
            items.extend(columns.iter().filter_map(|column| item(column, event)));
            self.written.fill(false);
            let mut out = Out { outputs: &mut filling, written: &mut self.written, errors };
            let computed = if items.len() == columns.len() {
                self.op.event(&items, &mut out)
            } else if !items.is_empty() && self.op.takes_parts() {
                let parts: Few<_> = columns.iter().map(|column| item(column, event)).collect();
                self.op.parts(&parts, &mut out)
            } else {
                Ok(())
            };
            if let Err(reason) = computed {
                errors.record(|| reason);
            }
            for (output, written) in filling.iter_mut().zip(&self.written) {
                if !written {
                    output.absent();
                }
            }
        }
    }
}

/// One event's value of a column without constants; None where it is absent, or text.
pub fn item<'a>(column: &Column<'a>, event: usize) -> Option<Item<'a>> {
    match column {
        Column::Scalars { dtype, data, present } => {
            let size = dtype.size();
            let data = &data[event * size..(event + 1) * size];
            let dims = Dims::new(&[])?;
            present
                .is_none_or(|p| p[event] != 0)
                .then(|| Item::new(*dtype, ArrayRef { dims, data }))
        }
        Column::Arrays { dtype, items } => items[event].map(|array| Item::new(*dtype, array)),
        Column::Absent | Column::Constant(_) | Column::Strings(_) => None,
    }
}
