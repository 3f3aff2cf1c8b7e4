//! The source: runs one after the other, the parts of each merged by id or time; a file that grows is
//! followed.

use crate::brackets::plain;
use crate::hdf5::counts::{Count, Counts};
use crate::hdf5::options::Options;
use crate::hdf5::part::{Scratch, Stamps, Stop};
use crate::hdf5::run::{Run, expand};
use crate::source::{Next, Source, Transition, Written};
use crate::timed::Timed;
use ami_graph::data::schema::Schema;
use ami_proto::data_path::chunk::ChunkWriter;
use ami_proto::data_path::transition::TransitionKind;
use anyhow::anyhow;
use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

/// How often a growing file is asked.
const POLL: Duration = Duration::from_millis(20);
/// Looks at a value that may be whole in a moment, before it is left out.
const PATIENCE: u32 = 50;

/// What comes next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Found {
    Event(u64),
    Pending,
    End,
}

/// Reads HDF5 files.
pub struct Hdf5Source {
    options: Options,
    /// Files of the runs to come.
    runs: VecDeque<Vec<PathBuf>>,
    run: Run,
    /// Runs begun.
    begun: u32,
    /// Transitions that are due, without shift.
    queue: VecDeque<Transition>,
    closed: bool,
    found: Option<Found>,
    /// Parts that take part in the next event.
    contributors: Vec<usize>,
    seen: Vec<bool>,
    scratch: Scratch,
    shift: u64,
    /// Newest timestamp of this run, without shift; newest of all with it.
    last: u64,
    newest: Option<u64>,
    polled: Option<Instant>,
    /// A value of the next event was damaged so often; the file is to be asked before it is looked at again.
    trouble: u32,
    waits: bool,
    turn: u64,
    /// Of runs that are through.
    counts: Counts,
}

impl Hdf5Source {
    /// Opens files or directories: runs one after the other, or joined by id.
    ///
    /// # Errors
    /// When one cannot be read, or has no events or not what was asked for.
    pub fn open(paths: &[PathBuf], options: &Options) -> anyhow::Result<Hdf5Source> {
        let files = expand(paths)?;
        let mut runs: VecDeque<Vec<PathBuf>> = match options.join {
            true => [files].into(),
            false => files.into_iter().map(|file| vec![file]).collect(),
        };
        let first = runs.pop_front().ok_or_else(|| anyhow!("hdf5: needs a path"))?;
        let mut source = Hdf5Source {
            options: options.clone(),
            runs,
            run: Run::open(&first, options)?,
            begun: 0,
            queue: VecDeque::new(),
            closed: false,
            found: None,
            contributors: Vec::new(),
            seen: Vec::new(),
            scratch: Scratch::default(),
            shift: 0,
            last: 0,
            newest: None,
            polled: None,
            trouble: 0,
            waits: false,
            turn: 0,
            counts: Counts::default(),
        };
        source.begin()?;
        Ok(source)
    }

    /// The fields of the run that is read.
    pub fn schema(&self) -> Arc<Schema> {
        self.run.schema.clone()
    }

    /// What opens a run: its schema with what holds, its number.
    fn begin(&mut self) -> anyhow::Result<()> {
        self.begun += 1;
        self.closed = false;
        self.seen = vec![false; self.run.schema.fields.len()];
        let mut first = None;
        for part in &mut self.run.parts {
            if let Some((_, stamp)) = part.head().map_err(|p| anyhow!("{}: {p}", part.name))? {
                first = Some(first.map_or(stamp, |f: u64| f.min(stamp)));
            }
        }
        let timed = self.run.parts.iter().any(|p| matches!(p.stamps, Stamps::Column(..)));
        let now = || {
            SystemTime::now()
                .duration_since(SystemTime::UNIX_EPOCH)
                .map_or(0, |d| d.as_nanos() as u64)
        };
        let counter = self.options.epoch == crate::Epoch::Counter;
        let stamp = first.unwrap_or(if self.run.live && timed && !counter { now() } else { 0 });
        self.last = stamp;
        let mut configure = plain(TransitionKind::Configure, stamp);
        configure.schema = Some(self.run.schema.clone());
        configure.held = self.run.held.clone();
        let mut begin = plain(TransitionKind::BeginRun, stamp);
        begin.run = Some(self.run.number.unwrap_or(self.begun));
        self.queue.extend([configure, begin, plain(TransitionKind::Enable, stamp)]);
        Ok(())
    }

    /// Looks at the next event of every part and decides who takes part.
    fn decide(&mut self) -> anyhow::Result<Found> {
        self.contributors.clear();
        if self.waits {
            return Ok(Found::Pending);
        }
        let mut least: Option<(u64, u64)> = None;
        let mut waits = false;
        for (number, part) in self.run.parts.iter_mut().enumerate() {
            let head = part.head().map_err(|p| anyhow!("{}, event {}: {p}", part.name, part.at))?;
            let Some((id, stamp)) = head else {
                waits |= part.live;
                continue;
            };
            if least.is_none_or(|(first, _)| id < first) {
                self.contributors.clear();
                least = Some((id, stamp));
            }
            if least.is_some_and(|(first, _)| id == first) {
                self.contributors.push(number);
            }
        }
        Ok(match least {
            // What is still to be written may be older than what the others have.
            _ if waits => Found::Pending,
            Some((_, stamp)) => Found::Event(stamp),
            None => Found::End,
        })
    }

    /// Asks growing files again; true when there is more, or the run has ended.
    fn poll(&mut self) -> anyhow::Result<bool> {
        if self.polled.is_some_and(|at| at.elapsed() < POLL) {
            return Ok(false);
        }
        self.polled = Some(Instant::now());
        let waited = std::mem::take(&mut self.waits);
        self.run.unchanged(self.turn)?;
        let stores = self.run.files.all();
        if !waited && stores.iter().all(|store| store.quiet()) {
            return Ok(false);
        }
        let mut damaged = false;
        self.run.files.refresh();
        for store in stores {
            damaged |= store.refresh().is_err();
        }
        let written = self.run.stores.iter().any(|s| s.superblock().written_for_readers());
        let mut more = false;
        for part in &mut self.run.parts {
            match part.refresh() {
                Ok(grown) => more |= grown,
                Err(_) => damaged = true,
            }
        }
        if damaged {
            self.run.files.counts.add(Count::NotYetWritten);
            return Ok(waited);
        }
        if more {
            self.run.files.counts.add(Count::Grown);
        }
        // Asked after the writer was done: all that there is was seen.
        let ended = self.run.announced && !written;
        if ended {
            self.run.live = false;
            self.run.parts.iter_mut().for_each(|p| p.live = false);
        }
        self.run.announced |= written;
        Ok(more || ended || waited)
    }

    /// Closes this run, or opens the next; false when there is none.
    fn go_on(&mut self) -> anyhow::Result<bool> {
        if !self.closed {
            self.closed = true;
            let kinds = [TransitionKind::Disable, TransitionKind::EndRun];
            self.queue.extend(kinds.map(|kind| plain(kind, self.last)));
            return Ok(true);
        }
        let Some(paths) = self.runs.front() else { return Ok(false) };
        let run = Run::open(paths, &self.options)?;
        self.runs.pop_front();
        self.counts.take(&self.run.files.counts);
        self.run = run;
        self.begin()?;
        Ok(true)
    }

    /// Goes behind the event that was announced.
    fn take(&mut self, stamp: u64) {
        for &part in &self.contributors {
            self.run.parts[part].advance();
        }
        (self.found, self.trouble) = (None, 0);
        self.last = self.last.max(stamp);
        self.newest = self.newest.max(Some(stamp.saturating_add(self.shift)));
    }

    /// Writes the fields of the announced event.
    fn fields(&mut self, out: &mut ChunkWriter<'_>, counts: &Counts) -> Result<(), Stop> {
        self.seen.fill(false);
        for &part in &self.contributors {
            self.run.parts[part].write(&mut self.seen, out, &mut self.scratch, counts)?;
        }
        Ok(())
    }

    /// The announced event as a whole; it is taken back when something is in the way.
    fn event(&mut self, stamp: u64, out: &mut ChunkWriter<'_>) -> Result<(), Stop> {
        let counts = Counts::default();
        loop {
            out.event(stamp.saturating_add(self.shift));
            match self.fields(out, &counts) {
                Ok(()) => break,
                Err(Stop::Again) => {
                    out.cancel();
                    counts.clear();
                    // Damage, or is this no longer the file?
                    self.run.unchanged(self.turn).map_err(Stop::Broken)?;
                }
                Err(Stop::Damaged(what)) => {
                    out.cancel();
                    self.trouble += 1;
                    if self.trouble < PATIENCE {
                        (self.found, self.waits) = (None, true);
                        self.run.files.counts.add(Count::NotYetWritten);
                        return Err(Stop::Damaged(what));
                    }
                    self.give_up();
                }
                Err(stop) => {
                    out.cancel();
                    return Err(stop);
                }
            }
        }
        self.run.files.counts.take(&counts);
        Ok(())
    }

    /// What stayed damaged is left out from this event.
    fn give_up(&mut self) {
        for &part in &self.contributors {
            self.run.parts[part].live = false;
        }
    }
}

impl Source for Hdf5Source {
    fn next(&mut self) -> anyhow::Result<Next> {
        loop {
            if let Some(t) = self.queue.front() {
                return Ok(Next::Transition(t.timestamp.saturating_add(self.shift)));
            }
            let found = match self.found {
                Some(found) => found,
                None => self.decide()?,
            };
            match found {
                Found::Event(stamp) => {
                    self.found = Some(found);
                    return Ok(Next::Event(stamp.saturating_add(self.shift)));
                }
                Found::Pending => {
                    if !self.poll()? {
                        return Ok(Next::Pending);
                    }
                }
                Found::End => {
                    if !self.go_on()? {
                        return Ok(Next::End);
                    }
                }
            }
        }
    }

    fn transition(&mut self) -> Option<Transition> {
        let mut transition = self.queue.pop_front()?;
        transition.timestamp = transition.timestamp.saturating_add(self.shift);
        self.newest = self.newest.max(Some(transition.timestamp));
        Some(transition)
    }

    fn write(
        &mut self,
        out: &mut ChunkWriter<'_>,
        before: u64,
        max: usize,
    ) -> anyhow::Result<Written> {
        self.turn += 1;
        self.run.unchanged(self.turn)?;
        let (mut last, mut written) = (None, 0);
        while written < max && out.room() > 0 {
            let stamp = match self.next() {
                Ok(Next::Event(stamp)) => stamp,
                // What is written stands; the next call meets the error again.
                Err(error) if written == 0 => return Err(error),
                _ => break,
            };
            if last.is_some_and(|last| stamp < last || stamp >= before) {
                break;
            }
            let Some(Found::Event(own)) = self.found else { break };
            match self.event(own, out) {
                Ok(()) => {}
                Err(Stop::Full) => return Ok(Written::Full(written)),
                Err(Stop::Broken(error)) if written == 0 => {
                    let path = self.run.stores.first().map(|s| s.path().display().to_string());
                    return Err(error.context(format!("HDF5 file {}", path.unwrap_or_default())));
                }
                Err(_) => break,
            }
            self.take(own);
            last = Some(stamp);
            written += 1;
        }
        Ok(Written::Events(written))
    }

    fn skip(&mut self) {
        if let Some(Found::Event(stamp)) = self.found {
            self.take(stamp);
        }
    }

    fn counters(&self) -> Vec<(&'static str, u64)> {
        let now = self.run.files.counts.list();
        self.counts.list().into_iter().zip(now).map(|((name, a), (_, b))| (name, a + b)).collect()
    }

    /// A file that grows has times of now, if it has times.
    fn canned(&self) -> bool {
        let timed = self.run.parts.iter().any(|p| matches!(p.stamps, Stamps::Column(..)));
        !(self.run.live && timed)
    }

    fn due_in(&self) -> Option<Duration> {
        self.run.live.then_some(POLL)
    }
}

impl Timed for Hdf5Source {
    fn shift(&mut self, ns: u64) -> bool {
        self.shift = self.shift.saturating_add(ns);
        true
    }

    fn newest(&self) -> Option<u64> {
        self.newest
    }
}
