//! What can be seen of a pump from outside.

use super::Pump;
use ami_graph::schema::Schema;
use ami_proto::ids::Conditions;
use std::sync::Arc;

impl Pump {
    /// Fields on offer.
    pub fn schema(&self) -> Option<&Arc<Schema>> {
        self.schema.as_ref()
    }

    /// Whether the source ended and everything is decided.
    pub fn drained(&self) -> bool {
        self.ended && self.flow.drained()
    }

    /// Events that had each field, with the field's name, since the last Configure.
    pub fn fields_seen(&self) -> impl Iterator<Item = (&str, u64)> {
        let fields = self.schema.iter().flat_map(|s| &s.fields).map(|f| f.name.as_str());
        fields.zip(self.staging.seen().iter().copied())
    }

    /// What the source has to tell.
    pub fn source_counters(&self) -> Vec<(&'static str, u64)> {
        self.source.counters()
    }

    /// The first heartbeat that is not yet open.
    pub fn earliest(&self) -> u64 {
        self.timeline.earliest()
    }

    /// The open run.
    pub fn conditions(&self) -> Conditions {
        self.conditions
    }
}
