//! `take`: parts of an array by their place on an axis.

use crate::data::types::Type;
use crate::error::Fault;
use crate::op::checks::numbers_only;
use crate::op::doc::{Class, Form, InputDoc, OpDoc, OutputDoc, ParamDoc};
use crate::op::event_by_event::{Each, Item, Out, each};
use crate::op::kind::{OpKind, Prepared};
use crate::op::parameters::Args;
use crate::op::per_event::{Kernel, PerEvent};
use crate::ops::array::strided_view::{Misfit, index, place};
use crate::ops::array::turn::AXES;
use serde_json::Value as Json;

/// Most indices.
const MOST: usize = 65536;

static DOC: OpDoc = OpDoc {
    name: "take",
    summary: "parts of an array by their place on an axis",
    text: "numpy.take(a, index, axis): a single index takes the axis away, a list puts its own \
           length in the axis' place, in its order, an index as often as it is named. Indices \
           beyond the axis: `mode` raise makes them an error (negative ones count from the end), \
           wrap goes round, clip takes the first or the last.",
    example: r#"{"op": "take", "in": "image", "index": [2, 0], "axis": 1}"#,
    class: Class::PerEvent,
    form: Form::Fixed(&[InputDoc { name: "array", doc: "array of numbers", required: true }]),
    with: false,
    params: &[
        ParamDoc {
            name: "index",
            kind: "integer or list",
            default: "",
            unit: "",
            range: "places on the axis; at most 65536",
            doc: "what is taken",
        },
        ParamDoc {
            name: "axis",
            kind: "integer",
            default: "0",
            unit: "",
            range: "an axis of the input, negative counted from the last",
            doc: "the axis that is indexed",
        },
        ParamDoc {
            name: "mode",
            kind: "word",
            default: "\"raise\"",
            unit: "",
            range: "raise wrap clip",
            doc: "what an index beyond the axis means",
        },
    ],
    outputs: &[OutputDoc { name: "value", doc: "of the input's element type" }],
};

/// The op.
pub struct Take;

impl OpKind for Take {
    fn doc(&self) -> &'static OpDoc {
        &DOC
    }

    fn prepare(&self, args: &Args<'_>) -> Result<Prepared, Fault> {
        let single = !matches!(args.require("index", "an index or a list")?, Json::Array(_));
        let indices = args.integers("index", 0..=MOST, i64::MIN..=i64::MAX)?.unwrap_or_default();
        let mode = args.word("mode", "raise", &["raise", "wrap", "clip"])?;
        let axis = args.integer("axis", AXES)?.unwrap_or(0);
        Ok(Prepared::per_event(Taking { single, indices, axis, mode }))
    }
}

#[derive(Debug, Clone)]
struct Taking {
    single: bool,
    indices: Vec<i64>,
    axis: i64,
    mode: &'static str,
}

impl Taking {
    /// Where an index lies on an axis.
    fn find(&self, at: i64, length: usize) -> Result<usize, Misfit> {
        match self.mode {
            "wrap" if length > 0 => Ok(at.rem_euclid(length as i64) as usize),
            "clip" if length > 0 => Ok(at.clamp(0, length as i64 - 1) as usize),
            _ => index("index", at, length),
        }
    }

    /// The output's shape from the input's, all indices looked at.
    fn shape(&self, shape: &[usize]) -> Result<Vec<usize>, Misfit> {
        let axis = place("axis", self.axis, shape.len())?;
        self.indices.iter().try_for_each(|&at| self.find(at, shape[axis]).map(|_| ()))?;
        let mut left = shape.to_vec();
        if self.single {
            left.remove(axis);
        } else {
            left[axis] = self.indices.len();
        }
        Ok(left)
    }

    fn output(&self, input: &Type) -> Result<Type, Misfit> {
        let Some(rank) = input.rank else { return Ok(Type::unknown(input.dtype)) };
        place("axis", self.axis, rank)?;
        Ok(match &input.shape {
            Some(shape) => Type::shaped(input.dtype, &self.shape(shape)?),
            None => Type::array(input.dtype, rank - usize::from(self.single)),
        })
    }
}

impl PerEvent for Taking {
    fn bind(&self, inputs: &[Type]) -> Result<(Vec<Type>, Box<dyn Kernel>), Fault> {
        numbers_only(inputs, &["array"])?;
        let output = self.output(&inputs[0]).map_err(|(parameter, reason)| {
            let hint = format!("the input is {}; name an axis and places it has", inputs[0]);
            Fault::of(parameter, reason, hint)
        })?;
        Ok(each(vec![output], self.clone()))
    }
}

impl Each for Taking {
    fn event(&mut self, inputs: &[Item<'_>], out: &mut Out<'_, '_>) -> Result<(), String> {
        let [item] = inputs else { return Ok(()) };
        let shape = item.shape();
        let left = self.shape(shape).map_err(|(_, reason)| reason)?;
        let axis = place("axis", self.axis, shape.len()).map_err(|(_, reason)| reason)?;
        let part = shape[axis + 1..].iter().product::<usize>() * item.dtype.size();
        let block = part * shape[axis];
        if part == 0 || block == 0 {
            out.bytes(0, &left, |_| {});
            return Ok(());
        }
        out.bytes(0, &left, |to| {
            let mut parts = to.chunks_exact_mut(part);
            for block in item.data.chunks_exact(block) {
                // Every index was looked at with the shape.
                for at in self.indices.iter().flat_map(|&at| self.find(at, shape[axis])) {
                    if let Some(to) = parts.next() {
                        to.copy_from_slice(&block[at * part..(at + 1) * part]);
                    }
                }
            }
        });
        Ok(())
    }
}
