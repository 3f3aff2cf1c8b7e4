//! A goal, what came of it, and how numbers stand in a document.

use serde_json::{Map, Value, json};

/// One goal, and what came of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Goal {
    /// What is measured, with its unit.
    pub what: String,
    /// To be reached, or not to be passed where less is better.
    pub goal: f64,
    /// What was measured.
    pub value: f64,
    /// Whether more is better.
    pub more: bool,
}

impl Goal {
    pub fn at_least(what: impl Into<String>, goal: f64, value: f64) -> Goal {
        Goal { what: what.into(), goal, value, more: true }
    }

    pub fn at_most(what: impl Into<String>, goal: f64, value: f64) -> Goal {
        Goal { what: what.into(), goal, value, more: false }
    }

    /// How well: 1 is just reached, more is better.
    pub fn ratio(&self) -> f64 {
        if self.more { self.value / self.goal } else { self.goal / self.value }
    }

    /// Whether it is reached. Nothing measured reaches nothing.
    pub fn met(&self) -> bool {
        self.ratio() >= 1.0
    }

    /// As it stands in the document.
    pub fn document(&self) -> Value {
        let goal = format!("{} {}", if self.more { "≥" } else { "≤" }, self.goal);
        json!({"what": self.what, "goal": goal, "value": number(self.value),
               "ratio": number(self.ratio()), "met": self.met()})
    }
}

/// Adds `goals`, and of the one that is furthest from being met `goal` and `ratio`; `met` is of all.
pub fn put(goals: &[Goal], document: &mut Map<String, Value>) {
    let worst = goals.iter().min_by(|a, b| a.ratio().total_cmp(&b.ratio()));
    document.insert("goals".into(), goals.iter().map(Goal::document).collect());
    let of = |key: &str| worst.map_or(Value::Null, |g| g.document()[key].clone());
    document.insert("goal".into(), of("goal"));
    document.insert("ratio".into(), of("ratio"));
    document.insert("met".into(), goals.iter().all(Goal::met).into());
}

/// Four significant digits; null for what was not measured.
pub fn number(x: f64) -> Value {
    if !x.is_finite() {
        return Value::Null;
    }
    let text = format!("{x:.3e}");
    let rounded = text.parse().unwrap_or(x);
    if rounded >= 1e4 { json!(x.round() as u64) } else { json!(rounded) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_not_measured_meets_no_goal() {
        assert!(!Goal::at_most("x", 1.0, f64::NAN).met());
        assert!(!Goal::at_least("x", 1.0, f64::NAN).met());
        assert!(Goal::at_least("x", 1.0, 1.0).met() && Goal::at_most("x", 1.0, 0.5).ratio() == 2.0);
        assert_eq!(
            (number(f64::NAN), number(0.123_456), number(12_345_678.9)),
            (Value::Null, json!(0.1235), json!(12_345_679))
        );
    }
}
