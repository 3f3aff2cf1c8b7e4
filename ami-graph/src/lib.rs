//! What is computed: graphs, operations and merging. Pure: no socket, file or clock.
//!
//! ```text
//!     source → [shm ring] → worker → collector → store → client
//!                             ▲          ▲
//!                      **ami-graph** (engine of both)
//! ```

pub mod access;
pub mod base64;
pub mod batch;
pub mod buffer;
pub mod column;
pub mod compensated;
pub mod cost;
pub mod dyadic;
pub mod error;
pub mod expr;
pub mod graph;
pub mod grid;
pub mod identity;
pub mod inputs;
pub mod items;
pub mod ledger;
pub mod limits;
pub mod moments;
pub mod ops;
pub mod params;
pub mod partial;
pub mod plan;
pub mod published;
pub mod root;
pub mod rows;
pub mod run;
pub mod schema;
pub mod slicing;
pub mod spec;
pub mod stage;
pub mod state;
pub mod statistic;
pub mod tally;
pub mod total;
pub mod types;
pub mod value;
pub mod window;
pub mod windowed;
pub mod wire;
