//! `ami-ctl bench tree`: what the merge tree costs with 1 to 1000 hosts.
//!
//! No processes: the engine itself decodes, merges and publishes states that one worker stage has
//! made, as host collectors and root do; their number is the hosts'. Multiplied by a rate of
//! heartbeats, that is the part of one core that each level takes, and the traffic between them.

use crate::bench::cases::P1;
use crate::bench::frames::field;
use crate::bench::goal::number;
use crate::print::{bytes, short};
use ami_graph::data::batch::{ArrayRef, Batch, Column, Dims};
use ami_graph::data::frame::{Frame, Truth};
use ami_graph::data::schema::Schema;
use ami_graph::data::value::DType;
use ami_graph::graph::spec::{GraphSet, GraphSpec};
use ami_graph::plan::Plan;
use ami_graph::plan::limits::Limits;
use ami_graph::root::RootStage;
use ami_graph::wire::partial::Partial;
use ami_graph::worker::WorkerStage;
use ami_proto::codec;
use ami_proto::data_path::ids::{Conditions, Key, Progress, Taken};
use ami_proto::data_path::to_collector::Manifest;
use ami_proto::data_path::to_root::ToRoot;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::Arc;
use std::time::Instant;

/// Heartbeats per second.
const RATE: f64 = 10.0;
/// Workers of a host.
const WORKERS: usize = 32;
/// Events of a worker in a heartbeat.
const EVENTS: usize = 4;
const SHAPE: [usize; 2] = [1024, 1024];
const HOSTS: [usize; 4] = [1, 10, 100, 1000];

/// One number of hosts.
#[derive(Debug, Clone, PartialEq)]
struct Level {
    hosts: usize,
    /// Seconds that a host collector takes for a heartbeat.
    host_s: f64,
    /// Seconds that the root takes to merge a heartbeat …
    merge_s: f64,
    /// … and to finish its values.
    finish_s: f64,
    /// Bytes of one forwarded message.
    forward_bytes: usize,
}

impl Level {
    /// Part of one core that the root takes.
    fn root_load(&self) -> f64 {
        (self.merge_s + self.finish_s) * RATE
    }

    fn document(&self) -> Value {
        let into = self.hosts as f64 * RATE;
        json!({
            "hosts": self.hosts,
            "heartbeats_per_s": RATE,
            "messages_into_a_host_collector_per_s": number(WORKERS as f64 * RATE),
            "messages_into_the_root_per_s": number(into),
            "bytes_per_message": self.forward_bytes,
            "mb_per_s_into_the_root": number(into * self.forward_bytes as f64 / 1e6),
            "host_collector_load": number(self.host_s * RATE),
            "root_load": number(self.root_load()),
            "root_ms_per_heartbeat": number((self.merge_s + self.finish_s) * 1e3),
        })
    }
}

/// All levels of a graph of scalars and of one of images: a document.
pub fn run() -> Map<String, Value> {
    let graphs = [
        ("mean and histogram of scalars", P1.graph),
        ("sum of 1024×1024 u16 images", include_str!("graphs/p3.json")),
    ];
    let mut document = Map::new();
    document.insert("case".into(), "tree".into());
    document.insert("workers_per_host".into(), WORKERS.into());
    let trees = graphs.into_iter().filter_map(|(what, graph)| {
        let levels: Vec<Value> = tree(graph)?.iter().map(Level::document).collect();
        Some(json!({"what": what, "levels": levels}))
    });
    document.insert("graphs".into(), trees.collect());
    document
}

/// As a table for people.
pub fn table(document: &Map<String, Value>) -> String {
    let mut text = format!(
        "{WORKERS} workers per host, {RATE} heartbeats/s; load: part of one core\n\n\
         | graph | hosts | into a host collector | its load | into the root | each | together | root's load | ms per heartbeat |\n\
         |---|---|---|---|---|---|---|---|---|\n"
    );
    for graph in document["graphs"].as_array().into_iter().flatten() {
        for level in graph["levels"].as_array().into_iter().flatten() {
            let n = |key: &str| level[key].as_f64().unwrap_or(f64::NAN);
            let _ = writeln!(
                text,
                "| {} | {} | {}/s | {:.4} | {}/s | {} | {} MB/s | {:.3} | {:.2} |",
                graph["what"].as_str().unwrap_or_default(),
                level["hosts"],
                short(n("messages_into_a_host_collector_per_s")),
                n("host_collector_load"),
                short(n("messages_into_the_root_per_s")),
                bytes(n("bytes_per_message")),
                short(n("mb_per_s_into_the_root")),
                n("root_load"),
                n("root_ms_per_heartbeat"),
            );
        }
    }
    text.trim_end().to_string()
}

fn tree(graph: &str) -> Option<Vec<Level>> {
    let spec = GraphSpec::parse(graph).ok()?;
    let plan = Arc::new(Plan::new(Arc::new(GraphSet::of(spec)), schema(), &Limits::default()));
    let (header, frames) = partial(&plan).encode();
    let frames: Vec<&[u8]> = frames.iter().map(Vec::as_slice).collect();
    let decoded = || Partial::decode(&header, &frames).ok();
    let merged = |parts: usize| {
        let mut all = Partial::default();
        (0..parts).filter_map(|_| decoded()).for_each(|part| drop(all.merge(part)));
        all
    };
    let begun = Instant::now();
    let of_host = merged(WORKERS).encode();
    let host_s = begun.elapsed().as_secs_f64();
    let forward_bytes =
        forward().len() + of_host.0.len() + of_host.1.iter().map(Vec::len).sum::<usize>();
    let mut stage = RootStage::new(plan);
    let level = |hosts: usize| {
        let begun = Instant::now();
        let heads = (0..hosts).filter(|_| codec::decode::<ToRoot>(&forward()).is_ok()).count();
        let all = merged(heads);
        let merge_s = begun.elapsed().as_secs_f64();
        let begun = Instant::now();
        std::hint::black_box(stage.close(&frame(hosts as u64), all));
        let finish_s = begun.elapsed().as_secs_f64();
        Level { hosts, host_s, merge_s, finish_s, forward_bytes }
    };
    Some(HOSTS.into_iter().map(level).collect())
}

fn forward() -> Vec<u8> {
    let manifest = Manifest {
        epoch: 1,
        flush: 1,
        key: Key { segment: 0, heartbeat: 1 },
        context: 0,
        conditions: Conditions::default(),
        taken: Taken::default(),
        timestamp_ns: 1,
        units: (0..WORKERS as u64).map(|unit| (unit, EVENTS as u32)).collect(),
        dropped: BTreeMap::new(),
        late: 0,
        last: true,
        end: false,
    };
    let units = (WORKERS as u32, WORKERS as u32);
    let merged = (WORKERS * EVENTS) as u64;
    let (host, base) = ("host-0000".into(), Progress::default());
    codec::encode(&ToRoot::Forward { host, base, manifest, merged, units })
}

fn frame(heartbeat: u64) -> Frame {
    Frame {
        generation: 0,
        run: 1,
        step: None,
        segment: 0,
        heartbeat,
        timestamp_ns: heartbeat * 100_000_000,
        period_ns: 100_000_000,
        truth: Truth::default(),
        step_values: BTreeMap::new(),
    }
}

fn schema() -> Arc<Schema> {
    Arc::new(Schema {
        fields: vec![
            field("bench:raw:a", DType::F64, &[]),
            field("bench:raw:clock", DType::U64, &[]),
            field("bench:raw:image", DType::U16, &SHAPE),
        ],
    })
}

/// What one worker sends.
fn partial(plan: &Arc<Plan>) -> Partial {
    let numbers: Vec<f64> = (0..EVENTS).map(|i| i as f64).collect();
    let clock: Vec<u64> = (0..EVENTS as u64).collect();
    let image: Vec<u16> = (0..SHAPE[0] * SHAPE[1]).map(|i| i as u16).collect();
    let scalars = |dtype, data| Column::Scalars { dtype, data, present: None };
    let one = Dims::new(&SHAPE)
        .map(|dims| ArrayRef { dims, data: bytemuck::cast_slice::<u16, u8>(&image) });
    let mut stage = WorkerStage::new(plan.clone());
    stage.absorb(&Batch {
        host: 0,
        belonging: Default::default(),
        first_sequence: 0,
        timestamps: &clock,
        columns: vec![
            scalars(DType::F64, bytemuck::cast_slice(&numbers)),
            scalars(DType::U64, bytemuck::cast_slice(&clock)),
            Column::Arrays { dtype: DType::U16, items: vec![one; EVENTS] },
        ],
    });
    stage.take()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_of_loads_comes_out() {
        let level = Level {
            hosts: 10,
            host_s: 0.001,
            merge_s: 0.003,
            finish_s: 0.002,
            forward_bytes: 1000,
        };
        assert!((level.root_load() - 0.05).abs() < 1e-12);
        let levels = vec![level.document()];
        let document =
            Map::from_iter([("graphs".into(), json!([{"what": "x", "levels": levels}]))]);
        let table = table(&document);
        assert!(table.contains("| x | 10 | 320/s | 0.0100 | 100/s |"), "{table}");
        assert!(tree(P1.graph).unwrap().iter().all(|l| l.forward_bytes > 1000));
    }
}
