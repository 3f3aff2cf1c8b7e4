//! The worker stage of a plan: takes in batches of events, hands out their merged states.
//!
//! All per-event nodes are computed over columns, each once per batch, into buffers that are kept;
//! then every reduction absorbs the columns it reads. Nothing is done event by event.

mod event_fields;
mod sweep;

use crate::data::batch::{Batch, Column};
use crate::data::feed::Events;
use crate::data::owned_column::{EventErrors, OwnedColumn};
use crate::data::reused_lists::{Few, Lists};
use crate::op::kind::Body;
use crate::op::per_event::Kernel;
use crate::op::reduction::Reduction;
use crate::ops::over_events::last;
use crate::plan::{From, Intake, Plan};
use crate::wire::partial::{NodeReport, Partial};
use crate::wire::slot::Work;
use event_fields::{Columns, EventFields};
use std::sync::Arc;
use sweep::{Readers, Taken};

/// Runs the part of a plan that works on events.
pub struct WorkerStage {
    plan: Arc<Plan>,
    /// One per step.
    kernels: Vec<Option<Box<dyn Kernel>>>,
    columns: Vec<OwnedColumn>,
    readers: Vec<Readers>,
    taken: Taken,
    event_fields: EventFields,
    /// For the views of columns.
    lists: Lists,
    work: Work,
    /// Bytes left for states whose size was not known when the graph was accepted.
    room: u64,
    partial: Partial,
    absorbed: bool,
    clock: Option<fn() -> u64>,
    newest: Box<dyn Reduction>,
}

impl std::fmt::Debug for WorkerStage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "WorkerStage of graph version {}", self.plan.version())
    }
}

impl WorkerStage {
    /// With nothing absorbed yet.
    pub fn new(plan: Arc<Plan>) -> WorkerStage {
        let kernel = |ordinal: u32| {
            let node = &plan.planned[ordinal as usize];
            match &node.body {
                Some(Body::PerEvent(op)) => {
                    let bound = op.bind_labelled(&node.inputs, &node.input_labels);
                    bound.ok().map(|(_, kernel)| kernel)
                }
                _ => None,
            }
        };
        let all_inputs =
            plan.steps.iter().map(|s| &s.inputs).chain(plan.intakes.iter().map(|i| &i.inputs));
        WorkerStage {
            kernels: plan.steps.iter().map(|step| kernel(step.ordinals[0])).collect(),
            columns: vec![OwnedColumn::new(); plan.columns],
            readers: Readers::of(&plan),
            taken: Taken::default(),
            event_fields: EventFields::of(all_inputs.flatten().filter_map(|from| match from {
                From::Event(field) => Some(*field),
                From::Field(_) | From::Step(_) => None,
            })),
            lists: Lists::default(),
            work: Work::new(plan.limits.state_bytes),
            room: plan.uncharged(),
            partial: Partial::empty(),
            absorbed: false,
            clock: None,
            newest: Box::new(last::newest_value()),
            plan,
        }
    }

    /// Measures the cost of every node with this clock: ns from any fixed point.
    pub fn set_clock(&mut self, clock: fn() -> u64) {
        self.clock = Some(clock);
    }

    /// Takes in the events of a batch.
    pub fn absorb(&mut self, batch: &Batch<'_>) {
        if batch.is_empty() {
            return;
        }
        self.absorbed = true;
        let mut fields = std::mem::take(&mut self.event_fields);
        fields.take_in(batch);
        let events = fields.columns(batch);
        self.sweep(batch);
        for step in 0..self.kernels.len() {
            if !self.taken.steps[step] {
                self.step(step, batch, &events);
            }
        }
        let plan = self.plan.clone();
        for (place, intake) in plan.intakes.iter().enumerate() {
            if !self.taken.intakes[place] {
                self.intake(intake, batch, &events);
            }
        }
        self.event_fields = fields;
    }

    fn step(&mut self, step: usize, batch: &Batch<'_>, events: &Columns<'_>) {
        let planned = &self.plan.steps[step];
        let (before, outputs) = self.columns.split_at_mut(planned.first);
        let outputs = &mut outputs[..planned.outputs];
        let Some(kernel) = &mut self.kernels[step] else { return };
        let started = self.clock.map(|now| now());
        let views = views(&planned.inputs, before, &mut self.lists);
        let inputs = gather(&planned.inputs, batch, events, &views);
        let mut errors = EventErrors::default();
        kernel.run(batch.len(), &inputs, outputs, &mut errors);
        drop(inputs);
        give_back(views, &mut self.lists);
        let cost = self.clock.map_or(0, |now| now().saturating_sub(started.unwrap_or(0)));
        for (k, &ordinal) in planned.ordinals.iter().enumerate() {
            // The cost of what is shared is the first one's.
            let cost = if k == 0 { cost } else { 0 };
            note(&mut self.partial, ordinal, &errors, cost);
        }
    }

    fn intake(&mut self, intake: &Intake, batch: &Batch<'_>, of_events: &Columns<'_>) {
        let node = &self.plan.planned[intake.key.0 as usize];
        let reduction = node.reduction().unwrap_or(self.newest.as_ref());
        let started = self.clock.map(|now| now());
        let views = views(&intake.inputs, &self.columns, &mut self.lists);
        let inputs = gather(&intake.inputs, batch, of_events, &views);
        let events = Events {
            host: batch.host,
            first_sequence: batch.first_sequence,
            timestamps: batch.timestamps,
        };
        let slot = self.partial.slots.entry(intake.key).or_default();
        let starts = node.state_bytes == 0 && slot.is_empty();
        self.work.limit = if starts { self.room } else { self.plan.limits.state_bytes };
        self.work.started = 0;
        slot.absorb(reduction, events, &inputs, &mut self.work);
        drop(inputs);
        give_back(views, &mut self.lists);
        if starts {
            // All that it can grow to: a list begins small.
            self.room = self.room.saturating_sub(self.work.started);
        }
        let errors = std::mem::take(&mut self.work.errors);
        let cost = self.clock.map_or(0, |now| now().saturating_sub(started.unwrap_or(0)));
        note(&mut self.partial, intake.key.0, &errors, cost);
    }

    /// The merged state of everything absorbed since the last take.
    pub fn take(&mut self) -> Partial {
        self.absorbed = false;
        self.room = self.plan.uncharged();
        std::mem::take(&mut self.partial)
    }

    /// True when nothing was absorbed since the last take.
    pub fn is_empty(&self) -> bool {
        !self.absorbed
    }
}

fn note(partial: &mut Partial, ordinal: u32, errors: &EventErrors, cost_ns: u64) {
    if errors.count > 0 || cost_ns > 0 {
        let message = errors.last.as_deref().unwrap_or_default();
        partial.report(NodeReport::new(ordinal, errors.count, message, cost_ns));
    }
}

/// Views of the computed columns among the inputs.
fn views<'a>(
    inputs: &[From],
    columns: &'a [OwnedColumn],
    lists: &mut Lists,
) -> Few<Option<Column<'a>>> {
    let view = |from: &From| match from {
        From::Step(column) => columns.get(*column).map(|column| column.view_in(lists)),
        From::Field(_) | From::Event(_) => None,
    };
    inputs.iter().map(view).collect()
}

fn give_back(views: Few<Option<Column<'_>>>, lists: &mut Lists) {
    views.into_iter().flatten().for_each(|column| lists.put_column(column));
}

fn gather<'a>(
    inputs: &[From],
    batch: &'a Batch<'a>,
    events: &'a Columns<'a>,
    views: &'a [Option<Column<'a>>],
) -> Few<&'a Column<'a>> {
    let one = |(from, view): (&From, &'a Option<Column<'a>>)| match from {
        From::Field(field) => batch.columns.get(*field).unwrap_or(&Column::Absent),
        From::Event(field) => &events[*field as usize],
        From::Step(_) => view.as_ref().unwrap_or(&Column::Absent),
    };
    inputs.iter().zip(views).map(one).collect()
}
