//! Transitions: runs, steps, held values and fields change between events.

use super::{Pump, Step};
use crate::source::Transition;
use ami_graph::schema::{Held, Schema};
use ami_proto::chunk::Staging;
use ami_proto::transition::TransitionKind;
use std::sync::Arc;

impl Pump {
    pub(super) fn on_transition(&mut self, now_ns: u64) -> anyhow::Result<Step> {
        // The first Configure says what is on offer; the rest waits with the events.
        if self.schema.is_some()
            && let Some(reason) = self.holding()
        {
            return Ok(Step::Blocked(reason));
        }
        if self.flow.full() || !self.seal() {
            return Ok(Step::Blocked("ring full, or the root behind"));
        }
        let Some(transition) = self.source.transition() else { return Ok(Step::Worked) };
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
                (self.conditions.step, self.steps) = (0, 0);
            }
            T::BeginStep => {
                self.conditions.step = self.steps;
                self.steps += 1;
            }
            _ => {}
        }
        let changed = self.conditions != before || !transition.held.is_empty();
        self.held.extend(transition.held);
        if changed {
            self.context = self.flow.context(self.conditions, self.held.clone());
        }
        self.flow.transition(transition.kind, transition.timestamp);
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
        self.context = self.flow.context(self.conditions, Held::new());
        self.schema = Some(schema);
    }
}
