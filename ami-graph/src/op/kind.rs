//! A kind of node: what the table of operations holds, and what becomes of it with parameters.

use crate::data::bytes::Reader;
use crate::error::{DecodeError, Fault};
use crate::op::doc::OpDoc;
use crate::op::parameters::Args;
use crate::op::per_event::PerEvent;
use crate::op::reduction::{Reduction, State};
use crate::op::signature::Signature;

/// A kind of node.
pub trait OpKind: Sync {
    /// What people are told.
    fn doc(&self) -> &'static OpDoc;

    /// True when what an op takes and gives is told by a file that its parameters name, so that nothing
    /// is known of it without.
    fn told_by_files(&self) -> bool {
        false
    }

    /// Reads the parameters of a node.
    ///
    /// # Errors
    /// Names the parameter and what would be accepted.
    fn prepare(&self, args: &Args<'_>) -> Result<Prepared, Fault>;

    /// Reads a state of this op, trusting nothing.
    ///
    /// # Errors
    /// When the bytes are not one; always for ops without state.
    fn decode(
        &self,
        signature: &Signature,
        reader: &mut Reader<'_>,
    ) -> Result<Box<dyn State>, DecodeError> {
        let _ = (signature, reader);
        Err(DecodeError::invalid("state", format_args!("op {:?} has none", self.doc().name)))
    }
}

/// A node with its parameters read; what it works on is not known yet.
#[derive(Debug)]
pub struct Prepared {
    /// Names of its outputs in order.
    pub outputs: Vec<String>,
    /// How it computes.
    pub body: Body,
}

/// How a node computes.
#[derive(Debug)]
pub enum Body {
    /// Event by event.
    PerEvent(Box<dyn PerEvent>),
    /// Over a window.
    Reduction(Box<dyn Reduction>),
}

impl Prepared {
    /// A per-event node with one output `value`.
    pub fn per_event(body: impl PerEvent + 'static) -> Prepared {
        Prepared { outputs: vec!["value".into()], body: Body::PerEvent(Box::new(body)) }
    }

    /// A per-event node with these outputs.
    pub fn per_event_with(outputs: &[&str], body: impl PerEvent + 'static) -> Prepared {
        let outputs = outputs.iter().map(|&o| o.to_owned()).collect();
        Prepared { outputs, body: Body::PerEvent(Box::new(body)) }
    }

    /// A reduction with its outputs.
    pub fn reduction(outputs: &[&str], body: impl Reduction + 'static) -> Prepared {
        let outputs = outputs.iter().map(|&o| o.to_owned()).collect();
        Prepared { outputs, body: Body::Reduction(Box::new(body)) }
    }
}
