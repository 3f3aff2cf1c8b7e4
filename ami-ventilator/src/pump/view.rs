//! What can be seen of a pump from outside.

use crate::pump::watchdog::Seen;
use crate::pump::{Pump, Step};
use ami_graph::data::schema::{Kind, Schema};
use ami_proto::data_path::ids::Conditions;
use std::os::fd::BorrowedFd;
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

    /// What the watchdog is to know after a step.
    pub fn seen(&self, step: Step, now_ns: u64) -> Seen {
        Seen {
            now_ns,
            events: self.counts.taken,
            unbelieved: self.counts.dropped.get("timestamp").copied().unwrap_or(0),
            transitions: self.counts.transitions,
            progress: self.flow.progress(),
            pending: self.flow.pending_units() > 0,
            lost: self.source.lost(),
            ended: step == Step::Ended,
            held: match step {
                Step::Blocked(reason) => Some(reason),
                _ => None,
            },
        }
    }

    /// What becomes readable when the source may have more.
    pub fn wakes(&self) -> Option<BorrowedFd<'_>> {
        self.source.wakes()
    }

    /// Newest believed timestamp.
    pub fn newest(&self) -> Option<u64> {
        self.timeline.newest()
    }

    /// Events that had each field, with the field's name, since the last Configure.
    pub fn fields_seen(&self) -> impl Iterator<Item = (&str, u64)> {
        let fields = self.schema.iter().flat_map(|s| &s.fields).map(|f| f.name.as_str());
        fields.zip(self.staging.seen().iter().copied())
    }

    /// The same of the fields that events have, not transitions.
    pub fn event_fields_seen(&self) -> impl Iterator<Item = (&str, u64)> {
        let kinds = self.schema.iter().flat_map(|s| &s.fields).map(|f| f.kind);
        let of_events = kinds.zip(self.fields_seen()).filter(|(kind, _)| *kind == Kind::Event);
        of_events.map(|(_, seen)| seen)
    }

    /// What the source has to tell.
    pub fn source_counters(&self) -> Vec<(&'static str, u64)> {
        self.source.counters()
    }

    /// The first heartbeat of which nothing was made yet: what a graph change can wait for.
    pub fn untouched(&self) -> u64 {
        self.timeline.untouched()
    }

    /// The open run.
    pub fn conditions(&self) -> Conditions {
        self.conditions
    }
}
