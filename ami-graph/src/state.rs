//! States of reductions: what they must do, and the slot that holds one per node.
//!
//! A state is a commutative monoid. The slot adds the two ends that every op shares: the empty
//! state, neutral in every merge, and the conflict, which absorbs: an input whose element type or
//! shape changed within the window, so that there is no number to give, whatever the split.

use crate::access::{Expanded, Mask, expand};
use crate::batch::Column;
use crate::column::EventErrors;
use crate::error::{DecodeError, Fault, MergeError};
use crate::types::Type;
use crate::value::{DType, Value};
use crate::wire::{Reader, Writer};
use std::any::Any;
use std::collections::BTreeSet;
use std::fmt;

/// Signatures that a conflict remembers: the smallest ones, so that the split does not matter.
const REMEMBERED: usize = 4;

/// When and in which order the events of a batch happened.
#[derive(Debug, Clone, Copy)]
pub struct Events<'a> {
    /// Number that orders hosts where timestamps are equal.
    pub host: u32,
    /// Number of the first event; the others follow without gaps.
    pub first_sequence: u64,
    /// One per event, ns since the Unix epoch.
    pub timestamps: &'a [u64],
}

/// What a state absorbs: columns without constants, and which events take part.
#[derive(Debug)]
pub struct Feed<'a> {
    /// Order of the events.
    pub events: Events<'a>,
    /// One per input.
    pub columns: &'a [&'a Column<'a>],
    /// Events in which every input is present.
    pub mask: Mask<'a>,
    /// How many these are.
    pub present: usize,
    /// Memory for conversions.
    pub scratch: &'a mut Vec<f64>,
    /// Where failures of single events go.
    pub errors: &'a mut EventErrors,
}

/// Outputs of a node, in the order of its op; None is absent.
pub type Outputs = Vec<Option<Value>>;

/// The merged state of one reduction. It holds all it needs to merge and finish, so that
/// collectors merge without knowing the graph.
pub trait State: Any + Send + fmt::Debug {
    /// Takes in the events of a batch. All of them fit the signature the state was started with.
    fn absorb(&mut self, feed: &mut Feed<'_>);
    /// Takes in another state of the same signature. False when its parameters differ.
    fn merge(&mut self, other: Box<dyn State>) -> bool;
    /// The outputs, or why there are none.
    ///
    /// # Errors
    /// Text for people, such as that kept arrays differ in shape.
    fn finish(&self) -> Result<Outputs, String>;
    /// Gives the state away as bytes.
    fn encode(self: Box<Self>, writer: &mut Writer);
    /// A copy.
    fn clone_box(&self) -> Box<dyn State>;
    /// Bytes held.
    fn bytes(&self) -> usize;
}

/// The other state as the same type, for merging.
pub fn same<S: State>(other: Box<dyn State>) -> Option<Box<S>> {
    (other as Box<dyn Any>).downcast().ok()
}

/// How much of an input's type a state depends on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sense {
    /// Any type and shape go together.
    Nothing,
    /// One element type, any shape.
    Types,
    /// One element type and one shape.
    Shapes,
}

/// Element types and shapes that a state was started with, one per input; empty shape where the
/// op does not care.
pub type Signature = Vec<(DType, Vec<u32>)>;

/// What a worker or root stage lends to every slot in turn.
#[derive(Debug, Default)]
pub struct Work {
    mask: Vec<u8>,
    scratch: Vec<f64>,
    expanded: Vec<Expanded>,
    /// Most bytes a state may take.
    pub limit: u64,
    /// Failures of single events since they were last taken.
    pub errors: EventErrors,
}

impl Work {
    /// For states of at most so many bytes each.
    pub fn new(limit: u64) -> Work {
        Work { limit, ..Work::default() }
    }
}

/// Why a slot has no number.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Conflict {
    signatures: BTreeSet<Signature>,
    /// Largest state refused for its size, in bytes.
    too_large: u64,
}

/// The state of one node, or one of the two ends.
#[derive(Debug, Default)]
pub enum Slot {
    /// No event yet.
    #[default]
    Empty,
    /// A state.
    Held {
        /// The op, by which the state is decoded.
        op: &'static str,
        /// What it was started with.
        signature: Signature,
        /// The state.
        state: Box<dyn State>,
    },
    /// No number to give.
    Conflict(Conflict),
}

/// A reduction with its parameters: starts states.
pub trait Reduction: Send + Sync + fmt::Debug {
    /// The op's name in the table.
    fn op(&self) -> &'static str;
    /// How much an input's type matters.
    fn sense(&self, input: usize) -> Sense;
    /// A state before its first event.
    fn start(&self, signature: &Signature) -> Box<dyn State>;
    /// Most bytes a state takes for inputs of these types and shapes.
    fn size(&self, inputs: &Signature) -> u64;
    /// True when an input's shape must be known to tell the size.
    fn sized_by(&self, input: usize) -> bool {
        self.sense(input) == Sense::Shapes
    }
    /// Types of the outputs, or what is wrong with the inputs.
    ///
    /// # Errors
    /// When the op cannot work on these types.
    fn bind(&self, inputs: &[Type]) -> Result<Vec<Type>, Fault>;
    /// Outputs over no events; an empty list when nothing is published then.
    fn nothing(&self) -> Outputs {
        Vec::new()
    }
}

impl Conflict {
    fn add(&mut self, signature: Signature) {
        self.signatures.insert(signature);
        while self.signatures.len() > REMEMBERED {
            self.signatures.pop_last();
        }
    }

    fn merge(&mut self, other: Conflict) {
        other.signatures.into_iter().for_each(|s| self.add(s));
        self.too_large = self.too_large.max(other.too_large);
    }
}

impl fmt::Display for Conflict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.too_large > 0 {
            let mib = self.too_large as f64 / f64::from(1 << 20);
            return write!(
                f,
                "state too large: {mib:.1} MiB are needed for this input; ask for fewer or smaller items, or raise the limit on state bytes"
            );
        }
        let kinds: Vec<String> = self.signatures.iter().map(describe).collect();
        write!(
            f,
            "shape conflict: the input changed within the window ({}); select one shape, or reset the node",
            kinds.join(" and ")
        )
    }
}

fn describe(signature: &Signature) -> String {
    let one = |(dtype, axes): &(DType, Vec<u32>)| format!("{dtype} {axes:?}");
    signature.iter().map(one).collect::<Vec<_>>().join(", ")
}

impl Clone for Slot {
    fn clone(&self) -> Self {
        match self {
            Slot::Empty => Slot::Empty,
            Slot::Held { op, signature, state } => {
                Slot::Held { op, signature: signature.clone(), state: state.clone_box() }
            }
            Slot::Conflict(conflict) => Slot::Conflict(conflict.clone()),
        }
    }
}

impl Slot {
    /// True before the first event.
    pub fn is_empty(&self) -> bool {
        matches!(self, Slot::Empty)
    }

    /// Bytes held.
    pub fn bytes(&self) -> usize {
        match self {
            Slot::Held { state, .. } => state.bytes(),
            Slot::Empty | Slot::Conflict(_) => 64,
        }
    }

    /// Takes in the events of a batch in which every input is present.
    pub fn absorb(
        &mut self,
        reduction: &dyn Reduction,
        events: Events<'_>,
        columns: &[&Column<'_>],
        work: &mut Work,
    ) {
        let count = events.timestamps.len();
        work.expanded.resize_with(columns.len(), Expanded::default);
        let full: Vec<Option<Column<'_>>> =
            columns.iter().zip(&mut work.expanded).map(|(c, m)| expand(c, count, m)).collect();
        let columns: Vec<&Column<'_>> =
            full.iter().zip(columns).map(|(f, &c)| f.as_ref().unwrap_or(c)).collect();
        let Some((masked, present)) = mask_of(&columns, count, &mut work.mask) else { return };
        let mask = masked.then_some(work.mask.as_slice());
        let Some(first) = crate::access::selected(mask, count).next() else { return };
        if let Some(conflict) = self.fit(reduction, &columns, mask, first, work.limit) {
            self.merge_conflict(conflict);
        }
        if let Slot::Held { state, .. } = self {
            let (scratch, errors) = (&mut work.scratch, &mut work.errors);
            state.absorb(&mut Feed { events, columns: &columns, mask, present, scratch, errors });
        }
    }

    /// Starts the state if there is none, and looks whether every event fits it.
    fn fit(
        &mut self,
        reduction: &dyn Reduction,
        columns: &[&Column<'_>],
        mask: Mask<'_>,
        first: usize,
        limit: u64,
    ) -> Option<Conflict> {
        let count = mask.map_or_else(|| events_in(columns), <[u8]>::len);
        let held = match self {
            Slot::Held { signature, .. } => Some(&*signature),
            _ => None,
        };
        let fits = |i: usize, s: &Signature| {
            s.iter().enumerate().all(|(k, one)| matches(reduction.sense(k), columns[k], i, one))
        };
        let start = held.cloned().unwrap_or_else(|| signature_at(reduction, columns, first));
        let uniform = fits(first, &start) && {
            let varied = |k: &usize| reduction.sense(*k) == Sense::Shapes && is_arrays(columns[*k]);
            !(0..columns.len()).any(|k| varied(&k))
                || crate::access::selected(mask, count).all(|i| fits(i, &start))
        };
        if !uniform {
            let mut conflict = Conflict::default();
            conflict.add(start);
            for i in crate::access::selected(mask, count) {
                conflict.add(signature_at(reduction, columns, i));
            }
            return Some(conflict);
        }
        if self.is_empty() {
            let size = reduction.size(&types_at(columns, first));
            if size > limit {
                return Some(Conflict { signatures: BTreeSet::from([start]), too_large: size });
            }
            let state = reduction.start(&start);
            *self = Slot::Held { op: reduction.op(), signature: start, state };
        } else if let Slot::Conflict(conflict) = self {
            conflict.add(start);
        }
        None
    }

    fn merge_conflict(&mut self, other: Conflict) {
        let mut conflict = match std::mem::take(self) {
            Slot::Empty => Conflict::default(),
            Slot::Held { signature, .. } => {
                Conflict { signatures: BTreeSet::from([signature]), too_large: 0 }
            }
            Slot::Conflict(conflict) => conflict,
        };
        conflict.merge(other);
        *self = Slot::Conflict(conflict);
    }

    /// Takes in another slot of the same node.
    ///
    /// # Errors
    /// When it is of another op or other parameters; then it is left out.
    pub fn merge(&mut self, other: Slot, ordinal: u32) -> Result<(), MergeError> {
        match other {
            Slot::Empty => Ok(()),
            Slot::Conflict(conflict) => {
                self.merge_conflict(conflict);
                Ok(())
            }
            Slot::Held { op: found, signature: theirs, state: other } => match self {
                Slot::Empty => {
                    *self = Slot::Held { op: found, signature: theirs, state: other };
                    Ok(())
                }
                Slot::Conflict(conflict) => {
                    conflict.add(theirs);
                    Ok(())
                }
                Slot::Held { op, signature, state } => {
                    if *op != found {
                        let (expected, found) = ((*op).to_owned(), found.to_owned());
                        return Err(MergeError::Op { ordinal, expected, found });
                    }
                    if *signature != theirs {
                        let signatures = BTreeSet::from([theirs]);
                        self.merge_conflict(Conflict { signatures, too_large: 0 });
                        return Ok(());
                    }
                    let op = (*op).to_owned();
                    let merged = state.merge(other);
                    merged.then_some(()).ok_or(MergeError::Parameters { ordinal, op })
                }
            },
        }
    }

    /// The outputs, or why there are none.
    ///
    /// # Errors
    /// Text for people.
    pub fn finish(&self, reduction: &dyn Reduction) -> Result<Outputs, String> {
        match self {
            Slot::Empty => Ok(reduction.nothing()),
            Slot::Held { state, .. } => state.finish(),
            Slot::Conflict(conflict) => Err(conflict.to_string()),
        }
    }

    /// Gives the slot away as bytes.
    pub fn encode(self, writer: &mut Writer) {
        match self {
            Slot::Empty => writer.u8(0),
            Slot::Held { op, signature, state } => {
                writer.u8(1);
                writer.text(op);
                write_signature(&signature, writer);
                state.encode(writer);
            }
            Slot::Conflict(conflict) => {
                writer.u8(2);
                writer.u64(conflict.too_large);
                writer.u32(conflict.signatures.len() as u32);
                conflict.signatures.iter().for_each(|s| write_signature(s, writer));
            }
        }
    }

    /// Reads what [`Slot::encode`] wrote.
    ///
    /// # Errors
    /// When the bytes are not a slot.
    pub fn decode(reader: &mut Reader<'_>) -> Result<Slot, DecodeError> {
        match reader.u8("slot")? {
            0 => Ok(Slot::Empty),
            1 => {
                let name = reader.text("op of a state")?;
                let unknown = || DecodeError::invalid("op of a state", format_args!("{name:?}"));
                let kind = crate::ops::find(name).ok_or_else(unknown)?;
                let signature = read_signature(reader)?;
                let state = kind.decode(&signature, reader)?;
                Ok(Slot::Held { op: kind.doc().name, signature, state })
            }
            2 => {
                let mut conflict = Conflict { too_large: reader.u64("conflict")?, ..Default::default() };
                for _ in 0..reader.count(4, "conflict")? {
                    conflict.add(read_signature(reader)?);
                }
                Ok(Slot::Conflict(conflict))
            }
            other => Err(DecodeError::invalid("slot", other)),
        }
    }
}

fn write_signature(signature: &Signature, writer: &mut Writer) {
    writer.u32(signature.len() as u32);
    for (dtype, axes) in signature {
        writer.dtype(*dtype);
        writer.shape(&axes.iter().map(|&a| a as usize).collect::<Vec<_>>());
    }
}

fn read_signature(reader: &mut Reader<'_>) -> Result<Signature, DecodeError> {
    let count = reader.count(2, "signature")?;
    let one = |_| {
        let dtype = reader.dtype("signature")?;
        let axes = reader.shape("signature")?;
        let narrow = axes.iter().map(|&a| u32::try_from(a)).collect::<Result<_, _>>();
        Ok((dtype, narrow.map_err(|e| DecodeError::invalid("signature", e))?))
    };
    (0..count).map(one).collect()
}

fn is_arrays(column: &Column<'_>) -> bool {
    matches!(column, Column::Arrays { .. })
}

fn events_in(columns: &[&Column<'_>]) -> usize {
    columns.first().map_or(0, |column| match column {
        Column::Scalars { dtype, data, .. } => data.len() / dtype.size(),
        Column::Strings(texts) => texts.len(),
        Column::Arrays { items, .. } => items.len(),
        Column::Absent | Column::Constant(_) => 0,
    })
}

/// Element type and axes of one event's value.
fn type_at<'a>(column: &'a Column<'_>, event: usize) -> (DType, &'a [u32]) {
    match column {
        Column::Scalars { dtype, .. } => (*dtype, &[]),
        Column::Arrays { dtype, items } => {
            (*dtype, items[event].as_ref().map_or(&[], |item| item.dims.axes()))
        }
        Column::Strings(_) | Column::Absent | Column::Constant(_) => (DType::Str, &[]),
    }
}

fn matches(sense: Sense, column: &Column<'_>, event: usize, one: &(DType, Vec<u32>)) -> bool {
    let (dtype, axes) = type_at(column, event);
    match sense {
        Sense::Nothing => true,
        Sense::Types => dtype == one.0,
        Sense::Shapes => dtype == one.0 && axes == one.1,
    }
}

fn signature_at(reduction: &dyn Reduction, columns: &[&Column<'_>], event: usize) -> Signature {
    let one = |(k, column): (usize, &&Column<'_>)| {
        let (dtype, axes) = type_at(column, event);
        match reduction.sense(k) {
            Sense::Nothing => (DType::Bool, Vec::new()),
            Sense::Types => (dtype, Vec::new()),
            Sense::Shapes => (dtype, axes.to_vec()),
        }
    };
    columns.iter().enumerate().map(one).collect()
}

/// Element types and full shapes of one event's values, whatever the op cares for.
fn types_at(columns: &[&Column<'_>], event: usize) -> Signature {
    let one = |column: &&Column<'_>| {
        let (dtype, axes) = type_at(column, event);
        (dtype, axes.to_vec())
    };
    columns.iter().map(one).collect()
}

/// Events in which every column has a value: whether `mask` is needed to say so, and how many.
/// None when a column has none at all.
fn mask_of(columns: &[&Column<'_>], count: usize, mask: &mut Vec<u8>) -> Option<(bool, usize)> {
    mask.clear();
    mask.resize(count, 1);
    let mut masked = false;
    for column in columns {
        match column {
            Column::Absent => return None,
            Column::Constant(_) | Column::Scalars { present: None, .. } => {}
            Column::Scalars { present: Some(present), .. } => {
                masked = true;
                mask.iter_mut().zip(*present).for_each(|(m, &p)| *m &= u8::from(p != 0));
            }
            Column::Strings(texts) => {
                masked = true;
                mask.iter_mut().zip(texts).for_each(|(m, t)| *m &= u8::from(t.is_some()));
            }
            Column::Arrays { items, .. } => {
                masked = true;
                mask.iter_mut().zip(items).for_each(|(m, a)| *m &= u8::from(a.is_some()));
            }
        }
    }
    if !masked {
        return Some((false, count));
    }
    let present = mask.iter().map(|&m| usize::from(m)).sum();
    Some((present < count, present))
}
