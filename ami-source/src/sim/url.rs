//! `sim:NAME_OR_FILE?rate=…&seed=…`.

use crate::identity;
use crate::kinds::UrlPart;
use crate::opener::{Opened, Opener};
use crate::sim::{Model, SimConfig, SimSource, preset_names};
use crate::timed::Timed;
use crate::url::{SourceSpec, list, number, rate};
use std::path::Path;
use std::sync::Arc;

/// Which beamline is simulated, and how.
#[derive(Debug, Clone, PartialEq)]
pub struct SimUrl {
    /// A preset's name, or a file that ends in `.toml`.
    pub name: String,
    /// Events per second of data time, instead of the description's.
    pub rate_hz: Option<f64>,
    /// Seed, instead of the description's.
    pub seed: Option<u64>,
}

impl SimUrl {
    pub(crate) const OPTIONS: &'static [&'static str] = &["rate", "seed"];

    pub(crate) fn read(name: &str) -> Result<SimUrl, String> {
        if name.is_empty() {
            let presets = list(&preset_names().collect::<Vec<_>>());
            return Err(format!("sim: needs a preset ({presets}) or a file, as sim:pump-probe"));
        }
        Ok(SimUrl { name: name.into(), rate_hz: None, seed: None })
    }
}

impl UrlPart for SimUrl {
    fn options(&self) -> &'static [&'static str] {
        SimUrl::OPTIONS
    }

    fn set(&mut self, key: &str, value: &str) -> Result<(), String> {
        match key {
            "rate" => self.rate_hz = Some(rate(key, value)?),
            _ => self.seed = Some(number(key, value)?),
        }
        Ok(())
    }

    fn marks(&self) -> Vec<String> {
        let described = self.name.ends_with(".toml");
        described.then(|| identity::of_content(Path::new(&self.name))).into_iter().collect()
    }

    fn open(&self, spec: &SourceSpec, host: u32, host_name: &str) -> anyhow::Result<Opened> {
        let mut config = SimConfig::load(&self.name)?;
        config.rate_hz = self.rate_hz.unwrap_or(config.rate_hz);
        config.seed = self.seed.unwrap_or(config.seed);
        if let Some(events) = spec.events {
            // The range adaptor skips `start` of them, so the simulation closes by itself.
            config.events = Some(spec.start.saturating_add(events));
        }
        let pace = config.pace()?;
        let model = Arc::new(Model::new(&config, host, host_name)?);
        let open = Box::new(move || -> anyhow::Result<Box<dyn Timed>> {
            Ok(Box::new(SimSource::new(model.clone())))
        });
        Ok(Opened::Canned(Opener { open, pace }))
    }
}
