//! The commands, one per file: arguments, question, answer in print.

pub mod completions;
pub mod doctor;
pub mod features;
pub mod get;
pub mod graph;
pub mod keys;
pub mod local;
pub mod ops;
pub mod pedestal;
pub mod record;
pub mod sources;
pub mod status;
pub mod top;
pub mod watch;
