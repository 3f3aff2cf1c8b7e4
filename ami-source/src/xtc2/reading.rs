//! From datagrams and the names in force to what a source gives: schema, transitions, events. Files
//! and live streams have this in common; where the datagrams come from is theirs.

use crate::source::Transition;
use crate::xtc2::counts::Counts;
use crate::xtc2::dgram::CONFIGURE;
use crate::xtc2::event::Scratch;
use crate::xtc2::held::{Gathering, recorded_schema};
use crate::xtc2::names::Table;
use crate::xtc2::schema::{Labels, Plan, plan};
use ami_graph::data::schema::Held;
use ami_proto::data_path::chunk::{ChunkWriter, Full};
use ami_proto::data_path::transition::TransitionKind;

/// Transitions that ami knows, by service.
const KINDS: [TransitionKind; 9] = [
    TransitionKind::Configure,
    TransitionKind::Unconfigure,
    TransitionKind::BeginRun,
    TransitionKind::EndRun,
    TransitionKind::BeginStep,
    TransitionKind::EndStep,
    TransitionKind::Enable,
    TransitionKind::Disable,
    TransitionKind::SlowUpdate,
];

/// The transition of a service; None for one that ami has no use for.
pub fn kind_of(service: u8) -> Option<TransitionKind> {
    service.checked_sub(CONFIGURE).and_then(|at| KINDS.get(usize::from(at))).copied()
}

/// What stands next, by stream: a datagram and the names that it is read with.
pub trait Datagrams {
    /// Names in force.
    fn table(&self, stream: usize) -> &Table;
    /// The datagram.
    fn dgram(&self, stream: usize) -> &[u8];
}

/// What holds between two Configures.
#[derive(Debug, Default)]
pub struct Reading {
    plan: Plan,
    scratch: Scratch,
    held: Held,
}

impl Reading {
    /// New names are in force, of all streams. `alone` is Configure's datagram where there is but
    /// one stream: a recording of ours carries its schema there.
    pub fn configure(
        &mut self,
        tables: &[&Table],
        codes: &Labels,
        alone: Option<&[u8]>,
        counts: &mut Counts,
    ) {
        self.plan = plan(tables, codes, counts);
        if let ([table], Some(dgram)) = (tables, alone)
            && let Some(schema) = recorded_schema(table, dgram)
        {
            match self.plan.recorded(schema) {
                Some(plan) => self.plan = plan,
                None => tracing::warn!("the schema in the recording does not fit its data; unused"),
            }
        }
        self.scratch = Scratch::new(&self.plan);
        self.held.clear();
    }

    /// What a transition says, over the streams `from` that take part; at Configure after
    /// [`configure`](Self::configure).
    pub fn transition<D: Datagrams + ?Sized>(
        &mut self,
        (kind, timestamp): (TransitionKind, u64),
        streams: &D,
        from: &[usize],
        counts: &mut Counts,
    ) -> Transition {
        let mut gathering = Gathering::new(&self.plan);
        for &stream in from {
            gathering.read(stream, streams.table(stream), streams.dgram(stream), counts);
        }
        gathering.stacks(&self.held, counts);
        let Gathering { set, run, step, .. } = gathering;
        self.held.extend(set.iter().map(|(k, v)| (*k, v.clone())));
        Transition {
            kind,
            timestamp,
            schema: (kind == TransitionKind::Configure).then(|| self.plan.schema.clone()),
            run: run.filter(|_| kind == TransitionKind::BeginRun),
            step: step.filter(|_| kind == TransitionKind::BeginStep),
            held: set.into_iter().collect(),
        }
    }

    /// Writes an event, over the streams `from` that take part.
    ///
    /// # Errors
    /// When the ring has no room: the caller takes the event back.
    pub fn event<D: Datagrams + ?Sized>(
        &mut self,
        streams: &D,
        from: &[usize],
        out: &mut ChunkWriter<'_>,
        counts: &mut Counts,
    ) -> Result<(), Full> {
        self.scratch.write(&self.plan, streams, from, out, counts)
    }

    /// The pulse id of an event that is not written.
    pub fn pulse_id_in<D: Datagrams + ?Sized>(&self, streams: &D, from: &[usize]) -> Option<u64> {
        self.scratch.pulse_id_in(&self.plan, streams, from)
    }

    /// The pulse id of the event written last, where the data have one.
    pub fn pulse_id(&self) -> Option<u64> {
        self.scratch.pulse_id()
    }
}
