//! User code on what is published: given each heartbeat's values, never waited for.

use super::code::Described;
use crate::data::batch::Column;
use crate::data::column_views::{Expanded, expand};
use crate::data::frame::Frame;
use crate::data::owned_column::{EventErrors, OwnedColumn};
use crate::data::reused_lists::Few;
use crate::data::types::Type;
use crate::error::Fault;
use crate::op::foreign::{Call, Foreign, UserCode};
use crate::op::per_event::{Kernel, PerEvent};
use std::sync::Arc;

/// Code with what runs it; None in processes that only plan.
#[derive(Debug)]
pub struct AfterMerge {
    described: Described,
    runner: Option<Arc<dyn Foreign>>,
}

impl AfterMerge {
    pub fn new(described: Described, runner: Option<Arc<dyn Foreign>>) -> AfterMerge {
        AfterMerge { described, runner }
    }
}

impl PerEvent for AfterMerge {
    fn after_merge(&self) -> bool {
        true
    }

    fn known_as(&mut self, graph: &str, node: &str, identity: &[u8; 32]) {
        self.described.known_as(graph, node, identity);
    }

    fn bind(&self, inputs: &[Type]) -> Result<(Vec<Type>, Box<dyn Kernel>), Fault> {
        let code = self.described.loaded(self.runner.as_ref(), inputs)?;
        let (order, runner) = (self.described.order.clone(), self.runner.clone());
        let (frame, given) = (Frame::default(), None);
        let kernel = Beside { code: code.clone(), order, runner, frame, given, speaks_of: None };
        Ok((code.outputs.clone(), Box::new(kernel)))
    }
}

struct Beside {
    code: Arc<UserCode>,
    order: Vec<usize>,
    runner: Option<Arc<dyn Foreign>>,
    frame: Frame,
    /// The newest heartbeat that the code was given.
    given: Option<(u64, u64, u64)>,
    speaks_of: Option<u64>,
}

impl Kernel for Beside {
    fn speaks_of(&self) -> Option<u64> {
        self.speaks_of
    }

    fn heartbeat(&mut self, frame: &Frame) {
        self.frame = frame.clone();
    }

    fn run(
        &mut self,
        events: usize,
        inputs: &[&Column<'_>],
        outputs: &mut [OwnedColumn],
        errors: &mut EventErrors,
    ) {
        outputs.iter_mut().for_each(OwnedColumn::set_absent);
        let Some(runner) = &self.runner else { return };
        let mut memory: Vec<Expanded> = Vec::new();
        memory.resize_with(inputs.len(), Expanded::default);
        let full: Few<Option<Column<'_>>> =
            inputs.iter().zip(&mut memory).map(|(c, m)| expand(c, events, m)).collect();
        let column = |&k: &usize| full[k].as_ref().unwrap_or(inputs[k]);
        let columns: Few<&Column<'_>> = self.order.iter().map(column).collect();
        // A heartbeat that is published again, since the code has ended or data came late, is not given again.
        let heartbeat = (self.frame.generation, self.frame.segment, self.frame.heartbeat);
        let is_new = self.given.replace(heartbeat) != Some(heartbeat);
        let events = if is_new { events } else { 0 };
        let call = Call { events, mask: None, columns: &columns };
        match runner.update(&self.code, &self.frame, call, outputs) {
            Ok(heartbeat) => self.speaks_of = heartbeat,
            Err(reason) => errors.record(|| reason),
        }
    }
}
