//! The plan: graphs cut into what workers do over events and what the root does over results.
//!
//! Planning never fails as a whole. A node that cannot run with this schema, or that would take
//! too much memory, is switched off with its reason, and so are those that depend on it.

pub(crate) mod cost;
pub mod described;
pub(crate) mod identity;
pub mod limits;
mod planner;
pub(crate) mod stages;

use crate::data::schema::Labels;
use crate::data::schema::{EventField, Schema};
use crate::data::types::Type;
use crate::error::SpecError;
use crate::graph::checked::{Given, Graph, Source};
use crate::graph::spec::{GraphSet, GraphSpec};
use crate::graph::window::Window;
use crate::graph::wiring::Wiring;
use crate::op::foreign::Foreign;
use crate::op::kind::Body;
use crate::op::reduction::Reduction;
use crate::ops::USER_CODE;
use crate::plan::described::{FeatureInfo, NodeInfo, OutputInfo, Stage};
use crate::plan::identity::Identity;
use crate::plan::limits::Limits;
use crate::plan::stages::{Flow, cut};
use std::sync::Arc;

/// Parts of validation that need no schema and no files: names, cycles, ops, parameters, stages.
pub fn check(spec: &GraphSpec) -> Vec<SpecError> {
    let mut graph = Graph::read(&spec.name, spec, None, Given::default());
    cut(&mut graph);
    graph.errors
}

/// Where a computation on workers reads an input.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum From {
    /// A field of the schema.
    Field(usize),
    /// What the events are.
    Event(EventField),
    /// A column that an earlier step computed.
    Step(usize),
}

/// One computation per event on workers; nodes that are equal share it.
#[derive(Debug)]
pub(crate) struct Step {
    /// The nodes that it stands for; the first one lends its op.
    pub ordinals: Vec<u32>,
    pub inputs: Vec<From>,
    /// Place of its first column.
    pub first: usize,
    pub outputs: usize,
}

/// What a slot of a partial holds: a reduction's state (part 0), or the newest value of an output
/// of a per-event node (part = the output's place).
pub(crate) type Key = (u32, u32);

/// One reduction on workers.
#[derive(Debug)]
pub(crate) struct Intake {
    pub key: Key,
    pub inputs: Vec<From>,
}

/// One node as planned.
#[derive(Debug)]
pub(crate) struct Planned {
    pub graph: String,
    pub name: String,
    pub op: String,
    pub window: Window,
    pub wiring: Wiring,
    pub outputs: Vec<String>,
    pub body: Option<Body>,
    pub sources: Vec<Source>,
    pub flow: Flow,
    pub inputs: Vec<Type>,
    pub types: Vec<Type>,
    /// Labels of enumerations among the inputs; empty for every other one.
    pub input_labels: Vec<Labels>,
    /// The same of the outputs.
    pub labels: Vec<Labels>,
    pub identity: Identity,
    /// The reduction whose window its value is of; None: the heartbeat.
    pub carrier: Option<u32>,
    pub state_bytes: u64,
    /// True when its values depend on how events were shared among workers.
    pub split_dependent: bool,
    /// Bytes that its window is held to while running.
    pub budget: u64,
    pub off: Option<String>,
}

impl Planned {
    pub fn reduction(&self) -> Option<&dyn Reduction> {
        match &self.body {
            Some(Body::Reduction(reduction)) => Some(reduction.as_ref()),
            _ => None,
        }
    }

    /// Labels of the outputs that hold single values of an input.
    pub fn output_labels(&self) -> Vec<Labels> {
        let input = |output| match &self.body {
            Some(Body::Reduction(reduction)) => reduction.passes(output),
            Some(Body::PerEvent(op)) => op.passes(output),
            None => None,
        };
        let labels = |output| self.input_labels.get(input(output)?).cloned();
        (0..self.outputs.len()).map(|output| labels(output).unwrap_or_default()).collect()
    }

    pub fn runs(&self) -> bool {
        self.off.is_none()
    }

    /// Where its value comes to be.
    pub fn stage(&self) -> Stage {
        match self.flow {
            Flow::Worker => Stage::Worker,
            Flow::Root | Flow::Anywhere => Stage::Root,
        }
    }
}

/// A published topic.
#[derive(Debug)]
pub(crate) struct Feature {
    pub topic: String,
    pub ordinal: u32,
    pub version: u64,
    /// Places of the outputs in it.
    pub outputs: Vec<usize>,
}

/// A graph set made ready to run with a schema. Immutable; shared by all who run it.
#[derive(Debug)]
pub struct Plan {
    pub(crate) set: Arc<GraphSet>,
    pub(crate) schema: Arc<Schema>,
    pub(crate) limits: Limits,
    pub(crate) errors: Vec<SpecError>,
    pub(crate) wanted: Vec<bool>,
    /// By ordinal.
    pub(crate) planned: Vec<Planned>,
    pub(crate) features: Vec<Feature>,
    pub(crate) steps: Vec<Step>,
    pub(crate) columns: usize,
    pub(crate) intakes: Vec<Intake>,
    /// Ordinals of the nodes that the root computes, in order.
    pub(crate) root: Vec<u32>,
    /// By ordinal: ordinal of the first node of the same graph.
    pub(crate) bases: Vec<usize>,
}

impl Plan {
    /// Plans a graph set. What cannot run is switched off and told by [`errors`](Self::errors).
    /// User code is planned only: where it runs, use [`with_code`](Self::with_code).
    pub fn new(set: Arc<GraphSet>, schema: Arc<Schema>, limits: &Limits) -> Plan {
        Plan::with_code(set, schema, limits, None)
    }

    /// As [`new`](Self::new), with what runs user code here. Code is loaded by this.
    pub fn with_code(
        set: Arc<GraphSet>,
        schema: Arc<Schema>,
        limits: &Limits,
        code: Option<Arc<dyn Foreign>>,
    ) -> Plan {
        let mut plan = Plan {
            wanted: vec![false; schema.fields.len()],
            schema: schema.clone(),
            set: set.clone(),
            limits: limits.clone(),
            errors: Vec::new(),
            planned: Vec::new(),
            features: Vec::new(),
            steps: Vec::new(),
            columns: 0,
            intakes: Vec::new(),
            root: Vec::new(),
            bases: Vec::new(),
        };
        planner::fill(&mut plan, code.as_ref());
        plan
    }

    /// What does not run, and why; empty when everything runs. Nodes that depend on one that is
    /// off are not repeated here: see [`nodes`](Self::nodes).
    pub fn errors(&self) -> &[SpecError] {
        &self.errors
    }

    /// Why user code cannot run here.
    pub fn code_errors(&self) -> Vec<String> {
        let of_code = |e: &&SpecError| {
            let (Some(node), Some("code")) = (&e.node, e.parameter.as_deref()) else {
                return false;
            };
            let place = self.ordinal(&e.graph, node).map(|o| &self.planned[o as usize]);
            place.is_some_and(|planned| planned.op == USER_CODE)
        };
        self.errors.iter().filter(of_code).map(ToString::to_string).collect()
    }

    /// True when any node is user code.
    pub fn has_code(&self) -> bool {
        self.planned.iter().any(|node| node.op == USER_CODE)
    }

    /// Bytes left for states that could not be charged, because shapes are known only when the
    /// first event comes.
    pub(crate) fn uncharged(&self) -> u64 {
        let charged = self.planned.iter().filter(|n| n.runs()).map(|n| n.state_bytes);
        self.limits.state_bytes.saturating_sub(charged.sum())
    }

    /// The graphs.
    pub fn set(&self) -> &Arc<GraphSet> {
        &self.set
    }

    /// The schema.
    pub fn schema(&self) -> &Arc<Schema> {
        &self.schema
    }

    /// The graph set's version.
    pub fn version(&self) -> u64 {
        self.set.version
    }

    /// Per field of the schema: whether any node that runs uses it.
    pub fn wanted(&self) -> &[bool] {
        &self.wanted
    }

    /// What is published, by those nodes that run.
    pub fn features(&self) -> Vec<FeatureInfo> {
        let output = |node: &Planned, k: usize| OutputInfo {
            name: node.outputs[k].clone(),
            dtype: node.types.get(k).map(|t| t.dtype),
            rank: node.types.get(k).and_then(|t| t.rank),
            shape: node.types.get(k).and_then(|t| t.shape.clone()),
        };
        let info = |f: &Feature| {
            let node = &self.planned[f.ordinal as usize];
            FeatureInfo {
                topic: f.topic.clone(),
                graph: node.graph.clone(),
                node: node.name.clone(),
                op: node.op.clone(),
                window: node.window.to_json(),
                outputs: f.outputs.iter().map(|&k| output(node, k)).collect(),
            }
        };
        self.features.iter().map(info).collect()
    }

    /// A node's place in [`GraphSet::ordinals`] and [`nodes`](Self::nodes).
    pub fn ordinal(&self, graph: &str, node: &str) -> Option<u32> {
        let place = self
            .planned
            .binary_search_by(|p| (p.graph.as_str(), p.name.as_str()).cmp(&(graph, node)));
        place.ok().map(|place| place as u32)
    }

    /// Ordinal of the first node of this node's graph.
    pub(crate) fn base(&self, ordinal: u32) -> usize {
        self.bases[ordinal as usize]
    }

    /// Every node, in the order of ordinals.
    pub fn nodes(&self) -> Vec<NodeInfo> {
        let info = |node: &Planned| NodeInfo {
            graph: node.graph.clone(),
            node: node.name.clone(),
            op: node.op.clone(),
            stage: node.stage(),
            state_bytes: node.state_bytes,
            off: node.off.clone(),
        };
        self.planned.iter().map(info).collect()
    }
}
