//! Over which heartbeats a reduction speaks.

use crate::error::Fault;
use serde::{Deserialize, Serialize};

/// The window of a reduction, exact at heartbeat granularity.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub enum Window {
    /// This heartbeat only.
    Heartbeat,
    /// Since a reset, across runs and also when the source begins anew.
    Reset,
    /// Since BeginRun or a reset.
    #[default]
    Run,
    /// Since BeginStep or BeginRun.
    Step,
    /// The newest n steps of the run, by number: those above `current - n`. Before the first step is
    /// one, too.
    Steps(u64),
    /// The newest n heartbeats, by number: those above `current - n`.
    Heartbeats(u64),
    /// Heartbeats that began less than this many nanoseconds before the current one.
    Nanoseconds(u64),
    /// The fewest newest whole heartbeats that hold at least this many events.
    Events(u64),
}

/// Longest window in seconds.
pub(crate) const MAX_SECONDS: f64 = 1e9;

const ACCEPTED: &str = r#"write "heartbeat", "step", "run", "reset", {"steps": n}, {"heartbeats": n}, {"seconds": T} or {"events": N}"#;

impl Window {
    /// From the value of a node's `window`.
    pub fn from_json(json: &serde_json::Value) -> Result<Window, Fault> {
        let bad = |reason: String| Fault::of("window", reason, ACCEPTED);
        match json {
            serde_json::Value::String(s) => match s.as_str() {
                "heartbeat" => Ok(Window::Heartbeat),
                "run" => Ok(Window::Run),
                "reset" => Ok(Window::Reset),
                "step" => Ok(Window::Step),
                other => Err(bad(format!("unknown window {other:?}"))),
            },
            serde_json::Value::Object(map) if map.len() == 1 => {
                let (key, value) = map.iter().next().ok_or_else(|| bad("empty window".into()))?;
                let count = || match value.as_u64() {
                    Some(n) if n >= 1 => Ok(n),
                    _ => Err(bad(format!("{key} is {value}, not a whole number of at least 1"))),
                };
                match key.as_str() {
                    "steps" => Ok(Window::Steps(count()?)),
                    "heartbeats" => Ok(Window::Heartbeats(count()?)),
                    "events" => Ok(Window::Events(count()?)),
                    "seconds" => match value.as_f64() {
                        Some(t) if t > 0.0 && t <= MAX_SECONDS => {
                            Ok(Window::Nanoseconds((t * 1e9).round().max(1.0) as u64))
                        }
                        _ => Err(bad(format!(
                            "seconds is {value}, not a number above 0 and at most {MAX_SECONDS:e} (31 years)"
                        ))),
                    },
                    other => Err(bad(format!("unknown window {other:?}"))),
                }
            }
            other => Err(bad(format!("window is {other}"))),
        }
    }

    /// As written in graphs and in result headers.
    pub fn to_json(self) -> serde_json::Value {
        match self {
            Window::Heartbeat => "heartbeat".into(),
            Window::Run => "run".into(),
            Window::Reset => "reset".into(),
            Window::Step => "step".into(),
            Window::Steps(n) => serde_json::json!({ "steps": n }),
            Window::Heartbeats(n) => serde_json::json!({ "heartbeats": n }),
            Window::Events(n) => serde_json::json!({ "events": n }),
            Window::Nanoseconds(t) => {
                let seconds = t as f64 / 1e9;
                if seconds.fract() == 0.0 {
                    serde_json::json!({ "seconds": seconds as u64 })
                } else {
                    serde_json::json!({ "seconds": seconds })
                }
            }
        }
    }
}
