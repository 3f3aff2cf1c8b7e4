//! What the parser makes of the text: nodes in one vector, operands before their operator.
//!
//! A vector instead of boxes, so that no pass over an expression recurses: a sum of ten thousand
//! terms needs no deeper stack than a sum of two.

use super::functions::Function;

/// Place of a node in [`Ast::nodes`].
pub(super) type Id = usize;

/// A parsed expression; its last node is its value.
#[derive(Debug, Clone, Default)]
pub(super) struct Ast {
    /// Operands before operators.
    pub nodes: Vec<Node>,
    /// Input names in order of first mention.
    pub names: Vec<String>,
}

/// One node and the column of the text it is blamed on.
#[derive(Debug, Clone)]
pub(super) struct Node {
    pub kind: Kind,
    pub at: usize,
}

/// Operators that take two values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Binary {
    Add,
    Sub,
    Mul,
    Div,
    FloorDiv,
    Mod,
    Pow,
    BitAnd,
    BitOr,
    BitXor,
    Compare(Comparison),
}

/// The six comparisons.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Comparison {
    Lt,
    Le,
    Gt,
    Ge,
    Eq,
    Ne,
}

impl Comparison {
    /// The comparison with its sides exchanged.
    pub fn mirrored(self) -> Comparison {
        match self {
            Comparison::Lt => Comparison::Gt,
            Comparison::Le => Comparison::Ge,
            Comparison::Gt => Comparison::Lt,
            Comparison::Ge => Comparison::Le,
            same => same,
        }
    }

    /// Whether it holds between values that stand in this order (None: one is NaN).
    pub fn holds(self, order: Option<std::cmp::Ordering>) -> bool {
        match self {
            Comparison::Lt => order.is_some_and(std::cmp::Ordering::is_lt),
            Comparison::Le => order.is_some_and(std::cmp::Ordering::is_le),
            Comparison::Gt => order.is_some_and(std::cmp::Ordering::is_gt),
            Comparison::Ge => order.is_some_and(std::cmp::Ordering::is_ge),
            Comparison::Eq => order.is_some_and(std::cmp::Ordering::is_eq),
            Comparison::Ne => order.is_none_or(std::cmp::Ordering::is_ne),
        }
    }
}

impl Binary {
    /// As written.
    pub fn symbol(self) -> &'static str {
        match self {
            Binary::Add => "+",
            Binary::Sub => "-",
            Binary::Mul => "*",
            Binary::Div => "/",
            Binary::FloorDiv => "//",
            Binary::Mod => "%",
            Binary::Pow => "**",
            Binary::BitAnd => "&",
            Binary::BitOr => "|",
            Binary::BitXor => "^",
            Binary::Compare(Comparison::Lt) => "<",
            Binary::Compare(Comparison::Le) => "<=",
            Binary::Compare(Comparison::Gt) => ">",
            Binary::Compare(Comparison::Ge) => ">=",
            Binary::Compare(Comparison::Eq) => "==",
            Binary::Compare(Comparison::Ne) => "!=",
        }
    }
}

/// Operators before one value, except `not`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Prefix {
    Minus,
    Plus,
    Invert,
}

/// One component between the brackets of `a[…]`.
#[derive(Debug, Clone)]
pub(super) enum Item<S> {
    /// One place: its axis goes.
    At(S),
    /// `start:stop:step`.
    Slice(Option<S>, Option<S>, Option<S>),
    /// `...`
    Ellipsis,
    /// `None`: a new axis of length 1.
    NewAxis,
}

/// What a node is.
#[derive(Debug, Clone)]
pub(super) enum Kind {
    /// An input, by its place in [`Ast::names`].
    Name(usize),
    Bool(bool),
    Int(i128),
    Float(f64),
    Text(String),
    Nothing,
    /// Stands between the parts of `and`, `or` and `if`, where evaluation may jump.
    Mark,
    Prefix(Prefix, Id),
    Not(Id),
    Binary(Binary, Id, Id),
    /// `left and right`, or `or`.
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
    Call {
        function: &'static Function,
        args: Vec<Id>,
        axis: Option<Id>,
    },
    Index(Id, Vec<Item<Id>>),
}

impl Kind {
    /// Applies `map` to the place of every node this one refers to.
    pub fn relocate(&mut self, map: impl Fn(Id) -> Id) {
        let on = |id: &mut Id| *id = map(*id);
        match self {
            Kind::Name(_) | Kind::Bool(_) | Kind::Int(_) | Kind::Float(_) => {}
            Kind::Text(_) | Kind::Nothing | Kind::Mark => {}
            Kind::Prefix(_, a) | Kind::Not(a) => on(a),
            Kind::Binary(_, a, b) => [a, b].into_iter().for_each(on),
            Kind::Junction { left, mark, right, .. } => {
                [left, mark, right].into_iter().for_each(on);
            }
            Kind::If { cond, then_mark, yes, else_mark, no } => {
                [cond, then_mark, yes, else_mark, no].into_iter().for_each(on);
            }
            Kind::Call { args, axis, .. } => args.iter_mut().chain(axis.iter_mut()).for_each(on),
            Kind::Index(base, items) => {
                on(base);
                for item in items {
                    match item {
                        Item::At(id) => on(id),
                        Item::Slice(a, b, c) => [a, b, c].into_iter().flatten().for_each(on),
                        Item::Ellipsis | Item::NewAxis => {}
                    }
                }
            }
        }
    }
}
