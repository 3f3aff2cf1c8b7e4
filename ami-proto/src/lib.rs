//! What the processes agree on: messages, addresses, and how a process starts and stops.
//!
//! ```text
//!     source → [shm ring] → worker → collector → store → client
//!                ▲            **every arrow is a file of this crate**
//!              ctl → manager
//! ```
//!
//! | folder | what | names |
//! |---|---|---|
//! | [`config`], [`codec`] | the configuration of all daemons; the encoding between them | |
//! | [`health`] | metrics, memory, how often something is told | |
//! | [`security`] | keys | config |
//! | [`socket`] | the only sockets there are, and their addresses | the above |
//! | [`data_path`] | messages from source to root | codec |
//! | [`control`] | messages between people, manager and members | all |
//! | [`process`] | how a daemon starts, reports and stops | all but control |
//! | [`client`] | asking manager and store | all |

pub mod client;
pub mod codec;
pub mod config;
pub mod control;
pub mod data_path;
pub mod health;
pub mod process;
pub mod security;
pub mod socket;
