//! A large offset costs no digits: second moments of numbers far from zero, against exact sums of
//! whole numbers, on 1, 2, 3 and 7 workers. Law 1 of `docs/testing.md` for what cancels most.

#![allow(clippy::unwrap_used)] // a test that panics is a test that fails

mod support;

use ami_graph::data::batch::{Batch, Column};
use ami_graph::data::schema::Schema;
use ami_graph::data::value::{Array, DType};
use ami_graph::plan::Plan;
use ami_graph::root::{Published, RootStage};
use ami_graph::wire::partial::Partial;
use ami_graph::worker::WorkerStage;
use serde_json::json;
use std::sync::Arc;
use support::*;

const EVENTS: usize = 210;

/// Numbers far from zero: whole ones times `unit`, so that sums of them are known exactly.
struct Far {
    name: &'static str,
    dtype: DType,
    offset: i128,
    unit: f64,
}

const FAR: [Far; 5] = [
    Far {
        name: "1e9 ± 1e-3",
        dtype: DType::F64,
        offset: 1_000_000_000 << 20,
        unit: 1.0 / 1_048_576.0,
    },
    Far {
        name: "1e12 ± 1",
        dtype: DType::F64,
        offset: 1_000_000_000_000 << 10,
        unit: 1.0 / 1024.0,
    },
    Far { name: "identities at 2^60", dtype: DType::U64, offset: 1 << 60, unit: 1.0 },
    Far { name: "timestamps", dtype: DType::I64, offset: 1_790_000_000_123_456_789, unit: 1.0 },
    Far { name: "near zero", dtype: DType::F64, offset: 0, unit: 0.125 },
];

impl Far {
    /// The whole number of an event.
    fn whole(&self, event: usize) -> i128 {
        self.offset + (event as i128 * event as i128 * 37 % 2003) - 1000
    }

    fn bytes(&self, event: usize, plus: i128) -> [u8; 8] {
        let whole = self.whole(event) + plus;
        match self.dtype {
            DType::U64 => (whole as u64).to_le_bytes(),
            DType::I64 => (whole as i64).to_le_bytes(),
            _ => (whole as f64 * self.unit).to_le_bytes(),
        }
    }

    /// Sum of the products of the deviations of some whole numbers, times the unit of each.
    fn products(&self, a: &[i128], b: &[i128], units: f64) -> f64 {
        let n = a.len() as i128;
        let shifted = |all: &[i128]| all.iter().map(|x| x - all[0]).collect::<Vec<_>>();
        let (a, b) = (shifted(a), shifted(b));
        let products: i128 = a.iter().zip(&b).map(|(a, b)| a * b).sum();
        let sums = a.iter().sum::<i128>() * b.iter().sum::<i128>();
        (products * n - sums) as f64 / n as f64 * units
    }
}

fn small(event: usize) -> i128 {
    3 * event as i128 + (event as i128 * 7919) % 11
}

/// Nodes without the parameter `nan`.
const ALONE: [&str; 3] = ["covariance", "line", "other_line"];

fn plan() -> impl Fn(DType) -> Arc<Plan> {
    let mut nodes = json!({
        "stats": {"op": "stats", "in": "far"},
        "stats_of_wave": {"op": "stats", "in": "wave"},
        "profile": {"op": "profile", "in": {"key": "key", "value": "far"}, "bins": 2, "range": [0, 2]},
        "profile_of_wave": {"op": "profile", "in": {"key": "key", "value": "wave"}, "bins": 2, "range": [0, 2]},
        "by_key": {"op": "by_key", "in": ["key", "far"], "stat": "std"},
        "by_key_of_wave": {"op": "by_key", "in": ["key", "wave"], "stat": "std"},
        "scan": {"op": "scan", "in": "far", "stat": "std"},
        "covariance": {"op": "covariance", "in": {"x": "wave"}},
        "line": {"op": "linregress", "in": {"x": "far", "y": "small"}},
        "other_line": {"op": "linregress", "in": {"x": "small", "y": "far"}},
    });
    // Each also with NaN left out, of which there is none.
    for (name, node) in nodes.clone().as_object().unwrap() {
        if !ALONE.contains(&name.as_str()) {
            nodes[format!("{name}_skip")] = node.clone();
            nodes[format!("{name}_skip")]["nan"] = json!("skip");
        }
    }
    let graph = json!({"name": "g", "nodes": nodes}).to_string();
    move |dtype| {
        let wave = field("wave", dtype, Some(&[2]), 1);
        let [far, small, key] = [("far", dtype), ("small", DType::I32), ("key", DType::U8)]
            .map(|(name, dtype)| field(name, dtype, None, 0));
        let plan = plan_with(&graph, Schema { fields: vec![far, small, key, wave] });
        assert!(plan.errors().is_empty(), "{}", plan.errors()[0]);
        plan
    }
}

/// All events, dealt to so many workers in units of a few.
fn published(plan: &Arc<Plan>, far: &Far, workers: usize) -> Vec<Published> {
    let mut stages: Vec<WorkerStage> =
        (0..workers).map(|_| WorkerStage::new(plan.clone())).collect();
    let unit = if workers == 1 { EVENTS } else { 3 };
    let all: Vec<usize> = (0..EVENTS).collect();
    for (u, events) in all.chunks(unit).enumerate() {
        let numbers: Vec<u8> = events.iter().flat_map(|&i| far.bytes(i, 0)).collect();
        let smalls: Vec<u8> =
            events.iter().flat_map(|&i| (small(i) as i32).to_le_bytes()).collect();
        let keys: Vec<u8> = events.iter().map(|&i| (i % 2) as u8).collect();
        let waves: Vec<Option<Array>> = events
            .iter()
            .map(|&i| {
                let bytes = [far.bytes(i, 0), far.bytes(i, small(i))].concat();
                Array::from_bytes(far.dtype, &[2], &bytes)
            })
            .collect();
        let scalars = |dtype, data| Column::Scalars { dtype, data, present: None };
        let columns = vec![
            scalars(far.dtype, &numbers),
            scalars(DType::I32, &smalls),
            scalars(DType::U8, &keys),
            arrays(far.dtype, &waves),
        ];
        let timestamps: Vec<u64> = events.iter().map(|&i| i as u64).collect();
        let first_sequence = events[0] as u64;
        stages[u % workers].absorb(&Batch {
            host: 0,
            belonging: Default::default(),
            first_sequence,
            timestamps: &timestamps,
            columns,
        });
    }
    let mut merged = Partial::empty();
    stages.iter_mut().rev().for_each(|stage| merged.merge(carried(stage.take())).unwrap());
    RootStage::new(plan.clone()).close(&frame(1, EVENTS as u64), merged)
}

/// Node, output, and what it must be.
type Expected = Vec<(&'static str, &'static str, Vec<f64>)>;

/// Numbers of some events, as they are and with a small one added.
struct Numbers<'f> {
    far: &'f Far,
    plain: Vec<i128>,
    wider: Vec<i128>,
}

impl Numbers<'_> {
    fn of(far: &Far, events: impl Iterator<Item = usize> + Clone) -> Numbers<'_> {
        let plain = events.clone().map(|i| far.whole(i)).collect();
        Numbers { far, plain, wider: events.map(|i| far.whole(i) + small(i)).collect() }
    }

    /// Standard deviation of each of the two.
    fn std(&self) -> [f64; 2] {
        let n = self.plain.len() as f64;
        [&self.plain, &self.wider].map(|x| (self.square(x, x) / n).sqrt())
    }

    /// Standard error of the mean of each.
    fn sem(&self) -> [f64; 2] {
        let n = self.plain.len() as f64;
        [&self.plain, &self.wider].map(|x| (self.square(x, x) / (n - 1.0) / n).sqrt())
    }

    fn square(&self, a: &[i128], b: &[i128]) -> f64 {
        self.far.products(a, b, self.far.unit * self.far.unit)
    }
}

fn expected(far: &Far) -> Expected {
    let all = Numbers::of(far, 0..EVENTS);
    let [even, odd] = [0, 1].map(|first| Numbers::of(far, (first..EVENTS).step_by(2)));
    let ys: Vec<i128> = (0..EVENTS).map(small).collect();
    let (xx, xy) = (all.square(&all.plain, &all.plain), far.products(&all.plain, &ys, far.unit));
    let yy = far.products(&ys, &ys, 1.0);
    let n = EVENTS as f64;
    let cov = |a, b| all.square(a, b) / (n - 1.0);
    let slope_err = |xx: f64, yy: f64| ((yy - xy * xy / xx) / xx / (n - 2.0)).sqrt();
    let (x, w) = (&all.plain, &all.wider);
    let covariance = vec![cov(x, x), cov(x, w), cov(w, x), cov(w, w)];
    vec![
        ("stats", "std", vec![all.std()[0]]),
        ("stats", "sem", vec![all.sem()[0]]),
        ("stats_of_wave", "std", all.std().to_vec()),
        ("profile", "sem", vec![even.sem()[0], odd.sem()[0]]),
        ("profile_of_wave", "sem", [even.sem(), odd.sem()].concat()),
        ("by_key", "std", vec![even.std()[0], odd.std()[0]]),
        ("by_key_of_wave", "std", [even.std(), odd.std()].concat()),
        ("scan", "std", vec![all.std()[0]]),
        ("covariance", "covariance", covariance),
        ("line", "slope", vec![xy / xx]),
        ("line", "r", vec![xy / (xx * yy).sqrt()]),
        ("line", "slope_err", vec![slope_err(xx, yy)]),
        ("other_line", "slope", vec![xy / yy]),
        ("other_line", "slope_err", vec![slope_err(yy, xx)]),
    ]
}

#[test]
fn second_moments_are_exact_far_from_zero_on_any_number_of_workers() {
    let plan_for = plan();
    for far in &FAR {
        let (plan, expected) = (plan_for(far.dtype), expected(far));
        for workers in [1, 2, 3, 7] {
            let found = published(&plan, far, workers);
            let with_skip = expected.iter().flat_map(|(node, name, expected)| {
                let skip = (!ALONE.contains(node)).then(|| format!("g/{node}_skip"));
                [Some(format!("g/{node}")), skip].map(|topic| (topic, name, expected))
            });
            for (topic, name, expected) in with_skip {
                let Some(node) = topic else { continue };
                let found = numbers(&output(&found, &node, name));
                assert_eq!(found.len(), expected.len(), "{node} {name}");
                for (x, y) in found.iter().zip(expected) {
                    let error = (x / y - 1.0).abs();
                    let what = format!("{node} {name} of {} on {workers}", far.name);
                    assert!(error < 1e-12, "{what}: {x:e}, exactly {y:e}, off by {error:e}");
                }
            }
        }
    }
}
