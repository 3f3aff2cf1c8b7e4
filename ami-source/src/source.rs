//! The contract between a source of events and the ventilator.
//!
//! A source says what comes next without taking it; the ventilator decides (is the time sane, does a
//! heartbeat end here, is there room) and only then has the source write events into the open chunk.

use ami_graph::data::schema::Schema;
use ami_graph::data::value::Value;
use ami_proto::data_path::chunk::ChunkWriter;
use ami_proto::data_path::transition::TransitionKind;
use std::sync::Arc;

/// What comes next. Timestamps are ns since the Unix epoch (or the counter, with `epoch=counter`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// An event of this timestamp.
    Event(u64),
    /// A transition of this timestamp.
    Transition(u64),
    /// Nothing now; more may come (a live source, or one that keeps a pace).
    Pending,
    /// Nothing will come any more.
    End,
}

/// A transition, taken from the source.
#[derive(Debug, Clone)]
pub struct Transition {
    /// Which one.
    pub kind: TransitionKind,
    /// ns since the Unix epoch.
    pub timestamp: u64,
    /// At Configure: the fields from here on. The held values start empty.
    pub schema: Option<Arc<Schema>>,
    /// At BeginRun: the run's number, where the source knows it.
    pub run: Option<u32>,
    /// At BeginStep: the step's number in its run, where the source knows it; else steps are counted.
    pub step: Option<u32>,
    /// Held values that it sets, by field index.
    pub held: Vec<(u32, Value)>,
}

/// How far a `write` got.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Written {
    /// Events written; the source stopped for a reason that `next` tells.
    Events(usize),
    /// Events written; the next one does not fit into the ring now. It was not taken.
    Full(usize),
}

/// Events and transitions, in order.
///
/// Laws, for every source (`tests/source_contract.rs`): `next` takes nothing and answers the same
/// until something is taken; what `write` and `transition` deliver does not depend on how calls are
/// split; the first thing is a Configure transition.
pub trait Source {
    /// What comes next, without taking it.
    ///
    /// # Errors
    /// When the source is broken in a way that ends it (a file that vanished, not XTC2 at all).
    /// Damage inside is counted and skipped, not an error.
    fn next(&mut self) -> anyhow::Result<Next>;

    /// Takes the transition that `next` announced. None when it announced something else.
    fn transition(&mut self) -> Option<Transition>;

    /// Writes the announced event and those after it whose timestamps do not decrease and lie
    /// before `before`, at most `max` and at most `out.room()`. The announced event itself is
    /// written whatever its timestamp. An event that does not fit is taken back with
    /// `out.cancel()` and stays next.
    ///
    /// # Errors
    /// As `next`, and only when nothing was written.
    fn write(
        &mut self,
        out: &mut ChunkWriter<'_>,
        before: u64,
        max: usize,
    ) -> anyhow::Result<Written>;

    /// Takes the announced event without writing it (it is dropped by the ventilator, counted).
    fn skip(&mut self);

    /// Things worth telling the operator, by name: damaged datagrams, unknown names, retries.
    fn counters(&self) -> Vec<(&'static str, u64)> {
        Vec::new()
    }

    /// True when timestamps may jump because the data is canned or simulated, so that only order,
    /// not the distance from now, tells whether one is sane.
    fn canned(&self) -> bool {
        true
    }

    /// True when an event comes as long after another as their timestamps say.
    fn clocked(&self) -> bool {
        !self.canned()
    }

    /// True while the source is broken and is to be opened again.
    fn lost(&self) -> bool {
        false
    }

    /// After [`Next::Pending`]: how long until the next thing is due, where the source knows it, so
    /// that the loop can sleep exactly that long.
    fn due_in(&self) -> Option<std::time::Duration> {
        None
    }

    /// After [`Next::Pending`]: what becomes readable when something may have come, so that the loop
    /// can sleep until then. None: only time tells.
    fn wakes(&self) -> Option<std::os::fd::BorrowedFd<'_>> {
        None
    }
}
