//! The table of results, as Markdown.

use crate::bench::limits::Limits;
use crate::print::short;
use serde_json::{Map, Value};
use std::fmt::Write;

/// Limits, a row per run, a row per goal.
pub fn table(documents: &[Map<String, Value>], limits: &Limits) -> String {
    let mut text = String::from("Machine:");
    for (name, value) in &limits.values {
        let _ = write!(text, " {name} {};", short(value.as_f64().unwrap_or(0.0)));
    }
    for document in documents {
        text += &of_frames(document).unwrap_or_default();
        for run in runs(document) {
            text += &of_hand_overs(&run).unwrap_or_default();
        }
    }
    text += "\n\n| case | work | events/s | GB/s | CPU µs per event: ventilator, workers, all | latency p50 / p99 / max, ms, of a value; of the whole frame | heartbeats complete | largest MiB | % stolen |\n|---|---|---|---|---|---|---|---|---|\n";
    for document in documents {
        for run in runs(document) {
            text += &row(&run);
        }
    }
    text += "\n| case | goal | measured | ratio | met |\n|---|---|---|---|---|\n";
    for document in documents {
        for goal in document["goals"].as_array().into_iter().flatten() {
            let met = if goal["met"] == true { "yes" } else { "**no**" };
            let _ = writeln!(
                text,
                "| {} | {} {} | {} | {} | {met} |",
                plain(&document["case"]),
                plain(&goal["what"]),
                plain(&goal["goal"]),
                plain(&goal["value"]),
                plain(&goal["ratio"]),
            );
        }
    }
    text.trim_end().to_string()
}

/// The runs of a case, or its only one.
fn runs(document: &Map<String, Value>) -> Vec<Value> {
    let several = document.get("runs").and_then(Value::as_array).cloned();
    several.unwrap_or_else(|| vec![Value::Object(document.clone())])
}

/// What bounds a latency.
fn of_hand_overs(run: &Value) -> Option<String> {
    let limits = &run["limits"];
    let p50 = limits["bare_hand_overs_ms"].as_f64()?;
    let p99 = plain(&limits["bare_hand_overs_p99_ms"]);
    let frame = plain(&limits["bare_hand_overs_frame_ms"]);
    let (case, variant) = (plain(&run["case"]), plain(&run["variant"]));
    Some(format!(
        "\n{case} {variant}: five bare hand-overs from process to process take {p50} ms to a value (99 %: {p99}), \
         {frame} to the whole frame."
    ))
}

/// What bounds a case with frames.
fn of_frames(document: &Map<String, Value>) -> Option<String> {
    let limit = |key: &str| Some(short(document.get("limits")?.get(key)?.as_f64()?));
    let copied = limit("frames_copied_into_ring_per_s")?;
    let handed = limit("frames_copied_to_reader_per_s")?;
    let read = limit("frames_copied_and_read_per_s_all_cores")?;
    let analysed = limit("frames_copied_and_analysed_per_s_all_cores")?;
    // With one core there is no other.
    let apart = |key: &str| limit(key).unwrap_or_else(|| "–".into());
    let (before, after) = (apart("core_to_core_ns_before"), apart("core_to_core_ns_after"));
    let case = plain(document.get("case")?);
    Some(format!(
        "\n{case}: one core copies {copied} such frames/s, {handed} while another reads them; all cores \
         copy and read {read}, copy and analyse {analysed}; a core sees what another writes after {before} \
         ns, after the run {after}."
    ))
}

fn row(run: &Value) -> String {
    let cpu = |of: &dyn Fn(&str) -> bool| -> f64 {
        let table = run["cpu_us_per_event"].as_object().into_iter().flatten();
        table.filter(|(name, _)| of(name)).filter_map(|(_, v)| v.as_f64()).sum()
    };
    let most = run["rss_mib"].as_object().into_iter().flatten().filter_map(|(_, v)| v.as_f64());
    let latency = |of: &str| ["p50", "p99", "max"].map(|key| plain(&run[of][key])).join(" / ");
    let rate = run["events_per_s"].as_f64().map_or_else(|| "–".into(), short);
    format!(
        "| {} {} | {} | {rate} | {} | {:.3}, {:.3}, {:.3} | {}; {} ({}) | {} of {} | {:.1} | {:.1}{} |\n",
        plain(&run["case"]),
        plain(&run["variant"]),
        plain(&run["what"]),
        plain(&run["gb_per_s"]),
        cpu(&|name| name.starts_with("ventilator")),
        cpu(&|name| name.starts_with("worker")),
        cpu(&|_| true),
        latency("latency_ms"),
        latency("frame_latency_ms"),
        plain(&run["latency_ms"]["client"]),
        plain(&run["complete_heartbeats"]),
        plain(&run["heartbeats"]),
        most.fold(0.0, f64::max),
        100.0 * run["stolen"].as_f64().unwrap_or(0.0),
        if run["judged"] == false { " (not judged)" } else { "" },
    )
}

fn plain(value: &Value) -> String {
    match value {
        Value::Null => "–".into(),
        Value::String(text) => text.clone(),
        Value::Number(n) if n.as_f64().is_some_and(|x| x >= 1e4) => {
            short(n.as_f64().unwrap_or(0.0))
        }
        other => other.to_string(),
    }
}
