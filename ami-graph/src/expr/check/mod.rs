//! Checking: from nodes as parsed to nodes with types, conversions and folded constants.

mod calls;
pub(in crate::expr) mod ir;
mod operators;
mod presence;

use crate::data::owned_column::scalar_of;
use crate::data::schema::Labels;
use crate::data::types::Type;
use crate::data::value::{DType, Scalar};
use crate::expr::arithmetic::kernel::{self, Operand};
use crate::expr::arithmetic::operation::Op;
use crate::expr::arithmetic::promote::{Py, promote};
use crate::expr::arithmetic::shape::{Failure, Shape};
use crate::expr::check::ir::{Id, Kind, Node, Text};
use crate::expr::error::ExprError;
use crate::expr::syntax::ast::{self, Ast, Prefix};
use crate::expr::syntax::functions;

/// What a node of the text stands for.
#[derive(Debug, Clone)]
pub(in crate::expr) enum Val {
    /// A literal, still weakly typed.
    Py(Py),
    Node(Id),
    Text(Text),
    /// `None`.
    Nothing,
}

/// The checked nodes and which of them is the value.
#[derive(Debug)]
pub(in crate::expr) struct Checked {
    pub nodes: Vec<Node>,
    pub root: Id,
    /// Inputs that `default` may replace.
    pub replaced: Vec<usize>,
}

/// Checks an expression over inputs of these types.
pub(in crate::expr) fn check(
    ast: &Ast,
    inputs: &[(String, Type)],
    labels: &[(String, Labels)],
) -> Result<Checked, ExprError> {
    let (nodes, values, replaced) = Default::default();
    let mut checker = Checker { ast, inputs, labels, nodes, values, replaced };
    for node in &ast.nodes {
        let value = checker.node(node)?;
        checker.values.push(value);
    }
    let at = ast.nodes.last().map_or(1, |n| n.at);
    let root = match checker.values.last().cloned() {
        Some(Val::Text(Text::Input(input))) => {
            checker.push(Kind::Input(input), Type::scalar(DType::Str), false, at)
        }
        Some(value) => checker.strong(&value, at)?,
        None => return Err(ExprError::new(at, "nothing to compute", "")),
    };
    Ok(Checked { nodes: checker.nodes, root, replaced: checker.replaced })
}

/// The state of one check.
pub(in crate::expr) struct Checker<'a> {
    ast: &'a Ast,
    inputs: &'a [(String, Type)],
    labels: &'a [(String, Labels)],
    pub nodes: Vec<Node>,
    /// Per node of the text.
    values: Vec<Val>,
    replaced: Vec<usize>,
}

impl Checker<'_> {
    /// What a node of the text, checked before, stands for.
    pub fn value(&self, id: ast::Id) -> Val {
        self.values[id].clone()
    }

    /// Column of a node of the text.
    pub fn at_of(&self, id: ast::Id) -> usize {
        self.ast.nodes[id].at
    }

    /// The type of a checked node.
    pub fn ty(&self, id: Id) -> &Type {
        &self.nodes[id].ty
    }

    /// Adds a node.
    pub fn push(&mut self, kind: Kind, ty: Type, pure: bool, at: usize) -> Id {
        self.nodes.push(Node { kind, ty, pure, at });
        self.nodes.len() - 1
    }

    fn node(&mut self, node: &ast::Node) -> Result<Val, ExprError> {
        let at = node.at;
        Ok(match &node.kind {
            ast::Kind::Name(name) | ast::Kind::Optional(name) => {
                return self.input(&self.ast.names[*name], at);
            }
            ast::Kind::Bool(v) => Val::Py(Py::Bool(*v)),
            ast::Kind::Int(v) => Val::Py(Py::Int(*v)),
            ast::Kind::Float(v) => Val::Py(Py::Float(*v)),
            ast::Kind::Text(v) => Val::Text(Text::Literal(v.clone())),
            ast::Kind::Nothing => Val::Nothing,
            ast::Kind::Mark => {
                Val::Node(self.push(Kind::Mark, Type::scalar(DType::Bool), false, at))
            }
            ast::Kind::Prefix(prefix, a) => return self.prefix(*prefix, &self.value(*a), at),
            ast::Kind::Not(a) => return self.not(&self.value(*a), at),
            ast::Kind::Binary(operator, a, b) => {
                return self.binary(*operator, &self.value(*a), &self.value(*b), at);
            }
            ast::Kind::Junction { and, left, mark, right } => {
                return self.junction(*and, [*left, *mark, *right], at);
            }
            ast::Kind::If { cond, then_mark, yes, else_mark, no } => {
                return self.choice([*cond, *then_mark, *yes, *else_mark, *no], at);
            }
            ast::Kind::Call { function, args, axis } => {
                return self.call(function, args, *axis, at);
            }
            ast::Kind::Index(base, items) => return self.index(*base, items, at),
        })
    }

    fn input(&mut self, name: &str, at: usize) -> Result<Val, ExprError> {
        let Some(input) = self.inputs.iter().position(|(n, _)| n == name) else {
            let hint = if functions::find(name).is_some() {
                format!("{name} is a function: write {name}(...)")
            } else {
                functions::nearest(name, self.inputs.iter().map(|(n, _)| n.as_str()))
            };
            return Err(ExprError::new(at, format!("unknown name {name}"), hint));
        };
        let ty = self.inputs[input].1.clone();
        if ty.dtype == DType::Str {
            return Ok(Val::Text(Text::Input(input)));
        }
        let pure = ty.is_scalar();
        Ok(Val::Node(self.push(Kind::Input(input), ty, pure, at)))
    }

    /// Codes of an enumeration, when the value is an input that has some.
    pub fn labels_of(&self, id: Id) -> Option<&Labels> {
        let Kind::Input(input) = self.nodes[self.replaced_by(id)].kind else { return None };
        let name = &self.inputs.get(input)?.0;
        let labels = self.labels.iter().find(|(n, _)| n == name);
        labels.map(|(_, labels)| labels).filter(|labels| !labels.is_empty())
    }

    /// The value as a node, a literal in the type it has by default.
    pub fn strong(&mut self, value: &Val, at: usize) -> Result<Id, ExprError> {
        match value {
            Val::Py(py) => self.convert(value, py.default_type(), at),
            Val::Node(id) => Ok(*id),
            Val::Text(_) => Err(ExprError::new(
                at,
                "text where a number should be",
                "text can only be compared",
            )),
            Val::Nothing => Err(ExprError::new(at, "None where a value should be", "")),
        }
    }

    /// The value as a node of this type; values are only ever converted to wider types.
    pub fn convert(&mut self, value: &Val, to: DType, at: usize) -> Result<Id, ExprError> {
        if let Val::Py(py) = value {
            let Some(scalar) = py.to(to) else {
                let message = match py {
                    Py::Int(v) => format!("the integer {v} is out of bounds for {to}"),
                    _ => format!("{:?} is no {to}", py.as_f64()),
                };
                let hint = "write it with a decimal point to compute in float64";
                return Err(ExprError::new(at, message, hint));
            };
            return Ok(self.push(Kind::Const(scalar), Type::scalar(to), true, at));
        }
        let id = self.strong(value, at)?;
        if self.ty(id).dtype == to { Ok(id) } else { self.elem(Op::Cast(to), vec![id], to, at) }
    }

    /// The type operands of one operation are converted to.
    pub fn common(&mut self, values: &[&Val], at: usize) -> Result<DType, ExprError> {
        let mut strong: Option<DType> = None;
        for value in values {
            if !matches!(value, Val::Py(_)) {
                let id = self.strong(value, at)?;
                let dtype = self.ty(id).dtype;
                strong = Some(strong.map_or(dtype, |s| promote(s, dtype)));
            }
        }
        let mut common = strong;
        for value in values {
            if let Val::Py(py) = value {
                common = Some(match (common, strong) {
                    (None, _) => py.default_type(),
                    (Some(common), None) => promote(common, py.default_type()),
                    (Some(common), Some(_)) => py.promote_with(common),
                });
            }
        }
        common.ok_or_else(|| ExprError::new(at, "nothing to compute", ""))
    }

    /// An elementwise operation with a result of type `result`; constants are folded.
    pub fn elem(
        &mut self,
        op: Op,
        args: Vec<Id>,
        result: DType,
        at: usize,
    ) -> Result<Id, ExprError> {
        let constants: Option<Vec<Scalar>> = args
            .iter()
            .map(|&a| if let Kind::Const(s) = self.nodes[a].kind { Some(s) } else { None })
            .collect();
        if let Some(constants) = constants {
            let of = self.elem_type(op, &args);
            let operands: Vec<Operand<'_>> = constants.into_iter().map(Operand::One).collect();
            // A u64 for its alignment.
            let mut word = 0u64;
            let bytes = &mut bytemuck::bytes_of_mut(&mut word)[..result.size()];
            kernel::apply(op, of, &operands, bytes);
            let scalar = scalar_of(result, bytes);
            return Ok(self.push(Kind::Const(scalar), Type::scalar(result), true, at));
        }
        let ty = self.broadcast(&args, result, at)?;
        let fallible = op == Op::Pow
            && crate::expr::arithmetic::promote::signed(result)
            && !matches!(self.nodes[args[1]].kind, Kind::Const(_));
        let pure = !fallible && args.iter().all(|&a| self.nodes[a].pure);
        Ok(self.push(Kind::Elem { op, args }, ty, pure, at))
    }

    fn elem_type(&self, op: Op, args: &[Id]) -> DType {
        crate::expr::check::ir::computed_in(op, args, |id| self.nodes[id].ty.dtype)
    }

    fn broadcast(&self, args: &[Id], dtype: DType, at: usize) -> Result<Type, ExprError> {
        let types = || args.iter().map(|&a| self.ty(a));
        let ranks: Option<Vec<usize>> = types().map(|t| t.rank).collect();
        let rank = ranks.and_then(|r| r.into_iter().max());
        let shapes: Option<Vec<Shape>> =
            types().map(|t| Shape::new(t.shape.as_ref()?).ok()).collect();
        let Some(shapes) = shapes else { return Ok(Type { dtype, rank, shape: None }) };
        let mut whole = Shape::SCALAR;
        for shape in shapes {
            whole = whole.broadcast(&shape).map_err(|e| failed(e, at))?;
        }
        whole.bytes(dtype).map_err(|e| failed(e, at))?;
        Ok(Type::shaped(dtype, whole.axes()))
    }

    fn prefix(&mut self, prefix: Prefix, value: &Val, at: usize) -> Result<Val, ExprError> {
        if let (Val::Py(py), Prefix::Minus | Prefix::Plus) = (value, prefix) {
            let zero_minus = |v: i128| v.checked_neg().map(Py::Int);
            let negated = match (prefix, py.as_int()) {
                (Prefix::Minus, Some(v)) => zero_minus(v),
                (Prefix::Minus, None) => Some(Py::Float(-py.as_f64())),
                (_, Some(v)) => Some(Py::Int(v)),
                (_, None) => Some(*py),
            };
            return negated.map(Val::Py).ok_or_else(|| {
                ExprError::new(at, "number too large", "write it with a decimal point")
            });
        }
        let id = self.strong(value, at)?;
        let dtype = self.ty(id).dtype;
        let refused = |what: &str, hint: &str| {
            Err(ExprError::new(at, format!("{what} of {dtype} has no meaning"), hint))
        };
        match prefix {
            Prefix::Minus if dtype == DType::Bool => refused("minus", "write not x, or ~x"),
            Prefix::Plus if dtype == DType::Bool => refused("plus", "write x + 0"),
            Prefix::Invert if dtype.is_float() => refused("~", "write -x, or not x"),
            Prefix::Plus => Ok(Val::Node(id)),
            Prefix::Minus => self.elem(Op::Neg, vec![id], dtype, at).map(Val::Node),
            Prefix::Invert => self.elem(Op::Invert, vec![id], dtype, at).map(Val::Node),
        }
    }
}

/// What fails in every event, as a mistake in the expression.
pub(in crate::expr) fn failed(failure: Failure, at: usize) -> ExprError {
    let text = failure.to_string();
    let (message, hint) = text.split_once("; ").unwrap_or((&text, ""));
    ExprError::new(at, message, hint)
}
