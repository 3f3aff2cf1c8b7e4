//! Mistakes in expressions, and how large an expression may be.

use std::fmt;

/// Longest text of an expression, in bytes.
pub const MAX_TEXT: usize = 64 * 1024;
/// Deepest nesting of brackets, calls and the like.
pub const MAX_DEPTH: usize = 64;
/// Largest array an expression makes, in bytes.
pub const MAX_BYTES: usize = 256 << 20;

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

impl ExprError {
    pub(in crate::expr) fn new(
        column: usize,
        message: impl Into<String>,
        hint: impl Into<String>,
    ) -> ExprError {
        ExprError { column, message: message.into(), hint: hint.into() }
    }
}

impl fmt::Display for ExprError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "column {}: {}", self.column, self.message)?;
        if self.hint.is_empty() { Ok(()) } else { write!(f, "; {}", self.hint) }
    }
}

impl std::error::Error for ExprError {}
