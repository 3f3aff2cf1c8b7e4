//! User code over the events of a window. Its states are plain data: workers keep them between
//! batches, collectors carry them, and where the code's own `merge` is needed they wait side by side
//! until they are where it can be called.

use super::code::Described;
use crate::data::bytes::{Reader, Writer};
use crate::data::column_views::value_at;
use crate::data::feed::Feed;
use crate::data::owned_column::OwnedColumn;
use crate::data::types::Type;
use crate::error::{DecodeError, Fault};
use crate::op::foreign::{Call, Foreign, UserCode};
use crate::op::plain::Plain;
use crate::op::reduction::{Outputs, Reduction, State, same};
use crate::op::signature::{Sense, Signature};
use std::any::Any;
use std::sync::Arc;

/// Most states that wait side by side.
const MAX_WAITING: usize = 4096;

/// Code with what runs it; None in processes that only plan.
#[derive(Debug)]
pub struct MergingCode {
    described: Described,
    runner: Option<Arc<dyn Foreign>>,
}

impl MergingCode {
    pub fn new(described: Described, runner: Option<Arc<dyn Foreign>>) -> MergingCode {
        MergingCode { described, runner }
    }

    fn running(&self) -> Option<Running> {
        let runner = self.runner.clone()?;
        Some(Running { code: self.described.code.clone(), runner })
    }
}

/// What a state is merged and finished by.
#[derive(Debug, Clone)]
struct Running {
    code: Arc<UserCode>,
    runner: Arc<dyn Foreign>,
}

impl Reduction for MergingCode {
    fn op(&self) -> &'static str {
        "python"
    }

    fn sense(&self, _: usize) -> Sense {
        Sense::Nothing
    }

    fn start(&self, _: &Signature) -> Box<dyn State> {
        Box::new(CodeState {
            running: self.running(),
            order: self.described.order.clone(),
            adds: self.described.description.adds(),
            parts: Vec::new(),
            failed: None,
        })
    }

    fn adopt(&self, state: &mut dyn State) {
        if let Some(state) = (state as &mut dyn Any).downcast_mut::<CodeState>()
            && state.running.is_none()
        {
            state.running = self.running();
            state.fold();
        }
    }

    fn size(&self, _: &Signature) -> u64 {
        self.described.code.state_bytes
    }

    fn bind(&self, inputs: &[Type]) -> Result<Vec<Type>, Fault> {
        let code = self.described.loaded(self.runner.as_ref(), inputs)?;
        Ok(code.outputs.clone())
    }
}

/// States that are one when merged; several only where the code is not at hand.
#[derive(Debug, Clone)]
struct CodeState {
    running: Option<Running>,
    order: Vec<usize>,
    adds: bool,
    parts: Vec<Plain>,
    /// Why there is no state any more.
    failed: Option<String>,
}

impl CodeState {
    fn fail(&mut self, reason: String) {
        // Of two reasons the greater stays, so that the order of merging does not matter.
        let reason = self.failed.take().into_iter().chain([reason]).max();
        self.failed = reason;
        self.parts.clear();
    }

    /// Makes one state of those that wait, if it can.
    fn fold(&mut self) {
        if self.parts.len() < 2 || self.failed.is_some() {
            return;
        }
        let folded = if self.adds {
            let mut parts = std::mem::take(&mut self.parts).into_iter();
            let Some(mut sum) = parts.next() else { return };
            parts.try_for_each(|part| sum.add(&part)).map(|()| sum)
        } else if let Some(Running { code, runner }) = &self.running {
            runner.merge(code, &self.parts)
        } else {
            return;
        };
        match folded {
            Ok(one) => self.parts = vec![one],
            Err(reason) => self.fail(format!("merge: {reason}")),
        }
    }
}

impl State for CodeState {
    fn absorb(&mut self, feed: &mut Feed<'_>) {
        let Some(Running { code, runner }) = &self.running else { return };
        if self.failed.is_some() {
            return;
        }
        let columns: Vec<_> = self.order.iter().map(|&k| feed.columns[k]).collect();
        let events = feed.events.timestamps.len();
        let call = Call { events, mask: feed.mask, columns: &columns };
        let state = self.parts.pop();
        match runner.absorb(code, state, call, feed.errors) {
            Ok(state) => self.parts.push(state),
            Err(reason) => self.fail(reason),
        }
    }

    fn merge(&mut self, other: Box<dyn State>) -> bool {
        let Some(other) = same::<CodeState>(other) else { return false };
        if self.adds != other.adds {
            return false;
        }
        self.running = self.running.take().or(other.running);
        if self.order.is_empty() {
            self.order = other.order;
        }
        self.parts.extend(other.parts);
        if let Some(reason) = other.failed {
            self.fail(reason);
        } else if self.failed.is_some() {
            self.parts.clear();
        }
        if self.parts.len() > MAX_WAITING {
            self.fail(format!("more than {MAX_WAITING} states of one heartbeat wait to be merged"));
        }
        self.fold();
        true
    }

    fn finish(&self) -> Result<Outputs, String> {
        if let Some(reason) = &self.failed {
            return Err(reason.clone());
        }
        let Some(Running { code, runner }) = &self.running else { return Ok(Outputs::new()) };
        let Some(state) = self.parts.first() else { return Ok(Outputs::new()) };
        let mut outputs = vec![OwnedColumn::new(); code.outputs.len()];
        runner.finish(code, state, &mut outputs).map_err(|reason| format!("finish: {reason}"))?;
        Ok(outputs.iter().map(|column| value_at(&column.view(), 0)).collect())
    }

    fn encode(self: Box<Self>, writer: &mut Writer) {
        writer.bool(self.adds);
        writer.text(self.failed.as_deref().unwrap_or_default());
        writer.u32(self.parts.len() as u32);
        self.parts.into_iter().for_each(|part| part.encode(writer));
    }

    fn clone_box(&self) -> Box<dyn State> {
        Box::new(self.clone())
    }

    fn bytes(&self) -> usize {
        64 + self.parts.iter().map(|part| part.bytes().len()).sum::<usize>()
    }
}

/// Reads a state, trusting nothing.
///
/// # Errors
/// When the bytes are not one.
pub fn decode(op: &'static str, reader: &mut Reader<'_>) -> Result<Box<dyn State>, DecodeError> {
    let adds = reader.bool(op)?;
    let failed = Some(reader.text(op)?.to_owned()).filter(|reason| !reason.is_empty());
    let count = reader.count(8, "states of user code")?;
    if count > MAX_WAITING {
        return Err(DecodeError::invalid("states of user code", count));
    }
    let parts = (0..count).map(|_| Plain::decode(reader)).collect::<Result<_, _>>()?;
    Ok(Box::new(CodeState { running: None, order: Vec::new(), adds, parts, failed }))
}
