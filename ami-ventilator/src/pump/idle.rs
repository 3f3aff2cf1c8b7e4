//! What is done while the source has nothing: what was taken is handed on, the open heartbeat is closed, and
//! heartbeats in which nothing came are said to be empty, so that no other host's results wait for this one.

use crate::pump::change::Gate;
use crate::pump::{Pump, Step};

impl Pump {
    pub(super) fn on_pending(&mut self, now_ns: u64) -> anyhow::Result<Step> {
        if let Some((_, since)) = self.chunk
            && now_ns.saturating_sub(since) >= crate::pump::HAND_ON_NS
        {
            self.seal();
        }
        let silent = now_ns.saturating_sub(self.event_ns) >= self.options.idle_close_ns;
        let capped =
            !self.source.canned() && now_ns.saturating_sub(self.opened_ns) >= self.options.cap_ns;
        if (silent || capped) && self.timeline.open().is_some() && self.seal() {
            self.flow.flush(true, false, now_ns);
            self.timeline.close();
            self.counts.heartbeats += 1;
        }
        if silent && self.timeline.open().is_none() {
            self.change_while_idle();
            self.declare_empty(now_ns);
        }
        Ok(Step::Idle(self.source.due_in()))
    }

    /// One flush without events, of the newest heartbeat that is over: all before are empty with it.
    fn declare_empty(&mut self, now_ns: u64) {
        let Some(heartbeat) = self.newest_over(now_ns) else { return };
        let new = heartbeat >= self.timeline.earliest();
        if !new || self.flow.full() || self.change.gate(heartbeat) != Gate::Go {
            return;
        }
        self.timeline.enter(heartbeat);
        self.flow.begin(self.key(), self.context, 0, self.ring.next_position());
        self.flow.flush(true, false, now_ns);
        self.timeline.close();
    }

    /// The newest heartbeat of which nothing is to be expected any more. No clock is believed but the
    /// source's: what comes now is as much younger than the last event as time has passed since.
    fn newest_over(&self, now_ns: u64) -> Option<u64> {
        if !self.options.clocked || self.event_ns == 0 {
            return None;
        }
        let silence = now_ns.saturating_sub(self.event_ns);
        let sure = silence.saturating_sub(self.options.idle_close_ns);
        let reached = self.timeline.newest()?.saturating_add(sure);
        self.timeline.heartbeat(reached).checked_sub(1)
    }
}
