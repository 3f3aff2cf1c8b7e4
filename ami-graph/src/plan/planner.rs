//! How a plan comes to be: graph by graph, node by node in the order of dependence.

use crate::data::schema::{EventField, Labels};
use crate::data::types::Type;
use crate::data::value::DType;
use crate::error::Fault;
use crate::graph::checked::{Given, Graph, Source, Topic};
use crate::graph::spec::{NodeSpec, VersionedGraph};
use crate::graph::window::Window;
use crate::graph::wiring::Wiring;
use crate::op::foreign::Foreign;
use crate::op::kind::Body;
use crate::plan::cost;
use crate::plan::identity::{Identity, identity};
use crate::plan::stages::{Flow, cut};
use crate::plan::{Feature, From, Intake, Plan, Planned, Step};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Plans every graph of an empty plan's set.
pub fn fill(plan: &mut Plan, code: Option<&Arc<dyn Foreign>>) {
    let set = plan.set().clone();
    let left = plan.limits.state_bytes;
    let mut builder = Builder { plan, left, known: BTreeMap::new(), code };
    for (name, graph) in &set.graphs {
        builder.graph(name, graph);
    }
    share(plan);
}

/// Windows whose states could not be charged share what the others leave.
fn share(plan: &mut Plan) {
    let left = plan.uncharged();
    let unknown = |n: &&mut Planned| n.reduction().is_some() && n.state_bytes == 0;
    let count = plan.planned.iter_mut().filter(unknown).count() as u64;
    for node in plan.planned.iter_mut().filter(unknown) {
        node.budget = node.budget.min((left / count).max(cost::LEAST));
    }
}

/// Plans one graph after the other.
struct Builder<'p> {
    code: Option<&'p Arc<dyn Foreign>>,
    plan: &'p mut Plan,
    /// Bytes of state not given out yet.
    left: u64,
    /// Steps by the identity of what they compute.
    known: BTreeMap<Identity, usize>,
}

impl Builder<'_> {
    fn graph(&mut self, name: &str, versioned: &VersionedGraph) {
        let schema = self.plan.schema.clone();
        let set = self.plan.set.clone();
        let given = Given { files: Some(&set.files), code: self.code };
        let mut graph = Graph::read(name, &versioned.spec, Some(&schema), given);
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
        let identity = identity(spec, &node.wiring, resets, |k| match node.sources.get(k) {
            Some(&Source::Field(field)) => (self.plan.schema.fields[field].name.as_bytes(), None),
            Some(&Source::Node(other, output)) => {
                (&self.plan.planned[base + other].identity, Some(output))
            }
            Some(Source::Event(field)) => (field.name().as_bytes(), None),
            Some(Source::Unknown) | None => (EventField::Timestamp.name().as_bytes(), None),
        });
        let inputs: Vec<Type> = node.sources.iter().map(|s| self.type_of(base, *s)).collect();
        let input_labels = node.sources.iter().map(|s| self.labels_of(base, *s)).collect();
        let depends = node.sources.iter().any(|source| match *source {
            Source::Node(other, _) => self.plan.planned[base + other].split_dependent,
            _ => false,
        });
        let node = &mut self.plan.planned[at];
        let own = matches!(&node.body, Some(Body::PerEvent(op)) if op.split_dependent());
        node.split_dependent = depends || own;
        if let Some(Body::PerEvent(op)) = &mut node.body {
            op.known_as(&node.graph, &node.name, &identity);
        }
        node.identity = identity;
        node.inputs = inputs;
        node.input_labels = input_labels;
        if let Some(reason) = off {
            node.off.get_or_insert(reason);
        }
        if node.runs()
            && let Err(fault) = self.bind(at)
        {
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
            Source::Event(field) => Type::scalar(field.dtype()),
            Source::Unknown => Type::scalar(DType::F64),
            Source::Node(other, output) => {
                let types = &self.plan.planned[base + other].types;
                types.get(output).cloned().unwrap_or_else(|| Type::unknown(DType::F64))
            }
        }
    }

    fn labels_of(&self, base: usize, source: Source) -> Labels {
        match source {
            Source::Field(field) => self.plan.schema.fields[field].labels.clone(),
            Source::Event(_) | Source::Unknown => Labels::new(),
            Source::Node(other, output) => {
                let labels = self.plan.planned[base + other].labels.get(output);
                labels.cloned().unwrap_or_default()
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
            return Err(Fault::new(
                format!("more than {} nodes in all graphs", limits.nodes),
                hint,
            ));
        }
        let node = &mut self.plan.planned[at];
        node.labels = node.output_labels();
        match &node.body {
            None => {}
            Some(Body::PerEvent(op)) => {
                node.types = op.bind_labelled(&node.inputs, &node.input_labels)?.0;
                node.state_bytes = op.tables(&node.inputs, &node.types);
            }
            Some(Body::Reduction(reduction)) => {
                node.types = reduction.bind(&node.inputs)?;
                let cost = cost::of(reduction.as_ref(), &node.inputs, node.window, limits);
                (node.state_bytes, node.budget) = (cost.bytes, cost.budget);
            }
        }
        if node.state_bytes > self.left {
            return Err(cost::refusal(node.state_bytes, self.left, limits, node.window));
        }
        self.left -= node.state_bytes;
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
            Source::Event(field) => From::Event(field),
            Source::Unknown => From::Event(EventField::Timestamp),
            Source::Node(other, output) => {
                let step = self.known.get(&self.plan.planned[base + other].identity);
                From::Step(step.map_or(0, |&s| self.plan.steps[s].first) + output)
            }
        }
    }
}

fn planned(graph: &str, node: crate::graph::checked::Node<'_>, flow: Flow) -> Planned {
    let op = crate::ops::current_name(&node.spec.op).to_owned();
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
        input_labels: Vec::new(),
        labels: Vec::new(),
        identity: Identity::default(),
        carrier: None,
        split_dependent: false,
        state_bytes: 0,
        budget: 0,
        off,
    }
}
