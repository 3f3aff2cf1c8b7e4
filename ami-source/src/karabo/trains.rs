//! Trains become events: what each source says goes to its field, and sources that are missing are named.

use crate::brackets::plain;
use crate::karabo::matching::{Limits, Matching};
use crate::karabo::read::{Bytes, Nonsense, Part, Train, Val, kind, read};
use crate::karabo::split::{self, Axis};
use crate::karabo::url::{KaraboUrl, Pulses};
use crate::live::fields::{Fields, converted, write_scalar};
use crate::live::{Ahead, Message, Wire};
use crate::source::Transition;
use ami_graph::data::value::DType;
use ami_proto::data_path::chunk::{ChunkWriter, Full};
use ami_proto::data_path::transition::TransitionKind;
use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;
use std::sync::Arc;

/// Sources that are counted by name when they are missing.
const NAMED: usize = 100;

/// Numerator and denominator of the time between pulses, ns: 288 periods of 1.3 GHz.
const PULSE_NS: (u64, u64) = (288_000, 1_300);

/// One endpoint's part of a train.
#[derive(Debug)]
struct Arrived {
    message: Message,
    train: Train,
}

/// Which part of an array goes into an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Slice {
    Whole,
    Pulse(Axis, usize),
}

/// A value that is to be written: where it lies, and its field.
#[derive(Debug)]
struct Put {
    field: usize,
    /// By endpoint, source and property.
    at: (usize, usize, usize),
    slice: Slice,
    dtype: DType,
    scalar: bool,
}

/// A train with what is to be written of it.
#[derive(Debug)]
struct Whole {
    arrived: Vec<Arrived>,
    puts: Vec<Put>,
    train: u64,
}

/// A train that waits to be written, or a pulse of one.
#[derive(Debug)]
pub struct TrainEvent {
    whole: Rc<Whole>,
    /// Which pulse, and its number.
    pulse: Option<(usize, u64)>,
}

#[derive(Debug, Default)]
struct Counts {
    damaged_messages: u64,
    refusals: u64,
    values_left_out: u64,
    trains: u64,
    trains_skipped: u64,
    trains_without_number: u64,
    sources_missing: u64,
    reconfigured: u64,
}

/// A source that was seen, and trains it was missing in.
#[derive(Debug, Default)]
struct Seen {
    missing: u64,
    away: bool,
    /// What its count is called.
    label: Option<&'static str>,
}

/// The protocol.
#[derive(Debug)]
pub struct Trains {
    url: KaraboUrl,
    fields: Fields,
    matching: Option<Matching<Arrived>>,
    sources: BTreeMap<String, Seen>,
    configured: bool,
    newest: Option<u64>,
    counts: Counts,
}

type Queue = VecDeque<Ahead<TrainEvent>>;

impl Trains {
    /// Before the first message.
    pub fn new(url: KaraboUrl) -> Trains {
        let mut first = vec![format!("{}:train:id", url.name)];
        if url.pulses == Pulses::Events {
            first.push(format!("{}:train:pulse", url.name));
        }
        let limits = Limits {
            wait_ns: url.match_ns,
            trains: url.match_trains,
            // What waits here takes room of the queue, which the rest of the train needs, too.
            bytes: url.queue_bytes / 2,
        };
        let matching = url.matches().then(|| Matching::new(url.addresses.len(), limits));
        Trains {
            fields: Fields::new(&first),
            matching,
            sources: BTreeMap::new(),
            configured: false,
            newest: None,
            counts: Counts::default(),
            url,
        }
    }

    /// A train, all of it that is to be expected.
    fn on_train(&mut self, arrived: Vec<Arrived>, ahead: &mut Queue) {
        let parts = || arrived.iter().flat_map(|a| &a.train.parts);
        let Some(at_ns) = arrived.iter().map(|a| a.message.at_ns).max() else { return };
        let train = parts().find_map(|part| part.train);
        self.counts.trains += 1;
        self.counts.trains_without_number += u64::from(train.is_none());
        let train = train.unwrap_or(0);
        if let Some(newest) = self.newest {
            self.counts.trains_skipped += train.saturating_sub(newest + 1).min(1 << 32);
        }
        self.newest = Some(train);
        let stamp = parts().filter_map(|part| part.stamp_ns).max();
        let stamp = stamp.filter(|_| !self.url.arrival).unwrap_or(at_ns);
        self.who_is_missing(train, &arrived);
        let pulses = match self.url.pulses {
            Pulses::Axis => 0,
            Pulses::Events => {
                parts().filter_map(|p| split::pulses(p).map(|(n, _)| n)).max().unwrap_or(0)
            }
        };
        let puts = self.puts(&arrived, pulses > 0);
        self.configure(stamp, ahead);
        let whole = Rc::new(Whole { arrived, puts, train });
        if pulses == 0 {
            ahead.push_back(Ahead::Event(stamp, TrainEvent { whole, pulse: None }));
            return;
        }
        let numbers = whole.pulse_numbers(pulses);
        for (at, number) in numbers.into_iter().enumerate() {
            let offset = number.min(split::MOST as u64) * PULSE_NS.0 / PULSE_NS.1;
            let event = TrainEvent { whole: whole.clone(), pulse: Some((at, number)) };
            ahead.push_back(Ahead::Event(stamp + offset, event));
        }
    }

    /// What is written of a train, and into which fields.
    fn puts(&mut self, arrived: &[Arrived], by_pulse: bool) -> Vec<Put> {
        let mut puts = Vec::new();
        for (a, arrived) in arrived.iter().enumerate() {
            for (p, part) in arrived.train.parts.iter().enumerate() {
                let pulses = split::pulses(part).map(|(n, _)| n).filter(|_| by_pulse);
                for (at, (path, value)) in part.properties.iter().enumerate() {
                    let (dtype, shape) = kind(value);
                    let axis = pulses.and_then(|n| Some((split::axis(shape, n)?, n)));
                    let (slice, shape) = match axis {
                        Some((axis, n)) => (Slice::Pulse(axis, n), split::remaining(shape, axis)),
                        None => (Slice::Whole, shape),
                    };
                    let name = format!("{}:{path}", part.source);
                    if let Some(field) = self.fields.fit(&name, dtype, shape) {
                        let scalar = matches!(value, Val::Scalar(_));
                        let at = (a, p, at);
                        puts.push(Put { field, at, slice, dtype, scalar });
                    }
                }
            }
        }
        // A value that came first may have got another type by one that came later.
        puts.retain(|put| {
            let fits = self.fields.dtype(put.field);
            fits == Some(put.dtype) || put.scalar && fits == Some(DType::F64)
        });
        puts
    }

    fn configure(&mut self, stamp: u64, ahead: &mut Queue) {
        let Some(schema) = self.fields.news() else { return };
        let configure = plain(TransitionKind::Configure, stamp);
        let schema = Some(Arc::new(schema));
        ahead.push_back(Ahead::Transition(Transition { schema, ..configure }));
        if self.configured {
            self.counts.reconfigured += 1;
            return;
        }
        self.configured = true;
        for kind in [TransitionKind::BeginRun, TransitionKind::Enable] {
            ahead.push_back(Ahead::Transition(plain(kind, stamp)));
        }
    }

    fn who_is_missing(&mut self, train: u64, arrived: &[Arrived]) {
        let names = arrived.iter().flat_map(|a| &a.train.parts).map(|part| &part.source);
        let mut here: Vec<&String> = names.collect();
        here.sort();
        let known = self.sources.len();
        for source in &here {
            if known < 4096 && !self.sources.contains_key(*source) {
                self.sources.insert((*source).clone(), Seen::default());
            }
        }
        let mut named = self.sources.values().filter(|seen| seen.label.is_some()).count();
        for (source, seen) in &mut self.sources {
            let there = here.binary_search(&source).is_ok();
            if !there {
                seen.missing += 1;
                self.counts.sources_missing += 1;
                if seen.label.is_none() && named < NAMED {
                    seen.label = Some(label(source));
                    named += 1;
                }
            }
            match (there, seen.away) {
                (false, false) => tracing::warn!(source, train, "a source is missing"),
                (true, true) => tracing::info!(source, train, "a source is back"),
                _ => {}
            }
            seen.away = !there;
        }
    }
}

/// What the count of a missing source is called: at most [`NAMED`] of these are ever made.
fn label(source: &str) -> &'static str {
    let good = |c: char| if c.is_alphanumeric() || "_-./:".contains(c) { c } else { '_' };
    let name: String = source.chars().take(100).map(good).collect();
    Box::leak(format!("missing {name}").into_boxed_str())
}

impl Whole {
    fn value(&self, put: &Put) -> Option<(&Arrived, &Val)> {
        let arrived = self.arrived.get(put.at.0)?;
        let (_, value) = arrived.train.parts.get(put.at.1)?.properties.get(put.at.2)?;
        Some((arrived, value))
    }

    /// The numbers of the pulses: of the source that has the most.
    fn pulse_numbers(&self, pulses: usize) -> Vec<u64> {
        let most = |part: &Part| split::pulses(part).is_some_and(|(n, _)| n == pulses);
        let found = self
            .arrived
            .iter()
            .find_map(|a| a.train.parts.iter().find(|part| most(part)).map(|part| (a, part)));
        let of_list = |at: usize| {
            let (arrived, part) = found?;
            let (_, Val::Array { dtype, bytes, .. }) = split::pulses(part)? else { return None };
            split::number(bytes.of(&arrived.message), *dtype, at)
        };
        (0..pulses).map(|at| of_list(at).unwrap_or(at as u64)).collect()
    }
}

impl Bytes {
    fn of<'a>(&'a self, message: &'a Message) -> &'a [u8] {
        match self {
            Bytes::Frame(frame, range) => {
                message.frame(*frame).get(range.clone()).unwrap_or_default()
            }
            Bytes::Own(bytes) => bytes,
        }
    }
}

impl Wire for Trains {
    type Event = TrainEvent;

    fn on(&mut self, message: Message, ahead: &mut Queue) {
        let train = match read(&message) {
            Ok(train) => train,
            Err(Nonsense::Refusal) => return self.counts.refusals += 1,
            Err(Nonsense::Damaged) => return self.counts.damaged_messages += 1,
        };
        self.counts.values_left_out += train.left_out;
        let number = train.parts.iter().find_map(|part| part.train);
        let (from, at_ns, bytes) = (message.from, message.at_ns, message.bytes());
        let arrived = Arrived { message, train };
        let mut ready = Vec::new();
        match (&mut self.matching, number) {
            (Some(matching), Some(number)) => {
                matching.on((from, number), arrived, bytes, at_ns, &mut ready);
            }
            _ => ready.push(vec![arrived]),
        }
        for train in ready {
            self.on_train(train, ahead);
        }
    }

    fn write(
        &mut self,
        event: &mut TrainEvent,
        _: u64,
        out: &mut ChunkWriter<'_>,
    ) -> Result<(), Full> {
        let whole = &event.whole;
        out.scalar(0, whole.train);
        if let Some((_, number)) = event.pulse {
            out.scalar(1, number);
        }
        let pulse = event.pulse.map(|(at, _)| at);
        for put in &whole.puts {
            let Some((arrived, value)) = whole.value(put) else { continue };
            match value {
                Val::Scalar(scalar) => {
                    let wanted = self.fields.dtype(put.field).unwrap_or(put.dtype);
                    if let Some(scalar) = converted(*scalar, wanted) {
                        write_scalar(put.field, scalar, out);
                    }
                }
                Val::Text(text) => out.text(put.field, text),
                Val::Array { dtype, shape, bytes } => {
                    let bytes = bytes.of(&arrived.message);
                    write_array(put, (*dtype, shape), bytes, pulse, out)?;
                }
            }
        }
        Ok(())
    }

    fn idle(&mut self, now_ns: u64, ahead: &mut Queue) {
        let mut ready = Vec::new();
        if let Some(matching) = &mut self.matching {
            matching.release(now_ns, &mut ready);
        }
        for train in ready {
            self.on_train(train, ahead);
        }
    }

    fn counters(&self) -> Vec<(&'static str, u64)> {
        let c = &self.counts;
        let m = self.matching.as_ref().map(|m| m.counts).unwrap_or_default();
        let mut list = vec![
            ("trains", c.trains),
            ("trains_skipped", c.trains_skipped),
            ("trains_without_number", c.trains_without_number),
            ("trains_incomplete", m.incomplete),
            ("late_parts", m.late),
            ("endpoints_begun_anew", m.resets),
            ("sources_missing", c.sources_missing),
            ("damaged_messages", c.damaged_messages),
            ("refusals", c.refusals),
            ("values_left_out", c.values_left_out + self.fields.misfits),
            ("reconfigured", c.reconfigured),
        ];
        let missing = self.sources.values().filter_map(|seen| Some((seen.label?, seen.missing)));
        list.extend(missing);
        list
    }
}

/// An array, or what belongs to one pulse of it. What has no pulses goes with the first.
fn write_array(
    put: &Put,
    (dtype, shape): (DType, &[usize]),
    bytes: &[u8],
    pulse: Option<usize>,
    out: &mut ChunkWriter<'_>,
) -> Result<(), Full> {
    let (Slice::Pulse(axis, pulses), Some(pulse)) = (put.slice, pulse) else {
        if pulse.is_none_or(|at| at == 0) {
            out.array_from(put.field, shape, bytes)?;
        }
        return Ok(());
    };
    if pulse >= pulses {
        return Ok(());
    }
    let remaining = split::remaining(shape, axis);
    match axis {
        Axis::First => {
            let Some(bytes) = split::first(bytes, pulse, pulses) else { return Ok(()) };
            if remaining.is_empty() {
                out.scalar_bytes(put.field, dtype, bytes);
            } else {
                out.array_from(put.field, remaining, bytes)?;
            }
        }
        Axis::Last => {
            let array = out.array(put.field, remaining)?;
            split::last(bytes, pulse, pulses, dtype, array);
        }
    }
    Ok(())
}
