//! `stack` and `concatenate`: several arrays as one.

use crate::data::cast::widen;
use crate::data::owned_column::scalar_bytes;
use crate::data::types::Type;
use crate::data::value::{DType, MAX_RANK};
use crate::error::Fault;
use crate::expr::promote;
use crate::op::doc::{Class, Form, OpDoc, OutputDoc, ParamDoc};
use crate::op::event_by_event::{Each, Item, Out, each};
use crate::op::fill::{self, fill};
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
           Scalars give a 1-d array. With `missing`, parts of a detector are stacked as far as they \
           came: events in which some inputs are absent, but not all.",
    example: r#"{"op": "stack", "in": ["scalar", "flag"]}"#,
    class: Class::PerEvent,
    form: Form::Values,
    with: false,
    params: &[
        ParamDoc {
            name: "axis",
            kind: "integer",
            default: "0",
            unit: "",
            range: "an axis of the output, negative counted from the last",
            doc: "place of the new axis",
        },
        ParamDoc {
            name: "missing",
            kind: "text",
            default: "\"wait\"",
            unit: "",
            range: "wait, fill, skip",
            doc: "in events in which inputs are absent: no value; their places filled with `fill`; \
                  only those that are there, one after the other",
        },
        fill("absent inputs, with missing \"fill\""),
    ],
    outputs: &[
        OutputDoc { name: "value", doc: "one axis more than the inputs" },
        OutputDoc { name: "present", doc: "int64 scalar: how many inputs were there" },
    ],
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
        let missing = match args.word("missing", "wait", &["wait", "fill", "skip"])? {
            "fill" => Missing::Fill(fill::read(args)?),
            "skip" => Missing::Skip,
            _ => Missing::Wait,
        };
        if args.get("fill").is_some() && !matches!(missing, Missing::Fill(_)) {
            let hint = "write \"missing\": \"fill\", or leave it out";
            return Err(Fault::of("fill", "it is for missing \"fill\" only", hint));
        }
        let join = Join { new: true, axis, missing };
        Ok(Prepared::per_event_with(&["value", "present"], join))
    }
}

impl OpKind for Concatenate {
    fn doc(&self) -> &'static OpDoc {
        &CONCAT
    }

    fn prepare(&self, args: &Args<'_>) -> Result<Prepared, Fault> {
        let axis = args.integer("axis", AXES)?.unwrap_or(0);
        Ok(Prepared::per_event(Join { new: false, axis, missing: Missing::Wait }))
    }
}

#[derive(Debug, Clone, Copy)]
struct Join {
    /// Whether the axis is a new one.
    new: bool,
    axis: i64,
    missing: Missing,
}

/// What becomes of events in which some inputs are absent.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Missing {
    Wait,
    Fill(f64),
    Skip,
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
        if self.missing == Missing::Skip {
            return Ok(Type::array(dtype, joined));
        }
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
        let fill = match self.missing {
            Missing::Fill(number) => Some(scalar_bytes(fill::element(&output, number)?)),
            Missing::Wait | Missing::Skip => None,
        };
        let present = self.new.then(|| Type::scalar(DType::I64));
        let outputs = [output].into_iter().chain(present).collect();
        Ok(each(outputs, Joining { join: *self, dtype, fill }))
    }
}

struct Joining {
    join: Join,
    dtype: DType,
    /// The element that stands for absent inputs.
    fill: Option<[u8; 8]>,
}

impl Each for Joining {
    fn event(&mut self, inputs: &[Item<'_>], out: &mut Out<'_, '_>) -> Result<(), String> {
        self.joined(inputs.iter().map(Some), inputs.len(), out)
    }

    fn takes_parts(&self) -> bool {
        self.join.missing != Missing::Wait
    }

    fn parts(&mut self, inputs: &[Option<Item<'_>>], out: &mut Out<'_, '_>) -> Result<(), String> {
        let present = inputs.iter().flatten().count();
        if self.fill.is_some() {
            return self.joined(inputs.iter().map(Option::as_ref), present, out);
        }
        self.joined(inputs.iter().flatten().map(Some), present, out)
    }
}

impl Joining {
    /// Puts the inputs side by side; None is filled, in the shape of the others.
    fn joined<'a, 'i: 'a>(
        &self,
        inputs: impl Iterator<Item = Option<&'a Item<'i>>> + Clone,
        present: usize,
        out: &mut Out<'_, '_>,
    ) -> Result<(), String> {
        let Some(like) = inputs.clone().flatten().next() else { return Ok(()) };
        let joined = self.join.shape(inputs.clone().map(|item| item.unwrap_or(like).shape()));
        let (shape, axis) = joined.map_err(|(_, reason)| reason)?;
        // Each input in turn gives what it has behind one index of the axes before.
        let part = |item: &Item<'_>| item.shape()[axis..].iter().product::<usize>();
        let blocks: usize = shape[..axis].iter().product();
        let size = self.dtype.size();
        out.bytes(0, &shape, |mut to| {
            for block in 0..blocks {
                for item in inputs.clone() {
                    let count = part(item.unwrap_or(like));
                    let (head, rest) = to.split_at_mut(count * size);
                    if let Some(item) = item {
                        let from = item.dtype.size();
                        let data = &item.data[block * count * from..(block + 1) * count * from];
                        widen(item.dtype, data, self.dtype, head);
                    } else if let Some(fill) = &self.fill {
                        head.chunks_exact_mut(size)
                            .for_each(|to| to.copy_from_slice(&fill[..size]));
                    }
                    to = rest;
                }
            }
        });
        if self.join.new {
            out.scalar(1, present as i64);
        }
        Ok(())
    }
}
