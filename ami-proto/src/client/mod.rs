//! Asking manager and store: questions, answers, and what is published. For whatever stands beside the data path.

pub mod array;
pub mod error;
pub mod feature;
pub mod manager;
pub mod refusal;
pub mod request;
pub mod store;
