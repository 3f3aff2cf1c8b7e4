//! The commands, one per file: arguments, question, answer in print.

pub mod completions;
pub mod doctor;
pub mod features;
pub mod get;
pub mod graph;
pub mod keys;
pub mod node;
pub mod ops;
pub mod pedestal;
pub mod record;
pub mod save;
pub mod sources;
pub mod status;
pub mod top;
pub mod watch;

use std::time::Duration;

/// A length of time in seconds, parts included.
///
/// # Errors
/// When it is not one.
pub fn seconds(text: &str) -> Result<Duration, String> {
    let wrong = || format!("{text:?} is not a number of seconds greater than 0");
    let value: f64 = text.parse().map_err(|_| wrong())?;
    if value > 0.0 { Duration::try_from_secs_f64(value).map_err(|_| wrong()) } else { Err(wrong()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_have_parts_and_are_positive() {
        assert_eq!(seconds("0.5"), Ok(Duration::from_millis(500)));
        for bad in ["0", "-1", "NaN", "inf", "1e300", "x"] {
            assert!(seconds(bad).is_err(), "{bad}");
        }
    }
}
