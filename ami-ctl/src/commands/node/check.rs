//! `node check`: runs code on events, and tries whether they may be spread over workers.

use crate::client::system::{Globals, System};
use crate::commands::graph::parameter;
use crate::commands::node::columns::Made;
use crate::commands::node::events::{self, Events};
use crate::commands::node::inputs::{self, Given};
use crate::commands::node::source;
use crate::commands::node::{Code, Which, Workshop, report};
use crate::failure::{FAILED, Failure};
use crate::print;
use ami_graph::data::batch::Column;
use ami_graph::op::foreign::{Call, UserCode};
use ami_graph::op::signature::mask_of;
use serde_json::{Map, Value};
use std::process::ExitCode;
use std::sync::Arc;

/// Numbers of workers to imitate.
const LANES: [u32; 4] = [1, 2, 3, 7];
/// Events that are tried first, with a short deadline: code that never returns is found by them.
const FIRST: usize = 10;
/// Longest time for one event, as of a node in a graph.
const TIMEOUT_MS: u64 = 1000;
const STATE_BYTES: u64 = 1 << 30;

/// Arguments.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    which: Which,
    /// Take events of this source [default: the newest of a system that runs here, or sim:pump-probe]
    #[arg(long, value_name = "URL")]
    source: Option<String>,
    /// The field of an input; without NAME= of the next one; else the only field that is called like it
    #[arg(long = "in", value_name = "NAME=FIELD", value_parser = inputs::given)]
    inputs: Vec<Given>,
    /// How many events
    #[arg(long, value_name = "N", default_value_t = 200, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    events: u32,
}

/// Parameters of the node among `--set`, and the other options.
///
/// # Errors
/// When one is given twice, or is not `KEY=VALUE`.
pub fn parameters(globals: &Globals) -> Result<(Map<String, Value>, Globals), Failure> {
    let key = |text: &String| text.split('=').next().unwrap_or_default().contains('.');
    let (set, own): (Vec<String>, Vec<String>) = globals.set.iter().cloned().partition(key);
    let mut parameters = Map::new();
    for text in own {
        let (key, value) = parameter(&text)
            .map_err(|e| Failure::usage(format!("--set {text}: {e}"), "as threshold=13"))?;
        if parameters.insert(key.clone(), value).is_some() {
            let error = format!("--set {key}=… is given twice");
            return Err(Failure::usage(error, "give each parameter once"));
        }
    }
    Ok((parameters, Globals { set, ..globals.clone() }))
}

pub(super) fn run(
    args: &Args,
    params: Map<String, Value>,
    system: &System,
) -> anyhow::Result<ExitCode> {
    let code = Code::read(&args.which.code)?;
    let workshop = Workshop::open(&system.config)?;
    workshop.removed_at_signals()?;
    let node = the_one(workshop.describe(&args.which.env, &code)?, &code)?;
    let most = args.events as usize;
    let chosen = source::choose(args.source.as_ref(), system, &workshop, most)?;
    let names: Vec<String> =
        node["inputs"].as_array().into_iter().flatten().map(print::cell).collect();
    let varargs = node["varargs"] == true;
    let choose = |schema: &_| inputs::matched(&names, varargs, &args.inputs, schema);
    let events = events::read(&chosen.url, most, choose)?;
    let user_code = Arc::new(UserCode {
        file: code.file.clone(),
        name: print::cell(&node["name"]),
        source: code.source.as_str().into(),
        env: args.which.env.clone(),
        params,
        timeout_ms: TIMEOUT_MS,
        state_bytes: STATE_BYTES,
        merges: node["merge"] == "custom",
        outputs: Vec::new(),
    });
    let found = checked(&workshop, &user_code, &node, &events)?;
    let report =
        report::Report { found, node, events: &events, source: &chosen.told, file: &code.file };
    if system.json {
        print::json(&report.document())?;
    } else {
        print::line(&report.text())?;
    }
    Ok(if report.good() { ExitCode::SUCCESS } else { ExitCode::from(FAILED) })
}

/// The node that is meant.
fn the_one(mut nodes: Vec<Value>, code: &Code) -> Result<Value, Failure> {
    if nodes.len() > 1 {
        let names: Vec<String> = nodes.iter().map(|node| print::cell(&node["name"])).collect();
        let error = format!("{} has {} nodes: {}", code.file, nodes.len(), names.join(", "));
        return Err(Failure::usage(
            error,
            format!("name one of them, as {}:{}", code.file, names[0]),
        ));
    }
    nodes.pop().ok_or_else(|| {
        let error = format!("{} has no node", code.file);
        Failure::failed(
            error,
            "write a function under @per_event or a class PerEvent, Reduction or Root",
        )
    })
}

/// The host's report.
fn checked(
    workshop: &Workshop,
    code: &Arc<UserCode>,
    node: &Value,
    events: &Events,
) -> Result<Value, Failure> {
    let wrong = |reason: String| {
        let error = format!("{}:{}: {reason}", code.file, code.name);
        Failure::failed(error, "correct it and try again")
    };
    let mut report = Value::Null;
    let all = events.count;
    for count in [FIRST.min(all), all] {
        let made: Vec<Made<'_>> = (events.inputs.iter().zip(&events.values))
            .map(|(input, values)| Made::of(&events.schema.fields[input.field], &values[..count]))
            .collect();
        let columns: Vec<Column<'_>> = made.iter().map(Made::column).collect();
        let columns: Vec<&Column<'_>> = columns.iter().collect();
        let mut mask = Vec::new();
        let (masked, present) = mask_of(&columns, count, &mut mask).unwrap_or((true, 0));
        // Code over published values is told of absent ones.
        let mask = (masked && node["kind"] != "root").then_some(mask.as_slice());
        if mask.is_some() && present == 0 {
            if count == all {
                return Err(never(events));
            }
            continue;
        }
        let call = Call { events: count, mask, columns: &columns };
        let lanes = if count == all { &LANES[..] } else { &LANES[..1] };
        report = workshop.python.check(code, call, lanes).map_err(wrong)?;
    }
    Ok(report)
}

/// No event has all inputs.
fn never(events: &Events) -> Failure {
    let count = |values: &Vec<Option<_>>| values.iter().filter(|value| value.is_some()).count();
    let lines = events.inputs.iter().zip(&events.values).map(|(input, values)| {
        let field = &events.schema.fields[input.field].name;
        format!("{} from {field}: present in {} events", input.name, count(values)).into()
    });
    let error = format!("in none of {} events all inputs are present", events.count);
    Failure::failed(error, "take other fields with --in, or more events with --events")
        .with(lines.collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn parameters_are_told_from_the_configuration() {
        let set = ["threshold=13", "python.threads=2", "label=a.b=c"].map(String::from).to_vec();
        let globals = Globals { set, ..Globals::default() };
        let (own, globals) = parameters(&globals).unwrap();
        assert_eq!(Value::from(own), json!({"threshold": 13, "label": "a.b=c"}));
        assert_eq!(globals.set, ["python.threads=2"]);
        let twice = Globals { set: vec!["a=1".into(), "a=2".into()], ..Globals::default() };
        assert!(parameters(&twice).unwrap_err().refusal.error.contains("given twice"));
        let none = Globals { set: vec!["a".into()], ..Globals::default() };
        assert_eq!(parameters(&none).unwrap_err().code, 2);
    }

    #[test]
    fn of_several_nodes_one_must_be_named() {
        let code = Code { file: "hits.py".into(), name: None, source: String::new() };
        let nodes = vec![json!({"name": "a"}), json!({"name": "b"})];
        let failure = the_one(nodes, &code).unwrap_err();
        assert!(
            failure.refusal.error.contains("a, b") && failure.refusal.hint.contains("hits.py:a")
        );
        assert_eq!(the_one(vec![json!({"name": "a"})], &code).unwrap()["name"], "a");
        assert_eq!(the_one(Vec::new(), &code).unwrap_err().code, 1);
    }
}
