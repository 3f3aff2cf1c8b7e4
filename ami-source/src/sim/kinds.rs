//! The kinds of simulated fields and held variables, with their parameters, as written in TOML.

use ami_graph::data::value::DType;
use serde::Deserialize;
use serde::de::{Deserializer, Error as _};
use std::collections::BTreeMap;

/// One `[[field]]`: what all kinds have in common, and the kind.
#[derive(Debug, Clone)]
pub struct FieldConfig {
    /// Keys that every kind has.
    pub common: Common,
    /// The kind with its own keys.
    pub kind: FieldKind,
}

/// Keys that every kind of field has.
#[derive(Debug, Clone, Deserialize)]
pub struct Common {
    /// `detector:alg:field`.
    pub name: String,
    /// Other names of it.
    #[serde(default)]
    pub aliases: Vec<String>,
    /// Element type; each kind has its own default.
    pub dtype: Option<DType>,
    /// Present in every n-th event only.
    pub every: Option<u64>,
    /// Fraction of events in which it is absent.
    pub absent: Option<f64>,
    /// Not a field of the source, only a number that other fields refer to.
    #[serde(default)]
    pub hidden: bool,
}

const COMMON: [&str; 6] = ["name", "aliases", "dtype", "every", "absent", "hidden"];

impl<'de> Deserialize<'de> for FieldConfig {
    /// By hand, because serde cannot refuse unknown keys in a flattened struct.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<FieldConfig, D::Error> {
        let all = toml::Table::deserialize(deserializer)?;
        let (common, own) = all.into_iter().partition(|(key, _)| COMMON.contains(&key.as_str()));
        let common: toml::Table = common;
        let own: toml::Table = own;
        let name = common.get("name").map(ToString::to_string).unwrap_or_default();
        let wrong = |e: toml::de::Error| D::Error::custom(format!("field {name}: {}", e.message()));
        let kind = FieldKind::deserialize(own).map_err(wrong)?;
        Ok(FieldConfig { common: Common::deserialize(common).map_err(wrong)?, kind })
    }
}

/// Kinds of fields.
#[derive(Debug, Clone, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
#[allow(missing_docs)] // the structs say it
pub enum FieldKind {
    Constant(Constant),
    Counter(Counter),
    Normal(Normal),
    Uniform(Uniform),
    Poisson(Poisson),
    Cycle(Cycle),
    Clock(Clock),
    StepValue(StepValue),
    Response(Response),
    String(Text),
    Codes(Codes),
    Ragged(Ragged),
    Waveform(Waveform),
    Edge(Edge),
    Image(Image),
    Frame(Image),
}

macro_rules! kinds {
    ($($(#[$doc:meta])* $name:ident {
        $($(#[$meta:meta])* $key:ident: $type:ty),* $(,)?
    })*) => { $(
        $(#[$doc])*
        #[derive(Debug, Clone, Deserialize)]
        #[serde(deny_unknown_fields)]
        pub struct $name { $($(#[$meta])* pub $key: $type),* }
    )* };
}

kinds! {
    /// The same number in every event.
    Constant {
        /// The number.
        value: f64,
    }
    /// `first + step · event number`; wraps in its type.
    Counter {
        /// In event 0.
        #[serde(default)]
        first: u64,
        /// From event to event.
        #[serde(default = "one")]
        step: u64,
    }
    /// Normally distributed around `mean + gain · follow`.
    Normal {
        /// Mean.
        #[serde(default)]
        mean: f64,
        /// Standard deviation.
        #[serde(default = "unit")]
        sigma: f64,
        /// A scalar field declared before.
        follow: Option<String>,
        /// What `follow` is multiplied by.
        #[serde(default = "unit")]
        gain: f64,
    }
    /// Uniform in low..high; integers include low and, rounded, high.
    Uniform {
        /// Lowest.
        #[serde(default)]
        low: f64,
        /// Highest.
        #[serde(default = "unit")]
        high: f64,
    }
    /// The wall clock when the event was made, ns since 1970: for measuring how long it takes.
    Clock {}
    /// Poisson distributed.
    Poisson {
        /// Mean.
        mean: f64,
    }
    /// One value after the other.
    Cycle {
        /// The values.
        values: Vec<f64>,
        /// Events that each lasts.
        #[serde(default = "one")]
        hold: u64,
    }
    /// The value of a held scan variable, read back with noise.
    StepValue {
        /// The held variable.
        of: String,
        /// Standard deviation of the noise.
        #[serde(default)]
        jitter: f64,
    }
    /// `1 + amplitude · step(t) · exp(-t / tau)` with the laser on, else 1; t is
    /// `delay + jitter_gain · (jitter - jitter_center)`.
    Response {
        /// Scalar field: laser on when not 0. Always on without.
        laser: Option<String>,
        /// Scalar field: the delay.
        delay: String,
        /// Scalar field that adds to the delay.
        jitter: Option<String>,
        /// Delay per unit of `jitter`.
        #[serde(default = "unit")]
        jitter_gain: f64,
        /// Value of `jitter` that adds nothing.
        #[serde(default)]
        jitter_center: f64,
        /// Relative height of the step.
        #[serde(default = "unit")]
        amplitude: f64,
        /// Decay time, in units of the delay.
        #[serde(default = "unit")]
        tau: f64,
        /// Sigma of the step, in units of the delay.
        #[serde(default = "tenth")]
        rise: f64,
    }
    /// Text.
    Text {
        /// One after the other; `{i}`, `{run}`, `{step}`, `{host}` are filled in.
        values: Vec<String>,
    }
    /// Event codes: an array with 1 for the codes that are set and 0 for the others.
    Codes {
        /// Number of codes.
        #[serde(default = "codes")]
        length: usize,
        /// Which code comes how often.
        codes: Vec<Code>,
    }
    /// One event code.
    Code {
        /// Its number.
        code: usize,
        /// Set in every n-th event.
        #[serde(default = "one")]
        every: u64,
        /// First event with it.
        #[serde(default)]
        phase: u64,
    }
    /// An array of varying length with normally distributed elements.
    Ragged {
        /// Least elements.
        #[serde(default)]
        min: usize,
        /// Most elements.
        max: usize,
        /// Mean of the elements.
        #[serde(default)]
        mean: f64,
        /// Standard deviation of the elements.
        #[serde(default = "unit")]
        sigma: f64,
    }
    /// A digitizer's trace.
    Waveform {
        /// Samples.
        length: usize,
        /// Value without pulses.
        #[serde(default)]
        baseline: f64,
        /// Standard deviation of the noise.
        #[serde(default)]
        noise: f64,
        /// Pulses in every event.
        #[serde(default)]
        pulses: Vec<Pulse>,
        /// Scalar field that multiplies the amplitudes.
        scale: Option<String>,
        /// Noise traces made at the start.
        #[serde(default = "pool")]
        pool: usize,
    }
    /// A Gaussian pulse.
    Pulse {
        /// Its middle, samples.
        at: f64,
        /// Its height.
        amplitude: f64,
        /// Its sigma, samples.
        #[serde(default = "unit")]
        width: f64,
        /// Sigma of its middle from event to event, samples.
        #[serde(default)]
        jitter: f64,
    }
    /// A time tool's trace: an error function that falls at the place another field says.
    Edge {
        /// Samples.
        length: usize,
        /// Scalar field: where the edge is, samples.
        position: String,
        /// Value before the edge.
        #[serde(default = "thousand")]
        level: f64,
        /// Fraction of the level that is lost at the edge.
        #[serde(default = "half")]
        depth: f64,
        /// Sigma of the edge, samples.
        #[serde(default = "unit")]
        width: f64,
        /// Standard deviation of the noise.
        #[serde(default)]
        noise: f64,
        /// Noise traces made at the start.
        #[serde(default = "pool")]
        pool: usize,
    }
    /// A detector's image. As `frame`: ready-made, copied from the pool; as `image`: composed for
    /// each event.
    Image {
        /// Axis lengths, slowest first; two, or three with segments.
        shape: Vec<usize>,
        /// Frames of noise made at the start.
        #[serde(default = "pool")]
        pool: usize,
        /// Value without light.
        #[serde(default)]
        pedestal: f64,
        /// Standard deviation of the noise.
        #[serde(default)]
        noise: f64,
        /// Powder rings.
        #[serde(default)]
        rings: Vec<Ring>,
        /// Number of Bragg peaks (in each segment).
        #[serde(default)]
        peaks: usize,
        /// Height of the highest Bragg peak; the lowest has half of it.
        #[serde(default = "thousand")]
        peak_amplitude: f64,
        /// Sigma of the Bragg peaks, pixels.
        #[serde(default = "unit")]
        peak_width: f64,
        /// Number of pixels that always read 0.
        #[serde(default)]
        dead: usize,
        /// Number of pixels that always read the greatest value (65535 for floats).
        #[serde(default)]
        hot: usize,
        /// Scalar fields whose product multiplies rings and peaks.
        #[serde(default)]
        scale: Vec<String>,
        /// Scalar fields whose product multiplies the peaks besides.
        #[serde(default)]
        peak_scale: Vec<String>,
        /// The event's number in the first 8 bytes.
        #[serde(default)]
        mark: bool,
    }
    /// A powder ring around the image's middle.
    Ring {
        /// Pixels.
        radius: f64,
        /// Sigma, pixels.
        #[serde(default = "unit")]
        width: f64,
        /// Height.
        amplitude: f64,
    }
}

fn one() -> u64 {
    1
}
fn unit() -> f64 {
    1.0
}
fn tenth() -> f64 {
    0.1
}
fn half() -> f64 {
    0.5
}
fn thousand() -> f64 {
    1000.0
}
fn pool() -> usize {
    16
}
fn codes() -> usize {
    256
}

/// One `[[held]]`: a variable that transitions set.
#[derive(Debug, Clone, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum HeldConfig {
    /// Set at BeginStep: a scan.
    Scan {
        /// Its name.
        name: String,
        /// The values, one per step, over and over.
        values: Option<Vec<f64>>,
        /// Instead of `values`: first value …
        from: Option<f64>,
        /// … last value …
        to: Option<f64>,
        /// … and how many.
        points: Option<usize>,
        /// Element type; f64 by default.
        dtype: Option<DType>,
    },
    /// Set at BeginRun and at every SlowUpdate: normally distributed.
    Slow {
        /// Its name.
        name: String,
        /// Mean.
        mean: f64,
        /// Standard deviation.
        #[serde(default)]
        sigma: f64,
        /// Element type; f64 by default.
        dtype: Option<DType>,
    },
    /// Set at BeginRun and at every SlowUpdate: one text after the other.
    Text {
        /// Its name.
        name: String,
        /// The texts; `{host}` is filled in.
        values: Vec<String>,
    },
    /// Set at BeginRun and at every SlowUpdate: one code after the other.
    Enum {
        /// Its name.
        name: String,
        /// Codes by label.
        labels: BTreeMap<String, i32>,
        /// The labels it takes, in order.
        values: Vec<String>,
    },
}
