//! What people are told about an operation: its inputs, parameters and outputs.

/// How an op takes its inputs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// No inputs.
    None,
    /// These: one name, a list in this order, or a map.
    Fixed(&'static [InputDoc]),
    /// One or more of any name: outputs carry their names.
    Values,
    /// One or more whose names the op's expressions use.
    Named,
}

/// One input of an op.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InputDoc {
    /// Its name in a map.
    pub name: &'static str,
    /// What it may be, for people.
    pub doc: &'static str,
    /// False when the op works without.
    pub required: bool,
}

/// One parameter of an op.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ParamDoc {
    /// Its name.
    pub name: &'static str,
    /// Its type, for people.
    pub kind: &'static str,
    /// Its default as JSON; empty when it must be given, "none" when it may be left out.
    pub default: &'static str,
    /// Its unit; empty without.
    pub unit: &'static str,
    /// What is accepted.
    pub range: &'static str,
    /// One line of what it does.
    pub doc: &'static str,
}

/// A row of an op's table of parameters.
pub(crate) const fn param(
    name: &'static str,
    kind: &'static str,
    default: &'static str,
    unit: &'static str,
    range: &'static str,
    doc: &'static str,
) -> ParamDoc {
    ParamDoc { name, kind, default, unit, range, doc }
}

/// One output of an op.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OutputDoc {
    /// Its name; `…` at the end where there is one per input.
    pub name: &'static str,
    /// Shape, element type and unit, for people.
    pub doc: &'static str,
}

/// Whether an op sees events one by one or all of a window.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// Values of one event in, values of that event out.
    PerEvent,
    /// Over the events of a window.
    Reduction,
    /// Either, or on what is published: the code says which.
    UserCode,
}

/// What people are told about an op.
#[derive(Debug, Clone, Copy)]
pub struct OpDoc {
    /// Its name in graphs.
    pub name: &'static str,
    /// One line.
    pub summary: &'static str,
    /// What exactly it computes: numpy's definition, edge cases, element types.
    pub text: &'static str,
    /// A node that runs, as JSON; its inputs are `scalar`, `flag`, `waveform` (1-d), `image` (2-d).
    pub example: &'static str,
    /// Per event, or a reduction.
    pub class: Class,
    /// Inputs.
    pub form: Form,
    /// True when further inputs may be named by `with`.
    pub with: bool,
    /// Parameters.
    pub params: &'static [ParamDoc],
    /// Outputs.
    pub outputs: &'static [OutputDoc],
}
