//! Reductions and their states: what they must do. A state is a commutative monoid; the slot around it
//! (`wire::slot`) adds the empty state and the conflict.

use crate::data::bands::Banded;
use crate::data::bytes::Writer;
use crate::data::feed::Feed;
use crate::data::frame::Frame;
use crate::data::schema::Labels;
use crate::data::types::Type;
use crate::data::value::Value;
use crate::error::Fault;
use crate::op::signature::{Sense, Signature};
use std::any::Any;
use std::fmt;

/// Outputs of a node, in the order of its op; None is absent.
pub type Outputs = Vec<Option<Value>>;

/// The merged state of one reduction. It holds all it needs to merge and finish, so that
/// collectors merge without knowing the graph.
pub trait State: Any + Send + fmt::Debug {
    /// Takes in the events of a batch. All of them fit the signature the state was started with.
    fn absorb(&mut self, feed: &mut Feed<'_>);
    /// The state as what takes the frames of its only input in bands, if it can.
    fn banded(&mut self) -> Option<&mut dyn Banded> {
        None
    }
    /// Takes in another state of the same signature. False when its parameters differ.
    fn merge(&mut self, other: Box<dyn State>) -> bool;
    /// At the root, before a heartbeat's state joins its window: what only the frame tells. In it
    /// were so many events, or results, with and without a value.
    fn enter(&mut self, frame: &Frame, events: u64) {
        let _ = (frame, events);
    }
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
    /// At the root: gives a state that came as bytes what it cannot carry, such as what runs its code.
    fn adopt(&self, state: &mut dyn State) {
        let _ = state;
    }
    /// True when a heartbeat in which the inputs have no value counts, too; only for ops that
    /// care for no input's type.
    fn counts_silence(&self) -> bool {
        false
    }
    /// True when events count in which some inputs, not all, have no value; only for ops that care
    /// for no input's type.
    fn takes_absent(&self) -> bool {
        false
    }
    /// Adds what the labels of the inputs say to the outputs; empty labels where an input is no
    /// enumeration.
    fn label(&self, labels: &[Labels], outputs: &mut Outputs) {
        let _ = (labels, outputs);
    }
    /// Input of which an output holds single values, so that its labels stay true.
    fn passes(&self, output: usize) -> Option<usize> {
        let _ = output;
        None
    }
    /// Outputs over no events of inputs of these types; an empty list when nothing is published then.
    fn nothing(&self, inputs: &[Type]) -> Outputs {
        let _ = inputs;
        Vec::new()
    }
}
