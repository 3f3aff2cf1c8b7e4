//! The description of a simulated beamline, as written in TOML. `docs/sim.md` explains every key.

use crate::hints::{did_you_mean, with_hint};
use crate::sim::kinds::{FieldConfig, HeldConfig};
use crate::url::Pace;
use anyhow::{Context, bail};
use serde::Deserialize;

/// 2025-01-01 00:00:00 UTC in ns: where simulated time begins unless told otherwise.
const START_NS: u64 = 1_735_689_600_000_000_000;

const PRESETS: [(&str, &str); 7] = [
    ("pump-probe", include_str!("presets/pump-probe.toml")),
    ("scalars", include_str!("presets/scalars.toml")),
    ("scalars20", include_str!("presets/scalars20.toml")),
    ("image128", include_str!("presets/image128.toml")),
    ("image512", include_str!("presets/image512.toml")),
    ("image1024", include_str!("presets/image1024.toml")),
    ("mixed", include_str!("presets/mixed.toml")),
];

/// Names of the descriptions compiled in.
pub fn preset_names() -> impl Iterator<Item = &'static str> {
    PRESETS.iter().map(|(name, _)| *name)
}

/// A simulated beamline.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SimConfig {
    /// Everything random follows from it, the host's number and the event's number.
    #[serde(default)]
    pub seed: u64,
    /// Events per second of data time.
    #[serde(default = "default_rate")]
    pub rate_hz: f64,
    /// `max`, `realtime` or events per second, where the URL does not say.
    #[serde(default = "default_pace")]
    pub pace: String,
    /// Timestamp of the beginning, ns since the Unix epoch.
    #[serde(default = "default_start")]
    pub start_ns: u64,
    /// Events in all; endless without.
    pub events: Option<u64>,
    /// Runs; endless without.
    pub runs: Option<u64>,
    /// Number of the first run.
    #[serde(default = "one")]
    pub first_run: u32,
    /// Events of a run. Without it: `steps` times `events_per_step`, or one endless run.
    pub events_per_run: Option<u64>,
    /// Events of a step; one step per run without.
    pub events_per_step: Option<u64>,
    /// Steps of a run, where `events_per_run` does not say.
    pub steps: Option<u64>,
    /// Distance of SlowUpdates in seconds of data time; none without.
    pub slow_update_s: Option<f64>,
    /// Per-event fields.
    #[serde(default)]
    pub field: Vec<FieldConfig>,
    /// Held variables.
    #[serde(default)]
    pub held: Vec<HeldConfig>,
}

fn default_rate() -> f64 {
    120.0
}

fn default_pace() -> String {
    "realtime".into()
}

fn default_start() -> u64 {
    START_NS
}

fn one() -> u32 {
    1
}

impl SimConfig {
    /// The preset of this name, or the file, if the name ends in `.toml`.
    ///
    /// # Errors
    /// When there is none, or it is not a description.
    pub fn load(name: &str) -> anyhow::Result<SimConfig> {
        if name.ends_with(".toml") {
            let text = std::fs::read_to_string(name)
                .with_context(|| format!("sim: cannot read {name:?}"))?;
            return SimConfig::parse(&text).with_context(|| format!("sim: {name:?}"));
        }
        let Some((_, text)) = PRESETS.iter().find(|(n, _)| *n == name) else {
            let list = preset_names().collect::<Vec<_>>().join(", ");
            let hint = did_you_mean(name, preset_names());
            bail!("sim: no preset {name:?}{hint}; there are {list}; a file's name ends in .toml");
        };
        SimConfig::parse(text).with_context(|| format!("sim: preset {name:?}"))
    }

    /// From TOML.
    ///
    /// # Errors
    /// When it is not TOML, or a key is unknown or of a wrong type.
    pub fn parse(text: &str) -> anyhow::Result<SimConfig> {
        toml::from_str(text).map_err(|e| anyhow::anyhow!("{}", with_hint(&e.to_string())))
    }

    /// The pace it asks for.
    ///
    /// # Errors
    /// When it is none.
    pub fn pace(&self) -> anyhow::Result<Pace> {
        self.pace.parse().map_err(|e| anyhow::anyhow!("sim: {e}"))
    }
}
