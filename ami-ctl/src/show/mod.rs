//! Features and numbers as people see them in the terminal.

pub mod meters;
pub mod plot;
