//! User code of every kind, good and bad, in real processes.

#![allow(clippy::unwrap_used)]

mod common;
mod events;
mod failures;
mod hostile;
mod killed;
mod output;
mod reductions;
mod update;
