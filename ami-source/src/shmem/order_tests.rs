//! Tests of the order: races of two channels, as sequences of what is read when.
