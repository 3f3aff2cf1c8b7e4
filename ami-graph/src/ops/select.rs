//! `select`: if / elif / else over expressions.

use super::expr::{mistake, parse_text};
use super::gate::decide;
use super::{Body, Class, Form, Kernel, OpDoc, OpKind, OutputDoc, ParamDoc, PerEvent, Prepared};
use crate::access::{Expanded, expand};
use crate::batch::{Column, Dims};
use crate::cast::widen;
use crate::column::{EventErrors, OwnedColumn};
use crate::each::item;
use crate::error::Fault;
use crate::expr::{Expr, Program, promote};
use crate::items::Filling;
use crate::params::Args;
use crate::types::Type;
use crate::value::DType;
use serde_json::Value as Json;

/// Most cases, and most outputs.
const MOST: usize = 64;

static DOC: OpDoc = OpDoc {
    name: "select",
    summary: "if / elif / else: the first case that holds gives the outputs",
    text: "In each event the conditions of `cases` are looked at in order; the first that is true \
           (not zero) is taken, else `else`. Its expressions give the outputs it names; the others \
           are absent in that event. If a condition looked at lacks an input, nothing is taken; an \
           output is absent if an input that its expression mentions is. What an output is in \
           several cases is promoted to one element type as numpy does. Names are those of `in` \
           and of `with`.",
    example: r#"{"op": "select", "in": {"x": "scalar"}, "with": {"laser": "flag"}, "cases": [{"when": "laser == 1", "out": {"on": "x"}}], "else": {"off": "x"}}"#,
    class: Class::PerEvent,
    form: Form::Named,
    with: true,
    params: &[
        ParamDoc {
            name: "cases",
            kind: "list of {when, out}",
            default: "",
            unit: "",
            range: "1 to 64 cases; `when` an expression of one number or bool, `out` a map from \
                    output to expression",
            doc: "what is taken when",
        },
        ParamDoc {
            name: "else",
            kind: "map from output to expression",
            default: "none",
            unit: "",
            range: "expressions of the inputs",
            doc: "what is taken when no case is",
        },
    ],
    outputs: &[OutputDoc { name: "…", doc: "as the cases name them, in order of appearance" }],
};

/// The op.
pub struct Select;

impl OpKind for Select {
    fn doc(&self) -> &'static OpDoc {
        &DOC
    }

    fn prepare(&self, args: &Args<'_>) -> Result<Prepared, Fault> {
        let values = &args.names[..args.names.len() - args.with];
        let with = &args.names[values.len()..];
        if let Some(name) = with.iter().find(|name| values.contains(name)) {
            let reason = format!("{name:?} is a name of `in` and of `with`");
            return Err(Fault::of("with", reason, "name one of them otherwise"));
        }
        let json = args.require("cases", "a list of {\"when\": …, \"out\": {…}}")?;
        let bad = |json: &Json| {
            let hint = "give a list of 1 to 64 {\"when\": \"EXPRESSION\", \"out\": {\"NAME\": \"EXPRESSION\"}}";
            Fault::of("cases", format!("{json} is not accepted"), hint)
        };
        let list = json.as_array().filter(|list| (1..=MOST).contains(&list.len()));
        let mut outputs = Vec::new();
        let mut cases = Vec::new();
        for (k, case) in list.ok_or_else(|| bad(json))?.iter().enumerate() {
            let fields = case.as_object().filter(|map| map.len() == 2).ok_or_else(|| bad(case))?;
            let when = fields.get("when").and_then(Json::as_str).ok_or_else(|| bad(case))?;
            let out = fields.get("out").ok_or_else(|| bad(case))?;
            let place = format!("cases[{k}].when");
            let when = Some(parse_text(args, &place, when)?);
            cases.push(Case {
                when,
                out: named(args, &format!("cases[{k}].out"), out, &mut outputs)?,
            });
        }
        if let Some(json) = args.get("else") {
            cases.push(Case { when: None, out: named(args, "else", json, &mut outputs)? });
        }
        let routing = Routing { cases, outputs: outputs.clone(), names: args.names.to_vec() };
        Ok(Prepared { outputs, body: Body::PerEvent(Box::new(routing)) })
    }
}

/// The outputs of a case, by their place among all.
fn named(
    args: &Args<'_>,
    place: &str,
    json: &Json,
    outputs: &mut Vec<String>,
) -> Result<Vec<(usize, Expr)>, Fault> {
    let hint = "give a map from output names (letters, digits, _) to expressions";
    let bad = || Fault::of(place, format!("{json} is not accepted"), hint);
    let map = json.as_object().filter(|map| !map.is_empty()).ok_or_else(bad)?;
    let mut out = Vec::new();
    for (name, expr) in map {
        if name.is_empty() || !name.chars().all(|c| c.is_alphanumeric() || c == '_') {
            return Err(bad());
        }
        let number = expr.is_number().then(|| expr.to_string());
        let text = expr.as_str().or(number.as_deref()).ok_or_else(bad)?;
        let known = outputs.iter().position(|output| output == name);
        let at = known.unwrap_or_else(|| {
            outputs.push(name.clone());
            outputs.len() - 1
        });
        out.push((at, parse_text(args, &format!("{place}.{name}"), text)?));
    }
    if outputs.len() > MOST {
        let reason = format!("{} outputs are named", outputs.len());
        return Err(Fault::of("cases", reason, format!("name at most {MOST}")));
    }
    Ok(out)
}

#[derive(Debug)]
struct Case {
    /// None: else.
    when: Option<Expr>,
    out: Vec<(usize, Expr)>,
}

#[derive(Debug)]
struct Routing {
    cases: Vec<Case>,
    outputs: Vec<String>,
    names: Vec<String>,
}

impl Routing {
    /// An expression with the inputs it mentions: it would else be absent where another is.
    fn compile(&self, place: &str, expr: &Expr, inputs: &[Type]) -> Result<Formula, Fault> {
        let used = |&k: &usize| expr.names().contains(&self.names[k]);
        let used: Vec<usize> = (0..self.names.len()).filter(used).collect();
        let named: Vec<(String, Type)> =
            used.iter().map(|&k| (self.names[k].clone(), inputs[k].clone())).collect();
        let program = expr.compile(&named).map_err(|e| mistake(place, &e))?;
        Ok(Formula { program, used, column: OwnedColumn::new() })
    }

    fn case(&self, k: usize, inputs: &[Type]) -> Result<Compiled, Fault> {
        let case = &self.cases[k];
        let when = match &case.when {
            None => None,
            Some(expr) => {
                let place = format!("cases[{k}].when");
                let formula = self.compile(&place, expr, inputs)?;
                let output = formula.program.output();
                if output.rank.is_some_and(|rank| rank > 0) || output.dtype == DType::Str {
                    let reason = format!("the condition gives {output}, not one number or bool");
                    let hint = "reduce it, for example by any(…) or all(…)";
                    return Err(Fault::of(&place, reason, hint));
                }
                Some(formula)
            }
        };
        let place = if case.when.is_some() { format!("cases[{k}].out") } else { "else".into() };
        let one = |(at, expr): &(usize, Expr)| {
            let place = format!("{place}.{}", self.outputs[*at]);
            Ok((*at, self.compile(&place, expr, inputs)?))
        };
        Ok(Compiled { when, out: case.out.iter().map(one).collect::<Result<_, Fault>>()? })
    }

    /// The one type of an output that is these in its cases.
    fn common(&self, at: usize, types: &[&Type]) -> Result<Type, Fault> {
        let name = &self.outputs[at];
        let refuse = |other: &Type| {
            let reason =
                format!("output {name:?} is {} in one case and {other} in another", types[0]);
            Fault::of("cases", reason, "make both scalars, arrays or texts, or name two outputs")
        };
        let mut common = types[0].clone();
        for &other in types {
            let text = |t: &Type| t.dtype == DType::Str;
            if text(&common) != text(other) || (common.rank == Some(0)) != (other.rank == Some(0)) {
                return Err(refuse(other));
            }
            if !text(other) {
                common.dtype = promote(common.dtype, other.dtype);
            }
            if common.rank != other.rank {
                common.rank = None;
            }
            if common.shape != other.shape {
                common.shape = None;
            }
        }
        Ok(common)
    }
}

impl PerEvent for Routing {
    fn bind(&self, inputs: &[Type]) -> Result<(Vec<Type>, Box<dyn Kernel>), Fault> {
        let cases = (0..self.cases.len()).map(|k| self.case(k, inputs));
        let cases = cases.collect::<Result<Vec<_>, _>>()?;
        let types = (0..self.outputs.len()).map(|at| {
            let all = cases.iter().flat_map(|case| &case.out);
            let of: Vec<&Type> =
                all.filter(|(k, _)| *k == at).map(|(_, f)| f.program.output()).collect();
            self.common(at, &of)
        });
        let types = types.collect::<Result<Vec<_>, _>>()?;
        let kernel = Selecting {
            cases,
            types: types.clone(),
            open: Vec::new(),
            taken: Vec::new(),
            of: Vec::new(),
            masks: Vec::new(),
        };
        Ok((types, Box::new(kernel)))
    }
}

/// An expression, and its value in the batch at hand.
struct Formula {
    program: Program,
    /// Inputs that it mentions.
    used: Vec<usize>,
    column: OwnedColumn,
}

struct Compiled {
    when: Option<Formula>,
    out: Vec<(usize, Formula)>,
}

struct Selecting {
    cases: Vec<Compiled>,
    types: Vec<Type>,
    /// One byte per event: no case was taken yet.
    open: Vec<u8>,
    /// One byte per event: the case at hand is taken.
    taken: Vec<u8>,
    /// Per event, the case taken.
    of: Vec<Option<u8>>,
    /// One per input.
    masks: Vec<Vec<u8>>,
}

impl Kernel for Selecting {
    fn run(
        &mut self,
        events: usize,
        inputs: &[&Column<'_>],
        outputs: &mut [OwnedColumn],
        errors: &mut EventErrors,
    ) {
        self.masks.resize_with(inputs.len(), Vec::new);
        self.open.clear();
        self.open.resize(events, 1);
        self.of.clear();
        self.of.resize(events, None);
        for k in 0..self.cases.len() {
            self.route(k, events, inputs, errors);
            for (_, formula) in &mut self.cases[k].out {
                formula.eval(events, inputs, (&self.taken, &mut self.masks), errors);
            }
        }
        for (at, (output, of)) in outputs.iter_mut().zip(&self.types).enumerate() {
            let columns: Vec<Option<Column<'_>>> =
                self.cases.iter().map(|c| c.column(at)).collect();
            merge(&columns, &self.of, of, output, errors);
        }
    }
}

impl Selecting {
    /// Finds the events that take a case among those still open.
    fn route(&mut self, k: usize, events: usize, inputs: &[&Column<'_>], errors: &mut EventErrors) {
        self.taken.clear();
        let Some(when) = &mut self.cases[k].when else {
            self.taken.extend_from_slice(&self.open);
            return self.note(k);
        };
        when.eval(events, inputs, (&self.open, &mut self.masks), errors);
        self.taken.resize(events, 0);
        decide(&when.column.view(), events, &mut self.taken, errors);
        let view = when.column.view();
        for (event, (open, taken)) in self.open.iter_mut().zip(&mut self.taken).enumerate() {
            // A constant condition speaks of closed events, too.
            *taken &= *open;
            // Where it could not be decided, nothing is taken.
            let decided = match &view {
                Column::Absent => false,
                Column::Scalars { present, .. } => present.is_none_or(|p| p[event] != 0),
                Column::Arrays { items, .. } => items[event].is_some(),
                Column::Constant(_) | Column::Strings(_) => true,
            };
            *open = u8::from(*open != 0 && decided && *taken == 0);
        }
        self.note(k);
    }

    fn note(&mut self, k: usize) {
        let takes = self.of.iter_mut().zip(&self.taken).filter(|(_, taken)| **taken != 0);
        takes.for_each(|(of, _)| *of = Some(k as u8));
    }
}

impl Compiled {
    fn column(&self, output: usize) -> Option<Column<'_>> {
        self.out.iter().find(|(at, _)| *at == output).map(|(_, formula)| formula.column.view())
    }
}

impl Formula {
    /// Evaluates in the events of the mask.
    fn eval(
        &mut self,
        events: usize,
        inputs: &[&Column<'_>],
        (mask, memory): (&[u8], &mut [Vec<u8>]),
        errors: &mut EventErrors,
    ) {
        if !mask.contains(&1) {
            return self.column.set_absent();
        }
        // The inputs that are used come in order, so each finds its own memory.
        let memory = memory.iter_mut().enumerate().filter(|(k, _)| self.used.contains(k));
        let masked: Vec<Column<'_>> =
            memory.map(|(k, memory)| only_where(inputs[k], mask, memory)).collect();
        let columns: Vec<&Column<'_>> = masked.iter().collect();
        self.program.eval(events, &columns, &mut self.column, errors);
    }
}

/// A column that is absent outside of a mask; its data are not copied.
fn only_where<'a>(column: &Column<'a>, mask: &[u8], memory: &'a mut Vec<u8>) -> Column<'a> {
    match column {
        _ if !mask.contains(&0) => column.clone(),
        Column::Scalars { dtype, data, present } => {
            memory.clear();
            memory.extend_from_slice(mask);
            if let Some(present) = present {
                memory.iter_mut().zip(*present).for_each(|(m, &p)| *m &= u8::from(p != 0));
            }
            Column::Scalars { dtype: *dtype, data, present: Some(memory) }
        }
        Column::Arrays { dtype, items } => {
            let items = items.iter().zip(mask).map(|(item, &m)| item.filter(|_| m != 0)).collect();
            Column::Arrays { dtype: *dtype, items }
        }
        Column::Strings(texts) => Column::Strings(
            texts.iter().zip(mask).map(|(text, &m)| text.filter(|_| m != 0)).collect(),
        ),
        Column::Absent | Column::Constant(_) => column.clone(),
    }
}

/// One output from the columns of its cases.
fn merge(
    columns: &[Option<Column<'_>>],
    of: &[Option<u8>],
    wanted: &Type,
    output: &mut OwnedColumn,
    errors: &mut EventErrors,
) {
    let events = of.len();
    let mut memory: Vec<Expanded> = columns.iter().map(|_| Expanded::default()).collect();
    let columns: Vec<Option<Column<'_>>> = columns
        .iter()
        .zip(&mut memory)
        .map(|(column, memory)| {
            let column = column.as_ref()?;
            Some(expand(column, events, memory).unwrap_or_else(|| column.clone()))
        })
        .collect();
    let column = |event: usize| of[event].and_then(|case| columns[usize::from(case)].as_ref());
    if wanted.dtype == DType::Str {
        output.start_strings();
        for event in 0..events {
            match column(event) {
                Some(Column::Strings(texts)) if texts[event].is_some() => {
                    output.push_str(texts[event].unwrap_or_default());
                }
                _ => output.push_absent(),
            }
        }
    } else if wanted.is_scalar() {
        output.start_scalars(wanted.dtype, events);
        output.present_mut().fill(0);
        for (case, column) in columns.iter().enumerate() {
            if let Some(Column::Scalars { dtype, data, present }) = column {
                let here =
                    |e: usize| of[e] == Some(case as u8) && present.is_none_or(|p| p[e] != 0);
                scalars((*dtype, data), wanted.dtype, (events, here), output);
            }
        }
    } else {
        let mut filling = Filling::new(output, wanted.dtype);
        for event in 0..events {
            let item = column(event).and_then(|column| item(column, event));
            match item.and_then(|item| Some((item, Dims::new(item.shape())?))) {
                Some((item, dims)) => filling.push(dims, errors, |to| {
                    widen(item.dtype, item.data, wanted.dtype, to);
                }),
                None => filling.absent(),
            }
        }
    }
}

/// Copies the scalars of the events that are here.
fn scalars(
    (dtype, data): (DType, &[u8]),
    wanted: DType,
    (events, here): (usize, impl Fn(usize) -> bool),
    output: &mut OwnedColumn,
) {
    let mut wide = Vec::new();
    let data = if dtype == wanted {
        data
    } else {
        wide.resize(events * wanted.size(), 0);
        widen(dtype, data, wanted, &mut wide);
        &wide
    };
    let size = wanted.size();
    let to = output.scalar_bytes_mut();
    for (event, (to, from)) in to.chunks_exact_mut(size).zip(data.chunks_exact(size)).enumerate() {
        if here(event) {
            to.copy_from_slice(from);
        }
    }
    let present = output.present_mut();
    (0..events).filter(|&e| here(e)).for_each(|e| present[e] = 1);
}
