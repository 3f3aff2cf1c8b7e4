//! The plan: graphs cut into what workers do over events and what the root does over results.
//!
//! Planning never fails as a whole. A node that cannot run with this schema, or that would take
//! too much memory, is switched off with its reason, and so are those that depend on it.

use crate::cost;
use crate::error::{Fault, SpecError};
use crate::graph::{Graph, Source, TIMESTAMP, Topic};
use crate::identity::{Identity, identity};
use crate::limits::Limits;
use crate::ops::Body;
use crate::params::Wiring;
use crate::published::{FeatureInfo, NodeInfo, OutputInfo, Stage};
use crate::schema::Schema;
use crate::spec::{GraphSet, GraphSpec, NodeSpec, VersionedGraph};
use crate::stage::{Flow, cut};
use crate::state::Reduction;
use crate::types::Type;
use crate::value::DType;
use crate::window::Window;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Parts of validation that need no schema: names, cycles, ops, parameters, stages.
pub fn check(spec: &GraphSpec) -> Vec<SpecError> {
    let mut graph = Graph::read(&spec.name, spec, None);
    cut(&mut graph);
    graph.errors
}

/// Where a computation on workers reads an input.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum From {
    /// A field of the schema.
    Field(usize),
    /// The events' times.
    Timestamp,
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
    pub identity: Identity,
    /// The reduction whose window its value is of; None: the heartbeat.
    pub carrier: Option<u32>,
    pub state_bytes: u64,
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
    set: Arc<GraphSet>,
    schema: Arc<Schema>,
    pub(crate) limits: Limits,
    errors: Vec<SpecError>,
    wanted: Vec<bool>,
    /// By ordinal.
    pub(crate) planned: Vec<Planned>,
    pub(crate) features: Vec<Feature>,
    pub(crate) steps: Vec<Step>,
    pub(crate) columns: usize,
    pub(crate) intakes: Vec<Intake>,
    /// Ordinals of the nodes that the root computes, in order.
    pub(crate) root: Vec<u32>,
    /// By ordinal: ordinal of the first node of the same graph.
    bases: Vec<usize>,
}

impl Plan {
    /// Plans a graph set. What cannot run is switched off and told by [`errors`](Self::errors).
    pub fn new(set: Arc<GraphSet>, schema: Arc<Schema>, limits: &Limits) -> Plan {
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
        let mut builder = Builder { plan: &mut plan, left: limits.state_bytes, known: BTreeMap::new() };
        for (name, graph) in &set.graphs {
            builder.graph(name, graph);
        }
        plan
    }

    /// What does not run, and why; empty when everything runs. Nodes that depend on one that is
    /// off are not repeated here: see [`nodes`](Self::nodes).
    pub fn errors(&self) -> &[SpecError] {
        &self.errors
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

/// Plans one graph after the other.
struct Builder<'p> {
    plan: &'p mut Plan,
    /// Bytes of state not given out yet.
    left: u64,
    /// Steps by the identity of what they compute.
    known: BTreeMap<Identity, usize>,
}

impl Builder<'_> {
    fn graph(&mut self, name: &str, versioned: &VersionedGraph) {
        let schema = self.plan.schema.clone();
        let mut graph = Graph::read(name, &versioned.spec, Some(&schema));
        let flows = cut(&mut graph);
        let base = self.plan.planned.len();
        self.plan.errors.append(&mut graph.errors);
        let (order, topics) = (graph.order, graph.topics);
        for (node, flow) in graph.nodes.into_iter().zip(flows) {
            let planned = planned(name, node, flow);
            self.plan.planned.push(planned);
            self.plan.bases.push(base);
        }
        let needed = self.needed(base, &order, &topics);
        for place in order {
            let spec = &versioned.spec.nodes[&self.plan.planned[base + place].name];
            self.node(base, place, spec, versioned, needed[place]);
        }
        let mut at_worker = vec![false; self.plan.planned.len() - base];
        for topic in topics {
            let node = &self.plan.planned[base + topic.node];
            if !node.runs() {
                continue;
            }
            let outputs = match topic.output {
                Some(output) => vec![output],
                None => (0..node.outputs.len()).collect(),
            };
            at_worker[topic.node] |= node.reduction().is_none() && node.flow == Flow::Worker;
            self.plan.features.push(Feature {
                topic: format!("{name}/{}", topic.name),
                ordinal: (base + topic.node) as u32,
                version: versioned.version,
                outputs,
            });
        }
        for place in (0..at_worker.len()).filter(|&p| at_worker[p]) {
            self.newest(base + place);
        }
    }

    /// Plans a node whose inputs are planned.
    fn node(
        &mut self,
        base: usize,
        place: usize,
        spec: &NodeSpec,
        graph: &VersionedGraph,
        needed: bool,
    ) {
        let at = base + place;
        let node = &self.plan.planned[at];
        let off = node.sources.iter().find_map(|source| match *source {
            Source::Node(other, _) => {
                let other = &self.plan.planned[base + other];
                let reason = || format!("it depends on node {:?}, which is off", other.name);
                (!other.runs()).then(reason)
            }
            _ => None,
        });
        let resets = graph.resets.get(&node.name).copied().unwrap_or(0);
        let identity = identity(spec, &node.wiring, resets, |k| match node.sources[k] {
            Source::Field(field) => (self.plan.schema.fields[field].name.as_bytes(), None),
            Source::Timestamp | Source::Unknown => (TIMESTAMP.as_bytes(), None),
            Source::Node(other, output) => {
                (&self.plan.planned[base + other].identity, Some(output))
            }
        });
        let inputs: Vec<Type> =
            node.sources.iter().map(|s| self.type_of(base, *s)).collect();
        let node = &mut self.plan.planned[at];
        node.identity = identity;
        node.inputs = inputs;
        if let Some(reason) = off {
            node.off.get_or_insert(reason);
        }
        if node.runs() && let Err(fault) = self.bind(at) {
            self.fail(at, fault);
        }
        self.carry(base, at);
        if self.plan.planned[at].runs() && needed {
            self.install(base, at);
        }
    }

    /// By place: whether anything comes of a node. Reductions always count: their state is kept
    /// for the day they are published.
    fn needed(&self, base: usize, order: &[usize], topics: &[Topic]) -> Vec<bool> {
        let planned = &self.plan.planned[base..];
        let mut needed: Vec<bool> = planned.iter().map(|n| n.reduction().is_some()).collect();
        topics.iter().for_each(|topic| needed[topic.node] = true);
        for &place in order.iter().rev().filter(|&&p| planned[p].runs()) {
            if needed[place] {
                for source in &planned[place].sources {
                    if let Source::Node(other, _) = source {
                        needed[*other] = true;
                    }
                }
            }
        }
        needed
    }

    /// Finds the window that a node's value is of: its own, or the first of its inputs'.
    fn carry(&mut self, base: usize, at: usize) {
        let node = &self.plan.planned[at];
        let carrier = if node.reduction().is_some() {
            Some(at as u32)
        } else {
            node.sources.iter().find_map(|source| match source {
                Source::Node(other, _) => self.plan.planned[base + other].carrier,
                _ => None,
            })
        };
        if let Some(carrier) = carrier {
            let window = self.plan.planned[carrier as usize].window;
            let node = &mut self.plan.planned[at];
            (node.carrier, node.window) = (Some(carrier), window);
        }
    }

    fn type_of(&self, base: usize, source: Source) -> Type {
        match source {
            Source::Field(field) => {
                let field = &self.plan.schema.fields[field];
                Type {
                    dtype: field.dtype,
                    rank: Some(field.rank),
                    shape: if field.rank == 0 { Some(Vec::new()) } else { field.shape.clone() },
                }
            }
            Source::Timestamp | Source::Unknown => Type::scalar(DType::F64),
            Source::Node(other, output) => {
                let types = &self.plan.planned[base + other].types;
                types.get(output).cloned().unwrap_or_else(|| Type::unknown(DType::F64))
            }
        }
    }

    fn fail(&mut self, at: usize, fault: Fault) {
        let node = &mut self.plan.planned[at];
        let error = fault.at(&node.graph, &node.name);
        node.off = Some(error.to_string());
        self.plan.errors.push(error);
    }

    /// Checks types, and memory against what is left.
    fn bind(&mut self, at: usize) -> Result<(), Fault> {
        let limits = &self.plan.limits;
        if at >= limits.nodes {
            let hint = "remove graphs that nobody needs, or raise the limit";
            return Err(Fault::new(format!("more than {} nodes in all graphs", limits.nodes), hint));
        }
        let node = &mut self.plan.planned[at];
        match &node.body {
            None => {}
            Some(Body::PerEvent(op)) => node.types = op.bind(&node.inputs)?.0,
            Some(Body::Reduction(reduction)) => {
                node.types = reduction.bind(&node.inputs)?;
                let cost = cost::of(reduction.as_ref(), &node.inputs, node.window, limits);
                (node.state_bytes, node.budget) = (cost.bytes, cost.budget);
                if cost.bytes > self.left {
                    return Err(cost::refusal(cost.bytes, self.left, limits, node.window));
                }
                self.left -= cost.bytes;
            }
        }
        Ok(())
    }

    /// Puts a node that runs where it runs.
    fn install(&mut self, base: usize, at: usize) {
        let node = &self.plan.planned[at];
        let (flow, reduction) = (node.flow, node.reduction().is_some());
        if flow == Flow::Root || reduction || flow == Flow::Anywhere {
            self.plan.root.push(at as u32);
        }
        if flow == Flow::Root {
            return;
        }
        // On fields, even through nodes that nothing else needs: wanted by what is published.
        let inputs: Vec<From> =
            self.plan.planned[at].sources.clone().iter().map(|s| self.from(base, *s)).collect();
        if reduction {
            self.plan.intakes.push(Intake { key: (at as u32, 0), inputs });
            return;
        }
        let node = &self.plan.planned[at];
        let (identity, outputs) = (node.identity, node.outputs.len());
        if let Some(&step) = self.known.get(&identity) {
            self.plan.steps[step].ordinals.push(at as u32);
            return;
        }
        self.known.insert(identity, self.plan.steps.len());
        let first = self.plan.columns;
        self.plan.columns += outputs;
        self.plan.steps.push(Step { ordinals: vec![at as u32], inputs, first, outputs });
    }

    /// The newest value of each output of a per-event node, for publishing.
    fn newest(&mut self, at: usize) {
        let Some(&step) = self.known.get(&self.plan.planned[at].identity) else { return };
        let (first, outputs) = (self.plan.steps[step].first, self.plan.steps[step].outputs);
        for k in 0..outputs {
            let inputs = vec![From::Step(first + k)];
            self.plan.intakes.push(Intake { key: (at as u32, k as u32), inputs });
        }
    }

    fn from(&mut self, base: usize, source: Source) -> From {
        match source {
            Source::Field(field) => {
                self.plan.wanted[field] = true;
                From::Field(field)
            }
            Source::Timestamp | Source::Unknown => From::Timestamp,
            Source::Node(other, output) => {
                let step = self.known.get(&self.plan.planned[base + other].identity);
                From::Step(step.map_or(0, |&s| self.plan.steps[s].first) + output)
            }
        }
    }
}

fn planned(graph: &str, node: crate::graph::Node<'_>, flow: Flow) -> Planned {
    let op = node.spec.op.clone();
    let off = node.off.map(|error| error.to_string());
    let (window, wiring, outputs, body) = match node.read {
        Some(read) => (read.window, read.wiring, read.prepared.outputs, Some(read.prepared.body)),
        None => (Window::default(), Wiring::default(), Vec::new(), None),
    };
    Planned {
        graph: graph.to_owned(),
        name: node.name.to_owned(),
        op,
        window,
        wiring,
        outputs,
        body,
        sources: node.sources,
        flow,
        inputs: Vec::new(),
        types: Vec::new(),
        identity: Identity::default(),
        carrier: None,
        state_bytes: 0,
        budget: 0,
        off,
    }
}
