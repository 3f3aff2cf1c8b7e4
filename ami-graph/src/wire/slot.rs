//! Slots: the state of one node in a partial or window, or one of the two ends that every op
//! shares: the empty state, neutral in every merge, and the conflict, which absorbs: an input
//! whose element type or shape changed within the window, so that there is no number to give,
//! whatever the split.

use crate::data::bands::Banded;
use crate::data::batch::Column;
use crate::data::bytes::{Reader, Writer};
use crate::data::column_views::{Expanded, Mask, expand, selected};
use crate::data::feed::{Events, Feed};
use crate::data::frame::Frame;
use crate::data::owned_column::EventErrors;
use crate::data::reused_lists::Few;
use crate::data::types::Type;
use crate::data::value::DType;
use crate::error::{DecodeError, MergeError};
use crate::op::reduction::{Outputs, Reduction, State};
use crate::op::signature::Sense;
use crate::op::signature::{
    self as signatures, Signature, describe, difference, events_in, is_arrays, mask_of,
    mask_of_any, matches, signature_at, types_at,
};
use std::collections::BTreeSet;
use std::fmt;

/// Signatures that a conflict remembers: the smallest ones, so that the split does not matter.
const REMEMBERED: usize = 4;

/// What a worker or root stage lends to every slot in turn.
#[derive(Debug, Default)]
pub struct Work {
    mask: Vec<u8>,
    scratch: Vec<f64>,
    numbers: Vec<f64>,
    expanded: Vec<Expanded>,
    /// Most bytes a state may take.
    pub limit: u64,
    /// Most bytes that the state which was started last can come to.
    pub started: u64,
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
                "state too large: {mib:.1} MiB are needed for this input; ask for fewer or smaller items, or raise manager.state_bytes"
            );
        }
        let kinds: Vec<String> = self.signatures.iter().map(describe).collect();
        let (what, kinds) = (difference(self.signatures.iter()), kinds.join(" and "));
        let hint = match what {
            "shape" => "select one shape",
            "type" => "give it one type by an expr before, as x + 0.0",
            _ => "select one type and shape",
        };
        write!(
            f,
            "{what} conflict: the input changed within the window ({kinds}); {hint}, or reset the node"
        )
    }
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

    /// Takes in the events of a batch in which every input is present, or some are if that will do.
    pub fn absorb(
        &mut self,
        reduction: &dyn Reduction,
        events: Events<'_>,
        columns: &[&Column<'_>],
        work: &mut Work,
    ) {
        let count = events.timestamps.len();
        work.expanded.resize_with(columns.len(), Expanded::default);
        let full: Few<Option<Column<'_>>> =
            columns.iter().zip(&mut work.expanded).map(|(c, m)| expand(c, count, m)).collect();
        let columns: Few<&Column<'_>> =
            full.iter().zip(columns).map(|(f, &c)| f.as_ref().unwrap_or(c)).collect();
        let taking_part = match reduction.takes_absent() {
            true => Some((true, mask_of_any(&columns, count, &mut work.mask))),
            false => mask_of(&columns, count, &mut work.mask),
        };
        let Some((masked, present)) = taking_part else { return };
        let mask = masked.then_some(work.mask.as_slice());
        let Some(first) = selected(mask, count).next() else { return };
        if let Some(conflict) =
            self.fit(reduction, &columns, mask, first, work.limit, &mut work.started)
        {
            self.merge_conflict(conflict);
        }
        if let Slot::Held { state, .. } = self {
            let (scratch, numbers) = (&mut work.scratch, &mut work.numbers);
            let errors = &mut work.errors;
            let columns = &columns;
            state.absorb(&mut Feed { events, columns, mask, present, scratch, numbers, errors });
        }
    }

    /// What takes frames of this type and shape in bands, if the state was started with such.
    pub fn banded(&mut self, dtype: DType, axes: &[u32]) -> Option<&mut dyn Banded> {
        match self {
            Slot::Held { signature, state, .. } => match &signature[..] {
                [(held, shape)] if *held == dtype && shape == axes => state.banded(),
                _ => None,
            },
            Slot::Empty | Slot::Conflict(_) => None,
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
        started: &mut u64,
    ) -> Option<Conflict> {
        let count = mask.map_or_else(|| events_in(columns), <[u8]>::len);
        let fits = |i: usize, s: &Signature| {
            s.iter().enumerate().all(|(k, one)| matches(reduction.sense(k), columns[k], i, one))
        };
        let uniform = |s: &Signature| {
            let varied = |k: &usize| reduction.sense(*k) == Sense::Shapes && is_arrays(columns[*k]);
            fits(first, s)
                && (!(0..columns.len()).any(|k| varied(&k))
                    || selected(mask, count).all(|i| fits(i, s)))
        };
        let start = match self {
            Slot::Held { signature, .. } if uniform(signature) => return None,
            Slot::Held { signature, .. } => signature.clone(),
            Slot::Empty | Slot::Conflict(_) => signature_at(|k| reduction.sense(k), columns, first),
        };
        if !uniform(&start) {
            let mut conflict = Conflict::default();
            conflict.add(start);
            for i in selected(mask, count) {
                conflict.add(signature_at(|k| reduction.sense(k), columns, i));
            }
            return Some(conflict);
        }
        if self.is_empty() {
            let size = reduction.size(&types_at(columns, first));
            if size > limit {
                return Some(Conflict { signatures: BTreeSet::from([start]), too_large: size });
            }
            *started = size;
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

    /// At the root, before a heartbeat's slot of a node with so many inputs joins its window; see
    /// [`State::enter`].
    pub fn enter(&mut self, reduction: &dyn Reduction, inputs: usize, frame: &Frame, events: u64) {
        if self.is_empty() && reduction.counts_silence() {
            let signature: Signature = vec![(DType::Bool, Vec::new()); inputs];
            let state = reduction.start(&signature);
            *self = Slot::Held { op: reduction.op(), signature, state };
        }
        self.adopt(reduction);
        if let Slot::Held { state, .. } = self {
            state.enter(frame, events);
        }
    }

    /// At the root: gives the state what it could not bring along; see [`Reduction::adopt`].
    pub fn adopt(&mut self, reduction: &dyn Reduction) {
        if let Slot::Held { state, .. } = self {
            reduction.adopt(state.as_mut());
        }
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

    /// The outputs of a node with inputs of these types, or why there are none.
    ///
    /// # Errors
    /// Text for people.
    pub fn finish(&self, reduction: &dyn Reduction, inputs: &[Type]) -> Result<Outputs, String> {
        match self {
            Slot::Empty => Ok(reduction.nothing(inputs)),
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
                signatures::write(&signature, writer);
                state.encode(writer);
            }
            Slot::Conflict(conflict) => {
                writer.u8(2);
                writer.u64(conflict.too_large);
                writer.u32(conflict.signatures.len() as u32);
                conflict.signatures.iter().for_each(|s| signatures::write(s, writer));
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
                let signature = signatures::read(reader)?;
                let state = kind.decode(&signature, reader)?;
                Ok(Slot::Held { op: kind.doc().name, signature, state })
            }
            2 => {
                let mut conflict =
                    Conflict { too_large: reader.u64("conflict")?, ..Default::default() };
                for _ in 0..reader.count(4, "conflict")? {
                    conflict.add(signatures::read(reader)?);
                }
                Ok(Slot::Conflict(conflict))
            }
            other => Err(DecodeError::invalid("slot", other)),
        }
    }
}
