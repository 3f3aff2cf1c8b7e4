//! `rotate`: an image turned by an angle, as scipy.ndimage.rotate.

use crate::data::types::Type;
use crate::data::value::DType;
use crate::error::Fault;
use crate::op::checks::numbers_only;
use crate::op::doc::{Class, Form, InputDoc, OpDoc, OutputDoc, ParamDoc};
use crate::op::event_by_event::{Each, Item, Out, each};
use crate::op::kind::{OpKind, Prepared};
use crate::op::parameters::Args;
use crate::op::per_event::{Kernel, PerEvent};

static DOC: OpDoc = OpDoc {
    name: "rotate",
    summary: "an image turned by an angle about its centre",
    text: "scipy.ndimage.rotate of the input as float64, in the plane of its axes, with zeros \
           where the result has no source. `order` 0 takes the nearest pixel, 1 interpolates \
           linearly; higher splines are not offered, as they ring at the edges of peaks. With \
           `reshape` the result is as large as the turned image, otherwise as the input.",
    example: r#"{"op": "rotate", "in": "image", "angle": 30}"#,
    class: Class::PerEvent,
    form: Form::Fixed(&[InputDoc { name: "array", doc: "array of 2 axes", required: true }]),
    with: false,
    params: &[
        ParamDoc {
            name: "angle",
            kind: "number",
            default: "",
            unit: "degrees",
            range: "any finite number",
            doc: "how far; positive turns as scipy does",
        },
        ParamDoc {
            name: "order",
            kind: "integer",
            default: "1",
            unit: "",
            range: "0 or 1",
            doc: "nearest pixel, or linear interpolation",
        },
        ParamDoc {
            name: "reshape",
            kind: "bool",
            default: "false",
            unit: "",
            range: "true or false",
            doc: "whether the result grows to hold the whole image",
        },
    ],
    outputs: &[OutputDoc { name: "value", doc: "float64 [rows, columns]" }],
};

/// The op.
pub struct Rotate;

impl OpKind for Rotate {
    fn doc(&self) -> &'static OpDoc {
        &DOC
    }

    fn prepare(&self, args: &Args<'_>) -> Result<Prepared, Fault> {
        args.require("angle", "an angle in degrees")?;
        let angle = args.number("angle")?.unwrap_or(0.0);
        if !angle.is_finite() {
            return Err(Fault::of("angle", "it is not finite", "give an angle in degrees"));
        }
        let linear = args.whole("order", Some(1), 0..=1)? == 1;
        let (sin, cos) = in_degrees(angle);
        Ok(Prepared::per_event(Turn { sin, cos, linear, reshape: args.flag("reshape", false)? }))
    }
}

/// Sine and cosine, exact at multiples of a right angle.
fn in_degrees(angle: f64) -> (f64, f64) {
    match angle.rem_euclid(360.0) {
        0.0 => (0.0, 1.0),
        90.0 => (1.0, 0.0),
        180.0 => (0.0, -1.0),
        270.0 => (-1.0, 0.0),
        angle => angle.to_radians().sin_cos(),
    }
}

#[derive(Debug, Clone, Copy)]
struct Turn {
    sin: f64,
    cos: f64,
    linear: bool,
    reshape: bool,
}

impl Turn {
    /// The place in the input that a vector of the output comes from.
    fn back(&self, y: f64, x: f64) -> (f64, f64) {
        self.back_from((0.0, 0.0), y, x)
    }

    /// The same with an offset, added up in scipy's order: pixels that lie between two others then
    /// go to the same one.
    fn back_from(&self, (y0, x0): (f64, f64), y: f64, x: f64) -> (f64, f64) {
        (y0 + self.cos * y + self.sin * x, x0 - self.sin * y + self.cos * x)
    }

    fn output(&self, rows: usize, columns: usize) -> (usize, usize) {
        if !self.reshape {
            return (rows, columns);
        }
        let (height, width) = (rows as f64, columns as f64);
        let corners = [(0.0, 0.0), (0.0, width), (height, 0.0), (height, width)]
            .map(|(y, x)| self.back(y, x));
        let spread = |of: fn(&(f64, f64)) -> f64| {
            let all = corners.iter().map(of);
            all.clone().fold(f64::MIN, f64::max) - all.fold(f64::MAX, f64::min)
        };
        ((spread(|c| c.0) + 0.5) as usize, (spread(|c| c.1) + 0.5) as usize)
    }
}

impl PerEvent for Turn {
    fn bind(&self, inputs: &[Type]) -> Result<(Vec<Type>, Box<dyn Kernel>), Fault> {
        numbers_only(inputs, &["array"])?;
        if inputs[0].rank.is_some_and(|rank| rank != 2) {
            let reason = format!("the input is {}, not an image", inputs[0]);
            return Err(Fault::of("in", reason, "name an array of 2 axes"));
        }
        let output = match inputs[0].shape.as_deref() {
            Some(&[rows, columns]) => {
                let (rows, columns) = self.output(rows, columns);
                Type::shaped(DType::F64, &[rows, columns])
            }
            _ => Type::array(DType::F64, 2),
        };
        Ok(each(vec![output], Turning { turn: *self, scratch: Vec::new() }))
    }
}

struct Turning {
    turn: Turn,
    scratch: Vec<f64>,
}

impl Each for Turning {
    fn event(&mut self, inputs: &[Item<'_>], out: &mut Out<'_, '_>) -> Result<(), String> {
        let [item] = inputs else { return Ok(()) };
        let &[rows, columns] = item.shape() else {
            return Err(format!("the value has shape {:?}, not that of an image", item.shape()));
        };
        let turn = self.turn;
        let image = Image { numbers: item.f64(&mut self.scratch), rows, columns };
        let (height, width) = turn.output(rows, columns);
        let centre = |n: usize| (n as f64 - 1.0) / 2.0;
        let middle = turn.back(centre(height), centre(width));
        let offset = (centre(rows) - middle.0, centre(columns) - middle.1);
        out.array::<f64>(0, &[height, width], |to| {
            for (i, to) in to.iter_mut().enumerate() {
                let (y, x) = turn.back_from(offset, (i / width) as f64, (i % width) as f64);
                *to = if turn.linear { image.linear(y, x) } else { image.nearest(y, x) };
            }
        });
        Ok(())
    }
}

struct Image<'a> {
    numbers: &'a [f64],
    rows: usize,
    columns: usize,
}

impl Image<'_> {
    fn holds(&self, y: f64, x: f64) -> bool {
        y >= 0.0 && x >= 0.0 && y <= self.rows as f64 - 1.0 && x <= self.columns as f64 - 1.0
    }

    fn nearest(&self, y: f64, x: f64) -> f64 {
        let place = |y: f64, x: f64| (y + 0.5) as usize * self.columns + (x + 0.5) as usize;
        if self.holds(y, x) { self.numbers[place(y, x)] } else { 0.0 }
    }

    fn linear(&self, y: f64, x: f64) -> f64 {
        if !self.holds(y, x) {
            return 0.0;
        }
        let (row, column) = (y as usize, x as usize);
        let (below, right) = ((row + 1).min(self.rows - 1), (column + 1).min(self.columns - 1));
        let (dy, dx) = (y - row as f64, x - column as f64);
        let at = |row: usize, column: usize| self.numbers[row * self.columns + column];
        (1.0 - dy) * ((1.0 - dx) * at(row, column) + dx * at(row, right))
            + dy * ((1.0 - dx) * at(below, column) + dx * at(below, right))
    }
}
