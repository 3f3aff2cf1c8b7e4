//! What flows: values and their types, batches of events in columns, views of columns.

pub mod bands;
pub mod batch;
pub mod bytes;
pub(crate) mod cast;
pub mod column_views;
pub(crate) mod event_values;
pub(crate) mod feed;
pub mod files;
pub mod frame;
pub mod owned_column;
pub(crate) mod raw_buffer;
pub mod reused_lists;
pub mod schema;
pub mod types;
pub mod value;
