//! The root stage of a plan: keeps windows, computes what depends on them, publishes.
//!
//! Once per heartbeat every worker-stage reduction's merged state goes into its window; then the
//! nodes that depend on results are computed on the finished values, each heartbeat being one
//! event for them. Nothing here waits, and time comes in with the frame.

use crate::data::batch::Column;
use crate::data::column_views::value_at;
use crate::data::feed::Events;
pub use crate::data::frame::{Frame, Truth};
use crate::data::owned_column::{EventErrors, OwnedColumn};
use crate::data::value::Value;
use crate::graph::checked::Source;
use crate::op::kind::Body;
use crate::op::per_event::Kernel;
use crate::op::reduction::{Outputs, Reduction};
use crate::ops::over_events::last;
use crate::plan::cost;
use crate::plan::identity::Identity;
use crate::plan::stages::Flow;
use crate::plan::{Plan, Planned};
use crate::root::ledger::{Place, place};
pub use crate::root::published::{Published, ScalarOrText};
use crate::root::windowed::Windowed;
use crate::wire::partial::{NodeReport, Partial};
use crate::wire::slot::{Slot, Work};
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

mod checkpoint;
mod late;
mod ledger;
pub mod published;
mod spoken;
mod windowed;

/// A node's outputs in this heartbeat, or why there are none.
type Finished = Result<Outputs, String>;

/// Runs the part of a plan that works on merged results.
pub struct RootStage {
    plan: Arc<Plan>,
    /// That of the version before: late data may still be of it.
    before: Option<Arc<Plan>>,
    /// By ordinal; Some for reductions that run.
    windows: Vec<Option<Windowed>>,
    /// By ordinal; Some for per-event nodes that run here.
    kernels: Vec<Option<Box<dyn Kernel>>>,
    reports: Vec<NodeReport>,
    work: Work,
    /// Heartbeats closed: the sequence number of what reductions here absorb.
    closed: u64,
    newest: Box<dyn Reduction>,
    /// Per-event values of the newest heartbeat, which no window holds.
    values: Partial,
    /// Which heartbeat that was.
    newest_frame: Option<Place>,
    /// By ordinal, of nodes whose values may be of an earlier heartbeat: the truth of the newest ones.
    spoken: BTreeMap<u32, VecDeque<(u64, Truth)>>,
    /// Why nodes had no value in it.
    failures: Vec<(u32, String)>,
}

impl std::fmt::Debug for RootStage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "RootStage of graph version {}", self.plan.version())
    }
}

impl RootStage {
    /// With empty windows.
    pub fn new(plan: Arc<Plan>) -> RootStage {
        let window = |node: &Planned| {
            let runs = node.runs() && node.reduction().is_some();
            runs.then(|| Windowed::new(node.window, node.budget))
        };
        let kernel = |node: &Planned| match &node.body {
            Some(Body::PerEvent(op)) if node.runs() && node.flow != Flow::Worker => {
                op.bind_labelled(&node.inputs, &node.input_labels).ok().map(|(_, kernel)| kernel)
            }
            _ => None,
        };
        RootStage {
            windows: plan.planned.iter().map(window).collect(),
            kernels: plan.planned.iter().map(kernel).collect(),
            reports: Vec::new(),
            work: Work::new(plan.limits.state_bytes),
            closed: 0,
            newest: Box::new(last::newest_value()),
            values: Partial::empty(),
            newest_frame: None,
            spoken: BTreeMap::new(),
            failures: Vec::new(),
            before: None,
            plan,
        }
    }

    /// Goes on with another version or schema. State stays with every (graph, node) whose op,
    /// parameters, window, resets and whole upstream are unchanged.
    pub fn update(&mut self, plan: Arc<Plan>) {
        let mut next = RootStage::new(plan);
        next.closed = self.closed;
        next.before = match self.plan.version() == next.plan.version() {
            true => self.before.take(),
            false => Some(self.plan.clone()),
        };
        let old = std::mem::take(&mut self.windows);
        let mut kept: BTreeMap<(&str, &str), (Identity, Windowed)> = BTreeMap::new();
        for (node, window) in self.plan.planned.iter().zip(old) {
            if let Some(window) = window {
                kept.insert((&node.graph, &node.name), (node.identity, window));
            }
        }
        for (node, place) in next.plan.planned.iter().zip(&mut next.windows) {
            let found = kept.remove(&(node.graph.as_str(), node.name.as_str()));
            if let (Some((identity, mut window)), Some(place)) = (found, place)
                && identity == node.identity
            {
                window.set_budget(node.budget);
                *place = window;
            }
        }
        for report in &self.reports {
            let Some(old) = self.plan.planned.get(report.ordinal as usize) else { continue };
            // What went wrong in another definition of the node says nothing of this one.
            if let Some(ordinal) = next.plan.ordinal(&old.graph, &old.name)
                && next.plan.planned[ordinal as usize].identity == old.identity
            {
                next.reports.push(NodeReport { ordinal, ..report.clone() });
            }
        }
        *self = next;
    }

    /// Merges a heartbeat into the windows and finishes every published feature, in the order of
    /// graphs and topics. Features without a value in this heartbeat are left out; those that
    /// have an error instead come with it.
    pub fn close(&mut self, frame: &Frame, mut partial: Partial) -> Vec<Published> {
        std::mem::take(&mut partial.reports).into_iter().for_each(|r| self.report(r));
        let published = self.finish(frame, Some(&mut partial));
        self.closed += 1;
        published
    }

    /// The newest heartbeat's features once more, after data of it or of an earlier one came late.
    pub fn again(&mut self, frame: &Frame) -> Vec<Published> {
        // The heartbeat was counted when it was closed.
        let reports = self.reports.clone();
        let published = self.finish(frame, None);
        self.reports = reports;
        published
    }

    /// Values of all published features, with a new heartbeat's state or as the windows are.
    fn finish(&mut self, frame: &Frame, mut new: Option<&mut Partial>) -> Vec<Published> {
        let plan = self.plan.clone();
        let mut values: Vec<Finished> = Vec::new();
        values.resize_with(plan.planned.len(), || Ok(Outputs::new()));
        for &ordinal in &plan.root {
            let node = &plan.planned[ordinal as usize];
            let finished = match (node.reduction(), &mut new) {
                (Some(reduction), Some(partial)) => {
                    let (mut slot, events) = if node.flow == Flow::Root {
                        (self.absorb(ordinal, node, reduction, frame, &values), 1)
                    } else {
                        let slot = partial.slots.remove(&(ordinal, 0)).unwrap_or_default();
                        (slot, frame.truth.events)
                    };
                    slot.enter(reduction, node.inputs.len(), frame, events);
                    self.window(ordinal, node, reduction, frame, slot)
                }
                (Some(reduction), None) => self.finished(ordinal, node, reduction),
                (None, _) => Ok(self.compute(ordinal, node, frame, &values)),
            };
            values[ordinal as usize] = finished;
        }
        if let Some(partial) = new {
            self.values = std::mem::take(partial);
            self.values.slots.retain(|key, _| is_value(&plan, *key));
            self.newest_frame = Some(place(frame));
        }
        let newest = self.newest.as_ref();
        for (key, slot) in &self.values.slots {
            if is_value(&plan, *key) {
                note_newest(&mut values[key.0 as usize], key.1 as usize, slot.finish(newest, &[]));
            }
        }
        let failed = |(ordinal, value): (usize, &Finished)| {
            Some((ordinal as u32, value.as_ref().err()?.clone()))
        };
        self.failures = values.iter().enumerate().filter_map(failed).collect();
        if plan.has_code() {
            self.remember_truth(frame);
        }
        plan.features.iter().filter_map(|f| self.publish(f, frame, &values)).collect()
    }

    /// Errors and costs by node since the beginning; see [`NodeReport::ordinal`].
    pub fn reports(&self) -> &[NodeReport] {
        &self.reports
    }

    /// Nodes, by ordinal, whose windows had no value in the newest heartbeat, and why.
    pub fn failures(&self) -> &[(u32, String)] {
        &self.failures
    }

    fn report(&mut self, report: NodeReport) {
        if report.ordinal as usize >= self.plan.planned.len() {
            return;
        }
        match self.reports.binary_search_by_key(&report.ordinal, |r| r.ordinal) {
            Ok(place) => {
                let mine = &mut self.reports[place];
                mine.errors = mine.errors.saturating_add(report.errors);
                mine.cost_ns = mine.cost_ns.saturating_add(report.cost_ns);
                if !report.message.is_empty() {
                    mine.message = report.message;
                }
            }
            Err(place) => self.reports.insert(place, report),
        }
    }

    fn note(&mut self, ordinal: u32, errors: &EventErrors) {
        if errors.count > 0 {
            let message = errors.last.as_deref().unwrap_or_default();
            self.report(NodeReport::new(ordinal, errors.count, message, 0));
        }
    }

    /// One heartbeat's state of a reduction over results.
    fn absorb(
        &mut self,
        ordinal: u32,
        node: &Planned,
        reduction: &dyn Reduction,
        frame: &Frame,
        values: &[Finished],
    ) -> Slot {
        let inputs = self.inputs(ordinal, node, values);
        let columns: Vec<&Column<'_>> = inputs.iter().collect();
        let times = [frame.timestamp_ns];
        let events = Events { host: 0, first_sequence: self.closed, timestamps: &times };
        let mut slot = Slot::Empty;
        slot.absorb(reduction, events, &columns, &mut self.work);
        let errors = std::mem::take(&mut self.work.errors);
        self.note(ordinal, &errors);
        slot
    }

    fn window(
        &mut self,
        ordinal: u32,
        node: &Planned,
        reduction: &dyn Reduction,
        frame: &Frame,
        slot: Slot,
    ) -> Finished {
        let Some(window) = &mut self.windows[ordinal as usize] else { return Ok(Outputs::new()) };
        // A window is held to what was planned for its states: none may outgrow it.
        let planned = || cost::state(reduction, &node.inputs).unwrap_or(u64::MAX);
        debug_assert!(slot.bytes() as u64 <= planned(), "{} takes more than planned", node.name);
        let before = window.evicted;
        window.push(frame, slot);
        let evicted = window.evicted - before;
        let mut errors = EventErrors::default();
        if evicted > 0 {
            errors.record(|| {
                "the window holds fewer heartbeats than asked for: no memory for more; use a \
                 shorter window or a smaller region"
                    .to_owned()
            });
        }
        self.note(ordinal, &errors);
        self.finished(ordinal, node, reduction)
    }

    /// Outputs of a reduction's window as it is.
    fn finished(&self, ordinal: u32, node: &Planned, reduction: &dyn Reduction) -> Finished {
        let Some(window) = &self.windows[ordinal as usize] else { return Ok(Outputs::new()) };
        let mut finished = window.total().finish(reduction, &node.inputs);
        if let Ok(outputs) = &mut finished {
            reduction.label(&node.input_labels, outputs);
        }
        finished
    }

    /// Outputs of a per-event node on this heartbeat's results.
    fn compute(
        &mut self,
        ordinal: u32,
        node: &Planned,
        frame: &Frame,
        values: &[Finished],
    ) -> Outputs {
        let inputs = self.inputs(ordinal, node, values);
        let columns: Vec<&Column<'_>> = inputs.iter().collect();
        let Some(kernel) = &mut self.kernels[ordinal as usize] else { return Outputs::new() };
        let mut outputs = vec![OwnedColumn::new(); node.outputs.len()];
        let mut errors = EventErrors::default();
        kernel.heartbeat(frame);
        kernel.run(1, &columns, &mut outputs, &mut errors);
        self.note(ordinal, &errors);
        outputs.iter().map(|column| value_at(&column.view(), 0)).collect()
    }

    fn inputs<'v>(
        &mut self,
        ordinal: u32,
        node: &Planned,
        values: &'v [Finished],
    ) -> Vec<Column<'v>> {
        let plan = self.plan.clone();
        let base = plan.base(ordinal);
        let mut errors = EventErrors::default();
        let mut one = |k: usize, source: &Source| {
            let Source::Node(other, output) = *source else { return Column::Absent };
            let outputs = values.get(base + other).and_then(|v| v.as_ref().ok());
            let Some(Some(value)) = outputs.and_then(|o| o.get(output)) else {
                return Column::Absent;
            };
            let planned = node.inputs.get(k).map(|t| t.dtype);
            if planned.is_some_and(|dtype| dtype != value.dtype()) {
                errors.record(|| wrong_type(&node.wiring.names[k], value, planned));
                return Column::Absent;
            }
            Column::Constant(value)
        };
        let columns = node.sources.iter().enumerate().map(|(k, s)| one(k, s)).collect();
        self.note(ordinal, &errors);
        columns
    }
}

/// Whether a state of a partial is a per-event value, kept by no window.
fn is_value(plan: &Plan, key: (u32, u32)) -> bool {
    let node = plan.planned.get(key.0 as usize);
    node.is_some_and(|n| n.runs() && n.reduction().is_none() && (key.1 as usize) < n.outputs.len())
}

fn wrong_type(name: &str, value: &Value, planned: Option<crate::data::value::DType>) -> String {
    let planned = planned.map_or("another type", |dtype| dtype.name());
    format!(
        "input {name:?} is {} where {planned} was planned, as an exact sum no longer fits; use `mean`",
        value.dtype()
    )
}

/// Puts one output's newest value with the others of its node.
fn note_newest(finished: &mut Finished, output: usize, newest: Finished) {
    match (finished, newest) {
        (Ok(outputs), Ok(mut newest)) => {
            if outputs.len() <= output {
                outputs.resize(output + 1, None);
            }
            outputs[output] = newest.pop().flatten();
        }
        (finished, Err(reason)) => *finished = Err(reason),
        (Err(_), Ok(_)) => {}
    }
}
