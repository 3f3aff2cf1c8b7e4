//! Data of heartbeats that were published without them.

use crate::data::frame::Frame;
use crate::plan::Plan;
use crate::plan::stages::Flow;
use crate::root::ledger::place;
use crate::root::{RootStage, is_value};
use crate::wire::partial::{NodeReport, Partial};

impl RootStage {
    /// Data of a heartbeat that was published already: they join the accumulations in which it
    /// still is. The frame says which heartbeat; of its truth, `events` and `dropped` are what
    /// came late, and `expected` is by how much the heartbeat's expected events are more: of one that was of
    /// unknown share nothing until it is known, and then all.
    ///
    /// `version` is that of the partial's graphs. False when it is neither the present one nor the one
    /// before, which a checkpoint does not hold: the events are counted, their states are not merged.
    pub fn late(&mut self, version: u64, frame: &Frame, partial: Partial) -> bool {
        let before = self.before.as_ref().filter(|plan| plan.version() == version);
        let known = match before {
            _ if version == self.plan.version() => Some(partial),
            Some(before) => Some(self.translated(before, partial)),
            None => None,
        };
        let fits = known.is_some();
        self.join(frame, known.unwrap_or_default());
        fits
    }

    /// A partial of another version under the numbers of this one: what nodes that mean the same in both
    /// have. Nodes that were changed began anew with this version.
    fn translated(&self, from: &Plan, partial: Partial) -> Partial {
        let place = |ordinal: u32| {
            let old = from.planned.get(ordinal as usize)?;
            let new = self.plan.ordinal(&old.graph, &old.name)?;
            let same = self.plan.planned[new as usize].identity == old.identity;
            same.then_some(new)
        };
        let slots = partial.slots.into_iter();
        let slots = slots.filter_map(|((n, part), slot)| Some(((place(n)?, part), slot))).collect();
        let mut translated = Partial { slots, reports: Vec::new() };
        for report in partial.reports {
            if let Some(ordinal) = place(report.ordinal) {
                translated.report(NodeReport { ordinal, ..report });
            }
        }
        translated
    }

    fn join(&mut self, frame: &Frame, mut partial: Partial) {
        std::mem::take(&mut partial.reports).into_iter().for_each(|r| self.report(r));
        for (ordinal, node) in self.plan.planned.iter().enumerate() {
            if node.flow == Flow::Worker
                && let Some(window) = &mut self.windows[ordinal]
            {
                let mut slot = partial.slots.remove(&(ordinal as u32, 0)).unwrap_or_default();
                if let Some(reduction) = node.reduction() {
                    slot.enter(reduction, node.inputs.len(), frame, frame.truth.events);
                }
                window.late(frame, slot);
            }
        }
        if self.newest_frame == Some(place(frame)) {
            partial.slots.retain(|key, _| is_value(&self.plan, *key));
            // A mismatch cannot come from one plan.
            let _ = self.values.merge(partial);
        }
    }
}
