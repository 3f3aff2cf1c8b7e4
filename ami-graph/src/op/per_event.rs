//! Per-event operations: values of one event in, values of that event out.

use crate::data::bands::Banded;
use crate::data::batch::Column;
use crate::data::frame::Frame;
use crate::data::owned_column::{EventErrors, OwnedColumn};
use crate::data::schema::Labels;
use crate::data::types::Type;
use crate::data::value::DType;
use crate::error::Fault;

/// A per-event op with its parameters.
pub trait PerEvent: Send + Sync + std::fmt::Debug {
    /// Checks the types of the inputs; gives the types of the outputs and a kernel.
    ///
    /// # Errors
    /// When the op cannot work on these types or shapes.
    fn bind(&self, inputs: &[Type]) -> Result<(Vec<Type>, Box<dyn Kernel>), Fault>;

    /// Bytes of the tables that the kernel keeps, such as masks and the bins of pixels, for these
    /// inputs and outputs; 0 without tables and where shapes are unknown.
    fn tables(&self, inputs: &[Type], outputs: &[Type]) -> u64 {
        let _ = (inputs, outputs);
        0
    }

    /// As [`bind`](Self::bind), for ops that know what to do with the labels of inputs that are
    /// enumerations; empty for every other input.
    ///
    /// # Errors
    /// As [`bind`](Self::bind).
    fn bind_labelled(
        &self,
        inputs: &[Type],
        labels: &[Labels],
    ) -> Result<(Vec<Type>, Box<dyn Kernel>), Fault> {
        let _ = labels;
        self.bind(inputs)
    }

    /// True when values depend on which events a worker had before.
    fn split_dependent(&self) -> bool {
        false
    }

    /// Told before [`bind`](Self::bind): which node of which graph it is, and the hash of it and all that it
    /// depends on. Where these are those of a node of the version before, it is the same one, which goes on.
    fn known_as(&mut self, graph: &str, node: &str, identity: &[u8; 32]) {
        let _ = (graph, node, identity);
    }

    /// True for what works on published values alone, at the root, and is never waited for.
    fn after_merge(&self) -> bool {
        false
    }

    /// Input whose values an output holds unchanged, so that its labels stay true.
    fn passes(&self, output: usize) -> Option<usize> {
        let _ = output;
        None
    }
}

/// Computes a per-event op over the events of a batch.
pub trait Kernel: Send {
    /// Fills each output with one entry per event, or sets it absent or constant. An event that
    /// fails is recorded in `errors` and absent in the outputs.
    fn run(
        &mut self,
        events: usize,
        inputs: &[&Column<'_>],
        outputs: &mut [OwnedColumn],
        errors: &mut EventErrors,
    );
    /// Told before [`run`](Self::run) at the root: which heartbeat it is.
    fn heartbeat(&mut self, frame: &Frame) {
        let _ = frame;
    }
    /// At the root, after [`run`](Self::run): the heartbeat of which the outputs speak, if that is another.
    fn speaks_of(&self) -> Option<u64> {
        None
    }
    /// The kernel as what takes frames of this type and shape, its only input, in bands, if it can.
    fn banded(&mut self, dtype: DType, axes: &[u32]) -> Option<&mut dyn Banded> {
        let _ = (dtype, axes);
        None
    }
}
