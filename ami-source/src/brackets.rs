//! What is open (run, step, enabled), so that a source cut short can be closed properly.

use crate::source::Transition;
use ami_proto::data_path::transition::TransitionKind;

/// The state that transitions leave behind.
#[derive(Debug, Clone, Copy, Default)]
pub struct Brackets {
    run: bool,
    step: bool,
    enabled: bool,
}

impl Brackets {
    /// Takes note of a transition.
    pub fn on(&mut self, kind: TransitionKind) {
        match kind {
            TransitionKind::BeginRun => self.run = true,
            TransitionKind::BeginStep => self.step = true,
            TransitionKind::Enable => self.enabled = true,
            TransitionKind::Disable => self.enabled = false,
            TransitionKind::EndStep => (self.step, self.enabled) = (false, false),
            TransitionKind::EndRun | TransitionKind::Configure | TransitionKind::Unconfigure => {
                *self = Brackets::default();
            }
            TransitionKind::SlowUpdate | TransitionKind::GraphUpdate => {}
        }
    }

    /// True between BeginRun and EndRun.
    pub fn in_run(self) -> bool {
        self.run
    }

    /// The transitions that close what is open, in order.
    pub fn closing(self, timestamp: u64) -> Vec<Transition> {
        let open = [
            (self.enabled, TransitionKind::Disable),
            (self.step, TransitionKind::EndStep),
            (self.run, TransitionKind::EndRun),
        ];
        open.into_iter().filter(|(open, _)| *open).map(|(_, kind)| plain(kind, timestamp)).collect()
    }
}

/// A transition that carries nothing but its kind.
pub fn plain(kind: TransitionKind, timestamp: u64) -> Transition {
    Transition { kind, timestamp, schema: None, run: None, step: None, held: Vec::new() }
}
