//! `stack` and `concatenate`: several arrays as one.

use crate::data::cast::widen;
use crate::data::types::Type;
use crate::data::value::{DType, MAX_RANK};
use crate::error::Fault;
use crate::expr::promote;
use crate::op::doc::{Class, Form, OpDoc, OutputDoc, ParamDoc};
use crate::op::event_by_event::{Each, Item, Out, each};
use crate::op::kind::{OpKind, Prepared};
use crate::op::parameters::Args;
use crate::op::per_event::{Kernel, PerEvent};
use crate::ops::array::strided_view::{Misfit, place};
use crate::ops::array::turn::AXES;

static STACK: OpDoc = OpDoc {
    name: "stack",
    summary: "arrays or scalars of one shape along a new axis",
    text: "numpy.stack: index i of the new axis is input i, in the order of `in`. All inputs have \
           the same shape; their element types are promoted to a common one as numpy does. \
           Scalars give a 1-d array.",
    example: r#"{"op": "stack", "in": ["scalar", "flag"]}"#,
    class: Class::PerEvent,
    form: Form::Values,
    with: false,
    params: &[ParamDoc {
        name: "axis",
        kind: "integer",
        default: "0",
        unit: "",
        range: "an axis of the output, negative counted from the last",
        doc: "place of the new axis",
    }],
    outputs: &[OutputDoc { name: "value", doc: "one axis more than the inputs" }],
};

static CONCAT: OpDoc = OpDoc {
    name: "concatenate",
    summary: "arrays one after the other along an axis",
    text: "numpy.concatenate: the inputs, in the order of `in`, joined along an axis they have. \
           They agree in all other axes; their element types are promoted to a common one as \
           numpy does. Scalars have no axis: use `stack`.",
    example: r#"{"op": "concatenate", "in": {"first": "waveform", "second": "waveform"}}"#,
    class: Class::PerEvent,
    form: Form::Values,
    with: false,
    params: &[ParamDoc {
        name: "axis",
        kind: "integer",
        default: "0",
        unit: "",
        range: "an axis of the inputs, negative counted from the last",
        doc: "the axis along which they are joined",
    }],
    outputs: &[OutputDoc { name: "value", doc: "as the inputs, longer along the axis" }],
};

/// The op `stack`.
pub struct Stack;
/// The op `concatenate`.
pub struct Concatenate;

impl OpKind for Stack {
    fn doc(&self) -> &'static OpDoc {
        &STACK
    }

    fn prepare(&self, args: &Args<'_>) -> Result<Prepared, Fault> {
        let axis = args.integer("axis", AXES)?.unwrap_or(0);
        Ok(Prepared::per_event(Join { new: true, axis }))
    }
}

impl OpKind for Concatenate {
    fn doc(&self) -> &'static OpDoc {
        &CONCAT
    }

    fn prepare(&self, args: &Args<'_>) -> Result<Prepared, Fault> {
        let axis = args.integer("axis", AXES)?.unwrap_or(0);
        Ok(Prepared::per_event(Join { new: false, axis }))
    }
}

#[derive(Debug, Clone, Copy)]
struct Join {
    /// Whether the axis is a new one.
    new: bool,
    axis: i64,
}

impl Join {
    /// Number of axes of the output and the place of the axis among them.
    fn rank(&self, rank: usize) -> Result<(usize, usize), Misfit> {
        let rank = if self.new { rank + 1 } else { rank };
        if rank > MAX_RANK {
            return Err((
                "in",
                format!("an array of {rank} axes; at most {MAX_RANK} are possible"),
            ));
        }
        if rank == 0 {
            return Err(("in", "scalars have no axis to be joined along; use `stack`".to_owned()));
        }
        let axis = place("axis", self.axis, rank).map_err(|_| {
            ("axis", format!("there is no axis {} in an output of {rank}", self.axis))
        })?;
        Ok((rank, axis))
    }

    /// The output's shape and the place of the axis.
    fn shape<'a>(
        &self,
        mut shapes: impl Iterator<Item = &'a [usize]>,
    ) -> Result<(Vec<usize>, usize), Misfit> {
        let first = shapes.next().unwrap_or(&[]);
        let (_, axis) = self.rank(first.len())?;
        let mut joined = first.to_vec();
        if self.new {
            joined.insert(axis, 1);
        }
        for shape in shapes {
            let fits = |(k, (a, b)): (usize, (&usize, &usize))| a == b || (!self.new && k == axis);
            if shape.len() != first.len() || !shape.iter().zip(first).enumerate().all(fits) {
                return Err(("in", format!("shapes {first:?} and {shape:?} do not join")));
            }
            joined[axis] += if self.new { 1 } else { shape[axis] };
        }
        Ok((joined, axis))
    }

    fn output(&self, inputs: &[Type]) -> Result<Type, Misfit> {
        let dtype = inputs.iter().map(|t| t.dtype).reduce(promote).unwrap_or(DType::F64);
        let Some(rank) = inputs.iter().find_map(|t| t.rank) else {
            return Ok(Type::unknown(dtype));
        };
        if let Some(other) = inputs.iter().find_map(|t| t.rank.filter(|&r| r != rank)) {
            return Err(("in", format!("inputs of {rank} and of {other} axes do not join")));
        }
        let (joined, axis) = self.rank(rank)?;
        let shapes = || inputs.iter().filter_map(|t| t.shape.as_deref());
        if shapes().next().is_none() {
            return Ok(Type::array(dtype, joined));
        }
        let (mut shape, _) = self.shape(shapes())?;
        if self.new {
            shape[axis] = inputs.len();
        } else if inputs.iter().any(|t| t.shape.is_none()) {
            return Ok(Type::array(dtype, joined));
        }
        Ok(Type::shaped(dtype, &shape))
    }
}

impl PerEvent for Join {
    fn bind(&self, inputs: &[Type]) -> Result<(Vec<Type>, Box<dyn Kernel>), Fault> {
        if let Some(k) = inputs.iter().position(|t| t.dtype == DType::Str) {
            return Err(Fault::of("in", format!("input {k} is text"), "give numbers"));
        }
        let output = self.output(inputs).map_err(|(parameter, reason)| {
            let all: Vec<String> = inputs.iter().map(ToString::to_string).collect();
            let hint = format!("the inputs are {}; give such as fit together", all.join(", "));
            Fault::of(parameter, reason, hint)
        })?;
        let dtype = output.dtype;
        Ok(each(vec![output], Joining { join: *self, dtype }))
    }
}

struct Joining {
    join: Join,
    dtype: DType,
}

impl Each for Joining {
    fn event(&mut self, inputs: &[Item<'_>], out: &mut Out<'_, '_>) -> Result<(), String> {
        let joined = self.join.shape(inputs.iter().map(Item::shape));
        let (shape, axis) = joined.map_err(|(_, reason)| reason)?;
        // Each input in turn gives what it has behind one index of the axes before.
        let part = |item: &Item<'_>| item.shape()[axis..].iter().product::<usize>();
        let blocks: usize = shape[..axis].iter().product();
        let size = self.dtype.size();
        out.bytes(0, &shape, |mut to| {
            for block in 0..blocks {
                for item in inputs {
                    let (count, from) = (part(item), item.dtype.size());
                    let (head, rest) = to.split_at_mut(count * size);
                    let data = &item.data[block * count * from..(block + 1) * count * from];
                    widen(item.dtype, data, self.dtype, head);
                    to = rest;
                }
            }
        });
        Ok(())
    }
}
