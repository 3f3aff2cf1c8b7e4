//! Recordings of known content for tests: what a facility could have written, transition by transition.

use ami_graph::data::batch::{Batch, Column};
use ami_graph::data::schema::{Field, Kind, Schema};
use ami_graph::data::value::{DType, Scalar, Value};
use ami_proto::data_path::transition::TransitionKind;
use ami_source::source::Transition;
use ami_source::xtc2::Xtc2Writer;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

/// 2025-01-01, ns since the Unix epoch.
pub const START: u64 = 1_735_689_600_000_000_000;

/// Something in a recording.
#[derive(Debug, Clone, Copy)]
pub enum Item<'a> {
    /// A transition, with the held variables that it sets.
    Sets(TransitionKind, &'a [(&'a str, f64)]),
    /// So many events; `cam:raw:x` counts them from 0 over the whole recording.
    Events(usize),
}

/// Writes run 7 with one scalar, `cam:raw:x`, and held variables; events are so far from each other.
pub fn write(path: &Path, held: &[&str], period_ns: u64, items: &[Item<'_>]) {
    let mut writer = Xtc2Writer::new(std::fs::File::create_new(path).unwrap());
    let names =
        std::iter::once(("cam:raw:x", Kind::Event)).chain(held.iter().map(|n| (*n, Kind::Held)));
    let schema = Arc::new(Schema { fields: names.map(|(name, kind)| field(name, kind)).collect() });
    let (mut timestamp, mut count) = (START, 0.0f64);
    for item in items {
        match *item {
            Item::Sets(kind, sets) => {
                timestamp += 1;
                writer.transition(&transition(kind, timestamp, sets, &schema)).unwrap();
            }
            Item::Events(events) => {
                for _ in 0..events {
                    timestamp = (timestamp / period_ns + 1) * period_ns;
                    writer.event(&event(&timestamp, &count, &schema), 0).unwrap();
                    count += 1.0;
                }
            }
        }
    }
    writer.finish().unwrap();
}

fn field(name: &str, kind: Kind) -> Field {
    Field {
        name: name.into(),
        aliases: Vec::new(),
        dtype: DType::F64,
        rank: 0,
        shape: Some(Vec::new()),
        kind,
        labels: BTreeMap::new(),
    }
}

fn transition(
    kind: TransitionKind,
    timestamp: u64,
    sets: &[(&str, f64)],
    schema: &Arc<Schema>,
) -> Transition {
    let at = |name: &str| schema.fields.iter().position(|f| f.name == name).unwrap() as u32;
    let held = sets.iter().map(|(name, v)| (at(name), Value::Scalar(Scalar::F64(*v)))).collect();
    Transition {
        kind,
        timestamp,
        schema: (kind == TransitionKind::Configure).then(|| schema.clone()),
        run: (kind == TransitionKind::BeginRun).then_some(7),
        step: None,
        held,
    }
}

fn event<'a>(timestamp: &'a u64, x: &'a f64, schema: &Schema) -> Batch<'a> {
    let data = bytemuck::bytes_of(x);
    let mut columns = vec![Column::Scalars { dtype: DType::F64, data, present: None }];
    columns.resize(schema.fields.len(), Column::Absent);
    Batch {
        host: 0,
        belonging: Default::default(),
        first_sequence: 0,
        timestamps: std::slice::from_ref(timestamp),
        columns,
    }
}
