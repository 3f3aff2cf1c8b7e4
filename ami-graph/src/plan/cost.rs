//! What a reduction's state and window take, before it is accepted.

use crate::data::types::Type;
use crate::error::Fault;
use crate::graph::window::Window;
use crate::op::reduction::Reduction;
use crate::op::signature::Signature;
use crate::plan::limits::Limits;

/// Every window may take so much: steps much shorter than a heartbeat make many small entries.
pub const LEAST: u64 = 1 << 20;

/// Bytes of a node at the root.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cost {
    /// Charged to the graph set; 0 while shapes are unknown.
    pub bytes: u64,
    /// What the window is held to while running.
    pub budget: u64,
}

/// Of one reduction. Where shapes vary, nothing can be charged beforehand: the budget bounds it.
pub fn of(reduction: &dyn Reduction, inputs: &[Type], window: Window, limits: &Limits) -> Cost {
    let Some(state) = state(reduction, inputs) else {
        let budget = limits.events_window_bytes;
        return Cost { bytes: 0, budget };
    };
    // One for the merge of the newer half, and two for boundaries that fall inside a heartbeat.
    let states = |n: u64| state.saturating_mul(n.saturating_add(3));
    let bytes = match window {
        Window::Heartbeat | Window::Run | Window::Step | Window::Reset => state,
        Window::Heartbeats(n) | Window::Steps(n) => states(n),
        Window::Nanoseconds(t) => states(t.div_ceil(limits.period_ns.max(1)).saturating_add(1)),
        // How many heartbeats hold N events is not known before they come: at worst one each.
        Window::Events(n) => states(n).min(limits.events_window_bytes.max(states(2))),
    };
    Cost { bytes, budget: bytes.max(states(1)).max(LEAST) }
}

/// Most bytes that one state takes; None where shapes vary.
pub fn state(reduction: &dyn Reduction, inputs: &[Type]) -> Option<u64> {
    signature(reduction, inputs).map(|signature| reduction.size(&signature))
}

/// Why it is refused.
pub fn refusal(bytes: u64, left: u64, limits: &Limits, window: Window) -> Fault {
    let mib = |bytes: u64| bytes as f64 / f64::from(1 << 20);
    let (needed, left, all) = (mib(bytes), mib(left), mib(limits.state_bytes));
    let hint = match window {
        Window::Heartbeat | Window::Run | Window::Step | Window::Reset => {
            "use a smaller region, or raise manager.state_bytes (a quarter of memory_max at most)"
        }
        _ => {
            "use a shorter window or a smaller region, or raise manager.state_bytes (a quarter of \
             memory_max at most)"
        }
    };
    Fault::new(
        format!(
            "state and tables would take {needed:.1} MiB, and {left:.1} of {all:.1} MiB are left"
        ),
        hint,
    )
}

fn signature(reduction: &dyn Reduction, inputs: &[Type]) -> Option<Signature> {
    let one = |(k, input): (usize, &Type)| {
        let shape = match &input.shape {
            Some(shape) => shape.iter().map(|&d| d as u32).collect(),
            None if reduction.sized_by(k) => return None,
            None => Vec::new(),
        };
        Some((input.dtype, shape))
    };
    inputs.iter().enumerate().map(one).collect()
}
