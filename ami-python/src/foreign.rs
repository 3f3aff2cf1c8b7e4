//! What the engine asks of user code, as calls to the host.

use crate::counters::add;
use crate::env::{Done, Request, Unfit};
use crate::health::one_line;
use crate::pack::{self, Packed};
use crate::process::{Patience, Raised};
use crate::python::{Entry, Python, locked};
use crate::results::{self, Events, StateError};
use crate::update::{Input, Outcome};
use ami_graph::data::frame::Frame;
use ami_graph::data::owned_column::{EventErrors, OwnedColumn};
use ami_graph::data::types::Type;
use ami_graph::data::value::{Scalar, Value};
use ami_graph::op::foreign::{Call, Foreign, UserCode};
use ami_graph::op::plain::Plain;
use serde::Deserialize;
use serde_json::{Map, Value as Json, json};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// Longest time for trying a reduction where an edit waits for it; three of them end it.
const MOST_TRYING: Duration = Duration::from_secs(3);

/// What an answer says of events that failed.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Failed {
    failed: u64,
    /// Event, message and traceback of the first few. A hook's has the event -1.
    failures: Vec<(i64, String, String)>,
}

impl Python {
    /// Runs code on events in several splits and compares, as the host's check does.
    ///
    /// # Errors
    /// Why that was not possible.
    pub fn check(
        &self,
        code: &Arc<UserCode>,
        call: Call<'_>,
        lanes: &[u32],
    ) -> Result<Json, String> {
        let entry = self.entry(code)?;
        let mut packed = Packed::default();
        let columns = pack::columns(call.columns, call.events, None, &mut packed);
        let lanes = json!(lanes);
        let mut request = Request {
            call: "check",
            body: format!(r#","events":{},"columns":{columns},"lanes":{lanes}"#, call.events),
            packed,
            state: None,
            events: call.events,
            mask: call.mask,
            patience: self.for_check(code, call.events),
        };
        let mut env = locked(&entry.env);
        let done =
            env.persist(&entry.target, code, None, &mut request, |ok, _, _| Ok(ok.clone()))?;
        Ok(with_ends(done))
    }

    /// For what takes many times as long as the events once. Where an edit waits for it, it has to end.
    fn for_check(&self, code: &UserCode, events: usize) -> Patience {
        let once = Patience::of(code, events, None);
        let total = once.total.saturating_mul(100);
        match self.proves() {
            true => {
                let most = |time: Duration| time.min(MOST_TRYING);
                Patience {
                    step: most(once.step),
                    batch: most(once.batch),
                    total: most(total),
                    ..once
                }
            }
            false => Patience { step: once.total, total, ..once },
        }
    }

    fn try_events(
        &self,
        code: &Arc<UserCode>,
        call: Call<'_>,
        outputs: &mut [OwnedColumn],
    ) -> Result<Done<Failed>, String> {
        let entry = self.entry(code)?;
        let (ring, mut env) = (self.ring(), locked(&entry.env));
        let ring = env.map(ring.as_deref());
        let mut packed = Packed::default();
        let columns = pack::columns(call.columns, call.events, ring, &mut packed);
        let mut request = self.request("events", &columns, packed, code, call);
        env.persist(&entry.target, code, ring, &mut request, |ok, outbox, events| {
            results::outputs(&ok["outputs"], outbox, &code.outputs, events, outputs)
                .and_then(|()| failed(&entry, ok, events))
                .map_err(Unfit::Broken)
        })
    }

    fn try_absorb(
        &self,
        code: &Arc<UserCode>,
        state: Option<&Plain>,
        call: Call<'_>,
    ) -> Result<Done<(Plain, Failed)>, String> {
        let entry = self.entry(code)?;
        let (ring, mut env) = (self.ring(), locked(&entry.env));
        let ring = env.map(ring.as_deref());
        let mut packed = Packed::default();
        let columns = pack::columns(call.columns, call.events, ring, &mut packed);
        let mut request = self.request("absorb", &columns, packed, code, call);
        request.state = Some(state.map(Plain::bytes));
        let mut token = None;
        let done = env.persist(&entry.target, code, ring, &mut request, |ok, outbox, events| {
            token = ok["token"].as_u64();
            let state = results::state(&ok["state"], outbox, code.state_bytes).map_err(unfit)?;
            Ok((state, failed(&entry, ok, events).map_err(Unfit::Broken)?))
        })?;
        if let Some(token) = token {
            env.keep(entry.target.id, token, done.value.0.bytes());
        }
        Ok(done)
    }

    fn request<'a>(
        &self,
        name: &'static str,
        columns: &str,
        packed: Packed<'a>,
        code: &UserCode,
        call: Call<'a>,
    ) -> Request<'a> {
        let (events, context) = (call.events, self.context());
        let body = format!(r#","events":{events},"columns":{columns},"context":{context}"#);
        let patience = Patience::of(code, taking_part(call), None);
        Request { call: name, body, packed, state: None, events, mask: call.mask, patience }
    }

    /// A call on states.
    fn on_states<T>(
        &self,
        name: &'static str,
        code: &Arc<UserCode>,
        states: &[&Plain],
        mut read: impl FnMut(&Json, &ami_shm::Arena) -> Result<T, Unfit>,
    ) -> Result<T, String> {
        let entry = self.entry(code)?;
        let mut packed = Packed::default();
        let places: Vec<String> = states
            .iter()
            .map(|state| format!("[{},{}]", packed.put(state.bytes()), state.bytes().len()))
            .collect();
        let body = match name {
            "finish" => format!(r#","state":{}"#, places.join(",")),
            _ => format!(r#","states":[{}]"#, places.join(",")),
        };
        // One after the other, without a word in between.
        let all = Patience::of(code, states.len().saturating_sub(1), None);
        let patience = Patience { step: all.batch, ..all };
        let mut request =
            Request { call: name, body, packed, state: None, events: 0, mask: None, patience };
        let mut env = locked(&entry.env);
        let done =
            env.persist(&entry.target, code, None, &mut request, |ok, outbox, _| read(ok, outbox));
        let value = done.map(|done| done.value);
        if value.is_err() {
            add(&self.counters.failures, 1);
        }
        value
    }
}

impl Foreign for Python {
    fn load(&self, code: &Arc<UserCode>, inputs: &[Type], place: &str) -> Result<(), String> {
        self.entry_at(code, place)?;
        self.proven(code, inputs)
    }

    fn events(
        &self,
        code: &Arc<UserCode>,
        call: Call<'_>,
        outputs: &mut [OwnedColumn],
        errors: &mut EventErrors,
    ) {
        if taking_part(call) == 0 {
            return all_absent(code, call.events, outputs);
        }
        let before = errors.count;
        match self.try_events(code, call, outputs) {
            Ok(done) => report(&done.left_out, &done.value, errors),
            Err(reason) => {
                all_absent(code, call.events, outputs);
                all_failed(call, &reason, errors);
            }
        }
        add(&self.counters.failures, errors.count - before);
    }

    fn absorb(
        &self,
        code: &Arc<UserCode>,
        state: Option<Plain>,
        call: Call<'_>,
        errors: &mut EventErrors,
    ) -> Result<Plain, String> {
        let state = match state {
            Some(state) if taking_part(call) == 0 => return Ok(state),
            state => state,
        };
        let before = errors.count;
        let result = match self.try_absorb(code, state.as_ref(), call) {
            Ok(done) => {
                report(&done.left_out, &done.value.1, errors);
                Ok(done.value.0)
            }
            Err(reason) => {
                all_failed(call, &reason, errors);
                state.ok_or(reason)
            }
        };
        add(&self.counters.failures, errors.count - before);
        result
    }

    fn merge(&self, code: &Arc<UserCode>, states: &[Plain]) -> Result<Plain, String> {
        match states {
            [] => Err("no states to merge".into()),
            [one] => Ok(one.clone()),
            _ => self.on_states("merge", code, &states.iter().collect::<Vec<_>>(), |ok, outbox| {
                results::state(&ok["state"], outbox, code.state_bytes).map_err(unfit)
            }),
        }
    }

    fn finish(
        &self,
        code: &Arc<UserCode>,
        state: &Plain,
        outputs: &mut [OwnedColumn],
    ) -> Result<(), String> {
        let one = Events { count: 1, mask: None };
        let finished = self.on_states("finish", code, &[state], |ok, outbox| {
            results::outputs(&ok["outputs"], outbox, &code.outputs, one, outputs)
                .map_err(Unfit::Broken)
        });
        if finished.is_err() {
            all_absent(code, 1, outputs);
        }
        finished
    }

    fn update(
        &self,
        code: &Arc<UserCode>,
        frame: &Frame,
        call: Call<'_>,
        outputs: &mut [OwnedColumn],
    ) -> Result<Option<u64>, String> {
        let entry = self.entry(code)?;
        let updater = entry.updater.as_ref().ok_or("this code is not for published values")?;
        if call.events == 0 {
            return given(code, updater.newest().as_deref(), outputs);
        }
        let mut packed = Packed::default();
        let columns = pack::columns(call.columns, call.events, None, &mut packed);
        let frame_json = frame_json(frame, self.version());
        let (run, step, held) = (&frame_json["run"], &frame_json["step"], &frame_json["held"]);
        let context = json!({"run": run, "step": step, "held": held});
        let input = Input {
            heartbeat: frame.heartbeat,
            body: format!(
                r#","events":1,"mask":null,"columns":{columns},"frame":{frame_json},"context":{context}"#
            ),
            packed: packed.into_owned(),
        };
        given(code, updater.turn(input).as_deref(), outputs)
    }
}

/// The values of the newest run of code over published values, if there was one.
fn given(
    code: &UserCode,
    newest: Option<&Outcome>,
    outputs: &mut [OwnedColumn],
) -> Result<Option<u64>, String> {
    let made = newest.map(|outcome| outcome.outputs.as_ref());
    for (i, (of, column)) in code.outputs.iter().zip(outputs).enumerate() {
        match made.as_ref().and_then(|made| made.as_ref().ok()?.get(i)) {
            Some(made) => column.clone_from(made),
            None => results::absent(of, 1, column),
        }
    }
    match newest {
        Some(Outcome { outputs: Err(reason), told, .. }) if !told.swap(true, Ordering::Relaxed) => {
            Err(reason.clone())
        }
        newest => Ok(newest.map(|outcome| outcome.heartbeat)),
    }
}

/// A report of a check in which events that ended a process failed, too.
fn with_ends(done: Done<Json>) -> Json {
    let Done { value: mut report, left_out } = done;
    if !left_out.is_empty() {
        let number = |report: &Json, key: &str| report[key].as_u64().unwrap_or(0);
        for key in ["failed", "given"] {
            report[key] = json!(number(&report, key) + left_out.len() as u64);
        }
        report["ok"] = json!(false);
        let raised = report["failures"].as_array().cloned().unwrap_or_default();
        let ended = left_out.into_iter().map(|(event, reason)| json!([event, reason, ""]));
        report["failures"] = ended.chain(raised).collect();
    }
    report
}

fn taking_part(call: Call<'_>) -> usize {
    Events { count: call.events, mask: call.mask }.taking_part()
}

fn all_absent(code: &UserCode, events: usize, outputs: &mut [OwnedColumn]) {
    code.outputs.iter().zip(outputs).for_each(|(of, column)| results::absent(of, events, column));
}

fn unfit(error: StateError) -> Unfit {
    match error {
        StateError::TooLarge(reason) => Unfit::Refused(reason),
        StateError::Broken(reason) => Unfit::Broken(reason),
    }
}

/// What failed by the answer, no more than took part.
fn failed(entry: &Entry, ok: &Json, events: Events<'_>) -> Result<Failed, String> {
    let mut failed = Failed::deserialize(ok).map_err(|e| format!("failures: {e}"))?;
    failed.failed = failed.failed.min(events.taking_part() as u64);
    if let Some((event, message, traceback)) = failed.failures.last() {
        let raised = Raised { message: one_line(message), traceback: traceback.clone() };
        if *event < 0 {
            tracing::warn!("python {}: {}", entry.target.label, raised.message);
        }
        entry.target.health.note(&entry.target.label, raised, failed.failed.max(1));
    }
    Ok(failed)
}

fn report(left_out: &[(usize, String)], failed: &Failed, errors: &mut EventErrors) {
    for (_, reason) in left_out {
        errors.record(|| reason.clone());
    }
    record(errors, failed.failed, || {
        let first = failed.failures.iter().find(|(event, ..)| *event >= 0);
        first.map_or("failed".into(), |(_, message, _)| one_line(message))
    });
}

fn all_failed(call: Call<'_>, reason: &str, errors: &mut EventErrors) {
    record(errors, taking_part(call) as u64, || reason.to_owned());
}

/// So many failures for one reason.
fn record(errors: &mut EventErrors, count: u64, message: impl FnOnce() -> String) {
    if count > 0 {
        errors.record(message);
        errors.count += count - 1;
    }
}

/// A heartbeat as code over published values sees it.
fn frame_json(frame: &Frame, version: u64) -> Json {
    let held = plain_values(&frame.step_values);
    json!({
        "run": frame.run, "step": frame.step, "held": held, "heartbeat": frame.heartbeat,
        "timestamp_ns": frame.timestamp_ns, "version": version, "generation": frame.generation,
        "events": frame.truth.events, "expected": frame.truth.expected,
        "complete": frame.truth.complete(), "dropped": frame.truth.dropped,
    })
}

/// Values by name as user code is told of them.
pub(crate) fn plain_values(values: &BTreeMap<String, Value>) -> Map<String, Json> {
    values.iter().filter_map(|(name, value)| Some((name.clone(), plain(value)?))).collect()
}

/// Numbers and texts; arrays are given as inputs.
fn plain(value: &Value) -> Option<Json> {
    Some(match value {
        Value::Str(text) => json!(text),
        Value::Scalar(Scalar::Bool(b)) => json!(b),
        Value::Scalar(Scalar::U64(n)) => json!(n),
        Value::Scalar(Scalar::I64(n)) => json!(n),
        Value::Scalar(number) => json!(number.as_f64()),
        Value::Array(_) => return None,
    })
}
