//! What `node check` found, for people and for programs.

use crate::commands::node::describe;
use crate::commands::node::events::Events;
use crate::commands::node::inputs::type_of;
use crate::print;
use serde_json::{Value, json};

/// Workers whose rate is told.
const WORKERS: f64 = 2.0;
/// Differences that are shown; the others are alike.
const SHOWN: usize = 4;

/// A report of the host, and what it is about.
pub struct Report<'a> {
    /// As the host has it.
    pub found: Value,
    /// Description of the node.
    pub node: Value,
    /// What it was tried on.
    pub events: &'a Events,
    /// Where these came from.
    pub source: &'a str,
    /// The code's file.
    pub file: &'a str,
}

impl Report<'_> {
    /// Whether the node may go into a graph.
    pub fn good(&self) -> bool {
        self.found["ok"] == true
    }

    /// Events per second at which two workers have no time left; None where nothing was measured.
    fn saturated_at(&self) -> Option<f64> {
        let cost = self.found["cost_us"].as_f64().filter(|cost| *cost > 0.0)?;
        Some(WORKERS * 1e6 / cost)
    }

    /// For programs.
    pub fn document(&self) -> Value {
        let mut document = self.found.clone();
        document["file"] = self.file.into();
        document["source"] = self.source.into();
        document["events"] = self.events.count.into();
        document["inputs"] =
            self.inputs().map(|(name, field, _)| json!({"name": name, "field": field})).collect();
        document["saturated_at_hz"] = self.saturated_at().map_or(Value::Null, print::float_json);
        document
    }

    /// For people.
    pub fn text(&self) -> String {
        let found = &self.found;
        let name = format!("{}:{}", self.file, print::cell(&found["node"]));
        let mut parts = vec![format!(
            "{name} ({}) on {} events of {}",
            describe::kind(&self.node),
            self.events.count,
            self.source
        )];
        let inputs =
            self.inputs().map(|(name, field, kind)| vec![format!("  {name}"), field, kind]);
        parts.push(print::table(&["INPUT", "FIELD", "TYPE"], inputs));
        if !found["error"].is_null() {
            parts.push(format!("It gives nothing:\n{}", raised(&found["error"])));
        }
        if let Some(outputs) = found["outputs"].as_array() {
            let heading = ["OUTPUT", "TYPE", "PRESENT", "FIRST VALUES"];
            parts.push(print::table(&heading, outputs.iter().map(output)));
        }
        parts.extend(self.failures());
        parts.extend(self.cost());
        parts.extend(self.split());
        let verdict = if self.good() {
            "it can go into a graph"
        } else {
            "refused: not good for a graph as it is"
        };
        parts.push(format!("{name}: {verdict}"));
        parts.join("\n\n")
    }

    /// Name, field and type of each input.
    fn inputs(&self) -> impl Iterator<Item = (String, String, String)> {
        self.events.inputs.iter().filter_map(|input| {
            let field = self.events.schema.fields.get(input.field)?;
            Some((input.name.clone(), field.name.clone(), type_of(field).to_string()))
        })
    }

    fn failures(&self) -> Option<String> {
        let list = self.found["failures"].as_array().filter(|list| !list.is_empty())?;
        let given = &self.found["given"];
        let mut lines = vec![format!("{} of {given} events fail", self.found["failed"])];
        for failure in list {
            let place = match failure[0].as_i64() {
                Some(event) if event >= 0 => format!("event {event}"),
                _ => "between events".into(),
            };
            lines.push(format!("  {place}: {}", print::cell(&failure[1])));
            lines.extend(indented(&failure[2]));
        }
        Some(lines.join("\n"))
    }

    fn cost(&self) -> Option<String> {
        let cost = self.found["cost_us"].as_f64()?;
        let rate = self.saturated_at()?;
        let each = print::number((cost * 10.0).round() / 10.0);
        if self.node["kind"] == "root" {
            return Some(format!("cost: {each} µs per update, beside the data path"));
        }
        Some(format!(
            "cost: {each} µs per event; two workers saturate at {} events/s",
            print::short(rate)
        ))
    }

    /// What the split over lanes gave.
    fn split(&self) -> Option<String> {
        let split = &self.found["split"];
        if self.node["kind"] == "root" {
            return None;
        }
        let lanes = print::cell(&split["lanes"]);
        let differences = split["differences"].as_array()?;
        if differences.is_empty() {
            return Some(format!("split over {lanes} lanes, unevenly, in both orders: the same"));
        }
        let excused = self.node["split_dependent"] == true;
        let mut lines = vec![if excused {
            format!("split over {lanes} lanes: not the same, as split_dependent says")
        } else {
            format!("split over {lanes} lanes: NOT the same")
        }];
        lines.extend(
            differences
                .iter()
                .take(SHOWN)
                .map(|difference| format!("  {}", self.difference(difference))),
        );
        if differences.len() > SHOWN {
            lines.push(format!("  … and {} more", differences.len() - SHOWN));
        }
        if !excused {
            lines.push(format!("  → {}", self.remedy()));
        }
        Some(lines.join("\n"))
    }

    fn difference(&self, d: &Value) -> String {
        let order = if self.node["kind"] == "reduction" {
            format!(" merged {}", print::cell(&d["order"]))
        } else {
            String::new()
        };
        let how = format!("{} lanes{order}", d["lanes"]);
        if let Some(error) = d["error"].as_str() {
            return format!("{how}: {error}");
        }
        let index: String = match d["index"].as_array() {
            Some(axes) if !axes.is_empty() => format!("[{}]", print::cell(&d["index"])),
            _ => String::new(),
        };
        let event = d["event"].as_u64().map_or(String::new(), |event| format!(" of event {event}"));
        let allowed = match d["allowed"].as_f64() {
            Some(allowed) if allowed > 0.0 => {
                format!(" (at most {} apart is rounding)", print::number(allowed))
            }
            _ => String::new(),
        };
        format!(
            "{how}: output {}{index}{event} is {} instead of {}{allowed}",
            print::cell(&d["output"]),
            value(&d["other"]),
            value(&d["one"])
        )
    }

    fn remedy(&self) -> &'static str {
        match (self.node["kind"].as_str(), self.node["merge"].as_str()) {
            (Some("reduction"), Some("custom")) => {
                "merge must give the same in any order and grouping; keep sums and counts, and divide in finish"
            }
            (Some("reduction"), _) => {
                "everything in the state is added: keep sums and counts, or write a merge"
            }
            _ => {
                "it keeps something from event to event: use a Reduction, or say split_dependent = True"
            }
        }
    }
}

fn raised(error: &Value) -> String {
    let mut lines = vec![format!("  {}", print::cell(&error["message"]))];
    lines.extend(indented(&error["traceback"]));
    lines.join("\n")
}

fn indented(text: &Value) -> Vec<String> {
    print::cell(text).lines().map(|line| format!("    {line}")).collect()
}

fn output(output: &Value) -> Vec<String> {
    let first = output["first"].as_array().map_or(&[][..], Vec::as_slice);
    vec![
        format!("  {}", print::cell(&output["name"])),
        print::cell(&output["declared"]),
        print::cell(&output["present"]),
        first.iter().map(value).collect::<Vec<_>>().join("; "),
    ]
}

/// A value in short.
fn value(value: &Value) -> String {
    match value {
        Value::Null => "absent".into(),
        Value::Number(number) if number.is_f64() => {
            number.as_f64().map(print::number).unwrap_or_default()
        }
        Value::Array(list) => {
            format!("[{}]", list.iter().map(self::value).collect::<Vec<_>>().join(", "))
        }
        Value::Object(_) => {
            let part = |key: &str| self::value(&value[key]);
            let shape = print::cell(&value["shape"]).replace(", ", "×");
            format!("[{shape}] min {} mean {} max {}", part("min"), part("mean"), part("max"))
        }
        other => print::cell(other),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report<'a>(events: &'a Events, kind: &str, found: Value) -> Report<'a> {
        let node = json!({"kind": kind, "merge": "custom", "split_dependent": false});
        Report { found, node, events, source: "sim:x", file: "hits.py" }
    }

    #[test]
    fn a_merge_that_depends_on_the_order_is_told_with_both_numbers() {
        let events = Events { count: 200, ..Events::default() };
        let found = json!({"ok": false, "node": "Radial", "given": 200, "failed": 0, "failures": [], "cost_us": 50.0,
            "outputs": [{"name": "mean", "declared": "f8[:]", "present": 1,
                         "first": [{"shape": [2, 512], "min": 0.0, "max": 2.5, "mean": 1.25}]}],
            "split": {"ok": false, "lanes": [1, 2, 3, 7], "differences": [
                {"lanes": 2, "order": "backward", "output": "mean", "index": [0, 3], "one": 1.5, "other": 1.25, "allowed": 1e-9},
                {"lanes": 3, "order": "forward", "error": "KeyError: 'n' (hits.py:9)"}]}});
        let report = report(&events, "reduction", found);
        assert!(!report.good());
        let text = report.text();
        for part in [
            "hits.py:Radial (reduction) on 200 events of sim:x",
            "[2×512] min 0 mean 1.25 max 2.5",
            "cost: 50 µs per event; two workers saturate at 40.0k events/s",
            "2 lanes merged backward: output mean[0, 3] is 1.25 instead of 1.5 (at most 1.00000e-9 apart is rounding)",
            "3 lanes merged forward: KeyError: 'n' (hits.py:9)",
            "→ merge must give the same",
            "refused",
        ] {
            assert!(text.contains(part), "{part} in\n{text}");
        }
        assert_eq!(report.document()["saturated_at_hz"], 40_000.0);
    }

    #[test]
    fn failures_have_their_tracebacks() {
        let events = Events { count: 3, ..Events::default() };
        let found = json!({"ok": false, "node": "f", "given": 3, "failed": 2, "cost_us": 2.0,
            "failures": [[1, "ValueError: bad (hits.py:12)", "File \"hits.py\", line 12\n  raise"], [-1, "begin_run", ""]],
            "outputs": [], "split": {"ok": true, "lanes": [1, 2], "differences": []}});
        let text = report(&events, "per_event", found).text();
        assert!(
            text.contains("2 of 3 events fail\n  event 1: ValueError: bad (hits.py:12)\n    File"),
            "{text}"
        );
        assert!(text.contains("between events: begin_run") && text.contains("the same"), "{text}");
    }

    #[test]
    fn code_that_gives_nothing_says_why() {
        let events = Events::default();
        let found = json!({"ok": false, "node": "R", "given": 3, "failed": 0, "failures": [],
            "error": {"message": "TypeError: no (hits.py:3)", "traceback": "File \"hits.py\", line 3"}});
        let text = report(&events, "reduction", found).text();
        assert!(
            text.contains("It gives nothing:\n  TypeError: no (hits.py:3)\n    File"),
            "{text}"
        );
    }
}
