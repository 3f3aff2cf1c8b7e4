//! A reduction's window at the root: merges each heartbeat's state in and lets old ones out.
//!
//! Sliding windows are a queue of two stacks: the older half holds for each heartbeat the merge of
//! itself with everything newer in that half, the newer half holds heartbeats one by one beside
//! their merge. So a window is one merge of two states, letting the oldest out costs nothing, and
//! no float is ever subtracted. Each state is merged a fixed number of times, whatever the length.

use crate::data::bytes::{Reader, Writer};
use crate::data::frame::{Frame, Truth};
use crate::error::DecodeError;
use crate::graph::window::Window;
use crate::root::ledger::{Ledger, Place, place, read_truth, write_truth};
use crate::wire::slot::Slot;
use std::borrow::Cow;

/// One heartbeat inside a sliding window.
#[derive(Debug, Clone)]
struct Entry {
    place: Place,
    timestamp: u64,
    truth: Truth,
    slot: Slot,
}

/// Where the newest frame stands.
#[derive(Debug, Clone, Copy)]
struct Now {
    generation: u64,
    run: u32,
    step: Option<u32>,
    place: Place,
    timestamp: u64,
}

impl Now {
    fn of(frame: &Frame) -> Now {
        Now {
            generation: frame.generation,
            run: frame.run,
            step: frame.step,
            place: place(frame),
            timestamp: frame.timestamp_ns,
        }
    }

    fn same_run(&self, other: &Now) -> bool {
        (self.generation, self.run) == (other.generation, other.run)
    }

    fn same_step(&self, other: &Now) -> bool {
        self.same_run(other) && self.step == other.step
    }
}

/// A window with its states.
#[derive(Debug)]
pub struct Windowed {
    window: Window,
    budget: u64,
    /// Older half, newest first; slots are merged with all before them.
    front: Vec<Entry>,
    /// Newer half, oldest first; slots as they came.
    back: Vec<Entry>,
    /// All of `back` merged; for windows that do not slide: everything.
    sum: Slot,
    ledger: Ledger,
    bytes: u64,
    /// The newest frame pushed.
    now: Option<Now>,
    /// Nothing before this is inside: the first heartbeat since the last clearing, or the
    /// one after the newest that was let out.
    since: Place,
    /// Heartbeats that had to leave early for lack of memory.
    pub evicted: u64,
}

impl Windowed {
    /// Empty.
    pub fn new(window: Window, budget: u64) -> Windowed {
        Windowed {
            window,
            budget,
            front: Vec::new(),
            back: Vec::new(),
            sum: Slot::Empty,
            ledger: Ledger::default(),
            bytes: 0,
            now: None,
            since: (0, 0),
            evicted: 0,
        }
    }

    /// Holds it to another number of bytes, after a new plan.
    pub fn set_budget(&mut self, budget: u64) {
        self.budget = budget;
    }

    /// Which window it is.
    pub fn window(&self) -> Window {
        self.window
    }

    /// Adds a heartbeat, after which the window is that of this heartbeat. States that do not
    /// belong together are left out: they were refused with an error before.
    pub fn push(&mut self, frame: &Frame, slot: Slot) {
        let now = Now::of(frame);
        let fresh = self.now.is_some_and(|before| match self.window {
            Window::Heartbeat => true,
            Window::Run => !before.same_run(&now),
            Window::Step => !before.same_step(&now),
            Window::Heartbeats(_) | Window::Nanoseconds(_) | Window::Events(_) => {
                before.generation != now.generation
            }
        });
        if fresh {
            *self = Windowed { evicted: self.evicted, ..Windowed::new(self.window, self.budget) };
        }
        // Places go down only when a ventilator begins a new epoch.
        if self.now.is_none_or(|before| now.place < before.place) {
            self.since = now.place;
        }
        self.now = Some(now);
        if self.slides() {
            self.push_sliding(frame, slot);
        } else {
            // A mismatch cannot come from one plan.
            let _ = self.sum.merge(slot, 0);
            self.ledger.add(place(frame), &frame.truth);
        }
    }

    fn slides(&self) -> bool {
        matches!(self.window, Window::Heartbeats(_) | Window::Nanoseconds(_) | Window::Events(_))
    }

    fn push_sliding(&mut self, frame: &Frame, slot: Slot) {
        let silent = frame.truth == Truth { expected: Some(0), ..Truth::default() };
        if !(silent && slot.is_empty()) {
            let _ = self.sum.merge(slot.clone(), 0);
            let entry = Entry {
                place: place(frame),
                timestamp: frame.timestamp_ns,
                truth: frame.truth.clone(),
                slot,
            };
            self.ledger.add(entry.place, &entry.truth);
            self.bytes += entry.slot.bytes() as u64;
            self.back.push(entry);
        }
        self.let_out();
    }

    /// Lets out what is no longer inside, and what there is no memory for.
    fn let_out(&mut self) {
        while self.oldest().is_some_and(|oldest| !self.inside(oldest)) {
            self.pop();
        }
        while self.bytes > self.budget && self.front.len() + self.back.len() > 1 {
            self.pop();
            self.evicted += 1;
        }
    }

    fn oldest(&self) -> Option<&Entry> {
        self.front.last().or(self.back.first())
    }

    fn inside(&self, entry: &Entry) -> bool {
        let Some(Now { place: (_, heartbeat), timestamp, .. }) = self.now else { return true };
        match self.window {
            Window::Heartbeats(n) => entry.place.1 <= heartbeat && heartbeat - entry.place.1 < n,
            Window::Nanoseconds(t) => {
                entry.timestamp <= timestamp && timestamp - entry.timestamp < t
            }
            Window::Events(n) => {
                self.ledger.events() - entry.truth.events.min(self.ledger.events()) < n
            }
            Window::Heartbeat | Window::Run | Window::Step => true,
        }
    }

    fn pop(&mut self) {
        if self.front.is_empty() {
            self.flip();
        }
        if let Some(entry) = self.front.pop() {
            // Heartbeats before the next one are out for good, whatever comes late for them.
            if self.now.is_some_and(|now| entry.place < now.place) {
                self.since = self.since.max((entry.place.0, entry.place.1.saturating_add(1)));
            }
            self.ledger.remove(entry.place, &entry.truth);
            self.bytes = self.bytes.saturating_sub(entry.slot.bytes() as u64);
        }
    }

    /// Turns the newer half into the older one.
    fn flip(&mut self) {
        self.sum = Slot::Empty;
        let mut merged = Slot::Empty;
        while let Some(mut entry) = self.back.pop() {
            let _ = entry.slot.merge(merged, 0);
            merged = entry.slot.clone();
            self.front.push(entry);
        }
        self.bytes = self.front.iter().map(|entry| entry.slot.bytes() as u64).sum();
    }

    /// Adds what came late for a heartbeat that is still inside.
    pub fn late(&mut self, frame: &Frame, slot: Slot) {
        let Some(now) = self.now else { return };
        let (late, at) = (Now::of(frame), place(frame));
        let joins = match self.window {
            Window::Heartbeat => at == now.place && late.generation == now.generation,
            Window::Run => now.same_run(&late),
            Window::Step => now.same_step(&late),
            Window::Heartbeats(_) | Window::Nanoseconds(_) | Window::Events(_) => {
                late.generation == now.generation
            }
        };
        if !joins || at < self.since {
            return;
        }
        if !self.slides() {
            let _ = self.sum.merge(slot, 0);
            self.ledger.late(at, &frame.truth);
            return;
        }
        let entry =
            Entry { place: at, timestamp: frame.timestamp_ns, truth: frame.truth.clone(), slot };
        if matches!(self.window, Window::Events(_)) || self.inside(&entry) {
            self.join(entry);
            self.let_out();
        }
    }

    fn join(&mut self, late: Entry) {
        let newer_half = match (self.front.first(), self.back.first()) {
            (None, _) => true,
            (Some(newest), _) if late.place > newest.place => true,
            (Some(_), Some(oldest)) => late.place >= oldest.place,
            (Some(_), None) => false,
        };
        self.bytes += late.slot.bytes() as u64;
        if newer_half {
            let _ = self.sum.merge(late.slot.clone(), 0);
            match self.back.binary_search_by_key(&late.place, |entry| entry.place) {
                Ok(found) => {
                    settle(&mut self.ledger, &mut self.back[found], &late.truth);
                    let _ = self.back[found].slot.merge(late.slot, 0);
                }
                Err(gap) => {
                    self.ledger.add(late.place, &late.truth);
                    self.back.insert(gap, late);
                }
            }
            return;
        }
        // Newest first; everything from here on to the oldest includes this heartbeat.
        let from = self.front.partition_point(|entry| entry.place > late.place);
        let slot = late.slot.clone();
        let mut changed = from;
        if self.front.get(from).is_some_and(|entry| entry.place == late.place) {
            settle(&mut self.ledger, &mut self.front[from], &late.truth);
        } else {
            self.ledger.add(late.place, &late.truth);
            let newer = from.checked_sub(1).map(|k| self.front[k].slot.clone()).unwrap_or_default();
            self.front.insert(from, late);
            let _ = self.front[from].slot.merge(newer, 0);
            changed += 1;
        }
        for entry in &mut self.front[changed..] {
            let _ = entry.slot.merge(slot.clone(), 0);
        }
    }

    /// Everything inside, merged.
    pub fn total(&self) -> Cow<'_, Slot> {
        match self.front.last() {
            None => Cow::Borrowed(&self.sum),
            Some(older) if self.back.is_empty() => Cow::Borrowed(&older.slot),
            Some(older) => {
                let mut total = older.slot.clone();
                let _ = total.merge(self.sum.clone(), 0);
                Cow::Owned(total)
            }
        }
    }

    /// What the window speaks for.
    pub fn truth(&self) -> Truth {
        self.ledger.truth()
    }

    /// As bytes, for checkpoints.
    pub fn encode(&self, writer: &mut Writer) {
        writer.bool(self.now.is_some());
        if let Some(Now { generation, run, step, place, timestamp }) = self.now {
            writer.u64(generation);
            writer.u32(run);
            writer.bool(step.is_some());
            writer.u32(step.unwrap_or(0));
            for number in [place.0, place.1, timestamp] {
                writer.u64(number);
            }
        }
        for number in [self.since.0, self.since.1, self.evicted] {
            writer.u64(number);
        }
        self.ledger.encode(writer);
        self.sum.clone().encode(writer);
        for half in [&self.front, &self.back] {
            writer.u32(half.len() as u32);
            for entry in half {
                writer.u64(entry.place.0);
                writer.u64(entry.place.1);
                writer.u64(entry.timestamp);
                write_truth(&entry.truth, writer);
                entry.slot.clone().encode(writer);
            }
        }
    }

    /// Reads what [`Windowed::encode`] wrote.
    ///
    /// # Errors
    /// When the bytes are not a window.
    pub fn decode(
        window: Window,
        budget: u64,
        reader: &mut Reader<'_>,
    ) -> Result<Windowed, DecodeError> {
        const WHAT: &str = "window";
        let mut windowed = Windowed::new(window, budget);
        if reader.bool(WHAT)? {
            let (generation, run) = (reader.u64(WHAT)?, reader.u32(WHAT)?);
            let (in_step, step) = (reader.bool(WHAT)?, reader.u32(WHAT)?);
            let place = (reader.u64(WHAT)?, reader.u64(WHAT)?);
            let (step, timestamp) = (in_step.then_some(step), reader.u64(WHAT)?);
            windowed.now = Some(Now { generation, run, step, place, timestamp });
        }
        windowed.since = (reader.u64(WHAT)?, reader.u64(WHAT)?);
        windowed.evicted = reader.u64(WHAT)?;
        windowed.ledger = Ledger::decode(reader)?;
        windowed.sum = Slot::decode(reader)?;
        windowed.front = decode_half(reader)?;
        windowed.back = decode_half(reader)?;
        let halves = windowed.front.iter().chain(&windowed.back);
        windowed.bytes = halves.map(|entry| entry.slot.bytes() as u64).sum();
        Ok(windowed)
    }
}

/// Adds late counts to a heartbeat inside a sliding window.
fn settle(ledger: &mut Ledger, entry: &mut Entry, late: &Truth) {
    ledger.remove(entry.place, &entry.truth);
    entry.truth.events = entry.truth.events.saturating_add(late.events);
    entry.truth.expected = entry.truth.expected.or(late.expected);
    for (reason, count) in &late.dropped {
        let sum = entry.truth.dropped.entry(reason.clone()).or_default();
        *sum = sum.saturating_add(*count);
    }
    ledger.add(entry.place, &entry.truth);
}

fn decode_half(reader: &mut Reader<'_>) -> Result<Vec<Entry>, DecodeError> {
    const WHAT: &str = "heartbeat of a window";
    let count = reader.count(42, WHAT)?;
    let one = |_| {
        let place = (reader.u64(WHAT)?, reader.u64(WHAT)?);
        let timestamp = reader.u64(WHAT)?;
        let truth = read_truth(reader)?;
        Ok(Entry { place, timestamp, truth, slot: Slot::decode(reader)? })
    };
    (0..count).map(one).collect()
}
