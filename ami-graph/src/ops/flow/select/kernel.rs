//! What `select` does with a batch: each event takes the first case whose condition holds.

use crate::data::batch::{Column, Dims};
use crate::data::cast::widen;
use crate::data::column_views::{Expanded, expand};
use crate::data::event_values::Filling;
use crate::data::owned_column::{EventErrors, OwnedColumn};
use crate::data::reused_lists::Few;
use crate::data::types::Type;
use crate::data::value::DType;
use crate::expr::Program;
use crate::op::event_by_event::item;
use crate::op::per_event::Kernel;
use crate::ops::flow::gate::decide;

/// An expression, and its value in the batch at hand.
pub(super) struct Formula {
    pub(super) program: Program,
    /// Inputs that it mentions.
    pub(super) used: Vec<usize>,
    pub(super) column: OwnedColumn,
}

/// A case.
pub(super) struct Compiled {
    /// None: else.
    pub(super) when: Option<Formula>,
    /// Outputs by their place among all.
    pub(super) out: Vec<(usize, Formula)>,
}

/// The kernel of all cases.
pub(super) struct Selecting {
    cases: Vec<Compiled>,
    types: Vec<Type>,
    /// One byte per event: no case was taken yet.
    open: Vec<u8>,
    /// One byte per event: the case at hand is taken.
    taken: Vec<u8>,
    /// Per event, the case taken.
    of: Vec<Option<u8>>,
    /// One per input.
    masks: Vec<Vec<u8>>,
}

impl Kernel for Selecting {
    fn run(
        &mut self,
        events: usize,
        inputs: &[&Column<'_>],
        outputs: &mut [OwnedColumn],
        errors: &mut EventErrors,
    ) {
        self.masks.resize_with(inputs.len(), Vec::new);
        self.open.clear();
        self.open.resize(events, 1);
        self.of.clear();
        self.of.resize(events, None);
        for k in 0..self.cases.len() {
            self.route(k, events, inputs, errors);
            for (_, formula) in &mut self.cases[k].out {
                formula.eval(events, inputs, (&self.taken, &mut self.masks), errors);
            }
        }
        for (at, (output, of)) in outputs.iter_mut().zip(&self.types).enumerate() {
            let columns: Few<Option<Column<'_>>> =
                self.cases.iter().map(|c| c.column(at)).collect();
            merge(&columns, &self.of, of, output, errors);
        }
    }
}

impl Selecting {
    /// For cases with these outputs.
    pub(super) fn new(cases: Vec<Compiled>, types: Vec<Type>) -> Selecting {
        let (open, taken, of, masks) = Default::default();
        Selecting { cases, types, open, taken, of, masks }
    }

    /// Finds the events that take a case among those still open.
    fn route(&mut self, k: usize, events: usize, inputs: &[&Column<'_>], errors: &mut EventErrors) {
        self.taken.clear();
        let Some(when) = &mut self.cases[k].when else {
            self.taken.extend_from_slice(&self.open);
            return self.note(k);
        };
        when.eval(events, inputs, (&self.open, &mut self.masks), errors);
        self.taken.resize(events, 0);
        decide(&when.column.view(), events, &mut self.taken, errors);
        let view = when.column.view();
        for (event, (open, taken)) in self.open.iter_mut().zip(&mut self.taken).enumerate() {
            // A constant condition speaks of closed events, too.
            *taken &= *open;
            // Where it could not be decided, nothing is taken.
            let decided = match &view {
                Column::Absent => false,
                Column::Scalars { present, .. } => present.is_none_or(|p| p[event] != 0),
                Column::Arrays { items, .. } => items[event].is_some(),
                Column::Constant(_) | Column::Strings(_) => true,
            };
            *open = u8::from(*open != 0 && decided && *taken == 0);
        }
        self.note(k);
    }

    fn note(&mut self, k: usize) {
        let takes = self.of.iter_mut().zip(&self.taken).filter(|(_, taken)| **taken != 0);
        takes.for_each(|(of, _)| *of = Some(k as u8));
    }
}

impl Compiled {
    fn column(&self, output: usize) -> Option<Column<'_>> {
        self.out.iter().find(|(at, _)| *at == output).map(|(_, formula)| formula.column.view())
    }
}

impl Formula {
    /// Evaluates in the events of the mask.
    fn eval(
        &mut self,
        events: usize,
        inputs: &[&Column<'_>],
        (mask, memory): (&[u8], &mut [Vec<u8>]),
        errors: &mut EventErrors,
    ) {
        if !mask.contains(&1) {
            return self.column.set_absent();
        }
        // The inputs that are used come in order, so each finds its own memory.
        let memory = memory.iter_mut().enumerate().filter(|(k, _)| self.used.contains(k));
        let masked: Few<Column<'_>> =
            memory.map(|(k, memory)| only_where(inputs[k], mask, memory)).collect();
        let columns: Few<&Column<'_>> = masked.iter().collect();
        self.program.eval(events, &columns, &mut self.column, errors);
    }
}

/// A column that is absent outside of a mask; its data are not copied.
fn only_where<'a>(column: &Column<'a>, mask: &[u8], memory: &'a mut Vec<u8>) -> Column<'a> {
    match column {
        _ if !mask.contains(&0) => column.clone(),
        Column::Scalars { dtype, data, present } => {
            memory.clear();
            memory.extend_from_slice(mask);
            if let Some(present) = present {
                memory.iter_mut().zip(*present).for_each(|(m, &p)| *m &= u8::from(p != 0));
            }
            Column::Scalars { dtype: *dtype, data, present: Some(memory) }
        }
        Column::Arrays { dtype, items } => {
            let items = items.iter().zip(mask).map(|(item, &m)| item.filter(|_| m != 0)).collect();
            Column::Arrays { dtype: *dtype, items }
        }
        Column::Strings(texts) => Column::Strings(
            texts.iter().zip(mask).map(|(text, &m)| text.filter(|_| m != 0)).collect(),
        ),
        Column::Absent | Column::Constant(_) => column.clone(),
    }
}

/// One output from the columns of its cases.
fn merge(
    columns: &[Option<Column<'_>>],
    of: &[Option<u8>],
    wanted: &Type,
    output: &mut OwnedColumn,
    errors: &mut EventErrors,
) {
    let events = of.len();
    let mut memory: Few<Expanded> = columns.iter().map(|_| Expanded::default()).collect();
    let columns: Few<Option<Column<'_>>> = columns
        .iter()
        .zip(&mut memory)
        .map(|(column, memory)| {
            let column = column.as_ref()?;
            Some(expand(column, events, memory).unwrap_or_else(|| column.clone()))
        })
        .collect();
    let column = |event: usize| of[event].and_then(|case| columns[usize::from(case)].as_ref());
    if wanted.dtype == DType::Str {
        output.start_strings();
        for event in 0..events {
            match column(event) {
                Some(Column::Strings(texts)) if texts[event].is_some() => {
                    output.push_str(texts[event].unwrap_or_default());
                }
                _ => output.push_absent(),
            }
        }
    } else if wanted.is_scalar() {
        output.start_scalars(wanted.dtype, events);
        output.present_mut().fill(0);
        for (case, column) in columns.iter().enumerate() {
            if let Some(Column::Scalars { dtype, data, present }) = column {
                let here =
                    |e: usize| of[e] == Some(case as u8) && present.is_none_or(|p| p[e] != 0);
                scalars((*dtype, data), wanted.dtype, (events, here), output);
            }
        }
    } else {
        let mut filling = Filling::new(output, wanted.dtype);
        for event in 0..events {
            let item = column(event).and_then(|column| item(column, event));
            match item.and_then(|item| Some((item, Dims::new(item.shape())?))) {
                Some((item, dims)) => filling.push(dims, errors, |to| {
                    widen(item.dtype, item.data, wanted.dtype, to);
                }),
                None => filling.absent(),
            }
        }
    }
}

/// Copies the scalars of the events that are here.
fn scalars(
    (dtype, data): (DType, &[u8]),
    wanted: DType,
    (events, here): (usize, impl Fn(usize) -> bool),
    output: &mut OwnedColumn,
) {
    let mut wide = Vec::new();
    let data = if dtype == wanted {
        data
    } else {
        wide.resize(events * wanted.size(), 0);
        widen(dtype, data, wanted, &mut wide);
        &wide
    };
    let size = wanted.size();
    let to = output.scalar_bytes_mut();
    for (event, (to, from)) in to.chunks_exact_mut(size).zip(data.chunks_exact(size)).enumerate() {
        if here(event) {
            to.copy_from_slice(from);
        }
    }
    let present = output.present_mut();
    (0..events).filter(|&e| here(e)).for_each(|e| present[e] = 1);
}
