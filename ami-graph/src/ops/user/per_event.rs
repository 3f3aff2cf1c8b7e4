//! Per-event user code: a kernel that hands the events of a batch to what runs the code.

use super::code::Described;
use crate::data::batch::Column;
use crate::data::column_views::{Expanded, expand};
use crate::data::owned_column::{EventErrors, OwnedColumn};
use crate::data::reused_lists::Few;
use crate::data::types::Type;
use crate::error::Fault;
use crate::op::foreign::{Call, Foreign, UserCode};
use crate::op::per_event::{Kernel, PerEvent};
use crate::op::signature::mask_of;
use std::sync::Arc;

/// Code with what runs it; None in processes that only plan.
#[derive(Debug)]
pub struct EventCode {
    described: Described,
    runner: Option<Arc<dyn Foreign>>,
}

impl EventCode {
    pub fn new(described: Described, runner: Option<Arc<dyn Foreign>>) -> EventCode {
        EventCode { described, runner }
    }
}

impl PerEvent for EventCode {
    fn split_dependent(&self) -> bool {
        self.described.description.split_dependent
    }

    fn known_as(&mut self, graph: &str, node: &str, identity: &[u8; 32]) {
        self.described.known_as(graph, node, identity);
    }

    fn bind(&self, inputs: &[Type]) -> Result<(Vec<Type>, Box<dyn Kernel>), Fault> {
        let code = self.described.loaded(self.runner.as_ref(), inputs)?;
        let kernel = Handing {
            code: code.clone(),
            order: self.described.order.clone(),
            runner: self.runner.clone(),
            mask: Vec::new(),
            expanded: Vec::new(),
        };
        Ok((code.outputs.clone(), Box::new(kernel)))
    }
}

struct Handing {
    code: Arc<UserCode>,
    order: Vec<usize>,
    runner: Option<Arc<dyn Foreign>>,
    mask: Vec<u8>,
    expanded: Vec<Expanded>,
}

impl Kernel for Handing {
    fn run(
        &mut self,
        events: usize,
        inputs: &[&Column<'_>],
        outputs: &mut [OwnedColumn],
        errors: &mut EventErrors,
    ) {
        outputs.iter_mut().for_each(OwnedColumn::set_absent);
        let Some(runner) = &self.runner else { return };
        self.expanded.resize_with(inputs.len(), Expanded::default);
        let full: Few<Option<Column<'_>>> =
            inputs.iter().zip(&mut self.expanded).map(|(c, m)| expand(c, events, m)).collect();
        let column = |&k: &usize| full[k].as_ref().unwrap_or(inputs[k]);
        let columns: Few<&Column<'_>> = self.order.iter().map(column).collect();
        let Some((masked, present)) = mask_of(&columns, events, &mut self.mask) else { return };
        if present == 0 {
            return;
        }
        let mask = masked.then_some(self.mask.as_slice());
        let call = Call { events, mask, columns: &columns };
        runner.events(&self.code, call, outputs, errors);
    }
}
