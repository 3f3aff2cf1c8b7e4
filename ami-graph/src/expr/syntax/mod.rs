//! From text to a tree.

pub(in crate::expr) mod ast;
mod call;
pub(in crate::expr) mod functions;
pub(in crate::expr) mod lex;
pub(in crate::expr) mod parse;
