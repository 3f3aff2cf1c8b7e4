//! The checked graph: every node's op, parameters and inputs read, names resolved, in an order in
//! which each node comes after those it depends on. With a schema or without one.

use crate::data::files::Files;
use crate::data::schema::{EventField, PULSE_ID, Schema};
use crate::error::{Fault, SpecError, nearest};
use crate::graph::inputs::Inputs;
use crate::graph::spec::{GraphSpec, NodeSpec};
use crate::graph::window::Window;
use crate::graph::wiring::{Wiring, unknown_params, wire};
use crate::op::doc::Class;
use crate::op::foreign::Foreign;
use crate::op::kind::{Body, Prepared};
use crate::op::parameters::Args;
use crate::ops;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Where an input comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// A field of the schema, by index.
    Field(usize),
    /// What every event is, beside its fields.
    Event(EventField),
    /// A field of a schema that is not known yet.
    Unknown,
    /// An output of a node of the same graph; both by place.
    Node(usize, usize),
}

/// One node, as far as it can be read without data.
#[derive(Debug)]
pub struct Node<'a> {
    /// Its name.
    pub name: &'a str,
    /// As written.
    pub spec: &'a NodeSpec,
    /// Its op, parameters and outputs; None when they cannot be read.
    pub read: Option<Read>,
    /// Where its inputs come from; empty when that cannot be told.
    pub sources: Vec<Source>,
    /// Why it cannot run.
    pub off: Option<SpecError>,
}

/// A node's op with its parameters.
#[derive(Debug)]
pub struct Read {
    /// Inputs by name.
    pub wiring: Wiring,
    /// Parameters.
    pub prepared: Prepared,
    /// Window; of a per-event node: the heartbeat.
    pub window: Window,
}

impl Read {
    /// True for reductions.
    pub fn is_reduction(&self) -> bool {
        matches!(self.prepared.body, Body::Reduction(_))
    }
}

/// A published topic: a node's place, and one output's or all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Topic {
    /// `node` or `node.output`.
    pub name: String,
    /// The node's place.
    pub node: usize,
    /// The output's place; None for all.
    pub output: Option<usize>,
}

/// A graph with everything found out that needs no data.
#[derive(Debug)]
pub struct Graph<'a> {
    /// Its name.
    pub name: &'a str,
    /// Its nodes by name.
    pub nodes: Vec<Node<'a>>,
    /// Places of nodes, each after those it depends on; those on a cycle are left out.
    pub order: Vec<usize>,
    /// What is published.
    pub topics: Vec<Topic>,
    /// Everything that is wrong, the most basic first.
    pub errors: Vec<SpecError>,
}

/// What is at hand beside the graph.
#[derive(Debug, Clone, Copy, Default)]
pub struct Given<'a> {
    /// Contents of the files that parameters name.
    pub files: Option<&'a Files>,
    /// What runs user code.
    pub code: Option<&'a Arc<dyn Foreign>>,
}

impl<'a> Graph<'a> {
    /// Reads a graph. Without a schema, names that are no node are taken to be fields; without
    /// files, those that parameters name are taken to be good.
    pub fn read(
        name: &'a str,
        spec: &'a GraphSpec,
        schema: Option<&Schema>,
        given: Given<'_>,
    ) -> Graph<'a> {
        let mut graph = Graph {
            name,
            nodes: spec.nodes.iter().map(|(name, spec)| read_node(name, spec, given)).collect(),
            order: Vec::new(),
            topics: Vec::new(),
            errors: Vec::new(),
        };
        if let Err(fault) = spec.check_form() {
            graph.errors.push(SpecError { node: None, ..fault.at(name, "") });
        }
        for place in 0..graph.nodes.len() {
            let faults = faults_of(graph.nodes[place].spec, given);
            graph.fail(place, faults);
        }
        for place in 0..graph.nodes.len() {
            match graph.resolve_all(place, schema) {
                Ok(sources) => graph.nodes[place].sources = sources,
                Err(faults) => graph.fail(place, faults),
            }
        }
        graph.sort();
        graph.find_topics(spec);
        graph
    }

    /// Switches a node off. The first fault is its reason.
    pub fn fail(&mut self, place: usize, faults: Vec<Fault>) {
        for fault in faults {
            let error = fault.at(self.name, self.nodes[place].name);
            self.nodes[place].off.get_or_insert_with(|| error.clone());
            self.errors.push(error);
        }
    }

    fn place(&self, name: &str) -> Option<usize> {
        self.nodes.binary_search_by_key(&name, |node| node.name).ok()
    }

    fn resolve_all(
        &self,
        place: usize,
        schema: Option<&Schema>,
    ) -> Result<Vec<Source>, Vec<Fault>> {
        let Some(read) = &self.nodes[place].read else { return Ok(Vec::new()) };
        let (mut sources, mut faults) = (Vec::new(), Vec::new());
        for (input, source) in read.wiring.names.iter().zip(&read.wiring.sources) {
            match self.resolve(place, source, schema) {
                Ok(source) => sources.push(source),
                Err(mut fault) => {
                    if read.wiring.names.len() > 1 {
                        fault.reason = format!("input {input:?}: {}", fault.reason);
                    }
                    faults.push(fault);
                }
            }
        }
        if faults.is_empty() { Ok(sources) } else { Err(faults) }
    }

    /// What a name means: a field if it has a dot or colon and is one, else another node or its
    /// output, else a field.
    fn resolve(&self, place: usize, name: &str, schema: Option<&Schema>) -> Result<Source, Fault> {
        let field = schema.and_then(|s| s.find(name)).map(Source::Field);
        let field = field.or_else(|| EventField::named(name).map(Source::Event));
        if name.contains(['.', ':'])
            && let Some(field) = field
        {
            return Ok(field);
        }
        if let Some(node) = self.place(name).filter(|&other| other != place) {
            return Ok(Source::Node(node, 0));
        }
        let output = name.rsplit_once('.').and_then(|(n, o)| Some((self.place(n)?, o)));
        if let Some((node, output)) = output {
            return self.output_of(node, output).map(|o| Source::Node(node, o));
        }
        match (field, schema) {
            (Some(field), _) => Ok(field),
            (None, None) if self.place(name) != Some(place) => Ok(Source::Unknown),
            _ => Err(self.no_such(place, name, schema)),
        }
    }

    fn output_of(&self, node: usize, output: &str) -> Result<usize, Fault> {
        let Some(read) = &self.nodes[node].read else { return Ok(0) };
        let outputs = &read.prepared.outputs;
        let none = || {
            let reason = format!("node {:?} has no output {output:?}", self.nodes[node].name);
            Fault::of("in", reason, nearest(output, outputs.iter().map(String::as_str)))
        };
        outputs.iter().position(|o| o == output).ok_or_else(none)
    }

    fn no_such(&self, place: usize, name: &str, schema: Option<&Schema>) -> Fault {
        if self.nodes[place].name == name {
            let hint = "name another node or a field of the source";
            return Fault::of("in", "the node is its own input", hint);
        }
        let fields = schema.map_or(&[][..], |s| &s.fields);
        if name == PULSE_ID {
            let reason = "this source has no pulse id, or more than one";
            return Fault::of(
                "in",
                reason,
                "name the field that has it, or use event.timestamp_ns",
            );
        }
        let names = fields
            .iter()
            .flat_map(|f| f.aliases.iter().map(String::as_str).chain([f.name.as_str()]));
        let nodes = self.nodes.iter().map(|n| n.name).filter(|n| *n != self.nodes[place].name);
        let reason = format!("there is no field and no node {name:?}");
        let mut known: Vec<&str> = names.chain(nodes).collect();
        known.extend(EventField::ALL.map(EventField::name));
        Fault::of("in", reason, nearest(name, known))
    }

    /// Orders the nodes; those that depend on themselves are faults.
    fn sort(&mut self) {
        let mut waiting: Vec<usize> = Vec::new();
        let mut dependents: Vec<Vec<usize>> = vec![Vec::new(); self.nodes.len()];
        for (place, node) in self.nodes.iter().enumerate() {
            waiting.push(0);
            for source in &node.sources {
                if let Source::Node(other, _) = source {
                    waiting[place] += 1;
                    dependents[*other].push(place);
                }
            }
        }
        self.order = (0..waiting.len()).filter(|&p| waiting[p] == 0).collect();
        let mut next = 0;
        while let Some(&place) = self.order.get(next) {
            next += 1;
            for &dependent in &dependents[place] {
                waiting[dependent] -= 1;
                if waiting[dependent] == 0 {
                    self.order.push(dependent);
                }
            }
        }
        for place in (0..waiting.len()).filter(|&p| waiting[p] > 0) {
            let path = self.cycle_through(place, &waiting);
            let fault = match path {
                Some(path) => Fault::of(
                    "in",
                    format!("the node depends on itself: {path}"),
                    "take one of these inputs from elsewhere",
                ),
                None => Fault::of(
                    "in",
                    "the node depends on nodes that depend on themselves",
                    "correct those first",
                ),
            };
            self.fail(place, vec![fault]);
        }
    }

    /// The way from a node back to itself, if there is one.
    fn cycle_through(&self, start: usize, waiting: &[usize]) -> Option<String> {
        let mut came_from: BTreeMap<usize, usize> = BTreeMap::new();
        let mut queue = vec![start];
        while let Some(place) = queue.pop() {
            for source in &self.nodes[place].sources {
                let Source::Node(other, _) = *source else { continue };
                if other == start {
                    let mut path = vec![self.nodes[start].name, self.nodes[place].name];
                    let mut at = place;
                    while at != start {
                        at = came_from[&at];
                        path.push(self.nodes[at].name);
                    }
                    if path.len() == 2 && place == start {
                        path.pop();
                        path.push(self.nodes[start].name);
                    }
                    path.reverse();
                    return Some(path.join(" → "));
                }
                if waiting[other] > 0 && !came_from.contains_key(&other) {
                    came_from.insert(other, place);
                    queue.push(other);
                }
            }
        }
        None
    }

    fn find_topics(&mut self, spec: &GraphSpec) {
        let Some(publish) = &spec.publish else {
            let mut used = vec![false; self.nodes.len()];
            for source in self.nodes.iter().flat_map(|n| &n.sources) {
                if let Source::Node(place, _) = source {
                    used[*place] = true;
                }
            }
            let ends = (0..self.nodes.len()).filter(|&place| !used[place]);
            self.topics = ends
                .map(|node| Topic { name: self.nodes[node].name.into(), node, output: None })
                .collect();
            return;
        };
        for name in publish {
            match self.topic(name) {
                Ok(topic) if self.topics.contains(&topic) => {}
                Ok(topic) => self.topics.push(topic),
                Err(fault) => {
                    self.errors.push(SpecError { node: None, ..fault.at(self.name, "") });
                }
            }
        }
    }

    fn topic(&self, name: &str) -> Result<Topic, Fault> {
        if let Some(node) = self.place(name) {
            return Ok(Topic { name: name.into(), node, output: None });
        }
        let none = || {
            let hint = nearest(name, self.nodes.iter().map(|n| n.name));
            Fault::of("publish", format!("there is no node {name:?}"), hint)
        };
        let (node, output) =
            name.rsplit_once('.').and_then(|(n, o)| Some((self.place(n)?, o))).ok_or_else(none)?;
        let output = self.output_of(node, output);
        let output = output.map_err(|f| Fault { parameter: Some("publish".into()), ..f })?;
        Ok(Topic { name: name.into(), node, output: Some(output) })
    }
}

fn read_node<'a>(name: &'a str, spec: &'a NodeSpec, given: Given<'_>) -> Node<'a> {
    let read = read_spec(spec, given).ok().flatten();
    Node { name, spec, read, sources: Vec::new(), off: None }
}

/// Everything wrong with a node taken for itself.
fn faults_of(spec: &NodeSpec, given: Given<'_>) -> Vec<Fault> {
    let Some(op) = ops::find(&spec.op) else {
        return read_spec(spec, given).err().into_iter().collect();
    };
    let mut faults = unknown_params(spec, op.doc());
    faults.extend(read_spec(spec, given).err());
    faults
}

/// A node's op with its parameters; None when what it is will be told by files that are not there.
fn read_spec(spec: &NodeSpec, given: Given<'_>) -> Result<Option<Read>, Fault> {
    let op = ops::find(&spec.op).ok_or_else(|| {
        let hint = nearest(&spec.op, ops::OPS.iter().map(|op| op.doc().name));
        let hint = format!("{hint} (`ami-ctl ops` lists all)");
        Fault::of("op", format!("there is no op {:?}", spec.op), hint)
    })?;
    let doc = op.doc();
    let wiring = wire(spec, doc)?;
    let window = match (&spec.window, doc.class) {
        (Some(json), Class::Reduction) => Window::from_json(json)?,
        (None, Class::Reduction) => Window::default(),
        (Some(json), Class::UserCode) => Window::from_json(json)?,
        (None, Class::UserCode) => Window::default(),
        (None, Class::PerEvent) => Window::Heartbeat,
        (Some(_), Class::PerEvent) => {
            let reason = format!("op {:?} works event by event", doc.name);
            return Err(Fault::of("window", reason, "put the window on a reduction after it"));
        }
    };
    let named = matches!(spec.inputs, Inputs::Map(_));
    if op.told_by_files() && given.files.is_none() {
        return Ok(None);
    }
    let Given { files, code } = given;
    let (names, with, params) = (&wiring.names, wiring.with, &spec.params);
    let prepared = op.prepare(&Args { names, with, named, params, files, code })?;
    let is_reduction = matches!(prepared.body, Body::Reduction(_));
    if doc.class == Class::UserCode && spec.window.is_some() && !is_reduction {
        let reason = "the code is no reduction";
        return Err(Fault::of("window", reason, "put the window on a reduction after it"));
    }
    let window = if is_reduction { window } else { Window::Heartbeat };
    Ok(Some(Read { wiring, prepared, window }))
}
