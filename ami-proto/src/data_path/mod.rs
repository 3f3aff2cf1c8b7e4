//! Messages of the data path, one file per arrow, and what they speak of: chunks of events, identities,
//! transitions.

pub mod chunk;
pub mod ids;
pub mod root_to_hosts;
pub mod to_collector;
pub mod to_root;
pub mod to_ventilator;
pub mod transition;
pub mod ventilator_to_worker;
