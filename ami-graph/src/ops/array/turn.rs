//! `rot90`, `flip` and `transpose`: an array with its axes turned.

use crate::data::types::Type;
use crate::data::value::MAX_RANK;
use crate::error::Fault;
use crate::op::checks::numbers_only;
use crate::op::doc::{Class, Form, InputDoc, OpDoc, OutputDoc, ParamDoc};
use crate::op::kind::{OpKind, Prepared};
use crate::op::parameters::Args;
use crate::op::per_event::{Kernel, PerEvent};
use crate::ops::array::strided_view::{Look, Misfit, View, looking, place};
use std::ops::RangeInclusive;

/// Axes that an array may have, negative ones counted from the last.
pub const AXES: RangeInclusive<i64> = -(MAX_RANK as i64)..=MAX_RANK as i64 - 1;

const ARRAY: Form =
    Form::Fixed(&[InputDoc { name: "array", doc: "array of numbers", required: true }]);

const OUTPUT: &[OutputDoc] =
    &[OutputDoc { name: "value", doc: "of the input's element type, its axes turned" }];

static ROT90: OpDoc = OpDoc {
    name: "rot90",
    summary: "an image turned by multiples of 90 degrees",
    text: "numpy.rot90: `k` quarter turns from the first of `axes` towards the second. With k = 1 \
           an image drawn with its first row on top turns counter-clockwise.",
    example: r#"{"op": "rot90", "in": "image", "k": 1}"#,
    class: Class::PerEvent,
    form: ARRAY,
    with: false,
    params: &[
        ParamDoc {
            name: "k",
            kind: "integer",
            default: "1",
            unit: "90 degrees",
            range: "any",
            doc: "how often; negative turns back",
        },
        ParamDoc {
            name: "axes",
            kind: "[axis, axis]",
            default: "[0, 1]",
            unit: "",
            range: "two axes of the input, negative counted from the last",
            doc: "the plane; [-2, -1] for images in a stack",
        },
    ],
    outputs: OUTPUT,
};

static FLIP: OpDoc = OpDoc {
    name: "flip",
    summary: "an array with axes reversed",
    text: "numpy.flip: the order of the elements along `axis` is reversed, the shape stays. \
           Without `axis` all axes are.",
    example: r#"{"op": "flip", "in": "image", "axis": 0}"#,
    class: Class::PerEvent,
    form: ARRAY,
    with: false,
    params: &[ParamDoc {
        name: "axis",
        kind: "integer or list",
        default: "none",
        unit: "",
        range: "axes of the input, negative counted from the last",
        doc: "what is reversed; none: all",
    }],
    outputs: OUTPUT,
};

static TRANSPOSE: OpDoc = OpDoc {
    name: "transpose",
    summary: "an array with its axes in another order",
    text: "numpy.transpose: axis i of the output is axis `axes`[i] of the input. Without `axes` \
           their order is reversed: rows become columns.",
    example: r#"{"op": "transpose", "in": "image"}"#,
    class: Class::PerEvent,
    form: ARRAY,
    with: false,
    params: &[ParamDoc {
        name: "axes",
        kind: "list of integers",
        default: "none",
        unit: "",
        range: "every axis of the input once, negative counted from the last",
        doc: "the new order; none: reversed",
    }],
    outputs: OUTPUT,
};

/// The op `rot90`.
pub struct Rot90;
/// The op `flip`.
pub struct Flip;
/// The op `transpose`.
pub struct Transpose;

impl OpKind for Rot90 {
    fn doc(&self) -> &'static OpDoc {
        &ROT90
    }

    fn prepare(&self, args: &Args<'_>) -> Result<Prepared, Fault> {
        let k = args.integer("k", i64::MIN..=i64::MAX)?.unwrap_or(1).rem_euclid(4);
        let axes = args.integers("axes", 2..=2, AXES)?.unwrap_or_else(|| vec![0, 1]);
        Ok(Prepared::per_event(Turn::Quarters(k, axes[0], axes[1])))
    }
}

impl OpKind for Flip {
    fn doc(&self) -> &'static OpDoc {
        &FLIP
    }

    fn prepare(&self, args: &Args<'_>) -> Result<Prepared, Fault> {
        Ok(Prepared::per_event(Turn::Reversed(args.integers("axis", 1..=MAX_RANK, AXES)?)))
    }
}

impl OpKind for Transpose {
    fn doc(&self) -> &'static OpDoc {
        &TRANSPOSE
    }

    fn prepare(&self, args: &Args<'_>) -> Result<Prepared, Fault> {
        Ok(Prepared::per_event(Turn::Ordered(args.integers("axes", 1..=MAX_RANK, AXES)?)))
    }
}

#[derive(Debug, Clone)]
enum Turn {
    /// So many quarters, from an axis towards another.
    Quarters(i64, i64, i64),
    /// These axes reversed, or all.
    Reversed(Option<Vec<i64>>),
    /// Axes in this order, or backwards.
    Ordered(Option<Vec<i64>>),
}

impl Turn {
    /// The axes that are named, as places.
    fn places(&self, rank: usize) -> Result<Vec<usize>, Misfit> {
        let (parameter, axes) = match self {
            Turn::Quarters(_, a, b) => ("axes", vec![*a, *b]),
            Turn::Reversed(Some(axes)) => ("axis", axes.clone()),
            Turn::Ordered(Some(axes)) => ("axes", axes.clone()),
            Turn::Reversed(None) => return Ok((0..rank).collect()),
            Turn::Ordered(None) => return Ok((0..rank).rev().collect()),
        };
        let places = axes.iter().map(|&axis| place(parameter, axis, rank));
        let places = places.collect::<Result<Vec<_>, _>>()?;
        if let Some(k) = (1..places.len()).find(|&k| places[..k].contains(&places[k])) {
            return Err((parameter, format!("axis {} is named twice", axes[k])));
        }
        if matches!(self, Turn::Ordered(_)) && places.len() < rank {
            let reason = format!("{} of {rank} axes are named; name every one", places.len());
            return Err((parameter, reason));
        }
        Ok(places)
    }
}

impl Look for Turn {
    fn rank(&self, rank: usize) -> Result<usize, Misfit> {
        self.places(rank).map(|_| rank)
    }

    fn view(&self, shape: &[usize], _: usize) -> Result<View, Misfit> {
        let (all, places) = (View::of(shape), self.places(shape.len())?);
        Ok(match (self, places.as_slice()) {
            (Turn::Quarters(2, ..), &[a, b]) => all.reversed(a).reversed(b),
            (Turn::Quarters(1, ..), &[a, b]) => all.swapped(a, b).reversed(a),
            (Turn::Quarters(3, ..), &[a, b]) => all.swapped(a, b).reversed(b),
            (Turn::Quarters(..), _) => all,
            (Turn::Reversed(_), places) => {
                places.iter().fold(all, |view, &axis| view.reversed(axis))
            }
            (Turn::Ordered(_), places) => all.ordered(places),
        })
    }
}

impl PerEvent for Turn {
    fn bind(&self, inputs: &[Type]) -> Result<(Vec<Type>, Box<dyn Kernel>), Fault> {
        numbers_only(inputs, &["array"])?;
        looking(self, &inputs[0], 1)
    }
}
