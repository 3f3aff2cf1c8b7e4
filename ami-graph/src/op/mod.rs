//! What an operation is: the contract that every file in `ops` fulfils.
//!
//! [`kind::OpKind`] is an entry of the table; with its parameters it becomes a per-event operation
//! ([`per_event`]) or a reduction ([`reduction`]).

pub(crate) mod checks;
pub mod doc;
pub(crate) mod event_by_event;
pub(crate) mod fill;
pub mod foreign;
pub mod kind;
pub(crate) mod nan;
pub mod parameters;
pub mod per_event;
pub mod plain;
pub mod reduction;
pub mod signature;
