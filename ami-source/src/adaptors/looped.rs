//! `loop=N|forever`: the same data again, as new runs in later time.
//!
//! Each pass is opened anew. Its run numbers continue where the last pass stopped, its timestamps
//! are shifted by one constant so that it begins one period after the newest timestamp before it,
//! and a Configure that says nothing new is left out.

use crate::adaptors::HandsOn;
use crate::brackets::{Brackets, plain};
use crate::source::{Next, Source, Transition, Written};
use crate::timed::Timed;
use ami_graph::data::schema::Schema;
use ami_graph::data::value::Value;
use ami_proto::data_path::chunk::ChunkWriter;
use ami_proto::data_path::transition::TransitionKind;
use anyhow::Context;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

/// Opens the source for another pass.
pub type Open = Box<dyn FnMut() -> anyhow::Result<Box<dyn Timed>>>;

/// Repeats a source.
pub struct Looped {
    open: Open,
    inner: Box<dyn Timed>,
    /// Passes still to come after this one; None without end.
    left: Option<u64>,
    pass: Pass,
    /// Unshifted timestamp of the data's beginning: what a shift is reckoned from.
    first: Option<u64>,
    shift: u64,
    /// Greatest timestamp given out.
    newest: u64,
    /// Added to run numbers.
    run_offset: u32,
    /// The last run number given out, and the first and last ones of the source itself.
    runs: Option<(u32, u32)>,
    schema: Option<Arc<Schema>>,
    queue: VecDeque<Transition>,
    /// Counters of the passes that are over.
    counters: BTreeMap<&'static str, u64>,
    ended: bool,
}

/// What one pass has shown so far.
#[derive(Default)]
struct Pass {
    brackets: Brackets,
    events: u64,
    first_event: u64,
    last_event: u64,
    /// Held values of a Configure that was left out; the next transition sets them.
    held: Vec<(u32, Value)>,
}

impl Looped {
    /// `passes` over what `open` opens; None without end.
    ///
    /// # Errors
    /// When the source cannot be opened.
    pub fn new(mut open: Open, passes: Option<u64>) -> anyhow::Result<Looped> {
        Ok(Looped {
            inner: open()?,
            open,
            left: passes.map(|n| n.saturating_sub(1)),
            pass: Pass::default(),
            first: None,
            shift: 0,
            newest: 0,
            run_offset: 0,
            runs: None,
            schema: None,
            queue: VecDeque::new(),
            counters: BTreeMap::new(),
            ended: false,
        })
    }

    /// Takes the source's next transition into the queue, as this pass has it.
    fn take_transition(&mut self) {
        let Some(mut t) = self.inner.transition() else { return };
        if matches!(t.kind, TransitionKind::BeginStep | TransitionKind::Enable) {
            // Takes what a Configure set, which a step did not.
            self.begin_run(t.timestamp);
        }
        t.held.splice(0..0, self.pass.held.drain(..));
        match t.kind {
            TransitionKind::Configure => {
                if self.schema.is_some() && self.schema == t.schema {
                    self.pass.held = t.held;
                    return;
                }
                self.schema.clone_from(&t.schema);
                // It may have been taken long before the run that the shift is reckoned from.
                t.timestamp = t.timestamp.max(self.newest);
            }
            // The next pass goes on with the same schema; only the last may take it away.
            TransitionKind::Unconfigure if self.left != Some(0) => return,
            TransitionKind::BeginRun => t.run = Some(self.run_number(t.run)),
            _ => {}
        }
        if t.kind != TransitionKind::Configure {
            self.first = self.first.or(Some(t.timestamp));
        }
        self.push(t);
    }

    fn push(&mut self, t: Transition) {
        self.pass.brackets.on(t.kind);
        self.newest = self.newest.max(t.timestamp);
        self.queue.push_back(t);
    }

    /// Number of a run in this pass. A source without numbers counts from 1.
    fn run_number(&mut self, own: Option<u32>) -> u32 {
        let own = own.unwrap_or_else(|| self.runs.map_or(1, |(_, last)| last.saturating_add(1)));
        let (first, last) = self.runs.unwrap_or((own, own));
        self.runs = Some((first.min(own), last.max(own)));
        own.saturating_add(self.run_offset)
    }

    /// Makes the BeginRun that the source lacks.
    fn begin_run(&mut self, timestamp: u64) {
        if !self.pass.brackets.in_run() {
            let run = Some(self.run_number(None));
            let held = std::mem::take(&mut self.pass.held);
            self.push(Transition { run, held, ..plain(TransitionKind::BeginRun, timestamp) });
        }
    }

    /// Closes what the pass left open and opens the next one, if there is one.
    fn turn(&mut self) -> anyhow::Result<()> {
        let newest = self.newest;
        for t in self.pass.brackets.closing(newest) {
            self.push(t);
        }
        if self.left == Some(0) || (self.pass.events == 0 && self.runs.is_none()) {
            // A pass without anything in it would loop without ever returning.
            self.ended = true;
            return Ok(());
        }
        for (name, n) in self.inner.counters() {
            *self.counters.entry(name).or_default() += n;
        }
        self.inner = (self.open)().context("opening the source for its next pass")?;
        let begin = newest.saturating_add(self.pass.period());
        self.shift = begin.saturating_sub(self.first.unwrap_or(begin));
        anyhow::ensure!(
            self.inner.shift(self.shift),
            "this source cannot be repeated: it cannot shift its timestamps; leave out loop="
        );
        let (first, last) = self.runs.take().unwrap_or((1, 1));
        self.run_offset = self.run_offset.saturating_add(last - first + 1);
        self.left = self.left.map(|n| n - 1);
        self.pass = Pass::default();
        Ok(())
    }
}

impl Pass {
    /// Mean distance of this pass's events in ns, at least 1.
    fn period(&self) -> u64 {
        let span = self.last_event.saturating_sub(self.first_event);
        (span / self.events.saturating_sub(1).max(1)).max(1)
    }
}

impl HandsOn for Looped {
    fn inner(&mut self) -> &mut dyn Timed {
        &mut *self.inner
    }

    fn took(&mut self, announced: u64, events: usize) {
        if events == 0 {
            return;
        }
        if self.pass.events == 0 {
            self.pass.first_event = announced;
        }
        self.pass.events += events as u64;
        let newest = self.inner.newest().unwrap_or(announced);
        self.pass.last_event = newest;
        self.newest = self.newest.max(newest);
    }
}

impl Source for Looped {
    fn next(&mut self) -> anyhow::Result<Next> {
        loop {
            if let Some(t) = self.queue.front() {
                return Ok(Next::Transition(t.timestamp));
            }
            if self.ended {
                return Ok(Next::End);
            }
            match self.inner.next()? {
                Next::Transition(_) => self.take_transition(),
                Next::End => self.turn()?,
                Next::Event(timestamp) => {
                    self.first = self.first.or(Some(timestamp));
                    self.begin_run(timestamp);
                    if self.queue.is_empty() {
                        return Ok(Next::Event(timestamp));
                    }
                }
                Next::Pending => return Ok(Next::Pending),
            }
        }
    }

    fn transition(&mut self) -> Option<Transition> {
        if self.queue.is_empty() {
            self.next().ok()?;
        }
        self.queue.pop_front()
    }

    fn write(
        &mut self,
        out: &mut ChunkWriter<'_>,
        before: u64,
        max: usize,
    ) -> anyhow::Result<Written> {
        self.hand_on(out, before, max)
    }

    fn skip(&mut self) {
        self.step_over();
    }

    fn counters(&self) -> Vec<(&'static str, u64)> {
        let mut sums = self.counters.clone();
        for (name, n) in self.inner.counters() {
            *sums.entry(name).or_default() += n;
        }
        sums.into_iter().collect()
    }

    fn canned(&self) -> bool {
        self.inner.canned()
    }

    fn due_in(&self) -> Option<std::time::Duration> {
        self.inner.due_in()
    }

    fn wakes(&self) -> Option<std::os::fd::BorrowedFd<'_>> {
        self.inner.wakes()
    }
}
