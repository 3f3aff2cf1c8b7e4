//! What a lane was told: schemas, graphs, contexts; and the plans compiled from them.

use ami_graph::data::schema::{Held, Schema};
use ami_graph::graph::spec::GraphSet;
use ami_graph::op::foreign::Foreign;
use ami_graph::plan::Plan;
use ami_graph::plan::limits::Limits;
use ami_proto::data_path::ids::Conditions;
use ami_proto::data_path::ventilator_to_worker::Context;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Contexts kept: units in flight need only the newest few.
const KEEP: usize = 4096;

/// The tables of one lane.
#[derive(Default)]
pub struct Plans {
    limits: Limits,
    code: Option<Arc<dyn Foreign>>,
    host: Arc<str>,
    schemas: BTreeMap<u32, Arc<Schema>>,
    graphs: BTreeMap<u64, Arc<GraphSet>>,
    contexts: BTreeMap<u32, (Conditions, Arc<Held>)>,
    compiled: BTreeMap<(u32, u64), Arc<Plan>>,
}

/// What a unit's events are to be seen with.
pub struct Seen {
    /// The compiled graphs.
    pub plan: Arc<Plan>,
    /// Held values.
    pub held: Arc<Held>,
    /// Run and step.
    pub conditions: Conditions,
    /// Name of this host.
    pub host: Arc<str>,
}

impl Seen {
    /// Run, step and held values, as user code is told of them.
    pub fn for_code(&self) -> ami_python::Context {
        let fields = &self.plan.schema().fields;
        let held = self.held.iter().filter_map(|(field, value)| {
            Some((fields.get(*field as usize)?.name.to_string(), value.clone()))
        });
        let Conditions { run, step, .. } = self.conditions;
        ami_python::Context { run, step, held: held.collect() }
    }
}

impl Plans {
    /// On the host of this name, with limits on what a plan may take, and what runs user code.
    pub fn new(limits: Limits, host: &str, code: Option<Arc<dyn Foreign>>) -> Plans {
        Plans { limits, host: host.into(), code, ..Plans::default() }
    }

    /// The same without anything told yet.
    pub fn emptied(&self) -> Plans {
        Plans::new(self.limits.clone(), &self.host, self.code.clone())
    }

    /// Fields under a number.
    pub fn schema(&mut self, number: u32, schema: Schema) {
        self.schemas.insert(number, Arc::new(schema));
    }

    /// Graphs under their version.
    pub fn graphs(&mut self, set: Arc<GraphSet>) {
        self.graphs.insert(set.version, set);
        while self.graphs.len() > 16 {
            self.graphs.pop_first();
        }
        let oldest = self.graphs.first_key_value().map_or(0, |(v, _)| *v);
        self.compiled.retain(|(_, version), _| *version >= oldest);
    }

    /// A context.
    pub fn context(&mut self, context: Context) {
        self.contexts.insert(context.number, (context.conditions, Arc::new(context.held)));
        while self.contexts.len() > KEEP {
            self.contexts.pop_first();
        }
    }

    /// Compiles a version aside; what is wrong with it here.
    pub fn prepare(&mut self, set: Arc<GraphSet>) -> Vec<String> {
        let Some((&number, schema)) = self.schemas.last_key_value() else { return Vec::new() };
        if self.compiled.contains_key(&(number, set.version)) {
            return Vec::new();
        }
        let (fields, code) = (schema.clone(), self.code.clone());
        let plan = Arc::new(Plan::with_code(set.clone(), fields, &self.limits, code));
        // A node that this host's fields cannot feed is switched off here, not a refusal: the
        // manager has checked every host's fields together. Code that cannot be loaded is one.
        let refused = plan.code_errors();
        if refused.is_empty() {
            self.compiled.insert((number, set.version), plan);
            self.graphs(set);
        }
        refused
    }

    /// What the events of a context are to be seen with; None when the lane was never told.
    pub fn seen(&mut self, context: u32) -> Option<Seen> {
        let (conditions, held) = self.contexts.get(&context)?;
        let key = (conditions.schema, conditions.version);
        let seen = |plan| {
            let (conditions, host) = (*conditions, self.host.clone());
            Seen { plan, held: held.clone(), conditions, host }
        };
        if let Some(plan) = self.compiled.get(&key) {
            return Some(seen(plan.clone()));
        }
        let schema = self.schemas.get(&key.0)?.clone();
        let set = match self.graphs.get(&key.1) {
            Some(set) => set.clone(),
            None if key.1 == 0 => Arc::new(GraphSet::default()),
            None => return None,
        };
        let plan = Arc::new(Plan::with_code(set, schema, &self.limits, self.code.clone()));
        self.compiled.insert(key, plan.clone());
        Some(seen(plan))
    }
}
