//! Held variables: scans set at BeginStep, slow ones at BeginRun and SlowUpdate.

use crate::hints::did_you_mean;
use crate::sim::kinds::HeldConfig;
use crate::sim::random::Stream;
use crate::sim::scalar::{Sample, cycled};
use crate::sim::timeline::Timeline;
use ami_graph::data::schema::{Field, Kind};
use ami_graph::data::value::{DType, Scalar, Value};
use ami_proto::data_path::transition::TransitionKind;
use anyhow::{Context, bail, ensure};
use std::collections::BTreeMap;

/// A held variable.
#[derive(Debug, Clone)]
pub struct Variable {
    /// Its name.
    pub name: String,
    dtype: DType,
    labels: BTreeMap<String, i64>,
    values: Values,
}

#[derive(Debug, Clone)]
enum Values {
    Scan(Vec<f64>),
    Slow(Stream, f64, f64),
    Text(Vec<String>),
    Enum(Vec<f64>),
}

impl Variable {
    /// As configured.
    pub fn new(config: &HeldConfig, seed: u64, host_name: &str) -> anyhow::Result<Variable> {
        let none = BTreeMap::new();
        let (name, dtype, labels, values) = match config {
            HeldConfig::Scan { name, values, from, to, points, dtype } => {
                let scan = scan(values.as_deref(), *from, *to, *points)
                    .with_context(|| format!("held {name:?}"))?;
                (name, dtype.unwrap_or(DType::F64), none, Values::Scan(scan))
            }
            HeldConfig::Slow { name, mean, sigma, dtype } => {
                let stream = Stream::new(seed, name);
                (name, dtype.unwrap_or(DType::F64), none, Values::Slow(stream, *mean, *sigma))
            }
            HeldConfig::Text { name, values } => {
                ensure!(!values.is_empty(), "held {name:?}: values must not be empty");
                let filled = values.iter().map(|v| v.replace("{host}", host_name)).collect();
                (name, DType::Str, none, Values::Text(filled))
            }
            HeldConfig::Enum { name, labels, values } => {
                let codes = codes(labels, values).with_context(|| format!("held {name:?}"))?;
                let labels = labels.iter().map(|(l, c)| (l.clone(), i64::from(*c))).collect();
                (name, DType::I32, labels, Values::Enum(codes))
            }
        };
        let text = matches!(values, Values::Text(_));
        ensure!(text || dtype != DType::Str, "held {name:?}: dtype str needs kind \"text\"");
        Ok(Variable { name: name.clone(), dtype, labels, values })
    }

    /// As it stands in the schema.
    pub fn field(&self) -> Field {
        Field {
            name: self.name.clone(),
            aliases: Vec::new(),
            dtype: self.dtype,
            rank: 0,
            shape: Some(Vec::new()),
            kind: Kind::Held,
            labels: self.labels.clone(),
        }
    }

    /// Values of the steps, if it is a scan.
    pub fn scan(&self) -> Option<&[f64]> {
        match &self.values {
            Values::Scan(values) => Some(values),
            _ => None,
        }
    }

    /// What a transition before event `i` sets it to, if it does.
    pub fn at(&self, kind: TransitionKind, timeline: &Timeline, i: u64) -> Option<Value> {
        let scan = matches!(self.values, Values::Scan(_));
        let sets = match kind {
            TransitionKind::BeginStep => scan,
            TransitionKind::BeginRun | TransitionKind::SlowUpdate => !scan,
            _ => false,
        };
        let n = timeline.slow(i);
        sets.then(|| match &self.values {
            Values::Scan(values) => number(self.dtype, cycled(values, timeline.step(i))),
            Values::Slow(stream, mean, sigma) => {
                number(self.dtype, mean + sigma * stream.normal(n))
            }
            Values::Text(values) => Value::Str(values[(n % values.len() as u64) as usize].clone()),
            Values::Enum(codes) => number(self.dtype, cycled(codes, n)),
        })
    }
}

fn scan(
    values: Option<&[f64]>,
    from: Option<f64>,
    to: Option<f64>,
    points: Option<usize>,
) -> anyhow::Result<Vec<f64>> {
    match (values, from, to, points) {
        (Some(values), None, None, None) if !values.is_empty() => Ok(values.to_vec()),
        (None, Some(from), Some(to), Some(points @ 2..=1_000_000)) => {
            let last = (points - 1) as f64;
            Ok((0..points).map(|k| from + (to - from) * (k as f64 / last)).collect())
        }
        _ => bail!("a scan needs values = […], or from, to and points (2 to 1000000)"),
    }
}

fn codes(labels: &BTreeMap<String, i32>, values: &[String]) -> anyhow::Result<Vec<f64>> {
    ensure!(!values.is_empty(), "values must not be empty");
    let code = |value: &String| {
        labels.get(value).map(|c| f64::from(*c)).with_context(|| {
            let hint = did_you_mean(value, labels.keys().map(String::as_str));
            format!("value {value:?} is not one of the labels{hint}")
        })
    };
    values.iter().map(code).collect()
}

fn number(dtype: DType, value: f64) -> Value {
    Value::Scalar(match dtype {
        DType::Bool => Scalar::Bool(value != 0.0),
        DType::U8 => Scalar::U8(Sample::of(value)),
        DType::U16 => Scalar::U16(Sample::of(value)),
        DType::U32 => Scalar::U32(Sample::of(value)),
        DType::U64 => Scalar::U64(Sample::of(value)),
        DType::I8 => Scalar::I8(Sample::of(value)),
        DType::I16 => Scalar::I16(Sample::of(value)),
        DType::I32 => Scalar::I32(Sample::of(value)),
        DType::I64 => Scalar::I64(Sample::of(value)),
        DType::F32 => Scalar::F32(Sample::of(value)),
        DType::F64 | DType::Str => Scalar::F64(value),
    })
}
