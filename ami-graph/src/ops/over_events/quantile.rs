//! `quantile`: values of given rank, from counts in fixed relative buckets.

use crate::data::bytes::{Reader, Writer};
use crate::data::column_views::blocks_f64;
use crate::data::feed::Feed;
use crate::data::types::Type;
use crate::data::value::{Array, DType, Scalar, Value};
use crate::error::{DecodeError, Fault};
use crate::merge::quantile_buckets::{Buckets, LEAST_ACCURACY, MOST_ACCURACY, bits_for};
use crate::op::checks::numbers_only;
use crate::op::doc::{Class, Form, InputDoc, OpDoc, OutputDoc, ParamDoc};
use crate::op::kind::{OpKind, Prepared};
use crate::op::nan;
use crate::op::parameters::{Args, as_number};
use crate::op::reduction::{Outputs, Reduction, State, same};
use crate::op::signature::Sense;
use crate::op::signature::Signature;
use serde_json::Value as Json;

/// Most quantiles of one node.
const MAX_QUANTILES: usize = 1000;

static DOC: OpDoc = OpDoc {
    name: "quantile",
    summary: "median and other quantiles of all elements, to a relative accuracy",
    text: "The element of rank ⌊q·(count − 1)⌋ in sorted order (np.quantile with method \
           \"lower\"), to within `accuracy` times its magnitude; the least (q = 0) and the \
           greatest (q = 1) exactly. Elements are counted in buckets whose bounds are fixed: a \
           power of two divided into 2^k equal parts, k as the accuracy asks. So states merge \
           exactly, and any split gives the same bits. Magnitudes below 2.2e-308 count as zero. \
           Infinities are values and take no memory. NaN is left out, or with `\"nan\": \"propagate\"` \
           makes all quantiles NaN, as np.quantile's; `nan` counts them, `count` the others. Memory \
           grows with the range of magnitudes, at most 16 bytes × 2047 × 2^k (2 MiB for 0.01, 16 MiB for \
           0.001).",
    example: r#"{"op": "quantile", "in": "scalar", "q": [0.05, 0.5, 0.95], "accuracy": 0.01}"#,
    class: Class::Reduction,
    form: Form::Fixed(&[InputDoc {
        name: "value",
        doc: "scalar or array of numbers, of any shape",
        required: true,
    }]),
    with: false,
    params: &[
        ParamDoc {
            name: "q",
            kind: "number or list of numbers",
            default: "[0.5]",
            unit: "",
            range: "0 to 1, at most 1000 of them",
            doc: "which quantiles",
        },
        ParamDoc {
            name: "accuracy",
            kind: "number",
            default: "0.01",
            unit: "",
            range: "0.001 to 0.25",
            doc: "greatest error, relative to the quantile",
        },
        nan::nan("\"skip\""),
    ],
    outputs: &[
        OutputDoc { name: "values", doc: "float64 [length of q]" },
        OutputDoc { name: "count", doc: "int64 scalar: elements that are numbers" },
        OutputDoc { name: "nan", doc: "int64 scalar: elements that are not" },
    ],
};

/// The op.
pub struct Quantile;

impl OpKind for Quantile {
    fn doc(&self) -> &'static OpDoc {
        &DOC
    }

    fn prepare(&self, args: &Args<'_>) -> Result<Prepared, Fault> {
        let accuracy = args.real("accuracy", Some(0.01), LEAST_ACCURACY..=MOST_ACCURACY)?;
        let q = match args.get("q") {
            None => Some(vec![0.5]),
            Some(Json::Array(list)) => list.iter().map(as_number).collect(),
            Some(one) => as_number(one).map(|q| vec![q]),
        };
        let good = |q: &Vec<f64>| {
            (1..=MAX_QUANTILES).contains(&q.len()) && q.iter().all(|q| (0.0..=1.0).contains(q))
        };
        let bad = || {
            let json = args.get("q").cloned().unwrap_or_default();
            let hint = format!("give 1 to {MAX_QUANTILES} numbers from 0 to 1");
            Fault::of("q", format!("{json} is not accepted"), hint)
        };
        let q = q.filter(good).ok_or_else(bad)?;
        let (bits, skip) = (bits_for(accuracy), nan::skips(args, "skip")?);
        Ok(Prepared::reduction(&["values", "count", "nan"], Ranking { q, skip, bits }))
    }

    fn decode(
        &self,
        _: &Signature,
        reader: &mut Reader<'_>,
    ) -> Result<Box<dyn State>, DecodeError> {
        let q = reader.any_buffer::<f64>("quantiles")?.to_vec();
        if !(1..=MAX_QUANTILES).contains(&q.len()) || !q.iter().all(|q| (0.0..=1.0).contains(q)) {
            return Err(DecodeError::invalid("quantiles", format_args!("{} of them", q.len())));
        }
        let skip = reader.bool("quantiles")?;
        Ok(Box::new(Ranks { q, skip, buckets: Buckets::decode(reader)? }))
    }
}

#[derive(Debug)]
struct Ranking {
    q: Vec<f64>,
    skip: bool,
    bits: u32,
}

impl Reduction for Ranking {
    fn op(&self) -> &'static str {
        DOC.name
    }

    fn sense(&self, _: usize) -> Sense {
        Sense::Nothing
    }

    fn start(&self, _: &Signature) -> Box<dyn State> {
        let (q, skip) = (self.q.clone(), self.skip);
        Box::new(Ranks { q, skip, buckets: Buckets::new(self.bits) })
    }

    fn size(&self, inputs: &Signature) -> u64 {
        128 + 8 * self.q.len() as u64 + Buckets::size(self.bits, inputs[0].0)
    }

    fn bind(&self, inputs: &[Type]) -> Result<Vec<Type>, Fault> {
        numbers_only(inputs, &["value"])?;
        let count = Type::scalar(DType::I64);
        Ok(vec![Type::shaped(DType::F64, &[self.q.len()]), count.clone(), count])
    }
}

#[derive(Debug, Clone)]
struct Ranks {
    q: Vec<f64>,
    skip: bool,
    buckets: Buckets,
}

impl State for Ranks {
    fn absorb(&mut self, feed: &mut Feed<'_>) {
        let buckets = &mut self.buckets;
        blocks_f64(feed.columns[0], feed.mask, feed.scratch, |block| buckets.add(block));
    }

    fn merge(&mut self, other: Box<dyn State>) -> bool {
        let Some(other) = same::<Ranks>(other) else { return false };
        (&self.q, self.skip) == (&other.q, other.skip) && self.buckets.merge(&other.buckets)
    }

    fn finish(&self) -> Result<Outputs, String> {
        let count = self.buckets.count();
        let rank = |q: &f64| (q * count.saturating_sub(1) as f64).floor() as u64;
        let unknown = !self.skip && self.buckets.nan > 0;
        let value = |q| if unknown { f64::NAN } else { self.buckets.of_rank(rank(q)) };
        let values: Vec<f64> = self.q.iter().map(value).collect();
        let whole = |n: u64| Some(Value::Scalar(Scalar::I64(n as i64)));
        let values = Value::Array(Array::from_elements(&[values.len()], &values));
        Ok(vec![Some(values), whole(count), whole(self.buckets.nan)])
    }

    fn encode(self: Box<Self>, writer: &mut Writer) {
        writer.slice(&self.q);
        writer.bool(self.skip);
        self.buckets.encode(writer);
    }

    fn clone_box(&self) -> Box<dyn State> {
        Box::new(self.clone())
    }

    fn bytes(&self) -> usize {
        128 + 8 * self.q.len() + self.buckets.bytes()
    }
}
