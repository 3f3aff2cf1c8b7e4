//! What a person reads when an expression is wrong: the column, what is wrong, what would help;
//! and what is recorded when it fails in single events.

#![allow(clippy::unwrap_used)] // helpers of tests are tests

use ami_graph::data::batch::{ArrayRef, Column, Dims};
use ami_graph::data::owned_column::{EventErrors, OwnedColumn};
use ami_graph::data::schema::Labels;
use ami_graph::data::types::Type;
use ami_graph::data::value::{DType, Scalar, Value};
use ami_graph::expr::Expr;
use ami_graph::expr::error::MAX_DEPTH;

fn inputs() -> Vec<(String, Type)> {
    [
        ("energy", Type::scalar(DType::F64)),
        ("img", Type::shaped(DType::U16, &[4, 6])),
        ("row", Type::shaped(DType::U16, &[5])),
        ("trace", Type::array(DType::F32, 1)),
        ("any_shape", Type::unknown(DType::I32)),
        ("laser", Type::scalar(DType::U8)),
        ("flag", Type::scalar(DType::Bool)),
        ("name", Type::scalar(DType::Str)),
    ]
    .map(|(n, t)| (n.to_string(), t))
    .to_vec()
}

fn error(text: &str) -> String {
    let labels: Labels = [("on".to_string(), 1), ("off".to_string(), 0)].into();
    Expr::parse(text)
        .and_then(|e| e.compile_labelled(&inputs(), &[("laser".into(), labels)]))
        .map(|p| format!("no error: {}", p.output()))
        .unwrap_err()
        .to_string()
}

const MISTAKES: &[(&str, &str)] = &[
    ("1 + sqr(energy)", "column 5: unknown function sqr; did you mean sqrt?"),
    ("enrgy * 2", "column 1: unknown name enrgy; did you mean energy?"),
    ("power(energy, 2)", "column 1: unknown function power; write x**y"),
    ("average(img)", "column 1: unknown function average; write mean(a), or sum(a * w) / sum(w)"),
    ("isna(energy)", "column 1: unknown function isna; write present(x), or isnan(x) for NaN"),
    ("1 + np.sum(img)", "column 5: names have no module here: np.sum; write sum(img)"),
    (
        "numpy.sum(img, axis=0)",
        "column 1: names have no module here: numpy.sum; write sum(img, axis=0)",
    ),
    ("math.sqrt(energy) + 1", "column 1: names have no module here: math.sqrt; write sqrt(energy)"),
    ("np.sum(np.abs(img))", "column 1: names have no module here: np.sum; write sum(abs(img))"),
    (
        "np.linalg.norm(img)",
        "column 1: names have no module here: np.linalg.norm; write sqrt(sum(a**2))",
    ),
    ("np.pi * energy", "column 1: names have no module here: np.pi; write pi"),
    (
        "np.average(img)",
        "column 1: names have no module here: np.average; write mean(a), or sum(a * w) / sum(w)",
    ),
    ("np.amax(img)", "column 1: names have no module here: np.amax; write amax(img)"),
    ("img.sum()", "column 1: values have no methods: img.sum; write sum(img)"),
    ("2 * img.sum(axis=0)", "column 5: values have no methods: img.sum; write sum(img, axis=0)"),
    ("(img + 1).max()", "column 10: values have no methods: .max; write max(…)"),
    (
        "img.astype(float)",
        "column 1: values have no methods: img.astype; types follow numpy's rules; write x + 0.0 for a float",
    ),
    (
        "roi.bounds + 1",
        "column 4: unexpected character '.'; a name has no dots here: give the input a plain name in \"in\"",
    ),
    ("sum", "column 1: unknown name sum; sum is a function: write sum(...)"),
    ("1 +", "column 4: the expression ends where a value should be"),
    ("(1 + 2", "column 7: the expression ends where ) should be"),
    (
        "energy = 3",
        "column 8: unexpected = where an operator or the end should be; write == to compare",
    ),
    ("energy && flag", "column 9: unexpected & where a value should be; write and / or"),
    (
        "gmd:raw:energy",
        "column 4: unexpected : where an operator or the end should be; give the field a \
             plain name in \"in\" and use that",
    ),
    ("energy ! 3", "column 8: unexpected character '!'; write not x, or x != y"),
    ("12abc", "column 1: 12abc is not a number; numbers look like 12, 0.5, 1e-3 or 0xff"),
    ("'abc", "column 1: text without an end; close it with '"),
    (
        "laser + 300",
        "column 7: the integer 300 is out of bounds for uint8; write it with a decimal point to compute in float64",
    ),
    ("laser == 'onn'", "column 7: unknown label \"onn\"; did you mean on?"),
    (
        "energy == 'on'",
        "column 8: text compared with a value of type float64; it is no text and has no labels",
    ),
    ("name + 'x'", "column 6: + of text has no meaning; text can be compared with == and !="),
    ("sqrt(name)", "column 1: text where a number should be; text can only be compared"),
    ("-flag", "column 1: minus of bool has no meaning; write not x, or ~x"),
    (
        "energy & 1",
        "column 8: & of float64 has no meaning; compare first: (a > 1) & (b > 1); for powers write **",
    ),
    ("img * row", "column 5: shapes [4×6] and [5] do not fit together"),
    ("img[4]", "column 4: index 4 is out of bounds for axis 0 of length 4"),
    ("img[0, 0, 0]", "column 4: 3 indices for an array of 2 axes"),
    ("trace[0, 0]", "column 6: 2 indices for an array of 1 axes"),
    ("img[::0]", "column 4: a slice cannot have step 0"),
    (
        "img[1.5]",
        "column 5: an index must be one integer, not float64; divide with // for an integer",
    ),
    (
        "img[img > 5]",
        "column 9: an index must be one integer, not bool[4×6]; to select by a condition write where(condition, a, 0)",
    ),
    ("sum(img, 2)", "column 1: axis 2 is out of bounds for an array of 2 axes"),
    (
        "max(energy, energy)",
        "column 13: this argument must be a whole number; the larger of two values is maximum(a, b), the smaller minimum(a, b)",
    ),
    (
        "percentile(img, 101)",
        "column 17: q of percentile must be a number from 0 to 100; write the number itself, not a name",
    ),
    (
        "quantile(img, energy)",
        "column 15: q of quantile must be a number from 0 to 1; write the number itself, not a name",
    ),
    (
        "nanquantile(img > 3, 0.5)",
        "column 1: a quantile of bool has no meaning; write x + 0 for numbers",
    ),
    (
        "percentile(img)",
        "column 1: percentile does not take 1 arguments; write percentile(a, q, axis)",
    ),
    ("len(energy)", "column 1: len of a scalar"),
    ("sqrt(1, 2)", "column 1: sqrt does not take 2 arguments; write sqrt(x)"),
    (
        "img > 5 and energy > 1",
        "column 9: the truth value of an array of shape [4×6] is ambiguous; use any(...) or \
             all(...), and & | for each element",
    ),
    ("energy / (1 - 1) + 1 / 0", "column 22: division by zero"),
    ("laser ** -1", "column 7: an integer to a negative integer power; write x**-1.0 for a float"),
    ("energy if", "column 10: the expression ends where a value should be"),
    ("energy if flag", "column 15: the expression ends where else should be"),
    ("", "column 1: the expression ends where a value should be"),
];

#[test]
fn mistakes_are_placed_and_explained() {
    for (text, expected) in MISTAKES {
        assert_eq!(error(text), *expected, "{text}");
    }
}

#[test]
fn depth_is_limited_and_length_is_not_depth() {
    let deep = |n: usize| format!("{}energy{}", "(".repeat(n), ")".repeat(n));
    assert!(Expr::parse(&deep(MAX_DEPTH)).is_ok());
    assert!(error(&deep(MAX_DEPTH + 1)).contains("nested deeper than 64 levels"));
    for opening in ["(", "-", "not ", "sqrt(", "energy[", "2**", "1 if 1 else "] {
        assert!(Expr::parse(&opening.repeat(5000)).is_err());
    }
    let long = vec!["energy"; 7000].join(" + ");
    let program = Expr::parse(&long).unwrap().compile(&inputs()).unwrap();
    assert_eq!(program.output(), &Type::scalar(DType::F64));
    let long = vec!["any_shape"; 4000].join(" and ");
    assert!(Expr::parse(&long).unwrap().compile(&inputs()).is_ok());
    let long = "1 <".repeat(9000) + "1";
    assert!(Expr::parse(&long).unwrap().compile(&inputs()).is_ok());
    assert!(error(&"1+".repeat(40_000)).contains("at most 65536 bytes"));
}

/// Evaluates over two events of arrays of int64.
fn run(text: &str, arrays: [&[i64]; 2]) -> (OwnedColumn, EventErrors) {
    let inputs = [
        ("a".to_string(), Type::array(DType::I64, 1)),
        ("b".to_string(), Type::scalar(DType::F64)),
    ];
    let mut program = Expr::parse(text).unwrap().compile(&inputs).unwrap();
    let item = |a: &'_ [i64]| Dims::new(&[a.len()]).unwrap();
    let items = arrays.map(|a| Some(ArrayRef { dims: item(a), data: bytemuck::cast_slice(a) }));
    let a = Column::Arrays { dtype: DType::I64, items: items.to_vec() };
    let b = Value::Scalar(Scalar::F64(2.0));
    let (mut out, mut errors) = (OwnedColumn::new(), EventErrors::default());
    program.eval(2, &[&a, &Column::Constant(&b)], &mut out, &mut errors);
    (out, errors)
}

#[test]
fn a_failing_event_is_absent_and_the_others_are_not() {
    let cases = [
        ("a[2] * b", "column 2: index 2 is out of bounds for axis 0 of length 2"),
        (
            "a[0] if a == 3 else 0",
            "column 6: the truth value of an array of shape [2] is ambiguous; use any(...) or all(...), and & | for each element",
        ),
        ("2 ** (3 - len(a))", ""),
        (
            "2 ** (len(a) - 3)",
            "column 3: integers to negative integer powers; write x**-1.0 for a float",
        ),
    ];
    for (text, message) in cases {
        let arrays: [&[i64]; 2] = match text {
            t if t.contains("if") => [&[1, 2], &[3]],
            _ => [&[1, 2], &[1, 2, 3]],
        };
        let (out, errors) = run(text, arrays);
        let Column::Scalars { present, .. } = out.view() else { panic!("{text}") };
        let expected = (!message.is_empty()).then_some(&[0u8, 1][..]);
        assert_eq!(present, expected, "{text}");
        assert_eq!(errors.last.unwrap_or_default(), message, "{text}");
        assert_eq!(errors.count, u64::from(!message.is_empty()));
    }
}

#[test]
fn broadcasting_cannot_blow_up() {
    let big: Vec<i64> = vec![1; 10_000];
    let (out, errors) = run("a[:, None] * a[None, :] * b", [&big, &[1, 2]]);
    let Column::Arrays { items, .. } = out.view() else { panic!() };
    assert!(items[0].is_none() && items[1].is_some());
    let message = errors.last.unwrap();
    assert!(message.contains("[10000×10000] is over the limit"), "{message}");
}

#[test]
fn columns_of_another_type_are_refused() {
    let mut program =
        Expr::parse("x + 1").unwrap().compile(&[("x".into(), Type::scalar(DType::F64))]).unwrap();
    let data = [1u64, 2];
    let other =
        Column::Scalars { dtype: DType::U64, data: bytemuck::cast_slice(&data), present: None };
    let (mut out, mut errors) = (OwnedColumn::new(), EventErrors::default());
    program.eval(2, &[&other], &mut out, &mut errors);
    assert!(matches!(out.view(), Column::Absent));
    assert_eq!(errors.count, 2);
    let array = ArrayRef { dims: Dims::new(&[1]).unwrap(), data: bytemuck::cast_slice(&data[..1]) };
    let short = Column::Arrays { dtype: DType::F64, items: vec![Some(array)] };
    program.eval(2, &[&short], &mut out, &mut errors);
    assert!(matches!(out.view(), Column::Absent));
    program.eval(2, &[&Column::Absent], &mut out, &mut errors);
    assert!(matches!(out.view(), Column::Absent));
    assert_eq!(errors.count, 4);
}

#[test]
fn text_and_labels() {
    let inputs = [
        ("name".to_string(), Type::scalar(DType::Str)),
        ("laser".to_string(), Type::scalar(DType::U8)),
    ];
    let labels: Labels = [("on".to_string(), 1), ("off".to_string(), 0)].into();
    let names = Column::Strings(vec![Some("on"), Some("off"), None]);
    let codes = [1u8, 1, 1, 0, 0, 0, 0, 0];
    let codes = Column::Scalars { dtype: DType::U8, data: &codes[..3], present: None };
    let eval = |text: &str| {
        let expr = Expr::parse(text).unwrap();
        let mut program =
            expr.compile_labelled(&inputs, &[("laser".into(), labels.clone())]).unwrap();
        let (mut out, mut errors) = (OwnedColumn::new(), EventErrors::default());
        program.eval(3, &[&names, &codes], &mut out, &mut errors);
        out
    };
    for text in ["name == 'on' and laser == \"on\"", "all((name == 'on') & (laser != 'off'))"] {
        let out = eval(text);
        let Column::Scalars { data, present, .. } = out.view() else { panic!("{text}") };
        assert_eq!((&data[..2], present), (&[1u8, 0][..], Some(&[1u8, 1, 0][..])), "{text}");
    }
    let out = eval("name");
    let Column::Strings(texts) = out.view() else { panic!() };
    assert_eq!(texts, [Some("on"), Some("off"), None]);
    let out = eval("laser == 'off'");
    let Column::Scalars { data, .. } = out.view() else { panic!() };
    assert_eq!(data, [0, 0, 0]);
}

#[test]
fn every_input_mentioned_must_be_there() {
    let inputs = [
        ("x".to_string(), Type::scalar(DType::F64)),
        ("a".to_string(), Type::array(DType::F64, 1)),
    ];
    let data = [1.0f64, 2.0];
    let x = Column::Scalars {
        dtype: DType::F64,
        data: bytemuck::cast_slice(&data),
        present: Some(&[0, 7]),
    };
    let item = ArrayRef { dims: Dims::new(&[1]).unwrap(), data: bytemuck::cast_slice(&data[..1]) };
    let a = Column::Arrays { dtype: DType::F64, items: vec![Some(item), None] };
    let cases = [
        ("x if True else 2", [0, 1]),
        ("2 if True else x", [0, 1]),
        ("x if True else a", [0, 0]),
        ("3 if True else a", [1, 0]),
        ("a[0] if x > 1 else 1", [0, 0]),
    ];
    for (text, expected) in cases {
        let mut program = Expr::parse(text).unwrap().compile(&inputs).unwrap();
        let (mut out, mut errors) = (OwnedColumn::new(), EventErrors::default());
        program.eval(2, &[&x, &a], &mut out, &mut errors);
        let Column::Scalars { present, .. } = out.view() else { panic!("{text}") };
        assert_eq!(present.unwrap(), expected, "{text}");
        assert_eq!(errors.count, 0, "{text}");
    }
}
