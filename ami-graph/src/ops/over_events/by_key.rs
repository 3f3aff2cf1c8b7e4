//! `by_key` and `scan`: a statistic for each exact key, or for each step of a scan.

use crate::data::bytes::{Reader, Writer};
use crate::data::feed::Feed;
use crate::data::frame::Frame;
use crate::data::schema::Labels;
use crate::data::types::Type;
use crate::data::value::{DType, MAX_RANK};
use crate::error::{DecodeError, Fault};
use crate::merge::keyed::{self, Key, Keyed, each_key};
use crate::op::checks::numbers_only;
use crate::op::doc::{Class, Form, InputDoc, OpDoc, OutputDoc, ParamDoc};
use crate::op::kind::{OpKind, Prepared};
use crate::op::nan::NAN;
use crate::op::parameters::Args;
use crate::op::reduction::{Outputs, Reduction, State, same};
use crate::op::signature::Sense;
use crate::op::signature::Signature;
use crate::ops::over_events::key_statistic::{self, STAT, Stat, StatCell, Statistic, axes_of};
use crate::ops::over_events::keys;
use crate::ops::over_events::keys::LIMIT;
use crate::ops::over_events::step_keys::StepKeys;

const VALUE: InputDoc =
    InputDoc { name: "value", doc: "scalar, or array of one shape", required: true };
const KEYS: OutputDoc =
    OutputDoc { name: "keys", doc: "[keys], element type of the key; int64 for text" };
const COUNT: OutputDoc =
    OutputDoc { name: "count", doc: "int64 [keys]: events; with `nan` \"skip\" as mean" };
const OVERFLOWED: OutputDoc =
    OutputDoc { name: "overflowed", doc: "int64 scalar: events whose key did not stay" };
const OUTSIDE: OutputDoc =
    OutputDoc { name: "outside", doc: "int64 scalar: events of no step, or of one without key" };
const STATISTIC: OutputDoc =
    OutputDoc { name: "mean", doc: "float64 [keys, shape of the value…]; named as `stat`" };
const SEM: OutputDoc =
    OutputDoc { name: "sem", doc: "float64, as mean; only with `stat` \"mean\"" };
const LABELS: OutputDoc =
    OutputDoc { name: "labels", doc: "text: JSON list; only of texts and enumerations" };

static BY_KEY_DOC: OpDoc = OpDoc {
    name: "by_key",
    summary: "mean (or another statistic) of a value for each exact key",
    text: "Keys are exact values, sorted; NaN is one key, the last, and so are the two zeros. Of \
           each key the mean, sem = std(ddof = 1) / sqrt(n) (NaN for fewer than two), and number \
           of events; or the sum, min, max or std (ddof = 0), in float64; of arrays element by \
           element. Beyond `limit` different keys the smallest stay, the same ones for any split, \
           and `overflowed` counts the events of the others. Texts are keys, too: `labels` lists \
           them as JSON, in the order of bytes, and `keys` numbers them 0, 1, …; for an \
           enumeration `keys` are its codes and `labels` their labels. With `\"nan\": \"skip\"` \
           all are of the values of each element that are numbers, and `count` says how many; a \
           key that has none stays, as 0 for the sum, else NaN. Memory is limit × (24 bytes per \
           element of the value; 16 for sum, 8 for min and max; 8 more with \"skip\"): give a \
           limit for images.",
    example: r#"{"op": "by_key", "in": {"key": "flag", "value": "image"}, "limit": 2}"#,
    class: Class::Reduction,
    form: Form::Fixed(&[InputDoc { name: "key", doc: "scalar or text", required: true }, VALUE]),
    with: false,
    params: &[LIMIT, STAT, NAN],
    outputs: &[KEYS, STATISTIC, SEM, COUNT, OVERFLOWED, LABELS],
};

static SCAN_DOC: OpDoc = OpDoc {
    name: "scan",
    summary: "mean (or another statistic) of a value at each step of a scan",
    text: "As `by_key`; the key is what BeginStep set: the variable named in `by`, else \
           `step_value`, else the only one that is a number, else the number of the step. Steps \
           with the same value join. `keys` is float64, or numbers 0, 1, … with `labels` when \
           the values are text. Events before the first step, and those of steps that do not set \
           `by`, have no key: `outside` counts them.",
    example: r#"{"op": "scan", "in": "scalar"}"#,
    class: Class::Reduction,
    form: Form::Fixed(&[VALUE]),
    with: false,
    params: &[
        LIMIT,
        STAT,
        NAN,
        ParamDoc {
            name: "by",
            kind: "text",
            default: "none",
            unit: "",
            range: "name of a variable that BeginStep sets, in full or its last part",
            doc: "which of the step's values is the key",
        },
    ],
    outputs: &[KEYS, STATISTIC, SEM, COUNT, OVERFLOWED, OUTSIDE, LABELS],
};

/// The op `by_key`.
pub struct ByKey;
/// The op `scan`.
pub struct Scan;

impl OpKind for ByKey {
    fn doc(&self) -> &'static OpDoc {
        &BY_KEY_DOC
    }

    fn prepare(&self, args: &Args<'_>) -> Result<Prepared, Fault> {
        let (limit, of) = (keys::limit(args)?, Statistic::read(args)?);
        Ok(prepared(Sorting { limit, of, by: None }))
    }

    fn decode(
        &self,
        signature: &Signature,
        reader: &mut Reader<'_>,
    ) -> Result<Box<dyn State>, DecodeError> {
        let state = decode(signature, reader)?;
        let keys = signature.first().map(|(dtype, _)| *dtype);
        if signature.len() != 2 || keys != Some(state.keyed.dtype) || state.step.is_some() {
            return Err(DecodeError::invalid("state of by_key", format_args!("{keys:?}")));
        }
        Ok(Box::new(state))
    }
}

impl OpKind for Scan {
    fn doc(&self) -> &'static OpDoc {
        &SCAN_DOC
    }

    fn prepare(&self, args: &Args<'_>) -> Result<Prepared, Fault> {
        let (limit, of) = (keys::limit(args)?, Statistic::read(args)?);
        let by = match args.get("by") {
            Some(_) => args.text("by", "the name of a variable that BeginStep sets")?,
            None => "",
        };
        Ok(prepared(Sorting { limit, of, by: Some(by.to_owned()) }))
    }

    fn decode(
        &self,
        signature: &Signature,
        reader: &mut Reader<'_>,
    ) -> Result<Box<dyn State>, DecodeError> {
        let state = decode(signature, reader)?;
        if signature.len() != 1 || state.step.is_none() {
            return Err(DecodeError::invalid("signature of a scan", signature.len()));
        }
        Ok(Box::new(state))
    }
}

fn prepared(sorting: Sorting) -> Prepared {
    let mut outputs = vec!["keys", sorting.of.stat.name()];
    if sorting.of.stat == Stat::Mean {
        outputs.push("sem");
    }
    outputs.extend(["count", "overflowed"]);
    if sorting.by.is_some() {
        outputs.push("outside");
    }
    outputs.push("labels");
    Prepared::reduction(&outputs, sorting)
}

fn decode(signature: &Signature, reader: &mut Reader<'_>) -> Result<Groups, DecodeError> {
    let of = Statistic::decode(reader)?;
    let axes = axes_of(signature);
    let keyed = Keyed::decode(reader, |reader| StatCell::decode(of, &axes, reader))?;
    let step = match reader.bool("scan")? {
        false => None,
        true => Some(StepKeys::decode(of, &axes, reader)?),
    };
    Ok(Groups { of, axes, keyed, step })
}

#[derive(Debug)]
struct Sorting {
    limit: usize,
    of: Statistic,
    /// For `scan`: the variable asked for, may be empty.
    by: Option<String>,
}

impl Reduction for Sorting {
    fn op(&self) -> &'static str {
        if self.by.is_some() { SCAN_DOC.name } else { BY_KEY_DOC.name }
    }

    fn sense(&self, input: usize) -> Sense {
        if input == 0 && self.by.is_none() { Sense::Types } else { Sense::Shapes }
    }

    fn start(&self, signature: &Signature) -> Box<dyn State> {
        let axes = axes_of(signature);
        let open = || StatCell::new(self.of, key_statistic::width(&axes));
        let step = self.by.clone().map(|by| StepKeys::new(by, open()));
        let dtype = if step.is_some() { DType::F64 } else { signature[0].0 };
        Box::new(Groups { of: self.of, keyed: Keyed::new(dtype, self.limit), axes, step })
    }

    fn size(&self, inputs: &Signature) -> u64 {
        let cell = key_statistic::size(self.of, &axes_of(inputs));
        let keys = if self.by.is_some() { DType::Str } else { inputs[0].0 };
        keyed::size(self.limit, keys, cell).saturating_add(cell)
    }

    fn bind(&self, inputs: &[Type]) -> Result<Vec<Type>, Fault> {
        let (keys, value) = match inputs {
            [key, value] => {
                keys::scalar_only("key", key)?;
                (keys::type_of(key), value)
            }
            [value] => (Type::array(DType::F64, 1), value),
            _ => return Err(Fault::of("in", "one or two inputs are taken", "")),
        };
        numbers_only(std::slice::from_ref(value), &["value"])?;
        if value.rank.is_some_and(|rank| rank >= MAX_RANK) {
            let reason = format!("the value is {value}, and an axis of keys is added");
            return Err(Fault::of("in", reason, "reduce it first, for example by `array_stat`"));
        }
        let statistic = Type { dtype: DType::F64, rank: value.rank.map(|r| r + 1), shape: None };
        let mut types = vec![keys, statistic.clone()];
        if self.of.stat == Stat::Mean {
            types.push(statistic.clone());
        }
        types.push(match self.of.skip {
            false => Type::array(DType::I64, 1),
            true => Type { dtype: DType::I64, ..statistic },
        });
        types.push(Type::scalar(DType::I64));
        if self.by.is_some() {
            types.push(Type::scalar(DType::I64));
        }
        types.push(Type::scalar(DType::Str));
        Ok(types)
    }

    fn label(&self, labels: &[Labels], outputs: &mut Outputs) {
        if self.by.is_none() {
            keys::dress(labels.first(), outputs);
        }
    }
}

#[derive(Debug, Clone)]
struct Groups {
    of: Statistic,
    /// Shape of a value.
    axes: Vec<u32>,
    keyed: Keyed<StatCell>,
    /// Some for `scan`.
    step: Option<StepKeys>,
}

impl State for Groups {
    fn absorb(&mut self, feed: &mut Feed<'_>) {
        let Groups { of, axes, keyed, step } = self;
        match (feed.columns, step) {
            (&[value], Some(step)) => step.absorb(value, feed),
            (&[key, value], None) => {
                let width = key_statistic::width(axes);
                let scratch = &mut *feed.scratch;
                let scalars = each_key(key, feed.mask, |key, events| {
                    let new = || StatCell::new(*of, width);
                    if let Some(cell) = keyed.at(key, events.len() as u64, new) {
                        cell.absorb(value, events, scratch);
                    }
                });
                if !scalars {
                    feed.errors.record(|| "the key is not a scalar".to_owned());
                }
            }
            _ => {}
        }
    }

    fn enter(&mut self, frame: &Frame, _: u64) {
        let Some(step) = &mut self.step else { return };
        let fresh = || StatCell::new(self.of, key_statistic::width(&self.axes));
        if let Some((key, cell)) = step.close(frame, fresh) {
            let text = matches!(key, Key::Text(_));
            self.keyed.dtype = if text { DType::Str } else { DType::F64 };
            self.keyed.add(key, cell);
        }
    }

    fn merge(&mut self, other: Box<dyn State>) -> bool {
        let Some(mut other) = same::<Groups>(other) else { return false };
        if self.of != other.of || self.axes != other.axes {
            return false;
        }
        if let (Some(mine), Some(theirs)) = (&mut self.step, other.step.take()) {
            if !mine.merge(theirs) {
                return false;
            }
            // What has no keys yet has no type of keys either.
            if self.keyed.len() == 0 {
                self.keyed.dtype = other.keyed.dtype;
            } else if other.keyed.len() == 0 {
                other.keyed.dtype = self.keyed.dtype;
            }
            if self.keyed.dtype != other.keyed.dtype {
                mine.clash();
                return true;
            }
        }
        self.keyed.merge(other.keyed)
    }

    fn finish(&self) -> Result<Outputs, String> {
        if let Some(reason) = self.step.as_ref().and_then(|s| s.reason(self.keyed.len())) {
            return Err(reason.to_owned());
        }
        let mut outputs = vec![Some(self.keyed.keys())];
        outputs.extend(key_statistic::stacked(self.of, &self.axes, self.keyed.cells()));
        outputs.push(Some(self.keyed.overflowed()));
        outputs.extend(self.step.as_ref().map(|step| Some(step.outside())));
        outputs.push(self.keyed.labels());
        Ok(outputs)
    }

    fn encode(self: Box<Self>, writer: &mut Writer) {
        self.of.encode(writer);
        self.keyed.encode(writer, StatCell::encode);
        writer.bool(self.step.is_some());
        if let Some(step) = self.step {
            step.encode(writer);
        }
    }

    fn clone_box(&self) -> Box<dyn State> {
        Box::new(self.clone())
    }

    fn bytes(&self) -> usize {
        128 + self.keyed.bytes() + self.step.as_ref().map_or(0, StepKeys::bytes)
    }
}
