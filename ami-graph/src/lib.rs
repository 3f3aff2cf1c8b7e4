//! What is computed: graphs, operations and merging. Pure: no socket, file or clock.
//!
//! ```text
//!     source → [shm ring] → worker → collector → store → client
//!                             ▲          ▲
//!                      **ami-graph** (engine of both)
//! ```
//!
//! A graph is JSON ([`graph::spec`]). A [`Plan`](plan::Plan) cuts it in two: what is computed from events
//! runs on workers ([`worker`]), what is computed from results runs at the root ([`root`]), and
//! [`Partial`](wire::partial::Partial)s carry merged states from the one to the other.
//!
//! Wings, from the ground up; imports go down only (`tests/tests/architecture.rs`):
//!
//! | wing | what |
//! |---|---|
//! | [`data`] | what flows: values, types, batches of events in columns |
//! | [`expr`] | the expression language |
//! | `merge` | states that merge: sums, moments, bins, values by key |
//! | [`op`] | what an operation is |
//! | [`ops`] | the table of operations and the operations, in families |
//! | [`graph`] | what people write, and its checks |
//! | [`plan`] | the cut into stages, costs, identity |
//! | [`wire`] | partials and their bytes |
//! | [`worker`], [`root`] | the two stages |
//!
//! ```
//! use ami_graph::data::batch::{Batch, Column};
//! use ami_graph::plan::limits::Limits;
//! use ami_graph::plan::Plan;
//! use ami_graph::root::*;
//! use ami_graph::worker::WorkerStage;
//! use ami_graph::graph::spec::*;
//! use ami_graph::data::value::*;
//! use ami_graph::data::schema::{Field, Kind, Schema};
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
//! worker.absorb(&Batch { host: 0, belonging: Default::default(), first_sequence: 0, timestamps: &[10, 20, 30],
//!     columns: vec![Column::Scalars { dtype: DType::F64, data, present: None }] });
//!
//! let mut root = RootStage::new(plan);
//! let published = root.close(&Frame::default(), worker.take());
//! assert_eq!(published[0].topic, "g/m");
//! assert_eq!(published[0].values[0], ("value".into(), ScalarOrText::Scalar(Scalar::F64(3.0))));
//! # Ok::<(), ami_graph::error::SpecError>(())
//! ```

pub mod data;
pub mod error;
pub mod expr;
pub mod graph;
mod merge;
pub mod op;
pub mod ops;
pub mod plan;
pub mod root;
pub mod wire;
pub mod worker;
