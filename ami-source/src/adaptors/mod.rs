//! What stands between a source and its reader: a stretch of the events, repetition, opening again, pace.

pub mod looped;
pub mod paced;
pub mod range;
pub mod reopened;
pub mod resumed;
