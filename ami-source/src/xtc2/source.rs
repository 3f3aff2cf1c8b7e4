//! The source: runs one after the other, the streams of each merged by timestamp.

use crate::source::{Next, Source, Transition, Written};
use crate::timed::Timed;
use crate::xtc2::counts::{Count, Counts};
use crate::xtc2::dgram::{CONFIGURE, Header};
use crate::xtc2::held::labels;
use crate::xtc2::paths::{RunFiles, arrange, expand};
use crate::xtc2::reading::{Reading, kind_of};
use crate::xtc2::schema::Labels;
use crate::xtc2::stream::{Head, Stream};
use crate::xtc2::{Epoch, Xtc2Options};
use ami_proto::data_path::chunk::ChunkWriter;
use ami_proto::data_path::transition::TransitionKind;
use anyhow::bail;
use std::collections::VecDeque;
use std::path::PathBuf;

/// What was found to come next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Found {
    Event(Header),
    Transition(TransitionKind, Header),
    /// A service that ami has no use for.
    Other,
    Pending,
    /// The run's streams have ended.
    End,
}

/// Reads XTC2 files.
#[derive(Debug)]
pub struct Xtc2Source {
    runs: VecDeque<RunFiles>,
    streams: Vec<Stream>,
    heads: Vec<Option<Header>>,
    epoch: Epoch,
    /// Added to every timestamp.
    shift: u64,
    newest: Option<u64>,
    reading: Reading,
    /// A Configure has been delivered.
    configured: bool,
    announced: Option<Found>,
    /// Streams that take part in what is announced.
    contributors: Vec<usize>,
    counts: Counts,
}

impl Xtc2Source {
    /// Opens files or directories: chunks and streams of one run are joined, different runs follow
    /// one another.
    ///
    /// # Errors
    /// When a path does not exist, may not be read, is not XTC2, or no file of a stream begins with
    /// Configure.
    pub fn open(paths: &[PathBuf], options: &Xtc2Options) -> anyhow::Result<Xtc2Source> {
        let mut source = Xtc2Source {
            runs: arrange(&expand(paths)?)?.into(),
            streams: Vec::new(),
            heads: Vec::new(),
            epoch: options.epoch,
            shift: 0,
            newest: None,
            reading: Reading::default(),
            configured: false,
            announced: None,
            contributors: Vec::new(),
            counts: Counts::default(),
        };
        source.next_run()?;
        Ok(source)
    }

    /// Opens the streams of the next run; false when there is none.
    fn next_run(&mut self) -> anyhow::Result<bool> {
        let Some(run) = self.runs.pop_front() else { return Ok(false) };
        self.streams = run.streams.iter().map(Stream::open).collect::<Result<_, _>>()?;
        self.configured = false;
        for stream in &self.streams {
            tracing::info!(path = %stream.path().display(), "reading");
        }
        Ok(true)
    }

    fn stamp(&self, header: &Header) -> u64 {
        self.epoch.stamp(header).saturating_add(self.shift)
    }

    /// Looks at the heads of all streams and decides what comes next and who takes part.
    fn decide(&mut self) -> anyhow::Result<Found> {
        self.heads.clear();
        self.contributors.clear();
        for stream in &mut self.streams {
            match stream.head(&mut self.counts)? {
                Head::Dgram(header) => self.heads.push(Some(header)),
                // What it will bring may be older than what the others have.
                Head::Pending => return Ok(Found::Pending),
                Head::End => self.heads.push(None),
            }
        }
        let order = |h: &Header| (h.timestamp(), h.is_event(), h.service());
        let Some(first) = self.heads.iter().flatten().copied().min_by_key(order) else {
            return Ok(Found::End);
        };
        for (stream, head) in self.heads.iter().enumerate() {
            if head.is_some_and(|h| joins(&first, &h)) {
                self.contributors.push(stream);
            }
        }
        if !self.configured && first.service() != CONFIGURE {
            let at =
                self.contributors.first().map(|&s| self.streams[s].path().display().to_string());
            bail!(
                "{} begins with {}, not with Configure, so its fields have no names: name the \
                 first chunk of its stream before it",
                at.unwrap_or_default(),
                first.service_name(),
            );
        }
        Ok(match kind_of(first.service()) {
            _ if first.is_event() => Found::Event(first),
            Some(kind) => Found::Transition(kind, first),
            None => Found::Other,
        })
    }

    /// Takes what is announced.
    fn take(&mut self, stamp: Option<u64>) {
        self.announced = None;
        self.newest = self.newest.max(stamp);
        for &stream in &self.contributors {
            if let Some(header) = &self.heads[stream] {
                self.streams[stream].advance(header);
            }
        }
    }

    /// New names are in force: of the streams that take part; the others keep theirs.
    fn configure(&mut self) {
        for &stream in &self.contributors {
            self.streams[stream].configure(&mut self.counts);
        }
        let mut codes = Labels::new();
        for &stream in &self.contributors {
            let stream = &self.streams[stream];
            labels(stream.table(), stream.dgram(), stream.ahead(), &mut codes);
        }
        let tables: Vec<_> = self.streams.iter().map(Stream::table).collect();
        // A recording is one stream; in any other company its schema says nothing.
        let alone = match &self.streams[..] {
            [stream] => Some(stream.dgram()),
            _ => None,
        };
        self.reading.configure(&tables, &codes, alone, &mut self.counts);
        self.configured = true;
    }

    fn read_transition(&mut self, kind: TransitionKind, header: &Header) -> Transition {
        if kind == TransitionKind::Configure {
            self.configure();
        }
        for _ in self.contributors.len()..self.streams.len() {
            self.counts.add(Count::TransitionsMissing);
        }
        let (what, streams) = ((kind, self.stamp(header)), &self.streams[..]);
        self.reading.transition(what, streams, &self.contributors, &mut self.counts)
    }
}

/// True when a stream's head is part of the same event or transition as the oldest one. Configures
/// are joined whatever their stamps: until all are in, the names are not known.
fn joins(first: &Header, other: &Header) -> bool {
    let service =
        |h: &Header| if h.is_event() { crate::xtc2::dgram::L1_ACCEPT } else { h.service() };
    service(first) == service(other)
        && (first.service() == CONFIGURE || first.timestamp() == other.timestamp())
}

impl Source for Xtc2Source {
    fn next(&mut self) -> anyhow::Result<Next> {
        loop {
            let found = match self.announced {
                Some(found) => found,
                None => self.decide()?,
            };
            match found {
                Found::Pending => return Ok(Next::Pending),
                Found::End => {
                    if !self.next_run()? {
                        return Ok(Next::End);
                    }
                }
                Found::Other => {
                    self.counts.add(Count::OtherServices);
                    self.take(None);
                }
                Found::Event(header) => {
                    self.announced = Some(found);
                    return Ok(Next::Event(self.stamp(&header)));
                }
                Found::Transition(_, header) => {
                    self.announced = Some(found);
                    return Ok(Next::Transition(self.stamp(&header)));
                }
            }
        }
    }

    fn transition(&mut self) -> Option<Transition> {
        let Some(Found::Transition(kind, header)) = self.announced else { return None };
        let transition = self.read_transition(kind, &header);
        self.take(Some(transition.timestamp));
        Some(transition)
    }

    fn write(
        &mut self,
        out: &mut ChunkWriter<'_>,
        before: u64,
        max: usize,
    ) -> anyhow::Result<Written> {
        let mut last = None;
        let mut written = 0;
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
            out.event(stamp);
            let mut counts = Counts::default();
            let (streams, from) = (&self.streams[..], &self.contributors);
            if self.reading.event(streams, from, out, &mut counts).is_err() {
                // Its damage is counted when it is taken.
                out.cancel();
                return Ok(Written::Full(written));
            }
            self.counts.take(&mut counts);
            self.take(Some(stamp));
            last = Some(stamp);
            written += 1;
        }
        Ok(Written::Events(written))
    }

    fn skip(&mut self) {
        if let Some(Found::Event(header)) = self.announced {
            let stamp = self.stamp(&header);
            self.take(Some(stamp));
        }
    }

    fn counters(&self) -> Vec<(&'static str, u64)> {
        self.counts.list()
    }

    fn canned(&self) -> bool {
        !self.streams.iter().any(Stream::live)
    }
}

impl Timed for Xtc2Source {
    fn shift(&mut self, ns: u64) -> bool {
        self.shift = self.shift.saturating_add(ns);
        true
    }

    fn newest(&self) -> Option<u64> {
        self.newest
    }
}
