//! The units of one lane: absorbed into the open flush's stage, or, when replayed, into one of
//! their own.

use crate::plans::{Plans, Seen};
use ami_graph::data::batch::Belonging;
use ami_graph::data::reused_lists::Lists;
use ami_graph::plan::Plan;
use ami_graph::wire::partial::Partial;
use ami_graph::worker::WorkerStage;
use ami_proto::data_path::chunk::ChunkView;
use ami_proto::data_path::ventilator_to_worker::Descriptor;
use ami_shm::{LaneSlot, RingReader};
use std::sync::Arc;

/// Why a unit could not be done. The worker gives up its seat: the ventilator replays it.
#[derive(Debug, thiserror::Error)]
pub enum WorkError {
    /// The lane belongs to somebody else now.
    #[error("this lane was fenced: the ventilator took it for dead")]
    Fenced,
    /// The ring's bytes are gone or damaged.
    #[error("unit {unit}: {reason}")]
    Unreadable {
        /// The unit.
        unit: u64,
        /// Why.
        reason: String,
    },
}

/// A partial, ready to be sent.
pub struct Done {
    /// Graph version it was computed with.
    pub version: u64,
    /// Units with their events.
    pub units: Vec<(u64, u32)>,
    /// Their merged state.
    pub partial: Partial,
}

/// The open flush's state on this lane.
#[derive(Default)]
pub struct Work {
    stage: Option<(Arc<Plan>, WorkerStage)>,
    /// For the columns of batches.
    lists: Lists,
    version: u64,
    units: Vec<(u64, u32)>,
    /// Events done since the start.
    pub events: u64,
    /// Bytes of the units done.
    pub bytes: u64,
    /// Units done since the start, replays too.
    pub done: u64,
}

impl Work {
    /// Absorbs a unit into the open flush.
    ///
    /// # Errors
    /// When the unit cannot be read: nothing of the flush may be sent then.
    pub fn unit(
        &mut self,
        ring: &RingReader,
        slot: &LaneSlot,
        plans: &mut Plans,
        unit: Descriptor,
    ) -> Result<(), WorkError> {
        let seen = seen(plans, &unit)?;
        let stage = match &mut self.stage {
            Some((plan, stage)) if Arc::ptr_eq(plan, &seen.plan) => stage,
            // A change of plan is a change of segment: the flush before it was sent, so the stage
            // is empty.
            slot => &mut slot.insert((seen.plan.clone(), stage_of(&seen.plan))).1,
        };
        absorb((stage, &mut self.lists), ring, slot, &seen, &unit)?;
        self.version = seen.plan.version();
        self.units.push((unit.unit, unit.events));
        self.account(&unit);
        Ok(())
    }

    /// Does a unit alone, as a partial of its own.
    ///
    /// # Errors
    /// As [`unit`](Self::unit).
    pub fn replay(
        &mut self,
        ring: &RingReader,
        slot: &LaneSlot,
        plans: &mut Plans,
        unit: Descriptor,
    ) -> Result<Done, WorkError> {
        let seen = seen(plans, &unit)?;
        let mut stage = stage_of(&seen.plan);
        absorb((&mut stage, &mut self.lists), ring, slot, &seen, &unit)?;
        self.account(&unit);
        let units = vec![(unit.unit, unit.events)];
        Ok(Done { version: seen.plan.version(), units, partial: stage.take() })
    }

    /// Ends the open flush: what this lane holds of it, if anything.
    pub fn flush(&mut self) -> Option<Done> {
        if self.units.is_empty() {
            return None;
        }
        let partial = self.stage.as_mut()?.1.take();
        // The next flush is likely to have as many.
        let next = Vec::with_capacity(self.units.len());
        let units = std::mem::replace(&mut self.units, next);
        Some(Done { version: self.version, units, partial })
    }

    fn account(&mut self, unit: &Descriptor) {
        self.events += u64::from(unit.events);
        self.bytes += unit.index.saturating_sub(unit.start) + u64::from(unit.index_len);
        self.done += 1;
    }
}

/// A stage that measures what each node costs: two readings of a clock per node and unit.
fn stage_of(plan: &Arc<Plan>) -> WorkerStage {
    let mut stage = WorkerStage::new(plan.clone());
    stage.set_clock(|| {
        let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
        now.tv_sec as u64 * 1_000_000_000 + now.tv_nsec as u64
    });
    stage
}

fn seen(plans: &mut Plans, unit: &Descriptor) -> Result<Seen, WorkError> {
    plans.seen(unit.context).ok_or_else(|| WorkError::Unreadable {
        unit: unit.unit,
        reason: format!("context {} was never announced on this lane", unit.context),
    })
}

fn absorb(
    (stage, lists): (&mut WorkerStage, &mut Lists),
    ring: &RingReader,
    slot: &LaneSlot,
    seen: &Seen,
    unit: &Descriptor,
) -> Result<(), WorkError> {
    let unreadable = |reason: String| WorkError::Unreadable { unit: unit.unit, reason };
    slot.set_cursor(unit.unit);
    let index = ring.bytes(unit.index, unit.index_len as usize);
    let index = index.map_err(|e| unreadable(e.to_string()))?;
    let arrays = unit.arrays(|at, len| ring.bytes(at, len).ok());
    let view = ChunkView::new(&arrays, index).map_err(|e| unreadable(e.to_string()))?;
    let batch = view.batch_in(lists, seen.plan.schema(), &seen.held, seen.plan.wanted());
    let mut batch = batch.map_err(|e| unreadable(e.to_string()))?;
    let (run, step) = (seen.conditions.run, seen.conditions.step);
    batch.belonging = Belonging { heartbeat: unit.heartbeat, run, step, host: &seen.host };
    stage.absorb(&batch);
    lists.put_batch(batch);
    slot.clear_cursor();
    slot.beat();
    // A worker that slept through its own death must not count what the ring overwrote meanwhile.
    if slot.fenced() || !ring.still_owned(unit.start) {
        return Err(WorkError::Fenced);
    }
    Ok(())
}
