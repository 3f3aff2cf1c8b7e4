//! Features as a NeXus file: an NXentry with an NXdata for each, its truth label beside it. Pure.

use crate::client::array::NdArray;
use crate::client::feature::Feature;
use ami_graph::data::value::DType;
use ami_source::hdf5::writer::{Attribute, Data, Group};
use serde_json::Value;
use std::collections::BTreeMap;

/// What stands in a file beside the features.
#[derive(Debug, Default)]
pub struct About {
    /// When it was written, ISO 8601.
    pub time: String,
    /// The machine it was written on.
    pub host: String,
    /// Graphs by name, as JSON.
    pub graphs: BTreeMap<String, String>,
}

/// Outputs that are the signal where there are several, best first.
const SIGNALS: [&str; 8] =
    ["counts", "mean", "value", "frame", "values", "covariance", "fit", "coefficients"];

/// The file: each topic with its values, the newest or all of them, oldest first.
pub fn file(features: &[(String, Vec<Feature>)], history: bool, about: &About) -> Group {
    let mut root = Group::of_class("NXroot");
    root.attribute("default", "entry");
    root.attribute("creator", format!("ami {}", env!("CARGO_PKG_VERSION")).as_str());
    root.attribute("file_time", about.time.as_str());
    let mut entry = Group::of_class("NXentry");
    if let Some((topic, _)) = features.first() {
        entry.attribute("default", name(topic).as_str());
    }
    entry.data("title", Data::text("features of ami"));
    entry.data("program_name", Data::text("ami").with("version", env!("CARGO_PKG_VERSION")));
    entry.data("host", Data::text(&about.host));
    entry.data("time", Data::text(&about.time));
    for (topic, values) in features {
        let Some(newest) = values.last() else { continue };
        let group = if history { over_time(topic, values) } else { one(newest) };
        entry.group(&name(topic), group);
    }
    let mut graphs = Group::of_class("NXcollection");
    for (name, json) in &about.graphs {
        graphs.data(name, Data::text(json));
    }
    entry.group("graphs", graphs);
    root.group("entry", entry);
    root
}

/// A topic as a group's name.
pub fn name(topic: &str) -> String {
    topic.replace('/', "_")
}

/// One value: its arrays and scalars, what is plotted, and over what.
fn one(feature: &Feature) -> Group {
    let mut group = data_group(feature.topic());
    let signal = signal(feature);
    if let Some(signal) = &signal {
        group.attribute("signal", signal.as_str());
    }
    let shape = feature.arrays.iter().find(|a| Some(&a.name) == signal.as_ref());
    if let Some(shape) = shape.map(|a| a.shape.clone()).filter(|s| !s.is_empty()) {
        group.attribute("axes", Attribute::Texts(axes(feature, signal.as_deref(), &shape)));
    }
    for array in &feature.arrays {
        group.data(&own_name(&array.name, signal.as_deref()), dataset(array));
    }
    for (name, value) in feature.values() {
        group.data(&own_name(name, signal.as_deref()), scalar(value));
    }
    group.group("truth", truth(feature));
    group
}

fn data_group(topic: &str) -> Group {
    let mut group = Group::of_class("NXdata");
    group.attribute("topic", topic);
    group
}

/// The standard error of the mean is its error to NeXus.
fn own_name(name: &str, signal: Option<&str>) -> String {
    match (name, signal) {
        ("sem", Some("mean")) => "mean_errors".into(),
        _ => name.into(),
    }
}

fn signal(feature: &Feature) -> Option<String> {
    let arrays = || feature.arrays.iter().map(|a| a.name.as_str());
    let best = SIGNALS.iter().find(|s| arrays().any(|a| a == **s)).copied();
    let scalars = || feature.values().filter(|(_, v)| number(v).is_some()).map(|(name, _)| name);
    let first = || scalars().find(|n| *n == "value").or_else(|| scalars().next());
    best.or_else(|| arrays().next()).or_else(first).map(str::to_owned)
}

/// For each axis of the signal the array that belongs to it, or "." for none.
fn axes(feature: &Feature, signal: Option<&str>, shape: &[usize]) -> Vec<String> {
    let candidates: [&[&str]; 2] =
        [&["edges", "x_edges", "keys", "values", "time", "x", "q"], &["y_edges"]];
    let fits = |name: &str, n: usize| {
        let found = feature.arrays.iter().find(|a| a.name == name && Some(name) != signal);
        found.is_some_and(|a| a.shape.len() == 1 && (a.shape[0] == n || a.shape[0] == n + 1))
    };
    let of = |(axis, n): (usize, &usize)| {
        let names = candidates.get(axis).copied().unwrap_or(&[]);
        names.iter().find(|name| fits(name, *n)).map_or(".".into(), |name| (*name).to_owned())
    };
    shape.iter().enumerate().map(of).collect()
}

fn dataset(array: &NdArray) -> Data {
    Data::array(array.dtype, &array.shape, array.bytes().to_vec())
}

/// A number as it is written in JSON: whole, or with "NaN" and infinities as text.
fn number(value: &Value) -> Option<f64> {
    match value {
        Value::Number(n) => n.as_f64(),
        Value::String(text) => match text.as_str() {
            "NaN" => Some(f64::NAN),
            "Infinity" => Some(f64::INFINITY),
            "-Infinity" => Some(f64::NEG_INFINITY),
            _ => None,
        },
        _ => None,
    }
}

fn scalar(value: &Value) -> Data {
    match value {
        Value::Bool(b) => Data::array(DType::Bool, &[], vec![u8::from(*b)]),
        Value::Number(n) if n.is_i64() => {
            let n = n.as_i64().unwrap_or_default();
            Data::array(DType::I64, &[], n.to_le_bytes().to_vec())
        }
        Value::Number(n) if n.is_u64() => {
            let n = n.as_u64().unwrap_or_default();
            Data::array(DType::U64, &[], n.to_le_bytes().to_vec())
        }
        other => match (number(other), other) {
            (Some(x), _) => Data::array(DType::F64, &[], x.to_le_bytes().to_vec()),
            (None, Value::String(text)) => Data::text(text),
            (None, other) => Data::text(&other.to_string()),
        },
    }
}

/// All of the header but the values: how complete it is, and where it comes from.
fn truth(feature: &Feature) -> Group {
    let mut group = Group::of_class("NXcollection");
    for (key, value) in &feature.header {
        if !matches!(key.as_str(), "arrays" | "values") && !value.is_null() {
            group.data(key, scalar(value));
        }
    }
    group
}

/// Values over time: scalars as series, arrays of one shape with a new first axis.
fn over_time(topic: &str, values: &[Feature]) -> Group {
    let mut group = data_group(topic);
    let Some(newest) = values.last() else { return group };
    if let Some(signal) = signal(newest) {
        let rank = newest.arrays.iter().find(|a| a.name == signal).map_or(0, |a| a.shape.len());
        let mut axes = vec!["timestamp_ns".to_owned()];
        axes.resize(1 + rank, ".".into());
        group.attribute("signal", signal.as_str());
        group.attribute("axes", Attribute::Texts(axes));
    }
    for array in &newest.arrays {
        let found = |f: &Feature| {
            let same = |a: &&NdArray| {
                (&a.name, a.dtype, &a.shape) == (&array.name, array.dtype, &array.shape)
            };
            f.arrays.iter().find(same).map(|a| a.bytes().to_vec())
        };
        let bytes: Option<Vec<Vec<u8>>> = values.iter().map(found).collect();
        // What changed its shape is there as it is now.
        match bytes {
            Some(bytes) => {
                let shape: Vec<usize> =
                    [values.len()].into_iter().chain(array.shape.clone()).collect();
                group.data(&array.name, Data::array(array.dtype, &shape, bytes.concat()));
            }
            None => group.data(&format!("{}_newest", array.name), dataset(array)),
        }
    }
    let names: Vec<String> = newest.values().map(|(name, _)| name.to_owned()).collect();
    for name in names {
        let of = |f: &Feature| f.values().find(|(n, _)| *n == name).and_then(|(_, v)| number(v));
        group.data(&name, series(values.iter().map(|f| of(f).unwrap_or(f64::NAN))));
    }
    for key in ["timestamp_ns", "heartbeat", "seq", "run", "window_events", "window_expected"] {
        let whole: Vec<u8> =
            values.iter().flat_map(|f| f.number(key).unwrap_or(0).to_le_bytes()).collect();
        group.data(key, Data::array(DType::U64, &[values.len()], whole));
    }
    let complete = values.iter().map(|f| u8::from(f.complete().1)).collect();
    group.data("window_complete", Data::array(DType::Bool, &[values.len()], complete));
    group.group("truth", truth(newest));
    group
}

fn series(numbers: impl Iterator<Item = f64>) -> Data {
    let bytes: Vec<u8> = numbers.flat_map(f64::to_le_bytes).collect();
    Data::array(DType::F64, &[bytes.len() / 8], bytes)
}
