//! The table of operations as a page of documentation, `docs/operations.md`.

use crate::expr::FUNCTIONS;
use crate::op::doc::{Class, Form, OpDoc, ParamDoc};
use crate::ops::OPS;
use std::fmt::Write;

const HEAD: &str = "# Operations

<!-- Generated from the code: `cargo run -p ami-ctl -- ops --markdown > docs/operations.md`. -->

How graphs are written is told in [graphs.md](graphs.md). `ami-ctl ops` prints this table, \
`ami-ctl ops hist` one operation of it, and `ami-ctl graph schema` the JSON Schema that editors \
use to complete and check graphs.

An operation runs in an event when all its required inputs are present; otherwise its outputs are \
absent there. NaN is a value. In the examples `scalar`, `flag`, `waveform` (1-d) and `image` (2-d) \
are fields or nodes.
";

/// Operations of which there is a picture in `docs/pictures`.
const PICTURES: [&str; 6] = ["azimuthal", "cfd", "edge", "hist", "peaks", "roi"];

const PER_EVENT: &str = "
## Per event

Values of one event in, values of that event out: on workers for fields, at the root for results \
of reductions.
";

const USER_CODE: &str = "
## User code
";

const CLASSES: [(Class, &str); 3] =
    [(Class::PerEvent, PER_EVENT), (Class::Reduction, REDUCTIONS), (Class::UserCode, USER_CODE)];

const REDUCTIONS: &str = "
## Reductions

Over the events of a window: on workers, merged by the collectors. Each takes `window`: \
`\"run\"` (default), `\"heartbeat\"`, `\"step\"`, `{\"heartbeats\": n}`, `{\"seconds\": T}` or \
`{\"events\": N}`. The answer is the same however the events are split over workers and hosts.

![windows](pictures/windows.svg)
";

const EXPRESSIONS: &str = "
## Expressions

In `expr`, `gate` and `select`, with numpy's types and broadcasting: `+ - * / // % **`, comparisons, \
`and or not`, `a if c else b`, `a[i]`, slices as `a[2:8]` and `a[..., 0]`, the constants `pi` and `e`, \
and these functions:

";

/// The page.
pub fn markdown() -> String {
    let mut page = HEAD.to_owned();
    for (class, head) in CLASSES {
        page.push_str(head);
        let docs: Vec<&OpDoc> =
            OPS.iter().map(|op| op.doc()).filter(|d| d.class == class).collect();
        page.push_str("\n| operation | meaning |\n|---|---|\n");
        for doc in &docs {
            let _ = writeln!(page, "| [`{0}`](#{0}) | {1} |", doc.name, doc.summary);
        }
        docs.iter().for_each(|doc| section(&mut page, doc));
    }
    page.push_str(EXPRESSIONS);
    page.push_str("| function | |\n|---|---|\n");
    for function in FUNCTIONS {
        let _ = writeln!(page, "| `{}` | `{}` |", function.name, cell(function.usage));
    }
    page
}

fn section(page: &mut String, doc: &OpDoc) {
    let _ = writeln!(page, "\n### {}\n\n{}\n", doc.name, doc.text);
    if PICTURES.contains(&doc.name) {
        let _ = writeln!(page, "![{0}](pictures/{0}.svg)\n", doc.name);
    }
    let _ = writeln!(
        page,
        "In: {}{}\n",
        inputs(doc.form),
        if doc.with { "; further names for the expressions by `with`" } else { "" }
    );
    if !doc.params.is_empty() {
        page.push_str("| parameter | type | default | unit | accepted | meaning |\n|---|---|---|---|---|---|\n");
        doc.params.iter().for_each(|param| parameter(page, param));
        page.push('\n');
    }
    let outputs: Vec<String> =
        doc.outputs.iter().map(|o| format!("`{}` ({})", o.name, o.doc)).collect();
    let _ = writeln!(page, "Out: {}\n\n```json\n{}\n```", outputs.join("; "), doc.example);
}

fn inputs(form: Form) -> String {
    match form {
        Form::None => "nothing".to_owned(),
        Form::Values => "one or more values; a map names the outputs".to_owned(),
        Form::Named => "values, by the names that the expressions use".to_owned(),
        Form::Fixed(inputs) => {
            let one = |input: &crate::op::doc::InputDoc| {
                let optional = if input.required { "" } else { ", optional" };
                format!("`{}` ({}{optional})", input.name, input.doc)
            };
            inputs.iter().map(one).collect::<Vec<_>>().join("; ")
        }
    }
}

fn parameter(page: &mut String, param: &ParamDoc) {
    let default = match param.default {
        "" => "required".to_owned(),
        "none" => String::new(),
        json => format!("`{json}`"),
    };
    let cells = [param.kind, &default, param.unit, param.range, param.doc].map(cell);
    let _ = writeln!(page, "| `{}` | {} |", param.name, cells.join(" | "));
}

/// Text that does not end a cell of a table.
fn cell(text: &str) -> String {
    text.replace('|', "\\|")
}
