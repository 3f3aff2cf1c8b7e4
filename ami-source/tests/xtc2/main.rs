//! XTC2 as a whole: against the facility's dumps, joined streams, mutilated files, recordings,
//! files that grow.

#![allow(clippy::unwrap_used)]

mod common;
mod damaged;
mod inspected;
mod joined;
mod live;
mod recorded;
