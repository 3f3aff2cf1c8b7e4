//! `python`: a function or class that users wrote, run by a process beside the data path.

use super::after_merge::AfterMerge;
use super::code;
use super::description::Kind;
use super::per_event::EventCode;
use super::reduction::{self, MergingCode};
use crate::data::bytes::Reader;
use crate::error::{DecodeError, Fault};
use crate::op::doc::{Class, Form, OpDoc, OutputDoc, param};
use crate::op::kind::{Body, OpKind, Prepared};
use crate::op::parameters::Args;
use crate::op::reduction::State;
use crate::op::signature::Signature;

static DOC: OpDoc = OpDoc {
    name: "python",
    summary: "a function or class of your own, run beside the data path",
    text: "`code` names a file and what is in it, or is the source itself. What it takes, gives and \
           lets be set is what its signature says (`ami-ctl node describe FILE`). It is one of \
           three: per event (a function, or a class `PerEvent`), over the events of a window (a class \
           `Reduction`), or on what is published (a class `Root`). An event in which it raises, takes \
           longer than `timeout_ms` or gives what it did not declare has no value; it is counted, \
           with the message. Runs only where `python.enabled` is set. See docs/user-code.md.",
    example: r#"{"op": "python", "in": "image", "code": "hits.py:spectrum", "params": {"threshold": 12}}"#,
    class: Class::UserCode,
    form: Form::Values,
    with: false,
    params: &[
        param("code", "text", "", "", "FILE.py:NAME, or source", "the code; read by the manager"),
        param("params", "map", "{}", "", "what the code's signature has", "its parameters"),
        param("env", "text", "\"default\"", "", "a name of [python.envs]", "what runs it"),
        param(
            "timeout_ms",
            "integer",
            "1000",
            "ms",
            "1 to 600000",
            "longest time for one event, a merge or a finish; 600000 for an update of a `Root`",
        ),
        param("state_mib", "integer", "16", "MiB", "1 to 16384", "largest state of a reduction"),
    ],
    outputs: &[OutputDoc { name: "…", doc: "as the code declares them" }],
};

/// The op.
pub struct Python;

impl OpKind for Python {
    fn doc(&self) -> &'static OpDoc {
        &DOC
    }

    fn told_by_files(&self) -> bool {
        true
    }

    fn prepare(&self, args: &Args<'_>) -> Result<Prepared, Fault> {
        let described = code::read(args)?;
        let outputs = described.description.output_names();
        let runner = args.code.cloned();
        let body = match described.description.kind {
            Kind::PerEvent => Body::PerEvent(Box::new(EventCode::new(described, runner))),
            Kind::Reduction => Body::Reduction(Box::new(MergingCode::new(described, runner))),
            Kind::Root => Body::PerEvent(Box::new(AfterMerge::new(described, runner))),
        };
        Ok(Prepared { outputs, body })
    }

    fn decode(
        &self,
        _: &Signature,
        reader: &mut Reader<'_>,
    ) -> Result<Box<dyn State>, DecodeError> {
        reduction::decode(DOC.name, reader)
    }
}
