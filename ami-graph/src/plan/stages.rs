//! The cut: which nodes run on workers over events, and which at the root over merged results.

use crate::error::Fault;
use crate::graph::checked::{Graph, Source};
use crate::op::kind::Body;

/// What a node's value depends on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Flow {
    /// On constants only: it can be computed anywhere.
    #[default]
    Anywhere,
    /// On fields of events: workers.
    Worker,
    /// On results of reductions: the root.
    Root,
}

/// The flow of every node of a graph, by place. Nodes that mix the two are switched off.
pub fn cut(graph: &mut Graph<'_>) -> Vec<Flow> {
    let mut flows = vec![Flow::default(); graph.nodes.len()];
    for place in graph.order.clone() {
        let (mut from_event, mut from_result) = (None, None);
        for (k, source) in graph.nodes[place].sources.iter().enumerate() {
            match *source {
                Source::Field(_) | Source::Event(_) | Source::Unknown => from_event = Some(k),
                Source::Node(other, _) if is_result(graph, other, &flows) => from_result = Some(k),
                Source::Node(other, _) if flows[other] == Flow::Worker => from_event = Some(k),
                Source::Node(..) => {}
            }
        }
        let reduction = is_reduction(graph, place);
        flows[place] = match (from_event, from_result) {
            (_, Some(_)) => Flow::Root,
            (Some(_), None) => Flow::Worker,
            (None, None) if reduction => Flow::Worker,
            (None, None) => Flow::Anywhere,
        };
        if flows[place] == Flow::Worker && is_after_merge(graph, place) {
            let hint = "give it results, for example of a node {\"op\": \"last\", \"in\": …}";
            let fault =
                Fault::of("in", "the code works on results, and this is an input of events", hint);
            graph.fail(place, vec![fault]);
        }
        if let (Some(event), Some(result)) = (from_event, from_result) {
            let fault = mixed(graph, place, event, result);
            graph.fail(place, vec![fault]);
        }
    }
    flows
}

fn is_reduction(graph: &Graph<'_>, place: usize) -> bool {
    graph.nodes[place].read.as_ref().is_some_and(crate::graph::checked::Read::is_reduction)
}

fn is_after_merge(graph: &Graph<'_>, place: usize) -> bool {
    let read = graph.nodes[place].read.as_ref();
    read.is_some_and(|read| matches!(&read.prepared.body, Body::PerEvent(op) if op.after_merge()))
}

/// True when a node's outputs are there once per heartbeat, not per event.
fn is_result(graph: &Graph<'_>, place: usize, flows: &[Flow]) -> bool {
    is_reduction(graph, place) || flows[place] == Flow::Root
}

fn mixed(graph: &Graph<'_>, place: usize, event: usize, result: usize) -> Fault {
    let source = |k: usize| {
        let read = graph.nodes[place].read.as_ref();
        read.and_then(|r| r.wiring.sources.get(k).cloned()).unwrap_or_default()
    };
    let (event, result) = (source(event), source(result));
    Fault::of(
        "in",
        format!("{event:?} has a value per event, {result:?} one per heartbeat"),
        format!(
            "reduce {event:?} first, for example by a node {{\"op\": \"last\", \"in\": {event:?}}}"
        ),
    )
}
