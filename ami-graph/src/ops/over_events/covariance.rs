//! `covariance`: how the elements of waveforms vary together.

use crate::data::bytes::{Reader, Writer};
use crate::data::column_views::{as_f64, remainders_f64, selected};
use crate::data::event_values::with_items;
use crate::data::feed::Feed;
use crate::data::types::Type;
use crate::data::value::{Array, DType, Scalar, Value};
use crate::error::{DecodeError, Fault};
use crate::merge::comatrix::Comatrix;
use crate::merge::comoments::Numbers;
use crate::op::checks::numbers_only;
use crate::op::doc::{Class, Form, InputDoc, OpDoc, OutputDoc, ParamDoc};
use crate::op::kind::{OpKind, Prepared};
use crate::op::parameters::Args;
use crate::op::reduction::{Outputs, Reduction, State, same};
use crate::op::signature::Sense;
use crate::op::signature::Signature;

/// Most entries that may be asked for.
const MAX_ENTRIES: u64 = 1 << 28;

static DOC: OpDoc = OpDoc {
    name: "covariance",
    summary: "covariance matrix of waveforms over the events, also partial",
    text: "covariance[i, j] is the covariance of x[i] and y[j] over the events, y being x when it \
           is not given: np.cov(x, rowvar=False), ddof = 1; NaN for fewer than two events. With \
           the input `partial`, a scalar such as the pulse energy, what both owe to its \
           fluctuation is taken out: cov(x, y) − cov(x, p)·cov(p, y) / var(p); nothing where p \
           varies by less than 1e-14 of its mean. Memory is 8 bytes \
           per entry; beyond `limit` entries there is an error instead of a matrix.",
    example: r#"{"op": "covariance", "in": {"x": "waveform", "partial": "scalar"}}"#,
    class: Class::Reduction,
    form: Form::Fixed(&[
        InputDoc { name: "x", doc: "1-d array of one length", required: true },
        InputDoc { name: "y", doc: "1-d array of one length", required: false },
        InputDoc { name: "partial", doc: "scalar", required: false },
    ]),
    with: false,
    params: &[ParamDoc {
        name: "limit",
        kind: "integer",
        default: "16777216",
        unit: "entries",
        range: "1 to 268435456",
        doc: "most entries of the matrix",
    }],
    outputs: &[
        OutputDoc { name: "covariance", doc: "float64 [length of x, length of y]" },
        OutputDoc { name: "count", doc: "int64 scalar: events" },
    ],
};

/// The op.
pub struct Covariance;

impl OpKind for Covariance {
    fn doc(&self) -> &'static OpDoc {
        &DOC
    }

    fn prepare(&self, args: &Args<'_>) -> Result<Prepared, Fault> {
        let limit = args.whole("limit", Some(1 << 24), 1..=MAX_ENTRIES)?;
        let given = |name: &str| args.names.iter().any(|n| n == name);
        let inputs = Given { y: given("y"), partial: given("partial") };
        Ok(Prepared::reduction(&["covariance", "count"], Varying { limit, inputs }))
    }

    fn decode(
        &self,
        signature: &Signature,
        reader: &mut Reader<'_>,
    ) -> Result<Box<dyn State>, DecodeError> {
        let inputs = Given { y: reader.bool("covariance")?, partial: reader.bool("covariance")? };
        let limit = reader.u64("limit of entries")?;
        if signature.len() != 1 + usize::from(inputs.y) + usize::from(inputs.partial) {
            return Err(DecodeError::invalid("inputs of a covariance", signature.len()));
        }
        let sides = inputs.sides(signature);
        let matrix = match inputs.entries(signature) <= limit.min(MAX_ENTRIES) {
            true => Some(Comatrix::decode(sides, !inputs.y, reader)?),
            false => None,
        };
        Ok(Box::new(Varied { limit, inputs, sides, matrix }))
    }
}

/// Which of the inputs that may be left out are given.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Given {
    y: bool,
    partial: bool,
}

impl Given {
    /// Lengths of x and y, with the partial variable as one more element of both.
    fn sides(self, signature: &Signature) -> (usize, usize) {
        let more = usize::from(self.partial);
        let length = |k: usize| {
            let axes = signature.get(k).map(|(_, axes)| axes.as_slice()).unwrap_or_default();
            crate::ops::over_events::key_statistic::width(axes).saturating_add(more)
        };
        (length(0), length(usize::from(self.y)))
    }

    /// Entries of the matrix that is published.
    fn entries(self, signature: &Signature) -> u64 {
        let more = u64::from(self.partial);
        let (a, b) = self.sides(signature);
        (a as u64).saturating_sub(more).saturating_mul((b as u64).saturating_sub(more))
    }
}

#[derive(Debug)]
struct Varying {
    limit: u64,
    inputs: Given,
}

impl Reduction for Varying {
    fn op(&self) -> &'static str {
        DOC.name
    }

    fn sense(&self, _: usize) -> Sense {
        Sense::Shapes
    }

    fn start(&self, signature: &Signature) -> Box<dyn State> {
        let sides = self.inputs.sides(signature);
        let fits = self.inputs.entries(signature) <= self.limit;
        let matrix = fits.then(|| Comatrix::new(sides, !self.inputs.y));
        Box::new(Varied { limit: self.limit, inputs: self.inputs, sides, matrix })
    }

    fn size(&self, inputs: &Signature) -> u64 {
        let (a, b) = self.inputs.sides(inputs);
        match self.inputs.entries(inputs) <= self.limit {
            true => 128 + 8 * (a * b + 2 * (a + b)) as u64,
            false => 128,
        }
    }

    fn bind(&self, inputs: &[Type]) -> Result<Vec<Type>, Fault> {
        numbers_only(inputs, &["x", "y", "partial"])?;
        let (waves, partial) = inputs.split_at(1 + usize::from(self.inputs.y));
        if let Some(wave) = waves.iter().find(|w| w.rank.is_some_and(|rank| rank != 1)) {
            let reason = format!("an input is {wave}, not a 1-d array");
            return Err(Fault::of("in", reason, "reduce it first, for example by `project`"));
        }
        if let Some(scalar) = partial.iter().find(|p| p.rank.is_some_and(|rank| rank > 0)) {
            let reason = format!("partial is {scalar}, not a scalar");
            return Err(Fault::of("in", reason, "reduce it first, for example by `array_stat`"));
        }
        let lengths = || {
            let length = |wave: &Type| wave.shape.as_ref().and_then(|s| s.first().copied());
            Some((length(waves.first()?)?, length(waves.last()?)?))
        };
        let mut matrix = Type::array(DType::F64, 2);
        if let Some((a, b)) = lengths() {
            if (a as u64).saturating_mul(b as u64) > self.limit {
                let reason = format!("{a} × {b} entries are more than {}", self.limit);
                return Err(Fault::of("limit", reason, "rebin the waveforms, or raise the limit"));
            }
            matrix = Type::shaped(DType::F64, &[a, b]);
        }
        Ok(vec![matrix, Type::scalar(DType::I64)])
    }
}

#[derive(Debug, Clone)]
struct Varied {
    limit: u64,
    inputs: Given,
    sides: (usize, usize),
    /// None when it would have too many entries.
    matrix: Option<Comatrix>,
}

impl Varied {
    fn covariance(&self, matrix: &Comatrix) -> Array {
        let more = usize::from(self.inputs.partial);
        let (a, b) = (self.sides.0 - more, self.sides.1 - more);
        let n = matrix.count();
        let scale = if n < 2 { f64::NAN } else { 1.0 / (n - 1) as f64 };
        let at = |i, j| matrix.at(i, j) * scale;
        let (variance, mean) = match self.inputs.partial {
            true => (at(a, b), matrix.mean_y(b)),
            false => (0.0, 0.0),
        };
        // Rounding makes equal numbers vary a little, in another way for every split.
        let constant = variance <= (1e-14 * mean).powi(2);
        let owed = |i, j| match constant {
            true => 0.0,
            false => at(i, b) * at(a, j) / variance,
        };
        let cells = (0..a).flat_map(|i| (0..b).map(move |j| (i, j)));
        let numbers: Vec<f64> = cells.map(|(i, j)| at(i, j) - owed(i, j)).collect();
        Array::from_elements(&[a, b], &numbers)
    }
}

/// Events' numbers one after the other, with their remainders in float64.
#[derive(Debug, Default)]
struct Rows {
    count: usize,
    numbers: Vec<f64>,
    /// None, or one for each number.
    rests: Vec<f64>,
}

impl Rows {
    fn append(&mut self, dtype: DType, data: &[u8], scratch: &mut Vec<f64>) {
        let remainders = remainders_f64(dtype, data, None, scratch);
        if !remainders.is_empty() || !self.rests.is_empty() {
            self.rests.resize(self.numbers.len(), 0.0);
            self.rests.extend_from_slice(remainders);
        }
        self.numbers.extend_from_slice(as_f64(dtype, data, scratch));
        if !self.rests.is_empty() {
            self.rests.resize(self.numbers.len(), 0.0);
        }
    }

    fn numbers(&self) -> Numbers<'_> {
        (&self.numbers, &self.rests)
    }

    fn clear(&mut self) {
        self.count = 0;
        self.numbers.clear();
        self.rests.clear();
    }
}

impl State for Varied {
    fn absorb(&mut self, feed: &mut Feed<'_>) {
        let Some(matrix) = &mut self.matrix else { return };
        let count = feed.events.timestamps.len();
        let (mut xs, mut ys) = (Rows::default(), Rows::default());
        let y = self.inputs.y.then_some(1);
        let partial = self.inputs.partial.then(|| feed.columns.len() - 1);
        for event in selected(feed.mask, count) {
            let mut append = |k: usize, to: &mut Rows| {
                with_items(feed.columns[k], count, |items| {
                    if let Some(item) = items.get(event) {
                        to.append(items.dtype, item.data, feed.scratch);
                    }
                });
            };
            [Some(0), partial].into_iter().flatten().for_each(|k| append(k, &mut xs));
            if y.is_some() {
                [y, partial].into_iter().flatten().for_each(|k| append(k, &mut ys));
            }
            xs.count += 1;
            if xs.count == Comatrix::BLOCK {
                matrix.add(xs.count, xs.numbers(), if y.is_some() { &ys } else { &xs }.numbers());
                xs.clear();
                ys.clear();
            }
        }
        matrix.add(xs.count, xs.numbers(), if y.is_some() { &ys } else { &xs }.numbers());
    }

    fn merge(&mut self, other: Box<dyn State>) -> bool {
        let Some(other) = same::<Varied>(other) else { return false };
        if (self.limit, self.inputs, self.sides) != (other.limit, other.inputs, other.sides) {
            return false;
        }
        if let (Some(mine), Some(theirs)) = (&mut self.matrix, &other.matrix) {
            mine.merge(theirs);
        }
        true
    }

    fn finish(&self) -> Result<Outputs, String> {
        let Some(matrix) = &self.matrix else {
            return Err(format!(
                "the matrix would have more than {} entries; rebin the waveforms, or raise `limit`",
                self.limit
            ));
        };
        let count = Value::Scalar(Scalar::I64(matrix.count() as i64));
        Ok(vec![Some(Value::Array(self.covariance(matrix))), Some(count)])
    }

    fn encode(self: Box<Self>, writer: &mut Writer) {
        writer.bool(self.inputs.y);
        writer.bool(self.inputs.partial);
        writer.u64(self.limit);
        if let Some(matrix) = self.matrix {
            matrix.encode(writer);
        }
    }

    fn clone_box(&self) -> Box<dyn State> {
        Box::new(self.clone())
    }

    fn bytes(&self) -> usize {
        128 + self.matrix.as_ref().map_or(0, Comatrix::bytes)
    }
}
