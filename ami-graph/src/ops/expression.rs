//! Parameters that are expressions, and ops that are a fixed expression of their inputs.

use crate::data::batch::Column;
use crate::data::owned_column::{EventErrors, OwnedColumn};
use crate::data::types::Type;
use crate::error::{Fault, nearest};
use crate::expr::error::ExprError;
use crate::expr::{Expr, Program};
use crate::op::parameters::Args;
use crate::op::per_event::Kernel;

/// Parses the expression in a parameter and looks its names up among the inputs.
pub fn parse(args: &Args<'_>, parameter: &str) -> Result<Expr, Fault> {
    parse_text(args, parameter, args.text(parameter, "an expression of the inputs")?)
}

/// Parses an expression that stands somewhere in a parameter.
pub fn parse_text(args: &Args<'_>, parameter: &str, text: &str) -> Result<Expr, Fault> {
    let expr = Expr::parse(text).map_err(|e| mistake(parameter, &e))?;
    let unknown = expr.names().iter().find(|name| !args.names.contains(name));
    match unknown {
        None => Ok(expr),
        Some(name) => {
            let hint = nearest(name, args.names.iter().map(String::as_str));
            Err(Fault::of(parameter, format!("there is no input {name:?}"), hint))
        }
    }
}

/// An op that is a fixed expression of its inputs.
///
/// # Errors
/// When it has no meaning for them.
pub fn compiled(
    text: &str,
    names: &[&str],
    inputs: &[Type],
) -> Result<(Vec<Type>, Box<dyn Kernel>), Fault> {
    let named: Vec<(String, Type)> =
        names.iter().map(|&name| name.to_owned()).zip(inputs.iter().cloned()).collect();
    let expr = Expr::parse(text).map_err(|e| mistake("in", &e))?;
    let program = expr.compile(&named).map_err(|e| {
        let all: Vec<String> = inputs.iter().map(ToString::to_string).collect();
        Fault::of("in", e.message, format!("the inputs are {}", all.join(", ")))
    })?;
    Ok((vec![program.output().clone()], Box::new(Compiled(program))))
}

/// A mistake in an expression as a fault of its parameter.
pub fn mistake(parameter: &str, error: &ExprError) -> Fault {
    let reason = format!("column {}: {}", error.column, error.message);
    Fault::of(parameter, reason, error.hint.clone())
}

/// A compiled expression as a kernel.
pub struct Compiled(pub Program);

impl Kernel for Compiled {
    fn run(
        &mut self,
        events: usize,
        inputs: &[&Column<'_>],
        outputs: &mut [OwnedColumn],
        errors: &mut EventErrors,
    ) {
        self.0.eval(events, inputs, &mut outputs[0], errors);
    }
}
