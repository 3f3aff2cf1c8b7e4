//! Features as a NeXus file: an NXentry with an NXdata for each, its truth label beside it. Pure.

use crate::client::array::NdArray;
use crate::client::feature::{Feature, number};
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
    let array = feature.arrays.iter().find(|a| Some(&a.name) == signal.as_ref());
    if let Some(signal) = &signal {
        plotted(&mut group, signal, axes(feature, array));
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

/// Names the signal and its axes; axes that are made for it are added.
fn plotted(group: &mut Group, signal: &str, axes: Vec<(String, Option<Data>)>) {
    group.attribute("signal", signal);
    let names: Vec<String> = axes.iter().map(|(name, _)| name.clone()).collect();
    if !names.is_empty() {
        group.attribute("axes", Attribute::Texts(names));
    }
    for (name, made) in axes {
        if let Some(data) = made {
            group.data(&name, data);
        }
    }
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

/// For each axis of the signal what belongs to it, or "." for nothing. Viewers want a point for each
/// bin: edges become centers beside them.
fn axes(feature: &Feature, signal: Option<&NdArray>) -> Vec<(String, Option<Data>)> {
    const FIRST: [&str; 7] = ["edges", "x_edges", "keys", "values", "time", "x", "q"];
    const SECOND: [&str; 1] = ["y_edges"];
    let Some(signal) = signal else { return Vec::new() };
    let of = |(axis, n): (usize, &usize)| {
        let names = [&FIRST[..], &SECOND[..]].get(axis).copied().unwrap_or(&[]);
        let arrays = names.iter().filter_map(|name| {
            feature.arrays.iter().find(|a| a.name == *name && a.name != signal.name)
        });
        let mut arrays = arrays.filter(|a| a.shape == [*n] || a.shape == [n + 1]);
        match arrays.next() {
            None => (".".to_owned(), None),
            Some(array) if array.shape == [*n] => (array.name.clone(), None),
            Some(edges) => {
                let centers = edges.to_f64();
                let centers = centers.windows(2).map(|pair| (pair[0] + pair[1]) / 2.0);
                (edges.name.replace("edges", "centers"), Some(series(centers)))
            }
        }
    };
    signal.shape.iter().enumerate().map(of).collect()
}

fn dataset(array: &NdArray) -> Data {
    Data::array(array.dtype, &array.shape, array.bytes().to_vec())
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

/// Values over time: scalars as series, arrays of one shape with a new first axis. What changed its
/// shape is there as it is now.
fn over_time(topic: &str, values: &[Feature]) -> Group {
    let mut group = data_group(topic);
    let Some(newest) = values.last() else { return group };
    let signal = signal(newest);
    let array = newest.arrays.iter().find(|a| Some(&a.name) == signal.as_ref());
    let stack = array.is_none_or(|array| stacked(values, array).is_some());
    match &signal {
        Some(signal) if stack => {
            let rest = array.map_or(0, |a| a.shape.len());
            let mut axes = vec![("timestamp_ns".to_owned(), None)];
            axes.extend((0..rest).map(|_| (".".to_owned(), None)));
            plotted(&mut group, signal, axes);
        }
        Some(signal) => {
            let axes = array.map_or(0, |a| a.shape.len());
            let axes = (0..axes).map(|_| (".".to_owned(), None)).collect();
            plotted(&mut group, &format!("{signal}_newest"), axes);
        }
        None => {}
    }
    for array in &newest.arrays {
        let name = own_name(&array.name, signal.as_deref());
        match stacked(values, array) {
            Some(data) => group.data(&name, data),
            None => group.data(&format!("{name}_newest"), dataset(array)),
        }
    }
    series_of(&mut group, values, newest);
    group.group("truth", truth(newest));
    group
}

/// The arrays of one name of all values; None when one is missing or of another shape.
fn stacked(values: &[Feature], like: &NdArray) -> Option<Data> {
    let mut bytes = Vec::new();
    for feature in values {
        let array = feature.arrays.iter().find(|a| a.name == like.name)?;
        if (array.dtype, &array.shape) != (like.dtype, &like.shape) {
            return None;
        }
        bytes.extend_from_slice(array.bytes());
    }
    let shape: Vec<usize> = [values.len()].into_iter().chain(like.shape.clone()).collect();
    Some(Data::array(like.dtype, &shape, bytes))
}

/// Scalars and what tells one value from the other.
fn series_of(group: &mut Group, values: &[Feature], newest: &Feature) {
    for (name, _) in newest.values() {
        let of = |f: &Feature| f.values().find(|(n, _)| *n == name).and_then(|(_, v)| number(v));
        group.data(name, series(values.iter().map(|f| of(f).unwrap_or(f64::NAN))));
    }
    for key in ["timestamp_ns", "heartbeat", "seq", "run", "window_events", "window_expected"] {
        let whole: Vec<u8> =
            values.iter().flat_map(|f| f.number(key).unwrap_or(0).to_le_bytes()).collect();
        group.data(key, Data::array(DType::U64, &[values.len()], whole));
    }
    let complete = values.iter().map(|f| u8::from(f.complete().1)).collect();
    group.data("window_complete", Data::array(DType::Bool, &[values.len()], complete));
}

fn series(numbers: impl Iterator<Item = f64>) -> Data {
    let bytes: Vec<u8> = numbers.flat_map(f64::to_le_bytes).collect();
    Data::array(DType::F64, &[bytes.len() / 8], bytes)
}
