//! Arrays of one event: parts, views, sums along axes.

pub(in crate::ops) mod array_stat;
pub(in crate::ops) mod combinations;
pub(in crate::ops) mod join;
pub(in crate::ops) mod normalize;
pub(in crate::ops) mod pixel;
pub(in crate::ops) mod rebin;
pub(in crate::ops) mod roi;
pub(in crate::ops) mod running;
pub(in crate::ops) mod slicing;
pub(in crate::ops) mod split;
pub(in crate::ops) mod statistic;
pub(in crate::ops) mod strided_view;
pub(in crate::ops) mod take;
pub(in crate::ops) mod threshold;
pub(in crate::ops) mod turn;
