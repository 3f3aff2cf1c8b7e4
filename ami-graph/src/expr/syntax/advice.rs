//! What to write instead of a function that is not there: numpy's other names for the same, or the
//! nearest name.

use crate::expr::syntax::functions::{FUNCTIONS, nearest};

/// Names, and what to write.
const ADVICE: &[(&[&str], &str)] = &[
    (&["pow", "power", "float_power"], "write x**y"),
    (
        &["int", "float", "astype", "float32", "float64"],
        "types follow numpy's rules; write x + 0.0 for a float",
    ),
    (&["square"], "write x**2"),
    (&["cbrt"], "write sign(x) * abs(x)**(1/3)"),
    (&["average"], "write mean(a), or sum(a * w) / sum(w)"),
    (&["norm"], "write sqrt(sum(a**2))"),
    (&["ptp"], "write max(a) - min(a)"),
    (&["ln"], "write log(x)"),
    (&["log1p"], "write log(1 + x)"),
    (&["expm1"], "write exp(x) - 1"),
    (&["exp2"], "write 2.0**x"),
    (&["fabs", "magnitude"], "write abs(x)"),
    (&["rint", "around", "round_"], "write round(x)"),
    (&["trunc", "fix"], "write sign(x) * floor(abs(x))"),
    (&["fmin"], "write minimum(a, b)"),
    (&["fmax"], "write maximum(a, b)"),
    (&["isinf"], "write not isfinite(x), or where(...)"),
    (&["nan_to_num"], "write where(isfinite(x), x, 0)"),
    (&["add", "plus"], "write a + b"),
    (&["subtract", "minus"], "write a - b"),
    (&["multiply", "times"], "write a * b"),
    (&["divide", "true_divide"], "write a / b"),
    (&["floor_divide"], "write a // b"),
    (&["mod", "fmod", "remainder"], "write x % y"),
    (&["negative"], "write -x"),
    (&["equal"], "write a == b"),
    (&["not_equal"], "write a != b"),
    (&["greater"], "write a > b"),
    (&["greater_equal"], "write a >= b"),
    (&["less"], "write a < b"),
    (&["less_equal"], "write a <= b"),
    (&["logical_and", "bitwise_and"], "write a & b, or a and b for single values"),
    (&["logical_or", "bitwise_or"], "write a | b, or a or b for single values"),
    (&["logical_xor", "bitwise_xor"], "write a ^ b"),
    (&["logical_not", "invert", "bitwise_not"], "write not x, or ~x for each element"),
    (&["matmul", "inner", "vdot"], "write dot(a, b)"),
    (&["degrees", "rad2deg"], "write x * 180 / pi"),
    (&["radians", "deg2rad"], "write x * pi / 180"),
    (&["coalesce", "fillna", "ifnull"], "write default(x, y)"),
    (&["exists", "isnull", "notnull", "isna"], "write present(x), or isnan(x) for NaN"),
    (
        &["histogram", "reshape", "roll", "convolve", "interp", "fft"],
        "that is no function; `ami-ctl ops` lists the operations",
    ),
    (
        &["array", "zeros", "ones", "full", "arange", "linspace"],
        "arrays are written in a `const` node",
    ),
];

/// What to write instead of a function of this name, where anything comes to mind.
pub(in crate::expr) fn instead(name: &str) -> String {
    advice(name).map_or_else(|| nearest(name, FUNCTIONS.iter().map(|f| f.name)), str::to_string)
}

/// Other spellings worth an answer better than the nearest name.
pub(super) fn advice(name: &str) -> Option<&'static str> {
    ADVICE.iter().find(|(names, _)| names.contains(&name)).map(|(_, text)| *text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::expr::Expr;
    use crate::expr::syntax::functions::find;

    #[test]
    fn advice_is_of_what_is_not_there_and_is_itself_accepted() {
        for (names, text) in ADVICE {
            assert!(names.iter().all(|name| find(name).is_none()), "{names:?}");
            let written = text.strip_prefix("write ").and_then(|t| t.split(", or").next());
            if let Some(written) = written {
                assert!(Expr::parse(written).is_ok(), "{written}");
            }
        }
    }
}
