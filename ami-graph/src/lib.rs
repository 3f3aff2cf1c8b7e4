//! What is computed: graphs, operations and merging. Pure: no socket, file or clock.
//!
//! ```text
//!     source → [shm ring] → worker → collector → store → client
//!                             ▲          ▲
//!                      **ami-graph** (engine of both)
//! ```
//!
//! A graph is JSON ([`spec`]). A [`Plan`](plan::Plan) cuts it in two: what is computed from events
//! runs on workers ([`run`]), what is computed from results runs at the root ([`root`]), and
//! [`Partial`](partial::Partial)s carry merged states from the one to the other.
//!
//! ```
//! use ami_graph::batch::{Batch, Column};
//! use ami_graph::{limits::Limits, plan::Plan, root::*, run::WorkerStage, spec::*, value::*};
//! use ami_graph::schema::{Field, Kind, Schema};
//! use std::sync::Arc;
//!
//! let spec = GraphSpec::parse(r#"{"name": "g", "nodes": {"m": {"op": "mean", "in": "x"}}}"#)?;
//! let x = Field { name: "x".into(), aliases: vec![], dtype: DType::F64, rank: 0, shape: None,
//!                 kind: Kind::Event, labels: Default::default() };
//! let schema = Arc::new(Schema { fields: vec![x] });
//! let plan = Arc::new(Plan::new(Arc::new(GraphSet::of(spec)), schema, &Limits::default()));
//! assert!(plan.errors().is_empty());
//!
//! let mut worker = WorkerStage::new(plan.clone());
//! let data = bytemuck::cast_slice(&[1.0, 2.0, 6.0]);
//! worker.absorb(&Batch { host: 0, first_sequence: 0, timestamps: &[10, 20, 30],
//!     columns: vec![Column::Scalars { dtype: DType::F64, data, present: None }] });
//!
//! let mut root = RootStage::new(plan);
//! let published = root.close(&Frame::default(), worker.take());
//! assert_eq!(published[0].topic, "g/m");
//! assert_eq!(published[0].values[0], ("value".into(), ScalarOrText::Scalar(Scalar::F64(3.0))));
//! # Ok::<(), ami_graph::error::SpecError>(())
//! ```

pub mod access;
mod accumulate;
pub mod bands;
mod base64;
pub mod batch;
mod buckets;
mod buffer;
mod cast;
mod cell;
mod cells;
pub mod column;
mod comatrix;
mod comoments;
mod compensated;
mod cost;
mod decay;
mod detector;
mod dyadic;
mod each;
pub mod error;
pub mod expr;
pub mod files;
mod graph;
mod grid;
mod identity;
pub mod inputs;
mod items;
mod json_schema;
mod keyed;
mod ledger;
pub mod limits;
pub mod lists;
mod moments;
pub mod ops;
mod pairs;
pub mod params;
pub mod partial;
pub mod plan;
mod planner;
#[path = "root/published.rs"]
pub mod published;
pub mod root;
mod rows;
pub mod run;
pub mod schema;
mod signature;
mod slicing;
mod slot;
pub mod spec;
mod stage;
pub mod state;
mod statistic;
mod tally;
mod total;
pub mod types;
pub mod value;
mod view;
pub mod window;
mod windowed;
pub mod wire;
