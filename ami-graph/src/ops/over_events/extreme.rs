//! `min` and `max`: the least and the greatest over the events, element by element.

use crate::data::batch::Column;
use crate::data::bytes::{Reader, Writer};
use crate::data::column_views::{Number, selected, taking_part, typed};
use crate::data::feed::Feed;
use crate::data::raw_buffer::Buffer;
use crate::data::types::Type;
use crate::data::value::{Array, DType, Value};
use crate::error::{DecodeError, Fault};
use crate::op::checks::numbers_only;
use crate::op::doc::{Class, OpDoc, OutputDoc};
use crate::op::kind::{OpKind, Prepared};
use crate::op::nan::{self, NAN};
use crate::op::parameters::Args;
use crate::op::reduction::{Outputs, Reduction, State, same};
use crate::op::signature::Sense;
use crate::op::signature::Signature;
use crate::ops::over_events::elements::{VALUE, element};
use crate::with_type;

static MIN_DOC: OpDoc = OpDoc {
    name: "min",
    summary: "least value over the events, element by element",
    text: "As np.min over the events: NaN if any value is NaN, or, with `\"nan\": \"skip\"`, as \
           np.nanmin: NaN only where there is no number. The element type stays. Zeros come out \
           as +0.",
    example: r#"{"op": "min", "in": "image"}"#,
    class: Class::Reduction,
    form: VALUE,
    with: false,
    params: &[NAN],
    outputs: &[OutputDoc { name: "value", doc: "as the input" }],
};

static MAX_DOC: OpDoc = OpDoc {
    name: "max",
    summary: "greatest value over the events, element by element",
    text: "As np.max over the events: NaN if any value is NaN, or, with `\"nan\": \"skip\"`, as \
           np.nanmax: NaN only where there is no number. The element type stays. Zeros come out \
           as +0.",
    example: r#"{"op": "max", "in": "image"}"#,
    class: Class::Reduction,
    form: VALUE,
    with: false,
    params: &[NAN],
    outputs: &[OutputDoc { name: "value", doc: "as the input" }],
};

/// Either op.
#[derive(Debug, Clone, Copy)]
pub struct Kind {
    least: bool,
}

/// The op `min`.
pub const MIN: Kind = Kind { least: true };
/// The op `max`.
pub const MAX: Kind = Kind { least: false };

impl OpKind for Kind {
    fn doc(&self) -> &'static OpDoc {
        if self.least { &MIN_DOC } else { &MAX_DOC }
    }

    fn prepare(&self, args: &Args<'_>) -> Result<Prepared, Fault> {
        let order = Order { least: self.least, skip: nan::skips(args, "propagate")? };
        Ok(Prepared::reduction(&["value"], order))
    }

    fn decode(
        &self,
        signature: &Signature,
        reader: &mut Reader<'_>,
    ) -> Result<Box<dyn State>, DecodeError> {
        let (dtype, shape) = element(signature)?;
        let count = shape.iter().product();
        let order = Order { least: self.least, skip: reader.bool("extreme")? };
        let started = reader.bool("extreme")?;
        with_type!(dtype, T => {
            let best: Buffer<T> = reader.buffer(count, "extreme")?;
            Ok(Box::new(Extreme { order, dtype, shape, started, best }))
        })
    }
}

/// Which of two values stays.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Order {
    least: bool,
    /// NaN gives way to numbers.
    skip: bool,
}

impl Reduction for Order {
    fn op(&self) -> &'static str {
        if self.least { MIN_DOC.name } else { MAX_DOC.name }
    }

    fn sense(&self, _: usize) -> Sense {
        Sense::Shapes
    }

    fn start(&self, signature: &Signature) -> Box<dyn State> {
        let (dtype, axes) = &signature[0];
        let shape: Vec<usize> = axes.iter().map(|&a| a as usize).collect();
        let count = shape.iter().product();
        with_type!(*dtype, T => {
            let best = Buffer::<T>::zeros(count);
            Box::new(Extreme { order: *self, dtype: *dtype, shape, started: false, best })
        })
    }

    fn size(&self, inputs: &Signature) -> u64 {
        let (dtype, axes) = &inputs[0];
        axes.iter().fold(dtype.size() as u64, |n, &a| n.saturating_mul(u64::from(a))) + 64
    }

    fn bind(&self, inputs: &[Type]) -> Result<Vec<Type>, Fault> {
        numbers_only(inputs, &["value"])?;
        Ok(inputs.to_vec())
    }
}

#[derive(Debug, Clone)]
struct Extreme<T: Number> {
    order: Order,
    dtype: DType,
    shape: Vec<usize>,
    /// False before the first event, when `best` means nothing.
    started: bool,
    best: Buffer<T>,
}

/// The better of two; NaN beats all, or none.
#[inline(always)]
fn better<T: Number>(order: Order, best: T, x: T) -> T {
    let wins = if order.least { x < best } else { x > best };
    let nan = if order.skip { best } else { x };
    if wins || nan.nan() { x } else { best }
}

impl<T: Number> Extreme<T> {
    fn take(&mut self, row: &[T]) {
        if !self.started {
            self.started = true;
            self.best.copy_from_slice(row);
            return;
        }
        // Each order written out has a loop of its own, without a question in it.
        let places = self.best.iter_mut().zip(row);
        match self.order {
            Order { least: true, skip: false } => {
                let order = Order { least: true, skip: false };
                places.for_each(|(best, &x)| *best = better(order, *best, x));
            }
            Order { least: false, skip: false } => {
                let order = Order { least: false, skip: false };
                places.for_each(|(best, &x)| *best = better(order, *best, x));
            }
            order => places.for_each(|(best, &x)| *best = better(order, *best, x)),
        }
    }
}

impl<T: Number + std::fmt::Debug> State for Extreme<T> {
    fn absorb(&mut self, feed: &mut Feed<'_>) {
        match feed.columns[0] {
            Column::Scalars { data, .. } => {
                let numbers = typed::<T>(data);
                let better = |a, b| better(self.order, a, b);
                let best = match feed.mask {
                    None => numbers.iter().copied().reduce(better),
                    Some(_) => taking_part(&numbers, feed.mask).reduce(better),
                };
                if let Some(best) = best {
                    self.take(&[best]);
                }
            }
            Column::Arrays { items, .. } => {
                for i in selected(feed.mask, items.len()) {
                    let Some(item) = &items[i] else { continue };
                    let row = typed::<T>(item.data);
                    if row.len() == self.best.len() {
                        self.take(&row);
                    }
                }
            }
            Column::Absent | Column::Constant(_) | Column::Strings(_) => {}
        }
    }

    fn merge(&mut self, other: Box<dyn State>) -> bool {
        let Some(other) = same::<Extreme<T>>(other) else { return false };
        if (self.order, &self.shape) != (other.order, &other.shape) {
            return false;
        }
        if other.started {
            self.take(&other.best);
        }
        true
    }

    fn finish(&self) -> Result<Outputs, String> {
        if !self.started {
            return Ok(vec![None]);
        }
        // Which zero came first depends on the split; its sign must not.
        let plain = |x: T| if x == T::zeroed() { T::zeroed() } else { x };
        if self.shape.is_empty() {
            return Ok(vec![Some(Value::Scalar(plain(self.best[0]).scalar(self.dtype)))]);
        }
        let mut best = self.best.clone();
        best.iter_mut().for_each(|x| *x = plain(*x));
        let bytes = bytemuck::cast_slice(&best);
        Ok(vec![Array::from_bytes(self.dtype, &self.shape, bytes).map(Value::Array)])
    }

    fn encode(self: Box<Self>, writer: &mut Writer) {
        writer.bool(self.order.skip);
        writer.bool(self.started);
        writer.buffer(self.best);
    }

    fn clone_box(&self) -> Box<dyn State> {
        Box::new(self.clone())
    }

    fn bytes(&self) -> usize {
        64 + self.best.len() * size_of::<T>()
    }
}
