//! The functions of the language: one table, which parsing, checking and the manual read.

use crate::expr::arithmetic::operation::Op;
use crate::expr::arithmetic::reduce::Reduction;

/// What a function does, as far as checking its arguments is concerned.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(in crate::expr) enum Meaning {
    /// Element by element, result float.
    Real(Op),
    /// Element by element of two values, result float.
    Real2(Op),
    /// Element by element, integers stay as they are.
    Whole(Op),
    /// As `Whole`, with a number of decimals.
    Round,
    Abs,
    Sign,
    /// Float classification, result bool.
    Class(Op),
    /// The smaller or larger of two, element by element.
    Extremum(Op),
    Clip,
    Where,
    Reduce(Reduction),
    /// A quantile, in parts of this whole, perhaps of what is not NaN.
    Quantile {
        whole: u8,
        skip_nan: bool,
    },
    Len,
    Cumsum,
    Diff,
    Sort,
    Dot,
    /// Whether an input is there.
    Present,
    /// An input where it is there, else another value.
    Default,
}

impl Meaning {
    /// True for functions that take an axis, also as second argument where numpy does.
    pub fn takes_axis(self) -> bool {
        let reduces = matches!(self, Meaning::Reduce(_) | Meaning::Quantile { .. });
        reduces || matches!(self, Meaning::Cumsum | Meaning::Diff | Meaning::Sort)
    }
}

/// One function.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Function {
    /// As written in expressions; numpy's name.
    pub name: &'static str,
    /// How to call it.
    pub usage: &'static str,
    pub(in crate::expr) meaning: Meaning,
    /// Fewest and most arguments, the axis not counted.
    pub(in crate::expr) args: (usize, usize),
}

const fn f(name: &'static str, usage: &'static str, meaning: Meaning, args: usize) -> Function {
    Function { name, usage, meaning, args: (args, args) }
}

const fn reduce(name: &'static str, usage: &'static str, reduction: Reduction) -> Function {
    f(name, usage, Meaning::Reduce(reduction), 1)
}

const fn quantile(name: &'static str, usage: &'static str, whole: u8, skip_nan: bool) -> Function {
    f(name, usage, Meaning::Quantile { whole, skip_nan }, 2)
}

/// Every function, in the order of the manual.
pub const FUNCTIONS: &[Function] = &[
    f("abs", "abs(x)", Meaning::Abs, 1),
    f("sqrt", "sqrt(x)", Meaning::Real(Op::Sqrt), 1),
    f("exp", "exp(x)", Meaning::Real(Op::Exp), 1),
    f("log", "log(x)", Meaning::Real(Op::Log), 1),
    f("log10", "log10(x)", Meaning::Real(Op::Log10), 1),
    f("log2", "log2(x)", Meaning::Real(Op::Log2), 1),
    f("sin", "sin(x)", Meaning::Real(Op::Sin), 1),
    f("cos", "cos(x)", Meaning::Real(Op::Cos), 1),
    f("tan", "tan(x)", Meaning::Real(Op::Tan), 1),
    f("asin", "asin(x)", Meaning::Real(Op::Asin), 1),
    f("acos", "acos(x)", Meaning::Real(Op::Acos), 1),
    f("atan", "atan(x)", Meaning::Real(Op::Atan), 1),
    f("atan2", "atan2(y, x)", Meaning::Real2(Op::Atan2), 2),
    f("sinh", "sinh(x)", Meaning::Real(Op::Sinh), 1),
    f("cosh", "cosh(x)", Meaning::Real(Op::Cosh), 1),
    f("tanh", "tanh(x)", Meaning::Real(Op::Tanh), 1),
    f("hypot", "hypot(x, y)", Meaning::Real2(Op::Hypot), 2),
    f("floor", "floor(x)", Meaning::Whole(Op::Floor), 1),
    f("ceil", "ceil(x)", Meaning::Whole(Op::Ceil), 1),
    Function { args: (1, 2), ..f("round", "round(x, decimals)", Meaning::Round, 1) },
    f("sign", "sign(x)", Meaning::Sign, 1),
    f("minimum", "minimum(a, b)", Meaning::Extremum(Op::Min), 2),
    f("maximum", "maximum(a, b)", Meaning::Extremum(Op::Max), 2),
    f("clip", "clip(x, low, high)", Meaning::Clip, 3),
    f("where", "where(condition, a, b)", Meaning::Where, 3),
    f("isnan", "isnan(x)", Meaning::Class(Op::IsNan), 1),
    f("isfinite", "isfinite(x)", Meaning::Class(Op::IsFinite), 1),
    reduce("sum", "sum(a, axis)", Reduction::Sum),
    reduce("mean", "mean(a, axis)", Reduction::Mean),
    reduce("std", "std(a, axis)", Reduction::Std),
    reduce("var", "var(a, axis)", Reduction::Var),
    reduce("min", "min(a, axis)", Reduction::Min),
    reduce("max", "max(a, axis)", Reduction::Max),
    reduce("argmin", "argmin(a, axis)", Reduction::Argmin),
    reduce("argmax", "argmax(a, axis)", Reduction::Argmax),
    reduce("median", "median(a, axis)", Reduction::Median),
    reduce("any", "any(a, axis)", Reduction::Any),
    reduce("all", "all(a, axis)", Reduction::All),
    reduce("count_nonzero", "count_nonzero(a, axis)", Reduction::CountNonzero),
    reduce("nansum", "nansum(a, axis)", Reduction::Nansum),
    reduce("nanmean", "nanmean(a, axis)", Reduction::Nanmean),
    reduce("nanmin", "nanmin(a, axis)", Reduction::Nanmin),
    reduce("nanmax", "nanmax(a, axis)", Reduction::Nanmax),
    reduce("nanstd", "nanstd(a, axis)", Reduction::Nanstd),
    reduce("nanvar", "nanvar(a, axis)", Reduction::Nanvar),
    reduce("nanmedian", "nanmedian(a, axis)", Reduction::Nanmedian),
    quantile("quantile", "quantile(a, q, axis)", 1, false),
    quantile("percentile", "percentile(a, q, axis)", 100, false),
    quantile("nanquantile", "nanquantile(a, q, axis)", 1, true),
    quantile("nanpercentile", "nanpercentile(a, q, axis)", 100, true),
    f("len", "len(a)", Meaning::Len, 1),
    f("cumsum", "cumsum(a, axis)", Meaning::Cumsum, 1),
    f("diff", "diff(a, axis=-1)", Meaning::Diff, 1),
    f("sort", "sort(a, axis)", Meaning::Sort, 1),
    f("dot", "dot(a, b)", Meaning::Dot, 2),
    f("present", "present(x)", Meaning::Present, 1),
    f("default", "default(x, y)", Meaning::Default, 2),
];

/// numpy's other names for the same, which its users will write.
const ALIASES: &[(&str, &str)] = &[
    ("absolute", "abs"),
    ("arcsin", "asin"),
    ("arccos", "acos"),
    ("arctan", "atan"),
    ("arctan2", "atan2"),
    ("amin", "min"),
    ("amax", "max"),
];

/// The function of this name.
pub(in crate::expr) fn find(name: &str) -> Option<&'static Function> {
    let name = ALIASES.iter().find(|(alias, _)| *alias == name).map_or(name, |(_, name)| name);
    FUNCTIONS.iter().find(|f| f.name == name)
}

/// "did you mean …" for the known name closest to `name`, empty when none is close.
pub(in crate::expr) fn nearest<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> String {
    let lower = name.to_lowercase();
    known
        .map(|k| (strsim::damerau_levenshtein(&lower, &k.to_lowercase()), k))
        .min()
        .filter(|(distance, k)| *distance <= k.len().max(name.len()).div_ceil(3))
        .map(|(_, k)| format!("did you mean {k}?"))
        .unwrap_or_default()
}
