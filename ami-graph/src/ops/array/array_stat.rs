//! `array_stat` and `project`: a statistic of an event's array, over all elements or one axis.

use crate::data::bands::{Band, Banded};
use crate::data::batch::{Column, Dims};
use crate::data::event_values::{Filling, Items, with_items};
use crate::data::owned_column::{EventErrors, OwnedColumn, scalar_bytes};
use crate::data::reused_lists::Few;
use crate::data::types::Type;
use crate::data::value::{DType, MAX_RANK};
use crate::error::Fault;
use crate::op::checks::numbers_only;
use crate::op::doc::{Class, Form, InputDoc, OpDoc, OutputDoc, ParamDoc};
use crate::op::kind::{OpKind, Prepared};
use crate::op::parameters::Args;
use crate::op::per_event::{Kernel, PerEvent};
use crate::ops::array::statistic::{NAMES, QUANTILES, Statistic, add_band};

const STAT: ParamDoc = ParamDoc {
    name: "stat",
    kind: "word",
    default: "\"sum\"",
    unit: "",
    range: "sum mean min max std var rms median argmin argmax norm nansum nanmean nanmin nanmax nanstd \
            nanvar nanmedian quantile percentile nanquantile nanpercentile",
    doc: "numpy's function of that name; rms is sqrt(mean(a²)), norm is sqrt(sum(a²))",
};

const Q: ParamDoc = ParamDoc {
    name: "q",
    kind: "number",
    default: "none",
    unit: "",
    range: "0 to 1 for quantiles, 0 to 100 for percentiles; to be given for these, and only for these",
    doc: "where in the order of the elements, interpolated between neighbours",
};

static STAT_DOC: OpDoc = OpDoc {
    name: "array_stat",
    summary: "a statistic of the elements of an event's array",
    text: "numpy's definition and element types: sums of integers are int64 or uint64, min and max \
           keep the type, argmin and argmax are int64, the rest is float64, or float32 for \
           float32 (computed in float64). min, max, median and quantiles are NaN if any element is; those that \
           begin with nan leave NaN out and are NaN (nansum: 0) when nothing is left. Over no \
           elements the extremes and quantiles fail and the others are as numpy's. Without `axis`: one scalar.",
    example: r#"{"op": "array_stat", "in": "image", "stat": "max", "axis": 0}"#,
    class: Class::PerEvent,
    form: Form::Fixed(&[InputDoc {
        name: "array",
        doc: "array of numbers, any rank",
        required: true,
    }]),
    with: false,
    params: &[
        STAT,
        Q,
        ParamDoc {
            name: "axis",
            kind: "integer",
            default: "none",
            unit: "",
            range: "an axis of the input, negative counted from the last",
            doc: "the axis that goes away; none: all of them",
        },
    ],
    outputs: &[OutputDoc { name: "value", doc: "scalar, or the input's shape without the axis" }],
};

static PROJECT_DOC: OpDoc = OpDoc {
    name: "project",
    summary: "a 2-d array onto one of its axes",
    text: "The statistic over one axis: axis 0 takes rows together and leaves one value per \
           column, axis 1 the other way round. Statistics and element types as in `array_stat`.",
    example: r#"{"op": "project", "in": "image", "axis": 0, "stat": "sum"}"#,
    class: Class::PerEvent,
    form: Form::Fixed(&[InputDoc { name: "array", doc: "2-d array of numbers", required: true }]),
    with: false,
    params: &[
        ParamDoc {
            name: "axis",
            kind: "integer",
            default: "0",
            unit: "",
            range: "0, 1, -1 or -2",
            doc: "the axis that goes away",
        },
        STAT,
        Q,
    ],
    outputs: &[OutputDoc { name: "value", doc: "1-d" }],
};

/// The op `array_stat`.
pub struct ArrayStat;
/// The op `project`.
pub struct Project;

impl OpKind for ArrayStat {
    fn doc(&self) -> &'static OpDoc {
        &STAT_DOC
    }

    fn prepare(&self, args: &Args<'_>) -> Result<Prepared, Fault> {
        let axis = match args.get("axis") {
            None => None,
            Some(_) => Some(axis(args, 0, MAX_RANK as i64)?),
        };
        Ok(Prepared::per_event(Reduce { stat: stat(args)?, axis, rank: None }))
    }
}

impl OpKind for Project {
    fn doc(&self) -> &'static OpDoc {
        &PROJECT_DOC
    }

    fn prepare(&self, args: &Args<'_>) -> Result<Prepared, Fault> {
        let axis = Some(axis(args, 0, 2)?);
        Ok(Prepared::per_event(Reduce { stat: stat(args)?, axis, rank: Some(2) }))
    }
}

fn stat(args: &Args<'_>) -> Result<Statistic, Fault> {
    let names: Few<&'static str> =
        NAMES.iter().map(|n| n.0).chain(QUANTILES.iter().map(|q| q.0)).collect();
    let name = args.word("stat", "sum", &names)?;
    if let Some((_, whole)) = QUANTILES.iter().find(|(quantile, _)| *quantile == name) {
        return Ok(Statistic::quantile(name, args.real("q", None, 0.0..=*whole)? / whole));
    }
    if args.get("q").is_some() {
        let hint = "leave it out, or set `stat` to \"quantile\" or \"percentile\"";
        return Err(Fault::of("q", format!("stat {name:?} takes no q"), hint));
    }
    Ok(Statistic::named(name).unwrap_or(Statistic::Sum))
}

fn axis(args: &Args<'_>, default: i64, rank: i64) -> Result<i64, Fault> {
    let Some(json) = args.get("axis") else { return Ok(default) };
    let bad = || {
        let hint = format!("give a whole number from {} to {}", -rank, rank - 1);
        Fault::of("axis", format!("{json} is not accepted"), hint)
    };
    json.as_i64().filter(|axis| (-rank..rank).contains(axis)).ok_or_else(bad)
}

#[derive(Debug, Clone, Copy)]
struct Reduce {
    stat: Statistic,
    axis: Option<i64>,
    /// The rank demanded of the input.
    rank: Option<usize>,
}

impl Reduce {
    /// The axis as a place, for an array of this rank.
    fn place(&self, rank: usize) -> Option<usize> {
        let axis = self.axis?;
        let place = if axis < 0 { axis + rank as i64 } else { axis };
        usize::try_from(place).ok().filter(|&p| p < rank)
    }

    fn misfit(&self, rank: usize) -> Option<String> {
        match (self.rank, self.axis) {
            (Some(demanded), _) if demanded != rank => {
                Some(format!("the input has {rank} axes, not {demanded}"))
            }
            (_, Some(axis)) if self.place(rank).is_none() => {
                Some(format!("there is no axis {axis} in an input of {rank} axes"))
            }
            _ => None,
        }
    }

    fn event(
        &self,
        items: &Items<'_>,
        event: usize,
        out: &mut Filling<'_>,
        errors: &mut EventErrors,
        scratch: &mut Vec<f64>,
    ) {
        let Some(item) = items.get(event) else { return out.absent() };
        let rank = item.dims.axes().len();
        if let Some(misfit) = self.misfit(rank) {
            errors.record(|| misfit);
            return out.absent();
        }
        let result = self.stat.result(items.dtype);
        let Some(place) = self.place(rank) else {
            match (self.stat.of(items.dtype, item.data, scratch), Dims::new(&[])) {
                (Ok(value), Some(dims)) => out.push(dims, errors, |bytes| {
                    bytes.copy_from_slice(&scalar_bytes(value)[..result.size()]);
                }),
                (failed, _) => {
                    errors.record(|| failed.err().unwrap_or_default());
                    out.absent();
                }
            }
            return;
        };
        let shape: Few<usize> = item.dims.axes().iter().map(|&d| d as usize).collect();
        let mut left = shape.clone();
        let length = left.remove(place);
        let parts = (shape[..place].iter().product(), length, shape[place + 1..].iter().product());
        if length == 0 && self.stat.of(items.dtype, &[], scratch).is_err() {
            errors.record(|| format!("axis {place} has no elements, so there is no value"));
            return out.absent();
        }
        let Some(dims) = Dims::new(&left) else { return out.absent() };
        out.push(dims, errors, |bytes| {
            // The only failure, no elements, is excluded above.
            let _ = self.stat.along(items.dtype, item.data, parts, bytes, scratch);
        });
    }
}

impl PerEvent for Reduce {
    fn bind(&self, inputs: &[Type]) -> Result<(Vec<Type>, Box<dyn Kernel>), Fault> {
        numbers_only(inputs, &["array"])?;
        let input = &inputs[0];
        if let Some(misfit) = input.rank.and_then(|rank| self.misfit(rank)) {
            let parameter = if self.rank.is_some() { "in" } else { "axis" };
            let hint = format!("the input is {input}; name an axis it has, or another input");
            return Err(Fault::of(parameter, misfit, hint));
        }
        let quantile = matches!(self.stat, Statistic::Quantile(_) | Statistic::NanQuantile(_));
        if quantile && input.dtype == DType::Bool {
            let hint = "make it a number first: an `expr` of x + 0";
            return Err(Fault::of("in", "a quantile of bool has no meaning", hint));
        }
        let dtype = self.stat.result(input.dtype);
        let output = match (self.axis, input.rank, &input.shape) {
            (None, ..) => Type::scalar(dtype),
            (Some(_), Some(rank), Some(shape)) => {
                let mut left = shape.clone();
                self.place(rank).map(|place| left.remove(place));
                Type::shaped(dtype, &left)
            }
            (Some(_), Some(rank), None) => Type::array(dtype, rank.saturating_sub(1)),
            (Some(_), None, _) => Type::unknown(dtype),
        };
        Ok((vec![output], Box::new(Reducing { of: *self, scratch: Vec::new() })))
    }
}

struct Reducing {
    of: Reduce,
    scratch: Vec<f64>,
}

impl Kernel for Reducing {
    fn run(
        &mut self,
        events: usize,
        inputs: &[&Column<'_>],
        outputs: &mut [OwnedColumn],
        errors: &mut EventErrors,
    ) {
        outputs[0].set_absent();
        with_items(inputs[0], events, |items| {
            let mut filling = Filling::new(&mut outputs[0], self.of.stat.result(items.dtype));
            for event in 0..events {
                self.of.event(items, event, &mut filling, errors, &mut self.scratch);
            }
        });
    }

    fn banded(&mut self, dtype: DType, axes: &[u32]) -> Option<&mut dyn Banded> {
        let &[rows, width] = axes else { return None };
        let parts = (rows as usize, width as usize);
        let onto_columns = self.of.misfit(2).is_none() && self.of.place(2) == Some(0);
        (onto_columns && self.of.stat.by_rows(dtype, parts)).then_some(self)
    }
}

impl Banded for Reducing {
    fn band(&mut self, band: &Band<'_>, outputs: &mut [OwnedColumn]) {
        let result = self.of.stat.result(band.dtype);
        let (rows, width) = band.shape;
        if band.begins() {
            if band.first_frames {
                outputs[0].start_arrays(result);
            }
            self.scratch.clear();
            self.scratch.resize(band.parts.len() * 2 * width, 0.0);
        }
        let sums = self.scratch.chunks_exact_mut(2 * width);
        for (part, sums) in band.parts.iter().zip(sums) {
            add_band(band.dtype, part, sums);
            if band.ends()
                && let Some(dims) = Dims::new(&[width])
            {
                self.of.stat.put_rows(result, rows, sums, outputs[0].push_zeros(dims));
            }
        }
    }
}
