//! Checking of function calls and indices.

use crate::data::types::Type;
use crate::data::value::{DType, Scalar};
use crate::expr::arithmetic::index;
use crate::expr::arithmetic::index::Item;
use crate::expr::arithmetic::operation::Op;
use crate::expr::arithmetic::promote::{Py, float_of, promote, sum_type};
use crate::expr::arithmetic::reduce::Reduction;
use crate::expr::arithmetic::shape::{Failure, Shape};
use crate::expr::check::ir::{Id, Kind};
use crate::expr::check::{Checker, Val, failed};
use crate::expr::error::ExprError;
use crate::expr::syntax::ast;
use crate::expr::syntax::functions::{Function, Meaning};

impl Checker<'_> {
    /// `function(args, axis)`.
    pub fn call(
        &mut self,
        function: &'static Function,
        args: &[ast::Id],
        axis: Option<ast::Id>,
        at: usize,
    ) -> Result<Val, ExprError> {
        let axis = axis.map_or(Ok(None), |id| self.axis_argument(id))?;
        let values: Vec<Val> = args.iter().map(|&id| self.value(id)).collect();
        let id = match (function.meaning, &values[..]) {
            (Meaning::Real(op), [a]) => self.real(op, &[a], at)?,
            (Meaning::Real2(op), [a, b]) => self.real(op, &[a, b], at)?,
            (Meaning::Extremum(op), [a, b]) => {
                let of = self.common(&[a, b], at)?;
                let args = vec![self.convert(a, of, at)?, self.convert(b, of, at)?];
                self.elem(op, args, of, at)?
            }
            (Meaning::Round, [a, decimals]) => {
                let decimals = self.small_int(decimals, self.at_of(args[1]))?;
                self.round(a, decimals, at)?
            }
            (Meaning::Clip, [a, low, high]) => self.clip([a, low, high], at)?,
            (Meaning::Where, [c, a, b]) => self.choose([c, a, b], at)?,
            (Meaning::Dot, [a, b]) => self.dot(a, b, at)?,
            (Meaning::Quantile { whole, skip_nan }, [a, q]) => {
                let q = self.fraction(function, q, f64::from(whole), self.at_of(args[1]))?;
                let a = self.strong(a, at)?;
                self.reduce(Reduction::Quantile { q, skip_nan }, a, axis, at)?
            }
            (Meaning::Present, [x]) => self.present(x, at)?,
            (Meaning::Default, [x, y]) => self.default_to(x, y, at)?,
            (meaning, [a, ..]) => {
                let a = self.strong(a, at)?;
                self.of_one(function, meaning, a, axis, at)?
            }
            (_, []) => return Err(ExprError::new(at, "no argument", function.usage)),
        };
        Ok(Val::Node(id))
    }

    fn of_one(
        &mut self,
        function: &Function,
        meaning: Meaning,
        a: Id,
        axis: Option<i64>,
        at: usize,
    ) -> Result<Id, ExprError> {
        let dtype = self.ty(a).dtype;
        match meaning {
            Meaning::Abs if dtype == DType::Bool => Ok(a),
            Meaning::Abs => self.elem(Op::Abs, vec![a], dtype, at),
            Meaning::Sign if dtype == DType::Bool => {
                Err(ExprError::new(at, "sign of bool has no meaning", "write sign(x + 0)"))
            }
            Meaning::Sign => self.elem(Op::Sign, vec![a], dtype, at),
            Meaning::Whole(op) if dtype.is_float() => self.elem(op, vec![a], dtype, at),
            Meaning::Whole(_) => Ok(a),
            Meaning::Round => self.round(&Val::Node(a), 0, at),
            Meaning::Class(op) => self.elem(op, vec![a], DType::Bool, at),
            Meaning::Reduce(reduction) => self.reduce(reduction, a, axis, at),
            _ => self.along(function, meaning, a, axis, at),
        }
    }

    /// Functions computed in float; one argument or two.
    fn real(&mut self, op: Op, values: &[&Val], at: usize) -> Result<Id, ExprError> {
        let common = self.common(values, at)?;
        let mut of = DType::F32;
        for value in values {
            let own = match value {
                Val::Py(_) => common,
                value => {
                    let id = self.strong(value, at)?;
                    self.ty(id).dtype
                }
            };
            of = promote(of, float_of(own));
        }
        let args = values.iter().map(|v| self.convert(v, of, at)).collect::<Result<_, _>>()?;
        self.elem(op, args, of, at)
    }

    fn round(&mut self, value: &Val, decimals: i64, at: usize) -> Result<Id, ExprError> {
        let id = self.strong(value, at)?;
        let dtype = self.ty(id).dtype;
        if dtype == DType::Bool {
            // float16 in numpy.
            return self.elem(Op::Cast(DType::F32), vec![id], DType::F32, at);
        }
        if !dtype.is_float() {
            return if decimals >= 0 {
                Ok(id)
            } else {
                let hint = "add 0.0 to round in float64";
                Err(ExprError::new(at, "negative decimals of an integer", hint))
            };
        }
        if decimals == 0 {
            return self.elem(Op::Round, vec![id], dtype, at);
        }
        let factor = Val::Py(Py::Float(10f64.powi(decimals.unsigned_abs().min(400) as i32)));
        let (up, down) = if decimals > 0 { (Op::Mul, Op::Div) } else { (Op::Div, Op::Mul) };
        let factor = self.convert(&factor, dtype, at)?;
        let scaled = self.elem(up, vec![id, factor], dtype, at)?;
        let rounded = self.elem(Op::Round, vec![scaled], dtype, at)?;
        self.elem(down, vec![rounded, factor], dtype, at)
    }

    fn clip(&mut self, [a, low, high]: [&Val; 3], at: usize) -> Result<Id, ExprError> {
        // The value clipped is never a weak literal, as in numpy.
        let a = Val::Node(self.strong(a, at)?);
        let of = self.common(&[&a, low, high], at)?;
        let (a, low) = (self.convert(&a, of, at)?, self.convert(low, of, at)?);
        let high = self.convert(high, of, at)?;
        let raised = self.elem(Op::Max, vec![a, low], of, at)?;
        self.elem(Op::Min, vec![raised, high], of, at)
    }

    fn choose(&mut self, [c, a, b]: [&Val; 3], at: usize) -> Result<Id, ExprError> {
        let c = self.strong(c, at)?;
        let c = if self.ty(c).dtype == DType::Bool {
            c
        } else {
            self.elem(Op::Truth, vec![c], DType::Bool, at)?
        };
        let of = self.common(&[a, b], at)?;
        let args = vec![c, self.convert(a, of, at)?, self.convert(b, of, at)?];
        self.elem(Op::Select, args, of, at)
    }

    fn dot(&mut self, a: &Val, b: &Val, at: usize) -> Result<Id, ExprError> {
        let (a, b) = (Val::Node(self.strong(a, at)?), Val::Node(self.strong(b, at)?));
        let of = self.common(&[&a, &b], at)?;
        let (a, b) = (self.convert(&a, of, at)?, self.convert(&b, of, at)?);
        let (left, right) = (self.ty(a).clone(), self.ty(b).clone());
        let rank = match (left.rank, right.rank) {
            (Some(0), r) | (r, Some(0)) => r,
            (Some(a), Some(b)) => Some(a - 1 + b - b.min(2) + usize::from(b > 1)),
            _ => None,
        };
        let shape = match (left.shape, right.shape) {
            (Some(a), Some(b)) => {
                let product = Shape::new(&a)
                    .and_then(|a| crate::expr::arithmetic::array::Product::of(&a, &Shape::new(&b)?))
                    .map_err(|e| failed(e, at))?;
                Some(product.shape.axes().to_vec())
            }
            _ => None,
        };
        Ok(self.push(Kind::Dot(a, b), Type { dtype: of, rank, shape }, false, at))
    }

    fn reduce(
        &mut self,
        reduction: Reduction,
        arg: Id,
        axis: Option<i64>,
        at: usize,
    ) -> Result<Id, ExprError> {
        let ty = self.ty(arg).clone();
        if let (Reduction::Quantile { .. }, DType::Bool) = (reduction, ty.dtype) {
            let hint = "write x + 0 for numbers";
            return Err(ExprError::new(at, "a quantile of bool has no meaning", hint));
        }
        let dtype = reduction.result(ty.dtype);
        let result = match axis {
            None => Type::scalar(dtype),
            Some(axis) => {
                let index = self.axis_of(&ty, axis, at)?;
                let shape = ty.shape.zip(index).map(|(mut shape, index)| {
                    shape.remove(index);
                    shape
                });
                Type { dtype, rank: ty.rank.map(|r| r - 1), shape }
            }
        };
        Ok(self.push(Kind::Reduce { reduction, arg, axis }, result, false, at))
    }

    /// Functions along an axis that stays.
    fn along(
        &mut self,
        function: &Function,
        meaning: Meaning,
        arg: Id,
        axis: Option<i64>,
        at: usize,
    ) -> Result<Id, ExprError> {
        let mut ty = self.ty(arg).clone();
        if ty.is_scalar() && meaning != Meaning::Cumsum {
            return Err(failed(Failure::NeedsAxis(function.name), at));
        }
        let kind = match meaning {
            Meaning::Len => {
                ty = Type::scalar(DType::I64);
                Kind::Len(arg)
            }
            Meaning::Cumsum => {
                ty.dtype = sum_type(ty.dtype);
                match axis {
                    Some(axis) => _ = self.axis_of(&ty, axis, at)?,
                    None => {
                        ty.rank = Some(1);
                        ty.shape = ty.shape.map(|s| vec![s.iter().product()]);
                    }
                }
                Kind::Cumsum(arg, axis)
            }
            _ => {
                let axis = axis.unwrap_or(-1);
                let index = self.axis_of(&ty, axis, at)?;
                if meaning == Meaning::Diff {
                    if let (Some(shape), Some(index)) = (&mut ty.shape, index) {
                        shape[index] = shape[index].saturating_sub(1);
                    }
                    Kind::Diff(arg, axis)
                } else {
                    Kind::Sort(arg, axis)
                }
            }
        };
        Ok(self.push(kind, ty, false, at))
    }

    /// The axis counted from the front, if the rank is known; refuses what is out of bounds.
    fn axis_of(&self, ty: &Type, axis: i64, at: usize) -> Result<Option<usize>, ExprError> {
        let Some(rank) = ty.rank else { return Ok(None) };
        Shape::new(&vec![1; rank])
            .and_then(|shape| shape.axis(axis))
            .map(Some)
            .map_err(|e| failed(e, at))
    }

    fn axis_argument(&self, id: ast::Id) -> Result<Option<i64>, ExprError> {
        match self.value(id) {
            Val::Nothing => Ok(None),
            value => self.small_int(&value, self.at_of(id)).map(Some),
        }
    }

    /// The place of a quantile, from 0 to 1, written in parts of a whole.
    fn fraction(
        &self,
        function: &Function,
        q: &Val,
        whole: f64,
        at: usize,
    ) -> Result<f64, ExprError> {
        let q = if let Val::Py(q) = q { Some(q.as_f64()) } else { None };
        q.filter(|q| (0.0..=whole).contains(q)).map(|q| q / whole).ok_or_else(|| {
            let message = format!("q of {} must be a number from 0 to {whole}", function.name);
            ExprError::new(at, message, "write the number itself, not a name")
        })
    }

    fn small_int(&self, value: &Val, at: usize) -> Result<i64, ExprError> {
        if let Val::Py(Py::Int(v)) = value
            && let Ok(v) = i64::try_from(*v)
        {
            return Ok(v);
        }
        let message = "this argument must be a whole number";
        let hint = "the larger of two values is maximum(a, b), the smaller minimum(a, b)";
        Err(ExprError::new(at, message, hint))
    }

    /// `base[items]`.
    pub fn index(
        &mut self,
        base: ast::Id,
        items: &[Item<ast::Id>],
        at: usize,
    ) -> Result<Val, ExprError> {
        let arg = match self.value(base) {
            Val::Text(_) => return Err(ExprError::new(at, "text has no elements", "")),
            value => self.strong(&value, at)?,
        };
        if items.iter().filter(|i| matches!(i, Item::Ellipsis)).count() > 1 {
            return Err(ExprError::new(at, "more than one ... in an index", "keep one"));
        }
        let mut checked = Vec::with_capacity(items.len());
        for item in items {
            let mut bound = |id: &Option<ast::Id>| match id.map(|id| (id, self.value(id))) {
                None | Some((_, Val::Nothing)) => Ok(None),
                Some((id, _)) => self.index_part(id).map(Some),
            };
            checked.push(match item {
                Item::At(id) => Item::At(self.index_part(*id)?),
                Item::Slice(a, b, c) => Item::Slice(bound(a)?, bound(b)?, bound(c)?),
                Item::Ellipsis => Item::Ellipsis,
                Item::NewAxis => Item::NewAxis,
            });
        }
        let ty = self.index_type(arg, &checked, at)?;
        Ok(Val::Node(self.push(Kind::Index(arg, checked), ty, false, at)))
    }

    fn index_part(&mut self, id: ast::Id) -> Result<Id, ExprError> {
        let at = self.at_of(id);
        let value = self.value(id);
        let part = match value {
            Val::Py(Py::Int(v)) => {
                // Beyond i64 is beyond every axis; slices clamp.
                let v = v.clamp(i128::from(i64::MIN), i128::from(i64::MAX)) as i64;
                self.push(Kind::Const(Scalar::I64(v)), Type::scalar(DType::I64), true, at)
            }
            value => self.strong(&value, at)?,
        };
        let ty = self.ty(part);
        if ty.is_scalar() && ty.dtype.is_integer() {
            return Ok(part);
        }
        if ty.rank.is_none() && ty.dtype.is_integer() {
            return Ok(part);
        }
        let message = format!("an index must be one integer, not {ty}");
        let hint = match (ty.dtype, ty.is_scalar()) {
            (DType::Bool, _) => "to select by a condition write where(condition, a, 0)",
            (_, true) => "divide with // for an integer",
            _ => "index arrays are not supported; write one index per axis",
        };
        Err(ExprError::new(at, message, hint))
    }

    fn index_type(&self, arg: Id, items: &[Item<Id>], at: usize) -> Result<Type, ExprError> {
        let ty = self.ty(arg);
        let dtype = ty.dtype;
        let Some(rank) = ty.rank else { return Ok(Type::unknown(dtype)) };
        let known = ty.shape.as_ref().and_then(|s| Shape::new(s).ok());
        let constant = |id: &Id| match self.nodes[*id].kind {
            Kind::Const(Scalar::I64(v)) => Some(v),
            _ => None,
        };
        let all_constant = items.iter().all(|item| match item {
            Item::At(id) => constant(id).is_some(),
            Item::Slice(a, b, c) => [a, b, c].into_iter().flatten().all(|i| constant(i).is_some()),
            _ => true,
        });
        if let (Some(shape), true) = (known, all_constant) {
            let part = |id: Id| Ok(constant(&id).unwrap_or(0));
            let selection = index::resolve(&shape, items, part).map_err(|e| failed(e, at))?;
            return Ok(Type::shaped(dtype, selection.shape.axes()));
        }
        let count = |f: fn(&Item<Id>) -> bool| items.iter().filter(|i| f(i)).count();
        let ats = count(|i| matches!(i, Item::At(_)));
        let given = ats + count(|i| matches!(i, Item::Slice(..)));
        if given > rank {
            return Err(failed(Failure::TooManyIndices { given, rank }, at));
        }
        let rank = rank - ats + count(|i| matches!(i, Item::NewAxis));
        Ok(Type::array(dtype, rank))
    }
}
