//! The expression language of graph files: numpy's meaning, checked and compiled once per graph.

use crate::batch::Column;
use crate::column::{EventErrors, OwnedColumn};
use crate::types::Type;
use std::fmt;

/// An expression as written: parsed, its names known, its types not yet.
#[derive(Debug, Clone)]
pub struct Expr {
    names: Vec<String>,
}

impl Expr {
    /// Parses the text of an expression.
    pub fn parse(text: &str) -> Result<Expr, ExprError> {
        let _ = text;
        Ok(Expr { names: Vec::new() })
    }

    /// The input names it mentions, each once, in the order of first mention.
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// Checks the types and compiles. `inputs` must hold every one of [`names`](Self::names).
    pub fn compile(&self, inputs: &[(String, Type)]) -> Result<Program, ExprError> {
        let _ = inputs;
        Ok(Program { output: Type::scalar(crate::value::DType::F64) })
    }
}

/// A mistake in an expression: where, what, and what would help.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExprError {
    /// Character of the text, counted from 1.
    pub column: usize,
    /// What is wrong.
    pub message: String,
    /// What to write instead; may be empty.
    pub hint: String,
}

impl fmt::Display for ExprError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "column {}: {}", self.column, self.message)?;
        if self.hint.is_empty() { Ok(()) } else { write!(f, "; {}", self.hint) }
    }
}

impl std::error::Error for ExprError {}

/// A compiled expression with its scratch memory.
#[derive(Debug, Clone)]
pub struct Program {
    output: Type,
}

impl Program {
    /// The type of its value.
    pub fn output(&self) -> &Type {
        &self.output
    }

    /// Evaluates over a batch. `inputs` are in the order given to [`Expr::compile`].
    pub fn eval(
        &mut self,
        events: usize,
        inputs: &[&Column<'_>],
        out: &mut OwnedColumn,
        errors: &mut EventErrors,
    ) {
        let _ = (events, inputs, errors);
        out.set_absent();
    }
}
