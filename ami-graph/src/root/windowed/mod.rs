//! A reduction's window at the root: merges each heartbeat's state in and lets old ones out.
//!
//! Sliding windows are a queue of two stacks: the older half holds for each heartbeat the merge of
//! itself with everything newer in that half, the newer half holds heartbeats one by one beside
//! their merge. So a window is one merge of two states, letting the oldest out costs nothing, and
//! no float is ever subtracted. Each state is merged a fixed number of times, whatever the length.
//! A window of steps is a queue of steps, into the newest of which heartbeats are merged.

mod bytes;

use crate::data::frame::{Frame, Truth};
use crate::graph::window::Window;
use crate::op::reduction::Reduction;
use crate::root::ledger::{Ledger, Place, place};
use crate::wire::slot::Slot;
use std::borrow::Cow;

/// One heartbeat inside a sliding window; in a window of steps, one step.
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
    fn of(frame: &Frame, window: Window) -> Now {
        let place = match window {
            // No step is before the first.
            Window::Steps(_) => (0, frame.step.map_or(0, |step| u64::from(step) + 1)),
            _ => place(frame),
        };
        Now {
            generation: frame.generation,
            run: frame.run,
            step: frame.step,
            place,
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
    /// The first heartbeat of all: what came before a reset does not come back late.
    begun: Place,
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
            begun: (0, 0),
            evicted: 0,
        }
    }

    /// Holds it to another number of bytes, after a new plan.
    pub fn set_budget(&mut self, budget: u64) {
        self.budget = budget;
    }

    /// Gives the states that came from a checkpoint what they could not bring along.
    pub fn adopt(&mut self, reduction: &dyn Reduction) {
        let halves = self.front.iter_mut().chain(&mut self.back);
        halves.map(|entry| &mut entry.slot).chain([&mut self.sum]).for_each(|s| s.adopt(reduction));
    }

    /// Which window it is.
    pub fn window(&self) -> Window {
        self.window
    }

    /// Adds a heartbeat, after which the window is that of this heartbeat. States that do not
    /// belong together are left out: they were refused with an error before.
    pub fn push(&mut self, frame: &Frame, slot: Slot) {
        let now = Now::of(frame, self.window);
        let fresh = self.now.is_some_and(|before| match self.window {
            Window::Heartbeat => true,
            Window::Reset => false,
            Window::Run | Window::Steps(_) => !before.same_run(&now),
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
            (self.since, self.begun) = (now.place, place(frame));
        }
        self.now = Some(now);
        if self.slides() {
            self.push_sliding(frame, now, slot);
        } else {
            // A mismatch cannot come from one plan.
            let _ = self.sum.merge(slot, 0);
            self.ledger.add(now.place, &frame.truth);
        }
    }

    fn slides(&self) -> bool {
        !matches!(self.window, Window::Heartbeat | Window::Step | Window::Run | Window::Reset)
    }

    fn push_sliding(&mut self, frame: &Frame, now: Now, slot: Slot) {
        let silent = frame.truth == Truth { expected: Some(0), ..Truth::default() };
        let (timestamp, truth) = (frame.timestamp_ns, frame.truth.clone());
        let entry = Entry { place: now.place, timestamp, truth, slot };
        let nothing = silent && entry.slot.is_empty();
        if nothing {
            // Nothing to hold for it.
        } else if self.newest().is_some_and(|newest| newest.place == entry.place) {
            // Another heartbeat of the step.
            self.join(entry);
        } else {
            let _ = self.sum.merge(entry.slot.clone(), 0);
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

    fn newest(&self) -> Option<&Entry> {
        self.back.last().or(self.front.first())
    }

    fn inside(&self, entry: &Entry) -> bool {
        let Some(Now { place: (_, heartbeat), timestamp, .. }) = self.now else { return true };
        match self.window {
            Window::Heartbeats(n) | Window::Steps(n) => {
                entry.place.1 <= heartbeat && heartbeat - entry.place.1 < n
            }
            Window::Nanoseconds(t) => {
                entry.timestamp <= timestamp && timestamp - entry.timestamp < t
            }
            Window::Events(n) => {
                self.ledger.events() - entry.truth.events.min(self.ledger.events()) < n
            }
            Window::Heartbeat | Window::Run | Window::Step | Window::Reset => true,
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
        let late = Now::of(frame, self.window);
        let at = late.place;
        let joins = match self.window {
            Window::Heartbeat => at == now.place && late.generation == now.generation,
            Window::Reset => true,
            Window::Run | Window::Steps(_) => now.same_run(&late),
            Window::Step => now.same_step(&late),
            Window::Heartbeats(_) | Window::Nanoseconds(_) | Window::Events(_) => {
                late.generation == now.generation
            }
        };
        if !joins || at < self.since || place(frame) < self.begun {
            return;
        }
        if !self.slides() {
            let _ = self.sum.merge(slot, 0);
            self.ledger.late(at, &frame.truth);
            return;
        }
        let truth = frame.truth.clone();
        let entry = Entry { place: at, timestamp: frame.timestamp_ns, truth, slot };
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
                    settle(&mut self.ledger, self.window, &mut self.back[found], &late.truth);
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
            settle(&mut self.ledger, self.window, &mut self.front[from], &late.truth);
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
}

/// Adds late counts to a heartbeat inside a sliding window, or a heartbeat's to its step.
fn settle(ledger: &mut Ledger, window: Window, entry: &mut Entry, late: &Truth) {
    ledger.remove(entry.place, &entry.truth);
    entry.truth.events = entry.truth.events.saturating_add(late.events);
    let sum = |before: u64, more: u64| before.saturating_add(more);
    entry.truth.expected = match (window, entry.truth.expected, late.expected) {
        // Which of a step's heartbeats was unknown is not remembered: the step stays so.
        (Window::Steps(_), before, more) => {
            before.zip(more).map(|(before, more)| sum(before, more))
        }
        (_, Some(before), more) => Some(sum(before, more.unwrap_or(0))),
        (_, None, all) => all,
    };
    for (reason, count) in &late.dropped {
        let sum = entry.truth.dropped.entry(reason.clone()).or_default();
        *sum = sum.saturating_add(*count);
    }
    ledger.add(entry.place, &entry.truth);
}
