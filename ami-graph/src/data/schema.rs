//! Schema: the names and types of the fields that a source has on offer.

use crate::data::value::{DType, Value};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Where a field's value comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// Part of an event; may be absent in any event.
    Event,
    /// Set by a transition (scan, EPICS, run information) and held until the next one that sets it.
    Held,
}

/// One field on offer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Field {
    /// `detector:alg:field`, or the variable's own name.
    pub name: String,
    /// Other names that mean the same field.
    #[serde(default)]
    pub aliases: Vec<String>,
    /// Element type.
    pub dtype: DType,
    /// Number of dimensions; 0 is a scalar.
    pub rank: usize,
    /// Axis lengths where they are the same in every event; None where they vary or are unknown.
    #[serde(default)]
    pub shape: Option<Vec<usize>>,
    /// Per event, or held.
    pub kind: Kind,
    /// Codes of an enumeration by label; empty for every other field.
    #[serde(default)]
    pub labels: BTreeMap<String, i64>,
}

/// All fields on offer between two Configures. A field's place in `fields` is its index
/// everywhere: in chunks, contexts and batches.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Schema {
    /// The fields.
    pub fields: Vec<Field>,
}

/// What graphs call the pulse's number, in sources that know it: a field called `pulseId` or
/// `pulse_id`, such as LCLS-II's `timing:raw:pulseId`, or `pulse:…:id`.
pub const PULSE_ID: &str = "event.pulse_id";

impl Schema {
    /// Index of the field with this name or alias. Names go before aliases.
    pub fn find(&self, name: &str) -> Option<usize> {
        self.fields
            .iter()
            .position(|f| f.name == name)
            .or_else(|| self.fields.iter().position(|f| f.aliases.iter().any(|a| a == name)))
            .or_else(|| (name == PULSE_ID).then(|| self.pulse_id()).flatten())
    }

    /// Index of the field that has the pulse's number: the only one of whole numbers, one for each
    /// event, that is called so.
    fn pulse_id(&self) -> Option<usize> {
        let called = |name: &str| {
            let own = name.rsplit(':').next().unwrap_or(name);
            let of_pulses = name.starts_with("pulse:") && own == "id";
            of_pulses || own.replace('_', "").eq_ignore_ascii_case("pulseid")
        };
        let is_one = |f: &Field| {
            f.kind == Kind::Event && f.rank == 0 && f.dtype.is_integer() && called(&f.name)
        };
        let mut found = (0..self.fields.len()).filter(|&i| is_one(&self.fields[i]));
        let first = found.next()?;
        found.next().is_none().then_some(first)
    }
}

/// Held values by field index; a field not in it is absent until a transition sets it.
pub type Held = BTreeMap<u32, Value>;

/// Codes of an enumeration by label, as in [`Field::labels`](Field::labels).
pub type Labels = BTreeMap<String, i64>;

/// What every event has, beside the fields of its source: when it happened, and what it belongs to.
/// Graphs name these as fields, `event.timestamp_ns`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EventField {
    /// Seconds since 1970, float64: to some 200 ns.
    Timestamp,
    /// Nanoseconds since 1970, or the source's counter, exactly.
    TimestampNs,
    /// Number of the heartbeat whose unit the event is in.
    Heartbeat,
    /// Run number.
    Run,
    /// Step in the run; absent before the first.
    Step,
    /// Name of the host that took the event.
    Host,
}

impl EventField {
    /// All.
    pub const ALL: [EventField; 6] = [
        EventField::Timestamp,
        EventField::TimestampNs,
        EventField::Heartbeat,
        EventField::Run,
        EventField::Step,
        EventField::Host,
    ];

    /// What graphs call it.
    pub fn name(self) -> &'static str {
        match self {
            EventField::Timestamp => "event.timestamp",
            EventField::TimestampNs => "event.timestamp_ns",
            EventField::Heartbeat => "event.heartbeat",
            EventField::Run => "event.run",
            EventField::Step => "event.step",
            EventField::Host => "event.host",
        }
    }

    /// That of a name.
    pub fn named(name: &str) -> Option<EventField> {
        EventField::ALL.into_iter().find(|field| field.name() == name)
    }

    /// Its element type; all are scalars.
    pub fn dtype(self) -> DType {
        match self {
            EventField::Timestamp => DType::F64,
            EventField::TimestampNs | EventField::Heartbeat => DType::U64,
            EventField::Run | EventField::Step => DType::I64,
            EventField::Host => DType::Str,
        }
    }
}
