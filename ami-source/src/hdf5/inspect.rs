//! `ami-ventilator inspect hdf5:FILE`: every dataset, and what field it would become.

use crate::hdf5::decode;
use crate::hdf5::files::Files;
use crate::hdf5::format::layout::Layout;
use crate::hdf5::options::Options;
use crate::hdf5::part::{Part, Rows, Stamps};
use crate::hdf5::run::{Run, expand, explain};
use crate::hdf5::tree::{Entry, text, walk};
use crate::url::SourceSpec;
use crate::{SourceKind, hdf5::Hdf5Url};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;
use std::rc::Rc;

/// Lists the files of a URL to `out`; with `json` a line for each dataset.
///
/// # Errors
/// When a file cannot be read, or `out` fails.
pub fn inspect(spec: &SourceSpec, json: bool, out: &mut dyn Write) -> anyhow::Result<()> {
    let SourceKind::Hdf5(Hdf5Url { paths, options }) = &spec.kind else {
        anyhow::bail!("no HDF5 source");
    };
    let options = Options { epoch: spec.epoch, ..options.clone() };
    for path in expand(paths)? {
        let (lines, summary) = list(&path, &options)?;
        if json {
            for line in lines {
                writeln!(out, "{line}")?;
            }
        } else {
            table(&path, &lines, &summary, out)?;
        }
    }
    out.flush()?;
    Ok(())
}

/// A record for each dataset, and what is known of the whole.
fn list(path: &Path, options: &Options) -> anyhow::Result<(Vec<Value>, Vec<String>)> {
    let files = Rc::new(Files::default());
    let store = files.open(path).map_err(|problem| explain(path, &problem))?;
    let contents = walk(&files, &store).map_err(|problem| explain(path, &problem))?;
    let mut fates = BTreeMap::new();
    let mut summary = Vec::new();
    match Run::open(&[path.to_path_buf()], options) {
        Ok(run) => {
            for part in &run.parts {
                fate_of(part, &run, &mut fates);
                summary.push(describe(part, run.live));
            }
            for (at, _) in &run.held {
                if let Some(field) = run.schema.fields.get(*at as usize) {
                    for path in &field.aliases {
                        fates.insert(path.clone(), (Some(field.name.clone()), "held".to_owned()));
                    }
                }
            }
        }
        Err(error) => summary.push(format!("no events: {error:#}")),
    }
    let name = path.display().to_string();
    let mut lines: Vec<Value> =
        contents.datasets.iter().map(|entry| record(&name, entry, &fates)).collect();
    lines.extend(
        contents
            .broken
            .iter()
            .map(|(path, reason)| json!({"file": name, "path": path, "broken": reason})),
    );
    Ok((lines, summary))
}

type Fates = BTreeMap<String, (Option<String>, String)>;

fn fate_of(part: &Part, run: &Run, fates: &mut Fates) {
    for own in &part.fields {
        let name = run.schema.fields.get(own.at).map(|f| f.name.clone());
        let what = match &own.rows {
            Rows::Each => "event",
            Rows::Spans(_, false) => "event, where there is one",
            Rows::Spans(_, true) => "event, as many as there are",
        };
        for path in &own.field.aliases {
            fates.insert(path.clone(), (name.clone(), what.to_owned()));
        }
    }
    for (path, reason) in &part.left_out {
        fates.insert(path.clone(), (None, reason.clone()));
    }
}

fn describe(part: &Part, live: bool) -> String {
    let (len, name) = (part.len, &part.name);
    let growing = if live { ", still growing" } else { "" };
    let when = match &part.stamps {
        Stamps::Column(..) => "times as the file has them".to_owned(),
        Stamps::Every(1) => "no times: counted".to_owned(),
        Stamps::Every(ns) => format!("no times: {} Hz", 1e9 / *ns as f64),
    };
    let ids = if part.ids.is_some() { ", ids" } else { "" };
    format!("{name}: {len} events{growing}; {when}{ids}; {} fields", part.fields.len())
}

fn record(file: &str, entry: &Entry, fates: &Fates) -> Value {
    let dataset = &entry.dataset;
    let chunks = match &dataset.layout {
        Layout::Chunked(chunked) => json!(chunked.chunk),
        Layout::Virtual(..) => json!("virtual"),
        Layout::Compact(_) | Layout::Contiguous(_) => Value::Null,
    };
    // Pieces with numbers are one field under the name before these.
    let stem = entry.path.rsplit_once('/').map(|(group, name)| {
        crate::hdf5::joined::numbered(name)
            .map_or(entry.path.clone(), |(s, _)| format!("{group}/{s}"))
    });
    let fate = fates.get(&entry.path).or_else(|| fates.get(&stem.unwrap_or_default()));
    let index = (None, "says which rows and when".to_owned());
    let (field, what) = fate.unwrap_or(&index);
    json!({
        "file": file,
        "path": entry.path,
        "aliases": entry.aliases,
        "dtype": dataset.element.describe(),
        "shape": dataset.shape(),
        "grows": dataset.grows(),
        "chunks": chunks,
        "filters": dataset.filters.iter().map(decode::name).collect::<Vec<_>>(),
        "units": text(&dataset.attributes, "units"),
        "long_name": text(&dataset.attributes, "long_name"),
        "field": field,
        "as": what,
    })
}

fn table(
    path: &Path,
    lines: &[Value],
    summary: &[String],
    out: &mut dyn Write,
) -> std::io::Result<()> {
    writeln!(out, "{}", path.display())?;
    for line in summary {
        writeln!(out, "  {line}")?;
    }
    let list = |v: &Value| {
        let numbers = v.as_array().map(|a| a.iter().map(text_of).collect::<Vec<_>>().join("×"));
        numbers.unwrap_or_else(|| text_of(v))
    };
    let mut rows =
        vec![["path", "type", "shape", "chunks", "filters", "units", "field"].map(String::from)];
    for line in lines.iter().filter(|l| l["broken"].is_null()) {
        let grows = if line["grows"] == true { "…" } else { "" };
        let field = match line["field"].as_str() {
            Some(name) => format!("{name} ({})", text_of(&line["as"])),
            None => format!("– {}", text_of(&line["as"])),
        };
        let shape = match list(&line["shape"]) {
            empty if empty.is_empty() => "scalar".to_owned(),
            shape => shape + grows,
        };
        let filters =
            line["filters"].as_array().map(|a| a.iter().map(text_of).collect::<Vec<_>>().join("+"));
        rows.push([
            text_of(&line["path"]),
            text_of(&line["dtype"]),
            shape,
            list(&line["chunks"]),
            filters.unwrap_or_default(),
            text_of(&line["units"]),
            field,
        ]);
    }
    let mut widths = [0; 6];
    for row in &rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count().min(60));
        }
    }
    for row in &rows {
        write!(out, "  ")?;
        for (cell, width) in row.iter().zip(widths) {
            write!(out, "{cell:<width$}  ")?;
        }
        writeln!(out, "{}", row[6])?;
    }
    for line in lines.iter().filter(|l| !l["broken"].is_null()) {
        writeln!(out, "  {}: {}", text_of(&line["path"]), text_of(&line["broken"]))?;
    }
    writeln!(out)
}

fn text_of(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}
