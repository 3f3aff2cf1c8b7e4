//! Asking manager and store: questions, answers, what is published, and which system is meant.

pub mod array;
pub mod error;
pub mod feature;
pub mod manager;
pub mod refusal;
pub mod request;
pub mod store;
pub mod system;
