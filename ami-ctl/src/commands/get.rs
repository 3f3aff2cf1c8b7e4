//! `ami-ctl get`: the latest value of a feature with its truth label.

use crate::client::array::NdArray;
use crate::client::error::ClientError;
use crate::client::feature::Feature;
use crate::client::system::System;
use crate::failure::Failure;
use crate::print;
use crate::print::shown;
use crate::show::absent;
use ami_graph::error::nearest;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Elements that are shown of an array.
const SHOWN: usize = 8;

/// Arguments.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Its topic: graph/node or graph/node.output
    feature: String,
    /// Write an array to this file
    #[arg(long, value_name = "FILE")]
    npy: Option<PathBuf>,
    /// Which array to write; the first unless given
    #[arg(long, value_name = "NAME", requires = "npy")]
    array: Option<String>,
}

/// Prints the value, in full with `--json`.
///
/// # Errors
/// When there is no such feature, or the file cannot be written.
pub fn run(args: &Args, system: &System) -> anyhow::Result<ExitCode> {
    let store = system.store();
    let feature = store.get(&args.feature).map_err(|e| known(e, system, &args.feature))?;
    if let Some(path) = &args.npy {
        let array = choose(&feature, args.array.as_deref())?;
        write(array, path)?;
        print::error(&format!(
            "{} {} {:?} written to {}",
            array.name,
            array.dtype,
            array.shape,
            path.display()
        ));
    }
    if system.json {
        print::json(&document(&feature))?;
    } else {
        print::line(&text(&feature))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// A feature of an active graph that has had no value: why. Another: the nearest names.
pub(crate) fn known(error: ClientError, system: &System, topic: &str) -> anyhow::Error {
    let ClientError::Refused(mut refusal) = error else { return error.into() };
    let store = system.store();
    if let Some((reason, hint)) = absent::reason(&system.manager(), topic) {
        return Failure::failed(format!("{topic:?} has had no value: {reason}"), hint).into();
    }
    if refusal.hint.is_empty()
        && let Ok(list) = store.list("")
    {
        let topics = list.iter().filter_map(|f| f.as_str().or_else(|| f["topic"].as_str()));
        refusal.hint = nearest(topic, topics);
    }
    ClientError::Refused(refusal).into()
}

fn choose<'a>(feature: &'a Feature, name: Option<&str>) -> Result<&'a NdArray, Failure> {
    let found = match name {
        None => feature.arrays.first(),
        Some(name) => feature.arrays.iter().find(|a| a.name == name),
    };
    found.ok_or_else(|| {
        let what = name.map_or("no array".to_string(), |n| format!("no array {n:?}"));
        let hint =
            nearest(name.unwrap_or_default(), feature.arrays.iter().map(|a| a.name.as_str()));
        Failure::failed(format!("feature {:?} has {what}", feature.topic()), hint)
    })
}

fn write(array: &NdArray, path: &Path) -> Result<(), Failure> {
    let failed = |e: std::io::Error| {
        Failure::failed(format!("cannot write {}: {e}", path.display()), "choose another file")
    };
    let mut file = std::fs::File::create(path).map_err(failed)?;
    array.write_npy(&mut file).map_err(failed)
}

/// The header with every array's `data` in it.
pub fn document(feature: &Feature) -> Value {
    let mut header = feature.header.clone();
    let arrays: Vec<Value> = feature
        .arrays
        .iter()
        .map(|a| json!({"name": a.name, "dtype": a.dtype.numpy(), "shape": a.shape, "data": a.to_json()}))
        .collect();
    header.insert("arrays".into(), arrays.into());
    header.into()
}

/// The value for people.
pub fn text(feature: &Feature) -> String {
    let mut lines = vec![feature.topic().to_string()];
    lines.extend(feature.values().map(|(name, value)| format!("  {name} = {}", shown(value))));
    lines.extend(feature.arrays.iter().map(array_line));
    let error = feature.text("error");
    if !error.is_empty() {
        lines.push(format!("  no value: {error}"));
    }
    lines.push(format!("  {}", feature.label()));
    lines.join("\n")
}

fn array_line(array: &NdArray) -> String {
    let summary = array.summary();
    let axes: Vec<String> = array.shape.iter().map(ToString::to_string).collect();
    let elements = array.to_f64();
    let mut shown: Vec<String> = elements.iter().take(SHOWN).map(|x| print::number(*x)).collect();
    if elements.len() > SHOWN {
        shown.push("…".into());
    }
    let nan = if summary.nan > 0 { format!(", {} NaN", summary.nan) } else { String::new() };
    format!(
        "  {} {}[{}]: min {}, mean {}, max {}{nan}: {}",
        array.name,
        array.dtype,
        axes.join("×"),
        print::number(summary.min),
        print::number(summary.mean),
        print::number(summary.max),
        shown.join(" ")
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn feature() -> Feature {
        let header = json!({"topic": "g/n", "values": {"outside": 17, "value": "NaN"}, "complete": true,
            "window": "run", "arrays": [{"name": "mean", "dtype": "<f8", "shape": [10]}]});
        let bytes = (0..10).flat_map(|i| f64::from(i).to_le_bytes()).collect();
        Feature::new(header, &mut [bytes].into_iter()).unwrap()
    }

    #[test]
    fn people_get_a_summary_programs_get_everything() {
        let text = text(&feature());
        assert!(
            text.contains("mean float64[10]: min 0, mean 4.5, max 9: 0 1 2 3 4 5 6 7 …"),
            "{text}"
        );
        assert!(text.contains("  outside = 17\n  value = NaN\n"));
        let document = document(&feature());
        assert_eq!(document["arrays"][0]["data"].as_array().unwrap().len(), 10);
        assert_eq!(document["values"]["value"], "NaN");
    }

    #[test]
    fn a_missing_array_names_those_there_are() {
        let failure = choose(&feature(), Some("men")).unwrap_err();
        assert!(failure.refusal.hint.contains("mean"));
        assert_eq!(choose(&feature(), None).unwrap().name, "mean");
    }
}
