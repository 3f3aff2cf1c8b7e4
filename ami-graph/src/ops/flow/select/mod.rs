//! `select`: if / elif / else over expressions.

mod kernel;

use crate::data::owned_column::OwnedColumn;
use crate::data::types::Type;
use crate::data::value::DType;
use crate::error::Fault;
use crate::expr::{Expr, promote};

use crate::op::doc::{Class, Form, OpDoc, OutputDoc, ParamDoc};
use crate::op::kind::{Body, OpKind, Prepared};
use crate::op::parameters::Args;
use crate::op::per_event::{Kernel, PerEvent};
use crate::ops::expression::{mistake, parse_text};
use kernel::{Compiled, Formula, Selecting};
use serde_json::Value as Json;

/// Most cases, and most outputs.
const MOST: usize = 64;

static DOC: OpDoc = OpDoc {
    name: "select",
    summary: "if / elif / else: the first case that holds gives the outputs",
    text: "In each event the conditions of `cases` are looked at in order; the first that is true \
           (not zero) is taken, else `else`. Its expressions give the outputs it names; the others \
           are absent in that event. If a condition looked at lacks an input, nothing is taken; an \
           output is absent if an input that its expression mentions is (unless only `present` and \
           `default` ask for it). What an output is in \
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
        let kernel = Selecting::new(cases, types.clone());
        Ok((types, Box::new(kernel)))
    }
}
