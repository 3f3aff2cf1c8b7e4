//! A description made ready to run: the schema, and who makes which field.

use crate::hints::did_you_mean;
use crate::sim::config::SimConfig;
use crate::sim::held::Variable;
use crate::sim::image::Image;
use crate::sim::kinds::{Common, FieldConfig, FieldKind};
use crate::sim::random::Stream;
use crate::sim::scalar::{Names, Scalar, Scalars};
use crate::sim::timeline::Timeline;
use crate::sim::trace::Trace;
use ami_graph::data::schema::{Field, Kind, Schema};
use ami_graph::data::value::{DType, Value};
use ami_proto::data_path::transition::TransitionKind;
use anyhow::{Context, bail, ensure};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// A simulated beamline, ready to run. Shared by all passes over it.
#[derive(Debug)]
pub struct Model {
    /// The fields on offer.
    pub schema: Arc<Schema>,
    pub(super) scalars: Scalars,
    /// Scalars present in every event, written in columns.
    pub(super) columns: Vec<Column>,
    /// All other fields, written event by event.
    pub(super) rows: Vec<Row>,
    /// Some of them are arrays.
    pub(super) arrays: bool,
    held: Vec<(u32, Variable)>,
    pub(super) host_name: String,
}

/// A scalar field present in every event.
#[derive(Debug, Clone, Copy)]
pub(super) struct Column {
    pub field: usize,
    pub scalar: usize,
    pub dtype: DType,
}

/// A field written event by event.
#[derive(Debug)]
pub(super) struct Row {
    pub field: usize,
    presence: Presence,
    pub make: Make,
}

/// Who makes it.
#[derive(Debug)]
pub(super) enum Make {
    Scalar(usize, DType),
    Text(Vec<String>),
    Trace(Box<Trace>, DType),
    Image(Image),
}

/// In which events a field is.
#[derive(Debug, Clone, Copy)]
struct Presence {
    every: u64,
    /// Absent where the draw lies below.
    absent: u64,
    stream: Stream,
}

impl Row {
    /// Whether event `i` has the field.
    pub fn present(&self, i: u64) -> bool {
        let p = self.presence;
        (p.every == 1 || i.is_multiple_of(p.every))
            && (p.absent == 0 || p.stream.bits(i) >= p.absent)
    }
}

impl Model {
    /// The description `config` for a host.
    ///
    /// # Errors
    /// When the description does not make sense; the field and the key are named.
    pub fn new(config: &SimConfig, host: u32, host_name: &str) -> anyhow::Result<Model> {
        let timeline = timeline(config)?;
        let seed = Stream::new(config.seed, "host").bits(u64::from(host));
        let held = config.held.iter().map(|h| Variable::new(h, config.seed, host_name));
        let held = held.collect::<anyhow::Result<Vec<_>>>()?;
        let mut builder = Builder {
            detector_seed: config.seed,
            seed,
            names: BTreeMap::new(),
            fields: Vec::new(),
            scalars: Scalars { list: Vec::new(), timeline },
            columns: Vec::new(),
            rows: Vec::new(),
            held: &held,
        };
        for field in &config.field {
            let name = &field.common.name;
            builder.add(field).with_context(|| format!("sim: field {name:?}"))?;
        }
        let Builder { mut fields, scalars, columns, rows, .. } = builder;
        let first = fields.len() as u32;
        fields.extend(held.iter().map(Variable::field));
        ensure!(!fields.is_empty(), "sim: no field; add at least one [[field]]");
        let mut names = BTreeSet::new();
        if let Some(twice) = fields.iter().find(|f| !names.insert(f.name.as_str())) {
            bail!("sim: two fields are named {:?}; rename one", twice.name);
        }
        let held = (first..).zip(held).collect();
        let schema = Arc::new(Schema { fields });
        let arrays = rows.iter().any(|r| matches!(r.make, Make::Trace(..) | Make::Image(_)));
        Ok(Model { schema, scalars, columns, rows, arrays, held, host_name: host_name.into() })
    }

    /// When what happens.
    pub fn timeline(&self) -> &Timeline {
        &self.scalars.timeline
    }

    /// The held values that a transition before event `i` sets.
    pub fn held(&self, kind: TransitionKind, i: u64) -> Vec<(u32, Value)> {
        let set = |(field, variable): &(u32, Variable)| {
            variable.at(kind, self.timeline(), i).map(|value| (*field, value))
        };
        self.held.iter().filter_map(set).collect()
    }
}

fn timeline(config: &SimConfig) -> anyhow::Result<Timeline> {
    let rate = config.rate_hz;
    ensure!((1e-6..=1e9).contains(&rate), "sim: rate_hz = {rate} is not from 1e-6 to 1e9");
    let positive = [
        ("events", config.events),
        ("runs", config.runs),
        ("events_per_run", config.events_per_run),
        ("events_per_step", config.events_per_step),
        ("steps", config.steps),
    ];
    for (key, value) in positive {
        ensure!(value != Some(0), "sim: {key} must be at least 1; leave it out for no limit");
    }
    if config.steps.is_some() && config.events_per_step.is_none() {
        bail!("sim: steps needs events_per_step");
    }
    let steps = config.steps.zip(config.events_per_step);
    let per_run = config.events_per_run.or(steps.map(|(n, per)| n.saturating_mul(per)));
    let of_runs = match (config.runs, per_run) {
        (Some(_), None) => bail!("sim: runs needs events_per_run, or steps and events_per_step"),
        (runs, per) => runs.zip(per).map(|(n, per)| n.saturating_mul(per)),
    };
    let slow_ns = match config.slow_update_s {
        Some(s) if !(1e-6..=1e9).contains(&s) => {
            bail!("sim: slow_update_s = {s} is not from 1e-6 to 1e9")
        }
        other => other.map(|s| (s * 1e9) as u64),
    };
    Ok(Timeline {
        start_ns: config.start_ns,
        period_ns: ((1e9 / rate + 0.5) as u64).max(1),
        events: [config.events, of_runs].into_iter().flatten().min(),
        first_run: config.first_run,
        per_run,
        per_step: config.events_per_step,
        slow_ns,
    })
}

struct Builder<'a> {
    /// Seeds what all hosts share.
    detector_seed: u64,
    /// Seeds what is this host's own.
    seed: u64,
    /// Scalars by name.
    names: BTreeMap<String, usize>,
    fields: Vec<Field>,
    scalars: Scalars,
    columns: Vec<Column>,
    rows: Vec<Row>,
    held: &'a [Variable],
}

impl Names for Builder<'_> {
    fn scalar(&self, name: &str) -> anyhow::Result<usize> {
        self.names.get(name).copied().with_context(|| {
            let hint = did_you_mean(name, self.names.keys().map(String::as_str));
            format!("{name:?} is not a scalar field declared above it{hint}")
        })
    }

    fn scan(&self, name: &str) -> anyhow::Result<Vec<f64>> {
        let scans = self.held.iter().filter_map(|v| Some((v.name.as_str(), v.scan()?)));
        scans.clone().find(|(n, _)| *n == name).map(|(_, values)| values.to_vec()).with_context(
            || {
                let hint = did_you_mean(name, scans.map(|(n, _)| n));
                format!("{name:?} is not a [[held]] variable of kind \"scan\"{hint}")
            },
        )
    }
}

impl Builder<'_> {
    fn add(&mut self, config: &FieldConfig) -> anyhow::Result<()> {
        let common = &config.common;
        let stream = Stream::new(self.seed, &common.name);
        let presence = presence(common, stream.fork(0xab5e17))?;
        if let Some(scalar) = Scalar::new(&config.kind, stream, self)? {
            return self.add_scalar(common, scalar, presence);
        }
        ensure!(!common.hidden, "only scalars can be hidden");
        let detector = Stream::new(self.detector_seed, &common.name);
        let dtype = |default: DType| numeric(common.dtype.unwrap_or(default));
        let trace = |trace: Trace, dtype| (Make::Trace(Box::new(trace), dtype), dtype);
        let (make, dtype) = match &config.kind {
            FieldKind::Waveform(c) => trace(Trace::waveform(c, stream, self)?, dtype(DType::F32)?),
            FieldKind::Edge(c) => trace(Trace::edge(c, stream, self)?, dtype(DType::U16)?),
            FieldKind::Codes(c) => trace(Trace::codes(c)?, dtype(DType::U8)?),
            FieldKind::Ragged(c) => trace(Trace::ragged(c, stream)?, dtype(DType::F64)?),
            FieldKind::Image(c) | FieldKind::Frame(c) => {
                let composed = matches!(config.kind, FieldKind::Image(_));
                let dtype = dtype(DType::U16)?;
                (Make::Image(Image::new(c, dtype, composed, (detector, stream), self)?), dtype)
            }
            FieldKind::String(c) => {
                ensure!(!c.values.is_empty(), "values must not be empty");
                ensure!(common.dtype.is_none_or(|d| d == DType::Str), "a string is of dtype str");
                (Make::Text(c.values.clone()), DType::Str)
            }
            _ => bail!("this kind is not known here"),
        };
        let (rank, shape) = make.shape();
        let field = self.field(common, dtype, rank, shape);
        self.rows.push(Row { field, presence, make });
        Ok(())
    }

    fn add_scalar(
        &mut self,
        common: &Common,
        scalar: Scalar,
        presence: Presence,
    ) -> anyhow::Result<()> {
        let default = match scalar {
            Scalar::Counter { .. } | Scalar::Clock => DType::U64,
            _ => DType::F64,
        };
        let dtype = common.dtype.unwrap_or(default);
        ensure!(dtype != DType::Str, "dtype str needs kind \"string\"");
        let scalar = {
            self.scalars.list.push(scalar);
            self.scalars.list.len() - 1
        };
        self.names.insert(common.name.clone(), scalar);
        if common.hidden {
            return Ok(());
        }
        let field = self.field(common, dtype, 0, Some(Vec::new()));
        // Booleans have no column type in a chunk that could be filled in bulk.
        if presence.every == 1 && presence.absent == 0 && dtype != DType::Bool {
            self.columns.push(Column { field, scalar, dtype });
        } else {
            self.rows.push(Row { field, presence, make: Make::Scalar(scalar, dtype) });
        }
        Ok(())
    }

    fn field(
        &mut self,
        common: &Common,
        dtype: DType,
        rank: usize,
        shape: Option<Vec<usize>>,
    ) -> usize {
        self.fields.push(Field {
            name: common.name.clone(),
            aliases: common.aliases.clone(),
            dtype,
            rank,
            shape,
            kind: Kind::Event,
            labels: BTreeMap::new(),
        });
        self.fields.len() - 1
    }
}

impl Make {
    fn shape(&self) -> (usize, Option<Vec<usize>>) {
        match self {
            Make::Scalar(..) | Make::Text(_) => (0, Some(Vec::new())),
            Make::Trace(trace, _) => (1, trace.length().map(|n| vec![n])),
            Make::Image(image) => (image.shape().len(), Some(image.shape().to_vec())),
        }
    }
}

fn numeric(dtype: DType) -> anyhow::Result<DType> {
    ensure!(dtype != DType::Str && dtype != DType::Bool, "an array is of numbers, not {dtype}");
    Ok(dtype)
}

fn presence(common: &Common, stream: Stream) -> anyhow::Result<Presence> {
    let every = common.every.unwrap_or(1);
    ensure!(every > 0, "every must be at least 1");
    let fraction = common.absent.unwrap_or(0.0);
    ensure!((0.0..=1.0).contains(&fraction), "absent = {fraction} is not from 0 to 1");
    let absent = (fraction * u64::MAX as f64) as u64;
    Ok(Presence { every, absent, stream })
}
