//! Of what a published value speaks: this heartbeat, or, of code that takes its time, an earlier one.

use crate::data::frame::Frame;
use crate::op::kind::Body;
use crate::plan::Feature;
use crate::root::published::{Published, published};
use crate::root::windowed::Windowed;
use crate::root::{Finished, RootStage};

/// Heartbeats whose truth is kept for code that takes its time: ten minutes of them.
const REMEMBERED: usize = 6000;

impl RootStage {
    pub(super) fn publish(
        &mut self,
        feature: &Feature,
        frame: &Frame,
        values: &[Finished],
    ) -> Option<Published> {
        let node = &self.plan.planned[feature.ordinal as usize];
        let carrier = node.carrier.and_then(|c| self.windows[c as usize].as_ref());
        let truth = carrier.map_or_else(|| frame.truth.clone(), Windowed::truth);
        let value = &values[feature.ordinal as usize];
        let kernel = self.kernels[feature.ordinal as usize].as_ref();
        let Some(heartbeat) = kernel.and_then(|kernel| kernel.speaks_of()) else {
            return published(node, feature, truth, None, value);
        };
        let spoken = self.spoken.entry(feature.ordinal).or_default();
        let then = spoken.iter().find(|(of, _)| *of == heartbeat).map(|(_, truth)| truth.clone());
        let speaks_of = (heartbeat != frame.heartbeat).then_some(heartbeat);
        published(node, feature, then.unwrap_or(truth), speaks_of, value)
    }

    /// Keeps the truth of this heartbeat for values that will speak of it later.
    pub(super) fn remember_truth(&mut self, frame: &Frame) {
        let plan = self.plan.clone();
        for (ordinal, node) in plan.planned.iter().enumerate() {
            if !matches!(&node.body, Some(Body::PerEvent(op)) if op.after_merge()) {
                continue;
            }
            let carrier = node.carrier.and_then(|c| self.windows[c as usize].as_ref());
            let truth = carrier.map_or_else(|| frame.truth.clone(), Windowed::truth);
            let spoken = self.spoken.entry(ordinal as u32).or_default();
            // Published again: what was given was of the first time.
            if spoken.back().is_some_and(|(heartbeat, _)| *heartbeat == frame.heartbeat) {
                continue;
            }
            spoken.push_back((frame.heartbeat, truth));
            while spoken.len() > REMEMBERED {
                spoken.pop_front();
            }
        }
    }
}
