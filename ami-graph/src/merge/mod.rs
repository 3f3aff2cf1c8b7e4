//! States that merge: sums, moments, counts in bins, values by key. Each is a commutative monoid: any
//! split of the events over workers and hosts comes to the same.

pub(crate) mod accumulate;
pub(crate) mod comatrix;
pub(crate) mod comoments;
pub(crate) mod compensated;
pub(crate) mod counted;
pub(crate) mod decay;
pub(crate) mod dyadic_grid;
pub(crate) mod grid;
pub(crate) mod keyed;
pub(crate) mod moments;
pub(crate) mod newest_rows;
pub(crate) mod quantile_buckets;
pub(crate) mod row_values;
pub(crate) mod tally;
pub(crate) mod total;
