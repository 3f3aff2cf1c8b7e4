//! From text to a tree.

mod advice;
pub(in crate::expr) mod ast;
mod call;
mod dotted;
pub(in crate::expr) mod functions;
pub(in crate::expr) mod lex;
pub(in crate::expr) mod parse;
