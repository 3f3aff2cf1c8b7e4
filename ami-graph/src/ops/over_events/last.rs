//! `last`, `buffer` and `sample`: values of some events, in event order, tuples kept together.

use crate::data::bytes::{Reader, Writer};
use crate::data::feed::Feed;
use crate::data::types::Type;
use crate::data::value::{DType, MAX_RANK};
use crate::error::{DecodeError, Fault};
use crate::merge::newest_rows::{Choice, MAX_ROWS, Rows};
use crate::op::doc::{Class, Form, OpDoc, OutputDoc, ParamDoc};
use crate::op::kind::{OpKind, Prepared};
use crate::op::parameters::Args;
use crate::op::reduction::{Outputs, Reduction, State, same};
use crate::op::signature::Sense;
use crate::op::signature::Signature;

static LAST_DOC: OpDoc = OpDoc {
    name: "last",
    summary: "the newest n values by event time",
    text: "Newest by (timestamp, host, sequence number), from events in which all inputs are \
           present. n = 1 gives the value itself; n > 1 stacks up to n of them on a new first \
           axis, oldest first. Outputs are named as the inputs: `value` for one, `value0`, \
           `value1` … for a list, the keys of a map. n = 1 takes any shape, even varying, and \
           text; for n > 1 the kept items must have one shape.",
    example: r#"{"op": "last", "in": "image", "n": 1}"#,
    class: Class::Reduction,
    form: Form::Values,
    with: false,
    params: &[ParamDoc {
        name: "n",
        kind: "integer",
        default: "1",
        unit: "events",
        range: "1 to 1000000",
        doc: "how many values",
    }],
    outputs: &[OutputDoc {
        name: "value…", doc: "as the input, for n > 1 with a new first axis"
    }],
};

static BUFFER_DOC: OpDoc = OpDoc {
    name: "buffer",
    summary: "the newest n values in event order, for scatter plots and strip charts",
    text: "One array per input, row i of all of them from the same event; the first axis holds \
           up to n rows, oldest first. `unique` keeps of equal rows only the newest, so that the \
           buffer holds the newest n different rows. `with_time` adds the output `time`. Outputs \
           are named as the inputs: `value` for one, `value0`, `value1` … for a list, the keys \
           of a map. The kept arrays must have one shape.",
    example: r#"{"op": "buffer", "in": {"x": "scalar", "y": "flag"}, "n": 500, "with_time": true}"#,
    class: Class::Reduction,
    form: Form::Values,
    with: false,
    params: &[
        ParamDoc {
            name: "n",
            kind: "integer",
            default: "1000",
            unit: "events",
            range: "1 to 1000000",
            doc: "how many rows",
        },
        ParamDoc {
            name: "unique",
            kind: "bool",
            default: "false",
            unit: "",
            range: "true or false",
            doc: "keep of equal rows only the newest",
        },
        ParamDoc {
            name: "with_time",
            kind: "bool",
            default: "false",
            unit: "",
            range: "true or false",
            doc: "also give the rows' times",
        },
    ],
    outputs: &[
        OutputDoc { name: "value…", doc: "as the input with a new first axis" },
        OutputDoc { name: "time", doc: "float64, seconds since the Unix epoch; with `with_time`" },
    ],
};

static SAMPLE_DOC: OpDoc = OpDoc {
    name: "sample",
    summary: "a uniform sample of n values",
    text: "Every event is as likely to be in the sample as any other; which ones are depends on \
           a hash of the event's time, host and number only, so it is the same sample for any \
           split. One array per input, row i of all of them from the same event, from events in \
           which all inputs are present; the first axis holds up to n rows, oldest first. Outputs \
           are named as the inputs: `value` for one, `value0`, `value1` … for a list, the keys of \
           a map. The sampled arrays must have one shape.",
    example: r#"{"op": "sample", "in": {"x": "scalar", "y": "flag"}, "n": 200}"#,
    class: Class::Reduction,
    form: Form::Values,
    with: false,
    params: &[ParamDoc {
        name: "n",
        kind: "integer",
        default: "",
        unit: "events",
        range: "1 to 1000000",
        doc: "how many rows",
    }],
    outputs: &[OutputDoc { name: "value…", doc: "as the input with a new first axis" }],
};

/// The op `last`.
pub struct Last;
/// The op `buffer`.
pub struct Buffer;
/// The op `sample`.
pub struct Sample;

impl OpKind for Last {
    fn doc(&self) -> &'static OpDoc {
        &LAST_DOC
    }

    fn prepare(&self, args: &Args<'_>) -> Result<Prepared, Fault> {
        let n = args.whole("n", Some(1), 1..=MAX_ROWS)? as usize;
        let newest =
            Newest { op: LAST_DOC.name, n, choice: Choice::Newest, times: false, stack: n > 1 };
        Ok(newest.prepared(args))
    }

    fn decode(
        &self,
        signature: &Signature,
        reader: &mut Reader<'_>,
    ) -> Result<Box<dyn State>, DecodeError> {
        decode(LAST_DOC.name, signature, reader)
    }
}

impl OpKind for Buffer {
    fn doc(&self) -> &'static OpDoc {
        &BUFFER_DOC
    }

    fn prepare(&self, args: &Args<'_>) -> Result<Prepared, Fault> {
        let n = args.whole("n", Some(1000), 1..=MAX_ROWS)? as usize;
        let choice = match args.flag("unique", false)? {
            true => Choice::Unique,
            false => Choice::Newest,
        };
        let times = args.flag("with_time", false)?;
        if times && args.names.iter().any(|name| name == "time") {
            let hint = "name the input otherwise";
            return Err(Fault::of("with_time", "an input is called \"time\" already", hint));
        }
        Ok(Newest { op: BUFFER_DOC.name, n, choice, times, stack: true }.prepared(args))
    }

    fn decode(
        &self,
        signature: &Signature,
        reader: &mut Reader<'_>,
    ) -> Result<Box<dyn State>, DecodeError> {
        decode(BUFFER_DOC.name, signature, reader)
    }
}

impl OpKind for Sample {
    fn doc(&self) -> &'static OpDoc {
        &SAMPLE_DOC
    }

    fn prepare(&self, args: &Args<'_>) -> Result<Prepared, Fault> {
        let n = args.whole("n", None, 1..=MAX_ROWS)? as usize;
        let (op, choice) = (SAMPLE_DOC.name, Choice::Sample);
        Ok(Newest { op, n, choice, times: false, stack: true }.prepared(args))
    }

    fn decode(
        &self,
        signature: &Signature,
        reader: &mut Reader<'_>,
    ) -> Result<Box<dyn State>, DecodeError> {
        decode(SAMPLE_DOC.name, signature, reader)
    }
}

/// The newest value of one output of a per-event node: what is published of it.
pub fn newest_value() -> impl Reduction {
    Newest { op: LAST_DOC.name, n: 1, choice: Choice::Newest, times: false, stack: false }
}

#[derive(Debug, Clone)]
struct Newest {
    op: &'static str,
    n: usize,
    choice: Choice,
    times: bool,
    stack: bool,
}

impl Newest {
    fn prepared(self, args: &Args<'_>) -> Prepared {
        let mut outputs: Vec<&str> = args.names.iter().map(String::as_str).collect();
        if self.times {
            outputs.push("time");
        }
        Prepared::reduction(&outputs, self)
    }
}

impl Reduction for Newest {
    fn op(&self) -> &'static str {
        self.op
    }

    fn sense(&self, _: usize) -> Sense {
        Sense::Types
    }

    fn sized_by(&self, _: usize) -> bool {
        true
    }

    fn start(&self, signature: &Signature) -> Box<dyn State> {
        let rows = Rows::new(self.n, self.choice, signature.iter().map(|(dtype, _)| *dtype));
        Box::new(Kept { op: self.op, times: self.times, stack: self.stack, rows })
    }

    fn size(&self, inputs: &Signature) -> u64 {
        Rows::size(self.n, inputs)
    }

    fn passes(&self, output: usize) -> Option<usize> {
        (!self.stack).then_some(output)
    }

    fn bind(&self, inputs: &[Type]) -> Result<Vec<Type>, Fault> {
        if !self.stack {
            return Ok(inputs.to_vec());
        }
        if inputs.iter().any(|input| input.dtype == DType::Str) {
            let hint = "give numbers, or use `last` with n = 1";
            return Err(Fault::of("in", "text cannot be stacked", hint));
        }
        if inputs.iter().any(|input| input.rank.is_some_and(|rank| rank >= MAX_RANK)) {
            let reason = format!("an input has {MAX_RANK} axes already, and a new one is added");
            return Err(Fault::of("in", reason, "reduce it first, for example by `array_stat`"));
        }
        let stacked = |input: &Type| Type {
            dtype: input.dtype,
            rank: input.rank.map(|rank| rank + 1),
            shape: None,
        };
        let times = self.times.then(|| Type::array(DType::F64, 1));
        Ok(inputs.iter().map(stacked).chain(times).collect())
    }
}

fn decode(
    op: &'static str,
    signature: &Signature,
    reader: &mut Reader<'_>,
) -> Result<Box<dyn State>, DecodeError> {
    let times = reader.bool("buffer")?;
    let stack = reader.bool("buffer")?;
    let rows = Rows::decode(reader)?;
    if rows.width() != signature.len() {
        return Err(DecodeError::invalid("columns of rows", rows.width()));
    }
    Ok(Box::new(Kept { op, times, stack, rows }))
}

#[derive(Debug, Clone)]
struct Kept {
    op: &'static str,
    times: bool,
    stack: bool,
    rows: Rows,
}

impl State for Kept {
    fn absorb(&mut self, feed: &mut Feed<'_>) {
        self.rows.absorb(feed);
    }

    fn merge(&mut self, other: Box<dyn State>) -> bool {
        let Some(other) = same::<Kept>(other) else { return false };
        (self.op, self.times, self.stack) == (other.op, other.times, other.stack)
            && self.rows.merge(other.rows)
    }

    fn finish(&self) -> Result<Outputs, String> {
        if !self.stack {
            return self.rows.single();
        }
        let mut outputs = self.rows.stacked()?;
        if self.times {
            outputs.push(Some(self.rows.times()));
        }
        Ok(outputs)
    }

    fn encode(self: Box<Self>, writer: &mut Writer) {
        writer.bool(self.times);
        writer.bool(self.stack);
        self.rows.encode(writer);
    }

    fn clone_box(&self) -> Box<dyn State> {
        Box::new(self.clone())
    }

    fn bytes(&self) -> usize {
        64 + self.rows.bytes()
    }
}
