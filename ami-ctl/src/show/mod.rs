//! Features and numbers as people see them in the terminal.

pub mod absent;
pub mod meters;
pub mod plot;
