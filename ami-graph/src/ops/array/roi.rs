//! `roi`: a region of an array, by numpy slicing.

use crate::data::reused_lists::Few;
use crate::data::types::Type;
use crate::data::value::DType;
use crate::error::Fault;
use crate::op::checks::numbers_only;
use crate::op::doc::{Class, Form, InputDoc, OpDoc, OutputDoc, ParamDoc};
use crate::op::event_by_event::{Each, Item, Out, each};
use crate::op::kind::{Body, OpKind, Prepared};
use crate::op::parameters::Args;
use crate::op::per_event::{Kernel, PerEvent};
use crate::ops::array::slicing::{Cut, copy, cuts_by_axis, runs};
use serde_json::Value as Json;

static DOC: OpDoc = OpDoc {
    name: "roi",
    summary: "a region of an array",
    text: "numpy slicing. `x` is the last axis, `y` the one before: [start, stop), negative from \
           the end; or `slices`, one text per axis from the first: \"10:20\", \":\", \"::2\", \
           \"-5:\", \"...\", or an index, which takes the axis away. Bounds beyond an axis are an \
           error where the shape is known beforehand, and are cut off as numpy does where it \
           varies. `bounds` holds for each axis of the input the half-open range taken.",
    example: r#"{"op": "roi", "in": "image", "x": [1, 3], "y": [0, 2]}"#,
    class: Class::PerEvent,
    form: Form::Fixed(&[InputDoc { name: "array", doc: "array of 1 to 4 axes", required: true }]),
    with: false,
    params: &[
        ParamDoc {
            name: "x",
            kind: "[start, stop]",
            default: "none",
            unit: "pixels",
            range: "start < stop on the last axis",
            doc: "columns",
        },
        ParamDoc {
            name: "y",
            kind: "[start, stop]",
            default: "none",
            unit: "pixels",
            range: "start < stop on the axis before the last",
            doc: "rows",
        },
        ParamDoc {
            name: "slices",
            kind: "list of texts",
            default: "none",
            unit: "pixels",
            range: "at most one per axis; instead of x and y",
            doc: "numpy slices from the first axis on",
        },
    ],
    outputs: &[
        OutputDoc { name: "value", doc: "the region, of the input's element type" },
        OutputDoc { name: "bounds", doc: "int64 [axes of the input, 2]: start and stop" },
    ],
};

/// The op.
pub struct Roi;

impl OpKind for Roi {
    fn doc(&self) -> &'static OpDoc {
        &DOC
    }

    fn prepare(&self, args: &Args<'_>) -> Result<Prepared, Fault> {
        let cuts = match (args.get("slices"), args.get("x"), args.get("y")) {
            (None, None, None) => {
                return Err(Fault::of("x", "no region is given", "give `x`, `y` or `slices`"));
            }
            (Some(json), None, None) => slices(json)?,
            (Some(_), ..) => {
                let reason = "`slices` and `x` or `y` are given";
                return Err(Fault::of("slices", reason, "give one or the other"));
            }
            (None, x, y) => {
                let all = Cut::Range(None, None, 1);
                let x = x.map_or(Ok(all), |json| range("x", json))?;
                match y {
                    Some(json) => vec![Cut::Rest, range("y", json)?, x],
                    None => vec![Cut::Rest, x],
                }
            }
        };
        let outputs = vec!["value".to_owned(), "bounds".to_owned()];
        Ok(Prepared { outputs, body: Body::PerEvent(Box::new(Region { cuts })) })
    }
}

fn range(name: &str, json: &Json) -> Result<Cut, Fault> {
    let bad = || {
        let hint = "give two whole numbers, [start, stop), start below stop";
        Fault::of(name, format!("{json} is not accepted"), hint)
    };
    let numbers: Vec<i64> =
        json.as_array().ok_or_else(bad)?.iter().filter_map(Json::as_i64).collect();
    match (numbers.as_slice(), json.as_array().map_or(0, Vec::len)) {
        (&[start, stop], 2) if start < stop || (start >= 0) != (stop >= 0) => {
            Ok(Cut::Range(Some(start), Some(stop), 1))
        }
        _ => Err(bad()),
    }
}

fn slices(json: &Json) -> Result<Vec<Cut>, Fault> {
    let bad = |json: &Json| {
        let hint = "give a list such as [\"10:20\", \":\", \"::2\"]";
        Fault::of("slices", format!("{json} is not accepted"), hint)
    };
    let one = |item: &Json| match item {
        Json::String(text) => Cut::parse(text),
        item => item.as_i64().map(Cut::Index).ok_or_else(|| bad(item)),
    };
    match json {
        Json::Array(items) if !items.is_empty() => items.iter().map(one).collect(),
        other => Err(bad(other)),
    }
}

#[derive(Debug, Clone)]
struct Region {
    cuts: Vec<Cut>,
}

impl Region {
    /// The output's type; bounds beyond a known shape are faults.
    fn output(&self, input: &Type) -> Result<Type, Fault> {
        let Some(rank) = input.rank else { return Ok(Type::unknown(input.dtype)) };
        if rank == 0 || rank > 4 {
            let reason = format!("the input is {input}, not an array of 1 to 4 axes");
            return Err(Fault::of("in", reason, "name an array"));
        }
        let cuts = cuts_by_axis(&self.cuts, rank).map_err(|reason| {
            Fault::of("slices", reason, format!("the input is {input}; give at most {rank}"))
        })?;
        let indices = cuts.iter().filter(|cut| matches!(cut, Cut::Index(_))).count();
        let Some(shape) = &input.shape else {
            return Ok(Type::array(input.dtype, rank - indices));
        };
        for (axis, (cut, &length)) in cuts.iter().zip(shape).enumerate() {
            if let Some(beyond) = cut.beyond(length) {
                let hint = format!("axis {axis} has {length}: use 0 to {length}");
                let reason = format!("{beyond} lies beyond the input, which is {input}");
                return Err(Fault::of(self.parameter(axis, rank), reason, hint));
            }
        }
        let runs =
            runs(&self.cuts, shape).map_err(|e| Fault::of("slices", e, "use a lower index"))?;
        if let Some(axis) = runs.iter().position(|run| run.count == 0) {
            let reason = format!("nothing is left of axis {axis} of the input, which is {input}");
            return Err(Fault::of(self.parameter(axis, rank), reason, "give start below stop"));
        }
        let left: Vec<usize> = runs.iter().filter(|r| r.kept).map(|r| r.count).collect();
        Ok(Type::shaped(input.dtype, &left))
    }

    fn parameter(&self, axis: usize, rank: usize) -> &'static str {
        match self.cuts.first() {
            Some(Cut::Rest) if self.cuts.len() > 1 && axis + 1 == rank => "x",
            Some(Cut::Rest) if self.cuts.len() > 2 && axis + 2 == rank => "y",
            _ => "slices",
        }
    }
}

impl PerEvent for Region {
    fn bind(&self, inputs: &[Type]) -> Result<(Vec<Type>, Box<dyn Kernel>), Fault> {
        numbers_only(inputs, &["array"])?;
        let output = self.output(&inputs[0])?;
        let bounds = match inputs[0].rank {
            Some(rank) => Type::shaped(DType::I64, &[rank, 2]),
            None => Type::array(DType::I64, 2),
        };
        Ok(each(vec![output, bounds], self.clone()))
    }
}

impl Each for Region {
    fn event(&mut self, inputs: &[Item<'_>], out: &mut Out<'_, '_>) -> Result<(), String> {
        let [item] = inputs else { return Ok(()) };
        let runs = runs(&self.cuts, item.shape())?;
        let left: Few<usize> = runs.iter().filter(|r| r.kept).map(|r| r.count).collect();
        out.bytes(0, &left, |to| copy(item.dtype.size(), item.shape(), &runs, item.data, to));
        out.array(1, &[runs.len(), 2], |to: &mut [i64]| {
            to.chunks_exact_mut(2)
                .zip(&runs)
                .for_each(|(to, run)| to.copy_from_slice(&run.bounds()));
        });
        Ok(())
    }
}
