//! A checked expression: every node has a type, every conversion is a node of its own.

use crate::data::types::Type;
use crate::data::value::DType;
use crate::data::value::Scalar;
use crate::expr::arithmetic::index::Item;
use crate::expr::arithmetic::operation::Op;
use crate::expr::arithmetic::reduce::Reduction;

/// Place of a node in the vector; operands stand before operators.
pub(in crate::expr) type Id = usize;

/// One node.
#[derive(Debug, Clone)]
pub(in crate::expr) struct Node {
    pub kind: Kind,
    pub ty: Type,
    /// A scalar in every event, computed element by element from scalars, and never failing: such
    /// nodes are computed for all events at once.
    pub pure: bool,
    /// Column of the text.
    pub at: usize,
}

/// Where a text comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::expr) enum Text {
    Input(usize),
    Literal(String),
}

/// What a node is.
#[derive(Debug, Clone)]
pub(in crate::expr) enum Kind {
    /// An input by its number; from the number of inputs on, whether each of them is present.
    Input(usize),
    Const(Scalar),
    /// Where evaluation may jump, on behalf of the node that names this mark.
    Mark,
    /// Element by element, computed in the operands' type.
    Elem {
        op: Op,
        args: Vec<Id>,
    },
    TextEqual {
        left: Text,
        right: Text,
        equal: bool,
    },
    Not(Id),
    Junction {
        and: bool,
        left: Id,
        mark: Id,
        right: Id,
    },
    If {
        cond: Id,
        then_mark: Id,
        yes: Id,
        else_mark: Id,
        no: Id,
    },
    Reduce {
        reduction: Reduction,
        arg: Id,
        axis: Option<i64>,
    },
    Len(Id),
    Cumsum(Id, Option<i64>),
    Diff(Id, i64),
    Sort(Id, i64),
    Dot(Id, Id),
    Index(Id, Vec<Item<Id>>),
}

impl Kind {
    /// Calls `f` with every operand, marks not included.
    pub fn operands(&self, mut f: impl FnMut(Id)) {
        match self {
            Kind::Input(_) | Kind::Const(_) | Kind::Mark | Kind::TextEqual { .. } => {}
            Kind::Elem { args, .. } => args.iter().copied().for_each(f),
            Kind::Not(a) | Kind::Len(a) | Kind::Cumsum(a, _) => f(*a),
            Kind::Diff(a, _) | Kind::Sort(a, _) | Kind::Reduce { arg: a, .. } => f(*a),
            Kind::Dot(a, b) | Kind::Junction { left: a, right: b, .. } => {
                [*a, *b].into_iter().for_each(f);
            }
            Kind::If { cond, yes, no, .. } => [*cond, *yes, *no].into_iter().for_each(f),
            Kind::Index(base, items) => {
                f(*base);
                for item in items {
                    match item {
                        Item::At(id) => f(*id),
                        Item::Slice(a, b, c) => {
                            [a, b, c].into_iter().flatten().copied().for_each(&mut f);
                        }
                        Item::Ellipsis | Item::NewAxis => {}
                    }
                }
            }
        }
    }
}

/// The type an elementwise operation computes in.
pub(in crate::expr) fn computed_in(op: Op, args: &[Id], dtype: impl Fn(Id) -> DType) -> DType {
    // The first operand of a selection is its condition.
    let decisive = if op == Op::Select { args[1] } else { args[0] };
    dtype(decisive)
}
