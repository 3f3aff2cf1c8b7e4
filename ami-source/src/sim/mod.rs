//! A simulated beamline: seeded, exactly reproducible, shaped by a TOML file or a preset.
//!
//! An event is a pure function of seed, host and event number. So it does not matter how often,
//! in what pieces or by how many it is asked for, and skipping is free. `docs/sim.md` describes
//! presets and keys.

mod config;
mod held;
mod image;
mod kinds;
mod math;
mod model;
mod random;
mod scalar;
mod timeline;
mod trace;
mod url;

pub use config::{SimConfig, preset_names};
pub use model::Model;
pub use timeline::Timeline;
pub use url::SimUrl;

use crate::brackets::plain;
use crate::source::{Next, Source, Transition, Written};
use crate::timed::Timed;
use ami_graph::data::value::DType;
use ami_proto::data_path::chunk::{ChunkWriter, Full};
use ami_proto::data_path::transition::TransitionKind;
use model::{Make, Row};
use scalar::with_type;
use std::collections::VecDeque;
use std::sync::Arc;

/// Events whose columns are filled in one go.
const BLOCK: usize = 1024;

/// One pass over a simulated beamline.
pub struct SimSource {
    model: Arc<Model>,
    /// Number of the next event.
    i: u64,
    /// Events before transitions interrupt.
    until: u64,
    /// Transitions before event `i`.
    queue: VecDeque<Transition>,
    shift: u64,
    newest: Option<u64>,
    times: Vec<u64>,
    numbers: Vec<f64>,
}

impl SimSource {
    /// From the beginning.
    pub fn new(model: Arc<Model>) -> SimSource {
        let mut source = SimSource {
            model,
            i: 0,
            until: 0,
            queue: VecDeque::new(),
            shift: 0,
            newest: None,
            times: Vec::with_capacity(BLOCK),
            numbers: Vec::new(),
        };
        source.arrive();
        source
    }

    /// Queues the transitions before event `i`.
    fn arrive(&mut self) {
        let (model, i) = (&self.model, self.i);
        let timestamp = model.timeline().between(i);
        for kind in model.timeline().transitions(i) {
            let mut t = plain(kind, timestamp);
            t.held = model.held(kind, i);
            match kind {
                TransitionKind::Configure => t.schema = Some(model.schema.clone()),
                TransitionKind::BeginRun => t.run = Some(model.timeline().run(i)),
                _ => {}
            }
            self.queue.push_back(t);
        }
        self.until = model.timeline().until_transition(i);
    }

    fn took(&mut self, events: usize) {
        if events == 0 {
            return;
        }
        let events = events as u64;
        self.newest = Some(self.time(self.i + events - 1));
        self.i += events;
        self.until -= events;
        if self.until == 0 {
            self.arrive();
        }
    }

    fn time(&self, i: u64) -> u64 {
        self.model.timeline().time(i).saturating_add(self.shift)
    }

    /// How many events from the next one on lie before `before`: at least that one.
    fn lie_before(&self, before: u64) -> u64 {
        let ahead = before.saturating_sub(1).saturating_sub(self.time(self.i));
        (ahead / self.model.timeline().period_ns).saturating_add(1)
    }

    /// Writes up to `n` events, at most a block. How many there were, and whether the ring is full.
    fn write_block(&mut self, out: &mut ChunkWriter<'_>, n: usize) -> (usize, bool) {
        let n = n.min(BLOCK);
        let model = self.model.clone();
        let (written, full) = if model.rows.is_empty() {
            self.times.clear();
            let times = (self.i..self.i + n as u64).map(|i| model.timeline().time(i));
            self.times.extend(times.map(|t| t.saturating_add(self.shift)));
            out.extend(&self.times);
            (n, false)
        } else {
            self.write_events(out, &model, n)
        };
        self.write_columns(out, written);
        self.took(written);
        (written, full)
    }

    /// Starts up to `n` events and writes what is not in columns.
    fn write_events(
        &mut self,
        out: &mut ChunkWriter<'_>,
        model: &Model,
        n: usize,
    ) -> (usize, bool) {
        for written in 0..n {
            // Scalars and text take no room in the ring until the chunk is sealed.
            if model.arrays && out.room() == 0 {
                return (written, false);
            }
            let i = self.i + written as u64;
            out.event(self.time(i));
            for row in model.rows.iter().filter(|row| row.present(i)) {
                if self.write_row(out, model, row, i).is_err() {
                    out.cancel();
                    return (written, true);
                }
            }
        }
        (n, false)
    }

    fn write_columns(&self, out: &mut ChunkWriter<'_>, n: usize) {
        if n == 0 {
            return;
        }
        for column in &self.model.columns {
            with_type!(column.dtype, T => {
                let places = out.column::<T>(column.field);
                self.model.scalars.fill(column.scalar, self.i, places);
            });
        }
    }

    fn write_row(
        &mut self,
        out: &mut ChunkWriter<'_>,
        model: &Model,
        row: &Row,
        i: u64,
    ) -> Result<(), Full> {
        match &row.make {
            &Make::Scalar(scalar, dtype) => {
                let bytes = model.scalars.bytes(scalar, dtype, i);
                out.scalar_bytes(row.field, dtype, &bytes[..dtype.size()]);
            }
            Make::Text(values) => out.text(row.field, &filled(values, model, i)),
            Make::Trace(trace, dtype) => {
                trace.make(&model.scalars, i, &mut self.numbers);
                let bytes = out.array(row.field, &[self.numbers.len()])?;
                trace::encode(*dtype, &self.numbers, bytes);
            }
            Make::Image(image) => image.write(&model.scalars, i, row.field, out)?,
        }
        Ok(())
    }
}

fn filled(values: &[String], model: &Model, i: u64) -> String {
    let text = &values[(i % values.len() as u64) as usize];
    if !text.contains('{') {
        return text.clone();
    }
    let timeline = model.timeline();
    text.replace("{i}", &i.to_string())
        .replace("{run}", &timeline.run(i).to_string())
        .replace("{step}", &timeline.step(i).to_string())
        .replace("{host}", &model.host_name)
}

impl Source for SimSource {
    fn next(&mut self) -> anyhow::Result<Next> {
        Ok(match self.queue.front() {
            Some(t) => Next::Transition(t.timestamp.saturating_add(self.shift)),
            None if self.model.timeline().events == Some(self.i) => Next::End,
            None => Next::Event(self.time(self.i)),
        })
    }

    fn transition(&mut self) -> Option<Transition> {
        let mut t = self.queue.pop_front()?;
        t.timestamp = t.timestamp.saturating_add(self.shift);
        self.newest = self.newest.max(Some(t.timestamp));
        Some(t)
    }

    fn write(
        &mut self,
        out: &mut ChunkWriter<'_>,
        before: u64,
        max: usize,
    ) -> anyhow::Result<Written> {
        let mut total = 0;
        let limit = usize::try_from(self.lie_before(before)).unwrap_or(usize::MAX).min(max);
        while total < limit && matches!(self.next()?, Next::Event(_)) {
            let until = usize::try_from(self.until).unwrap_or(usize::MAX);
            let n = (limit - total).min(until).min(out.room());
            if n == 0 {
                break;
            }
            let (written, full) = self.write_block(out, n);
            total += written;
            if full {
                return Ok(Written::Full(total));
            }
            if written == 0 {
                break;
            }
        }
        Ok(Written::Events(total))
    }

    fn skip(&mut self) {
        if matches!(self.next(), Ok(Next::Event(_))) {
            self.took(1);
        }
    }
}

impl Timed for SimSource {
    fn shift(&mut self, ns: u64) -> bool {
        self.shift = self.shift.saturating_add(ns);
        true
    }

    fn newest(&self) -> Option<u64> {
        self.newest
    }
}

#[cfg(test)]
mod tests;
