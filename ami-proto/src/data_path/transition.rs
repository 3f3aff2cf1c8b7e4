//! Transitions: the changes of state that stand in order with the events.

use serde::{Deserialize, Serialize};

/// Kinds of transition, numbered as LCLS-II does where it has them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[allow(missing_docs)] // the names are the field's own
pub enum TransitionKind {
    Configure,
    Unconfigure,
    BeginRun,
    EndRun,
    BeginStep,
    EndStep,
    Enable,
    Disable,
    SlowUpdate,
    /// A new set of graphs takes effect; made by ami, never by a source.
    GraphUpdate,
}

impl TransitionKind {
    /// LCLS-II's number; None for ami's own.
    pub const fn lcls(self) -> Option<u8> {
        match self {
            TransitionKind::Configure => Some(2),
            TransitionKind::Unconfigure => Some(3),
            TransitionKind::BeginRun => Some(4),
            TransitionKind::EndRun => Some(5),
            TransitionKind::BeginStep => Some(6),
            TransitionKind::EndStep => Some(7),
            TransitionKind::Enable => Some(8),
            TransitionKind::Disable => Some(9),
            TransitionKind::SlowUpdate => Some(10),
            TransitionKind::GraphUpdate => None,
        }
    }
}
