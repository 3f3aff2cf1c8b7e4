//! Laws of expressions: no text makes the parser or the checker panic, and how events are cut
//! into batches changes nothing.

#![allow(clippy::unwrap_used)] // helpers of tests are tests

use ami_graph::data::batch::{ArrayRef, Column, Dims};
use ami_graph::data::owned_column::{EventErrors, OwnedColumn};
use ami_graph::data::types::Type;
use ami_graph::data::value::DType;
use ami_graph::expr::{Expr, FUNCTIONS};
use proptest::prelude::*;

/// One event: x, k and a trace; each may be absent.
type Event = (Option<f64>, Option<i64>, Option<Vec<f64>>);

fn types() -> Vec<(String, Type)> {
    vec![
        ("x".into(), Type::scalar(DType::F64)),
        ("k".into(), Type::scalar(DType::I64)),
        ("a".into(), Type::array(DType::F64, 1)),
    ]
}

fn bits<T>(values: Vec<T>, to: fn(T) -> u64) -> Vec<u64> {
    values.into_iter().map(to).collect()
}

/// Per event the bytes of the result, and the number of failures.
fn evaluate(
    program: &mut ami_graph::expr::Program,
    events: &[Event],
) -> (Vec<Option<Vec<u8>>>, u64) {
    let x = bits(events.iter().map(|e| e.0.unwrap_or(9.0)).collect(), f64::to_bits);
    let k = bits(events.iter().map(|e| e.1.unwrap_or(9)).collect(), |v: i64| v as u64);
    let x_present: Vec<u8> = events.iter().map(|e| e.0.is_some().into()).collect();
    let k_present: Vec<u8> = events.iter().map(|e| e.1.is_some().into()).collect();
    let item = |a: &'_ Vec<f64>| Dims::new(&[a.len()]).unwrap();
    let items = events
        .iter()
        .map(|e| e.2.as_ref().map(|a| ArrayRef { dims: item(a), data: bytemuck::cast_slice(a) }));
    let scalars = |dtype, data, present| Column::Scalars { dtype, data, present: Some(present) };
    let columns = [
        scalars(DType::F64, bytemuck::cast_slice(&x), &x_present[..]),
        scalars(DType::I64, bytemuck::cast_slice(&k), &k_present[..]),
        Column::Arrays { dtype: DType::F64, items: items.collect() },
    ];
    let (mut out, mut errors) = (OwnedColumn::new(), EventErrors::default());
    program.eval(events.len(), &columns.each_ref(), &mut out, &mut errors);
    (results(&out, events.len()), errors.count)
}

fn results(out: &OwnedColumn, events: usize) -> Vec<Option<Vec<u8>>> {
    match out.view() {
        Column::Scalars { dtype, data, present } => (0..events)
            .map(|i| {
                let there = present.is_none_or(|p| p[i] != 0);
                there.then(|| data[i * dtype.size()..][..dtype.size()].to_vec())
            })
            .collect(),
        Column::Arrays { items, .. } => items
            .iter()
            .map(|item| {
                let item = item.as_ref()?;
                let axes = item.dims.axes().iter().flat_map(|d| d.to_le_bytes());
                Some(axes.chain(item.data.iter().copied()).collect())
            })
            .collect(),
        Column::Constant(value) => vec![Some(format!("{value:?}").into_bytes()); events],
        _ => vec![None; events],
    }
}

const TEXTS: &[&str] = &[
    "x * 2 + sqrt(k)",
    "x if k > 0 else -x",
    "k ** 2 + k ** k",
    "0 < x < k and x > 0.5",
    "sum(a) / x",
    "a[k]",
    "a[k:] * x",
    "a[::-1] + a",
    "max(a) if k > 2 else x",
    "a and 1",
    "where(a > x, a, k)",
    "median(a[:k])",
    "sort(a)[0] == x or k",
    "len(a) + k // 2 % 3",
    "cumsum(a) - dot(a, a)",
    "2.5",
    "default(x, 1.5) + present(k)",
    "default(x, default(k, 2)) > present(a)",
    "sum(default(a, cumsum(k))) + default(x, 0)",
    "default(a, a) if present(x) else k",
];

/// Pieces that make texts likelier to get past the parser.
fn piece() -> impl Strategy<Value = String> {
    let words =
        ["x", "k", "a", "1", "0", "2.5", "-1", "+", "-", "*", "/", "//", "%", "**", "<", "=="]
            .into_iter()
            .chain(["!=", "&", "|", "~", "(", ")", "[", "]", ",", ":", "...", "None", "and", "or"])
            .chain([
                "not",
                "if",
                "else",
                "True",
                "pi",
                "'t'",
                "axis=",
                "1e400",
                "99999999999999999999",
            ])
            .chain(FUNCTIONS.iter().map(|f| f.name))
            .map(String::from)
            .collect::<Vec<_>>();
    prop_oneof![
        6 => proptest::sample::select(words),
        1 => proptest::sample::select(TEXTS).prop_map(String::from),
    ]
}

/// Well-formed expressions, most of which compile.
fn nested() -> impl Strategy<Value = String> {
    let leaves = ["x", "k", "a", "2", "0", "-1", "1.5", "True", "x > 0", "a[:2]", "a[k]"];
    let leaf = proptest::sample::select(leaves.to_vec()).prop_map(String::from);
    let operators = ["+", "-", "*", "/", "//", "%", "**", "<", "!=", "&", "and", "or"];
    leaf.prop_recursive(4, 24, 3, move |inner| {
        let operator = proptest::sample::select(operators.to_vec());
        let function = proptest::sample::select(FUNCTIONS);
        prop_oneof![
            3 => (inner.clone(), operator, inner.clone())
                .prop_map(|(a, o, b)| format!("({a} {o} {b})")),
            3 => (function, inner.clone(), inner.clone(), inner.clone()).prop_map(
                |(f, a, b, c)| match f.usage.matches(',').count() {
                    2 => format!("{}({a}, {b}, {c})", f.name),
                    1 if !f.usage.contains("axis") && f.name != "round" => {
                        format!("{}({a}, {b})", f.name)
                    }
                    _ => format!("{}({a})", f.name),
                }
            ),
            1 => (inner.clone(), inner.clone(), inner.clone())
                .prop_map(|(a, b, c)| format!("({a} if {b} else {c})")),
            1 => (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("({a})[{b}:]")),
            1 => inner.clone().prop_map(|a| format!("(not {a})")),
            1 => (inner.clone(), inner).prop_map(|(a, b)| format!("(0 < {a} < {b})")),
        ]
    })
}

fn event() -> impl Strategy<Value = Event> {
    let number = || prop_oneof![8 => -5.0..5.0, 1 => Just(f64::NAN), 1 => Just(0.0)];
    let trace = proptest::collection::vec(number(), 0..5);
    (
        proptest::option::weighted(0.9, number()),
        proptest::option::weighted(0.9, -3i64..6),
        proptest::option::weighted(0.9, trace),
    )
}

/// As a compiled expression that does not exist changes nothing, only those that do are run.
fn run_whole_and_split(text: &str, events: &[Event], cut: usize) -> Result<(), TestCaseError> {
    let Ok(mut program) = Expr::parse(text).and_then(|e| e.compile(&types())) else {
        return Ok(());
    };
    let cut = cut.min(events.len());
    let whole = evaluate(&mut program, events);
    let mut first = evaluate(&mut program, &events[..cut]);
    let second = evaluate(&mut program, &events[cut..]);
    first.0.extend(second.0);
    prop_assert_eq!(&whole.0, &first.0, "{}", text);
    prop_assert_eq!(whole.1, first.1 + second.1, "{}", text);
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2048, failure_persistence: None, ..Default::default() })]

    #[test]
    fn any_text_parses_or_is_refused(text in "\\PC{0,80}") {
        let _ = Expr::parse(&text).and_then(|e| e.compile(&types()));
    }

    #[test]
    fn any_pieces_compile_or_are_refused(
        pieces in proptest::collection::vec(piece(), 1..14),
        events in proptest::collection::vec(event(), 0..6),
        cut in 0usize..6,
    ) {
        run_whole_and_split(&pieces.join(" "), &events, cut)?;
    }

    #[test]
    fn splitting_a_batch_changes_nothing(
        text in proptest::sample::select(TEXTS),
        events in proptest::collection::vec(event(), 0..40),
        cut in 0usize..40,
    ) {
        run_whole_and_split(text, &events, cut)?;
    }

    #[test]
    fn nested_expressions_do_not_panic(
        text in nested(),
        events in proptest::collection::vec(event(), 1..4),
    ) {
        run_whole_and_split(&text, &events, 1)?;
    }
}
