//! What people write: graphs as JSON, their names, inputs, windows and files, and the checks of these.

pub(crate) mod checked;
pub mod inputs;
pub(crate) mod json_schema;
pub mod spec;
pub mod text;
pub mod window;
pub(crate) mod wiring;
