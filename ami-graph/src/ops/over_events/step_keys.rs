//! A scan's values before their key is known: only the root sees what BeginStep set.

use crate::data::batch::Column;
use crate::data::bytes::{Reader, Writer};
use crate::data::feed::Feed;
use crate::data::frame::Frame;
use crate::data::value::{Scalar, Value};
use crate::error::DecodeError;
use crate::merge::keyed::{Cell, Key, rank};
use crate::ops::over_events::key_statistic::{StatCell, Statistic};

/// Of two clashing kinds of keys none can be shown.
const CLASH: &str = "steps have numbers as well as texts as their values; choose by `by`";

/// What a scan holds besides its keyed values.
#[derive(Debug, Clone)]
pub struct StepKeys {
    /// The variable asked for; may be empty.
    by: String,
    /// Values of the heartbeat that is open.
    open: StatCell,
    /// Events that have no key.
    outside: u64,
    /// Why steps have no key, if any has none; of several reasons the greatest.
    missing: String,
    /// Some steps have texts, others numbers.
    clash: bool,
}

impl StepKeys {
    /// Nothing yet; `by` may be empty.
    pub fn new(by: String, open: StatCell) -> StepKeys {
        StepKeys { by, open, outside: 0, missing: String::new(), clash: false }
    }

    /// Adds events of the open heartbeat.
    pub fn absorb(&mut self, value: &Column<'_>, feed: &mut Feed<'_>) {
        self.open.absorb_all(value, feed);
    }

    /// Closes the heartbeat, all of which is in one step: its key and values, if it has a key.
    pub fn close(
        &mut self,
        frame: &Frame,
        fresh: impl FnOnce() -> StatCell,
    ) -> Option<(Key, StatCell)> {
        let events = self.open.events();
        if events == 0 {
            return None;
        }
        let cell = std::mem::replace(&mut self.open, fresh());
        // Before the first step nothing is amiss: there is only no key.
        let key = frame.step.map(|step| self.key(step, frame));
        match key {
            Some(Ok(key)) => return Some((key, cell)),
            Some(Err(reason)) => self.note(&reason),
            None => {}
        }
        self.outside = self.outside.saturating_add(events);
        None
    }

    fn key(&self, step: u32, frame: &Frame) -> Result<Key, String> {
        let values = &frame.step_values;
        let named = |wanted: &str| {
            let last = |name: &str| name.rsplit([':', '.']).next() == Some(wanted);
            values.get(wanted).or_else(|| values.iter().find(|(n, _)| last(n)).map(|(_, v)| v))
        };
        let only_number = || {
            let mut numbers = values.values().filter(|v| matches!(v, Value::Scalar(_)));
            numbers.next().filter(|_| numbers.next().is_none())
        };
        let value = match self.by.as_str() {
            "" => named("step_value").or_else(only_number),
            by => {
                let known: Vec<&str> = values.keys().map(String::as_str).collect();
                let missing = || format!("BeginStep sets no {by:?}; it sets: {}", known.join(", "));
                Some(named(by).ok_or_else(missing)?)
            }
        };
        let number = |x: f64| Key::Number(rank(Scalar::F64(x)));
        match value {
            Some(Value::Scalar(scalar)) => Ok(number(scalar.as_f64())),
            Some(Value::Str(text)) => Ok(Key::text(text)),
            Some(Value::Array(_)) => Err("the step's value is an array, not a key".to_owned()),
            None => Ok(number(f64::from(step))),
        }
    }

    fn note(&mut self, reason: &str) {
        if reason > self.missing.as_str() {
            reason.clone_into(&mut self.missing);
        }
    }

    /// Takes in another's; false when they are not of one node.
    pub fn merge(&mut self, other: StepKeys) -> bool {
        if self.by != other.by {
            return false;
        }
        self.open.merge(other.open);
        self.outside = self.outside.saturating_add(other.outside);
        self.note(&other.missing);
        self.clash |= other.clash;
        true
    }

    /// Numbers and texts met.
    pub fn clash(&mut self) {
        self.clash = true;
    }

    /// Why there is nothing to show, if so: with any key there is.
    pub fn reason(&self, keys: usize) -> Option<&str> {
        match self.clash {
            true => Some(CLASH),
            false => Some(self.missing.as_str()).filter(|m| keys == 0 && !m.is_empty()),
        }
    }

    /// Events that have no key.
    pub fn outside(&self) -> Value {
        Value::Scalar(Scalar::I64(i64::try_from(self.outside).unwrap_or(i64::MAX)))
    }

    /// As bytes.
    pub fn encode(self, writer: &mut Writer) {
        writer.text(&self.by);
        self.open.encode(writer);
        writer.u64(self.outside);
        writer.text(&self.missing);
        writer.bool(self.clash);
    }

    /// Reads what [`encode`](Self::encode) wrote.
    pub fn decode(
        of: Statistic,
        axes: &[u32],
        reader: &mut Reader<'_>,
    ) -> Result<StepKeys, DecodeError> {
        const WHAT: &str = "scan";
        Ok(StepKeys {
            by: reader.text(WHAT)?.to_owned(),
            open: StatCell::decode(of, axes, reader)?,
            outside: reader.u64(WHAT)?,
            missing: reader.text(WHAT)?.to_owned(),
            clash: reader.bool(WHAT)?,
        })
    }

    /// Memory it holds, for a budget.
    pub fn bytes(&self) -> usize {
        self.open.bytes()
    }
}
