//! Reductions: over the events of a window.

pub(in crate::ops) mod bins;
pub(in crate::ops) mod by_key;
pub(in crate::ops) mod count;
pub(in crate::ops) mod covariance;
pub(in crate::ops) mod elements;
pub(in crate::ops) mod ewma;
pub(in crate::ops) mod extreme;
pub(in crate::ops) mod hist;
pub(in crate::ops) mod hist2d;
pub(in crate::ops) mod key_statistic;
pub(in crate::ops) mod keys;
pub(crate) mod last;
pub(in crate::ops) mod linregress;
pub(in crate::ops) mod per_frame;
pub(in crate::ops) mod profile;
pub(in crate::ops) mod quantile;
pub(in crate::ops) mod rate;
pub(in crate::ops) mod side_by_side;
pub(in crate::ops) mod stats;
pub(in crate::ops) mod step_keys;
pub(in crate::ops) mod sum;
pub(in crate::ops) mod sum_of_numbers;
pub(in crate::ops) mod unique;
