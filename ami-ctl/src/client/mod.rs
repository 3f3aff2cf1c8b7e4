//! Asking manager and store, and which system is meant.

pub mod system;

pub use ami_proto::client::{array, error, feature, manager, refusal, request, store};
