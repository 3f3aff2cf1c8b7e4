//! What the parser makes of the text: nodes in one vector, operands before their operator.
//!
//! A vector instead of boxes, so that no pass over an expression recurses: a sum of ten thousand
//! terms needs no deeper stack than a sum of two.

use crate::expr::arithmetic::index::Item;
use crate::expr::arithmetic::operation::Binary;
use crate::expr::syntax::functions::Function;

/// Place of a node in [`Ast::nodes`].
pub(in crate::expr) type Id = usize;

/// A parsed expression; its last node is its value.
#[derive(Debug, Clone, Default)]
pub(in crate::expr) struct Ast {
    /// Operands before operators.
    pub nodes: Vec<Node>,
    /// Input names in order of first mention.
    pub names: Vec<String>,
}

impl Ast {
    /// True for inputs without which an event has no value: mentioned outside of `present` and of
    /// what `default` may replace.
    pub fn requires(&self, name: usize) -> bool {
        self.nodes.iter().any(|node| matches!(node.kind, Kind::Name(other) if other == name))
    }

    /// True when it depends on whether some input is present.
    pub fn asks_presence(&self) -> bool {
        self.nodes.iter().any(|node| matches!(node.kind, Kind::Optional(_)))
    }
}

/// One node and the column of the text it is blamed on.
#[derive(Debug, Clone)]
pub(in crate::expr) struct Node {
    pub kind: Kind,
    pub at: usize,
}

/// Operators before one value, except `not`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::expr) enum Prefix {
    Minus,
    Plus,
    Invert,
}

/// What a node is.
#[derive(Debug, Clone)]
pub(in crate::expr) enum Kind {
    /// An input, by its place in [`Ast::names`].
    Name(usize),
    /// The same where it may be absent: asked for by `present` or `default`.
    Optional(usize),
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
            Kind::Name(_) | Kind::Optional(_) | Kind::Bool(_) | Kind::Int(_) => {}
            Kind::Float(_) | Kind::Text(_) | Kind::Nothing | Kind::Mark => {}
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
