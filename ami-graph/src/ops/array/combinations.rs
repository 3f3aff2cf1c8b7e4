//! `combinations`: all pairs, triples … of the elements of a list.

use crate::data::types::Type;
use crate::data::value::DType;
use crate::error::Fault;
use crate::op::checks::numbers_only;
use crate::op::doc::{Class, Form, InputDoc, OpDoc, OutputDoc, ParamDoc};
use crate::op::event_by_event::{Each, Item, Out, each};
use crate::op::kind::{OpKind, Prepared};
use crate::op::parameters::Args;
use crate::op::per_event::{Kernel, PerEvent};

/// Most elements of an output.
const MOST: usize = 1 << 24;

static DOC: OpDoc = OpDoc {
    name: "combinations",
    summary: "all pairs, triples … of the elements of a list",
    text: "itertools.combinations(a, length): one row per choice of `length` elements, in the \
           order of the list; a list of n gives n! / (length! (n - length)!) rows. `index` holds \
           the places of the elements instead of the elements. At most 2^24 elements: a longer \
           list is an error. For coincidences of hits, take the rows apart by `split` or \
           `take` along axis 1.",
    example: r#"{"op": "combinations", "in": "waveform", "length": 2}"#,
    class: Class::PerEvent,
    form: Form::Fixed(&[InputDoc { name: "list", doc: "1-d", required: true }]),
    with: false,
    params: &[ParamDoc {
        name: "length",
        kind: "integer",
        default: "2",
        unit: "",
        range: "1 to 8",
        doc: "elements in a row",
    }],
    outputs: &[
        OutputDoc { name: "value", doc: "[rows, length] of the input's element type" },
        OutputDoc { name: "index", doc: "int64 [rows, length]: places in the list" },
    ],
};

/// The op.
pub struct Combinations;

impl OpKind for Combinations {
    fn doc(&self) -> &'static OpDoc {
        &DOC
    }

    fn prepare(&self, args: &Args<'_>) -> Result<Prepared, Fault> {
        let length = args.whole("length", Some(2), 1..=8)? as usize;
        Ok(Prepared::per_event_with(&["value", "index"], Choice { length }))
    }
}

#[derive(Debug, Clone, Copy)]
struct Choice {
    length: usize,
}

impl Choice {
    /// Number of rows for a list of `n`, unless there are too many.
    fn rows(&self, n: usize) -> Result<usize, String> {
        let too_many = || {
            let length = self.length;
            format!("a list of {n} has too many choices of {length}: more than {MOST} elements")
        };
        let mut rows = 1usize;
        for k in 0..self.length {
            // Exact at every step: a product of k + 1 consecutive numbers is divisible.
            let product = rows.checked_mul(n.saturating_sub(k)).ok_or_else(too_many)?;
            rows = product / (k + 1);
        }
        Some(rows).filter(|rows| rows.saturating_mul(self.length) <= MOST).ok_or_else(too_many)
    }
}

impl PerEvent for Choice {
    fn bind(&self, inputs: &[Type]) -> Result<(Vec<Type>, Box<dyn Kernel>), Fault> {
        numbers_only(inputs, &["list"])?;
        let input = &inputs[0];
        if input.rank.is_some_and(|rank| rank != 1) {
            let reason = format!("the input is {input}, not an array of 1 axis");
            return Err(Fault::of("in", reason, "name a list"));
        }
        let types = |dtype| match input.shape.as_deref() {
            Some(&[n]) => self.rows(n).map(|rows| Type::shaped(dtype, &[rows, self.length])),
            _ => Ok(Type::array(dtype, 2)),
        };
        let types = [types(input.dtype), types(DType::I64)];
        let types = types.into_iter().collect::<Result<Vec<_>, _>>().map_err(|reason| {
            Fault::of("length", reason, "give a lower one, or take a part of the list by `roi`")
        })?;
        Ok(each(types, Choosing { choice: *self, row: Vec::new() }))
    }
}

struct Choosing {
    choice: Choice,
    /// Places of the row at hand.
    row: Vec<usize>,
}

impl Each for Choosing {
    fn event(&mut self, inputs: &[Item<'_>], out: &mut Out<'_, '_>) -> Result<(), String> {
        let [item] = inputs else { return Ok(()) };
        let &[n] = item.shape() else {
            return Err(format!("the input has {} axes, not 1", item.shape().len()));
        };
        let length = self.choice.length;
        let shape = [self.choice.rows(n)?, length];
        let size = item.dtype.size();
        self.row.clear();
        self.row.extend(0..length);
        out.bytes(0, &shape, |to| {
            for row in to.chunks_exact_mut(length * size) {
                for (to, &at) in row.chunks_exact_mut(size).zip(&self.row) {
                    to.copy_from_slice(&item.data[at * size..(at + 1) * size]);
                }
                next(&mut self.row, n);
            }
        });
        self.row.clear();
        self.row.extend(0..length);
        out.array::<i64>(1, &shape, |to| {
            for row in to.chunks_exact_mut(length) {
                row.iter_mut().zip(&self.row).for_each(|(to, &at)| *to = at as i64);
                next(&mut self.row, n);
            }
        });
        Ok(())
    }
}

/// The row after this one: the last place that can still move does, those behind it follow.
fn next(row: &mut [usize], n: usize) {
    let length = row.len();
    let Some(moves) = (0..length).rev().find(|&k| row[k] + length - k < n) else { return };
    row[moves] += 1;
    for k in moves + 1..length {
        row[k] = row[k - 1] + 1;
    }
}
