//! Transitions: runs, steps, held values and fields change between events.

use crate::pump::{Pump, Step};
use ami_graph::data::schema::Schema;
use ami_graph::data::value::Value;
use ami_proto::data_path::chunk::Staging;
use ami_proto::data_path::transition::TransitionKind;
use ami_proto::data_path::ventilator_to_worker::StepValues;
use ami_source::source::Transition;
use std::sync::Arc;

/// Longest text that travels as a step's value, in bytes.
const LONGEST_STEP_TEXT: usize = 256;

impl Pump {
    pub(super) fn on_transition(&mut self, now_ns: u64) -> anyhow::Result<Step> {
        // The first Configure says what is on offer; the rest waits with the events.
        if self.schema.is_some()
            && let Some(reason) = self.holding(now_ns)
        {
            return Ok(Step::Blocked(reason));
        }
        if self.flow.full() || !self.seal() {
            return Ok(Step::Blocked("ring full, or the root behind"));
        }
        let Some(transition) = self.source.transition() else { return Ok(Step::Worked) };
        self.counts.transitions += 1;
        self.follow(transition, now_ns);
        Ok(Step::Worked)
    }

    fn follow(&mut self, transition: Transition, now_ns: u64) {
        use TransitionKind as T;
        let before = self.conditions;
        match transition.kind {
            T::Configure | T::BeginRun | T::EndRun | T::BeginStep | T::EndStep | T::Unconfigure => {
                self.boundary(now_ns);
            }
            T::Enable | T::Disable | T::SlowUpdate | T::GraphUpdate => {}
        }
        if let Some(schema) = transition.schema {
            self.configure(schema);
        }
        match transition.kind {
            T::BeginRun => {
                self.conditions.run = transition.run.unwrap_or(self.conditions.run + 1);
                (self.conditions.step, self.steps) = (None, 0);
                self.step_values.clear();
            }
            T::BeginStep => {
                let step = transition.step.unwrap_or(self.steps);
                self.conditions.step = Some(step);
                self.steps = step.saturating_add(1);
                self.step_values = self.named(&transition.held);
            }
            _ => {}
        }
        let changed = self.conditions != before || !transition.held.is_empty();
        let set = transition.held.iter().map(|(field, _)| *field).collect();
        self.held.extend(transition.held);
        if changed {
            self.new_context();
        }
        self.flow.transition(transition.kind, transition.timestamp, set);
    }

    /// From here on events are seen with the present conditions and values.
    pub(super) fn new_context(&mut self) {
        let (held, step_values) = (self.held.clone(), self.step_values.clone());
        self.context = self.flow.context(self.conditions, held, step_values);
    }

    /// What a scan can go by: numbers and short texts, under their names.
    fn named(&self, held: &[(u32, Value)]) -> StepValues {
        let fields = self.schema.as_ref().map_or(&[][..], |schema| &schema.fields);
        let name = |field: &u32| fields.get(*field as usize).map(|f| f.name.clone());
        let short = |value: &Value| match value {
            Value::Scalar(_) => true,
            Value::Str(text) => text.len() <= LONGEST_STEP_TEXT,
            Value::Array(_) => false,
        };
        let values = held.iter().filter(|&(_, value)| short(value));
        values.filter_map(|(field, value)| Some((name(field)?, value.clone()))).collect()
    }

    fn configure(&mut self, schema: Arc<Schema>) {
        self.conditions.schema = self.flow.schema(schema.clone());
        self.staging = Staging::new(&schema);
        // Room for the index of a chunk that is full of events with every field.
        let per_event: usize =
            schema.fields.iter().map(|f| if f.rank == 0 { 17 } else { 32 }).sum();
        let index = self.options.chunk_events * (8 + per_event) + schema.fields.len() * 192;
        self.margin = (index + 4096).min(self.ring.capacity() / 8);
        self.held.clear();
        self.step_values.clear();
        self.new_context();
        self.schema = Some(schema);
    }
}
