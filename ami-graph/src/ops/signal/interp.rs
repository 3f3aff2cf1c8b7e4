//! `interp`: a curve read off at the points of a grid.

use crate::data::types::Type;
use crate::data::value::DType;
use crate::error::Fault;
use crate::op::checks::numbers_only;
use crate::op::doc::{Class, Form, InputDoc, OpDoc, OutputDoc, ParamDoc};
use crate::op::event_by_event::{Each, Item, Out, each};
use crate::op::kind::{OpKind, Prepared};
use crate::op::parameters::{Args, as_number};
use crate::op::per_event::{Kernel, PerEvent};
use serde_json::Value as Json;
use std::sync::Arc;

/// Most points of a grid.
const MOST: usize = 1 << 20;

static DOC: OpDoc = OpDoc {
    name: "interp",
    summary: "a curve read off at the points of a grid, by straight lines",
    text: "numpy.interp(grid, x, y). `x` are the places of `y`, increasing; without `x` they are \
           0, 1, 2 … Beyond the first and last place the value is `left` and `right`, or that of \
           the end. An x that is not increasing, of another length than y, or without elements is \
           an error in the event.",
    example: r#"{"op": "interp", "in": "waveform", "grid": {"start": 0, "stop": 2, "n": 5}}"#,
    class: Class::PerEvent,
    form: Form::Fixed(&[
        InputDoc { name: "y", doc: "1-d", required: true },
        InputDoc { name: "x", doc: "1-d, increasing, as long as y", required: false },
    ]),
    with: false,
    params: &[
        ParamDoc {
            name: "grid",
            kind: "list of numbers, or {start, stop, n}",
            default: "",
            unit: "of x",
            range: "1 to 1048576 numbers, or n evenly spaced ones from start to stop inclusive",
            doc: "where the curve is read off",
        },
        ParamDoc {
            name: "left",
            kind: "number",
            default: "none",
            unit: "of y",
            range: "any",
            doc: "value before the first place; none: that of the first",
        },
        ParamDoc {
            name: "right",
            kind: "number",
            default: "none",
            unit: "of y",
            range: "any",
            doc: "value beyond the last place; none: that of the last",
        },
    ],
    outputs: &[
        OutputDoc { name: "value", doc: "float64 as long as the grid" },
        OutputDoc { name: "grid", doc: "float64: the places" },
    ],
};

/// The op.
pub struct Interp;

impl OpKind for Interp {
    fn doc(&self) -> &'static OpDoc {
        &DOC
    }

    fn prepare(&self, args: &Args<'_>) -> Result<Prepared, Fault> {
        let accepted = "numbers, as [0, 0.5, 1], or {\"start\": 0, \"stop\": 1, \"n\": 3}";
        let json = args.require("grid", accepted)?;
        let grid = grid(json).filter(|grid| (1..=MOST).contains(&grid.len())).ok_or_else(|| {
            let hint = format!("give 1 to {MOST} {accepted}");
            Fault::of("grid", format!("{json} is not accepted"), hint)
        })?;
        let (left, right) = (args.number("left")?, args.number("right")?);
        let curve = Curve { grid: grid.into(), left, right };
        Ok(Prepared::per_event_with(&["value", "grid"], curve))
    }
}

fn grid(json: &Json) -> Option<Vec<f64>> {
    match json {
        Json::Array(items) => items.iter().take(MOST + 1).map(as_number).collect(),
        Json::Object(map) if map.len() == 3 => {
            let number = |name: &str| map.get(name).and_then(Json::as_f64);
            let n = number("n").filter(|n| n.fract() == 0.0 && (1.0..=MOST as f64).contains(n))?;
            Some(linspace(number("start")?, number("stop")?, n as usize))
        }
        _ => None,
    }
}

/// As numpy.linspace.
fn linspace(start: f64, stop: f64, n: usize) -> Vec<f64> {
    if n == 1 {
        return vec![start];
    }
    let step = (stop - start) / (n - 1) as f64;
    let mut points: Vec<f64> = (0..n).map(|i| i as f64 * step + start).collect();
    points[n - 1] = stop;
    points
}

#[derive(Debug, Clone)]
struct Curve {
    grid: Arc<[f64]>,
    left: Option<f64>,
    right: Option<f64>,
}

impl PerEvent for Curve {
    fn bind(&self, inputs: &[Type]) -> Result<(Vec<Type>, Box<dyn Kernel>), Fault> {
        numbers_only(inputs, &["y", "x"])?;
        if let Some(input) = inputs.iter().find(|t| t.rank.is_some_and(|rank| rank != 1)) {
            let reason = format!("an input is {input}, not an array of 1 axis");
            return Err(Fault::of("in", reason, "take a part of it by `roi` or `project`"));
        }
        let length = |t: &Type| t.shape.as_ref().and_then(|shape| shape.first().copied());
        let lengths: Vec<usize> = inputs.iter().filter_map(length).collect();
        if lengths.iter().any(|&n| n != lengths[0] || n == 0) {
            let all: Vec<String> = inputs.iter().map(ToString::to_string).collect();
            let reason = format!("the inputs are {}", all.join(" and "));
            return Err(Fault::of("in", reason, "give as many x as y, at least one"));
        }
        let curve = Type::shaped(DType::F64, &[self.grid.len()]);
        let reading = Reading { curve: self.clone(), x: Vec::new(), y: Vec::new() };
        Ok(each(vec![curve.clone(), curve], reading))
    }
}

struct Reading {
    curve: Curve,
    x: Vec<f64>,
    y: Vec<f64>,
}

impl Each for Reading {
    fn event(&mut self, inputs: &[Item<'_>], out: &mut Out<'_, '_>) -> Result<(), String> {
        let &[n] = inputs[0].shape() else {
            return Err(format!("y has {} axes, not 1", inputs[0].shape().len()));
        };
        let y = inputs[0].f64(&mut self.y);
        let x = match inputs.get(1) {
            Some(x) if x.shape() != [n] => {
                return Err(format!("x has shape {:?}, y has {n} elements", x.shape()));
            }
            Some(x) => x.f64(&mut self.x),
            None => {
                self.x.clear();
                self.x.extend((0..n).map(|i| i as f64));
                &self.x
            }
        };
        if n == 0 {
            return Err("a curve without points".into());
        }
        if let Some(i) = x.windows(2).position(|pair| pair[1] <= pair[0]) {
            let pair = &x[i..i + 2];
            return Err(format!("x is not increasing: {} at {i}, then {}", pair[0], pair[1]));
        }
        let Curve { grid, left, right } = &self.curve;
        let (left, right) = (left.unwrap_or(y[0]), right.unwrap_or(y[n - 1]));
        out.array(0, &[grid.len()], |to| {
            for (to, &at) in to.iter_mut().zip(grid.iter()) {
                *to = value(at, x, y, (left, right));
            }
        });
        out.copy(1, &[grid.len()], grid);
        Ok(())
    }
}

/// numpy's interp, operation by operation, so that every bit is the same.
fn value(at: f64, x: &[f64], y: &[f64], (left, right): (f64, f64)) -> f64 {
    let last = x.len() - 1;
    if at.is_nan() {
        return at;
    }
    if at > x[last] {
        return right;
    }
    // Places at or before: x[j] <= at < x[j + 1].
    let Some(j) = x.partition_point(|&x| x <= at).checked_sub(1) else { return left };
    if j == last || x[j] == at {
        return y[j];
    }
    let slope = (y[j + 1] - y[j]) / (x[j + 1] - x[j]);
    let mut value = slope * (at - x[j]) + y[j];
    if value.is_nan() {
        value = slope * (at - x[j + 1]) + y[j + 1];
        if value.is_nan() && y[j] == y[j + 1] {
            value = y[j];
        }
    }
    value
}
